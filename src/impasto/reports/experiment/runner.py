"""`Runner`: runs the trials of an experiment and saves them in its folder, so that none is run twice.

A finished trial is `pictures/NAME.png` with its recipe inside, the pictures kept on the way as
`pictures/NAME-0020.png`, its losses in `data/NAME.csv`, and `data/NAME.json`, which is written last. What the
page shows is read back from there, whether the trial was run just now or before.
"""

import csv
import hashlib
import io
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from impasto._version import __version__
from impasto.config.recipe import Recipe
from impasto.config.runtime import Runtime
from impasto.errors import End, InputError, OutputError
from impasto.image.picture import Picture
from impasto.inputs.canvas import cover, resize
from impasto.inputs.open import open_inputs
from impasto.inputs.pictures import Inputs, ScaledInputs
from impasto.inputs.shared import Shared
from impasto.losses.build import build_losses, layers_of
from impasto.losses.objective import Objective, load_network
from impasto.messages import printable, reason
from impasto.network.weights.load import identity as weights_identity
from impasto.network.weights.load import load
from impasto.optim.evaluation import Evaluation
from impasto.reports.experiment.trials import Scope, Trial, neutral_trial
from impasto.system import hardware
from impasto.system.fallback import save_or_stop
from impasto.system.files import publish
from impasto.transfer import runtime as runtime_module
from impasto.transfer.result import Result, Step, named
from impasto.transfer.run import Run
from impasto.transfer.stylize import complete

MARK = "experiment.json"
BALANCE = 0.3  # by eye, on landscapes and a portrait at 96 to 192 px
MEASURED = 2  # evaluations that tell how long a trial takes, after one that is not timed
Pair = tuple[Picture, tuple[Picture, ...]]


@dataclass(frozen=True)
class Outcome:
    """A finished trial, as its files tell it.

    Attributes:
        recipe: Of its picture.
        rows: For each evaluation: `evaluation`, `seconds`, and the losses by name.
        saved: For each evaluation kept: the losses of the picture that was saved, 8 bits and bounded.
        neutral: Content and style of the saved result by the neutral formula, which is the same for all.
        balance: The alpha at which photo and painting weigh the same; None where only one of them counts.
        pictures: For each evaluation kept: its file. 0 is the result.
    """

    recipe: Recipe
    rows: tuple[Mapping[str, float], ...]
    saved: Mapping[int, Mapping[str, float]]
    neutral: tuple[float, float]
    balance: float | None
    pictures: Mapping[int, Path]

    @property
    def picture(self) -> Path:
        """The file of the result."""
        return self.pictures[0]

    @property
    def alpha(self) -> float:
        """The content weight of the run."""
        return self.recipe.settings.content_weight

    @property
    def share(self) -> float:
        """Alpha in units of the balance; 1 where there is none."""
        return self.alpha / (self.balance or self.alpha)


def distance(one: Outcome, other: Outcome) -> float:
    """Return how far apart two results are in the neutral features.

    It is the length of the step from one to the other where content and style, by the neutral formula, are
    on logarithmic axes: 0.1 is a change by a tenth.
    """
    pairs = zip(one.neutral, other.neutral, strict=True)
    return math.hypot(*(math.log(b / a) for a, b in pairs))


