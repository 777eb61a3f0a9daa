"""Inputs: strokes, folders, layers of a style, and what the recipe keeps of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import impasto
from impasto.config.limits import Input
from impasto.config.recipe import Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Mask, Style
from impasto.errors import InputError, SettingsError
from impasto.image.xmp import read_recipe
from impasto.inputs import pictures as module
from impasto.inputs.open import Opener, open_inputs, open_styles
from impasto.inputs.pyramid import Scale
from impasto.transfer.reproduce import reproduce
from impasto.transfer.result import Step
from impasto.transfer.resume import resume
from impasto.transfer.stylize import stylize

FP32 = Runtime(device="cpu", threads=1, precision="fp32")
SMALL = Settings(size=48, min_size=24, evaluations=5)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """A photo, paintings alone and in a folder with other files, masks, a segmentation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    Path("folder").mkdir()
    for name, size in (
        ("photo.png", (64, 48)), ("a.png", (80, 60)), ("b.png", (50, 64)),
        ("folder/2.png", (50, 50)), ("folder/1.jpg", (60, 40)), ("folder/.hidden.png", (9, 9)),
    ):  # fmt: skip
        small = random.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(name)
    left = np.zeros((48, 64), np.uint8)
    left[:, :24] = 255
    Image.fromarray(left).save("left.png")
    Image.fromarray(255 - left).save("right.png")
    corner = np.zeros((48, 64), np.uint8)
    corner[:20, :30] = 255
    Image.fromarray(corner).save("corner.png")
    Image.fromarray(np.full((60, 80), 128, np.uint8)).save("half.png")
    Image.fromarray(np.where(left[..., None], [255, 0, 0], [0, 0, 255]).astype(np.uint8)).save("seg.png")
    return tmp_path


# --- strokes -------------------------------------------------------------------------------------


def test_a_stroke_is_the_paintings_long_edge_in_units_of_the_canvas() -> None:
    styles = [Style("a.png"), Style("b.png", stroke=0.5)]
    inputs = open_inputs("photo.png", styles, Settings(stroke=2), None)
    targets = inputs.at(Scale(48, 36), "cpu")
    assert [tuple(style.shape[-2:]) for style in targets.styles] == [(72, 96), (24, 19)]
    assert tuple(targets.content.shape[-2:]) == (36, 48)


def test_the_stroke_of_one_is_what_there_was() -> None:
    inputs = open_inputs("photo.png", "b.png", Settings(), None)
    (style,) = inputs.at(Scale(51, 38), "cpu").styles
    assert style.shape[-2:] == (51, 40)


def test_a_painting_too_small_for_its_layers_is_refused() -> None:
    settings = Settings(size=48, stroke=0.25)
    with pytest.raises(InputError) as caught:
        stylize("photo.png", "a.png", settings)
    said = str(caught.value)
    assert "style a.png (80 x 60 px) would be 12 x 9 px at stroke 0.25" in said
    assert "relu5_1 needs 16 px" in said
    smallest = int(said.split("--size ")[1].rstrip(")"))
    wanted = list(settings.style_layers)
    assert open_inputs("photo.png", "a.png", settings, None).scales(settings.changed(size=smallest), wanted)
    with pytest.raises(InputError):
        open_inputs("photo.png", "a.png", settings, None).scales(settings.changed(size=smallest - 1), wanted)
    fine = Style("a.png", layers="relu1_1")  # which needs 1 px
    assert open_inputs("photo.png", fine, settings, None).scales(settings, wanted)
    large = Settings(size=4000, stroke=10)
    with pytest.raises(InputError, match="smaller --stroke"):
        open_inputs("photo.png", "a.png", large, None).scales(large, wanted)


def test_a_painting_enlarged_much_is_said(narrow, caplog) -> None:
    settings = SMALL.changed(size=96, stroke=2, evaluations=1)
    stylize("photo.png", "a.png", settings, weights=narrow, runtime=FP32)
    assert "a.png (80 x 60 px) is enlarged 2.4 times" in caplog.text
    caplog.clear()
    stylize("photo.png", "a.png", SMALL.changed(evaluations=1), weights=narrow, runtime=FP32)
    assert caplog.text == ""


