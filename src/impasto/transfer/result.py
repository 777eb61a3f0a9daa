"""The course of a run: what a callback sees of each step, what is kept of all, and the recipe of it."""

import base64
import csv
import html
import io
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from torch import Tensor
from torch.nn import functional

from impasto.config.output import Output
from impasto.config.recipe import Recipe
from impasto.image.picture import Picture
from impasto.image.xmp import MAX_RECIPE
from impasto.optim.evaluation import Evaluation
from impasto.optim.tracking import ROUND
from impasto.system.files import publish

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """What an `on_step` callback receives after every evaluation.

    `scale` counts from 1 to `scales`; `iteration` counts evaluations at this scale, `evaluations` those
    of the run, of `planned`; `limit` are those planned at this scale; `work` is what the run has done and all
    that it has to do, in pixels evaluated; `round` counts rounds of 20; `losses` are weighted, by name:
    `total`, the terms (`content`, `style`, ...) and their layers (`style.relu1_1`, ...); `seconds` since the
    start; `left` are those left of a time budget, or None without one (with one, `planned` says nothing).
    `remaining` are the seconds that the rest of the run will take, by the evaluations so far; None before the
    second one.
    """

    scale: int
    scales: int
    width: int
    height: int
    iteration: int
    evaluations: int
    planned: int
    limit: int
    work: tuple[float, float]
    losses: Mapping[str, float]
    seconds: float
    left: float | None
    remaining: float | None
    _canvas: Tensor = field(repr=False)
    _finish: Callable[[Tensor, int | None], Picture] = field(repr=False)
    _drafted: bool = field(repr=False)

    @property
    def round(self) -> int:
        """Rounds of 20 evaluations begun at this scale, the first being 1."""
        return (self.iteration - 1) // ROUND + 1

    def picture(self, edge: int | None = None) -> Picture:
        """Return this evaluation's canvas, with the photo's transparency (made only when called for).

        Where the run begins with a draft, it is enlarged to the size of the result. With `edge`, its long
        edge has at most so many pixels: quicker.
        """
        return self._finish(self._canvas, edge)

    def preview(self, edge: int = 256) -> Picture:
        """Return this evaluation's canvas with a long edge of at most `edge` px, on white: quick to make."""
        if self._drafted:
            return self.picture(edge).thumbnail(edge)
        height, width = self._canvas.shape[-2:]
        factor = min(1.0, edge / max(height, width))
        size = max(1, round(height * factor)), max(1, round(width * factor))
        small = functional.interpolate(self._canvas.detach().float(), size, mode="area")
        return Picture.from_tensor(small.clamp(0, 1), name="<preview>")

    def kept(self) -> "Step":
        """Return this step with a canvas of its own, to be used later: solvers change theirs in place."""
        return replace(self, _canvas=self._canvas.detach().clone())


@dataclass(frozen=True)
class Record:
    """One row of the history: which scale, which evaluation of the run, the losses, the seconds."""

    scale: int
    evaluation: int
    losses: Mapping[str, float]
    seconds: float


def named(evaluation: Evaluation, unit: float = 1.0) -> dict[str, float]:
    """Return an evaluation's losses by name: `total`, each term, and each term's layers."""
    losses = {"total": evaluation.loss * unit}
    for name, value in evaluation.parts.items():
        term = name.partition(".")[0]
        losses[term] = losses.get(term, 0.0) + value
    return losses | {name: value for name, value in evaluation.parts.items() if "." in name}


def columns(history: Sequence[Record]) -> dict[str, list[float]]:
    """Return the history by columns of its length; see `Result.table`."""
    names = list(dict.fromkeys(name for record in history for name in record.losses))
    names.sort(key=lambda name: (name != "total", "." in name))  # stable: else as they came
    found: dict[str, list[float]] = {
        "scale": [record.scale for record in history],
        "evaluation": [record.evaluation for record in history],
        "seconds": [record.seconds for record in history],
    }
    for name in names:
        found[name] = [record.losses.get(name, math.nan) for record in history]
    return found


