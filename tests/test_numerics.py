"""Any settings that are finite give a finite picture: settings drawn at random, from their own fields.

What is drawn follows from the fields of `Settings` and `Runtime`: a field that is added later is drawn, too.
"""

import types
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import pytest
from pydantic.fields import FieldInfo
from torch import Tensor

from impasto.errors import ImpastoError, NumericalError
from impasto.layers import LAYERS, smallest_edge
from impasto.result import Result
from impasto.settings import Runtime, Settings, Style
from impasto.transfer import stylize

EDGE = 32  # px at most
RARELY = 0.1
CAPPED: dict[str, tuple[float, float]] = {  # small, so that a run takes milliseconds
    "size": (1, EDGE),
    "min_size": (1, EDGE),
    "evaluations": (1, 6),
    "tile": (0, EDGE),
}
FIXED: dict[str, Any] = {"device": "cpu", "threads": 1, "budget": None, "memory_limit": None}
WEIGHTS = (1e-12, 1e12)
Draw = np.random.Generator


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


def drawn(draw: Draw, name: str, field: FieldInfo) -> Any:
    """Return a value of a field by its type and limits."""
    kind: Any = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [item for item in get_args(kind) if item is not type(None)]
        if len(kinds) < len(get_args(kind)) and name != "evaluations" and draw.random() < 0.3:
            return None
        (kind,) = kinds
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
        names = draw.choice(LAYERS, size=draw.integers(1, 6), replace=False)
        return {str(layer): between(draw, *WEIGHTS) for layer in names}
    raise AssertionError(f"say in tests/test_numerics.py how to draw {name}, which is {kind}")


def draw_settings(draw: Draw) -> Settings:
    """Return settings whose layers fit into 32 px, most often also into the size drawn."""
    values = {name: drawn(draw, name, field) for name, field in Settings.model_fields.items()}
    needed = smallest_edge([*values["content_layers"], *values["style_layers"]])
    if values["size"] is not None and draw.random() > RARELY:
        values["size"] = max(values["size"], min(EDGE, needed))
    if draw.random() < RARELY:
        values[str(draw.choice(["content_weight", "style_weight", "total_variation"]))] = 0.0
    return Settings(**values)


def draw_runtime(draw: Draw) -> Runtime:
    fields = Runtime.model_fields.items()
    return Runtime(
        **{name: FIXED[name] if name in FIXED else drawn(draw, name, f) for name, f in fields}
    )


def picture(draw: Draw) -> np.ndarray:
    """Return a picture of one of many kinds, (h, w, 3) or (h, w, 4), 8 or 16 bits."""
    height, width = draw.integers(20, EDGE + 1, 2) if draw.random() > RARELY else (EDGE, 17)
    kind = draw.integers(6)
    if kind == 0:
        colour = draw.choice([(0, 0, 0), (255, 255, 255), (255, 0, 0), (124, 116, 103)])
        found = np.broadcast_to(colour, (height, width, 3))
    elif kind == 1:  # one pixel of another colour
        found = np.zeros((height, width, 3))
        found[height // 2, width // 2] = 255
    elif kind == 2:  # stripes, as sharp as can be
        found = np.broadcast_to((np.arange(width) % 2)[None, :, None] * 255, (height, width, 3))
    else:
        found = draw.integers(0, 256, (height, width, 3 if kind < 5 else 4))
    return np.ascontiguousarray(found, np.uint8)


def draw_inputs(draw: Draw) -> dict[str, Any]:
    """Return photo and paintings, now and then the same picture; and one to start from."""
    photo = picture(draw)
    count = int(draw.integers(1, 4))
    styles = [photo if draw.random() < 2 * RARELY else picture(draw) for _ in range(count)]
    weighed = [Style(style, between(draw, *WEIGHTS)) for style in styles]
    return {"content": photo, "style": weighed, "init_picture": picture(draw)}


def check(result: Result) -> None:
    """Pixels and reported losses are finite, and every term is reported."""
    assert np.isfinite(result.picture.array()).all()
    losses = result.recipe.losses
    assert "total" in losses
    assert all(np.isfinite(value) for value in losses.values())
    settings = result.recipe.settings
    for term, there in (("content", settings.content_term), ("style", settings.style_term)):
        assert (term in losses) == there


def tally(weights: Mapping[str, Tensor], draws: range) -> Counter[str]:
    """Run each draw; return how many came out how. A draw's number makes it again."""
    count: Counter[str] = Counter()
    for number in draws:
        draw = np.random.default_rng(number)
        try:
            settings, runtime, inputs = draw_settings(draw), draw_runtime(draw), draw_inputs(draw)
            result = stylize(**inputs, settings=settings, runtime=runtime, weights=weights)
            check(result)
            count[result.stopped] += 1
            rows = [row.losses["total"] for row in result.history]
            count["rejected steps"] += sum(not np.isfinite(value) for value in rows)
            if result.stopped == "not finite":
                print(f"draw {number}: {result.fault}")
        except NumericalError as error:
            count["not finite"] += 1
            print(f"draw {number}: {error}")
        except ImpastoError as error:
            assert "\n" not in str(error)
            count["refused"] += 1
        except Exception as error:
            raise AssertionError(f"draw {number}: {type(error).__name__}: {error}") from error
    return count


def verdict(count: Counter[str], draws: int, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nnumerics: {draws} draws, {count['not finite']} not finite: {dict(count)}")
    assert count["not finite"] == 0
    assert count["refused"] < draws / 4, "too few of the draws are runs at all"
    assert sum(count.values()) - count["rejected steps"] == draws


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        yield


def test_every_field_is_drawn() -> None:
    draw = np.random.default_rng(0)
    many = [draw_settings(draw).model_dump() for _ in range(60)]
    for name in Settings.model_fields:
        assert len({str(values[name]) for values in many}) > 1, f"{name} is always the same"
    runtimes = [draw_runtime(draw).model_dump() for _ in range(60)]
    for name in set(Runtime.model_fields) - set(FIXED):
        assert len({str(values[name]) for values in runtimes}) > 1, f"{name} is always the same"


def test_200_random_settings_give_finite_pictures(narrow, weights, capsys) -> None:
    count = tally(narrow, range(170)) + tally(weights, range(170, 200))
    verdict(count, 200, capsys)


@pytest.mark.slow
def test_2000_random_settings_give_finite_pictures(narrow, weights, capsys) -> None:
    count = tally(narrow, range(1000, 2700)) + tally(weights, range(2700, 3000))
    verdict(count, 2000, capsys)
