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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from impasto._version import __version__
from impasto.config.recipe import Recipe
from impasto.config.runtime import Runtime
from impasto.errors import End, InputError, OutputError
from impasto.image.picture import Picture
from impasto.inputs.canvas import resize
from impasto.inputs.open import open_inputs
from impasto.inputs.pictures import Inputs
from impasto.inputs.shared import Shared
from impasto.losses.build import build_losses, layers_of
from impasto.losses.objective import Objective, load_network
from impasto.messages import printable, reason
from impasto.network.weights.load import identity as weights_identity
from impasto.network.weights.load import load
from impasto.reports.experiment.trials import Scope, Trial
from impasto.system import hardware
from impasto.system.fallback import save_or_stop
from impasto.system.files import publish
from impasto.transfer import runtime as runtime_module
from impasto.transfer.result import Result, Step, named
from impasto.transfer.run import Run
from impasto.transfer.stylize import complete

MARK = "experiment.json"
Pair = tuple[Picture, tuple[Picture, ...]]


@dataclass(frozen=True)
class Outcome:
    """A finished trial, as its files tell it.

    Attributes:
        recipe: Of its picture.
        rows: For each evaluation: `evaluation`, `seconds`, and the losses by name.
        saved: For each evaluation kept: the losses of the picture that was saved, 8 bits and bounded.
        pictures: For each evaluation kept: its file. 0 is the result.
    """

    recipe: Recipe
    rows: tuple[Mapping[str, float], ...]
    saved: Mapping[int, Mapping[str, float]]
    pictures: Mapping[int, Path]

    @property
    def picture(self) -> Path:
        """The file of the result."""
        return self.pictures[0]


class Runner:
    """The folder of an experiment, its inputs, and how trials are computed.

    Args:
        folder: Made if it is missing.
        pairs: Each a photo and its paintings.
        scope: How much is run.
        runtime: How to compute; decided for this machine if None.
        weights: Of the network; the packaged ones if None.

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
        self.weights: Mapping[str, Any] = load(None) if weights is None else weights
        self._shared = Shared()  # trials share network, scaled inputs and targets
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
            "weights": weights_identity(self.weights)[1],
        }

    def key(self, trial: Trial) -> str:
        """Return what tells a trial's files from those of another of its name."""
        facts = [self._identity(), trial.settings.model_dump(mode="json"), trial.pair, trial.kept]
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

        runtime = runtime_module.resolve(self.runtime, trial.settings)
        run = Run(self.inputs(trial), trial.settings, runtime, self.weights, shared=self._shared)
        result = complete(run, on_step=watch)
        if result.stopped in (End.INTERRUPTED, End.STOP):
            return None
        self._keep(trial, result, taken)
        return self.outcome(trial)

    def _keep(self, trial: Trial, result: Result, taken: Mapping[int, Picture]) -> None:
        """Write a trial's files, the one that says it is finished last."""
        score = self.scorer(trial)
        names = {0: f"pictures/{trial.name}.png"}
        data = result.encode(".png", bits=8)
        save_or_stop(self.folder / names[0], data, overwrite=True)
        saved = {0: score(Picture.open(data))}
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
            "key": self.key(trial),
            "recipe": json.loads(result.recipe.model_dump_json()),
            "rows": rows,
            "saved": saved,
            "pictures": names,
        }
        text = json.dumps(kept, allow_nan=False, default=float)
        publish(self.folder / "data" / f"{trial.name}.json", text.encode(), overwrite=True)

    def scorer(self, trial: Trial) -> Callable[[Picture], dict[str, float]]:
        """Return a function that gives the losses of a saved picture by a trial's own objective, in fp32."""
        runtime = runtime_module.resolve(self.runtime, trial.settings)
        inputs = self.inputs(trial)
        (*_, scale) = inputs.scales(trial.settings, layers_of(trial.settings, ()))
        exact = runtime.changed(precision="fp32")
        network = load_network(self.weights, trial.settings, exact, self._shared)
        targets = inputs.at(scale, runtime.device, self._shared)
        objective = Objective(network, build_losses(network, targets, trial.settings, self._shared))

        def score(picture: Picture) -> dict[str, float]:
            with hardware.threads(runtime.threads or 1):
                canvas = resize(picture.tensor().to(runtime.device), scale.height, scale.width)
                return named(objective(canvas), objective.scale)

        return score

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
