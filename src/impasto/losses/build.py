"""Builds the losses of a run at one scale: total = alpha L_content + beta L_style + ..."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from impasto.config.conventions import content_factor, style_factor, variation_form
from impasto.config.settings import Settings
from impasto.errors import InputError
from impasto.inputs.pictures import Inputs, ScaledInputs
from impasto.inputs.shared import Shared
from impasto.losses import neighbors, smoothness, structure, style_targets
from impasto.losses.content import ContentLoss
from impasto.losses.gram import GramLoss
from impasto.losses.loss import Loss, border_weights, check_loss
from impasto.losses.regions import StyleTerm, style_terms
from impasto.losses.smoothness import TotalVariation
from impasto.losses.style_targets import StyleStatistics
from impasto.network.backprop import FeatureExtractor
from impasto.network.hypercolumns import GRIDS
from impasto.network.hypercolumns import LAYERS as HYPERCOLUMN
from impasto.network.layers import LAYERS, positions, stride
from impasto.network.tiled_features import TiledFeatures
from impasto.network.vgg import VGG19


def layers_of(settings: Settings, extra_losses: Sequence[Loss], inputs: Inputs | None = None) -> list[str]:
    """Return the layers that a run reads, in the network's order.

    Styles of the `inputs` may have layers of their own; without inputs those of the settings count.
    """
    names = set() if inputs is None else inputs.layers(settings)
    if not isinstance(extra_losses, Sequence):
        raise InputError("extra_losses must be a list: extra_losses=[impasto.Penalty(...)]")
    for loss in extra_losses:
        check_loss(loss)
        names |= set(loss.layers)
    if settings.content_term or settings.self_similarity:
        names.update(_content_layers(settings))
    if settings.style_term and inputs is None:
        names.update(name for name, weight in settings.style_layers.items() if weight)
    if settings.compares_neighbors:
        names.update(HYPERCOLUMN)
    return [layer for layer in LAYERS if layer in names]


@torch.no_grad()
def build_losses(
    network: FeatureExtractor | VGG19,
    pictures: ScaledInputs,
    settings: Settings,
    shared: Shared | None = None,
    *,
    tile: int = 0,
    compact: bool = False,
    on_part: Callable[[], None] | None = None,
    start: Tensor | None = None,
) -> list[Loss]:
    """Return the losses of the settings with their targets.

    The targets are computed in tiles of `tile` px (0: whole) and shared through `shared`; `compact` stores
    the photo's features in 16 bits, and `on_part` is called after every tile. `start` is the canvas,
    (1, 3, H, W), with which a scale begins whose style is compared by nearest neighbors; None at others.
    """
    shared = shared or Shared(0)
    features = TiledFeatures(FeatureExtractor.of(network), tile, on_part)
    losses: list[Loss] = []
    if settings.content_term:
        losses += _content_losses(features, pictures, settings, shared, compact)
    if settings.style_term and start is not None:
        border = {layer: _border_weights(pictures, settings, layer) for layer in GRIDS}
        losses += neighbors.neighbor_losses(features, pictures, start, settings, shared, border=border)
        losses.append(
            TotalVariation(settings.effective_style_weight, "style.smoothness", factor=neighbors.SMOOTHNESS)
        )
    elif settings.style_term:
        losses += _style_losses(features, pictures, settings, shared)
    losses += _structure_losses(features, pictures, settings)
    return losses + _canvas_losses(pictures, settings)


def _content_layers(settings: Settings) -> dict[str, float]:
    return {name: weight for name, weight in settings.content_layers.items() if weight}


def _content_losses(
    features: TiledFeatures, pictures: ScaledInputs, settings: Settings, shared: Shared, compact: bool
) -> list[Loss]:
    """Return the distances from the photo's features, one for each layer."""
    weights, convention = _content_layers(settings), settings.convention
    layers = tuple(weights)
    photo = shared.get(
        ("content", features.network, pictures, layers, features.tile, compact),
        lambda: features.whole(pictures.content, layers, compact=compact),
        photo=True,
    )
    return [
        ContentLoss(
            f"content.{name}",
            settings.content_weight * weights[name],
            name,
            target,
            convention,
            factor=content_factor(convention, target.shape[1], target[0, 0].numel()),
            guide=_border_weights(pictures, settings, name),
        )
        for name, target in photo.items()
    ]


def _border_weights(pictures: ScaledInputs, settings: Settings, layer: str) -> Tensor | None:
    """Return the weights of a layer's positions by the pixels that they stand for; None: all count alike.

    With zero padding and max pooling the outermost positions are so weak that none is weighed.
    """
    if settings.padding == "zero" and settings.pooling == "max":
        return None
    height, width = pictures.content.shape[-2:]
    weights = border_weights(height, width, layer, settings.partial_windows)
    return None if weights is None else weights.to(pictures.content)


