"""Small facts of this machine that are remembered in the cache folder, as JSON; none of them is needed."""

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from impasto.errors import ImpastoError
from impasto.system.app_dirs import cache_folder
from impasto.system.files import publish


def read_entries(file: str) -> dict[str, Any]:
    """Return the entries of a file in the cache folder; none where it is missing or torn."""
    try:
        entries = json.loads((cache_folder() / file).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}


def write_entries(file: str, entries: Mapping[str, Any]) -> None:
    """Write the entries of a file in the cache folder, as far as it can be written."""
    with contextlib.suppress(OSError, ImpastoError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        publish(cache_folder() / file, json.dumps(entries, indent=1).encode(), overwrite=True)
