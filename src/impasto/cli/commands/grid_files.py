"""The files of a grid: its sheet, its table of numbers, and the folder of its cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from impasto.cli.arguments import PictureArguments
from impasto.errors import ImpastoError
from impasto.image.xmp import read_recipe
from impasto.transfer.grids.axes import GridCell

SUFFIX = ".png"  # of cells


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
        return self.folder / f"{cell.stem}{SUFFIX}"

    def are_of(self, cells: Sequence[GridCell], arguments: PictureArguments) -> bool:
        """Whether the folder holds cells of this grid and no others, so that sheet and table are its own.

        Args:
            cells: All cells of the grid.
            arguments: Its pictures, read; cells are recognized by their hashes.
        """
        settings = {self.cell(cell): cell.settings for cell in cells}
        paintings = {
            arguments.sha256(name)
            for style in arguments.styles
            for name in arguments.folders.get(style.picture, (style.picture,))
        }
        try:
            there = [path for path in self.folder.iterdir() if path.suffix == SUFFIX]
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
                recipe.settings == settings[path]
                and recipe.content.sha256 == arguments.sha256(arguments.content)
                and {style.sha256 for style in recipe.styles} <= paintings
            )
            if not own:
                return False
        return own
