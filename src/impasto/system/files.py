"""Read and write whole files.

A file is written under a temporary name in the same folder, flushed to the disk, and then renamed. So a
killed process, a full disk or an error never leaves half a file, nor damages the one that was there before::

    publish("out.json", b"{}", overwrite=False)
"""

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from impasto.errors import InputError, OutputError, ResourceError
from impasto.messages import printable, reason

# Here, without torch or libvips, so that the command line can check names before it imports them.
WRITABLE = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".avif")  # formats of a result
# Endings that mean one of these, or for which one of these is the nearest.
MEANT = dict.fromkeys((".jfif", ".jif", ".jpe", ".jfi", ".pjpeg", ".pjp", ".mpo"), ".jpg")
MEANT |= dict.fromkeys((".gif", ".bmp", ".tga", ".apng", ".ppm", ".pnm", ".qoi", ".ico", ".jp2"), ".png")
MEANT |= dict.fromkeys((".heic", ".heif", ".hif", ".avifs"), ".avif")
MEANT |= dict.fromkeys((".psd", ".dng", ".exr", ".btf", ".tf8", ".raw"), ".tif")
MAX_BYTES = 200_000_000  # of a file that is read
PART = 8_000_000  # bytes that are hashed at a time
_ahead: dict[Path, tuple[threading.Thread, dict[tuple[int, ...], str]]] = {}  # hashes at work
_NO_HARD_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV)


def is_pipe(path: str | os.PathLike[str]) -> bool:
    """Whether a name stands for what a program writes to this one, as the shell's `<(program)` does."""
    return os.fspath(path).startswith(("/dev/fd/", "/proc/self/fd/")) or os.fspath(path) == "/dev/stdin"


def read_whole(path: str | os.PathLike[str], limit: int, content: str) -> bytes:
    """Return all bytes of an ordinary file, or of a pipe that the shell opened, `<(program)`.

    Named pipes and devices are refused.

    Args:
        path: Of the file.
        limit: Bytes of it, at most.
        content: What it should hold, for the message about a folder, as "a picture".

    Raises:
        InputError: It is missing, a folder, a device, empty, larger than `limit` bytes, or
            cannot be read.
    """
    label = printable(path)
    if not os.fspath(path):
        raise InputError("the name of a file to read is empty (''); check the path")
    try:
        piped = is_pipe(path) and stat.S_ISFIFO(Path(path).stat().st_mode)
        size = limit if piped else min(check_ordinary(path, content).st_size, limit)
        with Path(path).open("rb") as file:
            data = file.read(size + 1)
    except FileNotFoundError as error:
        raise InputError(f"{label} does not exist; check the path") from error
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {label}: {reason(error)}; check the path") from error
    except MemoryError as error:
        raise ResourceError(f"not enough memory to read {label}; give a smaller file") from error
    check_length(data, limit, label)
    return data


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    thread, result = _ahead.pop(path, (None, {}))
    if thread is not None:
        thread.join()
        if _stamp(path) in result:  # unchanged since
            return result[_stamp(path)]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_ahead(path: Path) -> None:
    """Begin to hash a file in a thread, for the next call of `file_sha256`.

    Large parts are hashed at a time, during which other threads compute.
    """

    def work() -> None:
        with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
            before, whole, part = _stamp(path), hashlib.sha256(), memoryview(bytearray(PART))
            while count := file.readinto(part):
                whole.update(part[:count])
            result[before] = whole.hexdigest()

    result: dict[tuple[int, ...], str] = {}
    thread = threading.Thread(target=work, daemon=True)
    _ahead[path] = thread, result
    thread.start()


