import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize as scipy_minimize

from impasto.errors import End, EndOfScale, NumericalError, Stop
from impasto.optim.adam import Adam
from impasto.optim.evaluation import Evaluation, Evaluator, Solution, Solver, StateDict
from impasto.optim.lbfgs import LBFGS
from impasto.optim.minimize import minimize, restarted
from impasto.optim.scipy_lbfgsb import ScipyLBFGSB
from impasto.optim.tracking import RETRIES, ROUND, Tracking

SOLVERS = ["lbfgs", "scipy", "adam"]
WIDE = (-10.0, 10.0)


def solver_of(name, start, *, bounds=(0.0, 1.0), history=10, compact=False, learning_rate=0.02) -> Solver:
    """Return a solver by name; each takes those of the options that it has."""
    if name == "lbfgs":
        return LBFGS(start, history=history, bounds=bounds, compact=compact)
    if name == "scipy":
        return ScipyLBFGSB(start, history=history)
    return Adam(start, learning_rate=learning_rate, bounds=bounds)


def minimized(
    evaluate, start, *, solver="lbfgs", evaluations=200, tolerance=0.0, callback=None, **options
) -> Solution:
    return minimize(evaluate, solver_of(solver, start, **options), evaluations, tolerance, callback)


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
    found = minimized(tracked(bowl(INSIDE)), start, solver=solver, evaluations=400, learning_rate=0.01)
    torch.testing.assert_close(found.canvas, INSIDE, atol=2e-3, rtol=0)
    assert torch.equal(start, torch.full((1, 3, 1, 2), 0.5))
    assert found.evaluations <= 400


@pytest.mark.parametrize("solver", ["lbfgs", "scipy"])
def test_rosenbrock(solver) -> None:
    start = torch.tensor([-1.2, 1.0]).view(1, 1, 1, 2)
    found = minimized(tracked(rosenbrock), start, solver=solver, evaluations=200, bounds=WIDE)
    torch.testing.assert_close(found.canvas.flatten(), torch.ones(2), atol=2e-2, rtol=0)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_minimum_outside_reaches_the_projection_and_bounds_hold(solver) -> None:
    seen = []
    start = torch.full((1, 3, 1, 2), 0.5) + torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    found = minimized(tracked(bowl(OUTSIDE), seen=seen), start, solver=solver, evaluations=300)
    torch.testing.assert_close(found.canvas, OUTSIDE.clamp(0, 1), atol=2e-3, rtol=0)
    assert all(x.min() >= 0 and x.max() <= 1 for x in seen)
    assert len(seen) == found.evaluations


@pytest.mark.parametrize("solver", SOLVERS)
def test_without_bounds_it_leaves_the_range(solver) -> None:
    start = torch.full((1, 3, 1, 2), 0.5)
    found = minimized(
        tracked(bowl(OUTSIDE)), start, solver=solver, evaluations=600, bounds=None, learning_rate=0.02
    )
    torch.testing.assert_close(found.canvas, OUTSIDE, atol=2e-2, rtol=0)


def test_scipy_is_never_bounded() -> None:
    found = minimized(tracked(bowl(OUTSIDE)), torch.full((1, 3, 1, 2), 0.5), solver="scipy")
    torch.testing.assert_close(found.canvas, OUTSIDE, atol=1e-3, rtol=0)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("limit", [1, 2, 7, 20, 23])
