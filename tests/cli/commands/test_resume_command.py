"""`impasto resume`, `--checkpoint`, and what the command line does when it is interrupted."""

import contextlib
import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import impasto.network.weights.load
from cli.test_app import DRIVER, picture
from impasto.cli import run
from impasto.cli.app import main
from impasto.cli.run import signals
from impasto.errors import ExitCode, Stop
from impasto.image.xmp import read_recipe
from impasto.network.vgg import narrow_weights
from impasto.transfer.callbacks import checkpoint_file, checkpoint_folder, checkpoints
from impasto.transfer.callbacks.base import OnStep

SMALL = ["--size", "48", "--min-size", "24", "--evaluations", "6", "--threads", "1"]
LONG = ["--size", "48", "--evaluations", "300", "--threads", "1"]
RUN = ["photo.png", "painting.png", *SMALL]
NAME = "run.checkpoint"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", 1.0)
    weights = narrow_weights()
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *name: weights)
    picture("photo.png")
    picture("painting.png", seed=1)
    return tmp_path


def interrupted(*arguments: str, at: int = 9, number: int = signal.SIGINT) -> int:
    """Run the command line with a signal at an evaluation."""
    original = OnStep.on_evaluation

    def signaled(self, run, canvas, evaluation) -> None:
        if len(run.state.history) == at:
            signals.running = True
            signal.raise_signal(number)
        original(self, run, canvas, evaluation)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OnStep, "on_evaluation", signaled)
        return main(list(arguments))


def pixels(name: str) -> str:
    return read_recipe(name).pixels_sha256


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_says_how_to_go_on_and_resume_does(capsys, number, code) -> None:
    assert main([*RUN, "-o", "whole.png"]) == 0
    capsys.readouterr()
    assert interrupted(*RUN, "-o", "out.png", "--recipe", number=number) == code
    said = capsys.readouterr()
    assert said.out == "out.png\n"
    assert "interrupted; the best picture so far is saved: 9 evaluations" in said.err
    assert said.err.endswith("to continue: impasto resume\n")
    assert read_recipe("out.png").stopped == "interrupted"
    assert pixels("out.png") != pixels("whole.png")
    assert main(["resume"]) == 0
    assert Path(capsys.readouterr().out.strip()).name == "out.png"
    assert pixels("out.png") == pixels("whole.png")
    assert read_recipe("out.json") == read_recipe("out.png")
    assert list(checkpoint_folder.folder().iterdir()) == []
    assert main(["resume"]) == ExitCode.USAGE
    assert "no unfinished run" in capsys.readouterr().err


