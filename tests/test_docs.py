"""What README and docs say is run here: snippets, examples, links, names of options and figures' sources."""

import importlib
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import impasto.network.weights.load
import impasto.transfer.stylize
from impasto.cli.app import app, main
from impasto.cli.flags import Flags
from impasto.cli.samples import sample
from impasto.cli.settings_sources import gather
from impasto.config.output import Output
from impasto.config.runtime import Runtime
from impasto.config.settings import QUALITY, Settings
from impasto.many import pool
from impasto.network.vgg import narrow_weights
from many import stub_worker
from videos import clips

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "ARCHITECTURE.md"]
README = (ROOT / "README.md").read_text()
CLI_PAGE = (ROOT / "docs" / "cli.md").read_text()


GUIDES = [  # pages whose commands and snippets run in `test_commands_and_snippets_of_a_guide_run`
    "README.md",
    *(f"docs/{name}.md" for name in ("files", "grid", "many", "python", "resume", "settings")),
    *(f"docs/{name}.md" for name in ("reproduction", "speed-and-memory", "weights")),
]
LEFT_OUT = (  # downloads, and what test_experiment.py, test_papers.py and the studio's tests run
    "weights fetch", "weights import", "--weights vgg19-original", "impasto experiment", "impasto studio",
    "-o content-relu4_2.png", "-o style-3.png",
)  # fmt: skip


def commands_of(text: str) -> list[str]:
    """Return the calls of impasto in the shell blocks of a page."""
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    return re.findall(r"^(?:\.venv/bin/)?(impasto .*)$", blocks, re.MULTILINE)


def quick(line: str) -> str:
    """Return a command with an eighth of its size in px; of looks, which set their own, two evaluations."""
    line = re.sub(r"--size (\d+)", lambda size: f"--size {max(48, int(size[1]) // 8)}", line)
    line = line.replace("--quality draft", "--evaluations 2").replace("--dpi 200", "--dpi 5")
    return line.replace("--quality instant", "--quality instant --evaluations 2")


@pytest.mark.parametrize("page", GUIDES)
def test_commands_and_snippets_of_a_guide_run(page, tmp_path, monkeypatch, capsys):
    """All of them, in their order, small, on a narrow network; downloads and the experiment are left out."""
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *which: narrow_weights())
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("IMPASTO_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("IMPASTO_EVALUATIONS", "1")
    monkeypatch.setenv("IMPASTO_SIZE", "64")
    monkeypatch.chdir(tmp_path)
    for name, file in (("photo", "photo"), ("other", "photo"), ("painting", "swirl")):
        shutil.copy(sample(file), f"{name}.jpg")
    for name in ("swirl", "ember"):
        shutil.copy(sample(name), f"{name}.jpg")
    monkeypatch.setattr(pool, "COMMAND", stub_worker.COMMAND)  # of `impasto batch`
    Path("photos", "2026").mkdir(parents=True)
    shutil.copy("photo.jpg", "photos/a.jpg")
    shutil.copy("other.jpg", "photos/2026/b.jpg")
    Path("pairs.csv").write_text("photo.jpg,swirl.jpg\nother.jpg,ember.jpg\n")
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [line for line in commands_of(text) if not any(part in line for part in LEFT_OUT)]
    if page == "README.md":
        lines += ["impasto " + line for line in re.findall(r"`impasto (estimate [^`]+)`", text)]
    for line in lines:
        words = shlex.split(quick(line).replace("~/Pictures", "."), comments=True)[1:]
        code = main(words)
        assert code == 0, (line, capsys.readouterr().err)
    snippets = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for snippet in snippets:
        small = snippet.replace("size=384", "size=48, evaluations=2")
        exec(compile(small, page, "exec"), {})
    assert commands_of(text) or snippets


def test_every_page_of_the_documentation_is_in_its_index():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    named = {Path(name) for name in re.findall(r"\]\(([^)]+\.md)\)", index)}
    assert named == {page for page in pages if page.parts[0] != "decisions" and page.name != "README.md"}


@pytest.mark.slow
def test_the_page_about_films_runs(tmp_path, monkeypatch, capsys):
    """Commands and the snippet, small and on a narrow network, on a clip of four frames."""
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *which: narrow_weights())
    for name, value in (("EVALUATIONS", "1"), ("SIZE", "64"), ("CACHE_DIR", str(tmp_path / "cache"))):
        monkeypatch.setenv(f"IMPASTO_{name}", value)
    monkeypatch.chdir(tmp_path)
    clips.write(Path("clip.mp4"), clips.panned(4), sound=True)
    half = np.zeros((48, 64, 3), np.uint8)
    half[:, :32] = 255
    clips.write(Path("mask.mp4"), [half] * 4)
    for name, file in (("painting", "swirl"), ("ember", "ember")):
        shutil.copy(sample(file), f"{name}.jpg")
    text = (ROOT / "docs" / "video.md").read_text(encoding="utf-8")
    for line in commands_of(text):
        assert main(shlex.split(quick(line))[1:]) == 0, (line, capsys.readouterr().err)
    for snippet in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(snippet.replace("size=384", "size=48, evaluations=2"), "video.md", "exec"), {})
    films = ("clip-painting", "part", "every-second", "in-ten-minutes", "masks", "python")
    assert all(Path(f"{name}.mp4").exists() for name in films)
    assert Path("film.webp").exists()
    assert Path("film.gif").exists()


