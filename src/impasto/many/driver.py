"""The driver of a batch: looks at each job, sends those that are missing to a pool, and keeps the manifest.

A job is looked at when its turn comes: its photo is hashed, and its file says whether it is done. No torch.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from impasto.config.runtime import Runtime
from impasto.errors import End, ImpastoError, InputError, OutputError, Stop, WeightsError
from impasto.many.done import MARK, Standing, key, standing
from impasto.many.jobs import Hashes, Job, Look, Plan
from impasto.many.manifest import Event, Manifest
from impasto.many.photos import read_stable
from impasto.many.pool import Pool, Task, error_of
from impasto.many.report import Batch, Failure
from impasto.messages import printable, reason
from impasto.system.lines import Message

BEAT = 0.2  # seconds between two looks at whether the batch shall end
AGAIN = 3  # times that a photo may change between planning and painting
KEPT = 10_000  # failures that are kept in memory, at most
NEVER_AGAIN = (OutputError, WeightsError)  # errors of all pictures to come: they end the batch
REMEDIES = {
    Standing.STALE: "is there with other settings, pictures or version; --force makes it again",
    Standing.FOREIGN: "is there and was not made by impasto; --force replaces it",
    Standing.DAMAGED: "is there and cannot be read, perhaps it is cut off; --force makes it again",
    Standing.FAULTY: "has losses that are not finite; it is the best picture so far: try smaller weights",
}


@dataclass
class _Open:
    """A job that is being seen to: how often its worker was killed, and its photo changed."""

    job: Job
    task: Task
    kills: int = 0
    changes: int = 0


class Driver:
    """Runs the jobs of a plan.

    Args:
        plan: The jobs.
        pool: Paints them.
        manifest: Where events are noted.
        workers: How many, or None to choose.
        force: Replace files at the places of results that are not these results.
        fail_fast: End at the first failure.
        anew: Decide anew what the machine computes with.
        on_event: Called with each line of the manifest, and with `step` for a picture at work; `raise
            impasto.Stop` in it ends the batch cleanly.
    """

    def __init__(
        self,
        plan: Plan,
        pool: Pool,
        manifest: Manifest,
        *,
        workers: int | None = None,
        force: bool = False,
        fail_fast: bool = False,
        anew: bool = False,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self._plan, self._pool, self._manifest = plan, pool, manifest
        self._workers, self._force, self._fail_fast, self._anew = workers, force, fail_fast, anew
        self._on_event = on_event or (lambda event: None)
        self._hashes = plan.hashes
        self._styles: dict[int, list[Any]] = {}  # what identifies the paintings of a look, by its number
        self._looks = {id(look): number for number, look in enumerate(plan.looks)}
        self._weights: dict[tuple[str, str], str] = {}  # SHA-256 by kind of network
        self._choices: list[dict[str, Any]] = []
        self._started = False
        self._open: dict[int, _Open] = {}
        self._ready: deque[_Open] = deque()
        self._number = 0
        self.batch = Batch(plan.spec.folder, plan.count)

    def run(self, jobs: Iterable[Job | None] | None = None) -> Batch:
        """See to all jobs; `jobs` are others than those of the plan, None where there is none at present.

        Raises:
            ImpastoError: No picture can be made, or none can be written any more.
        """
        began = time.monotonic()
        self._make_folder(self._plan.spec.folder)
        self._choose()
        # The paths are absolute, so that `status` finds them from anywhere.
        self._note("planned", {"jobs": self.batch.jobs, "spec": self._plan.spec.to_json()})
        try:
            self._see_to(iter(self._plan if jobs is None else jobs))
        except Stop as stop:
            self.batch.stopped = stop.reason
            self._let_end()
        except ImpastoError as error:
            self.batch.stopped = str(error)
            self._let_end()
            raise
        finally:
            self._pool.close()
            self.batch.seconds = round(time.monotonic() - began, 3)
        counts = ("jobs", "made", "there", "failures", "seconds", "stopped")
        self._note("ended", {name: getattr(self.batch, name) for name in counts}, quiet=True)
        return self.batch

    def _note(self, event: str, facts: Message, *, quiet: bool = False) -> None:
        """Add an event to the manifest; `quiet` where there is nothing left to stop."""
        line = self._manifest.write(event, facts)
        try:
            self._on_event(line)
        except Stop:
            if not quiet:
                raise

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot make the folder {printable(folder)}: {reason(error)}; give another place"
            ) from error

    # --- the machine's choices ----------------------------------------------------------------------

    def _choose(self) -> None:
        """Take the machine's choices from the manifest; let the first worker decide what is not there."""
        found = None if self._anew else self._manifest.choices()
        if found is not None:
            self._check_same(found)
            self._choices = found["choices"]
        self._weights = {(item["convention"], item["weights"]): item["sha256"] for item in self._choices}
        if not {look.network for look in self._plan.looks} <= set(self._weights):
            self._start()

    def _check_same(self, found: Event) -> None:
        """Refuse what contradicts the choices of the runs before.

        Raises:
            InputError: A value of the runtime that was said, or one of the output, is another one.
        """
        spec, standard = self._plan.spec, Runtime()
        said = [(name, value) for name, value in spec.runtime if value != getattr(standard, name)]
        before = {**found["runtime"], **found["output"]}
        for name, value in [*said, *spec.output]:
            if before.get(name) != value:
                raise InputError(
                    f"--{name.replace('_', '-')}: the pictures in {printable(spec.folder)} were begun with "
                    f"{before.get(name) or 'the default'}, not {value or 'the default'}; leave it as it was, "
                    "or --re-resolve"
                )

    def _start(self) -> None:
        """Start the pool; the first worker decides what is not decided."""
        spec = self._plan.spec
        whole = replace(spec, looks=tuple(self._plan.looks))
        runtime = spec.runtime
        if self._choices:
            runtime = runtime.changed(threads=self._choices[0]["runtime"]["threads"])
        answer = self._pool.begin(
            {
                "spec": whole.to_json(),
                "runtime": runtime.model_dump(mode="json"),
                "choices": self._choices,
                "workers": self._workers,
                "jobs": max(1, self.batch.jobs),
            }
        )
        self._started = True
        if len(answer["choices"]) > len(self._choices):
            facts = {"choices": answer["choices"], "workers": self._pool.size, "machine": answer["machine"]}
            facts |= {name: getattr(spec, name).model_dump(mode="json") for name in ("runtime", "output")}
            line = self._manifest.begin(facts, anew=self._anew or bool(self._choices))
            self._check_same(line)
            self._choices = line["choices"]
            self._weights = {(item["convention"], item["weights"]): item["sha256"] for item in self._choices}
            self._on_event(line)
        self._compare(answer["machine"])
        self._pool.agree(self._choices)

    def _compare(self, machine: Message) -> None:
        """Say where this machine is another one than that of the runs before."""
        before = (self._manifest.choices() or {}).get("machine") or machine
        other = {name: machine.get(name) for name in before if before[name] != machine.get(name)}
        if other:
            self._on_event(
                {"event": "machine", "before": {name: before[name] for name in other}, "now": other}
            )

    # --- the jobs -----------------------------------------------------------------------------------

    def _see_to(self, jobs: Iterator[Job | None]) -> None:
        """Look at the jobs in their order, a few ahead of what is painted."""
        more, idle = True, False
        while more or self._ready or self._open:
            self._on_event({"event": "beat"})
            if more and len(self._ready) <= (self._pool.size if self._started else 0):
                try:
                    job = next(jobs)
                except StopIteration:
                    more = False
                    continue
                idle = job is None
                if job is not None and (opened := self._looked_at(job)) is not None:
                    self._ready.append(opened)
            if self._ready and not self._started:
                self._start()
            while self._ready and self._pool.has_room():
                self._send(self._ready.popleft())
            self._handle(more and not idle)

    def _handle(self, busy: bool) -> None:
        """Take what workers answer; wait for it unless there is something else to do."""
        full = len(self._ready) > self._pool.size
        seconds = BEAT if full or not busy else 0.0
        if not self._started:
            if not busy:
                time.sleep(seconds)
            return
        while answers := self._pool.wait(seconds):
            for answer in answers:
                self._answered(answer)
            seconds = 0.0
            if self._ready and self._pool.has_room():
                return

    def _looked_at(self, job: Job, before: _Open | None = None) -> _Open | None:
        """Return a job that is to be painted; note one that is done, or that cannot be."""
        target = self._plan.spec.folder / job.file
        try:
            data = read_stable(job.photo.path, self._plan.spec.limits)
            if job.photo.found and MARK in data:
                self.batch.left_out += 1
                self._note("skipped", {**_place(job), "reason": "it is a result itself"})
                return None
            key = self._key(hashlib.sha256(data).hexdigest(), job.look)
        except InputError as error:
            self._fail(job, type(error).__name__, str(error))
            return None
        at_place = standing(target, key).standing
        if at_place == Standing.DONE:
            self.batch.there += 1
            self._note("skipped", {**_place(job), "key": key, "reason": "done"})
            return None
        if at_place in REMEDIES and not self._force:
            self._fail(job, at_place.value, f"{printable(target)} {REMEDIES[at_place]}", key)
            return None
        self._number += 1
        task = Task(
            self._number, job.photo.path, self._looks[id(job.look)], target, key,
            overwrite=self._force or target.exists(),
        )  # fmt: skip
        return _Open(job, task) if before is None else replace(before, task=task)

    def _key(self, photo: str, look: Look) -> str:
        number = self._looks[id(look)]
        if number not in self._styles:
            self._styles[number] = self._hashes.styles(look)
        return key(photo, self._styles[number], look.settings, self._weights[look.network])

    def _send(self, opened: _Open) -> None:
        try:
            opened.task.target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"cannot make the folder {printable(opened.task.target.parent)}: {reason(error)}"
            self._fail(opened.job, "OutputError", message, opened.task.key)
            return
        self._open[opened.task.number] = opened
        worker = self._pool.send(opened.task)
        facts = {**_place(opened.job), "key": opened.task.key, "worker": worker}
        if opened.task.part > 1:
            facts["memory"] = f"1/{opened.task.part}"
        self._note("started", facts)

    # --- what workers answer ------------------------------------------------------------------------

    def _answered(self, answer: Message) -> None:
        """Note what became of a task."""
        kind = answer["event"]
        if kind == "machine":
            self._compare(answer["machine"])
            return
        if kind == "stopped" or answer.get("job") not in self._open:
            return
        opened = self._open[answer["job"]]
        if kind == "step":
            self._on_event({**answer, **_place(opened.job)})
            return
        del self._open[answer["job"]]
        if kind == "done":
            self._done(opened, answer)
        elif kind == "again":  # it waited for an actor that died
            self._ready.appendleft(opened)
        elif kind in ("changed", "exists"):
            self._look_again(opened)
        elif kind == "killed":
            self._killed(opened, answer)
        elif kind == "failed":
            self._failed(opened, answer)

    def _done(self, opened: _Open, answer: Message) -> None:
        facts = {name: value for name, value in answer.items() if name not in ("event", "job")}
        self.batch.made += 1
        self._note("done", {**_place(opened.job), "key": opened.task.key, **facts})
        if answer["stopped"] == End.NOT_FINITE:
            self._fail(
                opened.job, "NumericalError", f"{answer['fault']}; try smaller weights", opened.task.key
            )

    def _look_again(self, opened: _Open) -> None:
        """See to a job anew whose photo changed, or whose place was taken meanwhile."""
        opened.changes += 1
        if opened.changes > AGAIN:
            message = (
                f"{printable(opened.job.photo.path)} changes again and again; try again when it is complete"
            )
            self._fail(opened.job, "InputError", message, opened.task.key)
            return
        self._hashes = Hashes(self._plan.spec.limits)
        self._styles = {}
        if (again := self._looked_at(opened.job, opened)) is not None:
            self._ready.appendleft(again)

    def _killed(self, opened: _Open, answer: Message) -> None:
        """Paint it once more as it was; then, or if memory ran out, once with half the memory."""
        opened.kills += 1
        how = f"the painting process was killed ({answer['how']})"
        if opened.kills == 1 and not answer["memory"]:
            self._again(opened, how, opened.task.part)
        elif opened.task.part == 1:
            self._again(opened, how, 2)
        else:
            self._fail(opened.job, "killed", f"{how}, also with half the memory", opened.task.key)

    def _failed(self, opened: _Open, answer: Message) -> None:
        error = error_of(answer)
        if answer.get("memory") and opened.task.part == 1:
            self._again(opened, str(error), 2)
            return
        self._fail(opened.job, answer["error"], str(error), opened.task.key)
        if isinstance(error, NEVER_AGAIN):
            raise error

    def _again(self, opened: _Open, message: str, part: int) -> None:
        facts = {**_place(opened.job), "key": opened.task.key, "error": "again", "message": message}
        self._note("failed", facts)
        self._number += 1
        opened.task = replace(opened.task, number=self._number, part=part)
        self._ready.appendleft(opened)

    def _fail(self, job: Job, error: str, message: str, key: str | None = None) -> None:
        self.batch.failures += 1
        if len(self.batch.failed) < KEPT:
            self.batch.failed.append(Failure(job.photo.path, job.file, error, message))
        self._note("failed", {**_place(job), "key": key, "error": error, "message": message})
        if self._fail_fast:
            raise Stop("fail-fast")

    def _let_end(self) -> None:
        """Wait until the pictures at work have ended; those that are finished count."""
        if not self._started:
            return
        self._fail_fast, tell = False, self._on_event
        self._pool.stop()
        while self._open:
            try:
                tell({"event": "beat"})
            except Stop:
                pass
            for answer in self._pool.wait(BEAT):
                if answer["event"] in ("done", "dropped", "failed", "killed", "changed", "exists", "again"):
                    opened = self._open.pop(answer["job"], None)
                    if opened is not None and answer["event"] == "done":
                        self._on_event = lambda event: None
                        self._done(opened, answer)
        self._on_event = tell


def _place(job: Job) -> Message:
    return {"file": job.file, "photo": job.photo.path}
