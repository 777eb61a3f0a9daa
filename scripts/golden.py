"""Compare what two commits compute and say: scripts/golden BASE [HEAD] [options].

Both trees run the same script at the same time on the same machine: `golden_runs.py` beside this one, so that
files may move between the commits. It uses public names only. What the trees recorded has to be the same, to
the last digit: pixels, losses, scales, recipes, encoded bytes, help and messages. Prints a line for each
difference, or `golden: equal (N records)`. Exits with 1 if they differ, with 2 if they could not be compared.

    scripts/golden HEAD~3              the working tree against an earlier commit
    scripts/golden v1 v2 --pixels      without help and messages
    scripts/golden v1 --only resume    only the records whose name contains this
    scripts/golden v1 --timing         memory and time instead
"""

import argparse
import ast
import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUNS = Path(__file__).with_name("golden_runs.py")
SIDES = ("base", "head")
MESSAGES = ("said", "fault")  # of a record, which --pixels leaves out
MEMORY_ROUNDS, PAIRS, RESAMPLES = 5, 30, 10_000
LONGEST = 160  # letters of a value that are shown

Records = Mapping[str, Any]


# --- comparing -----------------------------------------------------------------------------------


def differences(base: Records, head: Records) -> list[str]:
    """Return a line for each difference; the same one in several records is said once."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in sorted({*base, *head}):
        if name not in base or name not in head:
            found.setdefault(("", f"only in {'head' if name in head else 'base'}"), []).append(name)
            continue
        pair = base[name], head[name]
        if any("crash" in record for record in pair):  # then there is nothing else in it
            pair = tuple({"crash": record.get("crash", "")} for record in pair)
        for where, what in _apart(*pair, ""):
            found.setdefault((where, what), []).append(name)
    lines = []
    for (where, what), names in found.items():
        shown = ", ".join(names[:3])
        more = f" and {len(names) - 3} others" if len(names) > 3 else ""
        lines.append(": ".join(part for part in (shown + more, where, what) if part))
    return lines


def faults(side: str, records: Records) -> list[str]:
    """Return a line for each record that is wrong by itself, whatever the other tree has."""
    lines = []
    for name, record in records.items():
        if "crash" in record:
            lines.append(f"{name}: {side} crashed: {record['crash']}")
        lines += [f"{name}: {side}: {what}" for what in record.get("wrong", [])]
    return lines


def _apart(one: Any, other: Any, where: str) -> Iterator[tuple[str, str]]:
    """Yield where two values differ, and how."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            inner = f"{where}.{key}" if where else key
            if key not in one or key not in other:
                have = one if key in one else other
                side = "base" if key in one else "head"
                yield inner, f"only in {side}: {_short(have[key])}"
            else:
                yield from _apart(one[key], other[key], inner)
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            yield where, f"{len(one)} rows != {len(other)} rows"
        rows = [row for row, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]]
        if rows:
            first, (inner, what) = rows[0], next(_apart(one[rows[0]], other[rows[0]], ""))
            place = f"row {first}{'.' if inner else ''}{inner}"
            yield where, f"{len(rows)} rows differ, first {place}: {what}"
    elif isinstance(one, str) and isinstance(other, str) and "\n" in one + other:
        if one != other:
            yield where, _texts_apart(one.splitlines(), other.splitlines())
    elif one != other or type(one) is not type(other):
        yield where, f"{_short(one)} != {_short(other)}"


def _texts_apart(one: Sequence[str], other: Sequence[str]) -> str:
    for number, (left, right) in enumerate(zip(one, other, strict=False), start=1):
        if left != right:
            return f"line {number}: {_short(left.strip())} != {_short(right.strip())}"
    return f"{len(one)} lines != {len(other)} lines"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


# --- trees and processes -------------------------------------------------------------------------


def git(*arguments: str) -> str:
    """Return what git says; ends the program where it refuses."""
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"golden: git {shlex.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextlib.contextmanager
def trees(base: str, head: str | None) -> Iterator[dict[str, Path]]:
    """Check the commits out below `.cache`, or copy the working tree; all is gone afterwards."""
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    commits = {"base": base, "head": head}
    checked_out: list[Path] = []
    folder = Path(tempfile.mkdtemp(prefix="golden-", dir=cache))
    try:
        found = {}
        for side, commit in commits.items():
            (folder / side).mkdir()
            found[side] = tree = folder / side / "tree"
            if commit is None:
                shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__"))
                continue
            name = git("rev-parse", "--verify", f"{commit}^{{commit}}")
            checked_out.append(tree)
            git("worktree", "add", "--quiet", "--detach", str(tree), name)
        yield found
    finally:
        for tree in checked_out:
            remove = ["git", "-C", ROOT, "worktree", "remove", "--force", tree]
            subprocess.run(remove, capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)


class Process:
    """The script of the runs in one tree, with a home, a cache and a folder of its own."""

    def __init__(self, tree: Path, *arguments: str) -> None:
        self.place = tree.parent
        home, work = self.place / "home", self.place / "work"
        for folder in (home, work):
            folder.mkdir(exist_ok=True)
        theirs = ("IMPASTO_", "XDG_", "FORCE_COLOR", "CLICOLOR", "PYTHON")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
        environment |= {
            "PYTHONPATH": str(tree / "src"),
            "PYTHONHASHSEED": "0",
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
            "COLUMNS": "80",
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "VIPS_CONCURRENCY": "1",
        }
        self._said = (self.place / "stderr").open("w+b")
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(RUNS), *arguments],
            cwd=work,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def ask(self, line: str = "") -> Any:
        """Send a line and return the answer, a line of JSON."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.failed()
        return json.loads(answer)

    def failed(self) -> None:
        """End the program with what the process said last."""
        self.process.wait()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        side = self.place.name
        raise SystemExit(f"golden: the runs of {side} ended with {self.process.returncode}:\n{said[-3000:]}")

    def end(self) -> None:
        """End the process if it still runs."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self._said):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what was not sent
                pipe.close()


