"""3 x 3 convolutions by Winograd's method on the CPU; `convolution` describes them and their rounding."""

import torch
from torch import Tensor

from impasto.network.convolution import Direct, Fused, Padding, fold, pad

# Lavin and Gray 2015, section 4: Y = A^T [(G g G^T) * (B^T d B)] A, tiles d of 6 x 6 and Y of 4 x 4.
# Departure: the points are 0, +-r, +-1/r and infinity with r = sqrt(1/2), not 0, +-1, +-2 and infinity. That
# halves the rounding error, and rotating kernels only exchanges points: the rows of G, read backwards, are
# those of `_TURNED` times `_FACTORS`. So the backward pass needs no kernels of its own.
_R = 0.5**0.5
_BT = (
    (1.0, 0.0, -2.5, 0.0, 1.0, 0.0),
    (0.0, -2 * _R, -2.0, _R, 1.0, 0.0),
    (0.0, 2 * _R, -2.0, -_R, 1.0, 0.0),
    (0.0, -_R, -0.5, 2 * _R, 1.0, 0.0),
    (0.0, _R, -0.5, -2 * _R, 1.0, 0.0),
    (0.0, 1.0, 0.0, -2.5, 0.0, 1.0),
)
_G = (
    (1.0, 0.0, 0.0),
    (-2 / 3, -2 / 3 * _R, -1 / 3),
    (-2 / 3, 2 / 3 * _R, -1 / 3),
    (1 / 6, 1 / 3 * _R, 1 / 3),
    (1 / 6, -1 / 3 * _R, 1 / 3),
    (0.0, 0.0, 1.0),
)
_AT = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 0.0),
    (0.0, _R, -_R, 2 * _R, -2 * _R, 0.0),
    (0.0, 0.5, 0.5, 2.0, 2.0, 0.0),
    (0.0, _R / 2, -_R / 2, 4 * _R, -4 * _R, 1.0),
)
_TURNED = (5, 3, 4, 1, 2, 0)
_FACTORS = (1.0, -0.5, -0.5, -2.0, -2.0, 1.0)
STRIP = 65_536  # values of tiles that are transformed at a time, about; measured


class Workspace:
    """Two buffers for intermediate results, which convolutions use one after the other.

    Allocated anew for each strip, buffers of so many sizes would fragment the memory.
    """

    def __init__(self) -> None:
        self._buffers: list[Tensor] = []

    def two(self, length: int, like: Tensor) -> list[Tensor]:
        """Return two flat tensors of a length and number format, not initialized."""
        if not self._buffers or self._buffers[0].numel() < length:
            self._buffers = []
            size = max(length, 37 * STRIP)  # enough for most layers
            self._buffers = [like.new_empty(size), like.new_empty(size)]
        return [buffer[:length] for buffer in self._buffers]


