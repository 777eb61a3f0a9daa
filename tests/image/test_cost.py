"""What it takes to open a file: the estimate is not below what is measured, and refuses in time."""

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import pyvips
from PIL import Image

from impasto.config.limits import Input
from impasto.errors import PictureError
from impasto.image import guards
from impasto.image.containers import bmff, jpeg
from impasto.image.guards import Cost, check_cost
from impasto.image.headers import unpacking
from impasto.image.picture import Picture
from reference.files import pil_bytes

WIDE, HIGH = 4000, 2000
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
WORKER = """
import json, pathlib, resource, sys
import numpy as np
import pi_heif, PIL.Image
from impasto.image import guards, decode, pillow
from impasto.image.picture import Picture

estimates = []
def noting(cost, label, limits):
    estimates.append((cost.bytes, cost.seconds))
    guards.check_cost(cost, label, limits)
decode.check_cost = pillow.check_cost = noting

def status(key):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024
def seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

for suffix in (".png", ".jpg", ".webp", ".tif", ".avif"):
    Picture.open(Picture.of(np.zeros((8, 8, 3), np.uint8)).encode(suffix))
for name in sys.argv[1:]:
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    estimates.clear()
    before, start = status("VmRSS"), seconds()
    picture = Picture.open(name)
    size = [picture.width, picture.height]
    print(json.dumps([size, estimates, status("VmHWM") - before, seconds() - start]))
    del picture
"""


