import itertools
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from impasto.errors import InputError, OutputError
from impasto.optim.evaluation import Evaluation
from impasto.optim.lbfgs import LBFGS
from impasto.optim.tracking import Tracking
from impasto.transfer.callbacks import checkpoint_folder, checkpoints
from impasto.transfer.callbacks.checkpoint_file import read, write
from impasto.transfer.callbacks.checkpoint_folder import last
from impasto.transfer.callbacks.checkpoints import Checkpoints
from impasto.transfer.run_state import RunState
from transfer.callbacks.test_checkpoint_file import made, recipe


class Clock:
    """A clock that only goes on when told to."""

    def __init__(self, monkeypatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(checkpoints.time, "perf_counter", lambda: self.now)


class Run:
    """As much of a run as its checkpoints look at: an L-BFGS at its start, of 500 units of work in all."""

    def __init__(self, limits=(100, 100), left=None) -> None:
        self.limits, self.costs, self.seconds_left = limits, (1.0, 4.0), left or (lambda: None)
        self.state, self.extra_losses, self.recipe = RunState(), [], recipe
        self.stopped, self.reason = False, ""
        self.solver = LBFGS(torch.zeros(1, 3, 4, 5))
        self.solver.step(lambda canvas: Evaluation(1.0, canvas))

    def snapshot(self) -> RunState:
        return replace(self.state, solver=self.solver.state_dict())

    def iterate(self, own: Checkpoints, count: int, scale: int = 0) -> None:
        """Stand after so many evaluations of a scale, between two steps."""
        best = Evaluation(1.0, self.solver.canvas) if count else None
        tracking = Tracking(count, best, self.solver.canvas if count else None)
        self.state = RunState(scale=scale, tracking=tracking)
        own.on_iteration(self)

    def stop(self, own: Checkpoints, reason: str) -> None:
        self.stopped, self.reason = True, reason
        self.iterate_quietly(3)
        own.on_scale_end(self)

    def iterate_quietly(self, count: int) -> None:
        self.iterate(Checkpoints(enabled=False), count)


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

    monkeypatch.setattr(checkpoints, "write", noted)
    return times


def begun(own: Checkpoints, run: Run) -> Checkpoints:
    own.on_scale_start(run, None)
    return own


LONG_RUN = (10**6, 10**6)


def test_a_short_run_keeps_none_and_a_long_one_does(clock, written, cache) -> None:
    for seconds, expected in ((0.2, 0), (0.3, 1)):  # of 500 units in all: 100 s and 150 s
        run = Run()
        with begun(Checkpoints(), run) as own:
            for count in range(40):
                run.iterate(own, count)
                clock.now += seconds
            assert bool(written) == bool(expected)
            assert len(list(cache.glob("*.safetensors"))) == expected
        assert list(cache.glob("*")) == []  # finished


def test_writing_takes_two_percent_at_most(clock, written) -> None:
    began, run = clock.now, Run(LONG_RUN)
    with begun(Checkpoints(), run) as own:
        for count in range(4000):
            run.iterate(own, count)
            clock.now += 0.5
    assert 30 < len(written) < 45
    assert len(written) / (clock.now - began) <= 0.021
    assert min(b - a for a, b in itertools.pairwise(written)) >= 50


def test_a_named_file_is_there_at_once_and_stays(tmp_path, clock, written) -> None:
    path, run = tmp_path / "run.checkpoint", Run()
    with begun(Checkpoints(path), run) as own:
        run.iterate(own, 0)
        assert read(path).header.count == 0
        clock.now += 100
        run.iterate(own, 7, scale=1)
        assert (read(path).header.scale, read(path).header.count) == (1, 7)
    assert [item.name for item in tmp_path.glob("run*")] == ["run.checkpoint"]
    with pytest.raises(InputError, match="no unfinished run"):
        last()


def test_a_run_that_was_stopped_can_be_resumed_until_it_is_finished(clock, cache) -> None:
    run = Run()
    with begun(Checkpoints(), run) as own:
        run.stop(own, "interrupted")
        assert own.left
        assert own.resume_arguments == []
        with pytest.raises(InputError, match="no unfinished run"):
            last()  # for it is at work
    path = last()
    assert path.parent == cache
    with begun(Checkpoints(path, resumed=True), run) as own:
        with pytest.raises(InputError, match="at work in another process"):
            Checkpoints(path, resumed=True)
    assert list(cache.glob("*")) == []


def test_a_short_run_stopped_by_its_caller_leaves_nothing(cache) -> None:
    run = Run()
    with begun(Checkpoints(), run) as own:
        run.stop(own, "stop")
    assert not cache.exists() or list(cache.glob("*")) == []


def test_an_unfinished_one_elsewhere_is_known(tmp_path) -> None:
    path, run = tmp_path / "elsewhere.checkpoint", Run()
    with begun(Checkpoints(path), run) as own:
        run.stop(own, "stop")
        assert own.resume_arguments == [str(path)]
    assert last() == path
    path.unlink()
    with pytest.raises(InputError, match="no unfinished run"):
        last()


def test_an_error_leaves_the_checkpoint(tmp_path) -> None:
    run = Run()

    def failing() -> None:
        with begun(Checkpoints(tmp_path / "a"), run) as own:
            run.iterate(own, 0)
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
        Checkpoints(tmp_path / ("a" * 256))


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


def test_a_checkpoint_that_cannot_be_written_ends_no_run(tmp_path, clock, monkeypatch, caplog) -> None:
    def full(path, checkpoint) -> int:
        raise OutputError("no space left on device")

    monkeypatch.setattr(checkpoints, "write", full)
    run = Run(LONG_RUN)
    with begun(Checkpoints(), run) as own:
        for count in range(100):
            run.iterate(own, count)
            clock.now += 1
    assert caplog.text.count("no space left on device") == 1
    with pytest.raises(OutputError, match="no space"), begun(Checkpoints(tmp_path / "a"), run) as own:
        run.iterate(own, 0)


def test_a_cache_folder_that_cannot_be_written_is_no_error(tmp_path, cache, clock, caplog) -> None:
    cache.parent.parent.joinpath("cache").write_bytes(b"a file in the way")
    run = Run(LONG_RUN)
    with begun(Checkpoints(), run) as own:
        for count in range(30):
            run.iterate(own, count)
            clock.now += 1
    assert "no checkpoint" in caplog.text
    with begun(Checkpoints(tmp_path / "a"), run) as own:
        run.iterate(own, 0)
        assert (tmp_path / "a").exists()


def test_a_budget_says_how_long_it_takes(clock, written) -> None:
    for seconds in (60.0, 600.0):
        clock.now = 1000.0
        run = Run((10**5, 10**5), left=lambda s=seconds: s - clock.now + 1000.0)
        with begun(Checkpoints(), run) as own:
            for count in range(5):
                run.iterate(own, count)
                clock.now += 11
            assert bool(written) == (seconds > 120)


def test_the_name_tells_when(clock) -> None:
    assert Checkpoints(enabled=False).path.name.startswith(time.strftime("%Y%m"))


def test_disabled_it_writes_nothing(clock, written, cache) -> None:
    run = Run(LONG_RUN)
    with begun(Checkpoints(enabled=False), run) as own:
        for count in range(100):
            run.iterate(own, count)
            clock.now += 10
        run.stop(own, "interrupted")
        assert not own.left
    assert written == []
    assert not cache.exists()
