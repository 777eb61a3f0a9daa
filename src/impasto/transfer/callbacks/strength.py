"""The strength: one dial that becomes weights by measurement, while a run goes on.

A strength asks for a ratio: what is left of the style over what is left of the content in the result, by the
neutral evaluator, whatever network, layers and formulas the run itself has:

    content 5 mean (F - P)^2 at relu4_2, style 100 sum mean (G/(N M) - A/(N M_a))^2 over relu1_1 ... relu5_1,
    features of the original VGG-19 with max pooling and zero padding.

No fixed weights reach one ratio at every size: it depends on size, pair, pooling and evaluations. So the
ratio is measured now and then, and the weight of the style corrected, as `strength_control` says. All that
was set is kept in the recipe, which is the calibration: a run that is made again takes its weights from there
and measures nothing.
"""

import contextlib
import itertools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from impasto.config.recipe import Calibration, Stretch
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import Stop
from impasto.inputs.pictures import Targets
from impasto.inputs.shared import Workshop
from impasto.losses.build import bind
from impasto.losses.gram import GramLoss
from impasto.losses.loss import Loss
from impasto.losses.objective import Objective, network_of, protection_of
from impasto.messages import NOTE
from impasto.network.backprop import Chain
from impasto.network.weights.load import identity, load_weights
from impasto.optim.evaluation import Keep, State
from impasto.transfer.callbacks.checkpoint_file import Checkpoint
from impasto.transfer.callbacks.strength_control import LATE, SPAN, begun, enough, resting, steer
from impasto.transfer.result import Log

# Layers, formulas and network of the neutral evaluator, and its weights.
NEUTRAL = Settings(content_weight=5.0, style_weight=100.0)
GOAL = 2.0  # the ratio that strength 1 asks for; within reach at 256 to 1024 px with either pooling
POWER = 2.0  # of the strength with which the ratio falls; by eye
TURN = "strength"  # why a solver is stopped whose weights are to change
REACHED = "strength reached"  # or whose ratio is as asked for
FIRST, GROWTH = 10, 1.4  # evaluations before the first measurement of a scale, and how they grow
LAST, PAUSE = 0.9, 0.1  # shares of the evaluations: the last correction; between two late ones
OFTEN = 1 / 30  # likewise: between two measurements once a scale may end
MISSED = 0.15  # relative deviation from the goal that is said

logger = logging.getLogger(__name__)


def goal_of(strength: float) -> float:
    """Return the neutral ratio, style to content, that a strength asks for."""
    return float(GOAL * strength**-POWER)


class Meter:
    """Measures the neutral ratio of canvases at one scale.

    Args:
        network: The neutral one.
        targets: The inputs at this scale.
        tile: Edge of the parts that are computed at a time; 0 computes the whole.
        compact: Keep the photo's features in 16 bits.
        on_part: Called after every part.
    """

    def __init__(
        self,
        network: Chain,
        targets: Targets,
        tile: int = 0,
        *,
        compact: bool = False,
        on_part: Callable[[], None] | None = None,
    ) -> None:
        uses = tuple(replace(use, layers=None) for use in targets.uses)  # all five
        asked = replace(targets, uses=uses), NEUTRAL
        losses = bind(network, *asked, tile=tile, compact=compact, on_part=on_part)
        blended = [_blended(loss) for loss in losses]
        self._objective = Objective(network, blended, tile or None, on_part=on_part)
        self._protection = protection_of(targets)

    def __call__(self, canvas: Tensor) -> tuple[float, float]:
        """Return content and style of a canvas (1, 3, H, W), each region beside its own paintings."""
        if self._protection is not None:
            canvas = self._protection.shown(canvas)
        terms = {"content": 0.0, "style": 0.0}
        for name, value in self._objective.parts(canvas).items():
            terms[name.partition(".")[0]] += value
        return terms["content"], terms["style"]


def _blended(loss: Loss) -> Loss:
    """Return a style loss against the mean of the paintings' Gram matrices, as the evaluator has it."""
    if not isinstance(loss, GramLoss) or len(loss.shares) == 1:
        return loss
    mean = (loss.targets * loss.shares.view(-1, 1, 1)).sum(0, keepdim=True)
    return replace(loss, targets=mean, shares=torch.ones_like(loss.shares[:1]))


