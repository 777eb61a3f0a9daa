"""The experiment: what is planned, what is kept, what the numbers say, the page, the command."""

import csv
import io
import itertools
import json
import re
import signal
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.style
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import impasto.network.weights.load
import impasto.transfer.stylize
from impasto.cli.app import main
from impasto.cli.samples import sample
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import ExitCode, InputError, OutputError
from impasto.image.picture import Picture
from impasto.image.xmp import read_recipe
from impasto.network.vgg import narrow_weights
from impasto.reports import figures
from impasto.reports.experiment import experiment, papers, plots, trials, wording
from impasto.reports.experiment import runner as module
from impasto.reports.experiment.diagram import described, schematic
from impasto.reports.experiment.experiment import run_experiment
from impasto.reports.experiment.runner import Runner, to_csv
from reference import neutral
from reference.browser import chromium

SMALL = ["--size", "48", "--rounds", "1", "--threads", "1", "--only", "method,course"]
REAL = impasto.network.weights.load.load_weights
VISIBLE = 0.3  # least step between neighbors of the grid in the neutral features
TINY = trials.Scope(size=40, cell=34, rounds=2, cell_rounds=1)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test starts in a folder of its own, with two pairs of pictures, on a narrow network."""
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda *which: narrow_weights())
    monkeypatch.setattr(trials, "ROUND", 3)  # evaluations: a round is quick
    monkeypatch.setattr(wording, "ROUND", 3)
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, size in (("photo", (64, 56)), ("painting", (60, 64)), ("other", (56, 56))):
        pixels = random.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"{name}.png")
    return tmp_path


def pictures(count: int = 1):
    names = [("photo", "painting"), ("other", "painting"), ("painting", "other")][:count]
    return [(Picture.open(f"{a}.png"), (Picture.open(f"{b}.png"),)) for a, b in names]


def bench(name: str = "out", count: int = 1, scope: trials.Scope = TINY, narrow=None) -> Runner:
    return Runner(Path(name), pictures(count), scope, Runtime(threads=1), narrow_weights())


# --- what is planned -----------------------------------------------------------------------------


def test_the_main_run_is_preset_paper_for_fifteen_rounds(monkeypatch) -> None:
    monkeypatch.setattr(trials, "ROUND", 20)
    trial = trials.main_trial(trials.Scope())
    assert trial.settings == Settings.preset("paper", size=trials.Scope().size, evaluations=300)
    assert trial.kept == (1, *range(20, 301, 20))


def test_the_grid_lies_around_balance_and_takes_the_users_alphas() -> None:
    planned = trials.alpha_trials(TINY)
    shares = [trial.share for trial in planned]
    assert shares == sorted(shares)
    assert shares[len(shares) // 2] == 1
    assert {trial.settings.style_weight for trial in planned} == {trials.BETA}
    scope = replace(TINY, alphas=trials.parse_alphas("1,0.025, 30"))
    planned = trials.alpha_trials(scope)
    assert [trial.settings.content_weight for trial in planned] == [0.025, 1, 30]
    assert {trial.share for trial in planned} == {None}


@pytest.mark.parametrize("text", ["", "1", "1,1", "1,x", "0,1", "-1,1", "1,nan", "1,inf", "1,1e31"])
def test_alphas_that_are_none(text) -> None:
    with pytest.raises(InputError, match=r"^--alpha: must be 2 to 25 different numbers, "):
        trials.parse_alphas(text)


def test_all_trials_but_the_strict_ones_have_the_users_settings() -> None:
    scope = replace(TINY, preset="paper", pooling="average", start="content")
    found = {trial.name: trial for part in trials.PARTS for trial in trials.trials(scope, part, pairs=2)}
    strict = {"main", "main-2", "alpha-paper"}
    for name in strict:
        trial = found.pop(name)
        assert trial.share is None
        changes = {"size": trial.settings.size, "evaluations": trial.settings.evaluations}
        assert trial.settings == Settings.preset("paper", **changes)
    own = {name: trial for name, trial in found.items() if not name.startswith("start")}
    assert {(t.settings.pooling, t.settings.init) for t in own.values()} == {("average", "content")}
    gatys = trials.balanced_trial(TINY).settings
    assert (gatys.pooling, gatys.weights) == ("average", "normalized")


def test_reconstructions_have_one_term_only() -> None:
    for trial in trials.content_trials(TINY):
        assert (trial.settings.content_term, trial.settings.style_term) == (True, False)
    layers = [trial.settings.style_layers for trial in trials.style_trials(TINY)]
    assert [len(found) for found in layers] == [1, 2, 3, 4, 5]
    assert all(sum(found.values()) == pytest.approx(1) for found in layers)
    assert not any(trial.settings.content_term for trial in trials.style_trials(TINY))


def test_names_tell_trials_apart() -> None:
    found = {}
    for part in trials.PARTS:
        for trial in trials.trials(TINY, part, pairs=3):
            assert found.setdefault(trial.name, trial) == trial
    assert len(found) == 10 + (5 + 1 + 3 * 3) + 4 + 8 + 2 * 3


def test_parts_are_named_in_the_order_of_the_page() -> None:
    assert trials.parse_parts(None) == trials.PARTS
    assert trials.parse_parts("loss, method") == ("method", "loss")
    with pytest.raises(InputError, match=r"no part is named 'los'\. Did you mean loss\?"):
        trials.parse_parts("los")
    with pytest.raises(InputError, match="name one part"):
        trials.parse_parts(",")


# --- what the numbers say ------------------------------------------------------------------------


def test_rounds_take_the_lowest_total_until_then() -> None:
    totals = [9.0, 5.0, 7.0, 4.0, 4.5, 3.0, 2.0]
    rows = [{"evaluation": n, "total": t, "content": t / 2} for n, t in enumerate(totals, start=1)]
    assert wording.by_round(rows, 2) == [9.0, 5.0, 3.0]
    assert wording.by_round(rows, 2, "content") == [4.5, 2.5, 1.5]


def test_seconds_count_from_the_first_evaluation() -> None:
    assert wording.seconds_since_first([{"seconds": 2.5}, {"seconds": 3.0}]) == [0.0, 0.5]


def test_work_ends_at_the_deepest_layer() -> None:
    shares = [trials.depth(trial.settings) for trial in trials.content_trials(TINY)]
    assert shares == sorted(shares)
    assert shares[0] < 0.12
    assert shares[-1] < trials.depth(trials.paper(64, 1, content_layers="relu5_4")) == 1


def test_where_the_loss_flattens() -> None:
    assert wording.first_flat([100, 50, 49, 20]) == 2
    assert wording.first_flat([100, 50, 25]) is None
    assert wording.first_flat([100, 95.1]) == 1
    totals = [100.0, 50, 25, 12, 6, 3, 2.9, 2.8, 2.7, 2.6, 2.5, 2.4, 2.0]
    assert wording.gain_after(totals) == pytest.approx(1 - 2.0 / 2.5)
    assert wording.gain_after(totals[:11]) is None
    said = wording.flattening(totals)
    assert "Round 6 is the first that lowers the total by less than 5 %." in said
    assert "still falls by 20.0 % until round 12" in said
    assert "it agrees here" in said
    assert "does not agree" in wording.flattening([2.0**-n for n in range(16)])


def test_the_gap_in_words() -> None:
    said = wording.gap_sentences([10, 5, 2], [12, 6, 8], [11, 5, 2.5])
    assert "reports 2," in said
    assert "has 8: 4 times as much" in said
    assert "best after round 1;" in said
    assert "saves 2.5." in said


def test_order_of_a_grid() -> None:
    assert wording.ordered([10, 5, 5.2, 1], falling=True)
    assert not wording.ordered([10, 5, 5.4, 1], falling=True)
    assert wording.ordered([1, 3, 2.9, 8], falling=False)
    assert not wording.ordered([8, 3], falling=False)


def test_csv_keeps_every_digit() -> None:
    rows = [{"a": 0.1 + 0.2, "b": 1}, {"a": 1e300, "c": 2.0}]
    found = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert float(found[0]["a"]) == 0.1 + 0.2
    assert float(found[1]["a"]) == 1e300
    assert (found[0]["c"], found[1]["b"]) == ("", "")


# --- drawings ------------------------------------------------------------------------------------


def test_the_drawing_follows_the_settings() -> None:
    settings = Settings.preset("paper", style_layers="relu2_1,relu3_1", content_weight=0.5)
    drawing = schematic(settings)
    for words in ("relu4_2", "relu2_1", "relu3_1", "0.5 Lc + 5 Ls", "L-BFGS-B", "max pooling"):
        assert words in drawing
    assert "relu5_1" not in drawing
    assert "0.5 times the content loss" in described(settings)


@pytest.mark.slow
def test_plots_are_the_same_for_the_same_numbers() -> None:
    rows = [{"evaluation": n, "seconds": n / 2, "total": 9 / n, "style": 5 / n} for n in range(1, 9)]
    for draw in (lambda: plots.losses(rows, 3), lambda: plots.solvers({"a": rows, "b": rows})):
        first, second = draw(), draw()
        assert (first.png, first.svg) == (second.png, second.svg)
        assert Image.open(io.BytesIO(first.png)).width > 600
        assert "<svg" in first.svg


def boxes(figure) -> tuple[list, list]:
    """Return the boxes of all texts inside the axes of a figure, and those of the texts around them."""
    figure.draw_without_rendering()
    inside, around = [], []
    for axes in figure.axes:
        inside += [text.get_window_extent() for text in axes.texts if text.get_text()]
        labels = [axes.title]
        if axes.axison:
            labels += [*axes.get_xticklabels(which="both"), *axes.get_yticklabels(which="both")]
            labels += [axes.xaxis.label, axes.yaxis.label]
        around += [text.get_window_extent() for text in labels if text.get_text() and text.get_visible()]
    return inside, around


def assert_apart(found) -> None:
    for number, box in enumerate(found):
        for other in found[number + 1 :]:
            assert not box.overlaps(other), (box, other)


def curve(count: int, across: float, up: float) -> list[tuple[float, float, float]]:
    """Return points (alpha, content, style) whose losses change by a factor from each to the next."""
    return [(0.0025 * 10 ** (n / 2), 1e6 * across**n, 2e5 * up**n) for n in range(count)]


CROWD = curve(8, 0.99, 1.01)  # all in one corner, with one far away
TRADES = {
    "even": curve(9, 0.4, 2.2),
    "crowded": [*CROWD, (25.0, 1e4, 3e6)],
    "crowded in another corner": [*CROWD, (25.0, 1e8, 3e3)],
    "flat": curve(9, 0.7, 1.0),
    "upright": curve(9, 1.0, 1.3),
    "close": curve(9, 0.97, 1.04),
    "the same": curve(9, 1.0, 1.0),
    "two": curve(2, 0.5, 3.0),
    "many": curve(20, 0.95, 1.1),
}


def check_trade(points, dpi: int) -> None:
    """Draw a trade-off at so many pixels an inch; labels stay inside the axes, off texts and the line."""
    with matplotlib.style.context(["default", figures.STYLE]):
        figure = Figure(figsize=(7.0, 4.2), layout="constrained", dpi=dpi)
        FigureCanvasAgg(figure)
        plots.draw_trade(figure, points, 0.025)
        inside, around = boxes(figure)
    axes = figure.axes[0].get_window_extent()
    assert len(inside) == len(points)
    assert_apart(inside)
    assert_apart(around)
    line = figure.axes[0].lines[0]
    path = line.get_transform().transform_path(line.get_path())
    assert not any(path.intersects_bbox(box, filled=False) for box in inside)
    for box in inside:
        assert axes.x0 <= box.x0 < box.x1 <= axes.x1
        assert axes.y0 <= box.y0 < box.y1 <= axes.y1


def test_labels_in_a_crowded_corner_do_not_overlap() -> None:
    check_trade(TRADES["crowded"], 72)


@pytest.mark.slow
@pytest.mark.parametrize("points", TRADES.values(), ids=TRADES)
def test_labels_of_the_trade_do_not_overlap(points) -> None:
    check_trade(points, figures.DPI)


@pytest.mark.slow
@pytest.mark.parametrize("plot", ["losses", "gap", "solvers"])
def test_legends_cover_no_line(plot, monkeypatch) -> None:
    names = ["total", "content", "style", *(f"style.relu{block}_1" for block in range(1, 6))]
    rows = [{"evaluation": n, "seconds": n / 2, **{name: 9 / n for name in names}} for n in range(1, 300)]
    made = []

    def keep(width, height, fill, drawn=figures.drawn):
        def draw(figure) -> None:
            fill(figure)
            figure.draw_without_rendering()
            made.extend((axes.get_legend(), axes.bbox, figure.bbox) for axes in figure.axes)

        return drawn(width, height, draw)

    monkeypatch.setattr(plots, "drawn", keep)
    {
        "losses": lambda: plots.losses(rows),
        "gap": lambda: plots.gap({"SciPy, no bounds": ([9, 2], [9, 4]), "ours, bounded": ([9, 2], [9, 2])}),
        "solvers": lambda: plots.solvers({"SciPy L-BFGS-B, no bounds": rows, "ours, no bounds": rows}),
    }[plot]()
    legends = [(legend.get_window_extent(), axes, figure) for legend, axes, figure in made if legend]
    assert len(legends) == 1
    for box, axes, figure in legends:
        assert box.y0 >= axes.y1
        assert box.x1 <= figure.x1
    for _, axes, _ in made[1:]:
        assert not legends[0][0].overlaps(axes)


@pytest.mark.slow
def test_titles_of_maps_do_not_overlap(monkeypatch) -> None:
    names = [f"relu{block}_1 (128 of 512)" for block in range(1, 6)]
    names += [f"relu{block}_2, channel 511" for block in range(1, 6)]
    shown = []

    def keep(width, height, fill, drawn=figures.drawn):
        def draw(figure) -> None:
            fill(figure)
            shown.extend(boxes(figure)[1])

        return drawn(width, height, draw)

    monkeypatch.setattr(plots, "drawn", keep)
    plots.maps([(name, np.eye(4)) for name in names], 5, "gray", "activation, each map by itself")
    assert len(shown) > len(names)
    assert_apart(shown)


# --- what is kept --------------------------------------------------------------------------------


def test_a_trial_is_kept_and_not_run_again(monkeypatch) -> None:
    place, trial = bench(), trials.main_trial(TINY)
    assert place.outcome(trial) is None
    first = place.run(trial, lambda step: None)
    assert [row["evaluation"] for row in first.rows] == [1, 2, 3, 4, 5, 6]
    assert sorted(first.pictures) == [0, 1, 3, 6]
    assert read_recipe(first.picture).settings == trial.settings
    with pytest.raises(InputError, match="an intermediate picture"):
        read_recipe(first.pictures[3])
    again = bench().outcome(trial)
    assert again == first
    data = list(csv.DictReader(io.StringIO(Path("out/data/main.csv").read_text())))
    assert [float(row["total"]) for row in data] == [row["total"] for row in first.rows]
    first.pictures[3].unlink()
    assert bench().outcome(trial) is None


def test_a_trial_with_another_share_is_another() -> None:
    place, trial = bench(), trials.alpha_trials(TINY)[2]
    assert place.key(trial) != place.key(replace(trial, share=2.0))


def test_the_saved_loss_is_that_of_the_file() -> None:
    place = bench()
    trial = trials.solver_trials(TINY)[2]
    outcome = place.run(trial, lambda step: None)
    trial = place.weighted(trial)
    assert trial.settings.content_weight == outcome.alpha
    score = place.scorer(trial)
    for at, path in outcome.pictures.items():
        assert score(Picture.open(path)) == pytest.approx(outcome.saved[at], rel=1e-6)
    optimized = min(row["total"] for row in outcome.rows)
    assert outcome.saved[0]["total"] == pytest.approx(optimized, rel=0.02)  # bounded: only rounding


def test_a_folder_of_other_things_is_not_touched() -> None:
    Path("out").mkdir()
    Path("out/mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="out holds other things"):
        bench()
    assert [path.name for path in Path("out").iterdir()] == ["mine.txt"]


def test_another_experiment_is_refused() -> None:
    bench()
    bench()
    with pytest.raises(OutputError, match="out holds another experiment"):
        bench(scope=trials.Scope(size=41, cell=34, rounds=2, cell_rounds=1))
    with pytest.raises(OutputError, match="out holds another experiment"):
        bench(count=2)


# --- the page ------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Collects addresses, descriptions and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.titles: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes) -> None:
        found = dict(attributes)
        self.addresses += [found[name] for name in ("src", "href") if found.get(name)]
        if tag == "img":
            self.images.append(found)
        self.inside = tag

    def handle_data(self, data) -> None:
        if self.inside == "h2" and data.strip():
            self.titles.append(data)
        self.inside = "" if data.strip() else self.inside


@pytest.mark.slow
def test_the_page_has_all_parts_and_loads_nothing() -> None:
    done = run_experiment(bench(count=2))
    assert done.parts == trials.PARTS
    text = done.page.read_text()
    page = Reader(text)
    assert page.titles == [
        "The method", "What the layers see", "Content against style", "The course of the run",
        "The loss", "Optimizers side by side", "Starting points and pooling", "The result",
    ]  # fmt: skip
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert len(page.images) > 50
    assert all(image["alt"] for image in page.images)
    assert "photo.png in the style of painting.png; other.png in the style of painting.png" in text
    assert "too small or too short to show the effects" in text
    assert text.count("style_layers</th>") == 1  # the settings once for both pairs
    assert "143,667,240 parameters" in text
    assert text.count("<math ") == len(papers.EQUATIONS)
    assert "arXiv:1508.06576" in text
    assert "adam_epsilon" not in text  # at its default: in the recipe
    assert "paper's experiment" not in text
    assert "102,764,544" in text
    rounds = list(csv.DictReader(io.StringIO(Path("out/data/rounds.csv").read_text())))
    assert len(rounds) == TINY.rounds + 1
    for row in rounds:
        for name, digits in row.items():
            assert name == "round" or f">{float(digits):.4g}</td>" in text
    grid = list(csv.DictReader(io.StringIO(Path("out/data/grid.csv").read_text())))
    alphas = [float(row["alpha"]) for row in grid]
    assert alphas == sorted(alphas)
    assert len(alphas) == len(trials.SHARES)
    for row in grid:
        for name in ("content loss", "style loss", "neutral content", "neutral style"):
            assert f">{float(row[name]):.4g}</td>" in text
    with Image.open("out/figures/course.webp") as lapse:
        assert lapse.n_frames == len(trials.balanced_trial(TINY).kept)
    for name in ("method", "loss", "loss-balance", "gap", "solvers", "trade", "gram", "feature-maps"):
        assert Path(f"out/figures/{name}.png").exists()
        assert Path(f"out/figures/{name}.svg").exists()


@pytest.mark.slow
def test_a_browser_shows_every_figure_and_complains_of_nothing(tmp_path) -> None:
    text = run_experiment(bench()).page.read_text()
    shot = tmp_path / "shot.png"
    assert "CONSOLE" not in chromium(tmp_path, text, f"--screenshot={shot}").stderr
    assert Image.open(shot).convert("RGB").getcolors(1) is None
    counting = (
        "<script>document.title = [...document.images].filter(i => !i.naturalWidth).length + '/' + "
        "document.images.length + '/' + performance.getEntriesByType('resource')"
        ".filter(e => !e.name.startsWith('data:')).length + '/' + "
        "[...document.querySelectorAll('math')].filter(m => m.getBoundingClientRect().height > 15).length"
        "</script>"
    )
    page = re.sub(r"<meta http-equiv=[^>]*>", "", text).replace("</body>", f"{counting}</body>")
    dumped = chromium(tmp_path, page, "--dump-dom").stdout
    broken, images, loads, formulas = re.search(r"<title>(\d+)/(\d+)/(\d+)/(\d+)</title>", dumped).groups()
    assert (broken, loads) == ("0", "0")
    assert int(formulas) == len(papers.EQUATIONS)
    assert int(images) > 50


@pytest.mark.slow
def test_the_neutral_evaluator_gets_the_same_from_the_files(weights) -> None:
    for name, file, size in (("photo", "photo", (48, 36)), ("painting", "swirl", (48, 40))):
        with Image.open(sample(file)) as image:
            image.convert("RGB").resize(size).save(f"{name}.png")  # so that nobody scales
    place = Runner(Path("out"), pictures(), trials.Scope(48, 48, 1, 1), Runtime(threads=1), weights)
    for trial in (trials.main_trial(place.scope), trials.strict_cell(place.scope)):
        outcome = place.run(trial, lambda step: None)
        for at, path in outcome.pictures.items():
            neutral_terms = neutral.score(path, "photo.png", "painting.png")
            content = outcome.alpha * neutral_terms["paper_content"]
            style = trial.settings.style_weight * neutral_terms["paper_style"]
            assert outcome.saved[at]["content"] == pytest.approx(content, rel=1e-3)
            assert outcome.saved[at]["style"] == pytest.approx(style, rel=1e-3)


@pytest.mark.slow
def test_the_quick_grid_goes_from_style_to_content_in_visible_steps(monkeypatch) -> None:
    """At the real size of --quick, with the real network; also by the neutral evaluator."""
    monkeypatch.setattr(trials, "ROUND", 20)
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", REAL)  # preset's, normalized
    pair = (Picture.open(sample("photo")), (Picture.open(sample("swirl")),))
    place = Runner(Path("out"), [pair], trials.QUICK)
    found = [place.run(trial, lambda step: None) for trial in trials.alpha_trials(trials.QUICK)]
    own = [min(outcome.rows, key=lambda row: row["total"]) for outcome in found]
    content = [row["content"] / outcome.alpha for row, outcome in zip(own, found, strict=True)]
    style = [row["style"] / trials.BETA for row in own]
    assert content[-1] < content[0] / 2
    assert wording.ordered(content, falling=True), content
    assert wording.ordered(style, falling=False), style
    neutral_content, neutral_style = zip(*(outcome.neutral for outcome in found), strict=True)
    assert wording.ordered(neutral_content, falling=True, slack=0.1), neutral_content
    assert wording.ordered(neutral_style, falling=False), neutral_style
    steps = [module.distance(one, other) for one, other in itertools.pairwise(found)]
    assert min(steps) > VISIBLE, steps


@pytest.mark.slow
def test_the_neutral_terms_of_an_outcome_are_those_of_the_neutral_evaluator(weights) -> None:
    for name, file, size in (("photo", "photo", (48, 48)), ("painting", "swirl", (48, 48))):
        with Image.open(sample(file)) as image:
            image.convert("RGB").resize(size).save(f"{name}.png")  # so that nobody scales
    place = Runner(Path("out"), pictures(), trials.Scope(48, 48, 1, 1), Runtime(threads=1), weights)
    trial = trials.alpha_trials(place.scope)[2]
    outcome = place.run(trial, lambda step: None)
    compared = trials.neutral_trial(trial)
    inputs = place.inputs(compared)
    (scale,) = inputs.scales(compared.settings, compared.settings.style_layers)
    softened = (inputs.at(scale, "cpu").styles[0][0] * 255).round().byte().permute(1, 2, 0)
    Image.fromarray(softened.numpy()).save("painting.png")  # shown at its own size, it loses its grain
    terms = neutral.score(outcome.picture, "photo.png", "painting.png")
    assert outcome.neutral == pytest.approx((terms["content"], terms["style"]), rel=1e-3)


def without_times(text: str) -> str:
    """Cut what measures time out of a page: the solvers' figure and every number of seconds."""
    text = re.sub(r"data:image/[^\"]+", "", text)
    text = re.sub(r"<tr>(?:(?!</tr>).)*seconds(?:(?!</tr>).)*</tr>", "", text, flags=re.DOTALL)
    return re.sub(r"\d+\.\d{1,3}(?=</td>)", "", text)


