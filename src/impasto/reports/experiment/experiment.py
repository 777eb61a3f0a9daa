"""Runs the experiment and writes its page: trials first, each kept as it ends, then the page from files."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from impasto.errors import Stop
from impasto.reports.experiment.context import Context, Section
from impasto.reports.experiment.method_sections import grid, layers, method
from impasto.reports.experiment.run_sections import course, loss, result, solvers, starts
from impasto.reports.experiment.runner import Runner
from impasto.reports.experiment.trials import PARTS, Trial, trials, work
from impasto.reports.html import Page, Pictures, Text
from impasto.system.files import publish
from impasto.transfer.result import Step

PAGE = "index.html"
SMALL = 112  # px; main runs of --quick, under which forms and textures have no room
SHOWN = "parts.json"  # which parts were asked for so far


@dataclass(frozen=True)
class TrialProgress:
    """Where it all stands: trial `number` of `count`, with those kept before, and the seconds left."""

    trial: Trial
    number: int
    count: int
    seconds_left: float | None


@dataclass(frozen=True)
class Experiment:
    """What was done: the page, the parts asked for that are on it, and whether it was interrupted."""

    page: Path
    parts: tuple[str, ...]
    interrupted: bool
    seconds: float


def study(
    bench: Runner,
    parts: Sequence[str] = PARTS,
    *,
    on_trial: Callable[[TrialProgress], None] = lambda progress: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Experiment:
    """Run what the parts need and was not run before, then write the page.

    Args:
        bench: The folder and the inputs.
        parts: To be run; see `trials.PARTS`. The page shows those asked for earlier as well.
        on_trial: Called before each trial.
        stopping: Asked after every evaluation; True ends the experiment with a page of what is there.
    """
    began = time.perf_counter()
    every = remembered(bench, parts)
    wanted = {trial.name: trial for part in parts for trial in _planned(bench, part)}
    missing = _missing(bench, wanted.values())
    kept = [found for trial in wanted.values() if (found := bench.outcome(trial)) is not None]
    done = work([trial for trial in wanted.values() if trial not in missing])
    spent = sum(
        outcome.recipe.seconds for outcome in kept
    )  # earlier runs tell how long these will take
    total, interrupted = work(list(wanted.values())), False

    def on_step(step: Step) -> None:
        if stopping():
            raise Stop("interrupted")

    for number, trial in enumerate(missing, start=len(wanted) - len(missing) + 1):
        started = time.perf_counter()
        left = spent / done * (total - done) if done else None
        on_trial(TrialProgress(trial, number, len(wanted), left))
        if bench.run(trial, on_step) is None:
            interrupted = True
            break
        done, spent = done + work([trial]), spent + time.perf_counter() - started
    shown = write_page(bench, every)
    finished = tuple(part for part in parts if part in shown)
    path = bench.folder / PAGE
    return Experiment(path, finished, interrupted, time.perf_counter() - began)


def remembered(bench: Runner, parts: Sequence[str]) -> tuple[str, ...]:
    """Note in the folder which parts are asked for; return them with those asked for before, in order."""
    path = bench.folder / SHOWN
    try:
        before = list(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # a folder without the note: what can be shown is
        known = (bench.folder / PAGE).exists()
        before = [part for part in PARTS if known and not _missing(bench, _planned(bench, part))]
    every = tuple(part for part in PARTS if part in parts or part in before)
    publish(path, (json.dumps(every) + "\n").encode(), overwrite=True)
    return every


def subtitle(bench: Runner) -> str:
    """Name the pictures, and say where the experiment is too small for what its captions speak of."""
    pairs = [
        f"{photo.name} in the style of {painting.name}" for photo, (painting, *_) in bench.pairs
    ]
    scope, small = bench.scope, []
    if scope.size < SMALL:
        small.append(f"pictures under {SMALL} px")
    if min(scope.rounds, scope.cell_rounds) < 2:
        small.append("a single round")
    return f"{'; '.join(pairs)}. After Gatys, Ecker and Bethge." + (
        f" This experiment is too small or too short to show the effects that the captions speak of: "
        f"{' and '.join(small)}."
        if small
        else ""
    )


def _so_far(desk: Context) -> list[Pictures]:
    """Return the pictures of an unfinished part, by the names of their runs."""
    items = [desk.shown(name, name, "Result of the run") for name in desk.outcomes]
    return [Pictures(items, "What is finished.")] if items else []


def _planned(bench: Runner, part: str) -> tuple[Trial, ...]:
    return trials(bench.scope, part, len(bench.pairs))


def _missing(bench: Runner, planned: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in planned if bench.outcome(trial) is None]


def write_page(bench: Runner, parts: Sequence[str]) -> tuple[str, ...]:
    """Write the page of these parts and return those whose trials are finished."""
    page = Page("The paper's experiment", subtitle(bench))
    shown = []
    for part in parts:
        found = {trial.name: bench.outcome(trial) for trial in _planned(bench, part)}
        finished = {name: outcome for name, outcome in found.items() if outcome is not None}
        if len(finished) < len(found):
            count = f"{len(finished)} of {len(found)}"
            said = (
                f"Not finished: {count} runs are there. The same command goes on from here, with --only "
                f"{part} or without --only."
            )
            page.section(TITLES[part], Text(said), *_so_far(Context(bench, finished)))
            continue
        page.section(TITLES[part], *WRITERS[part](Context(bench, finished)))
        shown.append(part)
    publish(bench.folder / PAGE, page.html().encode(), overwrite=True)
    return tuple(shown)


TITLES: Mapping[str, str] = {
    "method": "The method",
    "layers": "What the layers see",
    "grid": "Content against style",
    "course": "The course of the run",
    "loss": "The loss",
    "solvers": "Optimisers side by side",
    "starts": "Starting points and pooling",
    "result": "The result",
}
WRITERS: Mapping[str, Callable[[Context], Section]] = {
    "method": method, "layers": layers, "grid": grid, "course": course,
    "loss": loss, "solvers": solvers, "starts": starts, "result": result,
}  # fmt: skip
