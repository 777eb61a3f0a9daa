"""The short help of the program and of each command, from the same table as the long one. No torch here.

The long help, `--help-all`, is the parser's own.
"""

import inspect
import textwrap
from collections.abc import Sequence
from typing import Any

from cyclopts import App

from impasto.cli.flags import COMMON

WIDTH = 80  # columns
LINES = 60  # of a short help, at most
FLAGS = ("--help", "-h")
ALL_FLAGS = ("--help-all",)
EXAMPLES = 2  # lines of the program's examples
OBVIOUS = ("default: not set", "default: no")  # what the short help leaves out


def short_help(app: App, tokens: Sequence[str]) -> str:
    """Return the help of the command that the arguments name, at most 60 lines of 80 columns.

    All flags of the command are shown where they fit, else the common ones. `tokens` has no flag for help.
    """
    chain, apps, _ = app.parse_commands(list(tokens))
    command = apps[-1]
    everything = _page(app, command, chain, common=False)
    if len(everything) <= LINES and command is not app:
        return "\n".join(everything)
    return "\n".join(_page(app, command, chain, common=True))


def _page(app: App, command: App, chain: Sequence[str], *, common: bool) -> list[str]:
    """Return the lines of a page of help."""
    name = " ".join(["impasto", *chain])
    usage = command.usage or f"Usage: {name} [OPTIONS]"
    lines = [*_wrapped(_description(command)), "", *usage.splitlines()]
    flags, arguments, hidden = [], [], 0
    shown: list[Any] = []
    if command.default_command is not None:
        collection = command.assemble_argument_collection(parse_docstring=True)
        shown = [argument for argument in collection if argument.show]
    for argument in sorted(shown, key=lambda item: item.parameter.group[0].sort_key or 0):
        names = [str(name) for name in argument.names if name not in argument.negatives]
        text = _brief(argument.parameter.help or "")
        if not names[0].startswith("-"):
            arguments.append((names[0].upper(), text))
        elif common and COMMON not in argument.parameter.group:
            hidden += 1
        else:
            flags.append((", ".join(sorted(names, key=len)), text))
    commands = [
        (child, _description(command[child]).partition("\n")[0])
        for child in command
        if not child.startswith("-")
    ]
    for title, rows in (("Arguments", arguments), ("Options", flags), ("Commands", commands)):
        if rows:
            lines += ["", f"{title}:", *_columns(rows)]
    rest = f"{hidden} more options: {name} --help-all." if hidden else ""
    if command is app:
        lines += ["", *str(app.help_epilogue).splitlines()[: EXAMPLES + 1]]
        rest += f" Help for a command: {name} COMMAND --help."
    return [*lines, "", *_wrapped(rest)] if rest else lines


def _description(command: App) -> str:
    """Return what a command does: its docstring without the arguments."""
    return inspect.cleandoc(str(command.help)).partition("\n\nArgs:")[0]


def _brief(help: str) -> str:
    """Return the first sentence of a help text, and its range, choices and default."""
    meaning, _, detail = help.removesuffix("]").partition(" [")
    first, _, rest = meaning.partition(". ")
    parts = [part for part in detail.split("; ") if part and part not in OBVIOUS]
    parts += [
        f"default: {sentence.removeprefix('Default: ').rstrip('.')}"
        for sentence in rest.split(". ")
        if sentence.startswith("Default: ")
    ]
    text = first if first.endswith(".") else f"{first}."
    return f"{text} [{'; '.join(parts)}]" if parts else text


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Return names and texts in two columns."""
    width = max(len(name) for name, _ in rows) + 4
    lines = []
    for name, text in rows:
        parts = textwrap.wrap(text, WIDTH - width) or [""]
        lines.append(f"  {name:{width - 2}}{parts[0]}")
        lines += [" " * width + part for part in parts[1:]]
    return lines


def _wrapped(text: str) -> list[str]:
    """Return paragraphs as lines."""
    lines: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        lines += ["", *textwrap.wrap(" ".join(paragraph.split()), WIDTH)]
    return lines[1:]
