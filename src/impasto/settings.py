"""What is wanted (`Settings`, `Style`), how it is computed (`Runtime`), and the record of both (`Recipe`).

The one table of defaults: flags, help, documentation and the recipe are all made from these models.
No torch here, so that `impasto --help` stays quick.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from impasto.conventions import Convention
from impasto.errors import SettingsError, did_you_mean
from impasto.layers import ORDER, check_layer

Quality = Literal["draft", "good", "best"]
Init = Literal["content", "noise", "gray", "style", "picture"]
Groups = Literal["Look", "Size", "Speed", "Start", "Expert", "Machine"]

QUALITY: dict[Quality, int] = {"draft": 25, "good": 60, "best": 200}  # evaluations at each scale
STYLE_LAYERS = {f"relu{block}_1": 1.0 for block in range(1, 6)}
DEFAULT_LONG_EDGE = 512  # px; of the output where no size is given and the photo is larger
LARGEST_EDGE = 30_000  # px


def _option(default: Any, help: str, group: Groups, unit: str = "", **limits: Any) -> Any:
    """Return a pydantic field with its help, unit and command line group."""
    extra: dict[str, Any] = {"group": group, "unit": unit}
    if isinstance(default, dict):
        copied = dict(default)
        return Field(
            default_factory=lambda: dict(copied),
            description=help,
            json_schema_extra=extra,
            **limits,
        )
    return Field(default=default, description=help, json_schema_extra=extra, **limits)


def _explain(model: str, error: ValidationError, known: Mapping[str, Any]) -> str:
    """Say in one line which fields are wrong and why."""
    lines = []
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else model
        if item["type"] == "extra_forbidden":
            hint = did_you_mean(name, known) or f" Known: {', '.join(known)}."
            lines.append(f"unknown setting '{name}'.{hint}")
            continue
        message = item["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        given = "" if item["type"] in ("value_error", "missing") else f", not {item['input']!r}"
        lines.append(f"{name}: {message}{given}" if item["loc"] else f"{message}{given}")
    return "; ".join(lines)


class _Model(BaseModel):
    """Frozen, refuses unknown keys and non-finite numbers, and raises our own errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            known = type(self).model_fields
            raise SettingsError(_explain(type(self).__name__, error, known)) from error

    def changed(self, **values: Any) -> Self:
        """Return a copy with some values changed, checked again."""
        return type(self)(**{**self.model_dump(), **values})


def parse_layers(value: object) -> object:
    """Turn `"relu1_1, relu2_1=0.5"` or a sequence of such names into `{name: weight}`."""
    if isinstance(value, str):
        value = [part for part in value.replace(",", " ").split() if part]
    if not isinstance(value, (list, tuple)):
        return value
    layers: dict[str, object] = {}
    for part in value:
        name, _, weight = str(part).partition("=")
        try:
            layers[name] = float(weight) if weight else 1.0
        except ValueError:
            raise ValueError(f"the weight of layer '{name}' must be a number") from None
    return layers


