"""The painting process: it keeps network and paintings ready and paints one job at a time.

A job of a smaller rank (a draft before a full run) is painted inside the running one, between two of its
evaluations; that one then continues in memory to the same bytes. Requests and answers are lines; see `lines`.
"""

import contextlib
import itertools
import logging
import math
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.errors import End, ImpastoError, InputError, ResourceError, Stop
from impasto.image.picture import Picture
from impasto.inputs.open import open_inputs
from impasto.inputs.pictures import Inputs
from impasto.inputs.shared import Shared
from impasto.network.weights import store
from impasto.studio.workers import film as films
from impasto.studio.workers import plain
from impasto.studio.workers.decoder import failure
from impasto.system import hardware
from impasto.system.files import publish
from impasto.system.lines import Message, connected, end_with_parent
from impasto.system.torch_defaults import torch_defaults
from impasto.transfer.callbacks.checkpoint_file import read as read_checkpoint
from impasto.transfer.callbacks.checkpoints import Checkpoints
from impasto.transfer.estimate import estimate
from impasto.transfer.reproduce import FoundInputs
from impasto.transfer.result import Result, Step
from impasto.transfer.resume import Unfinished
from impasto.transfer.run import Run
from impasto.transfer.runtime import resolve
from impasto.transfer.speed import note
from impasto.transfer.stylize import complete
from impasto.videos.frames import FilmRun

KEPT = 1_000_000_000  # bytes kept between two jobs, beside the network
PICTURES = 12  # opened ones that are kept
BEAT = 1.0  # seconds between two signs of life
FRESH = 0.18  # seconds between two previews, at least
SHARE = 0.1  # of the time that previews may take
LIVE = 0.4  # likewise, of a draft, which is there to be seen
EDGE = 1024  # px; long edge of a preview, at most
NICE = 5  # how much lower its priority is than the server's
ENDED = {"pause": End.INTERRUPTED, "leave": End.INTERRUPTED, "stop": End.STOP, "cancel": End.STOP}


@dataclass
class Job:
    """One request to paint, and what is known of it while it is painted."""

    request: Message
    wish: str = ""  # pause, stop, cancel or leave
    best: float = float("inf")  # the least loss at this scale
    scale: int = 0
    version: int = 0
    due: float = 0.0  # when the next preview may be made
    away: float = 0.0  # seconds in which others were painted inside it
    began: float | None = None  # seconds of the run at its first evaluation here
    empty: bool = False  # a film without a frame: a stop waits for its first

    @property
    def rank(self) -> int:
        """Its place in the order: a smaller one goes first."""
        return int(self.request["rank"])


