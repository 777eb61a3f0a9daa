"""Every format, at every depth, read back by programs that know nothing of impasto."""

import io
import json
import logging
import struct

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms, IptcImagePlugin

from impasto.errors import InputError, OutputError
from impasto.image import encode as module
from impasto.image.picture import Picture
from impasto.image.xmp import recipe_in
from impasto.system.files import WRITABLE
from reference.files import (
    CAMERA,
    OWNER,
    PHOTO_XMP,
    camera_exif,
    jpeg_sampling,
    pil_bytes,
    png_chunks,
    png_pixels,
    quadrants,
)

RECIPE = json.dumps(
    {"name": "Kätzchen 猫 \u2028 ]]> <&\"'> \U0001f600 \x7f\x85\ufffe.png", "a": [1, 2.5, None]},
    ensure_ascii=False,
    indent=1,
)
LOSSY = {".jpg": 3, ".jpeg": 3, ".webp": 3, ".avif": 3}  # mean error in levels, at quality 95
CASES = [
    (suffix, bits, alpha)
    for suffix in WRITABLE
    for bits in ((8, 16) if suffix in (".png", ".tif", ".tiff") else (8,))
    for alpha in (False, True)
]


def pixels(bits: int, alpha: bool, noise: int = 30) -> np.ndarray:
    """Four colors, half transparent, and where nothing may be lost noise in the low bits."""
    array = quadrants().astype(int)
    if alpha:
        array = np.concatenate([array, np.full((40, 64, 1), 128)], 2)
    array = array * (257 if bits == 16 else 1)
    array += np.random.default_rng(3).integers(0, noise, array.shape)
    return array.astype(np.uint8 if bits == 8 else np.uint16)


def painted(array: np.ndarray, dpi: bool) -> Picture:
    """A result of these pixels whose photo has EXIF, IPTC and XMP of a camera, and perhaps its dpi."""
    exif = camera_exif(orientation=1)
    if not dpi:
        for tag in (282, 283, 296):
            del exif[tag]
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0d\x1c\x02\x78\0\x08Headline\0"
    jpeg = pil_bytes(Image.new("RGB", (64, 40)), "JPEG", exif=exif, xmp=PHOTO_XMP)
    segment = b"\xff\xed" + struct.pack(">H", len(iptc) + 2) + iptc
    source = Picture.of(jpeg[:2] + segment + jpeg[2:])
    assert source.dpi == ((240, 240) if dpi else None)
    values = (array / np.iinfo(array.dtype).max).astype(np.float32)
    planes = torch.from_numpy(values).permute(2, 0, 1)[None]
    alpha = planes[:, 3:] if array.shape[2] == 4 else None
    made = Picture.from_tensor(planes[:, :3], alpha=alpha, source=source)
    assert made.bits == 8  # the photo's
    return made


def read_pixels(data: bytes, suffix: str, bits: int) -> np.ndarray:
    if suffix == ".png":
        return png_pixels(data)
    if suffix.startswith(".tif"):
        return tifffile.imread(io.BytesIO(data)).astype(int)
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


def read_dpi(data: bytes, suffix: str) -> tuple[float, float] | None:
    """What the file itself states; None where it states nothing."""
    if suffix.startswith(".tif"):
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            tags = file.pages[0].tags
            pair = [tags[code].value for code in (282, 283) if code in tags]
            return tuple(above / below for above, below in pair) if pair else None
    image = Image.open(io.BytesIO(data))
    if suffix in (".webp", ".avif"):
        exif = image.getexif()
        return (float(exif[282]), float(exif[283])) if 282 in exif else None
    return image.info.get("dpi")


