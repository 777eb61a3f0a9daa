"""Where files of ours are kept, and where a result goes when its own place fails. No torch here."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

APP = "impasto"


def cache_folder() -> Path:
    """Return the cache folder: `IMPASTO_CACHE_DIR`, or the platform's own place for caches."""
    return _folder("IMPASTO_CACHE_DIR", platformdirs.user_cache_dir)


def data_folder() -> Path:
    """Return the folder of what was imported: `IMPASTO_DATA_DIR`, or the platform's place for data."""
    return _folder("IMPASTO_DATA_DIR", platformdirs.user_data_dir)


def config_folder() -> Path:
    """Return the folder of the user's presets: `IMPASTO_CONFIG_DIR`, or the platform's place."""
    return _folder("IMPASTO_CONFIG_DIR", platformdirs.user_config_dir)


def temporary_folder() -> Path:
    """Return a folder of this user's own among the temporary files."""
    number = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir()) / f"{APP}-{number}"


def fallbacks(wanted: Path) -> Iterator[Path]:
    """Yield the folders for a result that cannot be written as `wanted`, the nearest first."""
    yield wanted.parent  # it may be the name alone that fails
    yield Path()
    for usual in (platformdirs.user_pictures_dir, Path.home):
        folder = _absolute(usual)
        if folder is not None:
            yield folder
    yield cache_folder() / "rescued"
    yield Path(tempfile.gettempdir())


def _folder(variable: str, usual: Callable[..., str]) -> Path:
    chosen = os.environ.get(variable)
    if chosen:
        return Path(chosen)
    return _absolute(lambda: usual(APP, appauthor=False)) or temporary_folder()


def _absolute(usual: Callable[[], str | Path]) -> Path | None:
    """Return a folder of the user's; None for a user without a home, where "~" would become one."""
    try:
        folder = Path(usual())
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None
