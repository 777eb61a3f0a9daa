"""What other processes and quotas leave of the processors to this one. No torch here."""

import contextlib
import math
import os
import time
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
SHORTEST = 0.03  # seconds over which the load of other processes means something
SOME = 0.5  # of a processor: what other processes may use without being in the way


def omp_threads() -> int | None:
    """Return the number of threads in `OMP_NUM_THREADS`; None if it has none."""
    text = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(text) if text.isdecimal() and int(text) else None


def quota() -> float:
    """Return how many processors the control groups of this process leave it; infinity without a limit.

    Every group above the process's own counts, too. Both versions of control groups are read.
    """
    least = math.inf
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:
        return least
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = Path(path)
        for part in (group, *group.parents):
            folder = _CGROUPS / controllers / str(part).lstrip("/")
            with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
                if controllers:  # version 1; -1 without a limit
                    limit = (folder / "cpu.cfs_quota_us").read_text()
                    period = (folder / "cpu.cfs_period_us").read_text()
                else:
                    limit, period = (folder / "cpu.max").read_text().split()
                if float(limit) > 0:
                    least = min(least, float(limit) / float(period))
    return least


def oom_kills() -> int:
    """Return how many processes of the control groups were killed because memory ran out; 0 if unknown.

    Both versions of control groups are read.
    """
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:
        return 0
    most = 0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        name = "memory.oom_control" if controllers else "memory.events"
        for folder in (_CGROUPS / controllers / path.lstrip("/"), _CGROUPS / controllers):
            with contextlib.suppress(OSError, ValueError):
                counts = dict(row.split() for row in (folder / name).read_text().splitlines())
                most = max(most, int(counts.get("oom_kill", 0)))
    return most


def _spent() -> tuple[float, float]:
    """Return the time now, and the processor seconds that all other processes have used so far.

    Raises:
        OSError: It cannot be known here.
        psutil.Error: The same.
    """
    times = psutil.cpu_times()._asdict()
    for idle in ("idle", "iowait", "guest", "guest_nice"):  # guests are in `user`, too
        times.pop(idle, None)
    return time.perf_counter(), sum(times.values()) - time.process_time()


class Load:
    """The load of the other processes since it was looked at last; the first time, since it was made."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self.others()

    def others(self) -> float:
        """Return how many processors the others used on average; 0 where that cannot be known."""
        try:
            now = _spent()
        except (OSError, psutil.Error, RuntimeError, NotImplementedError):
            return 0.0
        before, self._last = self._last, now
        if before is None or now[0] - before[0] < SHORTEST:
            return 0.0
        return max(0.0, (now[1] - before[1]) / (now[0] - before[0]))


_load = Load()


def crowded(threads: int) -> bool:
    """Whether other processes leave less of the processors than so many threads could use."""
    others = _load.others()
    return others > SOME and (os.cpu_count() or 1) - others < threads - SOME
