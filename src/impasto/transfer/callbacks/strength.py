"""The strength: a number that becomes weights by measurement during a run.

A strength asks for a ratio: what is left of the style over what is left of the content in the result, by the
neutral evaluator, whatever network, layers and formulas the run itself has:

    content 5 mean (F - P)^2 at relu4_2, style 100 sum mean (G/(N M) - A/(N M_a))^2 over relu1_1 ... relu5_1,
    features of the original VGG-19 with max pooling and zero padding.

No fixed weights reach one ratio at every size: it depends on size, pair, pooling and evaluations. So the
ratio is measured now and then, and the weight of the style corrected, as `strength_control` says. All that
was set is kept in the recipe, which is the calibration: a run that is made again takes its weights from there
and measures nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from impasto.config.recipe import Calibration, WeightChange
from impasto.config.settings import NEUTRAL, Settings
from impasto.errors import FINISHED, End, EndOfScale, Stop
from impasto.inputs.pictures import ScaledInputs
from impasto.inputs.shared import Shared
from impasto.losses.build import build_losses
from impasto.losses.gram import GramLoss
from impasto.losses.loss import Loss
from impasto.losses.objective import Objective, Protection, load_network
from impasto.messages import NOTE
from impasto.network.backprop import FeatureExtractor
from impasto.network.layers import PartialWindows
from impasto.network.weights.load import identity, load_weights
from impasto.transfer.callbacks.base import Callback
from impasto.transfer.callbacks.strength_control import (
    LATE,
    MAX_LOG_WEIGHT,
    equilibrium_weight,
    is_close_enough,
    log_weight_correction,
    starting_weight,
)

if TYPE_CHECKING:
    from impasto.transfer.run import Run

GOAL = 2.0  # the ratio that strength 1 asks for; within reach at 256 to 1024 px with either pooling
POWER = 2.0  # of the strength with which the ratio falls; by eye
FIRST, GROWTH = 10, 1.4  # evaluations before the first measurement of a scale, and how they grow
LAST, PAUSE = 0.9, 0.1  # shares of the evaluations: the last correction; between two late ones
OFTEN = 1 / 30  # likewise: between two measurements once a scale may end
MISSED = 0.15  # relative deviation from the goal that is said

logger = logging.getLogger(__name__)


def goal_of(strength: float) -> float:
    """Return the neutral ratio, style to content, that a strength asks for."""
    return float(GOAL * strength**-POWER)


class StyleRatio:
    """Measures the neutral ratio of canvases at one scale; the arguments are those of `build_losses`."""

    def __init__(
        self,
        network: FeatureExtractor,
        pictures: ScaledInputs,
        tile: int = 0,
        *,
        compact: bool = False,
        on_part: Callable[[], None] | None = None,
    ) -> None:
        uses = tuple(replace(use, layers=None) for use in pictures.uses)  # all five
        settings = _neutral(network.network.partial_windows)
        losses = build_losses(
            network, replace(pictures, uses=uses), settings, tile=tile, compact=compact, on_part=on_part
        )
        self._objective = Objective(
            network,
            [_blended(loss) for loss in losses],
            tile or None,
            protection=Protection.of(pictures),
            on_part=on_part,
        )

    def __call__(self, canvas: Tensor) -> tuple[float, float]:
        """Return content and style of a canvas (1, 3, H, W), each region beside its own paintings."""
        terms = {"content": 0.0, "style": 0.0}
        for name, value in self._objective.values(canvas).items():
            terms[name.partition(".")[0]] += value
        return terms["content"], terms["style"]


def _neutral(windows: PartialWindows) -> Settings:
    """Return the neutral settings; which positions there are is left to the run."""
    return NEUTRAL.changed(partial_windows=windows)


def _blended(loss: Loss) -> Loss:
    """Return a style loss against the mean of the paintings' Gram matrices, as the evaluator has it."""
    if not isinstance(loss, GramLoss) or len(loss.shares) == 1:
        return loss
    mean = (loss.targets * loss.shares.view(-1, 1, 1)).sum(0, keepdim=True)
    return replace(loss, targets=mean, shares=torch.ones_like(loss.shares[:1]))


