"""Guides: how much each position of a layer counts, from a mask of the picture.

Form: masks (1, 1, H, W) of the picture, guides (1, 1, h, w) at a layer's size, both in [0, 1].
"""

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional

from impasto.layers import stride
from impasto.tiles import Window

GRAM_PART = 16_384  # positions of features of which there are copies at a time


def at_layer(mask: Tensor, layer: str) -> Tensor:
    """Return a mask at a layer's size: of each position, the mean over the pixels it stands for."""
    cell = stride(layer)
    return mask if cell == 1 else functional.avg_pool2d(mask, cell)


def guide_in(guide: Tensor, window: Window | None) -> Tensor:
    """Return the part of a guide of the whole canvas that lies in a window."""
    return guide if window is None else guide[..., window.outer[0], window.outer[1]]


def roots_of(guide: Tensor, features: Tensor) -> Tensor:
    """Return the square roots of a guide in the features' precision: what both ways multiply by."""
    return guide.to(features.device, features.dtype).sqrt()


def bands(height: int, width: int) -> Iterator[slice]:
    """Yield rows, so many that of all their positions there can be a copy."""
    step = max(1, GRAM_PART // max(1, width))
    for start in range(0, height, step):
        yield slice(start, min(height, start + step))
