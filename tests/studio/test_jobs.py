"""The course of jobs through a running server with a stub that paints: queue, wishes, deaths, restarts."""

import io
import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from impasto.config.settings_file import LOOKS
from studio import stub_painter
from studio.running import picture, running

LONG = {"evaluations": 5000}


def expected(inputs: dict, **settings) -> np.ndarray:
    """Return the picture of a whole run of the stub."""
    from impasto.config.settings import Settings

    full = Settings(**settings).model_dump()
    request = {
        "settings": full,
        "photo": f"{inputs['photo']}.pixels",
        "styles": [{"weight": style.get("weight", 1.0)} for style in inputs["styles"]],
    }
    return stub_painter.pixels(stub_painter.expected(request, full["evaluations"]))


def painter_of(server) -> psutil.Process:
    children = psutil.Process(server.process.pid).children()
    return next(child for child in children if "stub_painter" in " ".join(child.cmdline()))


def running_job(server, inputs, **settings) -> str:
    id = server.paint(inputs, settings={**LONG, **settings})["id"]
    server.until(lambda: (server.job(id)["progress"] or {}).get("evaluation", 0) > 6)
    return id


def test_a_job_from_upload_to_result(server, pair) -> None:
    job = server.paint(pair, settings={"evaluations": 30}, name="evening")
    assert job["state"] in ("queued", "running")
    done = server.ended(job["id"])
    assert done["state"] == "done"
    assert done["result"]["bytes"] > 32 * 24 * 3  # on the disk
    assert done["progress"]["evaluation"] == 30
    assert [point[0] for point in done["losses"]] == list(range(1, 31))
    assert done["result"] == {
        "width": 32, "height": 24, "seconds": 0.1, "losses": {"total": 1.0}, "note": None,
        "bytes": done["result"]["bytes"],
    }  # fmt: skip
    assert np.array_equal(server.result(job["id"]), expected(pair, evaluations=30))
    assert server.get(f"/api/v1/jobs/{job['id']}/preview").headers["content-type"] == "image/jpeg"
    assert server.get("/api/v1/jobs").json()["jobs"][0]["id"] == job["id"]


def test_the_answer_says_where_the_job_is(server, pair) -> None:
    answer = server.post("/api/v1/jobs", json={**pair, "settings": {"evaluations": 1}})
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['id']}"
    assert server.get(answer.headers["location"]).json()["id"] == answer.json()["id"]


def test_with_files_in_one_request(server) -> None:
    parts = [
        ("photo", ("cat.png", picture(3))),
        ("style", ("a.png", picture(4))),
        ("style", ("b.png", picture(5))),
        ("mask", ("left.png", picture(6))),
        ("mask", ("right.png", picture(7))),
    ]
    answer = server.post("/api/v1/jobs", files=parts, data={"job": '{"settings": {"evaluations": 2}}'})
    assert answer.status_code == 202, answer.text
    assert answer.json()["command"] == (
        "impasto cat.png --style a.png --style b.png --mask left.png --mask right.png --evaluations 2"
    )
    assert server.ended(answer.json()["id"])["state"] == "done"


def test_a_draft_goes_first_and_the_full_run_continues(server, pair) -> None:
    full = server.paint(pair, settings={"evaluations": 300})["id"]
    server.until(lambda: server.job(full)["progress"])
    draft = server.paint(pair, kind="draft", settings={"evaluations": 10, "seed": 1})["id"]
    assert server.ended(draft)["state"] == "done"
    assert server.job(full)["state"] == "running"
    assert server.ended(full)["attempts" if False else "state"] == "done"
    assert np.array_equal(server.result(full), expected(pair, evaluations=300))


def test_a_job_put_aside_for_a_draft_is_cancelled_at_once(server, pair) -> None:
    full = running_job(server, pair)
    draft = server.paint(pair, kind="draft", settings=LONG)["id"]
    server.until(lambda: (server.job(draft)["progress"] or {}).get("evaluation", 0) > 2)
    assert server.post(f"/api/v1/jobs/{full}/cancel").json()["state"] == "cancelled"
    assert server.job(full)["state"] == "cancelled"
    assert server.job(draft)["state"] == "running"
    following = server.paint(pair, settings={"evaluations": 5})["id"]
    server.post(f"/api/v1/jobs/{draft}/cancel")
    assert server.ended(following)["state"] == "done"
    server.until(lambda: not list((server.data / "jobs").glob(f"{full}*")))


