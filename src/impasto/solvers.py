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
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.curvature import Curvature, held_by, slope
from impasto.descent import NOT_FINITE, Done, Run
from impasto.errors import Stop
from impasto.evaluation import (
    Blame,
    Bounds,
    Callback,
    Evaluate,
    Evaluation,
    Evaluator,
    Keep,
    Solution,
    SolverName,
    Start,
    State,
    check_state,
)
from impasto.lbfgsb import LINE_SEARCH, Driver

ARMIJO = 1e-4  # share of the promised decrease that a step must bring
AdamOptions = tuple[float, tuple[float, float], float]  # learning rate, betas, epsilon
OUT_OF_MEMORY = "out of memory"  # the reason of a solution that ended so
SHORTEST_STEP = 2.0**-24  # a line search gives up below this share of the full step
log = logging.getLogger(__name__)


def minimize(
    evaluate: Evaluate,
    start: Tensor | Start,
    *,
    solver: SolverName = "lbfgs",
    evaluations: int = 200,
    bounds: Bounds | None = (0.0, 1.0),
    tolerance: float = 0.0,
    history: int = 10,
    compact: bool = False,
    learning_rate: float = 0.02,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    line_search: int = LINE_SEARCH,
    callback: Callback | None = None,
    state: State | None = None,
    keep: Keep | None = None,
    blame: Blame | None = None,
) -> Solution:
    """Minimise a loss over the canvas and return the best canvas seen.

    Args:
        evaluate: Canvas (B, 3, H, W) -> `Evaluation`; called at most `evaluations` times.
        start: Where to begin, projected onto the bounds; a tensor is not changed. A `Start` is taken, and put
            back only if `Stop` was raised before the first evaluation was done.
        solver: `lbfgs`, `scipy` or `adam`; see the module's text.
        evaluations: How many evaluations at most.
        bounds: Lowest and highest value of a pixel, or None. SciPy's is always without (its bounds are
            walked in a Python loop, 25 times slower).
        tolerance: Ends when a round of 20 evaluations lowers the best loss by less than this share.
        history: Curvature pairs that L-BFGS keeps.
        compact: Keep our L-BFGS's pairs in bf16, in half the memory.
        learning_rate: Adam's step, in units of the pixel range.
        betas: Shares of Adam's means of gradients and of their squares that a step keeps.
        epsilon: Added to the root of Adam's mean of squares.
        line_search: Evaluations at most of one line search of SciPy's.
        callback: Called after every evaluation with (evaluations so far, canvas, evaluation). `Stop`
            raised in it ends the run cleanly.
        state: Where to go on instead of at `start`, which then only tells shape, type and device. All other
            arguments have to be as they were. Its tensors are taken out of it.
        keep: Called between iterations with the state there.
        blame: Says of a canvas and its evaluation what is not finite, where a run ends because of it.

    Raises:
        InputError: The state does not fit.
        NumericalError: Not even the start has a finite loss.
        Stop: It was raised before the first evaluation was done.
    """
    run = Run(evaluate, evaluations, tolerance, callback, keep, blame)
    begin = start if isinstance(start, Start) else Start(start.detach().clone())
    if state is not None:
        state = _go_on(run, begin, solver, state)
    elif bounds is not None and solver != "scipy":
        begin.put(begin.take().clamp_(*bounds))
    try:
        if solver == "lbfgs":
            run.overwrites = False
            reason = _lbfgs(run, begin, bounds, history, torch.bfloat16 if compact else None, state)
        elif solver == "scipy":
            reason = _scipy(run, begin.take(), history, line_search, state)
        else:
            adam = learning_rate, betas, epsilon
            reason = _adam(run, begin.take(), bounds, adam, state)
        run.state = None
    except Done as done:
        reason, run.state = str(done), None
    except Stop as stop:
        if not run.count:
            if run.state is not None:
                begin.put(run.state.tensors["canvas"])
            raise
        reason = stop.reason
    except Exception as error:
        if run.best is None or not no_memory(error):
            raise
        reason, run.state = OUT_OF_MEMORY, None
    return run.solution(reason)


def _go_on(run: Run, begin: Start, solver: SolverName, state: State) -> State | None:
    """Put the canvas of a state in the place of the start; return the state if a solver stood there."""
    like = begin.take()
    check_state(state, solver, like)
    run.go_on(state, like)
    begin.put(state.tensors.get("canvas", like).to(like).clone())
    return state if state.count else None  # else it is a start like any other


