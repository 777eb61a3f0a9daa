"""The colors of the result: the paintings', or the photo's in one of three ways (`Recolor`).

`match` and `histogram` change the paintings that the network sees, `luminance` the result. All of it follows
from pictures and settings, so a run that is resumed or reproduced has the same colors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.config.settings import Color, Settings
from impasto.image.picture import Picture
from impasto.image.pixels import fit
from impasto.inputs.cielab import with_chroma
from impasto.inputs.color_matching import Move, Palette, histogram, matched, recolor
from impasto.inputs.pyramid import long_edge

MEASURED = 1024  # px; the largest long edge at which colors are measured
SOFT = "linear"  # the kernel that paintings are scaled with


@dataclass(frozen=True)
class Recolor:
    """How colors are changed; not at all where `mode` is `style` or `amount` 0.

    `amount` is the share of the photo's colors, 0 to 1. `edge` is the long edge, in pixels, at which colors
    are measured: the result's, so that at its size the painting has the photo's mean and covariance, at most
    `MEASURED`. `softens`: whether every painting is softened, not only those of large strokes.
    """

    mode: Color = "style"
    amount: float = 1.0
    edge: int = MEASURED
    softens: bool = False

    @classmethod
    def of(cls, settings: Settings, photo: Picture) -> "Recolor":
        """Return the change of colors of the settings."""
        edge = long_edge(photo.width, photo.height, settings)
        return cls(settings.color, settings.color_amount, min(edge, MEASURED), settings.convention == "mean")

    def moves(self, photo: Picture, paintings: Sequence[Picture]) -> tuple[Move | None, ...]:
        """Return the color map of each painting, the same at every scale; None: no change."""
        fitted = {"match": matched, "histogram": histogram}.get(self.mode)
        if fitted is None or not self.amount:
            return (None,) * len(paintings)
        goal = self._palette(photo, "lanczos3")
        return tuple(fitted(self._palette(painting, SOFT), goal) for painting in paintings)

    def _palette(self, picture: Picture, kernel: str) -> Palette:
        width, height = fit(picture.width, picture.height, self.edge)
        return Palette.of(picture.tensor(width, height, kernel), picture.alpha(width, height))

    def seen(
        self, painting: Picture, move: Move | None, width: int, height: int, *, soft: bool = False
    ) -> Tensor:
        """Return a painting as the network sees it, (1, 3, H, W), in [0, 1], at a size in pixels.

        `move` is its color map; `soft` softens it.
        """
        image = painting.tensor(width, height, kernel=SOFT)
        if soft:
            image = softened(image, width / painting.width)
        if move is None:
            return image
        return recolor(image, move, self.amount, painting.alpha(width, height))

    def saved(self, canvas: Tensor, photo: Picture) -> Tensor:
        """Return a canvas (1, 3, H, W) as it is saved; if it changes, a copy in float32 on the CPU."""
        if self.mode != "luminance" or not self.amount:
            return canvas
        height, width = canvas.shape[-2:]
        result = torch.empty(canvas.shape)
        for rows, part in photo.strips(width, height):
            painted = canvas[..., rows, :].detach().to("cpu", torch.float32)
            result[..., rows, :] = with_chroma(painted.clamp(0, 1), part, self.amount)
        return result


def softened(image: Tensor, factor: float) -> Tensor:
    """Return a painting (1, 3, H, W), scaled by `factor`, blurred as much as one scaled by 1/2.

    Halving removes the grain and the weave of a file; at a larger size they make the canvas grow dots and a
    weave. Variances of the blur in pixels of the file: 2/3 by halving (a triangle over four), 1/6 of a scaled
    pixel by any reduction; the rest is a filter with weights w, 1 - 2 w, w, of variance 2 w, along both axes.
    """
    missing = factor**2 * 2 / 3 - (1 / 6 if factor < 1 else 0.0)
    weight = min(0.25, missing / 2)
    if weight <= 0:
        return image
    for dim in (2, 3):
        before, after = image.narrow(dim, 0, 1), image.narrow(dim, image.shape[dim] - 1, 1)
        padded, count = torch.cat([before, image, after], dim), image.shape[dim]
        sides = padded.narrow(dim, 0, count) + padded.narrow(dim, 2, count)
        image = (1 - 2 * weight) * image + weight * sides
    return image


AS_PAINTED = Recolor()  # no change