@pytest.mark.slow
def test_interrupted_and_started_again_gives_the_same_page() -> None:
    parts = ("course", "loss", "result")
    whole = run_experiment(bench("whole"), parts)
    place, calls = bench("broken"), []

    def stopping() -> bool:
        calls.append(1)
        return len(calls) == 14  # in the third run

    broken = run_experiment(place, parts, stopping=stopping)
    assert broken.interrupted
    assert "Not finished: 2 of 6 runs are there" in broken.page.read_text()
    assert Reader(broken.page.read_text()).titles[1] == "The loss"
    assert 'alt="Result of the run: main"' in broken.page.read_text()
    assert set(broken.parts) == {"course", "result"}
    ran = []
    again = run_experiment(bench("broken"), parts, on_trial=ran.append)
    assert [where.trial.name for where in ran] == [trial.name for trial in trials.solver_trials(TINY)]
    assert [(where.number, where.count) for where in ran] == [(3, 6), (4, 6), (5, 6), (6, 6)]
    assert ran[0].seconds_left > 0
    assert not again.interrupted
    assert without_times(again.page.read_text()) == without_times(whole.page.read_text())
    for name in ("main.png", "main-0006.png", "solver-lbfgs-bounded.png"):
        one, other = (Picture.open(Path(f) / "pictures" / name) for f in ("whole", "broken"))
        assert one.pixels_sha256() == other.pixels_sha256()


