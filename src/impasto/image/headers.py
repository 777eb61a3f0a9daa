"""Size, frames and texts of a picture file, read from its structure before anything is unpacked.

They serve to refuse the file, or to count what is ignored::

    check_headers("gif", data, "cat.gif", Input())
    frames("gif", data, 1000)                     # counts up to 1001
    cost = unpacking("gif", data, (640, 480), 4)  # memory and time
"""

import itertools
import struct
import zlib
from collections.abc import Callable, Iterator

from impasto.config.limits import Input
from impasto.errors import PictureError
from impasto.image.containers import bmff, jpeg, png, tiff
from impasto.image.guards import Cost, check_size

PARTS = {"tiff": "pages", "heic": "images", "jpeg": "pictures"}  # names for messages; else frames
_STEP = 65_536  # bytes unpacked at once, to be counted
_SLOW = {34925: 40, 50001: 15}  # nanoseconds of a byte of LZMA and WebP in a TIFF
_AT_LEAST = 60e6  # bytes of buffers that any file takes
# At most: bytes and nanoseconds of a pixel; nanoseconds of a byte of it as unpacked, and of the file. What
# Pillow and pi-heif unpack takes what its mode takes besides; that includes a small tensor made of it.
_COSTS: dict[str, tuple[float, float, float, float]] = {
    "jpeg": (0.0, 6, 2, 30),
    "png": (0.0, 0, 5, 12),
    "tiff": (0.0, 0, 5, 12),
    "gif": (4.3, 20, 0, 10),
    "webp": (5.2, 35, 0, 60),
    "avif": (13.9, 70, 0, 60),
    "heic": (0.0, 10, 5, 200),
    "bmp": (0.0, 0, 0, 4),
    "RLE": (0.0, 260, 0, 260),  # a compressed BMP, which Pillow reads without C
    "jpeg2000": (0.0, 0, 25, 180),
    "tga": (0.0, 0, 0, 4),
    "qoi": (0.0, 0, 0, 2_000),  # the same
    "sgi": (0.0, 0, 0, 4),
    "psd": (0.0, 0, 0, 4),
    "P1": (1.1, 30, 0, 5),  # PNM, by its first bytes
    "P2": (2.2, 25, 0, 20),
    "P3": (6.6, 30, 0, 20),
    "P4": (2.2, 30, 0, 4),
    "P5": (2.2, 35, 0, 4),
    "P6": (6.2, 40, 0, 4),
    "Pf": (20.4, 60, 0, 4),
    "PF": (39.4, 120, 0, 4),
}
_MODES: dict[str, tuple[float, float]] = {  # the first two; of HEIC: bytes for one as unpacked
    "": (0.0, 0),
    "1": (4.1, 30),
    "L": (3.2, 30),
    "I;16": (6.2, 45),
    "LA": (8.2, 60),
    "P": (11.2, 45),
    "RGB": (10.2, 45),
    "RGBA": (12.2, 75),
    "CMYK": (12.2, 115),
    "420": (1.57, 0),  # halved colors
    "420 alpha": (1.93, 0),
    "444": (3.2, 0),
    "444 alpha": (3.2, 0),
}
_OTHER_MODE = (14.2, 120)
_CONVERTED = 60  # nanoseconds of a pixel, of converting colors
_SCAN_TIME = 2  # nanoseconds of a pixel and a scan of a JPEG


def check_headers(kind: str, data: bytes, label: str, limits: Input) -> None:
    """Refuse a file by its headers.

    Raises:
        PictureError: Its canvas, frames or texts exceed `limits`.
    """
    if kind == "png" and data[12:16] == b"IHDR" and len(data) >= 24:
        width, height = struct.unpack_from(">II", data, 16)
        check_size(width, height, label, limits)
        _check_text(data, label, limits.max_text)
    if kind == "gif" and len(data) >= 10:
        width, height = struct.unpack_from("<HH", data, 6)
        check_size(width, height, label, limits)
    if frames(kind, data, limits.max_frames) > limits.max_frames:
        many = f"{label} has more than {limits.max_frames} {PARTS.get(kind, 'frames')}"
        raise PictureError(f"{many} (--max-frames); give a picture of its own")


