import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize as scipy_minimize

from impasto.errors import InputError, NumericalError, Stop
from impasto.optim.evaluation import Evaluation, Evaluator, State
from impasto.optim.minimize import minimize
from impasto.optim.tracking import ROUND

SOLVERS = ["lbfgs", "scipy", "adam"]
WIDE = (-10.0, 10.0)


def tracked(function, *, seen=None):
    """Return evaluate() of a torch function; the points go into `seen`."""

    def evaluate(x: torch.Tensor) -> Evaluation:
        if seen is not None:
            seen.append(x.detach().clone())
        leaf = x.detach().clone().requires_grad_(True)
        loss = function(leaf)
        (gradient,) = torch.autograd.grad(loss, leaf)
        value = float(loss.detach())
        return Evaluation(value, gradient, {"all": value})

    return evaluate


def bowl(target: torch.Tensor, stiff: float = 10.0):
    scales = torch.linspace(1.0, stiff, target.numel()).view_as(target)
    return lambda x: (scales * (x - target).square()).sum()


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    a, b = x.flatten()
    return (1 - a) ** 2 + 100 * (b - a**2) ** 2


INSIDE = torch.tensor([0.2, 0.9, 0.5, 0.4, 0.7, 0.3]).view(1, 3, 1, 2)
OUTSIDE = torch.tensor([-0.6, 1.5, 0.5, 0.2, 3.0, 0.8]).view(1, 3, 1, 2)


@pytest.mark.parametrize("solver", SOLVERS)
def test_finds_the_bottom_of_a_bowl(solver) -> None:
    start = torch.full((1, 3, 1, 2), 0.5)
    found = minimize(
        tracked(bowl(INSIDE)), start, solver=solver, evaluations=400, learning_rate=0.01
    )
    torch.testing.assert_close(found.canvas, INSIDE, atol=2e-3, rtol=0)
    assert torch.equal(start, torch.full((1, 3, 1, 2), 0.5))
    assert found.evaluations <= 400


@pytest.mark.parametrize("solver", ["lbfgs", "scipy"])
def test_rosenbrock(solver) -> None:
    start = torch.tensor([-1.2, 1.0]).view(1, 1, 1, 2)
    found = minimize(tracked(rosenbrock), start, solver=solver, evaluations=200, bounds=WIDE)
    torch.testing.assert_close(found.canvas.flatten(), torch.ones(2), atol=2e-2, rtol=0)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_minimum_outside_reaches_the_projection_and_bounds_hold(solver) -> None:
    seen = []
    start = torch.full((1, 3, 1, 2), 0.5) + torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    found = minimize(tracked(bowl(OUTSIDE), seen=seen), start, solver=solver, evaluations=300)
    torch.testing.assert_close(found.canvas, OUTSIDE.clamp(0, 1), atol=2e-3, rtol=0)
    assert all(x.min() >= 0 and x.max() <= 1 for x in seen)
    assert len(seen) == found.evaluations


@pytest.mark.parametrize("solver", SOLVERS)
def test_without_bounds_it_leaves_the_range(solver) -> None:
    start = torch.full((1, 3, 1, 2), 0.5)
    found = minimize(
        tracked(bowl(OUTSIDE)),
        start,
        solver=solver,
        evaluations=600,
        bounds=None,
        learning_rate=0.02,
    )
    torch.testing.assert_close(found.canvas, OUTSIDE, atol=2e-2, rtol=0)


def test_scipy_is_never_bounded() -> None:
    found = minimize(tracked(bowl(OUTSIDE)), torch.full((1, 3, 1, 2), 0.5), solver="scipy")
    torch.testing.assert_close(found.canvas, OUTSIDE, atol=1e-3, rtol=0)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("limit", [1, 2, 7, 20, 23])
def test_evaluations_limit_is_exact(solver, limit) -> None:
    seen, counts = [], []
    found = minimize(
        tracked(lambda x: (x - 0.3).abs().pow(1.5).sum() + rosenbrock(x[..., :2]), seen=seen),
        torch.tensor([-1.2, 1.0, 0.1]).view(1, 1, 1, 3)[..., :2],
        solver=solver,
        evaluations=limit,
        bounds=WIDE,
        callback=lambda count, canvas, evaluation: counts.append(count),
    )
    assert found.evaluations == limit == len(seen)
    assert counts == list(range(1, limit + 1))
    assert found.reason == "evaluations"