@pytest.mark.parametrize("dpi", [False, True], ids=["", "dpi"])
@pytest.mark.parametrize("metadata", ["keep", "minimal", "strip"])
@pytest.mark.parametrize(("suffix", "bits", "alpha"), CASES)
def test_what_is_written(suffix, bits, alpha, metadata, dpi):
    array = pixels(bits, alpha, noise=1 if suffix in LOSSY else 30)
    picture = painted(array, dpi)
    data = picture.encode(suffix, bits=bits, metadata=metadata, recipe=RECIPE)
    image = Image.open(io.BytesIO(data))
    image.load()
    exif = image.getexif()

    got = read_pixels(data, suffix, bits)
    expected = array.astype(float)
    if alpha and suffix in (".jpg", ".jpeg"):
        opacity = expected[..., 3:] / 255
        expected = expected[..., :3] * opacity + 255 * (1 - opacity)
    assert got.shape == expected.shape
    if suffix in LOSSY:
        assert np.abs(got - expected).mean() < LOSSY[suffix]
        if got.shape[2] == 4:
            limit = {".webp": 0, ".avif": 3}[suffix]
            assert np.abs(got[..., 3] - array[..., 3]).max() <= limit
    else:
        assert np.array_equal(got, array)
    if suffix in (".jpg", ".jpeg"):
        assert jpeg_sampling(data) == {0x11}

    if metadata == "strip":
        assert "icc_profile" not in image.info
    else:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)

    stated = read_dpi(data, suffix)
    if metadata != "strip" and dpi:
        assert stated == pytest.approx((240, 240), abs=0.01)
    elif metadata == "keep":
        assert stated is None or stated == pytest.approx((72, 72))  # EXIF's word for unknown
    else:
        assert stated is None

    packet = image.info.get("xmp", b"")
    assert recipe_in(data, "it") == (None if metadata == "strip" else RECIPE)
    assert (b"impasto" in packet) == (metadata != "strip")
    assert (b"Cat on a wall" in packet) == (metadata == "keep")
    assert b"tiff:Orientation" not in packet

    assert exif.get(274, 1) == 1
    names = (CAMERA.encode(), OWNER.encode(), b"2020:01:02", b"Headline", b"Cat on")
    if metadata == "keep":
        assert exif[271] == CAMERA
        assert exif[274] == 1
        assert exif.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
        assert exif.get_ifd(0x8825)[2] == (48.0, 31.0, 12.0)
        if suffix not in (".png", ".webp", ".avif"):  # these have no place for it
            assert IptcImagePlugin.getiptcinfo(image)[(2, 120)] == b"Headline"
    else:
        assert not [name for name in names if name in data]
        assert not exif.get_ifd(0x8825)
        assert 271 not in exif
    if metadata == "strip" and suffix == ".png":
        assert {kind for kind, _ in png_chunks(data)} == {b"IHDR", b"IDAT", b"IEND"}
    if metadata == "strip" and not suffix.startswith(".tif"):
        assert not exif
    again = Picture.open(data)
    assert again.dpi == ((240, 240) if dpi and metadata != "strip" else again.dpi and (72, 72))
    if suffix not in LOSSY:
        assert np.array_equal(again.array(bits), array)


def test_depth_follows_the_picture_where_the_format_can():
    deep, flat = Picture.of(pixels(16, False)), Picture.of(pixels(8, False))
    assert (deep.bits, flat.bits) == (16, 8)
    for suffix in WRITABLE:
        can = suffix in (".png", ".tif", ".tiff")
        assert Picture.open(deep.encode(suffix)).bits == (16 if can else 8)
        assert Picture.open(flat.encode(suffix)).bits == 8
        assert Picture.open(deep.encode(suffix, bits=8)).bits == 8


