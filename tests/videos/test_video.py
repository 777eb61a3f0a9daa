"""`FilmSettings`: times as they are typed, ranges."""

import subprocess
import sys

import pytest

import impasto
from impasto.errors import ResourceError, SettingsError
from impasto.videos import video as module
from impasto.videos.video import FilmSettings


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12.5", 12.5), ("90s", 90), ("1:30", 90), ("0:01:30.5", 90.5), ("1h30m", 5400), ("2m", 120), (7, 7)],
)
def test_times_are_read_as_people_type_them(text, seconds) -> None:
    assert FilmSettings(from_=text).from_ == seconds


@pytest.mark.parametrize("text", ["1:75", "a:b", "1:2:3:4", "-1:30", "1:nan", "soon"])
def test_other_texts_are_refused(text) -> None:
    with pytest.raises(SettingsError, match="must be a"):
        FilmSettings(from_=text)


def test_an_end_before_the_beginning_is_refused() -> None:
    with pytest.raises(SettingsError, match="the end, 3 s, must be after the beginning, 5 s"):
        FilmSettings(from_=5, to=3)


def test_steadiness_lies_between_0_and_1() -> None:
    assert FilmSettings().steadiness == 0.5
    with pytest.raises(SettingsError, match="steadiness: must be 1 or less"):
        FilmSettings(steadiness=1.5)


def test_missing_packages_are_named_in_one_line(monkeypatch, tmp_path) -> None:
    """All names of impasto are there without them."""
    assert callable(impasto.video)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ResourceError, match=r'pip install "impasto\[video\]"'):
        impasto.video("clip.mp4", "painting.jpg", tmp_path / "film.mp4")


def test_its_names_are_there_without_torch_and_the_packages() -> None:
    code = (
        "import sys, impasto; impasto.video, impasto.Film, impasto.FilmSettings; "
        "print([name for name in ('torch', 'av', 'cv2', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