def test_evaluator_runs_once_a_point() -> None:
    seen = []
    start = torch.tensor([-1.2, 1.0]).view(1, 1, 1, 2)
    e = Evaluator(tracked(rosenbrock, seen=seen), start)
    x = start.double().numpy().ravel()
    outcome = scipy_minimize(e.loss, x, jac=e.grads, method="L-BFGS-B")
    assert len(seen) == outcome.nfev == outcome.njev
    points = {tuple(point.flatten().tolist()) for point in seen}
    assert len(points) == len(seen)
    assert outcome.fun < 1e-4


def test_evaluator_copies_and_tells_points_apart() -> None:
    seen = []
    like = torch.zeros(1, 1, 1, 2)
    e = Evaluator(tracked(rosenbrock, seen=seen), like)
    x = np.array([0.0, 0.5])
    assert e.loss(x) == pytest.approx(26.0)
    x[1] = 0.0  # SciPy goes on using its own array
    assert e.grads(x).tolist() == pytest.approx([-2.0, 0.0])
    assert e.loss(x) == pytest.approx(1.0)
    assert len(seen) == 2
    assert seen[0].flatten().tolist() == [0.0, 0.5]
    assert seen[0].shape == like.shape
    assert e.grads(x).dtype == np.float64
    gradient = e.grads(x)
    gradient[:] = 7.0  # nor may what was handed out change what is remembered
    assert e.grads(x).tolist() == pytest.approx([-2.0, 0.0])


def test_curvature_is_kept_across_rounds() -> None:
    """One continuous run: the points are those of one SciPy call, beyond rounds of 20."""

    def function(x):  # Rosenbrock in 30 dimensions: a long curved valley
        a, b = x.flatten()[:-1], x.flatten()[1:]
        return ((1 - a) ** 2 + 100 * (b - a**2) ** 2).sum()

    ours, theirs, rounds = [], [], []
    start = torch.full((1, 1, 5, 6), 0.5)
    minimize(
        tracked(function, seen=ours),
        start,
        solver="scipy",
        evaluations=3 * ROUND + 5,
        callback=lambda count, x, e: rounds.append(count) if count % ROUND == 0 else None,
    )
    e = Evaluator(tracked(function, seen=theirs), start)
    options = {"maxfun": 1000, "maxiter": 1000, "ftol": 0.0, "gtol": 0.0, "maxcor": 10}
    x = start.double().numpy().ravel()
    scipy_minimize(e.loss, x, jac=e.grads, method="L-BFGS-B", options=options)
    assert rounds == [20, 40, 60]
    assert len(ours) == 65
    for one, other in zip(ours, theirs, strict=False):
        assert torch.equal(one, other)


@pytest.mark.parametrize("solver", SOLVERS)
def test_tolerance_ends_after_a_poor_round(solver) -> None:
    found = minimize(
        tracked(lambda x: 1 + 1e-6 * rosenbrock(x)),
        torch.tensor([-1.2, 1.0]).view(1, 1, 1, 2),
        solver=solver,
        evaluations=500,
        bounds=WIDE,
        tolerance=0.01,
    )
    assert found.reason in ("tolerance", "no further decrease")
    assert found.evaluations <= 2 * ROUND
    if solver == "adam":
        assert (found.reason, found.evaluations) == ("tolerance", 2 * ROUND)


def test_tolerance_does_not_end_good_rounds() -> None:
    options = {"solver": "adam", "evaluations": 80, "learning_rate": 1e-3, "tolerance": 0.001}
    found = minimize(tracked(lambda x: x.sum()), torch.full((1, 3, 4, 4), 0.9), **options)
    assert (found.reason, found.evaluations) == ("evaluations", 80)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("at", [1, 5])
