"""`kill -9` of the server and its processes at random points: nothing lost, nothing twice, nothing torn."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx2 as httpx
import numpy as np
import psutil
import pytest

from studio.running import TOKEN, Server
from studio.test_jobs import expected

ANSWERS, PAINTS = 3.0, 10.0  # seconds after a kill, on a machine that does nothing else
ROOM = float(os.environ.get("STUDIO_PATIENCE", "10"))  # times as long where tests share the machine


class Journal:
    """A client in a thread: it sends jobs for as long as it runs, and keeps what was acknowledged."""

    def __init__(self, server: Server, pair: dict, seed: int, most: int) -> None:
        self.server, self.pair, self.draw, self.most = server, pair, random.Random(seed), most
        self.acknowledged: dict[str, dict] = {}  # id -> settings
        self.sent: Counter = Counter()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self.work)
        self._thread.start()

    def work(self) -> None:
        with httpx.Client(
            headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30, trust_env=False
        ) as client:
            number = 0
            while not self._end.wait(self.draw.uniform(0, 0.15)) and number < self.most:
                number += 1
                kind = self.draw.choice(["full", "full", "draft"])
                settings = {"evaluations": self.draw.randint(3, 40), "seed": 1000 + number}
                body = {**self.pair, "kind": kind, "settings": settings}
                key = f"key-{number}"
                for _ in range(200):  # again with the same key, until it is acknowledged
                    self.sent["requests"] += 1
                    try:
                        answer = client.post(
                            f"{self.server.address}/api/v1/jobs", json=body, headers={"Idempotency-Key": key}
                        )
                    except httpx.HTTPError:
                        time.sleep(0.05)
                        continue
                    assert answer.status_code in (202, 429), answer.text
                    if answer.status_code == 202:
                        id = answer.json()["id"]
                        assert id not in self.acknowledged
                        self.acknowledged[id] = settings
                    break

    def end(self) -> None:
        self._end.set()
        self._thread.join()


def victims(server: Server) -> dict[str, int]:
    """Return the processes by what they are."""
    found = {"server": server.process.pid}
    for child in psutil.Process(server.process.pid).children():
        name = " ".join(child.cmdline())
        found["painter" if "stub_painter" in name else "decoder"] = child.pid
    return found


def soak(folder: Path, kills: int, seed: int) -> dict[str, object]:
    """Kill so often while jobs are sent, let the rest end, and check what is there; return the counts."""
    draw, counts = random.Random(seed), Counter()
    answered, painted = [], []
    server = Server(folder / "data", seconds=0.004, limits={"queue": 10_000})
    try:
        server.ready()
        pair = server.pair()
        journal = Journal(server, pair, seed, 4 * kills)
        for _ in range(kills):
            time.sleep(draw.uniform(0, 0.6))
            who = draw.choice(["server", "server", "painter", "painter", "decoder"])
            pid = victims(server).get(who)
            if pid is None:
                who, pid = "server", server.process.pid
            counts[who] += 1
            os.kill(pid, signal.SIGKILL)
            began = time.monotonic()
            if who == "server":
                server.process.wait()
                server.start()
            server.until(lambda: server.get("/healthz").status_code == 200, ANSWERS * ROOM)
            answered.append(time.monotonic() - began)
            if who != "decoder":
                server.ready(PAINTS * ROOM)
                painted.append(time.monotonic() - began)
        journal.end()
        check(server, pair, journal, counts)
    finally:
        server.stop()
    torn = [path.name for path in (folder / "data").rglob("*.tmp")]
    return {
        **counts,
        "kills": kills,
        "jobs": len(journal.acknowledged),
        "requests": journal.sent["requests"],
        "answers after": round(max(answered), 2),
        "paints after": round(max(painted), 2),
        "left behind": len(torn),
    }


def check(server: Server, pair: dict, journal: Journal, counts: Counter) -> None:
    """Every acknowledged job is there once, ended, and has the bytes of an undisturbed run."""
    for id in journal.acknowledged:
        server.ended(id, 120)
    listed: dict[str, dict] = {}
    before = None
    while page := server.get(
        "/api/v1/jobs", params={"limit": 500} | ({"before": before} if before else {})
    ).json()["jobs"]:
        assert not listed.keys() & {job["id"] for job in page}
        listed |= {job["id"]: job for job in page}
        before = page[-1]["number"]
    lost = journal.acknowledged.keys() - listed.keys()
    assert not lost, f"{len(lost)} jobs lost"
    seeds = Counter(job["settings"]["seed"] for job in listed.values())
    assert max(seeds.values()) == 1, "a request made two jobs"
    for id, settings in journal.acknowledged.items():
        job = listed[id]
        counts[job["state"]] += 1
        if job["state"] == "done":
            assert np.array_equal(server.result(id), expected(pair, **settings)), "other bytes"
        else:
            assert job["state"] == "failed", job  # a process was killed three times in it
            assert "SIGKILL" in job["error"]["detail"]
        results = list((server.data / "jobs").glob(f"{id}-*.pixels"))
        assert len(results) == (job["state"] == "done"), "a job with two results, or none"


@pytest.mark.slow
def test_fifteen_kills(tmp_path) -> None:
    counts = soak(tmp_path, 15, seed=4)
    print(json.dumps(counts))  # noqa: T201
    assert counts["jobs"] > 10
    assert counts["done"] > 5


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_two_hundred_kills(tmp_path, seed) -> None:
    """Fifty with each seed."""
    counts = soak(tmp_path, 50, seed)
    print(json.dumps(counts))  # noqa: T201
    assert counts["jobs"] > 40


@pytest.mark.slow
def test_two_servers_on_one_folder(tmp_path) -> None:
    """The second one does not begin, and the first one is not disturbed."""
    server = Server(tmp_path / "data")
    try:
        server.ready()
        command = [
            sys.executable,
            "-m",
            "impasto",
            "studio",
            "--no-browser",
            "--data",
            str(tmp_path / "data"),
        ]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"the studio runs already: {server.address}/?token=")
        assert time.monotonic() - began < 30
        token = done.stdout.strip().rpartition("=")[2]
        assert "set-cookie" in server.get(f"/?token={token}", follow_redirects=False).headers
    finally:
        server.stop()
