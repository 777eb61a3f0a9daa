"""The same pixels again, from a recipe and the inputs alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import impasto
from config.test_recipe import recipe as made_up
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.errors import InputError, Stop, WeightsError
from impasto.image.xmp import read_recipe
from impasto.losses.loss import Penalty
from impasto.transfer import reproduce as module
from impasto.transfer.reproduce import differences, find_inputs, reproduce
from impasto.transfer.stylize import stylize
from reference.soak import soak
from transfer.repeating import repeated

SUFFIXES = (".png", ".tif", ".jpg", ".webp", ".avif")
ONE = Runtime(device="cpu", threads=1)


@pytest.fixture
def inputs(tmp_path, monkeypatch) -> Path:
    """A current folder that holds a photo and two paintings, with other files about."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, size in (("photo.png", (160, 120)), ("a.png", (90, 130)), ("b.png", (128, 128))):
        small = random.integers(0, 256, (7, 9, 3), dtype=np.uint8)
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(name)
    Path("notes.txt").write_text("hello")
    Path("folder").mkdir()
    return tmp_path


def stop_at(count: int):
    def on_step(step) -> None:
        if step.evaluations == count:
            raise Stop("interrupted")

    return on_step


CASES = {
    "default": (Settings(size=64, min_size=32, evaluations=6), {}),
    "paper": (Settings.preset("paper", size=64, evaluations=8), {}),
    "partial windows": (Settings(size=61, min_size=30, evaluations=4, padding="reflect"), {}),
    "adam": (Settings(size=64, solver="adam", evaluations=5, init="noise", seed=4), {}),
    "every term": (
        Settings(
            size=64,
            min_size=32,
            evaluations=4,
            style_statistic="sliced",
            seed=3,
            laplacian=0.1,
            self_similarity=0.1,
            grain=0.1,
            total_variation=1e5,
            total_variation_form="anisotropic",
        ),
        {},
    ),
    "matched": (Settings(size=64, min_size=32, evaluations=4, init="matched", init_amount=0.6), {}),
    "instant": (Settings(size=160, quality="instant", evaluations=2), {}),
    "a draft first": (Settings(size=288, min_size=144, evaluations=2, init="matched"), {}),
    "wasserstein": (Settings(size=64, evaluations=4, style_statistic="wasserstein"), {}),
    "neighbours": (Settings(size=192, min_size=96, evaluations=3, style_statistic="neighbours"), {}),
    "tolerance": (Settings(size=64, min_size=32, evaluations=90, tolerance=0.9), {}),
    "interrupted": (Settings(size=64, min_size=32, evaluations=6), {"on_step": stop_at(9)}),
    "interrupted at once": (Settings(size=64, min_size=32), {"on_step": stop_at(1)}),
    "interrupted paper": (Settings.preset("paper", size=64), {"on_step": stop_at(5)}),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_same_pixels_from_every_format(case, inputs, narrow) -> None:
    settings, options = CASES[case]
    styles = [Style("a.png", 0.3), Style("b.png", 0.1)]  # do not add up to one
    first = stylize("photo.png", styles, settings, runtime=ONE, weights=narrow, **options)
    assert first.recipe.reproducible
    assert first.recipe.pixels_sha256 == first.picture.pixels_sha256()
    if case == "tolerance":
        assert [scale.reason for scale in first.recipe.scales] == ["tolerance"] * 2
        assert all(scale.evaluations < 90 for scale in first.recipe.scales)
    if case == "interrupted":
        assert [scale.evaluations for scale in first.recipe.scales] == [6, 3]
    for suffix in SUFFIXES:
        made = first.save(f"out{suffix}")
        recipe = read_recipe(made)
        made.unlink()  # only the recipe and the inputs are left
        again = reproduce(recipe, weights=narrow)
        assert again.recipe.pixels_sha256 == first.recipe.pixels_sha256
        assert np.array_equal(again.picture.array(16), first.picture.array(16))
        assert [s.evaluations for s in again.recipe.scales] == [s.evaluations for s in first.recipe.scales]


@pytest.mark.slow
@pytest.mark.parametrize("case", ["default", soak("paper"), soak("interrupted"), "interrupted paper"])
def test_the_same_pixels_with_the_real_network(case, inputs, weights) -> None:
    settings = {
        "default": Settings(size=128, min_size=64, quality="draft"),
        "paper": Settings.preset("paper", size=128, evaluations=100),
        "interrupted": Settings(size=128, min_size=64),
        "interrupted paper": Settings.preset("paper", size=128),
    }[case]
    options = {"on_step": stop_at(75)} if case.startswith("interrupted") else {}
    first = stylize("photo.png", "a.png", settings, **options)  # auto: bf16 where it is fast
    recipes = set()
    for suffix in (".png", ".tif", ".jpg"):
        made = first.save(f"out{suffix}")
        recipes.add(read_recipe(made).to_json())
        made.unlink()
    (recipe,) = recipes  # all files hold the same, so one run stands for the three
    Path("out.json").write_text(recipe)
    assert reproduce("out.json").recipe.pixels_sha256 == first.recipe.pixels_sha256


def test_the_hash_sees_every_pixel(inputs, narrow) -> None:
    settings = Settings(size=128, min_size=64, evaluations=3, init="noise")
    one, other = (
        stylize("photo.png", "a.png", settings.changed(seed=seed), runtime=ONE, weights=narrow)
        for seed in (0, 1)
    )
    assert one.recipe.pixels_sha256 != other.recipe.pixels_sha256


def quick(narrow, content="photo.png", style="a.png", **options):
    settings = Settings(size=48, evaluations=2)
    return stylize(content, style, settings, runtime=ONE, weights=narrow, **options)


def test_runs_of_the_callers_own_are_not_reproducible(inputs, narrow) -> None:
    def stop(step) -> None:
        raise Stop

    for options, words in (
        ({"on_step": stop}, "stopped by a callback"),
        ({"extra_losses": [Penalty(lambda f: f["image"].mean())]}, "used a loss"),
    ):
        result = quick(narrow, **options)
        assert not result.recipe.reproducible
        with pytest.raises(InputError, match=words):
            reproduce(result.recipe, weights=narrow)


def test_the_recipe_names_no_folder(inputs, narrow) -> None:
    result = quick(narrow, content=str(inputs / "photo.png"), style=inputs / "a.png")
    made = result.save(inputs / "out.png")
    assert str(inputs) not in result.recipe.to_json()
    assert str(inputs).encode() not in made.read_bytes()
    assert (result.recipe.content.name, result.recipe.styles[0].name) == ("photo.png", "a.png")
    assert len(result.recipe.model_dump_json().encode()) < 32_000


# --- finding the inputs --------------------------------------------------------------------------


def test_inputs_are_found_by_hash_whatever_they_are_called(inputs, narrow) -> None:
    result = quick(narrow)
    (inputs / "elsewhere").mkdir()
    Path("photo.png").rename("elsewhere/IMG_1.png")
    Path("a.png").rename("elsewhere/IMG_2.jpg")
    Path("photo.png").write_bytes(Path("b.png").read_bytes())  # the name alone proves nothing
    with pytest.raises(InputError, match=r"input not found: photo\.png \(160 x 120 px, SHA-256 "):
        reproduce(result.recipe, weights=narrow)
    again = reproduce(result.recipe, folders=["elsewhere"], weights=narrow)
    assert again.recipe.pixels_sha256 == result.recipe.pixels_sha256
    assert again.recipe.content.name == "IMG_1.png"


def test_an_input_beyond_a_limit_says_so(inputs, narrow, monkeypatch) -> None:
    result = quick(narrow)
    monkeypatch.setenv("IMPASTO_MAX_SIDE", "8")
    with pytest.raises(InputError, match=r"photo\.png has .* more than 8 on one side"):
        reproduce(result.recipe, weights=narrow)


def test_inputs_are_found_beside_the_picture(inputs, narrow, monkeypatch) -> None:
    quick(narrow).save("out.png")
    (inputs / "folder" / "deep").mkdir()
    monkeypatch.chdir(inputs / "folder" / "deep")
    assert reproduce("../../out.png", weights=narrow).picture.width == 48


def test_inputs_that_were_no_files_are_found_by_their_pixels(inputs, narrow) -> None:
    pixels = np.asarray(Image.open("photo.png")).copy()
    result = quick(narrow, content=pixels)
    assert result.recipe.content.kind == "pixels"
    assert reproduce(result.recipe, weights=narrow).recipe.pixels_sha256 == result.recipe.pixels_sha256
    Path("photo.png").unlink()
    with pytest.raises(InputError, match="input not found"):
        reproduce(result.recipe, weights=narrow)


def test_a_start_from_a_picture_is_found_too(inputs, narrow) -> None:
    settings = Settings(size=48, evaluations=2, init="picture")
    result = stylize("photo.png", "a.png", settings, runtime=ONE, weights=narrow, init_picture="b.png")
    assert reproduce(result.recipe, weights=narrow).recipe.pixels_sha256 == result.recipe.pixels_sha256
    Path("b.png").unlink()
    with pytest.raises(InputError, match=r"input not found: b\.png"):
        reproduce(result.recipe, weights=narrow)


def test_names_of_a_recipe_cannot_lead_out_of_the_folders(inputs) -> None:
    photo = made_up().content.changed(name="../../etc/passwd")
    with pytest.raises(InputError, match="input not found"):
        find_inputs(made_up(content=photo), [inputs / "folder"])


def test_two_styles_are_wanted_where_there_were_two(inputs, narrow) -> None:
    result = quick(narrow)
    with pytest.raises(InputError, match="wants 1 styles, not 2"):
        repeated(result.recipe, "photo.png", "a.png", "b.png", weights=narrow)


# --- weights, machines, versions -----------------------------------------------------------------


def test_other_weights_are_refused(inputs, narrow) -> None:
    result = quick(narrow)
    others = {name: tensor * 1.001 for name, tensor in narrow.items()}
    with pytest.raises(WeightsError, match="made with other weights"):
        reproduce(result.recipe, weights=others)


def test_weights_that_are_not_here_are_named(inputs, narrow) -> None:
    recipe = quick(narrow).recipe.changed(weights="vgg19-mine")
    with pytest.raises(WeightsError, match="made with the weights vgg19-mine: "):
        reproduce(recipe)


def test_another_machine_or_version_is_said(inputs, narrow) -> None:
    recipe = quick(narrow).recipe
    assert differences(recipe) == []
    other = recipe.changed(impasto="0.0.1", machine={**recipe.machine, "torch": "1.0"})
    said = differences(other)
    assert len(said) == 2
    assert said[0] == f"impasto was 0.0.1, is {impasto.__version__}"
    assert said[1].startswith("torch was 1.0, is ")


def test_a_device_that_is_not_here_gives_way(inputs, narrow, caplog) -> None:
    recipe = quick(narrow).recipe
    gone = recipe.changed(runtime=recipe.runtime.changed(device="cuda:77"))
    again = reproduce(gone, weights=narrow)
    assert again.recipe.runtime.device in ("cpu", "mps", "cuda:0")
    assert "no cuda:77 here" in caplog.text


def test_a_picture_without_a_recipe(inputs) -> None:
    with pytest.raises(InputError, match=r"photo\.png holds no recipe"):
        reproduce("photo.png")
    with pytest.raises(InputError, match=r"missing\.png does not exist"):
        reproduce("missing.png")


def test_a_large_folder_is_not_read_for_ever(inputs, monkeypatch) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 3)
    for number in range(20):
        Path(f"folder/{number}.png").write_bytes(b"x")
    seen = list(module._candidates(made_up().content, [inputs / "folder"], 1000))
    assert len(seen) == 1 + 3
