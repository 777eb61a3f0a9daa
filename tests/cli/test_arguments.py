"""Styles, masks and strokes from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import impasto.network.weights.load
import impasto.transfer.stylize
from impasto.cli.app import main
from impasto.config.recipe import Recipe
from impasto.network.vgg import narrow_weights

SMALL = ["--size", "48", "--evaluations", "2", "--recipe", "-o", "out.png", "--force"]
TWO = ["photo.png", "--style", "a.png", "--style", "b.png", *SMALL]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *which: narrow_weights())
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    Path("folder").mkdir()
    for name, size in (
        ("photo.png", (64, 48)), ("a.png", (60, 60)), ("b.png", (50, 64)),
        ("folder/1.png", (50, 50)), ("folder/2.png", (60, 40)),
    ):  # fmt: skip
        small = random.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(name)
    left = np.zeros((48, 64), np.uint8)
    left[:, :24] = 255
    Image.fromarray(left).save("left.png")
    corner = np.zeros((48, 64), np.uint8)
    corner[:20, :30] = 255
    Image.fromarray(corner).save("corner.png")
    Image.fromarray(np.where(left[..., None], [255, 0, 0], [0, 0, 255]).astype(np.uint8)).save("seg.png")
    half = np.zeros((60, 60, 3), np.uint8)
    half[30:], half[:30] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(half).save("a-seg.png")
    Image.fromarray(half[..., 0]).save("a-mask.png")


def recipe() -> Recipe:
    return Recipe.from_json(Path("out.json").read_text())


def test_masks_strokes_and_layers_of_each_style(capsys) -> None:
    flags = ["--mask", "left.png", "--mask", "rest", "--source-mask", "a-mask.png", "--source-mask", "none"]
    flags += ["--strokes", "0.5,none", "--style-layers-of", "relu1_1,relu2_1=2;none"]
    assert main([*TWO, *flags, "--protect", "corner.png"]) == 0
    first, second = recipe().styles
    assert (first.mask.name, first.source_mask.name, first.stroke) == ("left.png", "a-mask.png", 0.5)
    assert first.layers == {"relu1_1": 1.0, "relu2_1": 2.0}
    assert (second.mask.kind, second.source_mask, second.stroke) == ("rest", None, None)
    assert recipe().protect.name == "corner.png"
    said = capsys.readouterr().err
    assert "regions: left.png 37.5 % (a.png), rest 62.5 % (b.png); 0.0 % in more than one" in said
    assert main(["show", "out.png"]) == 0
    shown = capsys.readouterr().out
    for line in ("  in          the mask left.png (64 x 48 px", "what the other masks leave",
                 "stroke 0.5, layers relu1_1,relu2_1=2", "protected     the mask corner.png"):  # fmt: skip
        assert line in shown
    assert main(["reproduce", "out.png", "-o", "again.png"]) == 0
    assert "the pixels are the same" in capsys.readouterr().err
    assert main(["report", "out.png", "--quick", "-o", "page.html"]) == 0
    assert "left.png" in Path("page.html").read_text()


def test_a_segmentation_instead_of_masks() -> None:
    assert main([*TWO, "--segments", "seg.png"]) == 0
    first, second = recipe().styles
    assert (first.mask.color, second.mask.color) == ("#0000ff", "#ff0000")  # the larger one first
    sources = ["--source-segments", "a-seg.png", "--source-segments", "none"]
    assert main([*TWO, "--segments", "seg.png", "--segment-colors", "#f00,rest", *sources]) == 0
    first, second = recipe().styles
    assert (first.mask.color, first.source_mask.color) == ("#ff0000", "#ff0000")
    assert (second.mask.kind, second.source_mask) == ("rest", None)


def test_a_folder_is_one_style(capsys) -> None:
    Path("folder/notes.txt").write_text("hello")
    assert main(["photo.png", "folder", "a.png", *SMALL, "--style-weights", "1,3"]) == 0
    assert [(s.name, s.weight) for s in recipe().styles] == [
        ("1.png", 0.5), ("2.png", 0.5), ("a.png", 3.0)
    ]  # fmt: skip
    assert "left out of the style folder: notes.txt" in capsys.readouterr().err


def test_the_settings_of_a_picture_say_what_they_are_not(capsys) -> None:
    """Masks and shares are no settings: a picture's are not taken silently without them."""
    flags = ["--mask", "left.png", "--mask", "rest", "--protect", "corner.png", "--strokes", "1,2"]
    assert main([*TWO, *flags]) == 0
    capsys.readouterr()
    again = ["photo.png", "a.png", "b.png", "--settings", "out.png", "-o", "again.png"]
    assert main([*again, "--mask", "left.png", "--mask", "none"]) == 0
    said = capsys.readouterr().err
    assert "out.png was painted with --protect and --strokes: give that again\n" in said
    assert Recipe.from_json(Path("out.json").read_text()).protect


