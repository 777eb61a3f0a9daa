"""A folder of pictures as one style: which files count. No torch here."""

import os
from pathlib import Path

from impasto.errors import InputError
from impasto.messages import printable, reason

MOST = 64  # files of a folder, at most


def is_folder(source: object) -> bool:
    """Whether a source of a picture is the path of a folder."""
    return isinstance(source, (str, os.PathLike)) and os.path.isdir(source)  # noqa: PTH112


def files_in(folder: str | os.PathLike[str]) -> list[Path]:
    """Return the files of a folder by name, hidden ones and folders in it left out.

    Raises:
        InputError: It cannot be read, or has no file or too many.
    """
    shown = printable(folder)
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if not e.name.startswith(".") and e.is_file())
    except OSError as error:
        raise InputError(f"the folder {shown} cannot be read: {reason(error)}") from error
    if not names:
        raise InputError(f"the folder {shown} has no pictures; a style needs at least one")
    if len(names) > MOST:
        raise InputError(
            f"the folder {shown} has {len(names)} files; as one style it may have {MOST}: choose some"
        )
    return [Path(folder) / name for name in names]
