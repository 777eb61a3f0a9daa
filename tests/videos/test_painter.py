"""Single frames: what is kept between them, drafts, colors."""

import numpy as np
import pytest
import torch

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.image.picture import Picture
from impasto.inputs.color_matching import Palette
from impasto.videos.painter import FramePainter, View, at_one_scale, finished, in_colors_of
from videos.clips import panned, scene

RUNTIME = Runtime(threads=1)


@pytest.fixture
def view() -> View:
    return View(Picture.of(panned(1)[0]), (Style(Picture.of(scene(40, 40, seed=3))),))


def test_the_statistics_of_paintings_are_made_once(view, narrow) -> None:
    painter = FramePainter(RUNTIME, narrow)
    settings = Settings(size=64, evaluations=1)
    first, _ = painter.paint(view, settings)
    made = painter._shared.made
    other = View(Picture.of(panned(2)[1]), view.styles)
    painter.paint(other, settings)
    again, _ = painter.paint(view, settings)
    assert torch.equal(first, again)
    grown = painter._shared.made - made
    assert grown < 2 * made  # photos and their features, but neither network nor paintings


def test_a_draft_has_the_size_of_the_frame_and_no_steps(view, narrow) -> None:
    painter, steps = FramePainter(RUNTIME, narrow), []
    painter.on_step = steps.append
    big = View(Picture.of(np.kron(panned(1)[0], np.ones((3, 3, 1), np.uint8))), view.styles)
    draft = painter.draft(big, Settings(size=160))
    assert draft.shape == (1, 3, 120, 160)
    assert not steps
    painter.paint(view, Settings(size=32, evaluations=2))
    assert [step.evaluations for step in steps] == [1, 2]


def test_a_start_is_painted_at_one_scale(view, narrow) -> None:
    start = torch.rand((1, 3, 48, 64), generator=torch.Generator().manual_seed(0))
    canvas, result = FramePainter(RUNTIME, narrow).paint(
        view, Settings(size=64, min_size=32, evaluations=1, init="noise"), start=start
    )
    assert len(result.recipe.scales) == 1
    assert result.recipe.settings.init == "picture"
    assert torch.allclose(canvas, start)


def test_matched_colors_are_those_of_one_frame_for_all(view) -> None:
    red = Picture.of(np.broadcast_to(np.uint8([200, 60, 40]), (48, 64, 3)) + panned(1)[0] // 8)
    settings = Settings(color="match")
    (moved,) = in_colors_of(red, view.styles, settings)
    mean = Palette.of(moved.picture.tensor()).mean()
    assert abs(mean - Palette.of(red.tensor()).mean()).max() < 0.02
    assert in_colors_of(red, view.styles, Settings()) == view.styles


def test_luminance_gives_a_finished_frame_its_own_colors(view) -> None:
    gray = View(Picture.of(np.full((48, 64, 3), 90, np.uint8)), view.styles)
    canvas = torch.rand(1, 3, 48, 64)
    spread = np.ptp(finished(canvas, gray, Settings(color="luminance")).array(8), axis=-1)
    assert spread.max() <= 2
    assert (
        finished(canvas, gray, Settings()).array(16) == finished(canvas, gray, Settings()).array(16)
    ).all()


def test_one_scale_is_the_finest() -> None:
    photo = Picture.of(np.zeros((300, 700, 3), np.uint8))
    settings = at_one_scale(Settings(), photo)
    assert (settings.size, settings.min_size) == (512, 512)
