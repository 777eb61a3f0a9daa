"""`impasto settings`, `presets` and `show`: settings of a call, of presets, and of a picture."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from impasto.cli.console import dumps, out
from impasto.cli.flags import SOURCES, Flags, Switch, generated, switch, takes, typed_name
from impasto.cli.output import settings_target
from impasto.cli.progress import named_losses
from impasto.cli.settings_sources import gather, to_toml
from impasto.config import settings_file
from impasto.config.model import format_value
from impasto.config.recipe import InputRecord, Recipe
from impasto.config.settings import Settings
from impasto.errors import ExitCode, ImpastoError
from impasto.image.xmp import read_recipe
from impasto.messages import counted, duration, printable
from impasto.system.files import check_target, publish

DEFAULT_WEIGHTS = "vgg19-original-8bit"  # known here without torch; a test compares
JSON = switch("json", "Print JSON.", common=True)
FORCE = switch("force", "Replace the file of --save-settings if it exists.")


@takes([*SOURCES, JSON, FORCE, *generated()])
def settings(*, flags: Flags) -> int:
    """Show every setting, its value and where it came from.

    --save-settings writes them to a file. Flags go before environment variables (IMPASTO_SIZE for --size),
    these before the file of --settings, that before the preset, and that before the default.
    """
    resolved = gather(flags)
    if flags.save_settings is not None:
        inputs = [] if flags.settings is None else [Path(flags.settings)]
        target = settings_target(flags.save_settings)
        check_target(target, inputs=inputs, overwrite=flags.force)
        publish(target, to_toml(resolved).encode(), overwrite=flags.force)
    origins = {"weights": "default", **resolved.origins}
    weights = resolved.weights or DEFAULT_WEIGHTS
    rows = [
        ("preset", resolved.preset, origins["preset"]),
        ("weights", weights, origins["weights"]),
    ]
    rows += resolved.rows()
    if flags.json:
        out(dumps({name: {"value": value, "from": origin} for name, value, origin in rows}))
        return ExitCode.DONE
    texts = [(name, printable(format_value(value)), where) for name, value, where in rows]
    names = max(len(name) for name, _, _ in texts)
    values = min(44, max(len(value) for _, value, _ in texts))
    for name, value, origin in texts:
        out(f"{name:{names}}  {value:{values}}  {printable(origin)}")
    return ExitCode.DONE


def presets(*, json: Switch = False) -> int:
    """List the presets, and say where your own go.

    Args:
        json: Print JSON.
    """
    usable, bad = {}, []
    for name in settings_file.preset_paths():
        try:
            Settings.preset(name)
            usable[name] = settings_file.read_preset(name)
        except ImpastoError as error:
            bad.append(str(error))
    for path in settings_file.user_presets():
        if (settings_file.SHIPPED / path.name).exists():
            bad.append(f"{path}: the name {path.stem} is taken")
    folder = settings_file.preset_folder()
    if json:
        about = {
            name: {"title": file.title, "limits": file.limits} for name, file in usable.items()
        }
        out(dumps({"folder": str(folder), "presets": about, "not used": bad}))
        return ExitCode.DONE
    width = max(map(len, usable))
    for name, file in usable.items():
        out(f"{name:{width}}  {printable(file.title or 'your own')}")
        for limit in file.limits:
            out(f"{'':{width}}  - {printable(limit)}")
    for message in bad:
        out(f"not used: {printable(message)}")
    where = f"{printable(folder)}/NAME.toml"
    out(f"Your own: save with --save-settings {where}, use with --preset NAME.")
    return ExitCode.DONE


def show(
    file: Annotated[Path, Parameter(converter=typed_name)],
    /,
    *,
    json: Switch = False,
) -> int:
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
        note = "" if value == default else f"   (default: {format_value(default)})"
        yield f"  {name:{width}}  {format_value(value)}{note}"


def _region(mask: InputRecord) -> str:
    if mask.kind == "rest":
        return "what the other masks leave"
    return f"the mask {_input(mask)}{f' {mask.color}' if mask.color else ''}"


def _input(record: InputRecord) -> str:
    size = f"{record.width} x {record.height} px"
    return f"{printable(record.name)} ({size}, SHA-256 {record.sha256[:12]}...)"
