"""Sections of the page about the method, the features of the layers, and content against style."""

import math
import shlex
from collections.abc import Mapping, Sequence

import pyvips

from impasto.config.settings import STYLE_LAYERS
from impasto.network.layers import dense, parts
from impasto.network.vgg import VGG19
from impasto.network.weights.load import identity as weights_identity
from impasto.reports.experiment import feature_maps, papers, plots, trials, wording
from impasto.reports.experiment.context import Context, Section
from impasto.reports.experiment.diagram import described, schematic
from impasto.reports.experiment.run_sections import STARTS, made_with, why_strict
from impasto.reports.experiment.runner import Outcome, distance
from impasto.reports.figures import Drawing
from impasto.reports.html import Code, Equations, Heading, Pictures, Table, Text

FEATURES_EDGE = 256  # px; of pictures whose features are shown, which costs one forward pass only
FAR = 20  # times the balance or a part of it, where one of photo and painting wins
PAINTED = "The photo in the style of the painting"


def method(context: Context) -> Section:
    """What is done: in words, as a drawing, as equations; where each number comes from; the network."""
    settings = trials.main_trial(context.scope).settings
    drawing = schematic(settings)
    image = bytes(pyvips.Image.svgload_buffer(drawing.encode(), scale=2).write_to_buffer(".png"))
    return [
        Text(
            "What is in a picture and how it is painted can be told apart. Before these papers, each "
            "kind of texture or style needed a statistical model made by hand. A convolutional network that "
            "was trained only to recognize objects does it for any pair of pictures: its deep "
            "features say what is where, and the correlations between the features of a layer say how "
            "it looks, wherever it is."
        ),
        context.figure(
            "method",
            Drawing(image, drawing),
            described(settings),
            "Diagram: photo, painting and picture go through VGG-19; their features make the content "
            "loss and the style loss, whose sum the solver lowers by changing the picture.",
        ),
        Heading("The equations"),
        Text(
            f"{papers.SYMBOLS} The numbers here and in the drawing are those of the strict runs, preset "
            "paper; those of the runs in balance are in the table below."
        ),
        Equations(papers.equations(settings)),
        *_sources(context),
        *_reconstruction(context),
        *_network_costs(context),
        Heading("References"),
        Text("\n\n".join(papers.REFERENCES)),
    ]


def _sources(context: Context) -> Section:
    """Where each number comes from: the papers, the experiment, or the defaults of this program."""
    scope, runner = context.scope, context.runner
    ours = {
        "strict runs": trials.main_trial(scope).settings,
        "runs in balance": trials.balanced_trial(scope).settings,
    }
    weights = {name: weights_identity(runner.network(item.weights)[0])[0] for name, item in ours.items()}
    rows = papers.comparison(ours, weights, runner.runtime, measured=["runs in balance"])
    return [
        Heading("What the papers say, and what is done here"),
        Text(papers.ORIGIN),
        Table(list(rows[0]), [list(row.values()) for row in rows], papers.ABOUT_TABLE, whole=True),
    ]


def _reconstruction(context: Context) -> Section:
    """How to reconstruct photo and painting at any size, as commands."""
    photo, (painting, *_) = context.runner.pairs[0]
    pair = shlex.join([photo.name, painting.name])
    return [
        Heading("Reconstruction at a size of your own"),
        Text(
            "Without the style loss, the photo is reconstructed from a layer; without the content loss, the "
            "painting's style from some. In the folder of the pictures:"
        ),
        Code("\n".join(papers.reconstruction(pair, context.scope.size))),
    ]


