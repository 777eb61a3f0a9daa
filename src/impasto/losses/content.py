"""The content loss: how far features are from those of the photo."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.config.conventions import Convention
from impasto.losses.loss import Features, LossWithGradient, Statistics, Windows, crop_whole, window_of
from impasto.network.tiles import Window


def squared_distance(features: Tensor, target: Tensor) -> Tensor:
    """Return sum (F - P)^2 as a scalar, in float32 or better; both (B, C, H, W)."""
    if features.dtype == torch.bfloat16:
        features = features.float()
    return (features - target).square().sum()


@dataclass(frozen=True)
class ContentLoss(LossWithGradient):
    """The squared distance from the photo's features: equation 1 of Gatys et al. 2016, or its mean.

    `target` is P, (1, C, h, w), of the photo at the canvas' size. `factor` makes the mean another program's
    form; the paper's form does not use it. There is no guide.
    """

    target: Tensor
    convention: Convention = "mean"

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum (F - P)^2,)."""
        part, _ = self.features_and_guide(features, windows)
        return (squared_distance(part, crop_whole(self.target, window_of(self.layer, windows))),)

    def add_gradient(
        self,
        gradient: Tensor,
        part: Tensor,
        guide: Tensor | None,
        window: Window | None,
        slopes: Sequence[Tensor],
    ) -> None:
        """Add 2 (F - P) times the derivative for the sum."""
        gradient.add_((part - crop_whole(self.target, window)).mul_(2 * slopes[0]))

    def value(self, statistics: Statistics) -> Tensor:
        """Return 1/2 the sum (`paper`) or the mean over all features (`mean`), times the factor."""
        (total,) = statistics
        if self.convention == "paper":
            return total / 2
        return total / self.target.numel() * self.factor
