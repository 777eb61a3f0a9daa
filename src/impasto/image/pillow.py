"""Read the formats that the wheel of libvips cannot, with Pillow, and HEIC with pi-heif.

image, info = read_rare("bmp", data, "cat.bmp", Input())
"""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyvips

from impasto.config.limits import Input
from impasto.image import metadata
from impasto.image.containers import pnm, psd, tiff
from impasto.image.guards import check_cost, check_size, convert_pillow_errors
from impasto.image.headers import unpacking
from impasto.image.metadata import FileInfo
from impasto.image.pixels import from_pil

if TYPE_CHECKING:
    from PIL.Image import Image

_PILLOW = {  # format -> module and class; no other plugin of Pillow is ever reached
    "bmp": ("BmpImagePlugin", "BmpImageFile"),
    "jpeg2000": ("Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "tga": ("TgaImagePlugin", "TgaImageFile"),
    "qoi": ("QoiImagePlugin", "QoiImageFile"),
    "sgi": ("SgiImagePlugin", "SgiImageFile"),
    "psd": ("PsdImagePlugin", "PsdImageFile"),
    "tiff": ("TiffImagePlugin", "TiffImageFile"),
}
RARE = (*_PILLOW.keys() - {"tiff"}, "heic", "pnm")
_YCBCR, _OLD_JPEG, _JPEG, _LZMA = 6, 6, 7, 34925  # a color space, and compressions, of a TIFF
_PLAIN_BMP = 56  # bytes of the longest header that states no colors
_KNOWN = (0, 1, 2, 3, 5, 8)  # gray, RGB, palette, CMYK, Lab: color spaces libvips knows


def read_rare(kind: str, data: bytes, label: str, limits: Input) -> tuple[pyvips.Image, FileInfo, int]:
    """Return the image, not yet upright or in sRGB, the metadata, and the number of pictures in the file.

    Raises:
        PictureError: The file is damaged or too large.
    """
    with convert_pillow_errors(label):
        if kind == "heic":
            return _heic(data, label, limits)
        read = _pnm if kind == "pnm" else _pillow
        return (*read(kind, data, label, limits), 1)


def is_rare_tiff(data: bytes) -> bool:
    """Whether libvips would refuse this TIFF, or misread its samples."""
    first = next(tiff.directories(data), None)
    if first is None:
        return False
    unknown = first.space not in _KNOWN and (first.space, first.compression) != (_YCBCR, _JPEG)
    return first.compression in (_OLD_JPEG, _LZMA) or (first.planar and first.tiled) or unknown


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
    lost = _is_deep(kind, data) and picture.mode != "I;16"
    pixel = len(picture.getbands()) * (2 if lost or picture.mode == "I;16" else 1)
    converted = "icc_profile" in picture.info or (kind == "bmp" and data[14] > _PLAIN_BMP)
    cost = unpacking(kind, data, picture.size, pixel, picture.mode, converted=converted)
    check_cost(cost, label, limits)
    picture.load()
    check_size(*picture.size, label, limits)
    image, notes = from_pil(picture), list[str]()
    if kind == "psd":
        image, notes = _without_selections(image, data)
    if lost:
        notes.append("its samples of more than 8 bits are read as 8 bits")
    described = metadata.described(data) if kind == "tiff" else b""
    bits = 8 if image.format == "uchar" else 16
    said = tuple(f"{label}: {note}" for note in notes)
    return image, FileInfo(bits, dpi=pil_dpi(picture), notes=said, exif=described)


def _without_selections(image: pyvips.Image, data: bytes) -> tuple[pyvips.Image, list[str]]:
    """Return a PSD without a channel that Pillow takes for alpha wrongly, and notes on unused channels."""
    colors, others, transparent = psd.channels(data)
    alpha = colors == 3 and image.bands == 4
    if alpha and not transparent:
        image, alpha = image.extract_band(0, n=3), False
    unused = others - alpha
    return image, [f"its further channels ({unused}) are not used"] if unused else []


def _is_deep(kind: str, data: bytes) -> bool:
    """Whether samples of SGI or JPEG 2000 have more than 8 bits, of which Pillow may keep 8."""
    start = data.find(b"\xff\x4f\xff\x51") if kind == "jpeg2000" else -1
    precision = data[start + 42 : start + 43] if start >= 0 else b""
    return (kind == "sgi" and data[3] == 2) or (bool(precision) and precision[0] & 0x7F >= 8)


def _pnm(kind: str, data: bytes, label: str, limits: Input) -> tuple[pyvips.Image, FileInfo]:
    """Read a PNM or PFM; Pillow would take minutes for some, and make 8 bits of 16 in color."""
    head = pnm.head_of(data)
    check_size(head.width, head.height, label, limits)
    check_cost(unpacking(kind, data, (head.width, head.height), head.bands), label, limits)
    array = pnm.samples(data, head)
    deep, gray = array.dtype == np.uint16, head.bands == 1
    top = 65535 if deep else 255
    space = ("grey16" if gray else "rgb16") if deep else "b-w" if gray else "srgb"
    image = pyvips.Image.new_from_array(array, interpretation=space)
    if array.dtype != np.float32 and head.top != top:
        image = (image * (top / head.top)).rint().cast(image.format)
    return image, FileInfo(8 if image.format == "uchar" else 16)


def _heic(data: bytes, label: str, limits: Input) -> tuple[pyvips.Image, FileInfo, int]:
    """Read a HEIC with pi-heif, which turns it upright; the EXIF must not do so again."""
    main = heif_image(data)
    check_size(main.size[0], main.size[1], label, limits)
    sample, bands = (1 if main.info["bit_depth"] == 8 else 2), 4 if main.has_alpha else 3
    mode = ("420" if main.info.get("chroma") == 420 else "444") + (" alpha" if bands == 4 else "")
    check_cost(unpacking("heic", data, main.size, bands * sample, mode), label, limits)
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
