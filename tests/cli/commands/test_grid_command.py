"""`impasto grid`: sheet, cells, numbers; continuing after Ctrl-C; one cell larger; what is refused."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import impasto.network.weights.load
import impasto.system.files
import impasto.transfer.grids.grid
from impasto.cli.app import main
from impasto.cli.commands import grid as command
from impasto.cli.progress import PaceOfSeries, Progress
from impasto.errors import ExitCode, NumericalError
from impasto.image import contact_sheet
from impasto.image.picture import Picture
from impasto.image.xmp import read_recipe
from impasto.network.vgg import narrow_weights
from impasto.transfer.grids.grid import NOTE

SMALL = ["--size", "48", "--evaluations", "2", "--threads", "1"]
VARY = ["--vary", "content_weight=0.01,1", "--vary", "style-weight=1,10"]
CELLS = [
    "01-01_content_weight=0.01_style_weight=1.png",
    "01-02_content_weight=1_style_weight=1.png",
    "02-01_content_weight=0.01_style_weight=10.png",
    "02-02_content_weight=1_style_weight=10.png",
]


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
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, size in (("photo.png", (64, 48)), ("painting.png", (50, 60))):
        Image.fromarray(random.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(name)
    return tmp_path


def grid(*arguments: str, vary: list[str] = VARY) -> int:
    return main(["grid", "photo.png", "painting.png", *vary, *SMALL, *arguments])


def cells(folder: str = "grid-cells") -> list[str]:
    return sorted(path.name for path in Path(folder).glob("*.png"))


def test_a_grid_is_a_sheet_cells_and_numbers(capsys) -> None:
    assert grid("-o", "grid.png") == 0
    said = capsys.readouterr()
    assert said.out == "grid.png\n"
    assert "4 cells" in said.err
    assert "cell 4/4  100 %" in said.err
    assert " left" in said.err
    assert cells() == CELLS
    with Path("grid.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["row"], row["column"], row["file"]) for row in rows] == [
        (name[1], name[4], name) for name in CELLS
    ]
    for row in rows:
        recipe = read_recipe(Path("grid-cells") / row["file"])
        assert recipe.settings.content_weight == float(row["content_weight"])
        assert recipe.settings.style_weight == float(row["style_weight"])
        assert recipe.losses["total"] == float(row["total"])
    sheet = Picture.open("grid.png").array(8)
    names = ["content_weight = 0.01", "content_weight = 1"]
    layout = contact_sheet.layout_of(
        [(48, 36)],
        columns=names,
        rows=["style_weight = 1", "style_weight = 10"],
        captions=["a\nb"],
        note=NOTE,
        title="photo.png in the style of painting.png",
    )
    for index, name in enumerate(CELLS):
        left, top, right, bottom = layout.room(*divmod(index, 2))
        expected = Picture.open(Path("grid-cells") / name).array(8)
        assert (sheet[top:bottom, left:right] == expected).all()


def test_a_cell_is_what_the_command_alone_makes_and_can_be_reproduced(capsys) -> None:
    assert grid("-o", "grid.png") == 0
    alone = ["--content-weight", "1", "--style-weight", "10"]
    assert main(["photo.png", "painting.png", *SMALL, *alone, "-o", "out.png"]) == 0
    cell = Path("grid-cells") / CELLS[-1]
    assert Picture.open(cell).pixels_sha256() == Picture.open("out.png").pixels_sha256()
    assert main(["reproduce", str(cell)]) == 0
    assert "the pixels are the same" in capsys.readouterr().err


def test_json_tells_everything(capsys) -> None:
    assert grid("-o", "grid.jpg", "--json", "--quiet") == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert {line["version"] for line in lines} == {1}
    assert [line["event"] for line in lines] == ["scale", "step", "step"] * 4 + ["done"]
    assert [line["cell"] for line in lines if line["event"] == "scale"] == [
        {"row": row, "column": column} for row in (1, 2) for column in (1, 2)
    ]
    told = lines[-1]
    assert (told["path"], told["csv_path"], told["folder"]) == ("grid.jpg", "grid.csv", "grid-cells")
    assert told["stopped"] is None
    assert [(cell["row"], cell["column"]) for cell in told["cells"]] == [
        (1, 1), (1, 2), (2, 1), (2, 2)
    ]  # fmt: skip
    first = told["cells"][0]
    assert first["settings"] == {"content_weight": 0.01, "style_weight": 1.0}
    assert Path(first["path"]).is_file()
    assert set(first["losses"]) == {"content", "style", "total"}
    assert first["seconds"] >= 0


def test_the_same_command_makes_nothing_twice(capsys) -> None:
    assert grid("-o", "grid.png") == 0
    before = {path: path.stat().st_mtime_ns for path in Path("grid-cells").glob("*.png")}
    sheet = Path("grid.png").read_bytes()
    assert grid("-o", "grid.png") == 0
    assert "4 cells (4 are there already)" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert Path("grid.png").read_bytes() == sheet
    assert grid("-o", "grid.png", "--cell", "16") == 0  # the same cells on another sheet
    assert Path("grid.png").read_bytes() != sheet
    assert grid("-o", "grid.png") == 0
    assert Path("grid.png").read_bytes() == sheet


def test_the_default_name_is_the_same_each_time(capsys) -> None:
    assert grid() == 0
    assert grid() == 0
    assert capsys.readouterr().out == "photo-painting-grid.png\n" * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_a_sheet_and_the_same_command_goes_on(capsys, monkeypatch, number) -> None:
    assert grid("-o", "whole.png") == 0
    step, steps = Progress.step, []

    def interrupting(self, seen) -> None:
        steps.append(seen)
        if len(steps) == 5:
            os.kill(os.getpid(), number)
        step(self, seen)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "step", interrupting)
        assert grid("-o", "grid.png") == 128 + number
    said = capsys.readouterr().err
    assert said.count("stopping; once more") == 1
    assert "2 of 4 cells are missing and left blank; the same command again continues" in said
    assert cells() == CELLS[:2]
    assert Picture.open("grid.png").width == Picture.open("whole.png").width
    assert Path("grid.csv").read_text().count("missing") == 2
    assert grid("-o", "grid.png") == 0
    assert "(2 are there already)" in capsys.readouterr().err
    for name in CELLS:
        one, other = (read_recipe(Path(f"{stem}-cells") / name) for stem in ("grid", "whole"))
        assert one.pixels_sha256 == other.pixels_sha256
    assert Picture.open("grid.png").pixels_sha256() == Picture.open("whole.png").pixels_sha256()


def test_ctrl_c_before_any_cell_leaves_nothing(capsys, monkeypatch) -> None:
    monkeypatch.setattr(Progress, "step", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    assert grid("-o", "grid.png") == ExitCode.INTERRUPTED
    assert "no sheet is written, for no cell is finished yet; the same command" in capsys.readouterr().err
    assert not Path("grid.png").exists()
    assert cells() == []


def test_sheet_and_table_are_replaced_where_the_cells_are_of_this_grid(capsys) -> None:
    assert grid("-o", "grid.png") == 0
    before = {name: Path(name).read_bytes() for name in ("grid.png", "grid.csv")}
    for name in before:
        Path(name).write_bytes(b"mine")
    assert grid("-o", "grid.png") == 0
    assert {name: Path(name).read_bytes() for name in before} == before
    assert not [path for path in Path("grid-cells").iterdir() if path.suffix != ".png"]


def test_another_grid_of_the_same_name_is_refused_but_with_force(capsys) -> None:
    assert grid("-o", "grid.png") == 0
    other = ["--vary", "content_weight=0.01,2", "--vary", "style_weight=1,10"]
    assert grid("-o", "grid.png", vary=other) == ExitCode.RESOURCE
    assert "grid.png exists already" in capsys.readouterr().err
    assert grid("-o", "grid.png", "--seed", "4") == ExitCode.RESOURCE
    assert "grid.png exists already" in capsys.readouterr().err
    swapped = ["grid", "painting.png", "photo.png", *VARY, *SMALL, "-o", "grid.png"]
    assert main(swapped) == ExitCode.RESOURCE
    assert "grid.png exists already" in capsys.readouterr().err
    more = ["--vary", "content_weight=0.01,1,2", "--vary", "style_weight=1,10"]
    assert grid("-o", "grid.png", "--force", vary=more) == 0
    assert "6 cells (4 are there already)" in capsys.readouterr().err
    Path("grid.png").unlink()
    Path("grid.csv").unlink()
    assert grid("-o", "grid.png", "--seed", "4") == ExitCode.RESOURCE
    assert "not this cell of this grid" in capsys.readouterr().err
    assert grid("-o", "grid.png", "--seed", "4", "--force") == 0
    assert read_recipe(Path("grid-cells") / CELLS[0]).settings.seed == 4


def test_layers_stand_between_semicolons(capsys) -> None:
    vary = ["--vary", "style_layers=relu1_1;relu1_1,relu2_1=0.5", "--vary", "init=noise,picture"]
    assert grid("-o", "grid.png", "--init-picture", "painting.png", vary=vary) == 0
    last = read_recipe(Path("grid-cells") / cells()[-1])
    assert last.settings.style_layers == {"relu1_1": 1.0, "relu2_1": 0.5}
    assert last.init_picture.name == "painting.png"


def test_several_paintings_presets_and_bits(capsys) -> None:
    extra = ["--style-weights", "0.7,0.3", "--preset", "paper", "--bits", "16", "-o", "grid.jpg"]
    vary = ["--vary", "pooling=max,average"]
    assert main(["grid", "photo.png", "painting.png", "photo.png", *vary, *SMALL, *extra]) == 0
    cell = Path("grid-cells") / cells()[0]
    assert Picture.open(cell).bits == 16
    assert read_recipe(cell).settings.convention == "paper"
    assert [style.weight for style in read_recipe(cell).styles] == [0.7, 0.3]


def test_cells_of_another_depth_are_said_and_made_again_with_force(capsys) -> None:
    assert grid("-o", "grid.png") == 0
    before = {path: path.read_bytes() for path in Path().rglob("*.png")}
    assert grid("-o", "grid.png", "--bits", "16") == ExitCode.RESOURCE
    said = "4 cells of this grid are there already with 8 bits, not 16; --force to make them again"
    assert said in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before
    assert grid("-o", "grid.png", "--bits", "16", "--force") == 0
    assert [Picture.open(Path("grid-cells") / name).bits for name in CELLS] == [16] * 4
    capsys.readouterr()
    assert grid("-o", "grid.png") == 0  # no depth asked for
    assert "(4 are there already)" in capsys.readouterr().err
    assert grid("-o", "grid.png", "--metadata", "keep") == 0
    assert "--metadata is for cells made now; those there keep" in capsys.readouterr().err


def test_one_cell_is_one(capsys) -> None:
    vary = ["--vary", "seed=1"]
    assert grid("-o", "grid.png", vary=vary) == 0
    assert grid("-o", "grid.png", vary=vary) == 0
    said = capsys.readouterr().err
    assert "1 cell (1 is there already)" in said
    assert "1 cells" not in said


def test_one_cell_goes_to_standard_output(capfdbinary) -> None:
    assert grid("--pick", "1,2", "-o", "-") == 0
    picture = Picture.open(capfdbinary.readouterr().out)
    assert (picture.width, picture.height) == (48, 36)
    assert not list(Path().glob("*-cells"))


def test_ctrl_c_at_the_last_evaluation_keeps_the_cell(capsys, monkeypatch) -> None:
    def interrupting(self, seen) -> None:
        if seen.evaluations == seen.planned:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Progress, "step", interrupting)
    assert grid("-o", "grid.png") == ExitCode.INTERRUPTED
    assert cells() == CELLS[:1]
    said = capsys.readouterr().err
    assert said.count("stopping; once more") == 1
    assert "3 of 4 cells are missing and left blank" in said


def test_one_cell_is_painted_larger(capsys) -> None:
    few = ["--evaluations", "1", "-o", "big.png"]
    pick = [*VARY, "--pick", "2,1", "--size", "64", *few]
    assert main(["grid", "photo.png", "painting.png", *pick]) == 0
    recipe = read_recipe("big.png")
    assert (recipe.settings.content_weight, recipe.settings.style_weight) == (0.01, 10)
    assert max(recipe.scales[-1].width, recipe.scales[-1].height) == 64
    assert not Path("big-cells").exists()
    sizes = ["--vary", "size=32,40"]
    command = ["grid", "photo.png", "painting.png", *sizes, "--evaluations", "1"]
    assert main([*command, "--pick", "1,2"]) == 0
    assert read_recipe("photo-painting-1-2.png").settings.size == 40
    assert main([*command, "--pick", "1,2", "--size", "56"]) == 0
    assert read_recipe("photo-painting-1-2-2.png").settings.size == 56


def test_a_full_disk_is_one_line_and_the_cells_remain(capsys, monkeypatch) -> None:
    write, left = impasto.system.files._write, [2]

    def full(path, data) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(impasto.system.files, "_write", full)
        assert grid("-o", "grid.png") == ExitCode.RESOURCE
    assert "no space left on device; free some space" in capsys.readouterr().err
    assert cells() == CELLS[:2]
    assert grid("-o", "grid.png") == 0


def test_cells_that_fail_are_said(capsys, monkeypatch) -> None:
    complete = impasto.transfer.grids.grid.complete

    def failing(run, **options):
        if run.settings.content_weight == 1:
            raise NumericalError("the start has no finite loss")
        return complete(run, **options)

    monkeypatch.setattr(impasto.transfer.grids.grid, "complete", failing)
    assert grid("-o", "grid.png") == ExitCode.NUMERICAL
    said = capsys.readouterr().err
    assert "row 1, column 2 (content_weight = 1, style_weight = 1): the start has no" in said
    assert cells() == [CELLS[0], CELLS[2]]


BAD = [
    ([], 2, "nothing varies: give --vary"),
    (
        ["--vary", "content_wieght=1"],
        2,
        "--vary: unknown setting 'content_wieght'. Did you mean content_weight?",
    ),
    (["--vary", "content_weight"], 2, "its values are missing, as in content_weight=1,2"),
    (["--vary", "content_weight="], 2, "--vary content_weight: a value is empty"),
    (["--vary", "content_weight=1,,2"], 2, "--vary content_weight: a value is empty"),
    (["--vary", "content_weight=1,1.0"], 2, "--vary content_weight: 1 is given twice"),
    (["--vary", "content_weight=1,-1"], 2, "--vary content_weight: must be 0 or more, not"),
    (["--vary", "content_weight=1,x"], 2, "content_weight: must be a number, not 'x'"),
    (["--vary", "size=64.5"], 2, "--vary size: must be a whole number, not '64.5'"),
    (["--vary", "style_layers=relu1_1;relu1_9"], 2, "relu1_9"),
    (["--vary", "seed=1", "--vary", "seed=2"], 2, "--vary seed: given twice"),
    (
        ["--vary", "seed=1", "--vary", "detail=1", "--vary", "init=noise"],
        2,
        "error: --vary: one or two settings can vary at a time, not 3",
    ),
    (["--vary", "threads=1,2"], 2, "unknown setting 'threads'"),
    (
        ["--vary", "seed=" + ",".join(map(str, range(401)))],
        2,
        "--vary: that makes 401 cells, each a whole run; --yes if you",
    ),
    (["--vary", "quality=draft,good"], 2, "--evaluations goes before every quality"),
    (["--vary", "init=noise,picture"], 2, "--init picture needs the picture to start from"),
    (["--vary", "size=48,8"], 2, "row 1, column 2 (size = 8): the photo"),
    (["--vary", "content_weight=0", "--style-weight", "0"], 2, "content_weight = 0: nothing to do"),
    ([*VARY, "--metadata", "strip"], 2, "--metadata strip: the cells need their recipes"),
    ([*VARY, "--cell", "15"], 2, "--cell: must be a whole number, 16 or more, not 15"),
    ([*VARY, "--cell", "x"], 2, "--cell: must be a whole number"),
    ([*VARY, "-o", "grid.gif"], 2, "the suffix must be one of"),
    ([*VARY, "-o", "-"], 2, "-o -: a sheet needs the name of a file"),
    ([*VARY, "-o", "photo.png"], 2, "photo.png is also an input"),
    ([*VARY, "-o", "old.png"], 3, "old.png exists already; give another name, or --force to"),
    ([*VARY, "-o", "photo.png", "--force"], 2, "photo.png is also an input"),
    ([*VARY, "-o", "no/where.png"], 3, "the folder no does not exist"),
    ([*VARY, "-o", "taken.png"], 3, "taken-cells is a file, but the cells go into a folder"),
    ([*VARY, "-o", "listed.png"], 3, "listed.csv exists already"),
    ([*VARY, "--pick", "3,1"], 2, "--pick: there is no cell 3,1: the grid has 2 rows and 2 columns"),
    ([*VARY, "--pick", "0,1"], 2, "--pick: there is no cell 0,1"),
    ([*VARY, "--pick", "first"], 2, "--pick: give ROW,COLUMN such as 2,1, not first"),
    ([*VARY, "--pick", "1,1", "-o", "old.png"], 3, "old.png exists already"),
    ([*VARY, "--style-weights", "1,2"], 2, "--style-weights: 2 given"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), BAD)
def test_bad_input_is_one_line_before_anything_runs(capsys, arguments, code, words) -> None:
    Path("taken-cells").write_text("mine")
    Path("listed.csv").write_text("mine")
    Path("old.png").write_text("mine")
    before = sorted(str(path) for path in Path().rglob("*"))
    assert grid(*arguments, vary=[]) == code
    said = capsys.readouterr()
    assert said.out == ""
    last = said.err.splitlines()[-1]
    assert last.startswith("impasto: error: ")
    assert words in last
    assert " % " not in said.err
    assert "Traceback" not in said.err
    assert sorted(str(path) for path in Path().rglob("*")) == before


def test_an_input_among_the_cells_is_never_written_over(capsys) -> None:
    assert grid("-o", "grid.png") == 0
    photo = f"grid-cells/{CELLS[0]}"
    arguments = ["grid", photo, "painting.png", *VARY, *SMALL, "-o", "grid.png", "--force"]
    before = Path(photo).read_bytes()
    assert main(arguments) == ExitCode.USAGE
    assert "is also an input" in capsys.readouterr().err
    assert Path(photo).read_bytes() == before


def test_no_painting(capsys) -> None:
    assert main(["grid", "photo.png", *VARY]) == ExitCode.USAGE
    assert "no painting given after photo.png" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["photo.png", "painting.png", "--vary", "x=1"]])
def test_torch_is_not_imported_for_help_and_wrong_usage(arguments) -> None:
    code = (
        "import sys; from impasto.cli.app import main; main(['grid', *sys.argv[1:]]);"
        "assert 'torch' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(impasto.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr


def test_the_default_size_of_cells_is_the_same_everywhere() -> None:
    assert command.CELL == contact_sheet.CELL


class Now:
    """A step of a run of one scale of ten evaluations."""

    scale, scales, planned, width, height, left = 1, 1, 10, 4, 4, None

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration
        self.work = 16 * iteration, 160


def test_the_remaining_time_counts_all_cells_by_their_work(monkeypatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("impasto.cli.progress.time.monotonic", lambda: clock[0])
    series = PaceOfSeries([0.0, 10.0, 30.0])
    series.next_run()  # the first is there already
    series.update(Now(5))
    assert series.seconds_left(Now(5)) is None
    clock[0] += 5
    series.update(Now(10))
    assert series.seconds_left(Now(10)) == pytest.approx(30)
    series.next_run()
    assert series.prefix() == "cell 3/3  "
    assert series.work(Now(5)) == (25.0, 40.0)


def test_a_budget_is_for_a_single_picture(capsys) -> None:
    command = ["photo.png", "painting.png", "--budget", "20s"]
    assert main(["grid", *command, "--vary", "seed=1,2"]) == 2
    assert main(["experiment", *command]) == 2
    assert capsys.readouterr().err.count("--budget is for a single picture") == 2
