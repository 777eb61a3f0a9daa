"""The real painting process: the same bytes with a draft inside, after a pause, and by the command line."""

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.running import HERE, picture, running

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
    words = shlex.split(job["command"])
    assert words[0] == "impasto"
    program = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); import narrow_painter;"
        "from impasto.cli.app import main; sys.exit(main(sys.argv[1:]))"
    )
    flags = ["--threads", "1", "--kernels", "direct", "--precision", "fp32", "-o", "out.png", "-q"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words[1:], *flags],
        cwd=tmp_path,
        env={**os.environ, "IMPASTO_KERNELS": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{job['command']}\n{done.stderr}"
    assert real.get(f"/api/v1/jobs/{job['id']}/result").content == Path(tmp_path / "out.png").read_bytes()


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
