"""Metadata of picture files: EXIF, IPTC, orientation and resolution.

EXIF is a small TIFF file without pixels, so the same functions read both. Values that make no sense count
as absent::

    dpi = stated_dpi(exif)                    # (300.0, 300.0), or None
    block = kept(exif, dpi)                   # upright, without thumbnail
"""

import contextlib
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from impasto.image.guards import without_warnings

DPI = tuple[float, float]  # dots per inch, across and down
_MARK = b"Exif\0\0"  # before the TIFF structure, in JPEG and in what libvips takes
_LARGEST = 60_000  # a segment of a JPEG holds 65,533 bytes
_X, _Y, _UNIT, _ORIENTATION = 282, 283, 296, 274
_CAMERA, _PLACE, _COLORS, _RULES = 34665, 34853, 40961, 40965
_MAKE = 271  # who made the camera
_OF_SHOT = (  # exposure, dates, sensitivity, weather, lens, owner; all else is about the file, or unknown
    *(33434, 33437, 34850, 34855, *range(34864, 34870), 36864, 36867, 36868, *range(36880, 36883)),
    *(*range(37377, 37387), 37510, *range(37520, 37523), *range(37888, 37894), 40960, 41493, 41495),
    *(*range(41986, 41992), 41996, *range(42032, 42042)),
)
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096))
_IPTC = 33723
_PHOTOSHOP = b"Photoshop 3.0\0"
_TURN = re.compile(rb"""tiff:Orientation(?:\s*=\s*["']|>\s*)([1-8])\b""")


@dataclass(frozen=True)
class FileInfo:
    """What a picture file holds besides its pixels.

    Attributes:
        bits: 8 or 16.
        dpi: Dots per inch across and down, where it is stated.
        notes: What was ignored or could not be converted, one sentence each.
        exif: A TIFF structure.
        iptc: Records.
        xmp: The packet.
    """

    bits: int = 8
    dpi: DPI | None = None
    notes: tuple[str, ...] = ()
    exif: bytes = b""
    iptc: bytes = b""
    xmp: bytes = b""


def stated_dpi(data: bytes) -> DPI | None:
    """Return the resolution in EXIF or a whole TIFF file; None if absent."""
    data = data.removeprefix(_MARK)
    order, values, unit = _order(data), dict[int, float](), 2
    try:
        for tag, kind, number, raw in _entries(data):
            if tag in (_X, _Y) and kind == 5 and number == 1:
                at = struct.unpack_from(f"{order}I", raw, 8)[0]
                above, below = struct.unpack_from(f"{order}II", data, at)
                values[tag] = above / below if below else 0
            elif tag == _UNIT and kind == 3:
                unit = struct.unpack_from(f"{order}H", raw, 8)[0]
    except struct.error:
        return None
    scale = {2: 1.0, 3: 2.54}.get(unit, 0.0)  # 1 is the shape of a pixel only
    return sensible_dpi(values.get(_X, 0) * scale, values.get(_Y, 0) * scale)


def orientation(data: bytes, xmp: bytes) -> int:
    """Return the orientation, 1 to 8, in EXIF or a whole TIFF file, else in XMP; 1 for nonsense."""
    data = data.removeprefix(_MARK)
    with contextlib.suppress(struct.error):
        for tag, *_, raw in _entries(data):
            if tag == _ORIENTATION:
                turn = struct.unpack_from(f"{_order(data)}H", raw, 8)[0]
                return turn if turn in range(1, 9) else 1
    match = _TURN.search(xmp)
    return int(match[1]) if match else 1


def color_space(data: bytes) -> tuple[int, bytes]:
    """Return the color space in EXIF or a whole TIFF file, 0 if absent, and its rule of interoperability.

    "Uncalibrated" (65535) counts as absent without a camera's name: libvips writes it into all its files.
    """
    data = data.removeprefix(_MARK)
    number, rule, order = 0, b"", _order(data)
    with contextlib.suppress(struct.error):
        places = {tag: raw for tag, *_, raw in _entries(data)}
        if _CAMERA not in places:
            return 0, b""
        at = struct.unpack_from(f"{order}I", places[_CAMERA], 8)[0]
        inner = {tag: raw for tag, *_, raw in _entries(data, at)}
        if _COLORS in inner:
            number = struct.unpack_from(f"{order}H", inner[_COLORS], 8)[0]
        if _RULES in inner:
            at = struct.unpack_from(f"{order}I", inner[_RULES], 8)[0]
            rule = next((raw[8:11] for tag, *_, raw in _entries(data, at) if tag == 1), b"")
        if number == 0xFFFF and _MAKE not in places:
            number = 0
    return number, rule


def sensible_dpi(across: float, down: float) -> DPI | None:
    """Return the resolution rounded to hundredths, or None if it cannot be one.

    Formats that count whole dots per meter cannot hold 120 dots per inch: whole numbers are assumed
    where the value is within 0.02.
    """
    if not all(math.isfinite(one) and 1 <= one <= 100_000 for one in (across, down)):
        return None
    across, down = (
        float(round(one)) if abs(round(one) - one) < 0.02 else round(one, 2) for one in (across, down)
    )
    return across, down


def described(data: bytes) -> bytes:
    """Return the EXIF of a whole TIFF file; empty if absent."""
    try:
        tags = {tag for tag, *_ in _entries(data)}
    except struct.error:
        return b""
    return kept(data, None) if tags & {_CAMERA, _PLACE, *_DESCRIPTIVE} else b""


