"""What a file is, by its content; and that nothing else ever reaches a reader."""

import ast
from pathlib import Path

import pytest
import pyvips
from PIL import Image

from impasto.config.limits import FORMATS, Input
from impasto.errors import PictureError
from impasto.image import decode, pillow
from impasto.image.formats import format_of
from impasto.image.picture import Picture
from reference.files import pil_bytes, quadrants

SOURCE = Path(decode.__file__).parent
NAMES = {"PPM": "pnm", "JPEG2000": "jpeg2000"}
UNTRUSTED = {
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>",
    "svg behind a head": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
    "pdf": b"%PDF-1.4\n",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n(x) run\n",
    "csv": b"1,2\n3,4\n",
    "matrix": b"2 2\n1 2\n3 4\n",
    "vips": b"\x08\xf2\xf6\xb6" + bytes(60),
    "radiance": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n\1\1\1\1",
    "icns": b"icns\0\0\0\x08",
    "ico": b"\0\0\1\0\1\0",
    "wmf": b"\xd7\xcd\xc6\x9a" + bytes(40),
    "fits": b"SIMPLE  =                    T" + b" " * 60,
    "msl": b"<?xml version='1.0'?><image><read filename='/etc/passwd'/></image>",
    "mvg": b"push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 9,9 'x'\n",
    "zip": b"PK\x03\x04" + bytes(40),
}


@pytest.mark.parametrize(
    "format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "GIF", "BMP", "JPEG2000", "PPM", "TGA", "QOI", "SGI"]
)
def test_by_content(format):
    data = pil_bytes(quadrants(), format)
    assert format_of(data, "cat.psd", Input()) == NAMES.get(format, format.lower())


@pytest.mark.parametrize("name", UNTRUSTED)
def test_no_reader_is_reached(name, monkeypatch):
    def reached(*args, **options):
        raise AssertionError("a reader was reached")

    monkeypatch.setattr(pyvips.Operation, "call", reached)
    monkeypatch.setattr(Image, "open", reached)
    monkeypatch.setattr(pillow, "_pillow", reached)
    with pytest.raises(PictureError, match="give a JPEG"):
        Picture.open(UNTRUSTED[name], name="cat.png")


def test_readers_are_named_and_never_guess():
    """Neither libvips nor Pillow chooses a reader by itself anywhere."""
    guessing = ("new_from_file", "new_from_buffer", "new_from_source", "Image.open")
    wrong = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            named = any(word.arg == "formats" for word in getattr(node, "keywords", ()))
            if called.endswith(guessing) and not named:
                wrong.append(f"{path.name}: {called}")
    assert wrong == []
    assert {*decode._LOADERS, *pillow._PILLOW, "heic", "pnm"} == set(FORMATS)


@pytest.mark.parametrize("at", [1, 2, 16, 17])
def test_what_cannot_be_a_tga_is_none(at):
    data = bytearray(pil_bytes(quadrants(), "TGA"))
    assert format_of(bytes(data), "x", Input()) == "tga"
    data[at] = 0x77
    with pytest.raises(PictureError, match="in no known format"):
        format_of(bytes(data), "x", Input())
