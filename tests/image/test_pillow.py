"""Formats that Pillow and pi-heif read: each against its twin; nothing that C writes reaches the terminal."""

import contextlib
import io
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import tifffile
from PIL import Image

from impasto.errors import PictureError
from impasto.image.guards import convert_pillow_errors
from impasto.image.picture import Picture
from impasto.image.pillow import is_rare_tiff
from reference.files import pil_bytes, quadrants

RNG = np.random.default_rng(2)
RGBA = RNG.integers(0, 256, (9, 14, 4), dtype=np.uint8)
RGB, GREY = RGBA[..., :3], RGBA[..., 0]


def shown(array: np.ndarray) -> np.ndarray:
    return array[..., None].repeat(3, 2) if array.ndim == 2 else array


@pytest.mark.parametrize(
    ("format", "array", "options"),
    [
        ("TGA", RGB, {}),
        ("TGA", RGBA, {"compression": "tga_rle"}),
        ("TGA", GREY, {"orientation": -1}),
        ("SGI", RGB, {}),
        ("SGI", GREY, {}),
        ("QOI", RGB, {}),
        ("QOI", RGBA, {}),
        ("PPM", RGB, {}),
        ("PPM", GREY, {}),
        ("JPEG2000", RGB, {"irreversible": False}),
        ("JPEG2000", RGBA, {"irreversible": False, "no_jp2": True}),
        ("JPEG2000", GREY, {"irreversible": False}),
    ],
)
def test_lossless_is_exact(format, array, options):
    picture = Picture.open(pil_bytes(np.ascontiguousarray(array), format, **options))
    assert np.array_equal(picture.array(), shown(array))
    assert picture.bits == 8


@pytest.mark.parametrize("mode", ["P", "1", "LA"])
def test_tga_modes(mode):
    image = Image.fromarray(RGB.copy()).convert("L" if mode == "LA" else mode).convert(mode)
    picture = Picture.open(pil_bytes(image, "TGA"))
    wanted = np.asarray(image.convert("RGBA" if mode == "LA" else "RGB"))
    assert np.array_equal(picture.array(), wanted)


