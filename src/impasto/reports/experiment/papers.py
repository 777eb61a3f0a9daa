"""The equations of the papers with the functions that compute them, what the papers say, and references.

What is said of the papers was checked against their text as it is quoted in public, except the figures of
2015 and the numbers of figure 4 of 2016, which are from memory; what we did not find is a dash. "2015" is
arXiv 1508.06576, "2016" the paper of CVPR.
"""

from collections.abc import Collection, Mapping

from impasto.config.runtime import Runtime
from impasto.config.settings import DEFAULT_LONG_EDGE, Settings
from impasto.network.weights.store import PACKAGED, SHORT
from impasto.reports.experiment import trials
from impasto.reports.html import TEMPLATES, Equation

UNKNOWN = "\N{EN DASH}"
COLUMNS = ("", "paper of 2015", "paper of 2016")
DEFAULT = "default of impasto"
SOLVERS = {"scipy": "SciPy's L-BFGS-B", "lbfgs": "impasto's L-BFGS", "adam": "Adam"}
WINDOWS = {"half": "counted if half of a position is inside", "count": "counted", "drop": "dropped"}
STARTS = {
    "content": "the photo",
    "matched": "the photo in the painting's colors",
    "noise": "white noise: each value uniform over all valid ones",
    "gray": "gray with faint noise",
    "style": "the painting",
    "picture": "a picture",
}

# Macro in equations.html; name; where in the paper of 2016; module and function.
EQUATIONS = (
    ("content", "Content loss", "eq. 1", "losses.content", "ContentLoss.value"),
    (
        "content_slope",
        "Derivative of the content loss",
        "eq. 2",
        "losses.content",
        "ContentLoss.add_gradient",
    ),
    ("gram", "Gram matrix", "eq. 3", "losses.gram", "gram_matrix"),
    ("layer", "Style loss of a layer", "eq. 4", "losses.gram", "GramLoss.value"),
    ("style", "Style loss", "eq. 5", "losses.build", "build_losses"),
    (
        "layer_slope",
        "Derivative of the style loss of a layer",
        "eq. 6",
        "losses.gram",
        "GramLoss.add_gradient",
    ),
    ("total_loss", "Total loss", "eq. 7", "losses.objective", "Objective"),
    ("pixels", "Gradient by the pixels", "", "network.backprop", "ForwardPass.backward"),
    ("evaluator", "Evaluator", "", "optim.evaluation", "Evaluator"),
    ("step", "Step of L-BFGS", "", "optim.scipy_lbfgsb", "ScipyLBFGSB.step"),
    ("bounded_step", "Step with bounds", "", "optim.lbfgs", "LBFGS.step"),
)

SYMBOLS = (
    "F, P and A belong to a layer l of the network: F are the features of the canvas x, P those of the "
    "photo, G and A the Gram matrices of canvas and painting. A layer has N filters and M positions; i "
    "counts filters, j positions, except in G and A, where both count filters. Beside each equation is the "
    "function that computes it, in the package impasto. Numbers of equations are those of the paper of "
    "2016."
)

ORIGIN = (
    "The equations, the layers, w = 1/5 and white noise are those of both papers. These are not: "
    "alpha = 0.025, beta = 5, ten rounds of 20 evaluations, an Evaluator that gives loss and gradient to "
    "SciPy, and noise that is uniform over all valid pixels. They are those of the experiment that this "
    "program reproduces, and can be found in tutorials for Keras (Narayanan), whose network, layers and "
    "further loss (total variation) were others. There each round calls SciPy anew, and the curvature is "
    "forgotten; here a run is one descent, and a round is 20 of its evaluations."
)

ABOUT_TABLE = (
    "A dash: we found nothing about it. We read long quotations of both papers, not all of their text. A "
    "ratio of alpha to beta has a meaning only together with the formula, the network and the size. The "
    "layers conv1_1, conv4_2 ... of the papers are rectified; here these are named relu1_1, relu4_2 ..."
)

REFERENCES = (
    "2015: L. A. Gatys, A. S. Ecker, M. Bethge. A Neural Algorithm of Artistic Style. arXiv:1508.06576.",
    "2016: L. A. Gatys, A. S. Ecker, M. Bethge. Image Style Transfer Using Convolutional Neural Networks. "
    "CVPR 2016, pages 2414-2423.",
    "K. Simonyan, A. Zisserman. Very Deep Convolutional Networks for Large-Scale Image Recognition. 2014. "
    "arXiv:1409.1556.",
    "R. H. Byrd, P. Lu, J. Nocedal, C. Zhu. A Limited Memory Algorithm for Bound Constrained Optimization. "
    "SIAM J. Sci. Comput. 16(5), pages 1190-1208, 1995. The L-BFGS-B that SciPy has.",
    "J. Nocedal. Updating Quasi-Newton Matrices with Limited Storage. Math. Comp. 35, 1980. The memory of "
    "L-BFGS.",
    "D. P. Bertsekas. Projected Newton Methods for Optimization Problems with Simple Constraints. SIAM J. "
    "Control Optim. 20, 1982. The bounds of impasto's L-BFGS.",
    "D. P. Kingma, J. Ba. Adam: A Method for Stochastic Optimization. 2014. arXiv:1412.6980.",
    "H. Narayanan. Convolutional neural networks for artistic style transfer. A tutorial for Keras.",
)


