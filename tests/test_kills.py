"""`kill -9` at many points of a run: nothing torn, nothing lost, the same bytes in the end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reference.soak import soak

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
PROGRAM = Path(__file__).parent / "killing.py"


def killed(folder: Path, *flags: str) -> dict[str, int]:
    command = [sys.executable, str(PROGRAM), str(folder), *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    print(counts)  # noqa: T201
    for fault in ("torn", "lost", "failed", "different"):
        assert not counts.get(fault), f"{counts}\n{done.stderr}"
    assert counts["equal"] == counts["trials"]
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("network", ["stub", "narrow"])
def test_at_random_points(tmp_path, network) -> None:
    counts = killed(tmp_path, "--network", network, "--kills", "8")
    assert counts["kills"] >= 8
    assert counts["after the first checkpoint"] >= 3  # else nothing was resumed


@pytest.mark.slow
def test_before_each_call_that_brings_a_file_about(tmp_path) -> None:
    """Open, fsync, rename, link, unlink: the first ones of a run, each once with each solver."""
    counts = killed(tmp_path, "--network", "stub", "--kills", "45", "--calls")
    assert counts["kills"] >= 45


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "seed"), [(20, 2), soak(50, 0), soak(50, 1)])
def test_at_random_points_of_the_real_network(tmp_path, kills, seed) -> None:
    counts = killed(tmp_path, "--network", "real", "--kills", str(kills), "--seed", str(seed))
    assert counts["kills"] >= kills
    assert counts["after the first checkpoint"] >= 0.4 * kills


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "seed"), [(100, 5), *(soak(250, seed) for seed in range(1, 5))])
def test_at_many_points_of_a_stub(tmp_path, kills, seed) -> None:
    """The thousand of `scripts/soak` in quarters, for as many workers."""
    counts = killed(tmp_path, "--network", "stub", "--kills", str(kills), "--seed", str(seed))
    assert counts["kills"] >= kills
    assert counts["after the first checkpoint"] >= 0.4 * kills