class Settings(_Model):
    """Everything that decides how the picture looks.

    The defaults are the recommended ones; `Settings.preset("paper")` gives the paper's form to the letter.

    Raises:
        SettingsError: A value is out of range, of the wrong type, or its name is unknown.
    """

    content_weight: float = _option(
        1.0, "Weight of the photo (alpha). Higher keeps more of the photo.", "Look", ge=0
    )
    style_weight: float = _option(
        1000.0, "Weight of the painting (beta). Higher paints more boldly.", "Look", ge=0
    )
    total_variation: float = _option(
        0.0, "Weight of smoothness. Higher removes fine grain; try 1e7.", "Look", ge=0
    )
    size: int | None = _option(
        None,
        f"Long edge of the result. Default: the photo's, at most {DEFAULT_LONG_EDGE}.",
        "Size",
        "px",
        ge=1,
        le=LARGEST_EDGE,
    )
    min_size: int = _option(
        256,
        "Coarse to fine: each scale doubles, none is below this long edge. As large as --size: one scale.",
        "Size",
        "px",
        ge=1,
        le=LARGEST_EDGE,
    )
    detail: float = _option(
        1.0,
        "Share of the photo's fine detail brought back when the picture grows to the next scale.",
        "Size",
        ge=0,
        le=1,
    )
    quality: Quality = _option(
        "good",
        "How many evaluations at each scale: "
        + ", ".join(f"{name} {count}" for name, count in QUALITY.items())
        + ".",
        "Speed",
    )
    evaluations: int | None = _option(
        None,
        "Network passes at each scale; overrides --quality.",
        "Speed",
        "passes",
        ge=1,
        le=100_000,
    )
    tolerance: float = _option(
        0.0,
        "End a scale when 20 evaluations lower the loss by less than this share; 0: never.",
        "Speed",
        ge=0,
        lt=1,
    )
    init: Init = _option(
        "content",
        "Start from the photo, white noise, gray noise, the painting or a picture.",
        "Start",
    )
    init_noise: float = _option(
        0.0,
        "Share of white noise mixed into the start (0: none, 1: only noise).",
        "Start",
        ge=0,
        le=1,
    )
    seed: int = _option(0, "Seed of the noise.", "Start", ge=0, le=2**63 - 1)
    content_layers: dict[str, float] = _option(
        {"relu4_2": 1.0}, "Layers that keep the photo, as NAME or NAME=WEIGHT, by commas.", "Expert"
    )
    style_layers: dict[str, float] = _option(
        STYLE_LAYERS, "Layers that carry the style, as NAME or NAME=WEIGHT, by commas.", "Expert"
    )
    convention: Convention = _option(
        "mean",
        "Formula of the losses: means (size does not matter), the paper's sums, or another program's.",
        "Expert",
    )
    pooling: Literal["max", "average", "l2"] = _option("max", "Pooling of the network.", "Expert")
    padding: Literal["zero", "reflect", "replicate"] = _option(
        "zero", "What the network sees around the picture.", "Expert"
    )
    solver: Literal["lbfgs", "scipy", "adam"] = _option(
        "lbfgs", "L-BFGS in torch, SciPy's L-BFGS-B (never bounded), or Adam.", "Expert"
    )
    bounded: bool = _option(
        True, "Keep pixels in the range that a file can hold while optimising.", "Expert"
    )
    history: int = _option(
        10, "Curvature pairs that L-BFGS remembers.", "Expert", "pairs", ge=1, le=1000
    )
    learning_rate: float = _option(
        0.02, "Step of Adam, in units of the pixel range.", "Expert", gt=0, le=1
    )

    @field_validator("content_layers", "style_layers", mode="before")
    @classmethod
    def _parse_layers(cls, value: object) -> object:
        return parse_layers(value)

    @field_validator("content_layers", "style_layers")
    @classmethod
    def _check_layers(cls, value: dict[str, float]) -> dict[str, float]:
        for name, weight in value.items():
            try:
                check_layer(name)
            except SettingsError as error:
                raise ValueError(str(error)) from error
            if weight < 0:
                raise ValueError(f"the weight of layer '{name}' must not be negative")
        return dict(sorted(value.items(), key=lambda item: ORDER[item[0]]))

    @model_validator(mode="after")
    def _check_terms(self) -> Self:
        if not self.content_term and not self.style_term:
            raise ValueError(
                "nothing to do: give content_weight or style_weight (with a layer) a value above 0"
            )
        return self

    @property
    def content_term(self) -> bool:
        """Whether the photo takes part in the loss."""
        return self.content_weight > 0 and any(self.content_layers.values())

    @property
    def style_term(self) -> bool:
        """Whether the painting takes part in the loss."""
        return self.style_weight > 0 and any(self.style_layers.values())

    @property
    def passes(self) -> int:
        """Evaluations at each scale: `evaluations`, or what `quality` stands for."""
        return QUALITY[self.quality] if self.evaluations is None else self.evaluations

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Settings:
        """Return the settings of a preset, with changes.

        Args:
            name: `default` or `paper` (Gatys, Ecker and Bethge, to the letter).
            changes: Fields that differ from the preset.

        Raises:
            SettingsError: The preset or a field is unknown, or a value is out of range.
        """
        if name not in PRESETS:
            hint = did_you_mean(name, PRESETS) or f" Known: {', '.join(PRESETS)}."
            raise SettingsError(f"unknown preset '{name}'.{hint}")
        if "quality" in changes:  # a preset's number of evaluations would override it
            changes.setdefault("evaluations", None)
        return cls(**{**PRESETS[name], **changes})


