"""Every way in which a file states its colors: a chart encoded so comes out as the chart in sRGB."""

import io
import struct

import numpy as np
import pytest
import pyvips
import tifffile
from PIL import Image

from impasto.image.picture import Picture
from reference import colors
from reference.colors import encoded, hlg, power, pq, srgb, with_chunks, with_nclx, worst
from reference.files import pil_bytes

ADOBE = power(563 / 256)
LOSSY = {
    "JPEG": {"quality": 98, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 98, "subsampling": "4:4:4"},
}
SAID = "its high dynamic range is reduced to that of sRGB; what is brighter than white is compressed"


def png(array: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    space = "rgb16" if array.dtype == np.uint16 else "srgb"
    image = pyvips.Image.new_from_array(array, interpretation=space)
    return with_chunks(image.pngsave_buffer(keep="none"), *chunks)


def avif(array: np.ndarray, bits: int, primaries: int, transfer: int) -> bytes:
    image = pyvips.Image.new_from_array(array, interpretation="rgb16" if bits > 8 else "srgb")
    options = {"bitdepth": bits, "Q": 98, "subsample_mode": "off", "keep": "none"}
    return with_nclx(image.write_to_buffer(".avif", **options), primaries, transfer)


def heic(array: np.ndarray, primaries: int, transfer: int) -> bytes:
    library = pytest.importorskip("pillow_heif", reason="pillow-heif makes the HEIC files")
    mode = "RGB;16" if array.dtype == np.uint16 else "RGB"
    file = library.from_bytes(mode, array.shape[1::-1], array.tobytes())
    buffer = io.BytesIO()
    nclx = {"color_primaries": primaries, "transfer_characteristics": transfer}
    file.save(buffer, quality=98, chroma=444, **nclx)
    return buffer.getvalue()


def profile(name: str) -> bytes:
    """One of libvips' own."""
    image = pyvips.Image.black(1, 1, bands=3).copy(interpretation="srgb")
    return bytes(image.icc_transform(name, input_profile="srgb", depth=8).get("icc-profile-data"))


def opened(data: bytes) -> Picture:
    return Picture.open(data, name="chart.x")


# ---- AVIF and HEIC


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_display_p3_of_an_avif(bits):
    picture = opened(avif(encoded("P3", srgb, 8 if bits == 8 else 16), bits, 12, 13))
    assert worst(encoded("P3", srgb)) > 25
    assert worst(picture.array()) < 5
    assert picture.notes == ()
    assert picture.bits == (8 if bits == 8 else 16)


@pytest.mark.parametrize("bits", [8, 16])
def test_display_p3_of_a_heic(bits):
    picture = opened(heic(encoded("P3", srgb, bits), 12, 13))
    assert worst(picture.array()) < 5
    assert picture.notes == ()


@pytest.mark.parametrize(("curve", "number"), [(pq, 16), (hlg, 18)])
@pytest.mark.parametrize("format", ["AVIF 8", "AVIF 10", "AVIF 12", "HEIC", "PNG", "PNG 16"])
def test_hdr_is_toned(format, curve, number):
    """White at 203 cd/m2 is near white, what is darker than the knee keeps its tone, and it is said."""
    deep = format not in ("AVIF 8", "PNG")
    array = encoded("2020", curve, 16 if deep else 8)
    array[-4:, -4:] = 65535 if deep else 255  # the brightest light that there is
    if format.startswith("AVIF"):
        data = avif(array, int(format.split()[1]), 9, number)
    elif format == "HEIC":
        data = heic(array, 9, number)
    else:
        data = png(array, (b"cICP", bytes([9, number, 0, 1])))
    picture = opened(data)
    assert picture.notes == (f"chart.x: {SAID}",)
    grays = colors.means(picture.array())[list(colors.GRAYS)]
    assert np.abs(grays - np.array(colors.PATCHES)[list(colors.GRAYS)]).max() < 6
    assert worst(picture.array()) < 14
    assert picture.array(8)[-2:, -2:].min() > 250


def test_tones_of_hdr_rise_up_to_the_brightest():
    ramp = np.linspace(0, 65535, 120).astype(np.uint16)[None, :, None].repeat(48, 0).repeat(3, 2)
    for number, white in ((16, pq(np.array([1.0]))[0]), (18, 0.75)):
        row = opened(png(ramp, (b"cICP", bytes([9, number, 0, 1])))).array()[0, :, 0].astype(int)
        assert (np.diff(row) >= 0).all()
        assert row[-1] >= 65000
        assert 228 * 257 < row[round(white * 119)] < 248 * 257


def test_the_property_of_another_picture_does_not_count():
    data = avif(encoded("P3", srgb), 8, 12, 13)
    assert worst(opened(data).array()) < 5
    at = data.index(b"ipma") + 14
    other = bytearray(data)
    assert other[at - 6 : at - 2] == b"\0\0\0\1"  # one picture, and how many properties it has
    other[at + other[at]] = 1  # its size once more, and no colors
    assert worst(opened(bytes(other)).array()) > 25


# ---- PNG


@pytest.mark.parametrize("bits", [8, 16])
def test_cicp_goes_before_a_profile_and_all_else(bits):
    array = encoded("P3", srgb, bits)
    image = pyvips.Image.new_from_array(array, interpretation="srgb" if bits == 8 else "rgb16")
    data = image.pngsave_buffer(profile="srgb", keep="icc")
    assert b"iCCP" in data
    assert worst(opened(data).array()) > 25
    code = (b"cICP", bytes([12, 13, 0, 1]))
    assert worst(opened(with_chunks(data, code)).array()) < 2
    assert worst(opened(png(array, code, (b"gAMA", struct.pack(">I", 100_000)))).array()) < 2


ADOBE_POINTS = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
SRGB_POINTS = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)


