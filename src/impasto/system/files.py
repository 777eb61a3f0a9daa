"""Files come in whole and go out whole, or not at all.

The bytes of a result go to a temporary name in the same folder, are forced to the disk, and only
then take the name asked for. A run that is killed, a full disk or a fault half-way never leaves
half a file, and the file that was there before stays as it was::

    publish("out.json", b"{}", overwrite=False)
"""

import contextlib
import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from impasto.errors import InputError, OutputError, ResourceError
from impasto.messages import printable, reason

# Known here, without torch or libvips, so that the command line can check names before loading either.
WRITABLE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".avif")  # formats of a result
MAX_BYTES = 200_000_000  # of a file that is read
_NO_HARD_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV)


def read_whole(path: str | os.PathLike[str], limit: int) -> bytes:
    """Return all bytes of an ordinary file; never wait for a pipe or read a device.

    Raises:
        InputError: It is missing, a folder, a device, empty, larger than `limit` bytes, or
            cannot be read.
    """
    shown = printable(path)
    if not os.fspath(path):
        raise InputError("the name of a file to read is empty (''); check the path")
    try:
        info = check_ordinary(path)
        with Path(path).open("rb") as file:
            data = file.read(min(info.st_size, limit) + 1)
    except FileNotFoundError as error:
        raise InputError(f"{shown} does not exist; check the path") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {shown}: {reason(error)}; check the path") from error
    except MemoryError as error:
        raise ResourceError(f"not enough memory to read {shown}; give a smaller file") from error
    check_length(data, limit, shown)
    return data


def check_ordinary(path: str | os.PathLike[str]) -> os.stat_result:
    """Refuse what is no ordinary file; return what the system knows of it.

    Raises:
        InputError: It is a folder or a device.
        OSError: It is not there.
    """
    shown, info = printable(path), Path(path).stat()
    if stat.S_ISDIR(info.st_mode):
        raise InputError(f"{shown} is a folder; give one file")
    if not stat.S_ISREG(info.st_mode):
        raise InputError(f"{shown} is not an ordinary file; give one that is")
    return info


def check_length(data: bytes, limit: int, shown: str) -> None:
    """Refuse an empty file and one larger than `limit` bytes."""
    if not data:
        raise InputError(f"{shown} is empty; give another file")
    if len(data) > limit:
        raise InputError(f"{shown} is larger than {limit / 10**6:g} MB; give a smaller file")


def check_target(
    path: str | os.PathLike[str], *, inputs: Iterable[Path] = (), overwrite: bool = False
) -> Path:
    """Find out, before any work, whether a file can be published under this name.

    Args:
        path: The file to be written.
        inputs: Files that are read in the same run; writing over one is refused even with
            `overwrite`.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path, unchanged.

    Raises:
        InputError: The file is one of the inputs.
        OutputError: The name is a folder, it exists and may not be replaced, or its folder is
            missing or not writable.
    """
    target = Path(path)
    shown = printable(target)
    try:
        _check_inputs(target, inputs)
        if target.is_dir():
            raise _folder(shown)
        if os.path.lexists(target):
            if target.exists() and not target.is_file():
                raise OutputError(f"{shown} is not an ordinary file; give another name")
            if not overwrite:
                raise _exists(shown)
        _check_folder(target.parent)
        target.stat()  # a name that is too long fails here
    except FileNotFoundError:
        pass  # as it should be: the name is free
    except (OSError, ValueError) as error:
        raise _failed(shown, error) from error
    return target


def publish(
    path: str | os.PathLike[str],
    data: bytes | Callable[[BinaryIO], None],
    *,
    overwrite: bool = False,
) -> Path:
    """Write `data` under `path`, all of it or nothing.

    Args:
        path: The file to write. Where it is a symbolic link that may be replaced, the file it
            points to is.
        data: The whole content, or a function that writes it into an open file.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path that was written.

    Raises:
        OutputError: It cannot be written; what was there before is untouched.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        real = Path(os.path.realpath(target)) if overwrite else target
        temporary = real.parent / f".impasto-{secrets.token_hex(8)}.tmp"
        _write(temporary, data)
        if overwrite:
            os.replace(temporary, real)  # noqa: PTH105
        else:
            _claim(temporary, real)
        _sync_folder(real.parent)
    except FileExistsError as error:
        if target.is_dir():
            raise _folder(printable(target)) from error
        raise _exists(printable(target)) from error
    except (OSError, ValueError) as error:
        raise _failed(printable(target), error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError, ValueError):  # once renamed, it is there no more
                os.unlink(temporary)  # noqa: PTH108
    return target


def _check_inputs(target: Path, inputs: Iterable[Path]) -> None:
    """Refuse a target that is the same file as an input, under whatever name."""
    for source in inputs:
        if target.exists() and Path(source).exists() and target.samefile(source):
            raise InputError(f"{printable(target)} is also an input; give the result another name")


def _check_folder(folder: Path) -> None:
    """Refuse a folder that is missing or where no file can be created."""
    if not folder.exists():
        raise OutputError(f"the folder {printable(folder)} does not exist; create it first")
    if not folder.is_dir():
        raise OutputError(f"{printable(folder)} is not a folder; give another place")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write into the folder {printable(folder)}: {reason(error)}; give another place"
        ) from error


def _write(path: Path, data: bytes | Callable[[BinaryIO], None]) -> None:
    """Create a new file with the user's usual permissions and force it to the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        if isinstance(data, bytes):
            left = memoryview(data)
            while left:  # a system may take only a part, as on a disk that is nearly full
                left = left[os.write(descriptor, left) :]
        else:
            with open(descriptor, "wb", closefd=False) as file:
                data(file)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _claim(temporary: Path, target: Path) -> None:
    """Give the file its name, unless somebody has that name already.

    Where there are no hard links, as on FAT, the name is reserved first: a process that is killed between
    the two calls leaves an empty file there.
    """
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL))  # FAT: reserve the name
        try:
            os.replace(temporary, target)  # noqa: PTH105
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk, where the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _folder(shown: str) -> OutputError:
    return OutputError(f"{shown} is a folder; give the name of a file")


def _exists(shown: str) -> OutputError:
    return OutputError(
        f"{shown} exists already; give another name, or --force (overwrite=True) to replace it"
    )


def _failed(shown: str, error: OSError | ValueError) -> OutputError:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some space or give another place" if full else "give another place or name"
    return OutputError(f"cannot write {shown}: {reason(error)}; {remedy}")