class Painter:
    """Paints the jobs that the server sends."""

    def __init__(self, send: Callable[[Message], None], runtime: Runtime) -> None:
        self._send, self._runtime = send, runtime
        self._waiting: queue.PriorityQueue[tuple[int, int, Job]] = queue.PriorityQueue()
        self._numbers = itertools.count()  # of requests: of equal rank, the oldest goes first
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._shared = Shared(KEPT, photos=False)
        self._loaded: dict[str | None, Any] = {}
        self._pictures: dict[str, Picture] = {}

    # --- requests, which a thread of its own reads --------------------------------------------------

    def take(self, request: Message) -> None:
        """Note a request: one to paint or to estimate, or a wish about a job."""
        with self._lock:
            if "wish" in request:
                if job := self._jobs.get(request["job"]):
                    job.wish = request["wish"]
                return
            job = Job(request, wish=request.get("wish_now", ""), version=request.get("version", 0))
            self._jobs[request["job"]] = job
            self._waiting.put((job.rank, next(self._numbers), job))

    def work(self) -> None:
        """Paint, one job after the other, for good."""
        if self._waiting.empty():
            with contextlib.suppress(ImpastoError):  # the first job will say what is wrong
                self._warm()
        while True:
            self._do(self._waiting.get()[2])

    def _do(self, job: Job) -> None:
        try:
            answer = self._estimate(job) if job.request["do"] == "estimate" else self._paint(job)
        except Exception as error:
            answer = {"event": "failed", **_failure(error)}
        with self._lock:
            self._jobs.pop(job.request["job"], None)
        self._send({**answer, **_place(job)})

    # --- one job ------------------------------------------------------------------------------------

    def _paint(self, job: Job) -> Message:
        if job.wish in ("pause", "leave", "cancel"):  # before it began
            return {"event": "ended", "how": job.wish}
        with contextlib.suppress(Stop):
            if job.request["film"]:
                return self._film(job)
            result = self._result(job)
            return _saved(job, result) if job.wish != "cancel" else {"event": "ended", "how": "cancel"}
        return {"event": "ended", "how": job.wish or "cancel"}  # before its first evaluation

    @torch_defaults()
    def _result(self, job: Job) -> Result:
        """Run a job, from its checkpoint if it has one."""
        request = job.request
        settings, on_part = Settings(**request["settings"]), lambda: self._between(job, on_part=True)
        photo, protect = self._picture(request["photo"]), self._maybe(request["protect"])
        start = self._maybe(request["init_picture"])
        styles = self._styles(request)

        def on_step(step: Step) -> None:
            self._step(job, step)

        inputs = open_inputs(photo, styles, settings, start, protect)
        if unfinished := _unfinished(request["checkpoint"]):
            found = FoundInputs(inputs.content, tuple(styles), start, (), inputs.protect)
            with unfinished.checkpoints:
                return unfinished.complete(found, on_step=on_step, on_part=on_part)
        path = request["checkpoint"]
        with Checkpoints(path, force=True, listed=False, enabled=path is not None) as checkpoints:
            return complete(self._run(inputs, settings, on_part), checkpoints, on_step)

    def _planned(self, job: Job) -> FilmRun:
        """Return the film of a job, with the network that is kept ready."""
        request = job.request
        named, protect = request["settings"]["weights"], self._maybe(request["protect"])
        if named not in self._loaded:
            self._shared.clear()
        run = films.plan(request, self._styles(request), protect, self._runtime, self._loaded.get(named))
        self._loaded = {named: run.painter.weights}
        return run

    def _film(self, job: Job) -> Message:
        """Paint a film, from the frames that it has; drafts go first between two evaluations of a frame."""
        run = self._planned(job)
        pace = films.Pace(run, lambda: job.away)
        began = time.monotonic()

        def between(on_part: bool) -> None:
            job.empty = not run.folder.state.done
            self._between(job, on_part=on_part)

        def on_step(step: Step) -> None:
            progress = {**_progress(job, step), **pace.progress(step)}
            self._send({"event": "step", "progress": progress, **_place(job)})
            self._show(job, step)

        stopped = films.paint(run, job.request["film"]["name"], on_step, between)
        seconds = time.monotonic() - began - job.away
        if stopped and job.wish != "stop":
            return {"event": "ended", "how": job.wish or "leave"}
        made = films.finish(run, job.request, stopped)
        if made is None or job.wish == "cancel":
            return {"event": "ended", "how": "cancel"}
        facts, first = made
        with contextlib.suppress(OSError, ImpastoError):
            _publish_preview(job, first)
        result = {**facts, "seconds": round(seconds, 2)}
        how = "stop" if stopped else "done"
        return {"event": "ended", "how": how, "result": result, "version": job.version + 1}

    def _run(self, inputs: Inputs, settings: Settings, on_part: Callable[[], None] | None = None) -> Run:
        """Return a run with what is kept ready: the network, and what paintings gave before."""
        runtime, named = resolve(self._runtime, settings), settings.weights
        if named not in self._loaded:
            self._shared.clear()
        run = Run(inputs, settings, runtime, self._loaded.get(named), shared=self._shared, on_part=on_part)
        self._loaded = {named: run.weights}
        return run

    @torch_defaults()
    def _warm(self) -> None:
        """Load the network and choose its ways to compute, by painting a tiny picture that nobody sees."""
        tiny = Picture.from_tensor(torch.linspace(0, 1, 3 * 32 * 32).view(1, 3, 32, 32))
        settings = Settings(size=32, min_size=32, evaluations=1)
        complete(self._run(open_inputs(tiny, [tiny], settings, None), settings))

    def _styles(self, request: Message) -> list[Style]:
        """Return the paintings of a request, with their shares and masks."""
        return [
            Style(self._picture(item["picture"]), item["weight"], self._maybe(item["mask"]))
            for item in request["styles"]
        ]

    def _maybe(self, path: str | None) -> Picture | None:
        """Return a picture that a job may have, or None."""
        return None if path is None else self._picture(path)

    def _picture(self, path: str) -> Picture:
        """Return a picture by its file of plain pixels; the last few are kept."""
        picture = self._pictures.pop(path, None) or opened(Path(path))
        self._pictures[path] = picture
        while len(self._pictures) > PICTURES:
            self._pictures.pop(next(iter(self._pictures)))
        return picture

    def _step(self, job: Job, step: Step) -> None:
        """After an evaluation: say where the run stands, show a better picture, do what came in."""
        total = step.losses["total"]
        if step.scale != job.scale:
            job.scale, job.best = step.scale, float("inf")
        if job.began is None:
            job.began = step.seconds
        better = total < job.best
        job.best = min(job.best, total)
        self._send({"event": "step", "progress": _progress(job, step), **_place(job)})
        if better:
            self._show(job, step)
        self._between(job)

    def _show(self, job: Job, step: Step) -> None:
        """Show a picture, if the one before has been there for a while."""
        now = time.monotonic()
        if now >= job.due:
            with contextlib.suppress(ResourceError):  # a full disk does not end the run
                _publish_preview(job, step.picture())
                job.version += 1
                self._send({"event": "preview", "version": job.version, **_place(job)})
            share = LIVE if job.request["settings"]["quality"] == "instant" else SHARE
            job.due = time.monotonic() + max(FRESH, (time.monotonic() - now) / share)

    def _between(self, job: Job, *, on_part: bool = False) -> None:
        """Between two evaluations, paint what goes first; then end the run if that is wished."""
        began = time.monotonic()
        while not on_part and (other := self._before(job)) is not None:
            self._do(other)
        job.away += time.monotonic() - began
        if job.wish and not (job.wish == "stop" and (on_part or job.empty)):
            raise Stop(ENDED[job.wish])

    def _before(self, job: Job) -> Job | None:
        """Return a waiting job that goes before this one."""
        with contextlib.suppress(queue.Empty):
            entry = self._waiting.get_nowait()
            if entry[0] < job.rank:
                return entry[2]
            self._waiting.put(entry)
        return None

    def _estimate(self, job: Job) -> Message:
        """Measure what a run would take."""
        request = job.request
        if request["film"]:
            return films.estimated(self._planned(job))
        settings = Settings(**request["settings"])
        settings = settings.changed(init="content") if settings.init == "picture" else settings
        styles = self._styles(request)
        photo, protect = self._picture(request["photo"]), self._maybe(request["protect"])
        inputs = open_inputs(photo, styles, settings, None, protect)
        costs = estimate(inputs, settings, resolve(self._runtime, settings))
        full = costs.scales[-1]
        size = {"width": full.width, "height": full.height}
        return {"event": "estimate", "seconds": round(costs.seconds, 1), "memory": costs.memory, **size}


