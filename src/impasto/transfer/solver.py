"""`make_solver`: the solver that the settings name, with its options."""

from torch import Tensor

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.optim.adam import Adam
from impasto.optim.evaluation import Solver
from impasto.optim.lbfgs import LBFGS
from impasto.optim.scipy_lbfgsb import ScipyLBFGSB


def make_solver(settings: Settings, runtime: Runtime, start: Tensor) -> Solver:
    """Return the solver of the settings, at its start (1, 3, H, W)."""
    bounds = (0.0, 1.0) if settings.bounded else None
    history = runtime.pairs or settings.history
    if settings.solver == "lbfgs":
        return LBFGS(start, history=history, bounds=bounds, compact=bool(runtime.compact))
    if settings.solver == "scipy":
        return ScipyLBFGSB(start, history=history, line_search=settings.line_search)
    return Adam(
        start,
        learning_rate=settings.learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        epsilon=settings.adam_epsilon,
        bounds=bounds,
    )