def photo(width: int = WIDE, height: int = HIGH, bands: int = 3) -> np.ndarray:
    y, x = np.ogrid[:height, :width]
    planes = [(x // (5 + n) + y // 7) % 256 for n in range(bands)]
    return np.stack(planes, axis=2).astype(np.uint8)


def vips(array: np.ndarray, suffix: str, **options) -> bytes:
    space = "rgb16" if array.dtype == np.uint16 else "srgb"
    return pyvips.Image.new_from_array(array, interpretation=space).write_to_buffer(suffix, **options)


def heic(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(array)).save(buffer, quality=40)
    return buffer.getvalue()


def turned(array: np.ndarray) -> bytes:
    exif = Image.Exif()
    exif[274] = 6
    return pil_bytes(Image.fromarray(array), "JPEG", exif=exif)


RGB = photo()
FILES = {
    "baseline.jpg": lambda: vips(RGB, ".jpg"),
    "progressive.jpg": lambda: vips(RGB, ".jpg", interlace=True, subsample_mode="off"),
    "turned.jpg": lambda: turned(RGB),
    "cmyk.jpg": lambda: pil_bytes(Image.fromarray(photo(bands=4), "CMYK"), "JPEG"),
    "deep.png": lambda: vips(RGB.astype(np.uint16) * 257, ".png", compression=1),
    "interlaced.png": lambda: vips(RGB, ".png", interlace=True, compression=1),
    "palette.gif": lambda: pil_bytes(Image.fromarray(RGB[..., 0]), "GIF"),
    "lossy.webp": lambda: vips(RGB, ".webp", effort=0),
    "lossless.webp": lambda: vips(RGB, ".webp", effort=0, lossless=True),
    "strips.tif": lambda: vips(RGB, ".tif", compression="lzw"),
    "floats.tif": lambda: vips((RGB / 255).astype(np.float32), ".tif", compression="deflate"),
    "a.avif": lambda: vips(RGB[:500], ".avif", effort=0, Q=30),
    "a.heic": lambda: heic(RGB[:200]),
    "rgb.tga": lambda: pil_bytes(Image.fromarray(RGB), "TGA", compression="tga_rle"),
    "gray.pgm": lambda: pil_bytes(Image.fromarray(RGB[..., 0]), "PPM"),
    "a.jp2": lambda: pil_bytes(
        Image.fromarray(RGB[:500]), "JPEG2000", irreversible=True, quality_layers=[40]
    ),
}


def opened(names: list[str], folder: Path) -> list[list]:
    """Size, estimates, bytes and seconds of each file, all opened by one process."""
    command = [sys.executable, "-c", WORKER, *(folder / name for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    return [json.loads(line) for line in done.stdout.splitlines()]


@LINUX
@pytest.mark.slow
def test_the_estimates_are_upper_bounds_of_what_is_measured(tmp_path) -> None:
    for name, make in FILES.items():
        (tmp_path / name).write_bytes(make())
    for name, found in zip(FILES, opened(list(FILES), tmp_path), strict=True):
        size, estimates, memory, seconds = found
        assert max(size) == WIDE, name
        most, longest = estimates[-1]
        assert 0 < most / 20 <= memory + 60e6 <= most + 60e6, name
        assert seconds <= 2 * longest + 1, name  # the machine may be slower, and busy


def png(width: int, height: int, depth: int, kind: int, interlaced: int) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    rest = chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + rest


def resized_jpeg(width: int, height: int, **options) -> bytes:
    """A JPEG of few pixels whose header says more."""
    data = bytearray(pil_bytes(Image.fromarray(RGB[:16, :16]), "JPEG", **options))
    frame = next(data.find(bytes([255, kind])) for kind in (0xC0, 0xC2) if bytes([255, kind]) in data)
    struct.pack_into(">HH", data, frame + 5, height, width)
    return bytes(data)


def scans(data: bytes, more: int) -> bytes:
    """The progressive JPEG with its last scan repeated."""
    start = data.rindex(b"\xff\xda")
    return data[:-2] + data[start:-2] * more + b"\xff\xd9"


LIMITED = {
    "interlaced, 16 bits": png(16_000, 12_500, 16, 6, 1),
    "progressive 4:4:4": resized_jpeg(16_000, 12_500, progressive=True, subsampling=0),
    "many scans": scans(resized_jpeg(16_000, 12_000, progressive=True, subsampling=2), 60),
    "qoi": b"qoif" + struct.pack(">IIBB", 14_000, 14_000, 3, 0) + bytes(100),
    "tga": struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 14_000, 14_000, 24, 0) + bytes(100),
}


@pytest.mark.parametrize("name", LIMITED)
def test_what_takes_more_is_refused_before_it_is_unpacked(name) -> None:
    words = r"^a takes about \S+ GB of memory and \d+ s to open; 1.2 GB and 10 s are allowed; make it smaller"
    with pytest.raises(PictureError, match=words):
        Picture.open(LIMITED[name], name="a")


LARGEST = [  # format, first bytes, bytes of a pixel, mode, and of the file; megapixels as in docs/files.md
    ("tga", b"", 1, "L", 1, 200),
    ("sgi", b"", 1, "L", 1, 200),
    ("psd", b"", 1, "L", 1, 200),
    ("tga", b"", 2, "LA", 0, 139),
    ("psd", b"", 1, "P", 0, 101),
    ("tga", b"", 3, "RGB", 0, 111),
    ("sgi", b"", 4, "RGBA", 0, 93),
    ("psd", b"", 4, "CMYK", 0, 86),
    ("psd", b"", 3, "LAB", 0, 80),
    ("bmp", b"BM".ljust(30, b"\0") + b"\0", 3, "RGB", 0, 111),
    ("bmp", b"BM".ljust(30, b"\0") + b"\1", 1, "P", 0, 32),
    ("bmp", b"BM".ljust(30, b"\0") + b"\2", 1, "P", 0.15, 29),
    ("jpeg2000", b"", 1, "L", 0, 181),
    ("jpeg2000", b"", 2, "I;16", 0, 105),
    ("jpeg2000", b"", 3, "RGB", 0, 60),
    ("jpeg2000", b"", 4, "RGBA", 0, 47),
    ("qoi", b"", 3, "RGB", 0, 111),
    ("qoi", b"", 3, "RGB", 1, 4.8),
    ("pnm", b"P1", 1, "", 1, 200),
    ("pnm", b"P2", 1, "", 2, 100),
    ("pnm", b"P3", 3, "", 10.7, 18.7),
    ("pnm", b"P4", 1, "", 0.125, 202),
    ("pnm", b"P5", 1, "", 1, 200),
    ("pnm", b"P5", 1, "", 2, 100),
    ("pnm", b"P6", 3, "", 6, 33.3),
    ("pnm", b"Pf", 1, "", 4, 46),
    ("pnm", b"PF", 3, "", 12, 16.6),
]


@pytest.mark.parametrize(("kind", "head", "pixel", "mode", "of_file", "most"), LARGEST)
def test_the_largest_that_opens(kind, head, pixel, mode, of_file, most) -> None:
    """By the estimate, which is what was measured, and up to a quarter more."""

    class File(bytes):
        def __len__(self) -> int:
            return int(of_file * most * 1e6)

    cost = unpacking(kind, File(head), (1000, int(1000 * most)), pixel, mode)
    check_cost(cost, "a", Input())
    whole = most >= 200 or of_file * most >= 199  # by the limits of pixels and of the file's bytes
    assert max(cost.bytes / guards._BYTES, cost.seconds / guards._SECONDS) > (0.3 if whole else 0.97)


def test_the_limit_that_is_said_is_enough(monkeypatch) -> None:
    """It is of pixels; it raises the bounds of memory and time by the same factor."""
    cost, default = Cost(1.8e9, 3), Input()
    with pytest.raises(PictureError, match=r"raise the limit \(--max-pixels 304MP\)$"):
        check_cost(cost, "a", default)
    check_cost(cost, "a", Input(max_pixels="304MP"))
    with pytest.raises(PictureError, match=r"1.49 GB and 12 s are allowed"):
        check_cost(cost, "a", Input(max_pixels="250MP"))
    check_cost(Cost(1.2e9, 10), "a", Input(max_pixels=5))  # a lower limit of pixels lowers neither


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"progressive": False}, 0),
        ({"progressive": True, "subsampling": 0}, 3),
        ({"progressive": True, "subsampling": 1}, 2),
        ({"progressive": True, "subsampling": 2}, 1.5),
    ],
)
def test_coefficients_that_are_kept(options, expected) -> None:
    data = pil_bytes(Image.fromarray(RGB[:64, :64]), "JPEG", **options)
    assert jpeg.kept(data)[0] == expected
    assert jpeg.kept(data)[1] == data.count(b"\xff\xda")


