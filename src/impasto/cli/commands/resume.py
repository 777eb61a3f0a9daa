"""`impasto resume`: go on with a run that was interrupted or killed, to the same pixels."""

import os
from collections.abc import Mapping
from dataclasses import replace
from inspect import Parameter as Plain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from impasto.cli import run as run_module
from impasto.cli.commands.reproduce import INPUTS, WEIGHTS
from impasto.cli.flags import SAVING, generated, output_flag, takes, typed_name
from impasto.cli.output import KEPT, OutputPlan, SavedOutput, beside, plan_job, with_free_name
from impasto.cli.settings_sources import limits_of
from impasto.config.limits import Input
from impasto.config.output import Output
from impasto.config.recipe import Recipe
from impasto.errors import ImpastoError
from impasto.image.xmp import read_recipe
from impasto.system.files import check_target

if TYPE_CHECKING:
    from impasto.transfer.resume import Unfinished

FLAGS = [item for item in SAVING if item.name not in ("checkpoint", "no_checkpoint")]
BEFORE = "The run was interrupted and gone on with; pictures of its course are those since then."


def _checkpoint() -> Any:
    about = Parameter(
        help="The file that --checkpoint wrote. [default: the last run that was not finished]",
        converter=typed_name,
    )
    kind = Annotated[Path | None, about]
    return Plain("checkpoint", Plain.POSITIONAL_ONLY, default=None, annotation=kind)


OWN = [output_flag("the name it was to have"), *FLAGS, INPUTS, WEIGHTS]


@takes([_checkpoint(), *OWN, *generated(Input)])
def resume(checkpoint: str | None = None, **given: Any) -> int:
    """Go on with a run that was interrupted or killed: the pixels are those of an uninterrupted one.

    It is written where and how the run was to write it, unless flags say otherwise; the picture that the
    interrupted run left there is replaced, any other is not.
    """
    from impasto.system import hardware
    from impasto.transfer.resume import unfinished

    quiet, verbose = bool(given.get("quiet")), bool(given.get("verbose"))
    with run_module.shown(OutputPlan(None, "", (), Output(), quiet=quiet, verbose=verbose)):
        run = unfinished(checkpoint)
    with run.checkpoints:
        job = _job(run, given)
        with run_module.shown(job) as progress:
            hardware.keep_no_pictures()
            found = run.inputs(given.get("inputs") or [], job.limits)
            if job.target is not None:
                for path in (job.target, *beside(job, job.target)):
                    check_target(path, inputs=found.paths, overwrite=job.force)
            course = run_module.course_of(job, found.content, found.styles)
            spent = run.evaluations
            result = run.complete(
                found,
                weights=given.get("weights"),
                on_step=run_module.watch(
                    job, progress, f"going on after {spent} evaluations", course
                ),
                on_part=run_module.stopper(progress),
            )
        return run_module.finish(job, progress, result, run.checkpoints, course, [BEFORE])


def _job(run: "Unfinished", given: Mapping[str, Any]) -> OutputPlan:
    """Return what the run was asked for, with the flags given now."""
    recipe = run.recipe
    asked = SavedOutput(**run.header.note)
    kept = {name: getattr(asked, name) for name in KEPT if getattr(asked, name)}
    if asked.save_every:
        kept["save_every"] = str(asked.save_every)
    options = {**kept, **given}
    names = [recipe.content.name, *(style.name for style in recipe.styles)]
    stem = asked.stem or "-".join(Path(name).stem for name in names)
    replaces = False
    if "output" not in given and asked.target is not None:
        target = Path(asked.target)
        replaces = _interrupted(target, recipe)
        if replaces or asked.force or not os.path.lexists(target):
            options["output"] = str(target)
        else:
            options["output"] = str(_free(target, options))
    options["force"] = replaces or bool(options.get("force"))
    job = plan_job(stem, [], asked.output, options)
    return replace(job, resumed=True, limits=limits_of(given, asked.limits))


def _free(target: Path, options: Mapping[str, Any]) -> Path:
    """Return a name beside one that is taken by something else."""
    recipe, report = bool(options.get("recipe")), bool(options.get("report"))
    job = with_free_name(OutputPlan(None, "", (), Output(), recipe=recipe, report=report), target)
    assert job.target is not None
    return job.target


def _interrupted(target: Path, recipe: Recipe) -> bool:
    """Return whether a file is the picture that this very run left when it was interrupted."""
    try:
        left = read_recipe(target)
    except ImpastoError:
        return False
    same = ("settings", "content", "styles", "init_picture", "protect", "weights_sha256")
    return left.stopped == "interrupted" and all(
        getattr(left, name) == getattr(recipe, name) for name in same
    )
