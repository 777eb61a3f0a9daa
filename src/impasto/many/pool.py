"""The painting processes of a batch: started, spoken to, replaced when they die. No torch here.

What a pool does for the driver is `Pool`; `many/rays.py` has the one for a cluster.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from impasto.errors import (
    ImpastoError,
    InputError,
    NumericalError,
    OutputError,
    PictureError,
    ResourceError,
    SettingsError,
    WeightsError,
)
from impasto.system.lines import Message
from impasto.system.load import oom_kills
from impasto.system.process import SPINS

COMMAND = [sys.executable, "-m", "impasto.many.worker"]  # what starts a painting process
DEATHS = 3  # of processes in a row, while they begin, that end a batch
ERRORS: dict[str, type[ImpastoError]] = {
    item.__name__: item
    for item in (
        *(InputError, SettingsError, PictureError, ResourceError, OutputError, WeightsError, NumericalError),
    )
}


@dataclass(frozen=True)
class Task:
    """A job as a worker gets it.

    Attributes:
        number: Of the job, for answers.
        photo: The path.
        look: The number of the look.
        target: Where the result goes.
        key: Of the job.
        overwrite: Whether a file that is there may be replaced.
        part: What the memory that the run may take is divided by.
        data: The bytes of the photo, where the worker cannot read it.
    """

    number: int
    photo: str
    look: int
    target: Path
    key: str
    overwrite: bool = False
    part: int = 1
    data: bytes | None = None


class Pool(Protocol):
    """What paints tasks; several at a time, in any order."""

    size: int  # workers

    def begin(self, request: Message) -> Message:
        """Start the workers; return what the first one answers: choices, number of workers, machine."""

    def agree(self, choices: Sequence[Mapping[str, Any]]) -> None:
        """Let all workers compute with these choices."""

    def has_room(self) -> bool:
        """Whether a task can be sent now."""

    def send(self, task: Task) -> int:
        """Send a task; return the number of the worker."""

    def wait(self, seconds: float) -> list[Message]:
        """Return what happened, at the latest after so many seconds; each has `job` and `worker`."""

    def stop(self) -> None:
        """Let the tasks at work end after their evaluation; each is answered."""

    def close(self) -> None:
        """End the workers."""


class Process:
    """One painting process; a thread of its own reads its answers."""

    def __init__(
        self,
        number: int,
        command: Sequence[str],
        answers: "queue.SimpleQueue[tuple[Process, Message | None]]",
    ) -> None:
        self.number, self.ready = number, False
        self.job: int | None = None
        environment = dict(os.environ)
        if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(environment):
            environment["GOMP_SPINCOUNT"] = SPINS
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C does not reach it
        )
        self._reader = threading.Thread(target=self._read, args=(answers,), daemon=True)
        self._reader.start()

    def _read(self, answers: "queue.SimpleQueue[tuple[Process, Message | None]]") -> None:
        assert self._child.stdout is not None
        with contextlib.suppress(ValueError, OSError), self._child.stdout as lines:
            for line in lines:
                answers.put((self, json.loads(line)))
        answers.put((self, None))

    @property
    def pid(self) -> int:
        """The number that the system gave it."""
        return self._child.pid

    def send(self, message: Message) -> None:
        """Send a request; of a dead process, the end of its answers tells."""
        assert self._child.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._child.stdin.write(json.dumps(message).encode() + b"\n")
            self._child.stdin.flush()

    def end(self) -> str:
        """Kill it if it lives, and return how it ended."""
        with contextlib.suppress(OSError):
            assert self._child.stdin is not None
            self._child.stdin.close()
        with contextlib.suppress(OSError):
            self._child.kill()
        code = self._child.wait()
        self._reader.join()
        if code >= 0:
            return f"exit code {code}"
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
        return f"signal {-code}"


class Processes:
    """A pool of processes on this machine; a dead one is replaced.

    Args:
        command: What starts a process; the painting one by default.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = command or COMMAND
        self._answers: queue.SimpleQueue[tuple[Process, Message | None]] = queue.SimpleQueue()
        self._all: list[Process] = []
        self._request: Message = {}
        self._devices: list[str] = []
        self._deaths, self._killed = 0, oom_kills()
        self.size = 0

    @property
    def pids(self) -> list[int]:
        """The numbers of the processes."""
        return [process.pid for process in self._all]

    def begin(self, request: Message) -> Message:
        """Start the first process; return what it answers.

        Raises:
            ImpastoError: It cannot begin.
        """
        self._request = {"do": "begin", **request}
        while True:
            answer = self._first()
            if answer is not None:
                break
        self.size, self._devices = answer["workers"] or request["workers"] or 1, answer["devices"]
        return answer

    def _first(self) -> Message | None:
        """Return what the first process answers; None if it dies, and may be started once more."""
        process = self._start()
        process.send(self._request)
        while True:
            sender, answer = self._answers.get()
            if answer is None and sender is process:
                self._died(process)
                return None
            if answer is not None and answer["event"] == "failed":
                raise error_of(answer)
            if answer is not None and answer["event"] == "ready":
                return answer

    def agree(self, choices: Sequence[Mapping[str, Any]]) -> None:
        """Let all processes compute with these choices; the others are started now."""
        self._request = {**self._request, "choices": list(choices), "agreed": True}
        self._all[0].send(self._request)
        for _ in range(1, self.size):
            self._prepare(self._start())

    def _prepare(self, process: Process) -> None:
        device = None
        if len(self._devices) > 1 and self._request["runtime"]["device"] in ("auto", "cuda"):
            device = self._devices[process.number % len(self._devices)]
        process.send({**self._request, "device": device})

    def _start(self) -> Process:
        used = {process.number for process in self._all}
        number = next(number for number in range(len(used) + 1) if number not in used)
        process = Process(number, self._command, self._answers)
        self._all.append(process)
        return process

    def _died(self, process: Process) -> str:
        """Note a death; return how it came."""
        self._all.remove(process)
        how = process.end()
        self._deaths += not process.ready
        if self._deaths >= DEATHS:
            raise ResourceError(
                f"the painting process ends while it begins ({how}), {DEATHS} times; see its message above, "
                "or give fewer --workers"
            )
        return how

    def has_room(self) -> bool:
        """Whether a process is free."""
        return any(process.ready and process.job is None for process in self._all)

    def send(self, task: Task) -> int:
        """Send a task to a free process; return its number."""
        process = next(process for process in self._all if process.ready and process.job is None)
        process.job = task.number
        request = {name: value for name, value in vars(task).items() if name not in ("number", "data")}
        process.send({"do": "paint", "job": task.number, **request, "target": str(task.target)})
        return process.number

    def wait(self, seconds: float) -> list[Message]:
        """Return what happened, at the latest after so many seconds."""
        try:
            process, answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            return []
        if process not in self._all:
            return []
        if answer is None:
            return self._replaced(process)
        if answer["event"] == "ready":
            process.ready, self._deaths = True, 0
            return []
        if answer["event"] == "failed" and answer["job"] is None:
            raise error_of(answer)
        if answer["event"] not in ("step", "stopped"):
            process.job = None
        return [{**answer, "worker": process.number}]

    def _replaced(self, process: Process) -> list[Message]:
        """Start a process in place of a dead one; return what became of its task."""
        how = self._died(process)
        before, self._killed = self._killed, oom_kills()
        self._prepare(self._start())
        if process.job is None:
            return []
        killed = {"event": "killed", "how": how, "memory": self._killed > before}
        return [{**killed, "job": process.job, "worker": process.number}]

    def stop(self) -> None:
        """Let the tasks at work end after their evaluation."""
        for process in self._all:
            process.send({"do": "stop"})

    def close(self) -> None:
        """End the processes at once: none has anything to lose."""
        for process in self._all:
            process.end()
        self._all = []


def error_of(answer: Message) -> ImpastoError:
    """Return the error that a worker answered."""
    return ERRORS.get(answer["error"], ImpastoError)(answer["detail"])
