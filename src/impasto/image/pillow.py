"""Read the formats that the wheel of libvips cannot, with Pillow, and HEIC with pi-heif.

image, info = read_rare("bmp", data, "cat.bmp", Input())
"""

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyvips

from impasto.config.limits import Input
from impasto.image import metadata
from impasto.image.containers import tiff
from impasto.image.guards import check_cost, check_size, convert_pillow_errors
from impasto.image.headers import unpacking
from impasto.image.metadata import FileInfo
from impasto.image.pixels import from_pil

if TYPE_CHECKING:
    from PIL.Image import Image

_PILLOW = {  # format -> module and class; no other plugin of Pillow is ever reached
    "bmp": ("BmpImagePlugin", "BmpImageFile"),
    "jpeg2000": ("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "pnm": ("PpmImagePlugin", "PpmImageFile"),
    "tga": ("TgaImagePlugin", "TgaImageFile"),
    "qoi": ("QoiImagePlugin", "QoiImageFile"),
    "sgi": ("SgiImagePlugin", "SgiImageFile"),
    "psd": ("PsdImagePlugin", "PsdImageFile"),
    "tiff": ("TiffImagePlugin", "TiffImageFile"),
}
RARE = (*_PILLOW.keys() - {"tiff"}, "heic")
_COMPRESSION, _PHOTOMETRIC, _PLANAR, _TILE = 259, 262, 284, 322
_YCBCR, _OLD_JPEG, _JPEG, _LZMA = 6, 6, 7, 34925
_PFM = re.compile(rb"PF\s+(\d{1,10})\s+(\d{1,10})\s+([-+.\deE]{1,20})\s")
_MODES = {
    "1": 4.1,
    "L": 4.1,
    "P": 11.2,
    "RGB": 10.2,
    "RGBA": 12.2,
    "CMYK": 12.2,
}  # bytes of a pixel, measured
_MOST, _OPENJPEG, _PFM_BYTES = 14.2, 4, 40  # the same: of other modes; more of a band of JPEG 2000; of PFM
_HALVED, _WHOLE, _WITH_ALPHA = 4.7, 9.6, 3  # the same of HEIC: with halved colors, others; more with alpha
_KNOWN = (0, 1, 2, 3, 5, 8)  # gray, RGB, palette, CMYK, Lab: color spaces libvips knows


def read_rare(kind: str, data: bytes, label: str, limits: Input) -> tuple[pyvips.Image, FileInfo, int]:
    """Return the image, not yet upright or in sRGB, the metadata, and the number of pictures in the file.

    Raises:
        PictureError: The file is damaged or too large.
    """
    with convert_pillow_errors(label):
        if kind == "heic":
            return _heic(data, label, limits)
        read = _pfm if data.startswith(b"PF") else _pillow
        return (*read(kind, data, label, limits), 1)


def is_rare_tiff(data: bytes) -> bool:
    """Whether libvips would refuse this TIFF, or misread its samples."""
    first = next(tiff.directories(data), None)
    if first is None:
        return False
    compression, space = first.first(_COMPRESSION, 1), first.first(_PHOTOMETRIC, -1)
    planar_tiles = first.first(_PLANAR) == 2 and _TILE in first.entries
    unknown = space not in _KNOWN and (space, compression) != (_YCBCR, _JPEG)
    return compression in (_OLD_JPEG, _LZMA) or planar_tiles or unknown


def heif_image(data: bytes) -> Any:
    """Open the main picture of a HEIC file; its pixels are not unpacked yet."""
    import pi_heif

    file = pi_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False, hdr_to_16bit=False)
    main = file[file.primary_index]
    main.info["count"], main.info["number"] = len(file), file.primary_index + 1
    return main


def pil_dpi(picture: "Image") -> metadata.DPI | None:
    """Return the resolution that Pillow read; None if absent."""
    pair = picture.info.get("dpi")
    return metadata.sensible_dpi(float(pair[0]), float(pair[1])) if pair else None


