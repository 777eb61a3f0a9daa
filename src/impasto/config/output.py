"""How a result is written (`Output`): part of the one table of defaults, as `settings.py`. No torch here."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from impasto.config.model import Model, option

Metadata = Literal["keep", "minimal", "strip"]


class Output(Model):
    """How the result is written into its file.

    Raises:
        SettingsError: A value is out of range, of the wrong type, or its name is unknown.
    """

    bits: Literal[8, 16] | None = option(
        None,
        "Bits of each colour; 16 in PNG and TIFF. Default: the photo's, where the format can.",
        "Output",
    )
    jpeg_quality: int = option(
        95, "Quality of JPEG, WebP and AVIF; colour is never subsampled.", "Output", ge=1, le=100
    )
    metadata: Metadata = option(
        "minimal",
        "keep: the photo's too, with place and camera; minimal: recipe, profile, resolution; strip: none.",
        "Output",
    )

    @field_validator("bits", mode="before")
    @classmethod
    def _parse_bits(cls, value: object) -> object:
        return int(value) if isinstance(value, str) and value.isdigit() else value
