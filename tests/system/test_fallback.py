"""What happens to a result when the place asked for fails after the run."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips

import impasto.network.weights.load
import impasto.transfer.stylize
from impasto.cli.app import main
from impasto.errors import ExitCode, OutputError
from impasto.image.picture import Picture
from impasto.image.xmp import read_recipe
from impasto.network.vgg import narrow_weights
from impasto.system import fallback
from impasto.system import files as publishing
from impasto.system.fallback import save_or_fall_back, shortened

INPUTS = ("photo", "painting")
SMALL = ["--size", "48", "--evaluations", "2", "--threads", "1", "-q"]


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """A current folder, one that will be full, a home, and one for temporary files."""
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", narrow_weights)
    for name in ("work", "home", "temporary", "full"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path / "work")
    rng = np.random.default_rng(1)
    for name in ("photo", "painting"):
        pixels = rng.integers(0, 256, (48, 64, 3)).astype(np.uint8)
        pyvips.Image.new_from_array(pixels, interpretation="srgb").write_to_file(f"{name}.png")
    return tmp_path


@pytest.fixture
def broken(monkeypatch):
    """Return a function that has every write into some folders fail."""

    def fail(*folders, number=errno.ENOSPC):
        real, closed = publishing._write, [Path(folder).absolute() for folder in folders]

        def write(path, data):
            if any(path.absolute().is_relative_to(folder) for folder in closed):
                raise OSError(number, os.strerror(number))
            real(path, data)

        monkeypatch.setattr(publishing, "_write", write)

    return fail


def files(folder="."):
    return sorted(path.name for path in Path(folder).iterdir() if path.suffix)


# --- save_or_fall_back ---------------------------------------------------------------------------


def test_a_place_that_works_is_taken(places):
    assert save_or_fall_back(Path("out.png"), b"x", overwrite=False) == (Path("out.png"), "")
    assert save_or_fall_back(Path("out.png"), b"y", overwrite=True) == (Path("out.png"), "")
    assert Path("out.png").read_bytes() == b"y"


def test_a_name_that_is_taken_gives_way(places):
    (places / "full" / "out.png").write_bytes(b"another's")
    (places / "work" / "out.png").write_bytes(b"mine")
    (places / "work" / "out-2.png").mkdir()
    path, trouble = save_or_fall_back(places / "full" / "out.png", b"x", overwrite=False)
    assert path == Path("out-3.png")
    assert "exists already" in trouble
    assert f"the picture is saved as {path.absolute()}" in trouble
    assert (places / "full" / "out.png").read_bytes() == b"another's"


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_places_in_their_order(places, broken, overwrite):
    order = ["full", "work", "temporary"]
    for count, name in enumerate(order[1:], start=1):
        broken(*(places / folder for folder in order[:count]))
        path, trouble = save_or_fall_back(places / "full" / "out.png", b"x", overwrite=overwrite)
        assert path.absolute() == places / name / "out.png"
        assert path.read_bytes() == b"x"
        assert "no space left on device" in trouble
        assert str(path.absolute()) in trouble
        assert "\n" not in trouble
    assert files(places / "full") == []


def test_nothing_is_replaced_elsewhere(places, broken):
    Path("out.png").write_bytes(b"mine")
    broken(places / "full")
    path, _ = save_or_fall_back(places / "full" / "out.png", b"x", overwrite=True)
    assert path == Path("out-2.png")
    assert Path("out.png").read_bytes() == b"mine"


def test_when_every_place_fails_it_says_so(places, broken):
    broken(places, number=errno.EROFS)
    with pytest.raises(OutputError) as error:
        save_or_fall_back(places / "full" / "out.png", b"x", overwrite=False)
    text = str(error.value)
    assert "read-only file system" in text
    for name in ("full", "work", "temporary"):
        assert name in text
    assert "\n" not in text


@pytest.mark.parametrize("name", ["x" * 300, "\N{CAT FACE}" * 100, "a\nb", "a\udcffb", "a\0b"])
def test_a_name_that_cannot_be_is_made_one_that_can(places, name):
    path, _ = save_or_fall_back(places / "full" / f"{name}.png", b"x", overwrite=False)
    assert path.read_bytes() == b"x"


def test_shortened():
    assert shortened("cat-starry") == "cat-starry"
    assert shortened("x" * 300) == "x" * fallback.LONGEST_STEM
    assert shortened("\N{CAT FACE}" * 100) == "\N{CAT FACE}" * 50
    assert shortened("a\nb\udcff") == r"a\nb\udcff"
    assert shortened("--cat") == "cat"
    assert shortened("-") == "picture"


# --- through the command line --------------------------------------------------------------------


def run(*arguments):
    return main(["photo.png", "painting.png", *SMALL, *arguments])


def error_line(capsys):
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if line.startswith("impasto: error: ")]
    assert len(lines) == 1, said.err
    assert "Traceback" not in said.err
    return said.out.strip(), lines[0]


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_picture_whose_disk_is_full_is_saved_elsewhere(places, broken, capsys, force):
    target = places / "full" / "out.tif"
    broken(places / "full")
    assert run("-o", str(target), "--recipe", *force) == ExitCode.RESOURCE
    out, line = error_line(capsys)
    assert out == "out.tif"
    assert f"cannot write {target}: no space left on device" in line
    assert f"saved as {places / 'work' / 'out.tif'}" in line
    assert Picture.open("out.tif").width == 48
    assert read_recipe("out.tif").content.name == "photo.png"
    assert files() == ["out.json", "out.tif", "painting.png", "photo.png"]
    assert files(places / "full") == []


def test_a_folder_that_vanishes_while_running(places, capsys, monkeypatch):
    real = impasto.transfer.stylize.stylize

    def vanish(*arguments, **options):
        result = real(*arguments, **options)
        shutil.rmtree(places / "full")
        return result

    monkeypatch.setattr(impasto.transfer.stylize, "stylize", vanish)
    assert run("-o", str(places / "full" / "out.png"), "--json") == ExitCode.RESOURCE
    out, line = error_line(capsys)
    assert json.loads(out.splitlines()[-1])["path"] == "out.png"
    assert "no such file or directory" in line
    assert Picture.open("out.png").width == 48


def test_a_name_taken_while_running(places, capsys, monkeypatch):
    real = publishing._write

    def meanwhile(path, data):
        real(path, data)
        if not Path("out.png").exists():
            Path("out.png").write_bytes(b"another's")

    monkeypatch.setattr(publishing, "_write", meanwhile)
    assert run("-o", "out.png") == ExitCode.RESOURCE
    out, line = error_line(capsys)
    assert out == "out-2.png"
    assert "out.png exists already" in line
    assert Path("out.png").read_bytes() == b"another's"
    assert Picture.open("out-2.png").width == 48


@pytest.mark.slow
def test_recipe_and_page_that_fail_do_not_take_the_picture_along(places, capsys, monkeypatch):
    real = publishing.publish

    def no_text(path, data, *, overwrite=False):
        if Path(path).suffix in (".json", ".html"):
            raise OutputError(f"cannot write {path}: no space left on device; free some space")
        return real(path, data, overwrite=overwrite)

    monkeypatch.setattr(fallback, "publish", no_text)
    assert run("-o", "out.png", "--recipe", "--report", "--json") == ExitCode.RESOURCE
    out, line = error_line(capsys)
    told = json.loads(out.splitlines()[-1])
    assert (told["path"], told["recipe_path"], told["report_path"]) == ("out.png", None, None)
    assert "out.json" in line
    assert "out.html" in line
    assert Picture.open("out.png").width == 48


def test_an_intermediate_picture_that_fails_does_not_end_the_run(places, capsys, monkeypatch):
    real = publishing._write

    def write(path, data):
        if not Path("gone").exists():
            Path("gone").touch()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, data)

    monkeypatch.setattr(publishing, "_write", write)
    assert run("-o", "out.png", "--save-every", "1") == ExitCode.RESOURCE
    out, line = error_line(capsys)
    assert out == "out.png"
    assert "out-0001.png" in line
    assert files() == ["out-0002.png", "out.png", "painting.png", "photo.png"]


def test_a_format_that_cannot_hold_it_becomes_png(places, capsys, monkeypatch):
    real = Picture.encode

    def encode(self, suffix=".png", *args, **options):
        if suffix == ".webp":
            raise OutputError("a .webp is at most 16383 px on a side; write .png")
        return real(self, suffix, *args, **options)

    monkeypatch.setattr(Picture, "encode", encode)
    assert run("-o", "out.webp") == ExitCode.RESOURCE
    out, line = error_line(capsys)
    assert out == "out.png"
    assert "saved as PNG" in line
    assert Picture.open("out.png").width == 48


def test_standard_output_that_takes_nothing(places, capsys, monkeypatch):
    def full(data):
        if isinstance(data, bytes):
            raise OutputError("cannot write to standard output: no space left on device")

    monkeypatch.setattr("impasto.cli.run.out", full)
    assert run("-o", "-") == ExitCode.RESOURCE
    _, line = error_line(capsys)
    assert f"saved as {places / 'work' / 'photo-painting.png'}" in line
    assert Picture.open("photo-painting.png").width == 48


def test_a_sheet_whose_disk_is_full(places, broken, capsys):
    target = places / "full" / "sheet.png"
    command = ["grid", "photo.png", "painting.png", "--vary", "style_weight=1,10", *SMALL]
    assert main([*command, "-o", str(target)]) == 0
    capsys.readouterr()
    broken(places / "full")
    assert main([*command, "-o", str(target), "--cell", "32"]) == ExitCode.RESOURCE
    out, line = error_line(capsys)
    assert out == "sheet.png"
    assert "sheet.csv" in line
    assert files() == ["painting.png", "photo.png", "sheet.csv", "sheet.png"]


def test_a_cell_whose_disk_is_full_ends_the_grid_and_is_kept(places, broken, capsys):
    broken(places / "full" / "sheet-cells")
    target = places / "full" / "sheet.png"
    command = ["grid", "photo.png", "painting.png", "--vary", "style_weight=1,10", *SMALL]
    assert main([*command, "-o", str(target)]) == ExitCode.RESOURCE
    _, line = error_line(capsys)
    (kept,) = [path for path in (places / "work").glob("*.png") if path.stem not in INPUTS]
    assert f"the picture is saved as {kept}" in line
    assert read_recipe(kept).settings.style_weight == 1


def test_a_trial_whose_disk_is_full_ends_the_experiment_and_is_kept(places, broken, capsys):
    broken(places / "full" / "out" / "pictures")
    flags = ["--size", "48", "--rounds", "1", "--threads", "1", "--only", "course"]
    command = ["experiment", "photo.png", "painting.png", *flags, "-q"]
    assert main([*command, "-o", str(places / "full" / "out")]) == ExitCode.RESOURCE
    _, line = error_line(capsys)
    (kept,) = [path for path in (places / "work").glob("*.png") if path.stem not in INPUTS]
    assert f"the picture is saved as {kept}" in line
    assert read_recipe(kept).stopped == "evaluations"


def test_a_page_whose_disk_is_full(places, broken, capsys):
    assert run("-o", "out.png") == 0
    capsys.readouterr()
    broken(places / "full")
    command = ["report", "out.png", "--quick", "-q", "-o", str(places / "full" / "out.html")]
    assert main(command) == ExitCode.RESOURCE
    out, line = error_line(capsys)
    assert out == "out.html"
    assert "the page is saved as" in line


# --- on real file systems ------------------------------------------------------------------------

DRIVER = """
import sys
import impasto.network.weights.load
import impasto.transfer.stylize
from impasto.cli.app import main
from impasto.network.vgg import narrow_weights
impasto.network.weights.load.load_weights = narrow_weights
sys.exit(main())
"""
MOUNTED = {
    "full": "mount -t tmpfs -o size=8k none {0} ; cat /dev/zero > {0}/filler 2>/dev/null || true;",
    "read-only": "mount -t tmpfs none {0} && mount -o remount,ro {0};",
}


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /tmp"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not _can_mount(), reason="this user may not mount a file system of its own")
@pytest.mark.parametrize("kind", MOUNTED)
def test_on_a_file_system_that_is(places, kind):
    """The disk is full: a small file can still be made there before the run, and no picture after."""
    folder = places / "full"
    arguments = "photo.png painting.png --size 48 --evaluations 2 -q"
    script = (
        f"set -e; {MOUNTED[kind].format(folder)} set +e; "
        f"{sys.executable} driver.py {arguments} -o {folder}/out.png; "
        f"code=$?; ls {folder}; exit $code"
    )
    Path("driver.py").write_text(DRIVER)
    command = ["unshare", "-rm", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.RESOURCE, done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert str(folder) in lines[0]
    assert "out.png" not in done.stdout.splitlines()[1:]
    if kind == "full":
        assert "no space left on device" in lines[0]
        assert Picture.open("out.png").width == 48
    else:  # known before the run
        assert "read-only file system" in lines[0]
