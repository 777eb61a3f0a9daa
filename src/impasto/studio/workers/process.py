"""A worker process as the server sees it: started, spoken to in lines, killed. No torch here."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from impasto.errors import ImpastoError, InputError, OutputError, PictureError, ResourceError, SettingsError
from impasto.errors import WeightsError as NoWeights

Message = dict[str, Any]
LONGEST = 1 << 24  # bytes of a line
ERRORS: dict[str, type[ImpastoError]] = {
    item.__name__: item
    for item in (InputError, SettingsError, PictureError, ResourceError, OutputError, NoWeights)
}
TITLES = {  # of errors, for people
    "SettingsError": "A setting is wrong",
    "PictureError": "The picture cannot be used",
    "InputError": "The request is wrong",
    "OutputError": "The disk is full",
    "ResourceError": "Not enough memory or disk",
    "WeightsError": "The network's weights are missing",
    "NumericalError": "The losses are not finite",
}


class Ended(Exception):
    """The process ended before it answered."""


class Process:
    """One child process. It has a session of its own, so that Ctrl-C does not reach it."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self._child = child
        assert child.stdin is not None
        assert child.stdout is not None
        self._requests, self._answers = child.stdin, child.stdout

    @classmethod
    async def start(cls, command: Sequence[str]) -> "Process":
        """Start a program."""
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST,
            start_new_session=True,
        )
        return cls(child)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._child.pid

    def send(self, message: Message) -> None:
        """Send a request; nothing happens if the process is dead, of which `receive` tells."""
        with contextlib.suppress(OSError, RuntimeError):
            self._requests.write(json.dumps(message).encode() + b"\n")

    async def receive(self) -> Message:
        """Return the next answer.

        Raises:
            Ended: There is none any more.
        """
        try:
            line = await self._answers.readline()
            found: Message = json.loads(line)
        except (ValueError, OSError) as error:  # the end, or what is no line of ours
            raise Ended from error
        return found

    def kill(self) -> None:
        """End the process at once."""
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # not by `self._child`, which would reap it as well
                os.kill(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    async def reason(self) -> str:
        """Kill it if it lives, and return how it ended, in words."""
        self.kill()
        code = await self._child.wait()
        if code >= 0:
            return f"exit code {code}"
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
        return f"signal {-code}"


def module(name: str) -> list[str]:
    """Return the command that runs a module of this package."""
    return [sys.executable, "-m", f"impasto.studio.workers.{name}"]


def limits_that_hold() -> dict[str, str]:
    """Return what limits a process that reads uploads has here, by topic."""
    try:  # it says so when it begins, and ends with its input
        done = subprocess.run(module("decoder"), input=b"", capture_output=True, timeout=60, check=True)
        held: dict[str, str] = json.loads(done.stdout.splitlines()[0])["held"]
    except (OSError, ValueError, LookupError, subprocess.SubprocessError):
        return {"process": "it does not start"}
    return held


def error_of(answer: Message) -> ImpastoError:
    """Return the error that a worker answered."""
    return ERRORS.get(answer["error"], ImpastoError)(answer["detail"])


class Decoders:
    """Processes that read uploads and encode results, each one request at a time; a dead one is replaced."""

    def __init__(self, count: int, command: Sequence[str] | None = None, seconds: float = 60.0) -> None:
        self._command = command or module("decoder")
        self._seconds = seconds
        self._free: asyncio.Queue[Process | None] = asyncio.LifoQueue()  # one is started when it is needed
        for _ in range(count):
            self._free.put_nowait(None)
        self._all: set[Process] = set()
        self.held: dict[str, str] = {}  # limits that hold
        self.deaths = 0
        self.bugs: Callable[[Message], None] = lambda message: None

    async def _new(self) -> Process:
        process = await Process.start(self._command)
        self._all.add(process)
        async with asyncio.timeout(self._seconds):
            self.held = (await process.receive())["held"]
        return process

    async def ask(self, request: Message, name: str = "the picture") -> Message:
        """Return the answer to a request.

        Raises:
            ImpastoError: The request fails, or its process dies or takes too long.
        """
        process = await self._free.get()
        kept: Process | None = None
        try:
            process = process or await self._new()
            process.send(request)
            async with asyncio.timeout(self._seconds):
                answer = await process.receive()
            kept = process
        except TimeoutError as error:
            raise PictureError(
                f"{name}: reading or writing it took more than {self._seconds:g} s; give a smaller picture"
            ) from error
        except (Ended, OSError) as error:
            how = "" if process is None else f" ({await process.reason()})"
            raise PictureError(
                f"{name}: the process that reads pictures ended{how}; the file is damaged or takes too much "
                "memory: give another one"
            ) from error
        finally:
            if kept is None:
                self.deaths += 1
                if process is not None:
                    process.kill()
                    self._all.discard(process)
            self._free.put_nowait(kept)
        if "error" in answer:
            self.bugs(answer)
            raise error_of(answer)
        return answer

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes."""
        return [process.pid for process in self._all]

    async def close(self) -> None:
        """End them."""
        for process in self._all:
            process.kill()
            await process.reason()