def test_items_of_a_heic_may_share_bytes() -> None:
    """The items count each, as each is unpacked."""
    part = struct.pack(">HHHII", 1, 0, 1, 100, 5_000)
    items = struct.pack(">I2sH", 0, b"\x44\0", 40) + part * 40
    iloc = struct.pack(">I4s", 8 + len(items), b"iloc") + items
    meta = struct.pack(">I4sI", 12 + len(iloc), b"meta", 0) + iloc
    assert bmff.coded_bytes(meta) == 40 * 5_000
    assert bmff.coded_bytes(meta[:-3]) == len(meta) - 3  # damaged: at least the file
    photo_file = heic(RGB[:64, :64])
    assert len(photo_file) <= bmff.coded_bytes(photo_file) < 2 * len(photo_file)


def flat(name: str) -> bytes:
    black = pyvips.Image.black(16_320, 12_240, bands=3).cast("uchar").copy(interpretation="srgb")
    if name == "flat.gif":
        return pil_bytes(Image.new("P", (16_320, 12_240), 1), "GIF")
    progressive = {"interlace": True, "subsample_mode": "on"} if "progressive" in name else {}
    return black.write_to_buffer(name[name.index(".") :], **progressive)


@LINUX
@pytest.mark.slow
def test_200_million_pixels_open_within_the_bounds(tmp_path) -> None:
    names = ["baseline.jpg", "progressive.jpg", "flat.gif"]
    for name in names:
        (tmp_path / name).write_bytes(flat(name))
    for name, (size, estimates, memory, _) in zip(names, opened(names, tmp_path), strict=True):
        assert size == [16_320, 12_240]
        assert memory <= estimates[-1][0] <= guards._BYTES, name
