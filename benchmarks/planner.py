"""The planner's promises against what then happens: peak memory and time of ten settings, whole commands.

    python benchmarks/planner.py [--only 0,1,2] [--json FILE]

Each setting is estimated by `impasto estimate` and then run. Memory is to be within 20 %, time within 30 %;
the start of the program, which the estimate leaves out, is measured by a run of one evaluation at 64 px.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import pairs, report, scaled, timed

SETTINGS = (
    "--size 128 --min-size 128 --evaluations 40",
    "--size 256 --min-size 128 --evaluations 20",
    "--size 256 --min-size 256 --evaluations 20 --solver scipy",
    "--size 384 --min-size 192 --evaluations 12 --solver adam",
    "--size 512 --min-size 256 --evaluations 14",
    "--size 512 --min-size 512 --evaluations 8 --tile 256",
    "--size 512 --min-size 512 --evaluations 12 --style-layers relu1_1,relu3_1 --content-layers relu3_2",
    "--size 768 --min-size 768 --evaluations 6 --pairs 4 --compact",
    "--size 1024 --min-size 1024 --evaluations 4",
    "--size 1024 --min-size 1024 --evaluations 3 --memory-limit 1.6GB",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(map(str, range(len(SETTINGS)))))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo, style = (scaled(path, 1024, folder) for path in pairs()[0])
        start, _, _ = timed(_run(photo, style, folder, "--size 64 --min-size 64 --evaluations 1"))
        for number in (int(part) for part in options.only.split(",")):
            rows.append(_row(photo, style, folder, SETTINGS[number], start))
    report(rows, options.json)


def _run(photo: Path, style: Path, folder: Path, flags: str) -> list[str]:
    command = [sys.executable, "-m", "impasto", str(photo), str(style), *flags.split()]
    return [*command, "-o", str(folder / "out.png"), "--force", "-q"]


def _row(photo: Path, style: Path, folder: Path, flags: str, start: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "impasto", "estimate", str(photo), str(style)]
    _, _, printed = timed([*command, *flags.split(), "--json"])
    told = json.loads(printed[printed.index("{") :])
    seconds, memory, _ = timed(_run(photo, style, folder, flags))
    return {
        "settings": flags,
        "tile": told["tile"],
        "predicted MB": told["memory_bytes"] / 1e6,
        "peak MB": memory,
        "memory ratio": told["memory_bytes"] / 1e6 / memory,
        "predicted s": told["seconds"] + start,
        "seconds": seconds,
        "time ratio": (told["seconds"] + start) / seconds,
    }


if __name__ == "__main__":
    main()
