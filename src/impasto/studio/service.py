"""What the server does, apart from HTTP: the routes call this, and nothing else. No torch here."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from impasto.config.limits import Input
from impasto.config.output import Output
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.settings_file import LOOKS
from impasto.errors import InputError
from impasto.studio.checks import changed, checked, no_film, settings_of
from impasto.studio.events import Events
from impasto.studio.files import Files, plain_name
from impasto.studio.limits import Limits
from impasto.studio.shown import job_json, pictures_of, stem_of
from impasto.studio.store import Job, Store
from impasto.studio.supervisor import Supervisor
from impasto.studio.uploads import Uploads
from impasto.studio.workers.process import Decoders
from impasto.system.files import file_sha256

DECODERS = 2
LOOK_EDGE = 160  # px; long edge of the pictures of the looks
GRID_EDGE = 512  # px; of the cells of a grid, at most
DRAFTS_KEPT = 3600.0  # seconds after which the drafts and looks that ended are deleted
PICTURES_KEPT = 7 * 86_400.0  # seconds in which an uploaded picture that no job has stays
TIDY = 600.0  # seconds between two cleanings
T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """How a server is started.

    Attributes:
        data: Its data folder.
        samples: Pictures that come with impasto: (role, title, credit, path).
        painter: Another command for the painting process, for tests.
    """

    data: Path
    limits: Limits = field(default_factory=Limits)
    input: Input = field(default_factory=Input)
    runtime: Runtime = field(default_factory=Runtime)
    samples: Sequence[tuple[str, str, str, Path]] = ()
    painter: Sequence[str] | None = None


class Studio:
    """Store, files, processes and events of one server.

    Raises:
        ResourceError: The data folder cannot be used.
    """

    def __init__(self, options: Options) -> None:
        self.options, self.limits = options, options.limits
        self.files = Files(options.data)
        self.identity = self.files.identity()
        self.store = Store(options.data / "jobs.sqlite")
        self.events = Events()
        self.decoders = Decoders(DECODERS)
        self._thread = ThreadPoolExecutor(1, "store")
        self.uploads = Uploads(
            self.store, self.call, self.files, self.decoders, options.input, self.check_room
        )
        self.supervisor = Supervisor(
            self.store,
            self.call,
            self.files,
            self.events,
            self.show,
            options.runtime.model_dump(),
            options.painter,
        )
        self._samples: list[dict[str, Any]] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._telling: set[asyncio.Task[None]] = set()
        self._waiting = 0  # jobs, as the pages know

    async def call(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Run a function of the store in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(*arguments, **options))

    async def start(self) -> None:
        """Take up what an earlier server left, and begin; the processes start meanwhile."""
        await self.call(self.store.give_up, "the server ended", blame=False)
        self.supervisor.start()
        self._tasks = [asyncio.create_task(work()) for work in (self._add_samples, self._tidy)]

    async def close(self) -> None:
        """End: running jobs write their checkpoints and wait for the next server."""
        self.events.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.supervisor.close()
        await asyncio.gather(*self._telling, return_exceptions=True)
        await self.decoders.close()
        await self.call(self.store.close)
        self._thread.shutdown()

    async def _add_samples(self) -> None:
        """Read the pictures that come with impasto, which no earlier server may have read."""
        for role, title, credit, path in self.options.samples:
            id = await asyncio.to_thread(file_sha256, path)
            if await self.call(self.store.picture, id) is None:
                await self.uploads.add_picture(path, path.name, keep=True)
            self._samples.append({"role": role, "picture": id, "title": title, "credit": credit})

    async def samples(self) -> list[dict[str, Any]]:
        """Return the pictures that come with impasto, once they are read."""
        await asyncio.shield(self._tasks[0])
        return self._samples

    async def _tidy(self) -> None:
        """Delete what is not needed any more, now and then."""
        while True:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self.files.tidy)
            now = time.time()
            ended = ("done", "stopped", "failed", "cancelled")
            for kind in ("draft", "look"):
                for job in await self.call(self.store.jobs, states=ended, kind=kind, limit=10_000):
                    if (job.finished or 0) < now - DRAFTS_KEPT and not job.star:
                        await self.delete(job)
            kept = {sample["picture"] for sample in self._samples}
            for id in await self.call(self.store.unused_pictures, now - PICTURES_KEPT):
                if id not in kept:
                    await self.uploads.forget(id)
            await asyncio.sleep(TIDY)

    # --- pictures --------------------------------------------------------------------------------------

    async def view(
        self, id: str, source: Path, edge: int, part: tuple[int, int, int, int] | None = None
    ) -> Path:
        """Return the file of a picture, or of a part of it, for a browser; it is kept for a while.

        Args:
            id: Of the picture or result, for the name of the file.
            source: Its plain pixels.
            edge: Long edge in pixels, at most.
            part: Left, top, width and height in pixels.
        """
        request = {"do": "view", "source": str(source), "edge": edge, "part": part}
        return await self._made("-".join(map(str, (id, edge, *(part or ())))), request)

    async def encoded(self, job: Job, suffix: str, output: Output) -> Path:
        """Return the file of a job's result in a format, as the command line writes it."""
        assert job.result is not None
        source = self.files.result(job.id, job.result["token"])
        values = output.model_dump()
        request = {"do": "encode", "source": str(source), "suffix": suffix, "output": values}
        return await self._made("-".join(map(str, (job.id, "file", *values.values()))), request, suffix)

    async def _made(self, name: str, request: dict[str, Any], suffix: str = "") -> Path:
        """Return a file that a decoder makes, or has made before."""
        for known in [suffix] if suffix else [".jpg", ".png"]:
            if (path := self.files.view(name + known)).exists():
                return path
        target = self.files.incoming()
        try:
            answer = await self.decoders.ask({**request, "target": str(target)})
            path = self.files.view(name + (suffix or answer["suffix"]))
            await asyncio.to_thread(target.replace, path)
        finally:
            target.unlink(missing_ok=True)
        return path

    # --- jobs ---------------------------------------------------------------------------------------

    async def check_room(self) -> None:
        """Refuse more where the folder has its quota or the disk is nearly full.

        Raises:
            NoRoom: It is so.
        """
        await asyncio.to_thread(self.files.check_room, self.limits)

    async def add(
        self,
        inputs: Mapping[str, Any],
        kind: str,
        *,
        client: str | None = None,
        key: tuple[str, str] | None = None,
        group: str | None = None,
    ) -> Job:
        """Check a job and put it into the queue; a draft ends the draft of the same client before it.

        Raises:
            InputError: Something about it is wrong.
            NoRoom: The quota is reached.
            QueueFull: Too many wait.
            Conflict: The key was sent with another body.
        """
        if inputs.get("film") and kind != "full":
            raise InputError("film: is painted as a whole; a draft has a photo, such as a frame of the clip")
        request = checked(await self.uploads.filmed(inputs), self.limits.styles)
        await self.uploads.check(request)
        await self.check_room()
        before: list[Job] = []
        if client is not None and kind == "draft":
            before = await self._open(kind, client)
        job = await self.call(
            self.store.add, kind, request, client=client, name=inputs.get("name"), batch=group, key=key,
            most=self.limits.queue,
        )  # fmt: skip
        for old in before:
            if old.id != job.id:
                await self.wish(old.id, "cancel")
        self.show(job)
        self.supervisor.wake()
        return job

    async def _open(self, kind: str, client: str) -> list[Job]:
        states = ("queued", "running", "paused")
        jobs = await self.call(self.store.jobs, states=states, kind=kind, limit=1000)
        return [job for job in jobs if job.client == client]

    async def add_looks(self, inputs: Mapping[str, Any], client: str | None) -> tuple[str, list[Job]]:
        """Paint a small picture of each look, in the background."""
        no_film(inputs)
        if client is not None:
            for old in await self._open("look", client):
                await self.wish(old.id, "cancel")
        group, jobs = secrets.token_hex(8), []
        for look in LOOKS:
            settings = changed(Settings.preset(look, size=LOOK_EDGE, quality="draft"), Settings())
            looked = {**inputs, "settings": settings, "name": look, "init_picture": None}
            jobs.append(await self.add(looked, "look", client=client, group=group))
        return group, jobs

    async def estimate(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a job would take.

        Raises:
            ImpastoError: It cannot be painted, or measured now.
        """
        request = checked(await self.uploads.filmed(inputs), self.limits.styles)
        await self.uploads.check(request)
        answer = await self.supervisor.estimate(request)
        free = psutil.virtual_memory().total
        note = None
        if answer["memory"] > free:
            note = f"more than the {free / 1e6:.0f} MB of memory of this machine"
        found = {name: answer[name] for name in ("seconds", "memory", "width", "height")}
        return found | {"note": note, "frames": answer.get("frames")}

    async def add_grid(
        self, inputs: Mapping[str, Any], vary: Sequence[Mapping[str, Any]]
    ) -> tuple[str, list[list[Job]]]:
        """Paint a job with one or two settings varied: rows by columns."""
        no_film(inputs)
        axes = [[(axis["setting"], value) for value in axis["values"]] for axis in vary]
        rows, columns = axes[0], axes[1] if axes[1:] else [None]
        if len(rows) * len(columns) > self.limits.cells:
            raise InputError(f"vary: at most {self.limits.cells} pictures, not {len(rows) * len(columns)}")
        size = settings_of(inputs["settings"]).size or GRID_EDGE
        cells = []
        for row in rows:
            base = {**inputs["settings"], "size": min(size, GRID_EDGE)}
            changes = [base | dict(filter(None, [row, column])) for column in columns]
            cells.append([{**inputs, "settings": change} for change in changes])
        varied = {axis["setting"] for axis in vary}
        for cell in (cell for row in cells for cell in row):
            if "init" in varied and cell["settings"]["init"] != "picture":
                cell["init_picture"] = None  # the start is for those that need it
            checked(cell, self.limits.styles)  # all or none
        group = inputs.get("group") or secrets.token_hex(8)
        return group, [[await self.add(cell, "full", group=group) for cell in row] for row in cells]

    async def wish(self, id: str, wish: str) -> Job | None:
        """Pause, resume, stop or cancel a job; None if there is none."""
        begun = self.files.begun(id)
        job = await self.call(self.store.wish, id, wish, begun=begun)
        if job is not None:
            job = await self.supervisor.wish(job)
            if job.state == "cancelled":
                await asyncio.to_thread(self.files.forget_job, id)
            self.show(job)
            self.supervisor.wake()
        return job

    async def delete(self, job: Job) -> None:
        """Delete a job with its files; one that waits is cancelled by that."""
        await self.call(self.store.delete, job.id)
        await asyncio.to_thread(self.files.forget_job, job.id)
        self.events.publish("deleted", {"job": job.id})

    # --- how jobs are shown -------------------------------------------------------------------------

    def show(self, job: Job) -> None:
        """Tell the pages about a job."""
        shown = self.as_json(job)
        shown.pop("losses")
        if job.state == "running" and shown["progress"]:
            self.events.publish_some("job", job.id, shown)
            return
        self.events.publish("job", shown)
        task = asyncio.create_task(self._tell_queue())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell_queue(self) -> None:
        """Tell the pages how many jobs wait."""
        waiting = (await self.call(self.store.counts)).get("queued", 0)
        if waiting != self._waiting:
            self._waiting = waiting
            self.events.publish("queue", {"length": waiting})

    async def shown(self, job: Job) -> dict[str, Any]:
        """Return a job in types of JSON, with its place in the queue."""
        await self.uploads.know(pictures_of(job.request))
        shown = self.as_json(job)
        if job.state == "queued":
            shown["position"] = await self.call(self.store.position, job)
        return shown

    async def file_name(self, job: Job) -> str:
        """Return how the file of a result is called, without its ending: by name, or photo and paintings."""
        if job.name:
            return plain_name(job.name)
        await self.uploads.know(pictures_of(job.request))
        return plain_name(stem_of(job.request, self.uploads.names))

    def as_json(self, job: Job) -> dict[str, Any]:
        """Return a job in types of JSON."""
        return job_json(job, self.supervisor.live.get(job.id), self.uploads.names)
