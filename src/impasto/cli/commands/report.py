"""`impasto report`: a page about a picture made by impasto, from its recipe and a replay of its run."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.cli import run
from impasto.cli.commands.reproduce import INPUTS, PICTURE, WEIGHTS
from impasto.cli.console import complain, out
from impasto.cli.flags import argument, generated, parameter, switch, takes
from impasto.cli.output import OutputPlan
from impasto.cli.progress import Progress
from impasto.cli.settings_sources import limits_of
from impasto.config.limits import Input
from impasto.config.output import Output
from impasto.config.recipe import Recipe
from impasto.errors import ExitCode, InputError
from impasto.image.xmp import read_recipe
from impasto.messages import duration, printable
from impasto.system.fallback import save_or_fall_back, shortened
from impasto.system.files import WRITABLE, check_target

if TYPE_CHECKING:
    from impasto.image.picture import Picture

SUFFIXES = (".html", ".htm")
QUICK = "--quick makes a page without it"


@takes(
    [
        argument("picture", PICTURE),
        parameter("output", Path, "File to write, .html. [default: PICTURE.html here]",
            short=["-o"], allow_leading_hyphen=True),
        switch("quick", "Do not make the picture again: a page without losses and course, from the "
            "picture, its recipe, and what is found of its inputs."),
        INPUTS,
        WEIGHTS,
        switch("force", "Replace the page if it exists."),
        switch("quiet", "Say nothing but errors.", short=["-q"]),
        *generated(Input),
    ]
)  # fmt: skip
def report(picture: str, **given: Any) -> int:
    """Write a page about a picture: inputs, slider, course, losses, settings, time; one HTML file.

    The run is made again, for a picture does not hold the course of its losses. That takes as long as
    the first time; Ctrl-C ends it with a page of what there is. A run with --report has the page at once.
    """
    recipe, force = read_recipe(picture), bool(given.get("force"))
    target = _target(picture, given.get("output"))
    check_target(target, inputs=[Path(picture)], overwrite=force)
    held = Path(picture).suffix.lower() in WRITABLE  # else it is the recipe alone
    if given.get("quick") and not held:
        raise InputError(
            f"{printable(picture)} is a recipe without a picture; --quick needs the picture itself"
        )
    if not given.get("quick") and not recipe.reproducible:
        from impasto.transfer.reproduce import check_reproducible

        try:
            check_reproducible(recipe)
        except InputError as error:
            raise InputError(f"{error}; {QUICK}") from error
    quiet, inputs = bool(given.get("quiet")), (Path(picture),)
    job = OutputPlan(
        None, "", inputs, Output(), limits_of(given), force=force, report=True, quiet=quiet
    )
    folders = [*map(Path, given.get("inputs") or []), Path(picture).parent, Path()]
    with run.shown(job) as progress:
        from impasto.image.picture import Picture

        shown = Picture.open(picture, limits=job.limits) if held else None
        if given.get("quick"):
            assert shown is not None
            page = _quick(shown, recipe, folders, target, job, progress)
            fault = ""
        else:
            page, fault = _replayed(
                shown, recipe, folders, target, job, progress, given.get("weights")
            )
    target, trouble = save_or_fall_back(target, page.encode(), overwrite=force, what="page")
    out(printable(target))
    if trouble:
        return complain(trouble, ExitCode.RESOURCE)
    if fault:
        return complain(f"{fault}; the page is written", ExitCode.NUMERICAL)
    return int(run.signals.code or ExitCode.DONE)


def _target(picture: str, given: str | None) -> Path:
    """Return where the page goes."""
    if given is None:
        return Path(shortened(Path(picture).stem) + ".html")
    if given in ("", "-", "\0"):
        raise InputError("-o: a page needs a file; give a name such as out.html")
    if Path(given).suffix.lower() not in SUFFIXES:
        raise InputError(f"-o {printable(given)}: the name must end in .html")
    return Path(given)


def _quick(
    picture: "Picture",
    recipe: Recipe,
    folders: list[Path],
    target: Path,
    job: OutputPlan,
    progress: Progress,
) -> str:
    """Return the page from what lies here."""
    from impasto.reports.result_page import report_of
    from impasto.transfer.reproduce import search

    found = search(recipe, folders, job.limits)
    have = {digest: item for digest, item in found.items() if item is not None}
    check_target(target, inputs=[path for _, path in have.values()], overwrite=job.force)
    missing = [item.name for item in (recipe.content, *recipe.styles) if item.sha256 not in have]
    notes = ["The run was not made again for this page; it has no course and no curve of losses."]
    if missing:
        names = ", ".join(dict.fromkeys(printable(Path(name).name) for name in missing))
        progress.say(f"not found, and not on the page: {names}; --inputs DIR adds a folder")
        notes.append(f"Not at hand when this page was made: {names}.")
    photo = have.get(recipe.content.sha256)
    return report_of(
        picture,
        recipe,
        content=photo[0] if photo else None,
        styles=[have[item.sha256][0] if item.sha256 in have else None for item in recipe.styles],
        notes=notes,
    )


def _replayed(
    picture: "Picture | None",
    recipe: Recipe,
    folders: list[Path],
    target: Path,
    job: OutputPlan,
    progress: Progress,
    weights: str | None,
) -> tuple[str, str]:
    """Make the picture again and return the page, and what ended the run if it was not finite."""
    from impasto.reports.result_page import RunCapture, report_of
    from impasto.transfer.reproduce import differences, find_inputs, repeat

    try:
        found = find_inputs(recipe, folders, job.limits)
    except InputError as error:
        raise InputError(f"{error}; {QUICK}") from error
    check_target(target, inputs=found.paths, overwrite=job.force)
    changed = differences(recipe)
    for line in changed:
        progress.say(f"not as when the picture was made: {line}")
    took = duration(recipe.seconds)
    progress.say(f"making the picture again for its losses; the first time took {took}")
    course = RunCapture(found.content, found.styles)
    watch = run.watch(job, progress, "the same run again", course)
    result = repeat(recipe, found, weights=weights, on_step=watch)
    same = result.recipe.pixels_sha256 == recipe.pixels_sha256
    cut = run.signals.code is not None
    notes = [*_notes(same, cut, changed)]
    for note in notes:
        progress.say(note)
    page = report_of(
        picture or result.picture,
        recipe,
        content=found.content,
        styles=found.styles,
        history=result.history,
        strip=course.strip(result.stopped),
        notes=notes,
    )
    return page, result.fault


def _notes(same: bool, cut: bool, changed: list[str]) -> Iterator[str]:
    """Yield what the page has to say about the replay."""
    if cut:
        yield "The run was made again only in part: course and losses end where Ctrl-C ended it."
    elif same:
        yield "Course and losses are from a second run, which gave the same pixels."
    else:
        why = f" ({'; '.join(changed)})" if changed else ""
        yield f"Course and losses are from a second run, which did not give the same pixels{why}."
