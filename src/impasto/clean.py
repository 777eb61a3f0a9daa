"""A guard against grain: what a canvas has of fine detail beyond what its inputs have.

The form is that of `losses`. H(x) is x less its smooth part, by a half-band filter of seven taps in each
direction: it holds what lies above half the Nyquist frequency along rows or columns. With r the root mean
square of H over all pixels, and r' the largest of photo and paintings: (r - r')^2 where r > r', else 0. So
grain is taken away down to what the inputs have, and brush strokes that are no finer than the painting's are
left alone, which is what smoothness (`TotalVariation`) cannot do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from impasto.losses import Features, Statistics, Windows
from impasto.tiles import IMAGE

# A maximally flat half-band filter: its response is 1 at 0, 1/2 at half Nyquist and 0 at Nyquist.
TAPS = tuple(tap / 32 for tap in (-1, 0, 9, 16, 9, 0, -1))
AROUND = len(TAPS) // 2  # pixels that it reads to each side
GRAIN = 1e10  # what the square is multiplied by, so that a weight of 1 does what it should; chosen by eye
LEAST = 1e-12  # added to a mean square, so that its root has a slope


def fine_detail(image: Tensor, beyond: Sequence[int] = (AROUND,) * 4) -> Tensor:
    """Return H of an image (1, 3, H, W), mirrored at its edges; empty where it is too small for that.

    Args:
        image: All that the filter is to see, but for what lies beyond the picture's edges.
        beyond: How many pixels of what it sees do, to the left, right, top and bottom; 0 to 3 each.
    """
    if min(image.shape[-2:]) <= AROUND:
        return image.new_zeros((1, 3, 0, 0))
    image = pad(image, tuple(beyond), mode="reflect")
    taps = torch.tensor(TAPS, dtype=image.dtype, device=image.device).expand(3, 1, 1, -1)
    smooth = conv2d(conv2d(image, taps, groups=3), taps.mT, groups=3)
    return image[..., AROUND:-AROUND, AROUND:-AROUND] - smooth


def grain_of(images: Sequence[Tensor]) -> float:
    """Return r', the largest root mean square of H among images (1, 3, H, W) in [0, 1]."""
    found = [fine_detail(image) for image in images]
    return max((float(part.square().mean().sqrt()) for part in found if part.numel()), default=0.0)


@dataclass(frozen=True)
class Grain:
    """Fine detail beyond that of the inputs; `allowed` is r', `size` the canvas' (H, W)."""

    weight: float
    allowed: float
    size: tuple[int, int]
    name: str = "grain"
    layers: tuple[str, ...] = ()
    additive: bool = True
    reach: int = AROUND
    factor: float = 1.0

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum of H^2 over the window,)."""
        image, window = features[IMAGE], windows.get(IMAGE) if windows else None
        if window is None:
            return (fine_detail(image).square().sum(),)
        read, beyond = [], []
        for inner, outer, length in zip(window.inner, window.outer, self.size, strict=True):
            first, last = outer.start - AROUND, outer.stop + AROUND
            offset = outer.start - inner.start
            read.append(slice(max(0, first) - offset, min(length, last) - offset))
            beyond.append((max(0, -first), max(0, last - length)))
        part = image[..., read[0], read[1]]
        return (fine_detail(part, (*beyond[1], *beyond[0])).square().sum(),)

    def value(self, statistics: Statistics) -> Tensor:
        """Return (r - r')^2 where r is above r', else 0, times the factor."""
        mean = statistics[0] / (3 * self.size[0] * self.size[1])
        return ((mean + LEAST).sqrt() - self.allowed).clamp(min=0).square() * self.factor
