"""`Style` and `Mask`: one painting among several, and where and how it is used. No torch here."""

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from impasto.config.model import short_repr
from impasto.errors import SettingsError
from impasto.network.layers import check_layers, parse_layers

REST = "rest"  # a mask: the area outside all other masks
STROKES = (0.1, 10.0)  # as of `Settings.stroke`
_COLOR = re.compile(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")


@dataclass(frozen=True)
class Mask:
    """A region: white in a picture, or one color of a segmentation.

    Args:
        picture: A path, the bytes of a file, or anything `Picture.of` takes. White counts, black does not,
            gray counts in part; in a picture with transparent parts, opaque counts instead of white.
        color: A color of a segmentation, such as "#00f" or "#0000ff"; each of its pixels belongs to the
            nearest of its colors.

    Raises:
        SettingsError: `color` is not written as a color.
    """

    picture: Any
    color: str | None = None

    def __post_init__(self) -> None:
        if self.color is None:
            return
        if not isinstance(self.color, str) or not _COLOR.fullmatch(self.color.strip()):
            raise SettingsError(f"mask: a color is written as #00f or #0000ff, not {short_repr(self.color)}")
        digits = self.color.strip()[1:].lower()
        digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
        object.__setattr__(self, "color", f"#{digits}")


@dataclass(frozen=True)
class Style:
    """One painting, its share among several, and where and how it is used.

    Args:
        picture: A path, the bytes of a file, or a `Picture`. The path of a folder means all pictures in it,
            as one style.
        weight: Share relative to the other styles; only ratios matter.
        mask: Where in the photo it is used, with the aspect ratio of the photo: a picture as for `Mask`, a
            `Mask`, or "rest" for the area outside all other masks. None: everywhere.
        source_mask: Which part of the painting counts, with its aspect ratio. None: all of it.
        stroke: Size of its strokes, 0.1 to 10, instead of `Settings.stroke`.
        layers: Layers that carry this style instead of `Settings.style_layers`, with their weights:
            `{"relu1_1": 1.0}`, `"relu1_1,relu2_1=0.5"` or a list of names.

    Raises:
        SettingsError: A number is out of range, or a layer is unknown.
    """

    picture: Any
    weight: float = 1.0
    mask: Any = None
    source_mask: Any = None
    stroke: float | None = None
    layers: Mapping[str, float] | str | Sequence[str] | None = None

    def __post_init__(self) -> None:
        largest = sys.float_info.max
        if not (isinstance(self.weight, (int, float)) and -largest <= self.weight <= largest):
            raise SettingsError(f"style weight: must be a finite number, not {short_repr(self.weight)}")
        if self.weight < 0:
            raise SettingsError(f"style weight: must not be negative, not {self.weight!r}")
        low, high = STROKES
        if self.stroke is not None and not (
            isinstance(self.stroke, (int, float)) and low <= self.stroke <= high
        ):
            raise SettingsError(
                f"style stroke: must be between {low:g} and {high:g}, not {short_repr(self.stroke)}"
            )
        if self.layers is not None:
            object.__setattr__(self, "layers", _layers(self.layers))


def _layers(value: object) -> dict[str, float]:
    """Return the layers of a style with their weights, validated."""
    try:
        parsed = parse_layers(value)
        if not isinstance(parsed, Mapping) or not parsed:
            raise ValueError(f"name at least one layer such as relu4_1, not {short_repr(value)}")
        if not all(isinstance(w, (int, float)) and math.isfinite(w) for w in parsed.values()):
            raise ValueError(f"the weights must be finite numbers, not {short_repr(value)}")
        layers = check_layers({str(name): float(weight) for name, weight in parsed.items()})
    except ValueError as error:
        raise SettingsError(f"style layers: {error}") from error
    if not any(layers.values()):
        raise SettingsError("style layers: at least one layer needs a weight above 0")
    return layers
