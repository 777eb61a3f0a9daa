"""All errors for the user, with their exit codes.

    Exception
    ├── ImpastoError            base of all errors meant for the user        exit 1
    │   ├── InputError          a setting, an argument or a picture is wrong exit 2
    │   │   ├── SettingsError   a value in `Settings`, `Runtime` or `Style`
    │   │   └── PictureError    a picture that cannot be read or used
    │   ├── ResourceError       memory or disk is not enough                 exit 3
    │   │   └── OutputError     the result cannot be written
    │   ├── WeightsError        VGG-19's weights are missing or not genuine  exit 4
    │   └── NumericalError      not even the start has a finite loss         exit 5
    └── Stop                    not an error: raise it in a callback to end a run cleanly
    KeyboardInterrupt
    └── RunInterrupted          Ctrl-C in Python; `result` is the best picture so far

Every message is one line: what is wrong, in which file or field, and what to do. Typical use::

    try:
        impasto.stylize("cat.jpg", "starry.jpg").save("out.png")
    except impasto.ImpastoError as error:
        print(error)
"""

from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from impasto.transfer.result import Result


class ExitCode(IntEnum):
    """Exit codes of the command line."""

    DONE = 0  # the picture is written
    BUG = 1  # a bug in impasto: the only case with a traceback
    USAGE = 2  # wrong usage or bad input
    RESOURCE = 3  # memory, disk or output
    WEIGHTS = 4  # the network's weights
    NUMERICAL = 5  # numerical trouble; the best picture so far is saved
    SOME = 6  # some pictures of several failed
    HUNG_UP = 129  # SIGHUP, the terminal was closed; the best picture so far, if any, is saved
    INTERRUPTED = 130  # Ctrl-C (SIGINT); the best picture so far, if any, is saved
    TERMINATED = 143  # SIGTERM; the best picture so far, if any, is saved


class ImpastoError(Exception):
    """Base of all errors that a user can correct."""

    exit_code: ExitCode = ExitCode.BUG


class InputError(ImpastoError):
    """An argument, a setting or an input file is wrong."""

    exit_code = ExitCode.USAGE


class SettingsError(InputError):
    """A value in `Settings`, `Runtime` or `Style` is out of range or unknown."""


class PictureError(InputError):
    """A picture cannot be read or used."""


class ResourceError(ImpastoError):
    """The machine does not have enough memory or disk."""

    exit_code = ExitCode.RESOURCE


class OutputError(ResourceError):
    """The result cannot be written."""


class WeightsError(ImpastoError):
    """The weights of VGG-19 are missing, damaged or not genuine."""

    exit_code = ExitCode.WEIGHTS


class NumericalError(ImpastoError):
    """The losses stopped being finite and no step could be found."""

    exit_code = ExitCode.NUMERICAL


class Stop(Exception):
    """Raise this in an `on_step` callback: the run ends and returns its best picture.

    Args:
        reason: The value of `Result.stopped`; `interrupted` for Ctrl-C in the command line.
    """

    def __init__(self, reason: str = "stop") -> None:
        super().__init__(reason)
        self.reason = reason


class End(StrEnum):
    """Why a scale, and perhaps the run, ended; these words are in recipes."""

    EVALUATIONS = "evaluations"
    TOLERANCE = "tolerance"
    NO_DECREASE = "no further decrease"
    BUDGET = "budget"
    OUT_OF_MEMORY = "out of memory"
    NOT_FINITE = "not finite"
    INTERRUPTED = "interrupted"
    STOP = "stop"  # a callback of the caller raised `Stop`


FINISHED = {End.EVALUATIONS, End.TOLERANCE, End.NO_DECREASE, End.BUDGET}  # another scale may follow
REPEATABLE = {*FINISHED, End.INTERRUPTED, End.NOT_FINITE}  # counting evaluations repeats such a run


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C in Python or a notebook, after the first evaluation; `result` is the best picture so far.

    It is a `KeyboardInterrupt`, so a loop over pictures ends as well.
    """

    def __init__(self, result: "Result") -> None:
        super().__init__("interrupted; the best picture so far is the attribute `result` of this exception")
        self.result = result


class EndOfScale(Exception):
    """Raised in an evaluation or a callback to end a scale; a finer one may follow."""

    def __init__(self, reason: End) -> None:
        super().__init__(reason)
        self.reason = reason
