"""Convolutions of 3 x 3 with fixed kernels, and their way back without autograd; all is channels last.

Form: `forward(x (1, C, H, W)) -> (1, D, H, W)`, rectified where asked for, and `back(gradient (1, D, H, W))
-> (1, C, H, W)`, which is the adjoint of `forward`'s linear part: the gradient for its input.

`Direct` is torch's own convolution, and for the way back one with the kernels rotated. `Winograd` computes
the same in fp32 with 36 products for what takes 144 (Lavin and Gray 2015, F(4 x 4, 3 x 3)), a few rows at a
time, so that what it works on stays in the processor's cache. Its rounding is about five times that of the
direct way: under 1e-5 of the largest value.
"""

from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

Padding = Literal["zero", "reflect", "replicate"]

# Lavin and Gray 2015, section 4.3: Y = A^T [(G g G^T) * (B^T d B)] A, tiles d of 6 x 6 and Y of 4 x 4.
_BT = (
    (4.0, 0.0, -5.0, 0.0, 1.0, 0.0),
    (0.0, -4.0, -4.0, 1.0, 1.0, 0.0),
    (0.0, 4.0, -4.0, -1.0, 1.0, 0.0),
    (0.0, -2.0, -1.0, 2.0, 1.0, 0.0),
    (0.0, 2.0, -1.0, -2.0, 1.0, 0.0),
    (0.0, 4.0, 0.0, -5.0, 0.0, 1.0),
)
_G = (
    (1 / 4, 0.0, 0.0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0.0, 0.0, 1.0),
)
_AT = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, 1.0, -1.0, 2.0, -2.0, 0.0),
    (0.0, 1.0, 1.0, 4.0, 4.0, 0.0),
    (0.0, 1.0, -1.0, 8.0, -8.0, 1.0),
)
STRIP = 65_536  # values of one channel's tiles that go through Winograd at a time, about; measured


class Convolution(Protocol):
    """What both ways offer."""

    def forward(self, x: Tensor, *, rectify: bool) -> Tensor:
        """Return the convolution of (1, C, H, W), padded so that H and W stay, rectified if asked for."""

    def back(self, gradient: Tensor) -> Tensor:
        """Return the gradient for the input from that for the (unrectified) output."""


# --- torch's own ---------------------------------------------------------------------------------


class Direct:
    """torch's convolution, in the kernels' number format, on their device.

    Args:
        weight: (D, C, 3, 3).
        bias: (D,).
        padding: What lies around the picture.
    """

    def __init__(self, weight: Tensor, bias: Tensor, padding: Padding) -> None:
        self._weight = weight.contiguous(memory_format=torch.channels_last)
        turned = weight.flip(2, 3).transpose(0, 1)
        self._rotated = turned.contiguous(memory_format=torch.channels_last)
        self._bias, self._padding = bias, padding

    def forward(self, x: Tensor, *, rectify: bool) -> Tensor:
        """Return the convolution, (1, D, H, W)."""
        if self._padding == "zero":
            found = functional.conv2d(x, self._weight, self._bias, padding=1)
        else:
            found = functional.conv2d(pad(x, self._padding), self._weight, self._bias)
        return found.relu_() if rectify else found

    def back(self, gradient: Tensor) -> Tensor:
        """Return the gradient for the input, (1, C, H, W)."""
        if self._padding == "zero":
            return functional.conv2d(gradient, self._rotated, padding=1)
        return fold(functional.conv2d(gradient, self._rotated, padding=2), self._padding)


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
    """Return the adjoint of `pad`, (1, C, H + 2, W + 2) -> (1, C, H, W): what was copied comes back."""
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


# --- Winograd ------------------------------------------------------------------------------------


