"""`impasto grid`: the same pictures with many settings, on one sheet. torch comes late."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.cli import run
from impasto.cli.arguments import OpenedPictures, PictureArguments, picture_arguments
from impasto.cli.checks import check_no_budget, check_options, check_start, paintings, roles, whole
from impasto.cli.console import complain, out
from impasto.cli.flags import (
    BASE,
    COMMON_FIELDS,
    PICTURES,
    SAVING,
    Flags,
    generated,
    parameter,
    switch,
    takes,
    typed,
)
from impasto.cli.output import OutputPlan, begin_lines, named_folder, plan_output
from impasto.cli.progress import PaceOfSeries, Progress, show_progress
from impasto.cli.run import signals
from impasto.cli.settings_sources import ResolvedSettings, gather
from impasto.cli.watch import json_lines
from impasto.config.output import Output
from impasto.config.styles import Style
from impasto.errors import End, ExitCode, ImpastoError, InputError, OutputError, SettingsError
from impasto.image.xmp import read_recipe
from impasto.messages import counted, duration, printable
from impasto.system.fallback import save_or_fall_back, shortened
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
    "twice: the first goes along the columns, the second along the rows. Also preset=NAMES, and "
    "style=FILES, the paintings. Layers stand between ; as in "
    '"style_layers=relu1_1;relu1_1,relu2_1". [any setting, preset, style]', "Look", common=True,
    negative="")  # fmt: skip
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


@takes([*PICTURES, VARY, SHEET, SIZE, PICK, YES, *SAVED, *SETTINGS, *FIELDS])
def grid(content: str, *styles: str, flags: Flags) -> int:
    """Paint with many settings and put the results on one sheet.

    Every cell is a whole run, kept as a picture with its recipe: the same command again continues an
    interrupted one. Values keep their order, from left to right and from top to bottom.
    """
    return compare(content, styles, flags)


def compare(content: str, styles: tuple[str, ...], flags: Flags, name: str = "grid") -> int:
    """Paint all cells, or the one of `--pick`; `name` ends the name of the sheet."""
    begin_lines(flags)
    if flags.output == "-" and flags.pick is None:
        raise InputError("-o -: a sheet needs the name of a file, for its cells stand beside it")
    vary = grid_axes.parse(flags.vary)
    varied_styles = tuple(vary.get("style", ()))
    if varied_styles and (styles or flags.style):
        raise InputError(f"--vary style has the paintings: leave out {printable((*styles, *flags.style)[0])}")
    if varied_styles and any((flags.mask, flags.source_mask, flags.segments, flags.style_weights)):
        raise InputError("--vary style has one painting in each cell: leave out masks and --style-weights")
    styles = varied_styles or paintings(content, styles, flags)
    if not vary:
        raise InputError("nothing varies: give --vary, such as --vary style_weight=1,10,100")
    if "preset" in vary and (flags.preset or flags.like):
        raise InputError("--vary preset has the presets: leave out --preset and --like")
    if "quality" in vary and "evaluations" in flags.changes:
        raise InputError("--evaluations goes before every quality: leave it out, or vary it instead")
    resolved = gather(flags)
    check_no_budget(resolved.runtime)
    check_options(resolved.settings, flags, vary)
    many = flags.yes or flags.pick is not None
    axes = grid_axes.plan(
        vary, resolved.settings, many=many, called="--vary",
        of_preset=lambda preset: gather(replace(flags, preset=preset)).settings,
    )  # fmt: skip
    for cell in axes.places:
        if "init" not in vary or cell.settings.init == "picture":
            check_start(cell.settings, flags)
    arguments = picture_arguments(content, styles, flags)
    if flags.pick is not None:
        return _paint_cell(flags.pick, axes, resolved, arguments, flags)
    return _paint_grid(axes, resolved, arguments, flags, name)


def _paint_grid(
    axes: Axes, resolved: ResolvedSettings, arguments: PictureArguments, flags: Flags, name: str
) -> int:
    """Make all cells and the sheet."""
    if resolved.output.metadata == "strip":
        raise InputError("--metadata strip: the cells need their recipes; give minimal or keep")
    size = CELL if flags.cell is None else whole("--cell", flags.cell, 16)
    arguments.read(resolved.input)
    output_plan, files = _plan_sheet(axes, resolved, arguments, flags, name)
    with show_progress(quiet=flags.quiet, verbose=flags.verbose) as progress:
        from impasto.transfer.grids.grid import run_grid
        from impasto.transfer.grids.plan import plan_grid

        for note in filter(None, [_roles(arguments, axes), *resolved.notes]):
            progress.say(note)
        pictures, styles = _open(axes, arguments, resolved, progress)
        plan = plan_grid(
            axes,
            pictures.photo,
            styles,
            runtime=resolved.runtime,
            folder=files.folder,
            init_picture=pictures.start,
            protect=pictures.protect,
            output=resolved.output,
            overwrite=flags.force,
        )
        on_step, on_cell = _callbacks(progress, plan, resolved)
        result = run_grid(plan, on_step=on_step, on_cell=on_cell)
    return _save(output_plan, files, result, progress, size)


def _paint_cell(
    pick: str, axes: Axes, resolved: ResolvedSettings, arguments: PictureArguments, flags: Flags
) -> int:
    """Paint the cell that `--pick` names by itself, at the size of `--size` if there is one."""
    row, _, column = pick.partition(",")
    if not (row.strip().isdecimal() and column.strip().isdecimal()):
        raise InputError(f"--pick: give ROW,COLUMN such as 2,1, not {printable(pick)}")
    try:
        cell = axes.at(int(row), int(column))
    except SettingsError as error:
        raise InputError(f"--pick: {error}") from error
    settings = cell.settings
    if "size" in flags.changes:
        settings = settings.changed(size=resolved.settings.size)
    resolved = replace(resolved, settings=settings)
    if settings.init != "picture":
        arguments = replace(arguments, start=None)
    stem = f"{_stem(arguments)}-{cell.row}-{cell.column}"
    limits = resolved.input
    plan = plan_output(stem, arguments.names, resolved.output, flags, limits=limits)
    arguments.read(limits)
    if "style" in cell.varied:
        only = [style for style in arguments.styles if style.picture == cell.varied["style"]]
        arguments = replace(arguments, styles=tuple(only))
    said = filter(None, [_roles(arguments, axes), cell.label])
    return run.paint(plan, resolved, arguments, list(said))


# --- before any work -----------------------------------------------------------------------------


@dataclass(frozen=True)
class GridFiles:
    """The files of a grid, named after its sheet."""

    sheet: Path

    @property
    def csv(self) -> Path:
        """The table of numbers."""
        return self.sheet.with_suffix(".csv")

    @property
    def folder(self) -> Path:
        """The folder of the cells."""
        return self.sheet.with_name(f"{self.sheet.stem}-cells")

    def cell(self, cell: GridCell) -> Path:
        """Return the file of a cell."""
        return self.folder / f"{cell.stem}.png"

    def are_of(self, cells: Sequence[GridCell], arguments: PictureArguments) -> bool:
        """Whether the folder holds cells of this grid and no others, so that sheet and table are its own.

        They are recognized by their settings and the hashes of the pictures, which are read.
        """
        settings = {self.cell(cell): cell.settings for cell in cells}
        photo = arguments.sha256(arguments.content)
        paintings = {
            arguments.sha256(name)
            for style in arguments.styles
            for name in arguments.folders.get(style.picture, (style.picture,))
        }
        try:
            there = [path for path in self.folder.iterdir() if path.suffix == ".png"]
        except OSError:  # no such folder
            return False
        own = False
        for path in there:
            if path not in settings:
                return False
            try:
                recipe = read_recipe(path)
            except ImpastoError:  # damaged; the plan of the grid says what to do
                continue
            own = (
                recipe.made_with(settings[path])
                and recipe.content.sha256 == photo
                and {style.sha256 for style in recipe.styles} <= paintings
            )
            if not own:
                return False
        return own


def _roles(arguments: PictureArguments, axes: Axes) -> str:
    """Return what is the photo and what the paintings; empty where the paintings vary, or there is one."""
    names = [style.picture for style in arguments.styles]
    return "" if axes.values_of("style") else roles(arguments.content, names)


def _open(
    axes: Axes, arguments: PictureArguments, resolved: ResolvedSettings, progress: Progress
) -> "tuple[OpenedPictures, list[Style] | dict[str, list[Style]]]":
    """Open the pictures; return them, and the paintings: by name where they vary."""
    if not axes.values_of("style"):
        pictures = arguments.open(resolved.input, progress)
        return pictures, pictures.styles
    opened, files = {}, dict(arguments.files)
    for style in arguments.styles:
        one = replace(arguments, styles=(style,), files=dict(files))
        pictures = one.open(resolved.input, progress)
        opened[style.picture] = pictures.styles
    return pictures, opened


def _stem(arguments: PictureArguments) -> str:
    """Return how default names begin; room is left for what follows."""
    return shortened(arguments.stem)[:LONGEST_STEM]


def _plan_sheet(
    axes: Axes, resolved: ResolvedSettings, arguments: PictureArguments, flags: Flags, ending: str
) -> tuple[OutputPlan, GridFiles]:
    """Refuse what cannot be written; sheet and table of this very grid may be replaced."""
    stem = _stem(arguments)
    if axes.values_of("style"):
        stem = shortened(Path(arguments.content).stem)[:LONGEST_STEM]
    # The same name each time, so that the same command finds its cells again.
    name, folder = flags.output or f"{stem}-{ending}.png", named_folder(flags.output)
    if folder is not None:
        name = str(folder / f"{stem}-{ending}.png")
    files = GridFiles(Path(name))
    replaces = flags.force or files.are_of(axes.places, arguments)
    flags = replace(flags, output=name, force=replaces)
    # The sheet has 8 bits; --bits is for the cells.
    plan = plan_output(stem, arguments.names, resolved.output.changed(bits=None), flags)
    check_target(files.csv, inputs=plan.inputs, overwrite=replaces)
    if os.path.lexists(files.folder) and not files.folder.is_dir():
        raise OutputError(
            f"{printable(files.folder)} is a file, but the cells go into a folder of that name; "
            "give another name with -o"
        )
    for path in map(files.cell, axes.places):
        if os.path.lexists(path):
            check_target(path, inputs=plan.inputs, overwrite=True)
    return plan, files


# --- while it runs, and after --------------------------------------------------------------------


def _callbacks(
    progress: Progress, plan: "GridPlan", resolved: ResolvedSettings
) -> "tuple[Callable[[Step], None], Callable[[Cell], None]]":
    """Return an `on_step` and an `on_cell` that show the progress of all cells, and end at a signal."""
    pace = progress.pace = PaceOfSeries(plan.work)
    stop = run.stop_at_signal(progress, loss="")
    done = len(plan.done)
    there = f" ({done} {'is' if done == 1 else 'are'} there already)" if done else ""
    progress.say(f"{counted(len(plan.axes.places), 'cell')}{there}")
    if done and resolved.origins["metadata"] != "default":
        progress.say("--metadata is for cells made now; those there keep what they hold")

    def on_step(step: "Step") -> None:
        signals.running = True  # from now on a signal ends the grid cleanly
        place = plan.axes.places[pace.index]
        json_lines.cell = {"row": place.row, "column": place.column}
        progress.step(step)
        json_lines.step(step, pace)
        stop()

    def on_cell(cell: "Cell") -> None:
        pace.next_run()
        if cell.problem:
            progress.say(f"{cell.label}: {cell.problem}")
        stop()

    return on_step, on_cell


def _save(plan: OutputPlan, files: GridFiles, grid: "Grid", progress: Progress, size: int) -> int:
    """Write sheet and table, report them, and return the exit code."""
    code = int(signals.code or ExitCode.DONE)
    finished = len(grid.cells) - len(grid.missing)
    again = "; the same command again continues" if grid.stopped else ""
    if not finished:
        if not grid.stopped:
            message = "no cell has a finite loss; no sheet is written"
            return code or complain(message, ExitCode.NUMERICAL)
        progress.say(f"no sheet is written, for no cell is finished yet{again}")
        return code
    output = Output(bits=8, jpeg_quality=plan.output.jpeg_quality)
    image = grid.sheet(size).encode(files.sheet.suffix, output)
    force = plan.force
    path, trouble = save_or_fall_back(files.sheet, image, overwrite=force, what="sheet")
    table = grid.to_csv().encode()
    csv_path, more_trouble = save_or_fall_back(files.csv, table, overwrite=force, what="table")
    troubles = "; ".join(filter(None, [trouble, more_trouble]))
    if not plan.print_json:
        out(printable(path))
    spent = duration(sum(cell.seconds or 0 for cell in grid.cells if not cell.reused))
    where = f"cells in {printable(files.folder)}, numbers in {printable(csv_path)}"
    progress.say(f"{counted(finished, 'cell')} in {spent}; {where}")
    code = _report(grid, progress, troubles, code)
    facts = {
        "path": str(path),
        "csv_path": str(csv_path),
        "folder": str(files.folder),
        "stopped": grid.stopped or None,
        "cells": list(map(_as_json, grid.cells)),
    }
    json_lines.write("done", facts)
    return code


def _report(grid: "Grid", progress: Progress, troubles: str, code: int) -> int:
    """Say which cells are missing or failed, and return the exit code."""
    if grid.missing:
        verb = "is" if len(grid.missing) == 1 else "are"
        of_all = f"{len(grid.missing)} of {counted(len(grid.cells), 'cell')}"
        again = "; the same command again continues" if grid.stopped else ""
        progress.say(f"{of_all} {verb} missing and left blank{again}")
    if troubles:
        return complain(troubles, ExitCode.RESOURCE)
    bad = [
        cell for cell in grid.cells
        if cell.problem or (cell.recipe and cell.recipe.stopped == End.NOT_FINITE)
    ]  # fmt: skip
    if bad and not code:
        trouble = f"the losses of {counted(len(bad), 'cell')} stopped being finite"
        return complain(f"{trouble}, first {bad[0].label}", ExitCode.NUMERICAL)
    return code


def _as_json(cell: "Cell") -> dict[str, Any]:
    """Return what `--json` prints of a cell."""
    return {
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
