"""What is wanted (`Settings`, `Style`), how it is computed (`Runtime`), how it is written (`Output`).

The one table of defaults, with `limits.Input` for what is read: flags, help, documents, settings files and
the recipe are made from these models.
No torch here, so that `impasto --help` stays quick.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from impasto import sheets
from impasto.conventions import Convention
from impasto.errors import SettingsError
from impasto.layers import ORDER, check_layer
from impasto.models import Model, given, option
from impasto.units import BYTES, SECONDS, measured

Quality = Literal["draft", "good", "best"]
Init = Literal["content", "noise", "gray", "style", "picture"]
Metadata = Literal["keep", "minimal", "strip"]

QUALITY: dict[Quality, int] = {"draft": 25, "good": 60, "best": 200}  # evaluations at each scale
STYLE_LAYERS = {f"relu{block}_1": 1.0 for block in range(1, 6)}
DEFAULT_LONG_EDGE = 512  # px; of the output where no size is given and the photo is larger
LARGEST_EDGE = 30_000  # px
LARGEST_WEIGHT = 1e100  # of a loss; with any of them the losses are far from the ends of a float


def parse_layers(value: object) -> object:
    """Turn `"relu1_1, relu2_1=0.5"` or a sequence of such names into `{name: weight}`."""
    if isinstance(value, str):
        value = [part for part in value.replace(",", " ").split() if part]
    if not isinstance(value, (list, tuple)):
        return value
    layers: dict[str, object] = {}
    for part in value:
        name, equals, weight = str(part).partition("=")
        try:
            layers[name] = float(weight) if equals else 1.0
        except ValueError:
            raise ValueError(f"the weight of layer '{name}' must be a number") from None
    return layers


class Settings(Model):
    """Everything that decides how the picture looks.

    The defaults are the recommended ones; `Settings.preset("paper")` gives the paper's form to the letter.

    Raises:
        SettingsError: A value is out of range, of the wrong type, or its name is unknown.
    """

    content_weight: float = option(
        1.0, "Weight of the photo (alpha). Higher keeps more of the photo.", "Look", ge=0
    )
    style_weight: float = option(
        1000.0, "Weight of the painting (beta). Higher paints more boldly.", "Look", ge=0
    )
    total_variation: float = option(
        0.0,
        "Weight of smoothness. Higher removes fine grain; in --convention mean try 1e7.",
        "Look",
        ge=0,
    )
    size: int | None = option(
        None,
        f"Long edge of the result. Default: the photo's, at most {DEFAULT_LONG_EDGE}.",
        "Size",
        "px",
        ge=1,
        le=LARGEST_EDGE,
    )
    min_size: int = option(
        256,
        "Coarse to fine: each scale doubles, none is below this long edge. As large as --size: one scale.",
        "Size",
        "px",
        ge=1,
        le=LARGEST_EDGE,
    )
    detail: float = option(
        1.0,
        "Share of the photo's fine detail brought back when the picture grows to the next scale.",
        "Size",
        ge=0,
        le=1,
    )
    quality: Quality = option(
        "good",
        "How many evaluations at each scale: "
        + ", ".join(f"{name} {count}" for name, count in QUALITY.items())
        + ".",
        "Speed",
    )
    evaluations: int | None = option(
        None,
        "Network passes at each scale; overrides --quality.",
        "Speed",
        "passes",
        ge=1,
        le=100_000,
    )
    tolerance: float = option(
        0.0,
        "End a scale when 20 evaluations lower the loss by less than this share; 0: never.",
        "Speed",
        ge=0,
        lt=1,
    )
    init: Init = option(
        "content",
        "Start from the photo, white noise, gray noise, the painting or a picture.",
        "Start",
    )
    init_noise: float = option(
        0.0,
        "Share of white noise mixed into the start (0: none, 1: only noise).",
        "Start",
        ge=0,
        le=1,
    )
    seed: int = option(0, "Seed of the noise.", "Start", ge=0, le=2**63 - 1)
    content_layers: dict[str, float] = option(
        {"relu4_2": 1.0}, "Layers that keep the photo, as NAME or NAME=WEIGHT, by commas.", "Expert"
    )
    style_layers: dict[str, float] = option(
        STYLE_LAYERS, "Layers that carry the style, as NAME or NAME=WEIGHT, by commas.", "Expert"
    )
    convention: Convention = option(
        "mean",
        "Formula of the losses: means (size does not matter), the paper's sums, or another program's.",
        "Expert",
    )
    pooling: Literal["max", "average", "l2"] = option("max", "Pooling of the network.", "Expert")
    padding: Literal["zero", "reflect", "replicate"] = option(
        "zero", "What the network sees around the picture.", "Expert"
    )
    solver: Literal["lbfgs", "scipy", "adam"] = option(
        "lbfgs", "L-BFGS in torch, SciPy's L-BFGS-B (never bounded), or Adam.", "Expert"
    )
    bounded: bool = option(
        True, "Keep pixels in the range that a file can hold while optimising.", "Expert"
    )
    history: int = option(
        10, "Curvature pairs that L-BFGS remembers.", "Expert", "pairs", ge=1, le=1000
    )
    learning_rate: float = option(
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
        for name, weight in self._products():
            if weight < 1 / LARGEST_WEIGHT or weight > LARGEST_WEIGHT:
                raise ValueError(
                    f"{name} comes to {weight:g}; it must lie between {1 / LARGEST_WEIGHT:g} and "
                    f"{LARGEST_WEIGHT:g}, or be 0"
                )
        return self

    def _products(self) -> Iterator[tuple[str, float]]:
        """Yield what each loss is multiplied by, with its name for messages; nothing for those left out."""
        for term, alpha, layers in (
            ("content_weight", self.content_weight, self.content_layers),
            ("style_weight", self.style_weight, self.style_layers),
        ):
            for layer, weight in layers.items():
                if alpha and weight:
                    yield f"{term} times the weight of layer {layer}", alpha * weight
        if self.total_variation:
            yield "total_variation", self.total_variation

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
            name: `default`, `paper` (Gatys, Ecker and Bethge, to the letter), another that ships with
                impasto, or one of the user's own.
            changes: Fields that differ from the preset.

        Raises:
            SettingsError: The preset or a field is unknown, or a value is out of range.
        """
        if "quality" in changes:  # a preset's number of evaluations would override it
            changes.setdefault("evaluations", None)
        base = sheets.resolved(name).settings
        try:
            cls.check_types(base)
        except SettingsError as error:
            raise SettingsError(f"preset {name}: {error}") from error
        return cls(**{**base, **changes})


