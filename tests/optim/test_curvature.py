import numpy as np
import pytest
import torch

from impasto.optim import curvature
from impasto.optim.curvature import Curvature


def reference(pairs, gradient, free):
    """Nocedal's two loops in float64, on the free values alone, with the pairs that have curvature there."""
    pairs = [(s[free], y[free]) for s, y in pairs]
    pairs = [(s, y) for s, y in pairs if s @ y > 1e-10 * np.sqrt((s @ s) * (y @ y))]
    vector, shares = -gradient[free], []
    for s, y in reversed(pairs):
        shares.append(s @ vector / (s @ y))
        vector = vector - shares[-1] * y
    if pairs:
        s, y = pairs[-1]
        vector = vector * (s @ y / (y @ y))
    for (s, y), share in zip(pairs, reversed(shares), strict=True):
        vector = vector + (share - y @ vector / (s @ y)) * s
    direction = np.zeros_like(gradient)
    direction[free] = vector
    return direction


@pytest.mark.parametrize("block", [2**22, 64])
@pytest.mark.parametrize("fixed", [None, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("opposed", [(), (1,), (4,), (0, 1, 2, 3, 4)])
def test_the_direction_is_that_of_the_two_loops_on_the_free_values(
    monkeypatch, block, fixed, opposed
) -> None:
    monkeypatch.setattr(curvature, "BLOCK", block)
    monkeypatch.setattr("impasto.optim.evaluation.BLOCK", block)
    rng = np.random.default_rng(3)
    steps = rng.normal(size=(5, 150))
    changes = 2 * steps + 0.3 * rng.normal(size=steps.shape)
    changes[list(opposed)] *= -1
    pairs, gradient = list(zip(steps, changes, strict=True)), rng.normal(size=150)
    known = Curvature(5, torch.float64)
    known.restore(
        {f"{name}.{n}": torch.from_numpy(v) for n, pair in enumerate(pairs)
         for name, v in zip(("step", "change"), pair, strict=True)},
        torch.device("cpu"),
    )  # fmt: skip
    mask = None if fixed is None else torch.from_numpy(rng.random(150) < fixed)
    free = np.ones(150, bool) if mask is None else ~mask.numpy()
    found = known.direction(torch.from_numpy(gradient), mask)
    assert found.numpy() == pytest.approx(reference(pairs, gradient, free), rel=1e-9, abs=1e-12)
    assert not found.numpy()[~free].any()


def test_a_pair_without_curvature_is_not_kept() -> None:
    known, zero, one = Curvature(3, torch.float32), torch.zeros(4), torch.ones(4)
    known.add((zero, one), (zero, one))
    known.add((zero, one), (zero, -one))
    known.add((zero, one), (zero, torch.tensor([1.0, -1.0, 1.0, -1.0])))
    assert len(known) == 1
