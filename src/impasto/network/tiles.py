"""Tiles: parts of a picture that are computed one by one and add up to exactly the whole.

Pure arithmetic. Each tile has an inner part, and the inner parts cover the picture once. Around it lies a
halo as wide as the network's receptive field, so that the features of the inner part are those that the
whole picture has there. All borders inside the picture lie on the grid of the deepest pooling.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from impasto.network.layers import LAYERS, ORDER, PartialWindows, deepest, positions, stride

IMAGE = "image"


@dataclass(frozen=True)
class Window:
    """Which part of a layer counts, and where that part lies in the whole picture.

    `inner` selects the positions that count from the features of a tile, which may have a halo around them;
    `outer` selects the same positions from the whole layer. Both are (rows, columns).
    """

    inner: tuple[slice, slice]
    outer: tuple[slice, slice]


@dataclass(frozen=True)
class Tile:
    """The pixels that a tile reads, (rows, columns) with the halo, and what counts of each layer."""

    rows: slice
    columns: slice
    windows: dict[str, Window]

    @property
    def pixels(self) -> int:
        """Pixels read, the halo included."""
        return int(self.rows.stop - self.rows.start) * int(self.columns.stop - self.columns.start)


def grid(layers: Iterable[str]) -> int:
    """Return the multiple of pixels on which tiles may begin and end."""
    strides = [stride(layer) for layer in layers if layer in ORDER]
    return max(strides, default=1)


def halo(layers: Iterable[str], reach: int = 1) -> int:
    """Return how many pixels around a tile its features depend on, rounded up to the grid.

    A convolution of 3 x 3 reads one position of its own layer to each side; pooling reads none beyond its
    cell, as tiles begin and end on cells. `reach` pixels at least, for losses on the image itself.
    """
    names = [layer for layer in layers if layer in ORDER]
    if names:
        before = LAYERS[: ORDER[deepest(names)] + 1]
        reach = max(reach, sum(stride(layer) for layer in before if layer.startswith("conv")))
    cell = grid(names)
    return -(-reach // cell) * cell


def tiles(
    height: int,
    width: int,
    edge: int,
    layers: Iterable[str],
    reach: int = 1,
    partial: PartialWindows = "half",
) -> list[Tile]:
    """Return the tiles of a picture, row by row.

    Lengths are in pixels. The inner part of each is at most `edge` long, rounded up to the grid. `reach` is
    how far around its own positions a loss on the image reads.
    """
    names = sorted({IMAGE, *layers})
    cell, around = grid(names), halo(names, reach)
    result = []
    for top, bottom in _spans(height, edge, cell):
        for left, right in _spans(width, edge, cell):
            rows = slice(max(0, top - around), min(height, bottom + around))
            columns = slice(max(0, left - around), min(width, right + around))
            windows = {}
            for layer in names:
                inner_rows, outer_rows = _slices(layer, (top, bottom), rows, height, partial)
                inner_columns, outer_columns = _slices(layer, (left, right), columns, width, partial)
                windows[layer] = Window((inner_rows, inner_columns), (outer_rows, outer_columns))
            result.append(Tile(rows, columns, windows))
    return result


def _spans(length: int, edge: int, cell: int) -> Iterator[tuple[int, int]]:
    """Cut a length into equal parts that begin on the grid."""
    parts = max(1, -(-length // max(edge, cell)))
    step = -(-length // (parts * cell)) * cell
    for start in range(0, length, step):
        yield start, min(length, start + step)


def _slices(
    layer: str, inner: tuple[int, int], read: slice, length: int, partial: PartialWindows
) -> tuple[slice, slice]:
    """Return where positions lie in a tile, which reads the pixels `read`, and in the whole layer.

    They are those whose cells begin in the inner part, along an axis of `length` pixels.
    """
    start, stop = inner
    step = stride(layer) if layer in ORDER else 1
    first = start // step
    last = max(first, positions(stop, step, partial))  # only the end of the axis may lie within a cell
    offset = read.start // step
    return slice(first - offset, last - offset), slice(first, last)
