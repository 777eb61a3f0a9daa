"""Which files count as photos: folders, patterns, links, lists; reading one that changes."""

import os
from pathlib import Path

import pytest

from impasto.config.limits import Input
from impasto.errors import InputError
from impasto.many import photos as module
from impasto.many.photos import find, pairs, read_stable


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.PNG", ".hidden.jpg", "c.jpg.part", "d.jpg~", "e.txt", "sub/f.heic", ".g/h.jpg"):
        Path("in", name).parent.mkdir(parents=True, exist_ok=True)
        Path("in", name).write_bytes(b"x")
    return tmp_path


def below(*names: str, **options) -> list[str]:
    return [photo.below for photo in find(names, **options)]


def test_a_folder_has_pictures_without_hidden_and_partial_files() -> None:
    assert below("in") == ["a.jpg", "b.PNG"]
    assert below("in/") == ["a.jpg", "b.PNG"]
    assert [photo.path for photo in find(["in"])] == ["in/a.jpg", "in/b.PNG"]


def test_folders_in_it_count_if_it_is_said() -> None:
    assert below("in", recursive=True) == ["a.jpg", "b.PNG", "sub/f.heic"]


def test_a_file_that_is_named_counts_whatever_it_is_called() -> None:
    assert below("in/e.txt", "in/.hidden.jpg") == ["e.txt", ".hidden.jpg"]


def test_patterns_keep_the_folders_below_their_fixed_part() -> None:
    assert below("in/*.jpg") == ["a.jpg"]
    assert below("in/**/*.heic") == ["sub/f.heic"]
    Path("in/[1].jpg").write_bytes(b"x")
    assert below("in/[1].jpg") == ["[1].jpg"]  # a file of that name, not a pattern


def test_links_in_circles_end_and_each_folder_counts_once() -> None:
    Path("in/sub/up").symlink_to(Path("in").absolute())
    Path("in/twin").symlink_to(Path("in/sub").absolute())
    Path("in/loop.jpg").symlink_to("loop.jpg")
    found = below("in", recursive=True)
    assert sorted(found) == ["a.jpg", "b.PNG", "loop.jpg", "sub/f.heic"]


def test_the_folder_of_the_results_is_left_out_and_cannot_be_that_of_the_photos() -> None:
    Path("in/out").mkdir()
    Path("in/out/result.png").write_bytes(b"x")
    assert "out/result.png" not in below("in", recursive=True, without=Path("in/out"))
    with pytest.raises(InputError, match="give another folder"):
        below("in", without=Path("in/../in"))


@pytest.mark.parametrize("name", ["none", "none/*.jpg", "in/*.xyz"])
def test_what_is_not_there_is_refused(name) -> None:
    with pytest.raises(InputError, match="check the path"):
        below(name)


def test_a_folder_that_cannot_be_read_is_refused(monkeypatch) -> None:
    def refuse(folder):
        raise PermissionError(13, "Permission denied", folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        with pytest.raises(InputError, match="in cannot be read: permission denied; make it readable"):
            below("in")


def test_names_with_newlines_and_bytes_that_are_no_text() -> None:
    Path("in/x\ny.jpg").write_bytes(b"x")
    Path(os.fsdecode(b"in/\xff.jpg")).write_bytes(b"x")
    assert {"x\ny.jpg", os.fsdecode(b"\xff.jpg")} <= set(below("in"))


def test_pairs_are_relative_to_their_list() -> None:
    Path("lists").mkdir()
    Path("lists/l.csv").write_text("photo,painting\n../in/a.jpg,s.jpg\n\n../in/b.PNG, t.jpg , u.jpg\n")
    found = list(pairs("lists/l.csv"))
    assert [(photo.path, paintings) for photo, paintings in found] == [
        ("lists/../in/a.jpg", ("lists/s.jpg",)),
        ("lists/../in/b.PNG", ("lists/t.jpg", "lists/u.jpg")),
    ]
    Path("lists/l.csv").write_text("a.jpg\n")
    with pytest.raises(InputError, match="row 1 has no painting"):
        list(pairs("lists/l.csv"))


def test_a_photo_that_changes_while_it_is_read_is_read_again(monkeypatch) -> None:
    reads = []

    def growing(path, limit, content):
        data = Path(path).read_bytes()
        reads.append(data)
        if len(reads) < times:
            Path(path).write_bytes(data + b"x")
        return data

    monkeypatch.setattr(module, "read_whole", growing)
    monkeypatch.setattr(module, "PAUSE", 0.0)
    times = 2
    assert read_stable("in/a.jpg", Input()) == b"xx"
    times = 99
    with pytest.raises(InputError, match="changes while it is read"):
        read_stable("in/a.jpg", Input())
