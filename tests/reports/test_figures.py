"""Figures: complete, the same every time, and readable in grey."""

import io
import itertools
import math
import subprocess
import sys
from dataclasses import dataclass

import pytest
from PIL import Image

from impasto.errors import InputError
from impasto.optim.tracking import ROUND as SOLVERS
from impasto.reports.figures import DPI, HEIGHT, LINES, OTHERS, ROUND, WIDTH, loss_curve


@dataclass
class Row:
    scale: int
    evaluation: int
    losses: dict[str, float]


def rows(scales=2, each=25, **others: float) -> list[Row]:
    found = []
    for count in range(scales * each):
        style = 1000 * math.exp(-(count % each) / 5) + 10
        losses = {"total": style + 5, "content": 5.0, "style": style, "style.relu1_1": style}
        found.append(Row(count // each + 1, count + 1, losses | others))
    return found


def test_it_has_the_expected_size_and_all_labels() -> None:
    drawing = loss_curve(rows(variation=1.0), sizes=["32 x 24 px", "64 x 48 px"])
    assert Image.open(io.BytesIO(drawing.png)).size == (round(WIDTH * DPI), round(HEIGHT * DPI))
    for label in ("total", "content", "style", "variation", "32 x 24 px", "64 x 48 px"):
        assert f"<!-- {label} -->" in drawing.svg
    assert "weighted loss (no unit)" in drawing.svg
    assert "evaluations of the network" in drawing.svg
    assert "style.relu1_1" not in drawing.svg


def test_layers_have_a_chart_of_their_own() -> None:
    drawing = loss_curve(rows(), layers=True, width=6)
    assert Image.open(io.BytesIO(drawing.png)).size == (6 * DPI, round(2 * HEIGHT * DPI))
    assert "<!-- style.relu1_1 -->" in drawing.svg


@pytest.mark.slow
def test_the_same_numbers_give_the_same_bytes_whatever_the_users_style(monkeypatch) -> None:
    import matplotlib

    first = loss_curve(rows(), layers=True)
    with matplotlib.rc_context({"lines.linewidth": 9, "svg.hashsalt": "x", "axes.grid": True}):
        before = dict(matplotlib.rcParams)
        assert loss_curve(rows(), layers=True) == first
        assert dict(matplotlib.rcParams) == before
    assert "<dc:date>" not in first.svg
    assert b"Software" not in first.png


def test_what_cannot_be_drawn_leaves_a_gap() -> None:
    data = rows(1, 5)
    for row, value in zip(data, (math.nan, math.inf, 0.0, -1.0, 3.0), strict=True):
        row.losses["total"] = value
        del row.losses["content"]
    data[2].losses["content"] = 2.0
    assert "<!-- content -->" in loss_curve(data).svg
    assert loss_curve([Row(1, 1, {"total": math.nan})]).png
    assert loss_curve(rows(1, 1)).png


def test_no_history_is_refused() -> None:
    with pytest.raises(InputError, match="no history"):
        loss_curve([])


def test_lines_differ_without_colour() -> None:
    looks = [(str(dash), marker) for _, dash, marker in [*LINES.values(), *OTHERS]]
    assert all(one != other for one, other in itertools.combinations(looks, 2))
    assert len({marker for _, _, marker in [*LINES.values(), *OTHERS]}) == len(looks)


@pytest.mark.slow
def test_many_losses_and_long_runs_are_drawn() -> None:
    many = {f"own{number}": 1.0 + number for number in range(20)}
    assert "own19" in loss_curve(rows(**many)).svg
    assert loss_curve(rows(1, 1300)).png


def test_rounds_are_the_solvers() -> None:
    assert ROUND == SOLVERS


def test_torch_and_pyplot_stay_out() -> None:
    code = (
        "import sys, impasto.reports.figures, impasto.reports.html; assert 'matplotlib' not in sys.modules\n"
        "class Row: scale = 1; evaluation = 1; losses = {'total': 1.0}\n"
        "impasto.reports.figures.loss_curve([Row()])\n"
        "assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
