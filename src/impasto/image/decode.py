"""Decode the bytes of a picture file into upright sRGB pixels and metadata.

    pixels, info = decode(data, "cat.jpg", Input())    # 3 bands, or 4 with alpha; uchar, ushort or float

libvips reads most formats, Pillow and pi-heif the others. The format is recognized by content, not by name.
All limits are checked before anything is unpacked.
"""

import contextlib
import logging
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyvips

from impasto.config.limits import Input
from impasto.image import metadata
from impasto.image.color.srgb import srgb, upright
from impasto.image.color.stated import Stated, colors_of
from impasto.image.containers import jpeg, png, tiff
from impasto.image.formats import format_of
from impasto.image.guards import check_cost, check_size, convert_errors, convert_pillow_errors
from impasto.image.headers import PARTS, check_headers, frames, unpacking
from impasto.image.metadata import FileInfo
from impasto.image.pillow import RARE, full_range, heif_image, is_rare_tiff, pil_dpi, read_rare
from impasto.image.pixels import BYTES, Pixels, from_pil, is_large, with_usual_range

if TYPE_CHECKING:
    from PIL.Image import Image

_LOADERS = {  # no other loader of libvips is ever reached, so no other needs to be blocked
    "jpeg": "jpegload_source",
    "png": "pngload_source",
    "tiff": "tiffload_source",
    "gif": "gifload_source",
    "webp": "webpload_source",
    "avif": "heifload_source",
}
_STREAMABLE = ("jpeg", "png", "tiff", "gif")  # unpacked row by row: a large file needs little memory
_OPAQUE = ("bmp", "tga")  # programs leave zeros where they have no alpha
_FLOATS = 2.5  # times its own bytes that a picture of floats takes while it is checked
_ZERO = "its alpha is zero everywhere"
_COUNTS, _UNSEEN = ", which counts as opaque in this format", ", so nothing of it can be seen"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _File:
    """A file to be decoded: its format, bytes, name in messages, limits, and what it states about colors."""

    kind: str
    data: bytes = field(repr=False)
    label: str
    limits: Input
    stated: Stated = field(default_factory=Stated)
    above: bytes = field(default=b"", repr=False)  # the same TIFF; first is what states the orientation
    strict: bool = False  # whether warnings of libvips are errors

    @property
    def rare(self) -> bool:
        """Whether it is not read by libvips."""
        return self.kind in RARE or (self.kind == "tiff" and is_rare_tiff(self.data))


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
        data, above, notes = tiff.largest(data, label) if kind == "tiff" else (data, b"", ())
        file = _File(kind, data, label, limits, above=above)
        pixels, info = _decode_jpeg(file) if kind == "jpeg" else _decode(file, notes)
    for note in info.notes:
        _log.warning("%s", note)
    return pixels, info


def _decode_jpeg(file: _File) -> tuple[Pixels, FileInfo]:
    """Return pixels and metadata; refuse a JPEG of which a part is missing, which libjpeg only warns of."""
    jpeg.check_whole(file.data, file.label)
    file = replace(file, data=jpeg.ended(file.data))
    warnings = ""
    try:
        return _decode(replace(file, strict=True), ())
    except pyvips.Error as error:
        warnings = str(error.detail)
    if not jpeg.is_damage(warnings):  # libjpeg says only its first warning, which may be harmless
        try:
            image = _load("jpeg", jpeg.bare(file.data), strict=True)
            check_size(image.width, image.height, file.label, file.limits)
            image.avg()
        except pyvips.Error as error:
            warnings += str(error.detail)
    if jpeg.is_damage(warnings):
        raise jpeg.damaged(file.label)
    doubt = f"{file.label}: its data are damaged in places; some of its pixels may be wrong"
    return _decode(file, (doubt,) if jpeg.is_doubt(warnings) else ())