@pytest.mark.parametrize("convention", ["mean", "paper"])
def test_layers_before_the_rectification_stay_what_they_are_and_are_said_at_once(
    narrow, caplog, convention
) -> None:
    """Whoever has the names from a paper means the layers after it; recipes keep the names as typed."""
    settings = SMALL.changed(evaluations=1, init="noise", convention=convention, content_layers="conv4_2")
    style = Style("a.png", layers="conv1_1,relu2_1")
    result = stylize("photo.png", style, settings, weights=narrow, runtime=FP32)
    (said,) = [record.getMessage() for record in caplog.records]
    assert "conv1_1, conv4_2: compared before the rectification" in said
    assert "is relu1_1, relu4_2" in said
    assert result.recipe.settings.content_layers == {"conv4_2": 1.0}
    assert {"content.conv4_2", "style.conv1_1"} <= set(result.recipe.losses)
    rectified = stylize(
        "photo.png", style, settings.changed(content_layers="relu4_2"), weights=narrow, runtime=FP32
    )
    assert rectified.recipe.losses["content.relu4_2"] != result.recipe.losses["content.conv4_2"]


def test_a_long_painting_has_strokes_as_large_as_a_piece_of_it() -> None:
    """A scroll of 12:1 as the network sees it; a third of it, fitted by its long edge, is the same."""
    wide = np.asarray(Image.open("a.png").resize((1440, 120)))
    inputs = [open_inputs("photo.png", array, Settings(), None) for array in (wide, wide[:, :480])]
    scroll, piece = (one.at(Scale(96, 72), "cpu").styles[0] for one in inputs)
    assert scroll.shape == (1, 3, 24, 288)
    assert piece.shape == (1, 3, 24, 96)
    np.testing.assert_allclose(scroll[..., :90], piece[..., :90], atol=2e-3)
    assert inputs[0].memory_bytes(Scale(96, 72)) == inputs[0].content.nbytes + wide.nbytes
    seen = open_inputs("photo.png", [wide, wide, wide], Settings(), None)
    assert seen.memory_bytes(Scale(96, 72)) == seen.content.nbytes + 3 * wide.nbytes + 12 * 24 * 288


def test_a_painting_reduced_too_much_for_strokes_is_said(narrow, caplog) -> None:
    settings = SMALL.changed(size=80, min_size=80, evaluations=1)
    scroll = np.asarray(Image.open("a.png").resize((1260, 60)))
    stylize("photo.png", scroll, settings, weights=narrow, runtime=FP32)
    assert "(1260 x 60 px) is reduced to 367 x 17 px, too small to carry strokes" in caplog.text
    assert caplog.text.count("\n") == 1
    caplog.clear()
    stylize("photo.png", scroll[:, :50], settings, weights=narrow, runtime=FP32)  # enlarged
    assert "reduced" not in caplog.text


def test_a_larger_stroke_is_the_same_run_on_a_larger_painting(narrow) -> None:
    """Independent of our scaling: a painting twice as large beside the canvas, softened by 1, 2, 1."""
    settings = SMALL.changed(size=40, min_size=40, stroke=2)
    found = stylize("photo.png", "a.png", settings, weights=narrow, runtime=FP32)  # 80 x 60, as it is
    other = open_inputs("photo.png", "a.png", settings, None).at(Scale(40, 30), "cpu")
    wide = np.pad(np.asarray(Image.open("a.png")).astype(float), ((1, 1), (1, 1), (0, 0)), "edge")
    across = (wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]) / 4
    expected = (across[:-2] + 2 * across[1:-1] + across[2:]) / 4
    np.testing.assert_allclose(other.styles[0][0].permute(1, 2, 0).numpy() * 255, expected, atol=1e-3)
    assert found.stopped == "evaluations"


@pytest.mark.parametrize("stroke", [0, -1, 11, float("nan"), "2"])
def test_wrong_strokes_are_refused(stroke) -> None:
    with pytest.raises(SettingsError, match=r"style stroke: must be between 0\.1 and 10"):
        Style("a.png", stroke=stroke)