def test_avif_is_444_and_quality_counts():
    red = np.zeros((32, 32, 3), np.uint8)
    red[:, ::2] = (255, 0, 0)  # lines of one pixel: subsampled, they would mix with black
    red[:, 1::2] = (0, 0, 255)
    data = Picture.of(red).encode(".avif", jpeg_quality=95)
    got = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    assert np.abs(got - red).mean() < 8
    noise = Picture.of(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    sizes = [len(noise.encode(".avif", jpeg_quality=quality)) for quality in (20, 60, 95)]
    assert sizes == sorted(sizes)
    assert sizes[0] * 2 < sizes[2]


@pytest.mark.parametrize("dpi", [(300, 150), (72, 72), (25.4, 25.4), (120, 119.5)])
def test_resolution_in_and_out(dpi):
    data = pil_bytes(quadrants(), "TIFF", dpi=dpi)
    picture = Picture.open(data)
    assert picture.dpi == pytest.approx(dpi, abs=0.01)
    for suffix in WRITABLE:
        again = Picture.open(picture.encode(suffix)).dpi
        whole = 0.51 if suffix in (".jpg", ".jpeg") else 0.02  # JPEG counts whole dots
        assert again == pytest.approx(dpi, abs=whole), suffix


def test_a_recipe_that_is_not_read_back_is_not_written(monkeypatch):
    monkeypatch.setattr(module.xmp, "recipe_in", lambda data, label: "{}")
    picture = Picture.of(quadrants())
    assert picture.encode(".png", recipe="{}")
    with pytest.raises(OutputError, match="not read back"):
        picture.encode(".png", recipe="{} ")


@pytest.mark.parametrize("base", [b"<x:broken", b"<!DOCTYPE a><a/>", None])
def test_xmp_that_cannot_be_kept_is_said(base, caplog):
    if base is None:  # fits into the photo, but not together with the recipe
        base = PHOTO_XMP.replace(b"Cat on a wall", b"x" * 40_000)
    source = Picture.open(pil_bytes(quadrants(), "JPEG", xmp=base), name="cat.jpg")
    recipe = json.dumps({"long": "y" * 25_000})
    with caplog.at_level(logging.WARNING, "impasto"):
        data = source.encode(".jpg", metadata="keep", recipe=recipe)
    assert "cat.jpg: its XMP could not be kept" in caplog.text
    assert recipe_in(data, "it") == recipe
    assert b"xxxxx" not in data


def test_large_exif_is_kept_without_the_makers_note():
    exif = camera_exif(1)
    exif.get_ifd(0x8769)[0x927C] = b"n" * 62_000
    source = Picture.open(pil_bytes(quadrants(), "JPEG", exif=exif))
    for suffix in WRITABLE:
        data = source.encode(suffix, metadata="keep")
        assert Image.open(io.BytesIO(data)).getexif()[271] == CAMERA
        assert b"nnnnnnnn" not in data


def test_keep_drops_the_thumbnail():
    exif = camera_exif(1).tobytes()
    photo = pil_bytes(quadrants(), "JPEG", exif=exif)
    tiff = bytearray(exif[6:])  # append a second directory, which is where thumbnails are
    order = ">" if tiff[:2] == b"MM" else "<"
    first = struct.unpack_from(f"{order}I", tiff, 4)[0]
    count = struct.unpack_from(f"{order}H", tiff, first)[0]
    thumb = pil_bytes(Image.new("RGB", (8, 8)), "JPEG", comment=b"thumbnail")
    at = len(tiff)
    struct.pack_into(f"{order}I", tiff, first + 2 + 12 * count, at)
    tiff += struct.pack(f"{order}H", 2)
    tiff += struct.pack(f"{order}HHII", 513, 4, 1, at + 30)
    tiff += struct.pack(f"{order}HHII", 514, 4, 1, len(thumb)) + bytes(4) + thumb
    photo = pil_bytes(quadrants(), "JPEG", exif=b"Exif\0\0" + bytes(tiff))
    assert b"thumbnail" in photo
    for suffix in WRITABLE:
        data = Picture.open(photo).encode(suffix, metadata="keep")
        assert b"thumbnail" not in data
        assert Image.open(io.BytesIO(data)).getexif()[271] == CAMERA


def test_a_tiff_keeps_what_its_directory_says():
    simple = Picture.open(pil_bytes(quadrants(), "TIFF", exif=camera_exif(6)))
    assert (simple.width, simple.height, simple.dpi) == (40, 64, (240, 240))
    full = Picture.open(painted(pixels(16, True), True).encode(".tif", bits=16, metadata="keep"))
    for suffix in WRITABLE:
        for source in (simple, full):
            got = Image.open(io.BytesIO(source.encode(suffix, metadata="keep"))).getexif()
            assert (got[271], got[315], got.get(274)) == (CAMERA, OWNER, 1)
        assert got.get_ifd(0x8825)[2] == (48.0, 31.0, 12.0)


@pytest.mark.parametrize("options", [{"metadata": "all"}, {"recipe": "x" * 32_001}])
def test_wrong_arguments(options):
    with pytest.raises(InputError) as error:
        Picture.of(quadrants()).encode(".png", **options)
    assert "\n" not in str(error.value)


def test_the_longest_side_is_known_before_a_run():
    """The command line refuses what could not be written at the end of it."""
    from impasto.cli.run import LONGEST

    for suffix, longest in LONGEST.items():
        assert Picture.of(np.zeros((1, longest), np.uint8)).encode(suffix)
        with pytest.raises(OutputError, match=r"try \.png"):
            Picture.of(np.zeros((1, longest + 1), np.uint8)).encode(suffix)


@pytest.mark.parametrize("metadata", ["keep", "minimal"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", ".avif"])
def test_a_resolution_of_its_own_replaces_the_photos(suffix, metadata):
    data = painted(pixels(8, False), True).encode(suffix, bits=8, metadata=metadata, dpi=150)
    assert Picture.open(data).dpi == (150, 150)