def test_a_file_of_its_own(capsys) -> None:
    assert main([*RUN, "-o", "whole.png"]) == 0
    assert interrupted(*RUN, "-o", "out.png", "--checkpoint", NAME, "--json") == 130
    said = capsys.readouterr()
    assert f"to continue: impasto resume {Path(NAME).absolute()}" in said.err
    assert json.loads(said.out.splitlines()[-1])["checkpoint"] == str(Path(NAME).absolute())
    assert main([*RUN, "-o", "other.png", "--checkpoint", NAME]) == ExitCode.USAGE
    assert "exists already: impasto resume continues it" in capsys.readouterr().err
    assert main(["resume", NAME, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["checkpoint"] is None
    assert pixels("out.png") == pixels("whole.png")
    assert main([*RUN, "-o", "other.png", "--checkpoint", NAME, "--force"]) == 0
    assert pixels("other.png") == pixels("whole.png")


def test_only_the_interrupted_picture_is_replaced(capsys) -> None:
    interrupted(*RUN, "-o", "out.png")
    picture("out.png", seed=7)
    kept = Path("out.png").read_bytes()
    assert main(["resume"]) == 0
    assert Path(capsys.readouterr().out.strip().splitlines()[-1]).name == "out-2.png"
    assert Path("out.png").read_bytes() == kept


def test_limits_of_the_run_hold_when_it_goes_on(capsys, monkeypatch) -> None:
    monkeypatch.setenv("IMPASTO_MAX_PIXELS", "100")
    assert interrupted(*RUN, "-o", "out.png", "--max-pixels", "1MP") == 130
    assert main(["resume", "--max-pixels", "50"]) == ExitCode.USAGE
    assert "--max-pixels" in capsys.readouterr().err
    assert main(["resume"]) == 0


@pytest.mark.slow
def test_flags_go_before_what_was_asked(capsys, monkeypatch) -> None:
    interrupted(*RUN, "-o", "out.tif", "--bits", "16", "--save-every", "4", "--report")
    assert main(["resume", "-o", "again.tif"]) == 0
    assert Path("again.html").exists()
    assert "interrupted and continued" in Path("again.html").read_text()
    assert Path("again-0012.tif").exists()
    assert read_recipe("again.tif").stopped == "evaluations"
    interrupted(*RUN, "-o", "out.png")
    assert main(["resume", "-o", "out.gif"]) == ExitCode.USAGE
    assert main(["resume", "-o", "photo.png", "--force"]) == ExitCode.USAGE
    assert "is also an input" in capsys.readouterr().err
    written: list[bytes] = []
    monkeypatch.setattr(run, "out", written.append)
    assert main(["resume", "-o", "-"]) == 0
    assert written[0].startswith(b"\x89PNG")


def test_intermediate_pictures_are_made_again(capsys) -> None:
    """Those after the last checkpoint are there already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "EVERY", 1000.0)
        assert interrupted(*RUN, "-o", "out.png", "--save-every", "1") == 130
    assert main(["resume"]) == 0, capsys.readouterr().err
    assert {f"out-{number:04d}.png" for number in range(1, 13)} <= {path.name for path in Path().iterdir()}


def test_a_reproduction_goes_on_too(capsys) -> None:
    assert main([*RUN, "-o", "out.png"]) == 0
    assert interrupted("reproduce", "out.png") == 130
    assert main(["resume"]) == 0
    assert pixels("out-again.png") == pixels("out.png")


def test_without_checkpoints(capsys) -> None:
    assert interrupted(*RUN, "-o", "out.png", "--no-checkpoint") == 130
    assert "to continue" not in capsys.readouterr().err
    assert main(["resume"]) == ExitCode.USAGE


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resume", "nothing.checkpoint"], "nothing.checkpoint: no such file"),
        (["resume", "photo.png"], "photo.png is cut off or damaged, or no checkpoint"),
        (["resume", "."], "is a folder"),
        (["resume", NAME, "--inputs", "nowhere"], "nowhere is no folder"),
        ([*RUN, "--checkpoint", "a.png"], "a.png: that is the name of another kind of file"),
        ([*RUN, "--checkpoint", "a", "--no-checkpoint"], "cannot go together"),
        ([*RUN, "--checkpoint", "no/a"], "the folder no does not exist"),
        ([*RUN, "--checkpoint", "."], "is a folder"),
    ],
)
def test_wrong_ways(capsys, arguments, said) -> None:
    interrupted(*RUN, "-o", "out.png", "--checkpoint", NAME)
    capsys.readouterr()
    assert main(arguments) in (ExitCode.USAGE, ExitCode.RESOURCE)
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_another_input_and_another_version(capsys, place) -> None:
    interrupted(*RUN, "-o", "out.png", "--checkpoint", NAME)
    picture("photo.png", seed=9)
    assert main(["resume", NAME]) == ExitCode.USAGE
    assert "it is another picture now" in capsys.readouterr().err
    saved = checkpoint_file.read(Path(NAME))
    other = saved.header.changed(recipe=saved.header.recipe.changed(impasto="7.0"))
    checkpoint_file.write(Path(NAME), checkpoint_file.Checkpoint(other, saved.tensors, saved.history))
    assert main(["resume", NAME]) == ExitCode.USAGE
    assert "was written by impasto 7.0" in capsys.readouterr().err


def test_a_picture_that_cannot_be_saved_is_not_lost(capsys, monkeypatch) -> None:
    monkeypatch.setattr(checkpoints, "LONG", 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "_save_picture", lambda *arguments: (_ for _ in ()).throw(Stop))
        with contextlib.suppress(Stop):
            main([*RUN, "-o", "out.png"])
    assert main(["resume"]) == 0
    assert read_recipe("out.png").stopped == "evaluations"


@pytest.mark.slow
def test_a_reader_of_the_progress_that_goes_away_costs_nothing() -> None:
    """As in `impasto ... 2>&1 >out | head -1`."""
    command = [sys.executable, "-c", DRIVER, "photo.png", "painting.png", *LONG, "-o", "out.png"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as process:
        process.stderr.readline()
        process.stderr.close()
        assert process.wait(timeout=120) == 0
        assert process.stdout.read() == b"out.png\n"
    assert read_recipe("out.png").stopped in ("evaluations", "no further decrease")


def test_a_second_signal_while_a_checkpoint_is_written_tears_nothing(capsys, monkeypatch) -> None:
    monkeypatch.setattr(checkpoints, "LONG", 0.0)
    original, calls = checkpoint_file._save, []

    def twice(tensors, text, file) -> None:
        calls.append(1)
        original(tensors, text, file)
        if len(calls) == 6:
            signals.running = True
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("still running")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint_file, "_save", twice)
        assert main([*RUN, "-o", "out.png"]) == 130
    assert capsys.readouterr().out == ""
    left = sorted(path.suffix for path in checkpoint_folder.folder().iterdir())
    assert left == [".safetensors"]
    assert main(["resume"]) == 0


# --- without a file ------------------------------------------------------------------------------


def elsewhere(place: Path, monkeypatch, name: str = "elsewhere") -> None:
    (place / name).mkdir(exist_ok=True)
    monkeypatch.chdir(place / name)


def test_resume_says_which_run_and_how_old(capsys, monkeypatch) -> None:
    interrupted(*RUN, "-o", "out.png")
    capsys.readouterr()
    monkeypatch.setattr(checkpoint_folder, "age", lambda path: 125.0)
    assert main(["resume"]) == 0
    said = capsys.readouterr().err
    assert "resuming photo.png in the style of painting.png: 8 evaluations done, saved 2:05 min ago" in said
    assert f"started in {Path.cwd()}, for {Path('out.png').absolute()}" in said


def test_a_run_of_another_folder_is_refused_where_nobody_can_be_asked(place, capsys, monkeypatch) -> None:
    interrupted(*RUN, "-o", "out.png")
    kept = Path("out.png").read_bytes()
    (checkpoint,) = checkpoint_folder.unfinished()
    capsys.readouterr()
    elsewhere(place, monkeypatch)
    assert main(["resume"]) == ExitCode.USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert "no unfinished run belongs to this folder" in line
    assert "photo.png in the style of painting.png" in line
    assert f"impasto resume {checkpoint}" in line
    assert (place / "out.png").read_bytes() == kept
    assert main(["resume", str(checkpoint)]) == 0
    assert (place / "out.png").read_bytes() != kept


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", ExitCode.USAGE), ("no\n", ExitCode.USAGE)])
def test_a_terminal_is_asked_about_a_run_of_another_folder(place, monkeypatch, answer, code) -> None:
    interrupted(*RUN, "-o", "out.png")
    elsewhere(place, monkeypatch)
    for name, text in (("stdin", answer), ("stderr", "")):
        stream = io.StringIO(text)
        stream.isatty = lambda: True
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setenv("TERM", "dumb")
    assert main(["resume"]) == code
    said = sys.stderr.getvalue()
    assert "belongs to another folder: photo.png in the style of painting.png" in said
    assert said.count("resume it? [y/N]") == 1


def test_the_run_of_this_folder_goes_before_a_later_one_of_another(place, capsys, monkeypatch) -> None:
    interrupted(*RUN, "-o", "out.png")
    elsewhere(place, monkeypatch)
    for name in ("photo.png", "painting.png"):
        Path(name).write_bytes((place / name).read_bytes())
    interrupted(*RUN, "-o", "theirs.png")
    theirs = Path("theirs.png").read_bytes()
    monkeypatch.chdir(place)
    capsys.readouterr()
    assert main(["resume"]) == 0
    assert capsys.readouterr().out.strip() == str(place / "out.png")
    assert (place / "elsewhere" / "theirs.png").read_bytes() == theirs


def test_list_has_all_unfinished_runs_and_resumes_none(place, capsys, monkeypatch) -> None:
    assert main(["resume", "--list"]) == 0
    assert capsys.readouterr().out == "no unfinished runs\n"
    interrupted(*RUN, "-o", "out.png")
    interrupted(*RUN, "-o", "second.png", "--checkpoint", NAME)
    checkpoint_folder.folder().joinpath("torn.safetensors").write_bytes(b"nothing")
    capsys.readouterr()
    elsewhere(place, monkeypatch)
    assert main(["resume", "--list"]) == 0
    said = capsys.readouterr().out
    for words in (str(place / NAME), str(place / "out.png"), str(place / "second.png"), "torn.safetensors"):
        assert words in said
    assert main(["resume", "--list", "--json"]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert len(runs) == 3
    assert runs[0]["problem"]
    assert runs[1]["checkpoint"] == str(place / NAME)
    assert [run["evaluations"] for run in runs[1:]] == [8, 8]
    assert runs[1]["folder"] == str(place)
    assert len(checkpoint_folder.unfinished()) == 3
