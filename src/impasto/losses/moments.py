"""Style losses on the first and second moments of a layer: `MomentsLoss` and `WassersteinLoss`.

Their formulas and sources are in `style_targets`. The statistics are sums over positions, so they add up over
tiles; the distances are computed from them in float64.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.losses.gram import gram_matrix
from impasto.losses.loss import (
    Features,
    LayerLoss,
    Statistics,
    Windows,
    strips,
    strips_like,
    summed_in,
)

LEAST = 1e-12  # the smallest divisor


def exact(tensor: Tensor) -> Tensor:
    """Return a tensor in float64; on the CPU where the device has no float64."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


# --- sums over positions -------------------------------------------------------------------------


def first_and_second(features: Tensor, guide: Tensor | None = None) -> Statistics:
    """Return (sum t, sum t F (1, C), sum t F F^T (1, C, C)), in float32 or better; t is 1 without a guide.

    Args:
        features: (1, C, h, w).
        guide: (1, 1, h, w) in [0, 1].
    """
    kind = summed_in(features)
    if guide is None:
        return _number(features), features.sum(dim=(2, 3), dtype=kind), gram_matrix(features)
    root = guide.to(features.dtype).sqrt()
    sums = (features * guide.to(features.dtype)).sum(dim=(2, 3), dtype=kind)
    return guide.sum(dtype=kind), sums, gram_matrix(features * root)


def first_and_squares(features: Tensor, guide: Tensor | None = None) -> Statistics:
    """Return (sum t, sum t F (1, C), sum t F^2 (1, C)); as `first_and_second`."""
    kind = summed_in(features)
    sums = squares = torch.zeros((), dtype=kind, device=features.device)
    parts = strips(features)  # squares of a part at a time, as they are float32
    for part, weights in zip(parts, strips_like(guide, parts), strict=True):
        values = part.to(kind)
        weighted = values if weights is None else values * weights
        sums, squares = sums + weighted.sum((2, 3)), squares + (weighted * values).sum((2, 3))
    number = _number(features) if guide is None else guide.sum(dtype=kind)
    return number, sums, squares


def _number(features: Tensor) -> Tensor:
    return torch.tensor(float(features.shape[-2] * features.shape[-1]), device=features.device)


# --- losses --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MomentsLoss(LayerLoss):
    """The style of one layer as mean and deviation of each channel.

    `targets` are means and deviations of the styles, (S, 2, C), and `ridges`, (S,), what was added to the
    variances; float64. `shares`, (S,), are the weights of the styles and sum to one.
    """

    targets: Tensor
    ridges: Tensor
    shares: Tensor

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum t, sum t F, sum t F^2)."""
        part, guide = self.features_and_guide(features, windows)
        return first_and_squares(part, guide)

    def backward(
        self,
        features: Features,
        windows: Windows | None,
        grad_statistics: Sequence[Tensor | None],
        grad_features: Tensor | None,
    ) -> Tensor | None:
        """Add t (s + 2 q F), s and q being the derivatives for the sums; see `LossWithGradient`."""
        _, first, second = grad_statistics
        if first is None or second is None:
            return grad_features
        kind = features[self.layer].dtype
        one, two = (slope.to(kind).view(1, -1, 1, 1) for slope in (first, second))

        def slope_of(part: Tensor) -> Tensor:
            return part * (2 * two) + one

        return _add_slopes(self, features, windows, grad_features, slope_of)

    def value(self, statistics: Statistics) -> Tensor:
        """Return the weighted sum of distances over styles, times the factor."""
        mean, squares = _means(statistics)
        variance = (squares - mean.square()).clamp(min=0)
        deviation = (variance + self.ridges.view(-1, 1)).sqrt()  # (S, C)
        means, deviations = self.targets.unbind(1)
        distances = ((mean - means).square() + (deviation - deviations).square()).sum(1)
        total: Tensor = (distances * exact(self.shares)).sum() * self.factor
        return total.to(statistics[1])


@dataclass(frozen=True)
class WassersteinLoss(LayerLoss):
    """The style of one layer as a normal distribution, by the squared Wasserstein-2 distance.

    `targets` (S, C, 1 + C) are the means and a root R of the covariances, R R^T = A + ridge, and `ridges`
    (S,) what was added to the variances; float64. `shares`, (S,), are the weights of the styles.
    """

    targets: Tensor
    ridges: Tensor
    shares: Tensor

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum t, sum t F, sum t F F^T)."""
        part, guide = self.features_and_guide(features, windows)
        return first_and_second(part, guide)

    def backward(
        self,
        features: Features,
        windows: Windows | None,
        grad_statistics: Sequence[Tensor | None],
        grad_features: Tensor | None,
    ) -> Tensor | None:
        """Add t (s + (S + S^T) F), s and S being the derivatives for the sums; see `LossWithGradient`."""
        _, first, second = grad_statistics
        if first is None or second is None:
            return grad_features
        kind = features[self.layer].dtype
        one = first.to(kind)
        both = (second + second.transpose(1, 2))[0].to(kind)

        def slope_of(part: Tensor) -> Tensor:
            return (part.permute(0, 2, 3, 1) @ both + one).permute(0, 3, 1, 2)

        return _add_slopes(self, features, windows, grad_features, slope_of)

    def value(self, statistics: Statistics) -> Tensor:
        """Return the weighted sum of distances over styles, times the factor."""
        mean, squares = _means(statistics)
        covariance = squares - mean.mT @ mean  # (1, C, C)
        ridges = self.ridges.view(-1, 1, 1)
        covariance = covariance + ridges * torch.eye(mean.shape[1]).to(ridges)  # (S, C, C)
        means, roots = self.targets[..., 0], self.targets[..., 1:]
        product = roots.mT @ covariance @ roots
        if not torch.isfinite(product).all():  # a step too far, which `eigvalsh` would not take
            return (exact(statistics[1]).sum() * float("nan")).to(statistics[1])
        eigenvalues = torch.linalg.eigvalsh((product + product.mT) / 2)
        # In exact arithmetic none is smaller than that.
        cross = eigenvalues.clamp(min=self.ridges.square().view(-1, 1)).sqrt().sum(1)
        traces = covariance.diagonal(dim1=1, dim2=2).sum(1) + roots.square().sum((1, 2))
        distances = (mean - means).square().sum(1) + traces - 2 * cross
        total: Tensor = (distances * exact(self.shares)).sum() * self.factor
        return total.to(statistics[1])


def _means(statistics: Statistics) -> tuple[Tensor, Tensor]:
    """Return the means of F (1, C) and of F^2 or F F^T from the sums, in float64."""
    number, first, second = (exact(total) for total in statistics)
    number = number.clamp(min=LEAST)
    return first / number, second / number


def _add_slopes(
    loss: LayerLoss,
    features: Features,
    windows: Windows | None,
    grad_features: Tensor | None,
    slope_of: Callable[[Tensor], Tensor],
) -> Tensor:
    """Add t times the slope at the features to the gradient for the layer, a strip at a time."""
    part, guide = loss.features_and_guide(features, windows)
    gradient, gradient_part = loss.gradient_and_part(features, windows, grad_features)
    parts = strips(part)
    weights = strips_like(guide, parts)
    for target, strip, weight in zip(strips(gradient_part), parts, weights, strict=True):
        slope = slope_of(strip)
        target.add_(slope if weight is None else slope * weight.to(slope.dtype))
    return gradient