def test_16_bits():
    ramp = np.linspace(0, 65535, 9 * 14).astype(np.uint16).reshape(9, 14)
    for data in (
        pil_bytes(Image.fromarray(ramp), "JPEG2000", irreversible=False),
        b"P5 14 9 65535\n" + ramp.astype(">u2").tobytes(),
        b"P2 14 9\n65535\n" + " ".join(map(str, ramp.ravel())).encode(),
    ):
        picture = Picture.open(data)
        assert picture.bits == 16
        assert np.array_equal(picture.array()[..., 1], ramp)
    top = Picture.open(b"P2\n# nine bits\n2 1\n511\n511 0\n").array()
    assert top[0, :, 0].tolist() == [65535, 0]  # the largest value is white


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bands", [1, 3])
def test_pfm(order, bands):
    values = RNG.random((3, 4, bands), dtype=np.float32)
    head = f"P{'F' if bands == 3 else 'f'}\n4 3\n{'-' if order == '<' else ''}2.5\n".encode()
    data = head + values[::-1].astype(f"{order}f4").tobytes()
    picture = Picture.open(data)
    assert picture.bits == 16
    got = picture.tensor()[0].permute(1, 2, 0).numpy()
    assert np.array_equal(got, np.broadcast_to(values, (3, 4, 3)))
    with pytest.raises(PictureError, match="is damaged"):
        Picture.open(data[:-1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["Pf", "PF", "tiff", "tiff rgb"])
def test_floats_that_are_not_finite_are_refused(kind, bad):
    values = np.full((3, 4, 3 if kind in ("PF", "tiff rgb") else 1), 0.5, np.float32)
    values[1, 2, 0] = bad
    if kind.startswith("tiff"):
        buffer = io.BytesIO()
        meaning = "rgb" if "rgb" in kind else "minisblack"
        tifffile.imwrite(buffer, values.squeeze(), photometric=meaning)
        data = buffer.getvalue()
    else:
        data = f"{kind}\n4 3\n-1.0\n".encode() + values.tobytes()
    with pytest.raises(PictureError, match="contains values that are not finite") as error:
        Picture.open(data, name="cat.x")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("cat.x ")


@pytest.mark.parametrize("format", ["TGA", "SGI", "QOI", "PPM", "JPEG2000"])
@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_truncated(format, keep):
    data = pil_bytes(RNG.integers(0, 256, (40, 64, 3), dtype=np.uint8), format)
    with pytest.raises(PictureError, match=r"is damaged|in no known format"):
        Picture.open(data[: int(len(data) * keep)])


def tiff(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def test_tiffs_that_libvips_does_not_read():
    lzma = pil_bytes(Image.fromarray(RGB.copy()), "TIFF", compression="lzma")
    planes = np.ascontiguousarray(np.tile(RGB, (4, 4, 1)).transpose(2, 0, 1))
    apart = tiff(planes, photometric="rgb", planarconfig="separate", tile=(16, 16))
    for data, wanted in ((lzma, RGB), (apart, planes.transpose(1, 2, 0))):
        assert is_rare_tiff(data)
        assert np.array_equal(Picture.open(data).array(), wanted)
    assert not is_rare_tiff(pil_bytes(RGB.copy(), "TIFF"))


@pytest.mark.parametrize("big", [False, True])
def test_ycbcr_without_jpeg_has_its_colors(big):
    """libvips takes its samples for RGB."""
    ycc = np.asarray(Image.fromarray(quadrants()).convert("YCbCr"))
    extra = [(530, "H", 2, (1, 1), True)]  # no subsampling
    data = tiff(ycc, photometric="ycbcr", bigtiff=big, extratags=extra)
    assert is_rare_tiff(data)
    got = Picture.open(data).array()[..., :3].astype(int)
    assert np.abs(got - quadrants()).max() <= 3


def test_warnings_and_words_of_c_stay_away(tmp_path):
    code = (
        "import os, warnings\n"
        "from impasto.image.guards import convert_pillow_errors\n"
        "with convert_pillow_errors('x'):\n"
        "    warnings.warn('odd'); os.write(2, b'from C'); os.system('echo child >&2')\n"
        "os.write(2, b'after')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "after"
    with warnings.catch_warnings(record=True) as seen, convert_pillow_errors("x"):
        warnings.warn("odd", stacklevel=1)
    assert seen == []


@pytest.mark.slow
def test_without_a_standard_error():
    code = (
        "import os, sys; os.close(2)\n"
        "from impasto.image.picture import Picture\n"
        "print(Picture.open(b'P5 2 1 255\\n\\0\\xff').array()[0, :, 0].tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[0, 255]"


def test_a_damaged_tiff_is_quiet(capfd):
    """libtiff, as Pillow has it, says on the terminal what it cannot make out; found by fuzzing."""
    data = bytearray(pil_bytes(Image.fromarray(RGB.copy()), "TIFF", compression="lzma"))
    start = int.from_bytes(data[4:8], "little")
    data[start + 2 : start + 4] = b"\0\0"  # a tag that there is not
    for damaged in (bytes(data), bytes(data[: start + 40]), bytes(data).replace(b"7zXZ", b"7zXY")):
        with contextlib.suppress(PictureError):
            Picture.open(damaged)
    os.write(2, b"")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("array", [RGB, GREY])
def test_samples_that_lose_their_lower_bits_are_said(array):
    """Pillow reads SGI of 16 bits, and colors of JPEG 2000 of more than 8, as 8 bits."""
    picture = Picture.open(pil_bytes(np.ascontiguousarray(array), "SGI", bpc=2), name="a.sgi")
    assert np.array_equal(picture.array(), shown(array))
    assert picture.notes == ("a.sgi: its samples of more than 8 bits are read as 8 bits",)
    assert Picture.open(pil_bytes(np.ascontiguousarray(array), "SGI")).notes == ()


def test_colors_of_16_bits_in_a_jpeg_2000_are_said():
    data = bytearray(pil_bytes(np.ascontiguousarray(RGB), "JPEG2000", irreversible=False, no_jp2=True))
    assert Picture.open(bytes(data)).notes == ()
    for place in (42, 45, 48):  # the precision that the header states for each
        data[place] = 15
    assert Picture.open(bytes(data), name="a").notes == (
        "a: its samples of more than 8 bits are read as 8 bits",
    )
