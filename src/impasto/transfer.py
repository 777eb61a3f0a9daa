"""stylize(): the algorithm on one screen. Read this first.

At each scale, coarse to fine: the photo's features and the paintings' Gram matrices become targets, the
canvas goes through the network, and a solver moves its pixels until both fit.
Source: Gatys, Ecker and Bethge 2016. Departures of the defaults from the paper: mean losses, the photo as
start, coarse to fine, pixels kept in the range of a file; `Settings.preset("paper")` has none of them.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import torch
from torch import Tensor

from impasto import canvas as canvases
from impasto import machine
from impasto._version import __version__
from impasto.chain import Chain
from impasto.conventions import Convention, content_factor, style_factor, variation_form
from impasto.errors import InputError, Stop
from impasto.history import Log, Record, Step
from impasto.inputs import Inputs, StyleLike, Targets, open_inputs, record
from impasto.layers import LAYERS, stride
from impasto.losses import ContentLoss, GramLoss, Loss, TotalVariation, gram_matrix
from impasto.objective import Objective, Precision, prepare
from impasto.picture import Picture, PictureLike
from impasto.pyramid import Scale
from impasto.recipe import Recipe
from impasto.result import Result
from impasto.settings import Runtime, Settings, Style
from impasto.solvers import minimize
from impasto.vgg import VGG19
from impasto.weights import load_weights
from impasto.workshop import Workshop

WeightsLike = Mapping[str, Tensor] | str | os.PathLike[str]
FINISHED = ("evaluations", "tolerance", "no further decrease")  # another scale may follow
REPEATABLE = (*FINISHED, "interrupted", "not finite")  # what counting evaluations repeats


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
    log = Log(plan, settings.passes, on_step, inputs.picture)
    loaded = load(weights)
    with machine.threads(runtime.threads or 1):
        network = network_of(loaded, settings, runtime, workshop)
        passes = [settings.passes] * len(plan) if spent is None else list(spent)
        painted = list(zip(plan, passes, strict=False))
        canvas = _paint(
            inputs, painted, network, settings, runtime.device, extra_losses, log, workshop
        )
    picture = inputs.picture(canvases.upscale(canvas, plan[-1]))
    recipe = _recipe(settings, runtime, inputs, log, loaded, picture, reproducible=not extra_losses)
    return Result(picture, recipe, tuple(log.history), log.seconds(), log.stopped)


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
    device: str,
    extra_losses: Sequence[Loss],
    log: Log,
    workshop: Workshop,
) -> Tensor:
    """Paint each scale, in so many evaluations, and return the last canvas, (1, 3, H, W)."""
    canvas: Tensor | None = None
    before: Targets | None = None
    for scale, passes in plan:
        targets = targets_of(inputs, scale, device, workshop)
        losses = [*bind(network, targets, settings, workshop), *extra_losses]
        objective = Objective(network, losses)
        canvas = _next_canvas(canvas, before, targets, settings)
        before = targets
        solution = minimize(
            objective,
            canvas,
            solver=settings.solver,
            evaluations=passes,
            bounds=(0.0, 1.0) if settings.bounded else None,
            tolerance=settings.tolerance,
            history=settings.history,
            learning_rate=settings.learning_rate,
            callback=log.at(scale, objective.scale),
        )
        canvas = solution.canvas
        log.close(scale, solution, objective.scale)
        if solution.reason not in FINISHED:
            break
    assert canvas is not None  # a plan has at least one scale
    return canvas


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


@torch.no_grad()
def bind(
    network: Chain | VGG19,
    targets: Targets,
    settings: Settings,
    workshop: Workshop | None = None,
) -> list[Loss]:
    """Bind the losses to the inputs at one scale: total = alpha L_content + beta L_style + ..."""
    workshop = workshop or Workshop(0)
    network = Chain.of(network)
    losses: list[Loss] = []
    convention = settings.convention
    if settings.content_term:
        alpha, kept = settings.content_weight, settings.content_layers
        asked = tuple(name for name, weight in kept.items() if weight)
        features = workshop.once(
            ("content", network, targets, asked), lambda: _features(network, targets.content, asked)
        )
        losses += [
            ContentLoss(
                f"content.{name}",
                alpha * kept[name],
                name,
                found,
                convention,
                factor=content_factor(convention, found.shape[1], found[0, 0].numel()),
            )
            for name, found in features.items()
        ]
    if settings.style_term:
        beta, painted = settings.style_weight, settings.style_layers
        names = tuple(name for name, weight in painted.items() if weight)
        painting = workshop.once(
            ("style", network, targets, names), lambda: _paintings(network, targets.styles, names)
        )
        losses += [
            GramLoss(
                f"style.{name}",
                beta * painted[name],
                name,
                painting[name],
                targets.shares,
                convention,
                factor=_style_factor(convention, name, targets, painting[name]),
            )
            for name in names
        ]
    if settings.total_variation:
        form, factor = variation_form(convention)
        losses.append(TotalVariation(settings.total_variation, form=form, factor=factor))
    return losses


def _style_factor(convention: Convention, layer: str, targets: Targets, painting: Tensor) -> float:
    """Return the convention's factor of a style layer for the canvas' real size at this scale."""
    height, width = targets.content.shape[-2:]  # the canvas has the photo's size
    positions = (height // stride(layer)) * (width // stride(layer))
    mean = (painting * targets.shares.view(-1, 1, 1)).sum(0)  # of several paintings, (C, C)
    spread = float(mean.trace()), float(mean.square().sum())
    return style_factor(convention, mean.shape[0], positions, height * width, *spread)


def _features(network: Chain, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Return what the photo's layers hold, (1, C, h, w) in float32."""
    found = network.forward(image, names, keep=False).features
    return {name: features.float() for name, features in found.items() if name != "image"}


def _paintings(network: Chain, styles: Sequence[Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """Return the normalised Gram matrices of all paintings, (S, C, C), for each layer."""
    grams = [_normalised_grams(network, style, names) for style in styles]
    return {name: torch.cat([gram[name] for gram in grams]) for name in names}


def _normalised_grams(network: Chain, style: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Return A / M_a, (1, C, C), of one painting for each layer."""
    features = network.forward(style, names, keep=False).features
    return {name: gram_matrix(features[name]) / features[name][0, 0].numel() for name in names}


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
