"""The losses of a run at one scale, bound to its inputs: total = alpha L_content + beta L_style + ..."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from impasto.config.conventions import Convention, content_factor, style_factor, variation_form
from impasto.config.settings import Settings
from impasto.inputs.pictures import Inputs, ScaledInputs
from impasto.inputs.shared import Shared
from impasto.losses import smoothness, structure, style_targets
from impasto.losses.content import ContentLoss
from impasto.losses.gram import GramLoss
from impasto.losses.loss import Loss
from impasto.losses.regions import groups
from impasto.losses.smoothness import TotalVariation
from impasto.losses.style_targets import Parts, features, paintings
from impasto.network.backprop import FeatureExtractor
from impasto.network.layers import LAYERS, NEUTRAL, stride
from impasto.network.vgg import VGG19


def layers_of(
    settings: Settings, extra_losses: Sequence[Loss], inputs: Inputs | None = None
) -> list[str]:
    """Return the layers that the losses of the settings, of styles, a strength and others read."""
    named = set() if inputs is None else inputs.layers(settings)
    named |= {layer for loss in extra_losses for layer in loss.layers}
    if settings.strength is not None:
        named.update(NEUTRAL)
    if settings.content_term or settings.self_similarity:
        named.update(name for name, weight in settings.content_layers.items() if weight)
    if settings.style_term and inputs is None:
        named.update(name for name, weight in settings.style_layers.items() if weight)
    return [layer for layer in LAYERS if layer in named]


@torch.no_grad()
def bind(
    network: FeatureExtractor | VGG19,
    targets: ScaledInputs,
    settings: Settings,
    workshop: Shared | None = None,
    *,
    tile: int = 0,
    compact: bool = False,
    on_part: Callable[[], None] | None = None,
) -> list[Loss]:
    """Return the losses of the settings with their targets.

    Args:
        network: The features' source.
        targets: The inputs at this scale.
        settings: Weights, layers and convention count.
        workshop: Where targets are shared between runs.
        tile: Edge of the parts that the inputs are computed in; 0 computes them whole.
        compact: Keep the photo's features in 16 bits.
        on_part: Called after every part.
    """
    workshop = workshop or Shared(0)
    network = FeatureExtractor.of(network)
    losses: list[Loss] = []
    convention = settings.convention
    if settings.content_term:
        alpha, kept = settings.content_weight, settings.content_layers
        asked = tuple(name for name, weight in kept.items() if weight)
        photo = workshop.get(
            ("content", network, targets, asked, tile, compact),
            lambda: features(network, targets.content, asked, (tile, on_part), compact),
        )
        losses += [
            ContentLoss(
                f"content.{name}",
                alpha * kept[name],
                name,
                found,
                convention,
                factor=content_factor(convention, found.shape[1], found[0, 0].numel()),
            )
            for name, found in photo.items()
        ]
    if settings.style_term:
        losses += _style_losses(network, targets, settings, workshop, (tile, on_part))
    losses += _structure_losses(network, targets, settings, (tile, on_part))
    return losses + _clean_losses(targets, settings)


def _structure_losses(
    network: FeatureExtractor, targets: ScaledInputs, settings: Settings, parts: Parts
) -> list[Loss]:
    """Return the losses that keep more of the photo than its features."""
    losses: list[Loss] = []
    if settings.laplacian:
        pool = settings.laplacian_pool
        kept = structure.laplacian(targets.content, pool)
        edges = settings.laplacian, kept, pool
        losses.append(structure.LaplacianLoss(*edges, factor=structure.LAPLACIAN))
    if settings.self_similarity:
        weighed = {name: weight for name, weight in settings.content_layers.items() if weight}
        photo = features(network, targets.content, tuple(weighed), parts, False)
        for name, found in photo.items():
            at = structure.places(found.shape[2], found.shape[3], settings.seed).to(found.device)
            rows = torch.arange(len(at), device=found.device)
            apart = structure.distances(structure.at_places(found, at, rows, len(at)))
            weight = settings.self_similarity * weighed[name]
            given = f"self_similarity.{name}", weight, name, apart, at
            losses.append(structure.SelfSimilarity(*given, factor=structure.SIMILARITY))
    return losses


def _clean_losses(targets: ScaledInputs, settings: Settings) -> list[Loss]:
    """Return the losses on the canvas alone."""
    losses: list[Loss] = []
    if settings.total_variation:
        form, factor = variation_form(settings.convention, settings.total_variation_form)
        losses.append(TotalVariation(settings.total_variation, form=form, factor=factor))
    if settings.grain:
        shared = zip(targets.styles, targets.shares.tolist(), strict=True)
        styles = [style for style, share in shared if share and settings.style_term]
        allowed = smoothness.grain_of([targets.content, *styles])
        height, width = targets.content.shape[-2:]
        losses.append(
            smoothness.Grain(settings.grain, allowed, (height, width), factor=smoothness.GRAIN)
        )
    return losses


def _style_losses(
    network: FeatureExtractor,
    targets: ScaledInputs,
    settings: Settings,
    workshop: Shared,
    parts: Parts,
) -> list[Loss]:
    """Return the losses of the paintings, one for each layer and region."""
    kind, convention = settings.style_statistic, settings.convention
    found = groups(targets, settings)
    asked: dict[int, list[str]] = {}  # of each painting
    for group in found:
        for number in group.styles:
            asked.setdefault(number, []).append(group.layer)
    names = tuple((number, tuple(layers)) for number, layers in sorted(asked.items()))
    drawn = settings.seed if kind == "sliced" else None
    known = workshop.get(
        ("style", network, targets, names, parts[0], kind, drawn),
        lambda: paintings(network, targets, names, parts, kind, settings.seed),
    )
    losses: list[Loss] = []
    for group in found:
        painted = style_targets.joined([known[n][group.layer] for n in group.styles])
        factor = _style_factor(convention, group.layer, targets, painted.second, group.shares)
        weight = settings.style_weight * group.weight
        given = group.name, weight, group.layer
        if kind == "gram":
            losses.append(
                GramLoss(
                    *given,
                    painted.second,
                    group.shares,
                    convention,
                    factor=factor,
                    guide=group.guide,
                )
            )
            continue
        own_form = kind == "wasserstein" and convention == "crowsonkb"
        factor *= style_targets.factor(kind, painted.second, group.shares, own_form)
        losses.append(style_targets.loss(kind, *given, painted, group.shares, factor, group.guide))
    return losses


def _style_factor(
    convention: Convention, layer: str, targets: ScaledInputs, painting: Tensor, shares: Tensor
) -> float:
    """Return the convention's factor of a style layer for the canvas' real size at this scale."""
    height, width = targets.content.shape[-2:]  # the canvas has the photo's size
    positions = (height // stride(layer)) * (width // stride(layer))
    mean = (painting * shares.view(-1, 1, 1)).sum(0)  # of several paintings, (C, C)
    spread = float(mean.trace()), float(mean.square().sum())
    return style_factor(convention, mean.shape[0], positions, height * width, *spread)
