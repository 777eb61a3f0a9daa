"""What people type who know other programs is answered by meaning, else by letters, else not at all."""

import pytest

from impasto.cli.flags import BASE, OUTPUT, generated
from impasto.config.model import choices
from impasto.config.output import Output
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.synonyms import _NAMES, _VALUES, NAMES, name_hint, value_hint
from impasto.errors import SettingsError

KNOWN = {item.name for item in (*OUTPUT, *BASE, *generated())}


def test_every_suggestion_is_a_flag_of_ours_and_no_flag_is_answered_with_another() -> None:
    assert {ours.partition(" ")[0] for ours in _NAMES} <= KNOWN | {"inputs"}
    assert not KNOWN & set(NAMES)
    words = [word for others in _NAMES.values() for word in others.split()]
    assert len(words) == len(set(words))


def test_every_suggested_value_is_a_choice_somewhere() -> None:
    from impasto.config.limits import FORMATS

    allowed = {str(choice) for model in (Settings, Runtime, Output) for f in model.model_fields.values()
               for choice in choices(f)} | {"cuda", "mps", *FORMATS}  # fmt: skip
    assert set(_VALUES) <= allowed


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        *[(name, " Did you mean evaluations?") for name in ("iterations", "num_steps", "iters", "Epochs")],
        *[(name, " Did you mean size?") for name in ("image-size", "width", "resolution", "sise")],
        ("gpu", " Did you mean device cuda?"),
        ("evaluation", " Did you mean evaluations?"),
        *[(name, "") for name in ("xylophone", "q9", "unrelated_word", "weather")],
    ],
)
def test_names(word, hint) -> None:
    assert name_hint(word, KNOWN) == hint


@pytest.mark.parametrize(
    ("value", "allowed", "hint"),
    [
        ("original", ("style", "luminance", "match"), " Did you mean luminance?"),
        ("l-bfgs", ("lbfgs", "scipy", "adam"), " Did you mean lbfgs?"),
        ("jpg", ("jpeg", "png"), " Did you mean jpeg?"),
        ("avergae", ("max", "average"), " Did you mean average?"),
        ("banana", ("max", "average"), ""),
    ],
)
def test_values(value, allowed, hint) -> None:
    assert value_hint(value, allowed) == hint


def test_the_library_and_settings_files_suggest_the_same() -> None:
    with pytest.raises(SettingsError, match=r"'iterations'\. Did you mean evaluations"):
        Settings(iterations=3)
    with pytest.raises(SettingsError, match=r"'tv_weight'\. Did you mean total_variation"):
        Settings.check_types({"tv_weight": 3.0})
    with pytest.raises(SettingsError, match="Did you mean average"):
        Settings(pooling="avg")


def test_what_people_type_is_understood() -> None:
    names = {name: f"--{name}" for name in (*Settings.model_fields, *Runtime.model_fields)}
    made = Settings.from_texts({"size": "512px", "color": "LUMINANCE", "evaluations": "30 evaluations",
                                "min_size": " 64 px"}, names)  # fmt: skip
    assert (made.size, made.color, made.evaluations, made.min_size) == (512, "luminance", 30, 64)
    for text, seconds in (("2 minutes", 120), ("1 hour 30 minutes", 5400), ("90 secs", 90), ("2M", 120)):
        assert Runtime.from_texts({"budget": text}, names).budget == seconds
    assert Runtime.from_texts({"device": "CPU"}, names).device == "cpu"
    assert Runtime(memory_limit=4).memory_limit == 4  # a number of the library's is in bytes
    for model, name, text, words in (
        (Settings, "size", "800x600", "one number, such as 800"),
        (Settings, "size", "600 px x 800 px", "one number, such as 800"),
        (Runtime, "memory_limit", "4", "must have a unit, such as 4GB"),
        (Runtime, "memory_limit", "1.5", "must have a unit"),
        (Settings, "size", "512pt", "must be a whole number"),
    ):
        with pytest.raises(SettingsError, match=f"--{name}: .*{words}"):
            model.from_texts({name: text}, names)
