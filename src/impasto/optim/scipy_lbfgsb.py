"""SciPy's L-BFGS-B, one evaluation at a time, so that its memory can be kept and taken up again.

`scipy.optimize.minimize` owns its loop and keeps its memory to itself. Below it lies a routine that is called
again and again, says what it wants next, and holds all it knows in arrays of the caller's. This is SciPy's
own loop around that routine, without bounds: the same numbers, bit by bit (tests hold that). The routine is
no part of SciPy's public interface; where it is not there in the form known, `Driver.works` says so.
"""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.errors import InputError
from impasto.optim.evaluation import Evaluator, State
from impasto.optim.tracking import NOT_FINITE, Run

log = logging.getLogger(__name__)
ARGUMENTS = "setulb(m,x,l,u,nbd,f,g,factr,pgtol,wa,iwa,task,lsave,isave,dsave,maxls,ln_task)"
EVALUATE, ITERATION = 3, 1  # what the routine wants, in task[0]
LAYOUT = slice(
    0, 21
)  # of the whole numbers: where what lies in the workspace; set at the start for good
PLACES = slice(26, 29)  # of the whole numbers: the newest and oldest pair, and how many there are
COUNTS = slice(37, 41)  # of the whole numbers: how many variables are free, enter and leave
LINE_SEARCH = 20  # evaluations of one line search, as SciPy's default
Vector = NDArray[np.float64]


def _routine() -> Any:
    try:
        from scipy.optimize import _lbfgsb
    except ImportError:
        return None
    return getattr(_lbfgsb, "setulb", None)


class Driver:
    """L-BFGS-B without bounds and without an end of its own.

    Args:
        x: The start, flat; not changed.
        pairs: Curvature pairs that are kept.
        line_search: Evaluations at most of one line search.

    Attributes:
        x: Where loss and gradient are wanted, when `wants_evaluation` has said so.
    """

    @staticmethod
    def works() -> bool:
        """Return whether SciPy's routine is there in the form known."""
        return ARGUMENTS in (getattr(_routine(), "__doc__", None) or "")

    def __init__(self, x: Vector, pairs: int, line_search: int = LINE_SEARCH) -> None:
        length, m = x.size, pairs
        self.x = np.array(x, np.float64)
        self._pairs, self._line_search = pairs, line_search
        self._routine = _routine()
        self._resumed = False
        self._loss, self._gradient = np.array(0.0), np.zeros(length)
        self._free = np.zeros(length), np.zeros(length), np.zeros(length, np.int32)  # no bounds
        self._held: dict[str, NDArray[Any]] = {
            "x": self.x,
            "workspace": np.zeros(2 * m * length + 5 * length + 11 * m * m + 8 * m),
            "indices": np.zeros(3 * length, np.int32),
            "task": np.zeros(2, np.int32),
            "line_task": np.zeros(2, np.int32),
            "logical": np.zeros(4, np.int32),
            "whole": np.zeros(44, np.int32),
            "real": np.zeros(29),
        }

    def wants_evaluation(self) -> bool:
        """Return whether loss and gradient at `x` are wanted; else there is nothing more to do."""
        held = self._held
        if self._resumed:  # where an evaluation was wanted
            self._resumed = False
            return True
        while True:
            self._routine(
                self._pairs, self.x, *self._free, self._loss, self._gradient, 0.0, 0.0,
                held["workspace"], held["indices"], held["task"], held["logical"], held["whole"],
                held["real"], self._line_search, held["line_task"],
            )  # fmt: skip
            if held["task"][0] != ITERATION:
                return bool(held["task"][0] == EVALUATE)

    def give(self, loss: float, gradient: Vector) -> None:
        """Tell what was wanted."""
        self._loss, self._gradient = np.array(loss), np.array(gradient, np.float64)

    def tensors(self) -> dict[str, Tensor]:
        """Return all that it knows, by name, where an evaluation is wanted; not copied."""
        return {f"scipy.{name}": torch.from_numpy(array) for name, array in self._held.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `tensors` returned. What would lead the routine out of its arrays is refused.

        Raises:
            InputError: Something is missing, of another size, or not a state.
        """
        self.wants_evaluation()  # lays the workspace out
        layout = self._held["whole"][LAYOUT].copy()
        for name, array in self._held.items():
            found = tensors.get(f"scipy.{name}", torch.empty(0)).cpu().numpy()
            if found.shape != array.shape or found.dtype != array.dtype:
                raise InputError(f"the state does not fit: {name} is missing or of another size")
            np.copyto(array, found)
        whole, most = self._held["whole"], self.x.size
        indices = self._held["indices"]
        sound = (
            np.array_equal(whole[LAYOUT], layout)
            and self._held["task"][0] == EVALUATE
            and whole[PLACES].min() >= 0
            and whole[PLACES].max() <= self._pairs
            and min(whole[COUNTS].min(), indices.min()) >= -1
            and max(whole[COUNTS].max(), indices.max()) <= most
        )
        if not sound:
            raise InputError("the state does not fit: it is not one of SciPy's L-BFGS-B")
        self._resumed = True


# --- SciPy's L-BFGS-B ----------------------------------------------------------------------------


def _scipy(run: Run, start: Tensor, history: int, line_search: int, state: State | None) -> str:
    from threadpoolctl import threadpool_limits

    evaluator = Evaluator(run, start)
    x = start.cpu().numpy().astype(np.float64).ravel()
    if state is None:
        run.offer({"canvas": start})
    # SciPy's small vectors go faster through one BLAS thread; torch's own threads are not touched.
    with threadpool_limits(limits=1, user_api="blas"):
        if not Driver.works():
            return _whole_scipy(run, evaluator, x, history, line_search)
        driver = Driver(x, history, line_search)
        if state is not None and "scipy.x" in state.tensors:
            driver.restore(state.tensors)
        if state is not None:
            state.tensors.clear()
        while driver.wants_evaluation():
            if run.count:
                run.offer(driver.tensors())
            driver.give(evaluator.loss(driver.x), evaluator.grads(driver.x))
            if not run.finite:  # its line search would walk on through it
                if (best := run.retry()) is None:
                    return NOT_FINITE
                start_again = best.cpu().numpy().astype(np.float64).ravel()
                driver = Driver(start_again, history, line_search)
    return run.ended()


def _whole_scipy(
    run: Run, evaluator: Evaluator, x: NDArray[np.float64], history: int, line_search: int
) -> str:
    """Leave the loop to a SciPy whose inside we do not know: there is no state but the start."""
    from scipy.optimize import minimize as scipy_minimize

    options: dict[str, Any] = {
        "maxcor": history,
        "maxfun": 10**9,  # `run` ends it
        "maxiter": 10**9,
        "ftol": 0.0,
        "gtol": 0.0,
        "maxls": line_search,
    }
    outcome = scipy_minimize(
        evaluator.loss, x, jac=evaluator.grads, method="L-BFGS-B", options=options
    )
    log.debug("SciPy: %s", outcome.message)
    return run.ended()
