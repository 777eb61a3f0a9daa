"""A painting process without torch: it sleeps, and its pictures are made of hashes of what was sent.

A job has `settings.evaluations` evaluations of STUB_SECONDS each. It keeps checkpoints, previews and wishes
as the real one does, and a draft is painted inside a full run. Each evaluation mixes the state with its
number, so a run that misses one, or does one twice, ends in another picture. A seed of 13 kills it.

A film has STUB_FRAMES frames of three evaluations each, or of `settings.evaluations`; its state is kept after
each frame. Its file is a video that plays.
"""

import contextlib
import hashlib
import json
import os
import queue
import signal
import threading
import time
from pathlib import Path

import numpy as np

from impasto.image.metadata import FileInfo
from impasto.image.pixels import Pixels
from impasto.studio.workers import plain
from impasto.system.files import publish
from impasto.system.lines import connected, end_with_parent

SECONDS = float(os.environ.get("STUB_SECONDS", "0.005"))
EVERY = int(os.environ.get("STUB_CHECKPOINT", "5"))  # evaluations between two checkpoints
FRAMES = int(os.environ.get("STUB_FRAMES", "5"))
DEADLY = 13


def expected(request: dict, evaluations: int) -> bytes:
    """Return the state after so many evaluations."""
    parts = [
        request["settings"],
        [Path(request["photo"]).name],
        [item["weight"] for item in request["styles"]],
    ]
    state = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
    for number in range(1, evaluations + 1):
        state = hashlib.sha256(state + number.to_bytes(4)).digest()
    return state