@pytest.mark.parametrize("page", ["regions", "styles"])
def test_the_pages_about_styles_run(page, tmp_path, monkeypatch, capsys):
    """Commands and the snippet, small and on a narrow network, with masks as the gallery draws them."""
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *which: narrow_weights())
    for name, value in (("EVALUATIONS", "1"), ("SIZE", "96"), ("CACHE_DIR", str(tmp_path / "cache"))):
        monkeypatch.setenv(f"IMPASTO_{name}", value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    importlib.import_module("make_gallery").draw_masks(tmp_path)
    with Image.open("starry_night.jpg") as painting:
        half = np.repeat([[255, 0]], painting.height, axis=0).repeat(painting.width // 2, axis=1)
    Image.fromarray(half.astype(np.uint8)).save("left-half.png")
    text = (ROOT / "docs" / "control" / f"{page}.md").read_text()
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    lines = re.findall(r"^impasto .*$", blocks, re.MULTILINE)
    assert len(lines) >= 4
    for line in lines:
        code = main(shlex.split(line)[1:])
        assert code == 0, (line, capsys.readouterr().err)
    if page == "regions":
        assert re.search(r"^regions: .*none$", text, re.MULTILINE).group() in capsys.readouterr().err


@pytest.mark.parametrize("page", ["statistics", "content", "clean"])
def test_the_pages_about_the_losses_run(page, tmp_path, monkeypatch, capsys):
    """Commands and the snippet, small and on a narrow network."""
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *which: narrow_weights())
    cache = str(tmp_path / "cache")
    for name, value in (("EVALUATIONS", "1"), ("SIZE", "96"), ("CACHE_DIR", cache)):
        monkeypatch.setenv(f"IMPASTO_{name}", value)
    monkeypatch.chdir(tmp_path)
    for name, file in (("photo", "photo"), ("painting", "swirl")):
        shutil.copy(sample(file), f"{name}.jpg")
    text = (ROOT / "docs" / "control" / f"{page}.md").read_text()
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    lines = re.findall(r"^impasto .*$", blocks, re.MULTILINE)
    assert len(lines) >= 3
    for line in lines:
        code = main(shlex.split(line)[1:])
        assert code == 0, (line, capsys.readouterr().err)
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(snippet.replace("size=384", "size=96, evaluations=1"), page, "exec"), {})


