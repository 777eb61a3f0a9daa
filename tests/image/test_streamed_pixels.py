"""The pixels of a large file are streamed from it; they are the same, and damage is found at once."""

import io
import struct

import numpy as np
import pillow_heif
import pytest
import pyvips
import torch
from PIL import Image

from impasto.errors import PictureError
from impasto.image import pixels
from impasto.image.picture import Picture
from reference.colors import with_chunks
from reference.files import UNDO, pil_bytes

RNG = np.random.default_rng(3)


def smooth(bands: int, top: int = 255) -> np.ndarray:
    y, x = np.mgrid[0:120, 0:200]
    planes = [(np.sin(x / (7 + n)) * np.cos(y / (5 + n)) + 1) / 2 * top for n in range(bands)]
    step = top / 15  # few values, so that the file is small
    planes = [np.rint(plane / step) * step for plane in planes]
    return np.rint(np.stack(planes, axis=2)).astype(np.uint8 if top == 255 else np.uint16)


def p3() -> bytes:
    image = pyvips.Image.new_from_array(smooth(1).repeat(3, axis=2), interpretation="srgb")
    return image.icc_transform("p3", input_profile="srgb", depth=8).pngsave_buffer(keep="icc")


POINTS = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)  # of Adobe RGB
FILES = {
    "jpeg": pil_bytes(smooth(3), "JPEG", quality=95),
    "gray": pil_bytes(smooth(1)[..., 0], "PNG"),
    "alpha": pil_bytes(smooth(4), "PNG"),
    "16 bits": pyvips.Image.new_from_array(smooth(4, 65535), interpretation="rgb16").pngsave_buffer(),
    "profile": p3(),
    "gamma": with_chunks(
        pil_bytes(smooth(3), "PNG"), (b"gAMA", struct.pack(">I", 100_000)), (b"cHRM", POINTS)
    ),
    "cmyk": pil_bytes(Image.fromarray(smooth(4), "CMYK"), "JPEG"),
    "tiff": pil_bytes(smooth(3), "TIFF", compression="tiff_deflate"),
}


@pytest.mark.parametrize("name", FILES)
def test_the_pixels_are_the_same(name, monkeypatch):
    plain = Picture.open(FILES[name])
    monkeypatch.setattr(pixels, "LARGE", 1000)
    flowing = Picture.open(FILES[name])
    assert flowing._pixels.streamed
    assert not plain._pixels.streamed
    for _ in range(2):
        assert torch.equal(flowing.tensor(32, 20), plain.tensor(32, 20))
    assert torch.equal(flowing.tensor(), plain.tensor())
    assert np.array_equal(flowing.array(), plain.array())
    assert (flowing.bits, flowing.has_alpha) == (plain.bits, plain.has_alpha)
    assert flowing.pixels_sha256() == plain.pixels_sha256()
    assert flowing.encode(".png") == plain.encode(".png")
    if plain.has_alpha:
        assert torch.equal(flowing.alpha(32, 20), plain.alpha(32, 20))


