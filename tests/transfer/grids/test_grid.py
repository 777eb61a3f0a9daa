"""Grids: each cell as a run alone would make it, kept, gone on with, and checked beforehand."""

import csv
import errno
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import impasto.system.files
import impasto.transfer.grids.grid
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.errors import InputError, NumericalError, OutputError, SettingsError, Stop
from impasto.image.contact_sheet import layout_of
from impasto.image.picture import Picture
from impasto.image.xmp import read_recipe
from impasto.inputs.shared import Shared
from impasto.network.vgg import narrow_weights
from impasto.transfer.grids import axes as varying
from impasto.transfer.grids.grid import NOTE, _caption, grid
from impasto.transfer.reproduce import reproduce
from impasto.transfer.stylize import stylize

BASE = Settings(size=48, min_size=24, evaluations=2)
ONE = Runtime(threads=1)
WEIGHTS = {"content_weight": [0.01, 1], "style_weight": [1, 10, 100]}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, size in (("photo.png", (64, 48)), ("painting.png", (50, 60)), ("start.png", (9, 9))):
        Image.fromarray(random.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(name)
    return "photo.png", "painting.png"


@pytest.mark.parametrize(
    "vary",
    [
        WEIGHTS,
        {"style_layers": ["relu1_1", "relu1_1,relu2_1=0.5"], "content_layers": ["relu2_2"]},
        {"size": [32, 48], "min_size": [16, 48]},
        {"init": ["content", "noise", "gray", "style", "picture"], "seed": [0, 1]},
        {"init": ["content", "matched"], "init_amount": [0, 0.5, 1]},
        {"pooling": ["max", "average", "l2"], "padding": ["zero", "reflect"]},
        {"solver": ["lbfgs", "scipy", "adam"], "bounded": [True, False]},
        {"convention": ["mean", "paper", "jcjohnson"], "total_variation": [0, 10]},
        {"evaluations": [1, 3], "detail": [0, 1]},
        {"quality": ["draft"], "history": [5]},
        {"color": ["luminance", "style", "match"], "color_amount": [1, 0.5, 0]},
        {"color": ["style", "luminance"], "strength": [0.5, 1]},
        {"preset": ["default", "tinted", "paper"], "seed": [0, 1]},
    ],
    ids=lambda vary: "+".join(vary),
)
def test_every_cell_is_what_a_run_alone_makes(files, narrow, vary) -> None:
    options = {"runtime": ONE, "weights": narrow, "init_picture": "start.png"}
    found = grid(*files, vary, BASE, **options)
    assert len(found.cells) == np.prod([len(values) for values in vary.values()])
    for cell in found.cells:
        alone = stylize(*files, cell.settings, **options)
        assert cell.recipe.pixels_sha256 == alone.recipe.pixels_sha256, cell.varied
        assert cell.recipe.losses == alone.recipe.losses


def test_cells_that_differ_after_painting_only_share_the_run(files, narrow) -> None:
    steps = []
    vary = {"color": ["style", "luminance", "match"], "color_amount": [1, 0.5]}
    found = grid(*files, vary, BASE, runtime=ONE, weights=narrow, on_step=steps.append)
    # One run for style and luminance at any amount, and one for each amount of match; two evaluations each.
    assert len([step for step in steps if step.scale == step.scales]) == 2 * 3
    shades = {cell.recipe.pixels_sha256 for cell in found.cells}
    assert len(shades) == 5  # style is the same at both amounts
    assert [cell.recipe.settings for cell in found.cells] == [cell.settings for cell in found.cells]


def test_paintings_vary_by_their_paths(files, narrow) -> None:
    options = {"runtime": ONE, "weights": narrow}
    found = grid("photo.png", [], {"style": ["painting.png", "start.png"], "seed": [1]}, BASE, **options)
    for cell, name in zip(found.cells, ("painting.png", "start.png"), strict=True):
        alone = stylize("photo.png", name, cell.settings, **options)
        assert cell.recipe.pixels_sha256 == alone.recipe.pixels_sha256
    assert [row["painting"] for row in found.table()] == ["painting.png", "start.png"]
    with pytest.raises(InputError, match="the paintings vary"):
        grid("photo.png", "painting.png", {"style": ["painting.png"]}, BASE, **options)
    with pytest.raises(SettingsError, match="names of files"):
        grid("photo.png", [], {"style": [3]}, BASE, **options)


def test_what_was_set_goes_before_a_varied_preset(files, narrow) -> None:
    found = grid(*files, {"preset": ["bold", "paper"]}, BASE, runtime=ONE, weights=narrow)
    expected = [Settings.preset(name, size=48, min_size=24, evaluations=2) for name in ("bold", "paper")]
    assert [cell.settings for cell in found.cells] == expected


@pytest.mark.slow
def test_each_cell_has_the_weights_that_it_names(files, tmp_path, narrow) -> None:
    small = {"size": 48, "evaluations": 2}
    base = Settings(**small, min_size=24)
    for vary in (
        {"preset": ["paper", "gatys2016"], "seed": [0, 1]},
        {"weights": ["normalized", "vgg19-original-8bit"]},
    ):
        folder = tmp_path / "-".join(vary)
        found = grid(*files, vary, base, runtime=ONE, folder=folder)
        for cell in found.cells:
            alone = stylize(*files, cell.settings, runtime=ONE, checkpoint=False)
            assert cell.recipe.pixels_sha256 == alone.recipe.pixels_sha256
            assert cell.recipe.weights == alone.recipe.weights
        assert {cell.recipe.weights for cell in found.cells} == {
            "vgg19-normalized-8bit",
            "vgg19-original-8bit",
        }
        again = grid(*files, vary, base, runtime=ONE, folder=folder)
        assert all(cell.reused for cell in again.cells)
    with pytest.raises(InputError, match="the weights vary: give none beside them"):
        grid(*files, {"weights": ["normalized"]}, BASE, runtime=ONE, weights=narrow)


def test_shares_and_precision_too(files, narrow) -> None:
    styles = [Style("painting.png", 0.7), Style("photo.png", 0.3)]
    for precision in ("fp32", "bf16"):
        options = {"runtime": Runtime(threads=1, precision=precision), "weights": narrow}
        found = grid("photo.png", styles, {"style_weight": [1, 9]}, BASE, **options)
        for cell in found.cells:
            alone = stylize("photo.png", styles, cell.settings, **options)
            assert cell.recipe.pixels_sha256 == alone.recipe.pixels_sha256


def test_what_cells_have_in_common_is_made_once(files, narrow, monkeypatch) -> None:
    caches = []

    class Counted(Shared):
        def __init__(self) -> None:
            super().__init__()
            caches.append(self)

    monkeypatch.setattr("impasto.transfer.grids.grid.Shared", Counted)
    grid(*files, WEIGHTS, BASE, runtime=ONE, weights=narrow)
    # The network; at two scales the inputs, the painting, the targets of both.
    assert [cache.made for cache in caches] == [1 + 2 * 4]


def test_regions_are_told_once(files, narrow, caplog) -> None:
    caplog.set_level("INFO")
    """Though each cell has strokes of its own."""
    mask = np.zeros((48, 64), np.uint8)
    mask[:, :32] = 255
    photo, painting = files
    styles = [Style(painting, mask=mask), Style(painting, mask="rest")]
    grid(photo, styles, {"stroke": [0.9, 1]}, BASE, runtime=ONE, weights=narrow)
    assert caplog.text.count("regions: ") == 1


def test_a_workshop_keeps_no_more_than_its_limit() -> None:
    shop = Shared(limit=100)
    one = shop.get("a", lambda: torch.zeros(10))
    assert shop.get("a", lambda: torch.ones(10)) is one
    shop.get("b", lambda: {"x": (torch.zeros(10),)})
    shop.get("c", lambda: torch.zeros(10))
    shop.get("large", lambda: torch.zeros(1000))
    assert shop.get("a", lambda: torch.ones(10)) is not one
    assert shop.made == 5
    nothing = Shared(0)
    assert nothing.get("a", lambda: torch.zeros(1)) is not nothing.get("a", lambda: torch.zeros(1))


def test_the_sheet_shows_each_cell_in_its_place(files, narrow) -> None:
    found = grid(*files, WEIGHTS, BASE, runtime=ONE, weights=narrow)
    sheet = found.sheet()
    columns, rows = found.axes.columns.labels, found.axes.rows.labels
    assert columns == ("content_weight = 0.01", "content_weight = 1")
    assert rows == ("style_weight = 1", "style_weight = 10", "style_weight = 100")
    layout = layout_of(
        [(48, 36)], columns=columns, rows=rows, captions=["a\nb"], title=found.title, note=NOTE
    )
    assert (sheet.width, sheet.height) == layout.sheet
    for cell in found.cells:
        left, top, right, bottom = layout.room(cell.row - 1, cell.column - 1)
        expected = stylize(*files, cell.settings, runtime=ONE, weights=narrow).picture.array(8)
        difference = sheet.array(8)[top:bottom, left:right].astype(int) - expected
        assert abs(difference).max() <= 1  # roundings of the same number


def test_the_table_has_a_row_for_each_cell(files, narrow) -> None:
    vary = {"style_layers": ["relu1_1,relu2_1=0.5", "relu1_1"], "size": [32, None]}
    found = grid(*files, vary, BASE, runtime=ONE, weights=narrow)
    rows = found.table()
    assert [(row["row"], row["column"]) for row in rows] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert rows[0]["style_layers"] == "relu1_1,relu2_1=0.5"
    assert rows[1]["total"] == found.at(1, 2).recipe.losses["total"]
    assert found.axes.rows.labels == ("size = 32 px", "size = default")
    read = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [float(row["content"]) for row in read] == [row["content"] for row in rows]


def test_losses_in_sheet_and_table_are_without_weights(files, narrow) -> None:
    start = BASE.changed(evaluations=1, init="noise", min_size=48, grain=0)  # the same picture in all cells
    vary = {"content_weight": [0.01, 1, 0], "style_weight": [1, 100]}
    found = grid(*files, vary, start, runtime=ONE, weights=narrow)
    rows = found.table()
    first = rows[0]
    for row, cell in zip(rows, found.cells, strict=True):
        assert row["style"] == pytest.approx(first["style"], rel=1e-5)
        assert row["weighted_style"] == cell.recipe.losses["style"]
        assert row["weighted_style"] == pytest.approx(row["style_weight"] * row["style"])
        if row["content_weight"]:
            assert row["content"] == pytest.approx(first["content"], rel=1e-5)
            assert row["weighted_content"] == cell.recipe.losses["content"]
            assert row["total"] == pytest.approx(row["weighted_content"] + row["weighted_style"])
        else:
            assert row["content"] is None
            assert row["weighted_content"] is None
    captions = {_caption(cell, "  ") for cell in found.cells if cell.settings.content_weight}
    assert len(captions) == 1
    assert _caption(found.at(1, 3), "  ").startswith("style ")


def test_a_notebook_shows_the_sheet(files, narrow) -> None:
    found = grid(*files, {"seed": [0, 1]}, BASE, runtime=ONE, weights=narrow)
    shown = Picture.open(found._repr_png_())
    assert (shown.array(8) == found.sheet().array(8)).all()


# --- kept and gone on with -----------------------------------------------------------------------


def stop_after(count: int):
    def on_step(step) -> None:
        nonlocal count
        count -= 1
        if count < 0:
            raise Stop("interrupted")

    return on_step


def test_interrupted_and_continued_is_as_uninterrupted(files, narrow) -> None:
    options = {"runtime": ONE, "weights": narrow}
    whole = grid(*files, WEIGHTS, BASE, folder="whole", **options)
    part = grid(*files, WEIGHTS, BASE, folder="part", on_step=stop_after(9), **options)
    assert part.stopped == "interrupted"
    assert len(part.missing) == 4  # two cells of four evaluations were finished
    assert len(list(Path("part").iterdir())) == 2
    assert part.sheet().pixels_sha256() != whole.sheet().pixels_sha256()
    kept = {path: path.stat().st_mtime_ns for path in Path("part").iterdir()}
    seen = []
    again = grid(*files, WEIGHTS, BASE, folder="part", on_cell=seen.append, **options)
    assert [cell.reused for cell in seen] == [True, True, False, False, False, False]
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert again.sheet().pixels_sha256() == whole.sheet().pixels_sha256()
    for one, other in zip(again.cells, whole.cells, strict=True):
        assert one.recipe.pixels_sha256 == other.recipe.pixels_sha256
        assert one.path.name == other.path.name


def test_a_cell_is_kept_if_only_its_last_evaluation_was_left(files, narrow) -> None:
    seen = []
    options = {"runtime": ONE, "weights": narrow, "folder": "cells"}
    part = grid(*files, WEIGHTS, BASE, on_step=stop_after(3), on_cell=seen.append, **options)
    assert part.stopped == "interrupted"
    assert len(part.missing) == 5
    assert [cell.recipe.stopped for cell in seen] == ["evaluations"]
    assert sum(cell.reused for cell in grid(*files, WEIGHTS, BASE, **options).cells) == 1


def test_on_cell_can_stop_and_sees_what_is_there(files, narrow) -> None:
    def on_cell(cell) -> None:
        raise Stop("enough")

    found = grid(*files, WEIGHTS, BASE, runtime=ONE, weights=narrow, on_cell=on_cell)
    assert (found.stopped, len(found.missing)) == ("enough", 5)
    assert found.pictures[0] is not None
    assert found.table()[1]["stopped"] == "missing"


def test_cells_are_files_that_can_be_reproduced(files, narrow) -> None:
    grid(*files, WEIGHTS, BASE, runtime=ONE, weights=narrow, folder="cells")
    names = sorted(path.name for path in Path("cells").iterdir())
    assert names[0] == "01-01_content_weight=0.01_style_weight=1.png"
    assert names[-1] == "03-02_content_weight=1_style_weight=100.png"
    again = reproduce(Path("cells") / names[-1], folders=["."], weights=narrow)
    assert again.recipe.pixels_sha256 == read_recipe(Path("cells") / names[-1]).pixels_sha256


@pytest.mark.parametrize(
    "change",
    [
        {"settings": BASE.changed(seed=3)},
        {"style": "photo.png"},
        {"style": ["painting.png", "photo.png"]},
        {"content": "painting.png"},
        {"weights": "other"},
        {"runtime": Runtime(threads=1, precision="bf16")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_grids_cell_is_neither_used_nor_replaced(files, narrow, change) -> None:
    def made(**given):
        asked = {"content": files[0], "style": files[1], "settings": BASE, "runtime": ONE}
        asked |= {"weights": narrow, "vary": {"detail": [0, 1]}, "folder": "cells"} | given
        if asked["weights"] == "other":
            asked["weights"] = {**narrow_weights(), "conv1_1.bias": narrow["conv1_1.bias"] + 1}
        return grid(**asked)

    made(runtime=Runtime(threads=1, precision="fp32"))
    Path("cells/mine.txt").write_text("mine")
    before = {path: path.read_bytes() for path in Path("cells").iterdir()}
    with pytest.raises(OutputError, match="not this cell of this grid; give another name"):
        made(**change)
    assert {path: path.read_bytes() for path in Path("cells").iterdir()} == before
    found = made(**change, overwrite=True)
    assert not any(cell.reused for cell in found.cells)
    assert Path("cells/mine.txt").read_text() == "mine"


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_truncated_cell_cannot_be_read(files, narrow, share) -> None:
    options = {"runtime": ONE, "weights": narrow, "folder": "cells"}
    made = grid(*files, {"seed": [0]}, BASE, **options).cells[0].path
    data = made.read_bytes()
    made.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(OutputError, match=r"cannot be read, perhaps it is cut off; .* --force"):
        grid(*files, {"seed": [0]}, BASE, **options)
    grid(*files, {"seed": [0]}, BASE, overwrite=True, **options)
    assert made.read_bytes()[-8:] == data[-8:]
    assert Picture.open(made).width == 48


def test_a_file_without_a_recipe_is_not_replaced(files, narrow) -> None:
    Path("cells").mkdir()
    Path("cells/01-02_detail=1.png").write_text("mine")
    with pytest.raises(OutputError, match="not this cell"):
        grid(*files, {"detail": [0, 1]}, BASE, weights=narrow, folder="cells")
    assert len(list(Path("cells").iterdir())) == 1


def test_a_full_disk_leaves_the_finished_cells(files, narrow, monkeypatch) -> None:
    write, left = impasto.system.files._write, [2]

    def full(path, data) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    options = {"runtime": ONE, "weights": narrow, "folder": "cells"}
    with monkeypatch.context() as patch:
        patch.setattr(impasto.system.files, "_write", full)
        with pytest.raises(OutputError, match="no space left on device; free some space"):
            grid(*files, WEIGHTS, BASE, **options)
    assert len(list(Path("cells").iterdir())) == 2
    found = grid(*files, WEIGHTS, BASE, **options)
    assert sum(cell.reused for cell in found.cells) == 2


def test_a_cell_that_fails_leaves_a_blank(files, narrow, monkeypatch) -> None:
    complete = impasto.transfer.grids.grid.complete

    def failing(run, **options):
        if run.settings.detail == 0:
            raise NumericalError("the start has no finite loss")
        return complete(run, **options)

    monkeypatch.setattr(impasto.transfer.grids.grid, "complete", failing)
    found = grid(*files, {"detail": [0, 1]}, BASE, runtime=ONE, weights=narrow)
    assert found.cells[0].problem == "the start has no finite loss"
    assert [picture is None for picture in found.pictures] == [True, False]
    assert found.table()[0]["stopped"] == "the start has no finite loss"
    found.sheet()


# --- what is refused -----------------------------------------------------------------------------

BAD = [
    ({"content_wieght": [1]}, "unknown setting 'content_wieght'. Did you mean content_weight?"),
    ({}, "one or two settings can vary at a time, not 0"),
    ({"seed": [1], "detail": [1], "size": [9]}, "at a time, not 3"),
    ({"seed": []}, "vary seed: its values are missing"),
    ({"seed": [1, "x"]}, "vary seed: must be a whole number, not 'x'"),
    ({"seed": "12"}, "vary seed: give a list of values, not '12'"),
    ({"seed": 12}, "vary seed: give a list of values, not 12"),
    ({"content_weight": [1, "1.0"]}, "vary content_weight: 1 is given twice"),
    ({"content_weight": ["1", ""]}, "vary content_weight: a value is empty"),
    ({"content_weight": [-1]}, "vary content_weight: must be 0 or more, not -1"),
    ({"style_layers": ["relu9_1"]}, "relu9_1"),
    ({"init": ["nois"]}, "vary init: must be one of .*'content', 'matched', 'noise'"),
    ({"content_weight": [1, 0], "style_weight": [0]}, "content_weight = 0, style_weight = 0: noth"),
    ({"seed": range(401)}, "401 cells, each a whole run; --yes"),
    ({"seed": range(21), "detail": np.linspace(0, 1, 21).tolist()}, "441 cells"),
]


@pytest.mark.parametrize(("vary", "words"), BAD)
def test_what_is_varied_is_checked_first(vary, words) -> None:
    with pytest.raises(SettingsError, match=words):
        grid("missing.png", "missing.png", vary)


def test_many_cells_if_they_are_meant() -> None:
    axes = varying.plan({"seed": range(500)}, Settings(), many=True)
    assert axes.places[499].stem == "001-500_seed=499"


def test_names_of_cells_are_safe_and_short() -> None:
    layers = ["relu1_1", ",".join(f"relu{b}_1=0.123456789" for b in range(1, 6))]
    axes = varying.plan({"style_layers": layers, "content_layers": layers}, Settings())
    stems = [place.stem for place in axes.places]
    assert len(set(stems)) == 4
    assert all(len(stem) <= varying.LONGEST_NAME for stem in stems)
    assert not set("".join(stems)) & set('/\\:*?"<>| ;')


@pytest.mark.parametrize(
    ("vary", "settings", "words"),
    [
        ({"size": [8, 48]}, BASE, "row 1, column 1 .size = 8.: the photo .* would be 8 x 6 px"),
        ({"init": ["content", "picture"]}, BASE, "needs the picture to start from"),
    ],
)
def test_what_pictures_do_not_allow_is_said_before_anything_runs(
    files, narrow, vary, settings, words
) -> None:
    def never(step) -> None:
        raise AssertionError

    with pytest.raises(InputError, match=words):
        grid(*files, vary, settings, weights=narrow, on_step=never)


def test_the_folder_is_checked(files, narrow) -> None:
    Path("cells").write_text("mine")
    for folder, words in (("cells", "cells is a file"), ("no/where", "does not exist")):
        with pytest.raises(OutputError, match=words):
            grid(*files, {"seed": [1]}, BASE, weights=narrow, folder=folder)


def test_a_cell_is_found_by_row_and_column() -> None:
    axes = varying.plan({"seed": [1, 2, 3], "detail": [0, 1]}, Settings())
    assert (axes.at(2, 3).settings.seed, axes.at(2, 3).settings.detail) == (3, 1)
    for row, column in ((0, 1), (3, 1), (1, 4), (1, 0)):
        with pytest.raises(SettingsError, match=r"has 2 rows and 3 columns"):
            axes.at(row, column)


def test_varying_quality_goes_before_a_number_of_evaluations() -> None:
    axes = varying.plan({"quality": ["draft", "best"]}, Settings(evaluations=3))
    assert [place.settings.evaluations_per_scale for place in axes.places] == [25, 200]
