"""Whether a file has the SHA-256 that it should; one that has not changed is not read twice. No torch here.

That a file was right is remembered in the cache folder, by device, inode, size and times. A changed file has
another time even where its size is the same; the time at which the inode changed (ctime) counts too, for
programs can set the other one back. Bytes that a disk loses by itself change no time: `forget()`, which
`impasto weights verify` calls, has everything read again.
"""

import hashlib
import json
import logging
import os
import time
from pathlib import Path

from impasto.errors import OutputError
from impasto.system.app_dirs import cache_folder
from impasto.system.files import publish

NOTE = "verified.json"
MOST = 64  # files that are remembered
SETTLED = (
    2.0  # seconds; a file changed more recently may change again within the same tick of its clock
)

log = logging.getLogger(__name__)


def verified(path: Path, wanted: str) -> bool:
    """Return whether a file has this SHA-256 in hexadecimal; an unchanged one is not read twice.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        info = os.fstat(file.fileno())
        key, known = _key(info), _remembered()
        if known.get(key) == wanted:
            return True
        if hashlib.file_digest(file, "sha256").hexdigest() != wanted:
            return False
        calm = time.time() - max(info.st_mtime, info.st_ctime) > SETTLED
        if calm and _key(os.fstat(file.fileno())) == key:
            _remember({**known, key: wanted})
    return True


def forget() -> None:
    """Have all files read again."""
    if _remembered():
        _remember({})


def _key(info: os.stat_result) -> str:
    return f"{info.st_dev}:{info.st_ino}:{info.st_size}:{info.st_mtime_ns}:{info.st_ctime_ns}"


def _remembered() -> dict[str, str]:
    try:
        found = json.loads((cache_folder() / NOTE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def _remember(known: dict[str, str]) -> None:
    """Keep the latest sums; a cache folder that cannot be written is no error."""
    latest = dict(list(known.items())[-MOST:])
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        publish(folder / NOTE, json.dumps(latest, indent=1).encode(), overwrite=True)
    except (OutputError, OSError) as error:
        log.debug("not kept which files were verified: %s", error)
