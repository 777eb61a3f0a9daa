"""Animated GIF and WebP, and folders of numbered pictures, read and written with Pillow and `Picture`.

torch comes late, with `Picture`: animations do without it.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from impasto.config.limits import Input
from impasto.errors import InputError, OutputError
from impasto.messages import printable, reason
from impasto.system.files import file_sha256, publish
from impasto.videos.clip import Clip, Frame, at_depth

MILLISECOND = Fraction(1, 1000)
SHORTEST = 20  # ms that viewers show a frame at least; shorter ones count as `USUAL`
USUAL = 100  # ms of a frame that states none
DIGITS = 6  # of the numbers of written frames


@dataclass(frozen=True)
class Animation(Clip):
    """An animated GIF or WebP, on white. `loop` is how often it repeats; 0: always."""

    loop: int = 0

    def sha256(self) -> str:
        """Return the hash of the file."""
        return file_sha256(self.path)

    def _decoded(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        for number, image in enumerate(_images(self.path)):
            yield self.ticks[number], _on_white(image)


@dataclass(frozen=True)
class PictureFolder(Clip):
    """A folder of pictures, which are the frames in the order of their numbers."""

    files: tuple[Path, ...] = ()

    def sha256(self) -> str:
        """Return the hash of the names and contents of all files."""
        result = hashlib.sha256()
        for file in self.files:
            result.update(f"{file.name}\n{file_sha256(file)}\n".encode(errors="backslashreplace"))
        return result.hexdigest()

    def _decoded(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        from impasto.image.picture import Picture

        for ticks, file in zip(self.ticks, self.files, strict=True):
            picture = Picture.open(file)
            if picture.has_alpha:
                picture = Picture.from_tensor(picture.tensor(), name=picture.name, source=picture)
            yield ticks, picture.array(16 if self.bits > 8 else 8)


def open_animation(path: Path) -> Animation:
    """Return the clip of an animated file; see `clip.open_clip`."""
    ticks: list[int] = []
    now, size, loop = 0, (0, 0), 0
    for image in _images(path):
        if not ticks:
            size, loop = image.size, int(image.info.get("loop", 1))
        ticks.append(now)
        length = round(float(image.info.get("duration") or USUAL))
        now += length if length >= SHORTEST else USUAL
    if len(ticks) < 2:
        raise InputError(f"{printable(path)} has one frame: impasto {printable(path)} STYLE paints it")
    return Animation(path, *size, MILLISECOND, tuple(ticks), now, loop=loop)


def open_folder(path: Path, fps: float) -> PictureFolder:
    """Return the clip of a folder; see `clip.open_clip`."""
    from impasto.image.picture import Picture

    try:
        names = [file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
    except OSError as error:
        raise InputError(f"the folder {printable(path)} cannot be read: {reason(error)}") from error
    files = sorted(names, key=_by_number)
    if not files:
        raise InputError(f"the folder {printable(path)} has no pictures; give a folder of frames")
    first = Picture.open(files[0])
    for file in files:
        one = f"{printable(file)} "
        if not any(letter.isdecimal() for letter in file.stem):
            one += "has no number in its name, as frames have"
        elif _size(found := Picture.open(file)) != _size(first):
            one += f"has {_size(found)} px, but the first frame {_size(first)}"
        else:
            continue
        raise InputError(
            f"{one}; for single pictures: impasto batch {printable(path)} --style PAINTING -o FOLDER"
        )
    tick = 1 / Fraction(fps).limit_denominator(1001)
    return PictureFolder(
        path, first.width, first.height, tick, tuple(range(len(files))), len(files), bits=first.bits,
        files=tuple(files),
    )  # fmt: skip


def write_animation(target: Path, clip: Clip, frames: Iterator[Frame], *, overwrite: bool = False) -> Path:
    """Write an animated GIF or WebP, completely or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    from PIL import Image

    stamps = [ticks for ticks in clip.ticks if clip.covers(ticks)]
    ends = [*stamps[1:], clip.end if clip.last is None else min(clip.last, clip.end)]
    lengths = [
        max(1, round((end - begin) * clip.tick / MILLISECOND))
        for begin, end in zip(stamps, ends, strict=True)
    ]

    def write(file: BinaryIO) -> None:
        images = (Image.fromarray(at_depth(frame.pixels, 8)) for frame in frames)
        first = next(images)
        gif = target.suffix.lower() == ".gif"
        options: dict[str, Any] = {} if gif else {"quality": 90, "method": 4}
        first.save(
            file, "GIF" if gif else "WEBP", save_all=True, append_images=images, duration=lengths,
            loop=clip.loop if isinstance(clip, Animation) else 0, **options,
        )  # fmt: skip

    return publish(target, write, overwrite=overwrite)


def write_folder(target: Path, frames: Iterator[Frame], bits: int, *, overwrite: bool = False) -> Path:
    """Write a folder of numbered PNG files, 000000.png and so on.

    Raises:
        OutputError: It cannot be written.
    """
    from impasto.image.picture import Picture

    try:
        target.mkdir(exist_ok=True)
    except OSError as error:
        message = f"cannot make the folder {printable(target)}: {reason(error)}; give another place"
        raise OutputError(message) from error
    for frame in frames:
        pixels = at_depth(frame.pixels, 16 if bits > 8 else 8)
        Picture.of(pixels).save(target / f"{frame.index:0{DIGITS}d}.png", overwrite=overwrite)
    return target


def _size(picture: Any) -> str:
    return f"{picture.width} x {picture.height}"


def _by_number(path: Path) -> tuple[Any, ...]:
    """Return what sorts names by the numbers in them: frame9 before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return tuple((int(part), part) if part.isdecimal() else (-1, part) for part in parts)


def _images(path: Path) -> Iterator[Any]:
    """Yield the frames of an animated file as pictures of Pillow.

    Raises:
        InputError: It cannot be read.
    """
    from PIL import Image, ImageSequence

    limits, name = Input.from_environment(), printable(path)
    try:
        with Image.open(path, formats=("GIF", "WEBP")) as image:
            if image.width * image.height > limits.max_pixels:
                raise InputError(f"{name} has more than {limits.max_pixels} px; --max-pixels allows more")
            for number, frame in enumerate(ImageSequence.Iterator(image)):
                if number >= limits.max_frames:
                    raise InputError(f"{name} has more than {limits.max_frames} frames; cut it")
                frame.load()  # WebP states its length then
                yield frame
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise InputError(f"cannot read {name}: {printable(str(error))}; give another file") from error


def _on_white(image: Any) -> npt.NDArray[np.uint8]:
    """Return an image (H, W, 3), composited over white."""
    from PIL import Image

    full = image.convert("RGBA")
    white = Image.new("RGBA", full.size, "white")
    return np.asarray(Image.alpha_composite(white, full).convert("RGB"))
