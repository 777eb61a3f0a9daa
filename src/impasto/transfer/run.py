"""`Run`: all that belongs to one run, and what `paint` and `optimize` do with it."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from torch import Tensor

from impasto._version import __version__
from impasto.config.recipe import Recipe, ScaleRecord
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import REPEATABLE, End, EndOfScale, NumericalError, Stop
from impasto.inputs.pictures import Inputs, ScaledInputs, warn_about
from impasto.inputs.pyramid import Scale
from impasto.inputs.shared import Shared
from impasto.inputs.start_colors import StartColors
from impasto.losses.build import build_losses, layers_of
from impasto.losses.loss import Loss
from impasto.losses.neighbors import is_matched
from impasto.losses.objective import Objective, Protection, load_network
from impasto.network.backprop import FeatureExtractor
from impasto.network.weights.load import WeightsLike, identity, load
from impasto.optim.evaluation import Evaluation, Solver
from impasto.optim.minimize import restarted
from impasto.optim.tracking import Tracking
from impasto.system import hardware
from impasto.transfer import memory
from impasto.transfer.callbacks.time_budget import time_budget_of
from impasto.transfer.result import Record, Result, named
from impasto.transfer.run_state import MOST, RunState
from impasto.transfer.runtime import with_kernels
from impasto.transfer.solver import make_solver

if TYPE_CHECKING:
    from impasto.transfer.callbacks.base import Callback

SMALL = 4_000_000  # bytes of a canvas whose freed memory may stay for the next run
logger = logging.getLogger(__name__)


class Run:
    """One run: inputs, settings, network, callbacks, which do not change, and its `state`.

    Attributes:
        schedule: The scales, coarsest first.
        size: Of the result.
        drafted: Whether it begins with a draft, whose pictures the photo enlarges: where it counts.
        limits: Evaluations at each scale.
        unplanned: The runtime before its memory was planned.
        costs: What an evaluation costs at each scale, in pixels computed whole.
        last_scale: Index of the finest scale to compute; a time budget may lower it.
        callbacks: In the order in which they are called.
        canvas: What the last finished scale left, (1, 3, H, W).
        photo: At the size of that scale, (1, 3, H, W).
        reason: Why the last scale ended: an `End`, or the reason of a `Stop`.
        stopped: Whether a `Stop` or Ctrl-C ended the run.
        interrupted: Whether Ctrl-C did, as a `KeyboardInterrupt`.
        fault: What was not finite, in words.
    """

    state: RunState
    runtime: Runtime
    solver: Solver
    objective: Objective

    def __init__(
        self,
        inputs: Inputs,
        settings: Settings,
        runtime: Runtime,
        weights: WeightsLike | None,
        extra_losses: Sequence[Loss] = (),
        *,
        shared: Shared | None = None,
        state: RunState | None = None,
        on_part: Callable[[], None] | None = None,
    ) -> None:
        self.layers = layers_of(settings, extra_losses, inputs)
        self.inputs, self.settings, self.extra_losses = inputs, settings, list(extra_losses)
        self.schedule, self.size = inputs.scales(settings, self.layers), inputs.size(settings)
        self.drafted = self.schedule[0].draft is not None and settings.content_term
        self.shared = Shared(0) if shared is None else shared
        warn_about(inputs, self.schedule[-1], self.layers, self.shared)
        self.start_colors = (
            StartColors(inputs, settings.init_amount, draft=settings.quality == "instant")
            if settings.starts_matched
            else None
        )
        self.state = state or RunState()
        if self.state.solver:
            self.state.check_fit(self.schedule)
        self.unplanned = runtime
        self.set_runtime(runtime, plan=not self.state.solver)
        repeats = self.state.limits is not None  # an earlier run
        self.time_budget = None if repeats else time_budget_of(self, runtime)
        most = settings.evaluations_per_scale if self.time_budget is None else MOST
        self.limits = self.state.limits or [scale.draft or most for scale in self.schedule]
        self._finest = len(self.schedule) - 1
        self.last_scale = min(self._finest, len(self.limits) - 1)
        self.weights = load(settings.weights if weights is None else weights)
        self.runtime = with_kernels(self.runtime, self.weights)
        self.callbacks: Sequence[Callback] = ()
        self.on_part = on_part
        self.canvas: Tensor | None = None
        self.losses: dict[str, float] = {}
        self.reason, self.stopped, self.interrupted, self.fault = "", False, False, ""
        self.photo: Tensor | None = None
        self._began = self._scale_began = time.perf_counter()

    def set_runtime(self, runtime: Runtime, *, plan: bool) -> None:
        """Compute with this runtime from now on, or with what is planned for it."""
        self.runtime = runtime
        if plan:
            opened = self.inputs.memory_bytes(self.schedule[-1], self.size)
            self.runtime = memory.with_memory_plan(runtime, self.settings, self.schedule, self.layers, opened)
        self.costs = [memory.cost(scale, self.layers, self.runtime) for scale in self.schedule]

    @cached_property
    def network(self) -> FeatureExtractor:
        """The network on its device, in its number format."""
        return load_network(self.weights, self.settings, self.runtime, self.shared)

    @property
    def kept_memory(self) -> int:
        """Bytes of freed memory that stay for the next run: of small pictures, where runs share anything."""
        return self.shared.limit if 12 * self.size.width * self.size.height <= SMALL else 0

    # --- where the run stands ---------------------------------------------------------------------

    def notify(self, event: str, *details: object) -> None:
        """Call all callbacks."""
        for callback in self.callbacks:
            getattr(callback, event)(self, *details)

    def seconds(self) -> float:
        """Return the seconds since the run began."""
        return self.state.seconds + time.perf_counter() - self._began

    def scale_seconds(self) -> float:
        """Return the seconds since this scale began."""
        return self.state.scale_seconds + time.perf_counter() - self._scale_began

    def begin_clock(self) -> None:
        """Count the seconds of a scale, or of a solver at it, from now on."""
        self._scale_began = time.perf_counter()

    def seconds_left(self) -> float | None:
        """Return the seconds left of a time budget, None without one."""
        return None if self.time_budget is None else self.time_budget.left()

    def note_state(self) -> None:
        """Note where the run stands between two steps of the solver; tensors are not copied."""
        self._noted = replace(self.state.tracking, rejected=None)

    def snapshot(self) -> RunState:
        """Return the state between the last two steps, for a checkpoint; its tensors are the solver's own."""
        seen = sum(scale.evaluations for scale in self.state.scales) + self._noted.count
        return replace(
            self.state,
            tracking=self._noted,
            solver=self.solver.state_dict(),
            history=self.state.history[:seen],
            scales=list(self.state.scales),
            seconds=self.seconds(),
            scale_seconds=self.scale_seconds(),
            seconds_left=self.seconds_left(),
        )

    # --- one scale --------------------------------------------------------------------------------

    def scaled_inputs(self, scale: Scale) -> ScaledInputs:
        """Return the pictures at a scale."""
        return self.inputs.at(scale, self.runtime.device, self.shared)

    def in_start_colors(self, photo: Tensor) -> Tensor:
        """Return the photo at a scale, (1, 3, H, W), in the colors of the start, for it and its detail."""
        return photo if self.start_colors is None else self.start_colors.apply(photo)

    def paints_gray(self, pictures: ScaledInputs) -> bool:
        """Whether the canvas stays gray, as all inputs are; the published formulas leave it its colors."""
        return self.settings.convention == "mean" and not self.extra_losses and pictures.gray

    def start_scale(self, pictures: ScaledInputs, canvas: Tensor) -> None:
        """Bind losses and objective to the pictures of a scale, and give the solver its canvas, (1, 3, H, W).

        Features and Gram matrices of the pictures become the targets. A resumed solver continues where it
        stood.
        """
        state = self.state
        if state.tile is None:
            state.tile = self.runtime.tile or 0
        self.solver = make_solver(self.settings, self.runtime, canvas)
        if state.solver:
            self._restore_solver()
        elif is_matched(self.settings, self.schedule, state.scale):
            state.start = canvas.clone()
        self.note_state()
        self.photo = None if state.scale == self._finest else pictures.content
        self.protection, self.gray = Protection.of(pictures), self.paints_gray(pictures)
        losses = build_losses(
            self.network, pictures, self.settings, self.shared,
            tile=self.runtime.tile or 0, compact=bool(self.runtime.compact), on_part=self.on_part,
            start=None if state.start is None else state.start.to(canvas.device),
        )  # fmt: skip
        if self.runtime.tile:  # what the targets took is of other sizes
            hardware.give_back_freed_memory()
        self.set_losses([*losses, *self.extra_losses])
        self.notify("on_scale_start", pictures)
        self.begin_clock()

    def _restore_solver(self) -> None:
        state, tracking = self.state, self.state.tracking
        shared = tracking.best_canvas is state.solver["canvas"] and not self.solver.overwrites
        self.solver.load_state_dict(state.solver)
        if shared:
            tracking.best_canvas = self.solver.canvas
        elif tracking.best_canvas is not None:
            tracking.best_canvas = tracking.best_canvas.to(self.solver.canvas)
        state.solver = {}

    def set_losses(self, losses: Sequence[Loss]) -> None:
        """Make the objective of losses with their weights."""
        tile = self.state.tile or None
        self.objective = Objective(
            self.network, losses, tile, protection=self.protection, gray=self.gray, on_part=self.on_part,
            graph=not self.extra_losses,
        )  # fmt: skip
        if tile and self.objective.tile is None:
            logger.warning("a loss needs the whole picture at once: not in tiles")

    def evaluate(self, canvas: Tensor) -> Evaluation:
        """Do one pass through the network and back: L = alpha L_content + beta L_style + ..., and dL/dx."""
        self.check_limit()
        state, evaluation = self.state, self.objective(canvas)
        state.tracking.note(canvas, evaluation, copy=self.solver.overwrites)
        done = sum(scale.evaluations for scale in state.scales) + state.tracking.count
        losses = named(evaluation, self.objective.scale)
        state.history.append(Record(state.scale + 1, done, losses, self.seconds()))
        self.notify("on_evaluation", canvas, evaluation)
        if state.tracking.stalled(self.settings.tolerance):
            raise EndOfScale(End.TOLERANCE)
        return evaluation

    def check_limit(self) -> None:
        """Raise `EndOfScale` where no evaluation is left at this scale."""
        if self.state.evaluations >= self.limits[self.state.scale]:
            raise EndOfScale(End.EVALUATIONS)

    def restart(self) -> bool:
        """Let a solver whose last loss was not finite begin anew from the best canvas."""
        return restarted(self.solver, self.state.tracking)

    def no_further_step(self) -> End:
        """Return why a solver that found no further step gave up."""
        return End.NO_DECREASE if self.state.tracking.finite else End.NOT_FINITE

    def end_scale(self, reason: str) -> str:
        """Note how a scale ended; its best canvas is what the next one begins with. Returns the reason.

        Raises:
            NumericalError: Not even the start had a finite loss.
        """
        best = self.state.tracking.best_canvas
        if best is None:
            raise NumericalError(
                f"{self._fault()} was not finite at the start; use smaller weights or another start"
            )
        self.reason = str(reason)
        finest = self.state.scale == self._finest
        self.canvas = best if finest else self.objective.visible(best)
        self.notify("on_scale_end")  # where it was stopped, a checkpoint is written
        self.record_scale(reason)
        return reason

    def record_scale(self, reason: str) -> None:
        """Note the evaluations of the present solver, if any, and why there are no more."""
        state, scale = self.state, self.schedule[self.state.scale]
        tracking, best = state.tracking, state.tracking.best
        assert best is not None
        if tracking.count:
            record = ScaleRecord(
                width=scale.width,
                height=scale.height,
                evaluations=tracking.count,
                seconds=round(self.scale_seconds(), 3),
                reason=reason,
            )
            state.scales.append(record)
        self.losses = named(best, self.objective.scale)
        if reason == End.NOT_FINITE:
            done = sum(item.evaluations for item in state.scales)
            self.fault = f"{self._fault()} stopped being finite at evaluation {done}"

    def _fault(self) -> str:
        """Return which loss, or whose gradient, was not finite."""
        if self.state.tracking.rejected is None:
            return "the loss"
        canvas, evaluation = self.state.tracking.rejected
        return self.objective.fault(canvas, evaluation)

    def end_at(self, stop: Stop | KeyboardInterrupt) -> str:
        """Note that the run ends here; return why."""
        self.stopped, self.interrupted = True, isinstance(stop, KeyboardInterrupt)
        self.reason = stop.reason if isinstance(stop, Stop) else str(End.INTERRUPTED)
        return self.reason

    def end_early(self, error: Stop | KeyboardInterrupt | NumericalError) -> None:
        """Note that a scale ended before its first evaluation; the result is the coarser scale's."""
        if isinstance(error, NumericalError):
            self.reason = End.NOT_FINITE
            self.fault = f"scale {len(self.state.scales) + 1}: {error}"
        else:
            self.end_at(error)
        self.notify("on_scale_end")

    # --- the whole run ----------------------------------------------------------------------------

    def scales_left(self) -> Iterator[Scale]:
        """Yield the scales from where the run stands, coarsest first."""
        for number in range(self.state.scale, len(self.schedule)):
            if number > self.last_scale:
                return
            if number != self.state.scale:
                self.free_solver()
                self.state = self.state.next_solver(scale=number)
                self.begin_clock()
            yield self.schedule[number]

    def free_solver(self) -> None:
        """Give back the memory of a scale that is done; its canvas stays."""
        for name in ("solver", "objective", "_noted"):
            vars(self).pop(name, None)
        self.state.tracking = Tracking()

    def finished_as(self, inputs: Inputs, settings: Settings) -> Result:
        """Return the result of this finished run with other settings for what happens after painting."""
        assert self.canvas is not None
        seconds, began = sum(scale.seconds for scale in self.state.scales), time.perf_counter()
        self.inputs, self.settings, self.callbacks = inputs, settings, ()
        self.state.seconds, self._began = seconds, began
        return self.result(self.canvas)

    def recipe(self, *, pixels: str = "", reproducible: bool = False) -> Recipe:
        """Return the recipe of the run so far; `pixels` is the SHA-256 of the result's pixels."""
        name, digest = identity(self.weights)
        return Recipe(
            impasto=__version__,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            settings=self.settings.changed(weights=None),  # `weights` below says which
            runtime=self.runtime,
            **self.inputs.recorded(),
            weights=name,
            weights_sha256=digest,
            scales=tuple(self.state.scales),
            losses={name: value for name, value in self.losses.items() if abs(value) < math.inf},
            seconds=round(self.seconds(), 3),
            stopped=self.reason,
            reproducible=reproducible,
            machine=hardware.describe(str(self.runtime.device)),
            pixels_sha256=pixels,
        )

    def result(self, canvas: Tensor) -> Result:
        """Return the canvas (1, 3, H, W) as a picture of the full size, with recipe and history."""
        self.notify("on_run_end")
        self.free_solver()
        if not self.kept_memory:
            hardware.give_back_freed_memory()
        picture = self.inputs.picture(canvas, self.size, gray=self.gray, draft=self.drafted)
        again = not self.extra_losses and self.reason in REPEATABLE
        again = again and all(scale.reason != End.OUT_OF_MEMORY for scale in self.state.scales)
        recipe = self.recipe(pixels=picture.pixels_sha256(), reproducible=again)
        history = tuple(self.state.history)
        return Result(picture, recipe, history, self.seconds(), self.reason, self.fault)
