"""Against a peer: `pastiche` gets twice our time on the same files, and the neutral evaluator scores both.

    python benchmarks/peer.py [--size 512] [--pairs 0,1,2] [--folder DIR] [--json FILE]

Both programs get the same PNG files at their own size. pastiche's steps are chosen from its own measured
seconds per step so that it runs about twice as long as ours did. Look at the pictures in DIR as well.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from common import pairs, report, scaled, timed
from contenders import pastiche_command
from tests.reference import neutral


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--pairs", default="0,1,2")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "impasto-peer")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    rows = []
    for number in (int(part) for part in options.pairs.split(",")):
        photo, style = (scaled(path, options.size, options.folder) for path in pairs()[number])
        name = f"{photo.stem}-{style.stem}"
        ours = options.folder / f"{name}-impasto.png"
        command = [sys.executable, "-m", "impasto", str(photo), str(style), "-o", str(ours)]
        seconds, memory, _ = timed([*command, "--size", str(options.size), "--force", "-q"])
        rows.append(_row("impasto", name, seconds, memory, ours, photo, style))
        theirs = options.folder / f"{name}-pastiche.png"
        steps = _steps(photo, style, theirs, options.size, 2 * seconds)
        seconds, memory, _ = timed(pastiche_command(photo, style, theirs, options.size, steps))
        rows.append(_row(f"pastiche, {steps} steps", name, seconds, memory, theirs, photo, style))
    report(rows, options.json)


def _steps(photo: Path, style: Path, output: Path, size: int, seconds: float) -> int:
    """Return how many steps pastiche makes in that time, from runs of 1 and of 16.

    On a busy machine the difference may say nothing; a step is never taken for less than half of what the
    longer run took for each of its own.
    """
    few, _, _ = timed(pastiche_command(photo, style, output, size, 1))
    more, _, _ = timed(pastiche_command(photo, style, output, size, 16))
    step = max((more - few) / 15, more / 32)
    return max(1, round((seconds - (few - step)) / step))


def _row(
    program: str, pair: str, seconds: float, memory: float, result: Path, photo: Path, style: Path
) -> dict[str, object]:
    score = neutral.score(result, photo, style)
    return {
        "pair": pair,
        "program": program,
        "seconds": round(seconds, 1),
        "peak MB": round(memory),
        "content": score["content"],
        "style": score["style"],
        "content/5 + 10 style": score["content"] / 5 + 10 * score["style"],
    }


if __name__ == "__main__":
    main()
