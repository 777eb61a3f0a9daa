"""Hypercolumns: the features of several layers at one place, here of cells of 4 x 4 px.

Source: Hariharan et al. 2015, "Hypercolumns for Object Segmentation and Fine-grained Localization".
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from impasto.network.layers import stride
from impasto.network.tiled_features import TiledFeatures, crop
from impasto.network.tiles import Window, halo
from impasto.network.vgg import VGG19

LAYERS = ("relu1_2", "relu2_2", "relu3_1", "relu3_3", "relu4_1")
CELL = "relu3_1"  # a layer whose positions are the cells
GRIDS = (CELL, "relu4_1")  # layers at whose positions features are compared
REACH = halo(LAYERS) + stride(GRIDS[-1])  # px around a tile, of whose neighbor the last position may be read


def means(features: Tensor, cell: int) -> Tensor:
    """Return the means over cells of features (1, C, h, w); those at the end may be smaller."""
    return features if cell == 1 else avg_pool2d(features, cell, ceil_mode=True)


def grid(layer: str) -> str:
    """Return the layer whose positions count for a layer: `CELL`, or itself if its positions are larger."""
    return layer if stride(layer) > stride(CELL) else CELL


def cell_of(layer: str) -> int:
    """Return how many positions of a layer are compared as one, along an edge."""
    return stride(grid(layer)) // stride(layer)


def channels(network: VGG19) -> dict[str, slice]:
    """Return the channels of each layer in a hypercolumn."""
    found, first = {}, 0
    for layer in LAYERS:
        last = first + network.kernels[f"conv{layer[4:]}/weight"].shape[0]
        found[layer], first = slice(first, last), last
    return found


def cells(features: TiledFeatures, image: Tensor) -> Iterator[tuple[Tensor, Mapping[str, Window]]]:
    """Yield the features of the cells of each tile of an image (1, 3, H, W), (h, w, C), and its windows."""
    for part, windows in features.parts(image, LAYERS, REACH):
        found = columns(part, windows)
        part.clear()
        yield found, windows


def columns(part: Mapping[str, Tensor], windows: Mapping[str, Window]) -> Tensor:
    """Return the features of the cells of a tile, (h, w, C), C being the channels of all `LAYERS`.

    Of a layer whose positions are larger, several cells have the same; cells beyond its last have that one.
    """
    rows, across = (side.stop - side.start for side in windows[CELL].inner)
    shape = rows, across, sum(part[layer].shape[1] for layer in LAYERS)
    found, first = part[CELL].new_empty(shape), 0
    for layer in LAYERS if rows and across else ():  # else less than a cell, where such do not count
        if grid(layer) == CELL:
            features, cell = crop(part[layer], windows[layer]), cell_of(layer)
            features = means(features[..., : rows * cell, : across * cell], cell)[0].permute(1, 2, 0)
        else:
            whole, ratio = part[layer][0].permute(1, 2, 0), stride(layer) // stride(CELL)
            down, right = (
                (side.start + torch.arange(count, device=whole.device) // ratio).clamp(max=length - 1)
                for side, count, length in zip(
                    windows[layer].inner, (rows, across), whole.shape[:2], strict=True
                )
            )
            features = whole[down[:, None], right]
        last = first + features.shape[2]
        found[..., first:last] = features
        first = last
    return found
