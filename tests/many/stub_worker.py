"""A painting process without torch: its pictures are 1 x 1 px with the recipe of the job.

How a photo is called says what happens to it: `broken`, `dies` (always), `once` (dies the first time),
`whole` (dies unless it has half the memory), `memory` (fails unless it has half the memory), `full` (the disk
is), `faulty` (its losses are not finite). STUB_SECONDS is what a picture takes.
"""

import errno
import hashlib
import os
import signal
import sys
import threading
import time
import zlib
from pathlib import Path

from impasto._version import __version__
from impasto.config.recipe import InputRecord, Recipe
from impasto.config.runtime import Runtime
from impasto.errors import ImpastoError, OutputError, PictureError
from impasto.image.xmp import pack
from impasto.many.done import key_of
from impasto.many.jobs import BatchSpec
from impasto.many.photos import read_stable
from impasto.system.files import publish
from impasto.system.lines import connected, end_with_parent

SHA = "5" * 64  # of the weights
SECONDS = float(os.environ.get("STUB_SECONDS", "0"))


def recipe_of(look, photo: bytes, name: str, stopped: str = "evaluations") -> Recipe:
    styles = tuple(
        InputRecord(
            name=Path(item.picture).name,
            sha256=hashlib.sha256(Path(item.picture).read_bytes()).hexdigest(),
            width=1, height=1, weight=item.weight, stroke=item.stroke,
        )
        for item in look.paintings
    )  # fmt: skip
    content = InputRecord(name=name, sha256=hashlib.sha256(photo).hexdigest(), width=1, height=1)
    return Recipe(
        impasto=__version__, created="", settings=look.settings.changed(weights=None), runtime=Runtime(),
        content=content, styles=styles, weights="stub", weights_sha256=SHA, scales=(), losses={"total": 1.0},
        seconds=0.0, stopped=stopped, reproducible=True, machine={},
    )  # fmt: skip


def png(recipe: Recipe, color: bytes) -> bytes:
    """Return a picture of one pixel with a recipe in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    packet = pack(recipe.model_dump_json())
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", (1).to_bytes(4) + (1).to_bytes(4) + b"\x08\x02\0\0\0")
        + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
        + chunk(b"IDAT", zlib.compress(b"\0" + color))
        + chunk(b"IEND", b"")
    )


def paint(spec: BatchSpec, request: dict) -> dict:
    photo, target = Path(request["photo"]), Path(request["target"])
    kind, half = photo.stem.partition("-")[0], request["part"] == 2
    died = photo.parent / f".{photo.stem}.died"
    if kind == "dies" or (kind == "whole" and not half) or (kind == "once" and not died.exists()):
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    data = read_stable(str(photo), spec.limits)
    if kind == "broken":
        raise PictureError(f"{photo.name} is broken; give another one")
    if kind == "memory" and not half:
        return {"event": "failed", "error": "ResourceError", "detail": "memory ran out", "memory": True}
    if kind == "full":
        raise OutputError(f"cannot write {target}: {os.strerror(errno.ENOSPC).lower()}; free some space")
    time.sleep(SECONDS)
    stopped = "not finite" if kind == "faulty" else "evaluations"
    recipe = recipe_of(spec.looks[request["look"]], data, photo.name, stopped)
    if key_of(recipe) != request["key"]:
        return {"event": "changed"}
    try:
        publish(target, png(recipe, hashlib.sha256(data).digest()[:3]), overwrite=request["overwrite"])
    except OutputError:
        if target.exists():
            return {"event": "exists"}
        raise
    facts = {"losses": {"total": 1.0}, "stopped": stopped, "fault": "the style loss", "seconds": SECONDS}
    return {"event": "done", "width": 1, "height": 1, **facts}


def choices(looks) -> list[dict]:
    runtime = Runtime(device="cpu", threads=1, precision="fp32", kernels="direct").model_dump(mode="json")
    return [
        {"convention": kind[0], "weights": kind[1], "sha256": SHA, "runtime": runtime}
        for kind in dict.fromkeys(look.network for look in looks)
    ]


def main() -> None:
    end_with_parent()
    requests, send = connected()
    stopped, waiting, ready = threading.Event(), [], threading.Condition()

    def read() -> None:
        for request in requests:
            if request["do"] == "stop":
                stopped.set()
            with ready:
                waiting.append(request)
                ready.notify()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=read, daemon=True).start()
    spec = None
    while True:
        with ready:
            ready.wait_for(lambda: waiting)
            request = waiting.pop(0)
        if request["do"] == "begin":
            spec = BatchSpec.from_json(request["spec"], Path())
            machine = {"processor": os.environ.get("STUB_MACHINE", "stub")}
            answer = {
                "event": "ready",
                "choices": choices(spec.looks),
                "devices": ["cpu"],
                "machine": machine,
            }
            answer["workers"] = request["workers"] or 2
        elif request["do"] == "stop":
            answer = {"event": "stopped"}
        elif stopped.is_set():
            answer = {"event": "dropped"}
        else:
            try:
                answer = paint(spec, request)
            except ImpastoError as error:
                answer = {"event": "failed", "error": type(error).__name__, "detail": str(error)}
        send({**answer, "job": request.get("job")})


COMMAND = [sys.executable, __file__]

if __name__ == "__main__":
    main()
