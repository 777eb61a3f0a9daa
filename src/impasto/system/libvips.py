"""What libvips keeps for the whole process, set for this program while a call uses it, and set back after.

with used():
    image = pyvips.Operation.call("jpegload_buffer", data)
"""

import contextlib
import functools
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pyvips

_log = logging.getLogger("pyvips")
_lock = threading.RLock()
_set_back = contextlib.ExitStack()
_uses = 0  # blocks that run, in all threads; the first sets, the last sets back


@contextlib.contextmanager
def used() -> Iterator[None]:
    """Let libvips cache nothing and log what can be shown; a host program's settings come back at the end.

    Its cache of operations would keep the pixels of pictures that are no longer used.
    """
    global _uses
    with _lock:
        if not _uses:
            _set_cache()
            _set_log()
        _uses += 1
    try:
        yield
    finally:
        with _lock:
            _uses -= 1
            if not _uses:
                _set_back.close()


def _set_cache() -> None:
    most = pyvips.cache_get_max()
    pyvips.cache_set_max(0)

    def set_back() -> None:
        if pyvips.cache_get_max() == 0:  # else another thread has set it meanwhile
            pyvips.cache_set_max(most)

    _set_back.callback(set_back)


def _set_log() -> None:
    """Send libvips' log to the logger of pyvips, whatever bytes are in it; GLib calls the newest handler."""
    levels = pyvips.GLogLevelFlags
    mask = sum(levels.LEVEL_TO_LOGGER) | levels.FLAG_FATAL | levels.FLAG_RECURSION
    handler = pyvips.glib_lib.g_log_set_handler(b"VIPS", mask, _callback(), pyvips.ffi.NULL)
    _set_back.callback(pyvips.glib_lib.g_log_remove_handler, b"VIPS", handler)


@functools.cache
def _callback() -> Any:
    """Return the handler, which must not be freed while libvips has it.

    pyvips' own handler fails on texts of damaged files that are not UTF-8, and cffi prints that traceback to
    the terminal.
    """
    levels = pyvips.GLogLevelFlags.LEVEL_TO_LOGGER

    def handle(domain: Any, level: int, message: Any, data: Any) -> None:
        text = b"" if message == pyvips.ffi.NULL else pyvips.ffi.string(message)
        _log.log(levels.get(level, logging.WARNING), "VIPS: %s", text.decode("utf-8", "replace"))

    return pyvips.ffi.callback("GLogFunc", handle)
