"""Every limit: at it a picture is opened, one beyond it is refused; shown, and changed in every way."""

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import impasto
from impasto.cli.app import main
from impasto.cli.flags import Flags
from impasto.cli.settings_sources import gather
from impasto.config.limits import FORMATS, Input
from impasto.errors import PictureError, SettingsError
from impasto.image.picture import Picture
from reference.files import pil_bytes, quadrants

FRAMES = [Image.new("RGB", (8, 6), (60 * n, 0, 0)) for n in range(4)]


def text_png(packed: bytes, kind: bytes = b"zTXt") -> bytes:
    body = kind + b"Comment\0\0" + packed
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = pil_bytes(quadrants(), "PNG")
    return data[:33] + chunk + data[33:]


def animated(format: str) -> bytes:
    return pil_bytes(FRAMES[0], format, save_all=True, append_images=FRAMES[1:])


PNG = pil_bytes(quadrants(), "PNG")  # 64 x 40
CASES = [  # file, limit, the value that is just enough, what is said beyond
    *[(pil_bytes(quadrants(), f), "max_pixels", 64 * 40, "64 x 40 pixels, more than 0.002559 million")
      for f in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "AVIF", "BMP", "PPM", "TGA", "SGI", "QOI", "JPEG2000")],
    (PNG, "max_side", 64, "64 x 40 pixels, more than 63 on one side"),
    (PNG, "max_bytes", len(PNG), "is larger than"),
    *[(animated(f), "max_frames", 4, "more than 3 (frames|pages)") 
      for f in ("GIF", "WEBP", "TIFF", "PNG", "AVIF")],
    *[(text_png(zlib.compress(bytes(99_000)), kind), "max_text", 99_000, "unpack to more than 98,999 bytes")
      for kind in (b"zTXt", b"iCCP")],
]  # fmt: skip


@pytest.mark.parametrize(("data", "name", "enough", "words"), CASES)
def test_at_the_limit_and_beyond(data, name, enough, words):
    Picture.open(data, limits=Input(**{name: enough}))
    with pytest.raises(PictureError, match=words) as error:
        Picture.open(data, limits=Input(**{name: enough - 1}))
    assert "\n" not in str(error.value)


def test_a_canvas_larger_than_its_frame_counts():
    data = bytearray(pil_bytes(FRAMES[0], "GIF"))
    data[6:10] = struct.pack("<HH", 65_535, 65_535)
    with pytest.raises(PictureError, match="65535 x 65535 pixels, more than 202 million"):
        Picture.open(bytes(data))


def test_formats_are_those_of_the_content_and_can_be_left_out():
    only = Input(formats="jpeg, PNG")
    assert only.formats == "jpeg,png"
    Picture.open(PNG, limits=only)
    with pytest.raises(PictureError, match=r"cat\.png is of the format tiff, but only jpeg,png"):
        Picture.open(pil_bytes(quadrants(), "TIFF"), name="cat.png", limits=only)
    with pytest.raises(SettingsError, match=r"unknown format 'tif'\. Did you mean tiff\?"):
        Input(formats="tif")


def test_numbers_with_units():
    assert Input(max_pixels="0.2 GP", max_bytes="1GB", max_text="2MiB") == Input(
        max_pixels=200_000_000, max_bytes=10**9, max_text=2 * 1024**2
    )
    for bad in ("200MB", "x", "9" * 400, "-1", "0"):
        with pytest.raises(SettingsError, match="max_pixels"):
            Input(max_pixels=bad)


def test_arrays_and_pictures_of_pillow_too():
    few = Input(max_pixels=5)
    for source in (np.zeros((2, 3, 3), np.uint8), Image.new("RGB", (3, 2))):
        Picture.of(source)
        with pytest.raises(PictureError, match="3 x 2 pixels, more than"):
            Picture.of(source, limits=few)


def test_the_environment_holds_where_nothing_else_is_said(monkeypatch):
    monkeypatch.setenv("IMPASTO_MAX_SIDE", "63")
    with pytest.raises(PictureError, match="more than 63 on one side"):
        impasto.Picture.open(PNG)
    Picture.open(PNG, limits=impasto.Input())
    monkeypatch.setenv("IMPASTO_MAX_SIDE", "many")
    with pytest.raises(SettingsError, match="IMPASTO_MAX_SIDE: must be a whole number"):
        Picture.open(PNG)


def test_flag_before_variable_before_file(tmp_path):
    file = tmp_path / "my.toml"
    file.write_text("[input]\nmax_pixels = 5\nmax_side = 6\nmax_frames = 7\n")
    chosen = gather(
        Flags.of({"settings": str(file), "max_pixels": "1MP"}),
        {"IMPASTO_MAX_PIXELS": "2MP", "IMPASTO_MAX_SIDE": "8"},
    )
    assert chosen.input == Input(max_pixels=10**6, max_side=8, max_frames=7)
    assert chosen.origins["max_pixels"] == "--max-pixels"
    assert chosen.origins["max_side"] == "IMPASTO_MAX_SIDE"
    assert chosen.origins["max_frames"] == "my.toml"


def test_on_the_command_line(tmp_path, capsys):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(PNG)
    files = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for flag, words in (
        ("--max-pixels=2kp", "64 x 40 pixels, more than 0.002 million (--max-pixels)"),
        ("--max-bytes=100", "is larger than 0.0001 MB"),
        ("--formats=gif", "is of the format png, but only gif may be read"),
        ("--max-side=0", "--max-side: must be 1 or more"),
    ):
        assert main([*files, flag, "-o", str(tmp_path / "out.png")]) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    assert not (tmp_path / "out.png").exists()


def test_doctor_shows_all_of_them(capsys, monkeypatch):
    monkeypatch.setenv("IMPASTO_MAX_FRAMES", "12")
    main(["doctor", "--json"])
    limits = json.loads(capsys.readouterr().out)["limits"]
    assert set(Input.model_fields) <= set(limits)
    assert limits["max_pixels"] == 202_000_000
    assert limits["max_frames"] == 12
    assert limits["formats"].split(",") == list(FORMATS)
    main(["doctor"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in Input.model_fields)


def test_no_limit_is_part_of_a_recipe():
    assert not set(Input.model_fields) & {*impasto.Settings.model_fields, *impasto.Runtime.model_fields}


def test_a_file_is_not_read_beyond_its_limit(tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(PictureError, match="larger than 200 MB"):
        Picture.open(path)
    assert isinstance(Picture.open(io.BytesIO(PNG).getvalue()), Picture)