# The paper's form: alpha 0.025, beta 5, w_l 1/5, sums, white noise, unbounded SciPy L-BFGS-B, 10 rounds of
# 20 evaluations. Max pooling, as trained; the paper's average pooling is `pooling="average"`.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": {
        "content_weight": 0.025,
        "style_weight": 5.0,
        "total_variation": 0.0,
        "size": 512,
        "min_size": LARGEST_EDGE,
        "evaluations": 200,
        "init": "noise",
        "content_layers": {"relu4_2": 1.0},
        "style_layers": dict.fromkeys(STYLE_LAYERS, 0.2),
        "convention": "paper",
        "pooling": "max",
        "padding": "zero",
        "solver": "scipy",
        "bounded": False,
    },
}


class Runtime(_Model):
    """How a picture is computed: does not change what is wanted, but may change the last digits.

    Repeats with the same `Settings`, inputs and `Runtime` on the same machine give the same bytes.

    Raises:
        SettingsError: A value is out of range, of the wrong type, or its name is unknown.
    """

    device: str = _option(
        "auto",
        "auto, cpu, cuda, cuda:1 or mps.",
        "Machine",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
    )
    threads: int | None = _option(
        None,
        "Processor threads. Default: as many as the machine lets us use.",
        "Machine",
        ge=1,
        le=1024,
    )
    precision: Literal["auto", "fp32", "bf16"] = _option(
        "auto", "Number format inside the network; auto takes bf16 where it is fast.", "Machine"
    )


@dataclass(frozen=True)
class Style:
    """One painting and its share among several.

    Args:
        picture: A path, the bytes of a file, or a `Picture`.
        weight: Share relative to the other styles; only ratios matter.

    Raises:
        SettingsError: The weight is negative or not a number.
    """

    picture: Any
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (isinstance(self.weight, (int, float)) and math.isfinite(self.weight)):
            raise SettingsError(f"style weight: must be a finite number, not {self.weight!r}")
        if self.weight < 0:
            raise SettingsError(f"style weight: must not be negative, not {self.weight!r}")


class InputRecord(_Model):
    """Which file went in: name without folder, SHA-256 of its bytes, size in pixels, weight."""

    name: str
    sha256: str
    width: int
    height: int
    weight: float = 1.0


class ScaleRecord(_Model):
    """What one scale took: its size in pixels, evaluations spent, seconds, why it ended."""

    width: int
    height: int
    evaluations: int
    seconds: float
    reason: str


class Recipe(_Model):
    """All that is needed to make a picture again, and what making it took."""

    schema_version: Literal[1] = 1
    impasto: str
    created: str
    settings: Settings
    runtime: Runtime
    content: InputRecord
    styles: tuple[InputRecord, ...]
    init_picture: InputRecord | None = None
    weights: str
    weights_sha256: str
    scales: tuple[ScaleRecord, ...]
    losses: dict[str, float]
    seconds: float
    stopped: str
    reproducible: bool
    machine: dict[str, str]

    def to_json(self) -> str:
        """Return the recipe as indented JSON, ending in a newline."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Recipe:
        """Read a recipe back.

        Raises:
            SettingsError: It is not JSON, or not a recipe of this version.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise SettingsError(
                f"not a recipe: {_explain('recipe', error, cls.model_fields)}"
            ) from error
        except SettingsError as error:
            raise SettingsError(f"not a recipe: {error}") from error
