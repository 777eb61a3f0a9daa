"""The sections of the page by the part of the experiment they show."""

from collections.abc import Callable, Mapping

from impasto.experiment.desk import Desk, Section
from impasto.experiment.ideas import grid, layers, method
from impasto.experiment.runs import course, loss, result, solvers, starts

TITLES: Mapping[str, str] = {
    "method": "The method",
    "layers": "What the layers see",
    "grid": "Content against style",
    "course": "The course of the run",
    "loss": "The loss",
    "solvers": "Optimisers side by side",
    "starts": "Starting points and pooling",
    "result": "The result",
}
WRITERS: Mapping[str, Callable[[Desk], Section]] = {
    "method": method, "layers": layers, "grid": grid, "course": course,
    "loss": loss, "solvers": solvers, "starts": starts, "result": result,
}  # fmt: skip
