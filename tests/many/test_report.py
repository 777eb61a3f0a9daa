"""The status of a folder, from its files and its manifests."""

from pathlib import Path

import pytest

from impasto.config.settings import Settings
from impasto.errors import InputError
from impasto.many.report import status
from many.helping import make_photo


def test_what_is_done_missing_stale_and_failed(paint, monkeypatch) -> None:
    monkeypatch.setenv("STUB_SECONDS", "0.2")
    make_photo("photos/broken.png")
    for number in range(3):
        make_photo(f"photos/more{number}.png", 30 + number)
    paint()
    Path("out/a-style.png").unlink()
    make_photo("photos/b.png", 9)
    Path("out/more1-style.png").unlink()
    found = status(Path("out"))
    assert (found.jobs, found.done) == (7, 3)
    assert found.missing == ["a-style.png", "more1-style.png"]
    assert found.stale == ["b-style.png"]
    assert [item.photo.rpartition("/")[2] for item in found.failed] == ["broken.png"]
    assert found.seconds == pytest.approx(0.2 * 2 / 2, rel=0.1)  # two workers
    assert found.workers == 2


def test_shards_are_seen_together_and_settings_are_those_asked_for_last(paint) -> None:
    paint(shard="1/2")
    found = status(Path("out"))
    assert (found.jobs, found.done + len(found.missing)) == (3, 3)
    paint(shard="2/2")
    assert status(Path("out")).done == 3
    paint(settings=Settings(size=64))
    assert len(status(Path("out")).stale) == 3


def test_it_works_from_another_folder(paint, monkeypatch, tmp_path_factory) -> None:
    paint()
    folder = Path("out").absolute()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert status(folder).done == 3


def test_a_folder_without_a_manifest_is_refused(place) -> None:
    with pytest.raises(InputError, match="no manifest of a batch"):
        status(Path("photos"))
    with pytest.raises(InputError, match="cannot read the folder none"):
        status(Path("none"))
