"""`video`: a clip painted frame by frame. Read `paint_frames` and `paint_frame`.

Each frame begins with the last one, moved along the optical flow, and what comes into view with a quick draft
of the frame itself; a temporal loss keeps it near. It ends where it is as near to the paintings as the first
frame of its scene. Sources: Ruder, Dosovitskiy and Brox 2016 (warped start, temporal loss with trust).
Departures: the flow needs no trained network, what comes into view begins painted, a frame ends by its style
loss.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from impasto._version import __version__
from impasto.config.film import FilmSettings
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import FINISHED, End, Stop
from impasto.inputs.open import MaskLike, StyleLike
from impasto.inputs.pictures import record_mask
from impasto.losses.build import layers_of
from impasto.network.weights.load import WeightsLike, identity, load
from impasto.system.torch_defaults import torch_defaults
from impasto.transfer.estimate import estimate
from impasto.transfer.result import Result, Step
from impasto.videos.clip import Frame, at_depth
from impasto.videos.flow import Motion, motion, warped
from impasto.videos.folder import FilmFolder, Scene, key_of
from impasto.videos.painter import (
    DRAFT_EVALUATIONS,
    FramePainter,
    View,
    at_one_scale,
    finished,
    painted_weights,
)
from impasto.videos.temporal import TemporalLoss
from impasto.videos.views import Views, open_clip, open_views
from impasto.videos.writing import Target, check_target_of, target_of, write_target

LATER = 3  # the first frame of a scene has so many times the evaluations of the others
FEWEST = 4  # evaluations of a frame
REACHED = 1.05  # times the style loss of the scene's first frame, at which a frame is done
STYLE_REACHED = "style reached"  # why it ended then
HOLD = 0.02  # of the total loss of the first frame: what a mean square of one level costs at steadiness 0.5
DECADES = 2.0  # powers of ten between the steadiness 0 and 1
PNG_BYTES = 6  # of a painted pixel of 16 bits, at most
UNSEEN = 0.002  # share of a frame without trust, from which it is drafted


class FilmOptions(TypedDict, total=False):
    """Further arguments of `video`.

    `on_step` is called after every evaluation, `on_part` after every tile, `on_frame` with each `Painted`;
    `raise impasto.Stop` in one ends the film: what is painted is written.
    """

    runtime: Runtime | None
    weights: WeightsLike | None
    protect: MaskLike | None
    on_step: Callable[[Step], None] | None
    on_part: Callable[[], None] | None
    on_frame: "Callable[[Painted], None] | None"
    overwrite: bool


@dataclass(frozen=True)
class Painted:
    """One frame of a film: its number from 0, of about `count`, and how it was made.

    `start` is `scene` for the first frame of a scene, `last` for one that begins with the last frame, and
    `kept` for one that was there already.
    """

    index: int
    count: int
    start: str
    evaluations: int = 0
    seconds: float = 0.0
    trusted: float = 0.0
    stopped: str = ""


@dataclass(frozen=True)
class Film:
    """What `video` returns.

    Attributes:
        path: The film; None where it was stopped before its first frame.
        frames: How many it has.
        scenes: The first frame of each scene.
        folder: Where its frames are kept, from which it goes on or is encoded again.
        seconds: What painting them took, this time.
        stopped: Why it ended early; empty if it did not.
        notes: What was changed in reading and writing, a sentence each.
        painted: One for each frame.
    """

    path: Path | None
    frames: int
    scenes: tuple[int, ...]
    folder: Path
    seconds: float
    stopped: str = ""
    notes: tuple[str, ...] = ()
    painted: tuple[Painted, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class FilmEstimate:
    """What the `frames` of a film that are not painted yet take: seconds, bytes on disk, bytes of memory."""

    frames: int
    seconds: float
    disk: int
    memory: int


@dataclass
class FilmRun:
    """All that belongs to the painting of one film."""

    views: Views
    settings: Settings
    film: FilmSettings
    folder: FilmFolder
    painter: FramePainter
    size: tuple[int, int]
    target: Target
    options: FilmOptions
    deadline: float | None = None
    painted: list[Painted] = field(default_factory=list)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is changed in reading and writing, a sentence each."""
        return (*self.views.clip.notes, *self.target.notes)

    @property
    def scene(self) -> Scene:
        """The present scene."""
        return self.folder.state.scenes[-1]

    def report(self, painted: Painted) -> None:
        """Note a frame and pass it on."""
        self.painted.append(painted)
        on_frame = self.options.get("on_frame")
        if on_frame is not None:
            on_frame(painted)


