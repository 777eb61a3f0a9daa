"""Encode pixels as the bytes of a picture file, with recipe, profile, metadata and resolution.

    data = encode(image, info, ".png", Output(), recipe='{"schema": 1}')

libvips writes the pixels. Its bytes are corrected where it omits or invents something: a resolution where
none is known, the XMP packet of a PNG where other programs find it, EXIF in TIFF.
"""

import logging
import struct
import zlib
from dataclasses import replace
from typing import Any

import pyvips

from impasto.config.output import Metadata, Output
from impasto.errors import ImpastoError, InputError, OutputError, PictureError
from impasto.image import metadata as metadata_module
from impasto.image import xmp
from impasto.image.guards import detail
from impasto.image.metadata import FileInfo
from impasto.image.pixels import TOP, over_white, quantized
from impasto.messages import did_you_mean, printable
from impasto.system import libvips
from impasto.system.files import MEANT, WRITABLE

DEEP = (".png", ".tif")  # can hold 16 bits
_SAME = {".jpeg": ".jpg", ".tiff": ".tif"}
_SAVERS: dict[str, dict[str, Any]] = {
    ".png": {"compression": 6},
    ".jpg": {"subsample_mode": "off", "optimize_coding": True},
    ".tif": {"compression": "deflate", "predictor": "horizontal"},
    ".webp": {"exact": True},  # keeps the colors of transparent pixels
    ".avif": {"compression": "av1", "bitdepth": 8, "subsample_mode": "off"},
}
_LOSSY = (".jpg", ".webp", ".avif")
_KEEP = {"exif": 1, "xmp": 2, "iptc": 4, "icc": 8}  # libvips' flags

_log = logging.getLogger(__name__)


@libvips.used()
def encode(
    image: pyvips.Image,
    info: FileInfo,
    suffix: str,
    output: Output,
    *,
    recipe: str | None = None,
    label: str = "",
    page: pyvips.Image | None = None,
) -> bytes:
    """Return the bytes of a file; see `Picture.encode`.

    Args:
        image: Upright sRGB pixels, 3 bands or 4 with alpha.
        info: Metadata of the source file.
        suffix: One of `WRITABLE`; it decides the format.
        output: Bits, quality and metadata.
        recipe: JSON text for the XMP packet.
        label: Name of the picture in messages.
        page: What a format without alpha shows; by default the image over white.

    Raises:
        InputError: The format does not exist or has no such bits, or the recipe is too long.
        OutputError: The format cannot hold this picture, or the recipe could not be read back.
    """
    suffix = check_suffix(suffix)
    suffix = _SAME.get(suffix, suffix)
    deep = suffix in DEEP
    bits = (info.bits if deep else 8) if output.bits is None else output.bits
    if bits == 16 and not deep:
        raise InputError(f"{suffix} cannot have {bits} bits; 8 always works, 16 in .png, .tif")
    if output.dpi is not None:
        info = replace(info, dpi=(output.dpi, output.dpi))
    info = _select_metadata(info, output.metadata, recipe, label)
    options = _SAVERS[suffix] | ({"Q": output.jpeg_quality} if suffix in _LOSSY else {})
    if output.metadata != "strip":
        options["profile"] = "srgb"
    try:
        if suffix == ".jpg" and image.bands == 4:
            image = over_white(image) / TOP[image.format] if page is None else page
        ready, keep = _with_metadata(quantized(image, bits), info, suffix, output.metadata)
        data = bytes(ready.write_to_buffer(suffix, keep=keep, **options))
    except pyvips.Error as error:
        what = f"{suffix} of {image.width} x {image.height} pixels"
        _log.info("%s: %s", label, detail(error))
        raise OutputError(f"cannot make a {what}; try .png") from error
    data = _corrected(data, info, suffix)
    if recipe is not None and output.metadata != "strip":
        try:
            same = xmp.recipe_in(data, f"the {suffix}") == recipe
        except ImpastoError as error:
            raise OutputError(f"the recipe cannot be read back: {error}") from error
        if not same:
            raise OutputError(f"the recipe is not read back from the {suffix} as it is; try .png")
    return data


