"""Nearest neighbors: numbers by hand, straight loops, finite differences, tiles, regions and whole runs."""

import math
from dataclasses import replace

import pytest
import torch

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import InputError, SettingsError
from impasto.inputs.pictures import ScaledInputs
from impasto.inputs.pyramid import Scale
from impasto.losses import neighbors
from impasto.losses.build import build_losses, layers_of
from impasto.losses.loss import add_statistics
from impasto.losses.neighbors import Found, NeighborLoss, StyleCells, Target, is_matched, measured, nearest
from impasto.losses.objective import Objective, prepare
from impasto.network import hypercolumns
from impasto.network.backprop import FeatureExtractor
from impasto.network.hypercolumns import CELL, LAYERS, channels
from impasto.network.layers import positions, stride
from impasto.network.tiled_features import TiledFeatures
from impasto.network.tiles import tiles
from impasto.network.vgg import VGG19
from impasto.transfer.memory import memory
from losses.test_regions import soft, targets_of

NEIGHBORS = Settings(style_statistic="neighbours", grain=0)
FP32 = Runtime(device="cpu", threads=1, precision="fp32")


def prepared(narrow, **options):
    options = {"pooling": "max", "padding": "zero", "precision": "fp32", "device": "cpu"} | options
    return FeatureExtractor.of(prepare(narrow, **options))


