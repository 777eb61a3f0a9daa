"""What is noted of a solver's evaluations: how many there were, the best, and how far the loss fell."""

import math
from dataclasses import dataclass

from torch import Tensor

from impasto.optim.evaluation import Evaluation

ROUND = 20  # evaluations; the experiment that `impasto experiment` repeats has rounds of 20
RETRIES = 3  # from the same best canvas, after a loss that was not finite


@dataclass
class Tracking:
    """The evaluations of one solver so far.

    Attributes:
        count: How many there were.
        best: The finite one with the lowest loss; before the first, that of an earlier solver, if any.
        best_canvas: Its canvas (B, 3, H, W).
        round_start: The best loss when the present round of 20 began.
        failures: How often a solver was restarted from the same best canvas ...
        failed: ... which has this loss.
        finite: Whether the last one was finite.
        rejected: Canvas and evaluation of the last one that was not finite.
    """

    count: int = 0
    best: Evaluation | None = None
    best_canvas: Tensor | None = None
    round_start: float = math.inf
    failures: int = 0
    failed: float = math.nan
    finite: bool = True
    rejected: tuple[Tensor, Evaluation] | None = None

    def note(self, canvas: Tensor, evaluation: Evaluation, *, copy: bool) -> None:
        """Count an evaluation, and keep it if it is the best.

        Args:
            canvas: (B, 3, H, W).
            evaluation: Of this canvas.
            copy: Whether the solver will change the canvas in place.
        """
        self.count += 1
        self.finite = evaluation.finite
        if not self.finite:
            self.rejected = canvas.detach().clone() if copy else canvas, evaluation
        elif self.count == 1 or self.best is None or evaluation.loss < self.best.loss:
            self.best = evaluation
            self.best_canvas = canvas.detach().clone() if copy else canvas

    def stalled(self, tolerance: float) -> bool:
        """Return whether a round of 20 ends here that lowered the best loss by less than `tolerance`."""
        if self.count % ROUND or self.best is None:
            return False
        before, self.round_start = self.round_start, self.best.loss
        fall = (before - self.best.loss) / max(abs(before), 1e-300)
        return tolerance > 0 and math.isfinite(before) and fall < tolerance

    def retry(self) -> Tensor | None:
        """Return the best canvas, to restart from; None where that has failed repeatedly."""
        if self.best is None:
            return None
        self.failures = self.failures + 1 if self.failed == self.best.loss else 1
        self.failed = self.best.loss
        return self.best_canvas if self.failures <= RETRIES else None
