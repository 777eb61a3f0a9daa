"""The stream of events: what it says, and how it continues after a break."""

import asyncio
import contextlib
import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from impasto.studio import events as module
from impasto.studio.events import Events
from studio.running import running


def read(server, seconds: float = 5.0, last: str | None = None, until=lambda event: False) -> list[dict]:
    """Return the events of a stream as {id, event, data}, up to the one that is waited for."""
    headers = {"Last-Event-ID": last} if last else {}
    found, end = [], time.monotonic() + seconds
    with contextlib.suppress(Exception), server.stream("GET", "/api/v1/events", headers=headers) as answer:
        event: dict = {}
        for line in answer.iter_lines():
            if line.startswith(":"):
                continue
            if line:
                name, _, value = line.partition(": ")
                event[name] = json.loads(value) if name == "data" else value
                continue
            found.append(event)
            if until(event) or time.monotonic() > end:
                break
            event = {}
    return found


def is_end(id: str):
    return lambda event: (
        event["event"] == "job" and event["data"]["id"] == id and event["data"]["state"] == "done"
    )


def test_the_course_of_a_job(server, pair) -> None:
    id = server.paint(pair, settings={"evaluations": 100})["id"]
    found = read(server, until=is_end(id))
    assert found[0]["event"] == "hello"
    assert found[0]["data"]["missed"] is False
    assert found[0]["data"]["server"] == server.get("/api/v1/about").json()["server"]
    jobs = [event["data"] for event in found if event["event"] == "job" and event["data"]["id"] == id]
    assert "losses" not in jobs[-1]
    evaluations = [job["progress"]["evaluation"] for job in jobs if job["progress"]]
    assert evaluations == sorted(evaluations)
    assert evaluations[-1] == 100  # the last one is always sent
    assert len(evaluations) < 20  # of half a second: at most five a second, and those of the states
    versions = [event["data"]["version"] for event in found if event["event"] == "preview"]
    assert versions == sorted(set(versions))
    numbers = [int(event["id"].partition("-")[2]) for event in found]
    assert numbers == sorted(numbers)


def test_a_wish_stays_while_a_draft_goes_first(tmp_path) -> None:
    with running(tmp_path / "data", seconds=0.5) as server:
        server.ready()
        pair = server.pair()
        full = server.paint(pair, settings={"evaluations": 50})["id"]
        server.until(lambda: server.job(full)["progress"])
        first = read(server, until=lambda event: True)[0]["id"]
        server.post(f"/api/v1/jobs/{full}/pause")  # the evaluation that is being made ends after it
        draft = server.paint(pair, kind="draft", settings={"evaluations": 2, "seed": 1})["id"]
        found = read(server, last=first, seconds=20, until=is_end(draft))
    jobs = [event["data"] for event in found if event["event"] == "job" and event["data"]["id"] == full]
    assert {job["wish"] for job in jobs if job["state"] == "running"} == {"pause"}
    assert len(jobs) > 1


def test_a_stream_continues_where_it_stood(server, pair) -> None:
    id = server.paint(pair, settings={"evaluations": 5})["id"]
    server.ended(id)
    server.patch(f"/api/v1/jobs/{id}", json={"name": "a"})
    first = read(server, seconds=0.5, until=lambda event: True)[0]["id"]
    for name in ("b", "c", "d"):
        server.patch(f"/api/v1/jobs/{id}", json={"name": name})
    found = read(server, last=first, until=lambda event: event["data"].get("name") == "d")
    found = [event for event in found if event["event"] != "queue"]
    assert [event["data"].get("name") for event in found] == [None, "b", "c", "d"]
    assert found[0]["data"]["missed"] is False
    server.patch(f"/api/v1/jobs/{id}", json={"name": "e"})
    rest = read(server, last=found[2]["id"], until=lambda event: event["data"].get("name") == "e")
    assert [event["data"].get("name") for event in rest[1:]] == ["d", "e"]


@pytest.mark.parametrize("last", ["00000000-5", "nonsense", "-", "x" * 99])
def test_a_stream_of_an_earlier_server_misses_something(server, last) -> None:
    assert read(server, last=last, until=lambda event: True)[0]["data"]["missed"] is True


def test_a_number_of_the_future_misses_something(server) -> None:
    name = server.get("/api/v1/about").json()["server"]
    assert read(server, last=f"{name}-999999999", until=lambda event: True)[0]["data"]["missed"] is True


def test_a_deletion_is_told(server, pair) -> None:
    id = server.paint(pair, settings={"evaluations": 1})["id"]
    server.ended(id)
    first = read(server, seconds=0.5, until=lambda event: True)[0]["id"]
    server.delete(f"/api/v1/jobs/{id}")
    found = read(server, last=first, until=lambda event: event["event"] == "deleted")
    assert found[-1]["data"] == {"job": id}


@pytest.mark.slow
def test_streams_are_bounded_and_freed(tmp_path) -> None:
    with running(tmp_path / "data", limits={"streams": 2}) as server:
        with server.stream("GET", "/api/v1/events"), server.stream("GET", "/api/v1/events"):
            server.until(lambda: "impasto_event_streams 2" in server.get("/metrics").text)
            answer = server.get("/api/v1/events")
            assert answer.status_code == 429
            assert "retry-after" in answer.headers
        server.until(lambda: "impasto_event_streams 0" in server.get("/metrics").text)
        began = time.monotonic()
        with server.stream("GET", "/api/v1/events"):
            assert server.stop() in (0, -signal.SIGTERM)  # an open stream does not hold it
        assert time.monotonic() - began < 10


def run(course):
    """In a thread of its own: a browser opened by another test keeps this thread's loop running."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, course).result()


async def take(stream, count: int) -> list[str]:
    return [(await anext(stream)).decode() for _ in range(count)]


def test_a_slow_reader_is_told_that_it_missed_something(monkeypatch) -> None:
    monkeypatch.setattr(module, "KEPT", 10)

    async def course() -> None:
        events = Events()
        stream = events.stream(None)
        await take(stream, 1)
        events.publish("job", {"number": 0})
        await take(stream, 1)
        for number in range(1, 30):
            events.publish("job", {"number": number})
        (first,) = await take(stream, 1)
        assert '"missed": true' in first
        events.publish("job", {"number": 30})
        assert '"number": 30' in (await take(stream, 1))[0]

    run(course())


def test_of_much_progress_some_is_sent_and_the_last() -> None:
    async def course() -> list[int]:
        events = Events()
        for number in range(100):
            events.publish_some("job", "a", {"number": number})
            await asyncio.sleep(0.005)
        await asyncio.sleep(module.APART + 0.05)
        return [json.loads(text.split(b"data: ")[1])["number"] for _, text in events._kept]

    numbers = run(course())
    assert numbers[0] == 0
    assert numbers[-1] == 99
    assert len(numbers) <= 6
