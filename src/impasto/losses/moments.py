"""Style losses on the first and second moments of a layer: `MomentsLoss` and `WassersteinLoss`.

Their formulas and sources are in `style_targets`. The statistics are sums over positions, so they add up over
tiles; what makes a distance of them is computed in float64.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.losses.gram import gram_matrix
from impasto.losses.loss import Features, Statistics, Windows, _crop, _strips
from impasto.network.tiles import Window

LEAST = 1e-12  # no divisor is smaller


def exact(tensor: Tensor) -> Tensor:
    """Return a tensor in float64, on the processor where the device has none."""
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
    strips = _strips(features)  # a part at a time: its squares are float32, too
    for strip, weight in zip(strips, _weights(guide, strips), strict=True):
        some = strip.to(kind)
        seen = some if weight is None else some * weight
        sums, squares = sums + seen.sum((2, 3)), squares + (seen * some).sum((2, 3))
    number = _number(features) if guide is None else guide.sum(dtype=kind)
    return number, sums, squares


def _weights(guide: Tensor | None, strips: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """Return a guide in strips of as many rows as those of the features; None for each without."""
    if guide is None:
        return [None] * len(strips)
    return torch.split(guide, [strip.shape[2] for strip in strips], dim=2)


def summed_in(features: Tensor) -> torch.dtype:
    """Return the number format that sums over features are kept in: float32 or better."""
    return torch.float32 if features.dtype == torch.bfloat16 else features.dtype


def _number(features: Tensor) -> Tensor:
    return torch.tensor(float(features.shape[-2] * features.shape[-1]), device=features.device)


def _part(guide: Tensor | None, window: Window | None) -> Tensor | None:
    """Return the guide where the window's positions lie in the whole layer."""
    if guide is None or window is None:
        return guide
    return guide[..., window.outer[0], window.outer[1]]


def _descended(
    grad_features: Tensor | None,
    found: Tensor,
    window: Window | None,
    guide: Tensor | None,
    slope: Callable[[Tensor], Tensor],
) -> Tensor:
    """Add t times the slope of the window's features to the gradient of the layer, a part at a time."""
    grad_features = torch.zeros_like(found) if grad_features is None else grad_features
    there, part = _strips(_crop(grad_features, window)), _strips(_crop(found, window))
    for place, some, weight in zip(there, part, _weights(_part(guide, window), part), strict=True):
        added = slope(some)
        place.add_(added if weight is None else added * weight.to(added.dtype))
    return grad_features


# --- losses --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MomentsLoss:
    """A painting's mean and variance of each channel in one layer.

    `targets` are means and deviations, (S, 2, C), and `ridges`, (S,), what was added to the variances;
    float64. `shares`, `factor` and `guide` as in `GramLoss`.
    """

    name: str
    weight: float
    layer: str
    targets: Tensor
    ridges: Tensor
    shares: Tensor
    factor: float = 1.0
    additive: bool = True
    guide: Tensor | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer compared."""
        return (self.layer,)

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum t, sum t F, sum t F^2)."""
        window = windows.get(self.layer) if windows else None
        part = _crop(features[self.layer], window)
        return first_and_squares(part, _part(self.guide, window))

    def backward(
        self,
        features: Features,
        windows: Windows | None,
        grad_statistics: Sequence[Tensor | None],
        grad_features: Tensor | None,
    ) -> Tensor | None:
        """Add t (s + 2 q F), s and q being the slopes for the sums; see `loss.Descending`."""
        found, window = features[self.layer], windows.get(self.layer) if windows else None
        first, second = grad_statistics[1], grad_statistics[2]
        if first is None or second is None:
            return grad_features
        one, two = (slope.to(found.dtype).view(1, -1, 1, 1) for slope in (first, second))
        given = grad_features, found, window, self.guide
        return _descended(*given, lambda some: some * (2 * two) + one)

    def value(self, statistics: Statistics) -> Tensor:
        """Return the weighted sum of distances over styles, times the factor."""
        number, first, second = (exact(found) for found in statistics)
        number = number.clamp(min=LEAST)
        mean = first / number  # (1, C)
        variance = (second / number - mean.square()).clamp(min=0)
        deviation = (variance + self.ridges.view(-1, 1)).sqrt()  # (S, C)
        means, deviations = self.targets.unbind(1)
        distances = ((mean - means).square() + (deviation - deviations).square()).sum(1)
        total: Tensor = (distances * exact(self.shares)).sum() * self.factor
        return total.to(statistics[1])


@dataclass(frozen=True)
class WassersteinLoss:
    """A painting's normal distribution in one layer, by the squared Wasserstein-2 distance.

    `targets` (S, C, 1 + C) are the means and a root R of the covariances, R R^T = A + ridge, and `ridges`
    (S,) what was added to the variances; float64. `shares`, `factor` and `guide` as in `GramLoss`.
    """

    name: str
    weight: float
    layer: str
    targets: Tensor
    ridges: Tensor
    shares: Tensor
    factor: float = 1.0
    additive: bool = True
    guide: Tensor | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer compared."""
        return (self.layer,)

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum t, sum t F, sum t F F^T)."""
        window = windows.get(self.layer) if windows else None
        part = _crop(features[self.layer], window)
        return first_and_second(part, _part(self.guide, window))

    def backward(
        self,
        features: Features,
        windows: Windows | None,
        grad_statistics: Sequence[Tensor | None],
        grad_features: Tensor | None,
    ) -> Tensor | None:
        """Add t (s + (S + S^T) F), s and S being the slopes for the sums; see `loss.Descending`."""
        found, window = features[self.layer], windows.get(self.layer) if windows else None
        first, second = grad_statistics[1], grad_statistics[2]
        if first is None or second is None:
            return grad_features
        one = first.to(found.dtype)
        both = (second + second.transpose(1, 2))[0].to(found.dtype)
        given = grad_features, found, window, self.guide
        return _descended(
            *given, lambda some: (some.permute(0, 2, 3, 1) @ both + one).permute(0, 3, 1, 2)
        )

    def value(self, statistics: Statistics) -> Tensor:
        """Return the weighted sum of distances over styles, times the factor."""
        number, first, second = (exact(found) for found in statistics)
        number = number.clamp(min=LEAST)
        mean = first / number  # (1, C)
        covariance = second / number - mean.mT @ mean  # (1, C, C)
        ridges = self.ridges.view(-1, 1, 1)
        covariance = covariance + ridges * torch.eye(mean.shape[1]).to(ridges)  # (S, C, C)
        means, roots = self.targets[..., 0], self.targets[..., 1:]
        product = roots.mT @ covariance @ roots
        if not torch.isfinite(product).all():  # a step too far, which `eigvalsh` would not take
            return (first.sum() * float("nan")).to(statistics[1])
        eigenvalues = torch.linalg.eigvalsh((product + product.mT) / 2)
        # Exactly computed, none is smaller than that.
        cross = eigenvalues.clamp(min=self.ridges.square().view(-1, 1)).sqrt().sum(1)
        traces = covariance.diagonal(dim1=1, dim2=2).sum(1) + roots.square().sum((1, 2))
        distances = (mean - means).square().sum(1) + traces - 2 * cross
        total: Tensor = (distances * exact(self.shares)).sum() * self.factor
        return total.to(statistics[1])
