import contextlib

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from impasto.errors import InputError
from impasto.optim.scipy_lbfgsb import Driver

N, PAIRS = 40, 5
ROOT = np.random.default_rng(0).normal(size=(N, N))
MATRIX = ROOT @ ROOT.T + np.eye(N)


def quartic(x: np.ndarray) -> tuple[float, np.ndarray]:
    return float(x @ MATRIX @ x + np.sum(x**4)), 2 * MATRIX @ x + 4 * x**3


def driven(driver: Driver, count: int) -> list[np.ndarray]:
    """The points at which evaluations are wanted."""
    seen = []
    while len(seen) < count and driver.wants_evaluation():
        seen.append(driver.x.copy())
        driver.give(*quartic(driver.x))
    return seen


def test_scipys_routine_is_the_one_known() -> None:
    """Where this fails after a new SciPy, a checkpoint holds no more than the start of a scale."""
    assert Driver.works()


@pytest.mark.parametrize("start", [1.0, 0.0])  # at 0 there is nothing to do
def test_the_same_points_as_scipys_own_loop(start) -> None:
    theirs = []

    class EnoughError(Exception):
        pass

    def noted(x):
        if len(theirs) == 60:
            raise EnoughError
        theirs.append(x.copy())
        return quartic(x)

    options = {"maxcor": PAIRS, "maxfun": 10**9, "maxiter": 10**9, "ftol": 0.0, "gtol": 0.0}
    with contextlib.suppress(EnoughError):
        minimize(noted, np.full(N, start), jac=True, method="L-BFGS-B", options=options)
    ours = driven(Driver(np.full(N, start), PAIRS), 60)
    assert len(ours) == len(theirs) == (60 if start else 1)
    assert all(np.array_equal(*pair) for pair in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_goes_on_from_its_state_to_the_same_points(count) -> None:
    whole = driven(Driver(np.ones(N), PAIRS), 60)
    first = Driver(np.ones(N), PAIRS)
    driven(first, count)
    assert first.wants_evaluation()
    held = {name: tensor.clone() for name, tensor in first.tensors().items()}
    second = Driver(np.zeros(N), PAIRS)
    second.restore(held)
    rest = driven(second, 60 - count)
    assert all(np.array_equal(*pair) for pair in zip(rest, whole[count:], strict=True))


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [("whole", 0, 10**6), ("whole", 26, PAIRS + 1), ("whole", 37, N + 1), ("whole", 27, -1),
     ("indices", 5, 10**6), ("indices", 5, -2), ("task", 0, 0)],
)  # fmt: skip
def test_a_state_that_would_lead_out_of_the_arrays_is_refused(name, place, value) -> None:
    driver = Driver(np.ones(N), PAIRS)
    driven(driver, 10)
    driver.wants_evaluation()
    held = {key: tensor.clone() for key, tensor in driver.tensors().items()}
    held[f"scipy.{name}"][place] = value
    with pytest.raises(InputError, match="not one of SciPy's"):
        Driver(np.ones(N), PAIRS).restore(held)


def test_a_state_of_another_size_is_refused() -> None:
    driver = Driver(np.ones(N), PAIRS)
    driver.wants_evaluation()
    held = driver.tensors() | {"scipy.x": torch.zeros(N + 1, dtype=torch.float64)}
    with pytest.raises(InputError, match=r"scipy\.x|: x is"):
        Driver(np.ones(N), PAIRS).restore(held)
    with pytest.raises(InputError, match="missing"):
        Driver(np.ones(N), PAIRS).restore({})
