"""What the page says about the papers: equations and their functions, the table of differences, commands."""

import importlib
import re
import shlex
from operator import attrgetter
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import pytest
import torch

import impasto.network.weights.load
from impasto.cli.app import main
from impasto.cli.samples import sample
from impasto.config.recipe import Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Init, Settings
from impasto.image.xmp import read_recipe
from impasto.losses.content import ContentLoss
from impasto.losses.gram import GramLoss, gram_matrix
from impasto.network.vgg import narrow_weights
from impasto.reports.experiment import papers, trials

MAIN = trials.main_trial(trials.Scope()).settings
EXPERIMENT, DEFAULT = "this experiment", papers.DEFAULT


# --- equations -----------------------------------------------------------------------------------


@pytest.mark.parametrize("equation", papers.EQUATIONS, ids=lambda equation: equation[0])
def test_the_function_beside_an_equation_exists(equation) -> None:
    module, function = equation[3:]
    assert callable(attrgetter(function)(importlib.import_module(f"impasto.{module}")))


def test_every_equation_is_mathml_with_words() -> None:
    for equation in papers.equations(MAIN):
        root = ElementTree.fromstring(equation.mathml)
        assert root.tag == "math"
        assert root.get("display") == "block"
        assert len(root.get("alttext")) > 10
        used = {element.tag for element in root.iter()}
        assert used <= {
            "math",
            "mrow",
            "mi",
            "mo",
            "mn",
            "mtext",
            "msub",
            "msup",
            "msubsup",
            "munder",
            "mfrac",
        }
        for element in root.iter():
            children = {"msub": 2, "msup": 2, "munder": 2, "mfrac": 2, "msubsup": 3}.get(element.tag)
            assert children is None or len(element) == children


def test_equations_have_the_numbers_of_the_run() -> None:
    changed = MAIN.changed(content_weight=0.5, style_weight=7.0, content_layers="relu3_2", history=4)
    about = {equation.name: equation.about for equation in papers.equations(changed)}
    assert about["Total loss (2016, eq. 7)"] == "alpha = 0.5, beta = 7."
    assert about["Content loss (2016, eq. 1)"] == "In relu3_2."
    assert about["Style loss (2016, eq. 5)"].startswith(
        "w = 0.2 in relu1_1, relu2_1, relu3_1, relu4_1, relu5_1"
    )
    assert "the last 4 steps" in about["Step of L-BFGS"]


def test_the_derivatives_are_those_of_the_equations() -> None:
    torch.manual_seed(0)
    canvas, photo = torch.rand(1, 3, 4, 5), torch.rand(1, 3, 4, 5)
    count, positions = 3, 20
    layer = {"relu1_1": canvas}

    content = ContentLoss("content", 1.0, "relu1_1", photo, "paper")
    (total,) = content.measure(layer)
    total.requires_grad_()
    value = content.value((total,))
    assert value.item() == pytest.approx(0.5 * (canvas - photo).square().sum().item(), rel=1e-6)
    value.backward()
    gradient = torch.zeros_like(canvas)
    content.add_gradient(gradient, canvas, None, None, [total.grad])
    torch.testing.assert_close(gradient, canvas - photo)

    target = gram_matrix(photo)
    style = GramLoss("style", 1.0, "relu1_1", target / positions, torch.ones(1), "paper")
    gram, number = style.measure(layer)
    gram.requires_grad_()
    value = style.value((gram, number))
    expected = (gram_matrix(canvas) - target).square().sum() / (4 * count**2 * positions**2)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    value.backward()
    gradient = torch.zeros_like(canvas)
    style.add_gradient(gradient, canvas, None, None, [gram.grad])
    by_hand = (gram_matrix(canvas) - target)[0] @ canvas[0].flatten(1) / (count**2 * positions**2)
    torch.testing.assert_close(gradient[0].flatten(1), by_hand)


# --- the table -----------------------------------------------------------------------------------


def table(settings=MAIN, weights=None, runtime=None) -> dict[str, dict[str, str]]:
    rows = papers.comparison({EXPERIMENT: settings}, weights and {EXPERIMENT: weights}, runtime)
    assert all(list(row) == [*papers.COLUMNS, EXPERIMENT, DEFAULT] for row in rows)
    return {row[""]: row for row in rows}


def test_every_difference_stands_in_the_table() -> None:
    default = Settings()
    for settings in (MAIN, Settings.preset("paper"), Settings.preset("gatys2016")):
        different = {
            name for name in Settings.model_fields if getattr(settings, name) != getattr(default, name)
        }
        assert different <= papers.FIELDS
        assert different >= {"convention", "init", "size", "partial_windows"}


