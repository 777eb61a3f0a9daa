"""A painting process of a batch: it reads photos, paints them and writes the results. One job at a time.

Requests and answers are lines; see `system/lines.py`. It ends with the process that started it.
"""

import contextlib
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from impasto.errors import ImpastoError, OutputError, Stop
from impasto.system.files import publish
from impasto.system.lines import Message, connected, end_with_parent
from impasto.system.process import limit_spinning

EVERY = 0.5  # seconds between two lines about the progress of a picture, at least


class Worker:
    """Answers the requests `begin`, `paint` and `stop`."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._requests: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._stopped = False
        self._said = 0.0
        self._painter: Any = None
        self._limits: Any = None
        self._device: str | None = None

    def take(self, request: Message) -> None:
        """Note a request; a stop counts at once."""
        self._stopped = self._stopped or request["do"] == "stop"
        self._requests.put(request)

    def work(self) -> None:
        """Answer requests, for good."""
        while True:
            request = self._requests.get()
            if request["do"] == "stop":
                self._send({"event": "stopped"})
                continue
            try:
                answer = self._begin(request) if request["do"] == "begin" else self._paint(request)
            except Stop:
                answer = {"event": "dropped"}
            except Exception as error:
                answer = failure(error)
            self._send({**answer, "job": request.get("job")})

    def _begin(self, request: Message) -> Message:
        """Prepare for the jobs of a batch; decide what the machine computes with unless that is known."""
        from impasto.many.jobs import BatchSpec
        from impasto.many.painter import Painter

        spec = BatchSpec.from_json(request["spec"], Path())
        self._limits, self._device = spec.limits, request.get("device")
        if self._painter is None:
            self._painter = Painter(spec.looks, spec.limits, spec.output, spec.suffix)
        return begun(self._painter, request)

    def _paint(self, request: Message) -> Message:
        from impasto.image.picture import Picture
        from impasto.many.done import ENDED
        from impasto.many.painter import Changed
        from impasto.many.photos import read_stable

        if self._stopped:
            raise Stop
        began = time.monotonic()
        data = read_stable(request["photo"], self._limits)
        photo = Picture.open(data, name=Path(request["photo"]).name, limits=self._limits)
        del data

        def on_step(step: Any) -> None:
            self._step(request["job"], step)

        try:
            result, encoded = self._painter.paint(
                request["look"], photo, request["key"], on_step, part=request["part"], device=self._device
            )
        except Changed:
            return {"event": "changed"}
        if result.stopped not in ENDED:
            raise Stop
        facts = {**facts_of(result), "seconds": round(time.monotonic() - began, 3)}
        return written(Path(request["target"]), encoded, facts, overwrite=request["overwrite"])

    def _step(self, job: int, step: Any) -> None:
        if self._stopped:
            raise Stop
        now = time.monotonic()
        if now - self._said >= EVERY:
            self._said = now
            done, planned = step.work
            share = round(done / planned, 4) if planned else 0.0
            self._send({"event": "step", "job": job, "share": share, "remaining": step.remaining})


def begun(painter: Any, request: Message) -> Message:
    """Let a painter decide what is not decided yet; return the answer to `begin`."""
    from impasto.config.runtime import Runtime
    from impasto.many.painter import Choice
    from impasto.system import hardware

    known = [
        Choice(**{**item, "runtime": Runtime(**item["runtime"])}) for item in request.get("choices") or ()
    ]
    count = 0
    if not request.get("agreed"):
        found, count = painter.resolve(Runtime(**request["runtime"]), request["workers"], request["jobs"])
        there = {(choice.convention, choice.weights) for choice in known}
        known += [choice for choice in found if (choice.convention, choice.weights) not in there]
    painter.use(known)
    device = str(known[0].runtime.device)
    return {
        "event": "ready",
        "choices": [choice.to_json() for choice in known],
        "workers": count,
        "devices": [name for name in hardware.devices() if name.startswith(device.partition(":")[0])],
        "machine": hardware.describe(device) | {"processor": hardware.processor()},
    }


def written(target: Path, data: bytes, facts: Message, *, overwrite: bool) -> Message:
    """Write a result; return the answer about it.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        publish(target, data, overwrite=overwrite)
    except OutputError:
        if os.path.lexists(target) and not overwrite:
            return {"event": "exists"}
        raise
    return {"event": "done", **facts}


def facts_of(result: Any) -> Message:
    """Return what the manifest keeps of a result."""
    losses = {name: value for name, value in result.recipe.losses.items() if "." not in name}
    size = {"width": result.picture.width, "height": result.picture.height}
    return {**size, "losses": losses, "stopped": result.stopped, "fault": result.fault}


def failure(error: Exception) -> Message:
    """Return the answer for an error: its class, a line, and what the batch does about it."""
    from impasto.system import hardware

    memory = hardware.no_memory(error) or (
        error.__cause__ is not None and hardware.no_memory(error.__cause__)  # type: ignore[arg-type]
    )
    known = isinstance(error, ImpastoError)
    text = (
        str(error) if known or memory else f"{type(error).__name__}: {error}; please report this bug of ours"
    )
    name = "ResourceError" if memory else type(error).__name__ if known else "bug"
    return {"event": "failed", "error": name, "detail": text, "memory": memory}


def main() -> None:
    """Work until the process that started this one ends."""
    end_with_parent()
    limit_spinning()
    requests, send = connected()
    logging.getLogger("impasto").setLevel(logging.ERROR)
    worker = Worker(send)

    def read() -> None:
        for request in requests:
            worker.take(request)
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=read, daemon=True).start()
    worker.work()


if __name__ == "__main__":
    main()
