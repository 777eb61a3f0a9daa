"""SciPy's L-BFGS-B without bounds, as in the experiment that preset `paper` repeats.

`scipy.optimize.minimize` owns its loop and keeps its memory to itself. So one `step` is a whole descent, and
there is nothing to save inside it: a run that was killed begins this scale anew.
"""

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor

from impasto.optim.evaluation import Evaluate, Evaluation, Evaluator, StateDict

LINE_SEARCH = 20  # evaluations of one line search at most, as SciPy's default
log = logging.getLogger(__name__)


class _NotFiniteError(Exception):
    """Leaves SciPy's loop, whose line search would walk on through what is not finite."""


class ScipyLBFGSB:
    """`scipy.optimize.minimize(loss, x, jac=grads, method="L-BFGS-B")` in float64, through an `Evaluator`.

    Args:
        start: Where to begin, (B, 3, H, W). SciPy's bounds are walked in a Python loop, 25 times slower, so
            there are none.
        history: Curvature pairs that are kept.
        line_search: Evaluations of one line search at most.
    """

    overwrites = True

    def __init__(self, start: Tensor, *, history: int = 10, line_search: int = LINE_SEARCH) -> None:
        self.canvas = start.detach().clone()
        self._options: dict[str, Any] = {
            "maxcor": history,
            "maxfun": 10**9,  # the caller ends it
            "maxiter": 10**9,
            "ftol": 0.0,
            "gtol": 0.0,
            "maxls": line_search,
        }

    def step(self, evaluate: Evaluate) -> bool:
        """Descend until SciPy finds no further step, or a loss that is not finite; return False."""
        from scipy.optimize import minimize
        from threadpoolctl import threadpool_limits

        def finite(canvas: Tensor) -> Evaluation:
            evaluation = evaluate(canvas)
            if not evaluation.finite:
                raise _NotFiniteError
            return evaluation

        evaluator = Evaluator(finite, self.canvas)
        x = self.canvas.cpu().numpy().astype(np.float64).ravel()
        try:
            # SciPy's small vectors go faster through one BLAS thread; torch's own threads are not touched.
            # At the bottom it divides by next to nothing, for a result that nobody reads.
            with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
                outcome = minimize(
                    evaluator.loss, x, jac=evaluator.grads, method="L-BFGS-B", options=self._options
                )
            log.debug("SciPy: %s", outcome.message)
        except _NotFiniteError:
            pass
        return False

    def restart(self, canvas: Tensor, failures: int) -> bool:
        """Begin anew from the best canvas."""
        self.canvas = canvas.clone()
        return True

    def state_dict(self) -> StateDict:
        """Return the canvas that the descent began with."""
        return {"canvas": self.canvas}

    def load_state_dict(self, state: StateDict) -> None:
        """Begin with the canvas of a state."""
        self.canvas = torch.clone(state["canvas"].to(self.canvas))
