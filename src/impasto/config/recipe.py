"""The recipe: everything needed to make a picture again, and measurements of its run. No torch here.

It is stored in the picture's file. It has names of files without folders, and their hashes.
"""

import json
import logging
from typing import Any, Literal, Self

from pydantic import SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator

from impasto._version import __version__
from impasto.config.model import Model, error_message
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import SettingsError
from impasto.messages import printable

SCHEMA = 1
CALIBRATION = "calibration"  # of earlier versions: the weights that a strength set
REMEDY = "give a picture made by impasto, or the recipe that --recipe wrote"
log = logging.getLogger(__name__)


class InputRecord(Model):
    """One input: name without folder, SHA-256, size in pixels, weight among the styles.

    The hash is that of the file, or of the pixels of a picture without a file. A style may have `mask`,
    `source_mask`, `stroke` and `layers`. A mask may have the `color` of a segmentation, or be the "rest"
    outside all others, which is no picture.
    """

    name: str
    sha256: str
    width: int
    height: int
    weight: float = 1.0
    kind: Literal["file", "pixels", "rest"] = "file"
    bytes: int = 0  # length of the file; 0 without one
    color: str | None = None
    mask: Self | None = None
    source_mask: Self | None = None
    stroke: float | None = None
    layers: dict[str, float] | None = None

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out fields without a value, for the space in a JPEG is small."""
        return {name: value for name, value in handler(self).items() if value is not None}

    @property
    def pictures(self) -> tuple[Self, ...]:
        """This input and its masks, without a "rest"."""
        masks = (self.mask, self.source_mask)
        return (self, *(mask for mask in masks if mask is not None and mask.kind != "rest"))

    @property
    def region(self) -> tuple[object, ...]:
        """Two masks with equal values are the same region."""
        return (self.kind, self.sha256, self.color)

    @property
    def identity(self) -> tuple[object, ...]:
        """Two styles with equal values are the same, whatever the names of their files."""
        masks = [None if m is None else m.region for m in (self.mask, self.source_mask)]
        layers = None if self.layers is None else tuple(self.layers.items())
        return (self.sha256, self.weight, *masks, self.stroke, layers)


class ScaleRecord(Model):
    """One scale of a run: size in pixels, evaluations, seconds, and why it ended."""

    width: int
    height: int
    evaluations: int
    seconds: float
    reason: str


class Recipe(Model):
    """Everything needed to make a picture again, and measurements of its run."""

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

    @model_validator(mode="before")
    @classmethod
    def _as_it_was(cls, values: Any) -> Any:
        """Give a recipe from before a setting the value that repeats its picture, not the default."""
        if not isinstance(values, dict):
            return values
        before: dict[str, dict[str, Any]] = {
            "settings": {"partial_windows": "drop", "neighbours_from": 0},
            "runtime": {"kernels": "winograd"},
        }
        for part, missing in before.items():
            if isinstance(values.get(part), dict):
                values = {**values, part: missing | values[part]}
        return _with_one_weight(values)

    @property
    def pictures(self) -> tuple[InputRecord, ...]:
        """All inputs: the photo, the paintings with their masks, the start, the protected region."""
        others = [item for item in (self.init_picture, self.protect) if item is not None]
        styles = [picture for style in self.styles for picture in style.pictures]
        return (self.content, *styles, *(item for item in others if item.kind != "rest"))

    def made_with(self, settings: Settings) -> bool:
        """Whether these are the recipe's settings; the network's weights stand in `weights` alone."""
        return self.settings == settings.changed(weights=None)

    def to_json(self) -> str:
        """Return the recipe as indented JSON, ending in a newline."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, label: str = "") -> Self:
        """Return the recipe in a JSON text; `label` names its file in messages.

        A warning says so where the style's weight changed during the run, as in earlier versions.

        Raises:
            SettingsError: It is not JSON, or not a recipe of this version.
        """
        where = f"{label}: " if label else ""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{where}not a recipe: invalid JSON ({error}); {REMEDY}") from error
        if not isinstance(values, dict):
            raise SettingsError(f"{where}not a recipe: it is no JSON object; {REMEDY}")
        version = values.get("schema_version", SCHEMA)
        if version != SCHEMA:
            made = printable(str(values.get("impasto", "another version"))[:40])
            raise SettingsError(
                f"{where}the recipe is of form {version!r}, made by impasto {made}; this is impasto "
                f"{__version__}, which reads form {SCHEMA}: use that version"
            )
        try:
            recipe = cls.model_validate_json(text)
        except (ValidationError, SettingsError) as error:
            message = str(error)
            if isinstance(error, ValidationError):
                message = error_message("recipe", error, cls.model_fields)
            raise SettingsError(f"{where}not a recipe of this version: {message}; {REMEDY}") from error
        if values.get(CALIBRATION):
            log.warning(
                "%sthe strength of an earlier version changed the style weight during the run; the last one, "
                "%g, is used",
                where,
                recipe.settings.style_weight,
            )
        return recipe


def _with_one_weight(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a recipe, of an earlier version's strength only the last style weight.

    That strength was null, or changed the style weight during the run; each change is in `calibration`.
    """
    settings, calibration = values.get("settings"), values.get(CALIBRATION)
    if not isinstance(settings, dict):
        return values
    settings = {"strength": 1.0} | {n: v for n, v in settings.items() if (n, v) != ("strength", None)}
    if isinstance(calibration, dict):
        try:
            last = calibration["stretches"][-1]["style_weight"]
        except (KeyError, IndexError, TypeError):
            return values
        settings |= {"strength": 1.0, "style_weight": last}
    elif calibration is not None:
        return values
    return {n: v for n, v in values.items() if n != CALIBRATION} | {"settings": settings}
