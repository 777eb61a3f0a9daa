"""`impasto resume`: continue a run that was interrupted or killed."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli import run
from impasto.cli.commands.reproduce import INPUTS, WEIGHTS
from impasto.cli.flags import SAVING, Flags, argument, generated, output_flag, takes
from impasto.cli.output import OutputPlan, check_targets, free_name, plan_output
from impasto.cli.progress import show_progress
from impasto.cli.settings_sources import limits_of
from impasto.config.limits import Input
from impasto.config.recipe import Recipe
from impasto.errors import End, ImpastoError
from impasto.image.xmp import read_recipe

if TYPE_CHECKING:
    from impasto.transfer.resume import Unfinished

CHECKPOINT = argument(
    "checkpoint",
    "The file that --checkpoint wrote. [default: the last run that was not finished]",
    default=None,
)
WITHOUT_CHECKPOINT = [item for item in SAVING if "checkpoint" not in item.name]
AT_ITS_NAME = output_flag("the name it was to have")
RESUMED = "The run was interrupted and continued; its pictures on the way are those since then."


@takes([CHECKPOINT, AT_ITS_NAME, *WITHOUT_CHECKPOINT, INPUTS, WEIGHTS, *generated(Input)])
def resume(checkpoint: str | None = None, *, flags: Flags) -> int:
    """Continue a run that was interrupted or killed.

    The pixels are those of an uninterrupted run. The picture is written where and how the run was to write
    it, unless flags say otherwise. What the interrupted run left there is replaced; other files are not.
    """
    from impasto.system import hardware
    from impasto.transfer import resume as resume_module

    with show_progress(quiet=flags.quiet, verbose=flags.verbose):
        unfinished = resume_module.unfinished(checkpoint)
    with unfinished.checkpoints:
        plan = _plan(unfinished, flags)
        with show_progress(quiet=flags.quiet, verbose=flags.verbose) as progress:
            hardware.keep_no_pictures()
            inputs = unfinished.inputs(flags.inputs, plan.limits)
            check_targets(plan, inputs.paths)
            capture = run.run_capture(plan, inputs.content, [style.picture for style in inputs.styles])
            message = f"continuing after {unfinished.evaluations} evaluations"
            result = unfinished.complete(
                inputs,
                weights=flags.weights,
                on_step=run.step_callback(plan, progress, message, capture),
                on_part=run.stop_at_signal(progress),
            )
        return run.save_result(plan, progress, result, unfinished.checkpoints, capture, [RESUMED])


def _plan(unfinished: "Unfinished", flags: Flags) -> OutputPlan:
    """Return what the run was to write, changed by the flags of this call."""
    recipe = unfinished.recipe
    saved = OutputPlan(**unfinished.header.note)
    flags = replace(
        flags,
        recipe=flags.recipe or saved.recipe,
        report=flags.report or saved.report,
        save_every=flags.save_every or (str(saved.save_every) if saved.save_every else None),
    )
    force = flags.force or saved.force
    if flags.output is None and saved.target is not None:
        target = saved.target
        replaces = _was_interrupted(target, recipe)
        if not (replaces or saved.force or not os.path.lexists(target)):
            target = free_name(target, flags)
        flags, force = replace(flags, output=str(target)), force or replaces
    stem = saved.stem or "-".join(Path(item.name).stem for item in (recipe.content, *recipe.styles))
    limits = limits_of(flags, saved.limits)
    plan = plan_output(stem, [], saved.output, replace(flags, force=force), limits=limits)
    return plan.changed(resumed=True)


def _was_interrupted(target: Path, recipe: Recipe) -> bool:
    """Return whether a file is the picture that this very run left when it was interrupted."""
    try:
        earlier = read_recipe(target)
    except ImpastoError:
        return False
    same = ("settings", "content", "styles", "init_picture", "protect", "weights_sha256")
    return earlier.stopped == End.INTERRUPTED and all(
        getattr(earlier, name) == getattr(recipe, name) for name in same
    )
