"""`kill -9` of driver and workers at random moments: no torn file, none missing after a rerun, same bytes."""

import os
import random
import signal
import time
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


def driver(settings: Settings, **options) -> int:
    """Run a batch in a child of this process; return the child's number."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        code = 1
        try:
            done = batch("photos", "style.png", settings, folder="out", workers=2, **options)
            code = 0 if not done.failures else 6
            Path("failed.txt").write_text(str(done.failed))
        except BaseException as error:
            Path("failed.txt").write_text(repr(error))
        finally:
            os._exit(code)
    return pid


def kill_one(pid: int, draw: random.Random) -> str:
    """Kill the driver or one of its workers."""
    workers = [child.pid for child in psutil.Process(pid).children()] if psutil.pid_exists(pid) else []
    victim = draw.choice([pid, *workers[:2]])
    os.kill(victim, signal.SIGKILL)
    return "driver" if victim == pid else "worker"


def look(folder: Path) -> None:
    """Check that no file of a result is torn, without libvips, whose threads no fork survives."""
    there = files(folder) if folder.exists() else []
    for name in there:
        assert (folder / name).read_bytes().endswith(b"IEND\xaeB`\x82"), name


def kill_again_and_again(kills: int, settings: Settings, longest: float, **options) -> dict[str, int]:
    """Kill so many times; return who was how often. A batch that is done loses half of its results."""
    draw, counts = random.Random(kills), {"driver": 0, "worker": 0, "finished": 0}
    while counts["driver"] + counts["worker"] < kills:
        pid = driver(settings, **options)
        ended = 0
        while not ended and counts["driver"] + counts["worker"] < kills:
            deadline = time.monotonic() + draw.uniform(0.0, longest)
            while not ended and time.monotonic() < deadline:
                ended = os.waitpid(pid, os.WNOHANG)[0]
                time.sleep(0.002)
            if ended:
                whole = files("out")
                if len(whole) < PHOTOS:  # three workers in a row were killed while they began
                    assert "ends while it begins (SIGKILL)" in Path("failed.txt").read_text()
                    break
                counts["finished"] += 1
                for name in draw.sample(whole, k=PHOTOS // 2):
                    Path("out", name).unlink()
                break
            who = kill_one(pid, draw)
            counts[who] += 1
            if who == "driver":
                ended = os.waitpid(pid, 0)[0]
            look(Path("out"))
        if not ended:
            os.waitpid(pid, 0)
    return counts


def finish(settings: Settings, **options) -> None:
    """Let the batch end, and check the folder."""
    status = os.waitpid(driver(settings, **options), 0)[1]
    assert os.waitstatus_to_exitcode(status) == 0, Path("failed.txt").read_text()
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
    counts = kill_again_and_again(kills, Settings(), 1.5)
    finish(Settings())
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
