"""`impasto stylize` and `impasto demo`: paint a photo in the style of paintings."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from impasto.cli import run
from impasto.cli.arguments import picture_arguments
from impasto.cli.flags import (
    BASE,
    OUTPUT,
    SAVING,
    check_options,
    check_start,
    generated,
    output_flag,
    parameter,
    positional,
    takes,
)
from impasto.cli.output import OutputPlan, plan_job, save_settings, with_free_name
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
def stylize(content: str, *styles: str, **given: Any) -> int:
    """Paint a photo in the style of one or several paintings (the verb may be left out)."""
    hint = did_you_mean(content, COMMANDS)
    if content != "-" and hint and not os.path.lexists(content):
        raise InputError(f"{printable(content)} is neither a file nor a command.{hint}")
    if not styles:
        raise InputError(f"no painting given after {printable(content)}; name a style picture")
    if "-" in styles or given.get("init_picture") == "-":
        raise InputError("only the photo can come from standard input (-)")
    chosen = gather(given)
    check_start(chosen.settings, given)
    check_options(chosen.settings, given)
    request = picture_arguments(content, styles, given)
    names = [*request.names, *([given["settings"]] if "settings" in given else [])]
    stems = ["stdin" if content == "-" else Path(content).stem, *(Path(s).stem for s in styles)]
    job = replace(plan_job("-".join(stems), names, chosen.output, given), limits=chosen.input)
    request.read(chosen.input)
    if job.save_settings is not None:
        save_settings(job.save_settings, chosen, force=job.force)
    with run.kept(job) as checkpoints:
        with run.shown(job) as progress:
            for note in chosen.notes:
                progress.say(note)
            found = request.open(chosen.input, progress)
            course = run.course_of(job, found.photo, found.styles)
            inputs = found.photo, found.styles, found.start
            result = run.paint(job, progress, chosen, *inputs, checkpoints, course, found.protect)
        return run.finish(job, progress, result, checkpoints, course)


DEMO_SIZE = parameter(
    "size", int, f"Long edge of the result. [px; default: {DEMO['size']}]", "Size"
)


@takes([output_flag("demo.png"), *SAVING, DEMO_SIZE, *generated(Output)])
def demo(**given: Any) -> int:
    """Paint the photo that comes with impasto, small and quickly, into demo.png."""
    if "output" not in given:
        wanted = Path("demo.png")
        recipe, report = bool(given.get("recipe")), bool(given.get("report"))
        job = OutputPlan(None, "", (), Output(), recipe=recipe, report=report)
        free = with_free_name(job, wanted).target
        given["output"] = str(wanted if given.get("force") else free)
    return stylize(str(sample("photo")), str(sample("swirl")), **{**DEMO, **given})