def ratio_of(terms: tuple[float, float]) -> float | None:
    """Return style over content; None where the photo is unchanged, or as good as that."""
    content, style = terms
    found = style / content if content > 0 else math.inf
    return found if found < math.inf else None


class StrengthControl(Callback):
    """Sets the weight of the style through a run, scale by scale; what it sets stands in the calibration.

    In a run that repeats another, the calibration says all, and nothing is measured.
    """

    def __init__(self, run: Run) -> None:
        strength = run.settings.strength
        assert strength is not None
        self._settings = run.settings
        self._weight = run.settings.style_weight  # that the style has now
        self._bound: dict[str, float] = {}  # the losses' weights by the settings
        self._ratio: StyleRatio | None = None
        self._network: FeatureExtractor | None = None
        if run.state.calibration is None:
            run.state.calibration = Calibration(goal=goal_of(strength))

    def on_scale_start(self, run: Run, pictures: ScaledInputs) -> None:
        """Give the style the weight that it has at this point of the run."""
        if not run.repeats:
            self._ratio = StyleRatio(
                self._neutral_network(run), pictures, run.runtime.tile or 0,
                compact=bool(run.runtime.compact), on_part=run.on_part,
            )  # fmt: skip
        if not _changes(run):
            before = _calibration(run).stretches
            weight = before[-1].style_weight if before else self._settings.style_weight
            self._add(run, 0, weight, None)
        losses = run.objective.losses
        self._bound = {loss.name: loss.weight for loss in losses}
        self._weight = _scheduled_weight(run)
        run.set_losses(self._weighed(losses))

    def on_iteration(self, run: Run) -> None:
        """Measure now and then; correct the style's weight, or end the scale at the goal."""
        count, limit = run.state.evaluations, run.limits[run.state.scale]
        is_due = _next(_changes(run)[-1].after, limit) <= count < limit
        if is_due and self._ratio is not None:
            self._measure(run, self._ratio, limit)
            ratio, goal = _calibration(run).achieved, _calibration(run).goal
            if ratio is not None and is_close_enough(count, ratio / goal, limit):
                raise EndOfScale(End.STRENGTH)
        weight = _scheduled_weight(run)
        if weight != self._weight:
            self._weight = weight
            run.reweigh(self._weighed(run.objective.losses))  # the solver keeps its curvature

    def on_scale_end(self, run: Run) -> None:
        """Note what a finished scale achieved, after all its evaluations."""
        ratio, self._ratio = self._ratio, None
        count, canvas = run.state.evaluations, run.state.tracking.best_canvas
        if ratio is None or canvas is None or run.stopped or run.reason not in FINISHED:
            return
        if _changes(run)[-1].after != count:
            with contextlib.suppress(Stop):  # the scale is over in any case
                self._add(run, count, self._weight, ratio_of(ratio(canvas)))

    def on_run_end(self, run: Run) -> None:
        """Say which weights were set, in one line, and whether the goal was missed."""
        strength, calibration = self._settings.strength, _calibration(run)
        achieved = calibration.achieved
        logger.log(NOTE, "strength %g: %s", strength, calibration)
        if achieved is None:
            if calibration.stretches[-1].after:
                logger.warning("strength %g has nothing to balance: the photo is unchanged", strength)
        elif achieved > calibration.goal * (1 + MISSED):
            logger.warning(
                "strength %g was not reached in so many evaluations; give it more (--quality best or "
                "--evaluations)",
                strength,
            )
        elif achieved < calibration.goal * (1 - MISSED):
            logger.warning("the picture is stronger than strength %g", strength)

    def _neutral_network(self, run: Run) -> FeatureExtractor:
        """Return the network that the ratio is measured with: the run's own where it is the neutral one."""
        if self._network is None or self._network.network.mean.device != torch.device(
            str(run.runtime.device)
        ):
            packaged = load_weights()
            own = run.settings.pooling, run.settings.padding, identity(run.weights)[1]
            if own == (NEUTRAL.pooling, NEUTRAL.padding, identity(packaged)[1]):
                self._network = run.network
            else:
                neutral = _neutral(run.settings.partial_windows)
                self._network = load_network(packaged, neutral, run.runtime, Shared(0))
        return self._network

    def _measure(self, run: Run, measured: StyleRatio, limit: int) -> None:
        """Measure the best canvas so far, and note which weight the style is to have from now on."""
        best, canvas = run.state.tracking.best, run.state.tracking.best_canvas
        assert best is not None
        assert canvas is not None
        terms, count = measured(canvas), run.state.evaluations
        content, style = (_term(best.parts, name) for name in ("content", "style"))
        goal, ratio, weight = _calibration(run).goal, ratio_of(terms), self._weight
        rest = equilibrium_weight((content, style / weight), terms, goal)
        changes = _changes(run)
        if rest is not None and ratio is not None and run.state.scale == 0 and len(changes) == 1:
            weight = rest * starting_weight(count, ratio / goal, limit)
        elif rest is not None and ratio is not None and _may_correct(count, changes, limit):
            step = log_weight_correction(count, ratio / goal, weight / rest, limit)
            away = math.log(weight / rest) + step
            away = max(-MAX_LOG_WEIGHT, min(MAX_LOG_WEIGHT, away))
            weight = rest * math.exp(away) if step else weight
        self._add(run, count, float(f"{weight:.4g}"), ratio)

    def _add(self, run: Run, after: int, weight: float, ratio: float | None) -> None:
        change = WeightChange(
            scale=run.state.scale + 1,
            after=after,
            content_weight=self._settings.content_weight,
            style_weight=weight,
            ratio=ratio,
        )
        calibration = _calibration(run)
        run.state.calibration = calibration.changed(stretches=(*calibration.stretches, change))

    def _weighed(self, losses: Sequence[Loss]) -> list[Loss]:
        """Return losses, those of the style times the weight now over that of the settings."""
        factor = self._weight / self._settings.style_weight
        return [
            replace(loss, weight=self._bound[loss.name] * factor)  # type: ignore[type-var]
            if loss.name.partition(".")[0] == "style"
            else loss
            for loss in losses
        ]


