"""What a process may take that reads strangers' files: no network, little memory, time and disk. No torch.

`confine` is called before anything starts a thread; each limit that the system does not have is left out.
"""

import contextlib
import ctypes
import os
import sys
from pathlib import Path

from impasto.system.lines import prctl

MEMORY = 4_000_000_000  # bytes of addresses beside those of the program
SECONDS = 40  # of the processor, for one request
FILE = 3_000_000_000  # bytes of a file that is written
OPEN = 128  # files
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # namespaces of Linux, of `unshare`
NO_NEW_PRIVILEGES = 38  # of `prctl`


def confine() -> dict[str, str]:
    """Limit this process for good; return what holds, in words by topic."""
    held = {"network": _without_network(), "privileges": "as the server's"}
    if prctl(NO_NEW_PRIVILEGES, 1):
        held["privileges"] = "cannot be gained"
    return held | _limits()


def begin_request() -> None:
    """Let the next request take `SECONDS` of the processor; more kills this process."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        most = int(used.ru_utime + used.ru_stime) + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _limits() -> dict[str, str]:
    try:
        import resource
    except ImportError:  # Windows
        return {"memory": "no limit", "time": "no limit", "files": "no limit"}
    memory = MEMORY + _addresses()
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, FILE),
        (resource.RLIMIT_NOFILE, OPEN),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some
            resource.setrlimit(kind, (most, most))
    kept = resource.getrlimit(resource.RLIMIT_AS)[0] == memory
    return {
        "memory": f"{MEMORY / 1e9:g} GB" if kept else "no limit",
        "time": f"{SECONDS} s of the processor for a picture",
        "files": f"at most {FILE / 1e9:g} GB each",
    }


def _without_network() -> str:
    """Take the network away; needs a process of one thread."""
    if sys.platform != "linux":
        return "as the server's"
    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    if unshare is None or unshare(NEW_USER | NEW_NETWORK) != 0:
        return "as the server's (this system lets no user take it away)"
    return "none"


def _addresses() -> int:
    """Return the bytes of addresses that this process has already."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
