"""The folders where impasto keeps files of its own. No torch here."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

APP = "impasto"


def cache_folder() -> Path:
    """Return the cache folder: `IMPASTO_CACHE_DIR`, or the platform's folder for caches."""
    return _folder("IMPASTO_CACHE_DIR", platformdirs.user_cache_dir)


def data_folder() -> Path:
    """Return the folder of imported weights: `IMPASTO_DATA_DIR`, or the platform's folder for data."""
    return _folder("IMPASTO_DATA_DIR", platformdirs.user_data_dir)


def config_folder() -> Path:
    """Return the folder of the user's presets: `IMPASTO_CONFIG_DIR`, or the platform's folder."""
    return _folder("IMPASTO_CONFIG_DIR", platformdirs.user_config_dir)


def temporary_folder() -> Path:
    """Return a folder for this user among the temporary files."""
    number = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir()) / f"{APP}-{number}"


def _folder(variable: str, platform_folder: Callable[..., str]) -> Path:
    chosen = os.environ.get(variable)
    if chosen:
        return Path(chosen)
    try:
        folder = Path(platform_folder(APP, appauthor=False))
    except RuntimeError:  # a user without a home
        return temporary_folder()
    return folder if folder.is_absolute() else temporary_folder()  # relative: "~" without a home
