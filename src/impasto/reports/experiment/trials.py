"""The trials of the experiment: the settings of every run, by the part of the page that needs it.

A trial is one run of `stylize`; parts share trials where they can. There are two kinds. Strict ones are
preset `paper`, unchanged but for size and evaluations. The others are there to be looked at: their preset is
another, with the papers' sums and beta 5, and their alpha is measured at their size, so that photo and
painting can both be seen.
Nothing is run here; there is no torch.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

from impasto.config.model import LARGEST_EDGE
from impasto.config.settings import STYLE_LAYERS, Settings
from impasto.errors import InputError
from impasto.messages import did_you_mean, printable
from impasto.network.layers import parts

PARTS = ("method", "layers", "grid", "course", "loss", "solvers", "starts", "result")
ROUND = 20  # evaluations
SHOWN_ROUNDS = (0, 1, 2, 3, 5, 7, 10)
CONTENT_LAYERS = ("relu1_2", "relu2_2", "relu3_2", "relu4_2", "relu5_2")
ALPHA, BETA = 0.025, 5.0  # of preset paper
SHARES = (0.03, 0.18, 1.0, 5.0, 50.0)  # of the grid; see `Trial.share`
COLUMN_SHARES = (0.03, 0.18, 1.0)  # of the grid with sets of layers as rows
ROW_SETS = (1, 2, 5)  # its rows: so many layers; three, four and five look alike
SOLVER_ROUNDS = 8  # of the runs that compare solvers, at most; also at most a third of the main runs'
MOST_ALPHAS, LARGEST = 25, 1e30

Base = Literal["gatys2016", "paper"]
Pooling = Literal["max", "average"]
Start = Literal["gray", "noise", "content", "style"]
POOLINGS = get_args(Pooling)


@dataclass(frozen=True)
class Scope:
    """How much is run, and with what.

    Attributes:
        size: Long edge of the main runs, px.
        cell: Long edge of the small pictures, px.
        rounds: Of the main runs.
        cell_rounds: Of the small pictures.
        preset: That all trials but the strict ones begin with.
        pooling: Of these trials; the preset's if None.
        start: Of these trials.
        alphas: Of the grid; measured if there are none.
    """

    size: int = 384
    cell: int = 192
    rounds: int = 15
    cell_rounds: int = 5
    preset: Base = "gatys2016"
    pooling: Pooling | None = None
    start: Start = "gray"
    alphas: tuple[float, ...] = ()

    @property
    def solver_rounds(self) -> int:
        """Rounds of the runs that compare solvers."""
        return max(1, min(self.rounds // 3, SOLVER_ROUNDS))


QUICK = Scope(size=176, cell=128, rounds=11, cell_rounds=2)


@dataclass(frozen=True)
class Trial:
    """One run.

    Attributes:
        name: Of its files.
        settings: Of the run.
        pair: Which pair of pictures, from 0.
        kept: After which evaluations its picture is saved.
        share: Alpha in units of the balance, which is measured when the trial is run (`Runner.balance`); the
            settings' own alpha if None.
    """

    name: str
    settings: Settings
    pair: int = 0
    kept: tuple[int, ...] = ()
    share: float | None = None


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


def parse_alphas(text: str) -> tuple[float, ...]:
    """Return numbers separated by commas, in rising order.

    Raises:
        InputError: They are not 2 to 25 different numbers above 0.
    """
    try:
        found = sorted({float(word) for word in text.split(",")})
    except ValueError:
        found = []
    if not 2 <= len(found) <= MOST_ALPHAS or not all(1 / LARGEST <= alpha <= LARGEST for alpha in found):
        raise InputError(
            f"--alpha: must be 2 to {MOST_ALPHAS} different numbers, {1 / LARGEST:g} to {LARGEST:g}, such as "
            f"0.01,0.1,1, not {printable(text)}"
        )
    return tuple(found)


def trials(scope: Scope, part: str, pairs: int = 1) -> tuple[Trial, ...]:
    """Return what a part needs run, in order; parts may need the same trials."""
    if part == "layers":
        return (*content_trials(scope), *style_trials(scope))
    if part == "grid":
        return (*alpha_trials(scope), strict_cell(scope), *layer_trials(scope))
    if part == "course":
        return (main_trial(scope), balanced_trial(scope))
    if part == "loss":
        return (main_trial(scope), balanced_trial(scope), *solver_trials(scope))
    if part == "solvers":
        return solver_trials(scope)
    if part == "starts":
        return start_trials(scope)
    return result_trials(scope, pairs) if part == "result" else ()


def paper(size: int, rounds: int, **changes: object) -> Settings:
    """Return preset `paper` at a size, in so many rounds of 20 evaluations."""
    return Settings.preset("paper", **{"size": size, "evaluations": rounds * ROUND, **changes})


def in_balance(scope: Scope, name: str, size: int, rounds: int, **changes: object) -> Trial:
    """Return a trial that is there to be looked at, in balance.

    Its solver is the one whose result is what is saved. Its settings have alpha 1, which stands for what
    is measured.
    """
    common: dict[str, object] = {
        "size": size, "evaluations": rounds * ROUND, "init": scope.start, "solver": "lbfgs", "bounded": True,
        "convention": "paper", "content_weight": 1.0, "style_weight": BETA, "style_layers": style_sets()[-1],
    }  # fmt: skip
    if scope.pooling:
        common["pooling"] = scope.pooling
    settings = Settings.preset(scope.preset, **common | changes)
    return Trial(name, settings, share=1.0)


def _cell(scope: Scope, name: str, share: float | None = 1.0, **changes: object) -> Trial:
    return replace(in_balance(scope, name, scope.cell, scope.cell_rounds, **changes), share=share)


def ends_of(rounds: int) -> tuple[int, ...]:
    """Return the first evaluation and the last of every round."""
    return tuple(max(1, number * ROUND) for number in range(rounds + 1))


def main_trial(scope: Scope, pair: int = 0) -> Trial:
    """Return the strict run, kept at the end of every round."""
    return Trial(_of_pair("main", pair), paper(scope.size, scope.rounds), pair, ends_of(scope.rounds))


def balanced_trial(scope: Scope, pair: int = 0) -> Trial:
    """Return the large run in balance, kept at the end of every round."""
    trial = in_balance(scope, _of_pair("balance", pair), scope.size, scope.rounds)
    return replace(trial, pair=pair, kept=ends_of(scope.rounds))


def _of_pair(name: str, pair: int) -> str:
    return f"{name}-{pair + 1}" if pair else name


def solver_trials(scope: Scope) -> tuple[Trial, ...]:
    """Return the same objective by every solver: SciPy, ours without and with bounds, Adam."""
    rounds = scope.solver_rounds
    solvers: dict[str, dict[str, object]] = {
        "solver-scipy": {"solver": "scipy", "bounded": False},
        "solver-lbfgs-unbounded": {"bounded": False},
        "solver-lbfgs-bounded": {},
        "solver-adam": {"solver": "adam"},
    }
    return tuple(
        replace(in_balance(scope, name, scope.cell, rounds, **changes), kept=ends_of(rounds))
        for name, changes in solvers.items()
    )


def content_trials(scope: Scope) -> tuple[Trial, ...]:
    """Return the photo reconstructed from one layer each."""
    return tuple(
        _cell(scope, f"content-{layer}", None, style_weight=0.0, content_layers={layer: 1.0})
        for layer in CONTENT_LAYERS
    )


def style_sets() -> tuple[dict[str, float], ...]:
    """Return relu1_1; relu1_1 and relu2_1; ...; all five, each with weights that sum to one."""
    names = list(STYLE_LAYERS)
    return tuple({name: 1 / count for name in names[:count]} for count in range(1, 6))


def style_trials(scope: Scope) -> tuple[Trial, ...]:
    """Return the painting's style reconstructed from growing sets of layers."""
    return tuple(
        _cell(scope, f"style-{len(layers)}", None, content_weight=0.0, style_layers=layers)
        for layers in style_sets()
    )