def _decode(file: _File, notes: tuple[str, ...]) -> tuple[Pixels, FileInfo]:
    """Return pixels and metadata, with these notes and further ones."""
    kind, data, label = file.kind, file.data, file.label
    if file.rare:
        image, info, count = read_rare(kind, data, label, file.limits)
    else:
        image, info = _vips(file)
        count = frames(kind, data, file.limits.max_frames)
    if count > 1 and kind != "tiff":
        notes = (*notes, f"{label}: {count} {PARTS.get(kind, 'frames')}; only the first is used")
    info = replace(info, notes=(*info.notes, *notes))
    file = replace(file, stated=colors_of(kind, data, info.exif))
    turned = image.get_typeof("orientation") and image.get("orientation") > 1
    streamed = kind in _STREAMABLE and not (file.rare or turned) and is_large(image, len(data))
    if not file.rare:
        _check_cost(image, file, streamed=streamed)
    if streamed:
        return _decode_streamed(file, info)
    return _finish_decoding(image, info, file)


def decode_pil(picture: "Image", label: str, limits: Input) -> tuple[Pixels, FileInfo]:
    """Return the upright sRGB pixels and the metadata of a picture of Pillow."""
    check_size(*picture.size, label, limits)
    with convert_errors(label):
        with convert_pillow_errors(label):
            picture.load()
            image = from_pil(with_usual_range(picture))
            info = FileInfo(8 if image.format == "uchar" else 16, dpi=pil_dpi(picture))
            stated = colors_of("", b"", bytes(picture.info.get("exif") or b""))
        return _finish_decoding(image, info, _File("", b"", label, limits, stated))


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
        return png.xmp(data) if kind == "png" else _blob(image, "xmp-data")


def _check_cost(image: pyvips.Image, file: _File, *, streamed: bool) -> None:
    """Refuse a file of libvips, of which only the header is read, if it takes too much memory or time."""
    size, sample = (image.width, image.height), BYTES[image.format]
    pixel = sample * image.bands
    cost = unpacking(file.kind, file.data, size, pixel)
    if not streamed:  # converted, and kept in memory
        kept = sample * max(3, image.bands) if sample < 4 else _FLOATS * pixel
        time = 150 if file.stated.space else 80 if image.interpretation == "cmyk" else 8 * pixel
        cost = cost.more(size[0] * size[1], kept, time)
    check_cost(cost, file.label, file.limits)


def _finish_decoding(image: pyvips.Image, info: FileInfo, file: _File) -> tuple[Pixels, FileInfo]:
    """Return the upright sRGB pixels, and the metadata with notes; dpi is swapped for a quarter turn."""
    quarter_turn = image.get_typeof("orientation") and image.get("orientation") > 4
    image, notes = srgb(image, file.label, file.stated)
    dpi = info.dpi[::-1] if info.dpi and quarter_turn else info.dpi
    kept = file.rare and is_large(image, 0)  # as it was unpacked; a converted copy would take much more
    image = image.autorot() if kept else upright(image)
    if image.bands == 4 and image[3].max() == 0:
        if file.kind in _OPAQUE:
            image = image.extract_band(0, n=3).copy_memory()
        notes = (*notes, f"{file.label}: {_ZERO}{_COUNTS if file.kind in _OPAQUE else _UNSEEN}")
    return Pixels.of(image), replace(info, dpi=dpi, notes=(*info.notes, *notes))


def _decode_streamed(file: _File, info: FileInfo) -> tuple[Pixels, FileInfo]:
    """Return pixels that are unpacked for each reading; they are read once now to find damage."""

    def make() -> pyvips.Image:
        return srgb(_vips(file)[0], file.label, file.stated)[0]

    opened = _vips(file)[0]
    image, notes = srgb(opened, file.label, file.stated)
    most = opened[-1].max()  # once all is read; nothing is converted for that
    if image.bands == 4 and most == 0:
        notes = (*notes, f"{file.label}: {_ZERO}{_UNSEEN}")
    return Pixels.of(image, make), replace(info, notes=(*info.notes, *notes))


