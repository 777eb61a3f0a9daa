"""What the sections of the page are written from: finished trials, and a place for figures and numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.image.picture import Picture
from impasto.image.pixels import fit
from impasto.reports.experiment import trials
from impasto.reports.experiment.runner import Outcome, Runner, to_csv
from impasto.reports.figures import Drawing
from impasto.reports.html import Block, Table
from impasto.system.files import publish

DIGITS = 4  # of numbers on the page; the CSV beside it has all of them
THUMB = 512  # px; pictures on the page are no larger


@dataclass(frozen=True)
class Context:
    """What a section is written from: the bench, its scope and the finished trials by name."""

    bench: Runner
    outcomes: Mapping[str, Outcome]

    @property
    def scope(self) -> trials.Scope:
        """How much was run."""
        return self.bench.scope

    def rows(self, name: str) -> Sequence[Mapping[str, float]]:
        """Return the losses of a trial's evaluations."""
        return self.outcomes[name].rows

    def shown(self, name: str, label: str, what: str, at: int = 0) -> tuple[bytes, str, str]:
        """Return a trial's picture with its label and with what is seen, for the page."""
        return Path(self.outcomes[name].pictures[at]).read_bytes(), label, f"{what}: {label}"

    def save(self, name: str, plot: Drawing) -> Drawing:
        """Write a figure beside the page and return it."""
        publish(self.bench.folder / "figures" / f"{name}.png", plot.png, overwrite=True)
        publish(self.bench.folder / "figures" / f"{name}.svg", plot.svg.encode(), overwrite=True)
        return plot

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], caption: str) -> Table:
        """Write rows as CSV beside the page and return them as a table."""
        publish(self.bench.folder / "data" / f"{name}.csv", to_csv(rows).encode(), overwrite=True)
        headers = list(rows[0])
        return Table(headers, [[row[header] for header in headers] for row in rows], caption,
            digits=DIGITS)  # fmt: skip


Section = list[Block]


def small(picture: Picture) -> bytes:
    """Return an input for the page, as JPEG."""
    edge = min(THUMB, max(picture.width, picture.height))
    width, height = fit(picture.width, picture.height, edge)
    return Picture.from_tensor(picture.tensor(width, height)).encode(".jpg", jpeg_quality=90)
