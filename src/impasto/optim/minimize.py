"""`minimize`: let a solver step until it has done its evaluations. Knows tensors and numbers only.

    found = minimize(evaluate, LBFGS(start), evaluations=200)

`evaluate(x) -> Evaluation` is one pass through the network and back. Solvers: `LBFGS` (ours, with bounds),
`Adam`, `ScipyLBFGSB`. An exception raised in the callback ends any solver, `impasto.Stop` cleanly.
"""

from collections.abc import Callable

from torch import Tensor

from impasto.errors import End, EndOfScale, NumericalError, Stop
from impasto.optim.evaluation import Evaluate, Evaluation, Solution, Solver
from impasto.optim.tracking import Tracking
from impasto.system.hardware import no_memory

Callback = Callable[[int, Tensor, Evaluation], None]


def minimize(
    evaluate: Evaluate,
    solver: Solver,
    evaluations: int = 200,
    tolerance: float = 0.0,
    callback: Callback | None = None,
) -> Solution:
    """Minimize a loss over the solver's canvas and return the best canvas seen.

    Args:
        evaluate: Canvas (B, 3, H, W) -> `Evaluation`; called at most `evaluations` times.
        solver: With its start.
        evaluations: How many evaluations at most.
        tolerance: Ends when a round of 20 evaluations lowers the best loss by less than this share.
        callback: Called after every evaluation with (evaluations so far, canvas, evaluation). `Stop`
            raised in it ends the run cleanly.

    Raises:
        NumericalError: Not even the start has a finite loss.
        Stop: It was raised before the first evaluation was done.
    """
    tracking = Tracking()

    def tracked(canvas: Tensor) -> Evaluation:
        if tracking.count >= evaluations:
            raise EndOfScale(End.EVALUATIONS)
        evaluation = evaluate(canvas)
        tracking.note(canvas, evaluation, copy=solver.overwrites)
        if callback is not None:
            callback(tracking.count, canvas, evaluation)
        if tracking.stalled(tolerance):
            raise EndOfScale(End.TOLERANCE)
        return evaluation

    try:
        while solver.step(tracked) or restarted(solver, tracking):
            pass
        reason: str = End.NO_DECREASE if tracking.finite else End.NOT_FINITE
    except EndOfScale as end:
        reason = end.reason
    except Stop as stop:
        if not tracking.count:
            raise
        reason = stop.reason
    except Exception as error:
        if tracking.best is None or not no_memory(error):
            raise
        reason = End.OUT_OF_MEMORY
    if tracking.best is None or tracking.best_canvas is None:
        raise NumericalError("the loss was not finite at the start; use another start")
    return Solution(tracking.best_canvas, tracking.best, tracking.count, reason)


def restarted(solver: Solver, tracking: Tracking) -> bool:
    """Let a solver whose last loss was not finite begin anew from the best canvas; return whether it does."""
    best = None if tracking.finite else tracking.retry()
    return best is not None and solver.restart(best, tracking.failures)
