import itertools
import os
import time
from pathlib import Path

import pytest
import torch

from impasto.errors import InputError, OutputError
from impasto.optim.evaluation import State
from impasto.transfer.callbacks import checkpoint_folder
from impasto.transfer.callbacks import checkpoints as keepers
from impasto.transfer.callbacks.checkpoint_file import previous, read, write
from impasto.transfer.callbacks.checkpoint_folder import last
from impasto.transfer.callbacks.checkpoints import Checkpoints, Course
from transfer.callbacks.test_checkpoint_file import made, recipe


class Clock:
    """A clock that only goes on when told to."""

    def __init__(self, monkeypatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(keepers.time, "perf_counter", lambda: self.now)


class Log:
    """Of a run that has noted nothing."""

    def until(self, count: int) -> list:
        return []

    def scale_seconds(self) -> float:
        return 0.0


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "checkpoints"


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def written(monkeypatch, clock) -> list[float]:
    """When checkpoints are written; writing takes 1 s."""
    times: list[float] = []

    def noted(path, checkpoint) -> int:
        times.append(clock.now)
        clock.now += 1.0
        return write(path, checkpoint)

    monkeypatch.setattr(keepers, "write", noted)
    return times


def state(count: int) -> State:
    """A state of the start, as of any solver."""
    canvas = torch.zeros(1, 3, 4, 5)
    return State(
        count,
        {"canvas": canvas, "gradient": canvas},
        {"loss": 1.0, "failures": 0.0, "best_loss": 1.0},
    )


def begun(keeper: Checkpoints, *, passes=(100, 100), each=(1.0, 4.0), left=None) -> Checkpoints:
    keeper.begin(Course(Log(), recipe, each, passes, left=left))
    return keeper


def test_a_short_run_keeps_none_and_a_long_one_does(clock, written, cache) -> None:
    for seconds, expected in ((0.2, 0), (0.3, 1)):  # of 500 units in all: 100 s and 150 s
        with begun(Checkpoints()) as keeper:
            keep = keeper.at(0, 0, 0)
            for count in range(40):
                keep(state(count))
                clock.now += seconds
            assert bool(written) == bool(expected)
            assert len(list(cache.glob("*.safetensors"))) == expected
        assert list(cache.glob("*")) == []  # finished


def test_writing_takes_two_percent_at_most(clock, written) -> None:
    began = clock.now
    with begun(Checkpoints(), passes=(10**6, 10**6)) as keeper:
        keep = keeper.at(0, 0, 0)
        for count in range(4000):
            keep(state(count))
            clock.now += 0.5
    assert 30 < len(written) < 45
    assert len(written) / (clock.now - began) <= 0.021
    assert min(b - a for a, b in itertools.pairwise(written)) >= 50


def test_the_file_asked_for_is_there_at_once_and_stays(tmp_path, clock, written) -> None:
    path = tmp_path / "run.checkpoint"
    with begun(Checkpoints(path)) as keeper:
        keeper.at(0, 0, 0)(state(0))
        assert read(path).head.count == 0
        clock.now += 100
        keeper.at(1, 0, 0)(state(7))
        assert (read(path).head.scale, read(path).head.count) == (1, 7)
        assert read(previous(path)).head.scale == 0
    assert path.exists()
    assert not previous(path).exists()
    with pytest.raises(InputError, match="no unfinished run"):
        last()


def test_a_run_that_was_stopped_can_be_gone_on_with_until_it_is_finished(clock, cache) -> None:
    with begun(Checkpoints()) as keeper:
        keeper.at(0, 0, 0)
        keeper.stopped(state(3), "interrupted")
        assert keeper.left
        with pytest.raises(InputError, match="no unfinished run"):
            last()  # for it is at work
    path = last()
    assert path.parent == cache
    with begun(Checkpoints(path, resumed=True)) as keeper:
        with pytest.raises(InputError, match="at work in another process"):
            Checkpoints(path, resumed=True)
    assert list(cache.glob("*")) == []


def test_a_short_run_stopped_by_its_caller_leaves_nothing(cache) -> None:
    with begun(Checkpoints()) as keeper:
        keeper.at(0, 0, 0)
        keeper.stopped(state(3), "stop")
    assert not cache.exists() or list(cache.glob("*")) == []


def test_an_unfinished_one_elsewhere_is_known(tmp_path) -> None:
    path = tmp_path / "elsewhere.checkpoint"
    with begun(Checkpoints(path)) as keeper:
        keeper.at(0, 0, 0)
        keeper.stopped(state(3), "stop")
    assert last() == path
    path.rename(previous(path))  # as a kill between two renames leaves it
    assert last() == path


def test_an_error_leaves_the_checkpoint(tmp_path) -> None:
    def failing() -> None:
        with begun(Checkpoints(tmp_path / "a")) as keeper:
            keeper.at(0, 0, 0)(state(0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert last() == tmp_path / "a"


def test_what_is_there_is_not_written_over(tmp_path) -> None:
    write(tmp_path / "a", made())
    with pytest.raises(InputError, match=r"exists already: impasto resume.*--force"):
        Checkpoints(tmp_path / "a")
    Checkpoints(tmp_path / "a", force=True).release()
    with pytest.raises(OutputError, match="does not exist"):
        Checkpoints(tmp_path / "nowhere" / "a")
    with pytest.raises(OutputError, match="file name too long"):
        Checkpoints(tmp_path / ("a" * 250))


def test_only_the_last_few_stay(clock, cache, monkeypatch) -> None:
    cache.mkdir(parents=True)
    names = [cache / f"{number}.safetensors" for number in range(8)]
    for number, path in enumerate(names):
        write(path, made())
        os.utime(path, (1 + number, 1 + number))
    (cache / ".impasto-0.tmp").write_bytes(b"left by a kill")
    (cache / ".impasto-1.tmp").write_bytes(b"being written")
    os.utime(cache / ".impasto-0.tmp", (0, 0))
    at_work = Checkpoints(names[0], resumed=True)
    checkpoint_folder.tidy()
    kept = [path for path in names if path.exists()]
    assert kept == [names[0], *names[-checkpoint_folder.KEPT + 1 :]]
    assert [path.name for path in cache.glob("*.tmp")] == [".impasto-1.tmp"]
    at_work.release()
    monkeypatch.setattr(checkpoint_folder, "MOST", 2.5 * names[-1].stat().st_size)
    checkpoint_folder.tidy()
    assert [path for path in names if path.exists()] == names[-2:]


def test_a_checkpoint_that_cannot_be_written_ends_no_run(
    tmp_path, clock, monkeypatch, caplog
) -> None:
    def full(path, checkpoint) -> int:
        raise OutputError("no space left on device")

    monkeypatch.setattr(keepers, "write", full)
    with begun(Checkpoints(), passes=(10**6, 10**6)) as keeper:
        keep = keeper.at(0, 0, 0)
        for count in range(100):
            keep(state(count))
            clock.now += 1
    assert caplog.text.count("no space left on device") == 1
    with pytest.raises(OutputError, match="no space"), begun(Checkpoints(tmp_path / "a")) as keeper:
        keeper.at(0, 0, 0)(state(0))


def test_a_cache_folder_that_cannot_be_written_is_no_error(tmp_path, cache, clock, caplog) -> None:
    cache.parent.parent.joinpath("cache").write_bytes(b"a file in the way")
    with begun(Checkpoints(), passes=(10**6, 10**6)) as keeper:
        keeper.at(0, 0, 0)
        for count in range(30):
            keeper._keep(state(count))
            clock.now += 1
    assert "no checkpoint" in caplog.text
    with begun(Checkpoints(tmp_path / "a")) as keeper:
        keeper.at(0, 0, 0)(state(0))
        assert (tmp_path / "a").exists()


def test_a_budget_says_how_long_it_takes(clock, written) -> None:
    for seconds in (60.0, 600.0):
        with begun(
            Checkpoints(), passes=(10**5, 10**5), left=lambda s=seconds: s - clock.now + 1000.0
        ) as keeper:
            clock.now = 1000.0
            keeper.begin(keeper._course)
            for count in range(5):
                keeper.at(0, 0, 0)(state(count))
                clock.now += 11
            assert bool(written) == (seconds > 120)


def test_the_name_tells_when(clock) -> None:
    assert Checkpoints(wanted=False).path.name.startswith(time.strftime("%Y%m"))
