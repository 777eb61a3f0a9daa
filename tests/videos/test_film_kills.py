"""`kill -9` at random moments of a film: nothing lost, nothing torn, the same bytes in the end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reference.soak import soak

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
PROGRAM = Path(__file__).parent / "killing_films.py"


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "seed"), [(4, 0), soak(20, 1)])
def test_a_killed_film_goes_on_to_the_same_bytes(tmp_path, kills, seed) -> None:
    command = [sys.executable, str(PROGRAM), str(tmp_path), "--kills", str(kills), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    print(counts)  # noqa: T201
    assert counts["kills"] >= kills
    assert not any(counts.get(fault) for fault in ("lost", "torn", "different"))
    assert counts["equal"] == counts["trials"]
