"""When the checkpoints of a run are written, and how much time that may take.

Writing may take 2 % of the time, and never happens more often than every 10 seconds: each write is measured,
and the next one waits that much longer. A run that is expected to take over two minutes, by the evaluations
it has done, keeps a checkpoint in the cache folder by itself. The few last of these stay until they are gone
on with; a lock says which of them are at work.
"""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from filelock import FileLock

from impasto.config.recipe import Recipe
from impasto.errors import ImpastoError
from impasto.messages import printable
from impasto.optim.evaluation import Keep, State
from impasto.transfer.callbacks.checkpoint_file import Checkpoint, Head, previous, write
from impasto.transfer.callbacks.checkpoint_folder import (
    _check_free,
    _claimed,
    _let_go,
    _new_name,
    _point_to,
    _pointer,
    folder,
    tidy,
)
from impasto.transfer.result import Log

EVERY = 10.0  # seconds between two checkpoints, at least
SHARE = 0.02  # of the time that writing may take
LONG = 120.0  # seconds; runs expected to take longer have checkpoints by themselves
SPEED = 200e6  # bytes a second that writing is taken to do before it was measured
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Course:
    """What a run tells its keeper when it begins.

    `recipe` returns that of the run so far; `each` are the costs of an evaluation at each scale, in any unit,
    and `passes` their numbers; `again` says that these are of a run made again. `losses` names the caller's
    own; `left` returns the seconds of a time budget.
    """

    log: Log
    recipe: Callable[[], Recipe]
    each: Sequence[float]
    passes: Sequence[int]
    again: bool = False
    losses: Sequence[str] = ()
    left: Callable[[], float] | None = None


