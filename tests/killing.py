"""Kill a run with SIGKILL again and again, resume it, and compare. A program of its own; prints JSON.

    python tests/killing.py FOLDER --network real|narrow|stub --kills 100 [--seed 0]

Children are forked from this process, which has imported everything, parsed their arguments, and computed
nothing. Checkpoints are written as often as can be, so that many kills fall into the writing of one.
"""

# ruff: noqa: T201

import argparse
import functools
import io
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import scipy.optimize  # noqa: F401 - imported late, as the next line: by a solver when it begins
import torch
import torch._dynamo
from PIL import Image

import impasto.network.weights.load
import impasto.transfer.run
import impasto.transfer.stylize
from impasto.cli import app
from impasto.network.vgg import narrow_weights
from impasto.optim.evaluation import Evaluation
from impasto.transfer.callbacks import checkpoint_file, checkpoint_folder, checkpoints

PLANS = {  # flags of a run that takes some tenths of a second
    "real": ["--size", "48", "--min-size", "32", "--evaluations", "6", "--kernels", "direct"],
    "narrow": ["--size", "48", "--min-size", "24", "--evaluations", "8"],
    "stub": ["--size", "32", "--min-size", "16", "--evaluations", "12"],
}
SOLVERS = ("lbfgs", "scipy", "adam")
FILE = "run.checkpoint"


class Stub:
    """An objective without a network: each pixel to a place of its own, the stiffer the later."""

    tile, scale, losses = None, 1.0, ()

    def __init__(self, *arguments, **options) -> None:
        pass

    def __call__(self, canvas: torch.Tensor) -> Evaluation:
        count = canvas.numel()
        target = torch.linspace(-0.2, 1.2, count).view_as(canvas).cos()
        stiff = torch.linspace(1.0, 300.0, count).view_as(canvas)
        rest = canvas - target
        loss = float((stiff * rest.square()).sum())
        return Evaluation(loss, 2 * stiff * rest, {"stub": loss})


def prepare(network: str) -> None:
    """Write a checkpoint at every iteration; put the network asked for in place."""
    torch.set_num_threads(1)
    checkpoints.EVERY, checkpoints.SHARE, checkpoints.LONG = 0.0, 1.0, 0.0
    if network != "real":
        weights = narrow_weights()
        impasto.network.weights.load.load_weights = lambda *name: weights
    if network == "stub":
        impasto.transfer.run.Objective = Stub
        impasto.transfer.run.build_losses = lambda *arguments, **options: []


@functools.cache
def parsed(*arguments: str):
    """Return what the parser calls for these arguments; it takes as long as a run here."""
    return app.parsed(arguments)


def child(arguments: list[str], after: float | None, at_call: int | None = None) -> tuple[int, float]:
    """Run the command line in a child, killed after so many seconds; return status and seconds."""
    call = parsed(*arguments)
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        app.parsed = lambda *arguments: call
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        if at_call is not None:
            die_at(at_call)
        os._exit(app.main(arguments))
    while after is not None and time.perf_counter() - began < after:  # a thread would spoil the next fork
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status, time.perf_counter() - began
        time.sleep(0.001)
    if after is not None:
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1], time.perf_counter() - began


def die_at(number: int) -> None:
    """Be killed right before the n-th of the calls that bring files about."""
    left = iter(range(number, 0, -1))

    def deadly(call):
        def wrapper(*arguments, **options):
            if next(left, 0) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return wrapper

    for name in ("open", "replace", "fsync", "link", "unlink"):
        setattr(os, name, deadly(getattr(os, name)))


def pixels(path: Path) -> bytes:
    return np.asarray(Image.open(io.BytesIO(path.read_bytes()))).tobytes()


