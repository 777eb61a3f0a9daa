"""Write a result to another folder when its own cannot be written. No torch here.

After minutes of computing the disk may be full, the folder gone or the name taken. The result then goes to
the current folder or, if that fails too, to the one for temporary files::

    path, problem = save_or_fall_back(Path("/full/out.png"), data, overwrite=False)
"""

import os
import tempfile
from pathlib import Path

from impasto.errors import OutputError
from impasto.messages import printable
from impasto.system.files import publish

LONGEST_STEM = 120  # characters
LONGEST_BYTES = 200  # of the 255 that a file name may have as a rule


def shortened(stem: str) -> str:
    """Return the printable beginning of a stem, with room for a number and a suffix.

    It does not begin with a dash, so that no program takes the name for a flag.
    """
    start = printable(stem).lstrip("-")[:LONGEST_STEM] or "picture"
    return start.encode()[:LONGEST_BYTES].decode(errors="ignore")


def save_or_fall_back(
    target: Path, data: bytes, *, overwrite: bool, what: str = "picture"
) -> tuple[Path, str]:
    """Write a result under its name or, where that fails, in the first fall-back folder that works.

    Args:
        target: The requested name.
        data: The whole file.
        overwrite: Whether a file of this name may be replaced; never in a fall-back folder.
        what: What the data are, for messages.

    Returns:
        The path of the file and, if it is not the requested one, the reason in one line.

    Raises:
        OutputError: It cannot be written in any of the folders.
    """
    try:
        return publish(target, data, overwrite=overwrite), ""
    except OutputError as error:
        failed = []
        for folder in (Path(), Path(tempfile.gettempdir())):
            try:
                path = publish(_free_name(folder, target), data)
            except OutputError:
                failed.append(printable(folder.absolute()))
                continue
            return path, f"{error}; the {what} is saved as {printable(path.absolute())}"
        folders = ", ".join(dict.fromkeys(failed))
        raise OutputError(f"{error}; the {what} is lost, for these failed too: {folders}") from error


def save_or_stop(target: Path, data: bytes, *, overwrite: bool) -> Path:
    """Write one result of a series; one that had to fall back ends the series, as the next ones would too.

    Raises:
        OutputError: It could not be written under its name; the message says where it is instead.
    """
    path, problem = save_or_fall_back(target, data, overwrite=overwrite)
    if problem:
        raise OutputError(problem)
    return path


def _free_name(folder: Path, target: Path) -> Path:
    """Return the name of `target` in a folder, with a number if that is taken."""
    stem, number = shortened(target.stem), 1
    while True:
        path = folder / f"{stem}{f'-{number}' if number > 1 else ''}{target.suffix}"
        if not os.path.lexists(path):
            return path
        number += 1
