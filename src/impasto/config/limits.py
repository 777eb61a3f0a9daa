"""`Input`: limits for files that are read as pictures, with defaults. No torch here.

They are checked before anything is unpacked. Without an `Input` of the caller, the environment counts, such
as `IMPASTO_MAX_PIXELS=400MP`, then the defaults::

    Picture.open("map.png", limits=Input(max_pixels="400MP"))
"""

import os
from typing import Self

from pydantic import ValidationInfo, field_validator

from impasto.config.model import BYTES, COUNTS, PREFIX, Model, option, parse_quantity
from impasto.config.synonyms import value_hint
from impasto.system.files import MAX_BYTES

FORMATS = (  # recognized by content, not by name
    *("jpeg", "png", "tiff", "webp", "avif", "heic", "gif", "bmp"),
    *("jpeg2000", "pnm", "tga", "qoi", "sgi", "psd"),
)


class Input(Model):
    """Limits for files that are read as pictures, checked before anything is unpacked.

    Raises:
        SettingsError: A value is out of range, of the wrong type, or its name is unknown.
    """

    max_pixels: int = option(202_000_000, "Most pixels of a picture, such as 400MP.", "Input", "px", ge=1)
    max_side: int = option(30_000, "Longest side of a picture.", "Input", "px", ge=1, le=2**31 - 1)
    max_bytes: int = option(MAX_BYTES, "Largest file of a picture, such as 500MB.", "Input", "bytes", ge=1)
    max_frames: int = option(
        100_000, "Most frames or pages of a file, of which the first is used.", "Input", ge=1
    )
    max_text: int = option(
        4_000_000,
        "Most bytes that the texts and profiles of a PNG may unpack to, such as 20MB.",
        "Input",
        "bytes",
        ge=1,
    )
    formats: str | None = option(
        None, "Formats to read, such as jpeg,png. Default: all that doctor lists.", "Input"
    )

    @field_validator("max_pixels", "max_bytes", "max_text", mode="before")
    @classmethod
    def _parse_units(cls, value: object, info: ValidationInfo) -> object:
        pixels = info.field_name == "max_pixels"
        units, example = (COUNTS, "such as 400MP") if pixels else (BYTES, "such as 500MB")
        return parse_quantity(value, units, example) if isinstance(value, str) else value

    @field_validator("formats")
    @classmethod
    def _check_formats(cls, value: str | None) -> str | None:
        if value is None:
            return None
        names = [name for name in value.lower().replace(",", " ").split() if name]
        for name in names or [value]:
            if name not in FORMATS:
                hint = value_hint(name, FORMATS) or f" Known: {', '.join(FORMATS)}."
                raise ValueError(f"unknown format '{name}'.{hint}")
        return ",".join(names)

    def allows(self, name: str) -> bool:
        """Whether files of this format are read."""
        return self.formats is None or name in self.formats.split(",")

    @staticmethod
    def variable(name: str) -> str:
        """Return the name of the environment variable of a limit."""
        return PREFIX + name.upper()

    @classmethod
    def from_environment(cls) -> Self:
        """Return the limits from the environment, else the defaults.

        Raises:
            SettingsError: A value there is wrong.
        """
        names = {name: cls.variable(name) for name in cls.model_fields}
        values = {name: os.environ.get(variable) for name, variable in names.items()}
        return cls.from_texts({name: value for name, value in values.items() if value}, names)
