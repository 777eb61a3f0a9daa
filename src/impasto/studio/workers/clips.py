"""Clips in the decoding process: what an upload holds, and a frame of it. PyAV comes late; no torch here."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.config.limits import Input
from impasto.config.output import Output
from impasto.errors import ImpastoError, InputError
from impasto.image.encode import encode
from impasto.image.metadata import FileInfo
from impasto.image.pixels import from_array
from impasto.messages import printable
from impasto.system import libvips
from impasto.system.files import check_length, file_sha256
from impasto.system.lines import Message

if TYPE_CHECKING:
    from impasto.videos.clip import Clip

PREFIX = "clip-"  # of the id of a clip; the rest is the hash of its bytes
VIDEO = ".video"  # ending of a kept clip that is neither a GIF nor a WebP


def read_clip(request: Message) -> Message:
    """Check an upload and return what it holds; its first frame has been decoded."""
    source, name, limits = Path(request["source"]), str(request["name"]), Input(**request["limits"])
    with named(source, name):
        if not source.stat().st_size:
            check_length(b"", 1, printable(name))
        suffix = _suffix(source)
        clip = _opened(source, suffix)
        if clip.width * clip.height > limits.max_pixels:
            raise InputError(
                f"{printable(name)} has more than {limits.max_pixels} px; --max-pixels allows more"
            )
        if clip.count > limits.max_frames:
            raise InputError(f"{printable(name)} has more than {limits.max_frames} frames; cut it")
        clip.still()
    seconds = clip.seconds
    return {
        "clip": PREFIX + file_sha256(source),
        "name": name,
        "width": clip.width,
        "height": clip.height,
        "frames": clip.count,
        "seconds": round(seconds, 3),
        "rate": round(clip.count / seconds, 3) if seconds > 0 else 0.0,
        "notes": list(clip.notes),
        "suffix": suffix,
    }


def still(request: Message) -> bytes:
    """Return the first frame of a range of a clip, as a PNG file of the clip's own size."""
    source = Path(request["source"])
    with named(source, str(request["clip_name"])):
        clip = _opened(source, source.suffix).between(request["at"], request["to"])
        pixels = clip.still()
    with libvips.used():
        output = Output(bits=16 if clip.bits > 8 else 8, metadata="strip")
        return encode(from_array(pixels, "the frame"), FileInfo(output.bits or 8), ".png", output)


@contextlib.contextmanager
def named(path: Path, name: str) -> Iterator[None]:
    """Have errors inside the block say the client's name of a file."""
    try:
        yield
    except ImpastoError as error:
        text = (
            str(error)
            .replace(printable(path), printable(name))
            .replace(printable(path.name), printable(name))
        )
        raise type(error)(text) from error


def _suffix(path: Path) -> str:
    """Return the ending by which a clip is read, found in its first bytes."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[:3] == b"GIF":
        return ".gif"
    return ".webp" if head[:4] == b"RIFF" and head[8:] == b"WEBP" else VIDEO


def _opened(path: Path, suffix: str) -> "Clip":
    if suffix == VIDEO:
        from impasto.videos.video_file import open_video

        return open_video(path)
    from impasto.videos.animation import open_animation

    return open_animation(path)
