"""A time budget: how long each scale may go on, so that the whole ends in time.

The size is kept; evaluations are what is chosen. Equal numbers at every scale serve best where there is time
for `ENOUGH` at the last one; where there is not, the coarse scales, which cost little, take up to half of it.
"""

import time
from collections.abc import Callable, Sequence

from torch import Tensor

from impasto.errors import Stop
from impasto.evaluation import Evaluation

ENOUGH = 40  # evaluations of a scale after which finer ones gain more
COARSE = 0.5  # share of the time that coarse scales may take where it is short
MOST = 100_000  # evaluations; time ends a scale before
REASON = "budget"
Callback = Callable[[int, Tensor, Evaluation], None]


class Budget:
    """Measures evaluations as they come, and says when a scale has had its share.

    Args:
        seconds: From now to the end of the computation; may be negative, and then each scale is passed by.
        costs: What one evaluation costs at each scale, in any unit, coarsest first.
    """

    def __init__(self, seconds: float, costs: Sequence[float]) -> None:
        self._end = time.perf_counter() + seconds
        self._costs = list(costs)
        self._unit: float | None = None  # seconds of one unit of cost
        self._number = 0
        self._scale_end = self._end

    def left(self) -> float:
        """Return the seconds left."""
        return self._end - time.perf_counter()

    def enough_for(self, number: int) -> bool:
        """Return whether there is time for an evaluation at a scale; the first one always runs."""
        return number == 0 or self._unit is None or self.left() > 0.5 * self._seconds(number)

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

    def _share(self, number: int, began: float | None = None) -> float:
        """Return when a scale is to end."""
        rest = self._costs[number:]
        if self._unit is None or len(rest) == 1:
            return self._end
        start = time.perf_counter() if began is None else began
        left = self._end - start
        equal = left / (sum(rest) * self._unit)  # evaluations, the same number at each scale
        if equal >= ENOUGH:
            return start + equal * self._seconds(number)
        coarse = min(ENOUGH * sum(rest[:-1]) * self._unit, COARSE * left)
        return start + max(coarse * rest[0] / sum(rest[:-1]), equal * self._seconds(number))