def gama(exponent: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(exponent * 100_000))


@pytest.mark.parametrize("bits", [8, 16])
def test_gamma_and_primaries_of_a_png(bits):
    adobe = encoded("Adobe", ADOBE, bits)
    assert worst(adobe) > 40
    assert worst(opened(png(adobe, gama(256 / 563), (b"cHRM", ADOBE_POINTS))).array()) < 4
    points = (b"cHRM", SRGB_POINTS)
    assert worst(opened(png(encoded("sRGB", power(1.8), bits), gama(1 / 1.8), points)).array()) < 2
    assert worst(opened(png(encoded("sRGB", power(1.0), 16), gama(1.0), points)).array()) < 1
    assert worst(opened(png(encoded("Adobe", srgb, bits), (b"cHRM", ADOBE_POINTS))).array()) < 3


def test_gray_and_alpha_of_a_png_with_gamma():
    gray = encoded("sRGB", power(1.0), 16)[..., 0]
    expected = opened(png(colors.chart()[..., 0].copy())).array().astype(int)
    got = opened(png(gray, gama(1.0), (b"cHRM", SRGB_POINTS)))
    assert np.abs(got.array(8).astype(int) - expected).max() <= 1
    rgba = np.dstack([encoded("sRGB", power(1.0), 16), np.full((48, 120), 20_000, np.uint16)])
    picture = opened(png(rgba, gama(1.0), (b"cHRM", SRGB_POINTS)))
    assert worst(picture.array()) < 1
    assert (picture.array()[..., 3] == 20_000).all()


def test_a_gamma_without_primaries_is_said():
    picture = opened(png(colors.chart(), gama(1.0)))
    assert np.array_equal(picture.array(), colors.chart())
    assert picture.notes == ("chart.x: it states a gamma of 1 without primaries, which is not applied",)


def test_the_gamma_of_srgb_changes_nothing():
    plain = colors.chart()
    for chunks in ([gama(0.45455)], [gama(0.45455), (b"cHRM", SRGB_POINTS)], [(b"sRGB", b"\0"), gama(1.0)]):
        assert np.array_equal(opened(png(plain, *chunks)).array(), plain)
    for senseless in ([gama(0)], [(b"cHRM", bytes(32))], [(b"cHRM", b"\xff" * 32)]):
        assert np.array_equal(opened(png(plain, *senseless)).array(), plain)


def test_the_profile_that_means_pq_by_its_name():
    data = png(encoded("2020", pq, 16), (b"iCCP", b"ITUR_2100_PQ_FULL\0\0\x78\x9c\x03\0\0\0\0\x01"))
    picture = opened(data)
    assert any(SAID in note for note in picture.notes)
    assert worst(picture.array()) < 14


def test_the_tag_of_a_profile_that_means_hdr():
    data = bytearray(profile("p3"))
    count = int.from_bytes(data[128:132], "big")
    entry = next(at for at in range(132, 132 + 12 * count, 12) if data[at : at + 4] == b"cprt")
    data[entry : entry + 12] = b"cicp" + struct.pack(">II", len(data), 12)
    data += b"cicp\0\0\0\0" + bytes([9, 16, 0, 1])
    data[:4] = struct.pack(">I", len(data))
    file = pil_bytes(encoded("2020", pq), "JPEG", icc_profile=bytes(data), **LOSSY["JPEG"])
    picture = opened(file)
    assert picture.notes == (f"chart.x: {SAID}",)
    assert worst(picture.array()) < 16


# ---- EXIF


