"""The coarse-to-fine schedule: the sizes of the scales of a run. Pure arithmetic.

Each scale starts from the result of the one before: coarse scales are cheap and paint the large
strokes, which the finer ones keep. Source of the idea: Gatys et al. 2017, "Controlling perceptual factors".
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from impasto.config.model import LARGEST_EDGE
from impasto.config.settings import DEFAULT_LONG_EDGE, Settings
from impasto.errors import InputError
from impasto.image.pixels import fit
from impasto.network.layers import deepest, smallest_edge

LONG = 4.0  # long to short edge, beyond which a painting is not scaled by its long edge


@dataclass(frozen=True)
class Scale:
    """The size of the canvas at one scale, in pixels."""

    width: int
    height: int

    @property
    def long_edge(self) -> int:
        """The longer of the two edges, in pixels."""
        return max(self.width, self.height)


def long_edge(width: int, height: int, settings: Settings) -> int:
    """Return the long edge of the result in pixels: of the settings, or the photo's own up to the default."""
    return settings.size or min(max(width, height), DEFAULT_LONG_EDGE)


@dataclass(frozen=True)
class PictureShape:
    """An input's own size in pixels, its name in messages, and what it is used for.

    `stroke` is the size of a painting's strokes, a factor; `layers` read it; None: all of the run.
    """

    name: str
    width: int
    height: int
    stroke: float = 1.0
    layers: tuple[str, ...] | None = None
    painting: bool = False

    @property
    def factor(self) -> float:
        """Its long edge at a scale, in units of the canvas'.

        It is the stroke; for a painting longer than 4:1 it is more. Its short edge is then a quarter of the
        canvas' long edge, as that of a painting of 4:1, so that strokes are as large. From 16:1 on it has the
        area of a square painting: it takes no more time and memory.
        """
        aspect = max(self.width, self.height) / min(self.width, self.height)
        return self.stroke * (min(max(1.0, aspect / LONG), math.sqrt(aspect)) if self.painting else 1.0)

    def at(self, long_edge: int) -> Scale:
        """Return its size for a canvas of that long edge, in pixels."""
        edge = long_edge if self.factor == 1 else max(1, round(long_edge * self.factor))
        return Scale(*fit(self.width, self.height, edge))

    def needs(self, layers: Sequence[str]) -> int:
        """Return the shortest edge, in pixels, that its layers need; `layers` are all of the run."""
        return smallest_edge(layers if self.layers is None else self.layers)


def scales(shapes: Sequence[PictureShape], settings: Settings, layers: Iterable[str]) -> tuple[Scale, ...]:
    """Return the scales of a run, coarsest first; the last one is the size of the result.

    A coarse scale at which any input would be too small for the layers is left out. `shapes` are the photo's,
    then the paintings'.

    Raises:
        InputError: At the size of the result an input would be too small for the layers.
    """
    names = list(layers)
    photo = shapes[0]
    edge = long_edge(photo.width, photo.height, settings)
    for shape in shapes:
        _check_size(shape, edge, names)
    chosen = [photo.at(edge)]
    coarse = edge / 2
    while coarse >= settings.min_size:
        sizes = [shape.at(round(coarse)) for shape in shapes]
        pairs = zip(sizes, shapes, strict=True)
        if any(min(size.width, size.height) < shape.needs(names) for size, shape in pairs):
            break
        chosen.insert(0, sizes[0])
        coarse /= 2
    return tuple(chosen)


def _check_size(shape: PictureShape, edge: int, layers: Sequence[str]) -> None:
    """Raise `InputError`, naming the smallest size that works, if an input gets too small."""
    needed = shape.needs(layers)
    size = shape.at(edge)
    if size.long_edge > LARGEST_EDGE:
        raise InputError(
            f"the {shape.name} would be {size.width} x {size.height} px at stroke {shape.stroke:g}, but a "
            f"picture may have {LARGEST_EDGE} px; "
            + ("give a smaller --stroke" if shape.factor == shape.stroke else "crop it")
        )
    if min(size.width, size.height) >= needed:
        return
    short, long = sorted((shape.width, shape.height))
    smallest = math.ceil((needed - 0.5) * long / short / shape.factor)
    stroke = "" if shape.stroke == 1 else f" at stroke {shape.stroke:g}"
    message = (
        f"the {shape.name} ({shape.width} x {shape.height} px) would be {size.width} x "
        f"{size.height} px{stroke}, but {deepest(shape.layers or layers)} needs {needed} px on the "
        "shorter edge"
    )
    if max(smallest, shape.at(smallest).long_edge) <= LARGEST_EDGE:
        raise InputError(f"{message}; the smallest size that works is {smallest} (--size {smallest})")
    raise InputError(f"{message}; it is too thin for any size: crop it")