def video(
    clip: str | os.PathLike[str],
    style: StyleLike | Sequence[StyleLike],
    output: str | os.PathLike[str],
    settings: Settings | None = None,
    film: FilmSettings | None = None,
    **options: Unpack[FilmOptions],
) -> Film:
    """Paint a clip in the style of paintings, so that strokes hold still from frame to frame.

    Finished frames lie in a folder beside the film, NAME.frames: the same call goes on after an interruption,
    and encodes again what is painted.

    Args:
        clip: A video, an animated GIF or WebP, or a folder of numbered pictures.
        style: The painting or paintings, as for `stylize`; a mask may be a clip as well.
        output: The film: .mp4, .mov, .mkv, .webm, .gif, .webp, or a folder for numbered pictures.
        settings: How the frames are to look, as for a picture; the defaults if None.
        film: What is special to films; the defaults if None.
        options: See `FilmOptions`.

    Raises:
        InputError: The clip or a picture cannot be read, a setting does not fit.
        OutputError: The film is there already or cannot be written; what is painted remains.
        ResourceError: PyAV or OpenCV is missing.
        WeightsError: The network's weights are not there.
    """
    return make_film(plan_film(clip, style, output, settings, film, **options))


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
    check_target_of(target, source, overwrite=overwrite or folder.state.done > 0)
    if settings.color in ("match", "histogram"):
        views, settings = views.colored(settings), settings.changed(color="style")
    return FilmRun(
        views,
        settings,
        film,
        folder,
        FramePainter(runtime, weights),
        (size.width, size.height),
        target,
        options,
    )


@torch_defaults()
def make_film(run: FilmRun) -> Film:
    """Paint what is not painted yet, and write the film."""
    runtime, options = Runtime.of(run.options.get("runtime")), run.options
    run.painter.on_step, run.painter.on_part = options.get("on_step"), options.get("on_part")
    began = time.perf_counter()
    run.deadline = None if runtime.budget is None else began + runtime.budget
    run.folder.make()
    stopped = paint_frames(run)
    seconds, done, clip = time.perf_counter() - began, run.folder.state.done, run.views.clip
    path = write_target(run.target, clip, final_frames(run), about(run), overwrite=True) if done else None
    scenes = tuple(scene.first for scene in run.folder.state.scenes)
    return Film(path, done, scenes, run.folder.path, seconds, stopped, run.notes, tuple(run.painted))


@torch_defaults()
def estimate_film(run: FilmRun) -> FilmEstimate:
    """Measure a few evaluations, and return what the frames that are not there yet will take."""
    view, runtime = run.views.first(), Runtime.of(run.options.get("runtime"))
    frames = max(0, run.views.clip.count - run.folder.state.done)
    width, height = run.size
    if not frames:
        return FilmEstimate(0, 0.0, 0, 0)
    first = estimate(view.inputs(run.settings), run.settings, runtime, run.painter.weights)
    later = later_evaluations(run.settings) + 1 + DRAFT_EVALUATIONS / 4
    each = first.per_megapixel * width * height / 1e6 * later
    if not run.film.steadiness:
        each = first.seconds
    seconds = first.seconds * (not run.folder.state.scenes) + each * max(0, frames - 1)
    if runtime.budget is not None:
        seconds = min(seconds, runtime.budget)
    return FilmEstimate(frames, seconds, frames * width * height * PNG_BYTES, first.memory)


def paint_frames(run: FilmRun) -> str:
    """Paint all frames that are not there; return why it ended early, empty if it did not."""
    before: npt.NDArray[Any] | None = None
    done, count = run.folder.state.done, run.views.clip.count
    try:
        for frame, view in run.views:
            if frame.index < done - 1:
                run.report(Painted(frame.index, count, "kept"))
                continue
            pixels = at_size(view, run.size)
            if frame.index == done - 1:
                run.report(Painted(frame.index, count, "kept"))
            else:
                moved = None if before is None or not run.film.steadiness else motion(before, pixels)
                run.report(paint_frame(run, frame, view, moved))
            before = pixels
    except Stop as stop:
        return stop.reason
    return ""


