"""From the bytes of a picture file to upright sRGB pixels, and what the file says besides.

    image, facts = decode(data, "cat.jpg")    # 3 bands, or 4 with alpha; uchar, ushort or float

libvips reads most formats; Pillow reads BMP, and pi-heif the photos of telephones. Formats are known
by content, not by name, and sizes are checked before anything is unpacked.
"""

import contextlib
import io
import logging
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyvips

from impasto import exif
from impasto.arrays import from_pil
from impasto.colour import upright_srgb
from impasto.errors import PictureError
from impasto.guard import check_size, foreign, translated

if TYPE_CHECKING:
    from PIL.Image import Image

READABLE = "JPEG, PNG, TIFF, WebP, AVIF, HEIC, GIF or BMP"  # known by content, not by name
_LOADERS = {  # no other loader of libvips is ever reached, so no other needs to be blocked
    "jpegload_buffer": (b"\xff\xd8\xff",),
    "pngload_buffer": (b"\x89PNG\r\n\x1a\n",),
    "tiffload_buffer": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "gifload_buffer": (b"GIF87a", b"GIF89a"),
    "bmp": (b"BM",),
}
_AVIF = (b"avif", b"avis")  # brands in the first box of a file
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_OTHERS = {  # only to say what a file is
    "a PDF or PostScript document": (b"%PDF", b"%!PS"),
    "a ZIP archive": (b"PK\x03\x04",),
    "an SVG or XML document": (b"<svg", b"<?xml"),
}
_PARTS = {"tiffload_buffer": "pages", "heic": "images"}  # of files with several; else frames
_MAX_XMP = 4_000_000  # bytes that a compressed packet may unpack to

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Facts:
    """What a file says besides its pixels.

    Attributes:
        bits: 8 or 16.
        dpi: Dots an inch across and down, where it is stated.
        notes: What was not used or could not be, one sentence each.
        exif: As it stands there, a TIFF structure.
        iptc: Its records.
        xmp: The packet.
    """

    bits: int = 8
    dpi: exif.DPI | None = None
    notes: tuple[str, ...] = ()
    exif: bytes = b""
    iptc: bytes = b""
    xmp: bytes = b""


def decode(data: bytes, shown: str) -> tuple[pyvips.Image, Facts]:
    """Return the upright sRGB image, all of it read, and what the file says.

    Raises:
        PictureError: It is damaged, too large, or not a picture that can be read.
        ResourceError: There is not enough memory for it.
    """
    with translated(shown):
        loader = _loader(data, shown)
        if loader in ("bmp", "heic"):
            with foreign(shown):
                image, facts = (_bmp if loader == "bmp" else _heic)(data, shown)
        else:
            image, facts = _vips(loader, data, shown)
        if (count := _count(image, loader, data)) > 1:
            part = _PARTS.get(loader, "frames")
            said = f"{shown}: {count} {part}; only the first is used"
            facts = replace(facts, notes=(*facts.notes, said))
        image, facts = _settled(image, facts, shown)
    for note in facts.notes:
        _log.warning("%s", note)
    return image, facts


def decode_pil(picture: "Image", shown: str) -> tuple[pyvips.Image, Facts]:
    """Return the same of a picture that Pillow holds."""
    check_size(*picture.size, shown)
    with translated(shown):
        with foreign(shown):
            picture.load()
            image = from_pil(picture)
            facts = Facts(8 if image.format == "uchar" else 16, _pil_dpi(picture))
        return _settled(image, facts, shown)


def xmp_in(data: bytes, shown: str) -> bytes:
    """Return the packet of XMP in a file, without unpacking its pixels; empty if there is none."""
    with translated(shown):
        loader = _loader(data, shown)
        if loader == "bmp":
            return b""
        if loader == "heic":
            with foreign(shown):
                return bytes(_heif_image(data).info.get("xmp") or b"")
        image = _load(loader, data)
        return _png_xmp(data) if loader == "pngload_buffer" else _blob(image, "xmp-data")


def _settled(image: pyvips.Image, facts: Facts, shown: str) -> tuple[pyvips.Image, Facts]:
    """Return the image as it is held; what lies across after turning is said so."""
    lying = image.get_typeof("orientation") and image.get("orientation") > 4
    image, notes = upright_srgb(image, shown)
    dpi = facts.dpi[::-1] if facts.dpi and lying else facts.dpi
    return image, replace(facts, dpi=dpi, notes=(*facts.notes, *notes))


