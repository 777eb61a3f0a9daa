"""`impasto batch`: what it says and writes, exit codes, JSON, sheet, Ctrl-C, status, Ray that is away."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from impasto.cli.app import main
from impasto.cli.commands.batch import ManyProgress
from impasto.errors import ExitCode
from impasto.many import pool, rays
from impasto.many.manifest import NAME, read
from many import stub_worker
from many.helping import files, make_photo


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(pool, "COMMAND", stub_worker.COMMAND)
    monkeypatch.setenv("IMPASTO_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.delenv("IMPASTO_KERNELS", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for number, name in enumerate(("photos/a.png", "photos/b.png", "style.png")):
        make_photo(name, number)
    return tmp_path


def batch(*arguments: str) -> int:
    return main(["batch", "photos", "--style", "style.png", "-o", "out", *arguments])


def test_it_prints_the_folder_and_says_how_many(capsys) -> None:
    assert batch() == 0
    said = capsys.readouterr()
    assert said.out == "out\n"
    assert "2 pictures\n" in said.err
    assert "2 pictures in " in said.err
    assert files() == ["a-style.png", "b-style.png"]
    assert batch() == 0
    assert "2 pictures, 2 with a file there" in (said := capsys.readouterr().err)
    assert "0 pictures in 0 s; 2 there already" in said


def test_two_hundred_broken_files_are_two_hundred_lines_and_exit_code_6(capsys) -> None:
    for number in range(200):
        make_photo(f"photos/broken-{number}.png", number)
    assert batch("--quiet") == ExitCode.SOME == 6
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len([line for line in lines if line.startswith("failed: photos/broken-")]) == 200
    assert lines[-1].startswith("impasto: error: 200 of 202 pictures failed, first photos/broken-")
    assert len(lines) == 201
    assert files() == ["a-style.png", "b-style.png"]


def test_a_missing_photo_is_named_once(capsys) -> None:
    Path("list.csv").write_text("photos/gone.png,style.png\nphotos/a.png,style.png\n")
    assert main(["batch", "--pairs", "list.csv", "-o", "out", "-q"]) == ExitCode.SOME
    assert capsys.readouterr().err.startswith("failed: photos/gone.png does not exist")


def test_json_is_the_lines_of_the_manifest(capsys) -> None:
    assert batch("--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(line.pop("version") == 1 for line in lines)
    assert lines == list(read(Path("out", NAME)))
    assert lines[-1]["event"] == "ended"


def test_the_sheet_has_the_results(capsys) -> None:
    assert batch("--sheet") == 0
    assert "the sheet: out/batch.jpg" in capsys.readouterr().err
    with Image.open("out/batch.jpg") as sheet:
        assert sheet.width > 200
        assert sheet.height > 40
    assert batch("--sheet") == 0  # it is our own, and no result


def test_settings_and_what_varies_go_into_the_results() -> None:
    assert batch("--size", "64", "--vary", "style_weight=1,10", "--workers", "1", "--suffix", ".PNG") == 0
    planned = next(line for line in read(Path("out", NAME)) if line["event"] == "planned")
    settings = [look["settings"] for look in planned["spec"]["looks"]]
    assert [(item["size"], item["style_weight"]) for item in settings] == [(64, 1.0), (64, 10.0)]
    assert files()[0] == "a-style-style_weight=1.png"


def test_pairs_recursion_and_paintings_that_vary() -> None:
    Path("photos/sub").mkdir()
    make_photo("photos/sub/c.png")
    Path("list.csv").write_text("photos/a.png,photos/b.png\n")
    assert main(["batch", "--pairs", "list.csv", "-o", "pairs"]) == 0
    assert files("pairs") == ["a-b.png"]
    assert batch("--recursive") == 0
    assert "sub/c-style.png" in files()
    assert main(["batch", "photos", "--vary", "style=style.png,photos/b.png", "-o", "each"]) == 0
    assert files("each") == ["a-b.png", "a-style.png", "b-b.png", "b-style.png"]


def test_status_tells_what_is_missing(capsys) -> None:
    batch("-q")
    Path("out/a-style.png").unlink()
    make_photo("photos/b.png", 9)
    capsys.readouterr()
    assert main(["batch", "status", "out"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "2 pictures: 0 done, 1 missing, 1 stale, 0 failed"
    assert said[1].startswith("the rest takes about 0 s with 2 workers")
    assert said[2:] == ["missing  a-style.png", "stale    b-style.png"]
    assert main(["batch", "status", "out", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == ["a-style.png"]


def test_names_that_collide_are_refused_before_any_work(capsys) -> None:
    make_photo("photos/b.jpg")
    assert batch() == ExitCode.USAGE
    line = capsys.readouterr().err
    assert "photos/b.jpg" in line
    assert "photos/b.png" in line
    assert not Path("out").exists()


def test_a_full_disk_ends_it_with_exit_code_3(capsys) -> None:
    make_photo("photos/full.png")
    assert batch("--workers", "1") == ExitCode.RESOURCE
    assert "no space left" in capsys.readouterr().err.splitlines()[-1]


def test_ctrl_c_ends_it_and_the_same_command_continues(place) -> None:
    for number in range(20):
        make_photo(f"photos/more{number}.png", number)
    code = (
        "import sys; from impasto.many import pool; "
        f"pool.COMMAND = {stub_worker.COMMAND!r}; "
        "from impasto.cli.app import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "batch", "photos", "--style", "style.png", "-o", "out"]
    environment = os.environ | {"STUB_SECONDS": "0.3"}
    run = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(files() if Path("out").exists() else []) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == ExitCode.INTERRUPTED, said
    assert "stopping; once more ends at once" in said
    assert "the same command again continues" in said
    made = len(files())
    assert 2 <= made < 22
    assert [path for path in Path("out").iterdir() if path.name.startswith(".")] == []
    assert batch("-q") == 0
    assert len(files()) == 22


@pytest.mark.parametrize("address", ["localhost:1", "127.0.0.1:9", "no.such.host.invalid:6379", "x:y"])
def test_a_ray_cluster_that_does_not_answer_is_said_soon(capsys, address, monkeypatch) -> None:
    pytest.importorskip("ray")
    began = time.monotonic()
    assert batch("--ray", address) == ExitCode.RESOURCE
    assert time.monotonic() - began < 10
    assert f"--ray {address}: nothing answers there" in capsys.readouterr().err


def test_ray_that_is_not_installed_is_one_line(capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert batch("--ray") == ExitCode.USAGE
    assert "--ray: Ray is not installed; pip install 'impasto[ray]'" in capsys.readouterr().err
    assert rays.RESTARTS == 2


class Terminal:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str) -> None:
        self.lines.append(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


def test_the_remaining_time_counts_what_is_left_and_who_paints() -> None:
    progress = ManyProgress(Terminal())
    progress._jobs = progress._left = 10
    progress._seen = progress._made = progress._failed = 0
    progress._spent, progress._at_work = 0.0, {}
    assert progress.seconds_left() is None
    place = {"file": "x", "photo": "y"}
    for worker in (0, 1):
        progress.event({"event": "started", "worker": worker, **place, "file": str(worker)})
        progress.event(
            {"event": "step", "worker": worker, "share": 0.5, "remaining": 10.0, "file": str(worker)}
        )
    assert progress.seconds_left() == pytest.approx((8 * 20 + 20) / 2)
    progress.event({"event": "done", "seconds": 30.0, "file": "0"})
    progress.event({"event": "failed", "error": "x", "message": "m", "photo": "p", "file": "1"})
    assert progress.seconds_left() == pytest.approx(8 * 30)