def _calibration(run: Run) -> Calibration:
    assert run.state.calibration is not None
    return run.state.calibration


def _changes(run: Run) -> list[WeightChange]:
    """Return the changes of weight at the present scale."""
    return [item for item in _calibration(run).stretches if item.scale == run.state.scale + 1]


def _scheduled_weight(run: Run) -> float:
    """Return the weight that the style is to have after the evaluations of this scale so far."""
    return [item for item in _changes(run) if item.after <= run.state.evaluations][-1].style_weight


def _term(parts: Mapping[str, float], term: str) -> float:
    return math.fsum(value for name, value in parts.items() if name.partition(".")[0] == term)


def _next(count: int, passes: int) -> int:
    """Return after how many evaluations of a scale the next measurement comes."""
    late = math.ceil(LATE * passes)
    if passes < FIRST:
        return passes
    if count >= late:
        return min(passes, count + max(2, round(OFTEN * passes)))
    return min(FIRST if not count else math.ceil(count * GROWTH) + 1, late)


def _may_correct(count: int, before: Sequence[WeightChange], passes: int) -> bool:
    """Return whether the weight may change here, or what the last change did has to be seen first.

    Each change costs an evaluation, so late ones, between frequent measurements, keep apart.
    """
    if count < LATE * passes:
        return True
    changes = [b.after for a, b in itertools.pairwise(before) if a.style_weight != b.style_weight]
    return count <= LAST * passes and count - max(changes, default=0) >= PAUSE * passes
