"""The real painting process: the same bytes with a draft inside, after a pause, and by the command line."""

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from studio.running import HERE, picture, running
from videos.clips import panned, write

pytestmark = pytest.mark.slow  # torch is imported by the painting process
NARROW = [sys.executable, str(HERE / "narrow_painter.py")]
RUNTIME = {"threads": 1, "kernels": "direct", "precision": "fp32"}
SETTINGS = {"size": 64, "min_size": 32, "evaluations": 60}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    with running(tmp_path_factory.mktemp("real") / "data", painter=NARROW, runtime=RUNTIME) as server:
        server.ready(120)
        yield server


@pytest.fixture(scope="module")
def inputs(real) -> dict:
    photo = real.upload(picture(1, (60, 80)), "photo.png")
    return {"photo": photo, "styles": [{"picture": real.upload(picture(2, (64, 64)), "painting.png")}]}


@pytest.fixture(scope="module")
def whole(real, inputs) -> bytes:
    """The file of an undisturbed run."""
    id = real.paint(inputs, settings=SETTINGS)["id"]
    assert real.ended(id)["state"] == "done", real.job(id)
    return pixels(real, id)


def pixels(server, id: str) -> bytes:
    return server.result(id).tobytes()


def evaluation(server, id: str) -> int:
    return (server.job(id)["progress"] or {}).get("evaluation", 0)


def test_a_draft_inside_a_full_run_changes_no_byte_of_it(real, inputs, whole) -> None:
    full = real.paint(inputs, settings=SETTINGS)["id"]
    painted = 0
    while real.job(full)["state"] in ("queued", "running"):
        settings = {"size": 40, "min_size": 40, "evaluations": 4, "seed": painted, "color": "luminance"}
        other = {**inputs, "styles": [{"picture": inputs["photo"]}]}
        draft = real.paint(other if painted % 2 else inputs, kind="draft", settings=settings)["id"]
        assert real.ended(draft)["state"] == "done", real.job(draft)
        painted += real.job(full)["state"] == "running"
    assert painted >= 2
    assert pixels(real, full) == whole


def test_a_pause_changes_no_byte(real, inputs, whole) -> None:
    id = real.paint(inputs, settings=SETTINGS)["id"]
    for least in (5, 70):
        real.until(lambda least=least: evaluation(real, id) > least, every=0.005)
        real.post(f"/api/v1/jobs/{id}/pause")
        real.until(lambda: real.job(id)["state"] == "paused")
        real.post(f"/api/v1/jobs/{id}/resume")
    assert real.ended(id)["state"] == "done"
    assert pixels(real, id) == whole


def test_a_restart_changes_no_byte(tmp_path, inputs, whole) -> None:
    with running(tmp_path / "data", painter=NARROW, runtime=RUNTIME) as server:
        photo = server.upload(picture(1, (60, 80)), "photo.png")
        painting = server.upload(picture(2, (64, 64)), "painting.png")
        assert {"photo": photo, "styles": [{"picture": painting}]} == inputs
        id = server.paint(inputs, settings=SETTINGS)["id"]
        server.until(lambda: evaluation(server, id) > 10, 120, every=0.005)
        server.stop()
        server.start()
        assert evaluation(server, id) >= 10
        assert server.ended(id)["state"] == "done"
        assert pixels(server, id) == whole


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "size": 56,
            "color": "luminance",
            "color_amount": 0.5,
            "style_layers": {"relu1_1": 1, "relu2_1": 0.5},
        },
        {"solver": "adam", "learning_rate": 0.05, "bounded": False, "init": "noise", "seed": 3, "history": 5},
    ],
)
def test_the_command_paints_the_same_file(real, inputs, tmp_path, settings) -> None:
    """With a mask, a protected region and a share, so that the command has most of what it can have."""
    mask = np.zeros((60, 80), np.uint8)
    mask[:, :40] = 255
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    second = real.upload(picture(3, (50, 50)), "second painting.png")
    left = real.upload(buffer.getvalue(), "left.png")
    styles = [*inputs["styles"], {"picture": second, "weight": 0.5, "mask": left}]
    job = real.paint(
        {**inputs, "styles": styles},
        settings={"size": 48, "min_size": 32, "evaluations": 6, **settings},
        output={"metadata": "strip"},
    )
    assert real.ended(job["id"])["state"] == "done", real.job(job["id"])
    files = {"photo.png": picture(1, (60, 80)), "painting.png": picture(2, (64, 64)),
             "second painting.png": picture(3, (50, 50)), "left.png": buffer.getvalue()}  # fmt: skip
    for name, data in files.items():
        Path(tmp_path / name).write_bytes(data)
    run_command(job["command"], tmp_path, "out.png")
    assert real.get(f"/api/v1/jobs/{job['id']}/result").content == Path(tmp_path / "out.png").read_bytes()


