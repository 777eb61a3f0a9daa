"""`Context`: what the sections of the page are written from, with a place for figures and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.reports.experiment import trials
from impasto.reports.experiment.runner import Outcome, Runner, to_csv
from impasto.reports.figures import Drawing
from impasto.reports.html import Block, Figure, Table
from impasto.system.files import publish

DIGITS = 4  # of numbers on the page; the CSV beside it has all of them


Section = list[Block]


@dataclass(frozen=True)
class Context:
    """What a section is written from: the runner, and the outcomes of finished trials by name."""

    runner: Runner
    outcomes: Mapping[str, Outcome]

    @property
    def scope(self) -> trials.Scope:
        """How much was run."""
        return self.runner.scope

    def rows(self, name: str) -> Sequence[Mapping[str, float]]:
        """Return the losses of a trial's evaluations."""
        return self.outcomes[name].rows

    def picture(self, name: str, label: str, what: str, at: int = 0) -> tuple[bytes, str, str]:
        """Return a trial's picture for `Pictures`: its bytes, its label, its description.

        Args:
            name: Of the trial.
            label: What stands below the picture.
            what: What it shows.
            at: After how many evaluations; 0 for the result.
        """
        return Path(self.outcomes[name].pictures[at]).read_bytes(), label, f"{what}: {label}"

    def figure(self, name: str, drawing: Drawing, caption: str, alt: str) -> Figure:
        """Write a drawing beside the page, as PNG and SVG, and return it with its caption."""
        folder = self.runner.folder / "figures"
        publish(folder / f"{name}.png", drawing.png, overwrite=True)
        publish(folder / f"{name}.svg", drawing.svg.encode(), overwrite=True)
        return Figure(drawing.png, caption, alt, drawing.svg, name)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], caption: str) -> Table:
        """Write rows as CSV beside the page and return them as a table."""
        publish(self.runner.folder / "data" / f"{name}.csv", to_csv(rows).encode(), overwrite=True)
        cells = [list(row.values()) for row in rows]
        return Table(list(rows[0]), cells, caption, digits=DIGITS)
