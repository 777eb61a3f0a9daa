"""L-BFGS with bounds, in torch: every point it visits is a picture that can be saved.

Bertsekas 1982 (two-metric projection: pixels on a bound whose gradient points outward do not move, the
others take the quasi-Newton step) with the memory of Nocedal 1980. Gatys, Ecker and Bethge 2016 use
L-BFGS and say nothing of bounds; `bounds=None` has none.
"""

import math

import torch
from torch import Tensor

from impasto.optim.curvature import Curvature, fixed_pixels, slope
from impasto.optim.evaluation import Bounds, Evaluate, Evaluation, StateDict

ARMIJO = 1e-4  # share of the predicted decrease that a step must bring
SHORTEST_STEP = 2.0**-24  # a line search gives up below this share of the full step


class LBFGS:
    """Projected L-BFGS with a backtracking line search.

    Args:
        start: Where to begin, (B, 3, H, W); copied and projected onto the bounds.
        history: Curvature pairs that are kept.
        bounds: Lowest and highest value of a pixel; None for no bounds.
        compact: Keep the pairs in bf16, in half the memory.
    """

    overwrites = False

    def __init__(
        self, start: Tensor, *, history: int = 10, bounds: Bounds | None = (0.0, 1.0), compact: bool = False
    ) -> None:
        self.canvas = start.detach().clone()
        if bounds is not None:
            self.canvas.clamp_(*bounds)
        self._bounds = bounds
        self._curvature = Curvature(history, torch.bfloat16 if compact else start.dtype)
        self._here: Evaluation | None = None  # of the canvas
        self._failures = 0

    def step(self, evaluate: Evaluate) -> bool:
        """Evaluate the start, later do one line search; return False if none can lower the loss."""
        if self._here is None:
            self._here = evaluate(self.canvas)
            return self._here.finite
        gradient = self._here.gradient.flatten()
        fixed = None if self._bounds is None else fixed_pixels(self.canvas.flatten(), gradient, self._bounds)
        direction = self._curvature.direction(gradient, fixed)
        known = len(self._curvature) > 0
        found = self._search(evaluate, direction.view_as(self.canvas), patient=not known)
        del direction
        if found is None:
            if self._failures or not known:
                return False
            self._failures += 1
            self._curvature.clear()
            return True
        self._failures = 0
        after, there = found
        canvases = self.canvas.flatten(), after.flatten()
        self._curvature.add(canvases, (gradient, there.gradient.flatten()))
        self.canvas, self._here = after, there
        return True

    def _search(
        self, evaluate: Evaluate, direction: Tensor, *, patient: bool
    ) -> tuple[Tensor, Evaluation] | None:
        """Backtrack along the projected path until the loss falls enough; None if it never does.

        Armijo's rule with the slope of the projected step. The next trial minimizes a parabola through what
        is known, kept between a tenth and a half of the last. A loss that is not finite is refused. Unless
        `patient` it ends the search: then the curvature led there and has to be dropped.
        """
        canvas, here = self.canvas, self._here
        assert here is not None
        step = _first_step(direction) if patient else 1.0
        shortest = step * SHORTEST_STEP
        while step >= shortest:
            after = torch.add(canvas, direction, alpha=step)
            if self._bounds is not None:
                after.clamp_(*self._bounds)
            fall = slope(here.gradient.flatten(), canvas.flatten(), after.flatten())
            if canvas.device.type == "cpu" and not float(fall) < 0:
                return None
            fall = _sent(fall)
            there = evaluate(after)  # waits for the device, so that the slope has arrived, too
            predicted = float(fall)
            if not predicted < 0:
                return None
            if there.finite and there.loss <= here.loss + ARMIJO * predicted:
                return after, there
            if not (there.finite or patient):
                return None
            shrink = 0.1
            if there.finite:
                shrink = -predicted / (2 * (there.loss - here.loss - predicted))
            del after, there  # makes room for the next trial
            step *= min(max(shrink, 0.1), 0.5)
        return None

    def restart(self, canvas: Tensor, failures: int) -> bool:
        """Return False: the line search begins at the best canvas in any case."""
        return False

    def state_dict(self) -> StateDict:
        """Return canvas, its loss and gradient, and the curvature pairs."""
        here = self._here
        known: StateDict = {}
        if here is not None:
            known = {"gradient": here.gradient, "loss": here.loss, "failures": self._failures}
        return {"canvas": self.canvas, **known, **self._curvature.tensors()}

    def load_state_dict(self, state: StateDict) -> None:
        """Continue from what `state_dict` returned."""
        device = self.canvas.device
        self.canvas = state["canvas"].to(device)
        self._here = None
        if "gradient" in state:
            self._here = Evaluation(state["loss"], state["gradient"].to(device))
            self._failures = int(state["failures"])
        self._curvature.restore(state, device)


def _sent(value: Tensor) -> Tensor:
    """Return a scalar on its way to the host, without a wait; only CUDA can do that, others keep it."""
    return value.to("cpu", non_blocking=True) if value.is_cuda else value


def _first_step(direction: Tensor) -> float:
    """Without curvature a direction has no length of its own: move pixels by 0.01 on average."""
    mean = float(direction.abs().mean())
    return 0.01 / mean if mean > 1e-36 and math.isfinite(mean) else 1.0  # float32 ends at 1e38
