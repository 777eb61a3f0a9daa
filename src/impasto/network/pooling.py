"""Poolings of 2 x 2 with their ways back, and the largest layers, which never are in memory as a whole.

Form: `pooled(features (1, C, H, W), ...) -> (features (1, C, H // 2, W // 2), undo)`, all channels last;
`undo(gradient)` is the way back, and may change its gradient in place.

What a convolution right before max pooling gives is four times as large as what remains, and nobody asks for
it. So both are done a strip of rows at a time, there and back.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from impasto.network.convolution import Convolution
from impasto.network.vgg import pool

Undo = Callable[[Tensor], Tensor]
STRIP = 1_000_000  # values of the pooled layer in a strip, about
ROWS = 32  # at least, pooled: with fewer too much is computed twice
AROUND = 2  # rows around a strip that are computed with it, so that its edges are the whole's


def gate(rectified: Tensor) -> Undo:
    """Let the gradient through where the rectification did; in place, the gradient is ours."""

    def undo(gradient: Tensor) -> Tensor:
        torch.ops.aten.threshold_backward(gradient, rectified, 0, grad_input=gradient)
        return gradient

    return undo


def pooled(features: Tensor, pooling: str) -> tuple[Tensor, Undo]:
    """Pool features as they are: by `max`, `average` or `l2`."""
    shape = features.shape
    if pooling == "max":
        taken, places = functional.max_pool2d(features, 2, return_indices=True)
        kept = (places - _starts(places, shape[-1])).to(_places_kind(shape[-1]))
        return taken, lambda gradient: _unpooled(gradient, kept, shape)
    found = pool(features, "average" if pooling == "average" else "l2")
    if pooling == "average":
        return found, lambda gradient: _spread(gradient / 4, shape)

    def undo(gradient: Tensor) -> Tensor:
        height, width = found.shape[-2] * 2, found.shape[-1] * 2
        inner = _spread(gradient / (4 * found), shape)
        inner[..., :height, :width].mul_(features[..., :height, :width])
        return inner

    return found, undo


def _spread(gradient: Tensor, shape: torch.Size) -> Tensor:
    """Give each position's gradient to its four inputs."""
    found = gradient.new_zeros(shape).contiguous(memory_format=torch.channels_last)
    height, width = gradient.shape[-2] * 2, gradient.shape[-1] * 2
    for row in (0, 1):
        for column in (0, 1):
            found[..., row:height:2, column:width:2] = gradient
    return found


# --- max pooling with the convolution before it --------------------------------------------------


def convolved_and_pooled(
    convolution: Convolution, features: Tensor, *, keep: bool = True
) -> tuple[Tensor, Undo]:
    """Convolve (1, C, H, W), rectify and take the maximum; `undo`, if kept, goes back through all three."""
    shape, (height, width) = features.shape, features.shape[-2:]
    found = kept = features  # made with the first strip, which knows the channels
    for rows in _strips(features):
        first, last = 2 * rows.start, 2 * rows.stop
        top = max(0, first - AROUND)
        strip = convolution.forward(features[..., top : last + AROUND, :], rectify=True)
        strip = strip[..., first - top : last - top, :]
        if found is features:
            small = torch.Size((1, strip.shape[1], height // 2, width // 2))
            found = _empty(small, strip)
            kept = _empty(small, strip, _places_kind(width)) if keep else found
        if not keep:
            found[..., rows, :] = functional.max_pool2d(strip, 2)
            continue
        taken, places = functional.max_pool2d(strip, 2, return_indices=True)
        found[..., rows, :], kept[..., rows, :] = taken, places - _starts(places, width)
        del strip, taken, places

    def undo(gradient: Tensor) -> Tensor:
        gradient = gate(found)(gradient)
        back = _empty(shape, gradient)
        for rows in _strips(back):
            above, below = max(0, rows.start - AROUND // 2), rows.stop + AROUND // 2
            some = slice(above, below)
            tall = min(2 * below, height) if below < found.shape[-2] else height
            wide = torch.Size((1, found.shape[1], tall - 2 * above, width))
            strip = convolution.back(_unpooled(gradient[..., some, :], kept[..., some, :], wide))
            last = height if rows.stop == found.shape[-2] else 2 * rows.stop
            back[..., 2 * rows.start : last, :] = strip[
                ..., 2 * (rows.start - above) : last - 2 * above, :
            ]
        return back

    return found, undo


def _strips(features: Tensor) -> list[slice]:
    """Cut (1, C, H, W) into strips, given as rows of what it is pooled to."""
    _, channels, height, width = features.shape
    rows = height // 2
    step = max(ROWS, STRIP // (channels * max(1, width // 2)))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def _places_kind(width: int) -> torch.dtype:
    """Return the type that holds places of maxima, counted from the first of each two rows."""
    return torch.int16 if 2 * width < 2**15 else torch.int32


def _starts(places: Tensor, width: int) -> Tensor:
    rows = torch.arange(places.shape[-2], device=places.device)
    return (2 * width * rows).view(-1, 1)


def _unpooled(gradient: Tensor, kept: Tensor, shape: torch.Size) -> Tensor:
    """Write each value of the gradient to the place of its maximum, and 0 elsewhere, (1, C, H, W)."""
    found = _empty(shape, gradient)
    places = kept.long() + _starts(kept, shape[-1])
    args: Any = ([2, 2], [2, 2], [0, 0], [1, 1], False, places)
    torch.ops.aten.max_pool2d_with_indices_backward.grad_input(
        gradient, found, *args, grad_input=found
    )
    return found


def _empty(shape: torch.Size, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    kind = dtype or like.dtype
    return torch.empty(shape, dtype=kind, device=like.device, memory_format=torch.channels_last)