def _structure_losses(features: TiledFeatures, pictures: ScaledInputs, settings: Settings) -> list[Loss]:
    """Return the losses that preserve the photo's structure."""
    losses: list[Loss] = []
    if settings.laplacian:
        pool = settings.laplacian_pool
        target = structure.laplacian(pictures.content, pool)
        losses.append(structure.LaplacianLoss(settings.laplacian, target, pool, factor=structure.LAPLACIAN))
    if settings.self_similarity:
        weights = _content_layers(settings)
        for name, photo in features.whole(pictures.content, tuple(weights)).items():
            places = structure.places(photo.shape[2], photo.shape[3], settings.seed)
            places = places.to(photo.device)
            rows = torch.arange(len(places), device=photo.device)
            points = structure.at_places(photo, places, rows, len(places))
            losses.append(
                structure.SelfSimilarity(
                    f"self_similarity.{name}",
                    settings.self_similarity * weights[name],
                    name,
                    structure.distances(points),
                    places,
                    factor=structure.SIMILARITY,
                )
            )
    return losses


def _canvas_losses(pictures: ScaledInputs, settings: Settings) -> list[Loss]:
    """Return the losses on the canvas alone."""
    losses: list[Loss] = []
    if settings.total_variation:
        form, factor = variation_form(settings.convention, settings.total_variation_form)
        losses.append(TotalVariation(settings.total_variation, form=form, factor=factor))
    if settings.grain:
        shares = zip(pictures.styles, pictures.shares.tolist(), strict=True)
        styles = [style for style, share in shares if share and settings.style_term]
        allowed = smoothness.grain_of(styles or [pictures.content])
        height, width = pictures.content.shape[-2:]
        losses.append(smoothness.Grain(settings.grain, allowed, (height, width), factor=smoothness.GRAIN))
    return losses


def _style_losses(
    features: TiledFeatures, pictures: ScaledInputs, settings: Settings, shared: Shared
) -> list[Loss]:
    """Return the losses of the paintings, one for each layer and region."""
    terms = style_terms(pictures, settings)
    layers: dict[int, list[str]] = {}  # of each painting
    for term in terms:
        for number in term.styles:
            layers.setdefault(number, []).append(term.layer)
    statistics = {
        number: _statistics_of(features, pictures, number, tuple(layers[number]), settings, shared)
        for number in sorted(layers)
    }
    return [
        _style_loss(
            term,
            style_targets.joined([statistics[number][term.layer] for number in term.styles]),
            pictures,
            settings,
        )
        for term in terms
    ]


def _statistics_of(
    features: TiledFeatures,
    pictures: ScaledInputs,
    number: int,
    layers: tuple[str, ...],
    settings: Settings,
    shared: Shared,
) -> Mapping[str, StyleStatistics]:
    """Return the statistics of a painting, by layer; shared by all runs that see the same of it."""
    statistic, painting = style_targets.statistic_of(settings), pictures.styles[number]
    guide = pictures.source_guides[number] if pictures.source_guides else None
    seed = settings.seed if statistic == "sliced" else None
    return shared.get(
        ("style", features.network, painting, guide, layers, features.tile, statistic, seed),
        lambda: style_targets.painting_statistics(
            features, pictures, number, layers, statistic, settings.seed
        ),
    )


def _style_loss(
    term: StyleTerm, paintings: StyleStatistics, pictures: ScaledInputs, settings: Settings
) -> Loss:
    """Return the loss of one layer and region."""
    statistic, convention = style_targets.statistic_of(settings), settings.convention
    weight = settings.effective_style_weight * term.weight
    factor = _style_factor(settings, term.layer, pictures, paintings.second, term.shares)
    weights = _border_weights(pictures, settings, term.layer)
    if weights is not None:
        term = replace(term, guide=weights if term.guide is None else term.guide * weights)
    if statistic == "gram":
        return GramLoss(
            term.name,
            weight,
            term.layer,
            paintings.second,
            term.shares,
            convention,
            factor=factor,
            guide=term.guide,
        )
    own_form = statistic == "wasserstein" and convention == "crowsonkb"
    factor *= style_targets.factor_of(statistic, paintings.second, term.shares, own_form)
    return style_targets.distribution_loss(statistic, term, paintings, weight, factor)


def _style_factor(
    settings: Settings, layer: str, pictures: ScaledInputs, second: Tensor, shares: Tensor
) -> float:
    """Return the convention's factor of a style layer for the canvas' real size at this scale."""
    height, width = pictures.content.shape[-2:]  # the canvas has the photo's size
    rows, columns = (positions(n, stride(layer), settings.partial_windows) for n in (height, width))
    mean = (second * shares.view(-1, 1, 1)).sum(0)  # of several paintings, (C, C)
    trace, squares = float(mean.trace()), float(mean.square().sum())
    return style_factor(settings.convention, mean.shape[0], rows * columns, height * width, trace, squares)
