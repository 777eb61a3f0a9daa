"""The trials of the experiment: the settings of every run, by the part of the page that needs it.

A trial is one run of `stylize`; parts share trials where they can. Nothing is run here, and there is no
torch.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from impasto.config.settings import STYLE_LAYERS, Settings
from impasto.errors import InputError
from impasto.messages import did_you_mean
from impasto.network.layers import parts

PARTS = ("method", "layers", "grid", "course", "loss", "solvers", "starts", "result")
ROUND = 20  # evaluations
SHOWN_ROUNDS = (0, 1, 2, 3, 5, 7, 10)
CONTENT_LAYERS = ("relu1_2", "relu2_2", "relu3_2", "relu4_2", "relu5_2")
ALPHA, BETA = 0.025, 5.0
DECADES = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)  # of alpha around the experiment's
COLUMN_DECADES = (0.0, 1.0, 2.0, 3.0)  # of the grid with sets of layers as rows


@dataclass(frozen=True)
class Scope:
    """How much is run.

    Attributes:
        size: Long edge of the main runs, px.
        cell: Long edge of the small pictures, px.
        rounds: Of the main runs.
        cell_rounds: Of the small pictures.
    """

    size: int = 256
    cell: int = 128
    rounds: int = 15
    cell_rounds: int = 4


QUICK = Scope(size=112, cell=64, cell_rounds=2)


@dataclass(frozen=True)
class Trial:
    """One run.

    Attributes:
        name: Of its files.
        settings: Of the run.
        pair: Which pair of pictures, from 0.
        kept: After which evaluations its picture is saved.
    """

    name: str
    settings: Settings
    pair: int = 0
    kept: tuple[int, ...] = ()


def parse_parts(names: str | None) -> tuple[str, ...]:
    """Return the parts named, by commas, in the order of the page; all of them if None.

    Raises:
        InputError: A part is unknown.
    """
    if names is None:
        return PARTS
    requested = [name.strip() for name in names.split(",") if name.strip()]
    for name in requested:
        if name not in PARTS:
            hint = did_you_mean(name, PARTS) or f" There are: {', '.join(PARTS)}."
            raise InputError(f"--only: no part is named '{name}'.{hint}")
    if not requested:
        raise InputError(f"--only: name one part or several of {', '.join(PARTS)}")
    return tuple(name for name in PARTS if name in requested)


def trials(scope: Scope, part: str, pairs: int = 1) -> tuple[Trial, ...]:
    """Return what a part needs run, in order; parts may need the same trials."""
    if part == "layers":
        return (*content_trials(scope), *style_trials(scope))
    if part == "grid":
        return (*alpha_trials(scope), *layer_trials(scope))
    if part == "course":
        return (main_trial(scope),)
    if part == "loss":
        return (main_trial(scope), solver_trials(scope)[2])
    if part == "solvers":
        return solver_trials(scope)
    if part == "starts":
        return start_trials(scope)
    return result_trials(scope, pairs) if part == "result" else ()


def paper(size: int, rounds: int, **changes: object) -> Settings:
    """Return preset `paper` at a size, in so many rounds of 20 evaluations."""
    return Settings.preset("paper", **{"size": size, "evaluations": rounds * ROUND, **changes})


def _small(scope: Scope, **changes: object) -> Settings:
    """Return the paper's objective for a small picture, with the solver whose result is what is saved."""
    return paper(scope.cell, scope.cell_rounds, **{"solver": "lbfgs", "bounded": True, **changes})


def main_trial(scope: Scope) -> Trial:
    """Return the main run, kept at the end of every round."""
    kept = tuple(max(1, number * ROUND) for number in range(scope.rounds + 1))
    return Trial("main", paper(scope.size, scope.rounds), kept=kept)


def solver_trials(scope: Scope) -> tuple[Trial, ...]:
    """Return the same objective by every solver: SciPy (the main run), ours without and with bounds, Adam."""
    main = main_trial(scope)
    others = (("lbfgs-unbounded", "lbfgs", False), ("lbfgs-bounded", "lbfgs", True), ("adam", "adam", True))
    return main, *(
        Trial(name, main.settings.changed(solver=solver, bounded=bounded), kept=main.kept)
        for name, solver, bounded in others
    )


def content_trials(scope: Scope) -> tuple[Trial, ...]:
    """Return the photo reconstructed from one layer each (Gatys et al. 2015, figure 1, below)."""
    return tuple(
        Trial(f"content-{layer}", _small(scope, style_weight=0.0, content_layers={layer: 1.0}))
        for layer in CONTENT_LAYERS
    )


def style_sets() -> tuple[dict[str, float], ...]:
    """Return relu1_1; relu1_1 and relu2_1; ...; all five, each with weights that sum to one."""
    names = list(STYLE_LAYERS)
    return tuple({name: 1 / count for name in names[:count]} for count in range(1, 6))


def style_trials(scope: Scope) -> tuple[Trial, ...]:
    """Return the painting's style reconstructed from growing sets of layers (figure 1, above)."""
    return tuple(
        Trial(f"style-{len(layers)}", _small(scope, content_weight=0.0, style_layers=layers))
        for layers in style_sets()
    )


def alphas() -> tuple[float, ...]:
    """Return alpha over four decades, from style to content; the experiment's is among them."""
    return tuple(float(f"{ALPHA * 10**decade:.2g}") for decade in DECADES)


def alpha_trials(scope: Scope) -> tuple[Trial, ...]:
    """Return a picture for every alpha, small (style wins) to large (content wins)."""
    return tuple(
        Trial(f"alpha-{number}", _small(scope, content_weight=alpha))
        for number, alpha in enumerate(alphas(), start=1)
    )


def layer_trials(scope: Scope) -> tuple[Trial, ...]:
    """Return sets of style layers (rows) by alpha (columns): figure 3 of 2015."""
    return tuple(
        Trial(
            f"layers-{row}-{column}",
            _small(scope, style_layers=layers, content_weight=float(f"{ALPHA * 10**decade:.2g}")),
        )
        for row, layers in enumerate(style_sets(), start=1)
        for column, decade in enumerate(COLUMN_DECADES, start=1)
    )


def start_trials(scope: Scope) -> tuple[Trial, ...]:
    """Return the starting points by the kind of pooling."""
    return tuple(
        Trial(f"start-{init}-{pooling}", _small(scope, init=init, pooling=pooling))
        for pooling in ("max", "average")
        for init in ("noise", "content", "style")
    )


def result_trials(scope: Scope, pairs: int) -> tuple[Trial, ...]:
    """Return the result of each pair; that of the first is the main run."""
    more = (Trial(f"pair-{pair + 1}", paper(scope.size, scope.rounds), pair=pair) for pair in range(1, pairs))
    return (main_trial(scope), *more)


def work(planned: Iterable[Trial]) -> float:
    """Return what trials cost: evaluations times square px times the share of the network that is computed.

    The network ends at the deepest layer that has a loss: relu1_2 alone costs a tenth of all five.
    """
    return sum(
        float(trial.settings.evaluations_per_scale * (trial.settings.size or 0) ** 2) * depth(trial.settings)
        for trial in planned
    )


def depth(settings: Settings) -> float:
    """Return the share of the operations of VGG-19's convolutions up to the deepest layer of a loss."""
    content = settings.content_layers if settings.content_term else {}
    style = settings.style_layers if settings.style_term else {}
    names = [part.name for part in parts()]  # a convolution stands for what follows it
    deepest = max(names.index(name.replace("relu", "conv")) for name in (*content, *style))
    costs = [part.operations for part in parts()]
    return sum(costs[: deepest + 1]) / sum(costs)