def unpacking(
    kind: str, data: bytes, size: tuple[int, int], pixel: float, mode: str = "", *, converted: bool = False
) -> Cost:
    """Return what it takes to unpack a picture, row by row where its format allows that.

    Args:
        kind: One of `FORMATS`.
        data: The whole file.
        size: Width and height in pixels.
        pixel: Bytes of a pixel as it is unpacked.
        mode: What Pillow calls its bands; of HEIC "444", or "420" with halved colors, and " alpha".
        converted: Whether its colors are converted when the tensor is made, besides CMYK.
    """
    pixels, file_bytes = size[0] * size[1], len(data)
    of_pixel, time, byte_time, file_time = _COSTS[_row(kind, data)]
    of_mode, mode_time = _MODES.get(mode, _OTHER_MODE)
    memory = (of_pixel + of_mode * (pixel if kind == "heic" else 1)) * pixels
    time += pixel * byte_time + mode_time + _CONVERTED * converted
    if kind == "jpeg":
        coefficients, scans = jpeg.kept(data)
        memory += 2 * coefficients * pixels
        time += 6 * coefficients + _SCAN_TIME * (scans - 1)
    elif kind == "png" and data[28:29] == b"\1":  # interlaced
        memory += pixel * pixels
        time += pixel * byte_time
    elif kind == "tiff" and (first := next(tiff.directories(data), None)):
        width, rows = first.block(size)
        memory += pixel * width * rows
        time = max(time, pixel * _SLOW.get(first.compression, 0))
    elif kind in ("heic", "avif"):
        file_bytes = bmff.coded_bytes(data)
    elif kind == "jpeg2000":  # unpacked with 4 bytes of a sample, which are then copied
        memory = (4 + (2 if mode in ("L", "I;16") else 5) * pixel) * pixels
    copies = 2 if kind in ("jpeg", "tiff") else 3 if kind == "pnm" and data[1:2] in b"123" else 1
    return Cost(memory + copies * len(data) + _AT_LEAST, (time * pixels + file_time * file_bytes) / 1e9)


def _row(kind: str, data: bytes) -> str:
    """Return the row of `_COSTS` for a file."""
    if kind == "pnm":
        return data[:2].decode()
    return "RLE" if kind == "bmp" and data[30:31] in b"\1\2" else kind


def frames(kind: str, data: bytes, most: int) -> int:
    """Return the number of frames, pages or images in the headers, counted up to `most` + 1."""
    if kind == "png":
        control = next((body for name, body in png.chunks(data) if name == b"acTL"), b"")
        return int.from_bytes(control[:4], "big") or 1
    if kind == "jpeg":
        return min(jpeg.pictures(data), most + 1)
    if kind == "avif" and (at := data.find(b"stsz")) > 0:  # samples of a sequence
        return int.from_bytes(data[at + 12 : at + 16], "big")
    walks = {"gif": _gif_frames, "tiff": tiff.directories, "webp": _webp_frames}
    walk: Callable[[bytes], Iterator[object]] | None = walks.get(kind)
    if walk is None:
        return 1
    return sum(1 for _ in itertools.islice(walk(data), most + 1))


def _check_text(data: bytes, label: str, most: int) -> None:
    """Refuse texts and profiles that unpack to more than `most` bytes together; they are not kept."""
    left = most
    for kind, body in png.chunks(data):
        packed, unpacker = png.packed_text(kind, body), zlib.decompressobj()
        try:
            while packed and not unpacker.eof:
                part = unpacker.decompress(packed, _STEP)
                packed, left = unpacker.unconsumed_tail, left - len(part)
                if left < 0:
                    limit = f"more than {most:,} bytes (--max-text)"
                    raise PictureError(f"{label} has texts that unpack to {limit}; save it without")
        except zlib.error:
            continue  # damaged, so it is not used later


def _webp_frames(data: bytes) -> Iterator[object]:
    """Yield once per frame; a still picture is one."""
    at, animated = 12, False
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        animated |= kind == b"ANIM"
        if kind == (b"ANMF" if animated else b"VP8 ") or (not animated and kind == b"VP8L"):
            yield at
        at += 8 + size + size % 2


def _gif_frames(data: bytes) -> Iterator[object]:
    """Yield once per frame."""
    at = 13 + _table(data, 10)
    while at < len(data):
        if data[at] == 0x21:
            at += 2
        elif data[at] == 0x2C:
            yield at
            at += 11 + _table(data, at + 9)
        else:
            return
        while at < len(data) and data[at]:  # blocks, each preceded by its length
            at += 1 + data[at]
        at += 1


def _table(data: bytes, at: int) -> int:
    """Return the bytes of the color table that a flag byte of a GIF announces."""
    flags = data[at] if at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
