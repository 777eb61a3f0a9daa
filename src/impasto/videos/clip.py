"""A clip: frames one after the other, upright, with exact time stamps. torch is not needed here.

A clip is a video file, an animated GIF or WebP, or a folder of numbered pictures. Pixels are RGB,
sRGB-encoded or as the video's tags say, and square.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from impasto.errors import InputError
from impasto.messages import printable

ANIMATIONS = (".gif", ".webp")
UNSPECIFIED = 2  # of color tags


@dataclass(frozen=True)
class Frame:
    """One frame: its number in the range, its time in ticks of the clip, and (H, W, 3) of uint8 or uint16."""

    index: int
    ticks: int
    pixels: npt.NDArray[Any] = field(repr=False)


@dataclass(frozen=True)
class Tags:
    """What a video states about its colors, as numbers of ITU-T H.273 and, of the range, of FFmpeg."""

    primaries: int = 1
    transfer: int = 1
    matrix: int = 1
    range: int = 1


@dataclass(frozen=True)
class Clip(ABC):
    """A clip that can be read again and again.

    Attributes:
        path: The file or folder.
        width: In square pixels, upright.
        height: Likewise.
        tick: The unit of time stamps, in seconds.
        ticks: When each frame is shown, as far as the file tells without decoding.
        end: When the last frame ends.
        bits: Of a color in the file.
        tags: Of the colors of the frames.
        notes: What was changed when reading, a sentence each.
        first: Ticks where the range begins; None: where the clip does.
        last: Ticks where it ends.
    """

    path: Path
    width: int
    height: int
    tick: Fraction
    ticks: tuple[int, ...] = field(repr=False)
    end: int
    bits: int = 8
    tags: Tags = Tags()
    notes: tuple[str, ...] = ()
    first: int | None = None
    last: int | None = None

    @property
    def count(self) -> int:
        """Frames in the range."""
        return sum(self.covers(ticks) for ticks in self.ticks)

    @property
    def start(self) -> int:
        """Ticks of the first frame in the range."""
        return next((ticks for ticks in self.ticks if self.covers(ticks)), 0)

    @property
    def seconds(self) -> float:
        """Length of the range."""
        end = self.end if self.last is None else min(self.last, self.end)
        return float((end - self.start) * self.tick)

    def covers(self, ticks: int) -> bool:
        """Whether a frame at this time is in the range."""
        return (self.first is None or ticks >= self.first) and (self.last is None or ticks < self.last)

    def between(self, begin: float | None, end: float | None) -> "Clip":
        """Return the clip in a range of seconds from its beginning.

        Raises:
            InputError: No frame is in it.
        """
        zero = self.ticks[0]
        first, last = (None if at is None else zero + _ticks(at, self.tick) for at in (begin, end))
        clip = replace(self, first=first, last=last)
        if not clip.count:
            length = float((self.end - zero) * self.tick)
            raise InputError(f"{printable(self.path)} is {length:.3g} s long: no frame is in that range")
        return clip

    def frames(self) -> Iterator[Frame]:
        """Yield the frames of the range; times only ever grow.

        Raises:
            InputError: None can be decoded.
        """
        index, before = 0, None
        for ticks, pixels in self._decoded():
            if self.last is not None and ticks >= self.last:
                break
            if not self.covers(ticks):
                continue
            if before is not None and ticks <= before:
                ticks = before + 1
            yield Frame(index, ticks, pixels)
            index, before = index + 1, ticks
        if not index:
            raise InputError(f"{printable(self.path)}: no frame can be decoded; copy the file again")

    def still(self) -> npt.NDArray[Any]:
        """Return the first frame of the range, (H, W, 3); what is before it need not be decoded.

        Raises:
            InputError: It cannot be decoded.
        """
        return next(self.frames()).pixels

    @abstractmethod
    def _decoded(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """Yield the ticks and pixels of all frames."""

    @abstractmethod
    def sha256(self) -> str:
        """Return the hash of all that is read."""


def _ticks(seconds: float, tick: Fraction) -> int:
    """Return seconds in ticks, rounded up."""
    return -int(-Fraction(seconds).limit_denominator(1_000_000) // tick)


def at_depth(pixels: npt.NDArray[Any], bits: int) -> npt.NDArray[Any]:
    """Return (H, W, 3) of uint8 or uint16 with 8 or 16 bits."""
    if bits == 8 and pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if bits == 16 and pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * 257
    return pixels
