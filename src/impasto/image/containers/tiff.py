"""The directories of a TIFF, and which of its pictures is the one to use.

for directory in directories(data):
    width = directory.first(256)
data, notes = largest(data, "scan.tif")      # the file as if that picture were its first
"""

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from impasto.errors import PictureError

Number = int | float
_KINDS = {  # type of a value -> how struct reads it
    **{1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 10: "ii"},
    **{11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"},
}
_RATIONAL = (5, 10)
_REDUCED, _MASK = 1, 4  # flags of the new subfile type
_NEW_TYPE, _OLD_TYPE, _WIDTH, _HEIGHT, _SPACE, _ORIENTATION = 254, 255, 256, 257, 262, 274
_COMPRESSION, _PLANAR, _ROWS, _TILE_WIDTH, _TILE_LENGTH = 259, 284, 278, 322, 323
_BITS, _FORMAT, _SIGNED, _FLOAT = 258, 339, 2, 3
_READ, _READ_FLOATS = (1, 2, 4, 8, 16, 32), (16, 32)  # bits of a sample
_SAMPLES, _CHILDREN, _EXTRA = 277, 330, 338
_OF_RAW = (32803, 34892)  # color spaces: a mosaic of filters, and linear values of a sensor
_TRANSPARENCY_MASK = 4  # a color space
_COLORS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # color space -> samples of a pixel
_THUMBNAIL = 320  # px; a first page without flags that is this small may be one
_MUCH = 4  # times as wide and high is a page of which such a thumbnail was made
_MOST, _BELOW = 1_000, 64  # directories that are looked at: one after another, and below these
_CR2 = b"II*\0\x10\0\0\0CR"  # of Canon


@dataclass(frozen=True, eq=False)
class Directory:
    """One directory of a TIFF.

    Attributes:
        at: Its offset in the file.
        data: The whole file.
        order: "<" or ">", for struct.
        entries: For each tag the type and the number of its values, and where in the file they are.
    """

    at: int
    data: bytes = field(repr=False)
    order: str
    entries: dict[int, tuple[int, int, int]]

    def values(self, tag: int, most: int = 1_000_000) -> tuple[Number, ...]:
        """Return the values of a tag; none if it is absent, outside the file, or of more than `most`."""
        kind, count, at = self.entries.get(tag, (0, 0, 0))
        code = _KINDS.get(kind)
        if code is None or not 0 < count <= most:
            return ()
        layout = f"{self.order}{count * code if len(code) > 1 else f'{count}{code}'}"
        if at + struct.calcsize(layout) > len(self.data):
            return ()
        found: tuple[Number, ...] = struct.unpack_from(layout, self.data, at)
        if kind in _RATIONAL:
            found = tuple(a / b if b else 0.0 for a, b in zip(found[::2], found[1::2], strict=True))
        return found

    def first(self, tag: int, default: int = 0) -> int:
        """Return the first value of a tag as a whole number."""
        value = next(iter(self.values(tag, 1_000)), default)
        return int(value) if abs(value) < 2**63 else default

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.first(_WIDTH), self.first(_HEIGHT)

    @property
    def reduced(self) -> bool:
        """Whether it states that it is a smaller copy, or a mask, of another picture."""
        flags = self.first(_NEW_TYPE) & (_REDUCED | _MASK)
        return bool(flags) or self.first(_OLD_TYPE) == 2 or self.first(_SPACE) == _TRANSPARENCY_MASK

    @property
    def bits(self) -> int:
        """Bits of a sample."""
        return self.first(_BITS, 1)

    @property
    def space(self) -> int:
        """Its color space (photometric interpretation); -1 if that is missing."""
        return self.first(_SPACE, -1)

    @property
    def compression(self) -> int:
        """By its number in the standard; 1 is none."""
        return self.first(_COMPRESSION, 1)

    @property
    def planar(self) -> bool:
        """Whether each sample has a plane of its own."""
        return self.first(_PLANAR) == 2

    @property
    def tiled(self) -> bool:
        """Whether it has tiles instead of strips."""
        return _TILE_WIDTH in self.entries

    def block(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return width and height of a row of tiles, or of a strip, in a picture of this size."""
        rows = self.first(_TILE_LENGTH) or min(self.first(_ROWS, size[1]), size[1])
        return max(size[0], self.first(_TILE_WIDTH)), rows

    @property
    def samples(self) -> int:
        """How many samples a pixel has."""
        return self.first(_SAMPLES, 1)

    @property
    def colors(self) -> int:
        """How many of these are of its color space."""
        return _COLORS.get(self.first(_SPACE), 3)

    @property
    def alpha(self) -> int | None:
        """The place of alpha among the samples of a pixel; None where no sample states that meaning."""
        meanings = self.values(_EXTRA, 100)
        return next((self.colors + place for place, one in enumerate(meanings) if one in (1, 2)), None)

    @property
    def unstated(self) -> int:
        """How many samples of a pixel have no stated meaning."""
        extra = max(0, self.samples - self.colors)
        return extra - sum(one in (1, 2) for one in self.values(_EXTRA, 100)[:extra])


def directories(data: bytes) -> Iterator[Directory]:
    """Yield the directories of a TIFF or BigTIFF that follow one another.

    Stops at an offset outside the file, and at a directory already seen.
    """
    order, big = _layout(data)
    link = "Q" if big else "I"
    seen: set[int] = set()
    try:
        at = struct.unpack_from(order + link, data, 8 if big else 4)[0]
        while at not in seen and (found := directory_at(data, at)):
            seen.add(at)
            yield found
            count, size = ("Q", 20) if big else ("H", 12)
            number = struct.unpack_from(order + count, data, at)[0]
            at = struct.unpack_from(order + link, data, at + struct.calcsize(order + count) + number * size)[
                0
            ]
    except struct.error:
        return


def directory_at(data: bytes, at: int) -> Directory | None:
    """Return the directory at an offset; None where the file ends before it does."""
    order, big = _layout(data)
    head, entry, room = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    if not 0 < at < len(data) - struct.calcsize(order + head):
        return None
    number = struct.unpack_from(order + head, data, at)[0]
    start, size = at + struct.calcsize(order + head), struct.calcsize(order + entry) + room
    if start + number * size > len(data):
        return None
    entries = dict[int, tuple[int, int, int]]()
    for place in range(start, start + number * size, size):
        tag, kind, count = struct.unpack_from(order + entry, data, place)
        value = place + size - room
        if count * struct.calcsize("=" + _KINDS.get(kind, "B")) > room:  # it holds an offset instead
            value = struct.unpack_from(order + ("Q" if big else "I"), data, value)[0]
        entries.setdefault(tag, (kind, count, value))
    return Directory(at, data, order, entries)


def largest(data: bytes, label: str) -> tuple[bytes, bytes, tuple[str, ...]]:
    """Return the file as if the picture to use were its first, and notes that say which that is.

    Between them, the file as if the directory that states the orientation were its first: where the picture
    is below another and does not state its own, that other one.

    The picture is the first page, unless that is a thumbnail or a reduced copy of a larger one, which may
    also be in a directory below the first. An orientation that there is not becomes 1.

    Raises:
        PictureError: It is the raw file of a camera.
    """
    pages = list(itertools.islice(directories(data), _MOST))
    if not pages:
        return data, data, ()
    below = list(itertools.islice(_children(pages), _BELOW))
    chosen, notes = _chosen(pages, below), list[str]()
    if data.startswith(_CR2) or chosen.first(_SPACE) in _OF_RAW:
        made = "develop it first, and give the JPEG or TIFF made from it"
        raise PictureError(f"{label} is a camera raw, which cannot be read; {made}")
    _check_samples(chosen, label)
    if chosen.unstated > 0:
        notes.append(
            f"{label}: samples without a stated meaning ({chosen.unstated} of each pixel) are not used"
        )
    size = f"{chosen.size[0]} x {chosen.size[1]} pixels"
    if chosen in below:
        notes.append(f"{label}: its first picture is a thumbnail; the one of {size} is used")
    elif len(pages) > 1:
        number = pages.index(chosen) + 1
        which = "only the first" if number == 1 else f"only number {number}, of {size},"
        notes.append(f"{label}: {sum(1 for _ in directories(data))} pages; {which} is used")
    changed = _changed(data, pages[0], chosen)
    above = data if chosen in below and _ORIENTATION not in chosen.entries else changed
    return changed, above, tuple(notes)


def _check_samples(directory: Directory, label: str) -> None:
    """Refuse samples that no library here reads as they are meant."""
    bits, kind = directory.bits, directory.first(_FORMAT, 1)
    export = "export it with 8 or 16 bits, without a sign"
    if kind == _SIGNED and bits == 8:
        raise PictureError(f"{label} has signed samples of 8 bits; {export}")
    if bits not in (_READ_FLOATS if kind == _FLOAT else _READ):
        name = "floating-point samples" if kind == _FLOAT else "samples"
        raise PictureError(f"{label} has {name} of {bits} bits, which cannot be read; {export}")


def _chosen(pages: list[Directory], below: list[Directory]) -> Directory:
    """Return the first page, or the largest picture if that one is a copy of it."""
    first = pages[0]
    area = {id(one): one.size[0] * one.size[1] for one in (*pages, *below)}
    others = [one for one in (*pages, *below) if area[id(one)] > area[id(first)]]
    whole = [one for one in others if not one.reduced]
    if not first.reduced:
        whole = [one for one in whole if one in below or _is_thumbnail(first, one)]
        return max(whole, key=lambda one: area[id(one)], default=first)
    return max(whole or others, key=lambda one: area[id(one)], default=first)


def _is_thumbnail(small: Directory, large: Directory) -> bool:
    """Whether a page without flags seems to be a thumbnail: tiny, and of the same aspect ratio."""
    (width, height), (wide, high) = small.size, large.size
    same = abs(width * high - height * wide) <= max(wide, high)  # within a pixel of the small one
    return same and max(width, height) <= _THUMBNAIL and wide >= _MUCH * width and width > 0


def _children(pages: list[Directory]) -> Iterator[Directory]:
    """Yield the directories that are below these."""
    for page in pages:
        for at in page.values(_CHILDREN, _BELOW):
            if child := directory_at(page.data, int(at)):
                yield child


def _changed(data: bytes, first: Directory, chosen: Directory) -> bytes:
    """Return the file with this directory first, and an orientation from 1 to 8."""
    kind, _, place = chosen.entries.get(_ORIENTATION, (0, 0, 0))
    turned = kind == 0 or chosen.first(_ORIENTATION) in range(1, 9)
    if chosen is first and turned:
        return data
    changed, (order, big) = bytearray(data), _layout(data)
    if chosen is not first:
        struct.pack_into(order + ("Q" if big else "I"), changed, 8 if big else 4, chosen.at)
    code = _KINDS.get(kind, "")
    if not turned and len(code) == 1 and place + struct.calcsize("=" + code) <= len(data):
        struct.pack_into(order + code, changed, place, 1)
    return bytes(changed)


def _layout(data: bytes) -> tuple[str, bool]:
    """Return the order of bytes, and whether it is a BigTIFF."""
    return ("<" if data[:2] == b"II" else ">"), data[2:4] in (b"+\0", b"\0+")
