"""`Flags`: what was typed in one call, apart from the fields of the models."""

from dataclasses import fields

import pytest

from impasto.cli.app import app
from impasto.cli.flags import COMMON_FIELDS, DASH, Flags, hide_dashes, typed, typed_name
from impasto.cli.settings_sources import MODELS
from impasto.errors import InputError

OWN = {item.name for item in fields(Flags)} - {"changes"}
FIELDS = {name for model in MODELS for name in model.model_fields}
OWN_SIGNATURE = {"show", "presets", "layers", "doctor", "completion", "weights"}  # no `Flags`


class Token:
    def __init__(self, value: str) -> None:
        self.value = value


def test_no_flag_is_a_field_of_a_model() -> None:
    assert OWN.isdisjoint(FIELDS)
    assert COMMON_FIELDS <= FIELDS


@pytest.mark.parametrize(
    "command", [name for name in app if not name.startswith("-") and name not in OWN_SIGNATURE]
)
def test_every_flag_of_a_command_has_its_place(command) -> None:
    arguments = app[command].assemble_argument_collection()
    names = [item.names[0] for item in arguments if item.names[0].startswith("--")]
    assert names
    for name in names:
        assert name.removeprefix("--").replace("-", "_") in OWN | FIELDS


def test_values_are_sorted_into_flags_and_changes() -> None:
    flags = Flags.of({"output": "out.png", "force": True, "size": "48", "device": "cpu"})
    assert (flags.output, flags.force, flags.quiet) == ("out.png", True, False)
    assert flags.changes == {"size": "48", "device": "cpu"}
    assert Flags.of({}) == Flags()


def test_a_single_dash_is_standard_input_where_it_is_taken() -> None:
    assert hide_dashes(["-", "-o", "-", "--size"]) == [DASH, "-o", DASH, "--size"]
    assert typed(str, [Token(DASH)]) == "-"
    assert typed_name(str, [Token("a-b")]) == "a-b"
    with pytest.raises(InputError, match="- is standard input"):
        typed_name(str, [Token(DASH)])