def test_a_new_draft_ends_the_one_before_of_the_same_client_only(server, pair) -> None:
    mine, other = {"X-Client-Id": "tab-1"}, {"X-Client-Id": "tab-2"}
    first = server.paint(pair, kind="draft", settings=LONG, headers=mine)["id"]
    theirs = server.paint(pair, kind="draft", settings=LONG, headers=other)["id"]
    second = server.paint(pair, kind="draft", settings={"evaluations": 3}, headers=mine)["id"]
    assert server.ended(first)["state"] == "cancelled"
    assert server.job(theirs)["state"] in ("queued", "running")
    server.post(f"/api/v1/jobs/{theirs}/cancel")
    assert server.ended(second)["state"] == "done"


def test_pause_and_resume_end_in_the_same_picture(server, pair) -> None:
    id = server.paint(pair, settings={"evaluations": 120})["id"]
    server.until(lambda: (server.job(id)["progress"] or {}).get("evaluation", 0) > 20)
    server.post(f"/api/v1/jobs/{id}/pause")
    paused = server.until(lambda: (job := server.job(id))["state"] == "paused" and job)
    assert 20 < paused["progress"]["evaluation"] < 120
    time.sleep(0.1)
    assert server.job(id)["progress"] == paused["progress"]
    server.post(f"/api/v1/jobs/{id}/resume")
    assert server.ended(id)["state"] == "done"
    assert np.array_equal(server.result(id), expected(pair, evaluations=120))


def test_stop_keeps_what_there_is_and_cancel_does_not(server, pair) -> None:
    stopped = running_job(server, pair)
    server.post(f"/api/v1/jobs/{stopped}/stop")
    assert server.ended(stopped)["state"] == "stopped"
    assert server.result(stopped).shape == (24, 32, 3)
    cancelled = running_job(server, pair)
    server.post(f"/api/v1/jobs/{cancelled}/cancel")
    assert server.ended(cancelled)["state"] == "cancelled"
    assert server.get(f"/api/v1/jobs/{cancelled}/result").status_code == 404
    assert not list((server.data / "jobs").glob(f"{cancelled}*"))


def test_a_paused_job_can_be_stopped(server, pair) -> None:
    id = running_job(server, pair)
    server.post(f"/api/v1/jobs/{id}/pause")
    server.until(lambda: server.job(id)["state"] == "paused")
    server.post(f"/api/v1/jobs/{id}/stop")
    assert server.ended(id)["state"] == "stopped"
    assert server.result(id).shape == (24, 32, 3)


def test_what_a_job_that_ended_refuses(server, pair) -> None:
    id = server.paint(pair, settings={"evaluations": 1})["id"]
    server.ended(id)
    answer = server.post(f"/api/v1/jobs/{id}/pause")
    assert (answer.status_code, answer.json()["detail"]) == (
        409, "this job is done; it can no longer be changed",
    )  # fmt: skip


def test_name_star_and_delete(server, pair) -> None:
    id = server.paint(pair, settings={"evaluations": 1})["id"]
    server.ended(id)
    assert server.patch(f"/api/v1/jobs/{id}", json={"name": "lake", "star": True}).json()["star"] is True
    answer = server.get(f"/api/v1/jobs/{id}/result?download=1")
    assert answer.headers["content-disposition"] == 'attachment; filename="lake.png"'
    assert server.delete(f"/api/v1/jobs/{id}").status_code == 204
    assert server.get(f"/api/v1/jobs/{id}").status_code == 404
    assert server.delete(f"/api/v1/jobs/{id}").status_code == 404
    assert not list((server.data / "jobs").glob(f"{id}*"))


def test_a_running_job_is_cancelled_before_it_is_deleted(server, pair) -> None:
    id = running_job(server, pair)
    assert server.delete(f"/api/v1/jobs/{id}").status_code == 409
    server.post(f"/api/v1/jobs/{id}/cancel")
    server.ended(id)
    assert server.delete(f"/api/v1/jobs/{id}").status_code == 204


def test_the_same_key_is_the_same_job(server, pair) -> None:
    key, body = {"Idempotency-Key": "k1"}, {**pair, "settings": {"evaluations": 1}}
    first = server.post("/api/v1/jobs", json=body, headers=key).json()
    assert server.post("/api/v1/jobs", json=body, headers=key).json()["id"] == first["id"]
    other = server.post("/api/v1/jobs", json={**body, "name": "other"}, headers=key)
    assert other.status_code == 409


@pytest.mark.slow
def test_a_painting_process_that_is_killed_loses_nothing(server, pair) -> None:
    id = server.paint(pair, settings={"evaluations": 200})["id"]
    server.until(lambda: (server.job(id)["progress"] or {}).get("evaluation", 0) > 20)
    painter_of(server).send_signal(signal.SIGKILL)
    began = time.monotonic()
    assert server.get("/healthz").status_code == 200
    assert server.ended(id)["state"] == "done"
    assert time.monotonic() - began < 30
    assert np.array_equal(server.result(id), expected(pair, evaluations=200))


