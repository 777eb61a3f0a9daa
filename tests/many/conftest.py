"""A folder with photos and a painting, and a batch of them by processes without torch."""

from pathlib import Path

import pytest

from impasto.config.settings import Settings
from impasto.many import pool
from impasto.many.batch import batch
from many import stub_worker
from many.helping import make_photo


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A current folder with `photos` (a, b, c) and `style.png`."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for number, name in enumerate(("photos/a.png", "photos/b.png", "photos/c.png", "style.png")):
        make_photo(name, number)
    return tmp_path


@pytest.fixture
def stub(place, monkeypatch) -> None:
    """The processes of a batch are those of `stub_worker.py`."""
    monkeypatch.setattr(pool, "COMMAND", stub_worker.COMMAND)


@pytest.fixture
def paint(stub):
    """Return a function that runs a batch of `photos` into `out` and returns it and the events."""

    def run(photos="photos", style="style.png", *, folder="out", settings=None, **options):
        events = []
        options.setdefault("on_event", lambda event: events.append(event) if event["event"] != "beat" else 0)
        found = batch(photos, style, settings or Settings(), folder=folder, **options)
        return found, events

    return run
