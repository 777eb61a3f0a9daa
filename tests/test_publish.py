import errno
import os
import stat
from pathlib import Path

import pytest

from impasto import publish as module
from impasto.errors import InputError, OutputError
from impasto.publish import check_length, check_target, printable, publish, read_whole


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


def failing(code: int):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail


def test_the_file_is_whole_and_alone(tmp_path):
    assert publish(tmp_path / "a.json", b"{}") == tmp_path / "a.json"
    assert (tmp_path / "a.json").read_bytes() == b"{}"
    assert names(tmp_path) == ["a.json"]


def test_permissions_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        publish(tmp_path / "a", b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_an_existing_file_is_kept_unless_told(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with pytest.raises(OutputError) as error:
        publish(target, b"new")
    assert "--force" in one_line(error)
    assert target.read_bytes() == b"old"
    publish(target, b"new", overwrite=True)
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_order_of_calls(tmp_path, monkeypatch, overwrite):
    """Data on the disk, then the name, then the folder on the disk."""
    (tmp_path / "a").touch() if overwrite else None
    seen = []

    def watched(name):
        call = getattr(os, name)

        def called(*args, **options):
            folder = name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode)
            seen.append("fsync of the folder" if folder else name)
            return call(*args, **options)

        return called

    name = "replace" if overwrite else "link"
    for call in ("fsync", name):
        monkeypatch.setattr(module.os, call, watched(call))
    publish(tmp_path / "a", b"new", overwrite=overwrite)
    assert seen == ["fsync", name, "fsync of the folder"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("call", ["fsync", "write", "name"])
def test_a_fault_leaves_nothing_and_keeps_the_old(tmp_path, monkeypatch, call, overwrite):
    if overwrite:
        (tmp_path / "a").write_bytes(b"old")
    before = names(tmp_path)
    if call == "write":
        monkeypatch.setattr(module.os, "open", failing(errno.EACCES))
    else:
        name = "fsync" if call == "fsync" else "replace" if overwrite else "link"
        monkeypatch.setattr(module.os, name, failing(errno.ENOSPC))
    with pytest.raises(OutputError) as error:
        publish(tmp_path / "a", b"new", overwrite=overwrite)
    monkeypatch.undo()
    text = one_line(error)
    assert str(tmp_path / "a") in text
    assert call == "write" or "free some space" in text
    assert names(tmp_path) == before
    assert not overwrite or (tmp_path / "a").read_bytes() == b"old"


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path / "a", b"new")
    assert names(tmp_path) == []


def test_without_hard_links(tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "link", failing(errno.EPERM))
    publish(tmp_path / "a", b"one")
    assert (tmp_path / "a").read_bytes() == b"one"
    with pytest.raises(OutputError, match="exists already"):
        publish(tmp_path / "a", b"two")
    monkeypatch.setattr(module.os, "replace", failing(errno.EIO))
    with pytest.raises(OutputError):
        publish(tmp_path / "b", b"three")
    assert names(tmp_path) == ["a"]


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OutputError):
        publish(tmp_path / "link", b"new")
    publish(tmp_path / "link", b"new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "no/such/folder"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_impossible_names(tmp_path, name, overwrite):
    with pytest.raises(OutputError) as error:
        publish(tmp_path / name, b"x", overwrite=overwrite)
    one_line(error)
    with pytest.raises(OutputError) as error:
        check_target(tmp_path / name, overwrite=overwrite)
    one_line(error)
    assert names(tmp_path) == []


def test_check_target(tmp_path):
    target = tmp_path / "out.png"
    assert check_target(target) == target
    assert names(tmp_path) == []
    with pytest.raises(OutputError, match="is a folder"):
        check_target(tmp_path, overwrite=True)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OutputError):
        check_target(tmp_path / "file" / "out.png")
    with pytest.raises(OutputError, match="--force"):
        check_target(tmp_path / "file")
    assert check_target(tmp_path / "file", overwrite=True)


def test_check_target_refuses_an_input_under_any_name(tmp_path):
    (tmp_path / "in.png").write_bytes(b"x")
    (tmp_path / "link.png").symlink_to("in.png")
    os.link(tmp_path / "in.png", tmp_path / "hard.png")
    for name in ("in.png", "link.png", "hard.png", "../" + tmp_path.name + "/in.png"):
        with pytest.raises(InputError, match="also an input"):
            check_target(tmp_path / name, inputs=[tmp_path / "in.png"], overwrite=True)
    assert check_target(tmp_path / "new.png", inputs=[tmp_path / "in.png", tmp_path / "gone"])


def test_check_target_refuses_a_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="not an ordinary file"):
        check_target(tmp_path / "pipe", overwrite=True)


def test_check_target_refuses_a_folder_without_writing(tmp_path, monkeypatch):
    monkeypatch.setattr(module.tempfile, "TemporaryFile", failing(errno.EROFS))
    with pytest.raises(OutputError, match=r"cannot write into the folder .*read-only") as error:
        check_target(tmp_path / "out.png")
    one_line(error)


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write anywhere")
def test_a_folder_of_somebody_else(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError):
        publish(tmp_path / "a", b"x")
    tmp_path.chmod(0o700)


def test_read_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert read_whole(tmp_path / "a", 3) == b"abc"
    with pytest.raises(InputError, match="larger than"):
        read_whole(tmp_path / "a", 2)
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, words in (
        ("empty", "is empty"),
        ("pipe", "not an ordinary file"),
        ("gone", "does not exist"),
        (".", "is a folder"),
        ("a\0b", "cannot read"),
        ("x" * 300, "cannot read"),
        ("a/b", "cannot read"),
    ):
        with pytest.raises(InputError, match=words) as error:
            read_whole(tmp_path / name, 100)
        one_line(error)
    with pytest.raises(InputError, match="not an ordinary file"):
        read_whole("/dev/zero", 100)


def test_check_length():
    check_length(b"x", 1, "x")
    with pytest.raises(InputError, match="<bytes> is empty"):
        check_length(b"", 1, "<bytes>")


def test_printable_is_one_line():
    assert printable("a\nb\x1b[31m\udcff") == r"a\nb\x1b[31m\udcff"
    assert printable("") == "''"
    assert printable("Größe 猫.png") == "Größe 猫.png"
