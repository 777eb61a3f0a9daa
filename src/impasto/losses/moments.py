"""Style losses on the first and second moments of a layer: `MomentsLoss` and `WassersteinLoss`.

Their formulas and sources are in `style_targets`. The statistics are sums over positions, so they add up over
tiles; the distances are computed from them in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.losses.gram import gram_matrix
from impasto.losses.loss import (
    Features,
    LossWithGradient,
    Statistics,
    Windows,
    number_of_positions,
    strips,
    strips_like,
    summed_in,
)
from impasto.network.tiles import Window

LEAST = 1e-12  # the smallest divisor


def exact(tensor: Tensor) -> Tensor:
    """Return a tensor in float64; on the CPU where the device has no float64."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def first_and_second(features: Tensor, guide: Tensor | None = None) -> Statistics:
    """Return (sum t, sum t F (1, C), sum t F F^T (1, C, C)), in float32 or better; t is 1 without a guide.

    The features are (1, C, h, w), the guide (1, 1, h, w) in [0, 1].
    """
    kind = summed_in(features)
    if guide is None:
        return number_of_positions(features), _summed(features, kind), gram_matrix(features)
    root = guide.to(features.dtype).sqrt()
    sums = _summed(features * guide.to(features.dtype), kind)
    return guide.sum(dtype=kind), sums, gram_matrix(features * root)


def _summed(features: Tensor, kind: torch.dtype) -> Tensor:
    """Return the sums over the positions, (1, C); of bf16 in strips, as torch makes a copy in `kind`."""
    parts = [features] if features.dtype == kind else strips(features)
    first, *more = (part.sum(dim=(2, 3), dtype=kind) for part in parts)
    return sum(more, first)


def first_and_squares(features: Tensor, guide: Tensor | None = None) -> Statistics:
    """Return (sum t, sum t F (1, C), sum t F^2 (1, C)); as `first_and_second`."""
    kind = summed_in(features)
    sums = squares = torch.zeros((), dtype=kind, device=features.device)
    parts = strips(features)  # squares of a part at a time, as they are float32
    for part, weights in zip(parts, strips_like(guide, parts), strict=True):
        values = part.to(kind)
        weighted = values if weights is None else values * weights
        sums, squares = sums + weighted.sum((2, 3)), squares + (weighted * values).sum((2, 3))
    number = number_of_positions(features) if guide is None else guide.sum(dtype=kind)
    return number, sums, squares


@dataclass(frozen=True)
class _MomentsOfLayer(LossWithGradient):
    """What both losses share; `shares`, (S,), are the weights of the styles and sum to one."""

    targets: Tensor
    ridges: Tensor
    shares: Tensor

    def add_gradient(
        self,
        gradient: Tensor,
        part: Tensor,
        guide: Tensor | None,
        window: Window | None,
        slopes: Sequence[Tensor],
    ) -> None:
        """Add t times `_slope`, a strip at a time."""
        _, first, second = slopes
        parts = strips(part)
        weights = strips_like(guide, parts)
        for target, strip, weight in zip(strips(gradient), parts, weights, strict=True):
            slope = self._slope(strip, first, second)
            target.add_(slope if weight is None else slope * weight.to(slope.dtype))

    def value(self, statistics: Statistics) -> Tensor:
        """Return the weighted sum of distances over styles, times the factor."""
        number, first, second = (exact(total) for total in statistics)
        number = number.clamp(min=LEAST)
        distances = self._distances(first / number, second / number)
        total: Tensor = (distances * exact(self.shares)).sum() * self.factor
        return total.to(statistics[1])

    def _slope(self, part: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return the gradient for features (1, C, h, w) from the derivatives for the two sums; t is 1."""
        raise NotImplementedError

    def _distances(self, mean: Tensor, second: Tensor) -> Tensor:
        """Return D to each style, (S,), from the means of F (1, C) and of F^2 or F F^T; float64."""
        raise NotImplementedError


@dataclass(frozen=True)
class MomentsLoss(_MomentsOfLayer):
    """The style of one layer as mean and deviation of each channel.

    `targets` are means and deviations of the styles, (S, 2, C), and `ridges`, (S,), what was added to the
    variances; float64.
    """

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum t, sum t F, sum t F^2)."""
        return first_and_squares(*self.features_and_guide(features, windows))

    def _slope(self, part: Tensor, first: Tensor, second: Tensor) -> Tensor:
        one, two = (slope.to(part.dtype).view(1, -1, 1, 1) for slope in (first, second))
        return part * (2 * two) + one

    def _distances(self, mean: Tensor, second: Tensor) -> Tensor:
        variance = (second - mean.square()).clamp(min=0)
        deviation = (variance + self.ridges.view(-1, 1)).sqrt()  # (S, C)
        means, deviations = self.targets.unbind(1)
        return ((mean - means).square() + (deviation - deviations).square()).sum(1)


@dataclass(frozen=True)
class WassersteinLoss(_MomentsOfLayer):
    """The style of one layer as a normal distribution, by the squared Wasserstein-2 distance.

    `targets` (S, C, 1 + K) are the means and a root R of the covariances, R R^T = A + ridge in the K
    directions in which a painting varies, and `ridges`, (S,), what was added to the variances; float64.
    """

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum t, sum t F, sum t F F^T)."""
        return first_and_second(*self.features_and_guide(features, windows))

    def _slope(self, part: Tensor, first: Tensor, second: Tensor) -> Tensor:
        both = (second + second.transpose(1, 2))[0].to(part.dtype)
        return (part.permute(0, 2, 3, 1) @ both + first.to(part.dtype)).permute(0, 3, 1, 2)

    def _distances(self, mean: Tensor, second: Tensor) -> Tensor:
        covariance = second - mean.mT @ mean  # (1, C, C)
        ridges = self.ridges.view(-1, 1, 1)
        unit = torch.eye(mean.shape[1], dtype=ridges.dtype, device=ridges.device)
        covariance = covariance + ridges * unit  # (S, C, C)
        means, roots = self.targets[..., 0], self.targets[..., 1:]
        product = roots.mT @ covariance @ roots
        if not torch.isfinite(product).all():  # a step too far, which `eigvalsh` would not take
            return mean.sum() * float("nan")
        eigenvalues = torch.linalg.eigvalsh((product + product.mT) / 2)
        # In exact arithmetic none is smaller than that.
        cross = eigenvalues.clamp(min=self.ridges.square().view(-1, 1)).sqrt().sum(1)
        traces = covariance.diagonal(dim1=1, dim2=2).sum(1) + roots.square().sum((1, 2))
        # In flat directions both have the ridge alone; `cross` has that of the zeros in a root already.
        flat = roots.shape[1] - roots.shape[2] - (roots == 0).all(1).sum(1)
        distances: Tensor = (mean - means).square().sum(1) + traces - 2 * cross - flat * self.ridges
        return distances
