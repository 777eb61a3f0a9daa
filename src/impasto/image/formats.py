"""Recognize the format of a picture file by its content, never by its name.

kind = format_of(data, "cat.jpg", Input())      # "png"
"""

import struct

from impasto.config.limits import FORMATS, Input
from impasto.errors import PictureError

_USUAL = "JPEG, PNG, TIFF, WebP, AVIF, HEIC, GIF or BMP"
READABLE = "JPEG, PNG, TIFF, WebP, AVIF, HEIC, GIF, BMP, JPEG 2000, PNM, PFM, TGA, QOI, SGI or PSD"
_MAGIC = {
    "jpeg": (b"\xff\xd8\xff",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "gif": (b"GIF87a", b"GIF89a"),
    "bmp": (b"BM",),
    "jpeg2000": (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"),
    "qoi": (b"qoif",),
    "sgi": (b"\x01\xda\0\x01", b"\x01\xda\0\x02", b"\x01\xda\x01\x01", b"\x01\xda\x01\x02"),
    "psd": (b"8BPS\0\x01",),
}
_AVIF = {b"avif", b"avis"}  # brands in the first box of a file
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_RAW, _CANON = "a camera raw (develop it first)", b"crx "
_OTHERS = {  # only for messages
    "a PDF or PostScript document": (b"%PDF", b"%!PS"),
    _RAW: (  # those that are no TIFF: of Olympus, Panasonic, Fujifilm, Minolta, Sigma
        *(b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW", b"\0MRM", b"FOVb"),
    ),
    "a ZIP archive": (b"PK\x03\x04",),
    "an SVG or XML document": (b"<svg", b"<?xml"),
}


def format_of(data: bytes, label: str, limits: Input) -> str:
    """Return one of `FORMATS`.

    Raises:
        PictureError: It is something else, or a format that `limits` exclude.
    """
    name = _recognize(data)
    if name in FORMATS:
        if limits.allows(name):
            return name
        allowed = f"only {limits.formats} may be read (IMPASTO_FORMATS, --formats)"
        raise PictureError(f"{label} is of the format {name}, but {allowed}")
    raise PictureError(f"{label} is {name or 'in no known format'}; give a {_USUAL} file")


def _recognize(data: bytes) -> str:
    """Return the name of the format, else a description for messages, else an empty string."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    for kinds in (_MAGIC, _OTHERS):
        for name, magic in kinds.items():
            if data.startswith(magic):
                return name
    if data[4:8] == b"ftyp":
        box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
        starts = (0, *range(8, len(box), 4))  # position 4 holds a version
        brands = {box[at : at + 4] for at in starts}
        video = "a video file" if len(data) >= 16 else ""
        if _CANON in brands:
            return _RAW
        return "avif" if brands & _AVIF else "heic" if brands & _HEIC else video
    if data[:1] == b"P" and data[1:2] in b"123456fF" and data[2:3] in b" \t\r\n#" and data[2:3]:
        return "pnm"
    if _is_tga(data):
        return "tga"
    return "a text file" if data[:4096].isascii() and b"\0" not in data[:4096] else ""


def _is_tga(data: bytes) -> bool:
    """Whether this can be a TGA, which has no magic number at its start: its header must make sense."""
    if len(data) < 19:
        return False
    name, has_map, kind, first, entries, entry, _, _, width, height, depth, bits = struct.unpack_from(
        "<BBBHHBHHHHBB", data
    )
    depths = {1: (8,), 2: (15, 16, 24, 32), 3: (1, 8, 16)}.get(kind & 7, ())
    mapped = (has_map, entry in (15, 16, 24, 32), entries > 0) == (1, True, True)
    unmapped = (has_map, entry, entries, first) == (0, 0, 0, 0)
    if kind & ~8 not in (1, 2, 3) or depth not in depths or not width or not height or bits >> 6:
        return False
    if not (mapped or (unmapped and kind & 7 != 1)):
        return False
    start = 18 + name + (entries * ((entry + 7) // 8) if has_map else 0)
    left, unpacked = len(data) - start, width * height * ((depth + 7) // 8)
    near = unpacked // 8 <= left <= 2 * unpacked + 65_536  # it may be truncated or have a trailer
    return left > 0 and (kind & 8 > 0 or data.endswith(b"TRUEVISION-XFILE.\0") or near)
