"""The inputs of a run: opened once, scaled for each scale, recorded by hash.

Form: paths, bytes, arrays or pictures -> `Inputs` -> tensors (1, 3, h, w), sRGB-encoded, in [0, 1].
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from impasto.errors import InputError
from impasto.palette import Move
from impasto.picture import Picture, PictureLike
from impasto.pyramid import Scale, Shape, fit, scales
from impasto.recipe import InputRecord
from impasto.recolour import AS_PAINTED, Recolour
from impasto.settings import Settings, Style

StyleLike = PictureLike | Style


@dataclass(frozen=True, eq=False)
class Targets:
    """The inputs at one scale, each (1, 3, h, w) in [0, 1]."""

    content: Tensor
    styles: tuple[Tensor, ...]
    shares: Tensor
    picture: Tensor | None


@dataclass(frozen=True)
class Inputs:
    """The pictures of a run, `weights` of the styles as given; `start` only for `init="picture"`."""

    content: Picture
    styles: tuple[Picture, ...]
    weights: tuple[float, ...]
    start: Picture | None
    recolour: Recolour = AS_PAINTED

    @cached_property
    def _moves(self) -> tuple[Move | None, ...]:
        return self.recolour.moves(self.content, self.styles)

    @property
    def shares(self) -> tuple[float, ...]:
        """The styles' shares, which sum to one; to twelve digits, so that a common factor changes none."""
        largest = max(self.weights)  # first, as the sum could be too large for a number
        parts = [weight / largest for weight in self.weights]
        return tuple(float(f"{part / math.fsum(parts):.12g}") for part in parts)

    @property
    def held_bytes(self) -> int:
        """Bytes of memory that the opened pictures take."""
        pictures = {self.content, *self.styles, *([self.start] if self.start else [])}
        return sum(picture.held_bytes for picture in pictures)

    def scales(self, settings: Settings, layers: Iterable[str]) -> tuple[Scale, ...]:
        """Return the schedule, or refuse pictures that are too small before the network is loaded."""
        styles = [Shape(f"style {item.name}", item.width, item.height) for item in self.styles]
        shapes = [Shape("photo", self.content.width, self.content.height)]
        return scales([*shapes, *(styles if settings.style_term else [])], settings, layers)

    def tensors(self, scale: Scale, device: str) -> Targets:
        """Scale every input; a painting's long edge becomes the canvas'.

        The photo is scaled sharply (Lanczos), the painting softly (linear): a sharpened painting makes the
        canvas grow a fine weave. Chosen by eye; see docs/decisions.
        """
        sizes = [fit(style.width, style.height, scale.long_edge) for style in self.styles]
        styles = zip(self.styles, self._moves, sizes, strict=True)
        seen = [self.recolour.seen(style, move, *shape) for style, move, shape in styles]
        size = (scale.width, scale.height)
        return Targets(
            self.content.tensor(*size).to(device),
            tuple(style.to(device) for style in seen),
            torch.tensor(self.shares, device=device),
            None if self.start is None else self.start.tensor(*size).to(device),
        )

    def picture(self, canvas: Tensor) -> Picture:
        """Return the canvas in its colours, with the photo's transparency and what its file says."""
        height, width = canvas.shape[-2:]
        canvas = self.recolour.saved(canvas, self.content)
        alpha = self.content.alpha(width, height)
        return Picture.from_tensor(canvas, alpha=alpha, source=self.content)


def open_inputs(
    content: PictureLike,
    style: StyleLike | Sequence[StyleLike],
    settings: Settings,
    start: PictureLike | None,
) -> Inputs:
    """Open everything that goes in, before anything is computed.

    Raises:
        InputError: A picture cannot be read, or styles or start are missing.
    """
    listed = list(style) if isinstance(style, (list, tuple)) else [style]
    styles = [item if isinstance(item, Style) else Style(item) for item in listed]
    if not styles:
        raise InputError("no painting given; name at least one style picture")
    if max(item.weight for item in styles) <= 0:
        raise InputError("style weight: at least one style needs a weight above 0")
    if settings.init == "picture" and start is None:
        raise InputError("init: 'picture' needs the picture to start from (--init-picture FILE)")
    photo = Picture.of(content)
    return Inputs(
        photo,
        tuple(Picture.of(item.picture) for item in styles),
        tuple(item.weight for item in styles),
        Picture.of(start) if start is not None and settings.init == "picture" else None,
        Recolour.of(settings, photo),
    )


def record(picture: Picture, weight: float = 1.0) -> InputRecord:
    """Return what the recipe keeps of an input: no folder, but the hash of its bytes."""
    return InputRecord(
        name=picture.name,
        sha256=picture.sha256,
        width=picture.width,
        height=picture.height,
        weight=weight,
        kind=picture.kind,
        bytes=picture.file_bytes,
    )