def dial_of(
    settings: Settings,
    runtime: Runtime,
    log: Log,
    network: Chain,
    weights: Mapping[str, Tensor],
    *,
    given: bool,
) -> "Dial | None":
    """Return the dial of a run, if a strength is asked for.

    Args:
        settings: Those of the run.
        runtime: Resolved.
        log: Of the run.
        network: The run's own.
        weights: The run's own.
        given: Whether the log's calibration is all that is to be set, as of a run that is made again.
    """
    if settings.strength is None:
        return None
    if given:
        return Dial(settings, None, log)
    return Dial(settings, _neutral(network, weights, settings, runtime), log)


def _neutral(
    network: Chain, weights: Mapping[str, Tensor], settings: Settings, runtime: Runtime
) -> Chain:
    """Return the network that the ratio is measured with: the run's own where it is the neutral one."""
    packaged = load_weights()
    own = settings.pooling, settings.padding, identity(weights)[1]
    if own == (NEUTRAL.pooling, NEUTRAL.padding, identity(packaged)[1]):
        return network
    return network_of(packaged, NEUTRAL, runtime, Workshop(0))


def ratio_of(terms: tuple[float, float]) -> float | None:
    """Return style over content; None where the photo is unchanged, or as good as that."""
    content, style = terms
    found = style / content if content > 0 else math.inf
    return found if found < math.inf else None


class Dial:
    """Sets the weight of the style through a run, scale by scale, and keeps account in the run's log.

    Args:
        settings: With a strength.
        network: The neutral one; None where nothing is to be measured.
        log: Of the run; its `calibration` says what was set so far, and is added to.

    Without a network what the calibration says is all that is set, as in a run that is made again.
    """

    def __init__(self, settings: Settings, network: Chain | None, log: Log) -> None:
        assert settings.strength is not None
        self._settings, self._network, self._log = settings, network, log
        self._meter: Meter | None = None
        self._scale, self._now, self._wanted = 0, settings.style_weight, settings.style_weight
        self._bound: dict[str, float] = {}
        if log.calibration is None:
            log.calibration = Calibration(goal=goal_of(settings.strength))

    @property
    def _calibration(self) -> Calibration:
        assert self._log.calibration is not None
        return self._log.calibration

    def _here(self) -> list[Stretch]:
        return [item for item in self._calibration.stretches if item.scale == self._scale]

    def _add(self, after: int, weight: float, ratio: float | None) -> None:
        alpha = self._settings.content_weight
        item = Stretch(
            scale=self._scale, after=after, content_weight=alpha, style_weight=weight, ratio=ratio
        )
        stretches = (*self._calibration.stretches, item)
        self._log.calibration = self._calibration.changed(stretches=stretches)

    # --- at one scale -----------------------------------------------------------------------------

    def begin(
        self,
        number: int,
        targets: Targets,
        losses: Sequence[Loss],
        *,
        since: Checkpoint | None = None,
        tile: int = 0,
        compact: bool = False,
        on_part: Callable[[], None] | None = None,
    ) -> list[Loss]:
        """Return the losses of a scale with the weight that the style has there now.

        Args:
            number: Of the scale, from 0.
            targets: The inputs at this scale.
            losses: Bound with the settings' weights.
            since: Where this scale was interrupted.
            tile: See `Meter`, as for the rest.
            compact: Likewise.
            on_part: Likewise.
        """
        self._scale = number + 1
        if self._network is not None:
            self._meter = Meter(self._network, targets, tile, compact=compact, on_part=on_part)
        if not self._here():
            before = self._calibration.stretches
            self._add(0, before[-1].style_weight if before else self._settings.style_weight, None)
        self._now = self._weight(0 if since is None else since.head.used + since.head.count)
        self._bound = {loss.name: loss.weight for loss in losses}
        return self._weighed(losses)

    def _weight(self, count: int) -> float:
        """Return the weight that the style has, or is to have, after so many evaluations of this scale."""
        return [item for item in self._here() if item.after <= count][-1].style_weight

    def watch(self, keep: Keep | None, passes: int, spent: int) -> Keep:
        """Return what a solver tells its states: `keep`, and then whether to stop: `TURN`, `REACHED`.

        Args:
            keep: Called first.
            passes: Evaluations at this scale.
            spent: Those of them before this solver began.
        """

        def watching(state: State) -> None:
            if keep is not None:
                keep(state)
            count = spent + state.count
            due = _next(self._here()[-1].after, passes) <= count < passes
            if due and self._meter is not None:
                self._measure(count, passes, state)
                ratio = self._calibration.achieved
                if ratio is not None and enough(count, ratio / self._calibration.goal, passes):
                    raise Stop(REACHED)
            self._wanted = self._weight(count)
            if self._wanted != self._now:
                raise Stop(TURN)

        return watching

    def _measure(self, count: int, passes: int, state: State) -> None:
        """Measure the best canvas so far, and note which weight the style is to have from now on."""
        assert self._meter is not None
        canvas = state.tensors["best" if "best" in state.tensors else "canvas"]
        terms = self._meter(canvas)
        content, style = (_term(state.parts, name) for name in ("content", "style"))
        goal, ratio, weight = self._calibration.goal, ratio_of(terms), self._now
        rest = resting((content, style / weight), terms, goal)
        if rest is not None and ratio is not None and self._scale == 1 and len(self._here()) == 1:
            weight = rest * begun(count, ratio / goal, passes)
        elif rest is not None and ratio is not None and _may_correct(count, self._here(), passes):
            step = steer(count, ratio / goal, weight / rest, passes)
            away = math.log(weight / rest) + step
            weight = rest * math.exp(max(-SPAN, min(SPAN, away))) if step else weight
        self._add(count, float(f"{weight:.4g}"), ratio)

    def turned(self, losses: Sequence[Loss], state: State) -> tuple[list[Loss], State]:
        """Return losses and state with the new weight, where a solver was stopped with `TURN`."""
        self._now = self._wanted
        after = self._weighed(losses)
        return after, carried(state, losses, after)

    def _weighed(self, losses: Sequence[Loss]) -> list[Loss]:
        """Return losses with those of the style times the weight now over that they were bound with."""
        factor = self._now / self._settings.style_weight
        return [
            replace(loss, weight=self._bound[loss.name] * factor)  # type: ignore[type-var]
            if loss.name.partition(".")[0] == "style"
            else loss
            for loss in losses
        ]

    def end(self, canvas: Tensor, count: int) -> None:
        """Note what was achieved at a scale, after all its evaluations."""
        meter, self._meter = self._meter, None
        if meter is not None and self._here()[-1].after != count:
            with contextlib.suppress(Stop):  # the run is over in any case
                self._add(count, self._now, ratio_of(meter(canvas)))

    def tell(self) -> None:
        """Say what was set, in one line, and whether the goal was missed."""
        strength, achieved = self._settings.strength, self._calibration.achieved
        logger.log(NOTE, "strength %g: %s", strength, self._calibration)
        if achieved is None:
            if self._calibration.stretches[-1].after:
                logger.warning(
                    "strength %g has nothing to balance: the photo is unchanged", strength
                )
            return
        if achieved > self._calibration.goal * (1 + MISSED):
            logger.warning(
                "strength %g was not reached in so many evaluations; give it more (--quality best or "
                "--evaluations)",
                strength,
            )
        elif achieved < self._calibration.goal * (1 - MISSED):
            logger.warning("the picture is stronger than strength %g", strength)


