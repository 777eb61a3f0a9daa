"""Solvers: they move the canvas until its loss is small. They know tensors and numbers only.

Form: `minimize(evaluate, start, ...) -> Solution`, one signature for all; `evaluate(x) -> Evaluation` is
one pass through the network and back. Progress is a callback, because SciPy owns its own loop; an
exception raised in it ends any solver, `impasto.Stop` cleanly.

* `lbfgs`: ours, in torch and float32, with bounds: every point it visits lies in [0, 1], so that the
  saved file is the thing that was optimised. Departure from the paper, which optimises without bounds and
  clips at the end; `bounded=False` does that too.
* `scipy`: SciPy's L-BFGS-B, without bounds, through an `Evaluator` with separate `loss` and `grads`.
* `adam`: Kingma and Ba 2015, clipped to the bounds after each step.
"""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.curvature import Curvature, held_by, slope
from impasto.errors import NumericalError, Stop

SolverName = Literal["lbfgs", "scipy", "adam"]
ROUND = 20  # evaluations; the paper's experiment reports rounds of 20
ARMIJO = 1e-4  # share of the promised decrease that a step must bring
OUT_OF_MEMORY = "out of memory"  # the reason of a solution that ended so
NOT_FINITE = "not finite"  # likewise
RETRIES = 3  # of Adam, from the best canvas, each with half the step
SHORTEST_STEP = 2.0**-24  # a line search gives up below this share of the full step
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evaluation:
    """What one pass through the network and back tells about a canvas.

    `loss` is the total, `gradient` has the canvas' shape, `parts` are the named weighted losses that
    add up to the total. `sound` says whether the gradient is finite, where that is known already.
    """

    loss: float
    gradient: Tensor
    parts: Mapping[str, float] = field(default_factory=dict)
    sound: bool | None = None

    @property
    def finite(self) -> bool:
        """Whether loss and gradient can be used."""
        sound = bool(torch.isfinite(self.gradient).all()) if self.sound is None else self.sound
        return sound and math.isfinite(self.loss)


Evaluate = Callable[[Tensor], Evaluation]
Callback = Callable[[int, Tensor, Evaluation], None]
Blame = Callable[[Tensor, Evaluation], str]
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Solution:
    """The best canvas found, (B, 3, H, W), its evaluation, and why the solver ended.

    `fault` says what was not finite, where that is the reason.
    """

    canvas: Tensor
    evaluation: Evaluation
    evaluations: int
    reason: str
    fault: str = ""


class _Done(Exception):
    """Ends a solver from inside `_Run`; never leaves this module."""


class _Refused(Exception):
    """Ends SciPy's own loop where loss or gradient is not finite; never leaves this module."""


class _Run:
    """Counts evaluations, keeps the best finite canvas, reports, and says when it is enough."""

    def __init__(
        self,
        evaluate: Evaluate,
        limit: int,
        tolerance: float,
        callback: Callback | None,
        blame: Blame | None = None,
    ) -> None:
        self._evaluate = evaluate
        self._limit = limit
        self._tolerance = tolerance
        self._callback = callback
        self._blame = blame
        self._round_start = math.inf
        self.count = 0
        self.finite = True  # of the last evaluation
        self.refused: tuple[Tensor, Evaluation] | None = None  # the last that was not finite
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
            self.best_canvas = self._own(canvas)
        elif not self.finite:
            self.refused = self._own(canvas), evaluation
        if self._callback is not None:
            self._callback(self.count, canvas, evaluation)
        self._check_round()
        return evaluation

    def _own(self, canvas: Tensor) -> Tensor:
        return canvas.detach().clone() if self.overwrites else canvas

    def _check_round(self) -> None:
        if self.count % ROUND or self.best is None:
            return
        fall = (self._round_start - self.best.loss) / max(abs(self._round_start), 1e-300)
        if self._tolerance > 0 and math.isfinite(self._round_start) and fall < self._tolerance:
            raise _Done("tolerance")
        self._round_start = self.best.loss

    def ended(self) -> str:
        """Return why a solver that found no further step gave up."""
        return "no further decrease" if self.finite else NOT_FINITE

    def fault(self) -> str:
        """Return what was not finite, in words."""
        return self._blame(*self.refused) if self._blame and self.refused else "the loss"

    def solution(self, reason: str) -> Solution:
        """Return the best canvas seen."""
        if self.best is None or self.best_canvas is None:
            raise NumericalError(
                f"{self.fault()} was not finite at the start; use smaller weights or another start"
            )
        fault = self.fault() if reason == NOT_FINITE else ""
        return Solution(self.best_canvas, self.best, self.count, reason, fault)


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
    blame: Blame | None = None,
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
        blame: Says of a canvas and its evaluation what is not finite, where a run ends because of it.

    Raises:
        NumericalError: Not even the start has a finite loss.
    """
    run = _Run(evaluate, evaluations, tolerance, callback, blame)
    canvas = start.detach().clone()
    if bounds is not None and solver != "scipy":
        canvas.clamp_(*bounds)
    try:
        if solver == "lbfgs":
            run.overwrites = False
            dtype = torch.bfloat16 if compact else canvas.dtype
            reason = _lbfgs(run, canvas, bounds, history, dtype)
        elif solver == "scipy":
            reason = _scipy(run, canvas, history)
        else:
            reason = _adam(run, canvas, bounds, learning_rate)
    except _Done as done:
        reason = str(done)
    except Stop as stop:
        reason = stop.reason
    except Exception as error:
        if run.best is None or not no_memory(error):
            raise
        reason = OUT_OF_MEMORY
    return run.solution(reason)


def no_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out: torch has a class for its devices, but none for the CPU."""
    short = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, short) or "can't allocate memory" in str(error)


