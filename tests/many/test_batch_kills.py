"""`kill -9` of driver and workers at random moments: no torn file, none missing after a rerun, same bytes."""

import json
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.image.xmp import read_recipe
from impasto.many import pool
from impasto.many.batch import batch
from impasto.many.manifest import NAME, read
from many import narrow_worker
from many.helping import files, make_photo

PHOTOS = 12


RUN = """
import json, sys
from pathlib import Path
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.many import pool
from impasto.many.batch import batch
pool.COMMAND, settings, runtime = json.loads(sys.argv[1])
try:
    done = batch(
        "photos", "style.png", Settings(**settings), folder="out", workers=2, runtime=Runtime(**runtime)
    )
    Path("failed.txt").write_text(str(done.failed))
    code = 6 if done.failures else 0
except Exception as error:
    Path("failed.txt").write_text(repr(error))
    code = 1
sys.exit(code)
"""


def driver(settings: Settings, runtime: Runtime) -> subprocess.Popen[bytes]:
    """Start a batch in a process of its own."""
    spec = json.dumps([pool.COMMAND, settings.model_dump(mode="json"), runtime.model_dump(mode="json")])
    return subprocess.Popen([sys.executable, "-c", RUN, spec], stderr=subprocess.DEVNULL)


def kill_one(run: subprocess.Popen[bytes], draw: random.Random) -> str:
    """Kill the driver or one of its workers."""
    workers = [child.pid for child in psutil.Process(run.pid).children()]
    victim = draw.choice([run.pid, *workers[:2]])
    with suppress(ProcessLookupError):
        os.kill(victim, signal.SIGKILL)
    return "driver" if victim == run.pid else "worker"


def look(folder: Path) -> None:
    """Check that no file of a result is torn."""
    there = files(folder) if folder.exists() else []
    for name in there:
        assert (folder / name).read_bytes().endswith(b"IEND\xaeB`\x82"), name


def kill_again_and_again(kills: int, settings: Settings, longest: float, runtime: Runtime) -> dict[str, int]:
    """Kill so many times; return who was how often. A batch that is done loses half of its results."""
    draw, counts = random.Random(kills), {"driver": 0, "worker": 0, "finished": 0}
    while counts["driver"] + counts["worker"] < kills:
        run = driver(settings, runtime)
        while run.poll() is None and counts["driver"] + counts["worker"] < kills:
            with suppress(subprocess.TimeoutExpired):
                run.wait(draw.uniform(0.0, longest))
            if run.poll() is None:
                who = kill_one(run, draw)
                counts[who] += 1
                if who == "driver":
                    run.wait()
                look(Path("out"))
        if run.wait() < 0:  # it was killed
            continue
        if len(whole := files("out")) < PHOTOS:  # three workers in a row were killed while they began
            assert "ends while it begins (SIGKILL)" in Path("failed.txt").read_text()
            continue
        counts["finished"] += 1
        for name in draw.sample(whole, k=PHOTOS // 2):
            Path("out", name).unlink()
    return counts


def finish(settings: Settings, runtime: Runtime) -> None:
    """Let the batch end, and check the folder."""
    assert driver(settings, runtime).wait() == 0, Path("failed.txt").read_text()
    assert len(files("out")) == PHOTOS
    look(Path("out"))
    made = {}  # keys of all that was ever made, by file
    for line in read(Path("out", NAME)):
        if line["event"] == "done":
            assert made.setdefault(line["file"], line["key"]) == line["key"]


@pytest.fixture
def photos(place) -> Path:
    for number in range(PHOTOS - 3):
        make_photo(f"photos/more{number}.png", 10 + number)
    return place


def by_stubs(kills: int, monkeypatch) -> dict[str, int]:
    monkeypatch.setenv("STUB_SECONDS", "0.03")
    reference = batch("photos", "style.png", folder="reference")
    assert reference.made == PHOTOS
    counts = kill_again_and_again(kills, Settings(), 2.0, Runtime())
    finish(Settings(), Runtime())
    for name in files("reference"):
        assert Path("out", name).read_bytes() == Path("reference", name).read_bytes()
    return counts


@pytest.mark.slow
@pytest.mark.usefixtures("stub")
def test_15_kills(photos, monkeypatch) -> None:
    counts = by_stubs(15, monkeypatch)
    assert counts["driver"] + counts["worker"] == 15
    assert min(counts["driver"], counts["worker"]) > 0


@pytest.mark.soak
@pytest.mark.usefixtures("stub")
def test_100_kills(photos, monkeypatch, capsys) -> None:
    counts = by_stubs(100, monkeypatch)
    with capsys.disabled():
        print(f"\n{counts}")  # noqa: T201


@pytest.mark.soak
def test_kills_of_real_processes(photos, monkeypatch, capsys) -> None:
    """On the network of few weights: pixels are compared, for a recipe has the time it was made."""
    monkeypatch.setattr(pool, "COMMAND", narrow_worker.COMMAND)
    settings, options = (
        Settings(size=32, min_size=16, evaluations=3),
        {"runtime": Runtime(kernels="winograd")},
    )
    batch("photos", "style.png", settings, folder="reference", workers=2, **options)
    counts = kill_again_and_again(20, settings, 8.0, **options)
    finish(settings, **options)
    for name in files("reference"):
        one, other = (read_recipe(Path(folder, name)) for folder in ("out", "reference"))
        assert one.runtime != other.runtime or one.pixels_sha256 == other.pixels_sha256
    with capsys.disabled():
        print(f"\n{counts}")  # noqa: T201