def test_the_page_about_color_runs(tmp_path, monkeypatch, capsys):
    """Its commands, its snippet and its settings file, small and on a narrow network."""
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *which: narrow_weights())
    for name, value in (("EVALUATIONS", "1"), ("CACHE_DIR", str(tmp_path / "cache"))):
        monkeypatch.setenv(f"IMPASTO_{name}", value)
    monkeypatch.chdir(tmp_path)
    for name, file in (("photo", "photo"), ("painting", "swirl")):
        shutil.copy(sample(file), f"{name}.jpg")
    text = (ROOT / "docs" / "control" / "color.md").read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    lines = re.findall(r"^impasto .*$", blocks, re.MULTILINE)
    assert len(lines) == 8
    for line in lines:
        words = [*shlex.split(line.replace(" --size 256", ""))[1:], "--size", "96"]
        assert main(words) == 0, (line, capsys.readouterr().err)
    (snippet,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(snippet.replace("size=384", "size=96, evaluations=1"), "color.md", "exec"), {})
    assert Path("painted.png").stat().st_size > 1000
    (table,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    Path("x.toml").write_text(table)
    chosen = gather(Flags.of({"settings": "x.toml"}), {}).settings
    assert (chosen.color, chosen.color_amount) == ("luminance", 0.5)


def test_pictures_of_the_pages_are_laid_side_by_side(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    for name, size in (("wide", (60, 30)), ("high", (20, 40))):
        Image.new("RGBA", size, (200, 0, 0, 128)).save(tmp_path / f"{name}.png")
    files = [tmp_path / "wide.png", tmp_path / "high.png"]
    importlib.import_module("make_pictures").join(files, tmp_path / "row.jpg", 20)
    with Image.open(tmp_path / "row.jpg") as row:
        assert row.mode == "RGB"
        assert row.height == 20
    hero = importlib.import_module("make_hero").arranged(files[0], files[1], files[0])
    assert hero.bands == 3
    assert hero.width > 60


def test_the_gallery_is_made_of_its_rows(monkeypatch):
    """The page is what the script makes; its pictures are those of the rows."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    gallery = importlib.import_module("make_gallery")
    parts = {name: gallery.rows(name) for name in gallery.PARTS}
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert text == gallery.page(parts), "run scripts/make_gallery.py"
    shown = {row["name"] for rows in parts.values() for row in rows}
    assert shown == {path.stem for path in (ROOT / "docs" / "pictures" / "gallery").iterdir()}


CONTROL = ["strength"]  # pages of docs/control


@pytest.mark.parametrize("name", CONTROL)
def test_commands_and_snippets_of_a_page_of_control_run(name, tmp_path, monkeypatch, capsys):
    """All of them, in their order, small and on a narrow network."""
    text = (ROOT / "docs" / "control" / f"{name}.md").read_text(encoding="utf-8")
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *which: narrow_weights())
    monkeypatch.setenv("IMPASTO_EVALUATIONS", "1")
    monkeypatch.chdir(tmp_path)
    shutil.copy(sample("photo"), "photo.jpg")
    shutil.copy(sample("swirl"), "painting.jpg")
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    lines = re.findall(r"^impasto .*$", blocks, re.MULTILINE)
    assert lines
    for line in lines:
        words = shlex.split(re.sub(r"--size \d+", "", line), comments=True)[1:]
        if "--preset" in words:  # which has evaluations of its own
            words += ["--evaluations", "2"]
        assert main([*words, "--size", "48"]) == 0, (line, capsys.readouterr().err)
    for snippet in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        quick = snippet.replace("size=384", "size=48, evaluations=2")
        assert quick != snippet
        exec(compile(quick, name, "exec"), {})


def test_the_settings_file_of_the_page_of_settings_is_one(tmp_path):
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "x.toml").write_text(text)
    chosen = gather(Flags.of({"settings": str(tmp_path / "x.toml")}), {})
    assert (chosen.preset, chosen.settings.style_weight, chosen.settings.init) == ("paper", 50, "noise")
    assert (chosen.runtime.threads, chosen.output.bits) == (2, 16)


@pytest.mark.parametrize("name", ["simple", "own_loss"])
def test_examples_run(name, tmp_path, monkeypatch):
    """On a narrow network."""
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *which: narrow_weights())
    output = tmp_path / "out.png"
    monkeypatch.setattr(sys, "argv", [name, str(output)])
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    assert output.stat().st_size > 1000


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads((ROOT / "examples" / "notebook.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 4
    space = {}
    for number, source in enumerate(code, start=1):
        exec(compile(source, f"cell {number}", "exec"), space)
    assert space["again"].recipe.reproducible
    assert len(space["grid"].cells) == 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_tests_named_on_the_page_of_reliability_exist():
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", text)
    assert len(named) > 20
    for file, test in named:
        (path,) = (ROOT / "tests").rglob(file)  # one, and only one
        source = path.read_text(encoding="utf-8")
        assert not test or f"def {test}(" in source, f"{file}::{test}"


def test_no_figure_is_left_open():
    for page in PAGES:
        assert "@@" not in page.read_text(), page


def test_options_named_in_the_guides_and_about_control_exist():
    ours = set(re.findall(r"--[a-z][a-z-]+", CLI_PAGE)) | {"--help"}
    pages = [ROOT / "docs" / "gallery.md", *(ROOT / "docs" / "control").iterdir()]
    pages += [ROOT / name for name in (*GUIDES, "docs/troubleshooting.md", "docs/video.md")]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        text = re.sub(
            r"^(?:pipx|uv|ray|RAY_\w+=\w+ ray|#SBATCH) .*$", "", text, flags=re.MULTILINE
        )  # which have options of their own
        named = set(re.findall(r"(?<!pip)\s?`?(--[a-z][a-z-]+)", text))
        assert named <= ours, (page.name, named - ours)


def test_commands_named_in_the_guides_exist():
    known = {name for name in app if not name.startswith("-")}
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in GUIDES]
    lines = [line for text in texts for line in commands_of(text)]
    verbs = {match[1] for line in lines if (match := re.match(r"impasto ([a-z]+)(?: |$)", line))}
    assert len(verbs) > 5
    assert verbs <= known


def test_the_readme_is_short():
    lines = README.splitlines()
    assert len(lines) <= 150
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("columns", ["40", "200"])
def test_the_page_of_commands_is_what_the_program_says(columns):
    environment = os.environ | {"COLUMNS": columns, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, str(ROOT / "scripts" / "make_docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_of_commands_has_every_field_and_variable():
    for model in (Settings, Runtime, Output):
        for name in model.model_fields:
            assert f"`--{name.replace('_', '-')}" in CLI_PAGE
            assert f"`IMPASTO_{name.upper()}`" in CLI_PAGE


def test_readme_states_the_defaults():
    assert f"`{Settings().strength:g}` (the default)" in README
    assert "for 25, 60 and 200" in README
    assert list(QUALITY.values()) == [25, 60, 200]
    assert "at most 512 px" in README


def test_readme_names_the_two_commands():
    assert "scripts/demo" in README
    assert "scripts/test" in README
