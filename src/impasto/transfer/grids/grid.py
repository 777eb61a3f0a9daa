"""`grid()`: the same pictures with many settings, one run a cell, and the sheet that compares them.

Each cell is what a run of `stylize` alone would have made, to the byte; only what the cells have in common is
made once. With a folder, every finished cell is a file with its recipe, and is not made again::

    found = impasto.grid("cat.jpg", "starry.jpg", {"style_weight": [1, 10, 100]}, folder="cells")
    found.sheet().save("grid.png")
"""

import csv
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, Unpack

from impasto.config.recipe import Recipe
from impasto.config.settings import Settings
from impasto.errors import NumericalError, OutputError, Stop
from impasto.image.contact_sheet import CELL, contact_sheet
from impasto.image.picture import Picture, PictureLike
from impasto.inputs.open import StyleLike
from impasto.inputs.shared import Shared
from impasto.messages import printable, reason
from impasto.system.fallback import save_or_stop
from impasto.system.torch_defaults import torch_defaults
from impasto.transfer import runtime as runtime_module
from impasto.transfer.grids import axes as varying
from impasto.transfer.grids.axes import Axes, GridCell
from impasto.transfer.grids.plan import ENDED, CellOptions, GridPlan, plan_grid
from impasto.transfer.result import Result, Step
from impasto.transfer.run import Run
from impasto.transfer.stylize import complete

LOSSES = ("content", "style", "total")
NOTE = "Losses without content_weight and style_weight."  # below the sheet


@dataclass(frozen=True)
class Cell(GridCell):
    """One cell of a grid, and what was made there.

    `recipe` is None where it is missing. `path` is its file, where the grid has a folder; else `result` is
    what its run returned. `reused` says that it was there before. `problem` is why it could not be made, or
    what was not finite where that ended it.
    """

    recipe: Recipe | None = None
    path: Path | None = None
    result: Result | None = field(default=None, repr=False)
    reused: bool = False
    problem: str = ""

    @classmethod
    def of(cls, place: GridCell, recipe: Recipe | None = None, **more: Any) -> Self:
        """Return the cell at a place."""
        return cls(**vars(place), recipe=recipe, **more)

    @property
    def picture(self) -> Picture | None:
        """The picture; read from its file, if there is one, whenever it is asked for."""
        if self.result is not None:
            return self.result.picture
        return None if self.recipe is None or self.path is None else Picture.open(self.path)

    @property
    def losses(self) -> dict[str, float]:
        """Content, style and total loss as reported: weighted, at the end of the run."""
        found = self.recipe.losses if self.recipe else {}
        return {name: found[name] for name in LOSSES if name in found}

    @property
    def unweighted(self) -> dict[str, float]:
        """Content and style loss without `content_weight`, `style_weight` and `strength`: comparable.

        A term whose weight is 0 has none.
        """
        weights = {"content": self.settings.content_weight, "style": self.settings.effective_style_weight}
        return {
            name: value / weights[name] for name, value in self.losses.items() if weights.get(name, 0.0) > 0
        }

    @property
    def seconds(self) -> float | None:
        """What its run took."""
        return self.recipe.seconds if self.recipe else None


