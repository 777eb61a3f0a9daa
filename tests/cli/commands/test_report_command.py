"""`--report` and `impasto report`: pages beside pictures, and about them later."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import impasto.network.weights.load
import impasto.transfer.stylize
from cli.test_commands import folder, paint  # noqa: F401  (the fixture starts every test in its folder)
from config.test_recipe import recipe
from impasto.cli.app import main
from impasto.config.settings import Settings
from impasto.errors import ExitCode
from impasto.image.picture import Picture
from impasto.image.xmp import read_recipe
from impasto.losses.loss import Penalty
from impasto.reports.result_page import RunCapture
from impasto.transfer.stylize import stylize
from reports.test_html import check


def page(name: str) -> str:
    text = Path(name).read_text(encoding="utf-8")
    check(text)
    return text


# --- the switch ----------------------------------------------------------------------------------


def test_the_switch_writes_a_page_beside_the_picture(capsys) -> None:
    Path("deep").mkdir()
    assert paint("-o", "deep/out.png", "--report", "--recipe", "--json") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    written = ("deep/out.png", "deep/out.json", "deep/out.html")
    assert (told["path"], told["recipe_path"], told["report_path"]) == written
    text = page("deep/out.html")
    assert "All 2 evaluations as numbers" in text
    assert str(Path.cwd()) not in text
    plain = paint("-o", "plain.png")
    assert plain == 0
    assert read_recipe("plain.png").pixels_sha256 == read_recipe("deep/out.png").pixels_sha256


def test_the_page_is_named_and_knows_of_a_stripped_picture(capsys) -> None:
    assert paint("-o", "out.png", "--report", "--metadata", "strip") == 0
    assert "the page about it: out.html" in capsys.readouterr().err
    assert "saved without its recipe" in page("out.html")


@pytest.mark.slow
def test_demo_and_reproduce_have_the_switch(capsys) -> None:
    assert paint("-o", "out.png") == 0
    assert main(["reproduce", "out.png", "--report"]) == 0
    assert "All 2 evaluations" in page("out-again.html")
    assert main(["demo", "--size", "32", "--report"]) == 0
    assert main(["demo", "--size", "32", "--report"]) == 0
    for name in ("demo.html", "demo-2.html"):
        assert "Before and after" in page(name)


@pytest.mark.slow
def test_the_page_never_takes_the_place_of_a_file(capsys) -> None:
    Path("out.html").write_text("mine")
    assert paint("-o", "out.png", "--report") == ExitCode.RESOURCE
    assert "out.html exists already" in capsys.readouterr().err
    assert not Path("out.png").exists()
    assert Path("out.html").read_text() == "mine"
    assert paint("-o", "out.png", "--report", "--force") == 0
    assert "<html" in page("out.html")
    Path("photo-painting.html").write_text("mine")
    assert paint("--report") == 0
    assert Path("photo-painting.html").read_text() == "mine"
    assert "<html" in page("photo-painting-2.html")


def test_the_page_needs_a_file(capsys) -> None:
    assert paint("-o", "-", "--report") == ExitCode.USAGE
    assert "--report needs a file" in capsys.readouterr().err


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def out(capsys) -> str:
    assert paint("-o", "out.png", "--min-size", "24", "--style-weight", "300") == 0
    capsys.readouterr()
    return "out.png"


@pytest.mark.slow
def test_report_makes_the_picture_again_and_a_page(capsys, out) -> None:
    before = Path(out).read_bytes()
    assert main(["report", out]) == 0
    said = capsys.readouterr()
    assert said.out == "out.html\n"
    assert "making the picture again for its losses; the first time took " in said.err
    assert "gave the same pixels" in said.err
    text = page("out.html")
    for words in ("gave the same pixels", "The course</h2>", "All 4 evaluations", "Before and"):
        assert words in text
    assert Path(out).read_bytes() == before


def test_report_takes_a_recipe_file_and_folders(capsys, out) -> None:
    Path("only.json").write_text(read_recipe(out).to_json())
    Path("inputs").mkdir()
    for name in ("photo.png", "painting.png"):
        shutil.move(name, f"inputs/other-{name}")
    Path(out).unlink()
    assert main(["report", "only.json", "--inputs", "inputs", "-o", "p.htm", "-q"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("p.htm\n", "")
    assert "All 4 evaluations" in page("p.htm")


def test_quick_does_not_make_the_picture_again(capsys, out, monkeypatch) -> None:
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", None)
    assert main(["report", out, "--quick"]) == 0
    text = page("out.html")
    assert "The course</h2>" not in text
    assert "as numbers" not in text
    assert "was not made again" in text
    assert "Before and after" in text
    assert f"{read_recipe(out).losses['total']:.6g}" in text


def test_quick_does_without_inputs_that_are_missing_and_says_so(capsys, out) -> None:
    Path("photo.png").unlink()
    assert main(["report", out, "--quick"]) == 0
    assert "not found, and not on the page: photo.png; --inputs DIR" in capsys.readouterr().err
    text = page("out.html")
    assert "Not at hand when this page was made: photo.png." in text
    assert "Before and after" not in text
    assert 'alt="The painting painting.png"' in text


def test_quick_takes_a_picture_that_cannot_be_made_again(capsys, narrow) -> None:
    own = [Penalty(lambda features: features["image"].mean())]
    settings = Settings(size=48, evaluations=1)
    stylize("photo.png", "painting.png", settings, extra_losses=own).save("out.png")
    assert main(["report", "out.png"]) == ExitCode.USAGE
    assert "of the caller's own; --quick makes a page without it" in capsys.readouterr().err
    assert main(["report", "out.png", "--quick"]) == 0
    assert "It cannot be made again" in page("out.html")


@pytest.mark.slow
def test_ctrl_c_gives_a_page_of_what_there_is(capsys, out, monkeypatch) -> None:
    whole = RunCapture.step

    def step(self, step) -> None:
        whole(self, step)
        if step.evaluations == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunCapture, "step", step)
    assert main(["report", out]) == ExitCode.INTERRUPTED
    assert capsys.readouterr().out == "out.html\n"
    text = page("out.html")
    assert "only in part" in text
    assert "All 3 evaluations" in text
    assert read_recipe(out).pixels_sha256 in text  # the page is about the picture that was given
    assert paint("-o", "cut.png", "--min-size", "24", "--report") == ExitCode.INTERRUPTED
    assert "All 3 evaluations" in page("cut.html")


@pytest.mark.slow
def test_other_pixels_are_said_on_the_page(capsys, out) -> None:
    made = read_recipe(out)
    Path("x.json").write_text(made.changed(pixels_sha256="0" * 64, impasto="0.0.1").to_json())
    assert main(["report", "x.json"]) == 0
    assert "did not give the same pixels (impasto was 0.0.1, is " in page("x.html")


def test_names_of_files_cannot_write_into_the_page(capsys, out) -> None:
    name = '<img src=x onerror="alert(1)">.png'
    shutil.copy("photo.png", name)
    assert main([name, "painting.png", "--size", "48", "--evaluations", "1", "--report"]) == 0
    (made,) = Path().glob("<img*.html")
    assert "&lt;img src=x onerror=&#34;" in page(str(made))
    picture = made.with_suffix(".png")
    made.unlink()
    assert main(["report", str(picture), "--quick"]) == 0
    page(str(made))


# --- bad input -----------------------------------------------------------------------------------

BAD = [
    (["photo.png"], 2, "photo.png holds no recipe"),
    (["missing.png"], 2, "missing.png does not exist"),
    ([], 2, "PICTURE is missing"),
    (["out.png", "-o", "there.html"], 3, "there.html exists already"),
    (["out.png", "-o", "nowhere/x.html"], 3, "the folder nowhere does not exist"),
    (["out.png", "-o", "x.png"], 2, "the name must end in .html"),
    (["out.png", "-o", "-"], 2, "a page needs a file"),
    (["out.png", "-o", ""], 2, "a page needs a file"),
    (["out.png", "--inputs", "nowhere"], 2, "nowhere is no folder"),
    (["out.png", "--quick", "--inputs", "nowhere"], 2, "nowhere is no folder"),
    (["lost.json"], 2, "input not found: photo.jpg ("),
    (["lost.json"], 2, "; --quick makes a page without it"),
    (["lost.json", "--quick"], 2, "--quick needs the picture itself"),
    (["out.png", "--weights", "nothing.pth"], 4, "nothing.pth"),
    (["out.png", "--quik"], 2, "--quik"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD)
def test_bad_input_is_one_line(capsys, out, arguments, code, words) -> None:
    Path("there.html").write_text("mine")
    Path("folder.html").mkdir()
    Path("lost.json").write_text(recipe().to_json())
    assert main(["report", *arguments]) == code
    said = capsys.readouterr()
    assert said.out == ""
    last = said.err.splitlines()[-1]
    assert last.startswith("impasto: error: ")
    assert words in last
    assert "Traceback" not in said.err
    assert Path("there.html").read_text() == "mine"


def test_a_page_never_takes_the_place_of_an_input(capsys, out) -> None:
    shutil.move("photo.png", "photo.html")  # known by content, not by name
    before = Path("photo.html").read_bytes()
    for quick in ([], ["--quick"]):
        assert main(["report", out, "-o", "photo.html", "--force", *quick]) == ExitCode.USAGE
        assert "is also an input" in capsys.readouterr().err
    assert Path("photo.html").read_bytes() == before
    assert Picture.open("photo.html").width == 64


def test_help_does_not_import_torch_or_matplotlib() -> None:
    code = (
        "import sys; from impasto.cli.app import main; code = main(['report', '--help']);"
        "assert not {'torch', 'matplotlib'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--quick" in done.stdout
