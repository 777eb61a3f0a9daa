"""The inputs of a run: `Inputs`, and `ScaledInputs`, the same as tensors at one scale."""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from impasto.config.recipe import InputRecord
from impasto.config.settings import Settings
from impasto.config.styles import REST, Mask
from impasto.image.picture import Picture
from impasto.image.pixels import fit
from impasto.inputs import masks
from impasto.inputs.canvas import grayed, is_gray, resize
from impasto.inputs.color_matching import Move, Palette
from impasto.inputs.colors import AS_PAINTED, Recolor
from impasto.inputs.enlarge import enlarged
from impasto.inputs.pyramid import PictureShape, Scale, long_edge, scales
from impasto.inputs.shared import Shared
from impasto.messages import NOTE, printable
from impasto.network.layers import unrectified

CARRIES = 32  # px; short edge of a painting below which it gives colors, but hardly any strokes
ENLARGED = 2.0  # times its own size, beyond which a painting has only blurred strokes
GUIDES = 4 * 4 / 3  # bytes a pixel of a mask and its smaller ones for the deeper layers
RESULT = 24  # bytes a pixel of an enlarged draft: its canvas and the picture made of it
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StyleUse:
    """Where and how a painting is used.

    `stroke` is the size of its strokes, a factor; `own_stroke` that of the `Style`, None where that of
    the settings is used. `mask` lies in the photo, `source_mask` in the painting. `layers` are its own, with
    their weights; None: those of the settings.
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
    """The inputs at one scale, RGB, sRGB-encoded, in [0, 1].

    Attributes:
        content: The photo, (1, 3, H, W).
        styles: The paintings, each (1, 3, h, w).
        shares: Of the paintings, (S,); they sum to one.
        picture: The first canvas for `init="picture"`, (1, 3, H, W).
        uses: One for each painting, or none at all where all are plain.
        guides: The mask of each painting in the photo, (1, 1, H, W) or None; none at all without masks.
        source_guides: The mask of each painting in itself, (1, 1, h, w) or None; likewise.
        names: Of the paintings, for messages; likewise.
        kept: How much of each pixel stays the photo, (1, 1, H, W); None without protection.
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

    @cached_property
    def gray(self) -> bool:
        """Whether photo, start and all paintings that count have no colors, at 8 bits."""
        counted = zip(self.styles, self.shares.tolist(), strict=True)
        used = [self.content, self.picture, *(style for style, share in counted if share)]
        return all(is_gray(image) for image in used if image is not None)


