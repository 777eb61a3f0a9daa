"""`impasto grid`: the same pictures with many settings, on one sheet. torch comes late."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.cli import run
from impasto.cli.arguments import PictureArguments, picture_arguments
from impasto.cli.checks import check_no_budget, check_options, check_start, whole
from impasto.cli.commands.grid_files import GridFiles, write
from impasto.cli.console import complain, out
from impasto.cli.flags import (
    BASE,
    COMMON_FIELDS,
    SAVING,
    Flags,
    generated,
    parameter,
    positional,
    switch,
    takes,
    typed,
)
from impasto.cli.output import OutputPlan, plan_output
from impasto.cli.progress import PaceOfSeries, Progress
from impasto.cli.run import signals
from impasto.cli.settings_sources import ResolvedSettings, gather
from impasto.config.output import Output
from impasto.errors import End, ExitCode, InputError, OutputError, SettingsError, Stop
from impasto.messages import counted, duration, printable
from impasto.system.fallback import shortened
from impasto.system.files import check_target
from impasto.transfer.grids import axes as grid_axes
from impasto.transfer.grids.axes import Axes, GridCell

if TYPE_CHECKING:
    from impasto.transfer.grids.grid import Cell, Grid
    from impasto.transfer.grids.plan import GridPlan
    from impasto.transfer.result import Step

CELL = 256  # px
LONGEST_STEM = 100  # characters of a default name

VARY = parameter("vary", list[str], "A setting and its values, such as style_weight=1,10,100; once or "
    "twice: the first goes along the columns, the second along the rows. Layers stand between ; as in "
    '"style_layers=relu1_1;relu1_1,relu2_1". [any setting]', "Look", common=True, negative="")  # fmt: skip
SHEET = parameter("output", Path, "The sheet; the suffix decides the format. The cells go into a folder "
    "beside it, NAME-cells, their numbers into NAME.csv, losses with and without weights. "
    "With --pick, the picture. [default: CONTENT-STYLE-grid.png here]", common=True, short=["-o"],
    allow_leading_hyphen=True, converter=typed)  # fmt: skip
SIZE = parameter("cell", int, "Long edge of a picture on the sheet, at most. [px; 16 or more; "
    f"default: {CELL}]", common=True)  # fmt: skip
PICK = parameter("pick", str, "Paint one cell, as ROW,COLUMN from 1, by itself, at another --size: no "
    "grid is made, the picture is CONTENT-STYLE-ROW-COLUMN.png. [default: not set]",
    common=True)  # fmt: skip
YES = switch("yes", f"Make more than {grid_axes.MOST_CELLS} cells.", common=True)
SAVED = [item for item in SAVING if item.name in ("force", "json", "quiet", "verbose")]
SETTINGS = [item for item in BASE if item.name != "save_settings"]
FIELDS = generated(common=COMMON_FIELDS - {"budget"})  # which goes with single pictures only


@takes([*positional(), VARY, SHEET, SIZE, PICK, YES, *SAVED, *SETTINGS, *FIELDS])
def grid(content: str, *styles: str, flags: Flags) -> int:
    """Paint with many settings and put the results on one sheet.

    Every cell is a whole run, kept as a picture with its recipe: the same command again continues an
    interrupted one. Values keep their order, from left to right and from top to bottom.
    """
    if not styles:
        raise InputError(f"no painting given after {printable(content)}; name a style picture")
    if "-" in (*styles, flags.init_picture):
        raise InputError("only the photo can come from standard input (-)")
    if flags.output == "-" and flags.pick is None:
        raise InputError("-o -: a sheet needs the name of a file, for its cells stand beside it")
    vary = grid_axes.parse(flags.vary)
    if not vary:
        raise InputError("nothing varies: give --vary, such as --vary style_weight=1,10,100")
    if "quality" in vary and "evaluations" in flags.changes:
        raise InputError(
            "--evaluations goes before every quality: leave it out, or vary it instead"
        )
    resolved = gather(flags)
    check_no_budget(resolved.runtime)
    check_options(resolved.settings, flags, vary)
    many = flags.yes or flags.pick is not None
    axes = grid_axes.plan(vary, resolved.settings, many=many, called="--vary")
    for cell in axes.places:
        if "init" not in vary or cell.settings.init == "picture":
            check_start(cell.settings, flags)
    arguments = picture_arguments(content, styles, flags)
    if flags.pick is not None:
        return _paint_cell(_picked(flags.pick, axes), resolved, arguments, flags)
    return _paint_grid(axes, resolved, arguments, flags)


def _paint_grid(
    axes: Axes, resolved: ResolvedSettings, arguments: PictureArguments, flags: Flags
) -> int:
    """Make all cells and the sheet."""
    if resolved.output.metadata == "strip":
        raise InputError("--metadata strip: the cells need their recipes; give minimal or keep")
    size = CELL if flags.cell is None else whole("--cell", flags.cell, 16)
    arguments.read(resolved.input)
    sheet = _plan_sheet(axes, resolved, arguments, flags)
    with run.show_progress(sheet.plan) as progress:
        from impasto.transfer.grids.grid import run_grid
        from impasto.transfer.grids.plan import plan_grid

        for note in resolved.notes:
            progress.say(note)
        pictures = arguments.open(resolved.input, progress)
        plan = plan_grid(
            axes,
            pictures.photo,
            pictures.styles,
            runtime=resolved.runtime,
            weights=resolved.weights,
            folder=sheet.files.folder,
            init_picture=pictures.start,
            protect=pictures.protect,
            output=resolved.output,
            overwrite=flags.force,
        )
        watch = _Watch(progress, plan, resolved)
        result = run_grid(plan, on_step=watch.step, on_cell=watch.cell)
    return _save(sheet, result, progress, size)


def _picked(text: str, axes: Axes) -> GridCell:
    """Return the cell that `--pick` names."""
    row, _, column = text.partition(",")
    if not (row.strip().isdecimal() and column.strip().isdecimal()):
        raise InputError(f"--pick: give ROW,COLUMN such as 2,1, not {printable(text)}")
    try:
        return axes.at(int(row), int(column))
    except SettingsError as error:
        raise InputError(f"--pick: {error}") from error


def _paint_cell(
    cell: GridCell, resolved: ResolvedSettings, arguments: PictureArguments, flags: Flags
) -> int:
    """Paint one cell by itself, at the size of `--size` if there is one."""
    settings = cell.settings
    if "size" in flags.changes:
        settings = settings.changed(size=resolved.settings.size)
    resolved = replace(resolved, settings=settings)
    if settings.init != "picture":
        arguments = replace(arguments, start=None)
    stem = f"{_stem(arguments)}-{cell.row}-{cell.column}"
    plan = plan_output(stem, _inputs(arguments, flags), resolved.output, flags)
    arguments.read(resolved.input)
    with run.open_checkpoints(plan) as checkpoints:
        with run.show_progress(plan) as progress:
            pictures = arguments.open(resolved.input, progress)
            progress.say(cell.label)
            result = run.paint(plan, progress, resolved, pictures, checkpoints)
        return run.save_result(plan, progress, result, checkpoints)


# --- before any work -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sheet:
    """What is written of a grid; `replaces`: sheet and table that are there are of this very grid."""

    plan: OutputPlan
    files: GridFiles
    replaces: bool


def _stem(arguments: PictureArguments) -> str:
    """Return how default names begin; room is left for what follows."""
    return shortened(arguments.stem)[:LONGEST_STEM]


def _inputs(arguments: PictureArguments, flags: Flags) -> list[str]:
    """Return the files that are never written over."""
    return arguments.names if flags.settings is None else [*arguments.names, flags.settings]


def _plan_sheet(
    axes: Axes, resolved: ResolvedSettings, arguments: PictureArguments, flags: Flags
) -> _Sheet:
    """Refuse what cannot be written; sheet and table of this very grid may be replaced."""
    stem, inputs = _stem(arguments), _inputs(arguments, flags)
    # The same name each time, so that the same command finds its cells again.
    name = f"{stem}-grid.png" if flags.output is None else flags.output
    files = GridFiles(Path(name))
    replaces = flags.force or files.are_of(axes.places, arguments)
    # The sheet has 8 bits; --bits is for the cells.
    output = resolved.output.changed(bits=None)
    plan = plan_output(stem, inputs, output, replace(flags, output=name, force=replaces))
    sources = [Path(item) for item in inputs]
    check_target(files.csv, inputs=sources, overwrite=replaces)
    if os.path.lexists(files.folder) and not files.folder.is_dir():
        raise OutputError(
            f"{printable(files.folder)} is a file, but the cells go into a folder of that name; "
            "give another name with -o"
        )
    for cell in axes.places:
        path = files.cell(cell)
        if os.path.lexists(path):
            check_target(path, inputs=sources, overwrite=True)
    return _Sheet(plan, files, replaces)


# --- while it runs, and after --------------------------------------------------------------------


class _Watch:
    """Shows the progress of all cells, and ends at a signal."""

    def __init__(self, progress: Progress, plan: "GridPlan", resolved: ResolvedSettings) -> None:
        self._progress = progress
        self._reported = False
        self._pace = PaceOfSeries(plan.work)
        progress.pace = self._pace
        done = len(plan.done)
        there = f" ({done} {'is' if done == 1 else 'are'} there already)" if done else ""
        progress.say(f"{counted(len(plan.axes.places), 'cell')}{there}")
        if done and resolved.origins["metadata"] != "default":
            progress.say("--metadata is for cells made now; those there keep what they hold")

    def step(self, step: "Step") -> None:
        signals.running = True  # from now on a signal ends the grid cleanly
        self._progress.step(step)
        self._end()

    def cell(self, cell: "Cell") -> None:
        self._pace.next_run()
        if cell.problem:
            self._progress.say(f"{cell.label}: {cell.problem}")
        self._end()

    def _end(self) -> None:
        if signals.code is not None:
            if not self._reported:
                self._progress.say("stopping; once more ends at once")
            self._reported = True
            raise Stop(End.INTERRUPTED)


def _save(sheet: _Sheet, grid: "Grid", progress: Progress, size: int) -> int:
    """Write sheet and table, report them, and return the exit code."""
    code = int(signals.code or ExitCode.DONE)
    finished = len(grid.cells) - len(grid.missing)
    again = "; the same command again continues" if grid.stopped else ""
    if not finished:
        if not grid.stopped:
            return code or complain(
                "no cell has a finite loss; no sheet is written", ExitCode.NUMERICAL
            )
        progress.say(f"no sheet is written, for no cell is finished yet{again}")
        return code
    files, output = sheet.files, Output(bits=8, jpeg_quality=sheet.plan.output.jpeg_quality)
    image = grid.sheet(size).encode(files.sheet.suffix, output)
    written, troubles = write(
        {files.sheet: image, files.csv: grid.to_csv().encode()},
        {files.sheet: "sheet", files.csv: "table"},
        overwrite=sheet.replaces,
    )
    out(json.dumps(_as_json(written, files, grid)) if sheet.plan.json else printable(written[0]))
    spent = duration(sum(cell.seconds or 0 for cell in grid.cells if not cell.reused))
    where = f"cells in {printable(files.folder)}, numbers in {printable(written[1])}"
    progress.say(f"{counted(finished, 'cell')} in {spent}; {where}")
    if grid.missing:
        verb = "is" if len(grid.missing) == 1 else "are"
        of_all = f"{len(grid.missing)} of {counted(len(grid.cells), 'cell')}"
        progress.say(f"{of_all} {verb} missing and left blank{again}")
    if troubles:
        return complain("; ".join(troubles), ExitCode.RESOURCE)
    bad = [
        cell for cell in grid.cells
        if cell.problem or (cell.recipe and cell.recipe.stopped == End.NOT_FINITE)
    ]  # fmt: skip
    if bad and not code:
        return complain(
            f"the losses of {counted(len(bad), 'cell')} stopped being finite, first {bad[0].label}",
            ExitCode.NUMERICAL,
        )
    return code


def _as_json(written: Sequence[Path], files: GridFiles, grid: "Grid") -> dict[str, Any]:
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
        for cell in grid.cells
    ]
    return {
        "path": str(written[0]),
        "csv_path": str(written[1]),
        "folder": str(files.folder),
        "stopped": grid.stopped or None,
        "cells": cells,
    }
