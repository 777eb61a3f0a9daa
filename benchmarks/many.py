"""What a batch takes beside its pictures: planning, reruns, the gap between two, workers, a loop, a cluster.

python benchmarks/many.py [--parts plan,rerun,gap,workers,loop,ray] [--photos N] [--size 256]
    [--evaluations 25] [--jobs 100000] [--json FILE]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import ROOT, report
from PIL import Image

from impasto.cli.samples import sample
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.many import pool
from impasto.many.batch import batch, run_batch
from impasto.many.jobs import BatchSpec, Look, Painting
from impasto.many.manifest import NAME, read
from impasto.many.rays import Cluster

# This file has the name of the tests' folder, and would be found before it.
sys.path[:] = [str(ROOT / "tests"), *(path for path in sys.path if Path(path) != ROOT / "benchmarks")]
from many import stub_worker  # noqa: E402
from many.stub_actor import StubActor  # noqa: E402

Row = dict[str, Any]
PLAN = """
import json, time
from pathlib import Path
from impasto.config.settings import Settings
from impasto.many.jobs import BatchSpec, Look, Painting, plan_jobs
began = time.perf_counter()
plan = plan_jobs(BatchSpec(("photos",), (Look("style", (Painting("style.png"),), Settings()),), Path("out")))
count = sum(1 for job in plan)
lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(lines["VmHWM"].split()[0]) / 1000  # `resource` includes the process that started this one
print(json.dumps({"jobs": count, "seconds": round(time.perf_counter() - began, 1), "peak MB": round(peak)}))
"""


def photos(count: int, edge: int, *, noise: bool = False) -> None:
    """Write so many photos of a long edge; with noise they are larger files."""
    Path("photos").mkdir(exist_ok=True)
    for number in range(count):
        random = np.random.default_rng(number)
        cells = random.integers(0, 255, (edge * 3 // 4 // 8, edge // 8, 3), np.uint8)
        pixels = np.kron(cells, np.ones((8, 8, 1), np.uint8))
        if noise:
            pixels = random.integers(0, 255, pixels.shape, np.uint8)
        Image.fromarray(pixels).save(f"photos/{number:06d}.jpg", quality=95)


def painting() -> None:
    Path("style.png").write_bytes(sample("swirl").read_bytes())


def plan(options: argparse.Namespace) -> Row:
    """Seconds and memory of planning many photos; they are empty files, for none is read."""
    Path("photos").mkdir()
    for number in range(options.jobs):
        Path(f"photos/{number:06d}.jpg").touch()
    done = subprocess.run([sys.executable, "-c", PLAN], capture_output=True, text=True, check=True)
    found: Row = json.loads(done.stdout)
    return found


def rerun(options: argparse.Namespace) -> Row:
    """Seconds of the command for a folder that is done, painted by a stub."""
    photos(options.photos, 590, noise=True)  # some 300 KB each
    pool.COMMAND = stub_worker.COMMAND
    batch("photos", "style.png", Settings(), folder="out")
    command = [sys.executable, "-m", "impasto", "batch", "photos", "--style", "style.png", "-o", "out", "-q"]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    size = sum(path.stat().st_size for path in Path("photos").iterdir()) / options.photos
    return {"photos": options.photos, "KB each": round(size / 1000), "seconds": time.perf_counter() - began}


def settings_of(options: argparse.Namespace) -> Settings:
    return Settings(size=options.size, evaluations=options.evaluations)


def gap(options: argparse.Namespace) -> Row:
    """Milliseconds from a picture that is done to the start of the next one."""
    photos(options.photos, options.size)
    batch("photos", "style.png", Settings(size=64, evaluations=1), folder="out", workers=1)
    lines = list(read(Path("out", NAME)))
    times = {kind: [line["time"] for line in lines if line["event"] == kind] for kind in ("started", "done")}
    waits = [1000 * (b - a) for a, b in zip(times["done"], times["started"][1:], strict=False)]
    return {
        "photos": options.photos,
        "median ms": round(median(waits), 1),
        "largest ms": round(max(waits), 1),
    }


def workers(options: argparse.Namespace) -> Row:
    """How much faster two workers of one thread are than one, from the first start to the last end."""
    photos(options.photos, options.size)
    spent = {}
    for count in (1, 2):
        folder = f"out{count}"
        batch(
            "photos",
            "style.png",
            settings_of(options),
            folder=folder,
            workers=count,
            runtime=Runtime(threads=1),
        )
        lines = [line for line in read(Path(folder, NAME)) if line["event"] in ("started", "done")]
        spent[count] = max(line["time"] for line in lines) - min(line["time"] for line in lines)
    return {"one s": round(spent[1], 1), "two s": round(spent[2], 1), "times": round(spent[1] / spent[2], 2)}


def loop(options: argparse.Namespace) -> Row:
    """A batch and a shell loop over the single command, whole, with the defaults of each."""
    photos(options.photos, options.size)
    look = ["--size", str(options.size), "--evaluations", str(options.evaluations), "-q"]
    program = [sys.executable, "-m", "impasto"]
    began = time.perf_counter()
    subprocess.run([*program, "batch", "photos", "--style", "style.png", "-o", "out", *look], check=True)
    together = time.perf_counter() - began
    began = time.perf_counter()
    for path in sorted(Path("photos").iterdir()):
        subprocess.run([*program, str(path), "style.png", *look], check=True, stdout=subprocess.DEVNULL)
    single = time.perf_counter() - began
    return {"batch s": round(together, 1), "loop s": round(single, 1), "times": round(single / together, 2)}


def ray(options: argparse.Namespace) -> Row:
    """Jobs a second of the driver with a stub painter on a cluster of this machine, and its memory."""
    photos(min(options.jobs, 1000), 64)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    names = sorted(map(str, Path("photos").iterdir()))
    looks = tuple(
        Look(f"{number}", (Painting("style.png"),), Settings(seed=number))
        for number in range(max(1, options.jobs // len(names)))
    )
    began = time.perf_counter()
    found: list[float] = []

    def on_event(event: Row) -> None:
        if event["event"] == "started" and not found:
            found.append(time.perf_counter() - began)

    spec = BatchSpec(tuple(names), looks, Path("out"))
    done = run_batch(spec, pool=Cluster("local", StubActor), on_event=on_event)
    spent = time.perf_counter() - began - found[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    rate = done.made / spent
    return {
        "jobs": done.made,
        "start s": round(found[0], 1),
        "jobs/s": round(rate, 1),
        "driver MB": round(peak),
    }


PARTS: dict[str, Callable[[argparse.Namespace], Row]] = {
    "plan": plan, "rerun": rerun, "gap": gap, "workers": workers, "loop": loop, "ray": ray,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--evaluations", type=int, default=25)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.parts.split(","):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            painting()
            row = PARTS[name](options)
            os.chdir(ROOT)
        rows.append({"part": name, **row})
        report(rows[-1:], None)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
