"""What a solver needs and gives: `Evaluation`, `Solver`, `Solution`; and SciPy's `Evaluator`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 2**22  # values of a long vector that are worked on at a time
Vector = NDArray[np.float64]


def blocks(flat: Tensor) -> list[slice]:
    """Return the parts of a flat vector, so that beside it there is never a second of its size."""
    return [slice(start, start + BLOCK) for start in range(0, flat.numel(), BLOCK)]


def all_finite(values: Tensor) -> Tensor:
    """Return whether all values of a tensor are finite, on its device."""
    flat = values.reshape(-1)
    return torch.stack([torch.isfinite(flat[part]).all() for part in blocks(flat)]).all()


@dataclass(frozen=True)
class Evaluation:
    """Loss and gradient of a canvas: the result of one forward and one backward pass.

    `loss` is the total, `gradient` has the canvas' shape, `parts` are the named weighted losses that
    add up to the total. `sound` says whether the gradient is finite, where that is known already.
    """

    loss: float
    gradient: Tensor
    parts: Mapping[str, float] = field(default_factory=dict)
    sound: bool | None = None

    @property
    def finite(self) -> bool:
        """Whether loss and gradient can be used."""
        sound = bool(all_finite(self.gradient)) if self.sound is None else self.sound
        return sound and math.isfinite(self.loss)


Evaluate = Callable[[Tensor], Evaluation]
Blame = Callable[[Tensor, Evaluation], str]
Bounds = tuple[float, float]
StateDict = dict[str, Any]  # names to tensors and numbers


class Solver(Protocol):
    """Moves a canvas (B, 3, H, W) so that its loss falls, one iteration a step; like `torch.optim`.

    An exception raised by `evaluate` leaves `step` at once. No solver changes its state before the last
    evaluation of a step, so `state_dict` is then that between the last two steps.
    """

    overwrites: bool  # whether canvases passed to `evaluate` are changed in place later

    @property
    def canvas(self) -> Tensor:
        """Where the solver stands."""

    def step(self, evaluate: Evaluate) -> bool:
        """Do one iteration; return False if no further step can be found."""

    def restart(self, canvas: Tensor, failures: int) -> bool:
        """Begin anew from the best canvas, after a loss that was not finite; False if that cannot help.

        Args:
            canvas: The best so far.
            failures: How often this has been done from this canvas, this time included.
        """

    def state_dict(self) -> StateDict:
        """Return tensors and numbers from which `load_state_dict` continues; tensors are not copied."""

    def load_state_dict(self, state: StateDict) -> None:
        """Continue where another solver with the same options stood."""


@dataclass(frozen=True)
class Solution:
    """The best canvas, (B, 3, H, W), its evaluation, how many there were, and why the solver ended."""

    canvas: Tensor
    evaluation: Evaluation
    evaluations: int
    reason: str


class Evaluator:
    """Separate `loss(x)` and `grads(x)` over one evaluation, as SciPy needs them.

    Whichever is called first runs the network; the other answers from memory if `x` is the same.

    Args:
        evaluate: Canvas -> `Evaluation`.
        like: A tensor with the canvas' shape, type and device.
    """

    def __init__(self, evaluate: Evaluate, like: Tensor) -> None:
        self._evaluate = evaluate
        self._like = like
        self._point: Vector | None = None
        self._evaluation: Evaluation | None = None

    def loss(self, x: Vector) -> float:
        """Return the loss at the flat float64 vector `x`."""
        return self._at(x).loss

    def grads(self, x: Vector) -> Vector:
        """Return the gradient at `x`, flat float64."""
        gradient = self._at(x).gradient.detach().cpu().numpy()
        return gradient.astype(np.float64).ravel()

    def _at(self, x: Vector) -> Evaluation:
        if self._evaluation is None or self._point is None or not np.array_equal(self._point, x):
            canvas = torch.from_numpy(x.copy()).to(self._like).view_as(self._like)
            self._evaluation = self._evaluate(canvas)
            self._point = x.copy()  # SciPy continues to use its own array
        return self._evaluation
