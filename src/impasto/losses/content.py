"""The content loss: how far features are from those of the photo."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.config.conventions import Convention
from impasto.losses.loss import Features, Statistics, Windows, _crop
from impasto.network.tiles import Window


def squared_distance(features: Tensor, target: Tensor) -> Tensor:
    """Return sum (F - P)^2 as a scalar, in float32 or better; both (B, C, H, W)."""
    if features.dtype == torch.bfloat16:
        features = features.float()
    return (features - target).square().sum()


@dataclass(frozen=True)
class ContentLoss:
    """The photo's features, to be kept: equation 1 of the paper, or its mean.

    `target` is P, (1, C, h, w), of the photo at the canvas' size. `factor` makes the mean another program's
    form; the paper's has its own arithmetic and takes none.
    """

    name: str
    weight: float
    layer: str
    target: Tensor
    convention: Convention = "mean"
    additive: bool = True
    factor: float = 1.0

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer compared."""
        return (self.layer,)

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum (F - P)^2,)."""
        window, target = self._compared(windows)
        return (squared_distance(_crop(features[self.layer], window), target),)

    def _compared(self, windows: Windows | None) -> tuple[Window | None, Tensor]:
        """Return the layer's window, and the part of the target that lies there."""
        window = windows.get(self.layer) if windows else None
        if window is None:
            return None, self.target
        return window, self.target[..., window.outer[0], window.outer[1]]

    def backward(
        self,
        features: Features,
        windows: Windows | None,
        grad_statistics: Sequence[Tensor | None],
        grad_features: Tensor | None,
    ) -> Tensor | None:
        """Add 2 (F - P) times the slope; see `LossWithGradient`."""
        found, (window, target) = features[self.layer], self._compared(windows)
        if grad_statistics[0] is None:
            return grad_features
        grad_features = torch.zeros_like(found) if grad_features is None else grad_features
        difference = _crop(found, window) - target
        _crop(grad_features, window).add_(difference.mul_(2 * grad_statistics[0]))
        return grad_features

    def value(self, statistics: Statistics) -> Tensor:
        """Return 1/2 the sum (`paper`) or the mean over all features (`mean`), times the factor."""
        (total,) = statistics
        if self.convention == "paper":
            return total / 2
        return total / self.target.numel() * self.factor
