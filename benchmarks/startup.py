"""How long the program takes to start: to the first evaluation, and for commands that compute nothing.

    python benchmarks/startup.py [--sizes 48,512] [--rounds 10] [--json FILE]

What `import torch` takes alone is not ours, so it is measured beside, by turns. Seconds are of the clock and
of the processor, medians; `beside torch` is the median of the differences of each round.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from common import pairs, report

Times = tuple[float, float]  # seconds of the clock and of the processor
TORCH = [sys.executable, "-c", 'import torch; print(\'{"event": "step"\')']
NOTHING = (["--help"], ["--version"], ["layers"])  # commands that compute nothing


def until(command: Sequence[str], word: str) -> Times:
    """Run a command until it prints a line with a word, or ends; return what it took until then."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = psutil.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        lines = []
        for line in process.stdout:
            lines.append(line.decode(errors="replace"))
            if word in lines[-1]:
                break
        spent = process.cpu_times()
        seconds = time.perf_counter() - began
        process.kill()
        process.wait()
    if word and word not in lines[-1]:
        raise SystemExit(f"{' '.join(command)} failed:\n{''.join(lines)}")
    return seconds, spent.user + spent.system


def first_evaluation(size: int) -> list[str]:
    """Return a command that prints a line after each evaluation."""
    photo, style = map(str, pairs()[0])
    flags = ["--size", str(size), "--json", "--no-checkpoint", "-q"]
    return [sys.executable, "-m", "impasto", photo, style, *flags]


def medians(runs: Sequence[Times]) -> Times:
    """Return the medians of both times."""
    return statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="48,512", help="px, by commas")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    commands = {"import torch": (TORCH, '"step"')}
    for size in map(int, options.sizes.split(",")):
        commands[f"first evaluation at {size} px"] = (first_evaluation(size), '"step"')
    for arguments in NOTHING:
        command = [sys.executable, "-m", "impasto", *arguments]
        commands[" ".join(["impasto", *arguments])] = (command, "")
    runs: dict[str, list[Times]] = {name: [] for name in commands}
    for command, word in commands.values():  # weights and compiled modules are cached afterwards
        until(command, word)
    for _ in range(options.rounds):
        for name, (command, word) in commands.items():
            runs[name].append(until(command, word))
    rows = []
    for name, times in runs.items():
        seconds, processor = medians(times)
        row = {"what": name, "seconds": seconds, "of the processor": processor}
        torch = runs["import torch"]
        beside = [(one[0] - other[0], one[1] - other[1]) for one, other in zip(times, torch, strict=True)]
        here = medians(beside) if "evaluation" in name else ("", "")
        rows.append(row | {"beside torch": here[0], "of the processor beside torch": here[1]})
    report(rows, options.json)


if __name__ == "__main__":
    main()
