"""Pictures for the tests, and readers that know nothing of impasto."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

CAMERA, OWNER = "Camco Obscura 3000", "Zoe Photographer"
UNDO = {  # how upright pixels have to be stored, so that a reader who turns them is right
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
PHOTO_XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    b' xmlns:dc="http://purl.org/dc/elements/1.1/" tiff:Orientation="6">'
    b'<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Cat on a wall</rdf:li></rdf:Alt></dc:title>'
    b'</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def quadrants(height: int = 40, width: int = 64) -> np.ndarray:
    """Four colours, so that every turning shows, also where colours are lossy."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (200, 30, 30)
    picture[: height // 2, width // 2 :] = (30, 200, 30)
    picture[height // 2 :, : width // 2] = (30, 30, 200)
    return picture


def pil_bytes(image: Image.Image | np.ndarray, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, format, **options)
    return buffer.getvalue()


def camera_exif(orientation: int = 6) -> Image.Exif:
    """Camera, owner, place, a thumbnail's worth of maker's note."""
    exif = Image.Exif()
    exif[0x010F], exif[0x013B], exif[0x0112] = CAMERA, OWNER, orientation
    exif[0x011A], exif[0x011B], exif[0x0128] = 240.0, 240.0, 2
    exif.get_ifd(0x8769).update({0x9003: "2020:01:02 03:04:05", 0x829A: 0.01})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 31.0, 12.0), 3: "E", 4: (9.0, 3.0, 27.0)})
    return exif


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """All chunks; each checksum is checked."""
    at, found = 8, []
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        check = struct.unpack_from(">I", data, at + 8 + size)[0]
        assert check == zlib.crc32(kind + body), kind
        found.append((kind, body))
        at += 12 + size
    return found


def png_pixels(data: bytes) -> np.ndarray:
    """Read a PNG of 8 or 16 bits, RGB or RGBA, straight from the specification."""
    chunks = png_chunks(data)
    width, height, depth, color, *rest = struct.unpack(">IIBBBBB", dict(chunks)[b"IHDR"])
    assert rest == [0, 0, 0]
    bands = {2: 3, 6: 4}[color]
    step, line = bands * depth // 8, width * bands * depth // 8
    raw = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    above, rows = bytearray(line), []
    for y in range(height):
        kind, *row = raw[y * (line + 1) : (y + 1) * (line + 1)]
        for x in range(line):
            left, corner = (row[x - step], above[x - step]) if x >= step else (0, 0)
            top = above[x]
            guess = left + top - corner
            near = min((abs(guess - v), i, v) for i, v in enumerate((left, top, corner)))[2]
            row[x] = (row[x] + (0, left, top, (left + top) // 2, near)[kind]) & 255
        above = bytearray(row)
        rows.append(above)
    kind = np.uint8 if depth == 8 else ">u2"
    return np.frombuffer(b"".join(rows), kind).reshape(height, width, bands).astype(int)


def jpeg_sampling(data: bytes) -> set[int]:
    """The sampling factors of all components, from the frame's header."""
    at = 2
    while data[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return {data[at + 11 + 3 * index] for index in range(data[at + 9])}
