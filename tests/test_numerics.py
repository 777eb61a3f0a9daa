"""Any settings that are finite give a finite picture: settings drawn at random, from their own fields.

What is drawn follows from the fields of `Settings` and `Runtime`: a field that is added later is drawn, too.
"""

import sys
import types
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import pytest
from pydantic.fields import FieldInfo
from torch import Tensor

from impasto.config.runtime import Runtime
from impasto.config.settings import STYLE_LAYERS, Settings
from impasto.config.styles import Style
from impasto.errors import ImpastoError, NumericalError
from impasto.losses import neighbors
from impasto.network.layers import LAYERS, smallest_edge
from impasto.system import hardware
from impasto.transfer.result import Result
from impasto.transfer.stylize import stylize
from reference.soak import soak

EDGE = 32  # px at most
SMALLEST = 20  # px of an edge before it is scaled
RARELY = 0.1
CAPPED: dict[str, tuple[float, float]] = {  # small, so that a run takes milliseconds
    "size": (1, EDGE),
    "min_size": (1, EDGE),
    "neighbours_from": (0, EDGE),
    "evaluations": (1, 10),
    "tile": (0, EDGE),
    "stroke": (0.25, 4),
}
FIXED: dict[str, Any] = {"device": "cpu", "threads": 1, "budget": None, "memory_limit": None}
WEIGHTS = (1e-12, 1e12)
Draw = np.random.Generator
Weights = Mapping[str, Tensor]


def between(draw: Draw, low: float, high: float) -> float:
    """Return a number by order of magnitude, the ends now and then; all of them at least 0."""
    if draw.random() < RARELY:
        return float(draw.choice([low, high]))
    floor = max(low, min(1e-12, high / 10))
    return float(np.clip(np.exp(draw.uniform(np.log(floor), np.log(high))), low, high))


def limits(name: str, field: FieldInfo) -> tuple[float, float]:
    """Return what a number lies between: its cap here, its own limits, or those of weights."""
    if name in CAPPED:
        return CAPPED[name]
    found: dict[str, float] = {}
    for item in field.metadata:
        for side in ("ge", "gt", "le", "lt"):
            if (value := getattr(item, side, None)) is not None:
                found[side] = float(value)
    low = found.get("ge", found.get("gt", 0.0) + (1e-12 if "gt" in found else 0.0))
    high = found.get("le", found["lt"] * (1 - 1e-9) if "lt" in found else WEIGHTS[1])
    return low, high


def drawn(draw: Draw, name: str, field: FieldInfo, layers: Sequence[str] = LAYERS) -> Any:
    """Return a value of a field by its type and limits; layers are some of those given."""
    kind: Any = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [item for item in get_args(kind) if item is not type(None)]
        if len(kinds) < len(get_args(kind)) and name != "evaluations" and draw.random() < 0.3:
            return None
        (kind,) = kinds
    if name == "kernels":
        return str(draw.choice(("direct", "winograd")))  # `fused` computes as `direct`, at times slowly
    if get_origin(kind) is Literal:
        return get_args(kind)[draw.integers(len(get_args(kind)))]
    if kind is bool:
        return bool(draw.integers(2))
    if kind is int:
        low, high = limits(name, field)
        return round(between(draw, low, min(high, 2.0**62)))
    if kind is float:
        return between(draw, *limits(name, field))
    if kind == dict[str, float]:
        names = draw.choice(layers, size=min(len(layers), draw.integers(1, 6)), replace=False)
        return {str(layer): between(draw, *WEIGHTS) for layer in names}
    raise AssertionError(f"say in tests/test_numerics.py how to draw {name}, which is {kind}")


def draw_settings(draw: Draw, square: bool) -> Settings:
    """Return settings whose layers fit, most often, into the size drawn."""
    fields = Settings.model_fields
    size = drawn(draw, "size", fields["size"])
    stroke = drawn(draw, "stroke", fields["stroke"])
    shortest = (size or SMALLEST) * (1.0 if square else SMALLEST / EDGE) * min(1.0, stroke)
    fitting = [name for name in LAYERS if smallest_edge([name]) <= max(1, int(shortest))]
    layers = LAYERS if draw.random() < RARELY / 2 else fitting
    values = {name: drawn(draw, name, field, layers) for name, field in fields.items() if name != "weights"}
    values |= {"size": size, "stroke": stroke}
    for name in ("content_weight", "style_weight", "total_variation"):
        if draw.random() < RARELY / 2:
            values[name] = 0.0
    for name in ("laplacian", "self_similarity", "grain"):
        if draw.random() < 0.5:
            values[name] = 0.0
    if not (values["content_weight"] or values["style_weight"]):
        values["content_weight"] = 1.0
    if draw.random() < 3 * RARELY and shortest >= smallest_edge(STYLE_LAYERS):  # ends with nearest neighbors
        values |= {"style_layers": STYLE_LAYERS, "convention": "mean", "neighbours_from": int(shortest)}
    if values["style_statistic"] == "neighbours" and shortest < 8:
        values["style_statistic"] = "gram"  # as the layers of the other need so many pixels
    if values["style_statistic"] == "neighbours":
        values["convention"] = "mean"  # others are refused
    return Settings(**values)


def draw_runtime(draw: Draw) -> Runtime:
    fields = Runtime.model_fields.items()
    return Runtime(**{name: FIXED[name] if name in FIXED else drawn(draw, name, f) for name, f in fields})