@dataclass(frozen=True)
class Result:
    """What `stylize` returns.

    Attributes:
        picture: The picture; `picture.pil()`, `.array()`, `.tensor()` and `.encode()` give it back as what
            you work with.
        recipe: All that is needed to make it again, and what making it took.
        history: The losses of every evaluation.
        seconds: What the run took.
        stopped: Why it ended: `evaluations`, `tolerance`, `no further decrease`, `not finite`, `stop` (a
            callback) or `interrupted` (Ctrl-C).
        fault: Which loss, or whose gradient, was not finite, in a sentence; empty if none ended the run.
    """

    picture: Picture
    recipe: Recipe
    history: tuple[Record, ...] = field(repr=False)
    seconds: float
    stopped: str
    fault: str = ""

    def __repr__(self) -> str:
        size = f"{self.picture.width} x {self.picture.height} px"
        spent = f"{len(self.history)} evaluations in {self.seconds:.1f} s"
        return f"<Result: {size}, {spent}, ended: {self.stopped}>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """Return the picture's values; see `Picture.__array__`."""
        return self.picture.__array__(dtype, copy)

    def encode(self, suffix: str = ".png", output: Output | None = None, **changes: Any) -> bytes:
        """Return the bytes of a file with the recipe in it; see `Picture.encode`."""
        return self.picture.encode(suffix, output, recipe=self._line(), **changes)

    def save(
        self,
        path: str | os.PathLike[str] | IO[bytes],
        output: Output | None = None,
        *,
        overwrite: bool = False,
        format: str | None = None,
        **changes: Any,
    ) -> Path:
        """Write the picture with its recipe, atomically, in the format of the name's ending.

        See `Picture.save` for the arguments and errors.
        """
        recipe = self._line()
        return self.picture.save(path, output, recipe=recipe, overwrite=overwrite, format=format, **changes)

    def save_recipe(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the recipe as JSON, atomically."""
        return publish(Path(path), self.recipe.to_json().encode(), overwrite=overwrite)

    def table(self) -> dict[str, list[float]]:
        """Return the history by columns, for `pandas.DataFrame(result.table())` and the like.

        The columns are `scale`, `evaluation`, `seconds`, `total`, each term (`content`, `style`, ...) and
        each layer (`style.relu1_1`, ...); losses are weighted, and nan where there is none.
        """
        return columns(self.history)

    def to_csv(self) -> str:
        """Return `table()` as CSV with a line of names; numbers in full, nan as an empty cell."""
        text, found = io.StringIO(), self.table()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(found)
        for row in zip(*found.values(), strict=True):
            writer.writerow("" if math.isnan(value) else repr(value) for value in row)
        return text.getvalue()

    def _line(self) -> str | None:
        """Return the recipe for the file; None if it is too long, for the picture is worth more."""
        line = self.recipe.model_dump_json()
        if len(line.encode()) <= MAX_RECIPE:
            return line
        log.warning("the recipe is too long to go into the picture; save_recipe (--recipe) keeps it")
        return None

    def _repr_png_(self) -> bytes:
        """Return what a notebook shows."""
        return self.picture._repr_png_()

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the picture, what it was made of and what it took."""
        shown = base64.b64encode(self._repr_png_()).decode("ascii")
        names = ", ".join(style.name for style in self.recipe.styles)
        spent = sum(scale.evaluations for scale in self.recipe.scales)
        size = f"{self.picture.width} x {self.picture.height} px"
        words = html.escape(
            f"{self.recipe.content.name} in the style of {names}: {size}, {spent} evaluations in "
            f"{self.seconds:.1f} s; ended: {self.stopped}"
        )
        return (
            f'<figure><img src="data:image/png;base64,{shown}" alt="{words}">'
            f"<figcaption>{words}</figcaption></figure>"
        )