@pytest.mark.slow
def test_a_job_that_kills_its_process_fails_with_the_reason(server, pair) -> None:
    id = server.paint(pair, settings={"evaluations": 10, "seed": stub_painter.DEADLY})["id"]
    after = server.paint(pair, settings={"evaluations": 2})["id"]
    failed = server.ended(id)
    assert failed["state"] == "failed"
    assert "SIGKILL" in failed["error"]["detail"]
    assert server.ended(after)["state"] == "done"


def test_a_decoder_that_is_killed_is_an_error_of_one_request(server) -> None:
    for child in psutil.Process(server.process.pid).children():
        if any("decoder" in part for part in child.cmdline()):
            child.kill()
    codes = {
        server.post("/api/v1/pictures", files={"file": ("x.png", picture(seed))}).status_code
        for seed in (60, 61, 62)
    }
    assert codes <= {422, 201}
    assert server.post("/api/v1/pictures", files={"file": ("x.png", picture(63))}).status_code == 201


def test_the_painting_process_has_a_lower_priority_than_the_server() -> None:
    from impasto.studio.workers import painter

    assert painter.NICE > 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_the_history_survives_the_server(tmp_path, how) -> None:
    with running(tmp_path / "data") as server:
        pair = server.pair()
        done = server.paint(pair, settings={"evaluations": 5})["id"]
        server.ended(done)
        paused = running_job(server, pair, seed=1)
        server.post(f"/api/v1/jobs/{paused}/pause")
        server.until(lambda: server.job(paused)["state"] == "paused")
        full = server.paint(pair, settings={"evaluations": 400})["id"]
        waiting = server.paint(pair, settings={"evaluations": 7})["id"]
        server.until(lambda: (server.job(full)["progress"] or {}).get("evaluation", 0) > 20)
        painter = painter_of(server).pid
        getattr(server, how)()
        server.start()
        assert server.took < 30
        assert not psutil.pid_exists(painter) or psutil.Process(painter).status() == "zombie"
        assert server.job(done)["state"] == "done"
        assert np.array_equal(server.result(done), expected(pair, evaluations=5))
        assert server.job(paused)["state"] == "paused"
        assert server.ended(full)["state"] == "done"
        assert np.array_equal(server.result(full), expected(pair, evaluations=400))
        assert server.ended(waiting)["state"] == "done"
        server.post(f"/api/v1/jobs/{paused}/stop")
        assert server.ended(paused)["state"] == "stopped"


@pytest.mark.slow
def test_limits_of_queue_styles_cells_and_disk(tmp_path) -> None:
    limits = {"queue": 3, "styles": 2, "cells": 4}
    with running(tmp_path / "data", limits=limits) as server:
        pair = server.pair()
        running_job(server, pair)
        for _ in range(3):
            server.paint(pair, settings=LONG)
        full = server.post("/api/v1/jobs", json={**pair, "settings": LONG})
        assert full.status_code == 429
        assert int(full.headers["retry-after"]) > 0
        assert len(server.get("/api/v1/jobs").json()["jobs"]) == 4
        many = {**pair, "styles": pair["styles"] * 3}
        answer = server.post("/api/v1/estimate", json=many)
        assert answer.json()["detail"] == "styles: at most 2 paintings, not 3"
        assert server.post("/api/v1/estimate", json={**pair, "styles": pair["styles"] * 2}).status_code == 200
        grid = {"job": pair, "vary": [{"setting": "seed", "values": [1, 2, 3, 4, 5]}]}
        assert "at most 4 pictures" in server.post("/api/v1/grids", json=grid).json()["detail"]
    used = sum(path.stat().st_size for path in (tmp_path / "data").rglob("*") if path.is_file())
    with running(tmp_path / "data", limits={"quota": used + 10**6}) as server:
        id = server.upload(picture(50))
        assert server.get(f"/api/v1/pictures/{id}").status_code == 200
    with running(tmp_path / "data", limits={"quota": used}) as server:
        answer = server.post("/api/v1/pictures", files={"file": ("x.png", picture(51))})
        assert (answer.status_code, answer.json()["status"]) == (507, 507)
        assert "delete pictures of the history" in answer.json()["detail"]
        assert server.post("/api/v1/jobs", json=pair).status_code == 507
    with running(tmp_path / "data", limits={"spare": 10**18}) as server:
        answer = server.post("/api/v1/jobs", json=pair)
        assert (answer.status_code, answer.json()["detail"]) == (
            507, "the disk is nearly full; free some space",
        )  # fmt: skip


