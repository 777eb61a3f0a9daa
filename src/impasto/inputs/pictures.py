"""The inputs of a run: opened once, scaled for each scale, recorded by hash.

Form: paths, bytes, arrays or pictures -> `Inputs` -> tensors (1, 3, h, w), sRGB-encoded, in [0, 1].
"""

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from impasto.config.recipe import InputRecord
from impasto.config.settings import Settings
from impasto.config.styles import REST, Mask
from impasto.image.picture import Picture
from impasto.inputs import masks
from impasto.inputs.color_matching import Move
from impasto.inputs.colors import AS_PAINTED, Recolor
from impasto.inputs.pyramid import PictureShape, Scale, scales
from impasto.inputs.shared import Shared
from impasto.messages import NOTE, printable

ENLARGED = 2.0  # times its own size: a painting shown larger has only blurred strokes
GUIDES = 4 * 4 / 3  # bytes a pixel of a mask and its smaller ones for the deeper layers
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StyleUse:
    """Where and how a painting is used: its masks, its stroke, its layers with their weights.

    `layers` are None where they are those of the settings.
    """

    stroke: float = 1.0
    mask: masks.OpenedMask = None
    source_mask: Mask | None = None
    layers: tuple[tuple[str, float], ...] | None = None
    own_stroke: float | None = None

    @property
    def plain(self) -> bool:
        """Whether it is compared everywhere, in the layers of the settings."""
        return self.mask is None and self.layers is None


@dataclass(frozen=True, eq=False)
class ScaledInputs:
    """The inputs at one scale, each (1, 3, h, w) in [0, 1].

    Besides, for each style, where there is any: its use, and the masks (1, 1, h, w) of the canvas and of the
    painting; `kept` is how much of each pixel stays the photo.
    """

    content: Tensor
    styles: tuple[Tensor, ...]
    shares: Tensor
    picture: Tensor | None
    uses: tuple[StyleUse, ...] = ()
    guides: tuple[Tensor | None, ...] = ()
    source_guides: tuple[Tensor | None, ...] = ()
    names: tuple[str, ...] = ()
    kept: Tensor | None = None


