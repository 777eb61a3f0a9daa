"""What a caller sees of films: `video`, its settings and options, and what it returns. torch comes late."""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypedDict, Unpack

from pydantic import field_validator, model_validator

from impasto.config.model import SECONDS, Model, option, parse_quantity
from impasto.errors import ResourceError

if TYPE_CHECKING:
    from impasto.config.runtime import Runtime
    from impasto.config.settings import Settings
    from impasto.inputs.open import MaskLike, StyleLike
    from impasto.network.weights.load import WeightsLike
    from impasto.transfer.result import Step

MISSING = 'films need PyAV and OpenCV: pip install "impasto[video]"'
VIDEOS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".ts", ".mts", ".wmv")  # by their names
Codec = Literal["h264", "h265", "av1", "vp9", "prores", "ffv1"]


class FilmSettings(Model):
    """How a clip becomes a film.

    Raises:
        SettingsError: A value is out of range, of the wrong type, or its name is unknown.
    """

    steadiness: float = option(
        0.5,
        "How much a frame keeps of the one before: 0 paints each by itself, 1 holds strokes still at the "
        "cost of strength.",
        "Film",
        ge=0,
        le=1,
    )
    from_: float | None = option(
        None, "Where to begin in the clip, such as 12.5, 90s or 1:30. Default: its beginning.", "Film", ge=0
    )
    to: float | None = option(
        None, "Where to end in the clip, such as 20, 95s or 1:35. Default: its end.", "Film", gt=0
    )
    every: int = option(
        1,
        "Paint every so many frames only; those between are warped from their neighbors.",
        "Film",
        "frames",
        ge=1,
        le=4,
    )
    two_pass: bool = option(
        False,
        "Paint all frames again from the last to the first, each near the one after it: steadier, nearer to "
        "the paintings, and half as long again.",
        "Film",
    )
    fps: float = option(
        25.0, "Frames a second of a clip that is a folder of pictures.", "Film", gt=0, le=1000
    )
    codec: Codec | None = option(
        None, "Codec of the film. Default: h264, h265 for more than 8 bits, vp9 in .webm.", "Film"
    )
    crf: int | None = option(
        None,
        "Quality of the codec, lower is better. Default: by codec, visually lossless.",
        "Film",
        ge=0,
        le=63,
    )
    hdr: Literal["tone", "refuse"] = option(
        "tone", "HDR (PQ, HLG): toned to the range of BT.709, or refused.", "Film"
    )

    @field_validator("from_", "to", mode="before")
    @classmethod
    def _parse_time(cls, value: object) -> object:
        """Read `1:30`, `0:01:30.5`, `90s` or `90` as seconds."""
        if not isinstance(value, str) or ":" not in value:
            return parse_quantity(value, SECONDS, "such as 12.5 or 1:30") if isinstance(value, str) else value
        parts = value.strip().split(":")
        try:
            numbers = [float(part) for part in parts]
        except ValueError:
            numbers = []
        if (
            not 2 <= len(numbers) <= 3
            or not all(0 <= n < math.inf for n in numbers)
            or max(numbers[1:]) >= 60
        ):
            raise ValueError(f"must be a time such as 12.5, 1:30 or 0:01:30, not '{value}'")
        seconds = 0.0
        for number in numbers:
            seconds = 60 * seconds + number
        return seconds

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.to is not None and self.to <= (self.from_ or 0.0):
            raise ValueError(
                f"to: the end, {self.to:g} s, must be after the beginning, {self.from_ or 0:g} s"
            )
        if self.two_pass and (self.every > 1 or not self.steadiness):
            raise ValueError("two_pass: needs every 1 and a steadiness above 0; give the one or the other")
        return self


class FilmOptions(TypedDict, total=False):
    """Further arguments of `video`.

    `on_step` is called after every evaluation, `on_part` after every tile, `on_frame` with each `Painted`;
    `raise impasto.Stop` in one ends the film: what is painted is written.
    """

    runtime: Runtime | None
    weights: WeightsLike | None
    protect: MaskLike | None
    on_step: Callable[[Step], None] | None
    on_part: Callable[[], None] | None
    on_frame: Callable[[Painted], None] | None
    overwrite: bool


@dataclass(frozen=True)
class Painted:
    """One frame of a film: its number from 0, of about `count`, and how it was made.

    `start` is `scene` for the first frame of a scene, `last` for one that begins with the last frame,
    `next` for one that begins with the next frame, in the second pass, `between` for one that is warped from
    its neighbors, and `kept` for one that was there, or stays. `trusted` is the share of it that could
    be followed.
    """

    index: int
    count: int
    start: str
    evaluations: int = 0
    seconds: float = 0.0
    trusted: float = 0.0
    stopped: str = ""


@dataclass(frozen=True)
class Film:
    """What `video` returns.

    Attributes:
        path: The film; None where it was stopped before its first frame.
        frames: How many it has.
        scenes: The first frame of each scene.
        folder: Where its frames are kept, from which it goes on or is encoded again.
        seconds: What painting them took, this time.
        stopped: Why it ended early; empty if it did not.
        notes: What was changed in reading and writing, a sentence each.
        painted: One for each frame, and one more of the second pass.
    """

    path: Path | None
    frames: int
    scenes: tuple[int, ...]
    folder: Path
    seconds: float
    stopped: str = ""
    notes: tuple[str, ...] = ()
    painted: tuple[Painted, ...] = field(default=(), repr=False)


def check_installed() -> None:
    """Refuse to go on without the packages of films.

    Raises:
        ResourceError: One is missing.
    """
    if any(importlib.util.find_spec(name) is None for name in ("av", "cv2")):
        raise ResourceError(MISSING)


def video(
    clip: str | os.PathLike[str],
    style: StyleLike | Sequence[StyleLike],
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    film: FilmSettings | None = None,
    **options: Unpack[FilmOptions],
) -> Film:
    """Paint a clip in the style of paintings, so that strokes hold still from frame to frame.

    Finished frames lie in a folder beside the film, NAME.frames: the same call goes on after an interruption,
    and encodes again what is painted.

    Args:
        clip: A video, an animated GIF or WebP, or a folder of numbered pictures.
        style: The painting or paintings, as for `stylize`; a mask may be a clip as well.
        output: The film: .mp4, .mov, .mkv, .webm, .gif, .webp, or a folder for numbered pictures.
        settings: How the frames are to look, as for a picture; the defaults if None.
        film: What is special to films; the defaults if None.
        options: See `FilmOptions`.

    Raises:
        InputError: The clip or a picture cannot be read, a setting does not fit.
        OutputError: The film is there already or cannot be written; what is painted remains.
        ResourceError: PyAV or OpenCV is missing.
        WeightsError: The network's weights are not there.
    """
    check_installed()
    work = importlib.import_module("impasto.videos.film")  # late, with torch, PyAV and OpenCV
    result: Film = work.make_film(work.plan_film(clip, style, output, settings, film, **options))
    return result
