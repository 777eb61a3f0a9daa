import json

import pytest

from impasto.config.recipe import SCHEMA, InputRecord, Recipe, ScaleRecord
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import ExitCode, SettingsError


def recipe(**changes) -> Recipe:
    photo = InputRecord(name="photo.jpg", sha256="a" * 64, width=4, height=3)
    values = {
        "impasto": "0.1.0",
        "created": "2026-11-23T16:00:00+00:00",
        "settings": Settings.preset("paper", size=48),
        "runtime": Runtime(device="cpu", threads=1, precision="fp32"),
        "content": photo,
        "styles": (photo.changed(name="a.png", weight=0.3), photo.changed(name="b.png", weight=0.7)),
        "weights": "vgg19-original-8bit",
        "weights_sha256": "b" * 64,
        "scales": (ScaleRecord(width=4, height=3, evaluations=7, seconds=1.5, reason="tolerance"),),
        "losses": {"total": 0.1 + 0.2},
        "seconds": 2.0,
        "stopped": "tolerance",
        "reproducible": True,
        "machine": {"system": "Linux"},
        "pixels_sha256": "c" * 64,
    }
    return Recipe(**{**values, **changes})


def test_round_trip_keeps_every_digit() -> None:
    made = recipe()
    for text in (made.to_json(), made.model_dump_json(), made.to_json().encode()):
        assert Recipe.from_json(text) == made
    assert "\n" not in made.model_dump_json()
    assert made.to_json().endswith("}\n")
    assert Recipe.from_json(made.to_json()).losses["total"] == 0.1 + 0.2


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"seconds": NaN}', "", "garbage", b"\xff\x00", "[]", "3", "{}", '{"a": 1}']
)
def test_recipe_of_garbage(text) -> None:
    with pytest.raises(SettingsError) as caught:
        Recipe.from_json(text)
    assert "\n" not in str(caught.value)
    assert "recipe" in str(caught.value)


def test_a_recipe_of_another_version_says_which() -> None:
    values = json.loads(recipe().to_json()) | {"schema_version": SCHEMA + 1, "impasto": "7.0"}
    with pytest.raises(SettingsError, match=r"^x\.png: .*form 2, made by impasto 7\.0.*reads form 1") as e:
        Recipe.from_json(json.dumps(values), "x.png")
    assert e.value.exit_code == ExitCode.USAGE


def test_a_setting_of_another_version_is_named() -> None:
    values = json.loads(recipe().to_json())
    values["settings"]["brush"] = 3
    with pytest.raises(SettingsError, match="brush"):
        Recipe.from_json(json.dumps(values))
    values = json.loads(recipe().to_json())
    del values["settings"]["detail"]  # an older recipe, from before that setting
    assert Recipe.from_json(json.dumps(values)).settings.detail == Settings().detail


def test_wrong_values_are_refused() -> None:
    for field, value in (("scales", 3), ("styles", [{}]), ("settings", {"size": -1}), ("losses", {"a": "x"})):
        values = json.loads(recipe().to_json()) | {field: value}
        with pytest.raises(SettingsError, match="not a recipe of this version"):
            Recipe.from_json(json.dumps(values))


def test_a_recipe_from_before_partial_windows_repeats_its_picture() -> None:
    values = json.loads(recipe(settings=Settings()).to_json())
    assert values["settings"]["partial_windows"] == "half"
    assert Recipe.from_json(json.dumps(values)).settings.partial_windows == "half"
    del values["settings"]["partial_windows"]
    assert Recipe.from_json(json.dumps(values)).settings.partial_windows == "drop"


def test_a_recipe_from_before_nearest_neighbors_at_large_sizes_repeats_its_picture() -> None:
    values = json.loads(recipe(settings=Settings(size=2048)).to_json())
    assert Recipe.from_json(json.dumps(values)).settings.neighbours_from == 1280
    del values["settings"]["neighbours_from"]
    assert Recipe.from_json(json.dumps(values)).settings.neighbours_from == 0


def test_a_recipe_from_before_kernels_repeats_its_picture() -> None:
    values = json.loads(recipe().to_json())
    values["runtime"]["kernels"] = "512-512=direct"
    assert Recipe.from_json(json.dumps(values)).runtime.kernels == "512-512=direct"
    del values["runtime"]["kernels"]
    assert Recipe.from_json(json.dumps(values)).runtime.kernels == "winograd"


EARLIER = {"goal": 0.5, "stretches": [{"style_weight": 100.0}, {"style_weight": 2.401, "ratio": 0.5}]}


@pytest.mark.parametrize(
    ("strength", "calibration", "expected"),
    [(None, None, (1.0, 5.0)), (2.0, None, (2.0, 5.0)), (2.0, EARLIER, (1.0, 2.401))],
)
def test_the_strength_of_a_recipe_from_before_it_was_a_factor(strength, calibration, expected) -> None:
    values = json.loads(recipe().to_json())
    values["settings"]["strength"] = strength
    values["calibration"] = calibration
    found = Recipe.from_json(json.dumps(values))
    assert (found.settings.strength, found.settings.style_weight) == expected
    assert Recipe.from_json(found.to_json()) == found
    assert "calibration" not in found.to_json()


@pytest.mark.parametrize(
    "calibration",
    [3, [], "x", {}, {"stretches": []}, {"stretches": [{}]}, {"stretches": [3]}, {"stretches": {"-1": 3}},
     {"stretches": [{"style_weight": "heavy"}]}, {"stretches": [{"style_weight": -1}]},
     {"stretches": [{"style_weight": None}]}],
)  # fmt: skip
def test_weights_of_an_earlier_version_that_cannot_be_read_are_refused(calibration) -> None:
    values = json.loads(recipe().to_json()) | {"calibration": calibration}
    with pytest.raises(SettingsError, match="not a recipe of this version") as caught:
        Recipe.from_json(json.dumps(values), "x.png")
    assert "\n" not in str(caught.value)
