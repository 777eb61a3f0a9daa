"""stylize(): the algorithm on one screen. Read this first.

At each scale, coarse to fine: the photo's features and the paintings' Gram matrices become targets, the
canvas goes through the network, and a solver moves its pixels until both fit.
Source: Gatys, Ecker and Bethge 2016. Departures of the defaults from the paper: mean losses, the photo as
start, coarse to fine, pixels kept in the range of a file; `Settings.preset("paper")` has none of them.
"""

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from torch import Tensor

from impasto import canvas as canvases
from impasto import machine, planner
from impasto._version import __version__
from impasto.budget import MOST, REASON, Budget
from impasto.chain import Chain
from impasto.errors import InputError, ResourceError, Stop
from impasto.history import Log, Record, Step
from impasto.inputs import Inputs, StyleLike, Targets, open_inputs, record
from impasto.layers import LAYERS
from impasto.losses import Loss
from impasto.objective import Objective, Precision, prepare
from impasto.picture import Picture, PictureLike
from impasto.pyramid import Scale
from impasto.recipe import Recipe
from impasto.result import Result
from impasto.settings import Runtime, Settings, Style
from impasto.solvers import OUT_OF_MEMORY, Callback, minimize, no_memory
from impasto.targets import bind
from impasto.weights import load_weights
from impasto.workshop import Workshop

