"""Solvers: they move the canvas until its loss is small. They know tensors and numbers only.

Form: `minimize(evaluate, start, ...) -> Solution`, one signature for all; `evaluate(x) -> Evaluation` is
one pass through the network and back. Progress is a callback, because SciPy owns its own loop; an
exception raised in it ends any solver, `impasto.Stop` cleanly. Between two iterations a solver hands out its
`State`, from which it goes on later, in another process too, as if it had never been interrupted.

* `lbfgs`: ours, in torch and float32, with bounds: every point it visits lies in [0, 1], so that the
  saved file is the thing that was optimised. Departure from the paper, which optimises without bounds and
  clips at the end; `bounded=False` does that too.
* `scipy`: SciPy's L-BFGS-B, without bounds, through an `Evaluator` with separate `loss` and `grads`; driven
  step by step (`scipy_lbfgsb.py`), which is how its state can be had.
* `adam`: Kingma and Ba 2015, clipped to the bounds after each step.
"""

import logging

import torch
from torch import Tensor

from impasto.errors import Stop
from impasto.optim.adam import _adam
from impasto.optim.evaluation import (
    Blame,
    Bounds,
    Callback,
    Evaluate,
    Keep,
    Solution,
    SolverName,
    Start,
    State,
    check_state,
)
from impasto.optim.lbfgs import _lbfgs
from impasto.optim.scipy_lbfgsb import LINE_SEARCH, _scipy
from impasto.optim.tracking import Done, Run
from impasto.system.hardware import no_memory

OUT_OF_MEMORY = "out of memory"  # the reason of a solution that ended so
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
