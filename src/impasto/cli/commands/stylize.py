"""`impasto stylize` and `impasto demo`: paint a photo in the style of paintings."""

import os
from dataclasses import replace
from pathlib import Path

from impasto.cli import run
from impasto.cli.arguments import picture_arguments
from impasto.cli.checks import check_options, check_start, paintings, refuse_clip, roles
from impasto.cli.flags import (
    BASE,
    OUTPUT,
    PICTURES,
    PRINT,
    SAVING,
    Flags,
    generated,
    output_flag,
    parameter,
    takes,
)
from impasto.cli.output import begin_lines, free_name, plan_output
from impasto.cli.samples import sample
from impasto.cli.settings_sources import gather, on_paper, to_toml
from impasto.config.output import Output
from impasto.errors import InputError
from impasto.messages import did_you_mean, printable
from impasto.system.files import publish

DEMO = {"size": 384, "quality": "draft"}
COMMANDS = (
    "stylize", "show", "reproduce", "resume", "report", "settings", "presets", "estimate", "experiment",
    "grid", "looks", "batch", "video", "studio", "serve", "weights", "layers", "doctor", "demo",
    "completion",
)  # fmt: skip


@takes([*PICTURES, *OUTPUT, *BASE, PRINT, *generated()])
def stylize(content: str, *styles: str, flags: Flags) -> int:
    """Paint a photo in the style of paintings; the word may be left out."""
    hint = did_you_mean(content, COMMANDS)
    if content != "-" and hint and not os.path.lexists(content):
        raise InputError(f"{printable(content)} is neither a file nor a command.{hint}")
    refuse_clip(content, "paints it")
    return _paint(content, styles, flags)


def _paint(content: str, styles: tuple[str, ...], flags: Flags) -> int:
    """Paint, and write the result."""
    begin_lines(flags)
    styles = paintings(content, styles, flags)
    resolved = gather(flags)
    check_start(resolved.settings, flags)
    check_options(resolved.settings, flags)
    arguments = picture_arguments(content, styles, flags)
    limits = resolved.input
    plan = plan_output(arguments.stem, arguments.names, resolved.output, flags, limits=limits)
    arguments.read(limits)
    resolved = on_paper(resolved, flags, *arguments.files[content])
    if plan.save_settings is not None:
        publish(plan.save_settings, to_toml(resolved).encode(), overwrite=plan.force)
    messages = filter(None, [roles(content, styles), *resolved.notes])
    return run.paint(plan, resolved, arguments, list(messages))


DEMO_SIZE = parameter("size", int, f"Long edge of the result. [px; default: {DEMO['size']}]", "Size")


@takes([output_flag("demo.png"), *SAVING, DEMO_SIZE, *generated(Output)])
def demo(*, flags: Flags) -> int:
    """Paint the photo that comes with impasto, small and quickly."""
    target = Path("demo.png")
    free = str(target if flags.force else free_name(target, flags))
    output = free if flags.output is None else flags.output
    flags = replace(flags, output=output, changes={**DEMO, **flags.changes})
    return _paint(str(sample("photo")), (str(sample("starry_night")),), flags)
