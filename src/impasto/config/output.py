"""`Output`: bits, quality and metadata of a result's file, with defaults. No torch here."""

from typing import Literal, Self

from pydantic import field_validator, model_validator

from impasto.config.model import Model, option

Metadata = Literal["keep", "minimal", "strip"]


class Output(Model):
    """Bits, quality and metadata of a result's file.

    Raises:
        SettingsError: A value is out of range, of the wrong type, or its name is unknown.
    """

    bits: Literal[8, 16] | None = option(
        None,
        "Bits per color, 8 or 16 (PNG and TIFF only). Default: as the photo, if the format allows.",
        "Output",
    )
    jpeg_quality: int = option(
        95,
        "Quality of JPEG, WebP and AVIF; JPEG and AVIF without chroma subsampling.",
        "Output",
        ge=1,
        le=100,
    )
    metadata: Metadata = option(
        "minimal",
        "keep: also the photo's, with place and camera; minimal: recipe, profile, resolution; strip: none.",
        "Output",
    )
    dpi: float | None = option(
        None,
        "Resolution that the file states, for printing. Default: the photo's.",
        "Output",
        "dots per inch",
        ge=1,
        le=100_000,
    )

    @field_validator("bits", mode="before")
    @classmethod
    def _parse_bits(cls, value: object) -> object:
        return int(value) if isinstance(value, str) and value.isdigit() else value

    @model_validator(mode="after")
    def _check_dpi(self) -> Self:
        if self.dpi is not None and self.metadata == "strip":
            raise ValueError(
                "dpi is metadata, which strip leaves out: take metadata minimal, or leave out dpi"
            )
        return self