def kept(data: bytes, dpi: DPI | None) -> bytes:
    """Return EXIF for a picture made from this one: upright, in sRGB, without what is about the old file.

    That is its thumbnail, sizes, colors and the note of the camera's maker, which nobody can check.

    Empty where it cannot be read or is too large for a JPEG segment.
    """
    from PIL import Image

    old, new = Image.Exif(), Image.Exif()
    try:
        with without_warnings():  # Pillow warns of damage; what it can read is kept
            old.load(data.removeprefix(_MARK))
            for tag in _DESCRIPTIVE:
                if tag in old:
                    new[tag] = old[tag]
            camera, place = dict(old.get_ifd(_CAMERA)), dict(old.get_ifd(_PLACE))
            camera = {tag: value for tag, value in camera.items() if tag in _OF_SHOT}
            if camera:
                new[_CAMERA] = camera | {_COLORS: 1}  # sRGB
            if place:
                new[_PLACE] = place
            _set_dpi(new, dpi)
            new[_ORIENTATION] = 1
            data = new.tobytes()
    except MemoryError:
        raise
    except Exception:  # Pillow raises nearly anything on odd values
        return b""
    return data.removeprefix(_MARK) if len(data) <= _LARGEST else b""


def minimal(dpi: DPI) -> bytes:
    """Return EXIF that holds only the resolution."""
    from PIL import Image

    new = Image.Exif()
    _set_dpi(new, dpi)
    return bytes(new.tobytes()).removeprefix(_MARK)


def iptc_records(block: bytes) -> bytes:
    """Return the IPTC records, which are alone or inside a block of Photoshop."""
    if not block.startswith(_PHOTOSHOP):
        return block.rstrip(b"\0") if block.startswith(b"\x1c") else b""
    at = len(_PHOTOSHOP)
    while block[at : at + 4] == b"8BIM" and at + 7 < len(block):
        kind = struct.unpack_from(">H", block, at + 4)[0]
        at += 6 + (block[at + 6] + 2) // 2 * 2  # a name, made even
        if at + 4 > len(block):
            break
        size = struct.unpack_from(">I", block, at)[0]
        if kind == 0x0404:
            return block[at + 4 : at + 4 + size]
        at += 4 + (size + 1) // 2 * 2
    return b""


def photoshop_block(records: bytes) -> bytes:
    """Return IPTC records as the block of Photoshop that a JPEG holds."""
    size = struct.pack(">I", len(records))
    return _PHOTOSHOP + b"8BIM\x04\x04\0\0" + size + records + b"\0" * (len(records) % 2)


def into_tiff(data: bytes, *, dpi: DPI | None, exif: bytes = b"", iptc: bytes = b"") -> bytes:
    """Return a TIFF file with this resolution, EXIF and IPTC; libvips writes only the resolution.

    A new directory is appended. The offsets of all other entries stay valid.
    """
    order, drop = _order(data), set() if dpi else {_X, _Y, _UNIT}
    entries = {tag: raw for tag, *_, raw in _entries(data) if tag not in drop}
    data += b"\0" * (len(data) % 2)
    if exif:
        block = _relocated(exif, len(data), order)
        for tag, *_, raw in _entries(data + block, len(data)):
            entries.setdefault(tag, raw)
        data += block + b"\0" * (len(block) % 2)
    if iptc:
        iptc += b"\0" * (4 - len(iptc) % 4 if len(iptc) < 5 else len(iptc) % 2)
        entries[_IPTC] = struct.pack(f"{order}HHII", _IPTC, 7, len(iptc), len(data))
        data += iptc
    body = b"".join(raw for _, raw in sorted(entries.items()))
    directory = struct.pack(f"{order}H", len(entries)) + body + bytes(4)
    return data[:4] + struct.pack(f"{order}I", len(data)) + data[8:] + directory


def _relocated(exif: bytes, offset: int, order: str) -> bytes:
    """Return the directories of EXIF with offsets for this place in a file."""
    from PIL import Image, TiffImagePlugin

    old = Image.Exif()
    old.load(exif)
    head = b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08"
    new = TiffImagePlugin.ImageFileDirectory_v2(ifh=head)
    for tag, value in old.items():
        new[tag] = dict(old.get_ifd(tag)) if tag in (_CAMERA, _PLACE) else value
    return bytes(new.tobytes(offset))


def _set_dpi(exif: "object", dpi: DPI | None) -> None:
    """Set the resolution in EXIF of Pillow."""
    if dpi:
        exif[_X], exif[_Y], exif[_UNIT] = *dpi, 2  # type: ignore[index]


def _order(data: bytes) -> str:
    return "<" if data[:1] == b"I" else ">"


def _entries(data: bytes, at: int | None = None) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (tag, kind, number, all 12 bytes) of a directory, by default the first; no BigTIFF."""
    order = _order(data)
    if data[2:4] not in (b"*\0", b"\0*"):
        return
    at = struct.unpack_from(f"{order}I", data, 4)[0] if at is None else at
    for place in range(struct.unpack_from(f"{order}H", data, at)[0]):
        start = at + 2 + 12 * place
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, start)
        yield tag, kind, number, data[start : start + 12]
