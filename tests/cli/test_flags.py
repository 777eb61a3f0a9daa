"""`Flags`: what was typed in one call, apart from the fields of the models."""

import contextlib
import inspect
import subprocess
import sys
from dataclasses import fields

import pytest
from cyclopts import CycloptsError

from impasto.cli import app as program
from impasto.cli.app import app, parsed
from impasto.cli.commands.stylize import stylize
from impasto.cli.flags import COMMON_FIELDS, DASH, Flags, hide_dashes, typed, typed_name, typed_only
from impasto.cli.settings_sources import MODELS
from impasto.errors import InputError
from impasto.videos.video import FilmSettings

OWN = {item.name for item in fields(Flags)} - {"changes"}
FIELDS = {name for model in (*MODELS, FilmSettings) for name in model.model_fields}
OWN_SIGNATURE = {
    "show",
    "presets",
    "layers",
    "doctor",
    "completion",
    "weights",
    "studio",
    "serve",
}  # no `Flags`


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
        field = name.removeprefix("--").replace("-", "_")
        assert field in OWN | FIELDS or f"{field}_" in FIELDS  # from_, as `from` is a word of Python


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


def seen(*tokens: str) -> list[str]:
    """Return the names that the parser sees of the command `stylize`."""
    with typed_only(stylize, tokens):
        return list(inspect.signature(stylize).parameters)


def test_the_parser_sees_the_flags_that_were_typed() -> None:
    whole = inspect.signature(stylize)
    files = ["content", "styles"]
    assert seen("a.jpg", "b.jpg", "size") == files
    assert seen("a.jpg", "--size=5", "-q") == [*files, "quiet", "size"]
    assert seen("--no-checkpoint", "--no-compact") == [*files, "checkpoint", "no_checkpoint", "compact"]
    assert inspect.signature(stylize) == whole
    with pytest.raises(KeyError), typed_only(stylize, []):
        raise KeyError
    assert inspect.signature(stylize) == whole


def test_what_is_parsed_is_the_same_with_all_flags(monkeypatch) -> None:
    """The parser is called a second time, with all flags, only for what it refuses."""
    tokens = "a.jpg b.jpg --size=5 --style-weight 3 -q --no-checkpoint --style c.jpg".split()
    calls, parse = [], type(app).parse_args

    def noted(*arguments, **options):
        calls.append(parse(*arguments, **options))
        return calls[-1]

    monkeypatch.setattr(type(app), "parse_args", noted)
    parsed(tokens)
    parsed([*tokens, "--no-compact"])
    assert len(calls) == 2
    monkeypatch.setattr(program, "typed_only", lambda *arguments: contextlib.nullcontext())
    parsed(tokens)
    parsed([*tokens, "--no-compact"])
    for some, every in zip(calls[:2], calls[2:], strict=True):
        assert some[0] is every[0]
        assert some[1].arguments == {
            name: value for name, value in every[1].arguments.items() if value is not None
        }
    with pytest.raises(CycloptsError, match="--sise"):
        parsed(["a.jpg", "b.jpg", "--sise", "5"])
    assert len(calls) == 4


def test_a_command_is_imported_when_it_is_called() -> None:
    code = (
        "import sys; from impasto.cli.app import main; main(['layers']);"
        "print([name for name in sys.modules if name.startswith('impasto.cli.commands.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = ["impasto.cli.commands.stylize", "impasto.cli.commands.doctor"]
    assert done.stdout.splitlines()[-1] == str(names)
