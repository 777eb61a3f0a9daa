"""The chunks of a PNG, wherever they are in the file.

for kind, body in chunks(data):
    packed = packed_text(kind, body)
"""

import contextlib
import re
import struct
import zlib
from collections.abc import Iterator

import pyvips

_MAX_XMP = 4_000_000  # bytes that a compressed packet may unpack to
_PACKED = re.compile(rb"^[^\0]{1,79}\0", re.DOTALL)  # the keyword before the packed data


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (type, body) of the chunks of a PNG, except those of pixels."""
    at = 8
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind != b"IDAT" and at + 8 + size <= len(data):
            yield kind, data[at + 8 : at + 8 + size]
        at += 12 + size


def packed_text(kind: bytes, body: bytes) -> bytes:
    """Return the compressed data in a chunk of a PNG; empty if there are none."""
    name = _PACKED.match(body)
    if name is None or kind not in (b"zTXt", b"iCCP", b"iTXt"):
        return b""
    rest = body[name.end() :]
    if kind != b"iTXt":
        return rest[1:]
    return rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\1" else b""  # language, translated name


def exif(data: bytes) -> bytes:
    """Return the EXIF, before or behind the pixels, or in hexadecimal in a text, as ImageMagick writes it."""
    found = dict(chunks(data))
    if b"eXIf" in found:
        return found[b"eXIf"]
    for kind, body in chunks(data):
        name, _, text = body.partition(b"\0")
        if name not in (b"Raw profile type exif", b"Raw profile type APP1"):
            continue
        with contextlib.suppress(ValueError, zlib.error):
            packed = packed_text(kind, body)
            text = zlib.decompressobj().decompress(packed, _MAX_XMP) if packed else text
            digits = b"".join(text.split()[2:])  # after a word and the number of bytes
            return bytes.fromhex(digits.decode("ascii"))
    return b""


def xmp(data: bytes) -> bytes:
    """Return the XMP packet of a PNG, also behind the pixels, where libvips does not look."""
    for kind, body in chunks(data):
        name, _, rest = body.partition(b"\0")
        if name != b"XML:com.adobe.xmp" or kind not in (b"iTXt", b"zTXt", b"tEXt"):
            continue
        packed = packed_text(kind, body)
        text = rest if kind == b"tEXt" else rest[2:].split(b"\0", 2)[-1]  # after language and name
        try:
            return zlib.decompressobj().decompress(packed, _MAX_XMP) if packed else text
        except zlib.error:
            return b""
    return b""


def keyed(image: pyvips.Image, data: bytes) -> pyvips.Image:
    """Add the alpha of a 16-bit PNG with one transparent color, which libvips ignores."""
    body = next((body for kind, body in chunks(data) if kind == b"tRNS"), b"")
    if not body or len(body) != 2 * image.bands:
        return image
    key = list(struct.unpack(f">{image.bands}H", body))
    opaque = (image != key).bandor() if image.bands > 1 else image != key
    return image.bandjoin(opaque.cast("ushort") * 257).cast("ushort")
