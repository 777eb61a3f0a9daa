"""Style as the distribution of a layer's features, compared by something else than Gram matrices.

The form is that of `loss`: `measure` adds up over positions, `value` makes a scalar of it. D is a distance
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

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from impasto.inputs.pictures import ScaledInputs
from impasto.losses import moments
from impasto.losses.gram import gram_matrix, guided_gram
from impasto.losses.loss import Statistics, add_statistics, at_layer, guide_in
from impasto.losses.moments import LEAST, MomentsLoss, WassersteinLoss, exact, first_and_second
from impasto.losses.regions import check_source
from impasto.losses.sliced import SlicedLoss, at_levels, directions, quantiles
from impasto.network.backprop import FeatureExtractor
from impasto.network.layers import stride
from impasto.network.tiles import Window, tiles

Kind = Literal["moments", "wasserstein", "sliced"]
RIDGE = 1e-4  # of the painting's mean square, added to variances
# The factor besides: with it an untouched photo has about the style loss that it has with Gram matrices. The
# inverse of the geometric mean of three pairs at 128 and 256 px; docs/control/statistics.md has the figures.
STRENGTH: dict[Kind, float] = {"moments": 0.75, "wasserstein": 0.33, "sliced": 0.88}


@dataclass(frozen=True)
class StyleStatistics:
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


def painted(sums: Statistics) -> StyleStatistics:
    """Return what a painting amounts to, from what `first_and_second` summed over all of it."""
    number, first, second = sums
    number = number.clamp(min=LEAST)
    return StyleStatistics(first / number, second / number)


def painted_whole(features: Tensor, seed: int, guide: Tensor | None = None) -> StyleStatistics:
    """Return the same of features (1, C, h, w), with their sorted projections along seeded directions."""
    known = painted(first_and_second(features, guide))
    along = directions(features.shape[1], seed).to(features.device)
    return replace(known, quantiles=quantiles(features, along, guide)[None], directions=along)


def joined(paintings: Sequence[StyleStatistics]) -> StyleStatistics:
    """Return several paintings, of S = 1 each, as one; the projections of each at equally many levels."""
    mean, second = (torch.cat([getattr(p, name) for p in paintings]) for name in ("mean", "second"))
    known = [p.quantiles for p in paintings if p.quantiles is not None]
    if not known:
        return StyleStatistics(mean, second)
    count = max(found.shape[2] for found in known)
    levels = (torch.arange(count, dtype=torch.float64, device=mean.device) + 0.5) / count
    same = [at_levels(levels.expand(found.shape[1], -1), found[0]) for found in known]
    return StyleStatistics(mean, second, torch.stack(same), paintings[0].directions)


def loss(
    kind: Kind,
    name: str,
    weight: float,
    layer: str,
    found: StyleStatistics,
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


Parts = tuple[int, Callable[[], None] | None]  # their edge, and what is called after each
StatisticName = Literal["gram"] | Kind
HALF_MAX = 30_000.0  # features above it are kept in bf16, as float16 ends at 65504


def features(
    network: FeatureExtractor, image: Tensor, names: Sequence[str], parts: Parts, compact: bool
) -> dict[str, Tensor]:
    """Return what the photo's layers hold, (1, C, h, w), as computed or, compact, in 16 bits."""
    whole: dict[str, Tensor] = {}
    for part, windows in _parts(network, image, names, parts):
        for name in names:
            inner, outer = windows[name].inner, windows[name].outer
            found = part[name][..., inner[0], inner[1]]
            if name not in whole:
                kind = found.dtype  # in bf16 there is nothing more to keep
                if compact and kind != torch.bfloat16:
                    kind = torch.float16 if found.abs().max() < HALF_MAX else torch.bfloat16
                edges = [length // stride(name) for length in image.shape[-2:]]
                whole[name] = torch.empty(
                    (1, found.shape[1], *edges),
                    dtype=kind,
                    device=image.device,
                    memory_format=torch.channels_last,
                )
            whole[name][..., outer[0], outer[1]] = found
    return whole


def paintings(
    network: FeatureExtractor,
    targets: ScaledInputs,
    names: Sequence[tuple[int, tuple[str, ...]]],
    parts: Parts,
    kind: StatisticName,
    seed: int,
) -> dict[int, dict[str, StyleStatistics]]:
    """Return what the paintings amount to, by number and layer; of their parts where they have masks.

    Args:
        network: The features' source.
        targets: The paintings, and their masks.
        names: The number of each painting that is asked for, and its layers.
        parts: In which they are computed.
        kind: The statistic.
        seed: Of the directions of `sliced`.
    """
    return {n: _painting(network, targets, n, layers, parts, kind, seed) for n, layers in names}


def _painting(
    network: FeatureExtractor,
    targets: ScaledInputs,
    number: int,
    names: Sequence[str],
    parts: Parts,
    kind: StatisticName,
    seed: int,
) -> dict[str, StyleStatistics]:
    style = targets.styles[number]
    mask = targets.source_guides[number] if targets.source_guides else None
    guides = {} if mask is None else {name: at_layer(mask, name) for name in names}
    for name, guide in guides.items():
        check_source(guide, targets.uses[number], targets.names[number], name)
    canvas = max(targets.content.shape[-2:])
    if not parts[0] and max(style.shape[-2:]) > canvas:  # no more at a time than of the canvas
        parts = canvas, parts[1]
    if kind == "sliced":  # ranks are known of the whole layer only
        whole = features(network, style, names, parts, False)
        return {n: painted_whole(whole.pop(n), seed, guides.get(n)) for n in names}
    if kind == "gram":
        return _normalised_grams(network, style, names, parts, guides)
    sums: dict[str, Statistics] = {}
    for part, windows in _parts(network, style, names, parts):
        for name in names:
            rows, columns = windows[name].inner
            weights = guide_in(guides[name], windows[name]) if name in guides else None
            here = moments.first_and_second(part[name][..., rows, columns], weights)
            sums[name] = add_statistics(sums[name], here) if name in sums else here
    return {name: painted(sums[name]) for name in names}


def _normalised_grams(
    network: FeatureExtractor,
    style: Tensor,
    names: Sequence[str],
    parts: Parts,
    guides: Mapping[str, Tensor],
) -> dict[str, StyleStatistics]:
    """Return A / M_a, (1, C, C), of one painting for each layer, as its second moments."""
    edges = style.shape[-2:]
    sums: dict[str, Tensor] = {}
    positions: dict[str, float | Tensor] = {
        n: (edges[0] // stride(n)) * (edges[1] // stride(n)) for n in names if n not in guides
    }
    for part, windows in _parts(network, style, names, parts):
        for name in names:
            rows, columns = windows[name].inner
            some = part[name][..., rows, columns]
            if name in guides:
                gram, weight = guided_gram(some, guide_in(guides[name], windows[name]))
                positions[name] = positions.get(name, 0.0) + weight
            else:
                gram = gram_matrix(some)
            sums[name] = sums[name] + gram if name in sums else gram
    found = {name: gram / positions[name] for name, gram in sums.items()}
    return {
        name: StyleStatistics(gram.new_zeros(gram.shape[:2]), gram) for name, gram in found.items()
    }


def _parts(
    network: FeatureExtractor, image: Tensor, names: Sequence[str], parts: Parts
) -> Iterator[tuple[dict[str, Tensor], dict[str, Window]]]:
    """Yield the features of each tile, or of the whole, and what counts of them."""
    height, width = image.shape[-2:]
    tile, on_part = parts
    for item in tiles(height, width, tile or max(height, width), names):
        part = image[..., item.rows, item.columns]
        yield network.forward(part, names, keep=False).features, item.windows
        if on_part is not None:
            on_part()
