import errno
import functools
import hashlib
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from impasto.errors import InputError, OutputError
from impasto.messages import printable
from impasto.system import files as module
from impasto.system.files import check_length, check_target, file_sha256, hash_ahead, publish, read_whole


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


# --- every call to the system, and each of them failing ------------------------------------------

CALLS = ("open", "write", "fsync", "close", "replace", "link", "unlink")
TEMPORARY = ".impasto-X.tmp"


class System:
    """Stands for `os` in the module: notes the calls that change files, and has one of them fail.

    Args:
        number: Which call fails, counted from 1; 0: none.
        fault: What it raises; "short" instead makes a write take one byte only.
    """

    def __init__(self, number: int = 0, fault: object = None) -> None:
        self.number, self.fault = number, fault
        self.calls: list[str] = []
        self._files: dict[int, str] = {}

    def __getattr__(self, name: str):
        real = getattr(os, name)
        return functools.partial(self._call, name, real) if name in CALLS else real

    def _call(self, name, real, *args):
        what = self._files.get(args[0]) or Path(args[0]).name
        self.calls.append(f"{name} {re.sub('[0-9a-f]{16}', 'X', what)}")
        if len(self.calls) == self.number:
            if self.fault == "short" and name == "write":
                return real(args[0], args[1][:1])
            if self.fault != "short":
                if name == "close":
                    real(*args)
                raise self.fault
        found = real(*args)
        if name == "open":
            self._files[found] = Path(args[0]).name
        if name == "close":
            del self._files[args[0]]
        return found


def published(tmp_path, monkeypatch, overwrite, system):
    """Publish "new" through `system`; return what it raised."""
    monkeypatch.setattr(module, "os", system)
    try:
        publish(tmp_path / "a", b"new", overwrite=overwrite)
    except (OutputError, KeyboardInterrupt) as error:
        return error
    finally:
        monkeypatch.setattr(module, "os", os)
    return None


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_order_of_calls(tmp_path, monkeypatch, overwrite):
    """What stands in for pulling the plug: the bytes are on the disk before they have the name."""
    system = System()
    assert published(tmp_path, monkeypatch, overwrite, system) is None
    folder = tmp_path.name
    assert system.calls == [
        f"open {TEMPORARY}",
        f"write {TEMPORARY}",
        f"fsync {TEMPORARY}",
        f"close {TEMPORARY}",
        f"{'replace' if overwrite else 'link'} {TEMPORARY}",
        f"open {folder}",
        f"fsync {folder}",
        f"close {folder}",
        f"unlink {TEMPORARY}",
    ]


