"""What the command line writes: results on standard output, errors in one line. No torch here."""

import contextlib
import json
import os
import sys

from impasto.cli.watch import json_lines
from impasto.errors import OutputError
from impasto.messages import printable, reason

_closed = False  # whether standard output was closed when the program began


def dumps(value: object) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, indent=2)


def out(result: str | bytes) -> None:
    """Write one line, or the bytes of a picture, to standard output.

    Raises:
        OutputError: It cannot be written.
        BrokenPipeError: Nobody reads any more.
    """
    try:
        if isinstance(result, bytes):
            sys.stdout.buffer.write(result)
        else:
            sys.stdout.write(result + "\n")
        sys.stdout.flush()
    except OSError as error:
        mute()
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"cannot write to standard output: {reason(error)}") from error


def open_streams() -> None:
    """Connect streams that are closed with the null device: where a daemon or `pythonw` starts the program.

    Otherwise the next file that is opened would become standard output, and texts would end up in it.
    """
    global _closed
    _closed = sys.stdout is None
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        _closed = _closed or descriptor == 1
    os.close(descriptor)
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False, errors="backslashreplace"))


def begin_json_lines(*, beside_a_picture: bool) -> None:
    """Write JSON lines from now on: to standard output, or standard error where a picture goes there."""
    json_lines.begin(sys.stderr if beside_a_picture else sys.stdout)


def why_no_picture() -> str:
    """Return why standard output cannot take the bytes of a picture; empty if it can."""
    return "closed" if _closed else "the terminal" if sys.stdout.isatty() else ""


def escape() -> None:
    r"""Have characters that the terminal's encoding lacks written as escapes, such as `\u732b`."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def mute() -> None:
    """Drop what standard output still holds, so that the end of the program is quiet."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(message: str, code: int) -> int:
    """Write one line of error to standard error and return the exit code."""
    json_lines.error(message, code)
    if json_lines.stream is not sys.stderr:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"impasto: error: {printable(message)}\n")
    return int(code)