class Keeper:
    """Writes the checkpoints of one run; in a `with` block, as long as it is the run's.

    Args:
        path: The file; None for one in the cache folder, if the run takes long.
        folders: Where the inputs lie, to find them again.
        note: What the caller wants to find in the checkpoint, in types of JSON.
        force: Whether a checkpoint that is there may be replaced.
        resumed: Whether it is the one that this run goes on from.
        wanted: Whether there are to be any.

    Attributes:
        written: Whether there is a checkpoint.
        unfinished: Whether the run was stopped and can be gone on with.

    Raises:
        InputError: The file is there already, or another process works on it.
        OutputError: It cannot be written there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        folders: Iterable[str | os.PathLike[str]] = (),
        note: Mapping[str, Any] | None = None,
        force: bool = False,
        resumed: bool = False,
        wanted: bool = True,
    ) -> None:
        self.automatic = path is None or Path(path).absolute().parent == folder().absolute()
        self.path = _new_name() if path is None else Path(path).absolute()
        self.folders = [os.fspath(item) for item in folders]
        self.note = dict(note or {})
        self._wanted = wanted
        self._long = resumed or not self.automatic
        self.written = resumed
        self.unfinished = False
        self._lock: FileLock | None = None
        self._speed, self._since = SPEED, time.perf_counter()
        self._first: tuple[float, float] | None = None  # when an evaluation was done, and the work
        self._complained = False
        if path is not None and wanted and not resumed:
            _check_free(self.path, force=force)
        if path is not None and wanted:
            self._claim()
        if resumed and not self.automatic:
            _point_to(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """Remove what is not needed if the run finished; leave the checkpoint to others."""
        if error is None and not self.unfinished:
            self.finished()
        self.release()

    @property
    def named(self) -> list[str]:
        """How `impasto resume` is told of it: not at all where it is the last automatic one."""
        return [] if self.automatic else [printable(self.path)]

    @property
    def left(self) -> bool:
        """Whether there is a checkpoint of a run that was stopped."""
        return self.unfinished and self.written

    def begin(self, course: Course) -> None:
        """Take note of a run."""
        self._course = course
        self._since = time.perf_counter()

    def at(self, scale: int, tile: int, used: int) -> Keep | None:
        """Return what the solver tells its state to at a scale, from 0, after `used` evaluations of it."""
        self._where = scale, tile, used
        return self._keep if self._wanted else None

    def stopped(self, state: State | None, reason: str) -> None:
        """Write where a run was stopped; an automatic one only for a run that was interrupted or is long."""
        self.unfinished = state is not None
        if state is not None and self._wanted and (self._long or reason == "interrupted"):
            self._write(state)

    def finished(self) -> None:
        """Remove what a finished run does not need: an automatic checkpoint, and the one before."""
        if self.written:
            gone = [previous(self.path), *([self.path] if self.automatic else [])]
            for path in (*gone, _pointer(self.path)):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def release(self) -> None:
        """Leave the checkpoint to whoever goes on from it."""
        _let_go(self._lock)
        self._lock = None

    def _claim(self) -> None:
        self._lock = _claimed(self.path)

    # --- when -------------------------------------------------------------------------------------

    def _keep(self, state: State) -> None:
        if self._due(state):
            self._write(state)

    def _due(self, state: State) -> bool:
        now = time.perf_counter()
        self._long = self._long or self._expected(state.count, now) >= LONG
        if not self._long:
            return False
        if not self.written and not self.automatic:
            return True
        size = sum(tensor.nbytes for tensor in state.tensors.values())
        return now - self._since >= max(EVERY, size / self._speed * (1 / SHARE - 1))

    def _expected(self, count: int, now: float) -> float:
        """Return the seconds that the whole run will take, by what was measured; 0 before that."""
        course = self._course
        if course.left is not None:
            return now - self._since + course.left()
        scale, _, used = self._where
        costs = [each * passes for each, passes in zip(course.each, course.passes, strict=False)]
        done = sum(costs[:scale]) + course.each[scale] * (used + count)
        if self._first is None:
            self._first = (now, done) if count else None
            return 0.0
        began, before = self._first
        return (now - began) / (done - before) * sum(costs) if done > before else 0.0

    # --- writing ----------------------------------------------------------------------------------

    def _write(self, state: State) -> None:
        """Write a checkpoint. A run does not end because that fails, unless it is the first one asked for."""
        began = time.perf_counter()
        try:
            if self.automatic and not self.written:
                tidy()
                self.path.parent.mkdir(parents=True, exist_ok=True)
            if self._lock is None:
                self._claim()
            if not self.written and not self.automatic:
                _point_to(self.path)
            size = write(self.path, self._checkpoint(state))
            self.written = True
            self._speed = max(1.0, size / max(1e-6, time.perf_counter() - began))
        except (ImpastoError, OSError, MemoryError) as error:
            if not self.written and not self.automatic:
                raise
            if not self._complained:
                log.warning("no checkpoint: %s", str(error) or type(error).__name__)
            self._complained = True
        self._since = time.perf_counter()

    def _checkpoint(self, state: State) -> Checkpoint:
        course, (scale, tile, used) = self._course, self._where
        history = tuple(course.log.until(state.count))
        names = dict.fromkeys(name for record in history[-1:] for name in record.losses)
        head = Head(
            recipe=course.recipe(),
            passes=tuple(course.passes) if course.again else None,
            scale=scale,
            tile=tile,
            used=used,
            scale_seconds=course.log.scale_seconds(),
            left=None if course.left is None else course.left(),
            count=state.count,
            numbers=dict(state.numbers),
            parts=dict(state.parts),
            columns=tuple(names),
            losses=tuple(course.losses),
            folders=tuple(self.folders),
            note=self.note,
        )
        return Checkpoint(head, state.tensors, history)


CheckpointLike = str | os.PathLike[str] | bool | Keeper | None


def keeper_of(checkpoint: str | os.PathLike[str] | bool | None, inputs: Sequence[Any]) -> Keeper:
    """Return the keeper of a run, as `stylize` is asked for it.

    Args:
        checkpoint: A file, None or True for an automatic one, False for none.
        inputs: Pictures, styles and sequences of these; those that are paths say where to find them again.
    """
    parts = [item if isinstance(item, (list, tuple)) else [item] for item in inputs]
    paths = [Path(item) for part in parts for one in part for item in _sources(one)]
    folders = dict.fromkeys(
        path.absolute() if path.is_dir() else path.absolute().parent for path in paths
    )
    path = None if isinstance(checkpoint, bool) else checkpoint
    return Keeper(path, folders=folders, wanted=checkpoint is not False)


def _sources(given: Any) -> Iterator[Any]:
    """Yield what of an input is a path: its own, and those of its masks."""
    if isinstance(given, (str, os.PathLike)):
        yield given
    for name in ("picture", "mask", "source_mask"):
        if (inner := getattr(given, name, None)) is not None:
            yield from _sources(inner)
