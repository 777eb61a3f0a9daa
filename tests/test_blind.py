"""`benchmarks/blind.py` hides which picture is which, and counts what readers say."""

import json
from pathlib import Path

import numpy as np
import pytest

from impasto.image.picture import Picture

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_a_blind_comparison_counts_by_majority() -> None:
    from blind import count, places

    assert places("C A=B D") == {"C": 0, "A": 1, "B": 1, "D": 2}
    key = {"one": {"A": "ours", "B": "theirs", "C": "old"}, "two": {"A": "old", "B": "ours", "C": "theirs"}}
    answers = {
        "first": {"one": "A B C", "two": "C A=B"},
        "second": {"one": "A B C", "two": "C B A"},
        "third": {"one": "B A C", "two": "B A C"},
    }
    assert count(key, answers, "ours") == [
        {"against": "old", "better": 2, "equal": 0, "worse": 0},
        {"against": "theirs", "better": 1, "equal": 0, "worse": 1},
    ]
    split = {"first": {"one": "A B C", "two": "A B C"}, "second": {"one": "B A C", "two": "A=B C"}}
    assert count(key, split, "ours")[1] == {"against": "theirs", "better": 1, "equal": 1, "worse": 0}


def test_a_blind_sheet_has_all_pictures_under_letters(tmp_path, monkeypatch) -> None:
    from blind import sheets

    for name in ("ours", "theirs", "old"):
        save(tmp_path / "out" / "one" / f"{name}.png")
    for name in ("photo", "painting"):
        save(tmp_path / f"{name}.png")
    pairs = {"one": {"photo": "photo.png", "painting": "painting.png"}}
    sheets(tmp_path / "out", tmp_path, pairs, seed=1)
    key = json.loads((tmp_path / "out" / "key.json").read_text())
    assert sorted(key["one"]) == ["A", "B", "C"]
    assert sorted(key["one"].values()) == ["old", "ours", "theirs"]
    assert Picture.open(tmp_path / "out" / "sheets" / "one.jpg").width > 3 * 24


def save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Picture.of(np.full((16, 24, 3), 90, np.uint8)).save(path)
