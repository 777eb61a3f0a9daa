"""Runs the experiment: its trials, each saved when it ends, then the page made from their files."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from impasto.errors import End, Stop
from impasto.reports.experiment.context import Context, Section
from impasto.reports.experiment.method_sections import grid, layers, method
from impasto.reports.experiment.run_sections import course, loss, result, solvers, starts
from impasto.reports.experiment.runner import Runner
from impasto.reports.experiment.trials import PARTS, Trial, depth
from impasto.reports.experiment.trials import trials as trials_of
from impasto.reports.html import Page, Pictures, Text
from impasto.system.files import publish
from impasto.transfer.result import Step

PAGE = "index.html"
TITLE = "Style transfer with VGG-19: the experiment"
SMALL = 112  # px; main runs of --quick, under which forms and textures have no room
BESIDE = 5  # evaluations that a trial takes beside its own: for targets, and for the losses of what is saved
SHOWN = "parts.json"  # which parts were requested so far


@dataclass(frozen=True)
class TrialProgress:
    """Trial `number` of `count`, with those finished earlier, and the seconds left, with this one."""

    trial: Trial
    number: int
    count: int
    seconds_left: float


class Remaining:
    """The seconds that trials still take: at first as predicted, then corrected by those that are finished.

    No correction is more than a third of what was left.

    Args:
        predicted: Seconds of each trial, by name.
    """

    def __init__(self, predicted: Mapping[str, float]) -> None:
        self._predicted = dict(predicted)
        self._spent = self._done = sum(predicted.values()) / 4  # the prediction counts as much as this
        self.seconds = sum(predicted.values())

    def finish(self, name: str, spent: float) -> None:
        """Note that a trial is finished, and how many seconds it took."""
        self._spent, self._done = self._spent + spent, self._done + self._predicted.pop(name)
        seconds = sum(self._predicted.values()) * self._spent / self._done
        expected, most = max(0.0, self.seconds - spent), self.seconds / 3
        self.seconds = min(max(seconds, expected - most), expected + most)


@dataclass(frozen=True)
class Experiment:
    """What was done: the page, the requested parts that are on it, and whether it was interrupted."""

    page: Path
    parts: tuple[str, ...]
    interrupted: bool
    seconds: float


def run_experiment(
    runner: Runner,
    parts: Sequence[str] = PARTS,
    *,
    on_trial: Callable[[TrialProgress], None] = lambda progress: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Experiment:
    """Run the trials that the parts need and that are not finished, then write the page.

    Args:
        runner: The folder and the inputs.
        parts: To be run; see `trials.PARTS`. The page shows those requested earlier as well.
        on_trial: Called before each trial.
        stopping: Called after every evaluation; True ends the experiment with a page of what is there.
    """
    began = time.perf_counter()
    page_parts = requested_parts(runner, parts)
    trials = {trial.name: trial for part in parts for trial in _planned(runner, part)}
    missing, interrupted = _missing(runner, trials.values()), False
    remaining = Remaining(predicted(runner, missing))

    def on_step(step: Step) -> None:
        if stopping():
            raise Stop(End.INTERRUPTED)

    for number, trial in enumerate(missing, start=len(trials) - len(missing) + 1):
        started = time.perf_counter()
        on_trial(TrialProgress(trial, number, len(trials), remaining.seconds))
        if runner.run(trial, on_step) is None:
            interrupted = True
            break
        remaining.finish(trial.name, time.perf_counter() - started)
    finished = write_page(runner, page_parts)
    return Experiment(
        page=runner.folder / PAGE,
        parts=tuple(part for part in parts if part in finished),
        interrupted=interrupted,
        seconds=time.perf_counter() - began,
    )


def predicted(runner: Runner, trials: Sequence[Trial]) -> dict[str, float]:
    """Return the seconds that each trial will take, by a few evaluations measured at each size."""
    rates: dict[tuple[int | None, int], float] = {}  # seconds of an evaluation of all layers
    for trial in sorted(trials, key=lambda trial: -depth(trial.settings)):
        size = trial.settings.size, trial.pair
        if size not in rates:
            rates[size] = runner.seconds(trial) / depth(trial.settings)
    return {
        trial.name: (trial.settings.evaluations_per_scale + BESIDE + len(trial.kept) / 2)
        * depth(trial.settings)
        * rates[trial.settings.size, trial.pair]
        for trial in trials
    }


def requested_parts(runner: Runner, parts: Sequence[str]) -> tuple[str, ...]:
    """Save in the folder which parts are requested; return them with those of earlier calls, in order."""
    path = runner.folder / SHOWN
    try:
        before = list(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # no such file: what can be shown is
        known = (runner.folder / PAGE).exists()
        before = [part for part in PARTS if known and not _missing(runner, _planned(runner, part))]
    requested = tuple(part for part in PARTS if part in parts or part in before)
    publish(path, (json.dumps(requested) + "\n").encode(), overwrite=True)
    return requested


def subtitle(runner: Runner) -> str:
    """Name the pictures, and say where the experiment is too small for what its captions speak of."""
    pairs = [f"{photo.name} in the style of {styles[0].name}" for photo, styles in runner.pairs]
    scope, small = runner.scope, []
    if scope.size < SMALL:
        small.append(f"pictures under {SMALL} px")
    if min(scope.rounds, scope.cell_rounds) < 2:
        small.append("a single round")
    text = f"{'; '.join(pairs)}. The method is that of Gatys, Ecker and Bethge (2015, 2016)."
    if small:
        text += (
            " This experiment is too small or too short to show the effects that the captions speak of: "
            f"{' and '.join(small)}."
        )
    return text


def _planned(runner: Runner, part: str) -> tuple[Trial, ...]:
    return trials_of(runner.scope, part, len(runner.pairs))


def _missing(runner: Runner, planned: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in planned if runner.outcome(trial) is None]


def write_page(runner: Runner, parts: Sequence[str]) -> tuple[str, ...]:
    """Write the page of these parts and return those whose trials are finished."""
    page = Page(TITLE, subtitle(runner))
    written = []
    for part in parts:
        outcomes = {trial.name: runner.outcome(trial) for trial in _planned(runner, part)}
        finished = {name: outcome for name, outcome in outcomes.items() if outcome is not None}
        context, (title, write) = Context(runner, finished), SECTIONS[part]
        if len(finished) == len(outcomes):
            page.section(title, *write(context))
            written.append(part)
            continue
        text = (
            f"Not finished: {len(finished)} of {len(outcomes)} runs are there. The same command "
            f"continues from here, with --only {part} or without --only."
        )
        shown = [context.picture(name, name, "Result of the run") for name in finished]
        page.section(title, Text(text), *([Pictures(shown, "What is finished.")] if shown else []))
    publish(runner.folder / PAGE, page.html().encode(), overwrite=True)
    return tuple(written)


SECTIONS: Mapping[str, tuple[str, Callable[[Context], Section]]] = {
    "method": ("The method", method),
    "layers": ("What the layers see", layers),
    "grid": ("Content against style", grid),
    "course": ("The course of the run", course),
    "loss": ("The loss", loss),
    "solvers": ("Optimizers side by side", solvers),
    "starts": ("Starting points and pooling", starts),
    "result": ("The result", result),
}
