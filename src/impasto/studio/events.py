"""Events for pages: a short memory with numbers, from which each stream continues where it stood."""

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

KEPT = 2000  # events in memory
APART = 0.2  # seconds between two events about the progress of a job
GATHER = 0.03  # seconds in which events are gathered, to be sent together
SILENCE = 15.0  # seconds after which a stream sends a comment, so that both ends know it lives


class Events:
    """The events of one server, for any number of streams. All calls are made on the event loop."""

    def __init__(self) -> None:
        self.server = secrets.token_hex(4)
        self.streams = 0
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=KEPT)  # numbers, and what is sent
        self._last = 0
        self._news = asyncio.Event()
        self._sent: dict[tuple[str, str], float] = {}  # when the last one of a job went out
        self._held: dict[tuple[str, str], asyncio.TimerHandle] = {}
        self._closed = False

    def publish(self, kind: str, data: Mapping[str, Any]) -> None:
        """Send an event now."""
        self._last += 1
        self._kept.append((self._last, self._text(self._last, kind, json.dumps(data))))
        self._news.set()
        self._news = asyncio.Event()

    def publish_some(self, kind: str, job: str, data: Mapping[str, Any]) -> None:
        """Send an event about a job's progress; of many in a short time only some, but the last one."""
        key, loop = (kind, job), asyncio.get_running_loop()
        wait = self._sent.get(key, 0.0) + APART - loop.time()
        if handle := self._held.pop(key, None):
            handle.cancel()
        if wait <= 0:
            self._sent[key] = loop.time()
            self.publish(kind, data)
            return

        def later() -> None:
            self._held.pop(key, None)
            self._sent[key] = loop.time()
            self.publish(kind, data)

        self._held[key] = loop.call_later(wait, later)

    def ended(self, job: str) -> None:
        """Forget what is held about a job: what follows says more."""
        for kind in ("job", "preview"):
            self._sent.pop((kind, job), None)
            if handle := self._held.pop((kind, job), None):
                handle.cancel()

    def close(self) -> None:
        """End all streams."""
        self._closed = True
        self._news.set()

    async def stream(self, last: str | None) -> AsyncIterator[bytes]:
        """Yield events in the form of `text/event-stream`, after the one with the id `last` if it is known.

        The first one is `hello`; its `missed` says that some are lost, so that lists are to be read anew.
        """
        server, _, number = (last or "").partition("-")
        known = server == self.server and number.isdecimal() and len(number) < 16
        at = int(number) if known else self._last
        first = self._kept[0][0] if self._kept else self._last + 1
        missed = bool(last) and not (known and first - 1 <= at <= self._last)
        at = self._last if missed else at
        self.streams += 1
        try:
            yield self._text(at, "hello", json.dumps({"server": self.server, "missed": missed}))
            while not self._closed:
                news = self._news
                if self._kept and self._kept[0][0] > at + 1:  # a slow reader: some are gone
                    at = self._last
                    yield self._text(at, "hello", json.dumps({"server": self.server, "missed": True}))
                if new := self._last - at:
                    at = self._last
                    yield b"".join(self._kept[number][1] for number in range(-new, 0))
                try:
                    async with asyncio.timeout(SILENCE):
                        await news.wait()
                    await asyncio.sleep(GATHER)
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            self.streams -= 1

    def _text(self, number: int, kind: str, data: str) -> bytes:
        return f"id: {self.server}-{number}\nevent: {kind}\ndata: {data}\n\n".encode()
