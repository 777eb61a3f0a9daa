"""`impasto show`: how a picture was made."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from impasto.cli.console import out
from impasto.cli.flags import Switch, typed_name
from impasto.cli.progress import named_losses
from impasto.config.model import format_value
from impasto.config.recipe import InputRecord, Recipe
from impasto.config.settings import Settings
from impasto.errors import ExitCode
from impasto.image.xmp import read_recipe
from impasto.messages import counted, duration, printable


def show(file: Annotated[Path, Parameter(converter=typed_name)], /, *, json: Switch = False) -> int:
    """Tell how a picture was made: inputs, settings, losses, time.

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
        stroke = "" if style.stroke is None else f", stroke {style.stroke:g}"
        layers = "" if style.layers is None else f", layers {format_value(style.layers)}"
        yield f"style         {_input(style)}{share}{stroke}{layers}"
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
        note = "" if value == default else f"   (default: {format_value(default)})"
        yield f"  {name:{width}}  {format_value(value)}{note}"


def _region(mask: InputRecord) -> str:
    if mask.kind == "rest":
        return "what the other masks leave"
    return f"the mask {_input(mask)}{f' {mask.color}' if mask.color else ''}"


def _input(record: InputRecord) -> str:
    size = f"{record.width} x {record.height} px"
    return f"{printable(record.name)} ({size}, SHA-256 {record.sha256[:12]}...)"
