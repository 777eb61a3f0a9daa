"""Decode the bytes of a picture file into upright sRGB pixels and metadata.

    pixels, info = decode(data, "cat.jpg", Input())    # 3 bands, or 4 with alpha; uchar, ushort or float

libvips reads most formats, Pillow and pi-heif the others. The format is recognized by content, not by name.
All limits are checked before anything is unpacked.
"""

import contextlib
import logging
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pyvips

from impasto.config.limits import Input
from impasto.image import metadata
from impasto.image.formats import format_of
from impasto.image.guards import check_size, convert_errors, convert_pillow_errors
from impasto.image.headers import PARTS, check_headers, frames, packed_text, png_chunks
from impasto.image.metadata import FileInfo
from impasto.image.pillow import RARE, full_range, heif_image, is_rare_tiff, pil_dpi, read_rare
from impasto.image.pixels import Pixels, from_pil, is_large
from impasto.image.srgb import srgb, upright

if TYPE_CHECKING:
    from PIL.Image import Image

_LOADERS = {  # no other loader of libvips is ever reached, so no other needs to be blocked
    "jpeg": "jpegload_buffer",
    "png": "pngload_buffer",
    "tiff": "tiffload_buffer",
    "gif": "gifload_buffer",
    "webp": "webpload_buffer",
    "avif": "heifload_buffer",
}
_STREAMABLE = ("jpeg", "png", "tiff")  # unpacked row by row: a large file needs little memory
_MAX_XMP = 4_000_000  # bytes that a compressed packet may unpack to

_log = logging.getLogger(__name__)


def decode(data: bytes, label: str, limits: Input) -> tuple[Pixels, FileInfo]:
    """Return the upright sRGB pixels, all of them read once, and the metadata.

    Args:
        data: The whole file.
        label: Its name in messages.
        limits: Which formats and sizes are read.

    Raises:
        PictureError: The file is damaged, beyond a limit, or not a picture that can be read.
        ResourceError: There is not enough memory for it.
    """
    with convert_errors(label):
        kind = format_of(data, label, limits)
        check_headers(kind, data, label, limits)
        rare = kind in RARE or (kind == "tiff" and is_rare_tiff(data))
        if rare:
            image, info, count = read_rare(kind, data, label, limits)
        else:
            image, info = _vips(kind, data, label, limits)
            count = frames(kind, data, limits.max_frames)
        if count > 1:
            part = PARTS.get(kind, "frames")
            note = f"{label}: {count} {part}; only the first is used"
            info = replace(info, notes=(*info.notes, note))
        turned = image.get_typeof("orientation") and image.get("orientation") > 1
        if kind in _STREAMABLE and not (rare or turned) and is_large(image, len(data)):
            pixels, info = _decode_streamed(kind, data, label, limits, info)
        else:
            pixels, info = _finish_decoding(image, info, label)
    for note in info.notes:
        _log.warning("%s", note)
    return pixels, info


def decode_pil(picture: "Image", label: str, limits: Input) -> tuple[Pixels, FileInfo]:
    """Return the upright sRGB pixels and the metadata of a picture of Pillow."""
    check_size(*picture.size, label, limits)
    with convert_errors(label):
        with convert_pillow_errors(label):
            picture.load()
            image = from_pil(picture)
            info = FileInfo(8 if image.format == "uchar" else 16, dpi=pil_dpi(picture))
        return _finish_decoding(image, info, label)


def xmp_in(data: bytes, label: str) -> bytes:
    """Return the XMP packet of a file, without unpacking its pixels; empty if absent."""
    with convert_errors(label):
        # Pixels stay packed, and files written under a larger limit must be readable.
        limits = Input.from_environment().changed(max_pixels=2**62, max_side=2**31 - 1)
        kind = format_of(data, label, limits)
        check_headers(kind, data, label, limits)
        if kind == "heic":
            with convert_pillow_errors(label):
                return bytes(heif_image(data).info.get("xmp") or b"")
        if kind in RARE:
            return b""
        image = _load(kind, data)
        return _png_xmp(data) if kind == "png" else _blob(image, "xmp-data")


def _finish_decoding(image: pyvips.Image, info: FileInfo, label: str) -> tuple[Pixels, FileInfo]:
    """Return the upright sRGB pixels, and the metadata with notes; dpi is swapped for a quarter turn."""
    quarter_turn = image.get_typeof("orientation") and image.get("orientation") > 4
    image, notes = srgb(image, label)
    dpi = info.dpi[::-1] if info.dpi and quarter_turn else info.dpi
    return Pixels.of(upright(image)), replace(info, dpi=dpi, notes=(*info.notes, *notes))


def _decode_streamed(
    kind: str, data: bytes, label: str, limits: Input, info: FileInfo
) -> tuple[Pixels, FileInfo]:
    """Return pixels that are unpacked for each reading; they are read once now to find damage."""

    def make() -> pyvips.Image:
        return srgb(_vips(kind, data, label, limits)[0], label)[0]

    image, notes = srgb(_vips(kind, data, label, limits)[0], label)
    image.avg()
    return Pixels.of(image, make), replace(info, notes=(*info.notes, *notes))


