"""`impasto reproduce`: makes the same picture again, from its recipe."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cyclopts import Parameter

from impasto.cli import run
from impasto.cli.checks import DEEP
from impasto.cli.flags import (
    SAVING,
    Flags,
    argument,
    generated,
    output_flag,
    parameter,
    takes,
    typed_name,
)
from impasto.cli.output import OutputPlan, files_beside, plan_output, saved_output
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
def reproduce(picture: str, *, flags: Flags) -> int:
    """Make a picture again from its recipe, to the same pixels.

    The same machine is needed for that; another gives nearly the same.
    """
    recipe = read_recipe(picture)
    output = gather(flags, environment={}).output
    path = Path(picture)
    suffix = path.suffix.lower() if path.suffix.lower() in WRITABLE else ".png"
    plan = plan_output(f"{path.stem}-again", [picture], output, flags, suffix=suffix)
    plan = replace(plan, limits=limits_of(flags))
    with run.open_checkpoints(plan) as checkpoints:
        with run.show_progress(plan) as progress:
            from impasto.transfer.reproduce import differences, find_inputs, repeat

            folders = [*map(Path, flags.inputs), path.parent, Path()]
            inputs = find_inputs(recipe, folders, plan.limits)
            checkpoints.folders = [os.path.dirname(os.path.abspath(file)) for file in inputs.paths]  # noqa: PTH100, PTH120
            check_inputs_are_kept(plan, inputs.paths)
            plan = _as_deep(plan, path)
            checkpoints.note = saved_output(plan)
            for line in differences(recipe):
                progress.say(f"not as when the picture was made: {line}")
            capture = run.run_capture(plan, inputs.content, inputs.styles)
            result = repeat(
                recipe,
                inputs,
                weights=flags.weights,
                on_step=run.step_callback(plan, progress, "the same run again", capture),
                checkpoints=checkpoints,
                on_part=run.stop_at_signal(progress),
            )
            if recipe.pixels_sha256 and run.signals.code is None:
                same = result.recipe.pixels_sha256 == recipe.pixels_sha256
                progress.say("the pixels are the same" if same else "the pixels are not the same")
        return run.save_result(plan, progress, result, checkpoints, run.ResultPage(capture))


def check_inputs_are_kept(plan: OutputPlan, inputs: Sequence[Path]) -> None:
    """Refuse to write over an input that was found only after the output was planned."""
    if plan.target is not None:
        for path in (plan.target, *files_beside(plan, plan.target)):
            check_target(path, inputs=inputs, overwrite=plan.force)


def _as_deep(plan: OutputPlan, picture: Path) -> OutputPlan:
    """Return the plan with as many bits as the picture has, where none are requested."""
    from impasto.image.picture import Picture

    if plan.output.bits is not None or picture.suffix.lower() not in WRITABLE:
        return plan
    deep = plan.target is None or plan.target.suffix.lower() in DEEP
    bits = Picture.open(picture, limits=plan.limits).bits if deep else 8
    return replace(plan, output=plan.output.changed(bits=bits))
