"""The commands beside `stylize`: show, reproduce, settings, presets, estimate, completion."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import impasto.inputs.open
import impasto.network.weights.load
import impasto.system.hardware
import impasto.transfer.estimate
import impasto.transfer.stylize
from config.test_recipe import recipe
from impasto.cli.app import main
from impasto.cli.commands.settings import DEFAULT_WEIGHTS
from impasto.config.limits import Input
from impasto.config.output import Output
from impasto.config.recipe import Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import ExitCode, Stop
from impasto.image.xmp import read_recipe
from impasto.losses.loss import Penalty
from impasto.network.vgg import narrow_weights
from impasto.network.weights import load as weights_module
from impasto.transfer.stylize import stylize

SMALL = ["--size", "48", "--evaluations", "2", "--threads", "1"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test starts in a folder of its own, with a photo and a painting, on a narrow network."""
    real = impasto.network.weights.load.load_weights
    monkeypatch.setattr(
        impasto.network.weights.load,
        "load_weights",
        lambda *which: real(*which) if which else narrow_weights(),
    )
    monkeypatch.setenv("IMPASTO_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHONPATH", str(Path(impasto.__file__).parents[1]))  # of subprocesses
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, size in (("photo.png", (64, 48)), ("painting.png", (50, 60))):
        Image.fromarray(random.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(name)
    return tmp_path


def paint(*arguments: str) -> int:
    return main(["photo.png", "painting.png", *SMALL, *arguments])


# --- show ----------------------------------------------------------------------------------------


def test_show_tells_how_a_picture_was_made(capsys) -> None:
    assert paint("-o", "out.jpg", "--style-weight", "300") == 0
    capsys.readouterr()
    assert main(["show", "out.jpg"]) == 0
    said = capsys.readouterr().out
    single = " ".join(said.split())
    for words in (
        f"made by       impasto {impasto.__version__}, 20",
        "photo         photo.png (64 x 48 px, SHA-256 ",
        "style         painting.png (50 x 60 px, SHA-256 ",
        "scale         48 x 36 px: 2 evaluations in ",
        "ended: evaluations",
        "computed on   cpu, 1 threads",
        "reproducible  yes: impasto reproduce out.jpg",
        "style_weight 300 (default: 100)",
        "content_weight 1 style_weight",
    ):
        assert words in said or words in single
    for name in Settings.model_fields:
        assert f"\n  {name} " in said


def test_show_json_is_the_recipe(capsys) -> None:
    assert paint("-o", "out.png", "--recipe") == 0
    capsys.readouterr()
    assert main(["show", "out.png", "--json"]) == 0
    printed = capsys.readouterr().out
    assert printed == Path("out.json").read_text()
    assert Recipe.from_json(printed) == read_recipe("out.png")


def test_show_says_why_a_picture_cannot_be_made_again(capsys, narrow) -> None:
    own = [Penalty(lambda features: features["image"].mean())]
    settings = Settings(size=48, evaluations=1)
    stylize("photo.png", "painting.png", settings, extra_losses=own).save("out.png")
    assert main(["show", "out.png"]) == 0
    assert "reproducible  no: " in capsys.readouterr().out


def test_a_hostile_recipe_cannot_write_to_the_terminal(capsys) -> None:
    made = recipe(impasto="1\x1b[31m", weights="w\x1b]0;x\x07\n")
    Path("out.json").write_text(made.to_json())
    assert main(["show", "out.json"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\x07" not in said


# --- reproduce -----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_reproduce_makes_the_same_pixels(capsys, suffix) -> None:
    assert paint("-o", f"out{suffix}") == 0
    first = read_recipe(f"out{suffix}")
    Path("out.json").write_text(first.to_json())
    Path(f"out{suffix}").unlink()
    capsys.readouterr()
    assert main(["reproduce", "out.json"]) == 0
    said = capsys.readouterr()
    assert said.out == "out-again.png\n"
    assert "the pixels are the same" in said.err
    assert read_recipe("out-again.png").pixels_sha256 == first.pixels_sha256


def test_reproduce_says_what_is_not_as_it_was(capsys) -> None:
    assert paint("-o", "out.png") == 0
    made = read_recipe("out.png")
    changed = made.changed(machine={**made.machine, "torch": "0.1"}, pixels_sha256="0" * 64)
    Path("out.json").write_text(changed.to_json())
    assert main(["reproduce", "out.json"]) == 0
    said = capsys.readouterr().err
    assert "not as when the picture was made: torch was 0.1, is " in said
    assert "the pixels are not the same" in said


def test_reproduce_takes_folders_and_output_flags(capsys) -> None:
    assert paint("-o", "out.png") == 0
    Path("inputs").mkdir()
    for name in ("photo.png", "painting.png"):
        shutil.move(name, f"inputs/other-{name}")
    assert main(["reproduce", "out.png"]) == ExitCode.USAGE
    assert "input not found: photo.png" in capsys.readouterr().err
    assert main(["reproduce", "out.png", "--inputs", "inputs", "-o", "b.tif", "--bits", "16"]) == 0
    assert "the pixels are the same" in capsys.readouterr().err


def test_pictures_beyond_the_limits_are_made_again_with_a_flag(capsys, monkeypatch) -> None:
    assert paint("-o", "out.png") == 0
    monkeypatch.setenv("IMPASTO_MAX_PIXELS", "100")
    for command in (["reproduce", "out.png"], ["report", "out.png"]):
        assert main(command) == ExitCode.USAGE
        assert "--max-pixels" in capsys.readouterr().err
        assert main([*command, "--max-pixels", "1MP"]) == 0


@pytest.mark.parametrize("target", ["out.png", "photo.png", "painting.png"])
def test_reproduce_never_writes_over_its_picture_or_inputs(capsys, target) -> None:
    assert paint("-o", "out.png") == 0
    before = Path(target).read_bytes()
    assert main(["reproduce", "out.png", "-o", target, "--force"]) == ExitCode.USAGE
    assert "is also an input" in capsys.readouterr().err
    assert Path(target).read_bytes() == before


def test_the_copy_has_format_and_depth_of_the_picture(capsys) -> None:
    assert paint("-o", "out.tif", "--bits", "16") == 0
    assert main(["reproduce", "out.tif"]) == 0
    assert impasto.Picture.open("out-again.tif").bits == 16
    assert main(["reproduce", "out.tif", "-o", "b.tif", "--bits", "8"]) == 0
    assert impasto.Picture.open("b.tif").bits == 8
    assert main(["reproduce", "out.tif", "-o", "b.jpg"]) == 0
    assert main(["reproduce", "out.tif", "-o", "c.png"]) == 0
    assert impasto.Picture.open("c.png").bits == 16


@pytest.mark.slow
def test_a_picture_that_ctrl_c_ended_is_made_again(capsys) -> None:
    import signal

    driver = (
        "import sys; import impasto.network.weights.load; from impasto.cli.app import main;"
        "from impasto.network.vgg import narrow_weights;"
        "impasto.network.weights.load.load_weights = narrow_weights;"
        "sys.exit(main())"
    )
    long = ["--size", "128", "--min-size", "64", "--evaluations", "400", "--threads", "1"]
    command = [sys.executable, "-u", "-c", driver, "photo.png", "painting.png", *long]
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, "-o", "out.png"], stdout=pipe, stderr=pipe, text=True) as run:
        for line in run.stderr:
            if " % " in line:
                break
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
    assert run.returncode == ExitCode.INTERRUPTED, err
    assert read_recipe("out.png").stopped == "interrupted"
    assert main(["reproduce", "out.png"]) == 0
    assert "the pixels are the same" in capsys.readouterr().err


# --- settings ------------------------------------------------------------------------------------


def test_settings_shows_every_value_and_where_it_came_from(capsys, monkeypatch) -> None:
    monkeypatch.setenv("IMPASTO_SEED", "5")
    Path("my.toml").write_text("detail = 0.5\n")
    flags = ["--size", "300", "--settings", "my.toml", "--preset", "paper"]
    assert main(["settings", *flags]) == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert lines["size"] == ["size", "300", "--size"]
    assert lines["seed"] == ["seed", "5", "IMPASTO_SEED"]
    assert lines["detail"] == ["detail", "0.5", "my.toml"]
    assert lines["convention"] == ["convention", "paper", "preset", "paper"]
    assert lines["preset"] == ["preset", "paper", "--preset"]
    assert lines["history"] == ["history", "10", "default"]
    assert lines["weights"] == ["weights", "vgg19-original-8bit", "default"]
    models = (Settings, Runtime, Output, Input)
    fields = {name for model in models for name in model.model_fields}
    assert set(lines) == fields | {"preset", "weights"}
    assert main(["settings", *flags, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["size"] == {"value": 300, "from": "--size"}
    assert main(["settings", "--preset", "gatys2016"]) == 0
    assert "weights               normalized" in capsys.readouterr().out
    assert main(["presets", "gatys2016"]) == 0
    assert "  weights          normalized   (default: vgg19-original-8bit)\n" in capsys.readouterr().out
    assert set(facts) == fields | {"preset", "weights"}


def test_settings_are_kept_edited_and_used_again(capsys) -> None:
    assert main(["settings", "--size", "48", "--evaluations", "2", "--save-settings", "my.toml"]) == 0
    text = Path("my.toml").read_text()
    assert tomllib.loads(text)["size"] == 48
    Path("my.toml").write_text(text.replace("style_weight = 100.0", "style_weight = 77.0"))
    assert main(["photo.png", "painting.png", "--settings", "my.toml", "--seed", "3"]) == 0
    made = read_recipe("photo-painting.png").settings
    assert (made.size, made.evaluations, made.style_weight, made.seed) == (48, 2, 77.0, 3)
    capsys.readouterr()
    assert main(["photo.png", "painting.png", "--settings", "photo-painting.png"]) == 0
    assert read_recipe("photo-painting-2.png").settings == made


def test_save_settings_beside_a_run_and_never_over_a_file(capsys) -> None:
    assert paint("--save-settings", "my.toml") == 0
    assert tomllib.loads(Path("my.toml").read_text())["size"] == 48
    Path("my.toml").write_text("mine")
    for command in (["settings"], ["photo.png", "painting.png", *SMALL]):
        assert main([*command, "--save-settings", "my.toml"]) == ExitCode.RESOURCE
    assert Path("my.toml").read_text() == "mine"
    assert main(["settings", "--save-settings", "my.toml", "--force"]) == 0
    assert main(["settings", "--settings", "my.toml", "--save-settings", "my.toml", "--force"]) == 2


def test_the_user_adds_a_preset(capsys) -> None:
    mine = Path("config/presets/mine.toml")  # its folder is made
    flags = ["--size", "48", "--evaluations", "1"]
    assert main(["settings", *flags, "--save-settings", str(mine)]) == 0
    assert main(["presets"]) == 0
    assert "mine" in capsys.readouterr().out.splitlines()[-2]
    assert main(["photo.png", "painting.png", "--preset", "mine", "-o", "out.png"]) == 0
    assert read_recipe("out.png").settings.size == 48


def test_presets_that_are_not_used_are_named(capsys) -> None:
    Path("config/presets").mkdir(parents=True)
    Path("config/presets/paper.toml").write_text("seed = 3")
    Path("config/presets/broken.toml").write_text("size = ")
    Path("config/presets/wrong.toml").write_text("sise = 3")
    Path("config/presets/fine.toml").write_text("size = 3")
    assert main(["presets"]) == 0
    said = capsys.readouterr().out
    assert "fine       your own" in said
    for words in ("paper.toml: the name paper is taken", "broken.toml: not a settings", "preset wrong: "):
        assert f"not used: {words}" in said or words in said
    assert said.count("\nnot used: ") == 3


def test_presets_are_listed_with_their_limits(capsys) -> None:
    assert main(["presets", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["folder"].endswith("presets")
    assert {"default", "paper", "jcjohnson"} <= set(facts["presets"])
    assert facts["presets"]["crowsonkb"]["limits"]


def test_like_says_what_it_cannot_do(capsys) -> None:
    assert paint("--like", "crowsonkb") == 0
    assert "limits of crowsonkb: " in capsys.readouterr().err
    assert read_recipe("photo-painting.png").settings.convention == "crowsonkb"


def test_the_default_weights_are_named_right() -> None:
    assert DEFAULT_WEIGHTS == weights_module.NAME


# --- estimate ------------------------------------------------------------------------------------


def test_estimate_says_what_this_machine_has_not(capsys, monkeypatch) -> None:
    monkeypatch.setattr(impasto.transfer.estimate, "TRIALS", 1)
    monkeypatch.setattr(impasto.system.hardware, "memory", lambda: 10**6)
    assert main(["estimate", "photo.png", "painting.png"]) == 0
    assert "more than the 1 MB of this machine" in capsys.readouterr().out


def test_estimate_measures_and_paints_nothing(capsys, monkeypatch) -> None:
    monkeypatch.setattr(impasto.transfer.estimate, "TRIALS", 1)
    command = ["estimate", "photo.png", "painting.png", "--size", "96", "--min-size", "48"]
    assert main([*command, "--evaluations", "10", "--json", "-o", "out.png", "--style-weights", "1"]) == 0
    small = json.loads(capsys.readouterr().out)
    assert small["scales"] == [[48, 36], [96, 72]]
    assert small["evaluations"] == 20
    assert small["seconds"] > 0
    assert small["memory_bytes"] > 50e6
    assert sorted(path.name for path in Path().iterdir()) == ["painting.png", "photo.png"]
    assert main(command) == 0
    assert "scales       48 x 36, 96 x 72 px" in capsys.readouterr().out


def test_estimate_with_a_budget_and_a_memory_limit(capsys) -> None:
    command = ["estimate", "photo.png", "painting.png", "--size", "64"]
    flags = ["--budget", "90s", "--tile", "32", "--precision", "fp32"]
    assert main([*command, *flags]) == 0
    said = capsys.readouterr().out
    assert "evaluations  as many as fit" in said
    assert "time         1:30 min, the budget" in said
    assert "computed     in tiles of 32 px; 10 curvature pairs in 32 bits" in said
    assert main([*command, "--memory-limit", "10MB"]) == 3
    assert "--memory-limit" in capsys.readouterr().err


def test_estimate_grows_with_the_work(monkeypatch, narrow) -> None:
    def seconds(objective, targets) -> float:
        return 0.5 * targets.content[0, 0].numel() / (256 * 192)

    monkeypatch.setattr(impasto.transfer.estimate, "_seconds", seconds)
    inputs = impasto.inputs.open.open_inputs("photo.png", "painting.png", Settings(), None)

    def found(**settings):
        settings = Settings(**({"size": 64, "min_size": 64, "evaluations": 9} | settings))
        return impasto.transfer.estimate.estimate(inputs, settings, Runtime(threads=1), narrow)

    assert found().seconds == pytest.approx(0.5 * 10 / 16)  # nine, and one for the targets
    assert found(size=128, min_size=128).seconds == pytest.approx(0.5 * 10 / 4)
    assert found(size=1024, min_size=1024).seconds == pytest.approx(0.5 * 10 * 16)
    assert found(size=512, min_size=256, init="content").seconds == pytest.approx(0.5 * 10 * 5)
    assert found(size=1024, min_size=1024).memory > found(size=512, min_size=512).memory > 100
    longer = {"size": 1024, "evaluations": 200}
    assert found(**longer, history=100).memory > found(**longer).memory
    assert found(size=1024, history=100).memory == found(size=1024, history=8).memory  # nine make eight


# --- layers ----


def test_costs_of_the_layers_are_counted(capsys) -> None:
    assert main(["layers", "--costs", "224"]) == 0
    said = capsys.readouterr().out
    assert "143,667,240 parameters in all" in said
    assert "102,764,544" in said
    assert main(["layers", "--costs", "224", "--json"]) == 0
    assert sum(part["parameters"] for part in json.loads(capsys.readouterr().out)) == 143_667_240
    assert main(["layers", "--costs", "big"]) == 2
    assert "--costs: must be a whole number, not 'big'" in capsys.readouterr().err
    assert main(["layers", "--costs", "0"]) == 2
    assert "--costs: must be a whole number of px, 1 to 30000, not 0" in capsys.readouterr().err


# --- completion ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_that_the_shell_takes(capsys, shell) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("style-weight", "reproduce", "settings"):
        assert word in script
    if shell == "bash":
        assert script.count("compgen -f") > 10  # names of files
    for word in ("jcjohnson", "minimal"):  # values
        assert word in script
    if shutil.which(shell):
        Path("script").write_text(script)
        done = subprocess.run([shell, "-n", "script"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


# --- bad input -----------------------------------------------------------------------------------

BAD = [
    (["show", "photo.png"], 2, "photo.png holds no recipe"),
    (["show", "photo.png"], 2, "is the sheet of a grid or an intermediate picture"),
    (["reproduce", "photo.png"], 2, "photo.png holds no recipe"),
    (["show", "missing.png"], 2, "missing.png does not exist"),
    (["show", "note.txt"], 2, "note.txt"),
    (["show", "."], 2, "is a folder"),
    (["show", "future.json"], 2, "made by impasto 7.0"),
    (["reproduce", "future.json"], 2, "made by impasto 7.0"),
    (["show", "broken.json"], 2, "not a recipe"),
    (["reproduce", "lost.json"], 2, "input not found: photo.jpg ("),
    (["reproduce", "own.json"], 2, "cannot be made again"),
    (["reproduce", "weights.json"], 4, "made with the weights vgg19-mine"),
    (["settings", "--size", "0"], 2, "--size: "),
    (["settings", "--size", "big"], 2, "--size: must be a whole number, not 'big'"),
    (["settings", "--size", "64.9"], 2, "--size: must be a whole number, not '64.9'"),
    (["settings", "--device", "gpu"], 2, "--device: must be one of auto, cpu, cuda"),
    (["settings", "--save-settings", "photo.png", "--force"], 2, "the name must end in .toml"),
    (["settings", "photo.png"], 2, "unexpected: photo.png"),
    (["weights", "improt", "x"], 2, "Did you mean import?"),
    (["show"], 2, "FILE is missing"),
    (["reproduce", "lost.json", "--inputs", "nowhere"], 2, "nowhere is no folder"),
    (["photo.png", "painting.png", "-o", ""], 2, "the name is empty"),
    (["photo.png", "painting.png", "--save-every", "x"], 2, "--save-every: must be a whole number"),
    (["settings", "--settings", "type.toml"], 2, "type.toml: size: must be a whole number"),
    (["settings", "--settings", "key.toml"], 2, "key.toml: unknown setting 'sise'. Did you mean size?"),
    (["settings", "--settings", "bad.toml"], 2, "bad.toml: not a settings file in TOML"),
    (["settings", "--settings", "photo.png"], 2, "photo.png holds no recipe"),
    (["settings", "--settings", "missing.toml"], 2, "missing.toml does not exist"),
    (["settings", "--preset", "papr"], 2, "Did you mean paper?"),
    (["settings", "--like", "gatis"], 2, "Did you mean gatys?"),
    (["settings", "--like", "gatys", "--preset", "paper"], 2, "give one"),
    (["photo.png", "painting.png", "--settings", "key.toml"], 2, "Did you mean size?"),
    (["photo.png", "painting.png", "--metadata", "all"], 2, "metadata"),
    (["photo.png", "painting.png", "--jpeg-quality", "0"], 2, "--jpeg-quality: "),
    (["photo.png", "painting.png", "--style-weight=-1"], 2, "--style-weight: "),
    (["estimate", "photo.png"], 2, "no painting given"),
    (["completion", "tcsh"], 2, "tcsh"),
    (["shwo", "photo.png"], 2, "shwo is neither a file nor a command. Did you mean show?"),
    (["shwo"], 2, "Did you mean show?"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD)
def test_bad_input_is_one_line(capsys, arguments, code, words) -> None:
    Path("note.txt").write_text("hello")
    Path("broken.json").write_text('{"impasto": "1"}')
    future = json.loads(recipe().to_json()) | {"schema_version": 2, "impasto": "7.0"}
    Path("future.json").write_text(json.dumps(future))
    Path("lost.json").write_text(recipe().to_json())
    Path("own.json").write_text(recipe(reproducible=False, stopped="stop").to_json())
    here = {name: read(name) for name in ("photo.png", "painting.png")}
    found = recipe(weights="vgg19-mine", content=here["photo.png"], styles=(here["painting.png"],))
    Path("weights.json").write_text(found.to_json())
    Path("type.toml").write_text('size = "big"')
    Path("key.toml").write_text("sise = 3")
    Path("bad.toml").write_text("size = ")
    assert main(arguments) == code
    said = capsys.readouterr()
    assert said.out == ""
    last = said.err.splitlines()[-1]
    assert last.startswith("impasto: error: ")
    assert words in last
    assert "Traceback" not in said.err


def read(name: str):
    picture = impasto.Picture.open(name)
    return recipe().content.changed(
        name=name, sha256=picture.sha256, width=picture.width, height=picture.height
    )


def test_an_unknown_variable_is_refused(capsys, monkeypatch) -> None:
    monkeypatch.setenv("IMPASTO_SIZ", "3")
    assert paint() == ExitCode.USAGE
    assert "Did you mean IMPASTO_SIZE?" in capsys.readouterr().err
    assert not Path("photo-painting.png").exists()


def test_light_commands_do_not_import_torch() -> None:
    """In one process: what one command imported would be found at the next as well."""
    assert paint("-o", "out.png") == 0
    code = (
        "import sys; from impasto.cli.app import main\n"
        "for line in sys.argv[1:]:\n"
        "    assert main(line.split()) == 0, line\n"
        "    assert 'torch' not in sys.modules, line"
    )
    lines = ["settings", "presets", "completion bash", "show out.png", "show --help"]
    done = subprocess.run([sys.executable, "-c", code, *lines], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_stop_is_known() -> None:
    assert Stop().reason == "stop"
    assert Stop("interrupted").reason == "interrupted"
