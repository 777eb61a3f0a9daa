"""The program `impasto`: parses the command line, calls a command, and reports errors in one line.

torch is imported only after everything that can be checked without it was checked. Results go to standard
output, all else to standard error.
"""

import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Literal

from cyclopts import (
    App,
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)
from pydantic import ValidationError

from impasto._version import __version__
from impasto.cli import help
from impasto.cli.commands import stylize as stylize_command
from impasto.cli.console import complain, escape, mute, open_streams, out
from impasto.cli.flags import DASH, hide_dashes, typed_only
from impasto.cli.run import Interrupted, signals
from impasto.cli.suggestions import check_single_dashes, flag_hint
from impasto.cli.watch import json_lines
from impasto.config.model import error_text
from impasto.errors import ExitCode, ImpastoError, InputError
from impasto.messages import did_you_mean, printable
from impasto.system.process import limit_spinning

HELP_WIDTH = 100  # columns of the long help
OUT_OF_MEMORY = re.compile(r"allocate|out of memory", re.IGNORECASE)  # in messages of torch
HINT = re.compile("Did you mean|without a flag")  # what to do is said
PYTHON = re.compile(r" \((?:overwrite|many)=True\)")  # arguments of the library in messages

EXAMPLES = """\
Examples:
  impasto photo.jpg painting.jpg             paint; writes photo-painting.png
  impasto batch photos --style painting.jpg -o painted   all of a folder
  impasto photo.jpg painting.jpg -o out.tif --bits 16
  impasto photo.jpg painting.jpg --size 1024 --style-weight 300
  impasto photo.jpg --style a.jpg --style b.jpg
  impasto photo.jpg painting.jpg --preset paper
  impasto other.jpg painting.jpg --settings out.png   as an earlier picture
  impasto show out.png                       how a picture was made
  impasto reproduce out.png                  the same picture again
  impasto video clip.mp4 painting.jpg        a film; writes clip-painting.mp4
  impasto report out.png                     a page about it, out.html
  impasto resume                             continue an interrupted run

Settings come from flags, IMPASTO_... variables, --settings and --preset, in
this order; see impasto settings. Presets: impasto presets. Layers: impasto
layers. Exit codes and limits: impasto doctor. Weights: impasto weights."""

