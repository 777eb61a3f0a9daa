"""stylize(): the algorithm on one screen. Read this first.

At each scale, coarse to fine: the photo's features and the paintings' Gram matrices become targets, the
canvas goes through the network, and a solver moves its pixels until both fit.
Source: Gatys, Ecker and Bethge 2016. Departures of the defaults from the paper: mean losses, the photo as
start, coarse to fine, pixels kept in the range of a file; `Settings.preset("paper")` has none of them.
"""

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from impasto.config.recipe import Calibration, Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.errors import InputError, NumericalError, Stop
from impasto.image.picture import PictureLike
from impasto.inputs import canvas as canvases
from impasto.inputs.open import MaskLike, StyleLike, as_recorded, open_inputs
from impasto.inputs.pictures import Inputs, ScaledInputs, remark
from impasto.inputs.pyramid import Scale
from impasto.inputs.shared import Shared
from impasto.losses.build import bind, layers_of
from impasto.losses.loss import Loss
from impasto.losses.objective import Objective, Protection, blame, network_of, protection_of
from impasto.network.backprop import FeatureExtractor
from impasto.network.weights.load import WeightsLike, identity, load
from impasto.optim.evaluation import Solution, Start, State
from impasto.optim.minimize import OUT_OF_MEMORY, minimize
from impasto.optim.tracking import NOT_FINITE
from impasto.system import hardware
from impasto.transfer import memory
from impasto.transfer import runtime as runtime_module
from impasto.transfer.callbacks import checkpoints as keepers
from impasto.transfer.callbacks.checkpoint_file import Checkpoint, check_fit
from impasto.transfer.callbacks.checkpoints import CheckpointLike, Checkpoints, checkpoints_of
from impasto.transfer.callbacks.strength import REACHED, TURN, StrengthControl, dial_of
from impasto.transfer.callbacks.time_budget import MOST, REASON, TimeBudget
from impasto.transfer.result import Log, Record, Result, Step, recipe_of

# Another scale may follow.
FINISHED = ("evaluations", "tolerance", "no further decrease", REASON, REACHED)
REPEATABLE = (*FINISHED, "interrupted", NOT_FINITE)  # what counting evaluations repeats
logger = logging.getLogger(__name__)


def stylize(
    content: PictureLike,
    style: StyleLike | Sequence[StyleLike],
    settings: Settings | None = None,
    *,
    runtime: Runtime | None = None,
    on_step: Callable[[Step], None] | None = None,
    extra_losses: Sequence[Loss] = (),
    init_picture: PictureLike | None = None,
    protect: MaskLike | None = None,
    weights: WeightsLike | None = None,
    checkpoint: CheckpointLike = None,
    on_part: Callable[[], None] | None = None,
) -> Result:
    """Paint a photo in the style of one or several paintings.

    Args:
        content: The photo: a path, the bytes of a file, a PIL image, a NumPy array, a torch tensor or a
            `Picture`; see `Picture.of`.
        style: The painting or paintings; `Style` gives shares, regions and more; a folder is one style.
        settings: What is wanted; the defaults if None.
        runtime: How to compute it; decided for this machine if None.
        on_step: Called after every evaluation. `raise impasto.Stop` in it ends the run cleanly.
        extra_losses: Further losses, such as `Penalty`.
        init_picture: The start, for `Settings(init="picture")`.
        protect: A mask of what stays the photo, white on black, in the photo's shape.
        weights: Other weights than the packaged ones: a name, a file, or `{"conv1_1.weight": ...}`.
        checkpoint: A file from which `impasto.resume` goes on if the run is interrupted. None: in the cache
            folder, if the run is expected to take over two minutes; False: none.
        on_part: Called after every part of a picture that is computed in tiles, where an evaluation takes
            long. `raise impasto.Stop` in it ends the run without that evaluation.

    Raises:
        InputError: A picture cannot be read or is too small, a setting does not fit, or the checkpoint is
            there already.
        OutputError: The checkpoint cannot be written there.
        WeightsError: The network's weights are not there.
        NumericalError: Not even the start has a finite loss.
    """
    settings = settings or Settings()
    inputs = open_inputs(content, style, settings, init_picture, protect)
    runtime = runtime_module.resolve(runtime or Runtime(), settings)
    keeping: contextlib.AbstractContextManager[Checkpoints]
    if isinstance(checkpoint, Checkpoints):
        keeping = contextlib.nullcontext(checkpoint)  # the caller's to end
    else:
        keeping = checkpoints_of(checkpoint, [content, style, init_picture, protect])
    with keeping as keeper:
        return run(
            inputs,
            settings,
            runtime,
            weights,
            on_step,
            extra_losses,
            keeper=keeper,
            on_part=on_part,
        )


