"""What comes in besides the formats of test_picture.py: AVIF, HEIC, BMP; notes, resolutions, limits."""

import contextlib
import io
import logging
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from impasto.errors import PictureError
from impasto.image.picture import Picture
from impasto.system import libvips
from reference.files import PHOTO_XMP, UNDO, camera_exif, pil_bytes, quadrants


def heic(image: Image.Image | np.ndarray, **options) -> bytes:
    """A HEIC file; an array of uint16 becomes one of 10 bits."""
    library = pytest.importorskip("pillow_heif", reason="pillow-heif makes the HEIC files")
    if isinstance(image, np.ndarray) and image.dtype == np.uint16:
        size = image.shape[1::-1]
        file = library.from_bytes("RGB;16" if image.shape[2] == 3 else "RGBA;16", size, image.tobytes())
    else:
        file = library.from_pillow(image if isinstance(image, Image.Image) else Image.fromarray(image))
    buffer = io.BytesIO()
    file.save(buffer, **({"quality": 95, "chroma": 444} | options))
    return buffer.getvalue()


def refused(data: bytes, words: str = "is damaged") -> None:
    with pytest.raises(PictureError, match=words) as error:
        Picture.open(data)
    assert "\n" not in str(error.value)
    assert "seek" not in str(error.value)  # libvips' attempts are not the cause


def error_of(picture: Picture, expected: np.ndarray) -> float:
    return float(np.abs(picture.array(8).astype(int) - expected).mean())


# ---- HEIC and AVIF


