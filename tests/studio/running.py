"""A real server in a process of its own, and a client for it."""

import contextlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import numpy as np
from PIL import Image

HERE = Path(__file__).parent
TOKEN = "a-token-for-the-tests"
STUB = [sys.executable, str(HERE / "stub_painter.py")]
PROGRAM = """
import json, sys
from pathlib import Path
from impasto.studio import serve
from impasto.studio.files import Files
from impasto.studio.limits import Limits
from impasto.studio.security import Access
from impasto.studio.service import Options
from impasto.config.limits import Input
from impasto.config.runtime import Runtime
o = json.loads(sys.argv[1])
files = Files(Path(o["data"]))
with serve.alone(files) as mine:
    assert mine
    listening = serve.listen("127.0.0.1", o["port"], only=True)
    access = Access(files.identity(), o["token"], "127.0.0.1", o["page"])
    options = Options(files.root, Limits(**o["limits"]), Input(**o["input"]), Runtime(**o["runtime"]),
                      [tuple(s[:3]) + (Path(s[3]),) for s in o["samples"]], o["painter"])
    serve.serve(options, access, listening, lambda address: print(
        json.dumps({"address": address, "one_time": access.new_token()}), flush=True))
assert "torch" not in sys.modules
"""


class Server:
    """A running server; `get`, `post` and so on are those of its client, with the bearer token."""

    def __init__(self, data: Path, *, painter=STUB, port: int = 0, page: bool = True, seconds: float = 0.005,
                 limits=None, input=None, runtime=None, samples=(), **environment) -> None:  # fmt: skip
        options = {
            "data": str(data), "port": port, "token": TOKEN, "page": page, "painter": painter,
            "limits": limits or {}, "input": input or {}, "runtime": runtime or {}, "samples": list(samples),
        }  # fmt: skip
        self.data, self.options = data, options
        self.environment = {**os.environ, "STUB_SECONDS": str(seconds), **environment}
        self.start()

    def start(self) -> None:
        began = time.monotonic()
        if hasattr(self, "client"):
            self.close()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(self.options)],
            stdout=subprocess.PIPE,
            env=self.environment,
        )
        assert select.select([self.process.stdout], [], [], 60)[0], "the server does not begin"
        line = self.process.stdout.readline()
        assert line, "the server ended"
        facts = json.loads(line)
        self.address, self.one_time = facts["address"], facts["one_time"]
        self.port = int(self.address.rpartition(":")[2])
        self.options["port"] = self.port
        self.took = time.monotonic() - began
        self.client = httpx.Client(
            base_url=self.address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60, trust_env=False
        )
        for method in ("get", "post", "patch", "delete", "request", "stream"):
            setattr(self, method, getattr(self.client, method))

    def ready(self, seconds: float = 60) -> None:
        self.until(lambda: self.get("/readyz").status_code == 200, seconds)

    def until(self, true, seconds: float = 30, every: float = 0.02):
        end = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < end, "this takes too long"
            time.sleep(every)
        return found

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.client.close()
        self.process.stdout.close()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.kill()
        self.close()
        return self.process.returncode

    # --- what tests do often ---

    def upload(self, data: bytes, name: str = "photo.png") -> str:
        answer = self.post("/api/v1/pictures", files={"file": (name, data)})
        assert answer.status_code in (200, 201), answer.text
        return answer.json()["picture"]

    def pair(self) -> dict:
        """Return the inputs of a job: a photo and a painting."""
        photo, painting = self.upload(picture(1)), self.upload(picture(2), "painting.png")
        return {"photo": photo, "styles": [{"picture": painting}]}

    def paint(self, inputs: dict, headers=None, **more) -> dict:
        answer = self.post("/api/v1/jobs", json={**inputs, **more}, headers=headers or {})
        assert answer.status_code == 202, answer.text
        return answer.json()

    def job(self, id: str) -> dict:
        return self.get(f"/api/v1/jobs/{id}").json()

    def ended(self, id: str, seconds: float = 60) -> dict:
        states = ("done", "stopped", "failed", "cancelled")
        return self.until(lambda: (job := self.job(id))["state"] in states and job, seconds)

    def result(self, id: str) -> np.ndarray:
        answer = self.get(f"/api/v1/jobs/{id}/result")
        assert answer.status_code == 200, answer.text
        return np.asarray(Image.open(io.BytesIO(answer.content)))


@contextlib.contextmanager
def running(data: Path, **options) -> Iterator[Server]:
    server = Server(data, **options)
    try:
        yield server
    finally:
        server.stop()


def picture(seed: int, size=(48, 64), kind: str = "PNG", **options) -> bytes:
    """Return a file of smooth noise; the size is (height, width)."""
    values = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(values).resize(size[::-1], Image.Resampling.BICUBIC)
    image.save(buffer, kind, **options)
    return buffer.getvalue()
