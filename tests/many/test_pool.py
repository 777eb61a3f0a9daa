"""Painting processes that die: once, again, with half the memory, while they begin; none is left behind."""

import sys
from pathlib import Path

import psutil
import pytest

from impasto.errors import ResourceError
from impasto.many import pool as module
from impasto.system import load
from many.helping import files, make_photo


def again(events) -> list[str]:
    return [e["message"] for e in events if e["event"] == "failed" and e["error"] == "again"]


def started(events, name: str) -> list[str]:
    return [e.get("memory", "all") for e in events if e["event"] == "started" and e["file"].startswith(name)]


def test_the_picture_of_a_killed_process_is_painted_once_more(paint) -> None:
    make_photo("photos/once.png")
    done, events = paint()
    assert (done.made, done.failures) == (4, 0)
    assert again(events) == ["the painting process was killed (SIGKILL)"]
    assert started(events, "once") == ["all", "all"]


def test_then_with_half_the_memory(paint) -> None:
    make_photo("photos/whole.png")
    done, events = paint()
    assert (done.made, done.failures) == (4, 0)
    assert started(events, "whole") == ["all", "all", "1/2"]


def test_at_once_with_half_where_memory_ran_out(paint, monkeypatch) -> None:
    counts = iter(range(100))
    monkeypatch.setattr(module, "oom_kills", lambda: next(counts))
    make_photo("photos/whole.png")
    make_photo("photos/memory.png")
    done, events = paint()
    assert (done.made, done.failures) == (5, 0)
    assert started(events, "whole") == ["all", "1/2"]
    assert started(events, "memory") == ["all", "1/2"]


def test_then_it_is_reported_and_the_others_are_painted(paint) -> None:
    make_photo("photos/dies.png")
    done, events = paint()
    assert (done.made, done.failures) == (3, 1)
    assert started(events, "dies") == ["all", "all", "1/2"]
    assert "killed (SIGKILL), also with half the memory" in done.failed[0].message
    assert files() == ["a-style.png", "b-style.png", "c-style.png"]


def test_processes_that_cannot_begin_end_the_batch(paint, monkeypatch) -> None:
    monkeypatch.setattr(module, "COMMAND", [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(ResourceError, match=r"ends while it begins \(exit code 3\), 3 times"):
        paint()


def test_no_process_is_left(paint) -> None:
    before = set(psutil.Process().children())
    paint()
    left = set(psutil.Process().children()) - before
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []


def test_kills_by_the_kernel_are_counted_in_both_versions_of_control_groups(tmp_path, monkeypatch) -> None:
    membership = tmp_path / "cgroup"
    monkeypatch.setattr(load, "_CGROUPS", tmp_path)
    monkeypatch.setattr(load, "_MEMBERSHIP", membership)
    assert load.oom_kills() == 0
    membership.write_text("0::/mine\n")
    Path(tmp_path, "mine").mkdir()
    Path(tmp_path, "mine", "memory.events").write_text("low 0\noom 4\noom_kill 3\n")
    assert load.oom_kills() == 3
    membership.write_text("5:cpu:/x\n4:memory:/mine\n")
    Path(tmp_path, "memory", "mine").mkdir(parents=True)
    Path(tmp_path, "memory", "mine", "memory.oom_control").write_text("oom_kill_disable 0\noom_kill 7\n")
    assert load.oom_kills() == 7
