"""Losses on the canvas alone: `TotalVariation` and `Grain`, fine detail beyond the paintings'.

`Grain` reads the high frequencies H of three opponent colors: each minus a smooth copy. r is the fourth root
of the mean of H^4 in the canvas, r' the largest of the paintings, and the loss the sum over colors of
a (max(0, r - b r'))^2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from impasto.config.conventions import Variation
from impasto.losses.loss import Features, Statistics, Windows, scalar_like, window_of
from impasto.network.tiles import IMAGE, Window

FAINT = 1 / 2550  # a tenth of a step of 8 bits; a shorter difference counts by its square
# A maximally flat half-band filter: its response is 1 at 0, 1/2 at half Nyquist and 0 at Nyquist.
TAPS = tuple(tap / 32 for tap in (-1, 0, 9, 16, 9, 0, -1))
AROUND = len(TAPS) // 2  # pixels that it reads to each side
GRAIN = 1e8  # what the squares are multiplied by, so that a weight of 1 has a visible effect; by eye
LEAST = 1e-24  # added to a mean of fourth powers, so that its root has a finite slope
COUNTS = (1.0, 4.0, 4.0)  # a of each opponent color; specks of color are seen most
KEPT = (1.0, 0.6, 0.6)  # b: the share of the paintings' r' that is left to the canvas; by eye


def total_variation(image: Tensor) -> Tensor:
    """Return the mean over pixels of dx^2 + dy^2, differences of neighbors, a scalar.

    The image is (B, 3, H, W) in [0, 1]. The mean is over all B * 3 * H * W values, so that the size of the
    picture does not change what a weight means.

    Source: the smoother of Mahendran and Vedaldi 2015 with beta = 2; Gatys et al. do without one.
    """
    across = (image[..., :, 1:] - image[..., :, :-1]).square().sum()
    down = (image[..., 1:, :] - image[..., :-1, :]).square().sum()
    return (across + down) / image.numel()


@dataclass(frozen=True)
class TotalVariation:
    """The differences of neighboring pixels, in one of the forms of `conventions.variation_form`.

    All of them have finite gradients where neighbors are equal: |d| has 0 there, and so has (d^2)^1.25.
    """

    weight: float
    name: str = "total_variation"
    layers: tuple[str, ...] = ()
    additive: bool = True
    form: Variation = "mean_squares"
    factor: float = 1.0

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum, number of values) for each mean that `value` takes, or (sum,) for a sum.

        Differences to the right and lower neighbor, which may lie in the halo of a tile.
        """
        image, window = features[IMAGE], window_of(IMAGE, windows)
        if window is None and self.form == "mean_squares":
            return total_variation(image) * image.numel(), _number(image)
        here, across, down = _differences(image, window)
        if self.form == "mean_squares":
            return across.square().sum() + down.square().sum(), _number(here)
        if self.form == "mean_absolute":
            return across.abs().sum(), _number(across), down.abs().sum(), _number(down)
        if self.form == "mean_steps":
            return across.abs().sum() + down.abs().sum(), _number(here)
        if self.form == "mean_length":
            across = pad(across, (0, here.shape[-1] - across.shape[-1]))  # no step over the frame
            down = pad(down, (0, 0, 0, here.shape[-2] - down.shape[-2]))
            lengths = (across.square() + down.square() + FAINT**2).sqrt() - FAINT
            return lengths.sum(), _number(here)
        # The corners: positions that have both neighbors.
        squares = across[..., : down.shape[-2], :].square() + down[..., : across.shape[-1]].square()
        return ((squares if self.form == "corner_squares" else squares.pow(1.25)).sum(),)

    def value(self, statistics: Statistics) -> Tensor:
        """Return the sum of the means, or the sum of a form that is one, times the factor."""
        if self.form == "mean_absolute":
            across, columns, down, rows = statistics
            # A single row or column has no neighbors: its mean is 0, not 0/0.
            return (across / columns.clamp(min=1) + down / rows.clamp(min=1)) * self.factor
        if self.form in ("mean_squares", "mean_steps", "mean_length"):
            return statistics[0] / statistics[1] * self.factor
        return statistics[0] * self.factor


def _number(values: Tensor) -> Tensor:
    return scalar_like(values, values.numel())


