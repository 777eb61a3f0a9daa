"""`Settings`: everything that decides how the picture looks, with defaults. No torch here.

Flags, help, documents, settings files and recipes are made from this model and `Runtime`, `Output`, `Input`
and `Style`.
"""

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from impasto.config import settings_file
from impasto.config.conventions import Convention
from impasto.config.model import LARGEST_EDGE, Model, option
from impasto.errors import SettingsError
from impasto.network.layers import PartialWindows, check_layers, parse_layers

Quality = Literal["instant", "draft", "good", "best"]
Color = Literal["style", "luminance", "match", "histogram"]
Init = Literal["content", "matched", "noise", "gray", "style", "picture"]
StyleStatistic = Literal["gram", "moments", "wasserstein", "sliced", "neighbours"]
VariationForm = Literal["squares", "isotropic", "anisotropic"]

QUALITY: dict[Quality, int] = {"draft": 25, "good": 60, "best": 200}  # evaluations at each scale
DRAFT = {128: 3, 256: 12}  # long edge in px of each scale of a draft -> its evaluations
STYLE_LAYERS = {f"relu{block}_1": 1.0 for block in range(1, 6)}
DEFAULT_LONG_EDGE = 512  # px; of the output where no size is given and the photo is larger
LARGEST_WEIGHT = 1e100  # of a loss; with any of them the losses are far from the ends of a float


