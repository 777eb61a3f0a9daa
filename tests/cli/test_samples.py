import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.cli.samples import NAMES, Name, sample

SIZES: dict[Name, tuple[int, int]] = {
    "photo": (600, 400),
    "swirl": (640, 512),
    "ember": (640, 512),
    "starry_night": (640, 400),
    "the_scream": (503, 640),
}
LARGEST: dict[Name, int] = {
    "photo": 150_000,
    "swirl": 300_000,
    "ember": 300_000,
    "starry_night": 150_000,
    "the_scream": 150_000,
}
PUBLIC_DOMAIN: tuple[Name, ...] = ("starry_night", "the_scream")
ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "make_samples.py"
IMAGES = ROOT.parent / "shared" / "images"


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float64)


@pytest.mark.parametrize("name", NAMES)
def test_sample_opens_with_its_size(name: Name) -> None:
    with Image.open(sample(name)) as picture:
        picture.load()
        assert picture.format == "JPEG"
        assert picture.mode == "RGB"
        assert picture.size == SIZES[name]


def test_samples_are_small_files() -> None:
    sizes = {name: sample(name).stat().st_size for name in NAMES}
    assert all(sizes[name] < LARGEST[name] for name in NAMES)
    assert sum(sizes.values()) < 750_000


@pytest.mark.parametrize("name", ["swirl", "ember"])
def test_paintings_are_full_of_strokes_and_colour(name: Name) -> None:
    picture = pixels(sample(name))
    grey = picture.mean(axis=2)
    assert np.abs(np.diff(grey, axis=1)).mean() > 11  # the photo: 7; swirl: 17; ember: 14
    assert picture.std(axis=(0, 1)).min() > 25


def test_unknown_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="there are photo, swirl, ember, starry_night, the_scream"):
        sample("mona-lisa")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PUBLIC_DOMAIN)
def test_reduced_paintings_are_those_of_the_shared_pictures(name: Name, tmp_path: Path) -> None:
    if not IMAGES.is_dir():
        pytest.skip("the shared pictures are not here")
    file = sample(name).name
    script = runpy.run_path(str(SCRIPT))
    script["reduce"](IMAGES / file, tmp_path / file, script["REDUCED"][file])
    assert np.array_equal(pixels(tmp_path / file), pixels(sample(name)))


@pytest.mark.slow
def test_script_makes_the_shipped_samples(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    command = [sys.executable, str(SCRIPT), "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for name in (name for name in NAMES if name not in PUBLIC_DOMAIN):
        made, shipped = pixels(tmp_path / sample(name).name), pixels(sample(name))
        assert made.shape == shipped.shape
        assert np.abs(made - shipped).mean() < 3.0, name
