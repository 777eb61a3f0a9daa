import json
import math
import re
import subprocess
import sys

import pytest
from pydantic import ValidationError

from impasto.config import settings_file
from impasto.config.model import LARGEST_EDGE
from impasto.config.output import Output
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.errors import ExitCode, SettingsError


@pytest.mark.parametrize("preset", sorted(settings_file.preset_paths()))
def test_round_trip_through_json(preset) -> None:
    settings = Settings.preset(preset, seed=7, style_layers="relu3_1=0.5, relu1_1")
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
    assert Settings(**json.loads(settings.model_dump_json())) == settings
    assert list(settings.style_layers) == ["relu1_1", "relu3_1"]


BAD = [
    *[(name, -1) for name in ("content_weight", "style_weight", "total_variation", "seed")],
    *[(name, math.nan) for name in ("content_weight", "style_weight", "learning_rate")],
    *[(name, math.inf) for name in ("content_weight", "total_variation")],
    *[(name, 0) for name in ("size", "min_size", "evaluations", "history", "learning_rate")],
    *[(name, "x") for name in ("content_weight", "size", "quality", "init", "convention")],
    *[(name, "x") for name in ("pooling", "padding", "solver", "bounded", "seed")],
    *[("size", value) for value in (LARGEST_EDGE + 1, 1.5)],
    *[("tolerance", value) for value in (-0.1, 1)],
    *[("init_noise", value) for value in (-0.1, 1.1)],
    *[("content_layers", value) for value in ("relu9_1", "relu1_1=x", {"relu1_1": -1}, 3)],
    *[("style_layers", value) for value in ("relu1_1=nan", {"relu1_1": math.inf}, "relu1_1=-2")],
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_value_names_the_field_in_one_line(name, value) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        Settings(**{name: value})
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE
    with pytest.raises(SettingsError, match=name):
        Settings().changed(**{name: value})


def test_the_numbers_of_gatys2016() -> None:
    """Gatys, Ecker and Bethge 2016: section 2 and figure 3, B; the content loss per position is ours."""
    found = Settings.preset("gatys2016")
    assert found.content_weight / found.style_weight == 1e-3
    assert set(found.style_layers.values()) == {1 / 5}
    assert list(found.style_layers) == [f"relu{block}_1" for block in range(1, 6)]
    assert found.content_layers == {"relu4_2": 1.0}
    assert (found.convention, found.pooling, found.weights) == ("gatys2016", "average", "normalized")
    assert (found.init, found.init_noise, found.size, found.total_variation) == ("noise", 0.0, 512, 0.0)
    assert found.min_size > 512  # one scale
    assert Settings.preset("gatys2016", weights=None).weights is None


def test_did_you_mean() -> None:
    with pytest.raises(SettingsError, match=r"style_wieght.*Did you mean style_weight"):
        Settings(style_wieght=1)
    with pytest.raises(SettingsError, match="Did you mean paper"):
        Settings.preset("papr")
    with pytest.raises(SettingsError, match="Did you mean relu4_2"):
        Settings(content_layers="rellu4_2")


def test_layers_as_text_or_list() -> None:
    expected = {"relu1_1": 1.0, "relu2_1": 0.5}
    for text in ("relu1_1,relu2_1=0.5", " relu2_1=0.5  relu1_1 ", ["relu2_1=.5", "relu1_1"]):
        assert Settings(style_layers=text).style_layers == expected


def test_both_terms_zero_is_an_error_one_is_not() -> None:
    for change in (
        {"content_weight": 0, "style_weight": 0},
        {"content_layers": "", "style_weight": 0},
        {"content_weight": 0, "style_layers": "relu1_1=0"},
    ):
        with pytest.raises(SettingsError, match="nothing to do"):
            Settings(**change)
    assert not Settings(content_weight=0).content_term
    assert not Settings(style_weight=0).style_term


def test_passes_and_frozen() -> None:
    assert [Settings(quality=q).evaluations_per_scale for q in ("draft", "good", "best")] == [25, 60, 200]
    assert Settings(quality="draft", evaluations=3).evaluations_per_scale == 3
    with pytest.raises(ValidationError):
        Settings().size = 3


@pytest.mark.parametrize(("name", "value"), [("device", "gpu"), ("threads", 0), ("precision", "fp16")])
def test_runtime_names_the_field(name, value) -> None:
    with pytest.raises(SettingsError, match=name):
        Runtime(**{name: value})


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("memory_limit", "4GB", 4_000_000_000),
        ("memory_limit", "1.5 gib", 1_610_612_736),
        ("memory_limit", "800mb", 800_000_000),
        ("budget", "90s", 90),
        ("budget", "2m", 120),
        ("budget", "1h30m", 5400),
        ("budget", "1 h 5 s", 3605),
        ("budget", "2.5", 2.5),
    ],
)
def test_numbers_with_units(name, text, expected) -> None:
    assert getattr(Runtime(**{name: text}), name) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("memory_limit", "lots"),
        ("memory_limit", "4 parsec"),
        ("memory_limit", "-4GB"),
        ("memory_limit", "0"),
        ("memory_limit", ""),
        ("budget", "2 fortnights"),
        ("budget", "-2m"),
        ("budget", "0"),
        ("budget", "1h30"),
        ("budget", "nan"),
    ],
)
def test_numbers_with_wrong_units_are_refused(name, text) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: "):
        Runtime(**{name: text})


