from itertools import pairwise

import pytest

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import ResourceError
from impasto.inputs.pyramid import PictureShape, Scale
from impasto.transfer import memory as memory_module
from impasto.transfer.memory import feature_bytes, memory, plan, slowdown, smaller, targets_cost

LAYERS = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"]
SCALES = [Scale(512, 384), Scale(1024, 768), Scale(2048, 1536)]
GB = 1_000_000_000


def ways(limit: int, **fixed):
    found = plan(SCALES, Settings(), LAYERS, "fp32", limit, fixed)
    assert found.memory <= limit
    return found


def test_what_a_pass_keeps_counted_by_hand() -> None:
    assert feature_bytes(["relu1_1"], "fp32") == 64 * 4  # a feature: 64 values of 4 bytes
    # A quarter of 64 values, 4 bytes each and 2 for places; the gate of relu1_1, but none of relu1_2.
    assert feature_bytes(["pool1"], "fp32") == 16 * 6 + 64 * 4
    assert feature_bytes(["relu1_2"], "bf16") == 2 * 64 * 2
    assert feature_bytes([], "fp32") == 0


def test_kernels_counted_by_hand() -> None:
    assert memory_module.kernels([], "bf16") == memory_module.kernels(["relu1_2"], "bf16") == 0
    assert memory_module.kernels(["relu2_2"], "bf16") == 36 * 2 * (64 * 128 + 128 * 128)
    assert memory_module.kernels(["relu2_2"], "fp32") == 36 * 4 * 128 * 128


def test_memory_grows_with_what_it_is_made_of() -> None:
    small, large = SCALES[0], SCALES[2]

    def need(scale=large, settings=None, tile=0, pairs=10, compact=False) -> int:
        return memory(scale, settings or Settings(), LAYERS, "fp32", tile, pairs, compact)

    pixels = large.width * large.height
    assert need() - need(pairs=9) == 2 * 3 * 4 * pixels  # a pair is two float32 canvases
    assert need(compact=True) == need() - 10 * 2 * 3 * 2 * pixels - 512 * 2 * pixels // 64
    assert need(tile=512) < need(tile=1024) < need()
    assert need(tile=4096) == need()
    assert need(small) < need()
    assert need(settings=Settings(solver="adam")) < need(settings=Settings(solver="scipy"))


def test_the_fastest_way_that_fits_is_taken(monkeypatch) -> None:
    monkeypatch.setattr(memory_module, "MARGIN", 1.0)
    found = [ways(100 * GB)]
    assert (found[0].tile, found[0].pairs, found[0].compact) == (0, 10, False)
    leanest = plan(SCALES, Settings(), LAYERS, "fp32", 1, strict=False)
    while found[-1].memory > leanest.memory:
        found.append(ways(found[-1].memory - 1))
    shapes = [(way.tile, way.pairs, way.compact) for way in found]
    assert shapes[1] == (0, 10, True)  # digits cost less than tiles
    assert shapes[2][0] == 0  # and so do a few pairs
    assert (leanest.tile, leanest.pairs, leanest.compact) == shapes[-1]

    def time(way: memory_module.Plan) -> float:
        digits = memory_module.DIGITS if way.compact else 1.0
        return slowdown(SCALES[2], LAYERS, way.tile) * memory_module.FEWER.get(way.pairs, 1.0) * digits

    assert [time(way) for way in found] == sorted(time(way) for way in found)
    assert [way.memory for way in found] == sorted((way.memory for way in found), reverse=True)


def test_what_is_given_is_not_chosen() -> None:
    assert ways(100 * GB, tile=300).tile == 300
    assert ways(100 * GB, pairs=4).pairs == 4
    assert ways(100 * GB, compact=True).compact
    assert plan(SCALES, Settings(history=3), LAYERS, "fp32", 100 * GB, {"pairs": 8}).pairs == 3


def test_a_plan_keeps_a_margin() -> None:
    whole = ways(100 * GB)
    assert ways(int(whole.memory / memory_module.MARGIN) + 1) == whole
    assert ways(whole.memory + 1) != whole
    leanest = plan(SCALES, Settings(), LAYERS, "fp32", 1, strict=False)
    with pytest.raises(
        ResourceError, match=f"needs about {leanest.memory / memory_module.MARGIN / 1e6:.0f} MB"
    ):
        ways(leanest.memory)


def test_nothing_fits() -> None:
    with pytest.raises(ResourceError, match=r"2048 x 1536 px needs about \d+ MB.*more than 100 MB.*--size"):
        ways(100_000_000)
    leanest = plan(SCALES, Settings(), LAYERS, "fp32", 100_000_000, strict=False)
    assert (leanest.tile, leanest.pairs, leanest.compact) == (256, 2, True)


def test_nearest_neighbors_take_hardly_more_in_a_large_picture() -> None:
    """The painting's cells are as many at every size; a canvas needs itself once more, and their numbers."""
    settings = Settings(style_statistic="neighbours")
    small, large = (
        memory_module.neighbors_memory(settings, Scale(edge, edge), "fp32", 1)[0] for edge in (1024, 4096)
    )
    assert large - small == (4096**2 - 1024**2) * 25 // 2


def test_targets_of_nearest_neighbors_take_longer() -> None:
    scale, shapes, runtime = SCALES[2], [PictureShape("painting", 64, 48)], Runtime(tile=0)
    plain, matched = (targets_cost(scale, shapes, LAYERS, runtime, matched=one) for one in (False, True))
    assert plain == 0.5 * 2 * scale.width * scale.height
    assert matched - plain == 5 * scale.width * scale.height


def test_tiles_cost_two_passes_and_their_halos() -> None:
    assert slowdown(SCALES[0], LAYERS, 0) == 1.0
    assert slowdown(SCALES[0], LAYERS, 512) == 1.0
    # Two columns and two rows: each tile reads 80 px beyond its inner edges.
    expected = memory_module.SECOND_PASS * (1024 + 80) * (768 + 80) * 4 / (2048 * 1536)
    assert slowdown(SCALES[2], LAYERS, 1024) == pytest.approx(expected)


def test_smaller_tiles_until_there_is_none() -> None:
    chain, tile = [], 0
    while (found := smaller(tile, SCALES[2])) is not None:
        chain.append(found)
        tile = found
    assert chain[0] <= 1024
    assert chain[-1] == min(memory_module.EDGES)
    assert all(after <= before / 2 + 1 for before, after in pairwise(chain))