class Trial:
    """One run in a folder of its own, killed and resumed until it is done."""

    def __init__(self, folder: Path, plan: list[str], counts: Counter, *, automatic: bool) -> None:
        self.folder, self.counts, self.automatic = folder, counts, automatic
        self.begin = ["photo.png", "painting.png", *plan, "-o", "out.png", "-q", "--threads", "1"]
        self.again = ["resume", "-o", "out.png", "--force", "-q"]
        if not automatic:
            self.begin += ["--checkpoint", FILE]
            self.again.insert(1, FILE)

    def place(self) -> Path | None:
        """Return where the checkpoint is, if there is one."""
        if not self.automatic:
            path = Path(FILE)
            return path if path.exists() else None
        found = checkpoint_folder.unfinished()
        return found[-1] if found else None

    def look(self) -> bool:
        """Count what is torn; return whether the picture is there."""
        for path in (Path(FILE), *checkpoint_folder.folder().glob("*.safetensors*")):
            if path.exists():
                self.counts["checkpoints read"] += 1
                try:
                    checkpoint_file.read(path)
                except Exception as error:
                    self.counts["torn"] += 1
                    print(f"torn: {error!r}", file=sys.stderr)
        if not Path("out.png").exists():
            return False
        try:
            pixels(Path("out.png"))  # Pillow's: libvips would start threads, which no fork survives
        except Exception as error:
            self.counts["torn"] += 1
            print(f"torn: {error!r}", file=sys.stderr)
        return True

    def run(self, expected: bytes, deaths: list) -> None:
        """Kill it as often as there are deaths, each seconds or the number of a call; then let it end."""
        started = False
        for death in [*deaths, None]:
            held = self.place()
            if started and held is None and not Path("out.png").exists():
                self.counts["lost"] += 1
            arguments = self.again if held is not None else self.begin
            kind = {"at_call": death} if isinstance(death, int) else {}
            status, _ = child(arguments, death if isinstance(death, float) else None, **kind)
            killed = os.WIFSIGNALED(status)
            if killed:
                self.counts["kills"] += 1
                where = "after the first checkpoint" if self.place() else "before the first checkpoint"
                self.counts[where] += 1
            elif os.waitstatus_to_exitcode(status):
                self.counts["failed"] += 1
                print(Path("said.txt").read_text(), file=sys.stderr)
            started = started or self.place() is not None
            done = self.look()
            if not killed or (done and self.place() is None):
                break
        self.counts["equal" if pixels(Path("out.png")) == expected else "different"] += 1


def make_pictures(folder: Path) -> None:
    random_numbers = np.random.default_rng(5)
    for name, size in (("photo.png", (60, 80)), ("painting.png", (64, 64))):
        small = random_numbers.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC).save(folder / name)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", choices=PLANS, required=True)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--calls", action="store_true", help="kill before call 1, 2, 3, ... instead")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    prepare(options.network)
    draw, counts = random.Random(options.seed), Counter()
    references = {}
    for number, solver in enumerate(SOLVERS):
        plan = [*PLANS[options.network], "--solver", solver]
        os.chdir(new_folder(options.folder, f"reference-{number}"))
        arguments = ["photo.png", "painting.png", *plan, "-o", "out.png", "-q", "--threads", "1"]
        status, _ = child([*arguments, "--no-checkpoint"], None)
        assert status == 0, Path("said.txt").read_text()
        status, seconds = child([*arguments, "--force"], None)
        assert status == 0, Path("said.txt").read_text()
        references[solver] = plan, pixels(Path("out.png")), seconds
    trial = 0
    resumed = 0 if options.calls else 2 * options.kills // 5  # kills that leave something to resume, at least
    while (
        counts["kills"] < options.kills or counts["after the first checkpoint"] < resumed
    ) and trial < 3 * options.kills:
        plan, expected, seconds = references[SOLVERS[trial % 3]]
        os.chdir(new_folder(options.folder, f"trial-{trial}"))
        if options.calls:
            deaths: list = [trial // 3 + 1]
        else:
            deaths = [draw.uniform(0, 1.2 * seconds) for _ in range(draw.choice((1, 1, 2, 3)))]
        Trial(options.folder, plan, counts, automatic=trial % 2 == 1).run(expected, deaths)
        trial += 1
    print(json.dumps({"trials": trial, **counts}))


def new_folder(base: Path, name: str) -> Path:
    folder = base.absolute() / name
    folder.mkdir()
    make_pictures(folder)
    checkpoint_folder.cache_folder = lambda: folder / "cache"
    return folder


if __name__ == "__main__":
    main()
