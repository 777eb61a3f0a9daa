"""stylize(): the algorithm on one screen. Read this first.

At each scale, coarse to fine: the photo's features and the paintings' Gram matrices become targets, the
canvas goes through the network, and a solver moves its pixels until both fit.
Source: Gatys, Ecker and Bethge 2016. Departures of the defaults from the paper: mean losses, the photo as
start, coarse to fine, pixels kept in the range of a file; `Settings.preset("paper")` has none of them.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from impasto import canvas as canvases
from impasto import keeper as keepers
from impasto import machine, planner, provision
from impasto.budget import MOST, REASON, Budget
from impasto.chain import Chain
from impasto.checkpoint import Checkpoint, check_fit
from impasto.descent import NOT_FINITE
from impasto.errors import InputError, NumericalError, ResourceError, Stop
from impasto.evaluation import Start, State
from impasto.faults import blame
from impasto.history import Log, Record, Step, recipe_of
from impasto.inputs import Inputs, StyleLike, Targets, open_inputs
from impasto.keeper import CheckpointLike, Keeper, keeper_of
from impasto.layers import LAYERS
from impasto.losses import Loss
from impasto.objective import Objective, Precision, prepare
from impasto.picture import PictureLike
from impasto.pyramid import Scale
from impasto.recipe import Recipe
from impasto.result import Result
from impasto.settings import Runtime, Settings, Style
from impasto.solvers import OUT_OF_MEMORY, minimize, no_memory
from impasto.targets import bind
from impasto.weights import identity, load_weights
from impasto.workshop import Workshop

WeightsLike = Mapping[str, Tensor] | str | os.PathLike[str]
FINISHED = ("evaluations", "tolerance", "no further decrease", REASON)  # another scale may follow
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
    weights: WeightsLike | None = None,
    checkpoint: CheckpointLike = None,
    on_part: Callable[[], None] | None = None,
) -> Result:
    """Paint a photo in the style of one or several paintings.

    Args:
        content: The photo: a path, the bytes of a file, a PIL image, a NumPy array, a torch tensor or a
            `Picture`; see `Picture.of`.
        style: The painting or paintings; `Style(picture, weight)` gives shares.
        settings: What is wanted; the defaults if None.
        runtime: How to compute it; decided for this machine if None.
        on_step: Called after every evaluation. `raise impasto.Stop` in it ends the run cleanly.
        extra_losses: Further losses, such as `Penalty`.
        init_picture: The start, for `Settings(init="picture")`.
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
    inputs = open_inputs(content, style, settings, init_picture)
    runtime = machine.resolve(runtime or Runtime(), settings)
    keeping: contextlib.AbstractContextManager[Keeper]
    if isinstance(checkpoint, Keeper):
        keeping = contextlib.nullcontext(checkpoint)  # the caller's to end
    else:
        keeping = keeper_of(checkpoint, [content, style, init_picture])
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
    weights: WeightsLike | None = None,
    keeper: Keeper | None = None,
    on_part: Callable[[], None] | None = None,
) -> Result:
    """Make the picture of a recipe again: its settings and runtime, and at each scale its evaluations.

    So a run that was ended by a tolerance or by Ctrl-C is repeated to the evaluation at which it ended. The
    styles' weights are the recipe's. See `stylize` for the arguments and errors.
    """
    listed = style if isinstance(style, (list, tuple)) else [style]
    if len(listed) != len(recipe.styles):
        raise InputError(f"the recipe wants {len(recipe.styles)} styles, not {len(listed)}")
    pictures = [item.picture if isinstance(item, Style) else item for item in listed]
    weighed = [
        Style(*pair) for pair in zip(pictures, (s.weight for s in recipe.styles), strict=True)
    ]
    inputs = open_inputs(content, weighed, recipe.settings, init_picture)
    runtime = machine.resolve(recipe.runtime, recipe.settings)
    spent = [scale.evaluations for scale in recipe.scales]
    asked = (inputs, recipe.settings, runtime, weights, on_step, (), spent)
    return run(*asked, keeper=keeper, on_part=on_part)


def run(
    inputs: Inputs,
    settings: Settings,
    runtime: Runtime,
    weights: WeightsLike | None,
    on_step: Callable[[Step], None] | None,
    extra_losses: Sequence[Loss],
    spent: Sequence[int] | None = None,
    workshop: Workshop | None = None,
    *,
    keeper: Keeper | None = None,
    since: Checkpoint | None = None,
    on_part: Callable[[], None] | None = None,
) -> Result:
    """Compute, with a resolved `runtime`.

    `spent` are the evaluations at each scale, else they are those of the settings. Runs on the same
    pictures and weights may share a `workshop`; the pixels are the same without. With `since` the run goes on
    from there, with the runtime of that checkpoint.
    """
    keeper = keeper or Keeper(wanted=False)
    wanted = layers_of(settings, extra_losses)
    plan = inputs.scales(settings, wanted)
    asked = runtime
    if since is None:
        runtime = provision.definite(runtime, settings, plan, wanted, inputs.held_bytes)
    else:
        check_fit(since, plan)
    costs = [provision.cost(scale, wanted, runtime) for scale in plan]
    rest = None if since is None else since.head.left
    shapes = [(style.width, style.height) for style in inputs.styles]
    before = [provision.beforehand(scale, shapes, wanted, runtime) for scale in plan]
    budget = None if spent is not None else provision.budget(asked, plan, costs, before, rest)
    left = None if budget is None else budget.left
    log = Log(plan, settings.passes, on_step, inputs.picture, left)
    loaded = load(weights)
    called = identity(loaded)
    passes = [settings.passes if budget is None else MOST] * len(plan) if spent is None else spent
    told = partial(recipe_of, settings, runtime, inputs, log, called)
    names = [loss.name for loss in extra_losses]
    keeper.begin(keepers.Course(log, told, costs, passes, spent is not None, names, left))
    with machine.threads(runtime.threads or 1), _enough_memory():
        network = network_of(loaded, settings, runtime, workshop or Workshop(0))
        course = _Course(
            inputs, network, settings, runtime, extra_losses, log, workshop or Workshop(0), budget,
            keeper, on_part,
        )  # fmt: skip
        canvas = _paint(course, list(zip(plan, passes, strict=False)), since)
        machine.give_back_freed_memory()
        picture = inputs.picture(canvases.upscale(canvas, plan[-1]))
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
    network: Chain
    settings: Settings
    runtime: Runtime
    extra_losses: Sequence[Loss]
    log: Log
    workshop: Workshop
    budget: Budget | None
    keeper: Keeper
    on_part: Callable[[], None] | None