WeightsLike = Mapping[str, Tensor] | str | os.PathLike[str]
FINISHED = ("evaluations", "tolerance", "no further decrease", REASON)  # another scale may follow
REPEATABLE = (*FINISHED, "interrupted", "not finite")  # what counting evaluations repeats

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

    Raises:
        InputError: A picture cannot be read or is too small, or a setting does not fit.
        WeightsError: The network's weights are not there.
        NumericalError: Not even the start has a finite loss.
    """
    settings = settings or Settings()
    inputs = open_inputs(content, style, settings, init_picture)
    runtime = machine.resolve(runtime or Runtime(), settings)
    return run(inputs, settings, runtime, weights, on_step, extra_losses)


def replay(
    recipe: Recipe,
    content: PictureLike,
    style: StyleLike | Sequence[StyleLike],
    *,
    on_step: Callable[[Step], None] | None = None,
    init_picture: PictureLike | None = None,
    weights: WeightsLike | None = None,
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
    return run(inputs, recipe.settings, runtime, weights, on_step, (), spent)


def run(
    inputs: Inputs,
    settings: Settings,
    runtime: Runtime,
    weights: WeightsLike | None,
    on_step: Callable[[Step], None] | None,
    extra_losses: Sequence[Loss],
    spent: Sequence[int] | None = None,
    workshop: Workshop | None = None,
) -> Result:
    """Compute, with a resolved `runtime`.

    `spent` are the evaluations at each scale, else they are those of the settings. Runs on the same
    pictures and weights may share a `workshop`; the pixels are the same without.
    """
    workshop = workshop or Workshop(0)
    wanted = layers_of(settings, extra_losses)
    plan = inputs.scales(settings, wanted)
    runtime, budget = _definite(runtime, settings, plan, wanted, spent)
    left = None if budget is None else budget.left
    log = Log(plan, settings.passes, on_step, inputs.picture, left)
    loaded = load(weights)
    with machine.threads(runtime.threads or 1), _enough_memory():
        network = network_of(loaded, settings, runtime, workshop)
        passes = [settings.passes if budget is None else MOST] * len(plan)
        painted = list(zip(plan, passes if spent is None else spent, strict=False))
        canvas = _paint(
            inputs, painted, network, settings, runtime, extra_losses, log, workshop, budget
        )
        picture = inputs.picture(canvases.upscale(canvas, plan[-1]))
    if budget is not None and budget.left() < 0:
        logger.warning("the time budget was too short: over by %.1f s", -budget.left())
    repeatable = not extra_losses and all(scale.reason != OUT_OF_MEMORY for scale in log.scales)
    recipe = _recipe(settings, runtime, inputs, log, loaded, picture, reproducible=repeatable)
    return Result(picture, recipe, tuple(log.history), log.seconds(), log.stopped)


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


def _definite(
    runtime: Runtime,
    settings: Settings,
    scales: Sequence[Scale],
    layers: Sequence[str],
    spent: Sequence[int] | None,
) -> tuple[Runtime, Budget | None]:
    """Return the runtime with the plan for its memory in it, and the time budget, if there is one.

    What a recipe has to repeat is in the runtime returned; limit and budget themselves are not, as the plan
    and the evaluations spent say the same.
    """
    device = str(runtime.device)
    if runtime.precision == "bf16" and not machine.fast_at_bf16(device):
        cost = machine.cost_of_bf16(device)
        logger.warning(
            "bf16 is emulated here: a convolution takes %.1f times as long as in fp32", cost
        )
    limit = runtime.memory_limit or machine.free_memory(runtime.device)
    fixed = {"tile": runtime.tile, "pairs": runtime.pairs, "compact": runtime.compact}
    strict = runtime.memory_limit is not None
    given = (scales, settings, layers, str(runtime.precision), limit, fixed)
    chosen = planner.plan(*given, strict=strict)
    if chosen.memory > limit:
        logger.warning(
            "needs about %.0f MB, but only %.0f MB are free", chosen.memory / 1e6, limit / 1e6
        )
    tile = chosen.tile if chosen.tile < scales[-1].long_edge else 0
    slower = planner.slowdown(scales[-1], layers, tile)
    if slower > 1 and not runtime.tile:
        logger.warning(
            "in tiles of %d px, to stay under %.1f GB: an evaluation takes about %.1f times as long",
            tile, limit / 1e9, slower,
        )  # fmt: skip
    if chosen.compact and not runtime.compact and runtime.precision != "bf16":
        logger.warning("in 16 bits and %d curvature pairs, to stay under that", chosen.pairs)
    found = runtime.changed(
        memory_limit=None,
        budget=None,
        tile=tile or runtime.tile,
        pairs=None if chosen.pairs == settings.history else chosen.pairs,
        compact=chosen.compact or runtime.compact,
    )
    if runtime.budget is None or spent is not None:
        return found, None
    costs = [scale.width * scale.height * planner.slowdown(scale, layers, tile) for scale in scales]
    return found, Budget(runtime.budget - planner.seconds_to_save(scales[-1]), costs)


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


def _paint(
    inputs: Inputs,
    plan: Sequence[tuple[Scale, int]],
    network: Chain,
    settings: Settings,
    runtime: Runtime,
    extra_losses: Sequence[Loss],
    log: Log,
    workshop: Workshop,
    budget: Budget | None,
) -> Tensor:
    """Paint each scale, in so many evaluations or as the budget says; return the canvas (1, 3, H, W)."""
    canvas: Tensor | None = None
    before: Targets | None = None
    for number, (scale, passes) in enumerate(plan):
        if budget is not None and not budget.enough_for(number):
            break
        targets = targets_of(inputs, scale, runtime.device, workshop)
        tile, compact = runtime.tile or 0, bool(runtime.compact)
        losses = bind(network, targets, settings, workshop, tile=tile, compact=compact)
        canvas = _next_canvas(canvas, before, targets, settings)
        last = number == len(plan) - 1  # for the next scale, which has no use for the paintings
        before = None if last else replace(targets, styles=(), picture=None)
        del targets
        machine.give_back_freed_memory()
        reason, canvas = _solve(
            canvas, scale, passes, [*losses, *extra_losses], network, settings, runtime, log,
            None if budget is None else partial(budget.at, number),
        )  # fmt: skip
        if reason not in FINISHED:
            break
    assert canvas is not None  # a plan has at least one scale
    return canvas


def _solve(
    canvas: Tensor,
    scale: Scale,
    passes: int,
    losses: Sequence[Loss],
    network: Chain,
    settings: Settings,
    runtime: Runtime,
    log: Log,
    limited: Callable[[Callback], Callback] | None,
) -> tuple[str, Tensor]:
    """Move the canvas at one scale; where memory runs out, go on from the best one in smaller tiles."""
    tile, spent = runtime.tile or 0, 0
    while True:
        objective = Objective(network, losses, tile or None)
        if tile and objective.tile is None:
            logger.warning("a loss needs the whole picture at once: not in tiles")
        note = log.at(scale, objective.scale)
        solution = minimize(
            objective,
            canvas,
            solver=settings.solver,
            evaluations=passes - spent,
            bounds=(0.0, 1.0) if settings.bounded else None,
            tolerance=settings.tolerance,
            history=runtime.pairs or settings.history,
            compact=bool(runtime.compact),
            learning_rate=settings.learning_rate,
            callback=note if limited is None else limited(note),
        )
        canvas = solution.canvas
        log.close(scale, solution, objective.scale)
        if solution.reason != OUT_OF_MEMORY:
            return solution.reason, canvas
        spent += solution.evaluations
        smaller = planner.smaller(tile, scale)
        if smaller is None or spent >= passes or not all(loss.additive for loss in losses):
            return solution.reason, canvas
        logger.warning("out of memory; going on in tiles of %d px from the best so far", smaller)
        tile = smaller


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


# --- what happened -------------------------------------------------------------------------------


def _recipe(
    settings: Settings,
    runtime: Runtime,
    inputs: Inputs,
    log: Log,
    weights: Mapping[str, Tensor],
    picture: Picture,
    *,
    reproducible: bool,
) -> Recipe:
    styles = zip(inputs.styles, inputs.weights, strict=True)
    finite = {name: value for name, value in log.losses.items() if abs(value) < float("inf")}
    name, digest = identity(weights)
    return Recipe(
        impasto=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings,
        runtime=runtime,
        content=record(inputs.content),
        styles=tuple(record(style, weight) for style, weight in styles),
        init_picture=None if inputs.start is None else record(inputs.start),
        weights=name,
        weights_sha256=digest,
        scales=tuple(log.scales),
        losses=finite,
        seconds=round(log.seconds(), 3),
        stopped=log.stopped,
        reproducible=reproducible and log.stopped in REPEATABLE,
        machine=machine.describe(),
        pixels_sha256=picture.pixels_sha256(),
    )


def identity(weights: Mapping[str, Tensor]) -> tuple[str, str]:
    """Return name and SHA-256 of weights, as a recipe names them; `given` where they have no name."""
    name, digest = getattr(weights, "name", ""), getattr(weights, "sha256", "")
    if name and digest:
        return name, digest
    summed = hashlib.sha256()
    for key in sorted(weights):
        summed.update(key.encode())
        summed.update(weights[key].detach().cpu().contiguous().numpy().tobytes())
    return "given", summed.hexdigest()


__all__ = ["PictureLike", "Record", "Result", "Step", "Stop", "Style", "replay", "stylize"]
