"""A time budget: how long each scale may go on, so that the whole ends in time.

The size is kept; evaluations are what is chosen. Equal numbers at every scale serve best where there is time
for `ENOUGH` at the last one; where there is not, the coarse scales, which cost little, take up to half of it.
What a scale needs before its first evaluation, the passes over photo and paintings, is counted too. A fine
scale that could not have `WORTH` evaluations is left out: its time serves the coarser ones better.
"""

import time
from collections.abc import Callable, Sequence

from torch import Tensor

from impasto.errors import Stop
from impasto.optim.evaluation import Evaluation

ENOUGH = 40  # evaluations of a scale after which finer ones gain more
WORTH = 3  # evaluations below which a finer scale is not begun; the first only measures its start
SLACK = 0.05  # share of a budget by which a run may be over it without a word
COARSE = 0.5  # share of the time that coarse scales may take where it is short
MOST = 100_000  # evaluations; time ends a scale before
REASON = "budget"
Callback = Callable[[int, Tensor, Evaluation], None]


class TimeBudget:
    """Measures evaluations as they come, and says when a scale has had its share.

    Args:
        seconds: From now to the end of the computation; may be negative, and then each scale is passed by.
        costs: What one evaluation costs at each scale, in any unit, coarsest first.
        before: What comes before the first evaluation of each scale, in the same unit. Default: nothing.
    """

    def __init__(
        self, seconds: float, costs: Sequence[float], before: Sequence[float] | None = None
    ) -> None:
        self._asked = seconds
        self._end = time.perf_counter() + seconds
        self._costs = list(costs)
        self._before = [0.0] * len(self._costs) if before is None else list(before)
        self._unit: float | None = None  # seconds of one unit of cost
        self._number = 0
        self._scale_end = self._end

    def left(self) -> float:
        """Return the seconds left."""
        return self._end - time.perf_counter()

    def overrun(self, evaluations: int) -> str:
        """Return what is to be said where so many evaluations took clearly more time; else nothing."""
        over = -self.left()
        if over <= max(0.5, SLACK * self._asked):
            return ""
        words = "; the picture is hardly painted, give it more" if evaluations < WORTH else ""
        return f"the time budget was too short: over by {over:.1f} s{words}"

    def enough_for(self, number: int) -> bool:
        """Return whether a scale is worth beginning in the time left; the first one always is."""
        return number == 0 or self._unit is None or self._worth(number, self.left())

    def at(self, number: int, then: Callback, done: int = 0) -> Callback:
        """Return the solver's callback for a scale; it ends the scale when its share is spent.

        Args:
            number: Of the scale, from 0.
            then: Called first.
            done: Evaluations of this scale before now.
        """
        self._number = number
        self._scale_end = self._share(number)
        began = time.perf_counter()
        last = number == len(self._costs) - 1

        def callback(count: int, canvas: Tensor, evaluation: Evaluation) -> None:
            then(count, canvas, evaluation)
            now = time.perf_counter()
            each = (now - began) / (count - done)
            self._unit = each / self._costs[number]
            if count == done + 1 or not last:
                self._scale_end = self._share(number, began)
            if now + 0.5 * each > self._scale_end:
                raise Stop(REASON)

        return callback

    def _seconds(self, number: int) -> float:
        return self._costs[number] * (self._unit or 0.0)

    def _worth(self, number: int, seconds: float) -> bool:
        beforehand = self._before[number] * (self._unit or 0.0)
        return seconds > beforehand + (WORTH - 0.5) * self._seconds(number)

    def _last(self, number: int, left: float) -> int:
        """Return the finest scale that will be worth it in the time left at this one."""
        finer = range(len(self._costs) - 1, number, -1)
        return next((scale for scale in finer if self._worth(scale, COARSE * left)), number)

    def _share(self, number: int, began: float | None = None) -> float:
        """Return when a scale is to end."""
        if self._unit is None or number == len(self._costs) - 1:
            return self._end
        start = time.perf_counter() if began is None else began
        last = self._last(number, self._end - start)
        rest = self._costs[number : last + 1]
        if len(rest) == 1:
            return self._end
        left = self._end - start - sum(self._before[number + 1 : last + 1]) * self._unit
        equal = left / (sum(rest) * self._unit)  # evaluations, the same number at each scale
        if equal >= ENOUGH:
            return start + equal * self._seconds(number)
        coarse = min(ENOUGH * sum(rest[:-1]) * self._unit, COARSE * left)
        return start + max(coarse * rest[0] / sum(rest[:-1]), equal * self._seconds(number))
