"""Hypercolumns: the features of several layers at one place, here of cells of 4 x 4 px.

Source: Hariharan et al. 2015, "Hypercolumns for Object Segmentation and Fine-grained Localization".
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from impasto.network.layers import stride
from impasto.network.tiled_features import crop
from impasto.network.tiles import Window
from impasto.network.vgg import VGG19

LAYERS = ("relu1_2", "relu2_2", "relu3_1", "relu3_3", "relu4_1")
CELL = "relu3_1"  # a layer whose positions are the cells
GRIDS = (CELL, "relu4_1")  # layers at whose positions features are compared


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


def columns(part: Mapping[str, Tensor], windows: Mapping[str, Window]) -> Tensor:
    """Return the features of the cells of a tile, (h, w, C), C being the channels of all `LAYERS`.

    Of a layer whose positions are larger, several cells have the same.
    """
    rows, across = (side.stop - side.start for side in windows[CELL].inner)
    found = []
    for layer in LAYERS:
        features, cell = crop(part[layer], windows[layer]), cell_of(layer)
        if not rows or not across:  # less than a cell, where such do not count
            found.append(features.new_zeros((rows, across, features.shape[1])))
            continue
        if grid(layer) == CELL:
            features = means(features[..., : rows * cell, : across * cell], cell)
        else:
            height, width = features.shape[2:]
            padded = features.new_zeros((*features.shape[:2], height + 1, width + 1))
            padded[..., :height, :width] = features
            features = padded  # cells beyond the last position, which is dropped there, have 0
            for dim, length in ((2, rows), (3, across)):
                places = torch.arange(length, device=features.device) * stride(CELL) // stride(layer)
                features = features.index_select(dim, places.clamp(max=features.shape[dim] - 1))
        found.append(features[0].permute(1, 2, 0))
    return torch.cat(found, dim=2)