def _network_costs(context: Context) -> Section:
    """What the network costs, layer by layer."""
    network = [*parts(), *dense()]
    rows = [
        {
            "layer": part.name,
            "output": f"{part.channels} x {part.height} x {part.width}",
            "parameters": part.parameters,
            "multiply-adds (million)": round(part.operations / 1e6, 1),
            "activation (MB)": round(part.activation / 1e6, 3),
        }
        for part in network
    ]
    total, first = sum(part.parameters for part in network), dense()[0].parameters
    return [
        Heading("The network"),
        Text(
            "The network is VGG-19 (Simonyan and Zisserman 2014; the family came second in that "
            "year's ImageNet classification). It is nothing but stacks of 3 x 3 convolutions with "
            f"pooling between them: simple, easy to reuse, and heavy. It has {total:,} parameters, of "
            f"which the first fully connected layer alone has {first:,}; style transfer leaves the "
            "fully connected layers out."
        ),
        context.table("vgg19", rows, "VGG-19 layer by layer at 224 x 224 px, counted by this program."),
    ]


def layers(context: Context) -> Section:
    """What the layers see: reconstructions, feature maps, Gram matrices."""
    photo, (painting, *_) = context.runner.pairs[0]
    network, edge = _network(context), max(FEATURES_EDGE, context.scope.cell)
    content = [
        context.picture(f"content-{name}", name, "The photo rebuilt from one layer")
        for name in trials.CONTENT_LAYERS
    ]
    style = [
        context.picture(
            f"style-{count}",
            " + ".join(list(STYLE_LAYERS)[:count]),
            "Texture in the style of the painting, rebuilt from layers",
        )
        for count in range(1, 6)
    ]
    seen = feature_maps.feature_maps(network, photo, trials.CONTENT_LAYERS, edge)
    grams = feature_maps.gram_matrices(network, painting, list(STYLE_LAYERS), edge)
    evaluations = context.scope.cell_rounds * trials.ROUND
    one = context.outcomes[trials.content_trials(context.scope)[0].name].recipe
    start = STARTS[one.settings.init]
    spent = (
        f"{evaluations} evaluations from {start} at {context.scope.cell} px, {one.settings.pooling} pooling"
    )
    return [
        Pictures(
            content,
            f"The photo rebuilt from one layer each ({spent}). Low layers give back nearly every pixel; "
            "higher ones keep what is where and forget exact colors and textures.",
        ),
        Pictures(
            style,
            f"The painting's style rebuilt from growing sets of layers ({spent}). Low layers hold color and "
            "grain; each further one adds larger forms. The places of things are not kept; a Gram matrix has "
            "none.",
        ),
        context.figure("feature-maps",
            plots.maps(seen, 5, "gray", "activation, each map by itself"),
            "The feature maps that vary most over the photo, layer by layer: edges and colors "
            "in low layers, parts of objects in high layers, ever coarser.", f"Five gray maps each of "
            f"{', '.join(trials.CONTENT_LAYERS)}, bright where a feature is strong."),
        context.figure("gram", plots.maps(grams, 5, "cividis", "log10(1 + G / M), each by itself"),
            "The painting's Gram matrices, strongest channels first: each dot says how "
            "much two features occur together. This is all that the style loss knows of the painting.",
            "Square heat maps, one a style layer; the strongest channels are at the top left."),
    ]  # fmt: skip


def _network(context: Context) -> VGG19:
    """Return the network of the pictures in balance."""
    settings = trials.balanced_trial(context.scope).settings
    weights, _ = context.runner.network(settings.weights)
    return VGG19(weights, pooling=settings.pooling)