def exif_of(rule: str | None, number: int) -> Image.Exif:
    exif = Image.Exif()
    camera = {0xA001: number}
    if rule:
        camera[0xA005] = {1: rule}
    exif[0x8769] = camera
    return exif


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(("rule", "number"), [("R03", 0xFFFF), ("R03", 1), (None, 2)])
def test_adobe_rgb_by_exif(format, rule, number):
    data = pil_bytes(encoded("Adobe", ADOBE), format, exif=exif_of(rule, number), **LOSSY.get(format, {}))
    picture = opened(data)
    assert worst(picture.array()) < 6
    assert picture.notes == ()


@pytest.mark.parametrize("order", ["<", ">"])
def test_adobe_rgb_by_exif_of_a_tiff(order):
    """Its directories are written here: Pillow places that of interoperability wrongly."""
    adobe = encoded("Adobe", ADOBE)
    rule = struct.pack(f"{order}HHHI4sI", 1, 1, 2, 4, b"R03\0", 0)
    camera = struct.pack(f"{order}HHHIHHHHIII", 2, 0xA001, 3, 1, 0xFFFF, 0, 0xA005, 4, 1, 8, 0)
    values = {256: 120, 257: 48, 258: 8, 259: 1, 262: 2, 273: 200, 277: 3, 278: 48, 279: adobe.nbytes}
    values[0x8769] = 8 + len(rule)
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in values.items())
    first = struct.pack(f"{order}H", len(values)) + entries + bytes(4)
    start = 8 + len(rule) + len(camera)
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, start)
    data = (head + rule + camera + first).ljust(200, b"\0") + adobe.tobytes()
    assert worst(opened(data).array()) < 4


@pytest.mark.parametrize(("rule", "number"), [("R98", 1), (None, 1), ("R98", 2), (None, 77)])
def test_other_values_of_exif_are_srgb(rule, number):
    plain = colors.chart()
    picture = opened(pil_bytes(plain, "PNG", exif=exif_of(rule, number)))
    assert np.array_equal(picture.array(), plain)
    assert picture.notes == ()


def test_a_profile_goes_before_exif_and_uncalibrated_is_said():
    plain, adobe = colors.chart(), exif_of("R03", 0xFFFF)
    data = pil_bytes(plain, "PNG", exif=adobe, icc_profile=profile("srgb"))
    assert worst(opened(data).array()) <= 1
    uncalibrated = exif_of(None, 0xFFFF)
    # libvips writes it into its files without knowing anything of the colors.
    assert opened(pil_bytes(plain, "PNG", exif=uncalibrated)).notes == ()
    uncalibrated[0x010F] = "a maker of cameras"
    (note,) = opened(pil_bytes(plain, "PNG", exif=uncalibrated)).notes
    assert "EXIF says that its colors are not sRGB, but not which" in note
    assert opened(pil_bytes(plain, "PNG", exif=uncalibrated, icc_profile=profile("srgb"))).notes == ()


def test_a_picture_of_pillow_with_exif():
    data = pil_bytes(encoded("Adobe", ADOBE), "JPEG", exif=exif_of("R03", 0xFFFF), **LOSSY["JPEG"])
    assert worst(Picture.of(Image.open(io.BytesIO(data))).array()) < 6


# ---- TIFF


def tiff(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **({"photometric": "rgb"} | options))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_a_profile_counts_for_floats(kind):
    values = (encoded("P3", srgb, 16) / 65535).astype(kind)
    assert worst((values * 255).round().astype(np.uint8)) > 25
    picture = opened(tiff(values, iccprofile=profile("p3")))
    assert worst(picture.array()) < 3
    assert picture.bits == 16
    assert picture.notes == ()


def test_floats_keep_their_alpha():
    values = np.dstack([encoded("P3", srgb, 16) / 65535, np.full((48, 120), 0.25)]).astype(np.float32)
    picture = opened(tiff(values, iccprofile=profile("p3"), extrasamples=["unassalpha"]))
    assert worst(picture.array()) < 3
    assert np.allclose(picture.alpha().numpy(), 0.25)


@pytest.mark.parametrize("bits", [8, 16])
def test_primaries_and_transfer_function_of_a_tiff(bits):
    tags = [
        (318, 5, 2, (3127, 10_000, 3290, 10_000), True),
        (319, 5, 6, tuple(v for c in (64, 33, 21, 71, 15, 6) for v in (c, 100)), True),
    ]
    array = encoded("Adobe", srgb, bits)
    assert worst(array) > 30
    assert worst(opened(tiff(array, extratags=tags)).array()) < 3
    curve = (np.linspace(0, 1, 2**bits) ** 1.8 * 65535).round().astype(np.uint16)
    one = [(301, 3, 2**bits, tuple(curve.tolist()), True)]
    assert worst(opened(tiff(encoded("sRGB", power(1.8), bits), extratags=one)).array()) < 3
    three = [(301, 3, 3 * 2**bits, tuple(np.tile(curve, 3).tolist()), True)]
    assert worst(opened(tiff(encoded("sRGB", power(1.8), bits), extratags=three)).array()) < 3


