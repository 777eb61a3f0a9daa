"""A time budget: how long each scale may take, so that the whole ends in time.

The size is kept; the number of evaluations is what is chosen. Equal numbers at every scale serve best where
there is time for `ENOUGH` at the last one. Where there is not, the coarse scales, which cost little, take up
to half of it. What a scale needs before its first evaluation, the features of photo and paintings, is
counted too. A fine scale that could not have `WORTH` evaluations is left out: its time serves the coarser
ones better.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from impasto.errors import End, EndOfScale
from impasto.losses.neighbors import is_matched
from impasto.optim.evaluation import Evaluation
from impasto.transfer import memory
from impasto.transfer.callbacks.base import Callback

if TYPE_CHECKING:
    from impasto.config.runtime import Runtime
    from impasto.inputs.pictures import ScaledInputs
    from impasto.transfer.run import Run

ENOUGH = 40  # evaluations of a scale after which finer ones gain more
WORTH = 3  # evaluations below which a finer scale is not begun; the first only measures its start
SLACK = 0.05  # share of a budget by which a run may exceed it without a warning
COARSE = 0.5  # share of the time that coarse scales may take where it is short
log = logging.getLogger(__name__)


class TimeBudget(Callback):
    """Measures evaluations as they come, and ends a scale when its share of the time is used up.

    `seconds` are from now to the end of the computation; may be negative, and then each scale is left out.
    `costs` are what one evaluation costs at each scale, in any unit, coarsest first; `before` what comes
    before the first evaluation of each scale, in the same unit. Default: nothing.
    """

    def __init__(self, seconds: float, costs: Sequence[float], before: Sequence[float] | None = None) -> None:
        self._total = seconds
        self._end = time.perf_counter() + seconds
        self._costs = list(costs)
        self._before = [0.0] * len(self._costs) if before is None else list(before)
        self._unit: float | None = None  # seconds of one unit of cost
        self._measured: tuple[int, int] | None = None  # scale, and evaluations before its present solver
        self._number = 0
        self._done = 0
        self._began = self._scale_end = self._end

    def left(self) -> float:
        """Return the seconds left."""
        return self._end - time.perf_counter()

    def overrun(self, evaluations: int) -> str:
        """Return a warning where so many evaluations took clearly more time; else an empty string."""
        over = -self.left()
        if over <= max(0.5, SLACK * self._total):
            return ""
        words = "; the picture is hardly painted, give it more" if evaluations < WORTH else ""
        return f"the time budget was too short: over by {over:.1f} s{words}"

    def is_worth(self, number: int) -> bool:
        """Return whether a scale is worth beginning in the time left; the first one always is."""
        return number == 0 or self._unit is None or self._worth(number, self.left())

    def begin(self, number: int, done: int = 0) -> None:
        """Begin to measure at a scale, from 0, after `done` evaluations of it."""
        self._number, self._done = number, done
        self._scale_end = self._share(number)
        self._began = time.perf_counter()

    def is_over(self, count: int) -> bool:
        """Return, after `count` evaluations of a scale, whether its time is used up."""
        now = time.perf_counter()
        each = (now - self._began) / (count - self._done)
        self._unit = each / self._costs[self._number]
        last = self._number == len(self._costs) - 1
        if count == self._done + 1 or not last:
            self._scale_end = self._share(self._number, self._began)
        return now + 0.5 * each > self._scale_end

    def on_scale_start(self, run: Run, pictures: ScaledInputs) -> None:
        """Measure anew, as the scale may have moved to another device."""
        self._measured = None

    def on_iteration(self, run: Run) -> None:
        """Begin to measure where a solver begins."""
        solver = run.state.scale, run.state.spent
        if self._measured != solver:
            self._measured = solver
            self.begin(run.state.scale, run.state.tracking.count)

    def on_evaluation(self, run: Run, canvas: Tensor, evaluation: Evaluation) -> None:
        """End the scale if its time is used up."""
        if self.is_over(run.state.tracking.count):
            raise EndOfScale(End.BUDGET)

    def on_scale_end(self, run: Run) -> None:
        """Leave finer scales out if there is no time for them."""
        following = run.state.scale + 1
        if following < len(self._costs) and not self.is_worth(following):
            run.last_scale = run.state.scale

    def on_run_end(self, run: Run) -> None:
        """Warn if the run took clearly more time."""
        if over := self.overrun(len(run.state.history)):
            log.warning(over)

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


def time_budget_of(run: Run, runtime: Runtime) -> TimeBudget | None:
    """Return the time budget of a run that begins or is resumed; None without one."""
    seconds = run.state.seconds_left
    if seconds is None and runtime.budget is not None:
        # The file has to be written, and the program has to end.
        seconds = runtime.budget - (0.9 + 0.5e-6 * run.size.width * run.size.height)
    if seconds is None:
        return None
    shapes = run.inputs.shapes
    before = [
        memory.targets_cost(
            scale, shapes, run.layers, run.runtime, matched=is_matched(run.settings, run.schedule, number)
        )
        for number, scale in enumerate(run.schedule)
    ]
    return TimeBudget(seconds, run.costs, before)