def replay(
    recipe: Recipe,
    content: PictureLike,
    style: StyleLike | Sequence[StyleLike],
    *,
    on_step: Callable[[Step], None] | None = None,
    init_picture: PictureLike | None = None,
    protect: MaskLike | None = None,
    weights: WeightsLike | None = None,
    keeper: Checkpoints | None = None,
    on_part: Callable[[], None] | None = None,
) -> Result:
    """Make the picture of a recipe again: its settings and runtime, and at each scale its evaluations.

    So a run that was ended by a tolerance or by Ctrl-C is repeated to the evaluation at which it ended. The
    styles' weights are the recipe's. See `stylize` for the arguments and errors.
    """
    listed = style if isinstance(style, (list, tuple)) else [style]
    if len(listed) != len(recipe.styles):
        raise InputError(f"the recipe wants {len(recipe.styles)} styles, not {len(listed)}")
    styles = [as_recorded(*pair) for pair in zip(listed, recipe.styles, strict=True)]
    inputs = open_inputs(content, styles, recipe.settings, init_picture, protect)
    runtime = runtime_module.resolve(recipe.runtime, recipe.settings)
    spent = [scale.evaluations for scale in recipe.scales]
    asked = (inputs, recipe.settings, runtime, weights, on_step, (), spent)
    return run(*asked, keeper=keeper, on_part=on_part, calibration=recipe.calibration)


def run(
    inputs: Inputs,
    settings: Settings,
    runtime: Runtime,
    weights: WeightsLike | None,
    on_step: Callable[[Step], None] | None,
    extra_losses: Sequence[Loss],
    spent: Sequence[int] | None = None,
    workshop: Shared | None = None,
    *,
    keeper: Checkpoints | None = None,
    since: Checkpoint | None = None,
    on_part: Callable[[], None] | None = None,
    calibration: Calibration | None = None,
) -> Result:
    """Compute, with a resolved `runtime`.

    `spent` are the evaluations at each scale, else they are those of the settings; `calibration` goes with
    them where there is a strength. Runs on the same pictures and weights may share a `workshop`; the pixels
    are the same without. With `since` the run goes on from there, with the runtime of that checkpoint.
    """
    keeper = keeper or Checkpoints(wanted=False)
    wanted = layers_of(settings, extra_losses, inputs)
    plan = inputs.scales(settings, wanted)
    workshop = workshop or Shared(0)
    remark(inputs, plan[-1], workshop)
    asked = runtime
    if since is None:
        runtime = memory.definite(runtime, settings, plan, wanted, inputs.held_bytes(plan[-1]))
    else:
        check_fit(since, plan)
    costs = [memory.cost(scale, wanted, runtime) for scale in plan]
    rest = None if since is None else since.head.left
    before = [memory.beforehand(scale, inputs.shapes, wanted, runtime) for scale in plan]
    budget = None if spent is not None else memory.budget(asked, plan, costs, before, rest)
    left = None if budget is None else budget.left
    if since is not None:
        calibration = since.head.recipe.calibration
    log = Log(plan, settings.passes, on_step, inputs.picture, left, calibration)
    loaded = load(weights)
    called = identity(loaded)
    passes = [settings.passes if budget is None else MOST] * len(plan) if spent is None else spent
    told = partial(recipe_of, settings, runtime, inputs, log, called)
    names = [loss.name for loss in extra_losses]
    keeper.begin(keepers.Course(log, told, costs, passes, spent is not None, names, left))
    with hardware.threads(runtime.threads or 1), memory.enough_memory():
        network = network_of(loaded, settings, runtime, workshop)
        dial = dial_of(settings, runtime, log, network, loaded, given=spent is not None)
        course = _Course(
            inputs, network, settings, runtime, extra_losses, log, workshop, budget,
            keeper, on_part, dial,
        )  # fmt: skip
        canvas = _paint(course, list(zip(plan, passes, strict=False)), since)
        hardware.give_back_freed_memory()
        picture = inputs.picture(canvases.upscale(canvas, plan[-1]))
    if dial is not None:
        dial.tell()
    if budget is not None and (over := budget.overrun(len(log.history))):
        logger.warning(over)
    repeatable = not extra_losses and all(scale.reason != OUT_OF_MEMORY for scale in log.scales)
    repeatable = repeatable and log.stopped in REPEATABLE
    recipe = told(pixels=picture.pixels_sha256(), reproducible=repeatable)
    return Result(picture, recipe, tuple(log.history), log.seconds(), log.stopped, log.fault)