@pytest.mark.parametrize(
    ("changes", "row", "words"),
    [
        ({"pooling": "average"}, "pooling", "average"),
        ({"content_weight": 0.1, "style_weight": 4.0}, "alpha / beta", "0.1 / 4 = 0.025"),
        ({"convention": "mean"}, "alpha / beta", "of means"),
        ({"convention": "mean"}, "formula of the losses", "mean (F - P)^2"),
        ({"content_layers": "relu2_2"}, "content layers", "relu2_2"),
        ({"style_layers": "relu1_2=0.3,relu2_1=0.5"}, "style layers", "relu1_2, relu2_1"),
        ({"style_layers": "relu1_1=0.3,relu2_1=0.5"}, "weights of the style layers", "0.3, 0.5"),
        ({"total_variation": 2.5}, "total variation", "2.5"),
        ({"solver": "adam"}, "solver", "Adam"),
        ({"evaluations": 7, "min_size": 64}, "evaluations", "7 at each scale"),
        ({"bounded": True, "solver": "lbfgs"}, "bounds of the pixels", "0 to 255"),
        ({"init": "gray"}, "start", "gray with faint noise"),
        ({"size": 300}, "long edge", "300 px"),
        ({"size": None}, "long edge", "at most 512 px"),
        ({"min_size": 128}, "scales", "from 128 px on"),
        ({"stroke": 2.0}, "painting", "2 x that of the result"),
        ({"partial_windows": "count"}, "windows of the pooling over the border", "counted"),
    ],
)
def test_the_column_of_the_experiment_follows_its_settings(changes, row, words) -> None:
    before, after = table(), table(MAIN.changed(**changes))
    assert words in after[row][EXPERIMENT]
    assert words not in before[row][EXPERIMENT]
    assert {name: found[DEFAULT] for name, found in before.items()} == {
        name: found[DEFAULT] for name, found in after.items()
    }


def test_weights_and_precision_are_those_of_the_run() -> None:
    assert table()["normalization of the network"][EXPERIMENT] == "none, as trained"
    assert table(Settings.preset("gatys2016"))["normalization of the network"][EXPERIMENT] == "as in 2016"
    assert table(weights="normalized")["normalization of the network"][EXPERIMENT] == "as in 2016"
    assert table(weights="given")["coding of the weights"][EXPERIMENT] == "as in their file"
    assert table(weights="given")["normalization of the network"][EXPERIMENT] == "not known"
    assert table(Settings.preset("gatys2016"))["coding of the weights"] == table()["coding of the weights"]
    assert table()["precision"][EXPERIMENT] == "fp32"
    assert table(runtime=Runtime(precision="bf16"))["precision"][EXPERIMENT] == "bf16"


def test_a_measured_alpha_is_no_number() -> None:
    rows = papers.comparison({"a": MAIN, "b": MAIN}, measured=["b"])
    (ratio,) = [row for row in rows if row[""] == "alpha / beta"]
    assert (ratio["a"], ratio["b"]) == ("0.025 / 5 = 0.005", "alpha measured at the size, beta 5")


def test_every_start_and_solver_has_words() -> None:
    assert set(papers.STARTS) == set(get_args(Init))
    assert set(papers.SOLVERS) == set(get_args(Settings.model_fields["solver"].annotation))


def test_no_number_of_the_experiment_is_said_to_be_the_papers() -> None:
    said = [word for row in papers.PAPERS.values() for word in row]
    for number in ("0.025", "rounds", "Evaluator", "valid"):
        assert not any(number in words for words in said)
    for path in Path(papers.__file__).parent.glob("*.py"):
        assert not re.search(r"paper's (alpha|beta|experiment|solver|run|start)\b", path.read_text()), path


# --- reconstruction ------------------------------------------------------------------------------


def test_the_commands_in_the_documents_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reproduction.md").read_text(encoding="utf-8")
    for line in papers.reconstruction("photo.jpg painting.jpg", 256):
        assert f"\n{line}\n" in page


@pytest.mark.slow
def test_the_commands_of_the_page_reconstruct(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *which: narrow_weights())
    monkeypatch.chdir(tmp_path)
    for name in ("photo", "swirl"):
        (tmp_path / f"{name} 1.jpg").write_bytes(Path(sample(name)).read_bytes())
    content, style = papers.reconstruction(shlex.join(["photo 1.jpg", "swirl 1.jpg"]), 48)
    made: list[Recipe] = []
    for line in (content, style):
        program, *words = shlex.split(line)
        assert program == "impasto"
        assert main([*words, "--evaluations", "2"]) == 0
        made.append(read_recipe(tmp_path / words[-1]))
    assert [recipe.settings.pooling for recipe in made] == ["average"] * 2
    assert [recipe.settings.convention for recipe in made] == ["paper"] * 2
    assert (made[0].settings.style_term, made[0].settings.content_layers) == (False, {"relu4_2": 1.0})
    assert not made[1].settings.content_term
    assert list(made[1].settings.style_layers) == ["relu1_1", "relu2_1", "relu3_1"]
