import math

import numpy as np
import pytest

from impasto.network.layers import LAYERS, stride
from impasto.network.tiles import grid, halo, tiles

DEFAULT = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"]


@pytest.mark.parametrize(
    ("layers", "reach"),
    # By hand: a 3 x 3 convolution reaches one position of its own layer, which is 1, 2, 4, 8, 16 px.
    [
        ([], 1),
        (["conv1_1"], 1),
        (["relu1_2"], 2),
        (["relu2_1"], 4),  # 2 + 2
        (["relu3_1"], 12),  # 2 + 4 + 4 = 10, on a grid of 4
        (["relu4_2"], 40),  # 2 + 4 + 16 + 16 = 38, on a grid of 8
        (DEFAULT, 80),  # 2 + 4 + 16 + 32 + 16 = 70, on a grid of 16
    ],
)
def test_halo_by_hand(layers, reach) -> None:
    assert halo(layers) == reach


@pytest.mark.parametrize("size", [(512, 384), (509, 387), (37, 501), (16, 16), (129, 128)])
@pytest.mark.parametrize("edge", [1, 48, 100, 128, 1000])
@pytest.mark.parametrize("layers", [DEFAULT, ["relu1_1"], [], list(LAYERS)])
@pytest.mark.parametrize("partial", ["half", "count", "drop"])
def test_inner_parts_cover_every_position_once(size, edge, layers, partial) -> None:
    height, width = size
    if edge == 1 and (height > 200 or not layers):
        edge = 16
    parts = tiles(height, width, edge, layers, partial=partial)
    for layer in [*layers, "image"]:
        step = 1 if layer == "image" else stride(layer)
        high, wide = height // step, width // step
        if partial == "count":
            high, wide = math.ceil(height / step), math.ceil(width / step)
        elif partial == "half":
            high, wide = math.floor(height / step + 0.5), math.floor(width / step + 0.5)
        seen = np.zeros((high, wide), np.uint8)
        for part in parts:
            window = part.windows[layer]
            rows, columns = window.outer
            seen[rows, columns] += 1
            assert rows.stop <= high
            assert columns.stop <= wide
            # The inner place is the same position, counted from where the tile begins.
            assert window.inner[0].start == rows.start - part.rows.start // step
            assert window.inner[1].start == columns.start - part.columns.start // step
        assert (seen == 1).all()
    for part in parts:
        assert part.rows.start % grid(layers) == 0
        assert part.columns.start % grid(layers) == 0


def test_a_picture_that_fits_is_one_tile_without_halo() -> None:
    (only,) = tiles(300, 401, 512, DEFAULT)
    assert (only.rows, only.columns) == (slice(0, 300), slice(0, 401))
    assert only.pixels == 300 * 401


def test_tiles_are_of_about_equal_size() -> None:
    parts = tiles(1536, 2048, 1000, DEFAULT)
    assert len(parts) == 6
    heights = {part.windows["image"].outer[0].stop - part.windows["image"].outer[0].start for part in parts}
    assert heights == {768}
