"""3 x 3 convolutions with fixed kernels, and their backward pass without autograd; all is channels last.

`forward(x (1, C, H, W)) -> (1, D, H, W)`, rectified or not, and `backward(gradient (1, D, H, W)) ->
(1, C, H, W)`, the adjoint of the linear part of `forward`: the gradient for its input.

`Direct` is torch's own convolution; its backward pass is one with the kernels rotated. `Fused` is the same on
the CPU with the rectification in the same step, and kernels arranged once. `Winograd` computes
the same on the CPU with 36 products instead of 144 (Lavin and Gray 2015, F(4 x 4, 3 x 3)), a few rows at a
time, so that its intermediate results stay in the cache. Its rounding error is about three times that of
`Direct`: in fp32 under 1e-5 of the largest value; in bf16, on VGG-19's features, 0.6 to 0.9 % in the root
mean square, for `Direct` 0.2 to 0.3.
"""

import functools
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Padding = Literal["zero", "reflect", "replicate"]


class Direct:
    """torch's convolution, in the number format of weight (D, C, 3, 3) and bias (D,), on their device."""

    def __init__(self, weight: Tensor, bias: Tensor, padding: Padding) -> None:
        self._weight = weight.contiguous(memory_format=torch.channels_last)
        rotated = weight.flip(2, 3).transpose(0, 1)
        self._rotated = rotated.contiguous(memory_format=torch.channels_last)
        self._bias, self._padding = bias, padding

    def forward(self, x: Tensor, *, rectify: bool) -> Tensor:
        """Return the convolution, (1, D, H, W)."""
        if self._padding == "zero":
            result = functional.conv2d(x, self._weight, self._bias, padding=1)
        else:
            result = functional.conv2d(pad(x, self._padding), self._weight, self._bias)
        return result.relu_() if rectify else result

    def backward(self, gradient: Tensor) -> Tensor:
        """Return the gradient for the input, (1, C, H, W)."""
        if self._padding == "zero":
            return functional.conv2d(gradient, self._rotated, padding=1)
        return fold(functional.conv2d(gradient, self._rotated, padding=2), self._padding)


class Fused:
    """`Direct` and the rectification in one step of oneDNN, on the CPU, where `can_fuse` allows it.

    The operators are torch's own for compiled networks, not public.
    """

    def __init__(self, weight: Tensor, bias: Tensor, padding: Padding) -> None:
        self._bias, self._padding = bias, padding
        self._kernels = _arranged(weight)
        self._rotated = _arranged(weight.flip(2, 3).transpose(0, 1).contiguous())

    def forward(self, x: Tensor, *, rectify: bool) -> Tensor:
        """Return the convolution, (1, D, H, W)."""
        border = 1 if self._padding == "zero" else 0
        x = x if border else pad(x, self._padding)
        return _convolved(x, self._kernels, self._bias, border, "relu" if rectify else "none")

    def backward(self, gradient: Tensor) -> Tensor:
        """Return the gradient for the input, (1, C, H, W)."""
        if self._padding == "zero":
            return _convolved(gradient, self._rotated, None, 1, "none")
        return fold(_convolved(gradient, self._rotated, None, 2, "none"), self._padding)


@functools.cache
def can_fuse(dtype: torch.dtype) -> bool:
    """Whether `Fused` computes what `Direct` does, in a number format on this machine; tried once."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(16, 8, 3, 3, generator=generator).to(dtype)
    bias, x = weight[:, 0, 0, 0].clone(), torch.randn(1, 8, 5, 7, generator=generator).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    plain = Direct(weight, bias, "zero")
    try:
        fused = Fused(weight, bias, "zero")
        pairs = [(one.forward(x, rectify=True), one.backward(one.forward(x, rectify=False)))
                 for one in (plain, fused)]  # fmt: skip
    except (RuntimeError, AttributeError, TypeError, NotImplementedError):  # of another torch, or processor
        return False
    close = 0.02 if dtype == torch.bfloat16 else 1e-5
    return all(
        other.is_contiguous(memory_format=torch.channels_last)
        and bool((one.float() - other.float()).norm() <= close * one.float().norm())
        for one, other in zip(*pairs, strict=True)
    )


def _arranged(weight: Tensor) -> Tensor:
    """Return kernels (D, C, 3, 3) in oneDNN's own order."""
    ones = [1, 1]
    arranged: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, ones, ones, ones, 1, None)
    return arranged


def _convolved(x: Tensor, kernels: Tensor, bias: Tensor | None, border: int, after: str) -> Tensor:
    ones, borders = [1, 1], [border, border]
    result: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, kernels, bias, borders, ones, ones, 1, after, [], ""
    )
    return result


def pad(x: Tensor, padding: Padding) -> Tensor:
    """Surround (1, C, H, W) with one position: zeros, a reflection, or copies of the edge.

    An edge of one position cannot be reflected and is copied.
    """
    if padding == "zero":
        return functional.pad(x, (1, 1, 1, 1))
    height, width = x.shape[-2:]
    for edges, length in (((1, 1, 0, 0), width), ((0, 0, 1, 1), height)):
        x = functional.pad(x, edges, mode=_mode(padding, length))
    return x


def fold(gradient: Tensor, padding: Padding) -> Tensor:
    """Return the adjoint of `pad`, (1, C, H + 2, W + 2) -> (1, C, H, W); the gradient is changed in place."""
    for axis in (2, 3):
        length = gradient.shape[axis] - 2
        inner = gradient.narrow(axis, 1, length)
        if padding != "zero":
            source = 1 if _mode(padding, length) == "reflect" else 0
            inner.narrow(axis, source, 1).add_(gradient.narrow(axis, 0, 1))
            inner.narrow(axis, length - 1 - source, 1).add_(gradient.narrow(axis, length + 1, 1))
        gradient = inner
    return gradient


def _mode(padding: Padding, length: int) -> str:
    return "reflect" if padding == "reflect" and length > 1 else "replicate"