class Settings(Model):
    """Everything that decides how the picture looks.

    The defaults are recommended; `Settings.preset("paper")` has the equations of Gatys, Ecker and Bethge
    2016 with the numbers of the experiment that impasto repeats, `Settings.preset("gatys2016")` the
    network, pooling, layers and ratio of that paper.

    Raises:
        SettingsError: A value is out of range, of the wrong type, or its name is unknown.
    """

    content_weight: float = option(
        1.0, "Weight of the photo (alpha). Higher keeps more of the photo.", "Look", ge=0
    )
    style_weight: float = option(
        100.0, "Weight of the painting (beta). Higher paints more boldly.", "Look", ge=0
    )
    laplacian: float = option(
        0.0, "Weight of the photo's edges and thin lines; in --convention mean try 1.", "Look", ge=0
    )
    laplacian_pool: int = option(
        4,
        "Size of the lines that --laplacian keeps: means over squares of this edge are compared.",
        "Look",
        "px",
        ge=1,
        le=64,
    )
    self_similarity: float = option(
        0.0,
        "Weight of the photo's self-similarity: which places look alike; in --convention mean try 1.",
        "Look",
        ge=0,
    )
    strength: float = option(
        1.0,
        "How strong the style is. 1 is as the preset or look has it; the style's weight is multiplied by the "
        "square of this number.",
        "Look",
        ge=0.1,
        le=10,
    )
    total_variation: float = option(
        0.0, "Weight of smoothness. Higher removes fine grain; in --convention mean try 1e9.", "Look", ge=0
    )
    total_variation_form: VariationForm = option(
        "squares",
        "How smoothness is measured: squares of differences (or the convention's own form), or the length of "
        "gradients (isotropic) or differences of neighbors (anisotropic), which keep edges.",
        "Look",
    )
    grain: float = option(
        1.0, "Weight against grain and specks that the paintings do not have.", "Look", ge=0
    )
    style_statistic: StyleStatistic = option(
        "wasserstein",
        "How style is compared: Gram matrices (Gatys et al.), mean and variance of each channel, Wasserstein "
        "distances (of normal distributions, or sliced), or at the finest scales the nearest features of the "
        "painting.",
        "Styles",
    )
    neighbours_photo: float = option(
        0.4,
        "Share of the photo in the picture whose nearest features are looked up, with --style-statistic "
        "neighbours and in results from --neighbours-from on. Higher keeps more of the photo.",
        "Styles",
        ge=0,
        le=1,
    )
    neighbours_from: int = option(
        1280,
        "Results of at least this long edge compare the painting's nearest features at their scales of at "
        "least half of it, against specks; with the default --style-layers and --convention, and not with "
        "sliced. 0: only with --style-statistic neighbours.",
        "Styles",
        "px",
        ge=0,
        le=LARGEST_EDGE,
    )
    color: Color = option(
        "style", "Colors: the style's, the photo's, or the first matched to the second.", "Color"
    )
    color_amount: float = option(
        1.0,
        "Share of the photo's colors in --color luminance, match and histogram (0: none).",
        "Color",
        ge=0,
        le=1,
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
        128,
        "Long edge of the coarsest scale at least; each scale doubles. As large as --size: one scale.",
        "Size",
        "px",
        ge=1,
        le=LARGEST_EDGE,
    )
    detail: float = option(
        0.0,
        "Share of the photo's fine detail added when the picture grows to the next scale. It can draw the "
        "photo's lines over the paint.",
        "Size",
        ge=0,
        le=1,
    )
    stroke: float = option(
        1.0,
        "Size of the strokes: how large the painting is for the network, relative to --size.",
        "Styles",
        "of the long edge",
        ge=0.1,
        le=10,
    )
    protect_feather: float = option(
        0.5,
        "Width of the soft edge around the --protect region, in percent of the long edge.",
        "Regions",
        "%",
        ge=0,
        le=50,
    )
    quality: Quality = option(
        "good",
        f"Evaluations at each scale: {', '.join(f'{name} {count}' for name, count in QUALITY.items())}; or "
        f"instant: a draft, {sum(DRAFT.values())} in all at {' and '.join(map(str, DRAFT))} px, enlarged.",
        "Speed",
    )
    evaluations: int | None = option(
        None,
        "Evaluations of the network at each scale; overrides --quality.",
        "Speed",
        "evaluations",
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
        "matched",
        "Start from the photo, the photo in the painting's colors (matched), white noise, gray noise, the "
        "painting or a picture.",
        "Start",
    )
    init_amount: float = option(
        1.0,
        "Share of the painting's colors in --init matched; 0.5 keeps half of the photo's (0: all of them).",
        "Start",
        ge=0,
        le=1,
    )
    init_noise: float = option(
        0.0, "Share of white noise mixed into the start (0: none, 1: only noise).", "Start", ge=0, le=1
    )
    seed: int = option(0, "Seed of the noise.", "Start", ge=0, le=2**63 - 1)
    content_layers: dict[str, float] = option(
        {"relu4_2": 1.0},
        "Layers that compare the photo, NAME or NAME=WEIGHT, separated by commas. What papers call conv4_2 "
        "is relu4_2.",
        "Expert",
    )
    style_layers: dict[str, float] = option(
        STYLE_LAYERS,
        "Layers that compare the style, NAME or NAME=WEIGHT, separated by commas. What papers call conv1_1 "
        "is relu1_1.",
        "Expert",
    )
    convention: Convention = option(
        "mean",
        "Formula of the losses: means (independent of size), the sums of Gatys, Ecker and Bethge (paper), or "
        "another program's.",
        "Expert",
    )
    pooling: Literal["max", "average", "l2"] = option("max", "Pooling of the network.", "Expert")
    weights: str | None = option(
        None,
        "VGG-19's weights: normalized, another name that impasto weights lists, or a file. Default: "
        "vgg19-original-8bit, which comes with impasto.",
        "Expert",
        min_length=1,
    )
    padding: Literal["zero", "reflect", "replicate"] = option(
        "zero", "Padding of convolutions at the border of the picture.", "Expert"
    )
    partial_windows: PartialWindows = option(
        "half",
        "Positions of a layer that reach over the right or lower border: count those of whose pixels at "
        "least half lie in the picture (half), all (count; the last two rows can become a line of dots), or "
        "none (drop, as most programs do; up to 15 rows and columns are hardly painted).",
        "Expert",
    )
    solver: Literal["lbfgs", "scipy", "adam"] = option(
        "lbfgs", "L-BFGS in torch; SciPy's L-BFGS-B (no bounds, saved between scales only); Adam.", "Expert"
    )
    bounded: bool = option(True, "Keep pixels in the range of a file during the optimization.", "Expert")
    history: int = option(10, "Curvature pairs that L-BFGS remembers.", "Expert", "pairs", ge=1, le=1000)
    learning_rate: float = option(0.02, "Step of Adam, in units of the pixel range.", "Expert", gt=0, le=1)
    adam_beta1: float = option(0.9, "Adam: decay of the mean of gradients per step.", "Expert", ge=0, lt=1)
    adam_beta2: float = option(
        0.999, "Adam: decay of the mean of squared gradients per step.", "Expert", ge=0, lt=1
    )
    adam_epsilon: float = option(
        1e-8, "Adam: added to the denominator, the root of the mean square.", "Expert", gt=0, le=1
    )
    line_search: int = option(
        20, "SciPy: most evaluations in one line search.", "Expert", "evaluations", ge=1, le=1000
    )

    @field_validator("content_layers", "style_layers", mode="before")
    @classmethod
    def _parse_layers(cls, value: object) -> object:
        return parse_layers(value)

    @field_validator("content_layers", "style_layers")
    @classmethod
    def _check_layers(cls, value: dict[str, float]) -> dict[str, float]:
        return check_layers(value)

    @model_validator(mode="after")
    def _check_terms(self) -> Self:
        if not self.content_term and not self.style_term:
            raise ValueError(
                "nothing to do: give content_weight or style_weight (with a layer) a value above 0"
            )
        if self.style_statistic == "neighbours" and self.style_term and self.convention != "mean":
            raise ValueError(
                f"style_statistic: neighbours has no form in convention {self.convention}; take mean"
            )
        for name, weight in self._products():
            if weight < 1 / LARGEST_WEIGHT or weight > LARGEST_WEIGHT:
                raise ValueError(
                    f"{name} comes to {weight:g}; it must lie between {1 / LARGEST_WEIGHT:g} and "
                    f"{LARGEST_WEIGHT:g}, or be 0"
                )
        return self

    def _products(self) -> Iterator[tuple[str, float]]:
        """Yield (name for messages, factor) for each loss with a factor above 0."""
        style = "style_weight" if self.strength == 1 else "style_weight times the square of strength"
        for term, alpha, layers in (
            ("content_weight", self.content_weight, self.content_layers),
            (style, self.effective_style_weight, self.style_layers),
            ("self_similarity", self.self_similarity, self.content_layers),
        ):
            for layer, weight in layers.items():
                if alpha and weight:
                    yield f"{term} times the weight of layer {layer}", alpha * weight
        for name in ("laplacian", "total_variation", "grain"):
            if weight := getattr(self, name):
                yield name, weight

    @property
    def content_term(self) -> bool:
        """Whether the loss has a content term."""
        return self.content_weight > 0 and any(self.content_layers.values())

    @property
    def style_term(self) -> bool:
        """Whether the loss has a style term."""
        return self.style_weight > 0 and any(self.style_layers.values())

    @property
    def ends_with_neighbors(self) -> bool:
        """Whether a result of this size has nearest neighbors at its last scales, from `neighbours_from` on.

        Other conventions have no such loss, changed layers are to be used, `sliced` needs whole pictures, and
        a draft is small.
        """
        return (
            0 < self.neighbours_from <= (self.size or DEFAULT_LONG_EDGE)
            and self.style_term
            and self.style_layers == STYLE_LAYERS
            and self.style_statistic != "sliced"
            and self.convention == "mean"
            and self.quality != "instant"
        )

    @property
    def compares_neighbors(self) -> bool:
        """Whether scales may compare nearest neighbors, by the statistic or because the result is large."""
        return self.style_term and (self.style_statistic == "neighbours" or self.ends_with_neighbors)

    @property
    def effective_style_weight(self) -> float:
        """What the style loss is multiplied by: `style_weight` times the square of `strength`."""
        return self.style_weight * self.strength**2

    @property
    def evaluations_per_scale(self) -> int:
        """Evaluations at each scale: `evaluations`, or the number of `quality`; of a draft's, the most."""
        return (
            QUALITY.get(self.quality, max(DRAFT.values())) if self.evaluations is None else self.evaluations
        )

    @property
    def starts_matched(self) -> bool:
        """Whether the start is the photo in the paintings' colors, as it is of a draft from the photo."""
        return self.init == "matched" or (self.quality == "instant" and self.init == "content")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Return the settings of a preset, with changes.

        Args:
            name: `default`, `paper`, `gatys2016`, another that comes with impasto, or one of the user.
            changes: Fields that differ from the preset, by name.

        Raises:
            SettingsError: The preset or a field is unknown, or a value is out of range.
        """
        if "quality" in changes:  # the preset's number of evaluations would override it
            changes.setdefault("evaluations", None)
        base = settings_file.resolve_preset(name).settings
        try:
            cls.check_types(base)
        except SettingsError as error:
            raise SettingsError(f"preset {name}: {error}") from error
        return cls(**{**base, **changes})
