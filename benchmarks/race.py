"""impasto against a plain implementation and pastiche, on the same files, threads and objective, in one run.

    python benchmarks/race.py [--size 512] [--pair 0] [--parts evaluation,race,equal,memory,startup,growth]
        [--precision auto|fp32|bf16] [--rounds 3] [--ours "init=content,evaluations=80"]... [--json FILE]

The score is the neutral evaluator's total of the saved file: clipped, rounded to 8 bits. A run's seconds
are those of the program's own work, from reading inputs and weights on; imports do not count, nor does
keeping the files that are scored afterwards. Beside them stand those of the whole command. `--ours` takes
settings of impasto and can be given several times; one scale unless it says `min_size`. Its runs are
repeated, before, between and after those of the rivals, which take long and run once. The best file of each
is left in the folder. Look at `load` in the JSON before you believe the figures.
"""

import argparse
import functools
import json
import math
import os
import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import contenders
import costs
import numpy
import plain
import torch
from common import Score, pairs, surroundings, table
from contenders import Course, OutputPlan, best, chosen, first_at_or_below, last_within
from costs import Rows, Tables
from PIL import Image
from runs import settings_of
from tests.reference import neutral

from impasto.network.weights.load import load_weights
from impasto.system.hardware import usable_threads

PARTS = ("evaluation", "race", "equal", "memory", "startup", "growth")
GOALS = (1.0, 1.02)  # times the rival's best score: its last percents take long
ENDLESS = 100_000  # evaluations; for runs that a clock ends


class Race:
    """What the parts share: the job, the candidates' settings, the score, and the options."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.full = pairs()[options.pair]
        folder = options.folder
        folder.mkdir(parents=True, exist_ok=True)
        photo, style = self.full
        empty = OutputPlan(photo, style, 0, options.threads, options.precision, folder)
        self.job = costs.at_size(empty, options.size, photo, style)
        single = {"init": "content", "evaluations": 80}
        coarse = {"init": "content", "min_size": options.size // 2, "evaluations": 60}
        self.ours = {
            "impasto, " + ", ".join(f"{name}={value}" for name, value in changes.items()): (
                contenders.impasto_settings(self.job, changes)
            )
            for changes in options.ours or (single, coarse)
        }
        self.curves: list[dict[str, Any]] = []  # of part race
        load_weights()  # decoded and kept now, as they are for every run but a user's first
        self.score = Score(self.job.photo, self.job.style)

    def plain(self, init: str, evaluations: int) -> dict[str, Any]:
        """Return the settings of a run of the plain implementation."""
        made = {"init": init, "evaluations": evaluations}
        return made | {"search": self.options.search, "history": self.options.history}

    def check_score(self, course: Course) -> None:
        """Hold the score with kept targets against the neutral evaluator's own, on a real file."""
        file = self.job.folder / "check.png"
        Image.fromarray(numpy.asarray(course.frames[-1])).save(file)
        expected = neutral.score(file, self.job.photo, self.job.style)["total"]
        assert math.isclose(self.score(course.frames[-1]), expected, rel_tol=1e-5)


# --- race ----------------------------------------------------------------------------------------


def race(here: Race) -> Tables:
    """Return the courses, and when impasto was where its rivals were at their best."""
    repeats: dict[str, list[Course]] = {name: [] for name in here.ours}
    rivals: dict[str, Course] = {}
    waiting = [(f"plain, {init}", _plain_course, init) for init in here.options.plain_starts]
    waiting += [(f"pastiche, {init}", _pastiche_course, init) for init in here.options.peer_starts]
    for turn in range(max(here.options.rounds, len(waiting))):  # ours, a rival, ours, a rival, ...
        if turn < here.options.rounds:
            for name, settings in here.ours.items():
                repeats[name].append(contenders.recorded(here.job, "impasto", name, settings))
        if turn < len(waiting):
            name, run, init = waiting[turn]
            rivals[name] = run(here, init)
    for first, *others in repeats.values():  # the same settings give the same files
        assert all(numpy.array_equal(first.frames, other.frames) for other in others)
        first.score(here.score, range(len(first.frames)))
    for course in rivals.values():
        every = course.name.startswith("pastiche")  # it has written only some
        wanted = [i for i, n in enumerate(course.evaluations) if every or chosen(n)]
        course.score(here.score, wanted)
    here.check_score(next(iter(rivals.values())))
    rounds = min(3, here.options.rounds)
    extra = {
        "impasto": contenders.aside(here.job, "impasto", rounds),
        "plain": contenders.aside(here.job, "plain", rounds),
        "pastiche": contenders.imports(rounds),
    }
    courses = [*rivals.values(), *(some[0] for some in repeats.values())]
    tables: Tables = [("Courses; seconds of the program's own work", [_row(c) for c in courses])]
    for name, rival in rivals.items():
        ours = [repeats[label] for label, wanted in here.ours.items() if _may_meet(wanted, name)]
        if ours:
            tables.append((f"Time to where {name}, is at its best", _meetings(rival, ours, extra)))
    _keep_curves(here, courses)
    return tables