def opened(path: Path) -> Picture:
    """Return a file of plain pixels as the picture that its upload is."""
    found = plain.read(path)
    return Picture(found.name, "file", found.pixels, found.info, found.sha256, found.file_bytes)


def _unfinished(path: str | None) -> Unfinished | None:
    """Return the run that a checkpoint holds; None without one, or if it cannot be continued."""
    if path is None or not Path(path).is_file():
        return None
    try:
        checkpoint = read_checkpoint(Path(path))
        checkpoints = Checkpoints(path, resumed=True, listed=False)
        return Unfinished(checkpoint.header, checkpoint.state(), checkpoints)
    except InputError as error:  # of another version: the run begins anew
        logging.getLogger(__name__).warning("begins anew: %s", error)
        return None


def _place(job: Job) -> Message:
    return {"job": job.request["job"], "token": job.request["token"]}


def _progress(job: Job, step: Step) -> Message:
    remaining, here = step.remaining, step.seconds - (job.began or 0.0)
    if remaining is not None and here > 0:  # what was painted inside it does not repeat
        remaining *= max(0.0, here - job.away) / here
    return {
        "scale": step.scale,
        "scales": step.scales,
        "evaluation": step.evaluations,
        "evaluations": step.planned,
        "width": step.width,
        "height": step.height,
        "loss": _finite(step.losses["total"]),
        "content_loss": _finite(step.losses.get("content")),
        "style_loss": _finite(step.losses.get("style")),
        "seconds": round(step.seconds - job.away, 2),
        "remaining_seconds": None if remaining is None else round(remaining, 1),
    }


def _finite(value: float | None) -> float | None:
    """Return a number that JSON knows."""
    return value if value is not None and math.isfinite(value) else None


def _publish_preview(job: Job, picture: Picture) -> None:
    small = picture if max(picture.width, picture.height) <= EDGE else picture.thumbnail(EDGE)
    data = small.encode(".jpg", bits=8, metadata="strip", jpeg_quality=90)
    publish(job.request["preview"], data, overwrite=True)


def _saved(job: Job, result: Result) -> Message:
    """Write the result of a run that ended, or say that it waits in its checkpoint."""
    if job.wish in ("pause", "leave") and result.stopped == End.INTERRUPTED:
        return {"event": "ended", "how": job.wish}
    picture = result.picture
    found = plain.Plain(
        picture.name, picture._pixels, picture._info, recipe=result._line(), page=picture._page
    )
    plain.write(Path(job.request["result"]), found)
    with contextlib.suppress(OSError, ImpastoError):
        _publish_preview(job, picture)
        note(result.recipe)
    facts = {
        "width": picture.width,
        "height": picture.height,
        "seconds": round(result.seconds - job.away, 2),
        "losses": {n: _finite(v) for n, v in result.recipe.losses.items() if "." not in n},
        "note": result.fault or None,
    }
    how = "stop" if result.stopped == End.STOP else "done"
    return {"event": "ended", "how": how, "result": facts, "version": job.version + 1}


def _failure(error: Exception) -> Message:
    if hardware.no_memory(error):
        return {"error": "ResourceError", "detail": "not enough memory; give a smaller size"}
    return failure(error)


def main() -> None:
    """Paint until the server ends."""
    end_with_parent()
    with contextlib.suppress(OSError, AttributeError):
        os.nice(NICE)
    logging.getLogger("impasto").setLevel(logging.ERROR)
    requests, send = connected()
    painter = Painter(send, Runtime(**next(requests)["runtime"]))

    def read() -> None:
        for request in requests:
            painter.take(request)
        os.kill(os.getpid(), signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)

    def beat() -> None:
        while True:
            time.sleep(BEAT)
            send({"event": "beat"})

    for target in (read, beat):
        threading.Thread(target=target, daemon=True).start()
    weights = store.full_name(store.PACKAGED)
    send({"event": "ready", "devices": hardware.devices(), "weights": weights})
    painter.work()


if __name__ == "__main__":
    main()
