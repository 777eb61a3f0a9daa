"""How the pixels of a picture are held: unpacked, or as the file where unpacked they would fill the memory.

held = Held.of(image)                   # in memory
held.image()                            # all its pixels, as often as one likes
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyvips

LARGE = 100_000_000  # bytes of pixels beyond which a file is held instead
_BYTES = {"uchar": 1, "ushort": 2}  # of a sample; floats are held unpacked, since they are checked
_FLOAT = 4  # bytes


@dataclass(frozen=True, eq=False)
class Held:
    """Pixels: upright, sRGB, 3 or 4 bands.

    Attributes:
        width: In pixels.
        height: In pixels.
        bands: 3, or 4 with alpha.
        format: uchar, ushort or float, as libvips calls them.
        image: Makes the image; of one that flows it can be read once, from top to bottom.
        flows: Whether it is unpacked each time.
    """

    width: int
    height: int
    bands: int
    format: str
    image: Callable[[], pyvips.Image]
    flows: bool = False

    @classmethod
    def of(cls, image: pyvips.Image) -> "Held":
        """Hold an image that is in memory."""
        return cls(image.width, image.height, image.bands, image.format, lambda: image)

    @classmethod
    def flowing(cls, image: pyvips.Image, make: Callable[[], pyvips.Image]) -> "Held":
        """Hold what makes an image like this one."""
        return cls(image.width, image.height, image.bands, image.format, make, flows=True)

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels, unpacked."""
        return self.width * self.height * self.bands * _BYTES.get(self.format, _FLOAT)


def is_large(image: pyvips.Image, file_bytes: int) -> bool:
    """Whether an image takes much memory unpacked, and its file much less."""
    size = image.width * image.height * max(3, image.bands) * _BYTES.get(image.format, 0)
    return bool(size > LARGE and size > 2 * file_bytes)