def _may_meet(settings: dict[str, Any], rival: str) -> bool:
    """From noise a rival meets any start of ours; from the photo only the same."""
    return rival.endswith(", noise") or rival.endswith(f", {settings.get('init', 'content')}")


def _plain_course(here: Race, init: str) -> Course:
    settings = here.plain(init, here.options.evaluations)
    return contenders.recorded(here.job, "plain", f"plain, {init}", settings)


def _pastiche_course(here: Race, init: str) -> Course:
    imports = contenders.imports(min(3, here.options.rounds))
    return contenders.pastiche_course(here.job, here.options.evaluations, init, imports)


def _row(course: Course) -> dict[str, Any]:
    index, score = best(course)
    return {
        "run": course.name,
        "best score": score,
        "after evaluations": course.evaluations[index],
        "after s": course.seconds[index],
        "last score": course.scored()[-1][1],
        "evaluations": course.evaluations[-1],
        "s": course.seconds[-1],
    }


def _meetings(rival: Course, ours: list[list[Course]], extra: dict[str, float]) -> Rows:
    """Return, for each goal and candidate, both times and their ratio, the median over the repeats."""
    rows: Rows = []
    _, lowest = best(rival)
    program = rival.name.partition(",")[0]
    for factor in GOALS:
        goal = lowest * factor
        index = first_at_or_below(rival, goal)
        assert index is not None
        theirs = rival.seconds[index]
        for repeats in ours:
            row: dict[str, Any] = {
                "goal": f"{goal:.4g} (best x {factor:g})",
                "its evaluations": rival.evaluations[index],
                "its s": theirs,
                "impasto with": repeats[0].name.partition(", ")[2],
            }
            met = first_at_or_below(repeats[0], goal)
            if met is None:
                closest = f"no: {best(repeats[0])[1] / goal:.4f} x goal"
                rest = dict.fromkeys(("our s", "ratio", "commands s", "ratio of commands"), "-")
                rows.append(row | {"our evaluations": closest} | rest)
                continue
            times = [course.seconds[met] for course in repeats]
            both = theirs + extra[program], statistics.median(times) + extra["impasto"]
            row |= {"our evaluations": repeats[0].evaluations[met]}
            row |= {"our s": statistics.median(times)}
            row |= {"ratio": statistics.median(theirs / time for time in times)}
            row |= {"commands s": f"{both[0]:.1f}, {both[1]:.1f}"}
            rows.append(row | {"ratio of commands": both[0] / both[1]})
    return rows


def _keep_curves(here: Race, courses: list[Course]) -> None:
    """Keep each run's scores over time, to draw them, and its best file, to look at."""
    here.curves = [
        {
            "run": course.name,
            "evaluations": [course.evaluations[index] for index, _ in course.scored()],
            "seconds": [course.seconds[index] for index, _ in course.scored()],
            "score": [score for _, score in course.scored()],
        }
        for course in courses
    ]
    for course in courses:
        file = "".join(c if c.isalnum() else "-" for c in course.name) + ".png"
        Image.fromarray(numpy.asarray(course.frames[best(course)[0]])).save(here.job.folder / file)


# --- equal time ----------------------------------------------------------------------------------