def alpha_trials(scope: Scope) -> tuple[Trial, ...]:
    """Return a picture for every alpha, small (style wins) to large (content wins)."""
    if scope.alphas:
        return tuple(
            _cell(scope, f"alpha-{number}", None, content_weight=alpha)
            for number, alpha in enumerate(scope.alphas, start=1)
        )
    return tuple(_cell(scope, f"alpha-{n}", share) for n, share in enumerate(SHARES, start=1))


def strict_cell(scope: Scope) -> Trial:
    """Return preset `paper` at the size of the grid, to be seen beside it."""
    return Trial("alpha-paper", paper(scope.cell, scope.cell_rounds))


def layer_trials(scope: Scope) -> tuple[Trial, ...]:
    """Return sets of style layers (rows) by alpha (columns), each row with a balance of its own."""
    return tuple(
        _cell(scope, f"layers-{row}-{column}", share, style_layers=layers)
        for row, layers in enumerate(style_sets(), start=1)
        if row in ROW_SETS
        for column, share in enumerate(COLUMN_SHARES, start=1)
    )


def start_trials(scope: Scope) -> tuple[Trial, ...]:
    """Return the starting points by the kind of pooling."""
    return tuple(
        _cell(scope, f"start-{init}-{pooling}", init=init, pooling=pooling)
        for pooling in POOLINGS
        for init in get_args(Start)
    )


def result_trials(scope: Scope, pairs: int) -> tuple[Trial, ...]:
    """Return the two results of each pair, in balance and strict."""
    return tuple(make(scope, pair) for pair in range(pairs) for make in (balanced_trial, main_trial))


def neutral_trial(trial: Trial) -> Trial:
    """Return a trial with the neutral formula, by which all results are compared.

    5 mean (F - P)^2 at relu4_2 and 100 sum mean (G/(N M) - A/(N M_a))^2, VGG-19 as it is, max pooling.
    """
    settings = Settings(
        content_weight=5.0, style_weight=100.0, style_statistic="gram", grain=0.0, size=trial.settings.size,
        min_size=LARGEST_EDGE, partial_windows=trial.settings.partial_windows,
    )  # fmt: skip
    return replace(trial, settings=settings, share=None)


def depth(settings: Settings) -> float:
    """Return the share of the operations of VGG-19's convolutions up to the deepest layer of a loss.

    The network ends there: relu1_2 alone costs a tenth of all five.
    """
    content = settings.content_layers if settings.content_term else {}
    style = settings.style_layers if settings.style_term else {}
    names = [part.name for part in parts()]  # a convolution stands for what follows it
    deepest = max(names.index(name.replace("relu", "conv")) for name in (*content, *style))
    costs = [part.operations for part in parts()]
    return sum(costs[: deepest + 1]) / sum(costs)
