"""Runs of quality `instant`, and runs that begin with its draft."""

import numpy as np
import pytest
import torch

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Mask, Style
from impasto.errors import Stop
from impasto.image.picture import Picture
from impasto.inputs.canvas import resize
from impasto.inputs.enlarge import enlarged
from impasto.inputs.open import open_inputs
from impasto.inputs.start_colors import StartColors
from impasto.transfer.estimate import estimate
from impasto.transfer.run import Run
from impasto.transfer.stylize import next_canvas, stylize
from transfer.repeating import repeated

ONE = Runtime(device="cpu", threads=1, precision="fp32")
INSTANT = Settings(quality="instant", size=160, evaluations=2)


def picture(seed: int, height: int = 150, width: int = 200) -> np.ndarray:
    cells = np.random.default_rng(seed).integers(0, 255, (height // 10, width // 10, 3), np.uint8)
    return np.kron(cells, np.ones((10, 10, 1), np.uint8))


PHOTO, PAINTING, OTHER = picture(1), picture(2, 120, 90), picture(3)
HALF = np.zeros(PHOTO.shape[:2], np.uint8)
HALF[:, :100] = 255


@pytest.fixture
def run(narrow):
    def make(content=PHOTO, style=PAINTING, settings=INSTANT, **options):
        options = {"weights": narrow, "runtime": ONE, "checkpoint": False} | options
        return stylize(content, style, settings, **options)

    return make


@pytest.mark.slow
def test_the_result_has_the_size_and_the_recipe_the_draft(run) -> None:
    steps, sizes = [], []

    def on_step(step) -> None:
        steps.append(step)
        shown = step.picture(), step.picture(500), step.picture(60), step.preview(150)
        sizes.append([(one.width, one.height) for one in shown])

    result = run(settings=INSTANT.changed(size=400, evaluations=None), on_step=on_step)
    assert (result.picture.width, result.picture.height) == (400, 300)
    found = [(scale.width, scale.height, scale.evaluations) for scale in result.recipe.scales]
    assert found == [(128, 96, 3), (256, 192, 12)]
    assert sizes == [[(400, 300), (400, 300), (60, 45), (150, 113)]] * 15
    assert [(step.width, step.limit) for step in steps[2:4]] == [(128, 3), (256, 12)]
    assert {step.planned for step in steps} == {15}
    assert steps[-1].work[0] == steps[-1].work[1] == 3 * 128 * 96 + 12 * 256 * 192
    assert result.recipe.settings.quality == "instant"


def test_the_result_is_the_last_canvas_enlarged_by_the_photo(run) -> None:
    canvases = []
    result = run(
        settings=INSTANT.changed(size=400), on_step=lambda step: canvases.append(step.kept()._canvas)
    )
    wanted = [enlarged(canvas, Picture.of(PHOTO), 400, 300) for canvas in canvases[-2:]]
    found = result.picture.tensor()
    assert min(float((found - one).abs().max()) for one in wanted) < 1e-6


def test_each_scale_begins_with_the_enlarged_canvas_of_the_one_before(narrow) -> None:
    inputs = open_inputs(PHOTO, PAINTING, INSTANT, None)
    run = Run(inputs, INSTANT, ONE, narrow)
    first = inputs.at(run.schedule[0], "cpu")
    assert torch.equal(next_canvas(run, first), StartColors(inputs, draft=True).apply(first.content))
    run.canvas, run.photo, run.state.scale = torch.rand(1, 3, 96, 128), first.content, 1
    found = next_canvas(run, inputs.at(run.schedule[1], "cpu"))
    assert torch.equal(found, enlarged(run.canvas, inputs.content, 160, 120))


def test_the_start_is_in_the_paintings_colors_unless_another_is_chosen(run) -> None:
    matched = run(settings=INSTANT.changed(init="matched")).recipe.pixels_sha256
    assert run().recipe.pixels_sha256 == matched
    starts = {}
    for name, changes in (("none", {"init_amount": 0.0}), ("noise", {"init": "noise"}), ("all", {})):
        seen = []
        run(
            settings=INSTANT.changed(**changes),
            on_step=lambda step, seen=seen: seen.append(step.kept()._canvas),
        )
        starts[name] = seen[0]
    photo = Picture.of(PHOTO).tensor(128, 96)
    assert torch.equal(starts["none"], photo)
    assert not torch.allclose(starts["all"], photo, atol=0.02)
    assert (starts["noise"] - photo).abs().mean() > 0.1


@pytest.mark.parametrize(
    "changes", [{}, {"quality": "good", "init": "matched", "size": 280, "min_size": 140}]
)
def test_a_draft_that_was_stopped_is_enlarged_and_repeated(run, narrow, changes) -> None:
    settings = INSTANT.changed(**changes)

    def stop(step) -> None:
        if step.evaluations == 2:
            raise Stop("interrupted")

    first = run(settings=settings, on_step=stop)
    assert first.picture.width == settings.size
    again = repeated(first.recipe, PHOTO, PAINTING, weights=narrow)
    assert again.recipe.pixels_sha256 == first.recipe.pixels_sha256


def test_a_run_that_begins_with_a_draft_shows_pictures_of_the_size_of_its_result(run) -> None:
    sizes = []
    settings = Settings(init="matched", size=280, min_size=140, evaluations=2)
    result = run(settings=settings, on_step=lambda step: sizes.append(step.picture().width))
    assert [scale.width for scale in result.recipe.scales] == [128, 140, 280]
    assert sizes == [280] * 6
    sizes.clear()
    run(settings=settings.changed(init="content"), on_step=lambda step: sizes.append(step.picture().width))
    assert sizes == [140, 140, 280, 280]


def test_without_a_say_of_the_photo_it_is_not_seen_in_the_enlargement(run) -> None:
    canvases = []
    settings = INSTANT.changed(size=400, content_weight=0.0, init="noise")
    result = run(settings=settings, on_step=lambda step: canvases.append(step.kept()._canvas))
    wanted = [resize(canvas, 300, 400) for canvas in canvases[-2:]]
    assert min(float((result.picture.tensor() - one).abs().max()) for one in wanted) < 1e-6


def test_what_is_protected_is_the_photo_at_the_size_of_the_result(run) -> None:
    for settings in (INSTANT.changed(size=200), INSTANT.changed(size=200, color="luminance")):
        found = run(settings=settings, protect=Mask(HALF)).picture.array(8)
        assert np.array_equal(found[:, :95], PHOTO[:, :95])
        assert not np.array_equal(found[:, 105:], PHOTO[:, 105:])


@pytest.mark.parametrize(
    ("style", "changes"),
    [
        ([Style(PAINTING, mask=Mask(HALF)), Style(OTHER, mask="rest")], {}),
        ([PAINTING, OTHER], {"color": "histogram", "stroke": 2.0}),
        (PAINTING, {"style_statistic": "sliced", "solver": "adam"}),
        (PAINTING, {"style_statistic": "neighbours", "grain": 1.0}),
        (np.full((80, 90, 3), (200, 40, 90), np.uint8), {}),  # one color
        (PAINTING[..., :1].repeat(3, 2), {}),  # gray
        (PAINTING, {"init_noise": 0.3, "bounded": False}),
    ],
)
def test_whatever_the_settings_it_is_a_picture_and_the_same_again(run, narrow, style, changes) -> None:
    first = run(style=style, settings=INSTANT.changed(size=300, **changes))
    assert (first.picture.width, first.picture.height) == (300, 225)
    assert first.picture.tensor().std() > 0.01
    styles = style if isinstance(style, list) else [style]
    again = repeated(first.recipe, PHOTO, *styles, weights=narrow)
    assert again.recipe.pixels_sha256 == first.recipe.pixels_sha256


def test_gray_pictures_stay_gray(run) -> None:
    gray = [one[..., :1].repeat(3, 2) for one in (PHOTO, PAINTING)]
    found = run(*gray, settings=INSTANT.changed(size=300)).picture.array(8)
    assert (found == found[..., :1]).all()


@pytest.mark.parametrize(
    "photo", [picture(5, 60, 80), picture(6, 20, 300), np.full((90, 120, 3), 128, np.uint8)]
)
def test_small_thin_and_even_photos(run, photo) -> None:
    result = run(content=photo, settings=INSTANT.changed(size=None))
    assert result.picture.array(8).shape == photo.shape
    larger = run(content=photo, settings=INSTANT.changed(size=450))
    assert larger.picture.width == 450


def test_the_estimate_counts_the_evaluations_of_the_draft_and_the_memory_of_the_result(narrow) -> None:
    found = {}
    for size in (256, 2048):
        settings = Settings(quality="instant", size=size)
        inputs = open_inputs(PHOTO, PAINTING, settings, None)
        found[size] = estimate(inputs, settings, ONE, narrow)
        assert found[size].evaluations == 15
        assert [scale.width for scale in found[size].scales] == [128, 256]
    more = found[2048].memory - found[256].memory
    assert more == 24 * 2048 * 1536