def full_range(image: pyvips.Image, depth: int) -> pyvips.Image:
    """Scale samples of 10 or 12 bits, which fill the upper bits of 16, so that white is 65535."""
    if depth >= 16:
        return image
    return (image * (65535 / (65536 - 2 ** (16 - depth)))).rint().cast("ushort")


def _pillow(kind: str, data: bytes, label: str, limits: Input) -> tuple[pyvips.Image, FileInfo]:
    import importlib

    module, name = _PILLOW[kind]
    reader = getattr(importlib.import_module(f"PIL.{module}"), name)
    picture: Image = reader(io.BytesIO(data))  # not Image.open, which warns of large pictures
    check_size(*picture.size, label, limits)
    cost = unpacking(kind, data, picture.size, len(picture.getbands()))
    pixels, unpacked = picture.width * picture.height, _MODES.get(picture.mode, _MOST)
    if kind == "jpeg2000":
        unpacked += _OPENJPEG * len(picture.getbands())
    check_cost(cost.more(pixels, unpacked), label, limits)
    picture.load()
    check_size(*picture.size, label, limits)
    image = from_pil(picture)
    described = metadata.described(data) if kind == "tiff" else b""
    bits = 8 if image.format == "uchar" else 16
    return image, FileInfo(bits, dpi=pil_dpi(picture), exif=described)


def _pfm(kind: str, data: bytes, label: str, limits: Input) -> tuple[pyvips.Image, FileInfo]:
    """Read a PFM, floats in three colors from the bottom up, which Pillow does not read in color."""
    head = _PFM.match(data)
    if head is None:
        raise ValueError("no head of a PFM")
    width, height = int(head[1]), int(head[2])
    check_size(width, height, label, limits)
    check_cost(unpacking(kind, data, (width, height), 12).more(width * height, _PFM_BYTES), label, limits)
    order = "<f4" if float(head[3]) < 0 else ">f4"
    values = np.frombuffer(data, order, width * height * 3, head.end())
    array = np.ascontiguousarray(values.reshape(height, width, 3)[::-1], np.float32)
    return pyvips.Image.new_from_array(array, interpretation="srgb"), FileInfo(16)


def _heic(data: bytes, label: str, limits: Input) -> tuple[pyvips.Image, FileInfo, int]:
    """Read a HEIC with pi-heif, which turns it upright; the EXIF must not do so again."""
    main = heif_image(data)
    check_size(main.size[0], main.size[1], label, limits)
    sample, bands = (1 if main.info["bit_depth"] == 8 else 2), 4 if main.has_alpha else 3
    cost = unpacking("heic", data, main.size, bands * sample)
    unpacked = (_HALVED if main.info.get("chroma") == 420 else _WHOLE) + (_WITH_ALPHA if bands == 4 else 0)
    check_cost(cost.more(main.size[0] * main.size[1], unpacked * sample), label, limits)
    array = np.asarray(main)
    check_size(array.shape[1], array.shape[0], label, limits)
    bands = 1 if array.ndim == 2 else array.shape[2]
    deep = array.dtype == np.uint16
    gray, color = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    image = pyvips.Image.new_from_array(array, interpretation=gray if bands < 3 else color)
    image._references.append(main)  # the memory of pi-heif goes with its object
    depth = int(main.info["bit_depth"])
    if deep and not main.mode.endswith(";16"):
        image = (image * (65535 / (2**depth - 1))).rint().cast("ushort")
    elif deep:
        image = full_range(image, depth)
    if main.premultiplied_alpha:
        kind, top = image.format, 65535 if deep else 255
        image = image.unpremultiply(max_alpha=top).rint().cast(kind)
    if profile := main.info.get("icc_profile"):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", bytes(profile))
    described = bytes(main.info.get("exif") or b"")
    xmp = bytes(main.info.get("xmp") or b"")
    dpi = metadata.stated_dpi(described)
    count, number = main.info["count"], main.info["number"]
    notes = (f"{label}: {count} images; only number {number}, the main one, is used",) if number > 1 else ()
    info = FileInfo(16 if deep else 8, dpi=dpi, notes=notes, exif=described, xmp=xmp)
    return image, info, 1 if notes else count
