"""The pipe between the server and a worker: one JSON object a line in both directions. No torch here."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

Message = dict[str, Any]


def connected() -> tuple[Iterator[Message], Callable[[Message], None]]:
    """Return the server's requests, which end when it does, and a function that sends an answer.

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