class Winograd:
    """A convolution with a quarter of the products of `Direct`, on the CPU, channels last.

    `weight` is (D, C, 3, 3), float32, and `bias` (D,). It computes in float32 or bfloat16; convolutions of
    one number format may share a workspace.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        padding: Padding,
        dtype: torch.dtype = torch.float32,
        workspace: Workspace | None = None,
    ) -> None:
        self._bias, self._padding = bias.to(dtype), padding
        self._workspace = workspace or Workspace()
        outgoing, incoming = weight.shape[:2]
        spread = _square(_matrix(_G)).float()
        self._kernels = weight.new_empty((36, incoming, outgoing), dtype=dtype)
        for start in range(0, incoming, 64):  # a part at a time
            rows = slice(start, start + 64)
            part = weight[:, rows].permute(2, 3, 1, 0).reshape(9, -1)
            self._kernels[:, rows] = torch.mm(spread, part).view(36, -1, outgoing)
        enter, leave = _matrix(_BT), _matrix(_AT)
        turned, factors = list(_TURNED), torch.tensor(_FACTORS, dtype=torch.float64)
        self._enter, self._leave = _square(enter).to(dtype), _square(leave).to(dtype)
        self._enter_backward = _square(factors[:, None] * enter[turned]).to(dtype)
        self._leave_backward = _square(leave[:, turned]).to(dtype)
        # The last step adds the bias: it is one more row, the same for all tiles.
        self._leave = torch.cat([self._leave, self._leave.new_ones(16, 1)], dim=1)

    def forward(self, x: Tensor, *, rectify: bool) -> Tensor:
        """Return the convolution, (1, D, H, W), channels last."""
        border = 1
        if self._padding != "zero":
            x, border = pad(x, self._padding), 0
        return _convolved(
            x, self._enter, self._kernels, self._leave, self._workspace, border, self._bias, rectify=rectify
        )

    def backward(self, gradient: Tensor) -> Tensor:
        """Return the gradient for the input, (1, C, H, W), channels last."""
        border = 1 if self._padding == "zero" else 2
        kernels = self._kernels.transpose(1, 2)
        result = _convolved(
            gradient, self._enter_backward, kernels, self._leave_backward, self._workspace, border
        )
        return result if border == 1 else fold(result, self._padding)


Convolution = Direct | Fused | Winograd


def _convolved(
    x: Tensor,
    enter: Tensor,
    kernels: Tensor,
    leave: Tensor,
    workspace: Workspace,
    border: int,
    bias: Tensor | None = None,
    *,
    rectify: bool = False,
) -> Tensor:
    """Return the convolution of (1, C, H, W), with `border` zeros around it, by Winograd's three steps."""
    source = x.permute(0, 2, 3, 1)[0].contiguous()  # (H, W, C), no copy where x is channels last
    height, width = (length - 2 + 2 * border for length in source.shape[:2])
    incoming, outgoing = kernels.shape[1:]
    result = source.new_empty(height, width, outgoing)
    across = -(-width // 4)
    rows = leave.shape[1]  # 36, and one for the bias
    for top, down in _strips(height, across, max(incoming, outgoing)):
        number = down * across
        one, other = workspace.two(rows * number * max(incoming, outgoing), source)
        strip = _strip(source, top - border, border, (4 * down + 2, 4 * across + 2))
        cells = one[: 36 * number * incoming].view(36, -1)
        row, column, channel = strip.stride()  # cells begin every 4 positions
        shape, strides = (6, 6, down, across, incoming), (row, column, 4 * row, 4 * column, channel)
        cells.view(shape).copy_(strip.as_strided(shape, strides))
        entered = torch.mm(enter, cells, out=other[: cells.numel()].view(36, -1))
        product = one[: rows * number * outgoing].view(rows, number, outgoing)
        torch.bmm(entered.view(36, number, incoming), kernels, out=product[:36])
        if bias is not None:
            product[36] = bias
        left = other[: 16 * number * outgoing].view(16, -1)
        torch.mm(leave, product.view(rows, -1), out=left)
        joined = left.view(4, 4, down, across, outgoing).permute(2, 0, 3, 1, 4)
        _put(joined, result[top : top + 4 * down], rectify=rectify)
    return result[None].permute(0, 3, 1, 2)


def _put(tiles: Tensor, target: Tensor, *, rectify: bool) -> None:
    """Write tiles (down, 4, across, 4, D) into rows (H, W, D), without what exceeds them."""
    down, _, across, _, channels = tiles.shape
    height, width = target.shape[:2]
    if (height, width) == (4 * down, 4 * across):
        target = target.view(down, 4, across, 4, channels)
    else:
        tiles = tiles.reshape(4 * down, 4 * across, channels)[:height, :width]
    if rectify:
        torch.clamp_min(tiles, 0, out=target)
    else:
        target.copy_(tiles)


def _matrix(rows: tuple[tuple[float, ...], ...]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def _square(matrix: Tensor) -> Tensor:
    """Return the matrix that applies another to both axes of a flat tile at once."""
    return torch.kron(matrix, matrix)


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
    strip = source.new_empty(*shape, channels)
    strip[: first - top] = 0
    strip[last - top :] = 0
    strip[:, :left] = 0
    strip[:, left + width :] = 0
    strip[first - top : last - top, left : left + width] = source[first:last, : shape[1] - left]
    return strip
