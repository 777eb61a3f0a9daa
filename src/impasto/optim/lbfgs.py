"""L-BFGS in torch, with bounds: curvature from the last steps, and a line search along the projected path."""

import math

import torch
from torch import Tensor

from impasto.optim.curvature import Curvature, held_by, slope
from impasto.optim.evaluation import Bounds, Evaluation, Start, State
from impasto.optim.tracking import NOT_FINITE, Run

ARMIJO = 1e-4  # share of the promised decrease that a step must bring
SHORTEST_STEP = 2.0**-24  # a line search gives up below this share of the full step


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
