"""One painting among several, and what it is to do (`Style`). No torch here."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from impasto.errors import SettingsError
from impasto.models import given


@dataclass(frozen=True)
class Style:
    """One painting and its share among several.

    Args:
        picture: A path, the bytes of a file, or a `Picture`.
        weight: Share relative to the other styles; only ratios matter.

    Raises:
        SettingsError: The weight is negative or not a number.
    """

    picture: Any
    weight: float = 1.0

    def __post_init__(self) -> None:
        largest = sys.float_info.max
        if not (isinstance(self.weight, (int, float)) and -largest <= self.weight <= largest):
            raise SettingsError(f"style weight: must be a finite number, not {given(self.weight)}")
        if self.weight < 0:
            raise SettingsError(f"style weight: must not be negative, not {self.weight!r}")
