"""The command line, from outside: what it prints, writes, refuses and returns."""

import contextlib
import dataclasses
import fcntl
import hashlib
import io
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
import pyvips

import impasto.network.weights.load
import impasto.transfer.stylize
from impasto.cli import app, watch
from impasto.cli.app import main
from impasto.cli.flags import Flags, describe
from impasto.cli.settings_sources import gather
from impasto.config.output import Output
from impasto.config.recipe import Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import ExitCode, OutputError
from impasto.image.picture import Picture
from impasto.image.xmp import read_recipe
from impasto.network.vgg import narrow_weights
from impasto.network.weights.load import NAME
from impasto.transfer import speed

SMALL = ["--size", "48", "--evaluations", "2", "--threads", "1"]


def picture(path, width=64, height=48, seed=0, solid=False):
    rng = np.random.default_rng(seed)
    size = (height, width, 3)
    pixels = np.full(size, 90) if solid else rng.integers(0, 256, size)
    image = pyvips.Image.new_from_array(pixels.astype(np.uint8), interpretation="srgb")
    Path(path).write_bytes(image.write_to_buffer(Path(path).suffix))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test starts in a folder of its own, with a photo and a painting, on a narrow network."""
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", narrow_weights)
    monkeypatch.setenv("PYTHONPATH", str(Path(impasto.__file__).parents[1]))  # of subprocesses
    monkeypatch.chdir(tmp_path)
    picture("photo.png")
    picture("painting.png", seed=1)
    return tmp_path


def files():
    return sorted(path.name for path in Path().iterdir())


def run(*arguments):
    return main(["photo.png", "painting.png", *SMALL, *arguments])


# --- without torch -------------------------------------------------------------------------------

WITHOUT_TORCH = """
import json, sys
from impasto.cli.app import main
for arguments, code in json.loads(sys.argv[1]):
    assert main(arguments) == code, arguments
    assert not {"torch", "numpy"} & set(sys.modules), arguments