def test_the_temporary_file_lies_in_the_same_folder(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    opened = []
    real = os.open
    monkeypatch.setattr(module.os, "open", lambda path, *a, **k: opened.append(path) or real(path, *a, **k))
    publish(tmp_path / "deep" / "a", b"x")
    assert Path(opened[0]).parent == tmp_path / "deep"


FULL = (errno.ENOSPC, errno.EDQUOT)
FAULTS = [
    *FULL, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, KeyboardInterrupt(), "short",
]  # fmt: skip


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_a_fault_at_any_call_leaves_the_old_file_or_the_new(tmp_path, monkeypatch, overwrite, fault):
    raised = OSError(fault, os.strerror(fault)) if isinstance(fault, int) else fault
    old = b"old" if overwrite else None
    failed, number = 0, 1
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        if overwrite:
            (folder / "a").write_bytes(b"old")
        system = System(number, raised)
        error = published(folder, monkeypatch, overwrite, system)
        if len(system.calls) < number:
            assert error is None
            break
        call = system.calls[number - 1]
        content = (folder / "a").read_bytes() if (folder / "a").exists() else None
        if call != f"unlink {TEMPORARY}" or fault == "short":  # else it stays, known by its name
            assert names(folder) == ([] if content is None else ["a"]), call
        named = any(c.startswith(("replace", "link")) for c in system.calls[: number - 1])
        if error is None:
            assert content == b"new", call
        else:
            failed += 1
            assert content == (b"new" if named else old), call
            assert "\n" not in str(error)
            if isinstance(error, OutputError):
                assert str(folder / "a") in str(error)
                assert ("free some space" in str(error)) == (fault in FULL)
        number += 1
    assert number > 9
    assert failed >= 4 or fault == "short" or (fault == errno.EPERM and not overwrite)


KILLED = """
import os, signal, sys
from impasto.system import files as module

class Killer:
    def __init__(self, number):
        self.left = number
    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in ("open", "write", "fsync", "close", "replace", "link", "unlink"):
            return real
        def call(*args):
            self.left -= 1
            if self.left == 0:
                if name == "write":
                    real(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)
        return call

module.os = Killer(int(sys.argv[3]))
module.publish(sys.argv[1], b"new" * 100_000, overwrite=sys.argv[2] == "True")
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system cannot kill like that")
@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_any_call_leaves_the_old_file_or_the_new(tmp_path, overwrite):
    whole, killed = b"new" * 100_000, 0
    for number in range(1, 30):
        target = tmp_path / f"{number}" / "a"
        target.parent.mkdir()
        if overwrite:
            target.write_bytes(b"old")
        command = [sys.executable, "-c", KILLED, str(target), str(overwrite), str(number)]
        done = subprocess.run(command, capture_output=True, check=False)
        content = target.read_bytes() if target.exists() else None
        assert content in (b"old" if overwrite else None, whole)
        if done.returncode == 0:
            assert content == whole
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        killed += 1
    assert killed == 9


def test_a_folder_in_the_way_and_a_name_taken_while_running(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="folder") as error:
            publish(tmp_path / "folder", b"x", overwrite=overwrite)
        one_line(error)
    real = os.fsync

    def meanwhile(descriptor):
        real(descriptor)
        (tmp_path / "a").write_bytes(b"another's")

    monkeypatch.setattr(module.os, "fsync", meanwhile)
    with pytest.raises(OutputError, match="exists already"):
        publish(tmp_path / "a", b"mine")
    assert (tmp_path / "a").read_bytes() == b"another's"
    assert names(tmp_path) == ["a", "folder"]


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
    assert read_whole(tmp_path / "a", 3, "a picture") == b"abc"
    with pytest.raises(InputError, match="larger than"):
        read_whole(tmp_path / "a", 2, "a picture")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, words in (
        ("empty", "is empty"),
        ("pipe", "not an ordinary file"),
        ("gone", "does not exist"),
        (".", "is a folder; give one file: a picture"),
        ("a\0b", "cannot read"),
        ("x" * 300, "cannot read"),
        ("a/b", "cannot read"),
    ):
        with pytest.raises(InputError, match=words) as error:
            read_whole(tmp_path / name, 100, "a picture")
        one_line(error)
    with pytest.raises(InputError, match="not an ordinary file"):
        read_whole("/dev/zero", 100, "a picture")


def test_check_length():
    check_length(b"x", 1, "x")
    with pytest.raises(InputError, match="<bytes> is empty"):
        check_length(b"", 1, "<bytes>")


def test_printable_is_one_line():
    assert printable("a\nb\x1b[31m\udcff") == r"a\nb\x1b[31m\udcff"
    assert printable("") == "''"
    assert printable("Größe 猫.png") == "Größe 猫.png"


def test_a_file_is_hashed_ahead_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "PART", 3)
    path = tmp_path / "weights"
    path.write_bytes(b"12345678")
    expected = file_sha256(path)
    with monkeypatch.context() as patch:
        hash_ahead(path)
        module._ahead[path][0].join()
        patch.setattr(module.hashlib, "file_digest", lambda *arguments: pytest.fail("read twice"))
        assert file_sha256(path) == expected
    assert path not in module._ahead
    assert file_sha256(path) == expected


def test_what_changed_since_it_was_hashed_is_hashed_again(tmp_path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"12345678")
    hash_ahead(path)
    module._ahead[path][0].join()
    path.write_bytes(b"1234567")
    assert file_sha256(path) == hashlib.sha256(b"1234567").hexdigest()


def test_a_missing_file_is_no_error_before_it_is_needed(tmp_path) -> None:
    path = tmp_path / "weights"
    hash_ahead(path)
    with pytest.raises(FileNotFoundError):
        file_sha256(path)
    hash_ahead(path)
    module._ahead[path][0].join()
    path.write_bytes(b"1")
    assert file_sha256(path) == hashlib.sha256(b"1").hexdigest()