@pytest.mark.parametrize(
    ("layers", "said"),
    [("", "at least one"), ("relu9_1", "unknown layer"), ({"relu1_1": -1}, "negative"),
     ("relu1_1=x", "must be a number"), ({"relu1_1": 0}, "above 0"), (3, "at least one")],
)  # fmt: skip
def test_wrong_layers_are_refused(layers, said) -> None:
    with pytest.raises(SettingsError, match=f"style layers: .*{said}"):
        Style("a.png", layers=layers)


# --- folders -------------------------------------------------------------------------------------


def test_a_folder_is_one_style_by_name(caplog) -> None:
    Path("folder/notes.txt").write_text("hello")
    Path("folder/inside").mkdir()
    styles = open_styles([Style("folder", 3, mask="left.png"), "a.png"])
    assert [style.picture.name for style in styles] == ["1.jpg", "2.png", "a.png"]
    assert [style.weight for style in styles] == [1.5, 1.5, 1.0]
    assert styles[1].mask is styles[0].mask
    assert caplog.text.count("left out of the style: notes.txt") == 1


def test_files_that_were_read_are_opened_once_from_their_bytes() -> None:
    Path("folder/notes.txt").write_text("hello")
    names = ["photo.png", "a.png", "left.png", *(f"folder/{n}" for n in ("1.jpg", "2.png", "notes.txt"))]
    files = {name: (Path(name).name, Path(name).read_bytes()) for name in names}
    files["-"] = ("stdin", files.pop("photo.png")[1])
    for name in names:  # nothing is read again
        Path(name).unlink()
    skipped = []
    opener = Opener(
        files,
        folders={"folder": names[3:]},
        on_skip=lambda folder, error: skipped.append(f"{folder}: {error}"),
    )
    left = Mask("left.png", "#fff")
    styles = open_styles([Style("folder", 3, mask=left), Style("a.png", mask="rest")], opener)
    assert [style.picture.name for style in styles] == ["1.jpg", "2.png", "a.png"]
    assert [style.weight for style in styles] == [1.5, 1.5, 1.0]
    assert styles[0].mask.color == "#ffffff"
    assert opener.mask("left.png").picture is styles[0].mask.picture
    assert len(skipped) == 1
    assert skipped[0].startswith("folder: notes.txt")
    photo = opener.picture("-")
    assert photo.name == "stdin"
    assert opener.picture("-") is photo
    assert not files
    inputs = open_inputs(photo, styles, Settings(), None, opener.mask(None))
    assert inputs.styles[2] is styles[2].picture


def test_limits_hold_for_files_that_were_read() -> None:
    data = Path("a.png").read_bytes()
    with pytest.raises(InputError, match=r"a\.png"):
        open_styles("a.png", Opener({"a.png": ("a.png", data)}, limits=Input(max_pixels=1)))
    with pytest.raises(InputError, match=r"folder.* has no picture that can be read"):
        open_styles("folder", Opener(limits=Input(max_pixels=1)))


def test_folders_without_pictures_are_refused() -> None:
    Path("empty").mkdir()
    with pytest.raises(InputError, match="empty has no pictures"):
        open_styles("empty")
    Path("empty/x.txt").write_text("x")
    with pytest.raises(InputError, match="empty has no picture that can be read"):
        open_styles("empty")
    for number in range(65):
        Path(f"empty/{number}.png").touch()
    with pytest.raises(InputError, match="66 files; as one style it may have 64"):
        open_styles("empty")


def test_a_folder_equals_its_pictures_with_equal_shares(narrow) -> None:
    options = {"weights": narrow, "runtime": FP32, "checkpoint": False}
    found = stylize("photo.png", [Style("folder"), "a.png"], SMALL, **options)
    parts = [Style("folder/1.jpg", 0.5), Style("folder/2.png", 0.5), Style("a.png", 1)]
    expected = stylize("photo.png", parts, SMALL, **options)
    assert found.recipe.pixels_sha256 == expected.recipe.pixels_sha256
    assert [style.name for style in found.recipe.styles] == ["1.jpg", "2.png", "a.png"]


# --- the recipe ----------------------------------------------------------------------------------

MASKED = {
    "masks": [
        Style("a.png", mask="left.png", source_mask="half.png", stroke=0.5, layers="relu1_1,relu2_1=2"),
        Style("b.png", 2.0, mask="rest"),
    ],
    "segments": [Style("a.png", mask=Mask("seg.png", "#f00")), Style("b.png", mask=Mask("seg.png", "#00f"))],
    "folder": [Style("folder", mask="left.png"), Style("a.png")],
}


