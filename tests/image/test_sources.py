"""What a picture can be made of in Python, and written to."""

import io
import pickle
import tempfile

import numpy as np
import pytest
import torch
from PIL import Image

from impasto import Picture
from impasto.errors import InputError, PictureError

PIXELS = np.random.default_rng(5).integers(0, 256, (9, 12, 3), np.uint8)
GRAY = np.arange(256, dtype=np.uint8).reshape(16, 16)


def png(pixels=PIXELS) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "BytesIO", "file", "temporary"])
def test_the_bytes_of_a_file_in_any_form(tmp_path, kind) -> None:
    path = tmp_path / "named.png"
    path.write_bytes(png())
    with path.open("rb") as file, tempfile.SpooledTemporaryFile() as spooled:
        spooled.write(png())
        spooled.seek(0)
        source = {
            "bytes": png(), "bytearray": bytearray(png()), "memoryview": memoryview(png()),
            "BytesIO": io.BytesIO(png()), "file": file, "temporary": spooled,
        }[kind]  # fmt: skip
        picture = Picture.of(source)
    assert np.array_equal(picture.array(), PIXELS)
    assert picture.name == {"file": "named.png", "BytesIO": "<file>", "temporary": "<file>"}.get(
        kind, "<bytes>"
    )
    assert picture.sha256 == Picture.open(path).sha256


def test_a_file_is_read_from_where_it_stands_and_not_as_text() -> None:
    file = io.BytesIO(b"head" + png())
    file.seek(4)
    assert np.array_equal(Picture.of(file).array(), PIXELS)
    with pytest.raises(PictureError, match="<file> is open as text; open it with mode 'rb'"):
        Picture.of(io.StringIO("text"))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, torch.float32])
def test_floats_a_hair_outside_are_clamped(kind) -> None:
    values = np.full((4, 5, 3), 0.5)
    values[0, 0], values[1, 1] = -1e-4, 1 + 1e-4
    if kind is torch.float32:
        picture = Picture.of(torch.from_numpy(values).float().permute(2, 0, 1))
    else:
        picture = Picture.of(values.astype(kind))
    assert picture.array(8)[0, 0].tolist() == [0, 0, 0]
    assert picture.array(8)[1, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("value", "words"), [(1.01, "0.5 to 1.01;"), (-0.25, "-0.25 to 0.5;"), (255.0, "0.5 to 255;")]
)
def test_floats_far_outside_are_refused_with_enough_digits(value, words) -> None:
    values = np.full((4, 5, 3), 0.5)
    values[0, 0] = value
    with pytest.raises(PictureError, match=words):
        Picture.of(values)
    values[0, 0] = 1.0025
    with pytest.raises(PictureError, match=r"0\.5 to 1\.0025;"):
        Picture.of(values)


@pytest.mark.parametrize("mode", ["L", "I", "F", "I;16", "unit F", "1"])
def test_gray_modes_of_pillow_are_what_they_are(mode) -> None:
    image, expected = Image.fromarray(GRAY), GRAY.astype(float) / 255
    if mode in ("I", "F"):
        image = image.convert(mode)
    elif mode == "I;16":
        image = Image.fromarray(GRAY.astype(np.uint16) * 257)
    elif mode == "unit F":
        image = Image.fromarray(GRAY.astype(np.float32) / 255)
    elif mode == "1":
        image, expected = image.point(lambda v: 255 * (v > 99), "1"), (GRAY > 99).astype(float)
    found = Picture.of(image).tensor()[0]
    assert found[0].numpy() == pytest.approx(expected, abs=1e-4)
    assert torch.equal(found[0], found[1])


def test_whole_numbers_of_32_bits_up_to_65535_are_16_bits() -> None:
    values = np.array([[0, 256, 65535]], np.int32)
    assert Picture.of(Image.fromarray(values)).tensor()[0, 0].tolist() == [pytest.approx([0, 256 / 65535, 1])]
    with pytest.raises(PictureError):
        Picture.of(Image.fromarray(np.array([[-7, 65535]], np.int32)))


@pytest.mark.parametrize("mode", ["HSV", "YCbCr", "RGBX", "LAB", "CMYK", "P"])
def test_color_modes_of_pillow_are_converted(mode) -> None:
    from PIL import ImageCms

    smooth = np.stack(np.meshgrid(np.linspace(60, 190, 12), np.linspace(60, 190, 9)), -1).astype(np.uint8)
    pixels = np.dstack([smooth, np.full((9, 12), 120, np.uint8)])
    image = Image.fromarray(pixels)
    if mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
    elif mode == "P":
        image = image.quantize(256)
    else:
        image = image.convert(mode)
    assert image.mode == mode
    apart = np.abs(Picture.of(image).array(8).astype(int) - pixels)
    assert mode == "CMYK" or apart.mean() <= 3  # 8 bits of LAB are coarse where a channel is dark
    assert apart.max() <= {"RGBX": 0, "P": 12, "CMYK": 60, "LAB": 20}.get(mode, 4)


# --- back to the user's program --------------------------------------------------------------------


def test_a_picture_is_an_array_for_numpy() -> None:
    picture = Picture.of(PIXELS)
    assert np.array_equal(np.asarray(picture), PIXELS)
    assert np.asarray(picture, np.float32).dtype == np.float32
    assert np.asarray(Picture.of(PIXELS.astype(np.uint16))).dtype == np.uint16
    assert Image.fromarray(np.asarray(picture)).size == (12, 9)


@pytest.mark.parametrize(
    "pixels", [PIXELS, PIXELS.astype(np.uint16) * 257, PIXELS / 255.0, np.dstack([PIXELS, GRAY[:9, :12]])]
)
def test_a_picture_can_be_pickled(pixels) -> None:
    picture = Picture.of(pixels, name="a")
    again = pickle.loads(pickle.dumps(picture))
    assert again.pixels_sha256() == picture.pixels_sha256()
    assert (again.name, again.bits, again.has_alpha) == ("a", picture.bits, picture.has_alpha)
    assert again.encode(".png") == picture.encode(".png")


@pytest.mark.parametrize("suffix", ["png", ".png", "PNG", ".Png"])
def test_formats_with_or_without_a_dot(suffix) -> None:
    assert Picture.of(PIXELS).encode(suffix) == Picture.of(PIXELS).encode(".png")


def test_an_open_file_is_written(tmp_path) -> None:
    picture, file = Picture.of(PIXELS), io.BytesIO()
    picture.save(file, format="png")
    assert file.getvalue() == picture.encode(".png")
    with (tmp_path / "out.tif").open("wb") as named:
        picture.save(named)
    assert np.array_equal(Picture.open(tmp_path / "out.tif").array(), PIXELS)
    with pytest.raises(InputError, match='save\\(file, format="png"\\)'):
        picture.save(io.BytesIO())
    with pytest.raises(InputError, match=r"x\.png does not end in \.jpg; the name decides the format"):
        picture.save(tmp_path / "x.png", format="jpg")
