"""The whole way once with the real network: a picture, its command, a mask, 16 bits, and after a kill."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from studio.browser.visitor import Visitor
from studio.running import Server, picture

PNG = "image/png"
REAL = 200.0  # seconds; the painting process gives way to all else that is tested


@pytest.mark.slow
def test_the_whole_way(tmp_path: Path, browser: Any) -> None:
    photo, painting = picture(1, (64, 96)), picture(2, (64, 96))
    server = Server(tmp_path / "data", painter=None, runtime={"threads": 1})
    try:
        server.ready()
        visitor = Visitor(browser, server, permissions=["clipboard-read", "clipboard-write"]).open()
        visitor.drop("body", [("photo.png", photo, PNG), ("painting.png", painting, PNG)])
        visitor.drafted(REAL)
        visitor.quality("draft")
        plain = visitor.painted()
        visitor("#side .command-part summary").click()
        visitor.button("Copy command").click()
        command = shlex.split(visitor.page.evaluate("navigator.clipboard.readText()"))
        visitor.choose(
            "button[title='Choose another photo']", {"name": "photo.png", "mimeType": PNG, "buffer": photo}
        )
        visitor("[data-key=protect]").click()
        visitor("canvas.overlay").click(position={"x": 80, "y": 80}, force=True)
        with visitor.posting("draft"):
            visitor.button("Done").click()
        visitor.drafted(REAL)
        masked = visitor.painted()
        assert not np.array_equal(server.result(plain), server.result(masked))
        visitor("[data-key=download]").click()
        visitor("dialog input[name=bits][value='16']").check()
        with visitor.page.expect_download() as download:
            visitor("dialog .primary").click()
        assert download.value.suggested_filename == "photo-painting.png"
        server.kill()
        server.start()
        visitor(f".card[data-job='{masked}']").wait_for()
        expect(visitor(".card")).to_have_count(2)
        assert visitor.said == [text for text in visitor.said if "ERR_" in text]
        visitor.close()
        check_command(tmp_path, command, {"photo.png": photo, "painting.png": painting}, server.result(plain))
    finally:
        server.stop()


def check_command(folder: Path, command: list[str], files: dict[str, bytes], result: np.ndarray) -> None:
    """The command paints the same pixels."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    words = [sys.executable, "-m", "impasto", *command[1:], "--threads", "1", "-o", "same.png"]
    done = subprocess.run(
        words, cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with Image.open(folder / "same.png") as same:
        np.testing.assert_array_equal(np.asarray(same), result)
