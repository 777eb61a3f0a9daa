"""The command line where things are unusual: names of files, terminals, a user without a home, two runs."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pyvips

import impasto
from impasto.cli.app import main
from impasto.image.picture import Picture
from impasto.image.xmp import read_recipe
from impasto.network.weights import load as weights_module
from impasto.network.weights import store
from impasto.system import app_dirs

# Runs many commands in one process, each given as its arguments between bytes 1, on a narrow network.
DRIVER = r"""
import sys
import impasto.network.weights.load
import impasto.transfer.stylize
from impasto.cli.app import main
from impasto.network.vgg import narrow_weights

impasto.network.weights.load.load_weights = narrow_weights
for group in sys.argv[1:]:
    code = main(group.split("\x01"))
    for stream in (sys.stdout, sys.stderr):
        stream.write(f"\x02{code}\x03")
        stream.flush()
"""
SMALL = ["--size", "32", "--evaluations", "1", "--threads", "1", "-q"]
CAT = "\N{CAT}"
NAMES = {
    "newline": b"new\nline.png",
    "quotes": b"quo'te\".png",
    "dash": b"-dash.png",
    "emoji": f"{CAT} cat.png".encode(),
    "255 bytes": b"x" * 251 + b".png",
    "255 bytes of emoji": (CAT * 62).encode() + b"abc.png",
    "no UTF-8": b"bad\xff\xfe.png",
    "escape": b"tab\t\x1b[31m.png",
    "spaces": b" a  b .png",
    "shell": b"%s{}$x*;&.png",
    "dots": b"..png",
    "hidden": b".hidden.png",
    "upper case": "\N{LATIN SMALL LETTER E WITH ACUTE}.PNG".encode(),
}


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """The bytes of a small photo; the folder is empty but for a painting."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    data = pyvips.Image.new_from_array(pixels, interpretation="srgb").write_to_buffer(".png")
    Path("painting.png").write_bytes(data)
    return bytes(data)


