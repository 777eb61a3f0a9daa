import pytest
import torch

from impasto.losses import ContentLoss, GramLoss, Penalty, TotalVariation
from impasto.objective import Objective, prepare

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
    monkeypatch.setattr(network, "forward", lambda *a: calls.append(a[1]) or original(*a))
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
        Objective(prepare(narrow, precision=p, **OPTIONS), losses())(canvas)
        for p in ("fp32", "bf16")
    )
    assert other.loss == pytest.approx(one.loss, rel=0.03)
    assert other.gradient.dtype == torch.float32
    assert (other.gradient - one.gradient).norm() < 0.1 * one.gradient.norm()