# --- ours: projected L-BFGS ----------------------------------------------------------------------


def _lbfgs(
    run: _Run, start: Tensor, bounds: Bounds | None, history: int, dtype: torch.dtype
) -> str:
    """L-BFGS with projection; sufficient decrease along the projected path.

    Bertsekas 1982 (two-metric projection: pixels on a bound whose gradient points outward are held
    still, the others take the quasi-Newton step) with the memory of Nocedal 1980.
    """
    canvas = start
    here = run(canvas)
    if not here.finite:
        return NOT_FINITE
    curvature = Curvature(history, dtype)
    failures = 0
    while True:
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
        after, there = found
        curvature.add((canvas.flatten(), after.flatten()), (gradient, there.gradient.flatten()))
        canvas, here = after, there


def _first_step(direction: Tensor) -> float:
    """Without curvature a direction has no length of its own: move pixels by 0.01 on average."""
    mean = float(direction.abs().mean())
    return 0.01 / mean if mean > 1e-36 and math.isfinite(mean) else 1.0  # float32 ends at 1e38


def _search(
    run: _Run,
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
        step *= min(max(shrink, 0.1), 0.5)
    return None


# --- SciPy's L-BFGS-B ----------------------------------------------------------------------------


class Evaluator:
    """Separate `loss(x)` and `grads(x)` over one evaluation, as SciPy and the paper's experiment want.

    Whichever is asked first runs the network; the other answers from memory if `x` is the same.

    Args:
        evaluate: Canvas -> `Evaluation`.
        like: A tensor with the canvas' shape, type and device.
    """

    def __init__(self, evaluate: Evaluate, like: Tensor) -> None:
        self._evaluate = evaluate
        self._like = like
        self._point: NDArray[np.float64] | None = None
        self._evaluation: Evaluation | None = None

    def loss(self, x: NDArray[np.float64]) -> float:
        """Return the loss at the flat float64 vector `x`."""
        return self._at(x).loss

    def grads(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gradient at `x`, flat float64."""
        gradient = self._at(x).gradient.detach().cpu().numpy()
        return gradient.astype(np.float64).ravel()

    def _at(self, x: NDArray[np.float64]) -> Evaluation:
        if self._evaluation is None or self._point is None or not np.array_equal(self._point, x):
            canvas = torch.from_numpy(x.copy()).to(self._like).view_as(self._like)
            self._evaluation = self._evaluate(canvas)
            self._point = x.copy()  # SciPy goes on using its own array
        return self._evaluation


def _scipy(run: _Run, start: Tensor, history: int) -> str:
    from scipy.optimize import minimize as scipy_minimize
    from threadpoolctl import threadpool_limits

    def sound(canvas: Tensor) -> Evaluation:
        found = run(canvas)
        if not run.finite:  # its line search would walk on through it
            raise _Refused
        return found

    options: dict[str, Any] = {
        "maxcor": history,
        "maxfun": 10**9,  # `run` ends it
        "maxiter": 10**9,
        "ftol": 0.0,
        "gtol": 0.0,
    }
    x, before = start, run.best
    while True:
        evaluator = Evaluator(sound, start)
        flat = x.cpu().numpy().astype(np.float64).ravel()
        try:
            # SciPy's small vectors go faster through one BLAS thread; torch's own threads are not touched.
            with threadpool_limits(limits=1, user_api="blas"):
                outcome = scipy_minimize(
                    evaluator.loss, flat, jac=evaluator.grads, method="L-BFGS-B", options=options
                )
        except _Refused:
            if run.best is before or run.best_canvas is None:  # nothing gained since the last time
                return NOT_FINITE
            x, before = run.best_canvas, run.best  # anew from the best, without curvature
            continue
        log.debug("SciPy: %s", outcome.message)
        return run.ended()


# --- Adam ----------------------------------------------------------------------------------------


def _adam(run: _Run, start: Tensor, bounds: Bounds | None, learning_rate: float) -> str:
    parameter = torch.nn.Parameter(start.requires_grad_(False))
    optimizer = torch.optim.Adam([parameter], lr=learning_rate)
    failures = 0
    while True:
        evaluation = run(parameter.detach())
        failures = 0 if run.finite else failures + 1
        if not run.finite:
            if run.best is None or run.best_canvas is None or failures > RETRIES:
                return NOT_FINITE
            learning_rate /= 2
            parameter = torch.nn.Parameter(run.best_canvas.clone())
            optimizer = torch.optim.Adam([parameter], lr=learning_rate)
            evaluation = run.best
        parameter.grad = evaluation.gradient.clone()
        optimizer.step()
        if bounds is not None:
            with torch.no_grad():
                parameter.clamp_(*bounds)