def _stamp(path: Path) -> tuple[int, ...]:
    """Return what a change of a file changes."""
    info = path.stat()
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def check_ordinary(path: str | os.PathLike[str], content: str) -> os.stat_result:
    """Return the status of a file that should hold `content`; refuse what is not an ordinary file.

    Raises:
        InputError: It is a folder or a device.
        OSError: It does not exist.
    """
    label, info = printable(path), Path(path).stat()
    if stat.S_ISDIR(info.st_mode):
        raise InputError(f"{label} is a folder; give one file: {content}")
    if not stat.S_ISREG(info.st_mode):
        raise InputError(f"{label} is not an ordinary file; give one that is")
    return info


def check_length(data: bytes, limit: int, label: str) -> None:
    """Refuse an empty file and one larger than `limit` bytes."""
    if not data:
        raise InputError(f"{label} is empty; give another file")
    if len(data) > limit:
        raise InputError(f"{label} is larger than {limit / 10**6:g} MB; give a smaller file")


def check_target(
    path: str | os.PathLike[str], *, inputs: Iterable[Path] = (), overwrite: bool = False
) -> Path:
    """Check, before any work, that a file can be published under this name.

    Args:
        path: The file to be written.
        inputs: Files that are read in the same run; they are not replaced even with `overwrite`.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path, unchanged.

    Raises:
        InputError: The file is one of the inputs.
        OutputError: The name is a folder, it exists and may not be replaced, or its folder is
            missing or not writable.
    """
    target = Path(path)
    label = printable(target)
    try:
        _check_inputs(target, inputs)
        if target.is_dir():
            raise _folder(label)
        if os.path.lexists(target):
            if target.exists() and not target.is_file():
                raise OutputError(f"{label} is not an ordinary file; give another name")
            if not overwrite:
                raise _exists(label)
        _check_folder(target.parent)
        target.stat()  # a name that is too long fails here
    except FileNotFoundError:
        pass  # the name is free
    except (OSError, ValueError) as error:
        raise _failed(label, error) from error
    return target


def publish(
    path: str | os.PathLike[str], data: bytes | Callable[[BinaryIO], None], *, overwrite: bool = False
) -> Path:
    """Write `data` to `path`, completely or not at all.

    Args:
        path: The file to write. With `overwrite`, the target of a symbolic link is replaced.
        data: The whole content, or a function that writes it to an open file.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path that was written.

    Raises:
        OutputError: It cannot be written; the file that was there before is untouched.
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
            with contextlib.suppress(OSError, ValueError):  # after renaming, it does not exist
                os.unlink(temporary)  # noqa: PTH108
    return target


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file, which is made if it is not there; a last line that is torn is ended first.

    Lines of several processes do not mix, where the file system appends as a whole.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        try:
            size = os.lseek(descriptor, 0, os.SEEK_END)
            if size and os.lseek(descriptor, size - 1, os.SEEK_SET) >= 0 and os.read(descriptor, 1) != b"\n":
                line = b"\n" + line
            if os.write(descriptor, line + b"\n") != len(line) + 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _failed(printable(path), error) from error


def _check_inputs(target: Path, inputs: Iterable[Path]) -> None:
    """Refuse a target that is the same file as an input, also under another name."""
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
    """Create a new file with the default permissions and flush it to the disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        if isinstance(data, bytes):
            left = memoryview(data)
            while left:  # a partial write is possible, as on a disk that is nearly full
                left = left[os.write(descriptor, left) :]
        else:
            with open(descriptor, "wb", closefd=False) as file:
                data(file)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _claim(temporary: Path, target: Path) -> None:
    """Rename the file, unless a file of that name exists.

    Where there are no hard links, as on FAT, the name is reserved first: a process killed between the two
    calls leaves an empty file.
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
    """Flush the new name to the disk, where the system can do that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _folder(label: str) -> OutputError:
    return OutputError(f"{label} is a folder; give the name of a file")


def _exists(label: str) -> OutputError:
    return OutputError(
        f"{label} exists already; give another name, or --force (overwrite=True) to replace it"
    )


def _failed(label: str, error: OSError | ValueError) -> OutputError:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "free some space or give another place" if full else "give another place or name"
    return OutputError(f"cannot write {label}: {reason(error)}; {remedy}")
