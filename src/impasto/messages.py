"""Text for messages: counts, names, reasons, durations."""

import difflib
import os
from collections.abc import Iterable, Mapping

NEAR = 0.7  # how similar two words are at least, 0 to 1, to be taken for each other
NOTE = 25  # level of the log between INFO and WARNING


def counted(count: int, what: str) -> str:
    """Return a count with its noun, such as `1 cell` or `2 cells`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def did_you_mean(word: str, known: Iterable[str], meant: Mapping[str, str] | None = None) -> str:
    """Return `" Did you mean X?"` for what a word means or the most similar known word, or an empty string.

    `meant` has what other words mean: a known word, which may have more words after it.
    """
    words = list(known)
    found = (meant or {}).get(word.lower().replace("-", "_"), "")
    if found.partition(" ")[0] in words:
        return f" Did you mean {found}?"
    near = difflib.get_close_matches(word, words, n=1, cutoff=NEAR)
    return f" Did you mean {near[0]}?" if near else ""


def printable(name: str | os.PathLike[str]) -> str:
    """Return a name with escapes for characters that are not printable, so that it is one line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in os.fspath(name)) or "''"


def as_text(name: str) -> str:
    """Return a name that can be encoded in UTF-8; bytes that cannot become escapes."""
    return name.encode(errors="backslashreplace").decode()


def reason(error: OSError | ValueError) -> str:
    """Return why a file operation failed, in a few lower-case words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return printable(str(error)) or type(error).__name__


def duration(seconds: float) -> str:
    """Return a duration as `45 s`, `1:05 min` or `2:03 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d} h" if hours < 48 else f"{hours / 24:.0f} days"