def equations(settings: Settings) -> list[Equation]:
    """Return the equations with their functions, and with the numbers of a run's settings."""
    written = TEMPLATES.get_template("experiment/equations.html").module
    about = _about(settings)
    return [
        Equation(
            f"{name} (2016, {number})" if number else name,
            getattr(written, macro)(),
            f"{function} in {module.replace('.', '/')}.py",
            about.get(macro, ""),
        )
        for macro, name, number, module, function in EQUATIONS
    ]


def _about(settings: Settings) -> dict[str, str]:
    """Return a sentence for each equation that needs one."""
    return {
        "content": f"In {layer_names(settings.content_layers)}.",
        "content_slope": "The papers write 0 where F is negative; here the rectification before F does that.",
        "layer": "Each Gram matrix is divided by its own number of positions: M for G, the painting's for A. "
        "In the paper of 2016 both are equal, for the painting is scaled to the photo's size.",
        "layer_slope": "The rectification sets it to 0 likewise.",
        "style": f"w = {_layer_weights(settings)} in {layer_names(settings.style_layers)}, others 0.",
        "total_loss": f"alpha = {settings.content_weight:g}, beta = {settings.style_weight:g}.",
        "pixels": "By backpropagation: one pass forward and one back for each evaluation.",
        "evaluator": "SciPy calls two functions; both answer from one evaluation. Not in the papers.",
        "step": f"H is made of the last {settings.history} steps and changes of the gradient; t is found by "
        "a line search. SciPy's solver, here without bounds.",
        "bounded_step": "The same with bounds, as impasto's own solver has by default; H leaves out pixels "
        "on a bound that would pass it.",
    }


def comparison(
    ours: Mapping[str, Settings],
    weights: Mapping[str, str] | None = None,
    runtime: Runtime | None = None,
    measured: Collection[str] = (),
) -> list[dict[str, str]]:
    """Return the table of papers, experiment and default, a row for each difference.

    Args:
        ours: Settings to be compared with the papers and the default, each with the name of its column.
        weights: Names of the weights by column; those of the settings where there is none.
        runtime: How the columns are computed; decided by the machine if None.
        measured: Columns whose alpha is measured for each pair of pictures.
    """
    names = weights or {}
    columns = {name: _ours(item, names.get(name), runtime or Runtime()) for name, item in ours.items()}
    for name in measured:
        columns[name]["alpha / beta"] = f"alpha measured at the size, beta {ours[name].style_weight:g}"
    columns[DEFAULT] = _ours(Settings(), None, Runtime())
    return [
        dict(zip(COLUMNS, (name, *papers), strict=True))
        | {column: values[name] for column, values in columns.items()}
        for name, papers in PAPERS.items()
    ]


PAPERS: Mapping[str, tuple[str, str]] = {
    "formula of the losses": (
        "sums",
        "sums: eq. 1 and 4; the caption of figure 2 says mean squared differences",
    ),
    "content layers": ("conv4_2, rectified", "conv4_2, rectified; beside it conv2_2 in figure 5"),
    "style layers": (
        "conv1_1, conv2_1, conv3_1, conv4_1, conv5_1; in figure 3 the first one to five of them",
        "conv1_1, conv2_1, conv3_1, conv4_1, conv5_1",
    ),
    "weights of the style layers": ("1/5 each; 1/n for n layers", "1/5 each"),
    "alpha / beta": (
        "0.001, 0.0001 (figure 2); 0.00001 to 0.01 (figure 3)",
        "0.001 (figure 3 B), 0.0008 (C), 0.005 (D), 0.0005 (E, F); 0.0001 to 0.1 (figure 4); 0.001 in "
        "figures 5 and 6",
    ),
    "style": ("Gram matrices", "Gram matrices"),
    "total variation": (UNKNOWN, "none"),
    "guard against grain": (UNKNOWN, UNKNOWN),
    "pooling": ("average", "average"),
    "normalization of the network": (UNKNOWN, "the mean activation of each filter is 1"),
    "coding of the weights": (UNKNOWN, UNKNOWN),
    "start": ("white noise", "white noise; photo and painting in figure 6"),
    "solver": ("gradient descent", "L-BFGS"),
    "evaluations": (UNKNOWN, UNKNOWN),
    "bounds of the pixels": (UNKNOWN, UNKNOWN),
    "long edge": (UNKNOWN, "about 512 px"),
    "scales": (UNKNOWN, UNKNOWN),
    "painting": (UNKNOWN, "scaled to the size of the photo"),
    "windows of the pooling over the border": (UNKNOWN, UNKNOWN),
    "precision": (UNKNOWN, UNKNOWN),
}
FORMULAS = {
    "paper": "sums: eq. 1 and 4, each Gram matrix over its own positions",
    "gatys2016": "the same, the content loss over the number of positions",
    "mean": "means: mean (F - P)^2, statistics over positions, so that the weights hold at every size",
}
STATISTICS = {"gram": "Gram matrices", "wasserstein": "means and covariances, by Wasserstein distances"}
# The settings that each row shows; a test holds that no other setting differs from the default.
FIELDS = frozenset((
    "convention", "content_layers", "style_layers", "content_weight", "style_weight", "total_variation",
    "pooling", "init", "solver", "evaluations", "bounded", "size", "min_size", "stroke", "partial_windows",
    "weights", "style_statistic", "grain",
))  # fmt: skip