def _vips(kind: str, data: bytes, label: str, limits: Input) -> tuple[pyvips.Image, FileInfo]:
    """Return the image as libvips opens it, with only the header read, and its metadata."""
    image = _load(kind, data)
    check_size(image.width, image.height, label, limits)
    bits = 8 if image.format == "uchar" else 16
    if kind == "tiff":
        dpi, described = metadata.stated_dpi(data), metadata.described(data)
    else:
        described = _blob(image, "exif-data") or (_png_exif(data) if kind == "png" else b"")
        dpi = _head_dpi(data) or metadata.stated_dpi(described)
    xmp = _png_xmp(data) if kind == "png" else _blob(image, "xmp-data")
    iptc = metadata.iptc_records(_blob(image, "iptc-data"))
    if kind == "png" and bits == 16:
        image = _keyed(image, data)
    if kind == "avif" and bits == 16:
        image = full_range(image, image.get("bits-per-sample"))
    if kind == "gif":
        image = _on_canvas(image, data)
    stated = data if kind == "tiff" else described
    applied = kind == "avif" and (b"irot" in data[:65_536] or b"imir" in data[:65_536])  # by libheif
    turn = 1 if applied else metadata.orientation(stated, xmp)
    if turn > 1:  # libvips misses it in XMP or a profile of ImageMagick
        image = image.copy()
        image.set_type(pyvips.GValue.gint_type, "orientation", turn)
    return image, FileInfo(bits, dpi=dpi, exif=described, iptc=iptc, xmp=xmp)


def _on_canvas(image: pyvips.Image, data: bytes) -> pyvips.Image:
    """Return the frame of a GIF on its canvas, which libvips ignores if it seems too large."""
    width, height = struct.unpack_from("<HH", data, 6)
    same = (image.width, image.height) == (width, height)
    if same or image.width > width or image.height > height:
        return image
    image = image.bandjoin(255) if image.bands in (1, 3) else image
    return image.embed(0, 0, width, height)


def _load(kind: str, data: bytes) -> pyvips.Image:
    """Open with libvips; TIFFs of 8-bit Lab samples, which version 8.18 refuses, need help."""
    options = {"fail_on": "error", "access": "sequential"}
    try:
        return pyvips.Operation.call(_LOADERS[kind], data, **options)
    except pyvips.Error as error:
        if "bad labq format" not in str(error):
            raise
    image = pyvips.Operation.call(_LOADERS[kind], _as_rgb(data), **options)
    ab = (image.extract_band(1, n=2) ^ 128) - 128  # two's complement
    return (image[0] * (100 / 255)).bandjoin(ab).copy(interpretation="lab")


def _as_rgb(data: bytes) -> bytes:
    """Return a TIFF with its three samples declared as RGB, whatever they are."""
    order, changed = "<" if data[:1] == b"I" else ">", bytearray(data)
    with contextlib.suppress(struct.error):
        at = struct.unpack_from(f"{order}I", data, 4)[0] + 2
        while struct.unpack_from(f"{order}H", data, at)[0] < 262:  # the tags are sorted
            at += 12
        struct.pack_into(f"{order}H", changed, at + 8, 2)
    return bytes(changed)


def _blob(image: pyvips.Image, field: str) -> bytes:
    return bytes(image.get(field)) if image.get_typeof(field) else b""


def _head_dpi(data: bytes) -> metadata.DPI | None:
    """Return the resolution in the header of a PNG or JPEG; libvips does not tell it from a default."""
    across, down, scale = 0, 0, 0.0
    if data.startswith(b"\x89PNG"):
        body = next((body for kind, body in png_chunks(data) if kind == b"pHYs"), b"")
        if len(body) == 9 and body[8] == 1:  # dots per meter; else only the aspect ratio of a pixel
            (across, down), scale = struct.unpack_from(">II", body), 0.0254
    elif data[2:4] == b"\xff\xe0" and data[6:11] == b"JFIF\0" and len(data) > 17:
        across, down = struct.unpack_from(">HH", data, 14)
        scale = {1: 1.0, 2: 2.54}.get(data[13], 0.0)
    return metadata.sensible_dpi(across * scale, down * scale)


def _png_exif(data: bytes) -> bytes:
    """Return the EXIF that ImageMagick writes into a text chunk of a PNG, in hexadecimal."""
    for kind, body in png_chunks(data):
        name, _, text = body.partition(b"\0")
        if name not in (b"Raw profile type exif", b"Raw profile type APP1"):
            continue
        with contextlib.suppress(ValueError, zlib.error):
            packed = packed_text(kind, body)
            text = zlib.decompressobj().decompress(packed, _MAX_XMP) if packed else text
            digits = b"".join(text.split()[2:])  # after a word and the number of bytes
            return bytes.fromhex(digits.decode("ascii"))
    return b""


def _png_xmp(data: bytes) -> bytes:
    """Return the XMP packet of a PNG, also behind the pixels, where libvips does not look."""
    for kind, body in png_chunks(data):
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


def _keyed(image: pyvips.Image, data: bytes) -> pyvips.Image:
    """Add the alpha of a 16-bit PNG with one transparent color, which libvips ignores."""
    body = next((body for kind, body in png_chunks(data) if kind == b"tRNS"), b"")
    if not body or len(body) != 2 * image.bands:
        return image
    key = list(struct.unpack(f">{image.bands}H", body))
    opaque = (image != key).bandor() if image.bands > 1 else image != key
    return image.bandjoin(opaque.cast("ushort") * 257).cast("ushort")
