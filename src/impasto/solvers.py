"""Solvers: they move the canvas until its loss is small. They know tensors and numbers only.

Form: `minimize(evaluate, start, ...) -> Solution`, one signature for all; `evaluate(x) -> Evaluation` is
one pass through the network and back. Progress is a callback, because SciPy owns its own loop; an
exception raised in it ends any solver, `impasto.Stop` cleanly. Between two iterations a solver hands out its
`State`, from which it goes on later, in another process too, as if it had never been interrupted.

* `lbfgs`: ours, in torch and float32, with bounds: every point it visits lies in [0, 1], so that the
  saved file is the thing that was optimised. Departure from the paper, which optimises without bounds and
  clips at the end; `bounded=False` does that too.
* `scipy`: SciPy's L-BFGS-B, without bounds, through an `Evaluator` with separate `loss` and `grads`; driven
  step by step (`lbfgsb.py`), which is how its state can be had.
* `adam`: Kingma and Ba 2015, clipped to the bounds after each step.
"""

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.curvature import Curvature, held_by, slope
from impasto.errors import NumericalError, Stop
from impasto.evaluation import (
    Bounds,
    Callback,
    Evaluate,
    Evaluation,
    Evaluator,
    Keep,
    Solution,
    SolverName,
    State,
    check_state,
)
from impasto.lbfgsb import Driver

ROUND = 20  # evaluations; the paper's experiment reports rounds of 20
ARMIJO = 1e-4  # share of the promised decrease that a step must bring
OUT_OF_MEMORY = "out of memory"  # the reason of a solution that ended so
SHORTEST_STEP = 2.0**-24  # a line search gives up below this share of the full step
log = logging.getLogger(__name__)


class _Done(Exception):
    """Ends a solver from inside `_Run`; never leaves this module."""


class _Run:
    """Counts evaluations, keeps the best finite canvas, reports, and says when it is enough."""

    def __init__(
        self,
        evaluate: Evaluate,
        limit: int,
        tolerance: float,
        callback: Callback | None,
        keep: Keep | None = None,
    ) -> None:
        self._evaluate = evaluate
        self._limit = limit
        self._tolerance = tolerance
        self._callback = callback
        self._keep = keep
        self._round_start = math.inf
        self.state: State | None = None  # the last one offered, while it holds
        self.count = 0
        self.finite = True  # of the last evaluation
        self.best: Evaluation | None = None
        self.best_canvas: Tensor | None = None
        self.overwrites = True  # whether the solver goes on to change the canvases it hands over

    def __call__(self, canvas: Tensor) -> Evaluation:
        """Evaluate a canvas; raises `_Done` after the last evaluation that is wanted."""
        if self.count >= self._limit:
            raise _Done("evaluations")
        evaluation = self._evaluate(canvas)
        self.count += 1
        better = self.best is None or evaluation.loss < self.best.loss
        self.finite = evaluation.finite
        if self.finite and better:
            self.best = evaluation
            self.best_canvas = canvas.detach().clone() if self.overwrites else canvas
        if self._callback is not None:
            self._callback(self.count, canvas, evaluation)
        self._check_round()
        return evaluation

    def _check_round(self) -> None:
        if self.count % ROUND or self.best is None:
            return
        fall = (self._round_start - self.best.loss) / max(abs(self._round_start), 1e-300)
        if self._tolerance > 0 and math.isfinite(self._round_start) and fall < self._tolerance:
            raise _Done("tolerance")
        self._round_start = self.best.loss

    def offer(self, tensors: Mapping[str, Tensor], **numbers: float) -> None:
        """Hand out the solver's state, between two iterations."""
        held, parts = dict(tensors), {}
        if self.best is not None and self.best_canvas is not None:
            numbers["best_loss"], parts = self.best.loss, dict(self.best.parts)
            if self.best_canvas is not held.get("canvas"):
                held["best"] = self.best_canvas
        if math.isfinite(self._round_start):
            numbers["round_start"] = self._round_start
        self.state = State(self.count, held, numbers, parts)
        if self._keep is not None:
            self._keep(self.state)

    def go_on(self, state: State, like: Tensor) -> None:
        """Count and compare from where a solver stood."""
        self.count = state.count
        self._round_start = state.numbers.get("round_start", math.inf)
        if "best_loss" in state.numbers:
            is_here = "best" not in state.tensors  # and then its gradient is known
            gradient = state.tensors["gradient"] if is_here else torch.empty(0)
            best = state.tensors["canvas" if is_here else "best"]
            gradient = gradient.to(like.device)
            self.best = Evaluation(state.numbers["best_loss"], gradient, dict(state.parts))
            self.best_canvas = best.to(like.device)

    def ended(self) -> str:
        """Return why a solver that found no further step gave up."""
        return "no further decrease" if self.finite else "not finite"

    def solution(self, reason: str) -> Solution:
        """Return the best canvas seen."""
        if self.best is None or self.best_canvas is None:
            raise NumericalError(
                "the loss was not finite at the start; use smaller weights or another start"
            )
        return Solution(self.best_canvas, self.best, self.count, reason, self.state)