class Runner:
    """The folder of an experiment, its inputs, and how trials are computed.

    Args:
        folder: Made if it is missing.
        pairs: Each a photo and its paintings.
        scope: How much is run.
        runtime: How to compute; decided for this machine if None.
        weights: Of the network in all trials; those that each trial's preset names if None.

    Raises:
        OutputError: The folder holds another experiment or other things, or cannot be made.
    """

    def __init__(
        self,
        folder: Path,
        pairs: Sequence[Pair],
        scope: Scope,
        runtime: Runtime | None = None,
        weights: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.pairs, self.scope = folder, tuple(pairs), scope
        self.runtime = runtime or Runtime()
        self._weights = weights
        self._networks: dict[str | None, tuple[Mapping[str, Any], Shared]] = {}
        self._open_folder()

    def _open_folder(self) -> None:
        """Make the folder, or check that it is that of this experiment."""
        mark = self.folder / MARK
        identity = json.dumps(self._identity(), indent=2, sort_keys=True) + "\n"
        name = printable(self.folder)
        try:
            if mark.exists():
                if mark.read_text(encoding="utf-8") != identity:
                    raise OutputError(
                        f"{name} holds another experiment (other pictures, sizes, rounds, weights or "
                        "version); give another folder"
                    )
                return
            self.folder.mkdir(exist_ok=True)
            if any(self.folder.iterdir()):
                raise OutputError(f"{name} holds other things; give a new or empty folder")
            for name in ("pictures", "data", "figures"):
                (self.folder / name).mkdir()
        except OSError as error:
            raise OutputError(f"cannot use the folder {name}: {reason(error)}; give another") from error
        publish(mark, identity.encode())

    def _identity(self) -> dict[str, Any]:
        return {
            "impasto": __version__,
            "inputs": [[photo.sha256, *(s.sha256 for s in styles)] for photo, styles in self.pairs],
            "scope": asdict(self.scope),
            "weights": "of the presets" if self._weights is None else weights_identity(self._weights)[1],
        }

    def network(self, name: str | None = None) -> tuple[Mapping[str, Any], Shared]:
        """Return the weights of a name and what trials with them share: network, scaled inputs, targets."""
        if name not in self._networks:
            weights = load(name) if self._weights is None else self._weights
            self._networks[name] = weights, Shared()
        return self._networks[name]

    def key(self, trial: Trial) -> str:
        """Return what tells a trial's files from those of another of its name."""
        settings = trial.settings.model_dump(mode="json")
        facts = [self._identity(), settings, trial.pair, trial.kept, trial.share, BALANCE]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def outcome(self, trial: Trial) -> Outcome | None:
        """Return a finished trial from its files, or None."""
        try:
            kept = json.loads((self.folder / "data" / f"{trial.name}.json").read_text("utf-8"))
            if kept["key"] != self.key(trial):
                return None
            outcome = Outcome(
                Recipe.from_json(json.dumps(kept["recipe"])),
                tuple(kept["rows"]),
                {int(number): losses for number, losses in kept["saved"].items()},
                tuple(kept["neutral"]),
                kept["balance"],
                {int(number): self.folder / name for number, name in kept["pictures"].items()},
            )
        except (OSError, ValueError, KeyError, InputError):
            return None
        return outcome if all(path.is_file() for path in outcome.pictures.values()) else None

    def run(self, trial: Trial, on_step: Callable[[Step], None]) -> Outcome | None:
        """Run a trial and keep it; None if `on_step` stopped it."""
        taken: dict[int, Picture] = {}

        def watch(step: Step) -> None:
            if step.evaluations in trial.kept:
                taken[step.evaluations] = step.picture()
            on_step(step)

        made = self.weighted(trial)
        runtime = runtime_module.resolve(self.runtime, made.settings)
        weights, shared = self.network(made.settings.weights)
        run = Run(self.inputs(made), made.settings, runtime, weights, shared=shared)
        result = complete(run, on_step=watch)
        if result.stopped in (End.INTERRUPTED, End.STOP):
            return None
        self._keep(made, self.key(trial), result, taken)
        return self.outcome(trial)

    def weighted(self, trial: Trial) -> Trial:
        """Return a trial with the alpha that its share of the balance comes to, in three digits."""
        balance = None if trial.share is None else self.balance(trial)
        if trial.share is None or balance is None:
            return trial
        alpha = float(f"{trial.share * balance:.3g}")
        return replace(trial, settings=trial.settings.changed(content_weight=alpha))

    def balance(self, trial: Trial) -> float | None:
        """Return the alpha with which photo and painting can both be seen; None where only one counts.

        There, the content loss of the painting, laid over the photo, weighs `BALANCE` times as much as the
        style loss of the photo: a result lies between these two.
        """
        settings = trial.settings
        if not (settings.content_term and settings.style_term):
            return None
        objective, pictures, (height, width) = self._objective(trial)
        photo = self._terms(objective, pictures.content)
        painting = self._terms(objective, cover(pictures.styles[0], height, width))
        return BALANCE * settings.content_weight * photo["style"] / painting["content"]

    def _keep(self, trial: Trial, key: str, result: Result, taken: Mapping[int, Picture]) -> None:
        """Write a trial's files, the one that says it is finished last."""
        score = self.scorer(trial)
        names = {0: f"pictures/{trial.name}.png"}
        data = result.encode(".png", bits=8)
        save_or_stop(self.folder / names[0], data, overwrite=True)
        saved = {0: score(Picture.open(data))}
        neutral = self.scorer(neutral_trial(trial))(Picture.open(data))
        for number, picture in taken.items():
            names[number] = f"pictures/{trial.name}-{number:04d}.png"
            data = picture.encode(".png", bits=8)
            publish(self.folder / names[number], data, overwrite=True)
            saved[number] = score(Picture.open(data))
        rows: list[dict[str, float]] = []
        for record in result.history:
            finite = {name: value for name, value in record.losses.items() if math.isfinite(value)}
            seconds = round(record.seconds, 3)
            rows.append({"evaluation": record.evaluation, "seconds": seconds, **finite})
        publish(self.folder / "data" / f"{trial.name}.csv", to_csv(rows).encode(), overwrite=True)
        kept = {
            "key": key,
            "recipe": json.loads(result.recipe.model_dump_json()),
            "rows": rows,
            "saved": saved,
            "neutral": [neutral["content"], neutral["style"]],
            "balance": self.balance(trial),
            "pictures": names,
        }
        text = json.dumps(kept, allow_nan=False, default=float)
        publish(self.folder / "data" / f"{trial.name}.json", text.encode(), overwrite=True)

    def scorer(self, trial: Trial) -> Callable[[Picture], dict[str, float]]:
        """Return a function that gives the losses of a saved picture by a trial's own objective, in fp32."""
        objective, pictures, (height, width) = self._objective(trial)

        def score(picture: Picture) -> dict[str, float]:
            canvas = picture.tensor().to(pictures.content.device)
            return self._terms(objective, resize(canvas, height, width))

        return score

    def seconds(self, trial: Trial) -> float:
        """Measure an evaluation of a trial's objective and return the seconds."""
        objective, pictures, _ = self._objective(trial, measured=True)
        spent = []
        with hardware.threads(self._threads()):
            for _ in range(1 + MEASURED):
                began = time.perf_counter()
                objective(pictures.content)
                spent.append(time.perf_counter() - began)
        return min(spent[1:])  # the first one makes what is made once

    def _objective(
        self, trial: Trial, *, measured: bool = False
    ) -> tuple[Objective, ScaledInputs, tuple[int, int]]:
        """Return a trial's objective, what it compares, and height and width; in fp32, or as it is run."""
        runtime = runtime_module.resolve(self.runtime, trial.settings)
        weights, shared = self.network(trial.settings.weights)
        if measured:
            runtime = runtime_module.with_kernels(runtime, weights)
        else:
            runtime = runtime.changed(precision="fp32")
        inputs = self.inputs(trial)
        (*_, scale) = inputs.scales(trial.settings, layers_of(trial.settings, ()))
        network = load_network(weights, trial.settings, runtime, shared)
        targets = inputs.at(scale, runtime.device, shared)
        losses = build_losses(network, targets, trial.settings, shared)
        return Objective(network, losses), targets, (scale.height, scale.width)

    def _threads(self) -> int:
        return self.runtime.threads or hardware.threads_to_use()

    def _terms(self, objective: Objective, canvas: Tensor) -> dict[str, float]:
        """Return the losses of a canvas (1, 3, H, W) by name, weighted."""
        with hardware.threads(self._threads()):
            parts = objective.values(canvas)
        return named(Evaluation(math.fsum(parts.values()), canvas, parts))

    def inputs(self, trial: Trial) -> Inputs:
        """Return a trial's inputs."""
        photo, styles = self.pairs[trial.pair]
        return open_inputs(photo, list(styles), trial.settings, None)


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV with all their columns; what is missing is left empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    page = io.StringIO()
    writer = csv.DictWriter(page, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return page.getvalue()