def test_a_grid_of_two_settings(server, pair) -> None:
    vary = [{"setting": "strength", "values": [0.5, 2]}, {"setting": "seed", "values": [1, 2, 3]}]
    job = {**pair, "settings": {"evaluations": 2, "size": 2000}}
    answer = server.post("/api/v1/grids", json={"job": job, "vary": vary})
    assert answer.status_code == 202, answer.text
    rows = answer.json()["jobs"]
    assert [[(job["settings"]["strength"], job["settings"]["seed"]) for job in row] for row in rows] == [
        [(0.5, 1), (0.5, 2), (0.5, 3)],
        [(2, 1), (2, 2), (2, 3)],
    ]
    assert {job["settings"]["size"] for row in rows for job in row} == {512}
    for row in rows:
        for job in row:
            assert server.ended(job["id"])["state"] == "done"
    group = answer.json()["group"]
    assert len(server.get(f"/api/v1/jobs?group={group}").json()["jobs"]) == 6
    wrong = {"job": pair, "vary": [{"setting": "seed", "values": [1, -1]}]}
    before = len(server.get("/api/v1/jobs?limit=500").json()["jobs"])
    assert server.post("/api/v1/grids", json=wrong).json()["field"] == "seed"
    assert len(server.get("/api/v1/jobs?limit=500").json()["jobs"]) == before  # all or none


def test_a_grid_over_the_start_uses_its_picture_where_it_belongs(server, pair) -> None:
    start = server.upload(picture(3))
    vary = [{"setting": "init", "values": ["content", "picture"]}]
    job = {**pair, "init_picture": start, "settings": {"evaluations": 1}}
    answer = server.post("/api/v1/grids", json={"job": job, "vary": vary})
    assert answer.status_code == 202, answer.text
    assert [row[0]["init_picture"] for row in answer.json()["jobs"]] == [None, start]


def test_the_looks_of_a_pair(server, pair) -> None:
    answer = server.post("/api/v1/looks", json=pair, headers={"X-Client-Id": "tab-1"})
    jobs = answer.json()["jobs"][0]
    assert [job["name"] for job in jobs] == list(LOOKS)
    assert all(128 <= job["settings"]["size"] <= 192 for job in jobs)
    for job in jobs:
        assert server.ended(job["id"])["state"] == "done"


@pytest.mark.parametrize(
    ("format", "kind"),
    [("png", "PNG"), ("tiff", "TIFF"), ("jpeg", "JPEG"), ("webp", "WEBP"), ("avif", "AVIF")],
)
def test_the_result_in_every_format(server, pair, format, kind) -> None:
    id = server.paint(pair, settings={"evaluations": 3})["id"]
    server.ended(id)
    answer = server.get(f"/api/v1/jobs/{id}/result?format={format}&quality=80")
    assert answer.headers["content-type"] == f"image/{format}"
    image = Image.open(io.BytesIO(answer.content))
    assert (image.format, image.size) == (kind, (32, 24))


def test_depth_parts_and_ranges_of_a_result(server, pair) -> None:
    id = server.paint(pair, settings={"evaluations": 3})["id"]
    server.ended(id)
    address = f"/api/v1/jobs/{id}/result"
    assert server.get(f"{address}?bits=16").content[24] == 16  # the depth in a PNG's header
    answer = server.get(f"{address}?format=jpeg&bits=16")
    assert (answer.status_code, answer.json()["title"]) == (422, "The request is wrong")
    whole = server.result(id)
    part = np.asarray(Image.open(io.BytesIO(server.get(f"{address}?x=3&y=4&width=9&height=7").content)))
    assert np.array_equal(part[..., :3], whole[4:11, 3:12])
    assert Image.open(io.BytesIO(server.get(f"{address}?edge=16").content)).size == (16, 12)
    full = server.get(address).content
    some = server.get(address, headers={"Range": "bytes=5-14"})
    assert (some.status_code, some.content) == (206, full[5:15])


@pytest.mark.slow
def test_old_drafts_and_what_processes_left_are_removed(tmp_path) -> None:
    with running(tmp_path / "data") as server:
        pair = server.pair()
        draft = server.paint(pair, kind="draft", settings={"evaluations": 2})["id"]
        server.ended(draft)
    left = tmp_path / "data" / "incoming" / "left"
    torn = tmp_path / "data" / "jobs" / ".impasto-1234.tmp"
    for path in (left, torn):
        path.write_bytes(b"x")
        os.utime(path, (1, 1))
    import sqlite3

    with sqlite3.connect(tmp_path / "data" / "jobs.sqlite") as connection:
        connection.execute("update jobs set finished = 1")
    connection.close()
    with running(tmp_path / "data") as server:
        server.until(lambda: server.get(f"/api/v1/jobs/{draft}").status_code == 404)
        assert not left.exists()
        assert not torn.exists()
        assert not list(Path(tmp_path / "data" / "jobs").glob(f"{draft}*"))
