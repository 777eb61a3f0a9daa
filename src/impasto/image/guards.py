"""Turn what image libraries raise on damaged files into errors for the user; check sizes.

with convert_errors("cat.jpg"):
    image = pyvips.Operation.call("jpegload_buffer", data)
"""

import contextlib
import logging
import math
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import pyvips

from impasto.config.limits import Input
from impasto.errors import ImpastoError, InputError, PictureError, ResourceError
from impasto.messages import printable
from impasto.system import libvips
from impasto.system.process import refuse_fork

_BYTES, _SECONDS = 1.2e9, 10.0  # that opening a picture takes at most under the default limit of pixels

_log = logging.getLogger(__name__)
_quiet_lock = threading.RLock()  # one thread at a time may change warnings, and redirect standard error


def check_size(width: int, height: int, label: str, limits: Input) -> None:
    """Refuse a picture that is too large, before it is unpacked.

    Raises:
        PictureError: It has more pixels, or a longer side, than `limits` allow.
    """
    size = f"{label} has {width} x {height} pixels, more than"
    if width * height > limits.max_pixels:
        allowed = f"{limits.max_pixels / 10**6:g} million (--max-pixels)"
        raise PictureError(f"{size} {allowed}; make it smaller first, or raise the limit")
    if max(width, height) > limits.max_side:
        allowed = f"{limits.max_side} on one side (--max-side)"
        raise PictureError(f"{size} {allowed}; make it smaller first, or raise the limit")


@dataclass(frozen=True)
class Cost:
    """What opening a file takes at most: bytes of memory, and seconds of one core."""

    bytes: float
    seconds: float

    def more(self, pixels: int, of_pixel: float, time: float = 0) -> "Cost":
        """Return it with further bytes, and nanoseconds, of each pixel."""
        return Cost(self.bytes + of_pixel * pixels, self.seconds + time * pixels / 1e9)


def check_cost(cost: Cost, label: str, limits: Input) -> None:
    """Refuse a file that takes too much memory or time, before it is unpacked.

    A higher limit of pixels raises both bounds by the same factor.

    Raises:
        PictureError: It takes more than the bounds.
    """
    default = Input().max_pixels
    part = max(cost.bytes / _BYTES, cost.seconds / _SECONDS)
    factor = max(1.0, limits.max_pixels / default)
    if part > factor:
        memory, seconds = cost.bytes / 1e9, cost.seconds
        allowed = f"{_BYTES * factor / 1e9:.3g} GB and {_SECONDS * factor:.0f} s are allowed"
        needed = f"--max-pixels {math.ceil(part * default / 1e6) + 1}MP"
        raise PictureError(
            f"{label} takes about {memory:.2g} GB of memory and {max(1, seconds):.0f} s to open; {allowed}; "
            f"make it smaller first, save it as JPEG, or raise the limit ({needed})"
        )


@contextlib.contextmanager
def convert_errors(label: str) -> Iterator[None]:
    """Turn errors of files, libvips and memory into `PictureError` and `ResourceError`.

    What a library says goes to the log, which the command line shows with `-v`.
    """
    refuse_fork()
    pyvips.vips_lib.vips_error_clear()  # else a refusal would carry what was said of another file
    try:
        with libvips.used():
            yield
    except (pyvips.Error, UnicodeError) as error:
        raise _damaged(label, detail(error)) from error
    except MemoryError as error:
        raise ResourceError(f"not enough memory for {label}; give a smaller picture") from error
    except InputError as error:
        raise PictureError(str(error)) from error


@contextlib.contextmanager
def convert_pillow_errors(label: str) -> Iterator[None]:
    """Do the same for Pillow and pi-heif, which raise nearly anything on damaged files, and warn."""
    try:
        with _quiet():
            yield
    except (ImpastoError, MemoryError, pyvips.Error):
        raise
    except Exception as error:
        if "memory" in str(error).lower():
            raise MemoryError from error
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise _damaged(label, printable(lines[0])[:120]) from error


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore warnings, in one thread at a time: else the filters of another would be set back too late."""
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discard warnings, and what C libraries below Pillow, such as libtiff, write to standard error."""
    with without_warnings(), contextlib.ExitStack() as after:
        with contextlib.suppress(OSError):  # without a standard error there is nothing to discard
            saved = os.dup(2)
            after.callback(os.close, saved)
            null = os.open(os.devnull, os.O_WRONLY)
            after.callback(os.close, null)
            os.dup2(null, 2)
            after.callback(os.dup2, saved, 2)
        yield


def _damaged(label: str, why: str) -> PictureError:
    _log.info("%s: %s", label, why)
    return PictureError(f"{label} is damaged, or of a kind that cannot be read; export it anew as PNG")


def detail(error: pyvips.Error | UnicodeError) -> str:
    """Return the first line of libvips' message that is not a warning, if it is readable."""
    if isinstance(error, UnicodeError):  # pyvips could not decode the message, and left it there
        pyvips.vips_lib.vips_error_clear()
        return "unreadable text in it"
    lines = [line.strip() for line in str(error.detail).splitlines()]
    errors = (line for line in lines if line and "Warning" not in line and "bad seek" not in line)
    text = next(errors, error.message)
    return "its data are damaged" if text.startswith("unable to ") else printable(text)[:120]
