"""What README and docs say is run here: snippets, examples, links, names of options and figures' sources."""

import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from impasto.samples import sample
from impasto.settings import QUALITY, Runtime, Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "ARCHITECTURE.md"]
README = (ROOT / "README.md").read_text()


def test_python_snippet_of_the_readme_runs(tmp_path, monkeypatch):
    shutil.copy(sample("photo"), tmp_path / "photo.jpg")
    shutil.copy(sample("swirl"), tmp_path / "painting.jpg")
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    quick = snippet.replace("size=384", "size=48, evaluations=2")
    assert quick != snippet
    exec(compile(quick, "README.md", "exec"), {})
    assert (tmp_path / "painted.png").stat().st_size > 1000


@pytest.mark.parametrize("name", ["simple", "own_loss"])
def test_examples_run(name, tmp_path, monkeypatch):
    output = tmp_path / "out.png"
    monkeypatch.setattr(sys, "argv", [name, str(output)])
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    assert output.stat().st_size > 1000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_no_figure_is_left_open():
    for page in PAGES:
        assert "@@" not in page.read_text(), page


def test_options_named_in_the_readme_exist():
    fields = {
        "--" + name.replace("_", "-") for name in [*Settings.model_fields, *Runtime.model_fields]
    }
    ours = fields | {
        "--preset",
        "--recipe",
        "--save-every",
        "--style-weights",
        "--help",
        "--device",
    }
    named = set(re.findall(r"(?<!pip)\s?`?(--[a-z][a-z-]+)", README))
    assert named <= ours, named - ours


def test_readme_states_the_defaults():
    assert f"`{Settings().style_weight:.0f}` (the default)" in README
    assert "for 25, 60 and 200" in README
    assert list(QUALITY.values()) == [25, 60, 200]
    assert "at most 512 px" in README


def test_readme_names_the_two_commands():
    assert "scripts/demo" in README
    assert "scripts/test" in README