def _loader(data: bytes, shown: str) -> str:
    """Return the libvips operation for this content, "bmp" or "heic", or say what the content is."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webpload_buffer"
    for loader, magic in _LOADERS.items():
        if data.startswith(magic):
            return loader
    what = next((what for what, magic in _OTHERS.items() if data.startswith(magic)), "")
    if data[4:8] == b"ftyp":
        box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
        brands = {box[at : at + 4] for at in range(0, len(box), 4) if at != 4}  # then a version
        if brands & {*_AVIF, *_HEIC}:
            return "heifload_buffer" if brands & {*_AVIF} else "heic"
        what = "a video file" if len(data) >= 16 else ""
    elif not what and data[:4096].isascii() and b"\0" not in data[:4096]:
        what = "a text file"
    raise PictureError(f"{shown} is {what or 'in no known format'}; give a {READABLE} file")


def _vips(loader: str, data: bytes, shown: str) -> tuple[pyvips.Image, Facts]:
    """Return the image as libvips opens it, only the head read, and what it says."""
    image = _load(loader, data)
    check_size(image.width, image.height, shown)
    bits = 8 if image.format == "uchar" else 16
    if loader == "tiffload_buffer":
        dpi, described = exif.stated_dpi(data), exif.described(data)
    else:
        described = _blob(image, "exif-data")
        dpi = _head_dpi(data) or exif.stated_dpi(described)
    png = loader == "pngload_buffer"
    xmp = _png_xmp(data) if png else _blob(image, "xmp-data")
    iptc = exif.iptc_records(_blob(image, "iptc-data"))
    if png and bits == 16:
        image = _keyed(image, data)
    if loader == "heifload_buffer" and bits == 16:
        image = _full_range(image, image.get("bits-per-sample"))
    return image, Facts(bits, dpi, (), described, iptc, xmp)


def _load(loader: str, data: bytes) -> pyvips.Image:
    """Open with libvips; help it with TIFFs of 8-bit Lab samples, which version 8.18 refuses."""
    options = {"fail_on": "error", "access": "sequential"}
    try:
        return pyvips.Operation.call(loader, data, **options)
    except pyvips.Error as error:
        if "bad labq format" not in str(error):
            raise
    image = pyvips.Operation.call(loader, _as_rgb(data), **options)
    tint = (image.extract_band(1, n=2) ^ 128) - 128  # two's complement
    return (image[0] * (100 / 255)).bandjoin(tint).copy(interpretation="lab")


def _as_rgb(data: bytes) -> bytes:
    """Return a TIFF whose three samples are declared to be RGB, whatever they are."""
    order, changed = "<" if data[:1] == b"I" else ">", bytearray(data)
    with contextlib.suppress(struct.error):
        at = struct.unpack_from(f"{order}I", data, 4)[0] + 2
        while struct.unpack_from(f"{order}H", data, at)[0] < 262:  # the tags are sorted
            at += 12
        struct.pack_into(f"{order}H", changed, at + 8, 2)
    return bytes(changed)


def _bmp(data: bytes, shown: str) -> tuple[pyvips.Image, Facts]:
    """Read a BMP with Pillow; libvips is not built for them."""
    from PIL.BmpImagePlugin import BmpImageFile

    picture = BmpImageFile(io.BytesIO(data))  # not Image.open, which warns of large pictures
    check_size(*picture.size, shown)
    picture.load()
    return from_pil(picture), Facts(8, _pil_dpi(picture))


def _pil_dpi(picture: "Image") -> exif.DPI | None:
    """Return the resolution that Pillow found."""
    pair = picture.info.get("dpi")
    return exif.sensible_dpi(float(pair[0]), float(pair[1])) if pair else None


def _heif_image(data: bytes) -> Any:
    """Open the main picture of a HEIC file; nothing is unpacked until its pixels are asked for."""
    import pi_heif

    file = pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    main = file[file.primary_index]
    main.info["count"] = len(file)
    return main


def _heic(data: bytes, shown: str) -> tuple[pyvips.Image, Facts]:
    """Read a HEIC with pi-heif, which turns it upright by itself; the EXIF must not do so again."""
    main = _heif_image(data)
    check_size(main.size[0], main.size[1], shown)
    array = np.array(main, copy=True)  # what pi-heif shows is gone when it is
    check_size(array.shape[1], array.shape[0], shown)
    bands = 1 if array.ndim == 2 else array.shape[2]
    deep = array.dtype == np.uint16
    grey, wide = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    image = pyvips.Image.new_from_array(array, interpretation=grey if bands < 3 else wide)
    depth = int(main.info["bit_depth"])
    if deep and not main.mode.endswith(";16"):
        image = (image * (65535 / (2**depth - 1))).rint().cast("ushort")
    elif deep:
        image = _full_range(image, depth)
    if main.premultiplied_alpha:
        kind, top = image.format, 65535 if deep else 255
        image = image.unpremultiply(max_alpha=top).rint().cast(kind)
    if profile := main.info.get("icc_profile"):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", bytes(profile))
    image.set_type(pyvips.GValue.gint_type, "n-pages", main.info["count"])
    described = bytes(main.info.get("exif") or b"")
    xmp = bytes(main.info.get("xmp") or b"")
    return image, Facts(16 if deep else 8, exif.stated_dpi(described), (), described, b"", xmp)


def _full_range(image: pyvips.Image, depth: int) -> pyvips.Image:
    """Stretch 10 or 12 bits, which fill the upper bits of 16, so that white is white."""
    if depth >= 16:
        return image
    return (image * (65535 / (65536 - 2 ** (16 - depth)))).rint().cast("ushort")


def _count(image: pyvips.Image, loader: str, data: bytes) -> int:
    """Return how many pages, frames or images there are."""
    if loader == "pngload_buffer":
        control = next((body for kind, body in _chunks(data) if kind == b"acTL"), b"")
        return int.from_bytes(control[:4], "big")
    if loader == "heifload_buffer" and (at := data.find(b"stsz")) > 0:  # samples of a sequence
        return int.from_bytes(data[at + 12 : at + 16], "big")
    return int(image.get("n-pages")) if image.get_typeof("n-pages") else 1


def _blob(image: pyvips.Image, field: str) -> bytes:
    return bytes(image.get(field)) if image.get_typeof(field) else b""


def _head_dpi(data: bytes) -> exif.DPI | None:
    """Return the resolution in the head of a PNG or a JPEG; libvips does not say if it is one."""
    across, down, scale = 0, 0, 0.0
    if data.startswith(b"\x89PNG"):
        body = next((body for kind, body in _chunks(data) if kind == b"pHYs"), b"")
        if len(body) == 9 and body[8] == 1:  # dots a metre; else the shape of a pixel only
            (across, down), scale = struct.unpack_from(">II", body), 0.0254
    elif data[2:4] == b"\xff\xe0" and data[6:11] == b"JFIF\0" and len(data) > 17:
        (across, down), scale = (
            struct.unpack_from(">HH", data, 14),
            {1: 1.0, 2: 2.54}.get(data[13], 0.0),
        )
    return exif.sensible_dpi(across * scale, down * scale)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of a PNG that are not pixels."""
    at = 8
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if kind != b"IDAT" and at + 8 + size <= len(data):
            yield kind, data[at + 8 : at + 8 + size]
        at += 12 + size


