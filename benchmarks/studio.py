"""The studio's server under load, and how soon its page has something to show.

python benchmarks/studio.py [--seconds 120] [--rate 300] [--streams 50] [--jobs 2000] [--real] [--json FILE]
python benchmarks/studio.py --page [--json FILE]

Requests a second and their times while a job paints, and the server's memory. The load comes from this
process, by connections that are kept; a request that is sent late counts from when it should have been sent.
With --real, VGG-19 paints meanwhile, else a stub that sleeps. With --page, Chromium opens the page three
times and clicks on an example: the seconds to the first paint, from the click to the first picture, and the
pictures a second in the four seconds after that. At the first visit the network is cold.
"""

import argparse
import asyncio
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "studio"), str(ROOT / "tests" / "studio" / "browser")]

from running import STUB, TOKEN, Server  # noqa: E402

from impasto.cli.samples import sample  # noqa: E402

CONNECTIONS = 32
SAMPLES = [("photo", "photo"), ("painting", "starry_night")]  # kind, name


class Client:
    """One kept connection."""

    def __init__(self, port: int) -> None:
        self._port, self._streams = port, None

    async def request(self, method: str, path: str, body: bytes = b"") -> int:
        """Return the status of a request."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in answer.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        await reader.readexactly(length)
        return int(answer.split(b" ", 2)[1])


async def stream(port: int, counts: Counter) -> None:
    """Read an event stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    writer.write(head.encode())
    while line := await reader.readline():
        counts["events"] += line.startswith(b"event:")


async def load(port: int, job: str, inputs: dict, options: argparse.Namespace) -> dict[str, Any]:
    """Send requests at a rate and return their times and statuses."""
    draw, counts, times = random.Random(0), Counter(), list[float]()
    streams = [asyncio.create_task(stream(port, counts)) for _ in range(options.streams)]
    waiting: asyncio.Queue[tuple[float, str, str, bytes]] = asyncio.Queue()
    created = json.dumps({**inputs, "settings": {"evaluations": 1}}).encode()
    paths = [f"/api/v1/jobs/{job}"] * 6 + [
        "/api/v1/jobs?limit=10",
        "/api/v1/schema",
        f"/api/v1/jobs/{job}/preview",
    ]

    async def work() -> None:
        client = Client(port)
        while True:
            due, method, path, body = await waiting.get()
            status = await client.request(method, path, body)
            counts[str(status)] += 1
            times.append(time.perf_counter() - due)
            waiting.task_done()

    workers = [asyncio.create_task(work()) for _ in range(CONNECTIONS)]
    began, number = time.perf_counter(), 0
    while (now := time.perf_counter()) - began < options.seconds:
        while number < (now - began) * options.rate:
            due = began + number / options.rate
            if options.creates and draw.random() < options.creates:
                waiting.put_nowait((due, "POST", "/api/v1/jobs", created))
            else:
                waiting.put_nowait((due, "GET", draw.choice(paths), b""))
            number += 1
        await asyncio.sleep(0.001)
    await waiting.join()
    for task in (*workers, *streams):
        task.cancel()
    times.sort()
    return {
        "requests": len(times),
        "requests a second": round(len(times) / options.seconds, 1),
        "p50 (ms)": round(1000 * statistics.median(times), 1),
        "p99 (ms)": round(1000 * times[int(0.99 * len(times))], 1),
        "longest (ms)": round(1000 * times[-1], 1),
        "answers": dict(counts),
    }


def memory(server: Server) -> float:
    """Return the memory of the server in MB."""
    return round(psutil.Process(server.process.pid).memory_info().rss / 1e6, 1)


def flat(server: Server, inputs: dict, jobs: int) -> dict[str, Any]:
    """Paint many small jobs and return the server's memory on the way."""
    found = {}
    for number in range(1, jobs + 1):
        id = server.paint(inputs, settings={"evaluations": 1, "seed": number})["id"]
        if number % 50 == 0:
            server.ended(id)
        if number in (jobs // 10, jobs // 2, jobs):
            found[f"after {number} jobs (MB)"] = memory(server)
    return found


def visits(server: Server) -> dict[str, Any]:
    """Open the page in a browser, choose an example, and time what appears; all in the page's own clock."""
    from playwright.sync_api import sync_playwright
    from visitor import BROWSERS, Visitor

    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, BROWSERS)))
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for visit in range(1, 4):
            visitor = Visitor(browser, server).open()
            visitor(".example").first.wait_for()
            page = visitor.page
            first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            began = page.evaluate("performance.now()")
            page.evaluate("document.querySelector('.example').click()")
            visitor.until("performance.getEntriesByType('resource').some(e => /preview/.test(e.name))", 60)
            page.wait_for_timeout(4500)
            ends = page.evaluate(
                "performance.getEntriesByType('resource').filter(e => /preview/.test(e.name))"
                ".map(e => e.responseEnd)"
            )
            later = [end for end in sorted(ends)[1:] if end < min(ends) + 4000]
            found |= {
                f"visit {visit}, first paint (s)": round(first / 1000, 2),
                f"visit {visit}, first picture (s)": round((min(ends) - began) / 1000, 2),
                f"visit {visit}, pictures a second": round(len(later) / 4, 1),
            }
            draft = server.get("/api/v1/jobs?kind=draft&limit=1").json()["jobs"][0]["id"]
            server.ended(draft, 60)  # the next visit shall not wait for it
            visitor.close()
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--rate", type=float, default=300)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--creates", type=float, default=0.01, help="share of requests that create a job")
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        limits = {"queue": 100_000}
        painter = None if options.real or options.page else STUB
        samples = [(kind, name, "", str(sample(name))) for kind, name in SAMPLES] if options.page else ()
        server = Server(Path(folder) / "data", painter=painter, seconds=0.05, limits=limits, samples=samples)
        try:
            server.ready(120)
            found: dict[str, Any] = {"memory at the start (MB)": memory(server)}
            if options.page:
                return report(found | visits(server), options.json)
            inputs = server.pair()
            if options.real:
                names = ("photo", "starry_night")
                photo, painting = (server.upload(sample(name).read_bytes(), f"{name}.jpg") for name in names)
                inputs = {"photo": photo, "styles": [{"picture": painting}]}
                options.creates = 0.0
            job = server.paint(inputs, settings={"evaluations": 50_000})["id"]
            server.until(lambda: server.job(job)["version"] > 0, 120)
            found |= asyncio.run(load(server.port, job, inputs, options))
            found["memory after the load (MB)"] = memory(server)
            assert server.job(job)["state"] == "running"
            server.post(f"/api/v1/jobs/{job}/cancel")
            if not options.real:
                found |= flat(server, inputs, options.jobs)
        finally:
            server.stop()
    report(found, options.json)


def report(found: dict[str, Any], path: Path | None) -> None:
    """Print what was found, and write it to a file."""
    for name, value in found.items():
        print(f"{name:32}{value}")
    if path:
        path.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
