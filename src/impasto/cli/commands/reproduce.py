"""`impasto reproduce`: the same picture again, from its recipe."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from cyclopts import Parameter

from impasto.cli import run
from impasto.cli.flags import (
    DEEP,
    SAVING,
    argument,
    generated,
    output_flag,
    parameter,
    takes,
    typed_name,
)
from impasto.cli.output import beside, note_of, plan_job
from impasto.cli.settings_sources import gather, limits_of
from impasto.config.limits import Input
from impasto.config.output import Output
from impasto.image.xmp import read_recipe
from impasto.system.files import WRITABLE, check_target

INPUTS = parameter("inputs", list[Path], "Folders with photo, paintings and masks, searched first. "
    "[default: beside the picture, then the current folder]", "Look", negative="",
    consume_multiple=True)  # fmt: skip
WEIGHTS = parameter("weights", Path, "The weights, if they are not found by name: a name or a file. "
    "[default: those of the recipe]", "Expert")  # fmt: skip
PICTURE = Parameter(help="A picture made by impasto, or its recipe in JSON.", converter=typed_name)


@takes(
    [
        argument("picture", PICTURE),
        output_flag("PICTURE-again, in the same format,"),
        *SAVING,
        INPUTS,
        WEIGHTS,
        *generated(Output, Input),
    ]
)
def reproduce(picture: str, **given: Any) -> int:
    """Make a picture again from its recipe: the same pixels on the same machine."""
    recipe = read_recipe(picture)
    output = gather({name: given[name] for name in Output.model_fields if name in given}, {}).output
    name = Path(picture)
    suffix = name.suffix.lower() if name.suffix.lower() in WRITABLE else ".png"
    job = plan_job(f"{name.stem}-again", [picture], output, given, suffix=suffix)
    job = replace(job, limits=limits_of(given))
    with run.kept(job) as checkpoints:
        with run.shown(job) as progress:
            from impasto.image.picture import Picture
            from impasto.transfer.reproduce import differences, find_inputs, repeat

            folders = [*map(Path, given.get("inputs") or []), name.parent, Path()]
            found = find_inputs(recipe, folders, job.limits)
            checkpoints.folders = [os.path.dirname(os.path.abspath(path)) for path in found.paths]  # noqa: PTH100, PTH120
            if job.target is not None:
                for path in (job.target, *beside(job, job.target)):
                    check_target(path, inputs=found.paths, overwrite=job.force)
            if output.bits is None and name.suffix.lower() in WRITABLE:  # as deep as the file there
                deep = job.target is None or job.target.suffix.lower() in DEEP
                bits = Picture.open(picture, limits=job.limits).bits if deep else 8
                job = replace(job, output=output.changed(bits=bits))
                checkpoints.note = note_of(job)
            for line in differences(recipe):
                progress.say(f"not as when the picture was made: {line}")
            course = run.course_of(job, found.content, found.styles)
            result = repeat(
                recipe,
                found,
                weights=given.get("weights"),
                on_step=run.watch(job, progress, "the same run again", course),
                checkpoints=checkpoints,
                on_part=run.stopper(progress),
            )
            if recipe.pixels_sha256 and run.signals.code is None:
                same = result.recipe.pixels_sha256 == recipe.pixels_sha256
                progress.say("the pixels are the same" if same else "the pixels are not the same")
        return run.finish(job, progress, result, checkpoints, course)
