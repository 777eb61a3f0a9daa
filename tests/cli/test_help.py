"""The short help and the long one, of the program and of each command."""

import re
import subprocess
import sys

import pytest

from impasto.cli.app import app, main

COMMANDS = sorted(name for name in app if not name.startswith("-"))
WEIGHTS = [["weights", name] for name in app["weights"] if not name.startswith("-")]
ALL = [[], *([name] for name in COMMANDS), *WEIGHTS]


def flags_of(command) -> set[str]:
    """The flags that a command takes, without those for help."""
    target = app
    for name in command:
        target = target[name]
    if target.default_command is None:
        return set()
    arguments = target.assemble_argument_collection(parse_docstring=True)
    names = [name for item in arguments for name in item.names if name not in item.negatives]
    return {name for name in names if name.startswith("--")}


@pytest.fixture(autouse=True)
def columns(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_the_short_help_fits_on_a_screen_and_says_where_the_rest_is(command, capsys) -> None:
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert main([*command, "-h"]) == 0
    assert capsys.readouterr().out == text
    lines = text.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 80
    assert f"Usage: {' '.join(['impasto', *command])}" in text
    named = set(re.findall(r"^  (?:-\w, )?(--[a-z-]+)", text, re.MULTILINE))
    left = flags_of(command) - named
    count = re.search(r"^(\d+) more options: (.*--help-all)\.", text, re.MULTILINE)
    assert bool(left) == bool(count)
    if count:
        assert count[2] == " ".join(["impasto", *command, "--help-all"])
        assert int(count[1]) == len(left)


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_the_long_help_has_every_flag(command, capsys) -> None:
    assert main([*command, "--help-all"]) == 0
    text = capsys.readouterr().out
    for name in flags_of(command):
        assert re.search(rf"(?<![a-z-]){name}(?![a-z-])", text), name


def test_the_program_shows_its_commands_in_a_line_each(capsys) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("Commands:") + 1
    assert sorted(line.split()[0] for line in lines[start : start + len(COMMANDS)]) == COMMANDS
    assert lines[start + len(COMMANDS)] == ""
    options = lines[lines.index("Options:") : lines.index("Commands:")]
    assert 12 <= sum(line.startswith("  -") for line in options) <= 15


def test_what_is_short_comes_from_the_same_text(capsys) -> None:
    assert main(["--help"]) == 0
    short = " ".join(capsys.readouterr().out.split())
    assert "Weight of the painting (beta). [0 or more; default: 100]" in short
    assert "Higher paints more boldly" not in short
    assert "default: not set" not in short
    assert main(["--help-all"]) == 0
    assert "Higher paints" in capsys.readouterr().out


def test_no_help_imports_torch() -> None:
    """In one process: what one command imported would be found at the next as well."""
    code = (
        "import sys; from impasto.cli.app import main\n"
        "for line in sys.argv[1:]:\n"
        "    for flag in ('--help', '--help-all'):\n"
        "        assert main([*line.split(), flag]) == 0, line\n"
        "        assert not {'torch', 'numpy', 'matplotlib', 'jinja2'} & set(sys.modules), line"
    )
    words = [sys.executable, "-c", code, "", "grid", "experiment", "report", "weights"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["photo.jpg", "painting.jpg", "-z"], "See impasto --help-all."),
        (["photo.jpg", "painting.jpg", "--size"], "See impasto --help."),
        (["grid", "photo.jpg", "painting.jpg", "-z"], "See impasto grid --help-all."),
        (["show"], "See impasto show --help."),
        (["doctor", "now"], "See impasto doctor --help."),
        (["weights", "import"], "See impasto weights import --help."),
    ],
)
def test_wrong_usage_points_to_the_help_of_its_command(arguments, where, capsys) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith(f"{where}\n")