def test_an_input_is_never_written_over(capsys) -> None:
    for name in ("left.png", "folder/1.png"):
        words = ["photo.png", "folder", "--mask", "left.png", "-o", name, "--force"]
        assert main([*words, "--size", "48", "--evaluations", "1"]) == 2
        assert name in capsys.readouterr().err


def last_line(capsys) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_estimate_and_grid_take_them(capsys) -> None:
    flags = ["--mask", "left.png", "--mask", "rest", "--protect", "corner.png"]
    assert main(["estimate", "photo.png", "a.png", "b.png", "--size", "48", *flags]) == 0
    vary = ["--vary", "stroke=0.5,1", "--size", "48", "--evaluations", "1", "-o", "sheet.png"]
    layers = ["--style-layers", "relu2_1", "--json"]
    words = ["grid", "photo.png", "a.png", "folder", *vary, *flags, *layers]
    capsys.readouterr()
    assert main(words) == 0
    assert [cell["reused"] for cell in json.loads(capsys.readouterr().out.splitlines()[-1])["cells"]] == [
        False
    ] * 2
    assert main(words) == 0
    assert [cell["reused"] for cell in json.loads(capsys.readouterr().out.splitlines()[-1])["cells"]] == [
        True
    ] * 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--mask left.png", "--mask: 1 given, but 2 style pictures; give one for each"),
        ("--mask rest --mask rest", "--mask rest is what the masks of other styles leave"),
        ("--mask none --mask no.png", "no.png"),
        ("--mask left.png --mask Rset", "--mask: Rset does not exist. Did you mean rest?"),
        ("--source-mask rest --source-mask none", "--source-mask: rest is for the photo's regions"),
        ("--mask seg.png --mask none", "the mask seg.png has colors"),
        ("--mask a-mask.png --mask none", "has another shape than the photo photo.png"),
        ("--source-mask left.png --source-mask none", "has another shape than the painting a.png"),
        ("--strokes 2", "--strokes: 1 given, but 2 style pictures"),
        ("--strokes 2,x", "--strokes: 2,x is not numbers"),
        ("--strokes 2,99", "--strokes: must be between 0.1 and 10, not 99.0"),
        ("--stroke 0", "--stroke: must be 0.1 or more, not '0'"),
        ("--style-layers-of relu1_1", "--style-layers-of: 1 given, but 2 style pictures"),
        ("--style-layers-of relu1_1;rel2_1", "--style-layers-of: unknown layer 'rel2_1'"),
        ("--segments seg.png --mask left.png --mask none", "--mask and --segments are both masks"),
        ("--segment-colors #f00,#00f", "--segment-colors needs the segmentation"),
        ("--segments seg.png --segment-colors #f00", "--segment-colors: 1 given"),
        ("--segments photo.png", "photo.png is no segmentation"),
        ("--segments seg.png --segment-colors red,#00f", "--segment-colors: a color is written as"),
        ("--segments seg.png --segment-colors #0f0,#00f", "has nothing of #00ff00; it has #"),
        ("--segments left.png --segment-colors #fff,none --source-segments a-seg.png", "1 given"),
        ("--protect a-mask.png", "has another shape than the photo"),
        ("--protect Rest", "--protect: Rest does not exist. Did you mean rest?"),
        ("--protect rest", "give every style a mask"),
        ("--protect-feather 60", "--protect-feather: must be 50 or less"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(words, said, capsys) -> None:
    assert main([*TWO, *words.split()]) == 2
    found = capsys.readouterr().err
    assert said in found
    lines = [line for line in found.splitlines() if not line.startswith("photo: ")]  # what is what
    assert len(lines) == 1
    assert not Path("out.png").exists()


def test_a_segmentation_with_other_colours_than_styles(capsys) -> None:
    assert main(["photo.png", "a.png", *SMALL, "--segments", "seg.png"]) == 2
    assert "seg.png has 2 colors (#0000ff, #ff0000), but 1 style picture" in capsys.readouterr().err
    Path("empty").mkdir()
    assert main(["photo.png", "empty", *SMALL]) == 2
    assert "the folder empty has no pictures" in capsys.readouterr().err
