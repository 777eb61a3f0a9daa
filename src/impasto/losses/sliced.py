"""Style as sorted projections: `SlicedLoss`, and the quantiles that it compares.

The formula and its source are in `style_targets`.
"""

from dataclasses import KW_ONLY, dataclass
from typing import Any

import torch
from torch import Tensor

from impasto.losses.loss import STRIP, Features, LayerLoss, Statistics, Windows, summed_in
from impasto.losses.moments import LEAST

QUANTILES = 4096  # the most levels of a painting's sorted projections
SORTED = 1_000_000  # values sorted at a time


@dataclass(frozen=True)
class SlicedLoss(LayerLoss):
    """The style of one layer as sorted projections, by the sliced Wasserstein distance.

    `targets` (S, K, Q) are the quantiles of K projections of the styles at Q levels, `directions` (K, C) are
    unit vectors, and `shares`, (S,), the weights of the styles. Ranks need the whole picture, so this is not
    additive. With a guide, each position counts t times in the ranks.
    """

    targets: Tensor
    directions: Tensor
    shares: Tensor
    _: KW_ONLY
    additive: bool = False

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (mean over directions of the squared distance of quantiles,)."""
        distance: Tensor = _Sliced.apply(  # type: ignore[no-untyped-call]
            features[self.layer], self.directions, self.targets, self.shares, self.guide
        )
        return (distance,)

    def value(self, statistics: Statistics) -> Tensor:
        """Return C times the mean, times the factor."""
        return statistics[0] * (self.directions.shape[1] * self.factor)


def directions(channels: int, seed: int) -> Tensor:
    """Return (C, C): orthogonal unit vectors, drawn with a seed; float32.

    One for each channel: with fewer, differences along the missing directions would not be measured.
    """
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    orthogonal, triangle = torch.linalg.qr(matrix)
    # The signs make all rotations equally likely.
    rotation: Tensor = orthogonal * triangle.diagonal().sign()
    return rotation.T.float().contiguous()


def quantiles(features: Tensor, along: Tensor, guide: Tensor | None = None) -> Tensor:
    """Return (K, Q): the quantiles of the projections at the levels (j + 1/2) / Q.

    Up to `QUANTILES` positions Q is their number and the quantiles are the sorted projections themselves; of
    more positions, or weighted ones, they are interpolated. The features are (1, C, h, w), the directions
    `along` (K, C); the guide, (1, 1, h, w) in [0, 1], has the weights of the positions.
    """
    flat = features.flatten(2)[0]
    positions = flat.shape[1]
    count = min(positions, QUANTILES)
    even_levels = (torch.arange(count, device=flat.device, dtype=torch.float64) + 0.5) / count
    rows = []
    for some in torch.split(along, max(1, SORTED // positions)):
        values, order = _sorted(_projected(flat, some))
        if guide is None and count == positions:
            rows.append(values)
            continue
        levels, _ = _levels(order, guide)
        after = torch.searchsorted(levels, even_levels.expand(levels.shape[0], -1).contiguous())
        after = after.clamp(1, max(1, positions - 1)).clamp(max=positions - 1)
        before = (after - 1).clamp(min=0)
        gap = (levels.gather(1, after) - levels.gather(1, before)).clamp(min=LEAST)
        share = ((even_levels - levels.gather(1, before)) / gap).clamp(0, 1).to(values.dtype)
        rows.append(torch.lerp(values.gather(1, before), values.gather(1, after), share))
    return torch.cat(rows)


def _projected(flat: Tensor, some: Tensor) -> Tensor:
    """Return the projections (k, M) of features (C, M); bfloat16 is converted a part at a time."""
    kind = summed_in(flat)
    parts = torch.split(flat, STRIP, dim=1) if flat.dtype != kind else (flat,)
    return torch.cat([some.to(kind) @ part.to(kind) for part in parts], dim=1)


def _sorted(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows (k, M) sorted, and where each value was; where values are equal, in their order.

    On the CPU a float32 value and its position become one integer, as NumPy sorts these several times as fast
    as torch sorts pairs.
    """
    if values.device.type != "cpu" or values.dtype != torch.float32:
        result = values.sort(dim=1, stable=True)
        return result.values, result.indices
    bits = values.contiguous().view(torch.int32)
    ascending = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()  # in the order of the values
    keys = (ascending << 32) | torch.arange(values.shape[1])
    keys.numpy().sort(axis=1)
    order = keys & 0xFFFFFFFF
    return values.gather(1, order), order


def _levels(order: Tensor, guide: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the levels in [0, 1] and the shares of sorted positions, (k, M) each; float64."""
    if guide is None:
        number = order.shape[1]
        shares = torch.full((1, number), 1 / number, dtype=torch.float64, device=order.device)
        levels = (torch.arange(number, device=order.device, dtype=torch.float64) + 0.5) / number
        return levels.expand(order.shape[0], -1).contiguous(), shares
    weights = guide.flatten().double()[order]
    total = weights.cumsum(dim=1)
    whole = total[:, -1:].clamp(min=LEAST)
    return (total - weights / 2) / whole, weights / whole


def at_levels(levels: Tensor, quantiles: Tensor) -> Tensor:
    """Return the values (k, M) of quantile functions (k, Q) at levels (k, M)."""
    count = quantiles.shape[1]
    place = (levels * count - 0.5).clamp(0, count - 1)
    before = place.floor().long()
    after = (before + 1).clamp(max=count - 1)
    share = (place - before).to(quantiles.dtype)
    return torch.lerp(quantiles.gather(1, before), quantiles.gather(1, after), share)


class _Sliced(torch.autograd.Function):
    """The mean squared distance of quantiles; its gradient is computed with it, as sorting is expensive."""

    @staticmethod
    def forward(
        context: Any, features: Tensor, along: Tensor, targets: Tensor, shares: Tensor, guide: Tensor | None
    ) -> Tensor:
        flat = features.flatten(2)[0]
        positions, kind = flat.shape[1], summed_in(flat)
        total = torch.zeros((), dtype=kind, device=flat.device)
        gradient = torch.zeros_like(flat)
        chunk = max(1, SORTED // positions)
        for start in range(0, along.shape[0], chunk):
            some = along[start : start + chunk].to(kind)
            values, order = _sorted(_projected(flat, some))
            levels, weights = _levels(order, guide)
            slope = torch.zeros_like(values)
            for target, share in zip(targets, shares.to(kind), strict=True):
                difference = values - at_levels(levels, target[start : start + chunk].to(kind))
                weighted = difference * weights.to(kind) * share
                total += (difference * weighted).sum()
                slope += weighted
            slope = torch.empty_like(slope).scatter_(1, order, slope)  # back into the order of the positions
            gradient += (some.T @ slope).to(gradient.dtype)
        context.save_for_backward(gradient.view(features.shape) * (2 / along.shape[0]))
        return total / along.shape[0]

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = context.saved_tensors
        return gradient * gradients[0].to(gradient.dtype), None, None, None, None