@pytest.mark.parametrize("format", ["AVIF", "HEIC"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations(format, orientation):
    upright = Image.fromarray(quadrants())
    stored = upright.transpose(UNDO[orientation]) if orientation > 1 else upright
    exif = camera_exif(orientation)
    if format == "AVIF":
        data = pil_bytes(stored, "AVIF", exif=exif, quality=95, subsampling="4:4:4")
    else:
        data = heic(stored, exif=exif.tobytes())
    picture = Picture.open(data)
    assert (picture.width, picture.height) == (64, 40)
    assert error_of(picture, quadrants()) < 3
    assert picture.dpi == (240, 240)
    kept = Image.open(io.BytesIO(picture.encode(".jpg", metadata="keep"))).getexif()
    assert kept[274] == 1


@pytest.mark.parametrize("format", ["AVIF", "HEIC"])
def test_profile_is_converted(format):
    array = np.full((16, 16, 3), (230, 60, 60), np.uint8)
    srgb = pyvips.Image.new_from_array(array, interpretation="srgb")
    wide = srgb.icc_transform("p3", input_profile="srgb", depth=8)
    assert abs(wide(0, 0)[0] - 230) > 5  # the stored numbers differ
    image, profile = Image.fromarray(wide.numpy()), wide.get("icc-profile-data")
    if format == "AVIF":
        data = pil_bytes(image, "AVIF", icc_profile=profile, quality=98, subsampling="4:4:4")
    else:
        image.info["icc_profile"] = profile
        data = heic(image, quality=98)
    assert error_of(Picture.open(data), array) < 2


def test_10_bit_heic_stays_deep():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    array = np.tile(ramp[None, :, None], (40, 1, 3))
    picture = Picture.open(heic(array, quality=-1))
    assert picture.bits == 16
    got = picture.array()
    assert got.dtype == np.uint16
    assert got.max() == 65535  # white is white
    assert np.abs(got.astype(int) - array).max() <= 2.1 * 65535 / 1023
    assert len(np.unique(got[0, :, 1])) > 60


def test_10_bit_avif_stays_deep():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    image = pyvips.Image.new_from_array(np.tile(ramp[None, :, None], (40, 1, 3)))
    data = image.copy(interpretation="rgb16").write_to_buffer(
        ".avif", bitdepth=10, Q=99, subsample_mode="off", keep="none"
    )
    picture = Picture.open(data)
    assert picture.bits == 16
    plain = pyvips.Image.new_from_array(np.full((16, 16, 3), 65535, np.uint16))
    white = plain.copy(interpretation="rgb16").write_to_buffer(".avif", bitdepth=10, keep="none")
    assert Picture.open(white).array().max() == 65535  # ten bits of ones are white
    assert np.abs(picture.array().astype(int) - image.numpy()).max() <= 6 * 65535 / 1023


@pytest.mark.parametrize("format", ["AVIF", "HEIC", "HEIC 10"])
def test_alpha(format):
    rgba = np.dstack([quadrants(), np.tile(np.arange(64, dtype=np.uint8) * 4, (40, 1))])
    if format == "AVIF":
        data = pil_bytes(rgba, "AVIF", quality=95, subsampling="4:4:4")
    else:
        data = heic(rgba if format == "HEIC" else rgba.astype(np.uint16) * 257)
    picture = Picture.open(data)
    assert picture.has_alpha
    assert np.abs(picture.array(8)[..., 3].astype(int) - rgba[..., 3]).max() <= 6
    assert np.abs(picture.array(8)[:, 32:, :3].astype(int) - rgba[:, 32:, :3]).mean() < 4


def test_grey_heic():
    gray = quadrants()[..., 0]
    picture = Picture.open(heic(gray))
    assert error_of(picture, gray[..., None].repeat(3, 2)) < 2


@pytest.mark.parametrize("format", ["AVIF", "HEIC", "BMP"])
@pytest.mark.parametrize("keep", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_truncated(format, keep):
    data = heic(quadrants()) if format == "HEIC" else pil_bytes(quadrants(), format)
    refused(data[: int(len(data) * keep)], "is damaged|in no known format|is a text file")


@pytest.mark.parametrize("format", ["AVIF", "HEIC"])
def test_a_flipped_bit_never_ends_in_a_traceback(format):
    data = heic(quadrants()) if format == "HEIC" else pil_bytes(quadrants(), format)
    rng = np.random.default_rng(5)
    for _ in range(60):
        changed = bytearray(data)
        changed[rng.integers(0, len(data))] ^= 1 << int(rng.integers(0, 8))
        with contextlib.suppress(PictureError):
            Picture.open(bytes(changed))


@pytest.mark.parametrize("format", ["AVIF", "HEIC", "BMP"])
def test_limits_hold_before_decoding(format, monkeypatch):
    data = heic(quadrants()) if format == "HEIC" else pil_bytes(quadrants(), format)
    Picture.open(data)

    def decoded(*args, **options):
        raise AssertionError("decoded")

    import pi_heif
    from PIL.BmpImagePlugin import BmpImageFile

    monkeypatch.setattr(pi_heif.heif.BaseImage, "load", decoded)
    monkeypatch.setattr(BmpImageFile, "load", decoded)
    monkeypatch.setattr(pyvips.Image, "write_to_memory", decoded)
    monkeypatch.setenv("IMPASTO_MAX_SIDE", "63")
    refused(data, "64 x 40 pixels, more than 63 on one side")
    monkeypatch.delenv("IMPASTO_MAX_SIDE")
    monkeypatch.setenv("IMPASTO_MAX_PIXELS", str(64 * 40 - 1))
    refused(data, "64 x 40 pixels, more than")


def test_a_huge_bmp_is_refused_without_a_warning():
    head = struct.pack("<2sIIIIiiHHIIiiII", b"BM", 54, 0, 54, 40, 20_000, 20_000, 1, 24, *[0] * 6)
    refused(head, "20000 x 20000 pixels, more than 202 million")


@pytest.mark.slow
def test_the_terminal_stays_clean(tmp_path):
    files = [heic(quadrants()), pil_bytes(quadrants(), "AVIF"), pil_bytes(quadrants(), "BMP")]
    for number, data in enumerate(files):
        for keep in (0.3, 0.7, 0.95):
            (tmp_path / f"{number}-{keep}").write_bytes(data[: int(len(data) * keep)])
    code = (
        "import sys, impasto.image.picture as p, impasto.errors as e\n"
        "for name in sys.argv[1:]:\n"
        "    try: p.Picture.open(name)\n"
        "    except e.PictureError: continue\n"
        "    raise SystemExit(name)\n"
    )
    command = [sys.executable, "-c", code, *map(str, sorted(tmp_path.iterdir()))]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


# ---- BMP


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp_modes(mode):
    image = Image.fromarray(quadrants()).convert(mode)
    data = pil_bytes(image, "BMP", dpi=(300, 200))
    picture = Picture.open(data)
    assert np.array_equal(picture.array(), np.asarray(image.convert("RGB")))
    assert picture.dpi == (300, 200)
    assert picture.bits == 8


def test_bmp_with_alpha():
    rgba = np.random.default_rng(1).integers(0, 256, (4, 6, 4), dtype=np.uint8)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    info = struct.pack("<IiiHHIIiiII", 108, 6, -4, 1, 32, 3, 96, 0, 0, 0, 0) + masks + bytes(52)
    head = struct.pack("<2sIII", b"BM", 14 + len(info) + 96, 0, 14 + len(info))
    picture = Picture.open(head + info + rgba[..., [2, 1, 0, 3]].tobytes())
    assert np.array_equal(picture.array(), rgba)
    assert picture.dpi is None


# ---- what is said


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "PNG", "AVIF"])
def test_more_than_one_frame_is_said(format, caplog):
    frames = [Image.new("RGB", (8, 6), c) for c in ("red", "lime", "blue")]
    data = pil_bytes(frames[0], format, save_all=True, append_images=frames[1:])
    with caplog.at_level(logging.WARNING, "impasto"):
        picture = Picture.open(data, name="cat.x")
    word = "pages" if format == "TIFF" else "frames"
    assert picture.notes == (f"cat.x: 3 {word}; only the first is used",)
    assert picture.notes[0] in caplog.text
    assert np.abs(picture.array()[0, 0, :3].astype(int) - (255, 0, 0)).max() < 12
    single = Picture.open(pil_bytes(frames[0], format))
    assert single.notes == ()


def test_several_images_in_a_heic_are_said():
    library = pytest.importorskip("pillow_heif", reason="pillow-heif makes the HEIC files")
    file = library.from_pillow(Image.fromarray(quadrants()))
    file.add_from_pillow(Image.new("RGB", (64, 40), "lime"))
    buffer = io.BytesIO()
    file.save(buffer, quality=95, primary_index=0)
    picture = Picture.open(buffer.getvalue(), name="cat.heic")
    assert picture.notes == ("cat.heic: 2 images; only the first is used",)
    assert error_of(picture, quadrants()) < 4
    buffer = io.BytesIO()
    file.save(buffer, quality=95, primary_index=1)
    picture = Picture.open(buffer.getvalue(), name="cat.heic")
    assert picture.notes == ("cat.heic: 2 images; only number 2, the main one, is used",)
    assert picture.array()[0, 0, 1] > 240


def test_a_broken_profile_is_said():
    good = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = pil_bytes(quadrants(), "TIFF", icc_profile=good[:16] + b"CMYK" + good[20:])
    (note,) = Picture.open(data, name="cat.tif").notes
    assert note.startswith("cat.tif: its color profile is ignored (")


@pytest.mark.parametrize("format", ["BMP", "TGA", "PNG", "WEBP", "TIFF", "GIF"])
def test_alpha_that_is_zero_everywhere(format):
    rgba = np.dstack([quadrants(), np.zeros((40, 64), np.uint8)])
    if format == "BMP":
        masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        info = struct.pack("<IiiHHIIiiII", 56, 64, -40, 1, 32, 3, rgba.size, 0, 0, 0, 0) + masks
        head = struct.pack("<2sIII", b"BM", 14 + len(info) + rgba.size, 0, 14 + len(info))
        data = head + info + rgba[..., [2, 1, 0, 3]].tobytes()
    else:
        options = {"WEBP": {"lossless": True, "exact": True}, "TGA": {"compression": "tga_rle"}}
        data = pil_bytes(rgba, format, **options.get(format, {}))
    picture = Picture.open(data, name="cat.x")
    opaque = format in ("BMP", "TGA")
    meaning = "which counts as opaque in this format" if opaque else "so nothing of it can be seen"
    assert picture.notes == (f"cat.x: its alpha is zero everywhere, {meaning}",)
    assert picture.has_alpha != opaque
    if opaque:
        assert np.array_equal(picture.array(), quadrants())
    else:
        assert not picture.array()[..., 3].any()
    rgba[3, 5, 3] = 1  # one value is enough to be alpha
    if format != "BMP" and format != "GIF":
        seen = Picture.open(pil_bytes(rgba, format, **options.get(format, {})))
        assert seen.has_alpha
        assert seen.notes == ()


# ---- resolution


@pytest.mark.parametrize(
    ("format", "options", "dpi"),
    [
        ("PNG", {"dpi": (300, 150)}, (300, 150)),
        ("PNG", {}, None),
        ("JPEG", {"dpi": (300, 150)}, (300, 150)),
        ("JPEG", {}, None),
        ("TIFF", {"dpi": (25.4, 25.4)}, (25.4, 25.4)),
        ("TIFF", {}, None),
        ("TIFF", {"resolution": 100, "resolution_unit": 3}, (254, 254)),
        ("TIFF", {"resolution": 100, "resolution_unit": 1}, None),
        ("WEBP", {}, None),
        ("AVIF", {}, None),
        ("GIF", {}, None),
        ("BMP", {"dpi": (0, 0)}, None),
        *[(format, {"exif": camera_exif(1)}, (240, 240)) for format in ("JPEG", "PNG", "WEBP", "AVIF")],
    ],
)
def test_resolution(format, options, dpi):
    assert Picture.open(pil_bytes(quadrants(), format, **options)).dpi == dpi


@pytest.mark.parametrize("value", [(1, 0), (0, 1), (10**9, 1), (1, 10**6)])
def test_a_senseless_resolution_counts_as_none(value):
    exif = camera_exif(1)
    exif[0x011A] = exif[0x011B] = TiffImagePlugin.IFDRational(*value)
    assert Picture.open(pil_bytes(quadrants(), "WEBP", exif=exif)).dpi is None


def test_resolution_goes_with_the_picture_as_it_lies():
    picture = Picture.open(pil_bytes(quadrants(), "PNG", dpi=(300, 150), exif=_turned()))
    assert (picture.width, picture.height) == (40, 64)
    assert picture.dpi == (150, 300)


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6
    return exif


# ---- twins


def turned(format: str, orientation: int, how: str) -> bytes:
    """A picture that says, in EXIF, in XMP or as ImageMagick does, how it has to be turned."""
    stored = Image.fromarray(quadrants())
    stored = stored.transpose(UNDO[orientation]) if orientation > 1 else stored
    exif = Image.Exif()
    exif[274] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(format, {})
    if format == "AVIF":
        options = {"quality": 95, "subsampling": "4:4:4"}
    xmp = PHOTO_XMP.replace(b'Orientation="6"', b'Orientation="%d"' % orientation)
    if how == "ImageMagick":
        digits = exif.tobytes().hex()
        text = PngImagePlugin.PngInfo()
        text.add_text("Raw profile type exif", f"\nexif\n {len(digits) // 2}\n{digits}\n", zip=True)
        options = {"pnginfo": text}
    elif how == "XMP" and format == "PNG":
        options = {"pnginfo": PngImagePlugin.PngInfo()}
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif how == "XMP":
        options["xmp"] = xmp
    elif format == "TIFF":
        options["tiffinfo"] = {274: orientation}
    else:
        options["exif"] = exif
    return pil_bytes(stored, format, **options)


@pytest.mark.parametrize(
    ("format", "how"),
    [
        *[(format, "EXIF") for format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")],
        *[(format, "XMP") for format in ("JPEG", "PNG", "WEBP", "AVIF")],
        ("PNG", "ImageMagick"),
    ],
)
def test_the_eight_orientations_equal_one_another(format, how):
    """Exactly where nothing is lost; after JPEG and AVIF within 3 levels in the mean."""
    pictures = [Picture.open(turned(format, n, how)).array(8).astype(int) for n in range(1, 9)]
    exact = format in ("PNG", "WEBP", "TIFF")
    for picture in pictures:
        assert picture.shape == (40, 64, 3)
        assert np.abs(picture - quadrants()).mean() <= (0 if exact else 3)
        assert np.abs(picture - pictures[0]).mean() <= (0 if exact else 3)


def test_exif_goes_before_xmp():
    exif = Image.Exif()
    exif[274] = 1
    data = pil_bytes(quadrants(), "WEBP", lossless=True, exif=exif, xmp=PHOTO_XMP)  # XMP says 6
    assert np.array_equal(Picture.open(data).array(), quadrants())
    data = pil_bytes(quadrants(), "WEBP", lossless=True, exif=camera_exif(9), xmp=PHOTO_XMP)
    assert np.array_equal(Picture.open(data).array(), quadrants())  # nonsense counts as upright


def swapped_profile() -> bytes:
    """An sRGB profile with the primaries of red and blue exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    entries = {
        bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * int.from_bytes(data[128:132], "big"), 12)
    }
    red, blue = entries[b"rXYZ"] + 4, entries[b"bXYZ"] + 4
    data[red : red + 8], data[blue : blue + 8] = data[blue : blue + 8], data[red : red + 8]
    return bytes(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("profile", ["swapped", "Display P3"])
def test_a_profile_against_its_twin(format, profile):
    """Within 3 levels in the mean: the colors that LittleCMS, called by Pillow, makes of it."""
    if profile == "swapped":
        data, twin = swapped_profile(), quadrants()[..., ::-1]
    else:
        data = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb")
        data = data.icc_transform("p3", input_profile="srgb", depth=8).get("icc-profile-data")
        image = ImageCms.profileToProfile(
            Image.fromarray(quadrants()), io.BytesIO(data), ImageCms.createProfile("sRGB")
        )
        twin = np.asarray(image)
        assert np.abs(twin.astype(int) - quadrants()).mean() > 5
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 98, "subsampling": 0}}.get(format, {})
    if format == "AVIF":
        options = {"quality": 98, "subsampling": "4:4:4"}
    picture = Picture.open(pil_bytes(quadrants(), format, icc_profile=data, **options))
    assert error_of(picture, twin.astype(int)) < 3


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "16"])
def test_interlaced_equals_plain(mode):
    array = np.random.default_rng(4).integers(0, 65536, (21, 34, 4), dtype=np.uint16)
    bands = {"L": 1, "LA": 2, "RGB": 3, "P": 3}.get(mode, 4)
    kind = {"L": "b-w", "LA": "b-w"}.get(mode, "srgb")
    array = array[..., :bands] if mode == "16" else (array[..., :bands] >> 8).astype(np.uint8)
    image = pyvips.Image.new_from_array(
        np.ascontiguousarray(array), interpretation="rgb16" if mode == "16" else kind
    )
    plain, woven = (image.pngsave_buffer(interlace=woven, palette=mode == "P") for woven in (False, True))
    assert woven[28] == 1  # the head says so
    assert np.array_equal(Picture.open(woven).array(), Picture.open(plain).array())


def test_progressive_equals_baseline():
    options = {"quality": 90, "subsampling": 0}
    plain = Picture.open(pil_bytes(quadrants(), "JPEG", **options))
    woven = Picture.open(pil_bytes(quadrants(), "JPEG", progressive=True, **options))
    assert np.array_equal(plain.array(), woven.array())


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_palette_with_transparency_against_rgba(format):
    """The palette is looked up, and the color that is clear is clear."""
    indices = np.arange(60, dtype=np.uint8).reshape(6, 10) % 5
    image = Image.fromarray(indices, "P")
    colors = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (250, 250, 5), (0, 0, 0)]
    image.putpalette([value for color in colors for value in color])
    picture = Picture.open(pil_bytes(image, format, transparency=2))
    twin = np.zeros((6, 10, 4), np.uint8)
    twin[..., :3], twin[..., 3] = np.array(colors)[indices], np.where(indices == 2, 0, 255)
    got = picture.array()
    assert np.array_equal(got[..., 3], twin[..., 3])
    assert np.array_equal(got[indices != 2], twin[indices != 2])


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bits_in_both_orders_equal_8(order):
    ramp = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, ramp.astype(order), byteorder=order[0])
    picture = Picture.open(buffer.getvalue())
    assert picture.bits == 16
    twin = pil_bytes(Image.fromarray((ramp // 257).astype(np.uint8)), "PNG")
    assert np.array_equal(picture.array(8), Picture.open(twin).array())


def test_cmyk_in_jpeg_and_tiff_are_twins():
    image = Image.new("CMYK", (16, 16), (20, 180, 90, 30))
    jpeg = pil_bytes(image, "JPEG", quality=98)
    one, other = Picture.open(jpeg).array(), Picture.open(pil_bytes(image, "TIFF")).array()
    assert np.abs(one.astype(int) - other).max() <= 3


def test_a_log_of_libvips_that_is_not_utf_8_is_no_traceback(capfd):
    """Found by fuzzing: a profile's name in a PNG, which libvips warns of."""
    data = pil_bytes(quadrants(), "PNG", icc_profile=swapped_profile())
    data = data.replace(b"iCCPICC Profile", b"iCCPICC Prof\xb7le")
    at = data.index(b"iCCP")
    size = int.from_bytes(data[at - 4 : at], "big")
    check = struct.pack(">I", zlib.crc32(data[at : at + 4 + size]))
    data = data[: at + 4 + size] + check + data[at + 8 + size :]
    with contextlib.suppress(PictureError):
        Picture.open(data)
    assert capfd.readouterr().err == ""


def test_the_log_of_libvips_comes_whatever_bytes_are_in_it(capfd, caplog):
    caplog.set_level(logging.INFO, "pyvips")
    Picture.open(pil_bytes(quadrants(), "PNG"))
    with libvips.used():
        pyvips.Image.black(1000, 1000).invert().avg()  # libvips says how many threads did it
    (first, *_) = caplog.records
    assert (first.name, first.filename) == ("pyvips", "libvips.py")
    assert first.getMessage().startswith("VIPS: threadpool completed")
    callback, text = libvips._callback(), pyvips.ffi.new("char[]", b"Prof\xb7le")
    callback(pyvips.ffi.NULL, pyvips.GLogLevelFlags.LEVEL_WARNING, text, pyvips.ffi.NULL)
    callback(pyvips.ffi.NULL, 1 << 9, pyvips.ffi.NULL, pyvips.ffi.NULL)
    assert caplog.records[-2].getMessage() == "VIPS: Prof\ufffdle"
    assert caplog.records[-2].levelno == logging.WARNING
    assert capfd.readouterr().err == ""
    assert pyvips._to_string is pyvips.error._to_string
