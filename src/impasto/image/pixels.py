"""Pixels in memory, and their conversion from and to NumPy arrays and pictures of Pillow.

image = from_array(np.zeros((48, 64, 3), np.uint8), "x")     # pyvips.Image
array = to_array(image, 8)                                   # (48, 64, 3), uint8
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyvips

from impasto.errors import PictureError
from impasto.system import libvips

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

TOP = {"uchar": 255, "ushort": 65535, "float": 1}  # full intensity
LARGE = 100_000_000  # bytes of pixels beyond which the file is kept in memory instead
BYTES = {  # of a sample
    **{"uchar": 1, "char": 1, "ushort": 2, "short": 2, "uint": 4, "int": 4, "float": 4},
    **{"double": 8, "complex": 8, "dpcomplex": 16},
}
_DIRECT = ("L", "RGB", "RGBA", "CMYK", "LA", "I", "F")  # modes of Pillow that are taken as they are
_ALPHA = ("PA", "La", "RGBa")
_ROWS = 256  # converted at once for the digest
_STRIP = 1 << 18  # pixels of a strip
HAIR = 0.5 / 255  # beyond 0 or 1 that a float may lie, and is clamped
VISIBLE = 0.5 / 65535  # alpha from which a pixel is not fully transparent in a file of 16 bits
_ENLARGING = {"nearest": "nearest", "linear": "bilinear"}  # interpolators; of other kernels: bicubic


@dataclass(frozen=True, eq=False)
class Pixels:
    """Upright sRGB pixels, in memory or streamed from the bytes of a file.

    Attributes:
        width: In pixels.
        height: In pixels.
        bands: 3, or 4 with alpha.
        format: uchar, ushort or float, as libvips calls them.
        image: Returns the image; a streamed one can be read once, from top to bottom.
        streamed: Whether the file is unpacked anew for each reading.
    """

    width: int
    height: int
    bands: int
    format: str
    image: Callable[[], pyvips.Image]
    streamed: bool = False

    @classmethod
    def of(cls, image: pyvips.Image, make: Callable[[], pyvips.Image] | None = None) -> "Pixels":
        """Return the pixels of an image in memory, or of one that `make` unpacks each time."""
        size, read = (image.width, image.height, image.bands), libvips.used()(make) if make else lambda: image
        return cls(*size, image.format, read, streamed=make is not None)

    @classmethod
    @libvips.used()
    def of_array(cls, values: npt.NDArray[Any], interpretation: str) -> "Pixels":
        """Return the pixels that an array holds."""
        return cls.of(pyvips.Image.new_from_array(values, interpretation=interpretation))

    @libvips.used()
    def __reduce__(self) -> tuple[Any, ...]:
        image = self.image()
        return Pixels.of_array, (image.numpy(), image.interpretation)

    @property
    def nbytes(self) -> int:
        """Bytes of the unpacked pixels."""
        return self.width * self.height * self.bands * BYTES[self.format]

    @libvips.used()
    def sha256(self) -> str:
        """Return the hash of the values, which does not depend on their format; see `Picture`."""
        result = hashlib.sha256(f"{self.width}x{self.height}x{self.bands}\n".encode())
        values, top = self.image().numpy(), np.float32(TOP[self.format])
        for row in range(0, self.height, _ROWS):
            part = values[row : row + _ROWS].astype(np.float32) / top
            result.update(np.ascontiguousarray(part, "<f4").data)
        return result.hexdigest()


def is_large(image: pyvips.Image, file_bytes: int) -> bool:
    """Whether whole numbers take much memory, and their file much less; floats are always unpacked."""
    size = image.width * image.height * max(3, image.bands) * BYTES[image.format]
    return image.format in ("uchar", "ushort") and bool(size > LARGE and size > 2 * file_bytes)


def fit(width: int, height: int, long_edge: int) -> tuple[int, int]:
    """Return the size with this long edge and the same aspect ratio, each edge at least 1 px."""
    factor = long_edge / max(width, height)
    return max(1, math.floor(width * factor + 0.5)), max(1, math.floor(height * factor + 0.5))


def shrunk(width: int, height: int, edge: int) -> tuple[int, int]:
    """Return the size with a long edge of at most this many px; small sizes stay as they are."""
    return fit(width, height, min(edge, max(width, height)))


def from_array(array: npt.NDArray[Any], label: str) -> pyvips.Image:
    """Return gray, RGB or RGBA values as an image: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4).

    Raises:
        PictureError: The shape, the type or the range of the values is not supported.
    """
    values = array[..., None] if array.ndim == 2 else array
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or not values.size:
        expected = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
        raise PictureError(f"{label} has the shape {array.shape}; give {expected}")
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * 255
    elif values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not (low >= -HAIR and high <= 1 + HAIR):  # also where one is not a number
            divide = ", so divide by 255" if 1 < high <= 255 and low >= 0 else ""
            raise PictureError(
                f"{label} has values from {low:.9g} to {high:.9g}; floats lie in 0 to 1{divide}"
            )
        values = values.astype(np.float32).clip(0, 1)
    elif values.dtype.kind != "u" or values.dtype.itemsize > 2:
        raise PictureError(
            f"{label} has values of the type {values.dtype}; give uint8, uint16, bool or floats from 0 to 1"
        )
    values = np.array(values, values.dtype.newbyteorder("="), order="C", copy=True)
    if values.shape[2] == 1:
        values = values.repeat(3, axis=2)
    space = "rgb16" if values.dtype == np.uint16 else "srgb"
    return pyvips.Image.new_from_array(values, interpretation=space)


def from_pil(image: "Image") -> pyvips.Image:
    """Return the bands of a picture of Pillow, with its profile and its orientation."""
    orientation, profile = image.getexif().get(274, 1), image.info.get("icc_profile")
    if image.mode.startswith("I;16"):
        array, space = np.asarray(image).astype(np.uint16), "grey16"
    else:
        if image.mode == "LAB":
            image = _from_lab(image)
        if image.mode in _ALPHA or "transparency" in image.info:
            image = image.convert("RGBA")
        elif image.mode == "1":
            image = image.convert("L")
        elif image.mode not in _DIRECT:
            image = image.convert("RGB")
        array = np.asarray(image)
        space = {"L": "b-w", "LA": "b-w", "CMYK": "cmyk"}.get(image.mode, "srgb")
    result = pyvips.Image.new_from_array(array, interpretation=space)
    if profile:
        result.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    if orientation in range(2, 9):
        result.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    return result


def with_usual_range(image: "Image") -> "Image":
    """Return a picture of Pillow whose values, of mode I or F, end at 1 (F) or 65535 (I).

    Pillow does not say the range. What it converts from 8 bits ends at 255, in both modes.
    """
    if image.mode not in ("I", "F"):
        return image
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and (1 + HAIR if image.mode == "F" else 0) < high <= 255.5):
        return image
    changed = values / np.float32(255) if image.mode == "F" else values * np.int32(257)
    from PIL import Image

    result = Image.fromarray(changed)
    result.info.update(image.info)
    return result


def _from_lab(image: "Image") -> "Image":
    from PIL import ImageCms

    lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
    assert converted is not None  # not in place
    return converted


def quantized(image: pyvips.Image, bits: int) -> pyvips.Image:
    """Return the image with whole numbers of 8 or 16 bits, rounded to the nearest."""
    kind, space = ("uchar", "srgb") if bits == 8 else ("ushort", "rgb16")
    if image.format != kind:
        image = (image * (TOP[kind] / TOP[image.format])).rint().cast(kind)
    return image.copy(interpretation=space)


def over_white(image: pyvips.Image) -> pyvips.Image:
    """Return the image composited over white if it has alpha."""
    if image.bands < 4:
        return image
    top = TOP[image.format]
    return image.cast("float").flatten(background=[top] * 3, max_alpha=top)


def without_white(page: "Tensor", alpha: "Tensor") -> "Tensor":
    """Return the colors of what is seen on a white page: C = a F + (1 - a), so F = 1 - (1 - C) / a.

    `page` is C, (1, 3, H, W), and `alpha` a, (1, 1, H, W), both in [0, 1]. F, (1, 3, H, W), is limited to
    [0, 1]; where nothing is seen, it is C.
    """
    colors = (1 - page).div_(alpha.clamp_min(VISIBLE)).neg_().add_(1).clamp_(0, 1)
    return colors.lerp_(page, (alpha < VISIBLE).to(page))


def resized(image: pyvips.Image, width: int, height: int, kernel: str = "lanczos3") -> pyvips.Image:
    """Return an image of floats at another size; the kernel is one of libvips' resize.

    An edge is enlarged by libvips' affine: its resize moves the contents by half a pixel of the result there.
    """
    across, down = width / image.width, height / image.height
    if across < 1 or down < 1:
        image = image.resize(min(across, 1.0), vscale=min(down, 1.0), kernel=kernel)
    if across <= 1 and down <= 1:
        return image
    nearest = kernel == "nearest"  # takes the pixel that a position lies in; the others have pixels' centers
    return image.affine(
        (max(across, 1.0), 0, 0, max(down, 1.0)),
        interpolate=pyvips.Interpolate.new(_ENLARGING.get(kernel, "bicubic")),
        idx=0.0 if nearest else 0.5,
        idy=0.0 if nearest else 0.5,
        odx=-0.5,
        ody=-0.5,
        oarea=(0, 0, width, height),
        extend="copy",
    )


def strips(image: pyvips.Image, width: int, height: int) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield (rows, values) of an image over white at this size; values are (h, W, 3) in [0, 1].

    The image is read once, from top to bottom; only a few rows of the resized image are in memory.
    """
    top = TOP[image.format]
    for rows, values in _fetched(resized(over_white(image).cast("float"), width, height)):
        yield rows, values / np.float32(top)


def resized_values(image: pyvips.Image, width: int, height: int, kernel: str) -> npt.NDArray[np.float32]:
    """Return the values of an image at another size, (H, W, bands).

    libvips chooses the pieces that it computes by how the image is made; which pixel `nearest` takes where
    two are equally near depends on them. So these are always the same here.
    """
    image = resized(image.cast("float"), width, height, kernel)
    if kernel == "nearest":
        return np.concatenate([values for _, values in _fetched(image)])
    return image.numpy().reshape(height, width, -1)  # type: ignore[no-any-return]


def _fetched(image: pyvips.Image) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Yield (rows, values of (h, W, bands)) of an image of floats, from top to bottom."""
    region, width, step = pyvips.Region.new(image), image.width, max(1, _STRIP // image.width)
    for first in range(0, image.height, step):
        rows = slice(first, min(first + step, image.height))
        values = np.frombuffer(region.fetch(0, first, width, rows.stop - first), np.float32)
        yield rows, values.reshape(-1, width, image.bands)


@libvips.used()
def to_array(image: pyvips.Image, bits: int) -> npt.NDArray[Any]:
    """Return a new (H, W, 3 or 4) array of uint8 or uint16."""
    return np.array(quantized(image, bits).numpy(), copy=True)
