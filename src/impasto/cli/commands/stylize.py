"""`impasto stylize` and `impasto demo`: paint a photo in the style of paintings."""

import os
from dataclasses import replace
from pathlib import Path

from impasto.cli import run
from impasto.cli.arguments import picture_arguments
from impasto.cli.checks import check_options, check_start
from impasto.cli.flags import (
    BASE,
    OUTPUT,
    SAVING,
    Flags,
    generated,
    output_flag,
    parameter,
    positional,
    takes,
)
from impasto.cli.output import free_name, plan_output, save_settings
from impasto.cli.samples import sample
from impasto.cli.settings_sources import gather
from impasto.config.output import Output
from impasto.errors import InputError
from impasto.messages import did_you_mean, printable

DEMO = {"size": 384, "quality": "draft"}
COMMANDS = (
    "stylize", "show", "reproduce", "resume", "report", "settings", "presets", "estimate", "experiment",
    "grid", "weights", "layers", "doctor", "demo", "completion",
)  # fmt: skip


@takes([*positional(), *OUTPUT, *BASE, *generated()])
def stylize(content: str, *styles: str, flags: Flags) -> int:
    """Paint a photo in the style of paintings; the word may be left out."""
    hint = did_you_mean(content, COMMANDS)
    if content != "-" and hint and not os.path.lexists(content):
        raise InputError(f"{printable(content)} is neither a file nor a command.{hint}")
    if not styles:
        raise InputError(f"no painting given after {printable(content)}; name a style picture")
    if "-" in (*styles, flags.init_picture):
        raise InputError("only the photo can come from standard input (-)")
    return _paint(content, styles, flags)


def _paint(content: str, styles: tuple[str, ...], flags: Flags) -> int:
    """Paint, and write the result."""
    resolved = gather(flags)
    check_start(resolved.settings, flags)
    check_options(resolved.settings, flags)
    arguments = picture_arguments(content, styles, flags)
    inputs = arguments.names if flags.settings is None else [*arguments.names, flags.settings]
    plan = plan_output(arguments.stem, inputs, resolved.output, flags)
    plan = replace(plan, limits=resolved.input)
    arguments.read(resolved.input)
    if plan.save_settings is not None:
        save_settings(plan.save_settings, resolved, force=plan.force)
    with run.open_checkpoints(plan) as checkpoints:
        with run.show_progress(plan) as progress:
            for note in resolved.notes:
                progress.say(note)
            pictures = arguments.open(resolved.input, progress)
            capture = run.run_capture(plan, pictures.photo, pictures.styles)
            result = run.paint(plan, progress, resolved, pictures, checkpoints, capture)
        return run.save_result(plan, progress, result, checkpoints, run.ResultPage(capture))


DEMO_SIZE = parameter(
    "size", int, f"Long edge of the result. [px; default: {DEMO['size']}]", "Size"
)


@takes([output_flag("demo.png"), *SAVING, DEMO_SIZE, *generated(Output)])
def demo(*, flags: Flags) -> int:
    """Paint the photo that comes with impasto, small and quickly."""
    output = flags.output
    if output is None:
        target = Path("demo.png")
        output = str(target if flags.force else free_name(target, flags))
    flags = replace(flags, output=output, changes={**DEMO, **flags.changes})
    return _paint(str(sample("photo")), (str(sample("swirl")),), flags)