def minimize(
    evaluate: Evaluate,
    start: Tensor,
    *,
    solver: SolverName = "lbfgs",
    evaluations: int = 200,
    bounds: Bounds | None = (0.0, 1.0),
    tolerance: float = 0.0,
    history: int = 10,
    compact: bool = False,
    learning_rate: float = 0.02,
    callback: Callback | None = None,
    state: State | None = None,
    keep: Keep | None = None,
) -> Solution:
    """Minimise a loss over the canvas and return the best canvas seen.

    Args:
        evaluate: Canvas (B, 3, H, W) -> `Evaluation`; called at most `evaluations` times.
        start: Where to begin; not changed. Projected onto the bounds.
        solver: `lbfgs`, `scipy` or `adam`; see the module's text.
        evaluations: How many evaluations at most.
        bounds: Lowest and highest value of a pixel, or None. SciPy's is always without (its bounds are
            walked in a Python loop, 25 times slower).
        tolerance: Ends when a round of 20 evaluations lowers the best loss by less than this share.
        history: Curvature pairs that L-BFGS keeps.
        compact: Keep our L-BFGS's pairs in bf16, in half the memory.
        learning_rate: Adam's step, in units of the pixel range.
        callback: Called after every evaluation with (evaluations so far, canvas, evaluation). `Stop`
            raised in it ends the run cleanly.
        state: Where to go on instead of at `start`, which then only tells shape, type and device. All other
            arguments have to be as they were. Its tensors are taken out of it.
        keep: Called between iterations with the state there.

    Raises:
        InputError: The state does not fit.
        NumericalError: Not even the start has a finite loss.
        Stop: It was raised before the first evaluation was done.
    """
    run = _Run(evaluate, evaluations, tolerance, callback, keep)
    canvas = start.detach().clone()
    if state is not None:
        check_state(state, solver, start)
        run.go_on(state, canvas)
        canvas = state.tensors.get("canvas", canvas).to(canvas).clone()
        state = state if state.count else None  # else it is a start like any other
    elif bounds is not None and solver != "scipy":
        canvas.clamp_(*bounds)
    try:
        if solver == "lbfgs":
            run.overwrites = False
            dtype = torch.bfloat16 if compact else canvas.dtype
            reason = _lbfgs(run, canvas, bounds, history, dtype, state)
        elif solver == "scipy":
            reason = _scipy(run, canvas, history, state)
        else:
            reason = _adam(run, canvas, bounds, learning_rate, state)
        run.state = None
    except _Done as done:
        reason, run.state = str(done), None
    except Stop as stop:
        if not run.count:
            raise
        reason = stop.reason
    except Exception as error:
        if run.best is None or not no_memory(error):
            raise
        reason, run.state = OUT_OF_MEMORY, None
    return run.solution(reason)