def run_command(command: str, folder: Path, output: str) -> None:
    """Run the command of a job in a folder, with the network and the runtime of the server."""
    words = shlex.split(command)
    assert words[0] == "impasto"
    program = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); import narrow_painter;"
        "from impasto.cli.app import main; sys.exit(main(sys.argv[1:]))"
    )
    flags = ["--threads", "1", "--kernels", "direct", "--precision", "fp32", "-o", output, "-q"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words[1:], *flags],
        cwd=folder,
        env={**os.environ, "IMPASTO_KERNELS": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_a_film_is_the_file_of_its_command(real, inputs, tmp_path) -> None:
    """With a draft inside, a pause and the death of its process; the command paints it in one go."""
    clip = write(tmp_path / "clip.mp4", panned(6), sound=True)
    sent = real.post("/api/v1/clips", files={"file": (clip.name, clip.read_bytes())}).json()["clip"]
    film = {"clip": sent, "from": 0.03, "steadiness": 0.75}
    settings = {"size": 48, "min_size": 24, "evaluations": 12, "color": "match"}
    body = {"film": film, "styles": inputs["styles"], "settings": settings}
    found = real.post("/api/v1/estimate", json=body).json()
    assert (found["frames"], found["width"], found["height"]) == (5, 48, 36)
    job = real.paint(body)
    id = job["id"]

    def frame() -> int:
        return (real.job(id)["progress"] or {}).get("frame", 0)

    real.until(lambda: frame() >= 2, 120, every=0.005)
    draft = real.paint(inputs, kind="draft", settings={"size": 40, "evaluations": 4})["id"]
    assert real.ended(draft)["state"] == "done"
    real.post(f"/api/v1/jobs/{id}/pause")
    real.until(lambda: real.job(id)["state"] == "paused")
    assert 1 <= len(list((real.data / "jobs").glob(f"{id}.mp4.frames/*.png"))) < 5
    painter = next(
        p for p in psutil.Process(real.process.pid).children() if "narrow" in " ".join(p.cmdline())
    )
    painter.kill()
    real.post(f"/api/v1/jobs/{id}/resume")
    done = real.ended(id, 300)
    assert done["state"] == "done", done["error"]
    assert done["result"]["film"]["frames"] == 5
    assert (done["result"]["width"], done["result"]["height"]) == (48, 36)
    (tmp_path / "painting.png").write_bytes(picture(2, (64, 64)))
    run_command(job["command"], tmp_path, "out.mp4")
    assert real.get(f"/api/v1/jobs/{id}/result").content == (tmp_path / "out.mp4").read_bytes()


def test_a_film_that_is_stopped_anywhere_goes_on_to_the_same_frames(tmp_path, narrow, monkeypatch) -> None:
    """Also inside a draft, and where nothing wishes to stop any more a moment later."""
    from impasto.config.runtime import Runtime
    from impasto.config.settings import Settings
    from impasto.config.styles import Style
    from impasto.errors import Stop
    from impasto.image.picture import Picture
    from impasto.studio.workers import film as films

    monkeypatch.setattr("impasto.videos.frames.UNSEEN", -1)  # every frame has a draft
    clip = write(tmp_path / "clip.mp4", panned(3))
    style = Style(Picture.open(picture(2, (48, 48)), name="painting.png"))
    values = {"from_": None, "to": None, "steadiness": 0.5, "every": 1}
    film = {"clip": str(clip), "name": "clip.mp4", "settings": values}
    settings = Settings(size=48, min_size=24, evaluations=9).model_dump()

    def painted(name: str, stops: list[int]) -> dict[str, bytes]:
        while True:
            request = {"film": {**film, "target": str(tmp_path / name)}, "settings": settings}
            run, calls = films.plan(request, [style], None, Runtime(**RUNTIME), narrow), 0
            most = stops.pop(0) if stops else 0

            def between(on_part: bool, most=most) -> None:
                nonlocal calls
                calls += 1
                if calls == most:
                    raise Stop("stopped")

            ended = films.paint(run, "clip.mp4", lambda step: None, between)
            if not most:
                assert ended == ""
                return {path.name: path.read_bytes() for path in run.folder.path.glob("*.png")}

    whole = painted("whole", [])
    assert len(whole) == 3
    assert painted("stopped", [3, 11, 17, 23, 27, 31, 35]) == whole


def test_what_is_wrong_with_a_mask_is_said_as_by_the_command_line(real, inputs) -> None:
    mask = real.upload(picture(4, (80, 40)), "tall.png")
    id = real.paint({**inputs, "protect": mask}, settings={"size": 32})["id"]
    failed = real.ended(id)
    assert failed["state"] == "failed"
    assert failed["error"]["detail"] == (
        "the mask tall.png (40 x 80 px) has another shape than the photo photo.png (80 x 60 px); make it of "
        "the same shape, at any size"
    )


def test_a_result_that_is_sent_again_brings_its_settings_and_inputs(real, inputs) -> None:
    start, settings = real.upload(picture(9)), {"size": 32, "evaluations": 2, "init": "picture"}
    id = real.paint(inputs, settings=settings, init_picture=start)["id"]
    assert real.ended(id)["state"] == "done"
    data = real.get(f"/api/v1/jobs/{id}/result?format=jpeg").content
    answer = real.post("/api/v1/pictures", files={"file": ("earlier.jpg", data)}).json()
    assert answer["recipe"]["settings"] == settings
    assert answer["recipe"]["photo"]["picture"] == inputs["photo"]
    assert answer["recipe"]["init_picture"]["picture"] == start
    assert [style["picture"] for style in answer["recipe"]["styles"]] == [inputs["styles"][0]["picture"]]


def test_an_estimate(real, inputs) -> None:
    answer = real.post("/api/v1/estimate", json={**inputs, "settings": {"size": 64}})
    assert answer.status_code == 200, answer.text
    facts = answer.json()
    assert (facts["width"], facts["height"]) == (64, 48)
    assert facts["seconds"] >= 0
    assert facts["memory"] > 10**7
