"""Style as the distribution of a layer's features, compared by something else than Gram matrices.

The form is that of `losses`: `measure` adds up over positions, `value` makes a scalar of it. D is a distance
of two clouds of points, the features F at M positions of the canvas and those of the painting, C channels:

* `moments`: sum over channels (mean - mean_a)^2 + (deviation - deviation_a)^2.
  Source: Li et al. 2017, "Demystifying Neural Style Transfer", the matching of batch statistics.
* `wasserstein`: the squared Wasserstein-2 distance of two normal distributions with these means and
  covariances S and A: |mean - mean_a|^2 + tr S + tr A - 2 tr (A^1/2 S A^1/2)^1/2.
  Source: Olkin and Pukelsheim 1982. The trace is the sum of the roots of eigenvalues, which `eigvalsh` gives
  exactly and with gradients that never divide by a difference of two eigenvalues.
* `sliced`: C times the mean over directions of the squared distance of sorted projections.
  Source: Heitz et al. 2021, "A Sliced Wasserstein Loss for Neural Texture Synthesis". Departure: the
  directions stay the same during a run, as a solver that measures curvature needs one function.

Departure of the first two: to the variance in every direction a ten-thousandth of the painting's mean square
is added, on both sides. So roots have finite slopes where nothing varies, which most layers have: more
channels than positions. The distance of equal clouds is still 0.

D is quadratic in the features where the Gram loss is quartic. `factor` makes them agree to second order where
the canvas' features are the painting's, times a number: D = e^2 T / 4 and the Gram loss e^2 N / C^4 for
G/M = (1 + e) B, with T and N the trace and the sum of squares of B = A/M_a.

A `guide` t, in [0, 1] at each position, makes of all these the statistics of a region: sum t, sum t F, ...
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from impasto.losses import Statistics
from impasto.moments import LEAST, MomentsLoss, WassersteinLoss, exact, first_and_second
from impasto.sliced import SlicedLoss, at_levels, directions, quantiles

Kind = Literal["moments", "wasserstein", "sliced"]
RIDGE = 1e-4  # of the painting's mean square, added to variances
# The factor besides: with it an untouched photo has about the style loss that it has with Gram matrices. The
# inverse of the geometric mean of three pairs at 128 and 256 px; docs/control/statistics.md has the figures.
STRENGTH: dict[Kind, float] = {"moments": 0.75, "wasserstein": 0.33, "sliced": 0.88}


@dataclass(frozen=True)
class Painted:
    """What is known of S paintings in one layer of C channels.

    `mean` (S, C) and `second` (S, C, C) are sum t F / sum t and sum t F F^T / sum t; `quantiles` (S, K, Q)
    are those of K projections, for `sliced` only; `directions` (K, C).
    """

    mean: Tensor
    second: Tensor
    quantiles: Tensor | None = None
    directions: Tensor | None = None


def factor(kind: Kind, second: Tensor, shares: Tensor, own_form: bool = False) -> float:
    """Return what D is multiplied by, to weigh as much as the Gram loss in the mean convention.

    Args:
        kind: Whose distance.
        second: B of the paintings, (S, C, C).
        shares: Of the paintings, (S,).
        own_form: D is what the convention means (crowsonkb's Wasserstein), and not to be made stronger.
    """
    mean = (second * shares.to(second).view(-1, 1, 1)).sum(0)
    trace, norm = float(mean.trace()), float(mean.square().sum())
    if trace <= 0 or norm <= 0:  # a layer that the painting leaves dark says nothing about style
        return 0.0
    return (1.0 if own_form else STRENGTH[kind]) * 4 * norm / (mean.shape[0] ** 4 * trace)


def painted(sums: Statistics) -> Painted:
    """Return what a painting amounts to, from what `first_and_second` summed over all of it."""
    number, first, second = sums
    number = number.clamp(min=LEAST)
    return Painted(first / number, second / number)


def painted_whole(features: Tensor, seed: int, guide: Tensor | None = None) -> Painted:
    """Return the same of features (1, C, h, w), with their sorted projections along seeded directions."""
    known = painted(first_and_second(features, guide))
    along = directions(features.shape[1], seed).to(features.device)
    return replace(known, quantiles=quantiles(features, along, guide)[None], directions=along)


def joined(paintings: Sequence[Painted]) -> Painted:
    """Return several paintings, of S = 1 each, as one; the projections of each at equally many levels."""
    mean, second = (torch.cat([getattr(p, name) for p in paintings]) for name in ("mean", "second"))
    known = [p.quantiles for p in paintings if p.quantiles is not None]
    if not known:
        return Painted(mean, second)
    count = max(found.shape[2] for found in known)
    levels = (torch.arange(count, dtype=torch.float64, device=mean.device) + 0.5) / count
    same = [at_levels(levels.expand(found.shape[1], -1), found[0]) for found in known]
    return Painted(mean, second, torch.stack(same), paintings[0].directions)


def loss(
    kind: Kind,
    name: str,
    weight: float,
    layer: str,
    found: Painted,
    shares: Tensor,
    factor: float,
    guide: Tensor | None = None,
) -> "MomentsLoss | WassersteinLoss | SlicedLoss":
    """Return the loss of one layer with its targets, from what the paintings amount to there."""
    if kind == "sliced":
        assert found.quantiles is not None
        assert found.directions is not None
        given = found.quantiles, found.directions, shares, factor
        return SlicedLoss(name, weight, layer, *given, guide=guide)
    mean, second = exact(found.mean), exact(found.second)
    squares = second.diagonal(dim1=1, dim2=2)  # (S, C)
    ridges = RIDGE * squares.mean(1) + LEAST
    if kind == "moments":
        deviations = ((squares - mean.square()).clamp(min=0) + ridges.view(-1, 1)).sqrt()
        targets = torch.stack([mean, deviations], dim=1)
        return MomentsLoss(name, weight, layer, targets, ridges, shares, factor, guide=guide)
    covariance = second - mean.unsqueeze(2) * mean.unsqueeze(1)
    eigenvalues, vectors = torch.linalg.eigh((covariance + covariance.mT) / 2)
    lengths = (eigenvalues.clamp(min=0) + ridges.view(-1, 1)).sqrt()
    roots = vectors * lengths.unsqueeze(1)
    targets = torch.cat([mean.unsqueeze(2), roots], dim=2)
    return WassersteinLoss(name, weight, layer, targets, ridges, shares, factor, guide=guide)
