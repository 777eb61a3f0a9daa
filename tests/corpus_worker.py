"""Opens each file named on standard input in a process of its own and says as JSON how that ended.

For test_corpus.py: forked, so that a crash is that of one file, starts cost nothing, and memory is counted
from the same ground. What anything writes to the descriptors 1 and 2, be it C, is caught.
"""

import io
import json
import logging
import os
import resource
import select
import signal
import sys
import tempfile
import time

import torch
from PIL import Image

from impasto.errors import ImpastoError
from impasto.image.picture import Picture

EDGE = 512  # px
CPU = 20  # seconds of processor after which one is killed
KILL = 240  # seconds by the clock: other programs may have the machine
SMALL = io.BytesIO()
Image.new("RGBA", (16, 16)).save(SMALL, "PNG")
SMALL = SMALL.getvalue()
UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


def opened(name: str) -> dict[str, object]:
    """Open a file, read all its pixels, and tell what it is or why not."""
    try:
        picture = Picture.open(name)
        scale = EDGE / max(picture.width, picture.height)
        size = [max(1, round(side * scale)) for side in (picture.width, picture.height)]
        colors, alpha = picture.tensor(*size), picture.alpha(*size)
    except ImpastoError as error:
        return {"error": str(error), "kind": type(error).__name__, "code": int(error.exit_code)}
    sound = [torch.isfinite(part).all() and 0 <= part.min() and part.max() <= 1
             for part in (colors, alpha) if part is not None]  # fmt: skip
    return {
        "size": [picture.width, picture.height],
        "alpha": alpha is not None,
        "bits": picture.bits,
        "notes": picture.notes,
        "sound": all(map(bool, sound)),
        "colour": float((colors.amax(1) - colors.amin(1)).max()),
    }


def child(name: str, pipe: int, output: int) -> None:
    """Do it in this process, and end it."""
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU, CPU))
    torch.set_num_threads(1)
    logging.getLogger("impasto").addHandler(logging.NullHandler())  # notes are no stray output
    Picture.of(SMALL).tensor(4, 4)  # what any picture loads does not count as memory of this one
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    try:
        found = opened(name)
    except BaseException as error:
        found = {"traceback": repr(error)}
    after = resource.getrusage(resource.RUSAGE_SELF)
    found["seconds"] = time.perf_counter() - start
    found["processor"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found["memory"] = (after.ru_maxrss - before.ru_maxrss) * UNIT
    sys.stdout.flush()
    os.write(pipe, json.dumps(found).encode())
    os._exit(0)


def attempt(name: str) -> dict[str, object]:
    """Fork, wait, and say what the child said, or how it died."""
    with tempfile.TemporaryFile() as output:
        ours, theirs = os.pipe()
        number = os.fork()
        if number == 0:
            os.close(ours)
            child(name, theirs, output.fileno())
        os.close(theirs)
        said, ended = b"", time.monotonic() + KILL
        while select.select([ours], [], [], max(0, ended - time.monotonic()))[0]:
            part = os.read(ours, 65_536)
            if not part:
                break
            said += part
        else:
            os.kill(number, signal.SIGKILL)
        os.close(ours)
        status = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
        output.seek(0)
        stray = output.read().decode("utf-8", "replace")
    found = json.loads(said) if said else {"died": status}
    return {**found, "file": name, "stray": stray}


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(attempt(line.removesuffix("\n"))) + "\n")
        sys.stdout.flush()