@dataclass(frozen=True)
class Inputs:
    """The opened pictures of a run; the photo is `content`.

    At least one of the paintings' `weights` is above 0. `start` is the first canvas, for `init="picture"`
    only. There is one of `uses` for each painting, or none at all: each is plain. `protect` stays the photo;
    "rest" is what no mask covers; `feather` is the width of its soft edge, in percent of the long edge.
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
        """The styles' shares, which sum to one; rounded to twelve digits, so that a common factor cancels."""
        largest = max(self.weights)  # first, as the sum could be too large for a number
        parts = [weight / largest for weight in self.weights]
        return tuple(float(f"{part / math.fsum(parts):.12g}") for part in parts)

    @property
    def pictures(self) -> set[Picture]:
        """All pictures that are open."""
        pictures = {self.content, *self.styles, *([self.start] if self.start else [])}
        own = [mask for use in self.uses for mask in (use.mask, use.source_mask)]
        return pictures | {mask.picture for mask in (*own, self.protect) if isinstance(mask, Mask)}

    def memory_bytes(self, scale: Scale, size: Scale | None = None) -> int:
        """Return the bytes of memory of the opened pictures, and of their masks at a scale.

        `size` is that of the result, to which a draft at this scale is enlarged.
        """
        size = size or scale
        total = sum(picture.nbytes for picture in self.pictures)
        regions = {masks.key(use.mask) for use in self.uses}
        regions -= {None} if self.protect is None else set()
        total += round(len(regions) * GUIDES * scale.width * scale.height)
        if self.protect is not None:  # the mask, the photo, the protected canvas
            total += 4 * (1 + 3 + 3) * size.width * size.height
        if size != scale:
            total += RESULT * size.width * size.height
        if len(self.styles) > 2:
            sizes = [shape.at(scale.long_edge) for shape in self.shapes[2:]]
            total += sum(12 * size.width * size.height for size in sizes)
        return total

    def palette(self, number: int, edge: int) -> Palette:
        """Return the colors of a painting as the network sees it, of what its source mask leaves of it.

        They are measured at a long edge of `edge` px.
        """
        style = self.styles[number]
        width, height = fit(style.width, style.height, edge)
        image = self.recolor.seen(style, self._moves[number], width, height)
        mask = self.uses[number].source_mask if self.uses else None
        counted = None if mask is None else masks.tensor(mask, width, height)
        return Palette.of(image, style.alpha(width, height), counted)

    def _styles_and_uses(self) -> list[tuple[Picture, StyleUse]]:
        uses = self.uses or (StyleUse(),) * len(self.styles)
        return list(zip(self.styles, uses, strict=True))

    @property
    def shapes(self) -> list[PictureShape]:
        """The paintings' sizes, strokes and layers, from which schedule and memory are planned."""
        return [
            PictureShape(
                f"style {item.name}",
                item.width,
                item.height,
                use.stroke,
                None if use.layers is None else tuple(name for name, w in use.layers if w),
                painting=True,
            )
            for item, use in self._styles_and_uses()
        ]

    def layers(self, settings: Settings) -> set[str]:
        """Return the layers that the styles read."""
        if not settings.style_term:
            return set()
        layers: set[str] = set()
        for _, use in self._styles_and_uses():
            own = settings.style_layers.items() if use.layers is None else use.layers
            layers.update(name for name, weight in own if weight)
        return layers

    def size(self, settings: Settings) -> Scale:
        """Return the size of the result."""
        photo = self.content
        return PictureShape("photo", photo.width, photo.height).at(
            long_edge(photo.width, photo.height, settings)
        )

    def scales(self, settings: Settings, layers: Iterable[str]) -> tuple[Scale, ...]:
        """Return the scales of a run that reads certain layers, coarsest first.

        Raises:
            InputError: A picture is too small for them at the size of the result.
        """
        shapes = [PictureShape("photo", self.content.width, self.content.height)]
        return scales([*shapes, *(self.shapes if settings.style_term else [])], settings, layers)

    def at(self, scale: Scale, device: str, shared: Shared | None = None) -> ScaledInputs:
        """Return all inputs at a scale; a painting's long edge becomes the canvas', times its `factor`.

        The photo is scaled sharply (Lanczos), the paintings softly (linear): a sharpened painting makes the
        canvas grow a fine weave. Chosen by eye; see docs/decisions. Runs share them through `shared`.
        """
        shared = shared or Shared(0)
        return shared.get((self, scale, device), lambda: self._at(scale, device, shared), photo=True)

    def _at(self, scale: Scale, device: str, shared: Shared) -> ScaledInputs:
        width, height = scale.width, scale.height
        sizes = [shape.at(scale.long_edge) for shape in self.shapes]
        styles = [self._painting(number, size, device, shared) for number, size in enumerate(sizes)]
        scaled = ScaledInputs(
            content=self.content.tensor(width, height).to(device),
            styles=tuple(styles),
            shares=torch.tensor(self.shares, device=device),
            picture=None if self.start is None else self.start.tensor(width, height).to(device),
        )
        kept = None if self.protect is None else self.kept(width, height)
        if kept is None and all(use.plain and use.source_mask is None for use in self.uses):
            return scaled
        guides = masks.of_all([use.mask for use in self.uses], width, height)
        if kept is not None:  # what stays the photo takes no part in the style losses
            free = 1 - kept
            guides = [free if guide is None else guide * free for guide in guides]
        sources = [
            _source_guide(use.source_mask, size, device, shared)
            for use, size in zip(self.uses, sizes, strict=True)
        ]
        return replace(
            scaled,
            uses=self.uses,
            guides=tuple(None if guide is None else guide.to(device) for guide in guides),
            source_guides=tuple(sources),
            names=tuple(style.name for style in self.styles),
            kept=None if kept is None else kept.to(device),
        )

    def _painting(self, number: int, size: Scale, device: str, shared: Shared) -> Tensor:
        """Return what the network sees of a painting, (1, 3, h, w)."""
        style, move, factor = self.styles[number], self._moves[number], self.shapes[number].factor
        amount = None if move is None else self.recolor.amount
        soft = factor > 1 or self.recolor.softens
        return shared.get(
            ("painting", style, move, amount, size, factor, soft, device),
            lambda: self.recolor.seen(style, move, size.width, size.height, soft=soft).to(device),
        )

    def kept(self, width: int, height: int) -> Tensor:
        """Return how much of each pixel of the canvas stays the photo, (1, 1, height, width)."""
        if isinstance(self.protect, Mask):
            mask = masks.tensor(self.protect, width, height)
        else:
            mask = masks.left_by([use.mask for use in self.uses], width, height)
        return masks.feathered(mask, self.feather / 100 * max(width, height))

    def enlarged(self, canvas: Tensor, size: Scale) -> Tensor:
        """Return a draft (1, 3, h, w) at a size, (1, 3, H, W), with the photo's edges; see `enlarge`."""
        return enlarged(canvas, self.content, size.width, size.height)

    def picture(
        self, canvas: Tensor, size: Scale | None = None, *, gray: bool = False, draft: bool = False
    ) -> Picture:
        """Return a canvas (1, 3, H, W) as a picture, recolored, with the photo where it is protected.

        It is enlarged to a `size`, a `draft` by the photo. The channels of a `gray` one become the same to
        the last digit. It has the photo's transparency and metadata. As the network sees the photo on white,
        that white is taken out of the colors of half-transparent pixels; see docs/decisions.
        """
        if size is not None:
            canvas = self.enlarged(canvas, size) if draft else resize(canvas, size.height, size.width)
        height, width = canvas.shape[-2:]
        canvas = self.recolor.saved(canvas, self.content)
        canvas = grayed(canvas) if gray else canvas
        if self.protect is not None:
            photo, kept = self.content.tensor(width, height), self.kept(width, height)
            canvas = torch.lerp(canvas, photo.to(canvas), kept.to(canvas))
        alpha = self.content.alpha(width, height)
        return Picture.from_tensor(canvas, alpha=alpha, on_white=True, source=self.content)

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
        return tuple(
            record(style, weight, use)
            for (style, use), weight in zip(self._styles_and_uses(), self.weights, strict=True)
        )


