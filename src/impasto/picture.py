"""The only door for pixels: files come in and go out as a `Picture`.

Inside, a picture is upright, sRGB, three colours and perhaps alpha, of 8 or 16 bits or floating point.
All that files can be besides (turned, CMYK, Lab, grey, palette, wide-gamut) is dealt with on entry::

    photo = Picture.open("cat.jpg")
    image = photo.tensor(512, 384)                      # (1, 3, 384, 512) in [0, 1]
    Picture.from_tensor(image).save("cat-small.png")
"""

import contextlib
import hashlib
import logging
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import torch
from torch import Tensor

from impasto.errors import InputError, OutputError, PictureError, ResourceError, did_you_mean
from impasto.publish import (
    MAX_BYTES,
    WRITABLE,
    check_length,
    check_target,
    printable,
    publish,
    read_whole,
)

Source = str | os.PathLike[str] | bytes  # a path, or the bytes of a picture file
READABLE = "JPEG, PNG, TIFF, WebP or GIF"  # known by content, not by name
MAX_PIXELS = 100_000_000  # width x height
MAX_SIDE = 30_000
_LOADERS = {  # no other loader of libvips is ever reached, so no other needs to be blocked
    "jpegload_buffer": (b"\xff\xd8\xff",),
    "pngload_buffer": (b"\x89PNG\r\n\x1a\n",),
    "tiffload_buffer": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "gifload_buffer": (b"GIF87a", b"GIF89a"),
}
_OTHERS = {  # only to say what a file is
    "a BMP picture": (b"BM",),
    "a PDF or PostScript document": (b"%PDF", b"%!PS"),
    "a ZIP archive": (b"PK\x03\x04",),
    "an SVG or XML document": (b"<svg", b"<?xml"),
}
_SAVERS: dict[str, dict[str, Any]] = {
    ".png": {"compression": 6},
    ".jpg": {"subsample_mode": "off", "optimize_coding": True},
    ".tif": {"compression": "deflate", "predictor": "horizontal"},
    ".webp": {"exact": True},  # keeps colours under transparent pixels
}
_TOP = {"uchar": 255, "ushort": 65535, "float": 1}  # full intensity

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, held in memory. Make it with `Picture.open` or `Picture.from_tensor`.

    Attributes:
        name: File name without its folder, for messages and default names.
        bits: 8 or 16, the depth of the file it came from.
        sha256: Of the bytes of the file, in hexadecimal; empty where there was no file.
    """

    name: str
    bits: int
    sha256: str
    _image: pyvips.Image = field(repr=False)

    @classmethod
    def open(cls, source: Source, *, name: str | None = None) -> "Picture":
        """Read a picture: upright, converted to sRGB, its alpha kept, the first page or frame.

        Args:
            source: A path, or the bytes of a picture file.
            name: A name for messages instead of the file's own.

        Raises:
            PictureError: It is missing, damaged, too large, or not a picture that can be read.
            ResourceError: There is not enough memory for it.
        """
        if not isinstance(source, bytes):
            name = name or Path(source).name
        name = name or "<bytes>"
        shown = printable(name)
        with _translated(shown):
            data = source if isinstance(source, bytes) else read_whole(source, MAX_BYTES)
            check_length(data, MAX_BYTES, shown)
            image, bits = _decode(data, shown)
        return cls(name, bits, hashlib.sha256(data).hexdigest(), image)

    @classmethod
    def from_tensor(
        cls, tensor: Tensor, *, alpha: Tensor | None = None, name: str = "<result>"
    ) -> "Picture":
        """Make a picture of a (1, 3, H, W) tensor, sRGB-encoded; values are clamped to [0, 1].

        Args:
            tensor: The colours, not multiplied by alpha.
            alpha: (1, 1, H, W); 0 is transparent.
            name: A name for messages.

        Raises:
            PictureError: A shape is wrong or a value is not finite.
        """
        for part, bands in ((tensor, 3), (alpha, 1)):
            shape = (1, bands, *tensor.shape[-2:])
            if part is not None and (part.shape != shape or not part.numel()):
                raise PictureError(f"{name}: needs {shape} values, not {tuple(part.shape)}")
        pixels = tensor if alpha is None else torch.cat([tensor, alpha.to(tensor)], dim=1)
        pixels = pixels.detach().to("cpu", torch.float32)
        if not torch.isfinite(pixels).all():
            raise PictureError(f"{name}: the picture contains values that are not finite")
        array = pixels.clamp(0, 1)[0].permute(1, 2, 0).contiguous().numpy()
        return cls(name, 8, "", pyvips.Image.new_from_array(array, interpretation="srgb"))

    @property
    def width(self) -> int:
        """Width in pixels, of the upright picture."""
        return int(self._image.width)

    @property
    def height(self) -> int:
        """Height in pixels, of the upright picture."""
        return int(self._image.height)

    @property
    def has_alpha(self) -> bool:
        """Whether it has an alpha channel, be it opaque all over."""
        return int(self._image.bands) == 4

    def tensor(
        self, width: int | None = None, height: int | None = None, kernel: str = "lanczos3"
    ) -> Tensor:
        """Return the colours as a new (1, 3, H, W) float32 tensor, sRGB-encoded in [0, 1].

        Where there is alpha, the colours are composited over white: what the network sees is what
        one sees on a white page, and colours hidden under transparent pixels do not leak.
        Given a size, it is resized to exactly that; `kernel` is libvips' (`linear` is softer).
        """
        return self._planes(_over_white(self._image), width, height, kernel)

    def alpha(self, width: int | None = None, height: int | None = None) -> Tensor | None:
        """Return alpha as a new (1, 1, H, W) float32 tensor in [0, 1], or None if there is none."""
        return self._planes(self._image[3], width, height) if self.has_alpha else None

    def encode(self, suffix: str = ".png", *, bits: int | None = None, quality: int = 95) -> bytes:
        """Return the bytes of a file: sRGB with its profile, no other metadata.

        Alpha is kept, except in JPEG, where the picture is composited over white.

        Args:
            suffix: One of `WRITABLE`; it decides the format.
            bits: 8 (the default) or 16; 16 only for PNG and TIFF.
            quality: 1 to 100, for JPEG (never with chroma subsampling) and WebP.

        Raises:
            InputError: The suffix, the bits or the quality are not possible.
            OutputError: The format cannot hold this picture.
        """
        suffix = _check_suffix(suffix).replace("jpeg", "jpg").replace("tiff", "tif")
        bits = 8 if bits is None else bits
        if bits not in (8, 16) or (bits == 16 and suffix not in (".png", ".tif")):
            raise InputError(f"{suffix} cannot have {bits} bits; 8 always works, 16 in .png, .tif")
        if not 1 <= quality <= 100:
            raise InputError(f"quality must be 1 to 100, not {quality}")
        options = _SAVERS[suffix] | ({"Q": quality} if suffix in (".jpg", ".webp") else {})
        try:
            image = _quantised(self._image, bits, opaque=suffix == ".jpg")
            return bytes(image.write_to_buffer(suffix, keep="none", profile="srgb", **options))
        except pyvips.Error as error:
            what = f"{suffix} of {self.width} x {self.height} pixels"
            raise OutputError(f"cannot make a {what}: {_detail(error)}; try .png") from error

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        bits: int | None = None,
        quality: int = 95,
        overwrite: bool = False,
    ) -> Path:
        """Write what `encode` makes to a file, all of it or nothing, and return the path.

        The suffix decides the format. An existing file is kept unless `overwrite` is set; whenever
        this raises (the errors of `encode` and of `check_output`) it is untouched.
        """
        check_output(path, overwrite=overwrite)
        data = self.encode(Path(path).suffix, bits=bits, quality=quality)
        return publish(path, data, overwrite=overwrite)

    def _planes(
        self, image: pyvips.Image, width: int | None, height: int | None, kernel: str = "lanczos3"
    ) -> Tensor:
        """Resize bands, in the encoded values, and return them as a tensor in [0, 1]."""
        if width is None or height is None:
            if width != height:
                raise InputError("give both a width and a height, or neither")
            width, height = self.width, self.height
        elif min(width, height) < 1 or max(width, height) > MAX_SIDE:
            raise InputError(f"a picture cannot be made {width} x {height} pixels large")
        with _translated(printable(self.name)):
            if (width, height) != (self.width, self.height):
                scale = width / self.width, height / self.height
                image = image.cast("float").resize(scale[0], vscale=scale[1], kernel=kernel)
            array = image.numpy().reshape(height, width, image.bands)
            planes = np.array(array.transpose(2, 0, 1)[None], np.float32, order="C", copy=True)
            planes /= np.float32(_TOP[self._image.format])
            return torch.from_numpy(planes).clamp_(0, 1)


def check_output(
    path: str | os.PathLike[str], *, inputs: Iterable[Path] = (), overwrite: bool = False
) -> Path:
    """Find out, before any work, whether a picture can be written under this name.

    The same as `impasto.publish.check_target`; besides, the suffix must be one of `WRITABLE`.
    """
    _check_suffix(Path(path).suffix, f"{printable(path)}: ")
    return check_target(path, inputs=inputs, overwrite=overwrite)


def _check_suffix(suffix: str, where: str = "") -> str:
    """Return the suffix in lower case, if it can be written."""
    if suffix.lower() in WRITABLE:
        return suffix.lower()
    what = f"{printable(suffix)} files cannot be written" if suffix else "the name has no suffix"
    hint = did_you_mean(suffix.lower(), WRITABLE)
    raise InputError(f"{where}{what}; use one of {', '.join(WRITABLE)}.{hint}")


@contextlib.contextmanager
def _translated(shown: str) -> Iterator[None]:
    """Turn what files, libvips and the memory raise into errors for the user."""
    try:
        yield
    except (pyvips.Error, UnicodeError) as error:
        what = f"is damaged or of an unknown kind ({_detail(error)})"
        raise PictureError(f"{shown} {what}; export it anew as PNG") from error
    except MemoryError as error:
        raise ResourceError(f"not enough memory for {shown}; give a smaller picture") from error
    except InputError as error:
        raise PictureError(str(error)) from error


def _detail(error: pyvips.Error | UnicodeError) -> str:
    """Return the first complaint of libvips that is not a warning, where it is readable."""
    if isinstance(error, UnicodeError):  # pyvips could not decode the message, and left it there
        pyvips.vips_lib.vips_error_clear()
        return "unreadable text in it"
    lines = [line.strip() for line in str(error.detail).splitlines() if "Warning" not in line]
    return printable(next(filter(None, lines), error.message))[:120]


def _loader(data: bytes, shown: str) -> str:
    """Return the libvips operation for this content, or say what the content is."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webpload_buffer"
    for loader, magic in _LOADERS.items():
        if data.startswith(magic):
            return loader
    what = next((what for what, magic in _OTHERS.items() if data.startswith(magic)), "")
    if data[4:8] == b"ftyp":
        what = "an AVIF, HEIC or video file"
    elif not what and data[:4096].isascii() and b"\0" not in data[:4096]:
        what = "a text file"
    raise PictureError(f"{shown} is {what or 'in no known format'}; give a {READABLE} file")