def _ours(settings: Settings, weights: str | None, runtime: Runtime) -> dict[str, str]:
    """Return what impasto does with these settings, by the names of `PAPERS`."""
    name = weights or settings.weights or PACKAGED
    weights = SHORT.get(name, name)
    trained = "none, as trained" if "original" in weights or "torchvision" in weights else "not known"
    sums = settings.convention in ("paper", "gatys2016")
    rounds, rest = divmod(settings.evaluations_per_scale, trials.ROUND)
    scipy = settings.solver == "scipy"
    in_rounds = f": {rounds} rounds of {trials.ROUND}, one descent" if scipy and not rest else ""
    one_scale = settings.size is not None and settings.min_size > settings.size / 2
    fast = "fp32" if settings.convention != "mean" else "bf16 where the machine is fast at it, else fp32"
    return {
        "formula of the losses": FORMULAS.get(settings.convention, f"those of {settings.convention}"),
        "content layers": layer_names(settings.content_layers),
        "style layers": layer_names(settings.style_layers),
        "weights of the style layers": f"{_layer_weights(settings)} each",
        "alpha / beta": f"{settings.content_weight:g} / {settings.style_weight:g} = "
        f"{settings.content_weight / settings.style_weight:g}" + ("" if sums else ", of means"),
        "style": STATISTICS.get(settings.style_statistic, settings.style_statistic),
        "total variation": f"{settings.total_variation:g}" if settings.total_variation else "none",
        "guard against grain": f"weight {settings.grain:g}" if settings.grain else "none",
        "pooling": {"max": "maximum, as in training"}.get(settings.pooling, settings.pooling),
        "normalization of the network": "as in 2016" if "normalized" in weights else trained,
        "coding of the weights": "8 bits each: 256 values a layer"
        if "8bit" in weights
        else "as in their file",
        "start": STARTS[settings.init],
        "solver": SOLVERS[settings.solver],
        "evaluations": f"{settings.evaluations_per_scale}{in_rounds}{'' if one_scale else ' at each scale'}",
        "bounds of the pixels": "0 to 255, at every step" if settings.bounded else "none; clipped when saved",
        "long edge": f"{settings.size} px"
        if settings.size
        else f"the photo's, at most {DEFAULT_LONG_EDGE} px",
        "scales": "one" if one_scale else f"from {settings.min_size} px on, each twice as large",
        "painting": f"in its own shape; its long edge is {settings.stroke:g} x that of the result",
        "windows of the pooling over the border": WINDOWS[settings.partial_windows],
        "precision": fast if runtime.precision == "auto" else runtime.precision,
    }


def layer_names(layers: Mapping[str, float]) -> str:
    """Return the names of the layers that have a weight."""
    return ", ".join(name for name, weight in layers.items() if weight)


def _layer_weights(settings: Settings) -> str:
    weights = {weight for weight in settings.style_layers.values() if weight}
    return ", ".join(f"{weight:g}" for weight in sorted(weights))


def reconstruction(pair: str, size: int) -> list[str]:
    """Return commands that reconstruct a photo from one layer, and the style of a painting from some.

    Args:
        pair: The names of photo and painting, for the shell.
        size: Long edge, px.
    """
    begin = f"impasto {pair} --preset paper --pooling average --size {size}"
    return [
        f"{begin} --style-weight 0 --content-layers relu4_2 -o content-relu4_2.png",
        f"{begin} --content-weight 0 --style-layers relu1_1,relu2_1,relu3_1 -o style-3.png",
    ]