def _source_guide(mask: Mask | None, size: Scale, device: str, shared: Shared) -> Tensor | None:
    """Return the mask of a painting, (1, 1, h, w)."""
    if mask is None:
        return None
    return shared.get(
        ("painting's mask", mask.picture, mask.color, size, device),
        lambda: masks.tensor(mask, size.width, size.height).to(device),
    )


def warn_about(inputs: Inputs, scale: Scale, layers: Sequence[str], shared: Shared) -> None:
    """Log warnings about layers and about small paintings, and how regions divide the photo.

    Runs that have `shared` in common log each message once.
    """

    def say(level: int, message: str) -> None:
        shared.get(("logged", message), partial(log.log, level, "%s", message))

    if message := unrectified(layers):
        say(logging.WARNING, message)
    for style, shape in zip(inputs.styles, inputs.shapes, strict=True):
        size = shape.at(scale.long_edge)
        factor = size.width / style.width
        painting = f"the painting {printable(style.name)} ({style.width} x {style.height} px) is"
        if shape.factor > 1 and factor > ENLARGED:
            say(
                logging.WARNING,
                f"{painting} enlarged {factor:.1f} times for strokes of this size; a larger file of it has "
                "finer ones",
            )
        if factor < 1 and min(size.width, size.height) < CARRIES:
            say(
                logging.WARNING,
                f"{painting} reduced to {size.width} x {size.height} px, too small to carry strokes; use a "
                "larger --size or --stroke, or crop it",
            )
    if any(use.mask is not None for use in inputs.uses):
        names = [style.name for style in inputs.styles]
        used = [use.mask for use in inputs.uses]
        say(NOTE, masks.summary(used, names, inputs.content, inputs.protect))


def record(picture: Picture, weight: float = 1.0, use: StyleUse | None = None) -> InputRecord:
    """Return what the recipe keeps of a picture, and of its weight and use as a painting; no folders."""
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
    if mask is None:
        return None
    return InputRecord(name=REST, sha256="", width=0, height=0, kind="rest")
