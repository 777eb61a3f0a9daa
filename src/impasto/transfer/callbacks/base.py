"""`Callback`: watches and steers a run, by five events. `OnStep` calls the user's function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from impasto.errors import InputError
from impasto.image.picture import Picture
from impasto.image.pixels import shrunk
from impasto.inputs.pyramid import Scale
from impasto.optim.evaluation import Evaluation
from impasto.transfer.result import Step

if TYPE_CHECKING:
    from impasto.inputs.pictures import ScaledInputs
    from impasto.transfer.run import Run


class Callback:
    """Base of all callbacks; every event may be left out.

    Events come in the order of a run's callbacks. `Stop` raised in one ends the run, `EndOfScale` the scale.
    """

    def on_scale_start(self, run: Run, pictures: ScaledInputs) -> None:
        """The losses of a scale are bound to its pictures; nothing is evaluated. Do not keep the pictures."""

    def on_evaluation(self, run: Run, canvas: Tensor, evaluation: Evaluation) -> None:
        """A canvas (1, 3, H, W) was evaluated."""

    def on_iteration(self, run: Run) -> None:
        """The solver stands between two steps: `run.snapshot()` is whole."""

    def on_scale_end(self, run: Run) -> None:
        """A scale ended because of `run.reason`."""

    def on_run_end(self, run: Run) -> None:
        """No scale is left, or the run was ended."""


def work_of(run: Run, costs: Sequence[float] | None = None) -> tuple[float, float]:
    """Return the work that a run has done and all that it has to do; `costs` of an evaluation at each scale.

    By default they are those of the run.
    """
    each = run.costs if costs is None else costs
    scales = [cost * limit for cost, limit in zip(each, run.limits, strict=False)]
    return sum(scales[: run.state.scale]) + each[run.state.scale] * run.state.evaluations, sum(scales)


def _picture(run: Run, canvas: Tensor, edge: int | None) -> Picture:
    """Return a canvas as a picture, of the result's size where the run begins with a draft.

    Its long edge is at most `edge` px.
    """
    if run.drafted:
        size = run.size if edge is None else Scale(*shrunk(run.size.width, run.size.height, edge))
        return run.inputs.picture(canvas, size, gray=run.gray, draft=True)
    picture = run.inputs.picture(canvas, gray=run.gray)
    return picture if edge is None else picture.thumbnail(edge)


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
            planned=sum(run.limits),
            limit=run.limits[run.state.scale],
            work=work_of(run, [item.width * item.height for item in run.schedule]),
            losses=record.losses,
            seconds=record.seconds,
            left=run.seconds_left(),
            remaining=self._remaining(run),
            _canvas=canvas,
            _finish=partial(_picture, run),
            _drafted=run.drafted,
        )
        self._function(step)
