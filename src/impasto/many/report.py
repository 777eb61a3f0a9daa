"""What came of a batch, and what its folder says of it: from its files and its manifests. No torch here."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from impasto.errors import ImpastoError, InputError
from impasto.many import manifest as manifests
from impasto.many.done import MARK, Standing, key, standing
from impasto.many.jobs import BatchSpec, plan_jobs
from impasto.many.photos import read_stable
from impasto.messages import printable


@dataclass(frozen=True)
class Failure:
    """A job that failed: its photo, the place of its result, the class of the error, the line about it."""

    photo: str
    file: str
    error: str
    message: str


@dataclass
class Batch:
    """What `batch` returns.

    Attributes:
        folder: Of the results.
        jobs: How many there are, in this shard.
        made: How many pictures were made now.
        there: How many were there before.
        left_out: Files that are results themselves, and so no photos.
        failed: Those that failed, the first 10,000.
        failures: How many failed.
        stopped: Why it ended early, if it did.
        seconds: What it took.
    """

    folder: Path
    jobs: int
    made: int = 0
    there: int = 0
    left_out: int = 0
    failed: list[Failure] = field(default_factory=list)
    failures: int = 0
    stopped: str = ""
    seconds: float = 0.0


@dataclass
class Status:
    """What `status` returns.

    Attributes:
        folder: Of the results.
        jobs: How many there are, of all shards.
        done: How many are done.
        missing: Places of results that are not there and did not fail.
        stale: Places of results that have other settings, pictures or another version.
        failed: What failed, and is not there.
        seconds: How long the rest takes, by those that are done; None where nothing is known.
        workers: How many workers that counts.
    """

    folder: Path
    jobs: int = 0
    done: int = 0
    missing: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    seconds: float | None = None
    workers: int = 1


def status(folder: Path, on_job: Callable[[], None] = lambda: None) -> Status:
    """Return the status of a batch; all its photos and results are read. `on_job` is called for each job.

    Raises:
        InputError: The folder has no manifest of a batch.
    """
    spec, events = _last_spec(folder)
    plan = plan_jobs(spec)
    choices = next((line for line in reversed(events) if line["event"] == "batch"), None)
    weights = {
        (item["convention"], item["weights"]): item["sha256"] for item in (choices or {}).get("choices", ())
    }
    failed = {line["file"]: line for line in events if line["event"] in ("failed", "done", "started")}
    found = Status(folder, plan.count)
    for job in plan:
        on_job()
        target, last = folder / job.file, failed.get(job.file)
        try:
            data = read_stable(job.photo.path, spec.limits)
            if job.photo.found and MARK in data:
                found.jobs -= 1
                continue
            digest = hashlib.sha256(data).hexdigest()
            styles = plan.hashes.styles(job.look)
            at_place = standing(
                target, key(digest, styles, job.look.settings, weights.get(job.look.network, ""))
            )
        except ImpastoError as error:
            found.failed.append(Failure(job.photo.path, job.file, type(error).__name__, str(error)))
            continue
        if at_place.standing == Standing.DONE:
            found.done += 1
        elif at_place.standing == Standing.STALE:
            found.stale.append(job.file)
        elif last is not None and last["event"] == "failed" and last["error"] != "again":
            found.failed.append(Failure(job.photo.path, job.file, last["error"], last["message"]))
        elif at_place.standing == Standing.MISSING:
            found.missing.append(job.file)
        else:
            message = f"{printable(target)}: {at_place.standing.value}"
            found.failed.append(Failure(job.photo.path, job.file, at_place.standing.value, message))
    _estimate(found, events, choices)
    return found


def _last_spec(folder: Path) -> tuple[BatchSpec, list[dict[str, Any]]]:
    """Return what a folder was last painted from, and all events by their time."""
    paths = manifests.of_folder(folder)
    events = sorted(
        (line for path in paths for line in manifests.read(path)), key=lambda line: line.get("time", 0)
    )
    spec = [line["spec"] for line in events if line["event"] == "planned"]
    if not spec:
        raise InputError(
            f"{printable(folder)} has no manifest of a batch ({manifests.NAME}); give its folder"
        )
    return BatchSpec.from_json(spec[-1], folder), events


def _estimate(found: Status, events: list[dict[str, Any]], choices: dict[str, Any] | None) -> None:
    spent = [line["seconds"] for line in events if line["event"] == "done" and "seconds" in line]
    shards = {line.get("shard") for line in events}
    found.workers = (choices or {}).get("workers", 1) * max(1, len(shards - {None}))
    if spent:
        found.seconds = fmean(spent) * len(found.missing) / found.workers
