"""`impasto report`: a page about a picture made by impasto."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli import run
from impasto.cli.commands.reproduce import INPUTS, PICTURE, WEIGHTS
from impasto.cli.console import complain, out
from impasto.cli.flags import Flags, generated, parameter, switch, takes, typed
from impasto.cli.output import OutputPlan, named_folder
from impasto.cli.progress import Progress, show_progress
from impasto.cli.settings_sources import limits_of
from impasto.config.limits import Input
from impasto.config.recipe import Recipe
from impasto.errors import ExitCode, InputError
from impasto.image.xmp import read_recipe
from impasto.messages import duration, printable
from impasto.system.fallback import save_or_fall_back, shortened
from impasto.system.files import WRITABLE, check_target

if TYPE_CHECKING:
    from impasto.image.picture import Picture

QUICK = "--quick makes a page without it"


@takes(
    [
        PICTURE,
        parameter("output", Path, "File to write, .html, or folder. [default: PICTURE.html here]",
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
    """Write a page about a picture: inputs, progress, losses, settings.

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
            page, fault = _replayed(
                opened, recipe, folders, target, plan, progress, flags.changes.get("weights")
            )
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
    if (folder := named_folder(output)) is not None:
        return folder / (shortened(Path(picture).stem) + ".html")
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
    styles = [style.picture for style in inputs.styles]
    capture = RunCapture(inputs.content, styles)
    on_step = run.step_callback(plan, progress, run.and_time("the same run again"), capture)
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
        styles=styles,
        history=result.history,
        strip=capture.strip(result.stopped),
        notes=[note],
    )
    return page, result.fault
