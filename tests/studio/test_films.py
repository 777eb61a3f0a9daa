"""Clips and films over HTTP, with a stub that paints: uploads, refusals, jobs, wishes, deaths, files."""

import io
import os
import signal
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from PIL import Image

from impasto.studio.shown import command_of
from impasto.videos.views import open_clip
from studio.running import Server, picture, running
from videos.clips import panned, write

NOBODY = f"clip-{'0' * 64}"
SLOW = {"evaluations": 40}  # of each frame: time for a wish


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory) -> Path:
    """A clip of 6 frames of 64 x 48 px and 0.2 s, with sound."""
    return write(tmp_path_factory.mktemp("clip") / "a clip.mp4", panned(), sound=True)


def send(server: Server, data: bytes, name: str = "a clip.mp4"):
    return server.post("/api/v1/clips", files={"file": (name, data)})


@pytest.fixture(scope="module")
def clip(server, clip_file) -> str:
    return send(server, clip_file.read_bytes()).json()["clip"]


@pytest.fixture(scope="module")
def film(clip, pair) -> dict:
    """The inputs of a film."""
    return {"film": {"clip": clip}, "styles": pair["styles"]}


def job_files(server: Server, id: str) -> set[str]:
    return {path.name.removeprefix(id) for path in (server.data / "jobs").glob(f"{id}*")}


def video(server: Server, id: str) -> bytes:
    answer = server.get(f"/api/v1/jobs/{id}/result")
    assert answer.status_code == 200, answer.text
    return answer.content


def frame_of(server: Server, id: str) -> int:
    return (server.job(id)["progress"] or {}).get("frame", 0)


# --- clips ---------------------------------------------------------------------------------------


def test_a_clip_is_checked_and_known_by_its_bytes(server, clip_file) -> None:
    first = send(server, clip_file.read_bytes())
    facts = first.json()
    assert facts == {
        "clip": facts["clip"], "name": "a clip.mp4", "width": 64, "height": 48, "frames": 6, "seconds": 0.2,
        "rate": 29.975, "notes": [],
    }  # fmt: skip
    again = send(server, clip_file.read_bytes(), "../again.mov")
    assert (again.status_code, again.json()["clip"]) == (200, facts["clip"])
    assert server.get(f"/api/v1/clips/{facts['clip']}").json()["name"] == "again.mov"
    send(server, clip_file.read_bytes())
    assert server.get(f"/api/v1/pictures/{facts['clip']}").status_code == 422  # never sent back


@pytest.mark.parametrize("at", [0, 0.05, 0.1])
def test_a_frame_of_a_clip_is_a_picture(server, clip, clip_file, at) -> None:
    answer = server.post(f"/api/v1/clips/{clip}/frame", json={"at": at})
    assert answer.status_code == 201
    facts = answer.json()
    assert (facts["width"], facts["height"], facts["name"]) == (64, 48, f"a clip {at:g} s.png")
    image = server.get(f"/api/v1/pictures/{facts['picture']}/image?edge=64").content
    first = next(open_clip(clip_file).between(at, None).frames())
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(image))), first.pixels)


def test_an_animated_gif_is_a_clip(server, pair) -> None:
    buffer = io.BytesIO()
    first, *others = [Image.fromarray(frame) for frame in panned(4)]
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=100)
    facts = send(server, buffer.getvalue(), "moving.gif").json()
    assert (facts["frames"], facts["seconds"], facts["rate"]) == (4, 0.4, 10.0)
    job = server.paint({"film": {"clip": facts["clip"], "from": 0.1}, "styles": pair["styles"]})
    assert server.ended(job["id"])["state"] == "done"
    command = "impasto video moving.gif painting.png --from 0.1 -o moving-painting"
    assert job["command"] == f"{command}.mp4"
    names = {job["styles"][0]["picture"]: "painting.png"}
    assert command_of(job, names, ".mkv") == f"{command}.mkv"  # where .mp4 cannot hold the clip's sound


