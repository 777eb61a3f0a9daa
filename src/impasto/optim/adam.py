"""Adam (Kingma and Ba 2015), clipped to the bounds after each step."""

import torch
from torch import Tensor

from impasto.optim.evaluation import Bounds, Evaluate, StateDict


class Adam:
    """`torch.optim.Adam` on a canvas.

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
        self._options = {"betas": betas, "eps": epsilon}
        canvas = start.detach().clone()
        if bounds is not None:
            canvas.clamp_(*bounds)
        self._begin(canvas, learning_rate)

    def _begin(self, canvas: Tensor, rate: float, state: StateDict | None = None) -> None:
        """Start from rest, or with the moments of a state."""
        self._rate = rate
        self._parameter = torch.nn.Parameter(canvas.requires_grad_(False))
        self._optimizer = torch.optim.Adam([self._parameter], lr=rate, **self._options)  # type: ignore[arg-type]
        state = state or {"steps": 0.0}
        moments = {
            name: state[key].to(canvas).clone() if key in state else torch.zeros_like(canvas)
            for name, key in (("exp_avg", "mean"), ("exp_avg_sq", "square"))
        }
        self._optimizer.state[self._parameter] = {"step": torch.tensor(state["steps"]), **moments}

    @property
    def canvas(self) -> Tensor:
        """Where the solver stands, (B, 3, H, W)."""
        return self._parameter.detach()

    def step(self, evaluate: Evaluate) -> bool:
        """Do one step; return False where the loss is not finite."""
        evaluation = evaluate(self.canvas)
        if not evaluation.finite:
            return False
        self._parameter.grad = evaluation.gradient.clone()
        self._optimizer.step()
        if self._bounds is not None:
            with torch.no_grad():
                self._parameter.clamp_(*self._bounds)
        return True

    def restart(self, canvas: Tensor, failures: int) -> bool:
        """Begin anew from the best canvas with a smaller step: half, a quarter, ..."""
        self._begin(canvas.clone(), self._learning_rate / 2**failures)
        return True

    def objective_changed(self) -> None:
        """Keep the moments: most of what they hold is still true."""

    def state_dict(self) -> StateDict:
        """Return canvas, moments, number of steps and the rate, which a restart halves."""
        memory = self._optimizer.state[self._parameter]
        moments = {"mean": memory["exp_avg"], "square": memory["exp_avg_sq"]}
        return {"canvas": self.canvas, **moments, "steps": float(memory["step"]), "rate": self._rate}

    def load_state_dict(self, state: StateDict) -> None:
        """Continue from what `state_dict` returned."""
        canvas = state["canvas"].to(self.canvas).clone()
        known = "mean" in state
        self._begin(canvas, state.get("rate", self._learning_rate), state if known else None)
