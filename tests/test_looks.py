"""Each measure of `benchmarks/looks.py` tells a clean picture from one with its defect, and no other."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
HEIGHT, WIDTH = 240, 320
REACTS = {"specks": 20, "frame": 2, "lattice": 3, "ghost": 5}  # times what the clean picture has, at least
STAYS = 1.25  # times, at most, by another


@pytest.fixture
def looks(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import looks

    return looks


def smooth(seed: int, sigma: float, size=(HEIGHT, WIDTH)) -> np.ndarray:
    """Return smooth noise (H, W) of standard deviation 1."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=size), sigma)
    return (noise - noise.mean()) / noise.std()


def photo() -> np.ndarray:
    """Return a picture with sharp edges: flat shapes (H, W, 3) in [0, 1]."""
    shapes = np.stack([smooth(seed, 12) > 0 for seed in (1, 2, 3)], -1).astype(float)
    return ndimage.gaussian_filter(0.25 + 0.5 * shapes, (0.5, 0.5, 0))


def painted() -> np.ndarray:
    """Return the photo's shapes moved by some pixels and painted with strokes of 5 px, (H, W, 3)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    where = [rows + 6 * smooth(7, 20), columns + 6 * smooth(8, 20)]
    moved = np.stack([ndimage.map_coordinates(one, where, order=1, mode="mirror") for one in
                      np.moveaxis(photo(), -1, 0)], -1)  # fmt: skip
    strokes = 0.05 * np.sin(smooth(4, 14) * 25) + 0.02 * smooth(5, 1.2)
    return (ndimage.gaussian_filter(moved, (1.5, 1.5, 0)) + strokes[..., None]).clip(0, 1)


def with_specks(picture: np.ndarray) -> np.ndarray:
    """Return it with sparks of 1 to 2 px: white, and as light as they are but of another color."""
    random, found = np.random.default_rng(9), picture.copy()
    for number in range(60):
        row, column, edge = random.integers(HEIGHT - 2), random.integers(WIDTH - 2), 1 + number % 2
        spot = found[row : row + edge, column : column + edge]
        spot += 0.4 if number % 4 < 2 else np.array([0.4, -0.204, 0.0])
    return found.clip(0, 1)


def with_frame(picture: np.ndarray) -> np.ndarray:
    """Return it with a pale line of 5 px along the right edge."""
    found = picture.copy()
    found[:, -5:] = 0.6 * found[:, -5:] + 0.4
    return found


def with_lattice(picture: np.ndarray) -> np.ndarray:
    """Return it with a weave of 4 px of 3 levels of 8 bits up and down."""
    weave = np.cos(np.pi / 2 * np.arange(WIDTH)) + np.cos(np.pi / 2 * np.arange(HEIGHT))[:, None]
    return (picture + 3 / 255 * weave[..., None]).clip(0, 1)


def with_ghost(picture: np.ndarray) -> np.ndarray:
    """Return it with the thin lines of the photo, where they were before the shapes moved."""
    lines = photo() - ndimage.gaussian_filter(photo(), (1, 1, 0))
    return (picture + 0.6 * lines).clip(0, 1)


DEFECTS = {"specks": with_specks, "frame": with_frame, "lattice": with_lattice, "ghost": with_ghost}
LEAST = {"specks": 0.1, "frame": 0.1, "lattice": 0.1, "ghost": 0.003}  # a change below which nothing is seen


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_measure_reacts_to_its_own_defect_and_to_no_other(looks, defect) -> None:
    clean = looks.measures(painted(), photo())
    found = looks.measures(DEFECTS[defect](painted()), photo())
    for name, value in found.items():
        if name == defect:
            assert value > max(REACTS[name] * clean[name], LEAST[name]), (name, clean, found)
        else:
            assert value < STAYS * clean[name] + LEAST[name], (name, clean, found)


def test_the_bounds_of_the_table_lie_between_good_and_bad(looks) -> None:
    bounds = {"frame": 1.3, "lattice": 1.5, "ghost": 0.01}
    clean = looks.measures(painted(), photo())
    for name, bound in bounds.items():
        found = looks.measures(DEFECTS[name](painted()), photo())
        assert clean[name] < bound < found[name], (name, clean[name], found[name])


def test_numbers_by_hand(looks) -> None:
    flat = np.full((64, 64, 3), 0.5)
    found = looks.measures(flat, flat)
    assert found == pytest.approx({"specks": 0.0, "frame": 0.0, "lattice": 0.0, "ghost": 0.0}, abs=1e-9)
    dots = flat.copy()
    dots[10, 10], dots[30:32, 40:42] = 0.75, 0.25  # five pixels of 4096
    assert looks.specks(dots) == pytest.approx(1000 * 5 / 4096)
    lines = flat.copy()
    lines[:, 20], lines[33:35] = 0.9, 0.1  # lines are no specks, nor is a field
    lines[50:60, 50:60] = 0.9
    assert looks.specks(lines) == 0
    edged = np.broadcast_to(np.arange(64)[:, None, None] / 64, (64, 64, 3)).copy()
    assert looks.frame(edged) == pytest.approx(1, abs=0.01)  # a slope is the same everywhere
    edged[:6] -= 9 / 64  # the step between bands of 6 and 12 px is 9 lines of the slope
    assert looks.frame(edged) == pytest.approx(2, abs=0.02)


def test_the_command_prints_a_row_for_each_picture(looks, tmp_path, monkeypatch, capsys) -> None:
    for name, picture in (("photo", photo()), ("one", painted()), ("two", with_specks(painted()))):
        Image.fromarray((picture * 255).round().astype(np.uint8)).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / f"{name}.png") for name in ("one", "two", "photo")]
    report = tmp_path / "looks.json"
    words = ["looks.py", *files[:2], "--photo", files[2], "--painting", files[2], "--json", str(report)]
    monkeypatch.setattr(sys, "argv", words)
    looks.main()
    rows = json.loads(report.read_text())
    assert [row["picture"] for row in rows] == ["photo", "photo", "one", "two"]
    assert rows[3]["specks"] > rows[2]["specks"]
    assert "| two |" in capsys.readouterr().out
