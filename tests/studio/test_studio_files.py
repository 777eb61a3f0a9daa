"""The studio's folder: what is removed with a job, and that a long history takes no more memory."""

import tracemalloc
from pathlib import Path

from impasto.studio.files import Files


def test_a_job_takes_its_files_with_it(tmp_path: Path) -> None:
    files = Files(tmp_path)
    kept = [files.result("aa", 2), files.preview("aa")]
    other = [files.result("ab", 1), files.checkpoint("ab"), files.view("ab-512.webp")]
    gone = [files.result("aa", 1), files.checkpoint("aa")]
    view = files.view("aa-512.webp")
    for path in (*kept, *other, *gone, view):
        path.write_bytes(b"1")
    files.forget_job("aa", keep=2)
    assert [path.exists() for path in (*kept, view)] == [True] * 3
    assert not any(path.exists() for path in gone)
    files.forget_results("aa")
    assert [path.exists() for path in (*kept, view)] == [False, True, True]
    files.forget_job("aa")
    assert not any(path.exists() for path in (*kept, view))
    assert all(path.exists() for path in other)


def test_a_picture_takes_its_views_with_it(tmp_path: Path) -> None:
    files = Files(tmp_path)
    for path in (
        files.picture("p1"),
        files.view("p1-64.webp"),
        files.picture("p2"),
        files.view("p2-64.webp"),
    ):
        path.write_bytes(b"1")
    files.forget_picture("p1")
    left = sorted(p.name for folder in ("pictures", "views") for p in (tmp_path / folder).iterdir())
    assert left == ["p2-64.webp", "p2.pixels"]


def test_many_jobs_take_no_more_memory(tmp_path: Path) -> None:
    files = Files(tmp_path)
    for number in range(3000):
        files.preview(f"{number:032x}").touch()
    tracemalloc.start()
    files.forget_job("f" * 32)
    assert files.disk(10**9)["used"] == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300_000  # a list of their names alone takes more
