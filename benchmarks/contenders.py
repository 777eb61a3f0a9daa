"""The programs that are compared: how each is called for the neutral evaluator's objective, and its course.

impasto and the plain implementation are recorded by runs.py. pastiche runs as a command and writes its own
pictures on the way; what writing them took is taken out again.
"""

import itertools
import json
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
from common import followed, timed
from PIL import Image

HERE = Path(__file__).resolve().parent
WEIGHTS = {  # the neutral evaluator's, in our means, and its objective alone, from the photo
    **{"content_weight": 5, "style_weight": 100, "style_statistic": "gram", "grain": 0},
    **{"init": "content", "detail": 1},
}
CHANNELS = (64, 128, 256, 512, 512)  # of pastiche's style layers
PASTICHE_WEIGHTS = [
    *("--content-layer-weights", "5", "--style-layer-weights"),
    *(repr(100 / channels**2) for channels in CHANNELS),  # it has mean (G/M - A/M_a)^2
]


@dataclass
class OutputPlan:
    """What all contenders get: the same files at their own size, threads, and a folder to write to."""

    photo: Path
    style: Path
    size: int
    threads: int
    precision: str  # of impasto; the others compute in fp32
    folder: Path


@dataclass
class Course:
    """A run as it went: at each file kept, its evaluations and seconds, and its score once asked for."""

    name: str
    evaluations: list[int]
    seconds: list[float]
    frames: Sequence[numpy.ndarray]
    every_second: list[float]  # at each evaluation, kept or not
    scores: dict[int, float] = field(default_factory=dict)  # by index

    def score(self, score: Callable[[numpy.ndarray], float], indices: Iterable[int]) -> None:
        """Score the files at these indices, as far as they have none."""
        for index in indices:
            if index not in self.scores:
                self.scores[index] = score(self.frames[index])

    def scored(self) -> list[tuple[int, float]]:
        """Return the indices that have a score, in order, with it."""
        return sorted(self.scores.items())


def best(course: Course) -> tuple[int, float]:
    """Return index and score of the lowest of the scored files, the first of equals."""
    return min(course.scored(), key=lambda pair: pair[1])


def first_at_or_below(course: Course, goal: float) -> int | None:
    """Return the index of the first scored file that is as good as the goal or better, or None."""
    return next((index for index, score in course.scored() if score <= goal), None)


def last_within(course: Course, seconds: float) -> int | None:
    """Return the index of the last file that was there after so many seconds, or None."""
    within = [index for index, time in enumerate(course.seconds) if time <= seconds]
    return within[-1] if within else None


def chosen(evaluations: int) -> bool:
    """Whether this evaluation's file is scored: each up to 20, each 5th up to 100, then each 10th."""
    if evaluations <= 20:
        return True
    return evaluations % (5 if evaluations <= 100 else 10) == 0


# --- recorded by runs.py -------------------------------------------------------------------------


def recording(
    job: OutputPlan,
    program: str,
    settings: dict[str, Any],
    folder: Path,
    *,
    seconds: float | None = None,
    only_times: bool = False,
) -> list[str]:
    """Return the command that records a run of impasto or of the plain implementation."""
    text = ",".join(f"{name}={value}" for name, value in settings.items())
    command = [sys.executable, str(HERE / "runs.py"), program, str(job.photo), str(job.style)]
    command += [str(folder), "--settings", text, "--threads", str(job.threads)]
    command += ["--precision", job.precision]
    command += [] if seconds is None else ["--seconds", str(seconds)]
    return [*command, "--only-times"] if only_times else command


def recorded(
    job: OutputPlan, program: str, name: str, settings: dict[str, Any], *, seconds: float | None = None
) -> Course:
    """Run and return the course, its files in memory."""
    folder = job.folder / f"course-{program}"
    timed(recording(job, program, settings, folder, seconds=seconds))
    kept = json.loads((folder / "course.json").read_text())
    return Course(name, frames=numpy.load(folder / "frames.npy"), **kept)


def impasto_settings(job: OutputPlan, changes: dict[str, Any]) -> dict[str, Any]:
    """Return a candidate's settings: the neutral evaluator's objective, one scale unless changed."""
    return {**WEIGHTS, "size": job.size, "min_size": job.size, **changes}


# --- commands ------------------------------------------------------------------------------------


def impasto_command(job: OutputPlan, evaluations: int) -> list[str]:
    """Return impasto's command for one scale."""
    files = [str(job.photo), str(job.style), "-o", str(job.folder / "impasto.png")]
    command = [sys.executable, "-u", "-m", "impasto", *files, "--force"]
    numbers: dict[str, Any] = impasto_settings(job, {"evaluations": evaluations})
    numbers |= {"threads": job.threads, "precision": job.precision}
    return command + [
        word for name, value in numbers.items() for word in (f"--{name}".replace("_", "-"), str(value))
    ]


