"""A film from clip to file: planned, estimated, painted (in `frames`) and written."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from impasto._version import __version__
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.inputs.open import StyleLike
from impasto.inputs.pictures import record_mask
from impasto.losses.build import layers_of
from impasto.network.weights.load import identity, load
from impasto.system.torch_defaults import torch_defaults
from impasto.transfer.estimate import estimate
from impasto.videos.clip import Frame, at_depth
from impasto.videos.film_file import check_target_of, target_of, write_target
from impasto.videos.folder import FilmFolder, key_of
from impasto.videos.frames import FilmRun, again_evaluations, later_evaluations, paint_again, paint_frames
from impasto.videos.painter import DRAFT_EVALUATIONS, FramePainter, finished
from impasto.videos.video import Film, FilmOptions, FilmSettings
from impasto.videos.views import open_clip, open_views

PNG_BYTES = 6  # of a painted pixel of 16 bits, at most


@dataclass(frozen=True)
class FilmEstimate:
    """What the `frames` of a film that are not painted yet take: seconds, bytes on disk, bytes of memory.

    With a second pass they count twice.
    """

    frames: int
    seconds: float
    disk: int
    memory: int


@torch_defaults()
def plan_film(
    clip: str | os.PathLike[str],
    style: StyleLike | Sequence[StyleLike],
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    film: FilmSettings | None = None,
    **options: Unpack[FilmOptions],
) -> FilmRun:
    """Open and check everything of a film before anything is painted; see `video`."""
    settings, film, path = Settings.of(settings), FilmSettings.of(film), Path(output)
    runtime, overwrite = Runtime.of(options.get("runtime")), options.get("overwrite", False)
    source = open_clip(clip, fps=film.fps, refuse_hdr=film.hdr == "refuse").between(film.from_, film.to)
    views = open_views(source, style, options.get("protect"), film)
    view, given = views.first(), options.get("weights")
    inputs = view.inputs(settings)
    size, protected = inputs.size(settings), record_mask(inputs.protect)
    weights = load(settings.weights if given is None else given)
    inputs.scales(settings, layers_of(settings, (), inputs))
    facts = {
        "impasto": __version__.split(".")[0],
        "clip": source.sha256(),
        "range": [film.from_, film.to],
        "styles": [item.model_dump() for item in inputs.records()],
        "protect": None if protected is None else protected.model_dump(),
        "masks": [moving.sha256() for _, moving in views.followed.values()],
        "settings": settings.model_dump(),
        "film": film.model_dump(include={"steadiness", "every", "hdr", "fps"}),
        "runtime": runtime.model_dump(include={"precision", "device"}),
        "weights": identity(weights),
    }
    target = target_of(path, source, film, size.width, size.height)
    folder = FilmFolder(path.with_name(f"{path.name}.frames"), key_of(facts), overwrite=overwrite)
    kept = folder.state.runtime  # the same bytes after an interruption
    check_target_of(target, source, overwrite=overwrite or folder.state.done > 0)
    if settings.color in ("match", "histogram"):
        views, settings = views.colored(settings), settings.changed(color="style")
    return FilmRun(
        views,
        settings,
        film,
        folder,
        FramePainter(runtime if kept is None else Runtime(**kept), weights),
        (size.width, size.height),
        target,
        options,
    )


def make_film(run: FilmRun) -> Film:
    """Paint what is not painted yet, and write the film."""
    began = time.perf_counter()
    stopped = paint_film(run)
    return encode_film(run, stopped, time.perf_counter() - began)


@torch_defaults()
def paint_film(run: FilmRun) -> str:
    """Paint the frames that are not there; return why that ended early, empty if it did not."""
    runtime, options = Runtime.of(run.options.get("runtime")), run.options
    run.painter.on_step, run.painter.on_part = options.get("on_step"), options.get("on_part")
    run.deadline = None if runtime.budget is None else time.perf_counter() + runtime.budget
    run.folder.make()
    stopped = paint_frames(run)
    return paint_again(run) if run.film.two_pass and not stopped else stopped


@torch_defaults()
def encode_film(run: FilmRun, stopped: str = "", seconds: float = 0.0) -> Film:
    """Write the frames that are there; `stopped` and `seconds` are those of painting them."""
    done, clip = run.folder.state.done, run.views.clip
    path = write_target(run.target, clip, final_frames(run), about(run), overwrite=True) if done else None
    scenes = tuple(scene.first for scene in run.folder.state.scenes)
    return Film(path, done, scenes, run.folder.path, seconds, stopped, run.notes, tuple(run.painted))


@torch_defaults()
def estimate_film(run: FilmRun) -> FilmEstimate:
    """Measure a few evaluations, and return what the frames that are not there yet will take."""
    view, runtime = run.views.first(), Runtime.of(run.options.get("runtime"))
    count, state = run.views.clip.count, run.folder.state
    frames = max(0, count - state.done)
    again = 0 if not run.film.two_pass else state.left_again(count)
    width, height = run.size
    if not frames and not again:
        return FilmEstimate(0, 0.0, 0, 0)
    first = estimate(view.inputs(run.settings), run.settings, runtime, run.painter.weights)
    evaluation = first.per_megapixel * width * height / 1e6
    between = evaluation * (1 + DRAFT_EVALUATIONS / 4)  # a draft, targets, flow
    later = between + evaluation * later_evaluations(run.settings) if run.film.steadiness else first.seconds
    each = between + (later - between) / run.film.every
    seconds = first.seconds * (not state.scenes) + each * max(0, frames - 1)
    seconds += evaluation * (again_evaluations(run) + 1) * again
    if runtime.budget is not None:
        seconds = min(seconds, runtime.budget)
    disk = (frames + again) * width * height * PNG_BYTES
    return FilmEstimate(frames + again, seconds, disk, first.memory)


def final_frames(run: FilmRun) -> Iterator[Frame]:
    """Yield the painted frames as they are written: recolored, protected, with their times."""
    deep = 16 if run.views.clip.bits > 8 else 8
    for frame, view in run.views:
        if frame.index >= run.folder.state.done:
            return
        canvas = (run.folder.final if run.film.two_pass else run.folder.canvas)(frame.index)
        picture = finished(canvas, view, run.settings)
        yield replace(frame, pixels=at_depth(picture.array(16), deep))


def about(run: FilmRun) -> Mapping[str, Any]:
    """Return what the comment of a film says about it."""
    usual = Settings().model_dump()
    changed = {key: value for key, value in run.settings.model_dump().items() if value != usual[key]}
    return {
        "impasto": __version__,
        "styles": [style.picture.name for style in run.views.styles],
        "settings": changed,
        "film": run.film.model_dump(exclude_none=True),
    }