# ---- the others


def bmp(array: np.ndarray, kind: bytes, profile: bytes = b"", *, ends=(0,) * 9, gamma: float = 0.0) -> bytes:
    """A BMP of version 5."""
    height, width = array.shape[:2]
    rows = np.ascontiguousarray(array[::-1, :, ::-1]).tobytes()  # 360 bytes each
    head = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, len(rows), 0, 0, 0, 0) + bytes(16)
    head += kind + struct.pack("<9i3I", *(round(e * 2**30) for e in ends), *[round(gamma * 65536)] * 3)
    head += struct.pack("<IIII", 4, 124 + len(rows), len(profile), 0)
    size = 14 + len(head) + len(rows) + len(profile)
    return struct.pack("<2sIII", b"BM", size, 0, 14 + len(head)) + head + rows + profile


def test_a_bmp_with_a_profile_or_primaries():
    assert worst(opened(bmp(encoded("P3", srgb), b"DEBM", profile("p3"))).array()) < 3
    ends = [0.64, 0.33, 0.03, 0.21, 0.71, 0.08, 0.15, 0.06, 0.79]
    adobe = encoded("Adobe", ADOBE)
    for gamma in (2.2, 1 / 2.2):
        assert worst(opened(bmp(adobe, bytes(4), ends=ends, gamma=gamma)).array()) < 4
    xyz = np.linalg.inv(np.array(colors.FROM_XYZ["Adobe"])).T.ravel()
    assert worst(opened(bmp(adobe, bytes(4), ends=xyz, gamma=2.2)).array()) < 4
    assert np.array_equal(opened(bmp(colors.chart(), b"BGRs", ends=ends, gamma=1.0)).array(), colors.chart())
    (note,) = opened(bmp(colors.chart(), b"KNIL")).notes
    assert "its color profile is in another file" in note


def test_a_jpeg_2000_with_a_profile():
    data = pil_bytes(encoded("P3", srgb), "JPEG2000", irreversible=False)
    at = data.index(b"colr") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    wide = profile("p3")
    box = struct.pack(">I", 11 + len(wide)) + b"colr\x02\0\0" + wide
    whole = data.index(b"jp2h") - 4
    grown = int.from_bytes(data[whole : whole + 4], "big") + len(box) - size
    changed = data[:whole] + struct.pack(">I", grown) + data[whole + 4 : at] + box + data[at + size :]
    assert worst(opened(changed).array()) < 3
    odd = data[: at + 11] + struct.pack(">I", 21) + data[at + 15 :]
    assert "colors of an unknown kind (number 21)" in opened(odd).notes[0]


def test_a_gif_with_a_profile():
    data = pil_bytes(Image.fromarray(encoded("P3", srgb)).quantize(16), "GIF")
    wide = profile("p3")
    blocks = b"".join(
        bytes([len(wide[at : at + 255])]) + wide[at : at + 255] for at in range(0, len(wide), 255)
    )
    start = 13 + (3 << (data[10] & 7) + 1)
    data = data[:start] + b"\x21\xff\x0bICCRGBG1012" + blocks + b"\0" + data[start:]
    assert worst(opened(data).array()) < 3


def test_a_qoi_that_says_linear_is_said():
    data = pil_bytes(colors.chart(), "QOI")
    assert data[13] == 1  # as Pillow writes it, whatever the colors are
    picture = opened(data)
    assert np.array_equal(picture.array(), colors.chart())
    assert "it states linear light, as many programs do by mistake" in picture.notes[0]


def test_numbers_that_are_unknown_are_said():
    plain = colors.chart()
    for numbers in ((77, 13), (1, 99), (3, 3)):
        picture = opened(png(plain, (b"cICP", bytes([*numbers, 0, 1]))))
        assert np.array_equal(picture.array(), plain)
        expected = f"(primaries {numbers[0]}, transfer function {numbers[1]})"
        assert expected in picture.notes[0]


@pytest.mark.parametrize("transfer", [1, 2, 6, 13, 14, 15])
def test_curves_of_video_count_as_that_of_srgb(transfer):
    plain = colors.chart()
    picture = opened(png(plain, (b"cICP", bytes([1, transfer, 0, 1]))))
    assert np.array_equal(picture.array(), plain)
    assert picture.notes == ()


@pytest.mark.parametrize("folder", ["../shared/cases"])
@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("uint16-linear-with-profile.tif", 1),
        ("nclx-display-p3.heic", 8),
        ("adobe-rgb-by-exif-only.jpg", 6),
        ("float32-adobe-rgb-with-profile.tif", 4),
    ],
)
def test_the_charts_that_were_wrong(folder, name, most, request):
    file = request.config.rootpath / folder / name
    if not file.is_file():
        pytest.skip(f"{name} is not here")
    assert worst(Picture.open(file).array()) < most