def _vips(file: _File) -> tuple[pyvips.Image, FileInfo]:
    """Return the image as libvips opens it, with only the header read, and its metadata."""
    kind, data = file.kind, file.data
    image = _load(kind, data, strict=file.strict)
    check_size(image.width, image.height, file.label, file.limits)
    bits = 8 if image.format == "uchar" else 16
    if kind == "tiff":
        dpi, described = metadata.stated_dpi(data), metadata.described(data) or metadata.described(file.above)
    else:
        described = _blob(image, "exif-data") or (png.exif(data) if kind == "png" else b"")
        dpi = _head_dpi(data) or metadata.stated_dpi(described)
    xmp = png.xmp(data) if kind == "png" else _blob(image, "xmp-data")
    iptc = metadata.iptc_records(_blob(image, "iptc-data"))
    if kind == "png" and bits == 16:
        image = png.keyed(image, data)
    if kind == "avif" and bits == 16:
        image = full_range(image, image.get("bits-per-sample"))
    if kind == "tiff":
        image = _stated_samples(image, data)
    if kind == "gif":
        image = _on_canvas(image, data)
    stated = file.above if kind == "tiff" else described
    applied = kind == "avif" and (b"irot" in data[:65_536] or b"imir" in data[:65_536])  # by libheif
    turn = 1 if applied else metadata.orientation(stated, xmp)
    image = image.copy()  # libvips misses it in XMP or a profile of ImageMagick, and has others than 1 to 8
    image.set_type(pyvips.GValue.gint_type, "orientation", turn)
    return image, FileInfo(bits, dpi=dpi, exif=described, iptc=iptc, xmp=xmp)


def _stated_samples(image: pyvips.Image, data: bytes) -> pyvips.Image:
    """Return a TIFF without samples of which it does not say what they are; libvips takes one as alpha."""
    first = next(tiff.directories(data), None)
    if first is None or first.unstated <= 0 or image.bands != first.samples:
        return image
    colors = image.extract_band(0, n=first.colors)
    return colors if first.alpha is None else colors.bandjoin(image[first.alpha])


def _on_canvas(image: pyvips.Image, data: bytes) -> pyvips.Image:
    """Return the frame of a GIF on its canvas, which libvips ignores if it seems too large."""
    width, height = struct.unpack_from("<HH", data, 6)
    same = (image.width, image.height) == (width, height)
    if same or image.width > width or image.height > height:
        return image
    image = image.bandjoin(255) if image.bands in (1, 3) else image
    return image.embed(0, 0, width, height)


def _load(kind: str, data: bytes, *, strict: bool = False) -> pyvips.Image:
    """Open with libvips; TIFFs of 8-bit Lab samples, which version 8.18 refuses, need help."""
    options = {"fail_on": "warning" if strict else "error", "access": "sequential"}

    def load(data: bytes) -> pyvips.Image:
        source = pyvips.Source.new_from_memory(data)  # not a buffer, which would be copied
        image = pyvips.Operation.call(_LOADERS[kind], source, **options)
        image._references.append(source)  # it holds the bytes, as in `Image.new_from_source`
        return image

    try:
        return load(data)
    except pyvips.Error as error:
        if "bad labq format" not in str(error):
            raise
    image = load(_as_rgb(data))
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
        body = next((body for kind, body in png.chunks(data) if kind == b"pHYs"), b"")
        if len(body) == 9 and body[8] == 1:  # dots per meter; else only the aspect ratio of a pixel
            (across, down), scale = struct.unpack_from(">II", body), 0.0254
    elif data[2:4] == b"\xff\xe0" and data[6:11] == b"JFIF\0" and len(data) > 17:
        across, down = struct.unpack_from(">HH", data, 14)
        scale = {1: 1.0, 2: 2.54}.get(data[13], 0.0)
    return metadata.sensible_dpi(across * scale, down * scale)