def _decode(data: bytes, shown: str) -> tuple[pyvips.Image, int]:
    """Return the upright sRGB image, all of it read, and the depth of the file."""
    loader = _loader(data, shown)
    image = _load(loader, data)
    bits = 8 if image.format == "uchar" else 16
    if max(image.width, image.height) > MAX_SIDE or image.width * image.height > MAX_PIXELS:
        limit = f"{MAX_PIXELS // 10**6} million or {MAX_SIDE} on one side"
        size = f"{image.width} x {image.height} pixels"
        raise PictureError(f"{shown} has {size}, more than {limit}; make it smaller first")
    if loader == "pngload_buffer" and bits == 16:
        image = _keyed(image, data)
    image = _srgb(_samples(image, shown), shown).copy_memory()
    turned = image.get_typeof("orientation") and image.get("orientation") > 1
    return (image.autorot().copy_memory() if turned else image), bits


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


def _keyed(image: pyvips.Image, data: bytes) -> pyvips.Image:
    """Add the alpha of a 16-bit PNG with one transparent colour, which libvips leaves out."""
    at, size, kind = 8, 0, b""
    while at + 8 <= len(data) and kind not in (b"tRNS", b"IDAT"):
        size, kind = struct.unpack_from(">I4s", data, at)
        at += 12 + size
    if kind != b"tRNS" or size != 2 * image.bands or at > len(data):
        return image
    key = list(struct.unpack_from(f">{image.bands}H", data, at - 4 - size))
    opaque = (image != key).bandor() if image.bands > 1 else image != key
    return image.bandjoin(opaque.cast("ushort") * 257).cast("ushort")