@contextlib.contextmanager
def _enough_memory() -> Iterator[None]:
    """Turn what is raised where memory runs out, and nothing can be done, into an error of one line."""
    try:
        yield
    except Exception as error:
        if not no_memory(error):
            raise
        raise ResourceError(
            "memory ran out; use a smaller --size, or --memory-limit to compute in smaller parts"
        ) from error


def load(weights: WeightsLike | None) -> Mapping[str, Tensor]:
    """Return weights by name or file, the packaged ones where None, tensors as they are."""
    if weights is None:
        return load_weights()
    return weights if isinstance(weights, Mapping) else load_weights(weights)


def network_of(
    weights: Mapping[str, Tensor], settings: Settings, runtime: Runtime, workshop: Workshop
) -> Chain:
    """Return the network of a run with a resolved `runtime`, made once in a workshop."""
    precision: Precision = "bf16" if runtime.precision == "bf16" else "fp32"

    def make() -> Chain:
        return prepare(
            weights,
            pooling=settings.pooling,
            padding=settings.padding,
            precision=precision,
            device=runtime.device,
        )

    return workshop.once((settings.pooling, settings.padding, precision, runtime.device), make)


def _paint(course: _Course, plan: Sequence[tuple[Scale, int]], since: Checkpoint | None) -> Tensor:
    """Paint each scale, in so many evaluations or as the budget says; return the canvas (1, 3, H, W)."""
    canvas: Tensor | None = None
    before: Targets | None = None
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
        tile, compact = course.runtime.tile or 0, bool(course.runtime.compact)
        course.keeper.at(number, tile, 0)
        try:
            losses = bind(
                course.network, targets, settings, course.workshop,
                tile=tile, compact=compact, on_part=course.on_part,
            )  # fmt: skip
            del targets
            machine.give_back_freed_memory()
            losses += course.extra_losses
            reason, painted = _solve(course, number, scale, passes, losses, begin, since)
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
        canvas, since = painted, None
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
) -> tuple[str, Tensor]:
    """Move the canvas at one scale; where memory runs out, go on from the best one in smaller tiles."""
    settings, runtime, log, keeper = course.settings, course.runtime, course.log, course.keeper
    tile, spent, state = runtime.tile or 0, 0, None
    if since is not None:
        tile, spent, state = since.head.tile, since.head.used, since.state
        log.go_on(since.history, since.head.recipe, since.head.scale_seconds)
    while True:
        objective = Objective(course.network, losses, tile or None, on_part=course.on_part)
        if tile and objective.tile is None:
            logger.warning("a loss needs the whole picture at once: not in tiles")
        keep = keeper.at(number, tile, spent)
        note = log.at(scale, objective.scale)
        done = 0 if state is None else state.count
        solution = minimize(
            objective,
            begin,
            solver=settings.solver,
            evaluations=passes - spent,
            bounds=(0.0, 1.0) if settings.bounded else None,
            tolerance=settings.tolerance,
            history=runtime.pairs or settings.history,
            compact=bool(runtime.compact),
            learning_rate=settings.learning_rate,
            callback=note if course.budget is None else course.budget.at(number, note, done),
            state=state,
            keep=keep,
            blame=blame(course.network, losses, objective.tile),
        )
        canvas, state = solution.canvas, None
        if solution.reason not in FINISHED:
            keeper.stopped(solution.state, solution.reason)
        log.close(scale, solution, objective.scale)
        if solution.reason != OUT_OF_MEMORY:
            return solution.reason, canvas
        spent += solution.evaluations
        smaller = planner.smaller(tile, scale)
        if smaller is None or spent >= passes or not all(loss.additive for loss in losses):
            return solution.reason, canvas
        logger.warning("out of memory; going on in tiles of %d px from the best so far", smaller)
        tile, begin = smaller, Start(canvas)


def targets_of(inputs: Inputs, scale: Scale, device: str, workshop: Workshop) -> Targets:
    """Return the inputs at one scale, made once in a workshop."""
    return workshop.once((inputs, scale, device), lambda: inputs.tensors(scale, device))


def _next_canvas(
    canvas: Tensor | None, before: Targets | None, targets: Targets, settings: Settings
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


# --- losses --------------------------------------------------------------------------------------


def layers_of(settings: Settings, extra_losses: Sequence[Loss]) -> list[str]:
    named = {layer for loss in extra_losses for layer in loss.layers}
    if settings.content_term:
        named.update(name for name, weight in settings.content_layers.items() if weight)
    if settings.style_term:
        named.update(name for name, weight in settings.style_layers.items() if weight)
    return [layer for layer in LAYERS if layer in named]


__all__ = ["PictureLike", "Record", "Result", "Step", "Stop", "Style", "replay", "stylize"]
