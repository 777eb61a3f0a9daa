"""The segments of a JPEG: whether its pixels are all there, and how many pictures it holds.

    check_whole(data, "cat.jpg")          # its scans
    data = ended(data)                    # with an end marker
    count = pictures(data)

libjpeg paints gray what is missing, and says so in a warning only, of which `is_damage` tells the meaning.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from impasto.errors import PictureError
from impasto.image.containers import tiff

_END, _SCAN, _TABLES, _INTERVAL, _ADOBE, _MORE = 0xD9, 0xDA, 0xC4, 0xDD, 0xEE, 0xE2
_FRAMES = {*range(0xC0, 0xD0)} - {_TABLES, 0xC8, 0xCC}
_HUFFMAN, _PROGRESSIVE = (0xC0, 0xC1), (0xC2, 0xC6, 0xCA, 0xCE)
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a segment
_OF_PIXELS = {0, *_FRAMES, _SCAN, _TABLES, 0xCC, 0xDB, 0xDC, _INTERVAL, _ADOBE}  # 0: the data of a scan
_NEXT = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_HOLE = bytes(128)  # zeros where a copy was interrupted
_PICTURES = 0xB001  # the number of pictures, a tag of the format for several
_DAMAGE = re.compile(r"premature|bad Huffman|bad arithmetic|found marker|Inconsistent")
_DOUBT = re.compile(r"before marker 0xd[0-7]")  # a stretch had more data than its pixels need


@dataclass
class _Head:
    """What the segments before a scan say about it."""

    kind: int = 0  # the marker of the frame
    size: tuple[int, int] = (0, 0)
    sampling: dict[int, tuple[int, int]] = field(default_factory=dict)  # of each component
    left: dict[int, set[int]] = field(default_factory=dict)  # coefficients of each that are not complete
    shortest: dict[int, int] = field(default_factory=dict)  # symbol of the shortest code of tables for AC
    interval: int = 0  # blocks between two restart markers

    def note_frame(self, marker: int, body: bytes) -> None:
        """Take the size and the components from a frame."""
        self.kind = marker
        if len(body) >= 6:
            self.size = (int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big"))
        for at in range(6, len(body) - 2, 3):
            self.sampling[body[at]] = (max(1, body[at + 1] >> 4), max(1, body[at + 1] & 15))
            self.left[body[at]] = set(range(64))

    def note_scan(self, body: bytes) -> None:
        """Remove from `left` the coefficients that are complete with a scan."""
        rest, done = body[1 + 2 * body[0] :], set(range(64))
        if self.kind in _PROGRESSIVE and len(rest) >= 3:
            # The last four bits are how many bits of each coefficient are still to come.
            done = set() if rest[2] & 15 else set(range(rest[0], rest[1] + 1))
        for component in body[1 : 1 + 2 * body[0] : 2]:
            self.left.get(component, set()).difference_update(done)

    def restarts(self, body: bytes) -> int:
        """Return how many restart markers are inside a scan."""
        components = [one for one in body[1 : 1 + 2 * body[0] : 2] if one in self.sampling]
        if not self.interval or not components or not min(self.size):
            return 0
        most = [max(one[axis] for one in self.sampling.values()) for axis in (0, 1)]
        own = self.sampling[components[0]] if len(components) == 1 else (1, 1)  # alone: blocks of its own
        across, down = (-(-self.size[axis] * own[axis] // (8 * most[axis])) for axis in (0, 1))
        return -(-across * down // self.interval) - 1


def check_whole(data: bytes, label: str) -> None:
    """Refuse a file in which scans or restart markers are missing, or zeros are in the place of data.

    Raises:
        PictureError: It is so.
    """
    head, scan = _Head(), b""
    for marker, start, end in _segments(data):
        body = data[start:end] if marker else b""
        if marker in _FRAMES:
            head.note_frame(marker, body)
        elif marker == _TABLES:
            head.shortest.update(_shortest(body))
        elif marker == _INTERVAL and len(body) >= 2:
            head.interval = int.from_bytes(body[:2], "big")
        elif marker == _SCAN and len(body) > 2:
            scan = body
            head.note_scan(body)
        elif marker == 0 and scan and not _is_scan_whole(data, start, end, head, scan):
            raise damaged(label)
    if any(head.left.values()):
        raise damaged(label)


def _is_scan_whole(data: bytes, start: int, end: int, head: _Head, scan: bytes) -> bool:
    """Whether the restart markers of a scan are all there, and no zeros are in the place of its data.

    Codes of zeros only mean the symbol of the shortest code; where that is 0, they may be flat blocks.
    """
    expected = head.restarts(scan)
    numbers = (
        [data[found.start() + 1] & 7 for found in _RESTART.finditer(data, start, end)] if expected else []
    )
    if numbers[:expected] != [number % 8 for number in range(expected)]:
        return False
    codes = head.kind in _HUFFMAN and head.shortest.get(scan[2] & 15, 0) > 0
    return not (codes and data.find(_HOLE, start, end) >= 0)


def damaged(label: str) -> PictureError:
    """Return the error for a JPEG of which a part is missing."""
    return PictureError(f"{label} is damaged: a part of its pixels is missing; give a complete copy")


def is_damage(warning: str) -> bool:
    """Whether a warning of libjpeg means that pixels are missing or wrong."""
    return _DAMAGE.search(warning) is not None


def is_doubt(warning: str) -> bool:
    """Whether a warning of libjpeg means that some pixels, none of them missing, may be wrong."""
    return _DOUBT.search(warning) is not None


def ended(data: bytes) -> bytes:
    """Return the file with an end marker; without one libvips would refuse it, though its pixels be whole."""
    return data if data.rstrip(b"\0").endswith(b"\xff\xd9") else data + b"\xff\xd9"


def bare(data: bytes) -> bytes:
    """Return only what the pixels need, so that a warning of libjpeg can be of nothing else."""
    parts = [b"\xff\xd8"]
    for marker, start, end in _segments(data):
        if marker in _OF_PIXELS:
            parts.append(data[start - 4 if marker else start : end])
    return b"".join((*parts, b"\xff\xd9"))


def kept(data: bytes) -> tuple[float, int]:
    """Return how many coefficients of each pixel are kept until all scans are read, and the scans."""
    head, scans = _Head(), 0
    for marker, start, end in _segments(data):
        if marker in _FRAMES:
            head.note_frame(marker, data[start:end])
        scans += marker == _SCAN
    if head.kind not in _PROGRESSIVE and scans < 2:
        return 0.0, scans
    most = [max((one[axis] for one in head.sampling.values()), default=1) for axis in (0, 1)]
    return sum(across * down for across, down in head.sampling.values()) / (most[0] * most[1]), scans


def pictures(data: bytes) -> int:
    """Return how many pictures the file states that it holds, such as a second view or a map of gains."""
    for marker, start, end in _segments(data):
        if marker == _SCAN:
            break
        if marker == _MORE and data[start : start + 4] == b"MPF\0":
            index = next(tiff.directories(data[start + 4 : end]), None)
            return max(1, index.first(_PICTURES, 1)) if index else 1
    return 1


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of each segment up to the end marker; data of a scan have the marker 0."""
    at = 2
    while 0 <= at < len(data) - 1:
        marker = data[at + 1]
        if data[at] != 0xFF or marker in (0, 0xFF):
            at = data.find(b"\xff", at + 1)
        elif marker == _END:
            return
        elif marker in _ALONE:
            at += 2
        else:
            start, end = at + 4, at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if end < start or end > len(data):
                return
            yield marker, start, end
            at = end
            if marker == _SCAN:
                found = _NEXT.search(data, end)
                at = found.start() if found else len(data)
                yield 0, end, at


def _shortest(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield (number, symbol of the shortest code) of the tables for AC in a segment."""
    at = 0
    while at + 17 < len(body):
        if body[at] >> 4 == 1:
            yield body[at] & 15, body[at + 17]
        at += 17 + sum(body[at + 1 : at + 17])