def with_dot(suffix: str) -> str:
    """Return the ending of a name with its dot, in small letters: `.jpg` for `JPG`."""
    return f".{suffix.lower().lstrip('.')}" if suffix else ""


def check_suffix(suffix: str, where: str = "") -> str:
    """Return the suffix in lower case, if it can be written."""
    if suffix.lower() in WRITABLE:
        return suffix.lower()
    what = f"{printable(suffix)} files cannot be written" if suffix else "the name has no suffix"
    hint = did_you_mean(suffix.lower(), WRITABLE, MEANT)
    raise InputError(f"{where}{what}; use one of {', '.join(WRITABLE)}.{hint}")


def _select_metadata(info: FileInfo, metadata: Metadata, recipe: str | None, label: str) -> FileInfo:
    """Return the metadata to write, with the recipe in the XMP packet."""
    if metadata == "strip":
        return FileInfo()
    if metadata == "minimal":
        return FileInfo(dpi=info.dpi, xmp=xmp.pack(recipe) if recipe is not None else b"")
    packet, exif = b"", metadata_module.kept(info.exif, info.dpi) if info.exif else b""
    if info.exif and not exif:
        _log.warning("%s: its EXIF could not be kept", label)
    try:
        if info.xmp or recipe is not None:
            packet = xmp.pack(recipe, info.xmp or None)
    except PictureError as error:
        _log.warning("%s: its XMP could not be kept (%s)", label, error)
        packet = xmp.pack(recipe) if recipe is not None else b""
    return replace(info, exif=exif, xmp=packet)


def _with_metadata(
    image: pyvips.Image, info: FileInfo, suffix: str, metadata: Metadata
) -> tuple[pyvips.Image, int]:
    """Return the image with the metadata that libvips writes, and the flags of their kinds."""
    keep = 0 if metadata == "strip" else _KEEP["icc"]
    image = image.copy()
    block = info.exif
    if info.dpi:
        image = image.copy(xres=info.dpi[0] / 25.4, yres=info.dpi[1] / 25.4)
        image.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
        if not block and suffix in (".webp", ".avif"):
            block = metadata_module.minimal(info.dpi)
    elif block:  # libvips always writes a resolution; 72 dpi means none in EXIF
        image = image.copy(xres=72 / 25.4, yres=72 / 25.4)
    iptc = metadata_module.photoshop_block(info.iptc) if info.iptc else b""
    blobs = {"exif": (block, ".tif"), "xmp": (info.xmp, ".png"), "iptc": (iptc, ".tif")}
    for name, (blob, by_hand) in blobs.items():
        if blob and suffix != by_hand:
            mark = b"Exif\0\0" if name == "exif" else b""
            image.set_type(pyvips.GValue.blob_type, f"{name}-data", mark + blob)
            keep |= _KEEP[name]
    return image, keep


def _corrected(data: bytes, info: FileInfo, suffix: str) -> bytes:
    """Return the file with the metadata that libvips cannot write."""
    if suffix == ".png":
        return _corrected_png(data, info)
    if suffix == ".jpg" and info.dpi:  # libvips writes no density; it comes first, before EXIF
        across, down = (min(round(one), 65535) for one in info.dpi)
        density = struct.pack(">BHHBB", 1, across, down, 0, 0)
        return data[:2] + b"\xff\xe0\0\x10JFIF\0\x01\x01" + density + data[2:]
    if suffix == ".tif":
        return metadata_module.into_tiff(data, dpi=info.dpi, exif=info.exif, iptc=info.iptc)
    return data


def _corrected_png(data: bytes, info: FileInfo) -> bytes:
    """Return the PNG without an invented resolution, and with XMP in an iTXt chunk, as its standard says."""
    parts, at = [data[:8]], 8
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        if info.dpi or kind != b"pHYs":
            parts.append(data[at : at + 12 + size])
        if kind == b"IHDR" and info.xmp:
            body = b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + info.xmp
            check = struct.pack(">I", zlib.crc32(body))
            parts.append(struct.pack(">I", len(body) - 4) + body + check)
        at += 12 + size
    return b"".join(parts)
