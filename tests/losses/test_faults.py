import math

import pytest
import torch

from impasto.losses.loss import Penalty
from impasto.losses.objective import Objective, prepare
from impasto.losses.smoothness import TotalVariation

OPTIONS = {"pooling": "max", "padding": "zero", "precision": "fp32", "device": "cpu"}
FLAT = torch.full((1, 3, 16, 16), 0.5)


@pytest.fixture
def network(narrow):
    return prepare(narrow, **OPTIONS)


def said(network, losses) -> str:
    objective = Objective(network, losses)
    found = objective(FLAT)
    assert not found.finite
    return objective.fault(FLAT, found)


def mean(factor: float):
    return lambda features: features["relu1_1"].mean() * factor


def test_a_loss_that_is_not_finite_is_named(network) -> None:
    losses = [
        TotalVariation(1.0),
        Penalty(mean(math.inf), layers=("relu1_1",), name="mine"),
        Penalty(mean(1.0), layers=("relu1_1",), name="other"),
    ]
    assert said(network, losses) == "the loss mine"


def test_a_gradient_that_is_not_finite_is_named(network) -> None:
    """The root of a variance that is zero: the value is fine, its slope is not."""
    losses = [
        Penalty(mean(1.0), layers=("relu1_1",), name="fine"),
        TotalVariation(0.0),
        Penalty(lambda features: features["image"].var().sqrt(), name="spread"),
    ]
    assert said(network, losses) == "the gradient of the loss spread"


def test_a_sum_that_is_too_large_names_what_was_added(network) -> None:
    """Each is below the end of float32, the sum is above."""
    large = 3e38 / float(prepare_mean(network))
    losses = [Penalty(mean(large), layers=("relu1_1",), name=name, weight=1.0) for name in ("a", "b", "c")]
    objective = Objective(network, losses)
    found = objective(FLAT)
    assert found.finite  # shares of a third each: no overflow
    whole = type(found)(math.inf, found.gradient, found.parts)
    words = objective.fault(FLAT, whole)
    assert words == "the sum of the losses a and b and c"


def prepare_mean(network) -> torch.Tensor:
    return network.forward(FLAT, ["relu1_1"], keep=False).features["relu1_1"].mean()