def carried(state: State, before: Sequence[Loss], after: Sequence[Loss]) -> State:
    """Return a solver's state for losses that differ in their weights only.

    Its best canvas has the loss that the new weights make of its parts. Curvature and moments stay, as most
    of what they know is still true; loss and gradient go, so that the solver evaluates its canvas first.
    """
    factors = {
        old.name: new.weight / old.weight
        for old, new in zip(before, after, strict=True)
        if old.weight
    }
    parts = {name: value * factors[name] for name, value in state.parts.items()}
    unit = math.fsum(abs(loss.weight) for loss in after)
    numbers = {name: value for name, value in state.numbers.items() if name == "steps"}
    numbers["best_loss"] = math.fsum(parts.values()) / unit
    tensors = {
        name: tensor
        for name, tensor in state.tensors.items()
        if name != "gradient" and not name.startswith("scipy.")
    }
    if "canvas" not in tensors:  # SciPy begins anew from the best
        tensors["canvas"] = tensors["best"]
    state.tensors.clear()
    return State(state.count, tensors, numbers, parts)


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


def _may_correct(count: int, before: Sequence[Stretch], passes: int) -> bool:
    """Return whether the weight may change here, or what the last change did has to be seen first.

    Each change costs an evaluation, so late ones, between frequent measurements, keep apart.
    """
    if count < LATE * passes:
        return True
    changes = [b.after for a, b in itertools.pairwise(before) if a.style_weight != b.style_weight]
    return count <= LAST * passes and count - max(changes, default=0) >= PAUSE * passes
