import contextlib
import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from impasto.optim.evaluation import Evaluation
from impasto.optim.scipy_lbfgsb import ScipyLBFGSB

N, PAIRS = 40, 5
ROOT = np.random.default_rng(0).normal(size=(N, N))
MATRIX = ROOT @ ROOT.T + np.eye(N)


def quartic(x: np.ndarray) -> tuple[float, np.ndarray]:
    return float(x @ MATRIX @ x + np.sum(x**4)), 2 * MATRIX @ x + 4 * x**3


class EnoughError(Exception):
    pass


def visited(start: torch.Tensor, most: int, line_search: int = 20) -> list[np.ndarray]:
    """The points of one step, at most so many."""
    seen = []

    def evaluate(canvas: torch.Tensor) -> Evaluation:
        if len(seen) == most:
            raise EnoughError
        seen.append(canvas.numpy().ravel().copy())
        loss, gradient = quartic(seen[-1])
        return Evaluation(loss, torch.from_numpy(gradient).view_as(canvas))

    solver = ScipyLBFGSB(start, history=PAIRS, line_search=line_search)
    with contextlib.suppress(EnoughError):
        assert solver.step(evaluate) is False
    return seen


@pytest.mark.parametrize("start", [1.0, 0.0])  # at 0 there is nothing to do
@pytest.mark.parametrize("line_search", [20, 2])
def test_the_same_points_as_scipys_own_loop(start, line_search) -> None:
    theirs = []

    def noted(x):
        if len(theirs) == 60:
            raise EnoughError
        theirs.append(x.copy())
        return quartic(x)

    options = {"maxcor": PAIRS, "maxfun": 10**9, "maxiter": 10**9, "ftol": 0.0, "gtol": 0.0}
    options |= {"maxls": line_search}
    with contextlib.suppress(EnoughError):
        minimize(noted, np.full(N, start), jac=True, method="L-BFGS-B", options=options)
    ours = visited(torch.full((1, 1, 4, 10), start, dtype=torch.float64), 60, line_search)
    assert len(ours) == len(theirs)
    assert len(ours) == (60 if start else 1) or line_search == 2
    assert all(np.array_equal(*pair) for pair in zip(ours, theirs, strict=True))


def test_a_step_is_a_whole_descent_and_its_state_the_canvas_it_began_with() -> None:
    start = torch.full((1, 1, 4, 10), 1.0, dtype=torch.float64)
    solver, seen = ScipyLBFGSB(start, history=PAIRS), []

    def evaluate(canvas: torch.Tensor) -> Evaluation:
        seen.append(canvas.clone())
        (canvas_now,) = solver.state_dict().values()
        assert torch.equal(canvas_now, start)
        loss, gradient = quartic(canvas.numpy().ravel())
        return Evaluation(loss, torch.from_numpy(gradient).view_as(canvas))

    assert solver.step(evaluate) is False
    assert len(seen) > 60
    assert quartic(seen[-1].numpy().ravel())[0] < 1e-9


def test_what_is_not_finite_ends_the_step_at_once() -> None:
    start, seen = torch.full((1, 1, 4, 10), 1.0, dtype=torch.float64), []
    solver = ScipyLBFGSB(start, history=PAIRS)

    def evaluate(canvas: torch.Tensor) -> Evaluation:
        seen.append(canvas.clone())
        loss, gradient = quartic(canvas.numpy().ravel())
        loss = math.nan if len(seen) == 5 else loss
        return Evaluation(loss, torch.from_numpy(gradient).view_as(canvas))

    assert solver.step(evaluate) is False
    assert len(seen) == 5
    assert solver.restart(seen[3], 1)
    seen += [start] * 3  # past the fifth
    assert solver.step(evaluate) is False
    assert torch.equal(seen[8], seen[3])
