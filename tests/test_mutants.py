"""That each guard is missed when it is gone: `scripts/mutants`, and what its table says of the tree."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import mutants
import pytest

ROOT = Path(__file__).parents[1]


EACH = pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.guard)


@EACH
def test_the_guard_stands_where_the_table_says(mutant) -> None:
    text = (ROOT / "src" / "impasto" / mutant.path).read_text(encoding="utf-8")
    without = mutants.changed(text, mutant)
    assert without != text
    ast.parse(without)  # the test shall miss the guard, not stumble over a typing error
    assert all((ROOT / name).is_file() for name in mutant.tests)


def test_guards_are_named_once() -> None:
    names = [mutant.guard for mutant in mutants.MUTANTS]
    assert len(names) == len(set(names))


def test_the_module_that_runs_is_the_one_that_was_written(tmp_path) -> None:
    """Two texts of one size in one second: Python would take the bytecode of the first for the second."""
    path = tmp_path / "guarded.py"
    for number in (1, 2):
        mutants.written(path, f"NUMBER = {number}\n")
        os.utime(path, (1_000_000_000, 1_000_000_000))
        code = "import guarded; raise SystemExit(guarded.NUMBER)"
        environment = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment)
        assert done.returncode == number


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_every_guard_is_missed_when_it_is_gone(part) -> None:
    """A quarter of them at a time, for as many workers."""
    assert mutants.main(mutants=mutants.MUTANTS[part::4]) == 0


@pytest.mark.slow
def test_a_guard_that_nobody_misses_is_found(capsys) -> None:
    kept = mutants.Mutant(
        "a comment",
        "errors.py",
        "# numerical trouble;",
        "# trouble;",
        ("tests/network/test_layers.py",),
        "layer",
    )
    gone = mutants.Mutant(
        "gone", "errors.py", "not in this file", "", ("tests/network/test_layers.py",), "layer"
    )
    assert mutants.main(mutants=[kept]) == 1
    assert "SURVIVED" in capsys.readouterr().out
    assert mutants.main(mutants=[gone]) == 1
    assert "0 times" in capsys.readouterr().out