"""


def test_torch_is_not_imported():
    """In one process: what one command imported would be found at the next as well."""
    both = ["photo.png", "painting.png"]
    lines = [
        (["--help"], 0),
        (["--help-all"], 0),
        (["--version"], 0),
        (["layers"], 0),
        ([], 2),
        (["photo.png"], 2),
        ([*both, "--nonsense"], 2),
        ([*both, "--size", "big"], 2),
        ([*both, "--content-layers", "relu9_9"], 2),
        (["photo.png", "missing.png"], 2),
        ([*both, "-o", "photo.png"], 2),
        ([*both, "-o", "no/such/folder.png"], 3),
    ]
    command = [sys.executable, "-c", WITHOUT_TORCH, json.dumps(lines)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


# --- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [None, "80", "200"])
def test_help_shows_every_field_with_its_range_and_default(capsys, monkeypatch, columns):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert main(["--help-all"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    flat = re.sub("^│   [A-Z|]+ ", "", text, flags=re.MULTILINE)  # kinds below their flags
    flat = "".join(re.sub("[│╭╮╰╯─]", " ", flat).split())
    for model in (Settings, Runtime, Output):
        for name, field in model.model_fields.items():
            assert f"--{name.replace('_', '-')}" in text
            assert "default" in describe(field).lower()
            assert "".join(describe(field).split()) in flat
    for group in ("Look", "Size", "Speed", "Start", "Expert", "Machine", "Output"):
        assert f"─ {group} ─" in text


def test_help_names_the_values_themselves():
    fields = Settings.model_fields
    assert describe(fields["size"]).endswith("[px; 1 to 30000]")
    assert "[above 0 to 1; default: 0.02]" in describe(fields["learning_rate"])
    assert "[instant, draft, good, best; default: good]" in describe(fields["quality"])
    assert "default: yes" in describe(fields["bounded"])


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == impasto.__version__


# --- pictures come out ---------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [[], ["stylize"]])
def test_a_picture_is_made_and_its_name_printed(capsys, verb):
    assert main([*verb, "photo.png", "painting.png", *SMALL]) == 0
    said = capsys.readouterr()
    assert said.out == "photo-painting.png\n"
    first = r"48 x 36 px, about \d+ s \(the photo is 64 x 48; --size 64 for all of it takes about \d+ s\)"
    assert re.search(first, said.err)
    made = Picture.open("photo-painting.png")
    assert (made.width, made.height) == (48, 36)


def test_default_names_are_always_new():
    assert [run(), run(), run("--recipe")] == [0, 0, 0]
    assert {f"photo-painting{n}.png" for n in ("", "-2", "-3")} <= set(files())
    assert "photo-painting-3.json" in files()


def test_an_existing_output_is_kept_without_force(capsys):
    Path("out.png").write_bytes(b"mine")
    assert run("-o", "out.png") == ExitCode.RESOURCE
    assert "--force" in capsys.readouterr().err
    assert Path("out.png").read_bytes() == b"mine"
    assert run("-o", "out.png", "--force") == 0
    assert Picture.open("out.png").width == 48


def test_an_existing_recipe_is_kept_without_force():
    Path("out.json").write_text("mine")
    assert run("-o", "out.png", "--recipe") == ExitCode.RESOURCE
    assert not Path("out.png").exists()
    assert run("-o", "out.png", "--recipe", "--force") == 0
    Recipe.from_json(Path("out.json").read_text())


def test_a_name_taken_meanwhile_gives_way(monkeypatch, capsys):
    def slow_stylize(*arguments, stylize=impasto.transfer.stylize.stylize, **options):
        Path("out.png").write_bytes(b"theirs")
        return stylize(*arguments, **options)

    monkeypatch.setattr(impasto.transfer.stylize, "stylize", slow_stylize)
    assert run("-o", "out.png") == 0
    assert capsys.readouterr().out == "out-2.png\n"
    assert Path("out.png").read_bytes() == b"theirs"


def test_only_flags_given_change_the_preset():
    flags = ["--preset", "paper", "--content-weight", "0.5", "--no-bounded"]
    assert run(*flags, "--recipe", "-o", "out.png") == 0
    recipe = Recipe.from_json(Path("out.json").read_text())
    paper = Settings.preset("paper", content_weight=0.5, size=48, evaluations=2)
    assert recipe.settings == paper
    assert recipe.runtime.threads == 1


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_names_of_layers_mean_the_same_with_every_preset(preset, capsys):
    """A run that compares a layer before the rectification says at once what the papers call so."""
    assert run("--preset", preset, "--style-layers", "conv1_1,relu2_1", "-o", "out.png") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "conv1_1" in line]
    assert said == [
        "impasto: warning: conv1_1: compared before the rectification (ReLU); what Gatys, Ecker and Bethge "
        "call so is relu1_1"
    ]
    assert read_recipe("out.png").settings.style_layers == {"conv1_1": 1.0, "relu2_1": 1.0}
    assert run("--preset", preset, "-o", "as-it-is.png") == 0
    assert "rectification" not in capsys.readouterr().err


def test_quality_overrides_the_evaluations_of_a_preset():
    resolved = gather(Flags.of({"preset": "paper", "quality": "draft"}), {})
    assert resolved.settings.evaluations_per_scale == 25


def events(text):
    """The JSON lines of a run; each says its event and the version of the form."""
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line["version"] for line in lines} == {1}
    return lines


def test_json_is_a_line_while_it_works_and_the_result_at_the_end(capsys):
    more = ["--size", "64", "--min-size", "32", "--evaluations", "2", "--threads", "1"]
    assert main(["photo.png", "painting.png", *more, "--json", "-q"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = events(said.out)
    assert [line["event"] for line in lines] == ["scale", "step", "step", "scale", "step", "step", "done"]
    assert [(line["width"], line["height"]) for line in lines if line["event"] == "scale"] == [
        (32, 24), (64, 48)
    ]  # fmt: skip
    steps = [line for line in lines if line["event"] == "step"]
    assert [step["evaluations"] for step in steps] == [1, 2, 3, 4]
    assert [step["percent"] for step in steps] == [10.0, 20.0, 60.0, 100.0]
    assert all({"total", "content", "style"} <= set(step["losses"]) for step in steps)
    assert lines[-1]["path"] == "photo-painting.png"


def test_json_with_the_picture_on_standard_output_goes_to_standard_error(monkeypatch, capsys):
    result = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(result))
    assert run("-o", "-", "--json") == 0
    assert Picture.open(result.getvalue()).width == 48
    lines = events(capsys.readouterr().err)
    assert [line["event"] for line in lines] == ["scale", "step", "step", "done"]
    assert lines[-1]["path"] is None


@pytest.mark.parametrize("place", [[], ["-o", "-"]])
def test_errors_are_lines_of_json_too(capsys, place):
    assert main(["photo.png", "missing.png", "--json", *place]) == ExitCode.USAGE
    said = capsys.readouterr()
    (line,) = events(said.err if place else said.out)
    assert (line["event"], line["code"]) == ("error", ExitCode.USAGE)
    assert "missing.png does not exist" in line["message"]
    assert ("impasto: error: missing.png" in said.err) == (not place)


def test_what_nobody_reads_does_not_end_the_run(monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", Closed())
    assert run("--json", "-q") == 0
    assert Picture.open("photo-painting.png").width == 48


def test_numbers_that_json_does_not_have(capsys):
    lines = watch.JsonLines()
    stream = io.StringIO()
    lines.begin(stream)
    lines.write("step", {"losses": {"total": float("nan")}, "several": [float("inf"), 1.5]})
    (line,) = events(stream.getvalue())
    assert line["losses"] == {"total": None}
    assert line["several"] == [None, 1.5]


def test_json_has_all_about_the_result(capsys):
    assert run("--json", "--recipe") == 0
    told = events(capsys.readouterr().out)[-1]
    assert told["event"] == "done"
    assert told["path"] == "photo-painting.png"
    assert told["recipe_path"] == "photo-painting.json"
    assert told["evaluations"] == 2
    assert told["stopped"] == "evaluations"
    assert {"total", "content", "style"} <= set(told["losses"])
    assert told["recipe"]["content"]["name"] == "photo.png"
    assert told["seconds"] > 0


def test_standard_input_and_output(monkeypatch):
    source, result = io.BytesIO(Path("photo.png").read_bytes()), io.BytesIO()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(source))
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(result))
    assert main(["-", "painting.png", *SMALL, "-o", "-"]) == 0
    assert Picture.open(result.getvalue()).width == 48
    assert files() == ["painting.png", "photo.png"]


def test_several_styles_and_their_shares():
    picture("other.png", seed=2)
    shares = ["--style-weights", "3,1", "--recipe", "-o", "out.png"]
    assert main(["photo.png", "painting.png", "other.png", *SMALL, *shares]) == 0
    styles = Recipe.from_json(Path("out.json").read_text()).styles
    assert [style.weight for style in styles] == [3, 1]


def test_a_picture_to_start_from():
    picture("start.png", seed=3)
    assert run("--init-picture", "start.png", "--recipe", "-o", "out.png") == 0
    recipe = Recipe.from_json(Path("out.json").read_text())
    assert recipe.settings.init == "picture"
    assert recipe.init_picture is not None
    assert recipe.init_picture.name == "start.png"


def test_intermediate_pictures():
    few = ["--size", "48", "--evaluations", "4", "--save-every", "2"]
    assert main(["photo.png", "painting.png", *few, "-o", "out.png"]) == 0
    assert {"out-0002.png", "out-0004.png", "out.png"} <= set(files())
    Path("out.png").unlink()
    assert run("--save-every", "2", "-o", "out.png") == ExitCode.RESOURCE


def test_sixteen_bits():
    assert run("--bits", "16", "-o", "out.tif") == 0
    assert Picture.open("out.tif").bits == 16


def test_quiet_and_verbose(capsys):
    assert run("-q") == 0
    assert capsys.readouterr() == ("photo-painting.png\n", "")
    assert run("-v") == 0
    assert "cpu, 1 threads, " in capsys.readouterr().err


def test_plain_lines_have_no_escapes(capsys):
    assert run() == 0
    said = capsys.readouterr().err
    assert re.search(r"^100 %  0 s left$", said, re.MULTILINE)
    assert "total" not in said
    assert run("-v") == 0
    said = capsys.readouterr().err
    assert re.search(r"^100 %  0 s left .*scale 1/1  48 x 36 px  evaluation 2/2  total ", said, re.MULTILINE)
    assert "\x1b" not in said


@pytest.mark.parametrize("name", ["content equals style", "solid style", "narrow photo"])
def test_odd_pictures_that_work(name):
    picture("solid.png", solid=True)
    picture("narrow.png", 17, 40)
    arguments = {
        "content equals style": ["photo.png", "photo.png", *SMALL],
        "solid style": ["photo.png", "solid.png", *SMALL],
        "narrow photo": ["narrow.png", "painting.png", *SMALL[2:]],
    }[name]
    assert main([*arguments, "-o", "out.png"]) == 0
    assert Path("out.png").exists()


def test_layers_and_doctor(capsys):
    assert main(["layers", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["relu4_2"]["channels"], rows["relu4_2"]["stride"]) == (512, 8)
    assert main(["layers"]) == 0
    assert "conv5_4" in capsys.readouterr().out
    assert main(["doctor", "--json"]) in (ExitCode.DONE, ExitCode.WEIGHTS)
    facts = json.loads(capsys.readouterr().out)
    assert set(facts["exit codes"]) == {str(int(code)) for code in ExitCode}
    assert "cpu" in facts["machine"]["devices"]
    assert main(["doctor"]) in (ExitCode.DONE, ExitCode.WEIGHTS)
    assert "threads" in capsys.readouterr().out


def test_demo(capsys, monkeypatch):
    monkeypatch.setattr("impasto.system.hardware.usable_threads", lambda: 1)
    assert main(["demo", "--size", "48"]) == 0
    assert capsys.readouterr().out == "demo.png\n"
    assert main(["demo", "--size", "48"]) == 0
    assert capsys.readouterr().out == "demo-2.png\n"
    assert main(["demo", "--size", "48", "--force"]) == 0
    assert capsys.readouterr().out == "demo.png\n"


# --- which picture is what ------------------------------------------------------------------------


@pytest.fixture
def folders():
    """Three photos in a folder, two paintings in another."""
    for number, name in enumerate(("photos/1", "photos/2", "photos/3", "paintings/a", "paintings/b")):
        Path(name).parent.mkdir(exist_ok=True)
        picture(f"{name}.png", seed=number)


def said_of(capsys, *arguments, code=0):
    assert main([*arguments, *SMALL]) == code
    return capsys.readouterr()


@pytest.mark.parametrize(
    "names",
    [
        ["photos/1.png", "photos/2.png", "photos/3.png", "paintings/a.png"],  # photos/*.png painting
        ["photos/1.png", "paintings/a.png", "photos/2.png", "photos/3.png"],
        ["photos/1.png", "./photos/2.png", "photos/../photos/3.png"],
        ["photo.png", "painting.png", "photo.png"],
    ],
)
@pytest.mark.parametrize("command", [[], ["estimate"], ["grid", "--vary", "seed=1,2"]])
def test_pictures_of_the_photos_folder_are_not_taken_for_paintings(capsys, folders, command, names):
    before = files()
    line = said_of(capsys, *command, *names, code=ExitCode.USAGE).err
    assert f"{names[0]} would be the photo" in line
    assert f"impasto {names[0]} --style " in line
    place = f"{Path(names[0]).parent}/*" if "/" in names[0] else "*"
    assert f"impasto batch {place}.png --style {names[-1]} -o painted" in line
    assert (f"-o {names[-1]}" in line) == (len(names) == 3)
    assert files() == before


@pytest.mark.parametrize(
    ("photo", "named"), [("photos", "photos"), ("./photos/", "./photos/"), ("o d", "'o d'")]
)
def test_a_folder_as_the_photo_is_answered_with_batch(capsys, folders, photo, named):
    Path("o d").mkdir()
    Path("o d", "a.jpg").touch()
    line = said_of(capsys, photo, "paintings/a.png", code=ExitCode.USAGE).err
    assert f"impasto batch {named} --style paintings/a.png -o painted" in line


def test_the_explicit_form_and_lists_for_each_painting_say_that_they_are_meant(capsys, folders):
    paintings = ["photos/2.png", "photos/3.png"]
    flags = [word for name in paintings for word in ("--style", name)]
    said_of(capsys, "photos/1.png", *flags, "-o", "a.png")
    said_of(capsys, "photos/1.png", *paintings, "--style-weights", "1,1", "-o", "b.png")
    for name in ("a.png", "b.png"):
        assert [style.name for style in read_recipe(name).styles] == ["2.png", "3.png"]
    assert read_recipe("a.png").pixels_sha256 == read_recipe("b.png").pixels_sha256


def test_several_paintings_are_said_first(capsys, folders):
    said = said_of(capsys, "photos/1.png", "paintings/a.png", "paintings/b.png").err
    first = said.splitlines()[0]
    assert first.startswith("photo: photos/1.png; paintings: paintings/a.png, paintings/b.png")
    assert "-o" in first
    assert "paintings:" not in said_of(capsys, "photos/1.png", "paintings/a.png").err
    loop = said_of(capsys, "photos/1.png", "photos/2.png", "--style", "paintings/a.png", code=2).err
    assert "photos/2.png is too much" in loop


def test_an_output_that_is_there_is_named_as_a_painting(capsys, folders):
    picture("paintings/out.png", seed=9)
    said = said_of(capsys, "photos/1.png", "paintings/a.png", "paintings/out.png").err
    assert "paintings: paintings/a.png, paintings/out.png" in said.splitlines()[0]
    line = said_of(capsys, "photos/1.png", "paintings/a.png", "nowhere.png", code=2).err
    assert "nowhere.png does not exist, and would be a painting" in line
    assert "-o nowhere.png" in line


@pytest.mark.parametrize("folder_name", ["made", "made/"])
def test_a_folder_as_output_gets_the_default_name(capsys, folder_name):
    Path("made").mkdir()
    assert run("-o", folder_name) == 0
    assert run("-o", folder_name, "--recipe") == 0
    assert capsys.readouterr().out == "made/photo-painting.png\nmade/photo-painting-2.png\n"
    assert main(["reproduce", "made/photo-painting.png", "-o", folder_name, "--inputs", "."]) == 0
    assert main(["demo", "--size", "32", "-o", folder_name]) == 0
    assert main(["report", "made/photo-painting.png", "--quick", "-o", folder_name]) == 0
    assert main(["grid", "photo.png", "painting.png", "--vary", "seed=1", *SMALL, "-o", folder_name]) == 0
    made = {path.name for path in Path("made").iterdir()}
    assert {"photo-painting-again.png", "photo-painting.html", "photo-painting-grid.png"} <= made
    assert files() == ["made", "painting.png", "photo.png"]


@pytest.mark.slow
def test_a_picture_is_not_written_to_closed_standard_output():
    command = shlex.join([sys.executable, "-c", DRIVER, "photo.png", "painting.png", *SMALL, "-o", "-"])
    done = subprocess.run(["bash", "-c", f"exec {command} >&-"], capture_output=True, text=True)
    assert done.returncode == ExitCode.USAGE
    assert done.stderr.startswith("impasto: error: -o -: standard output is closed; write > out.png")
    assert "evaluation" not in done.stderr


def test_where_the_path_cannot_be_printed_the_error_says_where_the_picture_is(monkeypatch, capsys):
    def full(result):
        raise OutputError("cannot write to standard output: no space left on device")

    monkeypatch.setattr("impasto.cli.run.out", full)
    assert run("-o", "out.png") == ExitCode.RESOURCE
    assert "no space left on device; the picture is saved as out.png" in capsys.readouterr().err
    assert Picture.open("out.png").width == 48


@pytest.mark.parametrize("module", ["impasto.cli.app", "cyclopts", "impasto.cli.run"])
def test_ctrl_c_while_the_program_is_imported_ends_quietly(module):
    """A shell shows 130 for a process that ended by the signal."""
    code = (
        "import os, signal, sys, time, impasto.__main__\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == '{module}': os.kill(os.getpid(), signal.SIGINT); time.sleep(0.5)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "impasto.__main__.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_picture_is_not_written_to_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert run("-o", "-") == ExitCode.USAGE
    assert "standard output is the terminal" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="this system has no /dev/fd")  # noqa: PTH110
def test_what_the_shell_pipes_in_is_read():
    command = 'exec "$0" -c "$1" <(cat photo.png) <(cat painting.png) "${@:2}" --mask <(cat mask.png)'
    half = np.repeat(np.array([[0, 255]], np.uint8), 48, axis=0).repeat(32, axis=1)
    pyvips.Image.new_from_array(half).cast("uchar").write_to_file("mask.png")
    words = ["bash", "-c", command, sys.executable, DRIVER, *SMALL]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "pipe-pipe.png\n"
    recipe = read_recipe("pipe-pipe.png")
    assert recipe.content.sha256 == hashlib.sha256(Path("photo.png").read_bytes()).hexdigest()


# --- while it works ------------------------------------------------------------------------------


def test_the_preview_is_small_and_ends_as_the_picture(monkeypatch):
    monkeypatch.setattr(watch, "FRESH", 0.0)
    monkeypatch.setattr(watch, "SHARE", 1e9)
    monkeypatch.setattr(watch, "PREVIEW", 24)
    written = []
    real = watch.Preview.write
    monkeypatch.setattr(watch.Preview, "write", lambda self, made: written.append(made) or real(self, made))
    assert run("--preview", "p.png", "-o", "out.png") == 0
    assert len(written) == 3  # two evaluations and the result
    assert Picture.open("p.png").width == 24
    small = Picture.open("out.png").thumbnail(24)
    # The preview is scaled before it is rounded to 8 bits.
    apart = Picture.open("p.png").array(8).astype(int) - small.array(8)
    assert abs(apart).max() <= 1


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("kept.png", 3, "exists already"),
        ("p.gif", 2, "Did you mean .png?"),
        ("out.png", 2, "also the picture"),
    ],
)
def test_a_preview_never_replaces_what_is_there(capsys, name, code, words):
    picture("kept.png", seed=5)
    kept = Path("kept.png").read_bytes()
    assert run("--preview", name, "-o", "out.png") == code
    assert words in capsys.readouterr().err
    assert Path("kept.png").read_bytes() == kept


def test_a_preview_that_cannot_be_written_does_not_end_the_run(monkeypatch, capsys):
    def full(self, path, *arguments, **options):
        raise OutputError(f"cannot write {path}: no space left on device")

    monkeypatch.setattr(Picture, "save", full)
    assert run("--preview", "p.png", "-o", "out.png") == ExitCode.RESOURCE
    assert "p.png: no space left" in capsys.readouterr().err
    assert Picture.open("out.png").width == 48


def test_the_first_line_knows_the_speed_of_earlier_runs(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(speed, "LEAST", 1)
    assert run() == 0
    file, own = tmp_path / "cache" / "speed.json", read_recipe("photo-painting.png").weights
    (key,) = json.loads(file.read_text())
    assert own in key
    file.write_text(json.dumps({key.replace(own, NAME): 100 / (48 * 36 * 2)}))  # as of the packaged ones
    capsys.readouterr()
    assert run() == 0
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith("48 x 36 px, about 1:40 min (the photo is 64 x 48; --size 64 for all of it takes")
    assert "about 2:58 min)" in line  # (64 x 48) / (48 x 36) times as long


# --- what is refused -----------------------------------------------------------------------------

BAD = [
    (["missing.jpg", "painting.png"], 2, "missing.jpg"),
    (["photo.png", "missing.jpg"], 2, "missing.jpg"),
    (["a-folder", "painting.png"], 2, "a-folder is a folder"),
    (["text.jpg", "painting.png"], 2, "text.jpg is a text file"),
    (["cut.jpg", "painting.png"], 2, "cut.jpg"),
    (["empty.png", "painting.png"], 2, "empty.png is empty"),
    (["thin.png", "painting.png"], 2, "size"),
    (["dot.png", "painting.png"], 2, "smallest size that works is 16"),
    (["photo.png", "dot.png", "--size", "9"], 2, "smallest size"),
    (["photo.png"], 2, "no painting"),
    (["doctr"], 2, "Did you mean doctor?"),
    ([], 2, "no photo"),
    (["", "painting.png"], 2, "is empty ('')"),
    (["photo.png", "-"], 2, "only the photo"),
    (["photo.png", "painting.png", "--style-layers", "relu1_11"], 2, "Did you mean relu1_1?"),
    (["photo.png", "painting.png", "--style-layers", "relu1_1=x"], 2, "relu1_1"),
    (["photo.png", "painting.png", "--style-layers", "relu1_1=-1"], 2, "relu1_1"),
    (["photo.png", "painting.png", "--content-weight", "-1"], 2, "--content-weight: "),
    (["photo.png", "painting.png", "--style-weight", "nan"], 2, "--style-weight: "),
    (["photo.png", "painting.png", "--content-weight=0", "--style-weight=0"], 2, "nothing to do"),
    (["photo.png", "painting.png", "--quality", "goood"], 2, "good"),
    (["photo.png", "painting.png", "--size", "0"], 2, "size"),
    (["photo.png", "painting.png", "--size", "3.5"], 2, "--size"),
    (["photo.png", "painting.png", "--contnt-weight", "1"], 2, "Did you mean --content-weight?"),
    (["photo.png", "painting.png", "--preset", "papr"], 2, "Did you mean paper?"),
    (["photo.png", "painting.png", "--device", "tpu"], 2, "device"),
    (["photo.png", "painting.png", "--device", "cuda:99"], 2, "cuda:99"),
    (["photo.png", "painting.png", "--style-weights", "1,2"], 2, "--style-weights"),
    (["photo.png", "painting.png", "--style-weights", "x"], 2, "--style-weights"),
    (["photo.png", "painting.png", "--style-weights", "-1"], 2, "negative"),
    (["photo.png", "painting.png", "--style-weights", "0"], 2, "above 0"),
    (["photo.png", "painting.png", "--init", "picture"], 2, "--init-picture"),
    (["photo.png", "painting.png", "--init-picture", "missing.png"], 2, "missing.png"),
    (["photo.png", "painting.png", "--init-picture=photo.png", "--init=noise"], 2, "--init noise"),
    (["photo.png", "painting.png", "-o", "photo.png", "--force"], 2, "photo.png is also an input"),
    (["photo.png", "painting.png", "-o", "out.pgn"], 2, "Did you mean .png?"),
    (["photo.png", "painting.png", "-o", "out"], 2, "suffix"),
    (["photo.png", "painting.png", "-o", "--force"], 2, "--force"),
    (["photo.png", "painting.png", "-o", "no/out.png"], 3, "the folder no does not exist"),
    (["photo.png", "painting.png", "-o", "no-folder/"], 3, "the folder no-folder/ does not exist"),
    (["photo.png", "painting.png", "-o", "/proc/out.png"], 3, "/proc"),
    (["photo.png", "painting.png", "-o", "-", "--recipe"], 2, "--recipe"),
    (["photo.png", "painting.png", "-o", "o.jpg", "--bits", "16"], 2, "16 bits"),
    (["photo.png", "painting.png", "--bits", "12"], 2, "--bits"),
    (["photo.png", "painting.png", "--save-every", "0"], 2, "--save-every"),
    (["layers", "x"], 2, "x"),
]


@pytest.mark.parametrize(("arguments", "code", "word"), BAD, ids=lambda value: str(value)[:60])
def test_bad_input_gives_one_line_and_leaves_nothing(arguments, code, word, capsys):
    Path("a-folder").mkdir()
    Path("text.jpg").write_text("not a picture at all\n")
    Path("empty.png").touch()
    picture("whole.jpg", 200, 200)
    Path("cut.jpg").write_bytes(Path("whole.jpg").read_bytes()[:2000])
    picture("thin.png", 10_000, 1)
    picture("dot.png", 1, 1)
    if "dot.png" == (arguments or [""])[0]:
        arguments = [*arguments, "--size", "1"]
    before = files()
    assert main(arguments) == code
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 1, said.err
    assert lines[0].startswith("impasto: error: ")
    assert word in lines[0]
    assert said.out == ""
    assert files() == before


def test_one_pixel_is_enlarged():
    picture("dot.png", 1, 1)
    assert main(["dot.png", "painting.png", *SMALL, "-o", "out.png"]) == 0


@pytest.mark.parametrize(
    ("error", "code", "word"),
    [
        (MemoryError(), 3, "not enough memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 3, "not enough memory"),
        (RuntimeError("CUDA out of memory. Tried"), 3, "not enough memory"),
        (BrokenPipeError(), 3, ""),
        (ZeroDivisionError("ours"), 1, "please report"),
    ],
)
def test_what_breaks_inside(monkeypatch, capsys, error, code, word):
    def broken(*arguments, **options):
        raise error

    monkeypatch.setattr(impasto.transfer.stylize, "stylize", broken)
    assert run() == code
    said = capsys.readouterr().err
    assert word in said
    assert ("Traceback" in said) == (code == 1)
    assert files() == ["painting.png", "photo.png"]


# --- signals -------------------------------------------------------------------------------------

DRIVER = """
import sys
import impasto.network.weights.load
import impasto.transfer.stylize
from impasto.cli.app import main
from impasto.network.vgg import narrow_weights
impasto.network.weights.load.load_weights = narrow_weights
sys.exit(main())
"""


@contextlib.contextmanager
def started(*arguments):
    """A long run in a process of its own, whose progress can be read line by line."""
    long = ["--size", "64", "--evaluations", "100000", "--save-every", "3", "--threads", "1"]
    command = [sys.executable, "-u", "-c", DRIVER, "photo.png", "painting.png", *long]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*command, "-o", "out.png", *arguments], **pipes, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_the_best(number, code):
    with started() as process:
        for line in process.stderr:
            if " % " in line:
                break
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert process.returncode == code
    assert out == "out.png\n"
    assert "interrupted; the best picture so far is saved" in err
    assert "Traceback" not in err
    assert Picture.open("out.png").width == 64


@pytest.mark.slow
def test_a_closed_terminal_saves_the_best():
    master, terminal = pty.openpty()
    command = [sys.executable, "-c", DRIVER, "photo.png", "painting.png", "-o", "out.png", "--threads", "1"]
    command += ["--size", "64", "--evaluations", "100000"]
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
    own = {"start_new_session": True, "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}
    with subprocess.Popen(command, **streams, **own) as process:
        os.close(terminal)
        seen = b""
        while b"%" not in seen:
            seen += os.read(master, 1000)
        os.close(master)
        process.wait(timeout=30)
    assert process.returncode in (129, 3)  # 3 where the name of the file could not be written to the terminal
    assert Picture.open("out.png").width == 64


@pytest.mark.slow
def test_under_nohup_a_hangup_is_ignored():
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); " + DRIVER
    command = [
        sys.executable,
        "-u",
        "-c",
        code,
        "photo.png",
        "painting.png",
        "--size",
        "64",
        "--threads",
        "1",
    ]
    with subprocess.Popen(
        [*command, "--evaluations", "40", "-o", "out.png"], stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if "%" in line:
                break
        process.send_signal(signal.SIGHUP)
        err = process.communicate(timeout=60)[1]
    assert (process.returncode, "interrupted" in err) == (0, False)


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_as_the_null_device(closed):
    arguments = ["photo.png", "painting.png", "--size", "64", "--evaluations", "2", "--threads", "1"]
    command = shlex.join([sys.executable, "-c", DRIVER, *arguments, "-o", "out.png", "--report"])
    done = subprocess.run(["bash", "-c", f"exec {command} {closed}"], capture_output=True, text=True)
    assert done.returncode == 0
    expected = "" if ">&-" in closed.replace("2>&-", "") else "out.png\n"
    assert done.stdout == expected
    assert "Traceback" not in done.stderr
    opened = Picture.open("out.png")
    assert (opened.width, Picture.of(Path("out.png").read_bytes()).width) == (64, 64)
    assert Path("out.html").read_text().lower().startswith("<!doctype html>")


@pytest.mark.parametrize(("arguments", "code"), [("--version", 0), ("--hlep", 2), ("missing.png x.png", 2)])
def test_closed_streams_keep_the_exit_code(arguments, code):
    command = shlex.join([sys.executable, "-m", "impasto"])
    done = subprocess.run(["bash", "-c", f"exec {command} {arguments} >&- 2>&-"], capture_output=True)
    assert done.returncode == code


def test_a_second_signal_ends_at_once(monkeypatch, capsys):
    def twice(*arguments, on_step, **options):
        app.signals.running = True
        signal.raise_signal(signal.SIGINT)  # sets a flag
        signal.raise_signal(signal.SIGINT)  # ends
        raise AssertionError("still running")

    monkeypatch.setattr(impasto.transfer.stylize, "stylize", twice)
    assert run() == 130
    assert capsys.readouterr() == ("", "")
    assert files() == ["painting.png", "photo.png"]


def test_numerical_trouble_saves_the_best(monkeypatch, capsys):
    def troubled(*arguments, stylize=impasto.transfer.stylize.stylize, **options):
        return dataclasses.replace(
            stylize(*arguments, **options),
            stopped="not finite", fault="the loss content.relu4_2 stopped being finite at evaluation 3",
        )  # fmt: skip

    monkeypatch.setattr(impasto.transfer.stylize, "stylize", troubled)
    assert run("-q") == 5
    said = capsys.readouterr()
    assert said.out == "photo-painting.png\n"
    assert said.err.startswith("impasto: error: the loss content.relu4_2 stopped being finite")
    assert "photo-painting.png" in files()


@pytest.mark.slow
def test_a_signal_while_starting_ends_quietly():
    # the photo comes from a pipe that stays open, so the run waits for it
    command = [sys.executable, "-c", DRIVER, "-", "painting.png", "-o", "out.png"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not _catches_interrupts(process.pid):
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"")
    assert files() == ["painting.png", "photo.png"]


def _catches_interrupts(pid):
    """Whether SIGTERM, which Python leaves alone, has a handler by now: then main() has begun."""
    if not os.path.exists("/proc"):  # noqa: PTH110
        time.sleep(5)
        return True
    found = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(found and int(found[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_waiting_threads_sleep_soon_unless_the_user_says_otherwise(monkeypatch, capsys) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    assert main(["--version"]) == 0
    assert os.environ["GOMP_SPINCOUNT"] == "3000"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert main(["--version"]) == 0
    assert "GOMP_SPINCOUNT" not in os.environ
