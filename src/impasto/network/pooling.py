"""2 x 2 pooling and its backward pass, alone or with the convolution before it.

`pooled(features (1, C, H, W), ..., size) -> (features (1, C, h, w), undo)`, all channels last. `size` is
(h, w), half of H and W, rounded up where a window that reaches over the border counts, else down. `undo` is
the backward pass: gradient for the output -> gradient for the input. It may change its argument in place.

The output of a convolution right before max pooling is four times as large as the pooled layer, and not used
elsewhere. So both are computed a strip of rows at a time, forward and backward.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from impasto.network.vgg import inside, pool
from impasto.network.winograd import Convolution

Undo = Callable[[Tensor], Tensor]
STRIP = 1_000_000  # values of the pooled layer in a strip, about; its convolution fits into a CPU's cache
STRIP_OF_DEVICE = 16_000_000  # likewise; small kernels leave a GPU idle, and here only memory counts
ROWS = 32  # the fewest rows of the pooled layer in a strip: with fewer too much is computed twice
AROUND = 2  # rows around a strip that are computed with it, so that its edges are exact


def gate(rectified: Tensor) -> Undo:
    """Return the backward pass of a rectification from its output; it changes the gradient in place."""

    def undo(gradient: Tensor) -> Tensor:
        torch.ops.aten.threshold_backward(gradient, rectified, 0, grad_input=gradient)
        return gradient

    return undo


def pooled(features: Tensor, pooling: str, size: tuple[int, int]) -> tuple[Tensor, Undo]:
    """Pool features (1, C, H, W) by `max`, `average` or `l2`; return the result and `undo`."""
    shape = features.shape
    if pooling == "max":
        return _maxima(features, size)
    result = pool(features, "average" if pooling == "average" else "l2", size)
    if pooling == "average":
        return result, lambda gradient: _spread(gradient, shape)

    def undo(gradient: Tensor) -> Tensor:
        height, width = result.shape[-2] * 2, result.shape[-1] * 2
        inner = _spread(gradient / result, shape)
        inner[..., :height, :width].mul_(features[..., :height, :width])
        return inner

    return result, undo


def _maxima(features: Tensor, size: tuple[int, int]) -> tuple[Tensor, Undo]:
    """Pool by `max`, a strip of rows at a time, as the places of maxima take 8 bytes each."""
    shape, down, small = features.shape, size[0], torch.Size((*features.shape[:2], *size))
    result, kept = _empty(small, features), _empty(small, features, _places_kind(shape[-1]))
    strips = _strips(shape, down, features.device)
    features = inside(features, size)
    for rows in strips:
        strip = features[..., 2 * rows.start : 2 * rows.stop, :]
        result[..., rows, :], kept[..., rows, :] = _largest(strip)

    def undo(gradient: Tensor) -> Tensor:
        input_gradient = _empty(shape, gradient)
        for rows in strips:
            last = shape[-2] if rows.stop == down else 2 * rows.stop
            part = input_gradient[..., 2 * rows.start : last, :]
            part.copy_(_unpooled(gradient[..., rows, :], kept[..., rows, :], part.shape))
        return input_gradient

    return result, undo


def _spread(gradient: Tensor, shape: torch.Size) -> Tensor:
    """Return the gradient for the inputs (1, C, H, W) of means, from that for the means."""
    spread = gradient.new_zeros(shape).contiguous(memory_format=torch.channels_last)
    height, width = gradient.shape[-2] * 2, gradient.shape[-1] * 2
    gradient = gradient / 4
    if height > shape[-2]:  # the mean of two or one
        gradient[..., -1:, :] *= 2
    if width > shape[-1]:
        gradient[..., -1:] *= 2
    for row in (0, 1):
        for column in (0, 1):
            part = spread[..., row:height:2, column:width:2]
            part.copy_(gradient[..., : part.shape[-2], : part.shape[-1]])
    return spread


def convolved_and_pooled(
    convolution: Convolution, features: Tensor, size: tuple[int, int], *, keep: bool = True
) -> tuple[Tensor, Undo]:
    """Convolve (1, C, H, W), rectify and take the maximum; `undo`, usable if `keep`, is of all three."""
    shape, (height, width), down = features.shape, features.shape[-2:], size[0]
    result = kept = features  # replaced at the first strip, which has the number of channels
    for rows in _strips(shape, down, features.device):
        first, last = 2 * rows.start, 2 * rows.stop
        top = max(0, first - AROUND)
        strip = convolution.forward(features[..., top : last + AROUND, :], rectify=True)
        strip = strip[..., first - top : last - top, : 2 * size[1]]
        if result is features:
            small = torch.Size((1, strip.shape[1], *size))
            result = _empty(small, strip)
            kept = _empty(small, strip, _places_kind(width)) if keep else result
        if not keep:
            result[..., rows, :] = functional.max_pool2d(strip, 2, ceil_mode=True)
            continue
        result[..., rows, :], kept[..., rows, :] = _largest(strip)
        del strip

    def undo(gradient: Tensor) -> Tensor:
        gradient = gate(result)(gradient)
        input_gradient = _empty(shape, gradient)
        for rows in _strips(shape, down, features.device):
            above, below = max(0, rows.start - AROUND // 2), rows.stop + AROUND // 2
            some = slice(above, below)
            tall = min(2 * below, height) if below < result.shape[-2] else height
            wide = torch.Size((1, result.shape[1], tall - 2 * above, width))
            strip = convolution.backward(_unpooled(gradient[..., some, :], kept[..., some, :], wide))
            last = height if rows.stop == result.shape[-2] else 2 * rows.stop
            input_gradient[..., 2 * rows.start : last, :] = strip[
                ..., 2 * (rows.start - above) : last - 2 * above, :
            ]
        return input_gradient

    return result, undo


def _largest(strip: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maxima of a strip (1, C, h, W) and their places, from the first of each two rows on."""
    values, places = functional.max_pool2d(strip, 2, ceil_mode=True, return_indices=True)
    return values, places - _starts(places, strip.shape[-1])


