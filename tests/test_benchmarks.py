"""The comparison programs compute what they say, so that a figure means something."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from impasto.system import hardware

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch) -> None:
    """Let tests import the benchmarks as they import each other."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def course():
    """A run whose files, after 1 to 4 evaluations, have the scores 9, 5, 7, 5."""
    from contenders import Course

    frames = [numpy.full((1, 1, 3), value, numpy.uint8) for value in (9, 5, 7, 5)]
    return Course("run", [1, 2, 3, 4], [0.5, 1.0, 1.5, 2.0], frames, [0.5, 1.0, 1.5, 2.0])


def save(image: torch.Tensor, path: Path) -> Path:
    pixels = (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    Image.fromarray(pixels).save(path)
    return path


def test_plain_imports_nothing_of_impasto() -> None:
    tree = ast.parse((BENCHMARKS / "plain.py").read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= {
        *("argparse", "collections", "importlib", "numpy", "PIL", "time", "torch")
    }


def test_plain_and_the_kept_score_are_the_neutral_evaluator(random_image, tmp_path) -> None:
    import plain
    from common import Score
    from tests.reference import neutral

    photo = save(random_image(32, 48, 1), tmp_path / "photo.png")
    style = save(random_image(40, 32, 2), tmp_path / "style.png")
    result = save(random_image(32, 48, 3), tmp_path / "result.png")
    expected = neutral.score(result, photo, style)["total"]
    loss = plain.objective(plain.read(photo), plain.read(style), plain.load_weights())
    assert loss(plain.read(result)).item() == pytest.approx(expected, rel=1e-4)
    pixels = numpy.asarray(Image.open(result))
    assert Score(photo, style)(pixels) == pytest.approx(expected, rel=1e-5)
    assert (plain.to_bytes(plain.read(result)) == pixels).all()


@pytest.mark.parametrize("search", ["none", "strong_wolfe"])
def test_plain_counts_its_evaluations(search) -> None:
    import plain

    calls, seen = [], []

    def loss(canvas: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return ((canvas - 3) ** 4).sum()

    def watch(done: int, canvas: torch.Tensor) -> None:
        seen.append((done, canvas.detach().clone()))

    last = plain.minimise(loss, torch.zeros(1, 3, 2, 2), 7, search=search, watch=watch)
    assert len(calls) == 7
    assert [done for done, _ in seen] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert (seen[-1][1] == last).all()  # what is kept last is the file
    assert (seen[0][1] == 0).all()
    assert ((last - 3) ** 4).sum() < 2 < 12 * 3**4


def test_first_at_or_below(course) -> None:
    from contenders import best, first_at_or_below

    course.score(lambda pixels: float(pixels[0, 0, 0]), range(4))
    assert best(course) == (1, 5.0)  # the first of equals
    assert first_at_or_below(course, 5.0) == 1
    assert first_at_or_below(course, 8.9) == 1
    assert first_at_or_below(course, 9.0) == 0
    assert first_at_or_below(course, 4.9) is None


def test_only_what_was_scored_counts(course) -> None:
    from contenders import best, first_at_or_below

    course.score(lambda pixels: float(pixels[0, 0, 0]), [0, 3])
    assert best(course) == (3, 5.0)
    assert first_at_or_below(course, 7.0) == 3


def test_last_file_within_a_time(course) -> None:
    from contenders import last_within

    assert [last_within(course, time) for time in (0.4, 0.5, 1.2, 9.0)] == [None, 0, 1, 3]


def test_files_that_are_scored() -> None:
    from contenders import chosen

    assert [n for n in range(15, 45) if chosen(n)] == [15, 16, 17, 18, 19, 20, 25, 30, 35, 40]
    assert [n for n in range(90, 130) if chosen(n)] == [90, 95, 100, 110, 120]


def test_a_step_of_pastiche_without_the_writing() -> None:
    from contenders import without_saving

    # Steps of 2 s; writing takes 3 s, at steps 0, 2 and 4, before the step is announced.
    arrivals = [10 + 3, 15, 20, 22, 27]
    assert without_saving(arrivals, every=2) == [10, 12, 14, 16, 18]


def test_the_meeting_of_two_courses(course) -> None:
    from contenders import Course
    from race import _meetings

    frames = [numpy.full((1, 1, 3), value, numpy.uint8) for value in (8, 4)]
    ours = [Course("impasto, x", [1, 2], [t, 2 * t], frames, [t, 2 * t]) for t in (0.1, 0.2, 0.5)]
    slow = [Course("impasto, y", [1], [0.1], frames[:1], [0.1])]
    rival = Course(
        "plain, noise", *(getattr(course, n) for n in ("evaluations", "seconds")), course.frames, []
    )
    for one in (rival, ours[0], slow[0]):
        one.score(lambda pixels: float(pixels[0, 0, 0]), range(len(one.frames)))
    row, other, *_ = _meetings(rival, [ours, slow], {"plain": 2.0, "impasto": 1.0})
    assert (row["its evaluations"], row["its s"], row["our evaluations"]) == (2, 1.0, 2)
    assert row["our s"] == pytest.approx(0.4)
    assert row["ratio"] == pytest.approx(2.5)
    assert row["ratio of commands"] == pytest.approx(3.0 / 1.4)
    assert (other["our evaluations"], other["ratio"]) == ("no: 1.6000 x goal", "-")


def test_settings_of_a_candidate() -> None:
    from runs import settings_of

    assert settings_of("init=content, evaluations=80,bounded=False,detail=0.5") == {
        "init": "content",
        "evaluations": 80,
        "bounded": False,
        "detail": 0.5,
    }


def test_operations_are_those_of_the_network() -> None:
    from costs import operations

    assert operations(512, 384)["convolutions"] == pytest.approx(284.0e9, rel=1e-3)


def test_a_size_that_is_too_large_is_not_run() -> None:
    from costs import _too_much

    assert _too_much([], 4096) == ""
    assert _too_much([(64, 401.0), (128, 404.0)], 256) == ""  # 400 MB and 1 MB for 64 px
    assert _too_much([(1024, 4e8)], 2048).startswith("not run: about 1600000 GB of")


def test_peak_memory_is_the_commands_own() -> None:
    """Linux hands a parent's peak down to its children; `timed` must not."""
    from common import timed

    held = numpy.ones(50_000_000)  # 400 MB
    seconds, peak, printed = timed([sys.executable, "-S", "-c", "print('said')"])
    assert printed == "said\n"
    assert 0 < seconds < 60
    assert 1 < peak < 100 < held.nbytes / 1e6
    with pytest.raises(SystemExit, match=r"failed \(3\)"):
        timed([sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.slow
def test_the_gpu_script_runs_without_one(tmp_path) -> None:
    import json

    file = tmp_path / "gpu.json"
    small = "--device cpu --sizes 64 --race 64 --command 64 --evaluations 2"
    command = [sys.executable, str(BENCHMARKS / "gpu.py"), *small.split(), "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = {row["what"]: row for row in json.loads(file.read_text())}
    assert rows["its gradient"]["value"] == 0
    assert rows["ten: values within a level of the CPU's"]["value"] == 1
    assert rows["the same pixels twice"]["met"] == "yes"
    precision = "bf16" if hardware.fast_at_bf16("cpu") else "fp32"  # as the default takes it
    assert rows[f"evaluation, 64 x 48, {precision}"]["value"] > 0
    assert rows["until the file is as good as that"]["value"] != "never"


@pytest.mark.slow
def test_the_race_runs(tmp_path) -> None:
    import json

    file = tmp_path / "race.json"
    numbers = "--size 64 --rounds 1 --evaluations 4 --memory-sizes 64 --growth-sizes 64"
    ours = ["--ours", "evaluations=6", "--ours", "init=noise,evaluations=3"]
    script = [sys.executable, str(BENCHMARKS / "race.py"), "--folder", str(tmp_path)]
    parts = ["--parts", "race,memory,growth", "--json", str(file)]
    done = subprocess.run([*script, *parts, *numbers.split(), *ours], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer = json.loads(file.read_text())
    courses, *meetings = answer["parts"]["race"]["tables"]
    assert [row["run"] for row in courses["rows"]][:3] == [
        "plain, noise",
        "plain, content",
        "pastiche, content",
    ]
    assert len(meetings) == 3
    assert answer["parts"]["memory"]["tables"][0]["rows"][0]["peak MB"] > 100
