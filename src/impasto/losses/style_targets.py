"""The statistics of paintings, and the style losses made of them.

Beside Gram matrices (`gram`) there are three more ways to compare two distributions: the features F at M
positions of the canvas and those of a painting, C channels. Their distance D:

* `moments`: sum over channels (mean - mean_a)^2 + (deviation - deviation_a)^2.
  Source: Li et al. 2017, "Demystifying Neural Style Transfer", the matching of batch statistics.
* `wasserstein`: the squared Wasserstein-2 distance of two normal distributions with these means and
  covariances S and A: |mean - mean_a|^2 + tr S + tr A - 2 tr (A^1/2 S A^1/2)^1/2.
  Source: Olkin and Pukelsheim 1982. The last trace is the sum of the roots of the eigenvalues. The gradients
  of `eigvalsh` never divide by a difference of two eigenvalues.
* `sliced`: C times the mean over directions of the squared distance of sorted projections.
  Source: Heitz et al. 2021, "A Sliced Wasserstein Loss for Neural Texture Synthesis". Departure: the
  directions stay the same during a run, as a solver that measures curvature needs one function.

Departure of the first two: a ten-thousandth of the painting's mean square is added to the variance in every
direction, on both sides. So roots have finite slopes in directions without variance, which every layer with
more channels than positions has. The distance of equal distributions is still 0. `wasserstein` takes the root
of the last trace in the directions only in which a painting varies, which at coarse scales are few.

D is quadratic in the features, the Gram loss quartic. `factor_of` makes them agree to second order where the
canvas' features are the painting's, times a number: D = e^2 T / 4 and the Gram loss e^2 N / C^4 for
G/M = (1 + e) B, with T and N the trace and the sum of squares of B = A/M_a.

With a `guide` t, in [0, 1] at each position, all of these are statistics of a region: sum t, sum t F, ...
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from impasto.config.settings import Settings
from impasto.inputs.pictures import ScaledInputs
from impasto.losses.gram import gram_matrix, guided_gram
from impasto.losses.loss import Statistics, add_statistics, at_layer, crop_whole
from impasto.losses.moments import LEAST, MomentsLoss, WassersteinLoss, exact, first_and_second
from impasto.losses.regions import StyleTerm, check_source
from impasto.losses.sliced import SlicedLoss, at_levels, directions, quantiles
from impasto.network.layers import positions, stride
from impasto.network.tiled_features import TiledFeatures, crop

Distribution = Literal["moments", "wasserstein", "sliced"]
StyleStatistic = Literal["gram"] | Distribution
RIDGE = 1e-4  # of the painting's mean square, added to variances
FLAT = 0.1  # of what is added: a direction with less variance has none
# A further factor, a twentieth of that with which an untouched photo has about the style loss that it has
# with Gram matrices: that loss, quartic, falls sooner, so pictures of one weight then look equally bold, by
# eye. The inverse of the geometric mean of three pairs at 128 and 256 px: docs/control/statistics.md.
FACTORS: dict[Distribution, float] = {"moments": 0.75 / 20, "wasserstein": 0.33 / 20, "sliced": 0.88 / 20}


@dataclass(frozen=True)
class StyleStatistics:
    """The statistics of S paintings in one layer of C channels.

    `mean` is sum t F / sum t, (S, C), zeros where only Gram matrices are needed; `second` is sum t F F^T /
    sum t, (S, C, C). Only `sliced` has `quantiles` of K projections at Q levels, (S, K, Q), and `directions`,
    (K, C).
    """

    mean: Tensor
    second: Tensor
    quantiles: Tensor | None = None
    directions: Tensor | None = None


def statistic_of(settings: Settings) -> StyleStatistic:
    """Return what is compared at the scales without nearest neighbors (see `neighbors`)."""
    return "gram" if settings.style_statistic == "neighbours" else settings.style_statistic


def painting_statistics(
    features: TiledFeatures,
    pictures: ScaledInputs,
    number: int,
    layers: Sequence[str],
    statistic: StyleStatistic,
    seed: int,
) -> dict[str, StyleStatistics]:
    """Return the statistics of one painting by layer, S = 1; within its mask where it has one.

    `number` is that of the painting in `pictures`; `seed` draws the directions of `sliced`.

    Raises:
        InputError: Its mask leaves too little of it in a layer.
    """
    image = pictures.styles[number]
    mask = pictures.source_guides[number] if pictures.source_guides else None
    guides = {} if mask is None else {name: at_layer(mask, name, features.partial) for name in layers}
    for name, guide in guides.items():
        check_source(guide, pictures.uses[number], pictures.names[number], name)
    largest = max(pictures.content.shape[-2:])
    if not features.tile and max(image.shape[-2:]) > largest:  # tiles of at most the canvas' size
        features = replace(features, tile=largest)
    if statistic == "sliced":  # ranks need the whole layer
        whole = features.whole(image, layers)
        return {name: sliced_statistics(whole.pop(name), seed, guides.get(name)) for name in layers}
    sums: dict[str, Statistics] = {}
    for part, windows in features.parts(image, layers):
        for name in layers:
            guide_part = crop_whole(guides[name], windows[name]) if name in guides else None
            inner = crop(part[name], windows[name])
            if statistic != "gram":
                added = first_and_second(inner, guide_part)
            elif guide_part is not None:
                added = guided_gram(inner, guide_part)
            else:
                added = (gram_matrix(inner),)
            sums[name] = add_statistics(sums[name], added) if name in sums else added
    if statistic != "gram":
        return {name: statistics_of(sums[name]) for name in layers}
    normalized = {}
    for name, (gram, *weight) in sums.items():
        height, width = (positions(length, stride(name), features.partial) for length in image.shape[-2:])
        second = gram / (weight[0] if weight else height * width)
        normalized[name] = StyleStatistics(gram.new_zeros(gram.shape[:2]), second)
    return normalized


def statistics_of(sums: Statistics) -> StyleStatistics:
    """Return the statistics of one painting from what `first_and_second` summed over all of it."""
    number, first, second = sums
    number = number.clamp(min=LEAST)
    return StyleStatistics(first / number, second / number)


def sliced_statistics(features: Tensor, seed: int, guide: Tensor | None = None) -> StyleStatistics:
    """Return the same of features (1, C, h, w), with their sorted projections along seeded directions."""
    moments = statistics_of(first_and_second(features, guide))
    along = directions(features.shape[1], seed).to(features.device)
    return replace(moments, quantiles=quantiles(features, along, guide)[None], directions=along)


def joined(paintings: Sequence[StyleStatistics]) -> StyleStatistics:
    """Return several paintings, of S = 1 each, as one; all their quantiles at equally many levels."""
    mean = torch.cat([painting.mean for painting in paintings])
    second = torch.cat([painting.second for painting in paintings])
    each = [painting.quantiles[0] for painting in paintings if painting.quantiles is not None]
    if not each:
        return StyleStatistics(mean, second)
    count = max(one.shape[1] for one in each)
    levels = (torch.arange(count, dtype=torch.float64, device=mean.device) + 0.5) / count
    same = [at_levels(levels.expand(one.shape[0], -1), one) for one in each]
    return StyleStatistics(mean, second, torch.stack(same), paintings[0].directions)


def factor_of(distribution: Distribution, second: Tensor, shares: Tensor, own_form: bool = False) -> float:
    """Return what D is multiplied by, to weigh as much as the Gram loss in the mean convention.

    `second` are B of the paintings, (S, C, C), and `shares` theirs, (S,). With `own_form` D is the
    convention's own formula (crowsonkb's Wasserstein), which has no `FACTORS`.
    """
    mean = (second * shares.to(second).view(-1, 1, 1)).sum(0)
    trace, norm = float(mean.trace()), float(mean.square().sum())
    if trace <= 0 or norm <= 0:  # a layer that the painting leaves dark says nothing about style
        return 0.0
    strength = 1.0 if own_form else FACTORS[distribution]
    return strength * 4 * norm / (mean.shape[0] ** 4 * trace)


def distribution_loss(
    distribution: Distribution, term: StyleTerm, paintings: StyleStatistics, weight: float, factor: float
) -> MomentsLoss | WassersteinLoss | SlicedLoss:
    """Return the loss of one layer and region."""
    if distribution == "sliced":
        assert paintings.quantiles is not None
        assert paintings.directions is not None
        return SlicedLoss(
            term.name,
            weight,
            term.layer,
            paintings.quantiles,
            paintings.directions,
            term.shares,
            factor=factor,
            guide=term.guide,
        )
    mean, second = exact(paintings.mean), exact(paintings.second)
    squares = second.diagonal(dim1=1, dim2=2)  # (S, C)
    ridges = RIDGE * squares.mean(1) + LEAST
    kind: type[MomentsLoss | WassersteinLoss] = MomentsLoss
    if distribution == "moments":
        deviations = ((squares - mean.square()).clamp(min=0) + ridges.view(-1, 1)).sqrt()
        targets = torch.stack([mean, deviations], dim=1)
    else:
        kind = WassersteinLoss
        targets = torch.cat([mean.unsqueeze(2), _covariance_roots(mean, second, ridges)], dim=2)
    return kind(term.name, weight, term.layer, targets, ridges, term.shares, factor=factor, guide=term.guide)


def _covariance_roots(mean: Tensor, second: Tensor, ridges: Tensor) -> Tensor:
    """Return R with R R^T = covariance + ridge, (S, C, K), of means (S, C) and second moments.

    Directions in which a painting does not vary are 0; those in which none does are left out: at coarse
    scales, with fewer positions than channels, most of the C.
    """
    covariance = second - mean.unsqueeze(2) * mean.unsqueeze(1)
    eigenvalues, vectors = torch.linalg.eigh((covariance + covariance.mT) / 2)  # ascending
    flat = eigenvalues < FLAT * ridges.view(-1, 1)
    lengths = (eigenvalues.clamp(min=0) + ridges.view(-1, 1)).sqrt().masked_fill(flat, 0)
    roots: Tensor = (vectors * lengths.unsqueeze(1))[..., int(flat.sum(1).min()) :]
    return roots
