"""The boxes of AVIF, HEIC and JPEG 2000: what they state about colors.

primaries, transfer = coded_colors(data)      # of the main picture, as H.273 numbers them
"""

import contextlib
import struct
from collections.abc import Iterator

_DEEPEST = 4_000  # boxes of a file that are looked at
_PARTS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"jp2h": 0}  # boxes of boxes -> bytes before these


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start, end) of the boxes in a part of the file, without their heads."""
    end = len(data) if end is None else end
    for _ in range(_DEEPEST):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= end:
            size, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        size = size or end - start
        if size < head or start + size > end:
            return
        yield kind, start + head, start + size
        start += size


def coded_colors(data: bytes) -> tuple[int, int] | None:
    """Return primaries and transfer function of the main picture of an AVIF or HEIC; None if absent."""
    properties = list(_inside(data, b"meta", b"iprp", b"ipco"))
    used = _associated(data)
    for number, (kind, start, end) in enumerate(properties, 1):
        if kind == b"colr" and data[start : start + 4] == b"nclx" and end - start >= 8:
            if used is None or number in used:
                primaries, transfer = struct.unpack_from(">HH", data, start + 4)
                return primaries, transfer
    return None


def coded_bytes(data: bytes) -> int:
    """Return how many bytes the items of an AVIF or HEIC have, which may share them.

    At least the length of the file.
    """
    total = 0
    for kind, start, end in _inside(data, b"meta"):
        if kind == b"iloc":
            with contextlib.suppress(struct.error, IndexError):
                for length in _extents(data[start:end]):
                    total += length or len(data)  # 0: up to its end
    return max(total, len(data))


def _extents(body: bytes) -> Iterator[int]:
    """Yield the length of each part of the items, by the box that locates them."""
    version, sizes = body[0], struct.unpack_from(">H", body, 4)[0]
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    index = index if version else 0
    wide = 4 if version == 2 else 2  # bytes of the number of an item
    at = 6 + wide
    for _ in range(int.from_bytes(body[6:at], "big")):
        at += wide + (2 if version else 0) + 2 + base
        parts, at = struct.unpack_from(">H", body, at)[0], at + 2
        for _ in range(parts):
            at += index + offset
            yield int.from_bytes(body[at : at + length], "big")
            at += length


def jp2_colors(data: bytes) -> tuple[bytes, int | None]:
    """Return the profile of a JPEG 2000 file, empty if absent, and the number of its color space."""
    for kind, start, end in _inside(data, b"jp2h"):
        if kind == b"colr" and end - start >= 7:
            method = data[start]
            if method in (2, 3):
                return data[start + 3 : end], None
            if method == 1:
                return b"", int.from_bytes(data[start + 3 : start + 7], "big")
    return b"", None


def _inside(data: bytes, *path: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes inside the first box at this path."""
    start, end = 0, len(data)
    for name in path:
        found = next((box for box in boxes(data, start, end) if box[0] == name), None)
        if found is None:
            return
        start, end = found[1] + _PARTS[name], found[2]
    yield from boxes(data, start, end)


def _associated(data: bytes) -> set[int] | None:
    """Return the numbers of the properties of the main picture; None where the file does not say."""
    main = None
    for kind, start, end in _inside(data, b"meta"):
        if kind == b"pitm" and end - start >= 6:
            main = int.from_bytes(data[start + 4 : start + (8 if data[start] else 6)], "big")
    for kind, start, end in _inside(data, b"meta", b"iprp"):
        if kind != b"ipma" or main is None:
            continue
        try:
            found = _properties(data[start:end], main)
        except (struct.error, IndexError):
            return None
        if found is not None:
            return found
    return None


def _properties(body: bytes, main: int) -> set[int] | None:
    """Return the numbers of the properties of an item, by a box that associates them."""
    wide, item = body[3] & 1, ">I" if body[0] else ">H"
    at = 8
    for _ in range(int.from_bytes(body[4:8], "big")):
        name = struct.unpack_from(item, body, at)[0]
        at += struct.calcsize(item)
        count, at = body[at], at + 1
        layout = f">{count}{'H' if wide else 'B'}"
        numbers = struct.unpack_from(layout, body, at)
        at += struct.calcsize(layout)
        if name == main:
            return {number & (0x7FFF if wide else 0x7F) for number in numbers}
    return None
