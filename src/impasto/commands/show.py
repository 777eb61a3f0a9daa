"""`impasto show` and `impasto reproduce`: how a picture was made, and the same picture again."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from impasto import paint
from impasto.console import out
from impasto.errors import ExitCode, counted
from impasto.flags import (
    DEEP,
    SAVING,
    argument,
    generated,
    output_flag,
    parameter,
    raw,
    takes,
)
from impasto.job import beside, note_of, plan_job
from impasto.limits import Input
from impasto.models import shown
from impasto.progress import duration, named_losses
from impasto.publish import WRITABLE, check_target, printable
from impasto.recipe import InputRecord, Recipe
from impasto.settings import Output, Settings
from impasto.sources import gather, limits_of, read_recipe


def show(
    file: Annotated[Path, Parameter(converter=raw)],
    /,
    *,
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Tell how a picture was made: inputs, settings, losses, time, machine.

    Args:
        file: A picture made by impasto, or its recipe in JSON.
        json: Print the recipe itself, as JSON.
    """
    recipe = read_recipe(file)
    out(recipe.to_json().rstrip() if json else "\n".join(_lines(recipe, str(file))))
    return ExitCode.DONE


def _lines(recipe: Recipe, file: str) -> Iterator[str]:
    made = f"impasto {recipe.impasto}, {recipe.created}, in {duration(recipe.seconds)}"
    yield f"made by       {printable(made)}"
    yield f"photo         {_input(recipe.content)}"
    for style in recipe.styles:
        share = f", weight {style.weight:g}" if len(recipe.styles) > 1 else ""
        yield f"style         {_input(style)}{share}{_use(style)}"
        for name, mask in (("in", style.mask), ("of it", style.source_mask)):
            if mask is not None:
                yield f"  {name:12}{_region(mask)}"
    if recipe.protect:
        yield f"protected     {_region(recipe.protect)}"
    if recipe.init_picture:
        yield f"started from  {_input(recipe.init_picture)}"
    yield f"weights       {printable(recipe.weights)} (SHA-256 {recipe.weights_sha256[:12]}...)"
    for scale in recipe.scales:
        size = f"{scale.width} x {scale.height} px"
        spent = f"{counted(scale.evaluations, 'evaluation')} in {duration(scale.seconds)}"
        yield f"scale         {size}: {spent}; ended: {printable(scale.reason)}"
    if recipe.calibration:
        yield f"strength      {recipe.settings.strength:g}: {recipe.calibration}"
    yield f"losses        {printable(named_losses(recipe.losses))}"
    runtime = recipe.runtime
    yield f"computed on   {runtime.device}, {runtime.threads} threads, {runtime.precision}"
    machine = ", ".join(f"{name} {value}" for name, value in recipe.machine.items())
    yield f"machine       {printable(machine)}"
    again = f"yes: impasto reproduce {shlex.quote(printable(file))}"
    yield f"reproducible  {again if recipe.reproducible else 'no: a callback or a loss was its own'}"
    yield "settings"
    width = max(map(len, Settings.model_fields))
    for name, field in Settings.model_fields.items():
        value = getattr(recipe.settings, name)
        default = field.get_default(call_default_factory=True)
        note = "" if value == default else f"   (default: {shown(default)})"
        yield f"  {name:{width}}  {shown(value)}{note}"


def _use(style: InputRecord) -> str:
    """Return stroke and layers of a style's own."""
    stroke = "" if style.stroke is None else f", stroke {style.stroke:g}"
    return stroke + ("" if style.layers is None else f", layers {shown(style.layers)}")


def _region(mask: InputRecord) -> str:
    color = f" {mask.color}" if mask.color else ""
    return (
        "what the other masks leave" if mask.kind == "rest" else f"the mask {_input(mask)}{color}"
    )


def _input(record: InputRecord) -> str:
    size = f"{record.width} x {record.height} px"
    return f"{printable(record.name)} ({size}, SHA-256 {record.sha256[:12]}...)"


INPUTS = parameter("inputs", list[Path], "Folders with photo, paintings and masks, searched first. "
    "[default: beside the picture, then the current folder]", "Look", negative="",
    consume_multiple=True)  # fmt: skip
WEIGHTS = parameter("weights", Path, "The weights, if they are not found by name: a name or a file. "
    "[default: those of the recipe]", "Expert")  # fmt: skip
PICTURE = Parameter(help="A picture made by impasto, or its recipe in JSON.", converter=raw)


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
    with paint.kept(job) as keeper:
        with paint.shown(job) as progress:
            from impasto.picture import Picture
            from impasto.reproduction import differences, find_inputs, repeat

            folders = [*map(Path, given.get("inputs") or []), name.parent, Path()]
            found = find_inputs(recipe, folders, job.limits)
            keeper.folders = [os.path.dirname(os.path.abspath(path)) for path in found.paths]  # noqa: PTH100, PTH120
            if job.target is not None:
                for path in (job.target, *beside(job, job.target)):
                    check_target(path, inputs=found.paths, overwrite=job.force)
            if output.bits is None and name.suffix.lower() in WRITABLE:  # as deep as the file there
                deep = job.target is None or job.target.suffix.lower() in DEEP
                bits = Picture.open(picture, limits=job.limits).bits if deep else 8
                job = replace(job, output=output.changed(bits=bits))
                keeper.note = note_of(job)
            for line in differences(recipe):
                progress.say(f"not as when the picture was made: {line}")
            course = paint.course_of(job, found.content, found.styles)
            result = repeat(
                recipe,
                found,
                weights=given.get("weights"),
                on_step=paint.watch(job, progress, "the same run again", course),
                keeper=keeper,
                on_part=paint.stopper(progress),
            )
            if recipe.pixels_sha256 and paint.signals.code is None:
                same = result.recipe.pixels_sha256 == recipe.pixels_sha256
                progress.say("the pixels are the same" if same else "the pixels are not the same")
        return paint.finish(job, progress, result, keeper, course)
