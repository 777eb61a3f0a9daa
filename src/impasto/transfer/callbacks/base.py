"""`Callback`: watches and steers a run, by five events. `OnStep` calls the user's function."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from impasto.errors import InputError
from impasto.optim.evaluation import Evaluation
from impasto.transfer.result import Step

if TYPE_CHECKING:
    from impasto.inputs.pictures import ScaledInputs
    from impasto.transfer.run import Run


class Callback:
    """Base of all callbacks; every event may be left out.

    Events come in the order of a run's callbacks, which counts: a checkpoint is written before the strength
    changes a weight. `Stop` raised in one ends the run, `EndOfScale` the scale.
    """

    def on_scale_start(self, run: Run, pictures: ScaledInputs) -> None:
        """The losses of a scale are bound to its pictures; nothing is evaluated. Do not keep the pictures."""

    def on_evaluation(self, run: Run, canvas: Tensor, evaluation: Evaluation) -> None:
        """A canvas (1, 3, H, W) was evaluated."""

    def on_iteration(self, run: Run) -> None:
        """The solver stands between two steps: `run.snapshot()` is whole, `run.reweigh(...)` is allowed."""

    def on_scale_end(self, run: Run) -> None:
        """A scale ended because of `run.reason`."""

    def on_run_end(self, run: Run) -> None:
        """No scale is left, or the run was ended."""


def work_of(run: Run) -> tuple[float, float]:
    """Return the work that a run has done and all that it has to do, in the unit of `run.costs`."""
    costs = [each * limit for each, limit in zip(run.costs, run.limits, strict=False)]
    return sum(costs[: run.state.scale]) + run.costs[run.state.scale] * run.state.evaluations, sum(costs)


class OnStep(Callback):
    """Calls a function with a `Step` after every evaluation."""

    def __init__(self, function: Callable[[Step], None]) -> None:
        if not callable(function):
            raise InputError(f"on_step must be a function of a Step, not {function!r}")
        self._function = function
        self._first: tuple[float, float] | None = None  # seconds, and the work done, at the first evaluation

    def _remaining(self, run: Run) -> float | None:
        """Return the seconds that the rest will take: those of a time budget, else as fast as so far."""
        left, seconds = run.seconds_left(), run.seconds()
        if left is not None:
            return max(0.0, left)
        done, total = work_of(run)
        if self._first is None:
            self._first = seconds, done
        began, before = self._first
        return (total - done) * (seconds - began) / (done - before) if done > before else None

    def on_evaluation(self, run: Run, canvas: Tensor, evaluation: Evaluation) -> None:
        """Make the step of an evaluation, and call."""
        scale, record = run.schedule[run.state.scale], run.state.history[-1]
        step = Step(
            scale=record.scale,
            scales=len(run.schedule),
            width=scale.width,
            height=scale.height,
            iteration=run.state.tracking.count,
            evaluations=record.evaluation,
            planned=len(run.schedule) * run.settings.evaluations_per_scale,
            losses=record.losses,
            seconds=record.seconds,
            left=run.seconds_left(),
            remaining=self._remaining(run),
            _canvas=canvas,
            _finish=partial(run.inputs.picture, gray=run.gray),
        )
        self._function(step)
