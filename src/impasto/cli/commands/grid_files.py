"""The files of a grid: its sheet, its numbers, the folder of its cells, and which of them are ours."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.errors import OutputError
from impasto.messages import printable
from impasto.system.fallback import save_or_fall_back
from impasto.system.files import publish

NOTE = ".impasto-sheets.json"  # in the folder of the cells: which sheets are ours


@dataclass(frozen=True)
class Files:
    """The files of a grid; `digest` knows it again by its pictures and settings."""

    sheet: Path
    digest: str

    @property
    def csv(self) -> Path:
        """The numbers."""
        return self.sheet.with_suffix(".csv")

    @property
    def folder(self) -> Path:
        """The cells."""
        return self.sheet.with_name(f"{self.sheet.stem}-cells")

    @property
    def note(self) -> Path:
        """What was written here for this grid before."""
        return self.folder / NOTE

    def written(self) -> list[str]:
        """Return the hashes of sheets and tables that were written for this very grid before."""
        found = self._read()
        return list(found["files"]) if found and found["grid"] == self.digest else []

    def ours(self, path: Path) -> bool:
        """Whether a file is one that this grid wrote, and nobody changed it since."""
        known = self.written()
        if not known or not path.is_file():
            return False
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() in known
        except OSError:
            return False

    def check_note(self) -> None:
        """Refuse a file of the note's name that is another's."""
        if os.path.lexists(self.note) and self._read() is None:
            raise OutputError(f"{printable(self.note)} is not ours; give another name with -o")

    def write(self, contents: Mapping[Path, bytes], *, force: bool) -> tuple[list[Path], list[str]]:
        """Publish the files; those of this grid are noted first, so that it may replace them later.

        Returns:
            Where they are, and what could not be written where it was asked for.
        """
        replaced = {path: force or self.ours(path) for path in contents}
        hashes = [hashlib.sha256(data).hexdigest() for data in contents.values()]
        known = [item for item in self.written() if item not in hashes]
        note = {"grid": self.digest, "files": [*known[-40:], *hashes]}
        written, troubles = [], []
        try:
            publish(self.note, (json.dumps(note, indent=1) + "\n").encode(), overwrite=True)
        except OutputError as error:
            troubles.append(str(error))
        for path, data in contents.items():
            what = "sheet" if path == self.sheet else "table"
            kept, trouble = save_or_fall_back(path, data, overwrite=replaced[path], what=what)
            written.append(kept)
            troubles += [trouble] if trouble else []
        return written, troubles

    def _read(self) -> dict[str, Any] | None:
        try:
            found = json.loads(self.note.read_bytes())
        except (OSError, ValueError):
            return None
        known = isinstance(found, dict) and isinstance(found.get("files"), list) and "grid" in found
        return found if known else None
