"""Shows the progress of a run: a bar on a terminal, plain lines elsewhere. No torch here.

An evaluation costs in proportion to its pixels, so work counts evaluations times pixels.
"""

import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, TypeVar

from impasto.cli.watch import json_lines
from impasto.messages import NOTE, duration

if TYPE_CHECKING:
    from impasto.transfer.result import Step

PLAIN_EVERY = 5.0  # seconds between plain lines
DRAW_EVERY = 0.1  # seconds between drawings of the bar


def named_losses(losses: Mapping[str, float]) -> str:
    """Return the total and each term, without the single layers."""
    return "  ".join(f"{name} {value:.4g}" for name, value in losses.items() if "." not in name)


class Pace:
    """Work and remaining time of a run, and how long an evaluation takes."""

    def __init__(self) -> None:
        self._first = (0, 0, 0.0)  # scale, iteration and seconds of the first evaluation of this scale
        self.per_evaluation: float | None = None  # seconds, at this scale

    def update(self, step: "Step") -> None:
        """Measure with one more evaluation."""
        scale, iteration, seconds = self._first
        if step.scale != scale:
            self._first, self.per_evaluation = (step.scale, step.iteration, step.seconds), None
        elif step.iteration > iteration:
            self.per_evaluation = (step.seconds - seconds) / (step.iteration - iteration)

    def work(self, step: "Step") -> tuple[float, float]:
        """Return work done and work planned, in pixels evaluated or, of a budget, seconds."""
        return step.work if step.left is None else (step.seconds, step.seconds + max(0.0, step.left))

    def seconds_left(self, step: "Step") -> float | None:
        """Return the seconds that the rest will take, or None before anything was measured."""
        return step.remaining

    def summary(self, step: "Step", *, speed: bool = False) -> str:
        """Return the remaining time in words, and the speed, as far as they are measured."""
        rate, left = self.per_evaluation, self.seconds_left(step)
        if left is None:
            return ""
        each = "" if not rate else f"  {1 / rate:.1f}/s" if rate < 1 else f"  {rate:.1f} s each"
        return f"{duration(left)} left{each if speed else ''}"

    def prefix(self) -> str:
        """Return what a line of progress begins with."""
        return ""


class PaceOfSeries(Pace):
    """The pace of several runs one after the other, such as the cells of a grid.

    Args:
        costs: Of each run, in any unit; 0 for those that are not run.
    """

    def __init__(self, costs: Sequence[float]) -> None:
        super().__init__()
        self._costs = list(costs)
        self.index = 0  # of the present run
        self._began: tuple[float, float] | None = None  # time and work done at the first step

    def next_run(self) -> None:
        """Begin the next run."""
        self.index += 1

    def update(self, step: "Step") -> None:
        """Measure with one more evaluation."""
        if self._began is None:
            self._began = time.monotonic(), self.work(step)[0]

    def work(self, step: "Step") -> tuple[float, float]:
        """Return work done and work planned, of all runs."""
        done, planned = super().work(step)
        current = self._costs[self.index] * done / planned
        return sum(self._costs[: self.index]) + current, sum(self._costs)

    def seconds_left(self, step: "Step") -> float | None:
        """Return the seconds that all runs will still take, or None before anything was measured."""
        done, planned = self.work(step)
        began, before = self._began or (0.0, done)
        if done <= before:
            return None
        return (planned - done) * (time.monotonic() - began) / (done - before)

    def prefix(self) -> str:
        """Return which of the runs this is."""
        return f"cell {self.index + 1}/{len(self._costs)}  "


