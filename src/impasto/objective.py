"""The objective: canvas -> `Evaluation(loss, gradient, parts)`.

Unites the layers that the losses read, runs the network once forward and once back, and owns precision
and memory layout; losses and solvers know nothing of either.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from impasto.errors import InputError
from impasto.losses import Loss
from impasto.solvers import Evaluation
from impasto.vgg import VGG19, Padding, Pooling

Precision = Literal["fp32", "bf16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def prepare(
    weights: Mapping[str, Tensor],
    *,
    pooling: Pooling,
    padding: Padding,
    precision: Precision,
    device: str,
) -> VGG19:
    """Return the network on its device, in its number format, channels last (which is faster)."""
    network = VGG19(weights, pooling=pooling, padding=padding).to(device)
    for name, kernel in network.kernels.items():
        kernel.data = kernel.data.to(DTYPES[precision])
        if name.endswith("/weight"):
            kernel.data = kernel.data.contiguous(memory_format=torch.channels_last)
    return network


class Objective:
    """A weighted sum of named losses over the features of a canvas.

    Weights are divided by their sum before use and reported losses scaled back, so that a common factor
    changes nothing that the solver sees.

    Args:
        network: The features' source, already in the precision wanted (see `prepare`).
        losses: Each with its weight; names must differ.
    """

    def __init__(self, network: VGG19, losses: Sequence[Loss]) -> None:
        self.network = network
        self.losses = tuple(loss for loss in losses if loss.weight != 0)
        names = [loss.name for loss in self.losses]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"two losses are named '{name}'; give each its own name")
        self.layers = sorted({layer for loss in self.losses for layer in loss.layers})
        self.scale = sum(abs(loss.weight) for loss in self.losses) or 1.0

    def __call__(self, canvas: Tensor) -> Evaluation:
        """Return loss, gradient (1, 3, H, W) and parts of a canvas (1, 3, H, W).

        The loss and its gradient are in units of `scale`; `parts` are in the user's weights.
        """
        leaf = canvas.detach().requires_grad_(True)
        features = self.network(leaf, self.layers)
        values = [
            loss.value(loss.measure(features)) * (loss.weight / self.scale) for loss in self.losses
        ]
        total = torch.stack(values).sum()
        (gradient,) = torch.autograd.grad(total, leaf)
        numbers = torch.stack([total, *values]).detach().tolist()  # one transfer from the device
        parts = {
            loss.name: number * self.scale
            for loss, number in zip(self.losses, numbers[1:], strict=True)
        }
        return Evaluation(numbers[0], gradient, parts)
