"""`impasto reproduce`, `resume` and `report`: run a recipe or a checkpoint again."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli import run
from impasto.cli.checks import DEEP
from impasto.cli.console import complain, out
from impasto.cli.flags import (
    SAVING,
    Flags,
    argument,
    generated,
    output_flag,
    parameter,
    switch,
    takes,
    typed,
)
from impasto.cli.output import OutputPlan, check_targets, free_name, plan_output, saved_output
from impasto.cli.progress import Progress, show_progress
from impasto.cli.settings_sources import gather, limits_of
from impasto.config.limits import Input
from impasto.config.output import Output
from impasto.config.recipe import Recipe
from impasto.errors import End, ExitCode, ImpastoError, InputError
from impasto.image.xmp import read_recipe
from impasto.messages import duration, printable
from impasto.system.fallback import save_or_fall_back, shortened
from impasto.system.files import WRITABLE, check_target

if TYPE_CHECKING:
    from impasto.image.picture import Picture
    from impasto.transfer.resume import Unfinished

INPUTS = parameter("inputs", list[Path], "Folders with photo, paintings and masks, searched first. "
    "[default: beside the picture, then the current folder]", "Look", negative="",
    consume_multiple=True)  # fmt: skip
WEIGHTS = parameter("weights", Path, "The weights, if they are not found by name: a name or a file. "
    "[default: those of the recipe]", "Expert")  # fmt: skip
PICTURE = argument("picture", "A picture made by impasto, or its recipe in JSON.")
CHECKPOINT = argument(
    "checkpoint",
    "The file that --checkpoint wrote. [default: the last run that was not finished]",
    default=None,
)
WITHOUT_CHECKPOINT = [item for item in SAVING if "checkpoint" not in item.name]
AGAIN = output_flag("PICTURE-again, in the same format,")
AT_ITS_NAME = output_flag("the name it was to have")
RESUMED = "The run was interrupted and continued; its pictures on the way are those since then."
QUICK = "--quick makes a page without it"


@takes([PICTURE, AGAIN, *SAVING, INPUTS, WEIGHTS, *generated(Output, Input)])
def reproduce(picture: str, *, flags: Flags) -> int:
    """Make a picture again from its recipe, to the same pixels.

    The same machine is needed for that; another gives nearly the same.
    """
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
        return run.save_result(plan, progress, result, checkpoints, capture)


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
            capture = run.run_capture(plan, inputs.content, inputs.styles)
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


@takes(
    [
        PICTURE,
        parameter("output", Path, "File to write, .html. [default: PICTURE.html here]",
            short=["-o"], allow_leading_hyphen=True, converter=typed),
        switch("quick", "Do not make the picture again: a page without losses and course, from the "
            "picture, its recipe, and those of its inputs that are found."),
        INPUTS,
        WEIGHTS,
        switch("force", "Replace the page if it exists."),
        switch("quiet", "Say nothing but errors.", short=["-q"]),
        *generated(Input),
    ]
)  # fmt: skip
def report(picture: str, *, flags: Flags) -> int:
    """Write a page about a picture: inputs, course, losses, settings.

    The page is one HTML file, with a slider between photo and result. The run is made again, for a picture
    does not hold the losses on the way to it. That takes as long as the first time; Ctrl-C ends it with a
    page of what there is. A run with --report has the page at once.
    """
    recipe = read_recipe(picture)
    target = _target(picture, flags.output)
    check_target(target, inputs=[Path(picture)], overwrite=flags.force)
    has_picture = Path(picture).suffix.lower() in WRITABLE  # else it is the recipe alone
    if flags.quick and not has_picture:
        raise InputError(
            f"{printable(picture)} is a recipe without a picture; --quick needs the picture itself"
        )
    limits = limits_of(flags)
    plan = OutputPlan(limits=limits, force=flags.force)
    folders = [*map(Path, flags.inputs), Path(picture).parent, Path()]
    with show_progress(quiet=flags.quiet) as progress:
        from impasto.image.picture import Picture

        opened = Picture.open(picture, limits=limits) if has_picture else None
        fault = ""
        if flags.quick and opened is not None:
            page = _quick(opened, recipe, folders, target, plan, progress)
        else:
            page, fault = _replayed(opened, recipe, folders, target, plan, progress, flags.weights)
    target, trouble = save_or_fall_back(target, page.encode(), overwrite=flags.force, what="page")
    out(printable(target))
    if trouble:
        return complain(trouble, ExitCode.RESOURCE)
    if fault:
        return complain(f"{fault}; the page is written", ExitCode.NUMERICAL)
    return int(run.signals.code or ExitCode.DONE)


def _target(picture: str, output: str | None) -> Path:
    """Return where the page goes."""
    if output is None:
        return Path(shortened(Path(picture).stem) + ".html")
    if output in ("", "-"):
        raise InputError("-o: a page needs a file; give a name such as out.html")
    if Path(output).suffix.lower() not in (".html", ".htm"):
        raise InputError(f"-o {printable(output)}: the name must end in .html")
    return Path(output)


def _quick(
    picture: "Picture",
    recipe: Recipe,
    folders: Sequence[Path],
    target: Path,
    plan: OutputPlan,
    progress: Progress,
) -> str:
    """Return the page made from the files that are here."""
    from impasto.reports.result_page import report_of
    from impasto.transfer.reproduce import search

    matches = search(recipe, folders, plan.limits)
    inputs = {digest: item for digest, item in matches.items() if item is not None}
    check_target(target, inputs=[path for _, path in inputs.values()], overwrite=plan.force)
    missing = [item.name for item in (recipe.content, *recipe.styles) if item.sha256 not in inputs]
    notes = ["The run was not made again for this page; it has no course and no curve of losses."]
    if missing:
        names = ", ".join(dict.fromkeys(printable(Path(name).name) for name in missing))
        progress.say(f"not found, and not on the page: {names}; --inputs DIR adds a folder")
        notes.append(f"Not at hand when this page was made: {names}.")
    pictures = {digest: opened for digest, (opened, _) in inputs.items()}
    return report_of(
        picture,
        recipe,
        content=pictures.get(recipe.content.sha256),
        styles=[pictures.get(item.sha256) for item in recipe.styles],
        notes=notes,
    )


def _replayed(
    picture: "Picture | None",
    recipe: Recipe,
    folders: Sequence[Path],
    target: Path,
    plan: OutputPlan,
    progress: Progress,
    weights: str | None,
) -> tuple[str, str]:
    """Make the picture again; return the page, and what was not finite if that ended the run."""
    from impasto.reports.result_page import RunCapture, report_of
    from impasto.transfer.reproduce import differences, find_inputs, repeat

    try:
        inputs = find_inputs(recipe, folders, plan.limits)
    except InputError as error:
        raise InputError(f"{error}; {QUICK}") from error
    check_target(target, inputs=inputs.paths, overwrite=plan.force)
    changed = differences(recipe)
    for line in changed:
        progress.say(f"not as when the picture was made: {line}")
    took = duration(recipe.seconds)
    progress.say(f"making the picture again for its losses; the first time took {took}")
    capture = RunCapture(inputs.content, inputs.styles)
    on_step = run.step_callback(plan, progress, "the same run again", capture)
    result = repeat(recipe, inputs, weights=weights, on_step=on_step)
    if run.signals.code is not None:
        note = "The run was made again only in part: course and losses end where Ctrl-C ended it."
    elif result.recipe.pixels_sha256 == recipe.pixels_sha256:
        note = "Course and losses are from a second run, which gave the same pixels."
    else:
        why = f" ({'; '.join(changed)})" if changed else ""
        note = f"Course and losses are from a second run, which did not give the same pixels{why}."
    progress.say(note)
    page = report_of(
        picture or result.picture,
        recipe,
        content=inputs.content,
        styles=inputs.styles,
        history=result.history,
        strip=capture.strip(result.stopped),
        notes=[note],
    )
    return page, result.fault
