"""The temporal loss: by hand, by finite differences, in tiles."""

import pytest
import torch

from impasto.losses.content import ContentLoss
from impasto.losses.objective import Objective
from impasto.network.vgg import VGG19
from impasto.videos.temporal import TemporalLoss


def rand(*shape: int, seed: int = 0, dtype=torch.float32) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_the_loss_by_hand() -> None:
    """Two pixels; one is not trusted. (3 + 4 + 0 levels squared) over 6 values: (9 + 16) / 6."""
    target = torch.zeros(1, 3, 1, 2)
    canvas = torch.tensor([[[[3.0, 90.0]], [[4.0, 90.0]], [[0.0, 90.0]]]]) / 255
    trust = torch.tensor([[[[1.0, 0.0]]]])
    loss = TemporalLoss.of(1.0, target, trust)
    assert float(loss.value(loss.measure({"image": canvas}))) == pytest.approx(25 / 6)


def test_the_gradient_by_finite_differences() -> None:
    target, trust = (
        rand(1, 3, 4, 5, seed=1, dtype=torch.float64),
        rand(1, 1, 4, 5, seed=2, dtype=torch.float64),
    )
    canvas, step = rand(1, 3, 4, 5, seed=3, dtype=torch.float64), 1e-6
    loss = TemporalLoss.of(1.0, target, trust)

    def value(image: torch.Tensor) -> float:
        return float(loss.value(loss.measure({"image": image})))

    slope = torch.tensor(255.0**2 / target.numel(), dtype=torch.float64)
    gradient = loss.backward({"image": canvas}, None, [slope], None)
    for place in [(0, 0, 0, 0), (0, 1, 2, 3), (0, 2, 3, 4)]:
        up, down = canvas.clone(), canvas.clone()
        up[place] += step
        down[place] -= step
        assert float(gradient[place]) == pytest.approx((value(up) - value(down)) / (2 * step), rel=1e-6)


def test_the_gradient_adds_to_what_is_there() -> None:
    loss = TemporalLoss.of(1.0, rand(1, 3, 4, 4), torch.ones(1, 1, 4, 4))
    canvas, before = rand(1, 3, 4, 4, seed=1), rand(1, 3, 4, 4, seed=2)
    alone = loss.backward({"image": canvas}, None, [torch.tensor(1.0)], None)
    added = loss.backward({"image": canvas}, None, [torch.tensor(1.0)], before.clone())
    assert torch.allclose(added, before + alone)


def test_in_tiles_it_is_the_same(narrow) -> None:
    network = VGG19(narrow)
    photo, canvas = rand(1, 3, 64, 80, seed=1), rand(1, 3, 64, 80, seed=2)
    target = network(photo, ["relu2_1"])["relu2_1"].detach()
    losses = [
        TemporalLoss.of(3.0, photo, rand(1, 1, 64, 80, seed=3)),
        ContentLoss("content.relu2_1", 1.0, "relu2_1", target),
    ]
    whole, tiled = Objective(network, losses)(canvas), Objective(network, losses, 32)(canvas)
    assert tiled.loss == pytest.approx(whole.loss, rel=1e-5)
    assert (tiled.gradient - whole.gradient).norm() < 1e-4 * whole.gradient.norm()
    assert (tiled.gradient - whole.gradient).abs().max() < 1e-4 * whole.gradient.abs().max()
    loss = losses[0]
    apart = (canvas - photo).square() * loss.guide * 255**2 / photo.numel()
    assert whole.parts["temporal"] == pytest.approx(3 * float(apart.sum()), rel=1e-5)
