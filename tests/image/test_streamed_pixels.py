"""The pixels of a large file are streamed from it; they are the same, and damage is found at once."""

import struct

import numpy as np
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