def no_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out: torch has a class for its devices, but none for the CPU."""
    short = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, short) or "can't allocate memory" in str(error)


# --- ours: projected L-BFGS ----------------------------------------------------------------------


def _lbfgs(
    run: Run,
    begin: Start,
    bounds: Bounds | None,
    history: int,
    dtype: torch.dtype | None,
    state: State | None,
) -> str:
    """L-BFGS with projection; sufficient decrease along the projected path.

    Bertsekas 1982 (two-metric projection: pixels on a bound whose gradient points outward are held
    still, the others take the quasi-Newton step) with the memory of Nocedal 1980.
    """
    canvas, failures, here = begin.take(), 0, None
    curvature = Curvature(history, dtype or canvas.dtype)
    if state is not None:
        if "gradient" in state.tensors:
            gradient = state.tensors["gradient"].to(canvas.device)
            here = Evaluation(state.numbers["loss"], gradient, state.parts)
            failures = int(state.numbers["failures"])
        curvature.restore(state.tensors, canvas.device)
        if "best" not in state.tensors:
            run.best_canvas = canvas  # one and the same
        state.tensors.clear()
    if here is None:
        run.offer({"canvas": canvas, **curvature.tensors()})
        here = run(canvas)
        if not here.finite:
            return NOT_FINITE
    while True:
        told = {"canvas": canvas, "gradient": here.gradient, **curvature.tensors()}
        run.offer(told, loss=here.loss, failures=failures)
        del told
        gradient = here.gradient.flatten()
        held = None if bounds is None else held_by(canvas.flatten(), gradient, bounds)
        direction = curvature.direction(gradient, held)
        first = _first_step(direction) if not len(curvature) else 1.0
        found = _search(
            run, canvas, here, direction.view_as(canvas), bounds, first, patient=not len(curvature)
        )
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
    return 0.01 / mean if mean > 1e-36 and math.isfinite(mean) else 1.0  # float32 ends at 1e38


def _search(
    run: Run,
    canvas: Tensor,
    here: Evaluation,
    direction: Tensor,
    bounds: Bounds | None,
    step: float,
    *,
    patient: bool,
) -> tuple[Tensor, Evaluation] | None:
    """Backtrack along the projected path until the loss falls enough; None if it never does.

    Armijo's rule with the slope of the projected step; the next trial minimises a parabola through what
    is known, kept between a tenth and a half of the last. What is not finite is refused; unless `patient` it
    ends the search, for then the curvature led there and begins anew.
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
        if not (there.finite or patient):
            return None
        shrink = 0.1
        if there.finite:
            shrink = -promised / (2 * (there.loss - here.loss - promised))
        del after, there  # makes room for the next trial
        step *= min(max(shrink, 0.1), 0.5)
    return None


# --- SciPy's L-BFGS-B ----------------------------------------------------------------------------


def _scipy(run: Run, start: Tensor, history: int, line_search: int, state: State | None) -> str:
    from threadpoolctl import threadpool_limits

    evaluator = Evaluator(run, start)
    x = start.cpu().numpy().astype(np.float64).ravel()
    if state is None:
        run.offer({"canvas": start})
    # SciPy's small vectors go faster through one BLAS thread; torch's own threads are not touched.
    with threadpool_limits(limits=1, user_api="blas"):
        if not Driver.works():
            return _whole_scipy(run, evaluator, x, history, line_search)
        driver = Driver(x, history, line_search)
        if state is not None and "scipy.x" in state.tensors:
            driver.restore(state.tensors)
        if state is not None:
            state.tensors.clear()
        while driver.wants_evaluation():
            if run.count:
                run.offer(driver.tensors())
            driver.give(evaluator.loss(driver.x), evaluator.grads(driver.x))
            if not run.finite:  # its line search would walk on through it
                if (best := run.retry()) is None:
                    return NOT_FINITE
                start_again = best.cpu().numpy().astype(np.float64).ravel()
                driver = Driver(start_again, history, line_search)
    return run.ended()


def _whole_scipy(
    run: Run, evaluator: Evaluator, x: NDArray[np.float64], history: int, line_search: int
) -> str:
    """Leave the loop to a SciPy whose inside we do not know: there is no state but the start."""
    from scipy.optimize import minimize as scipy_minimize

    options: dict[str, Any] = {
        "maxcor": history,
        "maxfun": 10**9,  # `run` ends it
        "maxiter": 10**9,
        "ftol": 0.0,
        "gtol": 0.0,
        "maxls": line_search,
    }
    outcome = scipy_minimize(
        evaluator.loss, x, jac=evaluator.grads, method="L-BFGS-B", options=options
    )
    log.debug("SciPy: %s", outcome.message)
    return run.ended()


# --- Adam ----------------------------------------------------------------------------------------


def _adam(
    run: Run, start: Tensor, bounds: Bounds | None, options: AdamOptions, state: State | None
) -> str:
    rate, betas, epsilon = options
    parameter, optimizer = _moved(start, (rate / 2**run.failures, betas, epsilon), state)
    while True:
        memory = optimizer.state[parameter]
        moments = {"mean": memory["exp_avg"], "square": memory["exp_avg_sq"]}
        run.offer({"canvas": parameter.detach(), **moments}, steps=float(memory["step"]))
        evaluation = run(parameter.detach())
        if not run.finite:
            if (best := run.retry()) is None:
                return NOT_FINITE
            parameter, optimizer = _moved(
                best.clone(), (rate / 2**run.failures, betas, epsilon), None
            )
            continue
        parameter.grad = evaluation.gradient.clone()
        optimizer.step()
        if bounds is not None:
            with torch.no_grad():
                parameter.clamp_(*bounds)


def _moved(
    canvas: Tensor, options: AdamOptions, state: State | None
) -> tuple[torch.nn.Parameter, torch.optim.Adam]:
    """Return a canvas and what moves it, from rest or from where it stood."""
    parameter = torch.nn.Parameter(canvas.requires_grad_(False))
    rate, betas, epsilon = options
    optimizer = torch.optim.Adam([parameter], lr=rate, betas=betas, eps=epsilon)
    names, steps = ("mean", "square"), 0.0
    moments = [torch.zeros_like(canvas) for _ in names]
    if state is not None:
        moments = [state.tensors[name].to(canvas).clone() for name in names]
        steps = state.numbers["steps"]
        state.tensors.clear()
    memory = {"step": torch.tensor(steps), "exp_avg": moments[0], "exp_avg_sq": moments[1]}
    optimizer.state[parameter] = memory
    return parameter, optimizer
