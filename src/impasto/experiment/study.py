"""Runs the experiment and writes its page: trials first, each kept as it ends, then the page from files."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from impasto.errors import Stop
from impasto.experiment.bench import Bench
from impasto.experiment.desk import Desk
from impasto.experiment.plan import PARTS, Trial, trials, work
from impasto.experiment.sections import WRITERS
from impasto.history import Step
from impasto.page import Page, Text
from impasto.publish import publish

PAGE = "index.html"


@dataclass(frozen=True)
class Progress:
    """Where the whole experiment stands: trial `number` of `count`, and the seconds left, once known."""

    trial: Trial
    number: int
    count: int
    left: float | None


@dataclass(frozen=True)
class Study:
    """What was done: the page, the parts on it, and whether it was interrupted."""

    page: Path
    parts: tuple[str, ...]
    interrupted: bool
    seconds: float


def study(
    bench: Bench,
    parts: Sequence[str] = PARTS,
    *,
    on_trial: Callable[[Progress], None] = lambda progress: None,
    stopping: Callable[[], bool] = lambda: False,
) -> Study:
    """Run what the parts need and was not run before, then write the page.

    Args:
        bench: The folder and the inputs.
        parts: Of the page; see `plan.PARTS`.
        on_trial: Called before each trial.
        stopping: Asked after every evaluation; True ends the experiment with a page of what is there.
    """
    began = time.perf_counter()
    wanted = {
        trial.name: trial for part in parts for trial in trials(bench.scope, part, len(bench.pairs))
    }
    missing = [trial for trial in wanted.values() if bench.outcome(trial) is None]
    total, done, interrupted = work(missing), 0.0, False

    def on_step(step: Step) -> None:
        if stopping():
            raise Stop("interrupted")

    for number, trial in enumerate(missing, start=1):
        spent = time.perf_counter() - began
        left = spent / done * (total - done) if done else None
        on_trial(Progress(trial, number, len(missing), left))
        if bench.run(trial, on_step) is None:
            interrupted = True
            break
        done += work([trial])
    return write_page(bench, parts, interrupted=interrupted, seconds=time.perf_counter() - began)


def write_page(bench: Bench, parts: Sequence[str], *, interrupted: bool, seconds: float) -> Study:
    """Write the page of all parts whose trials are finished."""
    photo, (painting, *_) = bench.pairs[0]
    page = Page(
        "The paper's experiment",
        f"{photo.name} in the style of {painting.name}, after Gatys, Ecker and Bethge",
    )
    shown = []
    for part in parts:
        planned = trials(bench.scope, part, len(bench.pairs))
        found = {trial.name: bench.outcome(trial) for trial in planned}
        finished = {name: outcome for name, outcome in found.items() if outcome is not None}
        if len(finished) < len(found):
            count = f"{len(finished)} of {len(found)}"
            said = f"Not finished: {count} runs are there. The same command goes on from here."
            page.section(part.capitalize(), Text(said))
            continue
        title, blocks = WRITERS[part](Desk(bench, finished))
        page.section(title, *blocks)
        shown.append(part)
    path = publish(bench.folder / PAGE, page.html().encode(), overwrite=True)
    return Study(path, tuple(shown), interrupted, seconds)
