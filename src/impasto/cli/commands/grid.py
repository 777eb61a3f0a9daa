"""`impasto grid`: the same pictures with many settings, on one sheet. torch comes late."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.cli import run
from impasto.cli.arguments import PictureArguments, picture_arguments
from impasto.cli.commands.grid_files import Files
from impasto.cli.console import complain, out
from impasto.cli.flags import (
    BASE,
    SAVING,
    check_options,
    check_start,
    generated,
    one_picture,
    parameter,
    positional,
    switch,
    takes,
    whole,
)
from impasto.cli.output import OutputPlan, plan_job
from impasto.cli.progress import Progress, Series
from impasto.cli.run import signals
from impasto.cli.settings_sources import ResolvedSettings, gather
from impasto.config.output import Output
from impasto.errors import ExitCode, InputError, OutputError, SettingsError, Stop
from impasto.messages import counted, duration, printable
from impasto.system.fallback import shortened
from impasto.system.files import check_target
from impasto.transfer.grids import axes as varying
from impasto.transfer.grids.axes import Axes, GridCell

if TYPE_CHECKING:
    from impasto.transfer.grids.grid import Cell, Grid
    from impasto.transfer.grids.plan import GridPlan
    from impasto.transfer.result import Step

DASH = "\0"  # as the command line passes on -
CELL = 256  # px
LONGEST_STEM = 100  # characters of a default name

VARY = parameter("vary", list[str], "A setting and its values, such as style_weight=1,10,100; once or "
    "twice: the first goes along the columns, the second along the rows. Layers stand between ; as in "
    '"style_layers=relu1_1;relu1_1,relu2_1". [any setting]', "Look", negative="")  # fmt: skip
SHEET = parameter("output", Path, "The sheet; the suffix decides the format. The cells go into a folder "
    "beside it, NAME-cells, their numbers into NAME.csv, losses with and without weights. "
    "With --pick, the picture. "
    "[default: CONTENT-STYLE-grid.png here]", short=["-o"], allow_leading_hyphen=True)  # fmt: skip
SIZE = parameter("cell", int, "Long edge of a picture on the sheet, at most. [px; 16 or more; "
    f"default: {CELL}]")  # fmt: skip
PICK = parameter("pick", str, "Paint one cell, as ROW,COLUMN from 1, by itself, at another --size: no "
    "grid is made, the picture is CONTENT-STYLE-ROW-COLUMN.png. [default: not set]")  # fmt: skip
YES = switch("yes", f"Make more than {varying.MOST_CELLS} cells.")
KEPT = [item for item in SAVING if item.name in ("force", "json", "quiet", "verbose")]
SETTINGS = [item for item in BASE if item.name != "save_settings"]


@takes([*positional(), VARY, SHEET, SIZE, PICK, YES, *KEPT, *SETTINGS, *generated()])
def grid(content: str, *styles: str, **given: Any) -> int:
    """Paint the same photo with many settings and put the results on one labelled sheet.

    Every cell is a whole run, kept as a picture with its recipe: the same command again goes on where an
    interrupted one was. Values go in the order given, from left to right and from top to bottom.
    """
    if not styles:
        raise InputError(f"no painting given after {printable(content)}; name a style picture")
    content = "-" if content == DASH else content
    if DASH in (*styles, given.get("init_picture")):
        raise InputError("only the photo can come from standard input (-)")
    if given.get("output") == DASH:
        if "pick" not in given:
            raise InputError(
                "-o -: a sheet needs the name of a file, for its cells stand beside it"
            )
        given["output"] = "-"
    vary = varying.parse(given.get("vary") or [])
    if not vary:
        raise InputError("nothing varies: give --vary, such as --vary style_weight=1,10,100")
    if "quality" in vary and "evaluations" in given:
        raise InputError(
            "--evaluations goes before every quality: leave it out, or vary it instead"
        )
    chosen = gather(given)
    one_picture(chosen.runtime)
    check_options(chosen.settings, given, vary)
    many = "yes" in given or "pick" in given
    axes = varying.plan(vary, chosen.settings, many=many, called="--vary")
    for place in axes.places:
        if "init" not in vary or place.settings.init == "picture":
            check_start(place.settings, given)
    request = picture_arguments(content, styles, given)
    if "pick" in given:
        return _pick(_chosen_cell(given["pick"], axes), chosen, request, given)
    return _grid(axes, chosen, request, given)


def _grid(
    axes: Axes,
    chosen: ResolvedSettings,
    request: PictureArguments,
    given: Mapping[str, Any],
) -> int:
    """Make all cells and the sheet."""
    if chosen.output.metadata == "strip":
        raise InputError("--metadata strip: the cells need their recipes; give minimal or keep")
    size = whole("--cell", given.get("cell", str(CELL)), 16)
    request.read(chosen.input)
    job, paths = _check(axes, chosen, request, given, _digest(request, axes, chosen))
    with run.shown(job) as progress:
        from impasto.transfer.grids.grid import run_grid
        from impasto.transfer.grids.plan import plan_grid

        for note in chosen.notes:
            progress.say(note)
        opened = request.open(chosen.input, progress)
        plan = plan_grid(
            axes,
            opened.photo,
            opened.styles,
            runtime=chosen.runtime,
            weights=chosen.weights,
            folder=paths.folder,
            init_picture=opened.start,
            protect=opened.protect,
            output=chosen.output,
            overwrite=bool(given.get("force")),
        )
        watch = _Watch(progress, plan, chosen)
        found = run_grid(plan, on_step=watch.step, on_cell=watch.cell)
    return _finish(job, paths, found, progress, size)


def _chosen_cell(text: str, axes: Axes) -> GridCell:
    row, _, column = text.partition(",")
    if not (row.strip().isdecimal() and column.strip().isdecimal()):
        raise InputError(f"--pick: give ROW,COLUMN such as 2,1, not {printable(text)}")
    try:
        return axes.at(int(row), int(column))
    except SettingsError as error:
        raise InputError(f"--pick: {error}") from error


def _pick(
    place: GridCell,
    chosen: ResolvedSettings,
    request: PictureArguments,
    given: Mapping[str, Any],
) -> int:
    """Paint one cell by itself, at another size if one is given."""
    settings = place.settings
    if "size" in given:
        settings = settings.changed(size=chosen.settings.size)
    chosen = replace(chosen, settings=settings)
    if settings.init != "picture":
        request = replace(request, start=None)
    stem = f"{_stem(request)}-{place.row}-{place.column}"
    job = plan_job(stem, [*request.names, *_settings_file(given)], chosen.output, given)
    request.read(chosen.input)
    with run.kept(job) as keeper:
        with run.shown(job) as progress:
            opened = request.open(chosen.input, progress)
            progress.say(place.label)
            inputs = opened.photo, opened.styles, opened.start
            result = run.paint(job, progress, chosen, *inputs, keeper, protect=opened.protect)
        return run.finish(job, progress, result, keeper)


# --- before any work -----------------------------------------------------------------------------


def _digest(request: PictureArguments, axes: Axes, chosen: ResolvedSettings) -> str:
    """Return what tells this grid from others: its pictures, weights and the settings of all cells."""
    facts = {
        "request": request.digest(),
        "weights": chosen.weights,
        "cells": [place.settings.model_dump(mode="json") for place in axes.places],
        "names": [place.stem for place in axes.places],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _stem(request: PictureArguments) -> str:
    """Return how default names begin; a place is left for what follows."""
    first = "stdin" if request.content == "-" else Path(request.content).stem
    styles = (Path(style.picture).stem for style in request.styles)
    return shortened("-".join([first, *styles]))[:LONGEST_STEM]


def _settings_file(given: Mapping[str, Any]) -> list[str]:
    return [given["settings"]] if "settings" in given else []


def _check(
    axes: Axes,
    chosen: ResolvedSettings,
    request: PictureArguments,
    given: Mapping[str, Any],
    digest: str,
) -> tuple[OutputPlan, Files]:
    """Refuse what cannot be written; a sheet of this very grid may be replaced."""
    stem = _stem(request)
    # The same name each time, so that the same command finds its cells again.
    name = given.get("output", f"{stem}-grid.png")
    inputs = [*request.names, *_settings_file(given)]
    files = Files(Path(name), digest)
    asked = {**given, "output": name}
    if files.ours(files.sheet):
        asked["force"] = True
    # The sheet has 8 bits; --bits is for the cells.
    job = plan_job(stem, inputs, chosen.output.changed(bits=None), asked)
    sources = [Path(item) for item in inputs]
    replaced = bool(given.get("force")) or files.ours(files.csv)
    check_target(files.csv, inputs=sources, overwrite=replaced)
    if os.path.lexists(files.folder) and not files.folder.is_dir():
        raise OutputError(
            f"{printable(files.folder)} is a file, but the cells go into a folder of that name; "
            "give another name with -o"
        )
    files.check_note()
    for place in axes.places:
        path = files.folder / f"{place.stem}.png"
        if os.path.lexists(path):
            check_target(path, inputs=sources, overwrite=True)
    return replace(job, force=bool(given.get("force"))), files


# --- while it runs, and after --------------------------------------------------------------------


class _Watch:
    """Shows the progress of all cells, and ends at a signal."""

    def __init__(self, progress: Progress, plan: "GridPlan", chosen: ResolvedSettings) -> None:
        self._progress = progress
        self._said = False
        self._series = Series(plan.work)
        progress.pace = self._series
        done = len(plan.done)
        there = f" ({done} {'is' if done == 1 else 'are'} there already)" if done else ""
        progress.say(f"{counted(len(plan.axes.places), 'cell')}{there}")
        if done and chosen.origins["metadata"] != "default":
            progress.say("--metadata is for cells made now; those there keep what they hold")

    def step(self, step: "Step") -> None:
        signals.running = True  # from now on a signal ends the grid cleanly
        self._progress.step(step)
        self._end()

    def cell(self, cell: "Cell") -> None:
        self._series.next()
        if cell.problem:
            self._progress.say(f"{cell.place.label}: {cell.problem}")
        self._end()

    def _end(self) -> None:
        if signals.code is not None:
            if not self._said:
                self._progress.say("stopping; once more ends at once")
            self._said = True
            raise Stop("interrupted")


def _finish(job: OutputPlan, files: Files, found: "Grid", progress: Progress, size: int) -> int:
    """Write sheet and numbers, say them, and return the exit code."""
    code = int(signals.code or ExitCode.DONE)
    there = len(found.cells) - len(found.missing)
    again = "; the same command again goes on" if found.stopped else ""
    if not there:
        if not found.stopped:
            return code or complain(
                "no cell has a finite loss; no sheet is written", ExitCode.NUMERICAL
            )
        progress.say(f"no sheet is written, for no cell is finished yet{again}")
        return code
    verb = "is" if len(found.missing) == 1 else "are"
    of_all = f"{len(found.missing)} of {counted(len(found.cells), 'cell')}"
    missing = f"{of_all} {verb} missing and left blank{again}"
    output = Output(jpeg_quality=job.output.jpeg_quality)
    sheet = found.sheet(size).encode(files.sheet.suffix, bits=8, quality=output.jpeg_quality)
    contents = {files.sheet: sheet, files.csv: found.to_csv().encode()}
    written, troubles = files.write(contents, force=job.force)
    out(json.dumps(_told(written, files, found)) if job.json else printable(written[0]))
    spent = duration(sum(cell.seconds or 0 for cell in found.cells if not cell.reused))
    where = f"cells in {printable(files.folder)}, numbers in {printable(written[1])}"
    progress.say(f"{counted(there, 'cell')} in {spent}; {where}")
    if found.missing:
        progress.say(missing)
    if troubles:
        return complain("; ".join(troubles), ExitCode.RESOURCE)
    bad = [
        cell for cell in found.cells
        if cell.problem or (cell.recipe and cell.recipe.stopped == "not finite")
    ]  # fmt: skip
    if bad and not code:
        return complain(
            f"the losses of {counted(len(bad), 'cell')} stopped being finite, first {bad[0].place.label}",
            ExitCode.NUMERICAL,
        )
    return code


def _told(written: Sequence[Path], files: Files, found: "Grid") -> dict[str, Any]:
    """Return what `--json` prints."""
    cells = [
        {
            "row": cell.row,
            "column": cell.column,
            "settings": dict(cell.varied),
            "path": str(cell.path) if cell.recipe else None,
            "losses": cell.losses,
            "unweighted": cell.unweighted,
            "seconds": cell.seconds,
            "reused": cell.reused,
            "problem": cell.problem or None,
        }
        for cell in found.cells
    ]
    return {
        "path": str(written[0]),
        "csv_path": str(written[1]),
        "folder": str(files.folder),
        "stopped": found.stopped or None,
        "cells": cells,
    }
