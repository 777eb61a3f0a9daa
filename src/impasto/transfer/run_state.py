"""`RunState`: where a run stands, which is all that a checkpoint saves.

A fresh run begins with `RunState()`, a resumed one with a `RunState` from a file; else they are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from impasto.config.recipe import ScaleRecord
from impasto.errors import InputError
from impasto.inputs.pyramid import Scale
from impasto.optim.evaluation import StateDict
from impasto.optim.tracking import Tracking
from impasto.transfer.result import Record

MOST = 100_000  # evaluations of a scale under a time budget, which ends it before


@dataclass
class RunState:
    """Where a run stands. With its inputs and settings, all that is needed to continue to the same bytes.

    Attributes:
        scale: Index into the schedule.
        tile: Edge of the parts in px, 0 for whole pictures; None as planned. Smaller once memory ran out.
        spent: Evaluations of this scale before memory ran out.
        tracking: The evaluations of the present solver.
        solver: Its `state_dict`, the canvas in it; empty where a scale begins.
        start: The canvas with which the scale began, where its targets depend on it; else None.
        history: One record for each evaluation of the run.
        scales: The scales that ended, and attempts that memory ended.
        seconds: Of the run, before it was resumed.
        scale_seconds: Of this scale, before the run was resumed.
        seconds_left: Of a time budget.
        limits: Evaluations at each scale of a run that repeats another; None if the settings say it.
    """

    scale: int = 0
    tile: int | None = None
    spent: int = 0
    tracking: Tracking = field(default_factory=Tracking)
    solver: StateDict = field(default_factory=dict)
    start: Tensor | None = None
    history: list[Record] = field(default_factory=list)
    scales: list[ScaleRecord] = field(default_factory=list)
    seconds: float = 0.0
    scale_seconds: float = 0.0
    seconds_left: float | None = None
    limits: list[int] | None = None

    @property
    def evaluations(self) -> int:
        """Evaluations of this scale."""
        return self.spent + self.tracking.count

    def next_solver(self, **changes: Any) -> "RunState":
        """Return the state for another solver of this run, at another scale or in other tiles."""
        kept = {name: getattr(self, name) for name in ("history", "scales", "limits")}
        return RunState(**kept, seconds=self.seconds, **changes)

    def check_fit(self, schedule: Sequence[Scale]) -> None:
        """Refuse a state from a file whose scale is not in the schedule, or whose canvas is of another size.

        Raises:
            InputError: It is so.
        """
        sizes = [(1, 3, scale.height, scale.width) for scale in schedule]
        known = len(sizes) if self.limits is None else min(len(sizes), len(self.limits))
        if self.scale >= known or tuple(self.solver["canvas"].shape) != sizes[self.scale]:
            raise InputError("the checkpoint does not fit its own settings: its canvas has another size")
