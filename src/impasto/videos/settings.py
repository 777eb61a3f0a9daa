"""`FilmSettings`: what is special to a film, beside the settings of a picture. No torch here."""

import math
from typing import Literal, Self

from pydantic import field_validator, model_validator

from impasto.config.model import SECONDS, Model, option, parse_quantity

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
        return self