@pytest.mark.parametrize("weight", [-1, math.nan, math.inf, "1", None])
def test_style_weight(weight) -> None:
    with pytest.raises(SettingsError, match="style weight"):
        Style("a.png", weight)


@pytest.mark.parametrize(
    ("name", "value"),
    [("bits", 12), ("bits", "x"), ("jpeg_quality", 0), ("jpeg_quality", 101), ("metadata", "all")],
)
def test_output_names_the_field(name, value) -> None:
    with pytest.raises(SettingsError, match=name):
        Output(**{name: value})
    assert Output(bits="16").bits == 16  # as an environment variable gives it


def test_errors_call_fields_what_the_user_called_them() -> None:
    with pytest.raises(SettingsError, match=r"^--size: .*not 0; IMPASTO_SEED: "):
        Settings.with_names({"size": 0, "seed": -1}, {"size": "--size", "seed": "IMPASTO_SEED"})
    assert Settings.with_names({"size": 5}, {}).size == 5


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": "512"}, "size: must be a whole number, not '512'"),
        ({"size": 512.0}, "size"),
        ({"bounded": 1}, "bounded"),
        ({"content_weight": True}, "content_weight"),
        ({"quality": 3}, "quality"),
        ({"style_layers": {"relu1_1": "x"}}, "style_layers"),
        ({"style_layers": 3}, "style_layers"),
        ({"sise": 3}, "unknown setting 'sise'. Did you mean size"),
    ],
)
def test_types_in_files_are_exact(values, words) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings.check_types(values)


def test_right_types_in_files_pass() -> None:
    Settings.check_types({"size": 512, "content_weight": 1, "style_layers": "relu1_1=0.5"})
    Settings.check_types(Settings().model_dump())


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Settings, {"style_layers": "relu1\udcdf2=2"}),  # bytes of a command line that are no UTF-8
        (Settings, {"init": "\udcff"}),
        (Runtime, {"device": "\ud800"}),
        (Runtime, {"memory_limit": "9" * 400 + "TB"}),
        (Runtime, {"budget": "9" * 400 + "h"}),
        (Settings, {"size": 16**5000}),
        (Settings, {"seed": -(16**5000)}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else ",".join(value),
)
def test_strange_values_are_refused_in_one_line(model, values) -> None:
    with pytest.raises(SettingsError) as caught:
        model(**values)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("weight", [10**400, -(10**400), 16**5000, "1"], ids=["400", "-400", "5000", "text"])
def test_a_weight_of_a_style_that_is_no_number_of_a_float(weight) -> None:
    with pytest.raises(SettingsError, match=r"^style weight: must be a finite number, not "):
        Style("a.png", weight)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"content_weight": 1e60, "content_layers": {"relu4_2": 1e60}},
            "content_weight times the weight of layer relu4_2 comes to 1e+120; it must lie between",
        ),
        ({"style_weight": 1e-200, "style_layers": {"relu1_1": 1e-200}}, "comes to 0; it must lie"),
        ({"style_weight": 1e300, "style_layers": {"relu1_1": 1e300}}, "comes to inf; it must lie"),
        ({"total_variation": 1e101}, "total_variation comes to 1e+101"),
        ({"total_variation": 1e-101}, "total_variation comes to 1e-101"),
    ],
)
def test_weights_beyond_what_a_float_holds_are_refused(values, words) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        Settings(**values)
    Settings(content_weight=1e12, content_layers={"relu4_2": 1e12}, style_weight=1e-12)


def test_importing_the_settings_is_quick() -> None:
    code = "import sys, impasto.config.settings; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