class Winograd:
    """The same in fp32 on the CPU, channels last; see the module's text.

    Args:
        weight: (D, C, 3, 3), float32.
        bias: (D,).
        padding: What lies around the picture.
    """

    def __init__(self, weight: Tensor, bias: Tensor, padding: Padding) -> None:
        self._bias, self._padding = bias, padding
        outgoing, incoming = weight.shape[:2]
        spread = _square(_G, torch.float32)  # (36, 9)
        flat = weight.permute(2, 3, 1, 0).reshape(9, -1)
        self._kernels = (spread @ flat).view(36, incoming, outgoing)
        self._enter = _square(_BT, torch.float32)  # (36, 36)
        self._leave = _square(_AT, torch.float32)  # (16, 36)

    def forward(self, x: Tensor, *, rectify: bool) -> Tensor:
        """Return the convolution, (1, D, H, W), channels last."""
        if self._padding != "zero":
            x = pad(x, self._padding)
        border = 1 if self._padding == "zero" else 0
        source = _rows(x)
        height, width = source.shape[0] - 2 + 2 * border, source.shape[1] - 2 + 2 * border
        incoming, outgoing = self._kernels.shape[1:]
        found = torch.empty(height, width, outgoing)
        across = -(-width // 4)
        for top, down in _strips(height, across, max(incoming, outgoing)):
            strip = _strip(source, top - border, border, (4 * down + 2, 4 * across + 2))
            cells = _cells(strip, (6, 6), (down, across)).reshape(36, -1)
            entered = torch.mm(self._enter, cells).view(36, -1, incoming)
            product = torch.bmm(entered, self._kernels).view(36, -1)
            left = torch.mm(self._leave, product).view(4, 4, down, across, outgoing)
            joined = left.permute(2, 0, 3, 1, 4).reshape(4 * down, 4 * across, outgoing)
            target = found[top : top + 4 * down]
            torch.add(joined[: target.shape[0], :width], self._bias, out=target)
            if rectify:
                target.relu_()
        return _picture(found)

    def back(self, gradient: Tensor) -> Tensor:
        """Return the gradient for the input, (1, C, H, W), channels last: every step's adjoint."""
        source = _rows(gradient)
        height, width, outgoing = source.shape
        incoming = self._kernels.shape[1]
        across = -(-width // 4)
        turned = self._kernels.transpose(1, 2)
        border = 1 if self._padding == "zero" else 0  # what came from zeros need not be known
        found = torch.zeros(height + 2 - 2 * border, width + 2 - 2 * border, incoming)
        for top, down in _strips(height, across, max(incoming, outgoing)):
            strip = _strip(source, top, 0, (4 * down, 4 * across))
            cells = _cells(strip, (4, 4), (down, across)).reshape(16, -1)
            entered = torch.mm(self._leave.t(), cells).view(36, -1, outgoing)
            product = torch.bmm(entered, turned).view(36, -1)
            left = torch.mm(self._enter.t(), product).view(6, 6, down, across, incoming)
            joined = _overlapped(left)[:, border : border + found.shape[1]]
            first, last = max(0, top - border), min(found.shape[0], top - border + 4 * down + 2)
            found[first:last].add_(joined[first - top + border : last - top + border])
        return _picture(found) if border else fold(_picture(found), self._padding)


def _square(matrix: tuple[tuple[float, ...], ...], dtype: torch.dtype) -> Tensor:
    """Return the matrix that does to both edges of a tile at once what the matrix does to one."""
    one = torch.tensor(matrix, dtype=torch.float64)
    return torch.kron(one, one).to(dtype)


def _rows(x: Tensor) -> Tensor:
    """Return (1, C, H, W) as (H, W, C), without a copy where it is channels last."""
    return x.permute(0, 2, 3, 1)[0].contiguous()


def _picture(rows: Tensor) -> Tensor:
    """Return (H, W, C) as (1, C, H, W), channels last."""
    return rows[None].permute(0, 3, 1, 2)


def _strips(height: int, across: int, channels: int) -> list[tuple[int, int]]:
    """Return (first row, rows of tiles) for each strip."""
    step = max(1, STRIP // (across * channels))
    total = -(-height // 4)
    return [(4 * start, min(step, total - start)) for start in range(0, total, step)]


def _strip(source: Tensor, top: int, left: int, shape: tuple[int, int]) -> Tensor:
    """Return rows from `top` on, zeros where the source has none, and `left` columns of zeros first."""
    height, width, channels = source.shape
    first, last = max(0, top), min(height, top + shape[0])
    if last - first == shape[0] and left == 0 and width == shape[1]:
        return source[first:last]
    strip = source.new_zeros(*shape, channels)
    strip[first - top : last - top, left : left + width] = source[first:last, : shape[1] - left]
    return strip


def _cells(strip: Tensor, cell: tuple[int, int], number: tuple[int, int]) -> Tensor:
    """View (rows, columns, C) as cells that begin every 4 positions: (6, 6, down, across, C)."""
    row, column, channel = strip.stride()
    shape = (*cell, *number, strip.shape[2])
    return strip.as_strided(shape, (row, column, 4 * row, 4 * column, channel))


def _overlapped(cells: Tensor) -> Tensor:
    """Add up cells of 6 x 6 that begin every 4 positions: (6, 6, down, across, C) -> (rows, columns, C)."""
    _, _, down, across, channels = cells.shape
    joined = cells.new_zeros(4 * down + 2, 4 * across + 2, channels)
    _cells(joined, (4, 4), (down, across)).copy_(cells[:4, :4])
    _cells(joined[4:], (2, 4), (down, across)).add_(cells[4:, :4])
    _cells(joined[:, 4:], (4, 2), (down, across)).add_(cells[:4, 4:])
    _cells(joined[4:, 4:], (2, 2), (down, across)).add_(cells[4:, 4:])
    return joined
