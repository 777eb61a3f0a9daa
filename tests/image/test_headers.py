"""What is counted before anything is unpacked, against Pillow; damage and loops do not stop it."""

import io
import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from impasto.errors import PictureError
from impasto.image.containers.tiff import directories
from impasto.image.headers import frames
from impasto.image.picture import Picture
from reference.files import pil_bytes, quadrants

FRAMES = [Image.new("RGB", (8, 6), (60 * n, 0, 0)) for n in range(4)]


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "PNG", "AVIF"])
def test_frames_as_pillow_counts_them(format, count):
    more = {"save_all": True, "append_images": FRAMES[1:count]} if count > 1 else {}
    data = pil_bytes(FRAMES[0], format, **more)
    assert Image.open(io.BytesIO(data)).n_frames == count
    assert frames(format.lower(), data, 9) == count


def test_no_further_than_asked():
    data = pil_bytes(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:])
    assert frames("gif", data, 2) == 3


@pytest.mark.parametrize("big", [False, True])
def test_pages_of_both_kinds_of_tiff(big):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, bigtiff=big) as file:
        for _ in range(3):
            file.write(np.zeros((4, 5, 3), np.uint8), photometric="rgb", contiguous=False)
    found = list(directories(buffer.getvalue()))
    assert [one.first(262) for one in found] == [2, 2, 2]
    assert frames("tiff", buffer.getvalue(), 9) == 3


@pytest.mark.parametrize(
    "data",
    [
        b"II*\0",
        b"II*\0\x08\0\0\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"II*\0\x08\0\0\0\0\0\x08\0\0\0",  # points to itself
        b"II+\0\x08\0\0\0" + b"\xe0" * 40,  # an offset that no index of Python's can be: found by fuzzing
        b"MM\0+\0\x08\0\0" + struct.pack(">QQ", 16, 2**63) + bytes(40),
    ],
)
def test_senseless_directories_end(data):
    assert len(list(directories(data))) <= 1
    with pytest.raises(PictureError, match="damaged"):
        Picture.open(data)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG", "AVIF"])
def test_cut_anywhere_it_is_counted_without_error(kind):
    data = pil_bytes(FRAMES[0], kind, save_all=True, append_images=FRAMES[1:])
    for end in range(0, len(data), 7):
        assert frames(kind.lower(), data[:end], 9) >= 0


def test_a_gif_keeps_its_canvas():
    """libvips thinks a canvas over 2048 pixels silly and leaves what is round the frame out."""
    data = bytearray(pil_bytes(Image.new("RGB", (8, 6), "red"), "GIF"))
    data[6:10] = struct.pack("<HH", 3000, 10)
    picture = Picture.open(bytes(data))
    assert (picture.width, picture.height) == (3000, 10)
    alpha = picture.array()[..., 3]
    assert alpha[:6, :8].min() == 255
    assert alpha.sum() == 255 * 48


def test_a_text_that_is_no_exif_is_not_used():
    from PIL import PngImagePlugin

    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n 4\nzz")
    assert Picture.open(pil_bytes(quadrants(), "PNG", pnginfo=text)).width == 64
