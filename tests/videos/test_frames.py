"""How a frame begins and ends: start, weight of the temporal loss, evaluations, budget."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from impasto.config.settings import Settings
from impasto.errors import Stop
from impasto.image.picture import Picture
from impasto.videos import frames
from impasto.videos.clip import Frame
from impasto.videos.flow import Motion
from impasto.videos.folder import FilmFolder, Scene
from impasto.videos.frames import Shot, Watch, beginning, later_settings
from impasto.videos.painter import View
from impasto.videos.video import FilmSettings

SIZE = 8, 6


class Drafts:
    """A painter whose drafts are white."""

    def draft(self, view, settings):
        return torch.ones(1, 3, SIZE[1], SIZE[0])


def run_of(tmp_path: Path, **film) -> SimpleNamespace:
    folder = FilmFolder(tmp_path, "key")
    folder.keep(0, torch.linspace(0, 1, 3 * 48).view(1, 3, 6, 8), Scene(0, 500.0, 80.0))
    return SimpleNamespace(
        folder=folder, painter=Drafts(), film=FilmSettings(**film), settings=Settings(), size=SIZE, count=10,
        scene=folder.state.scenes[-1], deadline=None,
    )  # fmt: skip


def shot(index: int) -> Shot:
    picture = Picture.of(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    return Shot(Frame(index, index, np.zeros((6, 8, 3), np.uint8)), View(picture, ()), SIZE)


def moved(trust: float) -> Motion:
    flow = np.zeros((6, 8, 2), np.float32)
    flow[..., 0] = 1
    return Motion(flow, np.full((6, 8), trust, np.float32), cut=False)


def test_a_trusted_frame_begins_with_the_last_one_moved(tmp_path) -> None:
    run = run_of(tmp_path)
    start, loss = beginning(run, shot(0), shot(1), moved(1.0), Settings())
    last = run.folder.canvas(0)
    assert torch.allclose(start[..., :-2], last[..., 1:-1], atol=1e-5)
    assert start is loss.target
    assert float(loss.guide.min()) == 1


def test_what_is_not_trusted_begins_with_a_draft(tmp_path) -> None:
    start, loss = beginning(run_of(tmp_path), shot(0), shot(1), moved(0.25), Settings())
    assert torch.allclose(start, 0.25 * loss.target + 0.75, atol=1e-6)


@pytest.mark.parametrize(("steadiness", "weight"), [(0.5, 10.0), (1.0, 100.0), (0.25, 10**0.5)])
def test_the_weight_is_a_share_of_the_total_loss_of_the_scene(tmp_path, steadiness, weight) -> None:
    """2 % of 500 for a mean square of one level, at 0.5."""
    _, loss = beginning(run_of(tmp_path, steadiness=steadiness), shot(0), shot(1), moved(1.0), Settings())
    assert loss.weight == pytest.approx(weight)


def test_later_frames_have_one_scale_and_a_third_of_the_evaluations(tmp_path) -> None:
    settings = later_settings(run_of(tmp_path), shot(1).view)
    assert (settings.size, settings.min_size, settings.evaluations) == (8, 8, 20)
    run = run_of(tmp_path)
    run.settings = Settings(evaluations=5)
    assert later_settings(run, shot(1).view).evaluations == frames.FEWEST


def step(iteration: int, style: float) -> SimpleNamespace:
    return SimpleNamespace(iteration=iteration, losses={"style": style})


def test_a_frame_ends_where_its_style_is_reached(tmp_path) -> None:
    watch = Watch(run_of(tmp_path), 1)
    watch(step(1, 0.0))  # no goal
    watch.goal, watch.least = 84.0, 3
    watch(step(2, 10.0))  # too early
    watch(step(3, 85.0))
    with pytest.raises(Stop) as stop:
        watch(step(4, 84.0))
    assert stop.value.reason == frames.STYLE_REACHED


def test_a_frame_has_its_share_of_the_budget(tmp_path, monkeypatch) -> None:
    now = 100.0
    monkeypatch.setattr(frames.time, "perf_counter", lambda: now)
    run = run_of(tmp_path)
    run.deadline = 150.0
    watch = Watch(run, 5)  # five frames are left: ten seconds each
    now = 109.9
    watch(step(1, 1.0))
    now = 110.1
    with pytest.raises(Stop, match="budget"):
        watch(step(2, 1.0))