@pytest.mark.parametrize("name", ["jpeg", "alpha", "tiff"])
def test_damage_is_found_when_it_is_opened(name, monkeypatch):
    monkeypatch.setattr(pixels, "LARGE", 1000)
    with pytest.raises(PictureError, match="is damaged"):
        Picture.open(FILES[name][: len(FILES[name]) * 3 // 4])


def test_a_turned_or_a_dense_one_is_unpacked(monkeypatch):
    monkeypatch.setattr(pixels, "LARGE", 1000)
    exif = Image.Exif()
    exif[274] = 6
    turned = pil_bytes(Image.fromarray(smooth(3)).transpose(UNDO[6]), "PNG", exif=exif)
    noise = pil_bytes(RNG.integers(0, 256, (120, 200, 3), dtype=np.uint8), "PNG")
    assert not Picture.open(turned)._pixels.streamed
    assert not Picture.open(noise)._pixels.streamed


# --- pictures that are kept as Pillow or pi-heif unpacked them, and converted at each reading --------


def profile() -> bytes:
    image = pyvips.Image.black(8, 8, bands=3).copy(interpretation="srgb")
    return bytes(image.icc_transform("p3", input_profile="srgb").get("icc-profile-data"))


def turned(image: Image.Image, turn: int, **options) -> bytes:
    exif = Image.Exif()
    exif[274] = turn
    return pil_bytes(image, "TIFF", compression="lzma", exif=exif, **options)


def heic(array: np.ndarray, mode: str, **options) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.encode(mode, array.shape[1::-1], array.tobytes(), buffer, quality=-1, **options)
    return buffer.getvalue()


def pnm(kind: str, array: np.ndarray, top: int) -> bytes:
    head = f"P{kind} {array.shape[1]} {array.shape[0]} {top}\n".encode()
    return head + array.astype(">f4" if kind in "fF" else "u1" if top < 256 else ">u2").tobytes()


def psd(array: np.ndarray, mode: int) -> bytes:
    height, width, bands = array.shape
    head = b"8BPS" + struct.pack(">H6xHIIHHIII", 1, bands, height, width, 8, mode, 0, 0, 0)
    return head + b"\0\0" + array.transpose(2, 0, 1).tobytes()


def palette() -> Image.Image:
    return Image.fromarray(smooth(3)).quantize(16)


def transparent_gif() -> bytes:
    return pil_bytes(palette(), "GIF", transparency=3)


RGB, RGBA, DEEP = smooth(3), smooth(4), smooth(3, 65535)
UNUSUAL = {
    "bmp": pil_bytes(RGB, "BMP"),
    "bmp palette": pil_bytes(palette(), "BMP"),
    "tga alpha": pil_bytes(RGBA, "TGA"),
    "tga alpha of zero": pil_bytes(RGBA * np.uint8([1, 1, 1, 0]), "TGA"),
    "tga gray": pil_bytes(RGB[..., 0].copy(), "TGA"),
    "tga gray and alpha": pil_bytes(Image.fromarray(RGBA).convert("LA"), "TGA"),
    "tga palette": pil_bytes(palette(), "TGA", compression="tga_rle"),
    "sgi": pil_bytes(RGB, "SGI", bpc=2),
    "psd cmyk": psd(RGBA, 4),
    "psd lab": psd(RGB, 9),
    "qoi": pil_bytes(RGBA, "QOI"),
    "jpeg 2000 gray": pil_bytes(Image.fromarray(DEEP[..., 0].copy()), "JPEG2000"),
    "jpeg 2000": pil_bytes(RGBA, "JPEG2000"),
    "pgm": pnm("5", RGB[..., 0], 255),
    "ppm of 100": pnm("6", RGB // 3, 100),
    "ppm of 16 bits": pnm("6", DEEP, 65535),
    "ppm of 10 bits": pnm("6", DEEP // 64, 1023),
    "pbm": pil_bytes(Image.fromarray(RGB).convert("1"), "PPM"),
    "pfm": pnm("F", DEEP / 65535, 1),
    "pfm gray": pnm("f", DEEP[..., 0] / 65535, 1),
    **{f"tiff turned {turn}": turned(Image.fromarray(RGB), turn) for turn in range(2, 9)},
    "tiff profile": turned(Image.fromarray(RGBA), 6, icc_profile=profile()),
    "tiff gray": turned(Image.fromarray(DEEP[..., 0].copy()), 5),
    "tiff cmyk": turned(Image.fromarray(RGBA, "CMYK"), 8),
    "heic": heic(RGB, "RGB"),
    "heic of halved colors": heic(RGB, "RGB", chroma=420),
    "heic alpha": heic(RGBA, "RGBA"),
    "heic of 16 bits": heic(DEEP, "RGB;16"),
    "heic of 16 bits and alpha": heic(smooth(4, 65535), "RGBA;16"),
    "heic p3": heic(RGB, "RGB", color_primaries=12, transfer_characteristics=13),
    "heic pq": heic(DEEP, "RGB;16", color_primaries=9, transfer_characteristics=16),
    "gif": pil_bytes(palette(), "GIF"),
    "gif transparent": transparent_gif(),
    "gif interlaced": pil_bytes(palette(), "GIF", interlace=1),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_large_ones_of_other_formats_have_the_same_pixels(name, monkeypatch):
    plain = Picture.open(UNUSUAL[name], name="a")
    monkeypatch.setattr(pixels, "LARGE", 1000)
    kept = Picture.open(UNUSUAL[name], name="a")
    facts = ("width", "height", "has_alpha", "bits", "dpi", "notes")
    assert [getattr(kept, fact) for fact in facts] == [getattr(plain, fact) for fact in facts]
    assert kept._pixels.format == plain._pixels.format
    for _ in range(2):
        assert kept.pixels_sha256() == plain.pixels_sha256()
        assert np.array_equal(kept.array(16), plain.array(16))
    for size in ((None, None), (50, 31), (250, 99)):
        for kernel in ("lanczos3", "linear", "nearest"):
            error = (kept.tensor(*size, kernel) - plain.tensor(*size, kernel)).abs().max()
            assert error <= (2e-7 if (name, kernel) == ("heic pq", "linear") else 0)  # a bit of a float
        if plain.has_alpha:
            assert torch.equal(kept.alpha(*size), plain.alpha(*size))
    strips = [list(picture.strips(90, 70)) for picture in (kept, plain)]
    for (rows, part), (same_rows, same) in zip(*strips, strict=True):
        assert rows == same_rows
        assert torch.equal(part, same)
    assert kept.encode(".png") == plain.encode(".png")