def test_stop_ends_and_returns_the_best(solver, at) -> None:
    losses = []

    def callback(count, canvas, evaluation) -> None:
        losses.append(evaluation.loss)
        if count == at:
            raise Stop

    start = torch.tensor([-1.2, 1.0]).view(1, 1, 1, 2)
    found = minimize(tracked(rosenbrock), start, solver=solver, bounds=WIDE, callback=callback)
    assert (found.reason, found.evaluations) == ("stop", at)
    assert found.evaluation.loss == min(losses)
    assert float(rosenbrock(found.canvas)) == pytest.approx(min(losses))


@pytest.mark.parametrize("solver", SOLVERS)
def test_other_exceptions_pass_through(solver) -> None:
    def callback(*args) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        minimize(tracked(rosenbrock), torch.zeros(1, 1, 1, 2), solver=solver, callback=callback)


@pytest.mark.parametrize("bad", ["loss nan", "loss inf", "loss -inf", "gradient inf"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_what_is_not_finite_is_never_the_answer(solver, bad) -> None:
    """The bowl's bottom lies just inside a region where nothing is finite."""
    inner = tracked(bowl(INSIDE))
    kind, value = bad.split()

    def evaluate(x: torch.Tensor) -> Evaluation:
        found = inner(x)
        if float(x[0, 0, 0, 0]) < 0.25:
            if kind == "loss":
                return Evaluation(float(value), found.gradient, {})
            return Evaluation(found.loss, torch.full_like(x, float(value)), {})
        return found

    found = minimize(evaluate, torch.full((1, 3, 1, 2), 0.5), solver=solver, evaluations=60)
    assert found.evaluation.finite
    assert torch.isfinite(found.canvas).all()
    assert found.canvas[0, 0, 0, 0] >= 0.25
    assert found.evaluation.loss <= float(bowl(INSIDE)(torch.full((1, 3, 1, 2), 0.5)))
    if solver == "lbfgs":  # refuses the step and goes on: all other pixels arrive
        assert found.evaluation.loss < 0.05 * float(bowl(INSIDE)(torch.full((1, 3, 1, 2), 0.5)))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_not_finite_at_the_start_is_an_error(solver, loss) -> None:
    def evaluate(x: torch.Tensor) -> Evaluation:
        return Evaluation(loss, torch.ones_like(x), {})

    with pytest.raises(NumericalError, match="at the start"):
        minimize(evaluate, torch.zeros(1, 3, 2, 2), solver=solver, evaluations=5)


def test_best_is_returned_even_when_later_is_worse() -> None:
    losses = []
    found = minimize(
        tracked(bowl(INSIDE)),
        INSIDE + 0.01,
        solver="adam",
        learning_rate=1.0,
        evaluations=15,
        bounds=None,
        callback=lambda count, canvas, evaluation: losses.append(evaluation.loss),
    )
    assert losses[-1] > min(losses)
    assert found.evaluation.loss == min(losses)
    assert float(bowl(INSIDE)(found.canvas)) == pytest.approx(min(losses))


@pytest.mark.parametrize("exponent", [-12, -6, 6, 12])
def test_scale_of_the_loss_does_not_change_the_path(exponent) -> None:
    factor = 2.0 ** round(exponent * math.log2(10))  # a power of two scales without rounding
    target = torch.rand((1, 3, 4, 4), generator=torch.Generator().manual_seed(0)) * 2 - 0.5

    def function(x):
        return bowl(target, 1000.0)(x) + (x**4).sum()

    paths = []
    for scale in (1.0, factor):
        seen = []
        evaluate = tracked(lambda x, scale=scale: function(x) * scale, seen=seen)
        minimize(evaluate, torch.full((1, 3, 4, 4), 0.5), evaluations=25)
        paths.append(seen)
    assert len(paths[0]) == len(paths[1])
    for one, other in zip(*paths, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=0)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_flat_loss_ends_quietly(solver) -> None:
    found = minimize(tracked(lambda x: 0 * x.sum()), torch.zeros(1, 3, 2, 2), solver=solver)
    assert torch.equal(found.canvas, torch.zeros(1, 3, 2, 2))
    assert found.evaluation.loss == 0.0


def walled(inner, wall: float):
    """Return evaluate() that is not finite where the first pixel is below the wall."""

    def evaluate(x: torch.Tensor) -> Evaluation:
        found = inner(x)
        if float(x.flatten()[0]) < wall:
            return Evaluation(math.nan, found.gradient, {"one": 1.0, "two": math.nan})
        return found

    return evaluate


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_step_that_is_not_finite_is_refused_and_the_run_goes_on(solver) -> None:
    """A wall on the way for a while, as a loss that overflows at one canvas: the bottom is reached."""
    seen, inner = [], tracked(bowl(INSIDE))

    def evaluate(x: torch.Tensor) -> Evaluation:
        seen.append(x.clone())
        if len(seen) in (4, 9):
            return Evaluation(-1.0, torch.full_like(x, math.inf), {})
        return inner(x)

    start = torch.full((1, 3, 1, 2), 0.5)
    found = minimize(evaluate, start, solver=solver, evaluations=300, learning_rate=0.01)
    assert found.evaluations > 9
    assert found.fault == ""
    torch.testing.assert_close(found.canvas, INSIDE, atol=1e-2, rtol=0)


def test_a_step_that_is_not_finite_restarts_the_curvature(monkeypatch) -> None:
    from impasto.optim.curvature import Curvature

    cleared, clear = [], Curvature.clear
    monkeypatch.setattr(Curvature, "clear", lambda self: cleared.append(len(self)) or clear(self))
    bad, seen = 5, []
    inner = tracked(bowl(INSIDE, 1000.0))

    def evaluate(x: torch.Tensor) -> Evaluation:
        seen.append(x)
        return Evaluation(math.inf, torch.zeros_like(x), {}) if len(seen) == bad else inner(x)

    minimize(evaluate, torch.full((1, 3, 1, 2), 0.5), evaluations=12)
    assert cleared
    assert cleared[0] > 0


@pytest.mark.parametrize("solver", SOLVERS)
def test_repeated_failure_ends_with_the_best_and_the_name(solver) -> None:
    """Once past the third evaluation nothing is finite any more."""
    seen, inner = [], tracked(bowl(INSIDE))

    def evaluate(x: torch.Tensor) -> Evaluation:
        seen.append(x.clone())
        if len(seen) <= 3:
            return inner(x)
        return Evaluation(math.nan, torch.ones_like(x), {"one": 1.0, "two": math.nan})

    asked = []

    def blame(canvas: torch.Tensor, evaluation: Evaluation) -> str:
        asked.append((canvas.clone(), dict(evaluation.parts)))
        return "the loss two"

    start = torch.full((1, 3, 1, 2), 0.5)
    found = minimize(evaluate, start, solver=solver, evaluations=500, blame=blame)
    assert (found.reason, found.fault) == ("not finite", "the loss two")
    assert found.evaluations < 40
    losses = [float(bowl(INSIDE)(x)) for x in seen[:3]]
    assert found.evaluation.loss == pytest.approx(min(losses))
    assert len(asked) == 1
    torch.testing.assert_close(asked[0][0], seen[-1])


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_name_is_in_the_error_of_the_start(solver) -> None:
    with pytest.raises(NumericalError, match=r"^the loss two was not finite at the start; use"):
        minimize(
            walled(tracked(bowl(INSIDE)), 0.9),
            torch.full((1, 3, 1, 2), 0.5),
            solver=solver,
            blame=lambda canvas, evaluation: "the loss two",
        )


@pytest.mark.parametrize("size", [1e-44, 1e-38, 1e-30, 1e30, 1e36])
def test_gradients_near_the_ends_of_float32_end_with_a_finite_best(size) -> None:
    def evaluate(x: torch.Tensor) -> Evaluation:
        return Evaluation(size * float(x.double().sum()), torch.full_like(x, size), {})

    found = minimize(evaluate, torch.full((1, 3, 8, 8), 0.5), evaluations=10)
    assert torch.isfinite(found.canvas).all()
    assert found.reason != "not finite"


# --- interrupted and gone on with ----------------------------------------------------------------


def copied(state: State) -> State:
    return replace(state, tensors={name: found.clone() for name, found in state.tensors.items()})


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("compact", [False, True])
def test_goes_on_from_every_state_to_the_same_bytes(solver, compact) -> None:
    generator = torch.Generator().manual_seed(3)
    target = torch.rand((1, 3, 4, 5), generator=generator) * 2 - 0.5
    start, states, whole = torch.full((1, 3, 4, 5), 0.5), [], []

    def function(x):
        return bowl(target, 1000.0)(x) + (5 * x).cos().sum()

    options = {"solver": solver, "evaluations": 45, "tolerance": 1e-9, "history": 4}
    options |= {"compact": compact, "learning_rate": 0.3}
    expected = minimize(
        tracked(function, seen=whole), start, keep=lambda s: states.append(copied(s)), **options
    )
    assert expected.state is None
    assert states[0].count == 0
    assert states[-1].count > 35
    for state in states:
        seen = []
        found = minimize(tracked(function, seen=seen), 0 * start, state=state, **options)
        assert len(seen) == len(whole) - state.count
        assert all(torch.equal(*pair) for pair in zip(seen, whole[state.count :], strict=True))
        assert torch.equal(found.canvas, expected.canvas)
        assert found.evaluation.loss == expected.evaluation.loss
        assert found.evaluation.parts == expected.evaluation.parts
        assert (found.evaluations, found.reason) == (expected.evaluations, expected.reason)


@pytest.mark.parametrize("solver", SOLVERS)
def test_goes_on_to_the_same_bytes_after_what_is_not_finite(solver) -> None:
    """The bowl's bottom lies behind a wall, so that each solver has to begin anew more than once."""
    states, seen = [], []
    start = torch.full((1, 3, 1, 2), 0.5)
    evaluate = walled(tracked(bowl(INSIDE, 100.0), seen=seen), 0.25)
    options = {"solver": solver, "evaluations": 120, "learning_rate": 0.1}
    expected = minimize(evaluate, start, keep=lambda s: states.append(copied(s)), **options)
    assert sum(float(x.flatten()[0]) < 0.25 for x in seen) > 1
    for state in states[:: max(1, len(states) // 20)]:
        found = minimize(evaluate, start, state=state, **options)
        assert torch.equal(found.canvas, expected.canvas)
        assert (found.evaluations, found.reason) == (expected.evaluations, expected.reason)


@pytest.mark.parametrize("solver", SOLVERS)
def test_stopped_in_the_middle_it_tells_from_where_it_can_go_on(solver) -> None:
    def stop(count, canvas, evaluation) -> None:
        if count == 13:
            raise Stop("enough")

    start = torch.tensor([-1.2, 1.0]).view(1, 1, 1, 2)
    options = {"solver": solver, "evaluations": 40, "bounds": WIDE}
    expected = minimize(tracked(rosenbrock), start, **options)
    stopped = minimize(tracked(rosenbrock), start, callback=stop, **options)
    assert (stopped.reason, stopped.evaluations) == ("enough", 13)
    assert stopped.state.count <= 13
    found = minimize(tracked(rosenbrock), start, state=stopped.state, **options)
    assert torch.equal(found.canvas, expected.canvas)


def test_stop_before_the_first_evaluation_is_passed_on() -> None:
    def evaluate(x):
        raise Stop("early")

    with pytest.raises(Stop, match="early"):
        minimize(evaluate, torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("spoilt", ["other size", "no canvas", "no numbers", "other solver"])
def test_a_state_that_does_not_fit_is_refused(solver, spoilt) -> None:
    states = []
    start = torch.full((1, 3, 1, 2), 0.5)
    evaluate = tracked(bowl(INSIDE))
    minimize(evaluate, start, solver=solver, evaluations=9, keep=states.append)
    state = states[-1]
    if spoilt == "other size":
        start = torch.full((1, 3, 2, 2), 0.5)
    elif spoilt == "no canvas":
        state = replace(state, tensors={})
    elif spoilt == "no numbers":
        state = replace(state, numbers={})
    else:
        solver = SOLVERS[SOLVERS.index(solver) - 1]
    with pytest.raises(InputError, match="the state does not fit"):
        minimize(evaluate, start, solver=solver, evaluations=9, state=state)
