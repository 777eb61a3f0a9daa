"""The pipe between a process and a worker that it started: one JSON object a line each way. No torch here."""

import ctypes
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

Message = dict[str, Any]
DIES_WITH_PARENT = 1  # of `prctl`, in prctl.h of Linux


def connected() -> tuple[Iterator[Message], Callable[[Message], None]]:
    """Return the requests of the process that started this one, which end when it does, and how to answer.

    They take standard input and output for themselves. What a library prints goes to standard error.
    """
    source, sink = os.fdopen(os.dup(0), "rb"), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(message: Message) -> None:
        left = memoryview(json.dumps(message).encode() + b"\n")
        with lock:
            while left:
                left = left[os.write(sink, left) :]

    return (json.loads(line) for line in source), send


def prctl(option: int, value: int) -> bool:
    """Set an option of this process, where the system is Linux; return whether it holds."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)


def end_with_parent() -> None:
    """Let this process be killed when the one that started it dies, where the system can do that."""
    prctl(DIES_WITH_PARENT, 9)
