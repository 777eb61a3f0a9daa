"""What other processes and quotas leave of the processors."""

import math
from types import SimpleNamespace

import psutil
import pytest

from impasto.system import load, process


def groups(monkeypatch, folder, membership: str, **files: str) -> None:
    """Let this process belong to control groups, with files by path; `__` stands for a slash."""
    monkeypatch.setattr(load, "_CGROUPS", folder / "cgroup")
    monkeypatch.setattr(load, "_MEMBERSHIP", folder / "membership")
    (folder / "membership").write_text(membership)
    for name, text in files.items():
        path = folder / "cgroup" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_quota_of_version_2_and_of_the_groups_above(monkeypatch, tmp_path) -> None:
    groups(monkeypatch, tmp_path, "0::/a/b\n", cpu_dot_max="max 100000\n", a__cpu_dot_max="150000 100000\n")
    assert load.quota() == 1.5
    groups(monkeypatch, tmp_path, "0::/a/b\n", a__b__cpu_dot_max="50000 100000\n")
    assert load.quota() == 0.5
    groups(monkeypatch, tmp_path, "0::/elsewhere\n")  # of the host, seen from a container
    assert load.quota() == math.inf


def test_quota_of_version_1(monkeypatch, tmp_path) -> None:
    names = {
        "cpu,cpuacct__a__cpu_dot_cfs_quota_us": "250000",
        "cpu,cpuacct__a__cpu_dot_cfs_period_us": "100000",
    }
    text = "12:pids:/\n4:cpu,cpuacct:/a/b\n1:name=systemd:/x:y\n0::/\n"
    groups(monkeypatch, tmp_path, text, **names)
    assert load.quota() == 2.5
    groups(monkeypatch, tmp_path, text, **{"cpu,cpuacct__a__cpu_dot_cfs_quota_us": "-1"})
    assert load.quota() == math.inf


def test_no_control_groups(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(load, "_MEMBERSHIP", tmp_path / "none")
    assert load.quota() == math.inf
    groups(monkeypatch, tmp_path, "0::/\n", cpu_dot_max="odd\n")
    assert load.quota() == math.inf


@pytest.fixture
def clock(monkeypatch):
    """Time, what all processes have used, and this one; to be changed."""
    now = SimpleNamespace(time=0.0, all=0.0, own=0.0)
    times = lambda: SimpleNamespace(_asdict=lambda: {"user": now.all, "guest": 1.0, "idle": 9.0})  # noqa: E731
    monkeypatch.setattr(load.psutil, "cpu_times", times)
    monkeypatch.setattr(load.time, "perf_counter", lambda: now.time)
    monkeypatch.setattr(load.time, "process_time", lambda: now.own)
    monkeypatch.setattr(load.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(load, "_load", load.Load())
    return now


@pytest.mark.parametrize(
    ("others", "own", "threads", "expected"),
    [
        (0.0, 3.0, 4, False),
        (0.4, 1.0, 4, False),
        (1.0, 1.0, 4, True),
        (1.0, 1.0, 3, False),
        (4.0, 0.0, 1, True),
        (3.0, 1.0, 2, True),
    ],
)
def test_crowded(clock, others, own, threads, expected) -> None:
    clock.time, clock.own, clock.all = 2.0, 2 * own, 2 * (own + others)
    assert load.crowded(threads) is expected


def test_the_load_is_that_since_it_was_looked_at_last(clock) -> None:
    clock.time, clock.all = 10.0, 40.0
    assert load.crowded(4)
    clock.time = 11.0
    assert not load.crowded(4)
    clock.time, clock.all = 11.01, 40.04  # too short a time
    assert not load.crowded(4)


@pytest.mark.parametrize("error", [psutil.AccessDenied(), OSError(), RuntimeError()])
def test_a_load_that_is_unknown_is_none(clock, monkeypatch, error) -> None:
    def fail():
        raise error

    monkeypatch.setattr(load.psutil, "cpu_times", fail)
    clock.time = 1.0
    assert not load.crowded(4)
    monkeypatch.setattr(load, "_load", load.Load())
    assert not load.crowded(4)


def test_threads_spin_where_torch_came_first(monkeypatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setattr(process, "_limited", False)
    monkeypatch.setattr(process.sys, "platform", "linux")
    assert process.waiting_threads_spin()
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    assert not process.waiting_threads_spin()
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setattr(process, "_limited", True)
    assert not process.waiting_threads_spin()
    monkeypatch.setattr(process.sys, "platform", "darwin")
    assert process.waiting_threads_spin()