@dataclass(frozen=True)
class Grid:
    """What `grid` returns: all cells, row by row; those that are missing have no recipe.

    `axes` were varied, `title` is that of the sheet, and `stopped` says why it ended early, if it did.
    """

    cells: tuple[Cell, ...]
    axes: Axes
    title: str
    stopped: str = ""

    @property
    def pictures(self) -> list[Picture | None]:
        """The cells' pictures, row by row; None where one is missing."""
        return [cell.picture for cell in self.cells]

    @property
    def missing(self) -> tuple[Cell, ...]:
        """The cells without a picture."""
        return tuple(cell for cell in self.cells if cell.recipe is None)

    def at(self, row: int, column: int) -> Cell:
        """Return one cell, counted from 1."""
        return self.cells[self.axes.places.index(self.axes.at(row, column))]

    def sheet(self, cell: int = CELL) -> Picture:
        """Return the contact sheet, its cells at most so many pixels large; missing ones are blank."""
        rows = self.axes.rows.labels if self.axes.rows else [""]
        pictures = self.pictures
        wide = max((min(picture.width, cell) for picture in pictures if picture), default=cell)
        return contact_sheet(
            pictures,
            columns=self.axes.columns.labels,
            rows=rows,
            captions=[_caption(item, "   " if wide >= 200 else "\n") for item in self.cells],
            title=self.title,
            note=NOTE,
            cell=cell,
        )

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows: the sheet."""
        return self.sheet()._repr_png_()

    def table(self) -> list[dict[str, Any]]:
        """Return a row of numbers for each cell: where, what is varied, losses, seconds, file.

        `content` and `style` are without `content_weight` and `style_weight`, and so can be compared from
        cell to cell; `weighted_content`, `weighted_style` and `total` are what the run made small.
        """
        rows = []
        for cell in self.cells:
            varied = {  # `style` is a loss
                "painting" if name == varying.STYLE else name: (
                    varying.worded(value) if isinstance(value, Mapping) else value
                )
                for name, value in cell.varied.items()
            }
            row = {"row": cell.row, "column": cell.column, **varied}
            row |= {name: cell.unweighted.get(name) for name in ("content", "style")}
            row |= {f"weighted_{name}": cell.losses.get(name) for name in ("content", "style")}
            row |= {"total": cell.losses.get("total")}
            file = cell.path.name if cell.path and cell.recipe else None
            stopped = cell.recipe.stopped if cell.recipe else cell.problem or "missing"
            rows.append(row | {"seconds": cell.seconds, "stopped": stopped, "file": file})
        return rows

    def to_csv(self) -> str:
        """Return `table` as CSV."""
        rows, text = self.table(), io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def _short(value: float) -> str:
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 or not value else f"{value:.2e}"


def _caption(cell: Cell, between: str) -> str:
    if cell.recipe is None:
        return "failed" if cell.problem else "missing"
    losses = [f"{name} {_short(value)}" for name, value in cell.unweighted.items()]
    note = ["not finite"] if cell.recipe.stopped == "not finite" else []
    return between.join(losses + note)


@torch_defaults()
def grid(
    content: PictureLike,
    style: StyleLike | Sequence[StyleLike],
    vary: Mapping[str, Iterable[Any]],
    settings: Settings | None = None,
    *,
    folder: str | os.PathLike[str] | None = None,
    on_cell: Callable[[Cell], None] | None = None,
    many: bool = False,
    overwrite: bool = False,
    **options: Unpack[CellOptions],
) -> Grid:
    """Run the same pictures with every combination of one or two settings' values.

    Args:
        content: The photo, as for `stylize`.
        style: The painting or paintings, as for `stylize`.
        vary: Values by setting, such as `{"content_weight": [0.1, 1], "size": [256, 512]}`: the first goes
            along the columns, the second along the rows. `preset` varies named settings, `style` paintings by
            their paths; `style` is then an empty list.
        settings: All other settings; the defaults if None.
        folder: Where finished cells are kept, each a PNG file with its recipe. Those that are there
            already are not made again. None keeps the results in memory.
        on_cell: Called with every cell that is there, made now or before. `raise impasto.Stop` in it, or
            in `on_step`, ends the grid cleanly; a cell that was not finished is dropped.
        many: Whether more than 400 cells are fine.
        overwrite: Whether files of the cells' names that hold something else may be replaced.
        options: `runtime`, `weights`, `on_step`, `init_picture` and `protect`, as for `stylize`.

    Raises:
        InputError: A setting, a value or a picture is wrong; said before anything runs.
        OutputError: A cell cannot be written there; says where it is instead. Those before remain.
        WeightsError: The network's weights are not there.
    """
    axes = varying.plan(vary, Settings.of(settings), many=many)
    plan = plan_grid(axes, content, style, folder=folder, overwrite=overwrite, **options)
    return run_grid(plan, on_step=options.get("on_step"), on_cell=on_cell)


def run_grid(
    plan: GridPlan,
    *,
    on_step: Callable[[Step], None] | None = None,
    on_cell: Callable[[Cell], None] | None = None,
) -> Grid:
    """Make the cells that are not there yet, row by row."""
    if plan.folder is not None:
        try:
            plan.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot make the folder {printable(plan.folder)}: {reason(error)}; give another place"
            ) from error
    cells = [
        Cell.of(place, plan.done.get(index), path=plan.path(place), reused=index in plan.done)
        for index, place in enumerate(plan.axes.places)
    ]
    shared, stopped, last = Shared(), "", None
    finished: dict[int, Run] = {}  # runs that later cells share
    for index in range(len(cells)):
        if index not in plan.done:
            if plan.weights[index] is not last:
                shared.clear()  # network and targets are of other weights
                last = plan.weights[index]
            cells[index], stopped = _run_cell(plan, index, on_step, shared, finished)
        if on_cell is not None and (cells[index].recipe or not stopped):
            try:
                on_cell(cells[index])
            except Stop as stop:
                stopped = stopped or stop.reason
        if stopped:
            break
    first = plan.inputs[0]
    styles = ", ".join(style.name for style in first.styles)
    style = "several paintings" if plan.axes.values_of(varying.STYLE) else styles
    title = f"{first.content.name} in the style of {style}"
    return Grid(tuple(cells), plan.axes, title, stopped)


def _run_cell(
    plan: GridPlan,
    index: int,
    on_step: Callable[[Step], None] | None,
    shared: Shared,
    finished: dict[int, Run],
) -> tuple[Cell, str]:
    """Make one cell; return it, and why the grid ends here if it does.

    `finished` has the runs of earlier cells that later ones share.
    """
    place = plan.axes.places[index]
    path = plan.path(place)
    runtime = runtime_module.resolve(plan.runtime, place.settings)
    late = ""  # why the grid ends after this cell

    def watched(step: Step) -> None:
        nonlocal late
        try:
            if on_step is not None:
                on_step(step)
        except Stop as stop:
            if not _last(step):
                raise
            late = stop.reason  # all that was planned is done: the cell is kept

    try:
        earlier = plan.sharers.get(index, index)
        if earlier in finished:
            result = finished[earlier].finished_as(plan.inputs[index], place.settings)
            if index == max(later for later, first in plan.sharers.items() if first == earlier):
                del finished[earlier]
        else:
            run = Run(plan.inputs[index], place.settings, runtime, plan.weights[index], shared=shared)
            result = complete(run, on_step=watched)
            if index in plan.sharers.values():
                finished[index] = run
    except NumericalError as error:
        return Cell.of(place, path=path, problem=str(error)), late
    if result.stopped not in ENDED:
        return Cell.of(place, path=path), result.stopped
    if path is None:
        return Cell.of(place, result.recipe, problem=result.fault, result=result), late
    data = result.encode(path.suffix, plan.output)
    save_or_stop(path, data, overwrite=plan.overwrite)
    return Cell.of(place, result.recipe, path=path, problem=result.fault), late


def _last(step: Step) -> bool:
    """Whether a step is the last evaluation that is planned for its run."""
    at_end = step.scale == step.scales and step.iteration * step.scales >= step.planned
    return step.left is None and at_end
