"""Films in the painting process: a clip is painted frame by frame, and goes on where it was."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.errors import InputError, Stop
from impasto.image.metadata import FileInfo
from impasto.image.picture import Picture
from impasto.image.pixels import Pixels
from impasto.studio.workers import plain
from impasto.studio.workers.clips import named
from impasto.system.lines import Message
from impasto.transfer.result import Step
from impasto.videos.film import encode_film, estimate_film, final_frames, paint_film, plan_film
from impasto.videos.frames import LATER, FilmRun
from impasto.videos.video import FilmSettings

FIRST, SECOND = ".mp4", ".mkv"  # the second where the first cannot hold the clip's sound
BETWEEN = 0.05  # of the work of a scene's first frame: one that is made of its neighbors
DRAFTED = 1.3  # times the work of a later frame, with its draft


def plan(
    request: Message,
    styles: Sequence[Style],
    protect: Picture | None,
    runtime: Runtime,
    weights: Mapping[str, Tensor] | None,
) -> FilmRun:
    """Return the film of a request, with what is painted of it already.

    Raises:
        InputError: It cannot be painted.
    """
    film, settings = request["film"], Settings(**request["settings"])
    source = Path(film["clip"])

    def planned(suffix: str) -> FilmRun:
        return plan_film(
            source, list(styles), Path(film["target"] + suffix), settings, FilmSettings(**film["settings"]),
            runtime=runtime, weights=weights, protect=protect, overwrite=True,
        )  # fmt: skip

    with named(source, film["name"]):
        try:
            return planned(FIRST)
        except InputError:
            return planned(SECOND)


def paint(run: FilmRun, name: str, on_step: Callable[[Step], None], between: Callable[[bool], None]) -> str:
    """Paint what is not painted yet; return why it ended early, empty if it did not.

    Args:
        run: The film.
        name: The client's name of the clip.
        on_step: Called after every evaluation but those of drafts.
        between: Called with False between two evaluations or frames, with True between two tiles; it may
            raise `Stop`, which ends the film for good, even if it would not be raised again: else a draft
            that ended early would be taken for a whole one.
    """
    ended: list[str] = []

    def check(on_part: bool) -> None:
        if ended:
            raise Stop(ended[0])
        try:
            between(on_part)
        except Stop as stop:
            ended.append(stop.reason)
            raise

    def stepped(step: Step) -> None:
        on_step(step)
        check(False)

    run.options["on_step"] = stepped
    run.options["on_part"] = lambda: check(True)
    run.options["on_frame"] = lambda painted: check(False)
    with named(run.views.clip.path, name):
        return paint_film(run)


def finish(run: FilmRun, request: Message, stopped: str) -> tuple[Message, Picture] | None:
    """Write the film and its first frame; return what is known of it, and that frame.

    None: nothing is painted.
    """
    film = encode_film(run, stopped)
    if film.path is None:
        return None
    pixels = next(final_frames(run)).pixels
    bits = 8 * pixels.itemsize
    space = "rgb16" if bits == 16 else "srgb"
    shown = plain.Plain("<result>", Pixels.of_array(pixels, space), FileInfo(bits))
    plain.write(Path(request["result"]), shown)
    height, width = pixels.shape[:2]
    clip = run.views.clip
    facts = {
        "frames": film.frames,
        "seconds": round(clip.seconds * film.frames / max(1, clip.count), 3),
        "suffix": film.path.suffix,
    }
    notes = "; ".join(film.notes) or None
    return {"width": width, "height": height, "losses": {}, "note": notes, "film": facts}, Picture.of(pixels)


def estimated(run: FilmRun) -> Message:
    """Return what the frames that are not painted yet take."""
    costs, (width, height) = estimate_film(run), run.size
    facts = {"frames": costs.frames, "seconds": round(costs.seconds, 1), "memory": costs.memory}
    return {"event": "estimate", **facts, "width": width, "height": height}


class Pace:
    """Where a film stands, and how long the rest takes by the pace so far.

    Args:
        run: The film.
        away: Returns the seconds in which others were painted.
    """

    def __init__(self, run: FilmRun, away: Callable[[], float]) -> None:
        self._run, self._away, self._began = run, away, time.monotonic()
        self._first = run.folder.state.done
        later = DRAFTED / LATER if run.film.steadiness else 1.0
        self._costs = [
            1.0 if not index else later if index % run.film.every == 0 else BETWEEN
            for index in range(max(1, run.count))
        ]

    def progress(self, step: Step) -> dict[str, Any]:
        """Return where the film is after an evaluation: what differs from a picture's progress."""
        done, costs = min(self._run.folder.state.done, len(self._costs) - 1), self._costs
        share = min(1.0, step.evaluations / max(1, step.planned))
        over = sum(costs[self._first : done]) + share * costs[done]
        left = sum(costs[done:]) - share * costs[done]
        seconds = max(0.0, time.monotonic() - self._began - self._away())
        return {
            "frame": done + 1,
            "frames": self._run.count,
            "loss": None,  # of frames that begin anew, there is no curve
            "content_loss": None,
            "style_loss": None,
            "seconds": round(seconds, 2),
            "remaining_seconds": round(seconds * left / over, 1) if over > 0 else None,
        }
