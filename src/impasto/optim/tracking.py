"""What every solver does beside its steps: it counts evaluations, keeps the best, and says when to end."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from impasto.errors import NumericalError
from impasto.optim.evaluation import Blame, Callback, Evaluate, Evaluation, Keep, Solution, State

ROUND = 20  # evaluations; the paper's experiment reports rounds of 20
NOT_FINITE = "not finite"  # the reason of a solution that ended so
RETRIES = 3  # from the same best canvas, after what was not finite


class Done(Exception):
    """Ends a solver from inside `Run`; `minimize` catches it."""


class Run:
    """Counts evaluations, keeps the best finite canvas, reports, and says when it is enough."""

    def __init__(
        self,
        evaluate: Evaluate,
        limit: int,
        tolerance: float,
        callback: Callback | None,
        keep: Keep | None = None,
        blame: Blame | None = None,
    ) -> None:
        self._evaluate = evaluate
        self._limit = limit
        self._tolerance = tolerance
        self._callback = callback
        self._keep = keep
        self._blame = blame
        self._round_start = math.inf
        self.state: State | None = None  # the last one offered, while it holds
        self.count = 0
        self.finite = True  # of the last evaluation
        self.refused: tuple[Tensor, Evaluation] | None = None  # the last that was not finite
        self.failures, self.failed = 0, math.nan  # how often from a best of this loss
        self.best: Evaluation | None = None
        self.best_canvas: Tensor | None = None
        self.overwrites = True  # whether the solver goes on to change the canvases it hands over

    def __call__(self, canvas: Tensor) -> Evaluation:
        """Evaluate a canvas; raises `Done` after the last evaluation that is wanted."""
        if self.count >= self._limit:
            raise Done("evaluations")
        evaluation = self._evaluate(canvas)
        self.count += 1
        better = self.best is None or evaluation.loss < self.best.loss
        self.finite = evaluation.finite
        if self.finite and better:
            self.best = evaluation
            self.best_canvas = canvas.detach().clone() if self.overwrites else canvas
        elif not self.finite:
            self.refused = canvas.detach().clone() if self.overwrites else canvas, evaluation
        if self._callback is not None:
            self._callback(self.count, canvas, evaluation)
        self._check_round()
        return evaluation

    def _check_round(self) -> None:
        if self.count % ROUND or self.best is None:
            return
        fall = (self._round_start - self.best.loss) / max(abs(self._round_start), 1e-300)
        if self._tolerance > 0 and math.isfinite(self._round_start) and fall < self._tolerance:
            raise Done("tolerance")
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
        if self.failures:
            numbers |= {"failures_of_best": self.failures, "failed": self.failed}
        self.state = State(self.count, held, numbers, parts)
        if self._keep is not None:
            self._keep(self.state)

    def go_on(self, state: State, like: Tensor) -> None:
        """Count and compare from where a solver stood."""
        self.count = state.count
        self._round_start = state.numbers.get("round_start", math.inf)
        self.failures = int(state.numbers.get("failures_of_best", 0))
        self.failed = state.numbers.get("failed", math.nan)
        if "best_loss" in state.numbers:
            is_here = "best" not in state.tensors  # and then its gradient may be known
            gradient = state.tensors.get("gradient") if is_here else None
            gradient = torch.empty(0) if gradient is None else gradient
            best = state.tensors["canvas" if is_here else "best"]
            gradient = gradient.to(like.device)
            self.best = Evaluation(state.numbers["best_loss"], gradient, dict(state.parts))
            self.best_canvas = best.to(like.device)

    def retry(self) -> Tensor | None:
        """Return the best canvas, to begin anew from it; None where that has failed repeatedly."""
        if self.best is None:
            return None
        self.failures = self.failures + 1 if self.failed == self.best.loss else 1
        self.failed = self.best.loss
        return self.best_canvas if self.failures <= RETRIES else None

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
        return Solution(self.best_canvas, self.best, self.count, reason, self.state, fault)
