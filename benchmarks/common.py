"""What the benchmarks share: inputs scaled once, commands timed with their peak memory, tables."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for tests.reference.neutral

from impasto.picture import Picture  # noqa: E402
from impasto.pyramid import fit  # noqa: E402
from impasto.samples import sample  # noqa: E402

SHARED = ROOT.parent / "shared" / "images"


def pairs() -> list[tuple[Path, Path]]:
    """Return the field's standard pairs where they lie beside the checkout, our samples else."""
    names = [
        ("tubingen", "starry_night"),
        ("hoovertowernight", "the_scream"),
        ("tubingen", "shipwreck"),
    ]
    if not SHARED.is_dir():
        return [(sample("photo"), sample("swirl")), (sample("photo"), sample("ember"))]
    return [(SHARED / f"{photo}.jpg", SHARED / f"{style}.jpg") for photo, style in names]


def scaled(path: Path, long_edge: int, folder: Path) -> Path:
    """Write a picture as a PNG of that long edge, so that no program has to resize it."""
    picture = Picture.open(path)
    target = folder / f"{path.stem}_{long_edge}.png"
    size = fit(picture.width, picture.height, long_edge)
    return Picture.from_tensor(picture.tensor(*size)).save(target, overwrite=True)


def timed(command: list[str], timeout: float | None = None) -> tuple[float, float, str]:
    """Run a command; return its seconds, its peak memory in MB and what it printed."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    printed = process.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed ({process.returncode}):\n{printed}")
    return seconds, usage.ru_maxrss / 1000, printed


def report(rows: list[dict[str, Any]], path: Path | None) -> None:
    """Print rows as a Markdown table, and write them as JSON where a path is given."""
    columns = list(rows[0])
    print("| " + " | ".join(columns) + " |")
    print("|" + " --- |" * len(columns))
    for row in rows:
        cells = (f"{row[c]:.4g}" if isinstance(row[c], float) else str(row[c]) for c in columns)
        print("| " + " | ".join(cells) + " |")
    if path is not None:
        path.write_text(json.dumps(rows, indent=2) + "\n")
