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
class SquaredDifference(LossWithGradient):
    """What losses on sum t (F - P)^2 share; `target` is P, (1, C, h, w), and the guide t."""

    target: Tensor

    def add_gradient(
        self,
        gradient: Tensor,
        part: Tensor,
        guide: Tensor | None,
        window: Window | None,
        slopes: Sequence[Tensor],
    ) -> None:
        """Add 2 t (F - P) times the derivative for the sum."""
        slope = (part - crop_whole(self.target, window)).mul_(2 * slopes[0])
        gradient.add_(slope if guide is None else slope.mul_(guide))


@dataclass(frozen=True)
class ContentLoss(SquaredDifference):
    """The squared distance from the photo's features: equation 1 of Gatys et al. 2016, or its mean.

    `target` is P, (1, C, h, w), of the photo at the canvas' size. `factor` makes the mean another program's
    form; the form of `paper` does not use it. With a guide t the sum is that of t (F - P)^2.
    """

    convention: Convention = "mean"

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum (F - P)^2,)."""
        part, guide = self.features_and_guide(features, windows)
        target = crop_whole(self.target, window_of(self.layer, windows))
        if guide is not None:
            root = guide.sqrt()
            part, target = part * root, target * root
        return (squared_distance(part, target),)

    def value(self, statistics: Statistics) -> Tensor:
        """Return 1/2 the sum (`paper`) or the mean over all features (`mean`), times the factor."""
        (total,) = statistics
        if self.convention == "paper":
            return total / 2
        return total / self.target.numel() * self.factor
