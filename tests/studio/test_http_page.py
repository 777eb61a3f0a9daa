"""docs/http.md: its commands and its program run, in their order, against a server."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from studio.running import TOKEN, picture, running
from videos.clips import panned, write

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
def test_the_whole_course_runs(tmp_path) -> None:
    (tmp_path / "photo.jpg").write_bytes(picture(1, kind="JPEG"))
    (tmp_path / "painting.jpg").write_bytes(picture(2, kind="JPEG"))
    write(tmp_path / "clip.mp4", panned())
    blocks = re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)
    script = ["set -euo pipefail"]
    for kind, text in blocks:
        if "impasto serve" in text:
            continue
        script.append(text if kind == "sh" else f"{sys.executable} - <<'PROGRAM'\n{text}\nPROGRAM")
    assert len(script) > 9
    with running(tmp_path / "data", page=False) as server:
        server.ready()
        program = "\n".join(script).replace("127.0.0.1:8765", f"127.0.0.1:{server.port}")
        done = subprocess.run(
            ["bash", "-c", program],
            cwd=tmp_path,
            env={**os.environ, "IMPASTO_TOKEN": TOKEN},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        left = server.get("/api/v1/jobs").json()["jobs"]
    kinds = {"evening.png": "PNG", "evening.tif": "TIFF", "small.jpg": "PNG", "from-python.png": "PNG"}
    for name, kind in kinds.items():
        with Image.open(tmp_path / name) as image:
            assert image.format == kind
    assert len(left) == 3  # four were made, one was deleted
    assert (tmp_path / "film.mp4").read_bytes()[4:8] == b"ftyp"
    said = re.search(r"```json\n(.*?)\n```", PAGE, re.DOTALL)[1]
    assert json.loads(said) in [json.loads(line) for line in re.findall(r'\{"type".*?\}', done.stdout)]
    assert "event: hello" in done.stdout


def test_its_numbers_are_those_of_the_program() -> None:
    from impasto.studio.limits import Limits
    from impasto.studio.service import DRAFTS_KEPT, PICTURES_KEPT

    limits = Limits()
    assert f"{limits.queue} jobs wait" in PAGE
    assert f"{limits.streams} streams" in PAGE
    assert f"{limits.quota // 10**9} GB" in PAGE
    assert f"at most {limits.clip // 10**9} GB" in PAGE
    assert (DRAFTS_KEPT, PICTURES_KEPT) == (3600, 7 * 86_400)