@pytest.mark.parametrize("case", MASKED)
def test_reproduced_from_the_recipe_alone(case, narrow) -> None:
    options = {"weights": narrow, "runtime": FP32, "checkpoint": False}
    settings = SMALL.changed(protect_feather=5)
    first = stylize("photo.png", MASKED[case], settings, protect="corner.png", **options)
    first.save("out.png")
    for name in ("left.png", "seg.png", "corner.png"):  # known by hash, not by name
        Path(name).rename(f"other-{name}")
    again = reproduce("out.png", folders=["folder"], weights=narrow)
    assert again.recipe.pixels_sha256 == first.recipe.pixels_sha256
    assert again.recipe.styles == tuple(
        style.model_copy(update={"mask": again.recipe.styles[n].mask})
        for n, style in enumerate(first.recipe.styles)
    )
    Path("other-corner.png").unlink()
    with pytest.raises(InputError, match=r"input not found: corner\.png"):
        reproduce("out.png", folders=["folder"], weights=narrow)


@pytest.mark.parametrize("case", ["masks", "folder"])
def test_resumed_to_the_same_bytes(case, narrow, monkeypatch) -> None:
    monkeypatch.setattr("impasto.transfer.callbacks.checkpoints.EVERY", 0.0)
    monkeypatch.setattr("impasto.transfer.callbacks.checkpoints.SHARE", 1.0)
    options = {"weights": narrow, "runtime": FP32, "protect": "corner.png"}
    whole = stylize("photo.png", MASKED[case], SMALL, checkpoint=False, **options)

    def killed(step: Step) -> None:
        if step.evaluations == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize("photo.png", MASKED[case], SMALL, checkpoint="x.checkpoint", on_step=killed, **options)
    found = resume("x.checkpoint", weights=narrow)
    assert found.recipe.pixels_sha256 == whole.recipe.pixels_sha256


def test_a_recipe_without_masks_says_nothing_of_them(narrow) -> None:
    made = stylize("photo.png", "a.png", SMALL, weights=narrow, runtime=FP32).recipe
    (style,) = made.styles
    assert set(style.model_dump()) == {
        "name", "sha256", "width", "height", "weight", "kind", "bytes"
    }  # fmt: skip
    assert Recipe.from_json(made.to_json()) == made


def test_a_grid_with_masks_goes_on_by_its_recipes(narrow, monkeypatch) -> None:
    styles = [Style("a.png", mask="left.png"), Style("b.png", mask="rest")]
    options = {"weights": narrow, "runtime": FP32, "folder": "cells", "protect": "corner.png"}
    vary = {"stroke": [0.5, 1, 2]}
    small = SMALL.changed(evaluations=4, style_layers=["relu2_1"], style_weight=1e4)
    first = impasto.grid("photo.png", styles, vary, small, **options)
    assert [cell.reused for cell in first.cells] == [False] * 3
    pixels = {cell.recipe.pixels_sha256 for cell in first.cells}
    assert len(pixels) == 3
    again = impasto.grid("photo.png", styles, vary, small, **options)
    assert [cell.reused for cell in again.cells] == [True] * 3
    alone = stylize(
        "photo.png", styles, small.changed(stroke=2), weights=narrow, runtime=FP32, protect="corner.png"
    )
    assert alone.recipe.pixels_sha256 == first.cells[2].recipe.pixels_sha256
    other = [Style("a.png", mask="right.png"), Style("b.png", mask="rest")]
    with pytest.raises(impasto.OutputError, match="not this cell of this grid"):
        impasto.grid("photo.png", other, vary, small, **options)


def test_masks_are_read_from_the_picture_made(narrow) -> None:
    made = stylize("photo.png", MASKED["masks"], SMALL, weights=narrow, runtime=FP32).save("out.png")
    first, second = read_recipe(made).styles
    assert first.layers == {"relu1_1": 1.0, "relu2_1": 2.0}
    assert (first.stroke, second.stroke) == (0.5, None)
    assert (first.mask.name, second.mask.kind) == ("left.png", "rest")
    assert module.record(open_styles("a.png")[0].picture).sha256 == first.sha256