def plain_command(job: OutputPlan, evaluations: int) -> list[str]:
    """Return the plain implementation's command."""
    files = [str(job.photo), str(job.style), "-o", str(job.folder / "plain.png")]
    numbers = ["--evaluations", str(evaluations), "--threads", str(job.threads)]
    return [sys.executable, "-u", str(HERE / "plain.py"), *files, "--init", "content", *numbers]


def pastiche_command(photo: Path, style: Path, output: Path, size: int, steps: int, *more: str) -> list[str]:
    """Return pastiche's command; each step is one evaluation.

    It would scale the painting to the photo's number of pixels if it were not told its size.
    """
    inputs = ["-c", str(photo), "-s", str(style), "-o", str(output)]
    numbers = ["--size", str(size), "--style-size", str(size), "--num-steps", str(steps)]
    return [sys.executable, "-u", "-m", "pastiche", *inputs, *numbers, "--seed", "1", *more]


def commands(job: OutputPlan, evaluations: int) -> dict[str, list[str]]:
    """Return every contender's command for so many evaluations from the photo."""
    output = job.folder / "pastiche.png"
    theirs = pastiche_command(
        job.photo, job.style, output, job.size, evaluations, *PASTICHE_WEIGHTS, "--info-step", "1"
    )
    return {
        "impasto": impasto_command(job, evaluations),
        "plain": plain_command(job, evaluations),
        "pastiche": theirs,
    }


FIRST = {"impasto": r'\{"event": "step"', "plain": r"evaluation 1,", "pastiche": r"1 "}


def first_evaluation(program: str, command: list[str]) -> tuple[float, float]:
    """Run a command; return the seconds until it says that its first evaluation is done, and all."""
    found, time = None, 0.0
    for time, line in followed([*command, "--json"] if program == "impasto" else command):
        if found is None and re.match(FIRST[program], line):
            found = time
    assert found is not None, f"{program} did not say when its first evaluation was done"
    return found, time


def imports(rounds: int) -> float:
    """Return the seconds that pastiche takes before it begins to read inputs and weights.

    With the first solver that is made torch imports hundreds of modules; they count as imports.
    """
    code = "import torch; torch.optim.LBFGS([torch.zeros(1)]); import pastiche.pastiche"
    return statistics.median(timed([sys.executable, "-c", code])[0] for _ in range(rounds))


def aside(job: OutputPlan, program: str, rounds: int) -> float:
    """Return what a whole command takes beside the program's own work: imports, the file, the exit.

    impasto says its own seconds with `--json`, the plain implementation always.
    """
    command = commands(job, 1)[program] + (["--json"] if program == "impasto" else [])
    spent = []
    for _ in range(rounds):
        seconds, _, printed = timed(command)
        lines = printed.splitlines()
        said = [line for line in lines if line.startswith(("{", "seconds "))][-1]
        own = json.loads(said)["seconds"] if said.startswith("{") else said.partition(" ")[2]
        spent.append(seconds - float(own))
    return statistics.median(spent)


# --- pastiche ------------------------------------------------------------------------------------


def pastiche_course(job: OutputPlan, steps: int, init: str, imports: float) -> Course:
    """Run pastiche once and return its course: the files that it writes at some of its steps.

    `imports` are the seconds before it begins to read inputs and weights; they do not count.
    """
    folder = job.folder / "course-pastiche"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    every = max(1, min(10, steps // 10))
    command = commands(job, steps)["pastiche"]
    command += ["--workspace", str(folder), "--workspace-step", str(every)]
    command += ["--random-init"] if init == "noise" else []
    arrivals = {}
    for time, line in followed(command):
        match = re.match(r"(\d+) +[\d.]+ +\S+$", line)
        if match:
            arrivals[int(match[1])] = time
    own = without_saving([arrivals[step] for step in range(steps + 1)], every)
    files = sorted(folder.glob("*.png"), key=lambda path: int(path.stem))
    kept = [int(path.stem) for path in files]
    return Course(
        name=f"pastiche, {init}",
        evaluations=kept,
        seconds=[own[step] - imports for step in kept],
        frames=[numpy.array(Image.open(path)) for path in files],
        every_second=[time - imports for time in own],
    )


def without_saving(arrivals: Sequence[float], every: int) -> list[float]:
    """Return when each step was done, the writing of a picture at each so-many-th taken out.

    Writing takes what such a step takes longer than the others in the median.
    """
    lengths = [after - before for before, after in itertools.pairwise(arrivals)]
    saving = [length for step, length in enumerate(lengths, start=1) if step % every == 0]
    others = [length for step, length in enumerate(lengths, start=1) if step % every]
    extra = 0.0
    if saving and others:
        extra = max(0.0, statistics.median(saving) - statistics.median(others))
    saved = [step // every + 1 for step in range(len(arrivals))]  # step 0 writes one too
    return [time - extra * count for time, count in zip(arrivals, saved, strict=True)]