class Runtime(Model):
    """How a picture is computed: does not change what is wanted, but may change the last digits.

    Repeats with the same `Settings`, inputs and `Runtime` on the same machine give the same bytes.

    Raises:
        SettingsError: A value is out of range, of the wrong type, or its name is unknown.
    """

    device: str = option(
        "auto",
        "auto, cpu, cuda, cuda:1 or mps.",
        "Machine",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
    )
    threads: int | None = option(
        None,
        "Processor threads. Default: as many as the machine lets us use.",
        "Machine",
        ge=1,
        le=1024,
    )
    precision: Literal["auto", "fp32", "bf16"] = option(
        "auto", "Number format inside the network; auto takes bf16 where it is fast.", "Machine"
    )
    memory_limit: int | None = option(
        None,
        "Memory that the whole program may take, such as 4GB. Default: what is free.",
        "Machine",
        ge=1,
    )
    budget: float | None = option(
        None,
        "Time to spend, such as 90s or 2m, in place of a number of evaluations.",
        "Speed",
        gt=0,
        le=10_000_000,
    )
    tile: int | None = option(
        None,
        "Edge of the parts that a picture is computed in; 0: whole. Default: whole where it fits.",
        "Machine",
        "px",
        ge=0,
        le=LARGEST_EDGE,
    )
    pairs: int | None = option(
        None,
        "At most so many curvature pairs, for memory's sake. Default: as --history.",
        "Machine",
        "pairs",
        ge=1,
        le=1000,
    )
    compact: bool | None = option(
        None,
        "Keep curvature and the photo's features in 16 bits. Default: with bf16, or where memory is short.",
        "Machine",
    )

    @field_validator("memory_limit", mode="before")
    @classmethod
    def _parse_bytes(cls, value: object) -> object:
        return measured(value, BYTES, "such as 4GB or 800MB") if isinstance(value, str) else value

    @field_validator("budget", mode="before")
    @classmethod
    def _parse_seconds(cls, value: object) -> object:
        return (
            measured(value, SECONDS, "such as 90s, 2m or 1h30m")
            if isinstance(value, str)
            else value
        )


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
        largest = sys.float_info.max
        if not (isinstance(self.weight, (int, float)) and -largest <= self.weight <= largest):
            raise SettingsError(f"style weight: must be a finite number, not {given(self.weight)}")
        if self.weight < 0:
            raise SettingsError(f"style weight: must not be negative, not {self.weight!r}")
