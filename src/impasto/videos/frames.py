"""The frames of a film, painted one after the other. Read `paint_frames` and `paint_key`, then `paint_again`.

Each frame begins with the last one, moved along the optical flow, and what comes into view with a quick draft
of the frame itself; a temporal loss keeps it near. It ends where it is as near to the paintings as the first
frame of its scene. With `every` above 1 only key frames are painted; those between are made of them. With
`two_pass` a second pass goes back from the end: each frame begins with the next one, moved, and elsewhere
with what the first pass made of it.
Sources: Ruder, Dosovitskiy and Brox 2016 (warped start, temporal loss with trust, several passes).
Departures: the flow needs no trained network, what comes into view begins painted, a frame ends by its style
loss, and there is one pass back.
"""

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from impasto.config.settings import Settings
from impasto.errors import FINISHED, End, Stop
from impasto.transfer.result import Result, Step
from impasto.videos.clip import Frame
from impasto.videos.film_file import Target
from impasto.videos.flow import Motion, motion, warped
from impasto.videos.folder import FilmFolder, Scene
from impasto.videos.painter import FramePainter, View, at_one_scale, settled
from impasto.videos.temporal import TemporalLoss
from impasto.videos.video import FilmOptions, FilmSettings, Painted
from impasto.videos.views import Views

LATER = 3  # the first frame of a scene has so many times the evaluations of the others
FEWEST = 4  # evaluations planned for a frame, at least
DRAFTED = 4  # a frame that is drafted in part has so many times fewer evaluations at least
REACHED = 1.05  # times the style loss of the scene's first frame, at which a frame is done
STYLE_REACHED = "style reached"  # why it ended then
HOLD = 0.02  # of the total loss of the first frame: what a mean square of one level costs at steadiness 0.5
DECADES = 2.0  # powers of ten between the steadiness 0 and 1
BLOCK = 16  # frames of the clip in memory in the second pass; for each it is decoded from its beginning
FEWER = 2  # times fewer evaluations in the second pass
UNSEEN = 0.002  # share of a frame without trust, from which it is drafted


@dataclass
class FilmRun:
    """All that belongs to one film; `size` is that of its frames in px, `deadline` the end of its budget."""

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
    def count(self) -> int:
        """How many frames it has, as far as the clip tells."""
        return self.views.clip.count

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


@dataclass
class Shot:
    """A frame with its view, and its pixels at the size of the film."""

    frame: Frame
    view: View
    size: tuple[int, int]

    @property
    def index(self) -> int:
        """Its number."""
        return self.frame.index

    @cached_property
    def pixels(self) -> npt.NDArray[np.float32]:
        """The photo, (H, W, 3) in [0, 1]."""
        result: npt.NDArray[np.float32] = _array(self.view.photo.tensor(*self.size))
        return result


def paint_frames(run: FilmRun) -> str:
    """Paint all frames that are not there; return why it ended early, empty if it did not."""
    before: Shot | None = None
    try:
        for group in groups(run):
            done = run.folder.state.done
            for shot in group:
                if shot.index < done:
                    run.report(Painted(shot.index, run.count, "kept"))
            if group[-1].index >= done:
                paint_group(run, before, group)
            before = group[-1]
    except Stop as stop:
        return stop.reason
    return ""


def groups(run: FilmRun) -> Iterator[list[Shot]]:
    """Yield the frames in groups that end with a key frame: the first, then every n-th, and the last."""
    group: list[Shot] = []
    for frame, view in run.views:
        group.append(Shot(frame, view, run.size))
        if frame.index % run.film.every == 0:
            yield group
            group = []
    if group:
        yield group


def paint_group(run: FilmRun, before: Shot | None, group: Sequence[Shot]) -> None:
    """Paint the key frame at the end of a group, then make the frames between; keep them in their order.

    Raises:
        Stop: The film was stopped. The frame at work is not kept.
    """
    key, done = group[-1], run.folder.state.done
    canvas, scene, painted = paint_key(run, before, key)
    for shot in group[:-1]:
        if shot.index >= done:
            assert before is not None  # the first frame is a key frame
            began = time.perf_counter()
            made, trusted = between(run, before, shot, key, canvas)
            run.folder.keep(shot.index, made)
            spent = time.perf_counter() - began
            run.report(Painted(shot.index, run.count, "between", 0, spent, trusted))
    run.folder.keep(key.index, canvas, scene, run.painter.runtime.model_dump())
    run.report(painted)


