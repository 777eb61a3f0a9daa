"""`watch`: photos that appear, each once it is complete; restarts; names that collide."""

import os
from itertools import islice
from pathlib import Path

import pytest

from impasto.config.settings import Settings
from impasto.errors import Stop
from impasto.many import watch as module
from impasto.many.batch import batch
from impasto.many.jobs import plan_jobs
from impasto.many.watch import Watch
from many.helping import files, make_photo, spec


def looks(watch: Watch, count: int = 1) -> list[str]:
    """Return what appears in so many looks into the folder."""
    found, stream = [], iter(watch)
    for _ in range(count):
        watch._due = 0.0
        for job in stream:
            if job is None:
                break
            found.append(job.photo.path)
    return found


@pytest.fixture
def watch(place) -> Watch:
    return Watch(plan_jobs(spec(), empty=True), every=1000.0)


def test_a_photo_is_taken_once_it_stands_still(watch) -> None:
    assert looks(watch) == []  # seen for the first time
    assert looks(watch) == ["photos/a.png", "photos/b.png", "photos/c.png"]
    make_photo("photos/d.png")
    half = Path("photos/d.png").read_bytes()[:40]
    Path("photos/d.png").write_bytes(half)
    assert looks(watch) == []
    make_photo("photos/d.png", 7)  # still written
    assert looks(watch) == []
    assert looks(watch) == ["photos/d.png"]
    assert looks(watch, 3) == []


def test_a_photo_that_changes_is_taken_again_and_an_empty_one_waits(watch) -> None:
    looks(watch, 2)
    make_photo("photos/a.png", 9)
    os.utime("photos/a.png", ns=(1, 1))
    Path("photos/new.png").touch()
    assert looks(watch, 2) == ["photos/a.png"]


def test_a_name_that_is_taken_is_left_out(watch, caplog) -> None:
    looks(watch, 2)
    make_photo("photos/A.png", 9)
    Path("photos/A.png").rename("photos/a.PNG")
    assert looks(watch, 4) == []
    expected = "photos/a.PNG is left out, for its result would have the name of that of photos/a.png"
    assert [record.message for record in caplog.records] == [expected]


def test_a_folder_that_is_away_for_a_while_is_no_error(watch) -> None:
    looks(watch, 2)
    Path("photos").rename("away")
    assert looks(watch, 2) == []
    make_photo("away/z.png")
    Path("away").rename("photos")
    assert looks(watch, 2) == ["photos/z.png"]


def test_a_batch_watches_until_it_is_stopped_and_continues_after_a_restart(stub, monkeypatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.05)
    seen = []

    def on_event(event) -> None:
        if event["event"] == "done":
            seen.append(event["file"])
            if len(seen) == 3:
                make_photo("photos/later.png", 9)
        if len(seen) == 4:
            raise Stop("enough")

    done = batch("photos", "style.png", Settings(), folder="out", watch=True, on_event=on_event)
    assert (done.made, done.stopped) == (4, "enough")
    assert files() == ["a-style.png", "b-style.png", "c-style.png", "later-style.png"]

    def until_all_are_there(event) -> None:
        if event["event"] == "skipped":
            seen.append(event["file"])
        if len(seen) == 8:
            raise Stop("enough")

    assert batch("photos", "style.png", folder="out", watch=True, on_event=until_all_are_there).there == 4
    assert list(islice(seen, 4, 8)) == files()
