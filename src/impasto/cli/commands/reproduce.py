"""`impasto reproduce`: make a picture again from its recipe."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli import run
from impasto.cli.checks import DEEP
from impasto.cli.flags import SAVING, Flags, argument, generated, output_flag, parameter, takes
from impasto.cli.output import begin_lines, check_targets, plan_output, saved_output
from impasto.cli.progress import show_progress
from impasto.cli.settings_sources import gather, limits_of
from impasto.config.limits import Input
from impasto.config.output import Output
from impasto.image.xmp import read_recipe
from impasto.system.files import WRITABLE

if TYPE_CHECKING:
    pass

INPUTS = parameter("inputs", list[Path], "Folders with photo, paintings and masks, searched first. "
    "[default: beside the picture, then the current folder]", "Look", negative="",
    consume_multiple=True)  # fmt: skip
WEIGHTS = parameter("weights", Path, "The weights, if they are not found by name: a name or a file. "
    "[default: those of the recipe]", "Expert")  # fmt: skip
PICTURE = argument("picture", "A picture made by impasto, or its recipe in JSON.")
AGAIN = output_flag("PICTURE-again, in the same format,")


@takes([PICTURE, AGAIN, *SAVING, INPUTS, WEIGHTS, *generated(Output, Input)])
def reproduce(picture: str, *, flags: Flags) -> int:
    """Make a picture again from its recipe, to the same pixels.

    The same machine is needed for that; another gives nearly the same.
    """
    begin_lines(flags)
    recipe = read_recipe(picture)
    output = gather(flags, environment={}).output
    path = Path(picture)
    suffix = path.suffix.lower() if path.suffix.lower() in WRITABLE else ".png"
    limits = limits_of(flags)
    stem = f"{path.stem}-again"
    plan = plan_output(stem, [picture], output, flags, suffix=suffix, limits=limits)
    with run.open_checkpoints(plan) as checkpoints:
        with show_progress(quiet=flags.quiet, verbose=flags.verbose) as progress:
            from impasto.image.picture import Picture
            from impasto.transfer.reproduce import differences, find_inputs, repeat

            folders = [*map(Path, flags.inputs), path.parent, Path()]
            inputs = find_inputs(recipe, folders, limits)
            checkpoints.folders = [os.path.dirname(os.path.abspath(file)) for file in inputs.paths]  # noqa: PTH100, PTH120
            check_targets(plan, inputs.paths)
            if output.bits is None and path.suffix.lower() in WRITABLE:  # as the picture has
                deep = plan.target is None or plan.target.suffix.lower() in DEEP
                bits = Picture.open(picture, limits=limits).bits if deep else 8
                plan = plan.changed(output=output.changed(bits=bits))
            checkpoints.note = saved_output(plan)
            for line in differences(recipe):
                progress.say(f"not as when the picture was made: {line}")
            capture = run.run_capture(plan, inputs.content, [style.picture for style in inputs.styles])
            result = repeat(
                recipe,
                inputs,
                weights=flags.changes.get("weights"),
                on_step=run.step_callback(plan, progress, run.and_time("the same run again"), capture),
                checkpoints=checkpoints,
                on_part=run.stop_at_signal(progress),
            )
            if recipe.pixels_sha256 and run.signals.code is None:
                same = result.recipe.pixels_sha256 == recipe.pixels_sha256
                progress.say("the pixels are the same" if same else "the pixels are not the same")
        return run.save_result(plan, progress, result, checkpoints, capture)