@dataclass(frozen=True)
class _Course:
    """What all scales of a run share."""

    inputs: Inputs
    network: FeatureExtractor
    settings: Settings
    runtime: Runtime
    extra_losses: Sequence[Loss]
    log: Log
    workshop: Shared
    budget: TimeBudget | None
    keeper: Checkpoints
    on_part: Callable[[], None] | None
    dial: StrengthControl | None


def _paint(course: _Course, plan: Sequence[tuple[Scale, int]], since: Checkpoint | None) -> Tensor:
    """Paint each scale, in so many evaluations or as the budget says; return the canvas (1, 3, H, W)."""
    canvas: Tensor | None = None
    before: ScaledInputs | None = None
    settings, budget = course.settings, course.budget
    for number, (scale, passes) in enumerate(plan):
        if since is not None and number < since.head.scale:
            continue
        if budget is not None and not budget.enough_for(number):
            break
        targets = targets_of(course.inputs, scale, course.runtime.device, course.workshop)
        if since is None:
            begin = Start(_next_canvas(canvas, before, targets, settings))
        else:
            begin = Start(torch.zeros_like(targets.content))  # the state knows better
        last = number == len(plan) - 1  # for the next scale, which has no use for the paintings
        before = None if last else replace(targets, styles=(), picture=None)
        protection = protection_of(targets)
        tile, compact = course.runtime.tile or 0, bool(course.runtime.compact)
        course.keeper.at(number, tile, 0)
        try:
            losses = bind(
                course.network, targets, settings, course.workshop,
                tile=tile, compact=compact, on_part=course.on_part,
            )  # fmt: skip
            if course.dial is not None:
                losses = course.dial.begin(
                    number, targets, losses, since=since,
                    tile=tile, compact=compact, on_part=course.on_part,
                )  # fmt: skip
            del targets
            hardware.give_back_freed_memory()
            losses += course.extra_losses
            reason, painted = _solve(
                course, number, scale, passes, losses, begin, since, protection
            )
        except Stop as stop:  # before the first evaluation of this scale was done
            if canvas is None:
                raise
            course.log.stopped = stop.reason
            course.keeper.stopped(State(0, {"canvas": begin.take()}), stop.reason)
            break
        except NumericalError as error:
            if canvas is None:
                raise
            course.log.end(str(error))  # with what the scales before have made
            course.keeper.stopped(None, NOT_FINITE)
            break
        canvas = painted if last or protection is None else protection.shown(painted)
        since = None
        if reason not in FINISHED:
            break
    assert canvas is not None  # a plan has at least one scale
    return canvas


