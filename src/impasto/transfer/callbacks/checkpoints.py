"""`Checkpoints`: when the checkpoints of a run are written.

Writing may take 2 % of the time, and never happens more often than every 10 seconds: each write is measured,
and the next one waits that much longer. A run that is expected to take over two minutes, by the evaluations
it has done, keeps a checkpoint in the cache folder by itself. The last few of these stay until they are
resumed; a lock says which of them belong to a running process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from filelock import FileLock
from torch import Tensor

from impasto.errors import End, ImpastoError
from impasto.messages import printable
from impasto.transfer.callbacks import checkpoint_folder as folder_
from impasto.transfer.callbacks.base import Callback, work_of
from impasto.transfer.callbacks.checkpoint_file import checkpoint_of, write

if TYPE_CHECKING:
    from impasto.inputs.pictures import ScaledInputs
    from impasto.transfer.run import Run

EVERY = 10.0  # seconds between two checkpoints, at least
SHARE = 0.02  # of the time that writing may take
LONG = 120.0  # seconds; runs expected to take longer have checkpoints by themselves
SPEED = 200e6  # bytes a second that writing is taken to do before it was measured
log = logging.getLogger(__name__)


class Checkpoints(Callback):
    """Writes the checkpoints of one run; used in a `with` block around the run.

    Without a `path`, a run that takes long writes into the cache folder; `enabled=False` writes none.
    `folders` are those of the inputs, `note` is what the caller adds, in types of JSON. `force` may replace a
    checkpoint; `resumed` means that the run resumes this one. With `listed=False`, `impasto resume` finds it
    only by its name. `written` says whether there is one, `unfinished` whether the run was stopped and can be
    resumed.

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
        enabled: bool = True,
        listed: bool = True,
    ) -> None:
        self.automatic = path is None or Path(path).absolute().parent == folder_.folder().absolute()
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}.safetensors"
        self.path = folder_.folder() / name if path is None else Path(path).absolute()
        self.folders = [os.fspath(item) for item in folders]
        self.note = dict(note or {})
        self._enabled, self._listed = enabled, listed
        self._long = resumed or not self.automatic
        self.written = resumed
        self.unfinished = False
        self._lock: FileLock | None = None
        self._speed, self._since = SPEED, time.perf_counter()
        self._first: tuple[float, float] | None = None  # when an evaluation was done, and the work
        self._complained = self._begun = False
        if path is not None and enabled and not resumed:
            folder_.check_free(self.path, force=force)
        if path is not None and enabled:
            self._lock = folder_.claimed(self.path)
        if resumed and not self.automatic and listed:
            folder_.point_to(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        """If the run finished, remove an automatic checkpoint, and the pointer to another; release it."""
        if error is None and not self.unfinished and self.written:
            for path in (*([self.path] if self.automatic else []), folder_.pointer(self.path)):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
        self.release()

    @property
    def resume_arguments(self) -> list[str]:
        """Arguments of `impasto resume` that select this checkpoint; none for the latest automatic one."""
        return [] if self.automatic else [printable(self.path)]

    @property
    def left(self) -> bool:
        """Whether there is a checkpoint of a run that was stopped."""
        return self.unfinished and self.written

    def release(self) -> None:
        """Leave the checkpoint to whoever resumes it."""
        folder_.let_go(self._lock)
        self._lock = None

    def on_scale_start(self, run: Run, pictures: ScaledInputs) -> None:
        """Measure time from the start of the run."""
        if not self._begun:
            self._begun, self._since = True, time.perf_counter()

    def on_iteration(self, run: Run) -> None:
        """Write a checkpoint if one is due."""
        if self._enabled and self._is_due(run):
            self._write(run)

    def on_scale_end(self, run: Run) -> None:
        """Write where a run was stopped; an automatic one only if it is long or was interrupted."""
        self.unfinished = run.stopped
        if run.stopped and self._enabled and (self._long or run.reason == End.INTERRUPTED):
            self._write(run)

    def _is_due(self, run: Run) -> bool:
        now = time.perf_counter()
        self._long = self._long or self._expected_seconds(run, now) >= LONG
        if not self._long:
            return False
        if not self.written and not self.automatic:
            return True
        size = sum(item.nbytes for item in run.solver.state_dict().values() if isinstance(item, Tensor))
        return now - self._since >= max(EVERY, size / self._speed * (1 / SHARE - 1))

    def _expected_seconds(self, run: Run, now: float) -> float:
        """Return the seconds that the whole run will take, by what was measured; 0 before that."""
        left = run.seconds_left()
        if left is not None:
            return now - self._since + left
        done, total = work_of(run)
        if self._first is None:
            self._first = (now, done) if run.state.tracking.count else None
            return 0.0
        began, before = self._first
        return (now - began) / (done - before) * total if done > before else 0.0

    def _write(self, run: Run) -> None:
        """Write a checkpoint. If that fails the run continues, unless it is the first one of a named file."""
        began = time.perf_counter()
        try:
            if self.automatic and not self.written:
                folder_.tidy()
                self.path.parent.mkdir(parents=True, exist_ok=True)
            if self._lock is None:
                self._lock = folder_.claimed(self.path)
            if not self.written and not self.automatic and self._listed:
                folder_.point_to(self.path)
            size = write(self.path, checkpoint_of(run, self.folders, self.note))
            self.written = True
            self._speed = max(1.0, size / max(1e-6, time.perf_counter() - began))
        except (ImpastoError, OSError, MemoryError) as error:
            if not self.written and not self.automatic:
                raise
            if not self._complained:
                log.warning("no checkpoint: %s", str(error) or type(error).__name__)
            self._complained = True
        self._since = time.perf_counter()


CheckpointLike = str | os.PathLike[str] | bool | Checkpoints | None


def open_checkpoints(
    checkpoint: CheckpointLike, inputs: Sequence[Any]
) -> contextlib.AbstractContextManager[Checkpoints]:
    """Return the checkpoints of a run, for a `with` block; those that the caller made are not ended.

    The paths among the inputs (pictures, styles and sequences of these) say where to find them again.
    """
    if isinstance(checkpoint, Checkpoints):
        return contextlib.nullcontext(checkpoint)
    parts = [item if isinstance(item, (list, tuple)) else [item] for item in inputs]
    paths = [Path(item) for part in parts for one in part for item in _paths_of(one)]
    folders = dict.fromkeys(path.absolute() if path.is_dir() else path.absolute().parent for path in paths)
    path = None if isinstance(checkpoint, bool) else checkpoint
    return Checkpoints(path, folders=folders, enabled=checkpoint not in (None, False))


def _paths_of(item: Any) -> Iterator[Any]:
    """Yield what of an input is a path: its own, and those of its masks."""
    if isinstance(item, (str, os.PathLike)):
        yield item
    for name in ("picture", "mask", "source_mask"):
        if (inner := getattr(item, name, None)) is not None:
            yield from _paths_of(inner)
