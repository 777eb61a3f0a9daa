"""What a solver asks for and gives: `Evaluation`, `State`, `Solution`; and SciPy's `Evaluator`."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from impasto.errors import InputError

SolverName = Literal["lbfgs", "scipy", "adam"]


BLOCK = 2**22  # values of a long vector that are worked on at a time


def blocks(flat: Tensor) -> list[slice]:
    """Return the parts of a flat vector, so that beside it there is never a second of its size."""
    return [slice(start, start + BLOCK) for start in range(0, flat.numel(), BLOCK)]


def all_finite(values: Tensor) -> Tensor:
    """Return whether all values of a tensor are finite, on its device."""
    flat = values.reshape(-1)
    return torch.stack([torch.isfinite(flat[part]).all() for part in blocks(flat)]).all()


@dataclass(frozen=True)
class Evaluation:
    """What one pass through the network and back tells about a canvas.

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
Callback = Callable[[int, Tensor, Evaluation], None]
Blame = Callable[[Tensor, Evaluation], str]
Bounds = tuple[float, float]


@dataclass(frozen=True)
class State:
    """Where a solver stands between two iterations, after `count` evaluations.

    The tensors are the solver's own: write or copy them before it goes on. `parts` are the losses of the
    best canvas so far. Where the losses have other weights since, neither loss nor gradient is there, and the
    solver begins with an evaluation.
    """

    count: int
    tensors: dict[str, Tensor]
    numbers: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)


Keep = Callable[[State], None]


class Start:
    """The canvas where a solver begins, handed over: nobody else holds it, so that its memory can go.

    Args:
        canvas: (B, 3, H, W). Whoever takes it may change it.
    """

    def __init__(self, canvas: Tensor) -> None:
        self._canvas: Tensor | None = canvas

    def take(self) -> Tensor:
        """Return the canvas, once."""
        canvas, self._canvas = self._canvas, None
        assert canvas is not None
        return canvas

    def put(self, canvas: Tensor) -> None:
        """Put a canvas in its place."""
        self._canvas = canvas


@dataclass(frozen=True)
class Solution:
    """The best canvas found, (B, 3, H, W), its evaluation, and why the solver ended.

    `state` is from where it can go on if it was stopped. The gradient of a best canvas that was found
    before the solver was interrupted is empty. `fault` says what was not finite, where that is the reason.
    """

    canvas: Tensor
    evaluation: Evaluation
    evaluations: int
    reason: str
    state: State | None = field(default=None, repr=False)
    fault: str = ""


# The tensors by whose names the state of another solver is known.
_OWN: Mapping[SolverName, tuple[str, ...]] = {
    "lbfgs": ("step.", "change."),
    "scipy": ("scipy.",),
    "adam": ("mean", "square"),
}


def check_state(state: State, solver: SolverName, like: Tensor) -> None:
    """Refuse a state that this solver cannot go on from, for a canvas like this one.

    Raises:
        InputError: Something is missing or has another shape.
    """
    foreign = tuple(part for other, own in _OWN.items() if other != solver for part in own)
    if any(name.startswith(foreign) for name in state.tensors):
        raise InputError("the state does not fit: it is another solver's")
    needed = {"canvas": like.shape} if solver != "scipy" or not state.count else {}
    weighed = "loss" in state.numbers or "gradient" in state.tensors  # as the weights are now
    if state.count and solver == "lbfgs":
        if weighed:
            needed["gradient"] = like.shape
        pairs = sum(name.startswith("step.") for name in state.tensors)
        names = [f"{part}.{number}" for part in ("step", "change") for number in range(pairs)]
        needed |= dict.fromkeys(names, torch.Size([like.numel()]))
    elif state.count and solver == "adam":
        needed |= dict.fromkeys(("mean", "square", "best"), like.shape)
    elif state.count:
        needed["best"] = like.shape
    if "best" in state.tensors:
        needed["best"] = like.shape
    for name, shape in needed.items():
        found = state.tensors.get(name)
        if found is None or found.shape != shape or not found.is_floating_point():
            raise InputError(f"the state does not fit: {name} is missing or of another size")
    numbers = {"lbfgs": {"loss", "failures"} if weighed else set(), "adam": {"steps"}}
    known = numbers.get(solver, set())
    missing = known | {"best_loss"} if state.count else set()
    if state.count < 0 or missing - set(state.numbers):
        raise InputError("the state does not fit: numbers are missing")


class Evaluator:
    """Separate `loss(x)` and `grads(x)` over one evaluation, as SciPy and the paper's experiment want.

    Whichever is asked first runs the network; the other answers from memory if `x` is the same.

    Args:
        evaluate: Canvas -> `Evaluation`.
        like: A tensor with the canvas' shape, type and device.
    """

    def __init__(self, evaluate: Evaluate, like: Tensor) -> None:
        self._evaluate = evaluate
        self._like = like
        self._point: NDArray[np.float64] | None = None
        self._evaluation: Evaluation | None = None

    def loss(self, x: NDArray[np.float64]) -> float:
        """Return the loss at the flat float64 vector `x`."""
        return self._at(x).loss

    def grads(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gradient at `x`, flat float64."""
        gradient = self._at(x).gradient.detach().cpu().numpy()
        return gradient.astype(np.float64).ravel()

    def _at(self, x: NDArray[np.float64]) -> Evaluation:
        if self._evaluation is None or self._point is None or not np.array_equal(self._point, x):
            canvas = torch.from_numpy(x.copy()).to(self._like).view_as(self._like)
            self._evaluation = self._evaluate(canvas)
            self._point = x.copy()  # SciPy goes on using its own array
        return self._evaluation
