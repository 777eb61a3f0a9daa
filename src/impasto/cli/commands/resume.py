"""`impasto resume`: continues a run that was interrupted or killed, to the same pixels."""

import os
from dataclasses import replace
from inspect import Parameter as Plain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from impasto.cli import run as run_module
from impasto.cli.commands.reproduce import INPUTS, WEIGHTS
from impasto.cli.flags import SAVING, Flags, generated, output_flag, takes, typed_name
from impasto.cli.output import OutputPlan, check_targets, free_name, plan_output
from impasto.cli.progress import show_progress
from impasto.cli.settings_sources import limits_of
from impasto.config.limits import Input
from impasto.config.recipe import Recipe
from impasto.errors import End, ImpastoError
from impasto.image.xmp import read_recipe

if TYPE_CHECKING:
    from impasto.transfer.resume import Unfinished

FLAGS = [item for item in SAVING if item.name not in ("checkpoint", "no_checkpoint")]
NOTE = "The run was interrupted and continued; its pictures on the way are those since then."


ABOUT = Parameter(
    help="The file that --checkpoint wrote. [default: the last run that was not finished]",
    converter=typed_name,
)
CHECKPOINT = Plain(
    "checkpoint",
    Plain.POSITIONAL_ONLY,
    default=None,
    annotation=Annotated[Path | None, ABOUT],
)
OWN = [output_flag("the name it was to have"), *FLAGS, INPUTS, WEIGHTS]


@takes([CHECKPOINT, *OWN, *generated(Input)])
def resume(checkpoint: str | None = None, *, flags: Flags) -> int:
    """Continue a run that was interrupted or killed.

    The pixels are those of an uninterrupted run. The picture is written where and how the run was to write
    it, unless flags say otherwise. What the interrupted run left there is replaced; other files are not.
    """
    from impasto.system import hardware
    from impasto.transfer.resume import unfinished

    with show_progress(quiet=flags.quiet, verbose=flags.verbose):
        run = unfinished(checkpoint)
    with run.checkpoints:
        plan = _plan(run, flags)
        with show_progress(quiet=flags.quiet, verbose=flags.verbose) as progress:
            hardware.keep_no_pictures()
            inputs = run.inputs(flags.inputs, plan.limits)
            check_targets(plan, inputs.paths)
            capture = run_module.run_capture(plan, inputs.content, inputs.styles)
            message = f"continuing after {run.evaluations} evaluations"
            result = run.complete(
                inputs,
                weights=flags.weights,
                on_step=run_module.step_callback(plan, progress, message, capture),
                on_part=run_module.stop_at_signal(progress),
            )
        return run_module.save_result(plan, progress, result, run.checkpoints, capture, [NOTE])


def _plan(run: "Unfinished", flags: Flags) -> OutputPlan:
    """Return what the run was to write, changed by the flags of this call."""
    recipe = run.recipe
    saved = OutputPlan(**run.header.note)
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
