"""Keeps the painting process: sends it jobs, notes what it answers, starts it again when it dies.

A draft is sent while a full run is painted, which then waits in memory. No torch here.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from impasto.config.settings import Settings
from impasto.errors import ResourceError
from impasto.studio.checks import film_settings
from impasto.studio.events import Events
from impasto.studio.files import Files
from impasto.studio.store import LEASE, RANKS, Job, Store
from impasto.studio.workers.process import TITLES, Ended, Message, Process, error_of, module

BEAT = 2.0  # seconds between two notes of where a job stands
SWEEP = 10.0  # seconds between two looks for leases that are over
POINTS = 400  # of the curve of a job's losses, at most
LEAVE = 5.0  # seconds that a run has to write its checkpoint when the server ends
STARTS = 300.0  # seconds in which it has to load torch, on a machine with much else to do
LONGEST_WAIT = 30.0  # seconds before a painting process that dies at once is started again

log = logging.getLogger(__name__)


@dataclass
class Live:
    """What is known of a running job beyond its row, newest first known here."""

    job: Job
    progress: Message | None = None
    losses: list[list[float]] = field(default_factory=list)
    version: int = 0
    every: int = 1  # evaluations between two points of the curve
    changed: bool = False

    def step(self, progress: Message) -> None:
        """Note an evaluation."""
        self.progress, self.changed = progress, True
        if progress["evaluation"] % self.every or progress["loss"] is None:
            return
        self.losses.append([progress["evaluation"], progress["loss"]])
        if len(self.losses) > POINTS:
            self.every *= 2
            self.losses = [point for point in self.losses if point[0] % self.every == 0]


class Supervisor:
    """The one painting process and the jobs that are in it.

    Args:
        store: The jobs; used by `call` only.
        call: Runs a function of the store in its thread.
        show: Is called with each job that changed.
        runtime: Fields of `Runtime` for all jobs.
        command: The painting process; the package's own if None.
    """

    def __init__(
        self,
        store: Store,
        call: Callable[..., Awaitable[Any]],
        files: Files,
        events: Events,
        show: Callable[[Job], None],
        runtime: Message,
        command: Sequence[str] | None = None,
    ) -> None:
        self._store, self._call, self._files, self._events = store, call, files, events
        self._show, self._runtime, self._command = show, runtime, command or module("painter")
        self._process: Process | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._asked: dict[str, asyncio.Future[Message]] = {}
        self._work = asyncio.Event()
        self._closing = False
        self.live: dict[str, Live] = {}
        self.facts: Message | None = None  # devices and weights, once the process is ready
        self.deaths = 0
        self.refused = 0  # writes of leases that were over

    @property
    def pid(self) -> int | None:
        """The number of the painting process."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Begin."""
        for work in (self._keep, self._dispatch, self._beat):
            self._tasks.append(asyncio.create_task(self._always(work)))

    def wake(self) -> None:
        """Look for jobs: there is a new one."""
        self._work.set()

    async def wish(self, job: Job) -> Job:
        """Pass on what is wished for a running job, and return it as it is then.

        One that waits while another is painted inside it is cancelled at once; its painter leaves it later.
        """
        live = self.live.get(job.id)
        if live is None or live.job.token != job.token or job.state != "running":
            return job
        live.job = job
        if self._process is not None:
            self._process.send({"wish": job.wish or "", "job": job.id})
        if job.wish != "cancel" or job.rank == min(other.job.rank for other in self.live.values()):
            return job
        found: Job | None = await self._call(self._finish, job, "cancelled", live, None, None, 0)
        self._events.ended(job.id)
        self.live.pop(job.id, None)
        return found or job

    async def estimate(self, request: Message) -> Message:
        """Return what a job would take.

        Raises:
            ImpastoError: It cannot be painted, or the painting process does not run.
        """
        if self._process is None or self.facts is None:
            raise ResourceError("the painting process starts; try again in a few seconds")
        name = secrets.token_hex(8)
        future = self._asked[name] = asyncio.get_running_loop().create_future()
        self._process.send(
            {"do": "estimate", "job": name, "token": 0, "rank": 0, **self._pictures_of(request, name)}
        )
        try:
            async with asyncio.timeout(60):
                answer = await future
        except (TimeoutError, Ended) as error:
            raise ResourceError("the estimate could not be made now; try again later") from error
        finally:
            self._asked.pop(name, None)
        if "error" in answer:
            raise error_of(answer)
        return dict(answer)

    async def close(self) -> None:
        """Let the running jobs write their checkpoints, then end the process."""
        self._closing = True
        if self._process is not None:
            for job in list(self.live):
                self._process.send({"wish": "leave", "job": job})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE):
                    while self.live:
                        await asyncio.sleep(0.02)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._process is not None:
            await self._process.reason()

    # --- the process --------------------------------------------------------------------------------

    async def _always(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do some work until the server ends, whatever goes wrong, such as a full disk."""
        while not self._closing:
            try:
                await work()
            except Exception:
                log.exception("the studio tries again")
                await asyncio.sleep(1.0)
                self.wake()

    async def _keep(self) -> None:
        """Start the process, listen to it, and start it again when it ends."""
        failures = 0
        if self._process is not None:  # something went wrong with what it answered
            await self._lost(await self._process.reason())
        while True:
            began = time.monotonic()
            process = self._process = await Process.start(self._command)
            process.send({"runtime": self._runtime})
            with contextlib.suppress(Ended, TimeoutError):
                while True:
                    async with asyncio.timeout(LEASE if self.facts else STARTS):
                        message = await process.receive()
                    await self._heard(message)
            self._process, self.facts = None, None
            how = await process.reason()
            if self._closing:
                return
            self.deaths += 1
            log.warning("the painting process ended (%s)", how)
            await self._lost(how)
            failures = 0 if time.monotonic() - began > LONGEST_WAIT else failures + 1
            await asyncio.sleep(min(LONGEST_WAIT, 0.1 * 2**failures))

    async def _lost(self, how: str) -> None:
        """Put back the jobs of a process that died."""
        for future in self._asked.values():
            if not future.done():
                future.set_exception(Ended())
        why = (
            f"it ended {how} several times with this job; where memory was short, a smaller size helps "
            "(IMPASTO_MEMORY_LIMIT limits it)"
        )
        self.live.clear()
        for job in await self._call(self._store.give_up, why):
            self._events.ended(job.id)
            if job.state in ("failed", "cancelled"):
                self._files.forget_job(job.id)
            self._show(job)
        self.wake()

    async def _dispatch(self) -> None:
        """Send waiting jobs: one at a time, and one that goes first into the one that runs."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self.facts is not None and self._process is not None and not self._closing:
                running = [live.job.rank for live in self.live.values()]
                most = min(running) - 1 if running else max(RANKS.values())
                job = await self._call(self._store.claim, most) if most >= 0 else None
                if job is None:
                    break
                if self._process is None:  # it died meanwhile
                    await self._call(self._store.set_aside, job.id, job.token, "queued")
                    break
                self.live[job.id] = Live(job, job.progress, job.losses or [], job.version)
                self._files.forget_results(job.id)
                self._process.send(self._request(job))
                self._show(job)

    def _request(self, job: Job) -> Message:
        lasting = job.kind == "full"
        return {
            "do": "paint",
            "job": job.id,
            "token": job.token,
            "rank": job.rank,
            "wish_now": job.wish or "",
            "version": job.version,
            "preview": str(self._files.preview(job.id)),
            "result": str(self._files.result(job.id, job.token)),
            "checkpoint": str(self._files.checkpoint(job.id)) if lasting else None,
            **self._pictures_of(job.request, job.id),
        }

    def _pictures_of(self, request: Message, job: str) -> Message:
        """Return the settings and the paths of the pictures of a job, and what of a film is beside them."""

        def path(id: str | None) -> str | None:
            return None if id is None else str(self._files.picture(id))

        film = request.get("film")
        return {
            "film": film
            and {
                "clip": str(self._files.clip(film["clip"])),
                "name": film["name"],
                "settings": film_settings(film).model_dump(),
                "target": str(self._files.film(job)),
            },
            "settings": Settings(**request["settings"]).model_dump(),
            "photo": path(request["photo"]),
            "styles": [
                {"picture": path(i["picture"]), "weight": i["weight"], "mask": path(i["mask"])}
                for i in request["styles"]
            ],
            "protect": path(request["protect"]),
            "init_picture": path(request["init_picture"]),
        }

    # --- what it answers ----------------------------------------------------------------------------

    async def _heard(self, message: Message) -> None:
        kind, id = message["event"], message.get("job", "")
        if kind == "ready":
            self.facts = message
            self.wake()
        if future := self._asked.get(id):
            if not future.done():
                future.set_result(message)
            return
        live = self.live.get(id)
        if live is None or live.job.token != message["token"]:
            if message.get("how") == "cancel":  # it was cancelled at once, and wrote since then
                self._files.forget_job(id)
            return
        if kind == "step":
            live.step(message["progress"])
            self._show(live.job)
        elif kind == "preview":
            live.version, live.changed = message["version"], True
            self._events.publish_some("preview", id, {"job": id, "version": live.version})
        elif kind in ("ended", "failed"):
            await self._ended(live, message)

    async def _ended(self, live: Live, message: Message) -> None:
        """Note how a job ended; its result is on the disk already."""
        job, how = live.job, message.get("how", "failed")
        error = None
        if how == "failed":
            error = {"title": TITLES.get(message["error"], "A bug of ours"), "detail": message["detail"]}
        if message.get("error") == "OutputError":  # a full disk: its checkpoint is worth more than an end
            found = await self._call(self._store.set_aside, job.id, job.token, "paused", error)
        elif how in ("pause", "leave"):
            await self._call(self._store.beat, job.id, job.token, live.progress, live.losses, live.version)
            now = await self._call(self._store.get, job.id)
            state = "paused" if how == "pause" and now is not None and now.wish == "pause" else "queued"
            found = await self._call(self._store.set_aside, job.id, job.token, state)
        else:
            state = {"done": "done", "stop": "stopped", "cancel": "cancelled"}.get(how, "failed")
            found = await self._call(
                self._finish, job, state, live, message.get("result"), error, message.get("version", 0)
            )
            kept = job.token if state in ("done", "stopped") else None
            if found is not None:
                self._files.forget_job(job.id, keep=kept)
        self._events.ended(job.id)
        self.live.pop(job.id, None)
        if found is None:
            self.refused += 1
        else:
            self._show(found)
        self.wake()

    def _finish(self, job: Job, state: str, live: Live, result: Any, error: Any, version: int) -> Job | None:
        if result is not None:
            size = self._files.result(job.id, job.token).stat().st_size
            if film := result.get("film"):
                size += self._files.film(job.id, film["suffix"]).stat().st_size
            result = {**result, "bytes": size, "token": job.token}
        return self._store.finish(
            job.id, job.token, state, result=result, error=error, version=version,
            progress=live.progress, losses=live.losses,
        )  # fmt: skip

    async def _beat(self) -> None:
        """Renew the leases, and now and then take back those that nobody renews."""
        swept = time.monotonic()
        while True:
            await asyncio.sleep(BEAT)
            for live in list(self.live.values()):
                held = await self._call(
                    self._store.beat, live.job.id, live.job.token, live.progress, live.losses, live.version
                )
                self.refused += not held
            if time.monotonic() - swept > SWEEP:
                swept = time.monotonic()
                why = "nobody worked on it any more"
                for job in await self._call(self._store.give_up, why, expired=True):
                    self.live.pop(job.id, None)
                    self._show(job)
                self.wake()
