"""The recipe: all that is needed to make a picture again, and what making it took. No torch here.

It travels inside the picture's file. It names files without their folders, and knows them by hash.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from impasto._version import __version__
from impasto.config.model import Model, error_message
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import SettingsError
from impasto.messages import printable

SCHEMA = 1
GIVE = "give a picture made by impasto, or the recipe that --recipe wrote"


class InputRecord(Model):
    """What went in: name without folder, SHA-256, size in pixels, weight among the styles.

    The hash is that of the file's bytes, or of the pixels where the picture did not come from a file. A
    style has besides, where they were given, `mask`, `source_mask`, `stroke` and `layers`; a mask may have
    the `color` of a segmentation, or be the "rest" of all others, which is no picture.
    """

    name: str
    sha256: str
    width: int
    height: int
    weight: float = 1.0
    kind: Literal["file", "pixels", "rest"] = "file"
    bytes: int = 0  # length of the file; 0 where there was none
    color: str | None = None
    mask: InputRecord | None = None
    source_mask: InputRecord | None = None
    stroke: float | None = None
    layers: dict[str, float] | None = None

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what was not given: a recipe in a JPEG has no room for it."""
        return {name: value for name, value in handler(self).items() if value is not None}

    @property
    def pictures(self) -> tuple[InputRecord, ...]:
        """Itself and its masks, as far as they are pictures."""
        masks = (self.mask, self.source_mask)
        return (self, *(mask for mask in masks if mask is not None and mask.kind != "rest"))

    @property
    def region(self) -> tuple[object, ...]:
        """What makes two masks the same."""
        return (self.kind, self.sha256, self.color)

    @property
    def wanted(self) -> tuple[object, ...]:
        """What makes two styles the same, wherever their files lie and whatever these are called."""
        masks = [None if m is None else m.region for m in (self.mask, self.source_mask)]
        layers = None if self.layers is None else tuple(self.layers.items())
        return (self.sha256, self.weight, *masks, self.stroke, layers)


class ScaleRecord(Model):
    """What one scale took: its size in pixels, evaluations spent, seconds, why it ended."""

    width: int
    height: int
    evaluations: int
    seconds: float
    reason: str


class WeightChange(Model):
    """A stretch of evaluations with the same weights, as the strength set them.

    `scale` counts from 1. `after` evaluations of that scale the ratio of the neutral terms, style to content,
    was `ratio`, and from there on the weights were these; at the last one of a scale the ratio is what was
    achieved. None: it was not measured, as at the beginning of a scale, or the photo was unchanged.
    """

    scale: int = Field(ge=1)
    after: int = Field(ge=0)
    content_weight: float = Field(ge=0)
    style_weight: float = Field(ge=0)
    ratio: float | None = None


class Calibration(Model):
    """How a strength became weights: the ratio aimed at, and the weights stretch by stretch."""

    goal: float = Field(gt=0)
    stretches: tuple[WeightChange, ...] = ()

    @property
    def achieved(self) -> float | None:
        """The ratio measured last."""
        return self.stretches[-1].ratio if self.stretches else None

    def __str__(self) -> str:
        """Say which weights were set, those of each scale at its end, and what they achieved."""
        last = {item.scale: item for item in self.stretches}.values()
        alphas = " then ".join(dict.fromkeys(f"{item.content_weight:g}" for item in last))
        betas = ", then ".join(f"{item.style_weight:g}" for item in last)
        wanted = f"of {self.goal:.3g}"
        found = "" if self.achieved is None else f"; style to content {self.achieved:.3g} {wanted}"
        return f"content weight {alphas}, style weight {betas}{found}"


class Recipe(Model):
    """All that is needed to make a picture again, and what making it took."""

    schema_version: Literal[1] = 1
    impasto: str
    created: str
    settings: Settings
    runtime: Runtime
    content: InputRecord
    styles: tuple[InputRecord, ...]
    init_picture: InputRecord | None = None
    protect: InputRecord | None = None
    weights: str
    weights_sha256: str
    scales: tuple[ScaleRecord, ...]
    losses: dict[str, float]
    seconds: float
    stopped: str
    reproducible: bool
    pixels_sha256: str = ""  # of the result before it was encoded; see `Picture.pixels_sha256`
    machine: dict[str, str]
    calibration: Calibration | None = None  # where a strength was asked for

    @property
    def pictures(self) -> tuple[InputRecord, ...]:
        """All that went in: the photo, the paintings with their masks, the start, what is protected."""
        others = [item for item in (self.init_picture, self.protect) if item is not None]
        painted = [picture for style in self.styles for picture in style.pictures]
        return (self.content, *painted, *(item for item in others if item.kind != "rest"))

    def to_json(self) -> str:
        """Return the recipe as indented JSON, ending in a newline."""
        return self.model_dump_json(indent=2) + "\n"

    def to_line(self) -> str:
        """Return the recipe as JSON in one line, as it is put into a picture's file."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes, label: str = "") -> Recipe:
        """Read a recipe back; `label` names where it was found, for messages.

        Raises:
            SettingsError: It is not JSON, or not a recipe of this version.
        """
        where = f"{label}: " if label else ""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{where}not a recipe: invalid JSON ({error}); {GIVE}") from error
        if not isinstance(values, dict):
            raise SettingsError(f"{where}not a recipe: it is no JSON object; {GIVE}")
        version = values.get("schema_version", SCHEMA)
        if version != SCHEMA:
            made = printable(str(values.get("impasto", "another version"))[:40])
            raise SettingsError(
                f"{where}the recipe is of form {version!r}, made by impasto {made}; this is impasto "
                f"{__version__}, which reads form {SCHEMA}: use that version"
            )
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            said = error_message("recipe", error, cls.model_fields)
            raise SettingsError(f"{where}not a recipe of this version: {said}; {GIVE}") from error
        except SettingsError as error:
            raise SettingsError(f"{where}not a recipe of this version: {error}; {GIVE}") from error
