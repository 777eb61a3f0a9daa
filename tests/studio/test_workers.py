"""The decoding process and the files between processes."""

import io
import json
import socket
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from impasto.image.metadata import FileInfo
from impasto.image.picture import Picture
from impasto.image.pixels import Pixels
from impasto.studio.files import plain_name
from impasto.studio.workers import plain
from impasto.studio.workers.decoder import answer
from impasto.studio.workers.painter import opened
from impasto.studio.workers.process import limits_that_hold
from studio.running import picture

LIMITS = {"max_pixels": 10**6, "max_side": 2000, "max_bytes": 10**6}
linux = pytest.mark.skipif(sys.platform != "linux", reason="these limits are Linux's")


def read(tmp_path, data: bytes, name: str = "x.png") -> tuple[dict, object]:
    (tmp_path / "upload").write_bytes(data)
    target = tmp_path / "out.pixels"
    request = {"do": "read", "source": str(tmp_path / "upload"), "target": str(target), "name": name}
    return answer({**request, "limits": LIMITS}), target


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "1"])
def test_plain_pixels_are_those_of_the_picture(tmp_path, mode) -> None:
    base = Image.open(io.BytesIO(picture(1)))
    image = (
        Image.fromarray(np.asarray(base.convert("L")).astype(np.uint16) * 257)
        if mode == "I;16"
        else base.convert(mode)
    )
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", dpi=(300, 300))
    facts, target = read(tmp_path, buffer.getvalue(), "x.tif")
    ours, theirs = opened(target), Picture.open(buffer.getvalue(), name="x.tif")
    assert ours.pixels_sha256() == theirs.pixels_sha256()
    for name in ("sha256", "bits", "dpi", "notes", "file_bytes", "name", "kind"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.encode(".png", metadata="keep") == theirs.encode(".png", metadata="keep")
    assert facts["picture"] == theirs.sha256


def test_plain_pixels_of_floats_and_a_page(tmp_path) -> None:
    values = np.random.default_rng(1).random((5, 7, 4), np.float32)
    pixels = Pixels.of_array(values, "srgb")
    page = Pixels.of_array(values[..., :3].copy(), "srgb")
    info = FileInfo(16, (72.0, 300.0), ("a note",), b"\0exif", b"\xffiptc", b"<xmp/>")
    before = plain.Plain("x", pixels, info, "abc", 5, '{"a": 1}', page)
    plain.write(tmp_path / "x", before)
    after = plain.read(tmp_path / "x")
    assert np.array_equal(after.pixels.image().numpy(), values)
    assert np.array_equal(after.page.image().numpy(), values[..., :3])
    assert (after.info, after.recipe, after.sha256, after.file_bytes) == (info, '{"a": 1}', "abc", 5)


def test_large_ones_stay_in_the_file(tmp_path, monkeypatch) -> None:
    values = np.random.default_rng(1).integers(0, 256, (400, 300, 3), np.uint8)
    plain.write(tmp_path / "x", plain.Plain("x", Pixels.of_array(values, "srgb"), FileInfo()))
    monkeypatch.setattr(plain, "LARGE", 1000)
    assert np.array_equal(plain.read(tmp_path / "x").pixels.image().numpy(), values)


def test_a_view_is_the_part_that_was_named(tmp_path) -> None:
    _, target = read(tmp_path, picture(1, (300, 400)))
    values = np.asarray(Image.open(io.BytesIO(picture(1, (300, 400)))))
    out = tmp_path / "view"
    request = {
        "do": "view",
        "source": str(target),
        "target": str(out),
        "edge": 1000,
        "part": [10, 20, 30, 40],
    }
    assert answer(request) == {"suffix": ".png"}
    with Image.open(out) as image:
        assert np.array_equal(np.asarray(image), values[20:60, 10:40])
    answer(request | {"part": [390, 290, 100, 100]})  # beyond the border: what there is
    with Image.open(out) as image:
        assert image.size == (10, 10)
    answer(request | {"part": None, "edge": 40})
    with Image.open(out) as image:
        assert image.size == (40, 30)


@linux
def test_the_limits_hold_in_a_process(tmp_path) -> None:
    """No network, no more memory, no large file, no further rights."""
    code = """
import json, socket, sys
from impasto.studio.workers import confine
confine.MEMORY, confine.FILE, confine.SECONDS = 500_000_000, 1000, 1
held = confine.confine()
found = {"held": held}
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=2)
    found["network"] = "reached"
except OSError as error:
    found["network"] = str(error)
try:
    bytearray(600_000_000)
    found["memory"] = "taken"
except MemoryError:
    found["memory"] = "refused"
try:
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open(sys.argv[2], "wb") as file:
        file.write(bytes(2000))
    found["file"] = "written"
except OSError:
    found["file"] = "refused"
found["status"] = [l for l in open("/proc/self/status") if l.startswith("NoNewPrivs")][0].split()[1]
print(json.dumps(found), flush=True)
confine.begin_request()
while True:
    pass
"""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-c", code, str(port), str(tmp_path / "large")],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    found = json.loads(done.stdout)
    assert done.returncode < 0  # ended by SIGXCPU
    assert (found["memory"], found["file"], found["status"]) == ("refused", "refused", "1")
    if found["held"]["network"] == "none":
        assert found["network"] != "reached"


@linux
def test_doctor_says_what_holds(capsys) -> None:
    held = limits_that_hold()
    assert set(held) == {"network", "privileges", "memory", "time", "files"}
    assert held["memory"] == "4 GB"


def test_a_worker_ends_with_its_server() -> None:
    command = [sys.executable, "-m", "impasto.studio.workers.decoder"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert json.loads(process.stdout.readline())["ready"]
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("../../etc/passwd", "passwd"), ("C:\\x\\cat.png", "cat.png"), ("a\nb.png", "a_b.png"),
        ("", "picture"), (None, "picture"), ("/", "picture"), ("\u202egnp.exe", "_gnp.exe"),
        ("\ud800.png", "_.png"), ("x" * 200 + ".png", "x" * 96 + ".png"),
    ],
)  # fmt: skip
def test_names_become_labels(name, label) -> None:
    assert plain_name(name) == label
