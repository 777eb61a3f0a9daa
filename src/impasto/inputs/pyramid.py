"""The coarse-to-fine schedule: the sizes of the scales of a run. Pure arithmetic.

Each scale starts from the result of the one before: coarse scales are cheap and paint the large
strokes, which the finer ones keep. Source of the idea: Gatys et al. 2017, "Controlling perceptual factors".
A draft has scales of its own, with few evaluations (`DRAFT`): alone with quality `instant`, whose result is
enlarged, and as the beginning of a run of several scales that starts in the paintings' colors.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from impasto.config.model import LARGEST_EDGE
from impasto.config.settings import DEFAULT_LONG_EDGE, DRAFT, Settings
from impasto.errors import InputError
from impasto.image.pixels import fit
from impasto.network.layers import deepest, smallest_edge

LONG = 4.0  # long to short edge, beyond which a painting is not scaled by its long edge


@dataclass(frozen=True)
class Scale:
    """The size of the canvas at one scale, in pixels, and of a draft's scale its evaluations."""

    width: int
    height: int
    draft: int | None = field(default=None, compare=False)  # what is made of pictures at a size is the same

    @property
    def long_edge(self) -> int:
        """The longer of the two edges, in pixels."""
        return max(self.width, self.height)

    def evaluations(self, settings: Settings) -> int:
        """Return the evaluations at this scale that the settings say."""
        return self.draft or settings.evaluations_per_scale


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
    """Return the scales of a run, coarsest first; the last one is the size of the result, or of the draft.

    A coarse scale at which any input would be too small for the layers is left out. `shapes` are the photo's,
    then the paintings'. With quality `instant` the scales are those of a draft: 128 px, if the result is
    larger, and a last one of at most 256 px; more only where an input is too thin.

    Raises:
        InputError: At the size of the result an input would be too small for the layers.
    """
    names = list(layers)
    photo = shapes[0]
    edge = long_edge(photo.width, photo.height, settings)
    for shape in shapes:
        _check_size(shape, edge, names)

    def fits(edge: int) -> bool:
        sizes = [(shape.at(edge), shape.needs(names)) for shape in shapes]
        return all(min(size.width, size.height) >= needed for size, needed in sizes)

    if settings.quality == "instant":
        last = next(size for size in range(min(edge, max(DRAFT)), edge + 1) if fits(size))
        edges = [*(size for size in DRAFT if size < last and fits(size)), last]
        counts = list(DRAFT.values())[-len(edges) :]
        return tuple(
            _draft(photo, size, settings.evaluations or n) for size, n in zip(edges, counts, strict=True)
        )
    chosen = [photo.at(edge)]
    coarse = edge / 2
    while coarse >= settings.min_size and fits(round(coarse)):
        chosen.insert(0, photo.at(round(coarse)))
        coarse /= 2
    if settings.init == "matched" and settings.min_size < edge and chosen[0].long_edge <= max(DRAFT):
        most = settings.evaluations_per_scale
        before = [(size, count) for size, count in DRAFT.items() if size < chosen[0].long_edge and fits(size)]
        chosen[:0] = [_draft(photo, size, min(count, most)) for size, count in before]
    return tuple(chosen)


def _draft(photo: PictureShape, edge: int, evaluations: int) -> Scale:
    """Return a scale of a draft."""
    return replace(photo.at(edge), draft=evaluations)


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
