"""The coarse-to-fine schedule. Pure arithmetic.

Each scale starts from the result of the one before: coarse scales are cheap and lay down the large
strokes, which the finer ones keep. Source of the idea: Gatys et al. 2017, section 6 (coarse-to-fine).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from impasto.errors import InputError
from impasto.layers import deepest, smallest_edge
from impasto.settings import DEFAULT_LONG_EDGE, LARGEST_EDGE, Settings


@dataclass(frozen=True)
class Scale:
    """The size of the canvas at one scale, in pixels."""

    width: int
    height: int

    @property
    def long_edge(self) -> int:
        """The longer of the two edges, in pixels."""
        return max(self.width, self.height)


def fit(width: int, height: int, long_edge: int) -> tuple[int, int]:
    """Return the size with that long edge and the same shape, each edge at least 1 px."""
    factor = long_edge / max(width, height)
    return max(1, math.floor(width * factor + 0.5)), max(1, math.floor(height * factor + 0.5))


def long_edge(width: int, height: int, settings: Settings) -> int:
    """Return the long edge of the result: as asked, or the photo's own up to the default."""
    return settings.size or min(max(width, height), DEFAULT_LONG_EDGE)


def scales(width: int, height: int, settings: Settings, layers: Iterable[str]) -> tuple[Scale, ...]:
    """Return the scales of a run, coarsest first; the last one is the size of the result.

    Args:
        width: Of the photo, in pixels.
        height: Of the photo, in pixels.
        settings: `size` and `min_size` count.
        layers: Those the losses read; they need a certain number of pixels.

    Raises:
        InputError: The result would be too small for the layers.
    """
    wanted = list(layers)
    needed = smallest_edge(wanted)
    final = Scale(*fit(width, height, long_edge(width, height, settings)))
    check_size("photo", width, height, final, wanted)
    chosen = [final]
    edge = final.long_edge / 2
    while edge >= settings.min_size:
        coarser = Scale(*fit(width, height, round(edge)))
        if min(coarser.width, coarser.height) < needed:
            break
        chosen.insert(0, coarser)
        edge /= 2
    return tuple(chosen)


def check_size(what: str, width: int, height: int, scale: Scale, layers: Iterable[str]) -> None:
    """Raise `InputError`, naming the smallest size that works, if a picture gets too small.

    Args:
        what: How to call the picture in the message.
        width: Of the picture as it is, in pixels.
        height: Of the picture as it is, in pixels.
        scale: Its size in the run.
        layers: Those the losses read.
    """
    wanted = list(layers)
    needed = smallest_edge(wanted)
    if min(scale.width, scale.height) >= needed:
        return
    short, long = sorted((width, height))
    smallest = math.ceil((needed - 0.5) * long / short)
    said = (
        f"the {what} ({width} x {height} px) would be {scale.width} x {scale.height} px, but "
        f"{deepest(wanted)} needs {needed} px on the shorter edge"
    )
    if smallest <= LARGEST_EDGE:
        raise InputError(f"{said}; the smallest size that works is {smallest} (--size {smallest})")
    raise InputError(f"{said}; it is too thin for any size: crop it")