def _samples(image: pyvips.Image, shown: str) -> pyvips.Image:
    """Return 8- or 16-bit samples, floats in [0, 1], or Lab; refuse what is none of them.

    Floats are taken as encoded values, other integers as 16-bit ones where they fit.
    """
    if image.format in ("uchar", "ushort") or image.interpretation in ("lab", "labs"):
        return image
    image = image.copy_memory()
    values = image.numpy()
    if not np.isfinite(values).all():
        raise PictureError(f"{shown} contains values that are not finite; export it anew")
    whole = image.format in ("char", "short", "int", "uint")
    top = 65535 if whole else 1
    if np.iscomplexobj(values) or values.min() < 0 or values.max() > top:
        raise PictureError(f"{shown} has values outside 0 to {top}; export it with 8 or 16 bits")
    return image.cast("ushort" if whole else "float")


def _srgb(image: pyvips.Image, shown: str) -> pyvips.Image:
    """Return three sRGB bands, and a fourth if there is alpha, of the same depth."""
    lab = image.interpretation in ("lab", "labs")
    count = 4 if image.interpretation == "cmyk" else 3 if image.bands > 2 else 1
    colour = image.extract_band(0, n=count)
    if lab:
        colour = colour.colourspace("rgb16")
    elif image.format != "float":
        colour = _through_profile(colour, shown)
    if colour.bands == 1:
        colour = colour.bandjoin([colour, colour])
    if image.bands > count and not lab:
        colour = colour.bandjoin(image[count])
    return colour.copy(interpretation="rgb16" if colour.format == "ushort" else "srgb")