@contextlib.contextmanager
def processes(found: Mapping[str, Path], *arguments: str) -> Iterator[dict[str, Process]]:
    """Start the script in both trees."""
    running: dict[str, Process] = {}
    try:
        for side, tree in found.items():
            running[side] = Process(tree, *arguments)
        yield running
    finally:
        for process in running.values():
            process.end()


def record(found: Mapping[str, Path], job: Mapping[str, Any]) -> dict[str, Records]:
    """Return the records of both trees, made at the same time."""
    line = json.dumps(job)
    with processes(found, "record") as running:
        for process in running.values():
            assert process.process.stdin is not None
            process.process.stdin.write(line + "\n")
            process.process.stdin.close()
        waiting = dict(running)
        while waiting:  # one that fails ends the other
            time.sleep(0.2)
            for side, process in list(waiting.items()):
                code = process.process.poll()
                if code:
                    process.failed()
                if code == 0:
                    del waiting[side]
        return {
            side: json.loads((process.place / "work" / "records.json").read_text())
            for side, process in running.items()
        }


def wrong_invocations() -> list[str]:
    """Return the command lines of this tree's `test_wrong_invocations.py`, wherever it lies."""
    files = sorted((ROOT / "tests").rglob("test_wrong_invocations.py"))
    if len(files) != 1:
        raise SystemExit(f"golden: {len(files)} files test_wrong_invocations.py below tests, not 1")
    known: dict[str, Any] = {}
    for node in ast.parse(files[0].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):  # constants only: the rest needs the tree's own modules
            with contextlib.suppress(Exception):
                exec(compile(ast.Module([node], []), str(files[0]), "exec"), known)
    lines = [row[0] for row in known.get("ALL", [])]
    if len(lines) < 60:
        raise SystemExit(f"golden: only {len(lines)} command lines in ALL of {files[0]}")
    return lines


# --- memory and time -----------------------------------------------------------------------------


def interval(ratios: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the median."""
    draw = random.Random(seed)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return medians[round(0.025 * RESAMPLES)], medians[round(0.975 * RESAMPLES) - 1]


def measure(found: Mapping[str, Path]) -> None:
    """Print the ratios, head to base, of peak memory and of seconds an evaluation."""
    for tree in found.values():  # the weights are decoded once, which takes memory of its own
        _once(tree, "prepare")
    peaks: dict[str, list[int]] = {side: [] for side in SIDES}
    for number in range(MEMORY_ROUNDS):
        for side in SIDES if number % 2 == 0 else reversed(SIDES):
            peaks[side].append(_once(found[side], "memory"))
    base, head = (statistics.median(peaks[side]) for side in SIDES)
    print(f"memory: peak {base / 1024:.0f} MB, then {head / 1024:.0f} MB; head to base {head / base:.4f}")
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    with processes(found, "serve") as running:
        for process in running.values():
            process.ask("warm up")
        for number in range(PAIRS):
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                seconds[side].append(running[side].ask("go"))
    ratios = [head / base for base, head in zip(*(seconds[side] for side in SIDES), strict=True)]
    base, head = (statistics.median(seconds[side]) for side in SIDES)
    low, high = interval(ratios)
    print(
        f"time: {base * 1000:.1f} ms an evaluation, then {head * 1000:.1f} ms; head to base "
        f"{statistics.median(ratios):.4f} (95 % interval {low:.4f} to {high:.4f}, {PAIRS} pairs)"
    )


def _once(tree: Path, what: str) -> Any:
    with processes({"only": tree}, what) as running:
        return running["only"].ask()


# --- the program ---------------------------------------------------------------------------------


def compare(found: Mapping[str, Path], options: argparse.Namespace) -> int:
    """Record in both trees, print the differences and return the exit code."""
    job = {
        "slow": options.slow,
        "only": options.only,
        "text": not options.pixels,
        "wrong": wrong_invocations(),
    }
    records = record(found, job)
    if options.pixels:
        for side in SIDES:
            for item in records[side].values():
                for name in MESSAGES:
                    item.pop(name, None)
    lines = [line for side in SIDES for line in faults(side, records[side])]
    lines += differences(records["base"], records["head"])
    if not records["base"]:
        raise SystemExit("golden: no record has such a name")
    for line in lines:
        print(line)
    if lines:
        print(f"golden: {len(lines)} differences ({len(records['base'])} records)")
        return 1
    print(f"golden: equal ({len(records['base'])} records)")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/golden", description="Compare what two commits compute and say."
    )
    parser.add_argument("base", metavar="BASE", help="a commit")
    parser.add_argument(
        "head", metavar="HEAD", nargs="?", help="a commit; default: the working tree as it is"
    )
    parser.add_argument("--pixels", action="store_true", help="leave out help, messages and other text")
    parser.add_argument("--slow", action="store_true", help="also three larger runs with the real weights")
    parser.add_argument("--only", metavar="NAME", action="append", help="records whose name contains this")
    parser.add_argument("--timing", action="store_true", help="compare memory and time instead")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the trees are removed
    began = time.perf_counter()
    try:
        with trees(options.base, options.head) as found:
            if options.timing:
                measure(found)
                return 0
            return compare(found, options)
    except SystemExit as error:
        if not isinstance(error.code, str):
            raise
        print(error.code, file=sys.stderr)
        return 2
    finally:
        print(f"golden: took {time.perf_counter() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
