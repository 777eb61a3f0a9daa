import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from impasto.system import digests, files
from impasto.system.digests import forget, verified

OLD, NEW = b"some bytes", b"some bytex"
RIGHT = hashlib.sha256(OLD).hexdigest()


@pytest.fixture(autouse=True)
def counted(tmp_path, monkeypatch):
    """An empty cache folder, and how often a file was read."""
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "cache"))
    calls, real = [], hashlib.file_digest
    monkeypatch.setattr(digests.hashlib, "file_digest", lambda *a: calls.append(1) or real(*a))
    return calls


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "SETTLED", -1.0)  # so that a test need not wait
    (tmp_path / "file").write_bytes(OLD)
    return tmp_path / "file"


def test_right_and_wrong(file, counted):
    assert verified(file, RIGHT)
    assert not verified(file, "0" * 64)
    with pytest.raises(FileNotFoundError):
        verified(file.with_name("none"), RIGHT)


def test_an_unchanged_file_is_read_once(file, counted):
    assert [verified(file, RIGHT) for _ in range(5)] == [True] * 5
    assert len(counted) == 1
    forget()
    assert verified(file, RIGHT)
    assert len(counted) == 2


def test_a_wrong_file_is_read_each_time(file, counted):
    assert [verified(file, "0" * 64) for _ in range(3)] == [False] * 3
    assert len(counted) == 3


@pytest.mark.parametrize("how", ["written over", "time set back", "replaced", "longer"])
def test_a_change_is_found(file, how):
    assert verified(file, RIGHT)
    before = file.stat()
    if how == "replaced":
        other = file.with_name("other")
        other.write_bytes(NEW)
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.replace(other, file)  # noqa: PTH105
    else:
        time.sleep(0.02)  # longer than a tick of the clock of file systems
        file.write_bytes(NEW + b"x" * (how == "longer"))
        if how == "time set back":
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
            assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert not verified(file, RIGHT)


def test_a_file_changed_just_now_is_not_trusted_yet(file, counted, monkeypatch):
    """It could change again within the same tick, and would look the same."""
    monkeypatch.setattr(digests, "SETTLED", 2.0)
    assert verified(file, RIGHT)
    assert not (digests.cache_folder() / digests.NOTE).exists()
    file.write_bytes(NEW)
    assert not verified(file, RIGHT)


@pytest.mark.parametrize("note", ["", "{", "[]", "3", '{"x": 1}', "\x00", "[" * 100_000])
def test_a_note_that_is_damaged_counts_for_nothing(file, counted, note):
    digests.cache_folder().mkdir()
    (digests.cache_folder() / digests.NOTE).write_text(note)
    assert verified(file, RIGHT)
    assert not verified(file, "0" * 64)
    assert len(counted) == 2


def test_another_sum_in_the_note_does_not_make_a_file_wrong(file):
    assert verified(file, RIGHT)
    note = digests.cache_folder() / digests.NOTE
    note.write_text(json.dumps(dict.fromkeys(json.loads(note.read_text()), "0" * 64)))
    assert verified(file, RIGHT)


def test_a_cache_folder_that_cannot_be_written_is_no_error(file, counted, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_write", full)
    assert verified(file, RIGHT)
    assert verified(file, RIGHT)
    assert len(counted) == 2
    monkeypatch.undo()
    Path(file.with_name("taken")).write_text("")
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(file.with_name("taken")))
    monkeypatch.setattr(digests, "SETTLED", -1.0)
    assert verified(file, RIGHT)


def test_only_the_latest_are_remembered(tmp_path, file):
    for number in range(digests.MOST + 10):
        path = tmp_path / f"{number}"
        path.write_bytes(OLD)
        assert verified(path, RIGHT)
    known = json.loads((digests.cache_folder() / digests.NOTE).read_text())
    assert len(known) == digests.MOST