def _through_profile(colour: pyvips.Image, shown: str) -> pyvips.Image:
    """Convert by the embedded profile, or a standard one for CMYK; ignore a broken profile."""
    cmyk = colour.interpretation == "cmyk"
    embedded = colour.get_typeof("icc-profile-data") != 0
    if not (cmyk or embedded):
        return colour
    deep = colour.format == "ushort"
    options: dict[str, Any] = {"embedded": embedded, "depth": 16 if deep else 8}
    if cmyk:
        options["input_profile"] = "cmyk"
    elif deep:
        colour = colour.copy(interpretation="grey16" if colour.bands == 1 else "rgb16")
    try:
        return colour.icc_transform("srgb", intent="perceptual", **options)
    except pyvips.Error as error:
        if cmyk:
            raise
        _log.warning("%s: its colour profile is ignored (%s)", shown, _detail(error))
        return colour


def _over_white(image: pyvips.Image) -> pyvips.Image:
    """Composite over white, if there is alpha."""
    top = _TOP[image.format]
    options = {"background": [top] * 3, "max_alpha": top}
    return image.cast("float").flatten(**options) if image.bands == 4 else image


def _quantised(image: pyvips.Image, bits: int, *, opaque: bool) -> pyvips.Image:
    """Return whole numbers of this depth, rounded to the nearest."""
    kind, space = ("uchar", "srgb") if bits == 8 else ("ushort", "rgb16")
    bands = _over_white(image) if opaque else image
    if bands.format != kind:
        bands = (bands * (_TOP[kind] / _TOP[image.format])).rint().cast(kind)
    return bands.copy(interpretation=space)
