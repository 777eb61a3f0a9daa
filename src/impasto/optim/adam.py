"""Adam (Kingma and Ba 2015), clipped to the bounds after each step."""

import torch
from torch import Tensor
from torch.optim.adam import adam

from impasto.optim.evaluation import Bounds, Evaluate, StateDict


class Adam:
    """torch's Adam on a canvas, as a function: its class loads torch's compiler, which takes seconds.

    Args:
        start: Where to begin, (B, 3, H, W); copied and projected onto the bounds.
        learning_rate: The step, in units of the pixel range.
        betas: Shares of the means of gradients and of their squares that a step keeps.
        epsilon: Added to the root of the mean of squares.
        bounds: Lowest and highest value of a pixel; None for no bounds.
    """

    overwrites = True

    def __init__(
        self,
        start: Tensor,
        *,
        learning_rate: float = 0.02,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        bounds: Bounds | None = (0.0, 1.0),
    ) -> None:
        self._bounds, self._learning_rate = bounds, learning_rate
        self._betas, self._epsilon = betas, epsilon
        canvas = start.detach().clone()
        if bounds is not None:
            canvas.clamp_(*bounds)
        self._begin(canvas, learning_rate)

    def _begin(self, canvas: Tensor, rate: float, state: StateDict | None = None) -> None:
        """Start from rest, or with the moments of a state."""
        state = state or {}
        self._rate, self._canvas, self._steps = rate, canvas, torch.tensor(state.get("steps", 0.0))
        self._mean, self._square = (
            state[name].to(canvas).clone() if name in state else torch.zeros_like(canvas)
            for name in ("mean", "square")
        )

    @property
    def canvas(self) -> Tensor:
        """Where the solver stands, (B, 3, H, W)."""
        return self._canvas

    def step(self, evaluate: Evaluate) -> bool:
        """Do one step; return False where the loss is not finite."""
        evaluation = evaluate(self.canvas)
        if not evaluation.finite:
            return False
        with torch.no_grad():
            adam(
                [self._canvas], [evaluation.gradient], [self._mean], [self._square], [], [self._steps],
                beta1=self._betas[0], beta2=self._betas[1], eps=self._epsilon, lr=self._rate,
                weight_decay=0.0, amsgrad=False, maximize=False,
            )  # fmt: skip
            if self._bounds is not None:
                self._canvas.clamp_(*self._bounds)
        return True

    def restart(self, canvas: Tensor, failures: int) -> bool:
        """Begin anew from the best canvas with a smaller step: half, a quarter, ..."""
        self._begin(canvas.clone(), self._learning_rate / 2**failures)
        return True

    def state_dict(self) -> StateDict:
        """Return canvas, moments, number of steps and the rate, which a restart halves."""
        moments = {"mean": self._mean, "square": self._square, "steps": float(self._steps)}
        return {"canvas": self.canvas, **moments, "rate": self._rate}

    def load_state_dict(self, state: StateDict) -> None:
        """Continue from what `state_dict` returned."""
        canvas = state["canvas"].to(self.canvas).clone()
        self._begin(canvas, state.get("rate", self._learning_rate), state)
