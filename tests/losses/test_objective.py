import dataclasses
import gc
import weakref

import pytest
import torch

from impasto.losses.content import ContentLoss
from impasto.losses.gram import GramLoss
from impasto.losses.loss import Penalty
from impasto.losses.objective import Objective, prepare
from impasto.losses.smoothness import TotalVariation
from impasto.network.backprop import FeatureExtractor

OPTIONS = {"pooling": "max", "padding": "zero", "device": "cpu"}


@pytest.fixture
def network(narrow):
    return prepare(narrow, precision="fp32", **OPTIONS)


def losses(factor: float = 1.0):
    return [
        ContentLoss("content.relu2_1", 2.0 * factor, "relu2_1", torch.zeros(1, 8, 8, 8)),
        GramLoss("style.relu1_1", factor, "relu1_1", torch.zeros(1, 8, 8), torch.ones(1)),
        TotalVariation(3.0 * factor),
    ]


def test_one_pass_and_parts_add_up(network, random_image, monkeypatch) -> None:
    calls, original = [], network.forward
    monkeypatch.setattr(network, "forward", lambda *a, **k: calls.append(a[1]) or original(*a, **k))
    objective, canvas = Objective(network, losses()), random_image(16, 16)
    before = canvas.clone()
    found = objective(canvas)
    assert len(calls) == 1
    assert sorted(calls[0]) == ["relu1_1", "relu2_1"]
    assert sum(found.parts.values()) == pytest.approx(found.loss * objective.scale, rel=1e-5)
    assert found.gradient.shape == canvas.shape
    assert torch.equal(canvas, before)
    assert not canvas.requires_grad


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_a_common_factor_changes_nothing_for_the_solver(network, random_image, factor) -> None:
    canvas = random_image(16, 16)
    one, other = (Objective(network, losses(f))(canvas) for f in (1.0, factor))
    assert other.loss == pytest.approx(one.loss, rel=1e-6)
    torch.testing.assert_close(other.gradient, one.gradient)
    for name, value in one.parts.items():
        assert other.parts[name] == pytest.approx(value * factor, rel=1e-5)


def test_weight_zero_is_left_out(network, random_image) -> None:
    extra = Penalty(lambda features: 1 / 0, weight=0, layers=("relu5_4",))
    objective = Objective(network, [*losses(), extra])
    assert "relu5_4" not in objective.layers
    assert "penalty" not in objective(random_image(8 * 2, 16)).parts


def test_bf16_is_near_fp32(narrow, random_image) -> None:
    canvas = random_image(16, 16)
    one, other = (
        Objective(prepare(narrow, precision=p, **OPTIONS), losses())(canvas) for p in ("fp32", "bf16")
    )
    assert other.loss == pytest.approx(one.loss, rel=0.03)
    assert other.gradient.dtype == torch.float32
    assert (other.gradient - one.gradient).norm() < 0.1 * one.gradient.norm()


POSITIONS = {"relu1_1": 1, "relu2_1": 2, "relu3_1": 4, "relu5_1": 16}


