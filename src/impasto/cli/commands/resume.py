"""`impasto resume`: continue a run that was interrupted or killed."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.cli import run
from impasto.cli.commands.reproduce import INPUTS, WEIGHTS
from impasto.cli.console import dumps, out
from impasto.cli.flags import SAVING, Flags, argument, generated, output_flag, switch, takes
from impasto.cli.output import OutputPlan, begin_lines, check_targets, current_folder, free_name, plan_output
from impasto.cli.progress import show_progress
from impasto.cli.settings_sources import limits_of
from impasto.config.limits import Input
from impasto.config.recipe import Recipe
from impasto.errors import End, ExitCode, ImpastoError, InputError
from impasto.image.xmp import read_recipe
from impasto.messages import printable

if TYPE_CHECKING:
    from impasto.transfer.callbacks.unfinished_runs import UnfinishedRun
    from impasto.transfer.resume import Unfinished

CHECKPOINT = argument(
    "checkpoint",
    "The file that --checkpoint wrote. [default: the last unfinished run of this folder]",
    default=None,
)
WITHOUT_CHECKPOINT = [item for item in SAVING if "checkpoint" not in item.name]
AT_ITS_NAME = output_flag("the name it was to have")
RESUMED = "The run was interrupted and continued; its pictures on the way are those since then."


LIST = switch("list", "List the unfinished runs, and resume none.", common=True)


@takes([CHECKPOINT, LIST, AT_ITS_NAME, *WITHOUT_CHECKPOINT, INPUTS, WEIGHTS, *generated(Input)])
def resume(checkpoint: str | None = None, *, flags: Flags) -> int:
    """Continue a run of this folder that was interrupted or killed.

    The pixels are those of an uninterrupted run. The picture is written where and how the run was to write
    it, unless flags say otherwise. What the interrupted run left there is replaced; other files are not.
    """
    from impasto.transfer import resume as resume_module

    begin_lines(flags)
    if flags.list:
        return _list(json=flags.json)
    with show_progress(quiet=flags.quiet, verbose=flags.verbose) as progress:
        if checkpoint is None:
            chosen = _choose()
            progress.say(f"resuming {chosen}")
            checkpoint = str(chosen.path)
        unfinished = resume_module.unfinished(checkpoint)
    with unfinished.checkpoints:
        plan = _plan(unfinished, flags)
        with show_progress(quiet=flags.quiet, verbose=flags.verbose) as progress:
            inputs = unfinished.inputs(flags.inputs, plan.limits)
            check_targets(plan, inputs.paths)
            capture = run.run_capture(plan, inputs.content, [style.picture for style in inputs.styles])
            message = run.and_time(f"continuing after {unfinished.evaluations} evaluations")
            result = unfinished.complete(
                inputs,
                weights=flags.changes.get("weights"),
                on_step=run.step_callback(plan, progress, message, capture),
                on_part=run.stop_at_signal(progress),
            )
        return run.save_result(plan, progress, result, unfinished.checkpoints, capture, [RESUMED])


def _choose() -> "UnfinishedRun":
    """Return the last unfinished run of this folder that is not at work; of another folder after a question.

    Raises:
        InputError: There is none, or it belongs to another folder and nobody is there to ask.
    """
    from impasto.transfer.callbacks import checkpoint_folder
    from impasto.transfer.callbacks.unfinished_runs import known_runs

    runs, folder = (
        [found for found in known_runs() if not checkpoint_folder.at_work(found.path)],
        current_folder(),
    )
    for found in runs:
        if found.belongs_to(folder):
            return found
    if not runs:
        raise InputError(
            "there is no unfinished run to resume; give the FILE that --checkpoint wrote, or see impasto "
            "resume --list"
        )
    last = runs[0]
    if last.header is None:
        return last  # reading it says why it cannot be resumed
    if sys.stdin.isatty() and sys.stderr.isatty():
        sys.stderr.write(f"the last unfinished run belongs to another folder: {last}\nresume it? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return last
        raise InputError("nothing was resumed; impasto resume --list shows all unfinished runs")
    raise InputError(
        f"no unfinished run belongs to this folder. The last one is {last}. To continue it: impasto resume "
        f"{printable(last.path)}; impasto resume --list shows all"
    )


def _list(*, json: bool) -> int:
    """Print all unfinished runs, the latest first."""
    from impasto.transfer.callbacks import checkpoint_folder
    from impasto.transfer.callbacks.unfinished_runs import known_runs

    runs = known_runs()
    if json:
        out(dumps({"runs": [_as_json(found) for found in runs]}))
        return ExitCode.DONE
    for found in runs:
        work = " (at work now)" if checkpoint_folder.at_work(found.path) else ""
        out(f"{printable(found.path)}\n  {found}{work}" if found.header else str(found))
    if not runs:
        out("no unfinished runs")
    return ExitCode.DONE


def _as_json(run: "UnfinishedRun") -> dict[str, Any]:
    from impasto.transfer.callbacks import checkpoint_folder

    recipe = run.header.recipe if run.header else None
    return {
        "checkpoint": str(run.path),
        "photo": recipe.content.name if recipe else None,
        "paintings": [style.name for style in recipe.styles] if recipe else [],
        "evaluations": run.evaluations,
        "seconds_old": round(run.age, 1),
        "folder": str(run.folder) if run.folder else None,
        "target": run.target,
        "at_work": checkpoint_folder.at_work(run.path),
        "problem": run.problem or None,
    }


def _plan(unfinished: "Unfinished", flags: Flags) -> OutputPlan:
    """Return what the run was to write, changed by the flags of this call."""
    recipe = unfinished.recipe
    saved = OutputPlan(**unfinished.header.note)
    flags = replace(
        flags,
        recipe=flags.recipe or saved.recipe,
        report=flags.report or saved.report,
        preview=flags.preview or (str(saved.preview) if saved.preview else None),
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
    own = saved.preview is not None and flags.preview == str(saved.preview)
    plan = plan_output(stem, [], saved.output, replace(flags, force=force), limits=limits, own_preview=own)
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