def test_what_is_no_clip_is_refused_as_by_the_command_line(server, clip_file, tmp_path) -> None:
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        audio = container.add_stream("aac", rate=44100, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 44100
        container.mux(audio.encode(silence))
        container.mux(audio.encode())
    cut_off = " is no video, or its index is missing because it was cut off; copy it again"
    said = {
        "junk.mp4": (b"no clip", cut_off),
        "cut.mp4": (clip_file.read_bytes()[:900], cut_off),
        "empty.mp4": (b"", " is empty; give another file"),
        "sound.mp4": (sound.read_bytes(), " has no video in it; give a clip"),
        "photo.jpg": (picture(1, kind="JPEG"), " is a picture: impasto photo.jpg STYLE paints it"),
        "still.gif": (picture(1, kind="GIF"), " has one frame: impasto still.gif STYLE paints it"),
    }
    before = set((server.data / "pictures").iterdir())
    for name, (data, end) in said.items():
        answer = send(server, data, name)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"] == name + end
    assert set((server.data / "pictures").iterdir()) == before
    assert not list((server.data / "incoming").iterdir())


def test_what_is_too_large_is_refused(tmp_path, clip_file) -> None:
    options = {"limits": {"clip": 20_000}, "input": {"max_pixels": 3000}}
    with running(tmp_path / "data", **options) as server:
        large = send(server, bytes(1_100_000), "large.mp4")
        assert (large.status_code, large.json()["title"]) == (413, "Too large")
        wide = send(server, clip_file.read_bytes())
        assert wide.status_code == 422
        assert wide.json()["detail"] == "a clip.mp4 has more than 3000 px; --max-pixels allows more"
        assert server.get("/api/v1/about").json()["limits"]["clip"] == 20_000


def test_without_its_packages_the_server_says_how_to_install_them(tmp_path, pair) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['av'] = None\n")
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    with running(tmp_path / "data", PYTHONPATH=path) as server:
        server.ready()
        text = 'films need PyAV and OpenCV: pip install "impasto[video]"'
        assert server.get("/api/v1/about").json()["films"] == text
        film = {"film": {"clip": NOBODY}, "styles": pair["styles"]}
        for answer in (send(server, b"x"), server.post("/api/v1/jobs", json=film),
                       server.post("/api/v1/estimate", json=film)):  # fmt: skip
            assert (answer.status_code, answer.json()["detail"]) == (501, text)
        job = server.paint(server.pair(), settings={"evaluations": 2})
        assert server.ended(job["id"])["state"] == "done"


# --- films ---------------------------------------------------------------------------------------


def test_a_film_from_clip_to_file(server, film) -> None:
    part = {**film, "film": {**film["film"], "from": 0.05, "to": 0.15, "steadiness": 0.75, "every": 2}}
    job = server.paint(part, settings={"stroke": 2}, name="the quay")
    assert job["film"] == {**part["film"], "name": "a clip.mp4"}
    assert job["command"] == (
        "impasto video 'a clip.mp4' painting.png --stroke 2 --steadiness 0.75 --from 0.05 --to 0.15 --every 2"
    )
    assert server.get(f"/api/v1/pictures/{job['photo']}").json()["name"] == "a clip 0.05 s.png"
    done = server.ended(job["id"])
    assert done["state"] == "done"
    assert done["result"]["film"] == {"frames": 5, "seconds": 1.0, "suffix": ".mp4"}
    assert (done["progress"]["frame"], done["progress"]["frames"], done["losses"]) == (5, 5, [])
    whole = server.get(f"/api/v1/jobs/{job['id']}/result?download=1")
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["content-disposition"].endswith("the%20quay.mp4")
    with av.open(io.BytesIO(whole.content)) as container:
        assert len(list(container.decode(video=0))) == 5
    part = server.get(f"/api/v1/jobs/{job['id']}/result", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    for query in ("format=png", "edge=32", "x=0&y=0&width=32&height=24"):
        answer = server.get(f"/api/v1/jobs/{job['id']}/result?{query}")
        assert answer.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(answer.content)).size == (32, 24)
    assert job_files(server, job["id"]) == {"-1.pixels", ".jpg", ".mp4"}
    files = [server.data / "jobs" / f"{job['id']}{end}" for end in ("-1.pixels", ".mp4")]
    assert done["result"]["bytes"] == sum(path.stat().st_size for path in files)


def test_a_job_that_is_deleted_leaves_no_file(server, film) -> None:
    id = server.paint(film)["id"]
    server.ended(id)
    assert server.delete(f"/api/v1/jobs/{id}").status_code == 204
    assert list((server.data / "jobs").glob(f"{id}*")) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"film": {"from": 9}}, "a clip.mp4 is 0.2 s long: no frame is in that range"),
        ({"film": {"from": 0.001, "to": 0.002}}, "a clip.mp4 is 0.2 s long: no frame is in that range"),
        ({"film": {"from": 2, "to": 1}}, "to: the end, 1 s, must be after the beginning, 2 s"),
        ({"film": {"from": -1}}, "film.from: must be 0 or more, not -1"),
        ({"film": {"every": 9}}, "film.every: must be 4 or less, not 9"),
        ({"film": {"clip": NOBODY}}, "film: there is no clip clip-000000000000... here; upload it first"),
        ({"kind": "draft"}, "film: is painted as a whole; a draft has a photo, such as a frame of the clip"),
        (
            {"settings": {"init": "picture"}},
            "init: 'picture' is for a photo: a film begins with its own frames",
        ),
        ({"film": None}, "photo: is missing; a film has a clip instead"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_film_is_said(server, film, change, said) -> None:
    body = {**film, **change}
    if isinstance(change.get("film"), dict):
        body["film"] = {**film["film"], **change["film"]}
    answer = server.post("/api/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (422, said)


def test_looks_and_grids_have_a_photo(server, film, pair) -> None:
    grid = {"job": film, "vary": [{"setting": "stroke", "values": [1, 2]}]}
    said = "photo: looks and grids are painted from a photo, such as a frame of a clip"
    for path, body in (("looks", film), ("grids", grid)):
        answer = server.post(f"/api/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["detail"]) == (422, said)
    both = server.post("/api/v1/jobs", json={**film, "photo": pair["photo"]})
    assert both.json()["detail"] == "photo: leave it out: the first frame of the film stands for it"


def test_an_estimate_counts_the_frames(server, film) -> None:
    found = server.post("/api/v1/estimate", json=film).json()
    assert (found["frames"], found["seconds"]) == (5, 5.0)


def test_a_clip_stays_as_long_as_a_job_has_it(tmp_path, clip_file) -> None:
    from impasto.studio.store import Store

    with running(tmp_path / "data") as server:
        server.ready()
        clip = send(server, clip_file.read_bytes()).json()["clip"]
        body = {"film": {"clip": clip}, "styles": server.pair()["styles"]}
        id = server.paint(body)["id"]
        server.ended(id)
    store = Store(tmp_path / "data" / "jobs.sqlite")
    assert clip not in store.unused_pictures(1e12)
    store.delete(id)
    assert clip in store.unused_pictures(1e12)
    store.close()


# --- wishes and deaths ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(server, film) -> bytes:
    id = server.paint(film, settings=SLOW)["id"]
    assert server.ended(id)["state"] == "done"
    return video(server, id)


def test_a_pause_and_a_draft_change_no_byte(server, film, pair, undisturbed) -> None:
    id = server.paint(film, settings=SLOW)["id"]
    server.until(lambda: frame_of(server, id) >= 2)
    draft = server.paint(pair, kind="draft", settings={"evaluations": 3})["id"]
    assert server.ended(draft)["state"] == "done"
    assert server.job(id)["state"] == "running"  # it waited meanwhile
    server.post(f"/api/v1/jobs/{id}/pause")
    server.until(lambda: server.job(id)["state"] == "paused")
    assert any(name.endswith(".frames") for name in job_files(server, id))
    server.post(f"/api/v1/jobs/{id}/resume")
    assert server.ended(id)["state"] == "done"
    assert video(server, id) == undisturbed
    assert not any(name.endswith(".frames") for name in job_files(server, id))


@pytest.mark.parametrize("paused", [False, True])
def test_stopping_keeps_the_frames_so_far(server, film, paused) -> None:
    id = server.paint(film, settings=SLOW)["id"]
    server.until(lambda: frame_of(server, id) >= 3)
    if paused:
        server.post(f"/api/v1/jobs/{id}/pause")
        server.until(lambda: server.job(id)["state"] == "paused")
    server.post(f"/api/v1/jobs/{id}/stop")
    stopped = server.ended(id)
    assert stopped["state"] == "stopped"
    count = stopped["result"]["film"]["frames"]
    assert 2 <= count < 5
    with av.open(io.BytesIO(video(server, id))) as container:
        assert len(list(container.decode(video=0))) == count


def test_cancelling_keeps_nothing(server, film) -> None:
    id = server.paint(film, settings=SLOW)["id"]
    server.until(lambda: frame_of(server, id) >= 2)
    server.post(f"/api/v1/jobs/{id}/cancel")
    assert server.ended(id)["state"] == "cancelled"
    assert list((server.data / "jobs").glob(f"{id}*")) == []


@pytest.mark.parametrize("whom", ["painter", "server"])
def test_after_a_kill_it_goes_on_to_the_same_bytes(tmp_path, clip_file, undisturbed, whom) -> None:
    with running(tmp_path / "data") as server:
        server.ready()
        clip = send(server, clip_file.read_bytes()).json()["clip"]
        film = {"film": {"clip": clip}, "styles": server.pair()["styles"]}
        id = server.paint(film, settings=SLOW)["id"]
        server.until(lambda: frame_of(server, id) >= 3)
        if whom == "server":
            server.kill()
            server.start()
        else:
            children = psutil.Process(server.process.pid).children()
            painter = next(child for child in children if "stub_painter" in " ".join(child.cmdline()))
            os.kill(painter.pid, signal.SIGKILL)
        assert server.ended(id)["state"] == "done"
        assert video(server, id) == undisturbed
