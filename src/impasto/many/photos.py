"""Which photos are meant by files, folders, patterns and lists; how they are read. No torch here.

Of a folder, hidden files, partial files and files whose ending is none of a picture do not count; files that
are named do, whatever they are called.
"""

import csv
import glob
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from impasto.config.limits import Input
from impasto.errors import InputError
from impasto.messages import printable, reason
from impasto.system.files import MEANT, WRITABLE, read_whole

PARTIAL = (".part", ".partial", ".crdownload", ".download", ".tmp", "~")  # endings of files still written
TRIES, PAUSE = 3, 0.1  # of reading a photo that changes, and the seconds between them
ENDINGS = {*WRITABLE, *MEANT, ".pgm", ".pbm", ".pfm", ".pam", ".j2k", ".jpx", ".sgi", ".tpic"}  # of pictures


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo: its path, where it lies below the folder that was named, and whether it was found there."""

    path: str
    below: str
    found: bool = False


def is_taken(name: str) -> bool:
    """Whether a file of this name in a folder counts as a photo."""
    return not name.startswith(".") and not name.endswith(PARTIAL) and Path(name).suffix.lower() in ENDINGS


def find(names: Sequence[str], *, recursive: bool = False, without: Path | None = None) -> Iterator[Photo]:
    """Yield all photos of files, folders and patterns, those of a folder by name.

    Args:
        names: As they were typed.
        recursive: Whether folders in a folder count; each once, so that circles of links end.
        without: A folder that is left out: that of the results.

    Raises:
        InputError: A name is missing, a pattern fits nothing, a folder cannot be read or is `without`.
    """
    for name in names:
        if os.path.isdir(name):  # noqa: PTH112
            yield from _in_folder(name, recursive=recursive, without=without)
        elif os.path.lexists(name) or not glob.has_magic(name):
            if not os.path.lexists(name):
                raise InputError(f"{printable(name)} does not exist; check the path")
            yield Photo(name, os.path.basename(name))  # noqa: PTH119
        else:
            yield from _of_pattern(name, recursive=recursive, without=without)


def _of_pattern(pattern: str, *, recursive: bool, without: Path | None) -> Iterator[Photo]:
    """Yield what a pattern means that the shell left alone; folders below its fixed part are kept."""
    fixed = pattern
    while glob.has_magic(fixed):
        fixed = os.path.dirname(fixed)  # noqa: PTH120
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  names stay as they are
    if not found:
        raise InputError(f"no file fits {printable(pattern)}; check the path")
    for name in found:
        if os.path.isdir(name):  # noqa: PTH112
            yield from _in_folder(name, recursive=recursive, without=without) if recursive else ()
        elif is_taken(os.path.basename(name)):  # noqa: PTH119
            yield Photo(name, os.path.relpath(name, fixed or ".").replace(os.sep, "/"), found=True)


def _in_folder(root: str, *, recursive: bool, without: Path | None) -> Iterator[Photo]:
    """Yield the photos of a folder."""
    left_out = None if without is None or not without.exists() else _identity(os.fspath(without))
    if left_out is not None and _identity(root) == left_out:
        raise InputError(
            f"{printable(root)} has the photos, and the results cannot go there as well; give another folder "
            "with -o"
        )
    seen, waiting = {left_out}, [""]
    while waiting:
        below = waiting.pop()
        folder = os.path.join(root, below) if below else root  # noqa: PTH118
        identity = _identity(folder)
        if identity in seen:
            continue
        seen.add(identity)
        folders = []
        for name, is_folder in _listed(folder):
            inside = f"{below}/{name}" if below else name
            if is_folder:
                folders += [inside] if recursive and not name.startswith(".") else []
            elif is_taken(name):
                yield Photo(os.path.join(folder, name), inside, found=True)  # noqa: PTH118
        waiting += reversed(folders)


def _identity(folder: str) -> tuple[int, int]:
    try:
        info = os.stat(folder)  # noqa: PTH116
    except OSError as error:
        raise _unreadable(folder, error) from error
    return info.st_dev, info.st_ino


def _listed(folder: str) -> list[tuple[str, bool]]:
    """Return what is in a folder, by name, and whether it is one; links count as what they lead to."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, _is_folder(entry)) for entry in entries)
    except OSError as error:
        raise _unreadable(folder, error) from error


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _unreadable(folder: str, error: OSError) -> InputError:
    return InputError(
        f"the folder {printable(folder)} cannot be read: {reason(error)}; make it readable, or leave it out"
    )


def pairs(path: str) -> Iterator[tuple[Photo, tuple[str, ...]]]:
    """Yield the rows of a list: a photo and its painting, or several; relative to the folder of the list.

    A first row that begins with `photo` has names of columns.

    Raises:
        InputError: The list cannot be read, or a row has no painting.
    """
    folder = os.path.dirname(path)  # noqa: PTH120
    try:
        with Path(path).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, row in enumerate(csv.reader(file), start=1):
                cells = [cell.strip() for cell in row if cell.strip()]
                if not cells or (number == 1 and cells[0].lower() == "photo"):
                    continue
                if len(cells) < 2:
                    raise InputError(
                        f"--pairs {printable(path)}: row {number} has no painting; write photo,painting"
                    )
                names = [os.path.join(folder, cell) for cell in cells]  # noqa: PTH118
                yield Photo(names[0], os.path.basename(names[0])), tuple(names[1:])  # noqa: PTH119
    except (OSError, csv.Error) as error:
        raise InputError(f"--pairs: cannot read {printable(path)}: {error}; check the path") from error


def read_stable(path: str, limits: Input) -> bytes:
    """Return all bytes of a picture's file, read while nobody wrote it.

    Raises:
        InputError: It cannot be read, or changes again and again.
    """
    for attempt in range(TRIES):
        before = stamp(path)
        data = read_whole(path, limits.max_bytes, "a picture")
        if before is not None and stamp(path) == before and len(data) == before[0]:
            return data
        if attempt < TRIES - 1:
            time.sleep(PAUSE)
    raise InputError(f"{printable(path)} changes while it is read; try again when it is complete")


def stamp(path: str) -> tuple[int, int, int] | None:
    """Return what a change of a file changes; None if it is not there."""
    try:
        info = Path(path).stat()
    except (OSError, ValueError):
        return None
    return info.st_size, info.st_mtime_ns, info.st_ino
