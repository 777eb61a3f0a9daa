"""Plain pixels: the file by which processes pass pictures to each other. No torch here.

It has the length of the header in eleven bytes, the header in JSON, then the samples of the picture as they
are in memory, row by row, and after them those of its page, which JPEG shows of a transparent picture.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyvips

from impasto.image.metadata import FileInfo
from impasto.image.pixels import LARGE, Pixels
from impasto.system import libvips
from impasto.system.files import publish

BLOBS = ("exif", "iptc", "xmp")
HEAD = 11  # bytes of the header's length, with a newline
STRIP = 1 << 22  # samples that are written at a time


@dataclass(frozen=True)
class Plain:
    """An upright sRGB picture with what its file said.

    Attributes:
        name: File name without its folder.
        sha256: Of the file it came from; empty for a result.
        file_bytes: Length of that file.
        recipe: Of a result, as one line of JSON.
    """

    name: str
    pixels: Pixels
    info: FileInfo
    sha256: str = ""
    file_bytes: int = 0
    recipe: str | None = None
    page: Pixels | None = field(default=None, repr=False)


def write(path: Path, picture: Plain) -> None:
    """Write plain pixels, whole or not at all.

    Raises:
        OutputError: The disk is full, or the folder cannot be written.
    """
    info = asdict(picture.info)
    info |= {name: base64.b64encode(info[name]).decode() for name in BLOBS}
    images = [item.image() for item in (picture.pixels, picture.page) if item is not None]
    header = json.dumps(
        {
            "name": picture.name,
            "sha256": picture.sha256,
            "file_bytes": picture.file_bytes,
            "recipe": picture.recipe,
            "info": info,
            "images": [[i.width, i.height, i.bands, i.format, i.interpretation] for i in images],
        }
    ).encode()

    def content(file: BinaryIO) -> None:
        file.write(b"%010d\n" % len(header))
        file.write(header)
        for image in images:
            for strip in _strips(image):
                file.write(strip)

    with libvips.used():
        publish(path, content, overwrite=True)


def read(path: Path) -> Plain:
    """Read plain pixels; large ones stay in the file, which is mapped."""
    with path.open("rb") as file:
        header = json.loads(file.read(int(file.read(HEAD))))
        at = file.tell()
    images = []
    for width, height, bands, kind, space in header["images"]:
        with libvips.used():
            image = pyvips.Image.rawload(
                str(path), width, height, bands, offset=at, format=kind, interpretation=space
            )
            pixels = Pixels.of(image)
            images.append(pixels if pixels.nbytes > LARGE else Pixels.of(image.copy_memory()))
        at += pixels.nbytes
    return Plain(
        header["name"], images[0], _info(header["info"]), header["sha256"], header["file_bytes"],
        header["recipe"], images[1] if images[1:] else None,
    )  # fmt: skip


def _info(values: dict[str, Any]) -> FileInfo:
    values |= {name: base64.b64decode(values[name]) for name in BLOBS}
    dpi = values["dpi"]
    return FileInfo(**values | {"dpi": dpi and tuple(dpi), "notes": tuple(values["notes"])})


def _strips(image: pyvips.Image) -> Iterator[bytes]:
    """Yield the samples of an image a few rows at a time."""
    region, rows = pyvips.Region.new(image), max(1, STRIP // (image.width * image.bands))
    for top in range(0, image.height, rows):
        yield bytes(region.fetch(0, top, image.width, min(rows, image.height - top)))