def paint_frame(run: FilmRun, frame: Frame, view: View, moved: Motion | None) -> Painted:
    """Paint one frame and keep it; `moved` is how it comes from the last one.

    Raises:
        Stop: It was stopped, and is not kept.
    """
    began, count = time.perf_counter(), run.views.clip.count
    watch = Watch(run, frame)
    if moved is None or moved.cut:
        canvas, result = run.painter.paint(view, run.settings, on_step=watch)
        kind, trusted, losses = "scene", 0.0, result.recipe.losses
        scene = Scene(frame.index, losses["total"], losses.get("style", 0.0), painted_weights(result))
    else:
        kind, trusted, scene = "last", float(moved.trust.mean()), None
        settings = later_settings(run, view)
        start, loss = beginning(run, frame, view, moved, settings)
        watch.goal = REACHED * run.scene.style if settings.style_statistic != "neighbours" else 0.0
        canvas, result = run.painter.paint(view, settings, start=start, losses=[loss], on_step=watch)
    if not ended(result):
        raise Stop(result.stopped)
    run.folder.keep(frame.index, canvas, scene)
    spent = time.perf_counter() - began
    return Painted(frame.index, count, kind, len(result.history), spent, trusted, result.stopped)


def ended(result: Result) -> bool:
    """Whether a frame is done, and not stopped on its way."""
    return result.stopped in (*FINISHED, End.OUT_OF_MEMORY, End.NOT_FINITE, STYLE_REACHED)


def later_settings(run: FilmRun, view: View) -> Settings:
    """Return the settings of a frame that is not the first of its scene."""
    settings = run.settings.changed(**run.scene.changes)
    evaluations = later_evaluations(settings)
    return at_one_scale(settings, view.photo).changed(evaluations=evaluations, quality="good")


def later_evaluations(settings: Settings) -> int:
    """Return the evaluations of a frame that is not the first of its scene, at most."""
    return max(FEWEST, round(settings.evaluations_per_scale / LATER))


def beginning(
    run: FilmRun, frame: Frame, view: View, moved: Motion, settings: Settings
) -> tuple[Tensor, TemporalLoss]:
    """Return the first canvas of a frame, (1, 3, H, W), and the loss that keeps it near the last one."""
    last = run.folder.canvas(frame.index - 1)[0].permute(1, 2, 0).numpy()
    target = _tensor(np.clip(warped(last, moved.flow, cubic=True), 0, 1))
    trust = _tensor(moved.trust[..., None])
    start = target
    if float(1 - trust.mean()) > UNSEEN:
        start = torch.lerp(run.painter.draft(view, settings), target, trust)
    weight = HOLD * run.scene.total * 10 ** (DECADES * (run.film.steadiness - 0.5))
    return start, TemporalLoss.of(weight, target, trust)


class Watch:
    """Ends a frame when its style loss is low enough (`goal`), or its share of the time is over."""

    def __init__(self, run: FilmRun, frame: Frame) -> None:
        self.goal = 0.0
        self._until: float | None = None
        if run.deadline is not None:
            now, frames = time.perf_counter(), max(1, run.views.clip.count - frame.index)
            share = LATER / (frames + LATER - 1) if not run.folder.state.scenes else 1 / frames
            self._until = now + max(0.0, run.deadline - now) * share

    def __call__(self, step: Step) -> None:
        """Look at one evaluation."""
        if self.goal and step.losses.get("style", 0.0) <= self.goal:
            raise Stop(STYLE_REACHED)
        if self._until is not None and time.perf_counter() > self._until:
            raise Stop(End.BUDGET)


def at_size(view: View, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return the photo of a view at the size of the film, (H, W, 3) in [0, 1]."""
    pixels: npt.NDArray[np.float32] = view.photo.tensor(*size)[0].permute(1, 2, 0).contiguous().numpy()
    return pixels


def final_frames(run: FilmRun) -> Iterator[Frame]:
    """Yield the painted frames as they are written: recolored, protected, with their times."""
    deep = 16 if run.views.clip.bits > 8 else 8
    for frame, view in run.views:
        if frame.index >= run.folder.state.done:
            return
        picture = finished(run.folder.canvas(frame.index), view, run.settings)
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


def _tensor(pixels: npt.NDArray[Any]) -> Tensor:
    """Return (1, C, H, W) of (H, W, C)."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32))