@dataclass(frozen=True)
class Inputs:
    """The pictures of a run, `weights` of the styles as given; `start` only for `init="picture"`.

    `uses` has one for each style. `protect` is what stays the photo, "rest" what no mask covers; `feather`
    is its soft edge in percent of the long edge.
    """

    content: Picture
    styles: tuple[Picture, ...]
    weights: tuple[float, ...]
    start: Picture | None
    uses: tuple[StyleUse, ...] = ()
    protect: masks.OpenedMask = None
    feather: float = 0.0
    recolor: Recolor = AS_PAINTED

    @cached_property
    def _moves(self) -> tuple[Move | None, ...]:
        return self.recolor.moves(self.content, self.styles)

    @property
    def shares(self) -> tuple[float, ...]:
        """The styles' shares, which sum to one; to twelve digits, so that a common factor changes none."""
        largest = max(self.weights)  # first, as the sum could be too large for a number
        parts = [weight / largest for weight in self.weights]
        return tuple(float(f"{part / math.fsum(parts):.12g}") for part in parts)

    @property
    def pictures(self) -> set[Picture]:
        """All pictures that are open."""
        found = {self.content, *self.styles, *([self.start] if self.start else [])}
        used = [mask for use in self.uses for mask in (use.mask, use.source_mask)]
        return found | {mask.picture for mask in (*used, self.protect) if isinstance(mask, Mask)}

    def held_bytes(self, scale: Scale) -> int:
        """Return the bytes that the opened pictures take, and their masks at a scale."""
        held = sum(picture.nbytes for picture in self.pictures)
        regions = {masks.key(use.mask) for use in self.uses}
        regions -= {None} if self.protect is None else set()
        held += round(len(regions) * GUIDES * scale.width * scale.height)
        if self.protect is not None:  # the mask, the photo, what is shown to the network
            held += 4 * (1 + 3 + 3) * scale.width * scale.height
        if len(self.styles) > 2:
            shapes = [PictureShape("", s.width, s.height, use.stroke) for s, use in self._used()]
            sizes = [shape.at(scale.long_edge) for shape in shapes[2:]]
            held += sum(12 * size.width * size.height for size in sizes)
        return held

    def _used(self) -> list[tuple[Picture, StyleUse]]:
        uses = self.uses or (StyleUse(),) * len(self.styles)
        return list(zip(self.styles, uses, strict=True))

    @property
    def shapes(self) -> list[PictureShape]:
        """The paintings' sizes, and what they need to be used."""
        return [
            PictureShape(
                f"style {item.name}",
                item.width,
                item.height,
                use.stroke,
                None if use.layers is None else tuple(name for name, w in use.layers if w),
            )
            for item, use in self._used()
        ]

    def layers(self, settings: Settings) -> set[str]:
        """Return the layers that the styles read."""
        if not settings.style_term:
            return set()
        general = [name for name, weight in settings.style_layers.items() if weight]
        found: set[str] = set()
        for _, use in self._used():
            own = use.layers
            found.update(general if own is None else (name for name, w in own if w))
        return found

    def scales(self, settings: Settings, layers: Iterable[str]) -> tuple[Scale, ...]:
        """Return the schedule, or refuse pictures that are too small before the network is loaded."""
        shapes = [PictureShape("photo", self.content.width, self.content.height)]
        return scales([*shapes, *(self.shapes if settings.style_term else [])], settings, layers)

    def tensors(self, scale: Scale, device: str) -> ScaledInputs:
        """Scale every input; a painting's long edge becomes the canvas', times its stroke.

        The photo is scaled sharply (Lanczos), the painting softly (linear): a sharpened painting makes the
        canvas grow a fine weave. Chosen by eye; see docs/decisions.
        """
        sizes = [shape.at(scale.long_edge) for shape in self.shapes]
        styles = zip(self._used(), self._moves, sizes, strict=True)
        seen = [
            self.recolor.seen(style, move, at.width, at.height, use.stroke)
            for (style, use), move, at in styles
        ]
        size = (scale.width, scale.height)
        targets = ScaledInputs(
            self.content.tensor(*size).to(device),
            tuple(style.to(device) for style in seen),
            torch.tensor(self.shares, device=device),
            None if self.start is None else self.start.tensor(*size).to(device),
        )
        kept = None if self.protect is None else self.kept(*size)
        if kept is None and all(use.plain and use.source_mask is None for use in self.uses):
            return targets
        guides = masks.of_all([use.mask for use in self.uses], *size)
        if kept is not None:  # what stays the photo says nothing about style
            free = 1 - kept
            guides = [free if guide is None else guide * free for guide in guides]
        sources = [
            None if use.source_mask is None else masks.tensor(use.source_mask, s.width, s.height)
            for use, s in zip(self.uses, sizes, strict=True)
        ]
        return replace(
            targets,
            uses=self.uses,
            guides=tuple(None if guide is None else guide.to(device) for guide in guides),
            source_guides=tuple(None if guide is None else guide.to(device) for guide in sources),
            names=tuple(style.name for style in self.styles),
            kept=None if kept is None else kept.to(device),
        )

    def kept(self, width: int, height: int) -> Tensor:
        """Return how much of each pixel of the canvas stays the photo, (1, 1, height, width)."""
        if isinstance(self.protect, Mask):
            mask = masks.tensor(self.protect, width, height)
        else:
            mask = masks.left_by([use.mask for use in self.uses], width, height)
        return masks.feathered(mask, self.feather / 100 * max(width, height))

    def picture(self, canvas: Tensor) -> Picture:
        """Return the canvas in its colours, with the photo's transparency and what its file says.

        Where it is protected, it is the photo.
        """
        height, width = canvas.shape[-2:]
        canvas = self.recolor.saved(canvas, self.content)
        if self.protect is not None:
            photo, kept = self.content.tensor(width, height), self.kept(width, height)
            canvas = torch.lerp(canvas, photo.to(canvas), kept.to(canvas))
        alpha = self.content.alpha(width, height)
        return Picture.from_tensor(canvas, alpha=alpha, source=self.content)

    def recorded(self) -> dict[str, Any]:
        """Return what the recipe keeps of all inputs, by its fields."""
        return {
            "content": record(self.content),
            "styles": self.records(),
            "init_picture": None if self.start is None else record(self.start),
            "protect": record_mask(self.protect),
        }

    def records(self) -> tuple[InputRecord, ...]:
        """Return what the recipe keeps of the styles."""
        weighed = zip(self._used(), self.weights, strict=True)
        return tuple(record(style, weight, use) for (style, use), weight in weighed)


def remark(inputs: Inputs, scale: Scale, workshop: Shared) -> None:
    """Say what of the inputs is not as one might think: regions that overlap, paintings too small.

    Runs that share a workshop say it once.
    """
    found: list[tuple[int, str]] = []
    for (style, use), shape in zip(inputs._used(), inputs.shapes, strict=True):
        factor = shape.at(scale.long_edge).width / style.width
        if use.stroke > 1 and factor > ENLARGED:
            said = (
                f"the painting {printable(style.name)} ({style.width} x {style.height} px) is enlarged "
                f"{factor:.1f} times for strokes of this size; a larger file of it has finer ones"
            )
            found.append((logging.WARNING, said))
    if any(use.mask is not None for use in inputs.uses):
        names = [style.name for style in inputs.styles]
        used = [use.mask for use in inputs.uses]
        found.append((NOTE, masks.told(used, names, inputs.content, inputs.protect)))
    for level, said in found:
        workshop.get(("said", said), partial(log.log, level, "%s", said))


def record(picture: Picture, weight: float = 1.0, use: StyleUse | None = None) -> InputRecord:
    """Return what the recipe keeps of an input: no folder, but the hash of its bytes."""
    use = use or StyleUse()
    return InputRecord(
        name=picture.name,
        sha256=picture.sha256,
        width=picture.width,
        height=picture.height,
        weight=weight,
        kind=picture.kind,
        bytes=picture.file_bytes,
        mask=record_mask(use.mask),
        source_mask=record_mask(use.source_mask),
        stroke=use.own_stroke,
        layers=None if use.layers is None else dict(use.layers),
    )


def record_mask(mask: masks.OpenedMask) -> InputRecord | None:
    """Return what the recipe keeps of a mask."""
    if isinstance(mask, Mask):
        return record(mask.picture).model_copy(update={"color": mask.color})
    return (
        None if mask is None else InputRecord(name=REST, sha256="", width=0, height=0, kind="rest")
    )
