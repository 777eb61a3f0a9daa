"""What is shown of a run while it works, beside its progress: first line, JSON lines, preview. No torch."""

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from impasto.config.output import Output
from impasto.errors import ResourceError

if TYPE_CHECKING:
    from impasto.cli.progress import Pace
    from impasto.image.picture import Picture
    from impasto.transfer.result import Step

VERSION = 1  # of the form of the JSON lines
PREVIEW = 512  # px; long edge of a preview, at most
FRESH = 1.0  # seconds between two previews, at least
SHARE = 0.02  # of the time that previews may take
MEASURED, AT_LEAST = 4, 2.0  # evaluations after the first, or seconds of them, that tell how long a run takes


class JsonLines:
    """One JSON object a line, which other programs read: `step`, `scale` and `error`; the last is `done`.

    Nothing is written before `begin`, which `--json` calls.
    """

    def __init__(self) -> None:
        self.stream: IO[str] | None = None  # where lines are written
        self._scale: tuple[object, ...] = ()
        self.cell: Mapping[str, Any] | None = None  # of a grid: which one is at work

    def begin(self, stream: IO[str] | None) -> None:
        """Write to a stream from now on; to none if it is None."""
        self.stream, self._scale, self.cell = stream, (), None

    def write(self, event: str, facts: Mapping[str, Any]) -> None:
        """Write one line. A stream that nobody reads any more is no reason to end a run."""
        if self.stream is None:
            return
        try:
            self.stream.write(json.dumps({"event": event, "version": VERSION, **_finite(facts)}) + "\n")
            self.stream.flush()
        except OSError:
            self.stream = None

    def step(self, step: "Step", pace: "Pace") -> None:
        """Write a line for one evaluation, and one before it where a scale begins."""
        if self.stream is None:
            return
        cell = {} if self.cell is None else {"cell": self.cell}
        size = {"scale": step.scale, "scales": step.scales, "width": step.width, "height": step.height}
        place = (self.cell and tuple(self.cell.values()), step.scale)
        if place != self._scale:
            self._scale = place
            self.write("scale", cell | size)
        done, planned = pace.work(step)
        facts = {
            "iteration": step.iteration,
            "evaluations": step.evaluations,
            "planned": step.planned if step.left is None else None,
            "percent": round(100 * min(1.0, done / planned), 1) if planned else None,
            "seconds": round(step.seconds, 3),
            "seconds_left": _rounded(pace.seconds_left(step)),
            "losses": dict(step.losses),
        }
        self.write("step", cell | size | facts)

    def error(self, message: str, code: int) -> None:
        """Write a line for an error."""
        self.write("error", {"message": message, "code": int(code)})


json_lines = JsonLines()


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _finite(value: Any) -> Any:
    """Return a value in types of JSON, which has no infinite numbers."""
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class FirstLine:
    """The first line of a run, which is shown as soon as it can say how long the run will take.

    Where earlier runs tell, that is at the first evaluation. Else some are measured: the second of all still
    makes what is made only once, and alone says too much.

    Args:
        say: Shows a line.
        message: Returns the line; gets the seconds in all, or None where they are not known.
        per_pixel: Seconds of an evaluation and pixel in earlier runs, if there were any.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        message: Callable[[float | None], str],
        per_pixel: float | None = None,
    ) -> None:
        self._say, self._message, self._per_pixel = say, message, per_pixel
        self._first: Step | None = None
        self.shown = False

    def step(self, step: "Step", pace: "Pace") -> None:
        """Show the line if it is time; `pace` has measured this step."""
        if self.shown:
            return
        first = self._first = self._first or step
        before = first.seconds if first.evaluations > 1 else 0.0  # of a resumed run: not part of this one
        left, measured = pace.seconds_left(step), step.seconds - first.seconds
        enough = step.evaluations >= min(first.evaluations + MEASURED, step.planned) or measured >= AT_LEAST
        seconds = None
        if left is not None and (enough or step.left is not None):
            seconds = left + step.seconds - before
        elif self._per_pixel is not None:
            seconds = pace.work(step)[1] * self._per_pixel
        if seconds is not None or enough:
            self.shown = True
            self._say(self._message(seconds))


class Preview:
    """Keeps one small picture of a run fresh while it works."""

    def __init__(self, path: Path, output: Output) -> None:
        self._path, self._output = path, output.changed(bits=8, metadata="strip")
        self._due = 0.0
        self.trouble = ""

    def step(self, step: "Step") -> None:
        """Write the picture of an evaluation if it is time."""
        now = time.monotonic()
        if now >= self._due and not self.trouble:
            self.write(step.picture(PREVIEW))
            spent = time.monotonic() - now
            self._due = now + max(FRESH, spent / SHARE)

    def write(self, picture: "Picture") -> None:
        """Write a picture, small; what goes wrong is kept as `trouble` and does not end the run."""
        try:
            picture.thumbnail(PREVIEW).save(self._path, self._output, overwrite=True)
        except ResourceError as error:
            self.trouble = str(error)