def paint_key(run: FilmRun, before: Shot | None, shot: Shot) -> tuple[Tensor, Scene | None, Painted]:
    """Return a frame painted, (1, 3, H, W), the scene that begins with it if one does, and how it went.

    `before` is the last key frame.

    Raises:
        Stop: It was stopped on its way.
    """
    began, scene = time.perf_counter(), None
    left = max(1, (run.count - shot.index) // run.film.every)
    watch = Watch(run, left + (run.count / 2 if run.film.two_pass else 0))  # one again costs half as much
    moved = None if before is None or not run.film.steadiness else motion(before.pixels, shot.pixels)
    if before is None or moved is None or moved.cut:
        kind, trusted = "scene", 0.0
        canvas, result = run.painter.paint(shot.view, run.settings, on_step=watch)
        losses = result.recipe.losses
        if before is None:
            run.painter.runtime = settled(result.recipe.runtime, run.settings)
        scene = Scene(shot.index, losses["total"], losses.get("style", 0.0))
    else:
        kind, trusted = "last", float(moved.trust.mean())
        settings = later_settings(run, shot.view)
        start, loss = beginning(run, before, shot, moved, settings)
        watch.goal = goal_of(run.scene, settings)
        watch.least = 1 if start is loss.target else math.ceil(settings.evaluations_per_scale / DRAFTED)
        canvas, result = run.painter.paint(shot.view, settings, start=start, losses=[loss], on_step=watch)
    if not ended(result):
        raise Stop(result.stopped)
    spent = time.perf_counter() - began
    evaluations = len(result.history)
    return canvas, scene, Painted(shot.index, run.count, kind, evaluations, spent, trusted, result.stopped)


def ended(result: Result) -> bool:
    """Whether a frame is done, and not stopped on its way."""
    return result.stopped in (*FINISHED, End.OUT_OF_MEMORY, End.NOT_FINITE, STYLE_REACHED)


def later_settings(run: FilmRun, view: View) -> Settings:
    """Return the settings of a frame that is not the first of its scene."""
    evaluations = later_evaluations(run.settings)
    return at_one_scale(run.settings, view.photo).changed(evaluations=evaluations, quality="good")


def later_evaluations(settings: Settings) -> int:
    """Return the evaluations of a frame that is not the first of its scene, at most."""
    return max(FEWEST, round(settings.evaluations_per_scale / LATER))


def beginning(
    run: FilmRun, before: Shot, shot: Shot, moved: Motion, settings: Settings
) -> tuple[Tensor, TemporalLoss]:
    """Return the first canvas of a frame, (1, 3, H, W), and the loss that keeps it near the last one."""
    loss = held(run, run.folder.canvas(before.index), moved, run.scene)
    return with_draft(run, shot.view, settings, loss.target, _tensor(moved.trust[..., None])), loss


def held(run: FilmRun, canvas: Tensor, moved: Motion, scene: Scene) -> TemporalLoss:
    """Return the loss that keeps a frame near the canvas of another, (1, 3, H, W), moved to it."""
    target = _tensor(np.clip(warped(_array(canvas), moved.flow, cubic=True), 0, 1))
    weight = HOLD * scene.total * 10 ** (DECADES * (run.film.steadiness - 0.5))
    return TemporalLoss.of(weight, target, _tensor(moved.trust[..., None]))


def goal_of(scene: Scene, settings: Settings) -> float:
    """Return the style loss at which a frame of a scene is done; 0 where there is none."""
    return 0.0 if settings.compares_neighbors else REACHED * scene.style


def between(run: FilmRun, first: Shot, shot: Shot, last: Shot, canvas: Tensor) -> tuple[Tensor, float]:
    """Return a frame between two key frames, (1, 3, H, W), and how much of it could be followed.

    Both are moved to it and mixed, the nearer one and what is trusted more. `canvas` is the last one's.
    """
    mixed: Any = 0.0
    weights: Any = 1e-6
    known: Any = 0.0
    for key, painted in ((first, run.folder.canvas(first.index)), (last, canvas)):
        moved = motion(key.pixels, shot.pixels)
        seen = moved.trust[..., None] * (not moved.cut)
        weight = seen / abs(key.index - shot.index)
        mixed = mixed + weight * warped(_array(painted), moved.flow, cubic=True)
        weights, known = weights + weight, np.maximum(known, seen)
    target, trust = _tensor(np.clip(mixed / weights, 0, 1)), _tensor(np.asarray(known))
    settings = later_settings(run, shot.view)
    return with_draft(run, shot.view, settings, target, trust), float(trust.mean())


def with_draft(run: FilmRun, view: View, settings: Settings, target: Tensor, trust: Tensor) -> Tensor:
    """Return a warped frame (1, 3, H, W) with a draft of the frame itself where it is not trusted."""
    if float(1 - trust.mean()) <= UNSEEN:
        return target
    return torch.lerp(run.painter.draft(view, settings), target, trust)


# --- the second pass -----------------------------------------------------------------------------


def paint_again(run: FilmRun) -> str:
    """Paint all frames again that are not, from the last to the first; return why it ended early, or nothing.

    The first pass must be over. The last frame of each scene stays as it is.
    """
    count = run.folder.state.done
    begun = run.folder.state.left_again(count)
    firsts = {scene.first for scene in run.folder.state.scenes}
    for index in range(count - 1, begun - 1, -1):
        run.report(Painted(index, count, "kept"))
    after: Shot | None = None
    try:
        for shot in backwards(run, min(begun + 1, count)):
            if shot.index < begun:
                paint_before(run, shot, None if after is None or after.index in firsts else after)
            after = shot
    except Stop as stop:
        return stop.reason
    return ""


def backwards(run: FilmRun, end: int) -> Iterator[Shot]:
    """Yield the frames before number `end`, the last one first."""
    for first in range((end - 1) // BLOCK * BLOCK, -1, -BLOCK):
        views = itertools.islice(run.views, first, min(first + BLOCK, end))
        block = [Shot(frame, view, run.size) for frame, view in views]
        while block:
            yield block.pop()


def paint_before(run: FilmRun, shot: Shot, after: Shot | None) -> None:
    """Paint a frame again, near the one after it, and keep it; without one it stays as it is.

    Raises:
        Stop: The film was stopped. The frame at work is not kept.
    """
    began, canvas, state = time.perf_counter(), run.folder.canvas(shot.index), run.folder.state
    painted = Painted(shot.index, state.done, "kept")
    moved = None if after is None else motion(after.pixels, shot.pixels)
    if after is not None and moved is not None and not moved.cut:
        scene = max((one for one in state.scenes if one.first <= shot.index), key=lambda one: one.first)
        loss = held(run, run.folder.final(after.index), moved, scene)
        settings = later_settings(run, shot.view).changed(evaluations=again_evaluations(run))
        watch = Watch(run, shot.index + 1)
        watch.goal = goal_of(scene, settings)
        trust = _tensor(moved.trust[..., None])
        start = torch.lerp(canvas, loss.target, trust)
        canvas, result = run.painter.paint(shot.view, settings, start=start, losses=[loss], on_step=watch)
        if not ended(result):
            raise Stop(result.stopped)
        spent, trusted = time.perf_counter() - began, float(moved.trust.mean())
        evaluations = len(result.history)
        painted = Painted(shot.index, state.done, "next", evaluations, spent, trusted, result.stopped)
    run.folder.keep_again(shot.index, canvas)
    run.report(painted)


def again_evaluations(run: FilmRun) -> int:
    """Return the evaluations of a frame in the second pass, at most."""
    return max(1, later_evaluations(run.settings) // FEWER)


# --- both passes ---------------------------------------------------------------------------------


class Watch:
    """Ends a frame when its style loss is low enough (`goal`), or its share of the time is over.

    `least` are the evaluations that it has before that, `left` the frames not painted yet, this one included.
    """

    def __init__(self, run: FilmRun, left: float) -> None:
        self.goal, self.least = 0.0, 1
        self._until: float | None = None
        if run.deadline is not None:
            now = time.perf_counter()
            share = LATER / (left + LATER - 1) if not run.folder.state.scenes else 1 / left
            self._until = now + max(0.0, run.deadline - now) * share

    def __call__(self, step: Step) -> None:
        """Look at one evaluation."""
        if self.goal and step.iteration >= self.least and step.losses.get("style", 0.0) <= self.goal:
            raise Stop(STYLE_REACHED)
        if self._until is not None and time.perf_counter() > self._until:
            raise Stop(End.BUDGET)


def _array(image: Tensor) -> npt.NDArray[Any]:
    """Return (H, W, C) of (1, C, H, W)."""
    return image[0].permute(1, 2, 0).contiguous().numpy()


def _tensor(pixels: npt.NDArray[Any]) -> Tensor:
    """Return (1, C, H, W) of (H, W, C)."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32))
