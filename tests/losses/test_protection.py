"""What is protected is the photo, to the last bit, whatever the solver does."""

import numpy as np
import pytest
import torch

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Mask, Style
from impasto.errors import InputError, Stop
from impasto.image.picture import Picture
from impasto.losses.loss import Penalty
from impasto.losses.objective import Objective, Protection
from impasto.messages import NOTE
from impasto.network.vgg import VGG19
from impasto.transfer.callbacks.time_budget import TimeBudget
from impasto.transfer.stylize import stylize
from transfer.repeating import repeated
from transfer.test_stylize import PAINTING, PHOTO

FP32 = Runtime(device="cpu", threads=1, precision="fp32")
PHOTO_PIXELS = Picture.of(PHOTO).array(8)
MASK = np.zeros((48, 64), np.uint8)
MASK[12:36, 8:40] = 255
INSIDE = MASK > 0


@pytest.fixture
def run(narrow):
    def make(settings=None, style=PAINTING, **options):
        values = {"size": 64, "min_size": 32, "evaluations": 4} | (settings or {})
        options = {"weights": narrow, "runtime": FP32, "protect": MASK} | options
        return stylize(PHOTO, style, Settings(**values), checkpoint=False, **options)

    return make


CASES = {
    "default": ({}, {}),
    "noise": ({"init": "noise"}, {}),
    "adam": ({"solver": "adam", "init": "noise"}, {}),
    "scipy": ({"solver": "scipy"}, {}),
    "unbounded": ({"bounded": False, "learning_rate": 0.1, "solver": "adam"}, {}),
    "tiles": ({}, {"runtime": FP32.changed(tile=32)}),
    "no feather": ({"protect_feather": 0}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_inside_it_is_the_photo_to_the_last_bit(case, run) -> None:
    settings, options = CASES[case]
    found = run(settings, **options).picture.array(8)
    assert np.array_equal(found[INSIDE], PHOTO_PIXELS[INSIDE])
    assert np.abs(found.astype(int) - PHOTO_PIXELS)[~INSIDE].max() > 10


def test_rest_protects_what_no_mask_covers(run, caplog) -> None:
    caplog.set_level(NOTE)
    style = Style(PAINTING, mask=255 - MASK)
    found = run(style=style, protect="rest")
    same = run(style=style, protect=MASK)
    assert found.recipe.pixels_sha256 == same.recipe.pixels_sha256
    assert np.array_equal(found.picture.array(8)[INSIDE], PHOTO_PIXELS[INSIDE])
    assert (found.recipe.protect.kind, found.recipe.protect.name) == ("rest", "rest")
    assert len(found.recipe.pictures) == 3  # photo, painting and its mask
    assert "25.0 % in none: stays the photo" in caplog.text


@pytest.mark.parametrize("mask", [None, "rest"])
def test_rest_wants_a_mask_of_every_style(mask, run) -> None:
    styles = [Style(PAINTING, mask=MASK), Style(PHOTO, mask=mask)]
    with pytest.raises(InputError, match="give every style a mask that is a picture"):
        run(style=styles, protect="rest")


def test_at_another_size_it_is_the_scaled_photo(run) -> None:
    found = run({"size": 32, "min_size": 32, "init": "noise"}).picture.array(8)
    scaled = Picture.from_tensor(Picture.of(PHOTO).tensor(32, 24)).array(8)
    assert np.array_equal(found[7:17, 5:19], scaled[7:17, 5:19])


def test_steps_show_what_would_be_saved_and_a_stop_saves_it(run) -> None:
    shown = []

    def on_step(step) -> None:
        shown.append(step.picture().array(8))
        if step.evaluations == 6:
            raise Stop("interrupted")

    result = run({"init": "noise"}, on_step=on_step)
    assert np.array_equal(shown[-1][INSIDE], PHOTO_PIXELS[INSIDE])
    assert np.array_equal(result.picture.array(8)[INSIDE], PHOTO_PIXELS[INSIDE])


def test_the_loss_is_that_of_what_is_seen_and_so_is_the_gradient(narrow) -> None:
    generator = torch.Generator().manual_seed(0)
    photo, canvas, weights = (torch.rand((1, 3, 4, 5), generator=generator).double() for _ in range(3))
    kept = torch.rand((1, 1, 4, 5), generator=generator).double()
    kept[..., 0] = 1

    loss = Penalty(lambda features: (weights * features["image"] ** 2).sum())
    seen = Objective(VGG19(narrow).double(), [loss], protection=Protection(photo, kept))
    found = seen(canvas)
    for index in np.ndindex(*canvas.shape):
        values = []
        for sign in (1, -1):
            moved = canvas.clone()
            moved[index] += sign * 1e-6
            values.append(seen(moved).loss)
        assert found.gradient[index].item() == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-8)
    assert torch.equal(seen.visible(canvas)[..., 0], photo[..., 0])
    assert seen.values(canvas) == found.parts


def test_without_protection_nothing_of_it_runs(run, monkeypatch) -> None:
    monkeypatch.setattr("impasto.losses.objective.Protection.apply", None)
    monkeypatch.setattr("impasto.inputs.masks.tensor", None)
    assert run(protect=None).stopped == "evaluations"


@pytest.mark.parametrize("how", ["stop", "budget"])
def test_a_run_that_ended_before_its_finest_scale_is_repeated(run, narrow, monkeypatch, how) -> None:
    """What the coarse scale leaves is the photo where it is kept, then as well: to the same pixels."""
    parts, steps = [], []

    def on_part() -> None:
        parts.append(len(steps))
        if how == "stop" and len(steps) == 4:
            raise Stop("interrupted")

    options = {"runtime": FP32.changed(tile=24)}
    if how == "budget":
        monkeypatch.setattr(TimeBudget, "is_over", lambda self, count: count == 4)
        monkeypatch.setattr(TimeBudget, "is_worth", lambda self, number: number == 0)
        options["runtime"] = options["runtime"].changed(budget=100.0)
    settings = {"init": "noise", "protect_feather": 8}
    first = run(settings, on_part=on_part, on_step=steps.append, **options)
    assert [scale.width for scale in first.recipe.scales] == [32]
    assert len(first.history) == 4
    assert first.recipe.reproducible
    again = repeated(first.recipe, PHOTO, PAINTING, protect=Mask(Picture.of(MASK)), weights=narrow)
    assert again.recipe.pixels_sha256 == first.recipe.pixels_sha256