def several(narrow, height: int, width: int, styles: int = 2):
    """Return losses on layers of all depths, with smoothness, several styles and uneven weights."""
    generator = torch.Generator().manual_seed(5)
    channels = {name: narrow[f"conv{name[4:]}.bias"].numel() for name in POSITIONS}
    shape = (1, channels["relu3_1"], (height + 2) // 4, (width + 2) // 4)
    grams = [
        GramLoss(
            f"style.{name}",
            weight,
            name,
            torch.rand(styles, channels[name], channels[name], generator=generator),
            torch.full((styles,), 1 / styles),
        )
        for weight, name in enumerate(POSITIONS, start=1)
    ]
    target = torch.rand(shape, generator=generator)
    return [ContentLoss("content.relu3_1", 0.5, "relu3_1", target), *grams, TotalVariation(0.7)]


@pytest.mark.parametrize("size", [(96, 160), (131, 93), (64, 200), (250, 57)])
@pytest.mark.parametrize("tile", [16, 50, 96])
def test_tiled_equals_whole(narrow, random_image, size, tile) -> None:
    network = prepare(narrow, precision="fp32", **OPTIONS)
    canvas, wanted = random_image(*size), several(narrow, *size)
    whole, tiled = (Objective(network, wanted, edge)(canvas) for edge in (None, tile))
    assert tiled.loss == pytest.approx(whole.loss, rel=1e-5)
    assert tiled.parts == pytest.approx(whole.parts, rel=1e-5)
    assert (tiled.gradient - whole.gradient).norm() < 1e-4 * whole.gradient.norm()
    assert (tiled.gradient - whole.gradient).abs().max() < 1e-4 * whole.gradient.abs().max()


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
@pytest.mark.parametrize("padding", ["zero", "reflect", "replicate"])
def test_tiled_equals_whole_in_every_network(narrow, random_image, pooling, padding) -> None:
    options = {"pooling": pooling, "padding": padding, "device": "cpu"}
    network = prepare(narrow, precision="fp32", **options)
    canvas, wanted = random_image(119, 101), several(narrow, 119, 101)
    whole, tiled = (Objective(network, wanted, edge)(canvas) for edge in (None, 32))
    assert tiled.loss == pytest.approx(whole.loss, rel=1e-5)
    assert (tiled.gradient - whole.gradient).norm() < 1e-4 * whole.gradient.norm()


@pytest.mark.slow
def test_tiled_equals_whole_on_the_real_network(weights, random_image) -> None:
    network = prepare(weights, precision="fp32", **OPTIONS)
    canvas = random_image(150, 203)
    wanted = [
        ContentLoss("content.relu4_2", 1.0, "relu4_2", torch.zeros(1, 512, 19, 25)),
        GramLoss("style.relu5_1", 1e3, "relu5_1", torch.zeros(1, 512, 512), torch.ones(1)),
        GramLoss("style.relu1_1", 1e3, "relu1_1", torch.zeros(1, 64, 64), torch.ones(1)),
    ]
    whole, tiled = (Objective(network, wanted, edge)(canvas) for edge in (None, 64))
    assert tiled.loss == pytest.approx(whole.loss, rel=1e-5)
    assert (tiled.gradient - whole.gradient).norm() < 1e-4 * whole.gradient.norm()


def test_one_tile_at_a_time_is_in_memory(narrow, random_image, monkeypatch) -> None:
    alive, made = [], FeatureExtractor.forward

    def forward(self, *arguments, **options):
        assert not any(features() is not None for features in alive)
        result = made(self, *arguments, **options)
        alive.extend(weakref.ref(result.features[name]) for name in ("relu1_1", "relu2_1"))
        return result

    monkeypatch.setattr(FeatureExtractor, "forward", forward)
    network = prepare(narrow, precision="fp32", **OPTIONS)
    Objective(network, several(narrow, 96, 80), 32)(random_image(96, 80))
    assert len(alive) > 8 * 2


def test_an_objective_is_gone_with_its_last_reference(network, random_image) -> None:
    """Without the garbage collector, which comes too late: targets are as large as the picture."""
    objective = Objective(network, losses())
    objective(random_image(16, 16))
    seen = weakref.ref(objective)
    gc.disable()
    try:
        del objective
        assert seen() is None
    finally:
        gc.enable()


def test_what_is_not_additive_is_computed_whole(narrow, random_image) -> None:
    network = prepare(narrow, precision="fp32", **OPTIONS)
    mean = Penalty(lambda features: features["relu2_1"].mean() ** 2, layers=("relu2_1",))
    whole, tiled = (Objective(network, [mean], edge)(random_image(64, 64)) for edge in (None, 16))
    assert tiled.loss == whole.loss
    assert torch.equal(tiled.gradient, whole.gradient)


def test_a_loss_over_several_layers_and_the_image(narrow, random_image) -> None:
    network = prepare(narrow, precision="fp32", **OPTIONS)
    canvas = random_image(32, 32)

    def mixed(features):
        return (features["relu1_1"].mean() * features["relu3_1"].mean()) + features["image"].sum()

    found = Objective(network, [Penalty(mixed, layers=("relu1_1", "relu3_1"))])(canvas)
    leaf = canvas.clone().requires_grad_(True)
    expected = mixed(network.network(leaf, ["relu1_1", "relu3_1"]))
    (gradient,) = torch.autograd.grad(expected, leaf)
    assert found.loss == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(found.gradient, gradient)


@pytest.mark.parametrize("factor", [3.0, 0.1, 1e9, 7.77e-9])
def test_a_common_factor_changes_no_byte(network, random_image, factor) -> None:
    canvas = random_image(16, 16)
    plain = losses()
    scaled = [dataclasses.replace(loss, weight=loss.weight * factor) for loss in plain]
    one, other = Objective(network, plain), Objective(network, scaled)
    assert one.shares == other.shares
    assert sum(one.shares) == pytest.approx(1, abs=2e-6)
    assert one(canvas).loss == other(canvas).loss
    assert torch.equal(one(canvas).gradient, other(canvas).gradient)


def test_shares_have_six_digits_also_where_a_tie_is_rounded(network) -> None:
    for first in (1234565.0, 1.0, 999999.5, 1e-12):
        for factor in (1.0, 3.0, 0.1, 1e9, 7.77e-9, 1 / 7):
            pair = [
                Penalty(lambda f: f["image"].sum(), name="a", weight=first * factor),
                Penalty(lambda f: f["image"].sum(), name="b", weight=8765435.0 * factor),
            ]
            shares = Objective(network, pair).shares
            assert shares == [float(f"{share:.6g}") for share in shares]
            if factor == 1.0:
                known = shares
            assert shares == known