def no_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out: torch has a class for its devices, but none for the CPU."""
    short = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, short) or "can't allocate memory" in str(error)


# --- ours: projected L-BFGS ----------------------------------------------------------------------


def _lbfgs(
    run: _Run,
    start: Tensor,
    bounds: Bounds | None,
    history: int,
    dtype: torch.dtype,
    state: State | None,
) -> str:
    """L-BFGS with projection; sufficient decrease along the projected path.

    Bertsekas 1982 (two-metric projection: pixels on a bound whose gradient points outward are held
    still, the others take the quasi-Newton step) with the memory of Nocedal 1980.
    """
    canvas, failures = start, 0
    curvature = Curvature(history, dtype)
    if state is not None:
        gradient = state.tensors["gradient"].to(canvas.device)
        here = Evaluation(state.numbers["loss"], gradient, state.parts)
        failures = int(state.numbers["failures"])
        curvature.restore(state.tensors, canvas.device)
        if "best" not in state.tensors:
            run.best_canvas = canvas  # one and the same
        state.tensors.clear()
    else:
        run.offer({"canvas": canvas})
        here = run(canvas)
        if not here.finite:
            return "not finite"
    while True:
        told = {"canvas": canvas, "gradient": here.gradient, **curvature.tensors()}
        run.offer(told, loss=here.loss, failures=failures)
        del told
        gradient = here.gradient.flatten()
        held = None if bounds is None else held_by(canvas.flatten(), gradient, bounds)
        direction = curvature.direction(gradient, held)
        first = _first_step(direction) if not len(curvature) else 1.0
        found = _search(run, canvas, here, direction.view_as(canvas), bounds, first)
        del direction
        if found is None:
            if failures or not len(curvature):
                return run.ended()
            failures += 1
            curvature.clear()
            continue
        failures = 0
        run.state = None  # makes room for the next pair
        after, there = found
        curvature.add((canvas.flatten(), after.flatten()), (gradient, there.gradient.flatten()))
        canvas, here = after, there


def _first_step(direction: Tensor) -> float:
    """Without curvature a direction has no length of its own: move pixels by 0.01 on average."""
    mean = float(direction.abs().mean())
    return 0.01 / mean if mean > 0 and math.isfinite(mean) else 1.0


def _search(
    run: _Run,
    canvas: Tensor,
    here: Evaluation,
    direction: Tensor,
    bounds: Bounds | None,
    step: float,
) -> tuple[Tensor, Evaluation] | None:
    """Backtrack along the projected path until the loss falls enough; None if it never does.

    Armijo's rule with the slope of the projected step; the next trial minimises a parabola through what
    is known, kept between a tenth and a half of the last. What is not finite is refused.
    """
    shortest = step * SHORTEST_STEP
    while step >= shortest:
        after = torch.add(canvas, direction, alpha=step)
        if bounds is not None:
            after.clamp_(*bounds)
        fall = slope(here.gradient.flatten(), canvas.flatten(), after.flatten())
        if canvas.device.type == "cpu" and not float(fall) < 0:
            return None
        there = run(after)
        promised = float(fall)  # asked for now: before the evaluation it would stall a device
        if not promised < 0:
            return None
        if there.finite and there.loss <= here.loss + ARMIJO * promised:
            return after, there
        shrink = 0.1
        if there.finite:
            shrink = -promised / (2 * (there.loss - here.loss - promised))
        step *= min(max(shrink, 0.1), 0.5)
    return None


# --- SciPy's L-BFGS-B ----------------------------------------------------------------------------


def _scipy(run: _Run, start: Tensor, history: int, state: State | None) -> str:
    from threadpoolctl import threadpool_limits

    evaluator = Evaluator(run, start)
    x = start.cpu().numpy().astype(np.float64).ravel()
    if state is None:
        run.offer({"canvas": start})
    # SciPy's small vectors go faster through one BLAS thread; torch's own threads are not touched.
    with threadpool_limits(limits=1, user_api="blas"):
        if not Driver.works():
            return _whole_scipy(run, evaluator, x, history)
        driver = Driver(x, history)
        if state is not None:
            driver.restore(state.tensors)
            state.tensors.clear()
        while driver.wants_evaluation():
            if run.count:
                run.offer(driver.tensors())
            driver.give(evaluator.loss(driver.x), evaluator.grads(driver.x))
    return run.ended()


def _whole_scipy(run: _Run, evaluator: Evaluator, x: NDArray[np.float64], history: int) -> str:
    """Leave the loop to a SciPy whose inside we do not know: there is no state but the start."""
    from scipy.optimize import minimize as scipy_minimize

    options: dict[str, Any] = {
        "maxcor": history,
        "maxfun": 10**9,  # `run` ends it
        "maxiter": 10**9,
        "ftol": 0.0,
        "gtol": 0.0,
    }
    outcome = scipy_minimize(
        evaluator.loss, x, jac=evaluator.grads, method="L-BFGS-B", options=options
    )
    log.debug("SciPy: %s", outcome.message)
    return run.ended()


# --- Adam ----------------------------------------------------------------------------------------


def _adam(
    run: _Run, start: Tensor, bounds: Bounds | None, learning_rate: float, state: State | None
) -> str:
    canvas = start.requires_grad_(False)
    parameter = torch.nn.Parameter(canvas)
    optimizer = torch.optim.Adam([parameter], lr=learning_rate)
    if state is not None:
        optimizer.state[parameter] = {
            "step": torch.tensor(state.numbers["steps"]),
            "exp_avg": state.tensors["mean"].to(canvas).clone(),
            "exp_avg_sq": state.tensors["square"].to(canvas).clone(),
        }
        state.tensors.clear()
    while True:
        if memory := optimizer.state.get(parameter):
            moments = {"mean": memory["exp_avg"], "square": memory["exp_avg_sq"]}
            run.offer({"canvas": parameter.detach(), **moments}, steps=float(memory["step"]))
        else:
            run.offer({"canvas": parameter.detach()})
        evaluation = run(parameter.detach())
        if not evaluation.finite:
            return "not finite"
        parameter.grad = evaluation.gradient.clone()
        optimizer.step()
        if bounds is not None:
            with torch.no_grad():
                parameter.clamp_(*bounds)
