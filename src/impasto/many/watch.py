"""`--watch`: the photos that appear in folders, each once it is complete. No torch here.

A photo is complete when its size and time stood still from one look to the next. Nothing is remembered over
the end of the process: what is done, the files say.
"""

import logging
import time
from collections.abc import Iterator

from impasto.errors import InputError
from impasto.many import photos as sources
from impasto.many.jobs import Job, Plan, file_of, folded
from impasto.many.photos import Photo, stamp
from impasto.messages import printable

EVERY = 2.0  # seconds between two looks: not by events, which network disks do not tell

log = logging.getLogger(__name__)
Stamp = tuple[int, int, int]


class Watch:
    """Yields the jobs of photos that are there or appear, for good; None where there is none at present.

    Args:
        plan: What the batch paints; its photos are those that are there when it begins.
        every: Seconds between two looks; `EVERY` if None.
    """

    def __init__(self, plan: Plan, every: float | None = None) -> None:
        self._plan, self._every = plan, EVERY if every is None else every
        self._seen: dict[str, Stamp] = {}  # what each file was at the last look
        self._taken: dict[str, Stamp] = {}  # what each was when its jobs were made
        self._names: dict[bytes, str] = {}  # results -> their photos
        self._left_out: set[str] = set()  # photos whose results would have the name of another's
        self._due = 0.0

    def __iter__(self) -> Iterator[Job | None]:
        while True:
            if time.monotonic() < self._due:
                yield None
                continue
            for photo in self._complete():
                yield from self._jobs(photo)
            self._due = time.monotonic() + self._every

    def _complete(self) -> list[Photo]:
        """Return the photos that stood still since the last look and were not taken as they are."""
        spec, found, seen = self._plan.spec, [], {}
        try:
            for photo in sources.find(spec.photos, recursive=spec.recursive, without=spec.folder):
                now = stamp(photo.path)
                if now is None:
                    continue
                seen[photo.path] = now
                if self._seen.get(photo.path) == now and self._taken.get(photo.path) != now and now[0]:
                    found.append(photo)
        except InputError:  # the folder is not there at present
            return []
        self._seen = seen
        for photo in found:
            self._taken[photo.path] = seen[photo.path]
        return found

    def _jobs(self, photo: Photo) -> Iterator[Job]:
        for look in self._plan.looks:
            job = Job(photo, file_of(photo, look, self._plan.spec.suffix), look)
            if self._plan.shard is not None and not self._plan.shard.has(job.file):
                continue
            other = self._names.setdefault(folded(job.file), photo.path)
            if other == photo.path:
                yield job
            elif photo.path not in self._left_out:
                self._left_out.add(photo.path)
                names = printable(photo.path), printable(other)
                log.warning("%s is left out, for its result would have the name of that of %s", *names)
