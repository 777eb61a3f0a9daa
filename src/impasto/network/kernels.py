"""Which way computes a convolution: `direct`, `fused` or `winograd`, by its channels and its size.

A choice is text, so that a flag, a recipe and a checkpoint can hold it:

    direct                                       # torch's convolution everywhere
    winograd                                     # Winograd's where it saves most, by a fixed rule
    512-512=direct:1024:winograd,128-128=fused   # from 512 to 512 channels direct up to 1024 positions

`network.kernel_times` makes such a text by measurement. What the text does not name follows the fixed rule.
No torch here.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, cast

Way = Literal["direct", "fused", "winograd"]
Steps = tuple[tuple[float, Way], ...]  # up to so many positions this way; the last one is endless
WAYS: tuple[Way, ...] = ("direct", "fused", "winograd")
# Channels on the narrower side from which Winograd's transforms save more than they cost; measured.
WIDE = {"fp32": 128, "bf16": 64}
BROAD = 128  # channels on the other side; with 64 on both sides the pictures are still too large
_WAY = f"(?:{'|'.join(WAYS)})"
PATTERN = rf"{_WAY}|\d+-\d+={_WAY}(?::\d+:{_WAY})*(?:,\d+-\d+={_WAY}(?::\d+:{_WAY})*)*"


def by_rule(incoming: int, outgoing: int, precision: str) -> Way:
    """Return the way of the fixed rule on the processor, for so many channels."""
    narrow, broad = sorted((incoming, outgoing))
    return "winograd" if narrow >= WIDE.get(precision, broad + 1) and broad >= BROAD else "direct"


def way(choice: str, incoming: int, outgoing: int, positions: int, precision: str) -> Way:
    """Return how a choice computes a convolution at so many positions, rows times columns."""
    if choice in ("direct", "fused"):
        return cast(Way, choice)
    steps = parse(choice).get((incoming, outgoing))
    if steps is None:
        return by_rule(incoming, outgoing, precision)
    return next(name for limit, name in steps if positions <= limit)


@lru_cache(maxsize=256)
def parse(choice: str) -> Mapping[tuple[int, int], Steps]:
    """Return the ways that a choice names, by channels in and out.

    Raises:
        ValueError: It is no choice.
    """
    if not re.fullmatch(PATTERN, choice):
        raise ValueError("must be auto, direct, winograd, or a choice from a recipe")
    found: dict[tuple[int, int], Steps] = {}
    for entry in choice.split(",") if "=" in choice else ():
        channels, _, steps = entry.partition("=")
        incoming, outgoing = map(int, channels.split("-"))
        names = steps.split(":")
        limits = [*map(float, names[1::2]), float("inf")]
        if limits != sorted(set(limits)):
            raise ValueError(f"{channels}: positions must increase")
        found[incoming, outgoing] = tuple(zip(limits, cast(list[Way], names[::2]), strict=True))
    return MappingProxyType(found)


def text(ways: Mapping[tuple[int, int], Steps]) -> str:
    """Return the text of a choice; `parse` reads it."""
    return ",".join(
        f"{incoming}-{outgoing}=" + ":".join(f"{name}:{limit:.0f}" for limit, name in steps[:-1])
        + (":" if steps[1:] else "") + steps[-1][1]
        for (incoming, outgoing), steps in ways.items()
    )  # fmt: skip
