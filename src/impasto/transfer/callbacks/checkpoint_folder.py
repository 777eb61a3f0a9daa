"""Where checkpoints lie: the folder of automatic ones, which runs are unfinished, and their locks."""

import contextlib
import hashlib
import os
import time
from pathlib import Path

from filelock import FileLock, Timeout

from impasto.errors import InputError, OutputError
from impasto.messages import printable
from impasto.system.app_dirs import cache_folder
from impasto.system.files import check_target, publish

KEPT = 5  # unfinished runs whose automatic checkpoints stay
MOST = 4_000_000_000  # bytes of them, the newest one not counted
STALE = 3600.0  # seconds after which a temporary file belongs to nobody any more


def folder() -> Path:
    """Return where automatic checkpoints lie."""
    return cache_folder() / "checkpoints"


def last() -> Path:
    """Return the checkpoint of the last run that was not finished and is not at work.

    Raises:
        InputError: There is none.
    """
    for path in reversed(unfinished()):
        if not at_work(path):
            return path
    raise InputError("there is no unfinished run to resume; give the FILE that --checkpoint wrote")


def at_work(path: Path) -> bool:
    """Return whether a process is writing to a checkpoint."""
    try:
        let_go(claimed(path))
    except InputError:
        return True
    return False


def tidy() -> None:
    """Remove the oldest automatic checkpoints, beyond the number and the bytes that stay."""
    room, own = MOST, [path for path in unfinished() if path.parent == folder()]
    for number, path in enumerate(reversed(own), start=1):
        room -= _time_and_size(path)[1]
        if (number >= KEPT or room < 0) and not at_work(path):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        for item in folder().glob(".impasto-*.tmp"):
            if time.time() - item.stat().st_mtime > STALE:
                item.unlink()


def unfinished() -> list[Path]:
    """Return all checkpoints known here, the latest last."""
    found: dict[Path, float] = {}
    with contextlib.suppress(OSError):
        for item in folder().iterdir():
            path = item
            if item.suffix == ".path":
                path = Path(os.fsdecode(item.read_bytes()))
            elif item.suffix != ".safetensors":
                continue
            if when := _time_and_size(path)[0]:
                found[path] = when
    return sorted(found, key=lambda path: found[path])


def age(path: Path) -> float:
    """Return the seconds since a checkpoint was written."""
    return max(0.0, time.time() - _time_and_size(path)[0])


def _time_and_size(path: Path) -> tuple[float, int]:
    try:
        info = path.stat()
    except (OSError, ValueError):
        return 0.0, 0
    return info.st_mtime, info.st_size


def _key(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
    return folder() / name


def pointer(path: Path) -> Path:
    """Return the file in the folder that points to a checkpoint elsewhere."""
    return _key(path).with_suffix(".path")


def point_to(path: Path) -> None:
    """Have `last` know of a checkpoint elsewhere, as far as the cache folder can be written."""
    with contextlib.suppress(OSError, OutputError):
        folder().mkdir(parents=True, exist_ok=True)
        publish(pointer(path), os.fsencode(path), overwrite=True)


def claimed(path: Path) -> FileLock | None:
    """Return the lock of a checkpoint, held; None where the cache folder cannot be written.

    Raises:
        InputError: Another process holds it.
    """
    lock = FileLock(_key(path).with_suffix(".lock"))
    try:
        folder().mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            f"{printable(path)}: this run is at work in another process; wait for it, or end it first"
        ) from error
    except OSError:
        return None
    return lock


def let_go(lock: FileLock | None) -> None:
    """Release a lock and remove its file."""
    if lock is not None:
        with contextlib.suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def check_free(path: Path, *, force: bool) -> None:
    """Refuse a name for a checkpoint that cannot be written, or that would cost another one.

    Raises:
        InputError: A checkpoint is there already.
        OutputError: It cannot be written there.
    """
    check_target(path, overwrite=True)
    if path.is_file() and not force:
        raise InputError(
            f"the checkpoint {printable(path)} exists already: impasto resume continues it; to begin anew "
            "remove it, give another name or --force"
        )
