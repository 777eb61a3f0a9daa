"""Unfinished runs: which checkpoints are known here, and what they say of their runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.config.recipe import Recipe
from impasto.errors import ImpastoError
from impasto.messages import counted, duration, printable
from impasto.transfer.callbacks import checkpoint_folder
from impasto.transfer.callbacks.checkpoint_file import CheckpointHeader, read_header


@dataclass(frozen=True)
class UnfinishedRun:
    """A checkpoint that is known here; without a header it cannot be read, because of `problem`."""

    path: Path
    age: float  # seconds since it was written
    header: CheckpointHeader | None = None
    problem: str = ""

    @property
    def folder(self) -> Path | None:
        """Where the run was started; None where that is not known."""
        note: Mapping[str, Any] = self.header.note if self.header else {}
        if note.get("folder"):
            return Path(note["folder"])
        return Path(note["target"]).parent if note.get("target") else None

    @property
    def target(self) -> str | None:
        """The picture that the run is to write."""
        note: Mapping[str, Any] = self.header.note if self.header else {}
        return note.get("target")

    @property
    def evaluations(self) -> int:
        """Evaluations done so far."""
        if self.header is None:
            return 0
        return self.header.count + sum(scale.evaluations for scale in self.header.recipe.scales)

    def belongs_to(self, folder: Path | None) -> bool:
        """Whether the run was started in a folder or, where that is not known, has its pictures there."""
        if folder is None or self.header is None:
            return False
        own = [self.folder] if self.folder else [Path(name) for name in self.header.folders]
        return any(_same(path, folder) for path in own)

    def __str__(self) -> str:
        """Return which run it is, in one line."""
        if self.header is None:
            return f"{printable(self.path)}, {duration(self.age)} old: {self.problem}"
        recipe: Recipe = self.header.recipe
        paintings = ", ".join(printable(style.name) for style in recipe.styles)
        what = f"{printable(recipe.content.name)} in the style of {paintings}"
        where = f", started in {printable(self.folder)}" if self.folder else ""
        to = f", for {printable(self.target)}" if self.target else ""
        done = counted(self.evaluations, "evaluation")
        return f"{what}: {done} done, saved {duration(self.age)} ago{where}{to}"


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def known_runs() -> list[UnfinishedRun]:
    """Return all unfinished runs that are known, the latest first."""
    runs = []
    for path in reversed(checkpoint_folder.unfinished()):
        header, problem = None, ""
        try:
            header = read_header(path)
        except ImpastoError as error:
            problem = str(error)
        runs.append(UnfinishedRun(path, checkpoint_folder.age(path), header, problem))
    return runs