app = App(
    name="impasto",
    help="Paint a photo in the style of a painting.",
    usage="Usage: impasto [stylize] CONTENT STYLE [STYLE ...] [OPTIONS]\n       impasto COMMAND [OPTIONS]",
    help_epilogue=EXAMPLES,
    version=__version__,
    help_flags=help.ALL_FLAGS,
    help_format="plaintext",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
PLAIN: dict[str, Any] = {"help_epilogue": ""}  # no examples below the help of a command
PICTURES = "CONTENT STYLE [STYLE ...]"
COMMANDS = {  # function -> what its help shows behind its name
    "show:show": "FILE [--json]",
    "reproduce:reproduce": "PICTURE [OPTIONS]",
    "resume:resume": "[CHECKPOINT] [OPTIONS]",
    "report:report": "PICTURE [OPTIONS]",
    "settings:settings": "[OPTIONS]",
    "settings:presets": "[NAME] [OPTIONS]",
    "estimate:estimate": f"{PICTURES} [OPTIONS]",
    "experiment:experiment": "CONTENT STYLE [CONTENT STYLE ...] [OPTIONS]",
    "grid:grid": f"{PICTURES} --vary NAME=VALUES [OPTIONS]",
    "looks:looks": f"{PICTURES} [OPTIONS]",
    "video:video": "CLIP STYLE [STYLE ...] [OPTIONS]",
    "studio:studio": "[OPTIONS]",
    "studio:serve": "[OPTIONS]",
}
app.default(stylize_command.stylize)
app.command(stylize_command.stylize, name="stylize")
for function, arguments in COMMANDS.items():  # the module of a command is imported when it is called
    usage = f"Usage: impasto {function.partition(':')[2]} {arguments}"
    app.command(f"impasto.cli.commands.{function}", usage=usage, **PLAIN)
app.command("impasto.cli.commands.batch:app", name="batch")
app.command("impasto.cli.commands.weights:app", name="weights")
app.command("impasto.cli.commands.doctor:layers", **PLAIN)
app.command("impasto.cli.commands.doctor:doctor", **PLAIN)
app.command(stylize_command.demo, **PLAIN)


@app.command(help_epilogue="")
def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the completion of this program for a shell.

    For example: impasto completion bash > ~/.local/share/bash-completion/completions/impasto

    Args:
        shell: bash, zsh or fish.
    """
    out(app.generate_completion(prog_name="impasto", shell=shell).rstrip())
    return ExitCode.DONE


# --- the program ---------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, with the arguments of the process if `argv` is None; return the exit code."""
    tokens = list(sys.argv[1:] if argv is None else argv)
    open_streams()
    limit_spinning()
    escape()
    json_lines.begin(None)
    try:
        with signals.watched():
            if tokens == ["help"]:
                tokens = ["--help"]
            if not tokens:
                raise InputError("no photo given: impasto CONTENT STYLE [STYLE ...], or --help")
            if {*help.FLAGS, *help.ALL_FLAGS} & set(tokens):
                return _print_help(tokens)
            check_single_dashes(tokens)
            code = parsed(tokens)()
            sys.stdout.flush()
            return int(code or ExitCode.DONE)
    except BaseException as error:
        return _failed(error)


def parsed(tokens: Sequence[str]) -> Callable[[], int | None]:
    """Return the call of a command that the arguments mean.

    Raises:
        CycloptsError: They mean none.
        InputError: A value is not one of its flag.
    """
    tokens = hide_dashes(tokens)
    command = app.parse_commands(tokens)[1][-1].default_command
    try:
        with typed_only(command, tokens):
            call, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError:  # the message is about all flags
        call, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    return lambda: call(*bound.args, **bound.kwargs)


def _failed(error: BaseException) -> int:
    """Say what went wrong in one line and return the exit code."""
    if isinstance(error, Interrupted):
        code = int(signals.code or ExitCode.INTERRUPTED)
        json_lines.error("interrupted; nothing is saved", code)
        return code
    if isinstance(error, SystemExit):
        raise error
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        mute()
        return int(ExitCode.RESOURCE)
    if isinstance(error, CycloptsError):
        message = " ".join(_parser_message(error).replace(DASH, "-").split())
        if not HINT.search(message):
            chain = [name for name in error.command_chain or () if not name.startswith("-")]
            # A flag that is unknown is in no help; the long one has all.
            which = "--help-all" if isinstance(error, UnknownOptionError) else "--help"
            message += f" See {' '.join(['impasto', *chain, which])}."
        return complain(message, ExitCode.USAGE)
    if isinstance(error, ImpastoError):
        # The library names its own arguments beside the flags.
        return complain(PYTHON.sub("", str(error)), error.exit_code)
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(str(error))
    ):
        return complain("not enough memory; give a smaller --size", ExitCode.RESOURCE)
    traceback.print_exception(error)
    return complain("this is a bug of ours; please report it with the lines above", ExitCode.BUG)


def _parser_message(error: CycloptsError) -> str:
    """Return what is wrong, as the parser or we put it."""
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        tokens = ", ".join(printable(token) for token in error.unused_tokens)
        near = did_you_mean(error.unused_tokens[0], error.app or ()) if error.app else ""
        return f"unexpected: {tokens}.{near}"
    if isinstance(error, MissingArgumentError) and error.argument and not error.keyword:
        return f"{error.argument.name.lstrip('-').upper()} is missing."
    if isinstance(error, UnknownOptionError):
        option = error.token.keyword or error.token.value
        option = option.partition("=")[0]
        if os.path.lexists(option):
            name = printable(option)
            return f"{name} is taken for a flag; write the file as ./{name}."
        names = [name for item in error.argument_collection for name in item.names]
        return f"Unknown option: {printable(option)}.{flag_hint(option, names)}"
    if isinstance(error, CoercionError) and error.target_type is bool and error.token:
        flag, value = error.token.keyword or "", printable(error.token.value)
        return f"{flag}={value}: give {flag} or --no-{flag.removeprefix('--')}, without a value."
    if isinstance(error, RepeatArgumentError):
        return f"{error.token.keyword} is given twice, also as {printable(error.token.value)}; give it once."
    if isinstance(error.__cause__, ValidationError):
        item = error.__cause__.errors()[0]
        name = error.argument.name if error.argument else ""
        return f"{name}: {error_text(item)}, not {item['input']!r}."
    return str(error)


def _print_help(tokens: Sequence[str]) -> int:
    """Print the long help if it is requested, else the short one."""
    words = [word for word in tokens if word not in (*help.FLAGS, *help.ALL_FLAGS, "--version")]
    if set(help.ALL_FLAGS) & set(tokens):
        from rich.console import Console

        for name in app:
            app[name]  # imports the command, for its description
        app.help_print(words, console=Console(width=min(HELP_WIDTH, Console().width)))
    else:
        out(help.short_help(app, words))
    return ExitCode.DONE