def picture(draw: Draw, square: bool) -> np.ndarray:
    """Return a picture of one of many kinds, (h, w, 3) or (h, w, 4), 8 or 16 bits."""
    height, width = draw.integers(SMALLEST, EDGE + 1, 2)
    height = width if square else height
    kind = draw.integers(6)
    if kind == 0:
        color = draw.choice([(0, 0, 0), (255, 255, 255), (255, 0, 0), (124, 116, 103)])
        found = np.broadcast_to(color, (height, width, 3))
    elif kind == 1:  # one pixel of another colour
        found = np.zeros((height, width, 3))
        found[height // 2, width // 2] = 255
    elif kind == 2:  # stripes, as sharp as can be
        found = np.broadcast_to((np.arange(width) % 2)[None, :, None] * 255, (height, width, 3))
    else:
        found = draw.integers(0, 256, (height, width, 3 if kind < 5 else 4))
    deep = draw.random() < RARELY
    return np.ascontiguousarray(found * 257 if deep else found, np.uint16 if deep else np.uint8)


def draw_inputs(draw: Draw, square: bool) -> dict[str, Any]:
    """Return photo and paintings, now and then the same picture; and one to start from."""
    photo = picture(draw, square)
    count = int(draw.integers(1, 4))
    styles = [photo if draw.random() < 2 * RARELY else picture(draw, square) for _ in range(count)]
    weighed = [Style(style, between(draw, *WEIGHTS), region(draw, photo)) for style in styles]
    start, kept = picture(draw, square), region(draw, photo)
    return {"content": photo, "style": weighed, "init_picture": start, "protect": kept}


def region(draw: Draw, photo: np.ndarray) -> np.ndarray | None:
    """Return a mask of the photo now and then: a patch, gray all over, noise, or a single pixel."""
    if draw.random() > 2 * RARELY:
        return None
    height, width = photo.shape[:2]
    found = np.zeros((height, width), np.uint8)
    kind, row, column = draw.integers(4), draw.integers(height), draw.integers(width)
    if kind == 0:
        found[: row + 1, : column + 1] = 255
    elif kind == 1:
        found[:] = draw.integers(1, 256)
    elif kind == 2:
        found = draw.integers(0, 256, (height, width), np.uint8)
    else:
        found[row, column] = 255
    return found


def check(result: Result) -> None:
    """Pixels and reported losses are finite, and every term is reported."""
    assert np.isfinite(result.picture.array()).all()
    losses = result.recipe.losses
    assert "total" in losses
    assert all(np.isfinite(value) for value in losses.values())
    settings = result.recipe.settings
    for term, there in (("content", settings.content_term), ("style", settings.style_term)):
        assert (term in losses) == there


def tried(number: int, narrow: Weights, real: Weights) -> tuple[str, str, int]:
    """Run one draw; return how it came out, what was said of it, and how many steps were rejected.

    The number of a draw makes it again. Every tenth has the real network, but not where bf16 is emulated.
    """
    draw = np.random.default_rng(number)
    square = bool(draw.integers(2))
    settings, runtime = draw_settings(draw, square), draw_runtime(draw)
    inputs = draw_inputs(draw, square)
    fast = runtime.precision != "bf16" or hardware.fast_at_bf16("cpu")
    weights = real if number % 10 == 0 and fast else narrow
    try:
        result = stylize(**inputs, settings=settings, runtime=runtime, weights=weights)
    except NumericalError as error:
        return "not finite", str(error), 0
    except ImpastoError as error:
        return "refused", str(error), 0
    except Exception as error:
        raise AssertionError(f"draw {number}: {type(error).__name__}: {error}") from error
    check(result)
    rows = [row.losses["total"] for row in result.history]
    return result.stopped, result.fault, sum(not np.isfinite(value) for value in rows)


def judge(draws: range, narrow: Weights, real: Weights, capsys: pytest.CaptureFixture[str]) -> None:
    """Run draws; print how many came out how; none may be not finite."""
    count: Counter[str] = Counter()
    said, rejected = [], 0
    for number in draws:
        how, why, steps = tried(number, narrow, real)
        count[how] += 1
        rejected += steps
        assert "\n" not in why
        if how == "not finite":
            said.append(f"draw {number}: {why}")
    bad = count.pop("not finite", 0)
    told = ", ".join(f"{number} {how}" for how, number in count.most_common())
    with capsys.disabled():
        sys.stdout.write(f"\nnumerics: {bad} not finite of {len(draws)}; {told}; ")
        sys.stdout.write(f"{rejected} steps rejected\n")
    assert not bad, said
    assert count["refused"] < len(draws) / 4, "too few of the draws are runs at all"


def test_every_field_is_drawn() -> None:
    draw = np.random.default_rng(0)
    many = [draw_settings(draw, True).model_dump() for _ in range(60)]
    for name in set(Settings.model_fields) - {"weights"}:  # which `tried` chooses
        assert len({str(values[name]) for values in many}) > 1, f"{name} is always the same"
    runtimes = [draw_runtime(draw).model_dump() for _ in range(60)]
    for name in set(Runtime.model_fields) - set(FIXED):
        assert len({str(values[name]) for values in runtimes}) > 1, f"{name} is always the same"


@pytest.fixture(autouse=True)
def small_neighbors(monkeypatch) -> None:
    """Runs of this size have nearest neighbors, too."""
    monkeypatch.setattr(neighbors, "SMALLEST", 12)


def test_20_random_settings_give_finite_pictures(narrow, weights, capsys) -> None:
    judge(range(110, 130), narrow, weights, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("first", [1000, *(soak(first) for first in range(1250, 3000, 250))])
def test_random_settings_give_finite_pictures(narrow, weights, capsys, first) -> None:
    """250; the others of 2,000 in `scripts/soak`."""
    judge(range(first, first + 250), narrow, weights, capsys)