def test_a_full_disk_ends_in_one_line_and_keeps_what_was_finished(capsys, monkeypatch) -> None:
    command = ["experiment", "photo.png", "painting.png", "--size", "40", "--rounds", "1"]
    command += ["--threads", "1", "--only", "starts", "-o", "out", "-q"]
    calls = []

    def full(path, data, *, overwrite=False, publish=module.publish):
        calls.append(path)
        if len(calls) == 6:  # the numbers of the third run; its picture is there
            raise OutputError(f"cannot write {path.name}: no space left on device; free some space")
        return publish(path, data, overwrite=overwrite)

    monkeypatch.setattr(module, "publish", full)
    assert main(command) == ExitCode.RESOURCE
    said = capsys.readouterr()
    assert said.out == ""
    assert "no space left on device" in said.err
    assert said.err.count("\n") == 1
    finished = sorted(path.name for path in Path("out/data").glob("*.json"))
    assert finished == ["start-gray-max.json", "start-noise-max.json"]


def test_ctrl_c_leaves_a_page_of_what_is_there(capsys, monkeypatch) -> None:
    def interrupted(*arguments, on_trial, run_experiment=run_experiment, **options):
        def note(where) -> None:
            on_trial(where)
            if where.number == 2:
                signal.raise_signal(signal.SIGINT)

        return run_experiment(*arguments, on_trial=note, **options)

    monkeypatch.setattr("impasto.reports.experiment.experiment.run_experiment", interrupted)
    command = ["experiment", "photo.png", "painting.png", *SMALL[:-1], "starts", "-o", "out"]
    assert main(command) == ExitCode.INTERRUPTED
    said = capsys.readouterr()
    assert said.out == "out/index.html\n"
    assert "interrupted; the same command continues: 0 of 1 part in" in said.err
    assert "1 of 8 runs are there" in Path("out/index.html").read_text()