def _png_xmp(data: bytes) -> bytes:
    """Return the packet of a PNG, wherever it stands: libvips reads only what precedes the pixels."""
    for kind, body in _chunks(data):
        name, _, rest = body.partition(b"\0")
        if name != b"XML:com.adobe.xmp" or kind not in (b"iTXt", b"zTXt", b"tEXt"):
            continue
        packed = kind == b"zTXt" or (kind == b"iTXt" and rest[:1] == b"\1")
        text = rest[{b"iTXt": 2, b"zTXt": 1}.get(kind, 0) :]
        if kind == b"iTXt":  # a language and a translated name come first
            text = text.split(b"\0", 2)[-1]
        try:
            return zlib.decompressobj().decompress(text, _MAX_XMP) if packed else text
        except zlib.error:
            return b""
    return b""


def _keyed(image: pyvips.Image, data: bytes) -> pyvips.Image:
    """Add the alpha of a 16-bit PNG with one transparent colour, which libvips leaves out."""
    body = next((body for kind, body in _chunks(data) if kind == b"tRNS"), b"")
    if not body or len(body) != 2 * image.bands:
        return image
    key = list(struct.unpack(f">{image.bands}H", body))
    opaque = (image != key).bandor() if image.bands > 1 else image != key
    return image.bandjoin(opaque.cast("ushort") * 257).cast("ushort")
