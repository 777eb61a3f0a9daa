"""Adam, by Kingma and Ba 2015, clipped to the bounds after each step."""

import torch
from torch import Tensor

from impasto.optim.evaluation import Bounds, State
from impasto.optim.tracking import NOT_FINITE, Run

AdamOptions = tuple[float, tuple[float, float], float]  # learning rate, betas, epsilon


# --- Adam ----------------------------------------------------------------------------------------


def _adam(
    run: Run, start: Tensor, bounds: Bounds | None, options: AdamOptions, state: State | None
) -> str:
    rate, betas, epsilon = options
    parameter, optimizer = _moved(start, (rate / 2**run.failures, betas, epsilon), state)
    while True:
        memory = optimizer.state[parameter]
        moments = {"mean": memory["exp_avg"], "square": memory["exp_avg_sq"]}
        run.offer({"canvas": parameter.detach(), **moments}, steps=float(memory["step"]))
        evaluation = run(parameter.detach())
        if not run.finite:
            if (best := run.retry()) is None:
                return NOT_FINITE
            parameter, optimizer = _moved(
                best.clone(), (rate / 2**run.failures, betas, epsilon), None
            )
            continue
        parameter.grad = evaluation.gradient.clone()
        optimizer.step()
        if bounds is not None:
            with torch.no_grad():
                parameter.clamp_(*bounds)


def _moved(
    canvas: Tensor, options: AdamOptions, state: State | None
) -> tuple[torch.nn.Parameter, torch.optim.Adam]:
    """Return a canvas and what moves it, from rest or from where it stood."""
    parameter = torch.nn.Parameter(canvas.requires_grad_(False))
    rate, betas, epsilon = options
    optimizer = torch.optim.Adam([parameter], lr=rate, betas=betas, eps=epsilon)
    names, steps = ("mean", "square"), 0.0
    moments = [torch.zeros_like(canvas) for _ in names]
    if state is not None:
        moments = [state.tensors[name].to(canvas).clone() for name in names]
        steps = state.numbers["steps"]
        state.tensors.clear()
    memory = {"step": torch.tensor(steps), "exp_avg": moments[0], "exp_avg_sq": moments[1]}
    optimizer.state[parameter] = memory
    return parameter, optimizer
