"""An actor of a Ray cluster without torch, as `stub_worker.py` is a process.

A photo called `dies` or `once` kills it, the latter once. The seed is the milliseconds that a picture takes.
"""

import hashlib
import os
import signal
import time
from pathlib import Path

from impasto._version import __version__
from impasto.errors import PictureError
from impasto.many.done import key_of
from impasto.many.jobs import BatchSpec
from impasto.many.rays import fetched
from many.stub_worker import choices, png, recipe_of


class StubActor:
    def __init__(self, spec, chosen) -> None:
        self.spec = BatchSpec.from_json(spec, Path())

    def begin(self, request, files) -> dict:
        assert fetched(files)
        machine = {"processor": "stub"}
        answer = {"event": "ready", "choices": choices(self.spec.looks), "workers": 2, "machine": machine}
        return {**answer, "impasto": __version__}

    def paint(self, look: int, key: str, part: int, photo, files) -> tuple[dict, bytes]:
        name, data = photo
        kind = name.partition("-")[0].partition(".")[0]
        died = Path(self.spec.looks[look].paintings[0].picture).with_name(f".{name}.died")
        if kind == "dies" or (kind == "once" and not died.exists()):
            if kind == "once":
                died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "broken":
            return {"event": "failed", "error": PictureError.__name__, "detail": f"{name} is broken"}, b""
        time.sleep(self.spec.looks[look].settings.seed / 1000)
        recipe = recipe_of(self.spec.looks[look], data, name)
        if key_of(recipe) != key:
            return {"event": "changed"}, b""
        facts = {"losses": {"total": 1.0}, "stopped": "evaluations", "fault": "", "seconds": 0.0}
        answer = {"event": "done", "width": 1, "height": 1, **facts}
        return answer, png(recipe, hashlib.sha256(data).digest()[:3])