def test_evaluations_limit_is_exact(solver, limit) -> None:
    seen, counts = [], []
    found = minimized(
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
    minimized(
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
    found = minimized(
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
    found = minimized(tracked(lambda x: x.sum()), torch.full((1, 3, 4, 4), 0.9), **options)
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
    found = minimized(tracked(rosenbrock), start, solver=solver, bounds=WIDE, callback=callback)
    assert (found.reason, found.evaluations) == ("stop", at)
    assert found.evaluation.loss == min(losses)
    assert float(rosenbrock(found.canvas)) == pytest.approx(min(losses))


@pytest.mark.parametrize("solver", SOLVERS)
def test_other_exceptions_pass_through(solver) -> None:
    def callback(*args) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        minimized(tracked(rosenbrock), torch.zeros(1, 1, 1, 2), solver=solver, callback=callback)


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

    found = minimized(evaluate, torch.full((1, 3, 1, 2), 0.5), solver=solver, evaluations=60)
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
        minimized(evaluate, torch.zeros(1, 3, 2, 2), solver=solver, evaluations=5)


def test_best_is_returned_even_when_later_is_worse() -> None:
    losses = []
    found = minimized(
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
        minimized(evaluate, torch.full((1, 3, 4, 4), 0.5), evaluations=25)
        paths.append(seen)
    assert len(paths[0]) == len(paths[1])
    for one, other in zip(*paths, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=0)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_flat_loss_ends_quietly(solver) -> None:
    found = minimized(tracked(lambda x: 0 * x.sum()), torch.zeros(1, 3, 2, 2), solver=solver)
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
    found = minimized(evaluate, start, solver=solver, evaluations=300, learning_rate=0.01)
    assert found.evaluations > 9
    assert found.reason in ("evaluations", "no further decrease")
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

    minimized(evaluate, torch.full((1, 3, 1, 2), 0.5), evaluations=12)
    assert cleared
    assert cleared[0] > 0


@pytest.mark.parametrize("solver", SOLVERS)
def test_repeated_failure_ends_with_the_best(solver) -> None:
    """Once past the third evaluation nothing is finite any more."""
    seen, inner = [], tracked(bowl(INSIDE))

    def evaluate(x: torch.Tensor) -> Evaluation:
        seen.append(x.clone())
        if len(seen) <= 3:
            return inner(x)
        return Evaluation(math.nan, torch.ones_like(x), {"one": 1.0, "two": math.nan})

    start = torch.full((1, 3, 1, 2), 0.5)
    found = minimized(evaluate, start, solver=solver, evaluations=500)
    assert found.reason == "not finite"
    assert found.evaluations < 40
    losses = [float(bowl(INSIDE)(x)) for x in seen[:3]]
    assert found.evaluation.loss == pytest.approx(min(losses))


@pytest.mark.parametrize("copy", [False, True])
def test_what_is_tracked(copy) -> None:
    tracking = Tracking()
    canvases = [torch.full((1, 3, 1, 1), float(n)) for n in range(4)]
    losses = (3.0, 1.0, 2.0, math.nan)
    made = [Evaluation(loss, torch.zeros(1, 3, 1, 1)) for loss in losses]
    for canvas, evaluation in zip(canvases, made, strict=True):
        tracking.note(canvas, evaluation, copy=copy)
    assert (tracking.count, tracking.best, tracking.finite) == (4, made[1], False)
    assert torch.equal(tracking.best_canvas, canvases[1])
    assert (tracking.best_canvas is canvases[1]) == (not copy)
    assert tracking.rejected[1] is made[3]
    assert torch.equal(tracking.rejected[0], canvases[3])
    assert (tracking.rejected[0] is canvases[3]) == (not copy)
    retried = [tracking.retry() for _ in range(RETRIES + 1)]
    assert all(canvas is tracking.best_canvas for canvas in retried[:-1])
    assert retried[-1] is None
    tracking.note(canvases[0], Evaluation(0.5, torch.zeros(1, 3, 1, 1)), copy=copy)
    assert tracking.retry() is tracking.best_canvas  # another best canvas: counted anew
    assert tracking.failures == 1


def test_the_best_of_an_earlier_solver_holds_until_the_first_evaluation() -> None:
    earlier, zeros = torch.zeros(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    tracking = Tracking(best=Evaluation(1.0, zeros), best_canvas=earlier)
    assert tracking.retry() is earlier
    tracking.note(zeros + 1, Evaluation(2.0, zeros), copy=True)
    assert (tracking.count, tracking.best.loss) == (1, 2.0)
    assert torch.equal(tracking.best_canvas, zeros + 1)


@pytest.mark.parametrize("size", [1e-44, 1e-38, 1e-30, 1e30, 1e36])
def test_gradients_near_the_ends_of_float32_end_with_a_finite_best(size) -> None:
    def evaluate(x: torch.Tensor) -> Evaluation:
        return Evaluation(size * float(x.double().sum()), torch.full_like(x, size), {})

    found = minimized(evaluate, torch.full((1, 3, 8, 8), 0.5), evaluations=10)
    assert torch.isfinite(found.canvas).all()
    assert found.reason != "not finite"


# --- interrupted and resumed ----------------------------------------------------------------------


def copied(state: StateDict) -> StateDict:
    """Return a state with tensors of its own: solvers may change theirs in place."""
    return {name: item.clone() if isinstance(item, torch.Tensor) else item for name, item in state.items()}


class Walk:
    """A solver with its tracking, walked step by step as a run does it."""

    def __init__(self, evaluate, solver: Solver, *, evaluations, tolerance=0.0, tracking=None) -> None:
        self.solver, self.tracking = solver, tracking or Tracking()
        self.seams: list[tuple[Tracking, StateDict]] = []
        self._evaluate, self._limit, self._tolerance = evaluate, evaluations, tolerance

    def evaluate(self, canvas: torch.Tensor) -> Evaluation:
        if self.tracking.count >= self._limit:
            raise EndOfScale(End.EVALUATIONS)
        evaluation = self._evaluate(canvas)
        self.tracking.note(canvas, evaluation, copy=self.solver.overwrites)
        if self.tracking.stalled(self._tolerance):
            raise EndOfScale(End.TOLERANCE)
        return evaluation

    def seam(self) -> None:
        """Keep the state between two steps."""
        values = {**vars(self.tracking), "rejected": None}
        self.seams.append((Tracking(**values), copied(self.solver.state_dict())))

    def end(self) -> str:
        """Step until there is a reason to end; return it."""
        try:
            self.seam()
            while self.solver.step(self.evaluate) or restarted(self.solver, self.tracking):
                self.seam()
        except EndOfScale as end:
            return end.reason
        return End.NO_DECREASE if self.tracking.finite else End.NOT_FINITE

    def resumed(self, number: int, evaluate, solver: Solver) -> "Walk":
        """Return the walk of another solver from one of the seams."""
        tracking, state = self.seams[number]
        solver.load_state_dict(copied(state))
        return Walk(
            evaluate,
            solver,
            evaluations=self._limit,
            tolerance=self._tolerance,
            tracking=Tracking(**vars(tracking)),
        )


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("compact", [False, True])
def test_continues_from_every_state_to_the_same_bytes(solver, compact) -> None:
    """SciPy keeps its memory to itself: from the start of the scale only."""
    generator = torch.Generator().manual_seed(3)
    target = torch.rand((1, 3, 4, 5), generator=generator) * 2 - 0.5
    start, whole = torch.full((1, 3, 4, 5), 0.5), []

    def function(x):
        return bowl(target, 1000.0)(x) + (5 * x).cos().sum()

    options = {"history": 4, "compact": compact, "learning_rate": 0.3}
    limits = {"evaluations": 45, "tolerance": 1e-9}
    expected = Walk(tracked(function, seen=whole), solver_of(solver, start, **options), **limits)
    reason = expected.end()
    assert (reason, len(whole)) == ("evaluations", 45)
    public = minimized(tracked(function), start, solver=solver, **options, **limits)
    assert torch.equal(public.canvas, expected.tracking.best_canvas)
    counts = [tracking.count for tracking, _ in expected.seams]
    assert counts[0] == 0
    assert counts[-1] > 35 if solver != "scipy" else counts == [0]
    for number, count in enumerate(counts):
        seen = []
        evaluate = tracked(function, seen=seen)
        found = expected.resumed(number, evaluate, solver_of(solver, 0 * start, **options))
        assert found.end() == reason
        assert len(seen) == len(whole) - count
        assert all(torch.equal(*pair) for pair in zip(seen, whole[count:], strict=True))
        assert torch.equal(found.tracking.best_canvas, expected.tracking.best_canvas)
        assert found.tracking.best.loss == expected.tracking.best.loss
        assert found.tracking.best.parts == expected.tracking.best.parts
        assert found.tracking.round_start == expected.tracking.round_start


@pytest.mark.parametrize("solver", SOLVERS)
def test_continues_to_the_same_bytes_after_what_is_not_finite(solver) -> None:
    """The bowl's bottom lies behind a wall, so that each solver has to begin anew more than once."""
    seen = []
    start = torch.full((1, 3, 1, 2), 0.5)
    evaluate = walled(tracked(bowl(INSIDE, 100.0), seen=seen), 0.25)
    expected = Walk(evaluate, solver_of(solver, start, learning_rate=0.1), evaluations=120)
    reason = expected.end()
    assert sum(float(x.flatten()[0]) < 0.25 for x in seen) > 1
    whole, count = list(seen), len(expected.seams)
    assert count > (3 if solver == "scipy" else 8)
    for number in {*range(0, count, max(1, count // 20)), count - 2, count - 1}:
        seen.clear()
        found = expected.resumed(number, evaluate, solver_of(solver, start, learning_rate=0.1))
        assert found.end() == reason
        done = expected.seams[number][0].count
        assert all(torch.equal(*pair) for pair in zip(seen, whole[done:], strict=True))
        assert torch.equal(found.tracking.best_canvas, expected.tracking.best_canvas)
        assert found.tracking.count == expected.tracking.count


def test_adams_halved_rate_is_part_of_its_state() -> None:
    start = torch.full((1, 3, 1, 2), 0.5)
    solver = Adam(start, learning_rate=0.4)
    solver.step(tracked(bowl(INSIDE)))
    assert solver.state_dict()["rate"] == 0.4
    for failures, rate in ((1, 0.2), (2, 0.1), (3, 0.05)):
        assert solver.restart(start, failures)
        assert solver.state_dict()["rate"] == rate
        assert solver.state_dict()["steps"] == 0
    solver.step(tracked(bowl(INSIDE)))
    other = Adam(0 * start, learning_rate=0.4)
    other.load_state_dict(copied(solver.state_dict()))
    assert other.state_dict()["rate"] == 0.05
    for one in (solver, other):
        one.step(tracked(bowl(INSIDE)))
    assert torch.equal(solver.canvas, other.canvas)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("at", [1, 2, 13, 14])
def test_stopped_in_the_middle_of_a_step_the_state_is_that_before_it(solver, at) -> None:
    seen, bounds = [], {"bounds": WIDE}
    start = torch.tensor([-1.2, 1.0]).view(1, 1, 1, 2)
    expected = minimized(tracked(rosenbrock), start, solver=solver, evaluations=40, **bounds)

    def stopping(canvas: torch.Tensor) -> Evaluation:
        evaluation = tracked(rosenbrock, seen=seen)(canvas)
        if len(seen) == at:
            raise Stop("enough")
        return evaluation

    walk = Walk(stopping, solver_of(solver, start, **bounds), evaluations=40)
    with pytest.raises(Stop, match="enough"):
        walk.end()
    tracking, state = walk.seams[-1]
    now = walk.solver.state_dict()
    assert set(now) == set(state)
    for name, item in state.items():
        assert torch.equal(now[name], item) if torch.is_tensor(item) else now[name] == item
    assert tracking.count <= at
    other = walk.resumed(-1, tracked(rosenbrock), solver_of(solver, 0 * start, **bounds))
    other.end()
    assert torch.equal(other.tracking.best_canvas, expected.canvas)


def test_stop_before_the_first_evaluation_is_passed_on() -> None:
    def evaluate(x):
        raise Stop("early")

    with pytest.raises(Stop, match="early"):
        minimized(evaluate, torch.zeros(1, 3, 2, 2))


@pytest.mark.parametrize("solver", SOLVERS)
def test_where_memory_runs_out_the_best_is_the_result(solver) -> None:
    losses, inner = [], tracked(rosenbrock)

    def evaluate(x: torch.Tensor) -> Evaluation:
        if len(losses) == 7:
            raise MemoryError
        losses.append(float(rosenbrock(x)))
        return inner(x)

    start = torch.tensor([-1.2, 1.0]).view(1, 1, 1, 2)
    found = minimized(evaluate, start, solver=solver, bounds=WIDE)
    assert (found.reason, found.evaluations) == ("out of memory", 7)
    assert float(rosenbrock(found.canvas)) == pytest.approx(min(losses))
    losses += [0.0] * (7 - len(losses))
    with pytest.raises(MemoryError):
        minimized(evaluate, start, solver=solver, bounds=WIDE)
