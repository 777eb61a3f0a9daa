"""A result whose place cannot be written goes elsewhere rather than be lost. No torch here.

After minutes of computing the disk may be full, the folder gone or the name taken. The folders of
`app_dirs.fallbacks` are tried then, and the user is told where the result is::

    path, trouble = keep(Path("/full/out.png"), data, overwrite=False)
"""

import contextlib
import os
from pathlib import Path

from impasto.errors import OutputError
from impasto.messages import printable
from impasto.system.app_dirs import cache_folder, fallbacks
from impasto.system.files import publish

LONGEST_STEM = 120  # characters
LONGEST_BYTES = 200  # of the 255 that a file's name may have as a rule


def shortened(stem: str) -> str:
    """Return the printable beginning of a stem that leaves room for numbers and a suffix behind it.

    It does not begin with a dash, so that no program takes the name for a flag.
    """
    shown = printable(stem).lstrip("-")[:LONGEST_STEM] or "picture"
    return shown.encode()[:LONGEST_BYTES].decode(errors="ignore")


def keep(wanted: Path, data: bytes, *, overwrite: bool, what: str = "picture") -> tuple[Path, str]:
    """Publish a result under its name or, where that fails, in the first place that works.

    Args:
        wanted: The name asked for.
        data: The whole file.
        overwrite: Whether the file of that name may be replaced; never one elsewhere.
        what: What it is, for messages.

    Returns:
        Where it is and, if that is not the name asked for, why, in one line.

    Raises:
        OutputError: It can be written nowhere.
    """
    try:
        return publish(wanted, data, overwrite=overwrite), ""
    except OutputError as error:
        tried = []
        for folder in fallbacks(wanted):
            with contextlib.suppress(OSError):
                if folder.parent == cache_folder():
                    folder.mkdir(parents=True, exist_ok=True)
            try:
                path = publish(_free(folder, wanted), data)
            except OutputError:
                tried.append(printable(folder.absolute()))
                continue
            return path, f"{error}; the {what} is saved as {printable(path.absolute())}"
        places = ", ".join(dict.fromkeys(tried))
        raise OutputError(f"{error}; the {what} is lost, for these failed too: {places}") from error


def published(wanted: Path, data: bytes, *, overwrite: bool) -> Path:
    """Publish a result of a series, which ends where that fails, as the next ones would fail alike.

    Raises:
        OutputError: It could not be written under its name; says where it is instead.
    """
    path, trouble = keep(wanted, data, overwrite=overwrite)
    if trouble:
        raise OutputError(trouble)
    return path


def _free(folder: Path, wanted: Path) -> Path:
    """Return a name like the one wanted that nobody has in a folder."""
    stem, number = shortened(wanted.stem), 1
    while True:
        path = folder / f"{stem}{f'-{number}' if number > 1 else ''}{wanted.suffix}"
        if not os.path.lexists(path):
            return path
        number += 1
