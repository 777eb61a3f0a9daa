"""The files of a grid: its sheet, its table of numbers, and the folder of its cells."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from impasto.cli.arguments import PictureArguments
from impasto.config.recipe import Recipe
from impasto.config.settings import Settings
from impasto.errors import ImpastoError
from impasto.image.xmp import read_recipe
from impasto.system.fallback import save_or_fall_back
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
            arguments: Its pictures, read.
        """
        settings = {self.cell(cell): cell.settings for cell in cells}
        hashes = {
            name: hashlib.sha256(data).hexdigest() for name, (_, data) in arguments.files.items()
        }
        paintings = {
            hashes[name]
            for style in arguments.styles
            for name in arguments.folders.get(style.picture, (style.picture,))
        }
        own = False
        for path in self._cells_there():
            if path not in settings:
                return False
            try:
                recipe = read_recipe(path)
            except ImpastoError:  # damaged; the plan of the grid says what to do
                continue
            photo = hashes[arguments.content]
            if not _is_cell(recipe, settings[path], photo, paintings):
                return False
            own = True
        return own

    def _cells_there(self) -> list[Path]:
        """Return the pictures in the folder of cells, none where there is no such folder."""
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == SUFFIX)
        except OSError:
            return []


def _is_cell(recipe: Recipe, settings: Settings, photo: str, paintings: set[str]) -> bool:
    """Whether a recipe has these settings and was made from these pictures, known by their hashes."""
    styles = {style.sha256 for style in recipe.styles}
    return recipe.settings == settings and recipe.content.sha256 == photo and styles <= paintings


def write(
    contents: Mapping[Path, bytes], labels: Mapping[Path, str], *, overwrite: bool
) -> tuple[list[Path], list[str]]:
    """Write files, each under its name or, where that fails, elsewhere.

    Args:
        contents: The files.
        labels: What each of them is, for messages.
        overwrite: Whether files of these names may be replaced.

    Returns:
        Where they are, and what could not be written under its name, in one line each.
    """
    written, troubles = [], []
    for path, data in contents.items():
        place, trouble = save_or_fall_back(path, data, overwrite=overwrite, what=labels[path])
        written.append(place)
        troubles += [trouble] if trouble else []
    return written, troubles