def _strips(shape: torch.Size, rows: int, device: torch.device) -> list[slice]:
    """Return strips of (1, C, H, W) as rows of the pooled layer, which has so many."""
    _, channels, _, width = shape
    values = STRIP if device.type == "cpu" else STRIP_OF_DEVICE
    step = max(ROWS, values // (channels * max(1, width // 2)))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def _places_kind(width: int) -> torch.dtype:
    """Return the smallest type for places of maxima, counted from the first of each two rows."""
    return torch.int16 if 2 * width < 2**15 else torch.int32


def _starts(places: Tensor, width: int) -> Tensor:
    rows = torch.arange(places.shape[-2], device=places.device)
    return (2 * width * rows).view(-1, 1)


def _unpooled(gradient: Tensor, kept: Tensor, shape: torch.Size) -> Tensor:
    """Write each value of the gradient to the place of its maximum, and 0 elsewhere, (1, C, H, W)."""
    down, across = (min(n, 2 * small) for n, small in zip(shape[-2:], gradient.shape[-2:], strict=True))
    result = _empty(torch.Size((*shape[:2], down, across)), gradient)
    places = kept.long() + _starts(kept, across)
    torch.ops.aten.max_pool2d_with_indices_backward.grad_input(  # kernel, stride, padding, dilation, ceil
        gradient, result, [2, 2], [2, 2], [0, 0], [1, 1], True, places, grad_input=result
    )
    if result.shape == shape:
        return result
    return functional.pad(result, (0, shape[-1] - across, 0, shape[-2] - down))  # what no window sees


def _empty(shape: torch.Size, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    kind = dtype or like.dtype
    return torch.empty(shape, dtype=kind, device=like.device, memory_format=torch.channels_last)