def pixels(state: bytes) -> np.ndarray:
    """Return the picture of a state, 32 x 24."""
    tiled = (state * (32 * 24 * 3 // len(state) + 1))[: 32 * 24 * 3]
    return np.frombuffer(tiled, np.uint8).reshape(24, 32, 3)


class Stub:
    def __init__(self, send) -> None:
        self.send, self.waiting, self.jobs, self.count = send, queue.PriorityQueue(), {}, 0

    def take(self, request: dict) -> None:
        if "wish" in request:
            if request["job"] in self.jobs:
                self.jobs[request["job"]]["wish_now"] = request["wish"]
            return
        self.count += 1
        self.jobs[request["job"]] = request
        self.waiting.put((request["rank"], self.count, request))

    def work(self) -> None:
        while True:
            self.paint(self.waiting.get()[2])

    def paint(self, request: dict) -> None:
        place = {"job": request["job"], "token": request["token"]}
        if request["do"] == "estimate":
            answer = {"event": "estimate", "seconds": 1.0, "memory": 10**8, "width": 32, "height": 24}
            if request["film"]:
                each = 1000.0 if request["film"]["settings"]["steadiness"] == 1 else 1.0
                answer |= {"frames": FRAMES, "seconds": each * FRAMES}
        elif request["film"]:
            answer = self.film(request, place)
        else:
            answer = self.run(request, place)
        self.jobs.pop(request["job"], None)
        self.send({**answer, **place})

    def run(self, request: dict, place: dict) -> dict:
        planned = request["settings"]["evaluations"] or 20
        done, state, version = 0, expected(request, 0), request["version"]
        checkpoint = request["checkpoint"] and Path(request["checkpoint"])
        if checkpoint and checkpoint.exists():
            held = json.loads(checkpoint.read_bytes())
            done, state = held["done"], bytes.fromhex(held["state"])
        while done < planned:
            wish = request["wish_now"]
            if wish == "cancel" or (wish == "stop" and not done):
                return {"event": "ended", "how": "cancel"}
            if wish in ("pause", "leave"):
                self.keep(checkpoint, done, state)
                return {"event": "ended", "how": wish}
            if wish == "stop":
                break
            time.sleep(SECONDS)
            done += 1
            state = hashlib.sha256(state + done.to_bytes(4)).digest()
            if request["settings"]["seed"] == DEADLY and done == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            if done % EVERY == 0:
                self.keep(checkpoint, done, state)
            self.send({"event": "step", "progress": progress(done, planned), **place})
            if done == 1 or done % EVERY == 0:
                version += 1
                preview(request, state)
                self.send({"event": "preview", "version": version, **place})
            while (other := self.before(request["rank"])) is not None:
                self.paint(other)
        write(Path(request["result"]), state)
        preview(request, state)
        facts = {"width": 32, "height": 24, "seconds": 0.1, "losses": {"total": 1.0}, "note": None}
        how = "done" if done == planned else "stop"
        return {"event": "ended", "how": how, "result": facts, "version": version + 1}

    def film(self, request: dict, place: dict) -> dict:
        planned = request["settings"]["evaluations"] or 3
        target = Path(request["film"]["target"] + ".mp4")
        folder = target.with_name(f"{target.name}.frames")
        folder.mkdir(exist_ok=True)
        held = folder / "state.json"
        states = json.loads(held.read_bytes()) if held.exists() else []
        state, version = bytes.fromhex(states[-1]) if states else expected(request, 0), request["version"]
        while len(states) < FRAMES:
            for done in range(1, planned + 1):
                wish = request["wish_now"]
                if wish in ("pause", "leave", "cancel"):
                    return {"event": "ended", "how": wish}
                if wish == "stop" and states:
                    break
                time.sleep(SECONDS)
                facts = progress(done, planned) | {"loss": None, "frame": len(states) + 1, "frames": FRAMES}
                self.send({"event": "step", "progress": facts, **place})
                while (other := self.before(request["rank"])) is not None:
                    self.paint(other)
            if request["wish_now"] == "stop" and states:
                break
            state = hashlib.sha256(state + len(states).to_bytes(4)).digest()
            if request["settings"]["seed"] == DEADLY and len(states) == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            states.append(state.hex())
            publish(held, json.dumps(states).encode(), overwrite=True)
            version += 1
            preview(request, state)
            self.send({"event": "preview", "version": version, **place})
        encode(target, [pixels(bytes.fromhex(item)) for item in states])
        write(Path(request["result"]), bytes.fromhex(states[0]))
        preview(request, bytes.fromhex(states[0]))
        made = {"frames": len(states), "seconds": len(states) / 5, "suffix": ".mp4"}
        facts = {"width": 32, "height": 24, "seconds": 0.1, "losses": {}, "note": None, "film": made}
        how = "done" if len(states) == FRAMES else "stop"
        return {"event": "ended", "how": how, "result": facts, "version": version + 1}

    def before(self, rank: int) -> dict | None:
        with contextlib.suppress(queue.Empty):
            entry = self.waiting.get_nowait()
            if entry[0] < rank:
                return entry[2]
            self.waiting.put(entry)
        return None

    def keep(self, checkpoint: Path | None, done: int, state: bytes) -> None:
        if checkpoint:
            data = json.dumps({"done": done, "state": state.hex()}).encode()
            publish(checkpoint, data, overwrite=True)


def write(path: Path, state: bytes) -> None:
    found = Pixels.of_array(pixels(state), "srgb")
    plain.write(path, plain.Plain("<result>", found, FileInfo()))


def encode(path: Path, frames: list[np.ndarray]) -> None:
    import av

    def content(file) -> None:
        with av.open(file, "w", "mp4", container_options={"fflags": "+bitexact"}) as container:
            stream = container.add_stream("libx264", rate=5, options={"crf": "30"})
            stream.height, stream.width = 8 * frames[0].shape[0], 8 * frames[0].shape[1]
            stream.pix_fmt = "yuv420p"
            for values in frames:
                large = np.ascontiguousarray(values.repeat(8, 0).repeat(8, 1))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(large, "rgb24")))
            container.mux(stream.encode())

    publish(path, content, overwrite=True)


def preview(request: dict, state: bytes) -> None:
    import pyvips

    image = pyvips.Image.new_from_array(pixels(state))
    publish(request["preview"], bytes(image.write_to_buffer(".jpg")), overwrite=True)


def progress(done: int, planned: int) -> dict:
    return {
        "scale": 1, "scales": 1, "evaluation": done, "evaluations": planned, "width": 32, "height": 24,
        "loss": 1 / done, "content_loss": None, "style_loss": 1 / done, "seconds": done * SECONDS,
        "remaining_seconds": (planned - done) * SECONDS,
    }  # fmt: skip


def main() -> None:
    end_with_parent()
    requests, send = connected()
    next(requests)
    stub = Stub(send)

    def read() -> None:
        for request in requests:
            stub.take(request)
        os.kill(os.getpid(), signal.SIGKILL)

    def beat() -> None:
        while True:
            time.sleep(1)
            send({"event": "beat"})

    for target in (read, beat):
        threading.Thread(target=target, daemon=True).start()
    send({"event": "ready", "devices": ["cpu"], "weights": "stub"})
    stub.work()


if __name__ == "__main__":
    main()
