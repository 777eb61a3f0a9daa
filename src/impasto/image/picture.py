"""`Picture`: all pixels are read and written as one.

In memory a picture is upright, sRGB, three colors and perhaps alpha, of 8 or 16 bits or floating point.
Files of other kinds (rotated, CMYK, Lab, gray, palette, wide gamut) are converted when they are read::

    photo = Picture.open("cat.jpg")
    image = photo.tensor(512, 384)                      # (1, 3, 384, 512) in [0, 1]
    Picture.from_tensor(image).save("cat-small.png")
    Picture.of(np.zeros((48, 64, 3), np.uint8)).pil()
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias, Union

import numpy as np
import numpy.typing as npt
import pyvips
import torch
from torch import Tensor

from impasto.config.limits import Input
from impasto.config.model import LARGEST_EDGE
from impasto.config.output import Output
from impasto.errors import InputError, PictureError
from impasto.image.decode import decode, decode_pil
from impasto.image.encode import check_suffix, encode, with_dot
from impasto.image.guards import check_size, convert_errors
from impasto.image.metadata import FileInfo
from impasto.image.pixels import (
    TOP,
    Pixels,
    from_array,
    over_white,
    resized_values,
    shrunk,
    strips,
    to_array,
    without_white,
)
from impasto.image.sources import as_array, contents, is_file, is_pil
from impasto.image.xmp import forget
from impasto.messages import as_text, printable
from impasto.system.files import check_length, check_target, publish, read_whole

if TYPE_CHECKING:
    from PIL.Image import Image

Source = str | os.PathLike[str] | bytes  # a path, or the bytes of a picture file
PictureLike: TypeAlias = Union[
    Source, bytearray, memoryview, IO[bytes], "Picture", npt.NDArray[Any], Tensor, "Image"
]
_NOTEBOOK_EDGE = 1024  # px; long edge in a notebook


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture in memory. Make it with `open`, `of` or `from_tensor`.

    Attributes:
        name: File name without its folder, for messages and default names.
        kind: "file", or "pixels" if it came from memory.
        file_bytes: Length of the file; 0 without one.
    """

    name: str
    kind: Literal["file", "pixels"]
    _pixels: Pixels = field(repr=False)
    _info: FileInfo = field(repr=False)
    _file_sha256: str = field(default="", repr=False)
    file_bytes: int = 0
    _page: Pixels | None = field(default=None, repr=False)  # for formats without alpha

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", as_text(self.name))

    def __repr__(self) -> str:
        return f"<Picture {self.name}: {self.width} x {self.height} px>"

    @classmethod
    def open(cls, source: Source, *, name: str | None = None, limits: Input | None = None) -> "Picture":
        """Read a picture: upright, converted to sRGB, its alpha kept, the first page or frame.

        Args:
            source: A path, or the bytes of a picture file.
            name: A name for messages, instead of the file name.
            limits: What is refused before it is unpacked; by default from the environment
                (`IMPASTO_MAX_PIXELS` and others), else the defaults of `Input`.

        Raises:
            PictureError: The file is missing, damaged, beyond a limit, or not a picture that can be read.
            ResourceError: There is not enough memory for it.
        """
        if not isinstance(source, bytes):
            name = name or Path(source).name
        name = name or "<bytes>"
        label, limits = printable(name), limits or Input.from_environment()
        with convert_errors(label):
            data = source if isinstance(source, bytes) else read_whole(source, limits.max_bytes, "a picture")
            check_length(data, limits.max_bytes, label)
            pixels, info = decode(data, label, limits)
        return cls(name, "file", pixels, info, hashlib.sha256(data).hexdigest(), len(data))

    @classmethod
    def of(cls, source: PictureLike, name: str | None = None, *, limits: Input | None = None) -> "Picture":
        """Make a picture from anything that holds one.

        Args:
            source: A path; the bytes of a file, also in a buffer or an open file; a picture of Pillow (which
                is turned upright and converted to sRGB); an array (H, W), (H, W, 1), (H, W, 3), (H, W, 4) of
                uint8, uint16, bool or floats in [0, 1]; a tensor (C, H, W) or (1, C, H, W) with 1, 3 or 4
                channels of uint8 or floats in [0, 1]; or a `Picture`, which is returned unchanged. Values are
                sRGB-encoded, a fourth channel is alpha. They are copied. Floats that miss [0, 1] by at most
                half of 1/255 are clamped.
            name: A name for messages.
            limits: As for `open`.

        Raises:
            PictureError: It is none of these, or cannot be read.
            ResourceError: There is not enough memory for it.
        """
        if isinstance(source, Picture):
            return source
        limits = limits or Input.from_environment()
        if is_file(source):
            data, label = contents(source, limits, name)
            return cls.open(data, name=label, limits=limits)
        if is_pil(source):
            name = name or Path(getattr(source, "filename", "") or "<image>").name
            pixels, info = decode_pil(source, printable(name), limits)  # type: ignore[arg-type]
            return cls(name, "pixels", pixels, info)
        name = name or ("<tensor>" if isinstance(source, Tensor) else "<array>")
        label = printable(name)
        with convert_errors(label):
            array = as_array(source, label)
            if array.ndim >= 2:
                check_size(array.shape[1], array.shape[0], label, limits)
            image = from_array(array, label)
        return cls(name, "pixels", Pixels.of(image), FileInfo(16 if image.format == "ushort" else 8))

    @classmethod
    def from_tensor(
        cls,
        tensor: Tensor,
        *,
        alpha: Tensor | None = None,
        on_white: bool = False,
        name: str = "<result>",
        source: "Picture | None" = None,
    ) -> "Picture":
        """Make a picture from an sRGB-encoded (1, 3, H, W) tensor; values are clamped to [0, 1].

        Args:
            tensor: The colors, not multiplied by alpha.
            alpha: (1, 1, H, W); 0 is transparent.
            on_white: The colors are those seen on a white page. The white is taken out of them; a format
                without alpha shows them as they are.
            name: A name for messages.
            source: The photo it was made from, whose depth, resolution, EXIF, IPTC and XMP it takes.

        Raises:
            PictureError: A shape is wrong, or a value is not finite.
        """
        page = None
        if on_white and alpha is not None:
            page = cls.from_tensor(tensor, name=name)._pixels
            tensor = without_white(tensor.detach().to("cpu", torch.float32).clamp(0, 1), alpha.detach().cpu())
        array = np.empty((*tensor.shape[-2:], 3 if alpha is None else 4), np.float32)
        for part, place in ((tensor, array[..., :3]), (alpha, array[..., 3:])):
            if part is None:
                continue
            shape = (1, place.shape[-1], *tensor.shape[-2:])
            if part.shape != shape or not part.numel():
                raise PictureError(f"{name}: needs {shape} values, not {tuple(part.shape)}")
            values = part.detach().to("cpu", torch.float32)[0].permute(1, 2, 0)
            if not torch.isfinite(torch.stack(torch.aminmax(values))).all():
                raise PictureError(f"{name}: the picture contains values that are not finite")
            torch.clamp(values, 0, 1, out=torch.from_numpy(place))
        info = source._info if source is not None else FileInfo()
        info = replace(info, notes=(), xmp=forget(info.xmp))
        return cls(name, "pixels", Pixels.of_array(array, "srgb"), info, _page=page)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return `array()` for NumPy: `np.asarray(picture)` is (H, W, 3) or (H, W, 4)."""
        if copy is False:
            raise ValueError("the pixels of a Picture are always copied; leave out copy=False")
        array = self.array()
        return array if dtype is None else array.astype(dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of memory it takes: its pixels, or its file where the pixels are streamed from that."""
        return self.file_bytes if self._pixels.streamed else self._pixels.nbytes

    @property
    def width(self) -> int:
        """Width in pixels, of the upright picture."""
        return int(self._pixels.width)

    @property
    def height(self) -> int:
        """Height in pixels, of the upright picture."""
        return int(self._pixels.height)

    @property
    def has_alpha(self) -> bool:
        """Whether it has an alpha channel, even if that is opaque everywhere."""
        return int(self._pixels.bands) == 4

    @property
    def bits(self) -> int:
        """8 or 16: the depth of its source, which is a file, an array or the photo of a run."""
        return self._info.bits

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Dots per inch across and down; None where the file has none."""
        return self._info.dpi

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the file was ignored or could not be converted, one sentence each."""
        return self._info.notes

    @cached_property
    def sha256(self) -> str:
        """SHA-256 in hexadecimal: of the bytes of the file or, without one, of the pixels."""
        return self._file_sha256 or self.pixels_sha256()

    def pixels_sha256(self) -> str:
        r"""Return SHA-256 of the pixels, in hexadecimal.

        Over the text `WxHxbands\n` in ASCII, then the values in [0, 1] as little-endian float32, row
        by row, the 3 or 4 bands of a pixel together. The same pixels give the same hash, from whatever
        file or array, and whatever their depth in memory.
        """
        return self._pixels.sha256()

    def tensor(self, width: int | None = None, height: int | None = None, kernel: str = "lanczos3") -> Tensor:
        """Return the colors as a new (1, 3, H, W) float32 tensor, sRGB-encoded in [0, 1].

        A picture with alpha is composited over white, so that the network sees what one sees on
        a white page, and the colors of transparent pixels do not leak.

        Args:
            width: Of the tensor; the picture's own if None.
            height: The same.
            kernel: Of libvips' resize, such as `lanczos3` or the softer `linear`.
        """
        return self._planes(over_white, width, height, kernel)

    def strips(self, width: int, height: int) -> Iterator[tuple[slice, Tensor]]:
        """Yield `tensor(width, height)` a few rows at a time, as (rows, values of (1, 3, h, W))."""
        parts = strips(self._pixels.image(), width, height)

        def following() -> tuple[slice, npt.NDArray[np.float32]] | None:
            with convert_errors(printable(self.name)):
                return next(parts, None)

        for rows, part in iter(following, None):
            yield rows, torch.from_numpy(part).permute(2, 0, 1)[None].clamp_(0, 1)

    def alpha(self, width: int | None = None, height: int | None = None) -> Tensor | None:
        """Return alpha as a new (1, 1, H, W) float32 tensor in [0, 1], or None if there is none."""
        return self._planes(lambda image: image[3], width, height) if self.has_alpha else None

    def array(self, bits: Literal[8, 16] | None = None) -> npt.NDArray[Any]:
        """Return a new (H, W, 3) array, or (H, W, 4) with alpha, of uint8 or uint16.

        Args:
            bits: 8 or 16; by default the picture's own.
        """
        if bits not in (8, 16, None):
            raise InputError(f"bits must be 8 or 16, not {bits}")
        return to_array(self._pixels.image(), bits or self.bits)

    def thumbnail(self, edge: int) -> "Picture":
        """Return a copy over white with a long edge of at most `edge` px."""
        size = shrunk(self.width, self.height, edge)
        return Picture.from_tensor(self.tensor(*size), name=self.name)

    def pil(self) -> "Image":
        """Return a picture of Pillow, RGB or RGBA of 8 bits; Pillow has no colors of 16 bits."""
        from PIL import Image

        image = Image.fromarray(self.array(8))
        if self.dpi:
            image.info["dpi"] = self.dpi
        return image

    def encode(
        self, suffix: str = ".png", output: Output | None = None, *, recipe: str | None = None, **changes: Any
    ) -> bytes:
        """Return the bytes of a file, in sRGB.

        Alpha is kept, except in JPEG, where the picture is composited over white; of a result, JPEG shows
        the canvas, which is opaque. JPEG and AVIF are written without chroma subsampling.

        Args:
            suffix: One of `WRITABLE`, with or without its dot; it decides the format.
            output: Bits, quality and metadata; the defaults if None.
            recipe: JSON text that goes into the file as XMP; it is read back to be sure.
            changes: Fields of `output` by name, such as `bits=16` or `jpeg_quality=80`.

        Raises:
            InputError: The suffix, a field of `output` or the recipe is not possible.
            OutputError: The format cannot hold this picture.
        """
        output, suffix = (output or Output()).changed(**changes), with_dot(suffix)
        image, page = self._pixels.image(), None if self._page is None else self._page.image()
        name = printable(self.name)
        return encode(image, self._info, suffix, output, recipe=recipe, label=name, page=page)

    def save(
        self,
        path: str | os.PathLike[str] | IO[bytes],
        output: Output | None = None,
        *,
        recipe: str | None = None,
        overwrite: bool = False,
        format: str | None = None,
        **changes: Any,
    ) -> Path:
        """Write the picture to a file, completely or not at all, and return the path.

        The suffix decides the format; the other arguments are those of `encode`. An existing file
        is kept unless `overwrite` is set, and stays untouched if an error is raised. An open file, such as
        `io.BytesIO`, needs a `format` ("png") where it has no name; then the path is empty.

        Raises:
            InputError: As `encode` does; or no format is known.
            OutputError: As `encode` does; or the file exists or cannot be written.
        """
        if hasattr(path, "write"):
            name = str(getattr(path, "name", ""))
            suffix = format or Path(name).suffix
            if not suffix:
                raise InputError(
                    'an open file without a name needs a format, such as save(file, format="png")'
                )
            path.write(self.encode(suffix, output, recipe=recipe, **changes))
            return Path(name)
        if format is not None and with_dot(format) != Path(path).suffix.lower():
            raise InputError(
                f"{printable(path)} does not end in {with_dot(format)}; the name decides the format"
            )
        check_output(path, overwrite=overwrite)
        data = self.encode(Path(path).suffix, output, recipe=recipe, **changes)
        return publish(path, data, overwrite=overwrite)

    def _repr_png_(self) -> bytes:
        """Return the PNG that a notebook shows, at most 1024 pixels on the long edge."""
        size = shrunk(self.width, self.height, _NOTEBOOK_EDGE)
        if size == (self.width, self.height):
            return self.encode(".png", bits=8, metadata="strip")
        small = Picture.from_tensor(self.tensor(*size), alpha=self.alpha(*size), on_white=True)
        return small.encode(".png", metadata="strip")

    def _planes(
        self,
        part: Callable[[pyvips.Image], pyvips.Image],
        width: int | None,
        height: int | None,
        kernel: str = "lanczos3",
    ) -> Tensor:
        """Resize bands, by their encoded values, and return them as a tensor in [0, 1]."""
        if width is None or height is None:
            if width != height:
                raise InputError("give both a width and a height, or neither")
            width, height = self.width, self.height
        elif min(width, height) < 1 or max(width, height) > LARGEST_EDGE:
            raise InputError(f"a picture cannot be made {width} x {height} pixels large")
        with convert_errors(printable(self.name)):
            image = part(self._pixels.image())
            if (width, height) == (self.width, self.height):
                array = image.numpy().reshape(height, width, image.bands)
            else:
                bands = [image]
                if self._pixels.streamed:  # one at a time takes a third of the memory
                    bands = [part(self._pixels.image())[band] for band in range(image.bands)]
                parts = [resized_values(band, width, height, kernel) for band in bands]
                array = np.concatenate(parts, axis=2)
            planes = np.array(array.transpose(2, 0, 1)[None], np.float32, order="C", copy=True)
            planes /= np.float32(TOP[self._pixels.format])
            return torch.from_numpy(planes).clamp_(0, 1)


def check_output(
    path: str | os.PathLike[str], *, inputs: Iterable[Path] = (), overwrite: bool = False
) -> Path:
    """Check before any work that a picture can be written under this name.

    Like `impasto.system.files.check_target`; besides, the suffix must be one of `WRITABLE`.
    """
    check_suffix(Path(path).suffix, f"{printable(path)}: ")
    return check_target(path, inputs=inputs, overwrite=overwrite)
