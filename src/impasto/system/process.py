"""What holds for this process before torch is loaded, and after it was forked. No torch here."""

import contextlib
import os
import sys
from collections.abc import Iterator

from impasto.errors import ResourceError

# Rounds that a thread of GNU's OpenMP waits for others before it sleeps. By default it is a millisecond,
# which costs other programs, such as a second impasto, half of the processor: see docs/performance.md.
SPINS = "3000"
_limited = False  # whether that was set before torch was loaded
_computed_in: int | None = None  # the process in which pictures were opened or painted first


def limit_spinning() -> bool:
    """Let torch's threads sleep soon; without effect once it is loaded. Returns whether it was set."""
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ):
        return False
    global _limited
    _limited = _limited or "torch" not in sys.modules
    os.environ["GOMP_SPINCOUNT"] = SPINS
    return True


def waiting_threads_spin() -> bool:
    """Whether threads of torch that wait may keep the processor: torch came first, or not GNU's OpenMP."""
    return sys.platform != "linux" or not (_limited or "GOMP_SPINCOUNT" in os.environ)


@contextlib.contextmanager
def spinning_limited() -> Iterator[None]:
    """Let the threads of torch sleep soon if the block loads it; the environment stays as it was."""
    was_set = "torch" not in sys.modules and limit_spinning()
    try:
        yield
    finally:
        if was_set:
            os.environ.pop("GOMP_SPINCOUNT", None)


def refuse_fork() -> None:
    """Note that this process opens or paints pictures.

    Raises:
        ResourceError: It was forked from a process that did so. Threads do not survive a fork, so libvips and
            torch would wait for theirs without end.
    """
    global _computed_in
    if _computed_in is None:
        _computed_in = os.getpid()
    elif _computed_in != os.getpid():
        raise ResourceError(
            "this process was forked from one that had used impasto, and cannot; start processes with "
            'multiprocessing.get_context("spawn"), or use impasto only after the fork'
        )