def random(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def target_of(target, layer="relu3_1"):
    """Targets (1, C, h, w) that are the features of a painting in the same places."""
    height, width = target.shape[2:]
    features = {layer: target[0].flatten(1).T.contiguous()}
    cells = StyleCells(features, torch.empty(0), torch.empty(0), {}, 1.0)
    numbers = torch.arange(height * width).view(height, width)
    if layer == "relu4_1":  # each position has four cells
        numbers = numbers.repeat_interleave(2, 0).repeat_interleave(2, 1)
    return Target(layer, height, width, [Found(cells, numbers)], [1.0])


def whole(loss):
    """All targets of a loss, (1, C, h, w)."""
    return loss.target.at(slice(None), slice(None))


# --- the loss ------------------------------------------------------------------------------------------


def test_a_loss_by_hand() -> None:
    """Cells of 2 x 2 of a layer of 3 x 4: the lower ones have one row."""
    features = torch.arange(12, dtype=torch.float64).view(1, 1, 3, 4)
    # means: (0 + 1 + 4 + 5) / 4 = 2.5, 4.5; (8 + 9) / 2 = 8.5, 10.5
    target = torch.tensor([[2.0, 4.0], [8.0, 8.5]], dtype=torch.float64).view(1, 1, 2, 2)
    loss = NeighborLoss("style.l", 1.0, "l", target_of(target), 2, factor=3.0)
    (total,) = loss.measure({"l": features})
    assert float(total) == 0.25 + 0.25 + 0.25 + 4.0
    assert float(loss.value((total,))) == 3 * 4.75 / 4
    weighted = replace(loss, weights=torch.tensor([[1.0, 0.0], [0.0, 0.5]]).view(1, 1, 2, 2))
    (total,) = weighted.measure({"l": features})
    assert float(total) == 0.25 + 2.0
    gradient = weighted.backward({"l": features}, None, [torch.tensor(1.0, dtype=torch.float64)], None)
    expected = [[0.25, 0.25, 0, 0], [0.25, 0.25, 0, 0], [0, 0, 1.0, 1.0]]  # 2 w (mean - T) / positions
    assert gradient[0, 0].tolist() == expected
    assert loss.backward({"l": features}, None, [None], None) is None


@pytest.mark.parametrize("cell", [1, 2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_is_that_of_finite_differences(cell, weighted, monkeypatch) -> None:
    monkeypatch.setattr(neighbors, "STRIP", 20)  # in several strips
    features = random(1, 2, 9, 6).requires_grad_()
    shape = math.ceil(9 / cell), math.ceil(6 / cell)
    weights = random(1, 1, *shape, seed=2) if weighted else None
    target = target_of(random(1, 2, *shape, seed=1))
    loss = NeighborLoss("style.l", 1.0, "l", target, cell, weights, factor=2.0)
    value = loss.value(loss.measure({"l": features}))
    assert torch.autograd.gradcheck(lambda f: loss.value(loss.measure({"l": f})), (features,))
    (expected,) = torch.autograd.grad(value, features)
    leaf = features.detach()
    statistics = [item.detach().requires_grad_() for item in loss.measure({"l": leaf})]
    slopes = torch.autograd.grad(loss.value(tuple(statistics)), statistics)
    torch.testing.assert_close(loss.backward({"l": leaf}, None, slopes, None), expected)


@pytest.mark.parametrize("partial", ["count", "drop"])
@pytest.mark.parametrize("size", [(40, 56), (45, 59), (41, 66)])
def test_parts_add_up(partial, size) -> None:
    """Each layer in the tiles of a canvas, with halos; cells at the end that are smaller, or left out."""
    for layer in LAYERS:
        (canvas,) = tiles(*size, 100, LAYERS, partial=partial)
        rows, columns = (side.stop for side in canvas.windows[layer].outer)
        grid = [side.stop for side in canvas.windows[neighbors.grid(layer)].outer]
        features, target = random(1, 2, rows, columns), target_of(random(1, 2, *grid, seed=1), layer)
        weights = random(1, 1, *grid, seed=2)
        loss = NeighborLoss("style.l", 1.0, layer, target, neighbors.cell_of(layer), weights)
        expected, total = loss.measure({layer: features}), None
        one = [torch.ones((), dtype=torch.float64)]
        gradient = torch.zeros_like(features)
        for tile in tiles(*size, 16, LAYERS, partial=partial):
            window = tile.windows[layer]
            first = [
                outer.start - inner.start for outer, inner in zip(window.outer, window.inner, strict=True)
            ]
            last = [
                -(-side.stop // (length // count)) if partial == "count" else side.stop // (length // count)
                for side, length, count in zip((tile.rows, tile.columns), size, (rows, columns), strict=True)
            ]
            read = slice(first[0], max(first[0], last[0])), slice(first[1], max(first[1], last[1]))
            part = {layer: features[..., read[0], read[1]]}
            added = loss.measure(part, {layer: window})
            total = added if total is None else add_statistics(total, added)
            gradient[..., read[0], read[1]] += loss.backward(part, {layer: window}, one, None)
        torch.testing.assert_close(total, expected)
        torch.testing.assert_close(gradient, loss.backward({layer: features}, None, one, None))


# --- cells and matching ----------------------------------------------------------------------------------


def test_nearest_is_the_largest_product() -> None:
    directions, table = torch.randn(50, 7), torch.randn(7, 6 * neighbors.GROUPS)
    assert nearest(directions, table).tolist() == (directions @ table).argmax(1).tolist()


def straight_targets(network, query, painting) -> dict[str, torch.Tensor]:
    """The recipe in straight code, for sizes that are multiples of 8 px."""

    def cells(image):
        found = network.network(image.double(), LAYERS)
        rows = {}
        for layer in LAYERS:
            features, edge = found[layer][0], image.shape[-1] // found[layer].shape[-1]
            if edge < 4:
                channels_, h, w = features.shape
                k = 4 // edge
                features = features.view(channels_, h // k, k, w // k, k).mean((2, 4))
            elif edge > 4:
                features = features.repeat_interleave(2, 1).repeat_interleave(2, 2)
            rows[layer] = features.flatten(1).T
        return rows

    turns = [cells(torch.rot90(painting, k, (2, 3))) for k in range(4)]
    style = {layer: torch.cat([turn[layer] for turn in turns]) for layer in LAYERS}
    asked = cells(query)
    variance = {layer: (style[layer] - style[layer].mean(0)).square().sum(1).mean() for layer in LAYERS}

    def centered(rows):
        columns = torch.cat([rows[layer] / variance[layer] ** 0.5 for layer in LAYERS], 1)
        return torch.nn.functional.normalize(columns - columns.mean(0), dim=1)

    numbers = (centered(asked) @ centered(style).T).argmax(1)
    return {layer: style[layer][numbers] for layer in LAYERS}


def test_targets_against_straight_code(narrow, random_image) -> None:
    network = FeatureExtractor.of(VGG19(narrow).double())
    photo, painting, start = (
        random_image(*size, seed) for size, seed in (((48, 64), 1), ((40, 56), 2), ((48, 64), 3))
    )
    pictures = ScaledInputs(photo.double(), (painting.double(),), torch.ones(1), None)
    losses = build_losses(network, pictures, NEIGHBORS, start=start.double())
    assert [loss.name for loss in losses[1:]] == [*(f"style.{layer}" for layer in LAYERS), "style.smoothness"]
    expected = straight_targets(network, 0.6 * start.double() + 0.4 * photo.double(), painting)
    agreed = []
    for loss in losses[1:-1]:
        rows = expected[loss.layer].T.reshape(1, -1, 12, 16)
        if loss.layer == "relu4_1":
            rows = torch.nn.functional.avg_pool2d(rows, 2)
        assert whole(loss).shape == rows.shape
        agreed.append((whole(loss) - rows).abs().amax(1) < 1e-6 * float(rows.abs().max()))
    assert min(float(item.double().mean()) for item in agreed) > 0.99  # but for ties


def test_a_canvas_that_is_the_painting_finds_itself(narrow, random_image) -> None:
    network, painting = prepared(narrow), random_image(64, 64, 1)
    pictures = ScaledInputs(painting, (painting,), torch.ones(1), None)
    for loss in build_losses(network, pictures, NEIGHBORS, start=painting)[1:-1]:
        features = network.forward(painting, LAYERS, keep=False).features
        value = float(loss.value(loss.measure(features)))
        assert value < 1e-8 * float(whole(loss).square().sum()) * loss.factor


def test_cells_are_counted_by_hand() -> None:
    rows = {layer: torch.zeros(2, 1) for layer in LAYERS}
    rows |= {"relu1_2": torch.tensor([[1.0], [3.0]]), "relu4_1": torch.full((2, 1), 4.0)}
    found = measured(rows)
    assert found.count == 2
    assert found.mean.tolist() == [2, 0, 0, 0, 4]
    assert found.variances["relu1_2"] == pytest.approx(1 + 1e-4 * 5)
    assert found.variances["relu2_2"] == found.weight("relu2_2") == 0
    assert found.scale[1] == 0
    assert found.variances["relu4_1"] == pytest.approx(16e-4) == found.unit
    assert found.weight("relu1_2") == pytest.approx(16e-4 / (1 + 5e-4))
    assert found.table().shape == (5, neighbors.GROUPS)


def test_a_large_painting_is_thinned_out(narrow, random_image, monkeypatch) -> None:
    features = TiledFeatures(prepared(narrow))
    pictures = ScaledInputs(random_image(32, 32), (random_image(64, 96, 1),), torch.ones(1), None)
    whole = neighbors.style_cells(features, pictures, 0)
    assert whole.count == 4 * 16 * 24
    monkeypatch.setattr(neighbors, "ROWS", 300)
    fewer = neighbors.style_cells(features, pictures, 0)
    assert fewer.count == 4 * 16 * 24 // 6
    tiled = neighbors.style_cells(replace(features, tile=16), pictures, 0)
    for layer in LAYERS:
        one, other = (sorted(cells.features[layer].sum(1).tolist()) for cells in (fewer, tiled))
        assert one == pytest.approx(other, rel=1e-4)
    two = replace(pictures, styles=pictures.styles * 2, shares=torch.tensor([0.9, 0.1]))
    assert neighbors.style_cells(features, two, 0).count == 4 * math.ceil(16 * 24 / 11)  # about half as many
    silent = replace(two, shares=torch.tensor([1.0, 0.0]))
    assert neighbors.style_cells(features, silent, 0).count == fewer.count


# --- tiles, regions, kinds of pictures -------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"padding": "reflect"}, {"partial_windows": "drop"}, {"precision": "bf16"}]
)
@pytest.mark.parametrize("masked", [False, True])
def test_tiled_equals_whole(narrow, random_image, options, masked) -> None:
    size = (72, 96) if options.get("precision") else (77, 93)
    content, canvas = random_image(*size, 1), random_image(*size, 2)
    styles = [random_image(59, 64, 3), random_image(64, 50, 4)]
    pictures = targets_of(content, styles, [soft(*size) if masked else None, None], [soft(59, 64, 5), None])
    network = prepared(narrow, **options)
    settings = NEIGHBORS.changed(**{k: v for k, v in options.items() if k != "precision"})
    losses = build_losses(network, pictures, settings, start=canvas)
    in_tiles = build_losses(network, pictures, settings, start=canvas, tile=32)
    moved = canvas.roll(5, 3)
    whole = Objective(network, losses)(moved)
    loose = options.get("precision") == "bf16"
    for these in (losses, in_tiles):  # of the targets made in tiles a few may be others, by rounding
        objective = Objective(network, these, 32)
        assert objective.tile == 32
        found = objective(moved)
        assert found.loss == pytest.approx(whole.loss, rel=1e-2 if loose else 1e-4)
        bound = 5e-2 if loose else 1e-3
        assert (found.gradient - whole.gradient).norm() < bound * whole.gradient.norm()


def test_directional_difference_in_float64(narrow, random_image) -> None:
    network = VGG19(narrow, padding="reflect").double()
    size, masks = (53, 70), [soft(53, 70).double(), None]
    styles = [random_image(64, 48, seed, torch.float64) for seed in (2, 3)]
    pictures = targets_of(random_image(*size, 1, torch.float64), styles, masks)
    settings = NEIGHBORS.changed(padding="reflect")
    losses = build_losses(network, pictures, settings, start=random_image(*size, 4, torch.float64))
    objective, canvas = Objective(network, losses), random_image(*size, 5, torch.float64)
    gradient = objective(canvas).gradient
    along = gradient / gradient.norm()
    plus, minus = objective(canvas + 1e-6 * along), objective(canvas - 1e-6 * along)
    assert (plus.loss - minus.loss) / 2e-6 == pytest.approx(float(gradient.norm()), rel=1e-4)


def test_smoothness_has_the_weight_of_the_style(narrow, random_image) -> None:
    photo, settings = random_image(48, 64), NEIGHBORS.changed(style_weight=20.0, strength=2.0)
    pictures = ScaledInputs(photo, (random_image(32, 32, 1),), torch.ones(1), None)
    loss = build_losses(prepared(narrow), pictures, settings, start=photo)[-1]
    stripes = torch.zeros(1, 3, 2, 4)
    stripes[..., 1::2] = 1  # of 8 pixels 6 have another one at their right
    assert loss.weight == 80
    assert float(loss.value(loss.measure({"image": stripes}))) == pytest.approx(3e5 * 6 / 8)


def test_several_paintings_are_the_shares_of_each(narrow, random_image) -> None:
    """Up to what does not depend on the canvas: the gradient is that of the weighted sum."""
    network, size = VGG19(narrow).double(), (48, 64)
    photo, start, canvas = (random_image(*size, seed, torch.float64) for seed in (1, 2, 3))
    styles = [random_image(40, 64, seed, torch.float64) for seed in (4, 5)]

    def gradient(styles, shares):
        pictures = ScaledInputs(photo, tuple(styles), torch.tensor(shares, dtype=torch.float64), None)
        losses = build_losses(network, pictures, NEIGHBORS, start=start)[1:]
        objective = Objective(network, losses)
        return objective(canvas).gradient * objective.scale

    expected = 0.25 * gradient(styles[:1], [1.0]) + 0.75 * gradient(styles[1:], [1.0])
    found = gradient(styles, [0.25, 0.75])
    assert (found - expected).norm() < 1e-6 * expected.norm()
    alone = gradient(styles, [1.0, 0.0])
    torch.testing.assert_close(alone, gradient(styles[:1], [1.0]))


def test_each_region_has_the_targets_of_its_painting(narrow, random_image) -> None:
    network, size = prepared(narrow), (64, 64)
    photo, start = random_image(*size, 1), random_image(*size, 2)
    styles = [random_image(*size, 3), random_image(*size, 4)]
    left = torch.zeros(1, 1, *size)
    left[..., :32] = 1
    both = build_losses(network, targets_of(photo, styles, [left, 1 - left]), NEIGHBORS, start=start)
    alone = [
        build_losses(network, ScaledInputs(photo, (style,), torch.ones(1), None), NEIGHBORS, start=start)
        for style in styles
    ]
    for loss, first, second in zip(both[1:-1], alone[0][1:-1], alone[1][1:-1], strict=True):
        half = loss.target.width // 2
        torch.testing.assert_close(whole(loss)[..., :half], whole(first)[..., :half])
        torch.testing.assert_close(whole(loss)[..., half:], whole(second)[..., half:])
        assert loss.weights.flatten()[0] * loss.factor == pytest.approx(first.factor, rel=1e-4)


def test_a_source_mask_leaves_only_its_part(narrow, random_image) -> None:
    network, painting = prepared(narrow), random_image(64, 64, 1)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., :32, :] = 0.5  # gray counts as white does
    pictures = targets_of(random_image(64, 64), [painting], [None], [mask])
    assert neighbors.style_cells(TiledFeatures(network), pictures, 0).count == 4 * 8 * 16
    empty = targets_of(random_image(64, 64), [painting], [None], [mask * 0])
    with pytest.raises(InputError, match=r"leaves too little of the painting style0\.png"):
        build_losses(network, empty, NEIGHBORS, start=pictures.content)
    nowhere = targets_of(random_image(64, 64), [painting] * 2, [mask * 0, None])
    with pytest.raises(InputError, match="is less than one position of relu"):
        build_losses(network, nowhere, NEIGHBORS, start=pictures.content)


@pytest.mark.parametrize("color", [0.0, 1.0, 0.4])
def test_a_painting_of_one_color(narrow, random_image, color) -> None:
    network, photo = prepared(narrow), random_image(48, 64)
    pictures = ScaledInputs(photo, (torch.full((1, 3, 32, 32), color),), torch.ones(1), None)
    found = Objective(network, build_losses(network, pictures, NEIGHBORS, start=photo))(photo)
    assert found.finite
    assert math.isfinite(found.loss)


def test_a_layer_that_a_painting_leaves_dark_does_not_count() -> None:
    """Of two paintings the one that has something there says all; of one alone nothing is compared."""
    cells = measured({layer: torch.zeros(4, 3) if layer == "relu2_2" else random(4, 3) for layer in LAYERS})
    assert cells.weight("relu2_2") == 0
    assert cells.weight("relu4_1") == pytest.approx(1 / 3)
    assert neighbors._share(0.0, 0.0) == 0
    assert neighbors._share(0.0, 2.0) == 0
    assert neighbors._share(2.0, 2.0) == 1
    nowhere = torch.zeros(1, 1, 2, 2)
    assert neighbors._share(nowhere, nowhere).tolist() == nowhere.tolist()


def test_on_another_device(narrow, random_image) -> None:
    network = prepared(narrow, device="meta")
    photo, style = (random_image(70, 90, seed).to("meta") for seed in (1, 2))
    columns = hypercolumns.columns(
        network.forward(photo, LAYERS, keep=False).features, tiles(70, 90, 100, LAYERS)[0].windows
    )
    assert columns.device.type == "meta"
    own, rows = channels(network.network), columns.flatten(0, 1)
    scale = torch.ones(own[LAYERS[-1]].stop, device="meta")
    features = {layer: rows[:, own[layer]].contiguous() for layer in LAYERS}
    cells = StyleCells(features, scale, scale, dict.fromkeys(LAYERS, 1.0), 1.0)
    found = neighbors.find(TiledFeatures(network), photo, scale, cells)
    target = Target("relu4_1", 8, 11, [found, found], [0.5, torch.ones(1, 1, 8, 11, device="meta")])
    part = target.at(slice(2, 4), slice(0, 20))
    assert part.shape == (1, len(range(*own["relu4_1"].indices(9999))), 2, 11)
    assert part.device.type == found.numbers.device.type == style.device.type == "meta"


# --- settings, scales, memory ------------------------------------------------------------------------------


def test_which_scales() -> None:
    def matched(*edges, settings=NEIGHBORS):
        schedule = [Scale(edge, edge // 2) for edge in edges]
        return [is_matched(settings, schedule, number) for number in range(len(edges))]

    assert matched(256, 512) == [False, True]
    assert matched(192, 384, 768) == [False, True, True]
    assert matched(96, 191) == [False, False]
    assert matched(150, 300) == [False, True]
    assert matched(512, settings=Settings()) == [False]
    assert matched(512, settings=NEIGHBORS.changed(style_weight=0)) == [False]
    assert matched(512, 1024, 2048, 4096, settings=Settings(size=4096)) == [False, True, True, True]
    assert matched(512, 1024, 2048, 4096, settings=NEIGHBORS.changed(size=4096)) == [False, True, True, True]
    assert matched(320, 640, 1280, settings=Settings(size=1280)) == [False, True, True]
    assert matched(320, 639, 1279, settings=Settings(size=1279)) == [False, False, False]
    assert matched(250, 500, settings=Settings(size=2000)) == [False, False]  # a result that is smaller
    assert matched(128, 256, settings=Settings(size=256, neighbours_from=1)) == [False, True]


@pytest.mark.parametrize(
    "changes",
    [
        {"neighbours_from": 0},
        {"neighbours_from": 2049},
        {"style_layers": "relu1_1,relu2_1"},
        {"style_statistic": "sliced"},
        {"style_weight": 0},
        {"quality": "instant"},
        {"preset": "paper"},
        {"preset": "sketchy"},
    ],
    ids=str,
)
def test_large_results_that_keep_their_statistic(changes) -> None:
    preset = changes.get("preset", "default")
    rest = {name: value for name, value in changes.items() if name != "preset"}
    settings = Settings.preset(preset, **{"size": 2048} | rest)
    assert not is_matched(settings, [Scale(1024, 512), Scale(2048, 1024)], 1)
    assert set(layers_of(settings, ())).isdisjoint({"relu1_2", "relu3_3"})


def test_what_is_refused() -> None:
    with pytest.raises(SettingsError, match="neighbours has no form in convention paper"):
        Settings.preset("paper", style_statistic="neighbours")
    with pytest.raises(SettingsError, match="neighbours"):
        Settings(style_statistic="neighbors")


def test_memory_is_counted() -> None:
    layers = [*LAYERS, "relu4_2"]
    small, large = Scale(512, 384), Scale(2048, 1536)

    def need(scale, settings, tile=0):
        return memory(scale, settings, layers, "fp32", tile, 10, False)

    more = need(large, NEIGHBORS, 512) - need(large, Settings(), 512)
    assert need(large, Settings(size=2048), 512) == need(large, NEIGHBORS, 512)
    # The painting's cells, which of them it is for each cell, and the canvas that the scale began with.
    cells, canvas = 4 * 32768 * 1216, (8 / 16 + 12) * 2048 * 1536
    assert more == pytest.approx(cells + canvas, rel=0.01)
    # At a small size the tables of a painting are more than what a pass keeps.
    tables = cells + 4 * 32768 * (1216 + 1024)
    assert need(small, NEIGHBORS) > 385e6 + tables


def test_layers_of_both_kinds_of_scales_are_read() -> None:
    assert set(layers_of(NEIGHBORS, ())) == {*LAYERS, *NEIGHBORS.style_layers, "relu4_2"}
    assert set(layers_of(Settings(size=2048), ())) == {*LAYERS, *NEIGHBORS.style_layers, "relu4_2"}
    assert set(layers_of(Settings(), ())).isdisjoint({"relu1_2", "relu3_3"})


@pytest.mark.parametrize("windows", ["half", "count", "drop"])
@pytest.mark.parametrize("edge", range(36, 44))
def test_cells_of_tiles_are_those_of_the_whole(narrow, random_image, windows, edge) -> None:
    """Also where the last tile has a cell, but no position of the deepest layer of its own."""
    network = prepared(narrow, partial_windows=windows)
    image = random_image(edge, edge + 9, 1)
    shape = [positions(length, stride(CELL), windows) for length in image.shape[-2:]]

    def table(tile: int) -> torch.Tensor:
        found = None
        for cells, where in hypercolumns.cells(TiledFeatures(network, tile), image):
            found = torch.full((*shape, cells.shape[2]), torch.nan) if found is None else found
            found[*where[CELL].outer] = cells
        return found

    torch.testing.assert_close(table(8), table(0), rtol=1e-4, atol=1e-3)


def test_a_cell_beyond_the_last_position_of_the_deepest_layer_has_that_one(narrow, random_image) -> None:
    network = prepared(narrow, partial_windows="half")
    ((found, _),) = hypercolumns.cells(TiledFeatures(network), random_image(42, 40, 1))
    deepest = found[..., channels(network.network)["relu4_1"]]
    assert deepest.shape[:2] == (11, 10)  # 42 / 4 and 40 / 4, rounded; relu4_1 has 42 / 8, five rows
    assert torch.equal(deepest[10], deepest[8])
    assert deepest[10].any()


@pytest.mark.parametrize("windows", ["half", "count", "drop"])
@pytest.mark.parametrize("edge", range(36, 44))
def test_nearest_cells_of_tiles_are_those_of_the_whole(narrow, random_image, windows, edge) -> None:
    """Also where the last tile has no cell of its own."""
    network = prepared(narrow, partial_windows=windows)
    canvas = random_image(edge, edge + 9, 1)
    pictures = ScaledInputs(canvas, (random_image(40, 48, 2),), torch.ones(1), None)
    features = TiledFeatures(network)
    cells, mean = neighbors.style_cells(features, pictures, 0), neighbors._mean_column(features, canvas)
    whole, tiled = (
        neighbors.find(TiledFeatures(network, tile), canvas, mean, cells).numbers for tile in (0, 8)
    )
    assert float((whole == tiled).double().mean()) > 0.99  # but for ties