class Progress:
    """Writes messages and progress to one stream, usually standard error.

    Args:
        stream: Where to write.
        quiet: Write nothing but errors.
        verbose: Also write sizes, evaluations, speed and losses.

    Attributes:
        pace: What measures the remaining time; another one for several runs in a row.
    """

    def __init__(self, stream: IO[str], *, quiet: bool = False, verbose: bool = False) -> None:
        self._stream = stream
        self._quiet, self._verbose = quiet, verbose
        self.pace: Pace = Pace()
        self._live: Any = None
        self._plain = not stream.isatty()
        self._drawn = float("-inf")

    def say(self, text: str) -> None:
        """Write one line, above the bar if there is one."""
        if self._quiet:
            return
        with self._lost_stream():
            if self._live is not None:
                self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                self._write(text)

    def step(self, step: "Step") -> None:
        """Show one evaluation."""
        self.pace.update(step)
        if self._quiet:
            return
        last = step.left is None and step.iteration >= step.limit  # of this scale
        now, every = time.monotonic(), PLAIN_EVERY if self._plain else DRAW_EVERY
        if now - self._drawn < every and not last:
            return
        self._drawn = now
        with self._lost_stream():
            self._show(step)

    def _is_due(self) -> bool:
        """Whether it is time to show something again; notes that it is shown now."""
        now, every = time.monotonic(), PLAIN_EVERY if self._plain else DRAW_EVERY
        if self._quiet or now - self._drawn < every:
            return False
        self._drawn = now
        return True

    @contextlib.contextmanager
    def _lost_stream(self) -> Iterator[None]:
        """Go on in silence where nobody reads any more: that is no reason to lose the picture."""
        try:
            yield
        except OSError:
            self._quiet, self._live = True, None

    def _show(self, step: "Step") -> None:
        if self._plain:
            words = [self._summary(step), *([named_losses(step.losses)] if self._verbose else [])]
            self._write("  ".join(words))
        else:
            self._draw(step)

    def close(self) -> None:
        """Leave the last state of the bar on the terminal."""
        if self._live is not None:
            with self._lost_stream():
                self._live.stop()
            self._live = None

    def _summary(self, step: "Step") -> str:
        """Return how far the run is, and how long it will still take."""
        done, planned = self.pace.work(step)
        share = min(100, int(100 * done / planned)) if planned else 0
        words = [f"{self.pace.prefix()}{share} %", self.pace.summary(step, speed=self._verbose)]
        if self._verbose:
            words.append(self._where(step))
        return "  ".join(filter(None, words))

    def _where(self, step: "Step") -> str:
        planned = f"/{step.limit}" if step.left is None else ""
        return (
            f"scale {step.scale}/{step.scales}  {step.width} x {step.height} px"
            f"  evaluation {step.iteration}{planned}"
        )

    def _draw(self, step: "Step") -> None:
        losses = [named_losses(step.losses)] if self._verbose else []
        if not self._draw_lines([self._summary(step), *losses], *self.pace.work(step)):
            self._show(step)

    def _draw_lines(self, lines: Sequence[str], done: float, planned: float) -> bool:
        """Draw lines, the first one bright, and a bar below them; return whether this terminal can."""
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        if self._live is None:
            console = Console(file=self._stream)
            if console.is_dumb_terminal or not console.is_terminal:
                self._plain = True
                return False
            self._live = Live(
                console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        bar = ProgressBar(total=planned, completed=done)
        rest = [Text(line, style="dim") for line in lines[1:]]
        self._live.update(Group(Text(lines[0]), *rest, bar), refresh=True)
        return True

    def _write(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


Shown = TypeVar("Shown", bound=Progress)


class LogHandler(logging.Handler):
    """Passes the library's log on to `Progress.say`."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record as one line."""
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        self._progress.say(f"impasto: {prefix}{record.getMessage()}")


@contextlib.contextmanager
def show_progress(*, quiet: bool, verbose: bool = False) -> Iterator[Progress]:
    """Show progress and the library's log on standard error while the block runs."""
    with shown(Progress, quiet=quiet, verbose=verbose) as progress:
        yield progress


@contextlib.contextmanager
def shown(kind: type[Shown], *, quiet: bool, verbose: bool = False) -> Iterator[Shown]:
    """Do what `show_progress` does, with a progress of this kind."""
    # Where programs read JSON lines, there is nothing between them.
    quiet = quiet or json_lines.stream is sys.stderr
    progress = kind(sys.stderr, quiet=quiet, verbose=verbose)
    logger, handler = logging.getLogger("impasto"), LogHandler(progress)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose else NOTE)
    try:
        yield progress
    finally:
        progress.close()
        logger.removeHandler(handler)
        logger.setLevel(before)