def run(groups, **environment):
    """Run commands in one process; return (code, standard output, standard error) of each."""
    variables = {**os.environ, "PYTHONPATH": str(Path(impasto.__file__).parents[1]), **environment}
    variables = {name: value for name, value in variables.items() if value is not None}
    arguments = [b"\x01".join(map(os.fsencode, group)) for group in groups]
    command = [sys.executable, "-c", DRIVER, *arguments]
    done = subprocess.run(command, env=variables, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    streams = []
    for stream in (done.stdout, done.stderr):
        parts = [part.split(b"\x02") for part in stream.split(b"\x03")[:-1]]
        streams.append([(int(code), text) for text, code in parts])
    assert len(streams[0]) == len(groups)
    return [(code, out, err) for (code, out), (_, err) in zip(*streams, strict=True)]


def commands(folder, name):
    """What can be done with one name: read it, write it, name the result by default, and so on."""
    there, made = b"in/" + name, os.fsencode(folder) + b"/" + name
    sheet = os.fsencode(folder) + b"/sheet.png"
    beside = [] if len(name) > 250 else ["--recipe", "--report"]
    return [
        [there, "painting.png", *SMALL, "-o", made, *beside],
        [there, there, *SMALL, "--json"],
        ["show", made],
        ["reproduce", made, "--inputs", "in", "-q"],
        ["report", made, "--quick", "-q"],
        ["grid", there, there, "--vary", "seed=1", *SMALL, "-o", sheet],
    ]


def check(names, photo, few=False, **environment):
    """Run all commands, or the first few, on all names and look at what came out."""
    Path("in").mkdir()
    groups, each = [], 3 if few else 6
    for number, name in enumerate(names):
        Path(os.fsdecode(b"in/" + name)).write_bytes(photo)
        Path(str(number)).mkdir()
        chosen = commands(str(number), name)[:each]
        groups += [[word for word in group if word != "--report" or not few] for group in chosen]
    done = run(groups, **environment)
    for group, (code, out, err) in zip(groups, done, strict=True):
        assert code == 0, (group, err)
        assert err == b"", group
        assert b"\x1b" not in out
        if group[0] != "show" and "--json" not in group:
            assert out.count(b"\n") == 1
    for number, name in enumerate(names):
        made = Path(os.fsdecode(f"{number}/".encode() + name))
        assert Picture.open(made).width == 32
        assert read_recipe(made).content.sha256 == read_recipe(made).styles[0].sha256
        told = json.loads(done[each * number + 1][1].splitlines()[-1])
        assert Picture.open(told["path"]).width == 32
        assert not told["path"].startswith("-")
    assert [p.name for p in Path().iterdir() if len(os.fsencode(p.name)) > 240] == []
    return done


FEW = [NAMES[name] for name in ("newline", "dash", "255 bytes of emoji", "no UTF-8")]


@pytest.mark.slow
def test_odd_names(photo):
    check(FEW, photo, few=True)


@pytest.mark.slow
def test_all_odd_names_with_every_command(photo):
    check(list(NAMES.values()), photo)


PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": None}
LATIN = {"PYTHONIOENCODING": "latin-1", "HOME": None}


@pytest.mark.slow
def test_a_terminal_that_does_not_speak_utf_8(photo):
    done = check(FEW, photo, few=True, **LATIN)
    assert done[0][1] == b"0/new\\nline.png\n"


@pytest.mark.slow
@pytest.mark.parametrize("environment", [PLAIN, LATIN], ids=["locale C", "latin-1, no HOME"])
def test_every_command_on_a_terminal_that_does_not_speak_utf_8(photo, environment):
    check(FEW, photo, **environment)


@pytest.mark.slow
def test_what_every_command_prints_goes_to_any_terminal(photo, tmp_path):
    groups = [["--help"], ["layers"], ["settings"], ["presets"], ["doctor"], ["weights"]]
    groups += [["stylize", "--help"], ["grid", "--help"], ["completion", "bash"], ["show", f"{CAT}.png"]]
    cache = str(tmp_path / f"cache-{CAT}")
    done = run(groups, PYTHONIOENCODING="ascii", IMPASTO_CACHE_DIR=cache)
    for group, (code, out, err) in zip(groups, done, strict=True):
        assert code == (2 if CAT in group[-1] else 0), (group, err)
        assert b"Traceback" not in err
        assert (out + err).isascii()
    assert rb"\U0001f408.png does not exist" in done[-1][2]
    assert b"\\u2" not in done[0][1]  # the frames of the help become plain lines


def test_a_name_that_begins_with_a_dash(photo, capsys):
    Path("-dash.png").write_bytes(photo)
    assert main(["-dash.png", "painting.png"]) == 2
    assert "./-dash.png" in capsys.readouterr().err


# --- no home -------------------------------------------------------------------------------------


def test_without_a_home_the_weights_are_cached_among_temporary_files(tmp_path, monkeypatch, weights, caplog):
    monkeypatch.delenv("IMPASTO_CACHE_DIR")
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # as for a user not in passwd
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.setattr(weights_module, "decode", lambda packed: dict(weights))
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert weights_module.load_weights().sha256 == weights.sha256
    assert caplog.text == ""
    assert (app_dirs.temporary_folder() / store.packaged_file().name).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]


# --- two runs at once ----------------------------------------------------------------------------

SPINNING = """
import os, sys
class Watch:
    def find_spec(self, name, path, target=None):
        if name == "torch":
            print("GOMP_SPINCOUNT", os.environ.get("GOMP_SPINCOUNT"))
            sys.exit()
sys.meta_path.insert(0, Watch())
from impasto.cli.app import main
main(["doctor"])
"""


@pytest.mark.parametrize(
    ("given", "seen"), [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")]
)
def test_threads_that_wait_do_not_take_the_processor_from_others(given, seen):
    """Two runs at once would spin against each other; it is set before torch starts its threads."""
    variables = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-c", SPINNING]
    done = subprocess.run(command, env=variables | given, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == f"GOMP_SPINCOUNT {seen}"