def grid(context: Context) -> Section:
    """Alpha against beta: pictures, layers by alpha, and the trade as a curve."""
    planned, scope = trials.alpha_trials(context.scope), context.scope
    found = {trial.name: context.outcomes[trial.name] for trial in planned}
    rows = _grid_rows(list(found.values()))
    cells = [context.picture(name, _alpha_label(outcome), PAINTED) for name, outcome in found.items()]
    points = [(row["alpha"], row["content loss"], row["style loss"]) for row in rows]
    middle = min(found, key=lambda name: abs(math.log(found[name].share)))
    strict, (over_decades, traded) = trials.strict_cell(scope).name, _grid_sentences(rows)
    least = min(row["step"] for row in rows[1:])
    return [
        Text(
            "The total is alpha times the content loss plus beta times the style loss; beta is "
            f"{trials.BETA:g} in all of these. {over_decades}"
        ),
        Pictures(cells, f"From small alpha to large. Each has "
            f"{scope.cell} px and {scope.cell_rounds * trials.ROUND} evaluations; the middle one: "
            f"{made_with(found[middle])}. From one picture to the next the neutral losses change by "
            f"{least:.2f} or more (step in the table)."),
        Pictures([context.picture(strict, "strict", PAINTED), context.picture(middle, "in balance", PAINTED)],
            why_strict(context, strict, middle)),
        context.figure("trade", plots.trade(points, found[middle].alpha),
            f"Each dot is a picture of the grid, with its alpha; the diamond is nearest to balance. {traded}",
            f"Style loss against content loss for {len(rows)} values of alpha, both axes logarithmic."),
        context.table("grid", rows, "The losses of the grid, without alpha and beta; content and style of "
            "the saved picture by the neutral formula, which is the same for all; step: the length "
            "of the change of ln(content) and ln(style) from the picture before."),
        _layer_grid(context),
    ]  # fmt: skip


def _grid_rows(found: Sequence[Outcome]) -> list[dict[str, float]]:
    """Return the numbers of the grid, a row for each picture."""
    rows = []
    for number, outcome in enumerate(found):
        last = min(outcome.rows, key=lambda row: row["total"])
        content, style = outcome.neutral
        rows.append({
            "alpha": outcome.alpha, "beta": trials.BETA,
            "alpha / beta": float(f"{outcome.alpha / trials.BETA:.6g}"),
            "content loss": last["content"] / outcome.alpha, "style loss": last["style"] / trials.BETA,
            "neutral content": content, "neutral style": style,
            "step": distance(found[number - 1], outcome) if number else math.nan,
        })  # fmt: skip
    return rows


def _layer_grid(context: Context) -> Pictures:
    """Return the pictures by sets of style layers and alpha."""
    items = [
        context.picture(
            trial.name,
            f"{' + '.join(trial.settings.style_layers)}; alpha {context.outcomes[trial.name].alpha:g}",
            PAINTED,
        )
        for trial in trials.layer_trials(context.scope)
    ]
    shares = ", ".join(f"{share:g}" for share in trials.COLUMN_SHARES)
    return Pictures(items, "Rows: style from more and more layers, from above. Columns: alpha growing to the "
        f"right, {shares} times the alpha of each row's own balance.",
        columns=len(trials.COLUMN_SHARES))  # fmt: skip


def _alpha_label(outcome: Outcome) -> str:
    """Return what stands below a picture of the grid; far from balance, one of both wins."""
    label = f"alpha {outcome.alpha:g}"
    if outcome.share < 1 / FAR:
        return f"{label} (style wins)"
    if outcome.share > FAR:
        return f"{label} (content wins)"
    return label + (" (in balance)" if abs(outcome.share - 1) < 0.01 else "")


def _grid_sentences(rows: Sequence[Mapping[str, float]]) -> tuple[str, str]:
    """Say whether the grid really goes from style to content, and whether the two losses are traded."""
    content, style = ([row[name] for row in rows] for name in ("content loss", "style loss"))
    grid = "some steps are reversed by more than 5 %."
    trade = "Not every dot has less of one loss and more of the other than the one before."
    if wording.ordered(content, falling=True) and wording.ordered(style, falling=False):
        grid = "no step is reversed by more than 5 %."
        trade = "Less of one loss costs more of the other."
    ends = (
        f"From end to end the content loss goes to {wording.percent(content[-1] / content[0])} and the "
        f"style loss to {style[-1] / style[0]:.3g} times what it was; "
    )
    return ends + grid, trade
