"""What is said of the papers: no number is theirs that is not, and equations name functions that exist."""

import importlib
import re
from pathlib import Path

import pytest

from impasto.config import settings_file
from impasto.config.settings import STYLE_LAYERS, Settings

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "impasto"
HOW = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
TEXTS = sorted(
    path
    for path in [*PAGES, *SOURCE.rglob("*.py"), *SOURCE.rglob("*.toml"), *SOURCE.rglob("*.html")]
    if path.name != "CHANGELOG.md"  # which says what was, too
)
# The papers of Gatys, Ecker and Bethge, 2015 and 2016, have ratios of alpha and beta only. They name neither
# bounds nor a number of evaluations, and show pictures with average pooling. Alpha 0.025, beta 5.0, rounds of
# 20 evaluations and an `Evaluator` are those of the experiment that impasto repeats, after tutorials for
# Keras.
FALSE = (
    r"(?:paper|bethge)\b[^.]{0,40}\bto the letter",
    r"exactly (?:as in )?the (?:method of the )?paper",
    r"\bpapers?'s? (?:own )?(?:alpha|beta|experiment|rounds?|preset|start|bounds|solver|usual)\b",
    r"\b(?:alpha|beta|bounds|solver|rounds?|preset) of the papers?\b",
    r"\bpapers? (?:says?|reports?|finds?|found) (?:that )?(?:after )?(?:about )?(?:ten|10|15|fifteen) rounds",
    r"\(the paper's\)",
    r"\bthe paper (?:suggests|recommends|optimizes)",
    r"\bthe paper knows\b",
)


def prose(path: Path) -> str:
    """Return a text with its line breaks, and those of strings in code, as single spaces."""
    text = path.read_text(encoding="utf-8")
    joined = re.sub(r"""["']?\s*\n[\s#>]*(?:f?["'])?""", " ", text)
    return re.sub(r"\s+", " ", joined)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_number_or_form_of_ours_is_called_the_papers(path: Path) -> None:
    text = prose(path)
    for phrase in FALSE:
        if found := re.search(phrase, text, re.IGNORECASE):
            pytest.fail(text[max(0, found.start() - 60) : found.end() + 60])


@pytest.mark.parametrize(
    "sentence",
    [
        "**The paper to the letter**: `--preset paper`.",
        '"The paper to "\n        "the letter"',
        "is exactly the method of the\n    paper",
        "Each dot is a picture; the diamond is the paper's alpha.",
        "the paper's experiment says that",
        'as "\n    "the paper\'s experiment does',
        "the paper says about ten rounds",
        "the alpha of the paper is 0.025",
        "alpha 0.025 (the paper's)",
        "The solver of the paper knows no limits",
        "The paper suggests average pooling",
    ],
)
def test_false_sentences_of_that_kind_are_found(sentence: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(sentence, encoding="utf-8")
    text = prose(tmp_path / "page.md")
    assert any(re.search(phrase, text, re.IGNORECASE) for phrase in FALSE), text


SHIPPED = [path.stem for path in settings_file.SHIPPED.glob("*.toml")]
AFTER_PAPERS = [name for name in SHIPPED if settings_file.kind_of(name) == "paper"]


@pytest.mark.parametrize("name", AFTER_PAPERS)
def test_the_titles_of_presets_after_papers_name_their_sources(name: str) -> None:
    file = settings_file.read_preset(name)
    assert re.search(r"Gatys, Ecker and Bethge 20\d\d", file.title)
    assert "experiment" in file.title or name != "paper"
    said = " ".join([file.title, *file.limits])
    assert re.search(r"\b(?:experiment|ours|impasto's)\b", said), "which numbers are not the paper's"


@pytest.mark.parametrize("name", settings_file.PEERS)
def test_other_programs_presets_name_theirs(name: str) -> None:
    assert re.search(r"\b20\d\d\b|last version", str(settings_file.read_preset(name).about["source"]))


def test_preset_paper_has_the_numbers_that_its_texts_name() -> None:
    settings, (numbers, network, _) = Settings.preset("paper"), settings_file.read_preset("paper").limits
    assert (settings.content_weight, settings.style_weight, settings.evaluations) == (0.025, 5.0, 10 * 20)
    assert (settings.content_layers, set(settings.style_layers.values())) == ({"relu4_2": 1.0}, {1 / 5})
    assert (settings.solver, settings.bounded, settings.init, settings.convention) == (
        "scipy", False, "noise", "paper",
    )  # fmt: skip
    assert "ten rounds of 20" in numbers
    assert settings.pooling == "max"
    assert "gatys2016" in network


def rows_of(heading: str) -> dict[str, list[str]]:
    """Return the cells of the first table below a heading of how-it-works.md, by their first one."""
    part = HOW.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)
    assert table
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        for line in table[0].splitlines()[2:]
    ]
    return {first: rest for first, *rest in cells}


@pytest.mark.parametrize("name", AFTER_PAPERS)
def test_the_table_of_both_presets_is_true(name: str) -> None:
    rows, settings = rows_of("Presets `paper` and `gatys2016`"), Settings.preset(name)
    column = ("paper", "gatys2016").index(name)
    said = {what: cells[0 if cells[column] == "the same" else column] for what, cells in rows.items()}
    alpha, beta = (float(number) for number in said["alpha, beta"].split(" and "))
    assert settings.content_weight / settings.style_weight == pytest.approx(alpha / beta)
    assert said["content"] == "`relu4_2`"
    assert settings.content_layers == {"relu4_2": 1.0}
    assert said["style"] == "`relu1_1` to `relu5_1`, each 1/5"
    assert settings.style_layers == dict.fromkeys(STYLE_LAYERS, 0.2)
    assert said["pooling"].startswith({"max": "maximum", "average": "average"}[settings.pooling])
    assert said["weights"].startswith(settings.weights or "as trained")
    assert "white noise" in said["start"]
    assert settings.init == "noise"
    assert ("SciPy" in said["solver"]) == (settings.solver == "scipy")
    assert ("with bounds" in said["solver"]) == settings.bounded
    assert said["evaluations"].startswith(str(settings.evaluations))
    assert f"{settings.size} px" in said["size"]
    assert said["windows of the pooling over the border"] == "dropped"
    assert settings.partial_windows == "drop"
    assert settings.convention == name
    assert ("number of positions" in said["losses"]) == (name == "gatys2016")
    assert settings.total_variation == 0


def test_functions_beside_equations_exist() -> None:
    named = [pair for page in PAGES for pair in re.findall(r"`([\w.]+)` in `([\w/]+)\.py`", page.read_text())]
    assert len(named) > 20
    for name, module in named:
        if not (SOURCE / f"{module}.py").exists():
            assert list((ROOT / "tests").rglob(f"{module}.py")) or (ROOT / f"{module}.py").exists(), module
            continue
        owner = importlib.import_module(f"impasto.{module.replace('/', '.')}")
        for part in name.split("."):
            assert hasattr(owner, part), f"{name} in {module}.py"
            owner = getattr(owner, part)


def test_each_equation_has_a_function_or_a_module() -> None:
    rows = rows_of("From equation to function")
    assert len(rows) > 15
    for what, (_, by) in rows.items():
        modules = re.findall(r"`([\w/]+\.py)`", by)
        assert modules, what
        assert all((SOURCE / module).is_file() for module in modules), what


def test_the_equations_of_2016_are_all_in_the_table() -> None:
    numbers = re.findall(r"\(eq\. (\d)\)", " ".join(rows_of("From equation to function")))
    assert sorted(numbers) == list("1234567")