def equal(here: Race) -> Tables:
    """Return the scores of the files after the same time, from the photo."""
    limit = here.options.seconds
    run = functools.partial(_ending, here)
    runs = {"plain": functools.partial(run, "plain", here.plain("content", ENDLESS))}
    for name, settings in here.ours.items():
        if settings.get("init", "content") != "content":
            continue
        single = settings["min_size"] * 2 > here.job.size  # goes on until the time is up
        wanted = settings | {"evaluations": ENDLESS} if single else settings
        label = name + ", but endless" * single
        runs[label] = functools.partial(run, "impasto", wanted)
    ends = costs.in_turn(runs, here.options.rounds)
    rows: Rows = [
        {
            "run": name,
            "evaluations": statistics.median(end[0] for end in some),
            "s": statistics.median(end[1] for end in some),
            "score": statistics.median(end[2] for end in some),
            "this / plain": costs.ratio([end[2] for end in some], [end[2] for end in ends["plain"]]),
        }
        for name, some in ends.items()
    ]
    return [(f"The file after {limit:g} s, from the photo", rows)]


def _ending(here: Race, program: str, settings: dict[str, Any]) -> tuple[int, float, float]:
    """Run until the time is up; return evaluations, seconds and score of the last file within it."""
    limit = here.options.seconds
    course = contenders.recorded(here.job, program, program, settings, seconds=limit)
    index = last_within(course, limit)
    if index is None:
        raise SystemExit(f"{program} with {settings} has no file after {limit:g} s; give --seconds")
    course.score(here.score, [index])
    return course.evaluations[index], course.seconds[index], course.scores[index]


# --- the command ---------------------------------------------------------------------------------


def measured(here: Race, part: str) -> Tables:
    """Measure one part and return its tables."""
    options = here.options
    if part == "evaluation":
        return costs.evaluation(here.job, options.rounds)
    if part == "startup":
        return costs.startup(here.job, options.rounds)
    if part == "memory":
        return costs.memory(here.job, options.memory_sizes, *here.full)
    if part == "growth":
        return costs.growth(here.job, options.growth_sizes, options.rounds, options.longest, *here.full)
    return race(here) if part == "race" else equal(here)


def main() -> None:
    options = _options()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # for pastiche, which has no option for it
    torch.set_num_threads(options.threads)
    here = Race(options)
    shown = {name: str(value) for name, value in vars(options).items()}
    answer = {**surroundings(options.threads), "options": shown, "parts": {}}
    answer["job"] = {name: str(value) for name, value in asdict(here.job).items()}
    print(json.dumps({name: answer[name] for name in ("date", "machine", "threads", "load")}))
    for part in options.parts:
        tables = measured(here, part)
        kept = [{"title": title, "rows": rows} for title, rows in tables]
        answer["parts"][part] = {"load after": os.getloadavg()[0], "tables": kept}
        answer["curves"] = here.curves
        for title, rows in tables:
            print(f"\n{title}:\n\n{table(rows)}", flush=True)
        if options.json:  # after each part, as all of them take long
            options.json.write_text(json.dumps(answer, indent=2) + "\n")


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _options() -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--pair", type=int, default=0)
    parser.add_argument("--parts", type=lambda text: text.split(","), default=PARTS)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=usable_threads())
    parser.add_argument("--ours", type=settings_of, action="append", metavar="NAME=VALUE,...")
    parser.add_argument("--evaluations", type=int, default=300, help="of the rivals")
    parser.add_argument("--search", choices=("none", "strong_wolfe"), default="none", help="of plain")
    parser.add_argument("--history", type=int, default=plain.HISTORY, help="of plain")
    parser.add_argument("--plain-starts", type=_names, default=["noise", "content"])
    parser.add_argument("--peer-starts", type=_names, default=["content"], help="of pastiche")
    parser.add_argument("--seconds", type=float, default=60.0, help="of part equal")
    parser.add_argument("--memory-sizes", type=numbers, default=[512, 1024, 2048])
    parser.add_argument("--growth-sizes", type=numbers, default=[128, 256, 512, 1024, 2048, 4096])
    parser.add_argument("--longest", type=float, default=600.0, help="seconds of a run of growth")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "impasto-race")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    main()