def _solve(
    course: _Course,
    number: int,
    scale: Scale,
    passes: int,
    losses: Sequence[Loss],
    begin: Start,
    since: Checkpoint | None,
    protection: Protection | None,
) -> tuple[str, Tensor]:
    """Move the canvas at one scale; where memory runs out, go on from the best one in smaller tiles."""
    log, keeper = course.log, course.keeper
    tile, spent, state = course.runtime.tile or 0, 0, None
    if since is not None:
        tile, spent, state = since.head.tile, since.head.used, since.state
        log.go_on(since.history, since.head.recipe, since.head.scale_seconds)
    while True:
        asked = course, number, scale, passes, spent
        solution, objective = _descend(*asked, losses, tile, begin, state, protection)
        canvas, losses, state = solution.canvas, objective.losses, None
        if solution.reason not in FINISHED:
            keeper.stopped(solution.state, solution.reason)
        log.close(scale, solution, objective.scale)
        spent += solution.evaluations
        smaller = memory.smaller(tile, scale) if solution.reason == OUT_OF_MEMORY else None
        if smaller is None or spent >= passes or not all(loss.additive for loss in losses):
            if course.dial is not None and solution.reason in FINISHED:
                course.dial.end(canvas, spent)
            return solution.reason, canvas
        logger.warning("out of memory; going on in tiles of %d px from the best so far", smaller)
        tile, begin = smaller, Start(canvas)


def _descend(
    course: _Course,
    number: int,
    scale: Scale,
    passes: int,
    spent: int,
    losses: Sequence[Loss],
    tile: int,
    begin: Start,
    state: State | None,
    protection: Protection | None,
) -> tuple[Solution, Objective]:
    """Let the solver go, and on with the weights that a strength sets; return the last objective too."""
    settings, runtime = course.settings, course.runtime
    objective = Objective(course.network, losses, tile or None, on_part=course.on_part)
    if tile and objective.tile is None:
        logger.warning("a loss needs the whole picture at once: not in tiles")
    note = course.log.at(scale, lambda: objective.scale)
    if course.budget is not None:
        note = course.budget.at(number, note, 0 if state is None else state.count)
    keep = course.keeper.at(number, tile, spent)
    if course.dial is not None:
        keep = course.dial.watch(keep, passes, spent)
    while True:
        blamed = blame(course.network, objective.losses, objective.tile)
        solution = minimize(
            objective if protection is None else protection.over(objective),
            begin,
            **settings.solver_options,
            evaluations=passes - spent,
            history=runtime.pairs or settings.history,
            compact=bool(runtime.compact),
            callback=note,
            state=state,
            keep=keep,
            blame=blamed if protection is None else protection.blaming(blamed),
        )
        if course.dial is None or solution.state is None or solution.reason != TURN:
            return solution, objective
        begin = Start(torch.zeros_like(solution.canvas))
        turned, state = course.dial.turned(objective.losses, solution.state)
        objective = Objective(course.network, turned, tile or None, on_part=course.on_part)


def targets_of(inputs: Inputs, scale: Scale, device: str, workshop: Shared) -> ScaledInputs:
    """Return the inputs at one scale, made once in a workshop."""
    return workshop.get((inputs, scale, device), lambda: inputs.tensors(scale, device))


def _next_canvas(
    canvas: Tensor | None, before: ScaledInputs | None, targets: ScaledInputs, settings: Settings
) -> Tensor:
    """Return where a scale begins: the start at the first, the grown result of the last else."""
    if canvas is None or before is None:
        return canvases.start(
            settings.init,
            noise=settings.init_noise,
            seed=settings.seed,
            content=targets.content,
            style=targets.styles[0],
            picture=targets.picture,
        )
    # Detail of the photo only helps where the photo is wanted at all.
    detail = settings.detail if settings.content_term else 0.0
    return canvases.grow(canvas, before.content, targets.content, detail)


__all__ = ["PictureLike", "Record", "Result", "Step", "Stop", "Style", "replay", "stylize"]