def test_only_adds_to_the_page_of_a_folder() -> None:
    run_experiment(bench(), ("method", "course"))
    ran = []
    done = run_experiment(bench(), ("starts",), on_trial=lambda where: ran.append(where.trial.name))
    assert [name.split("-")[0] for name in ran] == ["start"] * 8
    assert done.parts == ("starts",)
    titles = ["The method", "The course of the run", "Starting points and pooling"]
    assert Reader(done.page.read_text()).titles == titles
    Path("out/parts.json").write_text("5")  # spoilt: then all that is finished
    again = run_experiment(bench(), ("course",)).page.read_text()
    assert Reader(again).titles == [*titles, "The result"]


def test_only_what_is_asked_for_is_run() -> None:
    ran = []
    run_experiment(bench(), ("method",), on_trial=lambda where: ran.append(where))
    assert ran == []
    run_experiment(bench(), ("starts",), on_trial=lambda where: ran.append(where))
    assert [where.number for where in ran] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert all(where.seconds_left > 0 for where in ran)


# --- how long it takes ---------------------------------------------------------------------------


class Clock:
    """Seconds that pass only when a trial is run."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds


@pytest.mark.parametrize("speeds", [(1, 1), (1.5, 1.5), (0.6, 1.7), (2.5, 0.5)])
def test_the_remaining_time_jumps_by_a_third_at_most(monkeypatch, speeds) -> None:
    """Trials take longer or shorter than an evaluation promised; what is said follows without jumps."""
    clock, place = Clock(), bench(scope=trials.QUICK)
    monkeypatch.setattr(experiment, "time", clock)
    monkeypatch.setattr(place, "seconds", lambda trial: (trial.settings.size / 128) ** 2 * 0.13)
    monkeypatch.setattr(experiment, "write_page", lambda runner, parts: parts)
    promised = experiment.predicted(place, [t for p in trials.PARTS for t in trials.trials(place.scope, p)])
    said = []

    def run(trial, on_step) -> bool:
        clock.seconds += promised[trial.name] * speeds[len(said) % 2]
        return True

    monkeypatch.setattr(place, "run", run)
    run_experiment(place, on_trial=lambda where: said.append((clock.seconds, where.seconds_left)))
    assert said[0][1] == pytest.approx(sum(promised.values()))
    for (before, left), (now, then) in itertools.pairwise(said):
        assert abs(then - max(0.0, left - (now - before))) <= left / 3 + 1e-9


def test_finished_trials_correct_what_was_promised() -> None:
    remaining = experiment.Remaining({str(number): 10.0 for number in range(10)})
    assert remaining.seconds == 100
    for number in range(8):
        remaining.finish(str(number), 20.0)
    assert 30 < remaining.seconds < 40  # in truth 40
    remaining.finish("8", 20.0)
    remaining.finish("9", 20.0)
    assert remaining.seconds == 0


# --- the command ---------------------------------------------------------------------------------


def test_another_experiment_ends_as_a_folder_of_other_things_does(capsys) -> None:
    bench()
    assert main(["experiment", "photo.png", "painting.png", "--rounds", "9", "-o", "out"]) == 3
    assert "other pictures, sizes, rounds, weights" in capsys.readouterr().err


def test_the_command_writes_the_page(capsys) -> None:
    assert main(["experiment", "photo.png", "painting.png", *SMALL, "-o", "out"]) == 0
    said = capsys.readouterr()
    assert said.out == "out/index.html\n"
    assert said.err.startswith("2 runs, about ")
    assert "1/2  main: 48 px, 3 evaluations; " in said.err
    assert "2 of 2 parts in" in said.err
    scope = json.loads(Path("out/experiment.json").read_text())["scope"]
    assert (scope["size"], scope["cell"], scope["rounds"]) == (48, 32, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["photo.png"], 2, "pictures come in pairs"),
        (["photo.png", "painting.png", "other.png"], 2, "pictures come in pairs"),
        (["photo.png", "missing.png"], 2, "missing.png does not exist"),
        (["photo.png", "painting.png", "--only", "los"], 2, "Did you mean loss?"),
        (["photo.png", "painting.png", "--size", "big"], 2, "--size: must be a whole number"),
        (["photo.png", "painting.png", "--size", "5"], 2, "--size: must be a whole number, 32 to"),
        (["photo.png", "painting.png", "--preset", "bold"], 2, "--preset: must be one of gatys2016, paper"),
        (["photo.png", "painting.png", "--pooling", "l2"], 2, "--pooling: must be one of max, average"),
        (["photo.png", "painting.png", "--start", "picture"], 2, "--start: must be one of gray, noise"),
        (["photo.png", "painting.png", "--alpha", "1,x"], 2, "--alpha: must be 2 to 25 different numbers"),
        (["photo.png", "painting.png", "--rounds", "0"], 2, "--rounds: must be a whole number, 1"),
        (["photo.png", "painting.png", "-o", "photo.png"], 3, "photo.png is a file"),
        (["photo.png", "painting.png", "-o", "no/such"], 3, "the folder no does not exist"),
        (["photo.png", "painting.png", "-o", "full"], 3, "full holds other things"),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, code, words) -> None:
    Path("full").mkdir()
    Path("full/x").write_text("x")
    assert main(["experiment", *arguments]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert said.err.count("\n") == 1
    assert code in (ExitCode.USAGE, ExitCode.RESOURCE)
