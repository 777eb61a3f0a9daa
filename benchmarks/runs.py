"""One run of impasto or of the plain implementation, in a process of its own, with its course kept.

    python benchmarks/runs.py impasto|plain PHOTO STYLE FOLDER --settings "init=content,evaluations=80"
        [--device auto] [--precision auto] [--threads N] [--seconds S] [--only-times]

Writes FOLDER/course.json and FOLDER/frames.npy: for each evaluation the seconds of the program's own work,
and what its file would be if it ended there, in 8 bits. The clock starts when the program begins to read its
inputs and weights, imports being over, and stands still while a frame is kept. With --seconds the run
ends after the first evaluation past them.
"""

import argparse
import ast
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy


class Recorder:
    """A clock of the program's own work, and what was kept on the way."""

    def __init__(self, limit: float, *, frames: bool) -> None:
        self._limit, self._frames = limit, frames
        self._began, self._aside = time.perf_counter(), 0.0
        self.evaluations: list[int] = []
        self.seconds: list[float] = []
        self.frames: list[Any] = []

    def now(self) -> float:
        """Return the seconds of the program's own work so far."""
        return time.perf_counter() - self._began - self._aside

    def note(self, evaluations: int, frame: Callable[[], Any]) -> bool:
        """Keep what the file would be now; return whether the time is up."""
        arrived, own = time.perf_counter(), self.now()
        self.evaluations.append(evaluations)
        self.seconds.append(own)
        if self._frames:
            self.frames.append(frame())
        self._aside += time.perf_counter() - arrived
        return own > self._limit


def settings_of(text: str) -> dict[str, Any]:
    """Return `init=content,evaluations=80` as a dict of numbers, truth values and words."""
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            found[name.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            found[name.strip()] = value.strip()
    return found


def run_plain(options: argparse.Namespace, settings: dict[str, Any]) -> Recorder:
    import plain
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    plain.ready()
    recorder = Recorder(options.seconds, frames=not options.only_times)
    photo, style = plain.read(options.photo), plain.read(options.style)
    loss = plain.objective(photo, style, plain.load_weights())
    start = plain.begin(settings.pop("init", "noise"), photo)

    def watch(done: int, canvas: torch.Tensor) -> None:
        if recorder.note(done, lambda: plain.to_bytes(canvas)):
            raise plain.Enough

    plain.minimise(loss, start, settings.pop("evaluations"), watch=watch, **settings)
    return recorder


def run_impasto(options: argparse.Namespace, settings: dict[str, Any]) -> Recorder:
    import impasto
    from impasto.transfer import stylize  # resolved here, so that the clock does not count its imports

    wanted = impasto.Settings(**settings)
    runtime = impasto.Runtime(device=options.device, precision=options.precision, threads=options.threads)
    recorder = Recorder(options.seconds, frames=not options.only_times)
    lowest, scale = math.inf, 0

    def watch(step: impasto.Step) -> None:
        nonlocal lowest, scale
        if step.scale != scale:
            lowest, scale = math.inf, step.scale
        # A file has the best canvas of its scale. Coarse scales have no file of the size wanted.
        better = step.losses["total"] < lowest and step.scale == step.scales
        lowest = min(lowest, step.losses["total"])
        if recorder.note(step.evaluations, lambda: step.kept() if better else None):
            raise impasto.Stop

    stylize.stylize(options.photo, options.style, wanted, runtime=runtime, on_step=watch)
    recorder.frames = [None if kept is None else kept.picture().array(8)[..., :3] for kept in recorder.frames]
    return recorder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", choices=("impasto", "plain"))
    parser.add_argument("photo")
    parser.add_argument("style")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--settings", type=settings_of, required=True)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seconds", type=float, default=math.inf)
    parser.add_argument("--only-times", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    run = run_plain if options.program == "plain" else run_impasto
    recorder = run(options, dict(options.settings))
    # A frame of None is the one before it: nothing better was found. Before the first there is no file.
    kept = [index for index, frame in enumerate(recorder.frames) if frame is not None]
    course = {
        "every_second": recorder.seconds,
        "seconds": [recorder.seconds[index] for index in kept],
        "evaluations": [recorder.evaluations[index] for index in kept],
    }
    (options.folder / "course.json").write_text(json.dumps(course))
    if kept:
        numpy.save(options.folder / "frames.npy", numpy.stack([recorder.frames[i] for i in kept]))


if __name__ == "__main__":
    main()
