"""A JPEG of which a part is missing is refused, whatever its kind; one that lacks only its end opens."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from impasto.errors import PictureError
from impasto.image.containers import jpeg
from impasto.image.picture import Picture
from reference.files import pil_bytes

END = b"\xff\xd9"
KINDS = {
    "baseline": {},
    "optimized": {"optimize": True},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_rows": 1},
    "restart markers, progressive": {"restart_marker_rows": 1, "progressive": True},
}


def photo(mode: str = "RGB") -> Image.Image:
    """Waves and noise, so that no two stretches of data are alike."""
    y, x = np.mgrid[:96, :128]
    waves = np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 11)], 2) * 90 + 128
    noise = np.random.default_rng(3).normal(0, 6, waves.shape)
    return Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8)).convert(mode)


def whole(kind: str, mode: str = "RGB") -> tuple[bytes, int]:
    """A JPEG, and where the data of its last scan begin."""
    data = pil_bytes(photo(mode), "JPEG", quality=88, **KINDS[kind])
    start = data.rindex(b"\xff\xda")
    return data, start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")


def refused(data: bytes) -> None:
    with pytest.raises(
        PictureError, match="is damaged: a part of its pixels is missing; give a complete"
    ) as said:
        Picture.open(data, name="cat.jpg")
    assert str(said.value).startswith("cat.jpg ")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", KINDS)
def test_without_an_end_marker_all_pixels_are_there(kind, mode):
    data, _ = whole(kind, mode)
    expected = Picture.open(data)
    assert expected.notes == ()
    for shorter in (data[:-2], data[:-1], data[:-2] + bytes(40)):
        picture = Picture.open(shorter)
        assert np.array_equal(picture.array(), expected.array())
        assert picture.notes == ()


@pytest.mark.parametrize("part", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("kind", KINDS)
def test_data_that_end_early_are_refused_with_and_without_an_end_marker(kind, mode, part):
    data, start = whole(kind, mode)
    cut = data[: start + int((len(data) - start) * part)]
    refused(cut + END)
    refused(cut)
    refused(cut + END + bytes(500))


@pytest.mark.parametrize("lost", [200, 600])
@pytest.mark.parametrize("kind", KINDS)
def test_a_hole_is_refused(kind, lost):
    data, start = whole(kind)
    at = start + (len(data) - start) // 3
    refused(data[:at] + data[at + lost :])


@pytest.mark.parametrize("kind", ["baseline", "progressive", "restart markers"])
def test_zeros_in_the_place_of_data_are_refused(kind):
    data, start = whole(kind)
    at = start + (len(data) - start) // 3
    refused(data[:at] + bytes(400) + data[at + 400 :])


def test_zeros_of_flat_pictures_are_data():
    flat = Image.new("RGB", (1600, 1600), (9, 200, 90))
    data = pil_bytes(flat, "JPEG", optimize=True, quality=90)
    assert bytes(128) in data
    assert Picture.open(data).notes == ()


@pytest.mark.parametrize("scans", [1, 3, 5])
def test_scans_that_are_missing_are_refused(scans):
    data, _ = whole("progressive")
    places = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    assert len(places) > scans
    start = data.rindex(b"\xff\xc4", 0, places[scans])  # with the table of the scan
    refused(data[:start] + END)


@pytest.mark.parametrize("count", [1, 8])
def test_stretches_between_restart_markers_that_are_missing_are_refused(count):
    """Eight make the numbers of the markers continue as if nothing were missing."""
    data = pil_bytes(photo(), "JPEG", quality=88, restart_marker_blocks=2)
    start = data.rindex(b"\xff\xda")
    marks = [at for at in range(start, len(data)) if data[at] == 0xFF and data[at + 1] in range(0xD0, 0xD8)]
    refused(data[: marks[3]] + data[marks[3 + count] :])


def test_a_stretch_with_too_much_data_is_said():
    data = pil_bytes(photo(), "JPEG", quality=88, restart_marker_rows=1)
    at = data.index(b"\xff\xd2", data.rindex(b"\xff\xda"))
    (note,) = Picture.open(data[:at] + bytes(range(1, 90)) + data[at:], name="cat.jpg").notes
    assert note == "cat.jpg: its data are damaged in places; some of its pixels may be wrong"


def test_a_harmless_warning_does_not_hide_that_data_are_missing():
    data, start = whole("baseline")
    head = data[:2] + b"\xff\xe0" + data[4:11] + b"\x09" + data[12:]  # a version of JFIF that there is not
    assert head[6:11] == b"JFIF\0"
    picture = Picture.open(head)
    assert np.array_equal(picture.array(), Picture.open(data).array())
    refused(head[: start + (len(data) - start) // 2] + END)


@pytest.mark.parametrize("size", [(128, 96), (133, 71), (17, 90), (8, 8)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_no_whole_file_is_refused(size, mode):
    picture = photo().resize(size).convert(mode)
    for sampling in (0, 1, 2):
        for more in (*KINDS.values(), {"restart_marker_blocks": 3}):
            data = pil_bytes(picture, "JPEG", subsampling=sampling, **more)
            jpeg.check_whole(data, "cat.jpg")


def test_several_pictures_are_said():
    buffer = io.BytesIO()
    photo().save(buffer, "MPO", save_all=True, append_images=[photo(), photo()])
    picture = Picture.open(buffer.getvalue(), name="cat.jpg")
    assert picture.notes == ("cat.jpg: 3 pictures; only the first is used",)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_an_orientation_that_there_is_not_counts_as_upright(kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    options = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": exif}
    if kind in ("JPEG", "TIFF", "PNG"):
        options["dpi"] = (300, 150)
    picture = Picture.open(pil_bytes(photo(), kind, **options))
    assert (picture.width, picture.height) == (128, 96)
    assert picture.dpi in (None, (300, 150))
    assert picture.notes == ()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_behind_the_pixels_of_a_png_counts(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    before = pil_bytes(photo(), "PNG", exif=exif)
    at = before.index(b"eXIf") - 4
    size = 12 + int.from_bytes(before[at : at + 4], "big")
    end = before.rindex(b"IEND") - 4
    behind = before[:at] + before[at + size : end] + before[at : at + size] + before[end:]
    assert behind.index(b"eXIf") > behind.index(b"IDAT")
    one, other = Picture.open(before), Picture.open(behind)
    assert one.height == (128 if orientation > 4 else 96)
    assert np.array_equal(one.array(), other.array())
    assert struct.unpack(">I", behind[at : at + 4])


def test_half_a_photo(request):
    file = request.config.rootpath / "../shared/cases/half-a-photo-with-end-marker.jpg"
    if not file.is_file():
        pytest.skip("the photo is not here")
    with pytest.raises(PictureError, match="a part of its pixels is missing"):
        Picture.open(file)
