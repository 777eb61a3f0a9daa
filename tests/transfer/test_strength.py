"""The strength: the style's weight times its square, with every statistic, solver, preset and look."""

import json
from pathlib import Path
from typing import get_args

import pytest
import torch

from impasto.cli import settings_sources
from impasto.cli.flags import Flags
from impasto.config.recipe import Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings, StyleStatistic
from impasto.config.settings_file import LOOKS
from impasto.errors import SettingsError
from impasto.image.xmp import read_recipe
from impasto.inputs.pictures import ScaledInputs
from impasto.losses import neighbors
from impasto.losses.build import build_losses
from impasto.losses.objective import Objective, prepare
from impasto.transfer.grids.grid import grid
from impasto.transfer.reproduce import reproduce
from impasto.transfer.stylize import stylize
from transfer.test_stylize import PAINTING, PHOTO

ONE = Runtime(device="cpu", threads=1, precision="fp32")
SMALL = {"size": 48, "min_size": 24, "evaluations": 4}
STATISTICS = get_args(StyleStatistic)


@pytest.fixture
def run(narrow, monkeypatch):
    monkeypatch.setattr(neighbors, "SMALLEST", 16)

    def make(**changes):
        settings = Settings(**SMALL | changes)
        return stylize(PHOTO, PAINTING, settings, runtime=ONE, weights=narrow)

    return make


@pytest.mark.parametrize("strength", [0.1, 0.7, 1, 2, 10])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_loss_and_gradient_of_the_style_are_scaled_by_the_square(
    narrow, random_image, statistic, strength
) -> None:
    network = prepare(narrow, pooling="max", padding="zero", precision="fp32", device="cpu")
    photo, painting, canvas = (random_image(48, 48, seed) for seed in range(3))
    pictures = ScaledInputs(photo, (painting,), torch.ones(1), None)
    settings = Settings(style_statistic=statistic, style_weight=30.0)
    start = photo if statistic == "neighbours" else None
    plain, strong = (
        build_losses(network, pictures, settings.changed(strength=value), start=start)
        for value in (1, strength)
    )
    styles = [name for name in (loss.name for loss in plain) if name.startswith("style.")]
    assert styles
    for one, other in zip(plain, strong, strict=True):
        factor = strength**2 if one.name in styles else 1
        assert (other.name, other.weight) == (one.name, pytest.approx(one.weight * factor, rel=1e-15))

    def gradient(losses):
        objective = Objective(network, [loss for loss in losses if loss.name in styles])
        found = objective(canvas)
        return found.loss * objective.scale, found.gradient * objective.scale

    (loss, slope), (strong_loss, strong_slope) = gradient(plain), gradient(strong)
    assert strong_loss == pytest.approx(loss * strength**2, rel=1e-5)
    assert torch.allclose(strong_slope, slope * strength**2, rtol=1e-3, atol=float(slope.abs().max()) * 1e-5)


OTHERS = [
    {"style_statistic": "neighbours"}, {"quality": "instant", "evaluations": None, "size": 160},
    {"solver": "scipy"}, {"solver": "adam"}, {"convention": "gatys", "style_statistic": "gram"},
]  # fmt: skip


@pytest.mark.parametrize("changes", [{}, *OTHERS], ids=str)
def test_it_is_a_style_weight(run, changes) -> None:
    """Strength 1 changes no byte, and 2 is four times the weight, to the byte."""
    plain = run(**changes)
    assert run(**changes, strength=1).recipe.pixels_sha256 == plain.recipe.pixels_sha256
    strong, heavy = run(**changes, strength=2, style_weight=25), run(**changes)
    assert strong.recipe.pixels_sha256 == heavy.recipe.pixels_sha256 == plain.recipe.pixels_sha256
    heavy = run(**changes, style_weight=400)
    strong = run(**changes, strength=2)
    assert strong.recipe.pixels_sha256 == heavy.recipe.pixels_sha256 != plain.recipe.pixels_sha256
    assert strong.recipe.losses == heavy.recipe.losses


def test_it_composes_with_a_look_a_preset_and_a_weight(tmp_path) -> None:
    def gathered(**flags):
        return settings_sources.gather(Flags.of(flags), {})

    for name in LOOKS:
        found = gathered(preset=name, strength="1.5")
        look = Settings.preset(name)
        assert found.settings == look.changed(strength=1.5)
        assert found.settings.effective_style_weight == 2.25 * look.style_weight
        assert look.effective_style_weight == look.style_weight
    both = gathered(strength="3", style_weight="7", content_weight="2")
    assert (both.settings.strength, both.settings.effective_style_weight) == (3.0, 63.0)
    assert {name: both.origins[name] for name in ("strength", "style_weight")} == {
        "strength": "--strength", "style_weight": "--style-weight"
    }  # fmt: skip
    file = tmp_path / "x.toml"
    file.write_text("strength = 2.0\n")
    over = gathered(settings=str(file), style_weight="70").settings
    assert over.effective_style_weight == 280
    paper = Settings.preset("paper", style_weight=9.0, strength=2.0)
    assert (paper.style_weight, paper.effective_style_weight) == (9.0, 36.0)


@pytest.mark.parametrize("value", [0, -1, 0.09, 10.5, None, "strong", float("inf"), float("nan")])
def test_what_is_no_strength_is_refused(value) -> None:
    with pytest.raises(SettingsError, match="strength"):
        Settings(strength=value)


def test_the_losses_of_a_grids_cells_compare(narrow) -> None:
    """They are without the strength, as without the weights."""
    cells = grid(
        PHOTO, PAINTING, {"strength": [1, 2]}, Settings(size=48, evaluations=1, init="content"),
        runtime=ONE, weights=narrow,
    ).cells  # fmt: skip
    one, two = (cell.unweighted["style"] for cell in cells)
    assert one == pytest.approx(two)  # of the same canvas


# --- files of earlier versions -------------------------------------------------------------------


def earlier(recipe: Recipe, weights: list[float], strength: float | None) -> str:
    """Return the JSON of a recipe as it was when a strength set weights by measurement."""
    values = json.loads(recipe.to_json())
    values["settings"]["strength"] = strength
    stretches = [
        {"scale": 1, "after": number, "content_weight": 1.0, "style_weight": weight, "ratio": None}
        for number, weight in enumerate(weights)
    ]
    values["calibration"] = {"goal": 0.5, "stretches": stretches} if weights else None
    return json.dumps(values)


def test_a_picture_of_an_earlier_version_is_made_again(run, narrow, tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.png").write_bytes(PHOTO)
    Path("painting.png").write_bytes(PAINTING)
    settings = Settings(**SMALL, style_weight=31.5)
    made = stylize("photo.png", "painting.png", settings, runtime=ONE, weights=narrow)
    Path("plain.json").write_text(earlier(made.recipe, [], None))
    assert read_recipe("plain.json") == made.recipe
    assert caplog.messages == []
    Path("strong.json").write_text(
        earlier(made.recipe.changed(settings=Settings(**SMALL)), [100.0, 31.5], 2.0)
    )
    assert reproduce("strong.json", weights=narrow).recipe.pixels_sha256 == made.recipe.pixels_sha256
    assert caplog.messages == [
        "strong.json: the strength of an earlier version changed the style weight during the run; the last "
        "one, 31.5, is used"
    ]
    found = settings_sources.gather(Flags.of({"settings": "strong.json"}), {})
    assert (found.settings.strength, found.settings.style_weight) == (1.0, 31.5)
