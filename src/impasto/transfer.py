"""stylize(): the algorithm on one screen. Read this first.

At each scale, coarse to fine: the photo's features and the paintings' Gram matrices become targets, the
canvas goes through the network, and a solver moves its pixels until both fit.
Source: Gatys, Ecker and Bethge 2016. Departures of the defaults from the paper: mean losses, the photo as
start, coarse to fine, pixels kept in the range of a file; `Settings.preset("paper")` has none of them.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from impasto import canvas as canvases
from impasto import machine
from impasto._version import __version__
from impasto.errors import Stop
from impasto.inputs import Inputs, StyleLike, Targets, open_inputs, record
from impasto.layers import LAYERS
from impasto.losses import ContentLoss, GramLoss, Loss, TotalVariation, gram_matrix
from impasto.objective import Objective, prepare
from impasto.picture import Picture, PictureLike
from impasto.publish import publish
from impasto.pyramid import Scale
from impasto.settings import Recipe, Runtime, ScaleRecord, Settings, Style
from impasto.solvers import ROUND, Evaluation, Solution, minimize
from impasto.vgg import VGG19
from impasto.weights import DECODED_SHA256, NAME, load_weights


@dataclass(frozen=True)
class Step:
    """What an `on_step` callback receives after every evaluation.

    `scale` counts from 1 to `scales`; `iteration` counts evaluations at this scale, `evaluations` those
    of the run, of `planned`; `round` counts rounds of 20; `losses` are weighted, by name: `total`, the
    terms (`content`, `style`, ...) and their layers (`style.relu1_1`, ...); `seconds` since the start.
    """

    scale: int
    scales: int
    width: int
    height: int
    iteration: int
    evaluations: int
    planned: int
    losses: Mapping[str, float]
    seconds: float
    _canvas: Tensor = field(repr=False)

    @property
    def round(self) -> int:
        """Rounds of 20 evaluations begun at this scale, the first being 1."""
        return (self.iteration - 1) // ROUND + 1

    def picture(self) -> Picture:
        """Return the canvas of this evaluation as a picture (made only when asked for)."""
        return Picture.from_tensor(self._canvas)


@dataclass(frozen=True)
class Record:
    """One row of the history: which scale, which evaluation of the run, the losses, the seconds."""

    scale: int
    evaluation: int
    losses: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class Result:
    """What `stylize` returns. `stopped` says why it ended: `evaluations`, `tolerance`, `stop`, ..."""

    picture: Picture
    recipe: Recipe
    history: tuple[Record, ...] = field(repr=False)
    seconds: float
    stopped: str

    def save(
        self, path: str | os.PathLike[str], *, bits: int | None = None, overwrite: bool = False
    ) -> Path:
        """Write the picture, atomically, in the format of the name's ending; see `Picture.save`."""
        return self.picture.save(path, bits=bits, overwrite=overwrite)

    def save_recipe(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the recipe as JSON, atomically."""
        return publish(Path(path), self.recipe.to_json().encode(), overwrite=overwrite)


def stylize(
    content: PictureLike,
    style: StyleLike | Sequence[StyleLike],
    settings: Settings | None = None,
    *,
    runtime: Runtime | None = None,
    on_step: Callable[[Step], None] | None = None,
    extra_losses: Sequence[Loss] = (),
    init_picture: PictureLike | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> Result:
    """Paint a photo in the style of one or several paintings.

    Args:
        content: The photo: a path, the bytes of a file, or a `Picture`.
        style: The painting or paintings; `Style(picture, weight)` gives shares.
        settings: What is wanted; the defaults if None.
        runtime: How to compute it; decided for this machine if None.
        on_step: Called after every evaluation. `raise impasto.Stop` in it ends the run cleanly.
        extra_losses: Further losses, such as `Penalty`.
        init_picture: The start, for `Settings(init="picture")`.
        weights: Other weights than the packaged ones, `{"conv1_1.weight": ...}`.

    Raises:
        InputError: A picture cannot be read or is too small, or a setting does not fit.
        WeightsError: The network's weights are not there.
        NumericalError: Not even the start has a finite loss.
    """
    began = time.perf_counter()
    settings = settings or Settings()
    runtime = machine.resolve(runtime or Runtime(), settings)
    inputs = open_inputs(content, style, settings, init_picture)
    wanted = _layers(settings, extra_losses)
    plan = inputs.scales(settings, wanted)
    log = _Log(plan, settings.passes, on_step, began)
    with machine.threads(runtime.threads or 1):
        network = prepare(
            weights if weights is not None else load_weights(),
            pooling=settings.pooling,
            padding=settings.padding,
            precision="bf16" if runtime.precision == "bf16" else "fp32",
            device=runtime.device,
        )
        canvas = _paint(inputs, plan, network, settings, runtime.device, extra_losses, log)
    picture = inputs.picture(canvases.upscale(canvas, plan[-1]))
    recipe = _recipe(settings, runtime, inputs, log, weights, reproducible=not extra_losses)
    return Result(picture, recipe, tuple(log.history), log.seconds(), log.stopped)


def _paint(
    inputs: Inputs,
    plan: Sequence[Scale],
    network: VGG19,
    settings: Settings,
    device: str,
    extra_losses: Sequence[Loss],
    log: "_Log",
) -> Tensor:
    """Paint scale after scale and return the last canvas, (1, 3, H, W)."""
    canvas: Tensor | None = None
    before: Targets | None = None
    for scale in plan:
        targets = inputs.tensors(scale, device)
        losses = [*_losses(network, targets, settings), *extra_losses]
        objective = Objective(network, losses)
        canvas = _next_canvas(canvas, before, targets, settings)
        before = targets
        solution = minimize(
            objective,
            canvas,
            solver=settings.solver,
            evaluations=settings.passes,
            bounds=(0.0, 1.0) if settings.bounded else None,
            tolerance=settings.tolerance,
            history=settings.history,
            learning_rate=settings.learning_rate,
            callback=log.at(scale, objective.scale),
        )
        canvas = solution.canvas
        log.close(scale, solution, objective.scale)
        if solution.reason in ("stop", "not finite"):
            break
    assert canvas is not None  # a plan has at least one scale
    return canvas


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


def _layers(settings: Settings, extra_losses: Sequence[Loss]) -> list[str]:
    named = {layer for loss in extra_losses for layer in loss.layers}
    if settings.content_term:
        named.update(name for name, weight in settings.content_layers.items() if weight)
    if settings.style_term:
        named.update(name for name, weight in settings.style_layers.items() if weight)
    return [layer for layer in LAYERS if layer in named]


@torch.no_grad()
def _losses(network: VGG19, targets: Targets, settings: Settings) -> list[Loss]:
    """Bind the losses to the inputs at one scale: total = alpha L_content + beta L_style + ..."""
    losses: list[Loss] = []
    if settings.content_term:
        alpha, kept = settings.content_weight, settings.content_layers
        features = network(targets.content, [name for name, weight in kept.items() if weight])
        losses += [
            ContentLoss(
                f"content.{name}", alpha * kept[name], name, found.float(), settings.convention
            )
            for name, found in features.items()
            if name != "image"
        ]
    if settings.style_term:
        beta, painted = settings.style_weight, settings.style_layers
        names = [name for name, weight in painted.items() if weight]
        grams = [_normalised_grams(network, style, names) for style in targets.styles]
        losses += [
            GramLoss(
                f"style.{name}",
                beta * painted[name],
                name,
                torch.cat([gram[name] for gram in grams]),  # (S, C, C)
                targets.shares,
                settings.convention,
            )
            for name in names
        ]
    if settings.total_variation:
        losses.append(TotalVariation(settings.total_variation))
    return losses


def _normalised_grams(network: VGG19, style: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Return A / M_a, (1, C, C), of one painting for each layer."""
    features = network(style, names)
    return {name: gram_matrix(features[name]) / features[name][0, 0].numel() for name in names}


# --- what happened -------------------------------------------------------------------------------


class _Log:
    """Collects the history, calls the user's callback, and remembers what each scale took."""

    def __init__(
        self,
        plan: Sequence[Scale],
        passes: int,
        on_step: Callable[[Step], None] | None,
        began: float,
    ) -> None:
        self._plan = tuple(plan)
        self._passes = passes
        self._on_step = on_step
        self._began = began
        self._done = 0
        self._scale_began = began
        self.history: list[Record] = []
        self.scales: list[ScaleRecord] = []
        self.losses: dict[str, float] = {}
        self.stopped = ""

    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def at(self, scale: Scale, unit: float) -> Callable[[int, Tensor, Evaluation], None]:
        """Return the solver's callback for one scale; losses are given in the user's weights."""
        number = self._plan.index(scale) + 1
        planned = len(self._plan) * self._passes
        self._scale_began = time.perf_counter()

        def callback(count: int, canvas: Tensor, evaluation: Evaluation) -> None:
            losses = named(evaluation, unit)
            done = self._done + count
            self.history.append(Record(number, done, losses, self.seconds()))
            if self._on_step is not None:
                size = (scale.width, scale.height)
                where = (number, len(self._plan), *size, count, done, planned)
                self._on_step(Step(*where, losses, self.seconds(), canvas))

        return callback

    def close(self, scale: Scale, solution: Solution, unit: float) -> None:
        """Note what a scale took and how it ended."""
        seconds = time.perf_counter() - self._scale_began
        self._done += solution.evaluations
        self.losses = named(solution.evaluation, unit)
        self.stopped = solution.reason
        self.scales.append(
            ScaleRecord(
                width=scale.width,
                height=scale.height,
                evaluations=solution.evaluations,
                seconds=round(seconds, 3),
                reason=solution.reason,
            )
        )


def named(evaluation: Evaluation, unit: float = 1.0) -> dict[str, float]:
    """Return an evaluation's losses by name: `total`, each term, and each term's layers."""
    losses = {"total": evaluation.loss * unit}
    for name, value in evaluation.parts.items():
        term = name.partition(".")[0]
        losses[term] = losses.get(term, 0.0) + value
    return losses | {name: value for name, value in evaluation.parts.items() if "." in name}


def _recipe(
    settings: Settings,
    runtime: Runtime,
    inputs: Inputs,
    log: "_Log",
    weights: Mapping[str, Tensor] | None,
    *,
    reproducible: bool,
) -> Recipe:
    shares = zip(inputs.styles, inputs.shares, strict=True)
    finite = {name: value for name, value in log.losses.items() if abs(value) < float("inf")}
    return Recipe(
        impasto=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=settings,
        runtime=runtime,
        content=record(inputs.content),
        styles=tuple(record(style, share) for style, share in shares),
        init_picture=None if inputs.start is None else record(inputs.start),
        weights=NAME if weights is None else "given",
        weights_sha256=DECODED_SHA256 if weights is None else _digest(weights),
        scales=tuple(log.scales),
        losses=finite,
        seconds=round(log.seconds(), 3),
        stopped=log.stopped,
        reproducible=reproducible and log.stopped != "stop",
        machine=machine.describe(),
    )


def _digest(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


__all__ = ["PictureLike", "Record", "Result", "Step", "Stop", "Style", "stylize"]