def _differences(image: Tensor, window: Window | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the window's pixels and their differences to the right and the lower neighbor."""
    whole = (slice(0, image.shape[-2]), slice(0, image.shape[-1]))
    rows, columns = whole if window is None else window.inner
    here = image[..., rows, columns]
    right = image[..., rows, columns.start + 1 : columns.stop + 1]
    below = image[..., rows.start + 1 : rows.stop + 1, columns]
    return here, right - here[..., : right.shape[-1]], below - here[..., : below.shape[-2], :]


def fine_detail(image: Tensor, beyond: Sequence[int] = (AROUND,) * 4) -> Tensor:
    """Return the high frequencies H of an image (1, 3, H, W); empty where it is too small to be mirrored.

    The image has the pixels that the filter reads, `AROUND` more on each side than the result, except those
    beyond the picture's edges: `beyond` says how many are added by mirroring at the left, right, top and
    bottom; 0 to 3 each.
    """
    if min(image.shape[-2:]) <= AROUND:
        return image.new_zeros((1, 3, 0, 0))
    image = pad(image, tuple(beyond), mode="reflect")
    taps = _taps(image.dtype, image.device).expand(3, 1, 1, -1)
    smooth = conv2d(conv2d(image, taps, groups=3), taps.mT, groups=3)
    return image[..., AROUND:-AROUND, AROUND:-AROUND] - smooth


@cache
def _taps(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return `TAPS`, (7,); copied to a device once, as the host waits for that."""
    return torch.tensor(TAPS, dtype=dtype, device=device)


def opponents(image: Tensor) -> Tensor:
    """Return luminance and two differences of colors, Y, (R - G)/2 and (2B - R - G)/4, of (1, 3, H, W)."""
    red, green, blue = image.unbind(1)
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([light, (red - green) / 2, (2 * blue - red - green) / 4], dim=1)


def grain_of(images: Sequence[Tensor]) -> tuple[float, ...]:
    """Return r', for each opponent color the largest fourth-power mean of H among images (1, 3, H, W)."""
    details = [fine_detail(opponents(image)) for image in images]
    means = [h.square().square().mean((0, 2, 3)).pow(0.25) for h in details if h.numel()]
    return tuple(map(max, zip(*(mean.tolist() for mean in means), strict=True))) if means else (0.0,) * 3


@dataclass(frozen=True)
class Grain:
    """Fine detail beyond that of the paintings, in opponent colors.

    `allowed` has r' of each, `size` is the canvas' (H, W). A fourth power counts a few strong specks for more
    than the same energy in faint grain everywhere.
    """

    weight: float
    allowed: tuple[float, ...]
    size: tuple[int, int]
    name: str = "grain"
    layers: tuple[str, ...] = ()
    additive: bool = True
    reach: int = AROUND
    factor: float = 1.0

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sums of H^4 over the window, (3,),)."""
        image, window = features[IMAGE], window_of(IMAGE, windows)
        if window is None:
            return (self._sums(image),)
        read, beyond = [], []
        for inner, outer, length in zip(window.inner, window.outer, self.size, strict=True):
            first, last = outer.start - AROUND, outer.stop + AROUND
            offset = outer.start - inner.start
            read.append(slice(max(0, first) - offset, min(length, last) - offset))
            beyond.append((max(0, -first), max(0, last - length)))
        return (self._sums(image[..., read[0], read[1]], (*beyond[1], *beyond[0])),)

    def value(self, statistics: Statistics) -> Tensor:
        """Return the sum over colors of a (r - b r')^2 where r is above b r', times the factor."""
        rough = (statistics[0] / (self.size[0] * self.size[1]) + LEAST).pow(0.25)
        limits = [kept * most for kept, most in zip(KEPT, self.allowed, strict=True)]
        above = [(r - limit).clamp(min=0) for r, limit in zip(rough.unbind(), limits, strict=True)]
        counted = [count * one.square() for count, one in zip(COUNTS, above, strict=True)]
        return torch.stack(counted).sum() * self.factor

    @staticmethod
    def _sums(image: Tensor, beyond: Sequence[int] = (AROUND,) * 4) -> Tensor:
        return fine_detail(opponents(image), beyond).square().square().sum((0, 2, 3))
