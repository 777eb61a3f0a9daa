"""Which of the losses is not finite, for the sentence that a run ends with.

The gradient of one loss is only known by itself where that loss is computed alone, so this costs a pass for
each of them; it is asked once, when a run has failed for that reason.
"""

import math
from collections.abc import Sequence

from torch import Tensor

from impasto.chain import Chain
from impasto.errors import ImpastoError
from impasto.evaluation import Blame, Evaluation
from impasto.losses import Loss
from impasto.objective import Objective


def blame(network: Chain, losses: Sequence[Loss], tile: int | None) -> Blame:
    """Return what says in words which loss, or whose gradient, is not finite on a canvas (1, 3, H, W)."""

    def said(canvas: Tensor, evaluation: Evaluation) -> str:
        names = [name for name, value in evaluation.parts.items() if not math.isfinite(value)]
        if names:
            return f"the loss {_listed(names)}"
        if not math.isfinite(evaluation.loss):
            return f"the sum of the losses {_listed(list(evaluation.parts))}"
        names = [loss.name for loss in losses if not _sound(network, loss, tile, canvas)]
        return f"the gradient of the loss {_listed(names or list(evaluation.parts))}"

    return said


def _sound(network: Chain, loss: Loss, tile: int | None, canvas: Tensor) -> bool:
    """Whether the gradient of one loss alone is finite; it is where it cannot be computed."""
    if loss.weight == 0:
        return True
    try:
        return Objective(network, [loss], tile)(canvas).finite
    except (ImpastoError, ArithmeticError, RuntimeError, MemoryError):
        return True


def _listed(names: list[str]) -> str:
    return " and ".join(names)
