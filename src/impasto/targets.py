"""The losses of a run at one scale, bound to its inputs: total = alpha L_content + beta L_style + ...

The photo's features and the paintings' Gram matrices are sums and values of positions, so they are had in
tiles like everything else, and are the same whole or in tiles but for rounding.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from impasto.chain import Chain
from impasto.conventions import Convention, content_factor, style_factor, variation_form
from impasto.guides import at_layer, guide_in
from impasto.inputs import Inputs, Targets
from impasto.layers import LAYERS, stride
from impasto.losses import ContentLoss, GramLoss, Loss, TotalVariation, gram_matrix, guided_gram
from impasto.regions import check_source, groups
from impasto.settings import Settings
from impasto.tiles import Window, tiles
from impasto.vgg import VGG19
from impasto.workshop import Workshop

Parts = tuple[int, Callable[[], None] | None]  # their edge, and what is called after each
HALF_MAX = 30_000.0  # features above it are kept in bf16, as float16 ends at 65504


def layers_of(
    settings: Settings, extra_losses: Sequence[Loss], inputs: Inputs | None = None
) -> list[str]:
    """Return the layers that the losses of the settings, of styles with their own, and further ones read."""
    named = set() if inputs is None else inputs.layers(settings)
    named |= {layer for loss in extra_losses for layer in loss.layers}
    if settings.content_term:
        named.update(name for name, weight in settings.content_layers.items() if weight)
    if settings.style_term and inputs is None:
        named.update(name for name, weight in settings.style_layers.items() if weight)
    return [layer for layer in LAYERS if layer in named]


@torch.no_grad()
def bind(
    network: Chain | VGG19,
    targets: Targets,
    settings: Settings,
    workshop: Workshop | None = None,
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
    workshop = workshop or Workshop(0)
    network = Chain.of(network)
    losses: list[Loss] = []
    convention = settings.convention
    if settings.content_term:
        alpha, kept = settings.content_weight, settings.content_layers
        asked = tuple(name for name, weight in kept.items() if weight)
        features = workshop.once(
            ("content", network, targets, asked, tile, compact),
            lambda: _features(network, targets.content, asked, (tile, on_part), compact),
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
            for name, found in features.items()
        ]
    if settings.style_term:
        losses += _style_losses(network, targets, settings, workshop, (tile, on_part))
    if settings.total_variation:
        form, factor = variation_form(convention)
        losses.append(TotalVariation(settings.total_variation, form=form, factor=factor))
    return losses


def _style_losses(
    network: Chain, targets: Targets, settings: Settings, workshop: Workshop, parts: Parts
) -> list[Loss]:
    """Return the losses of the paintings, one for each layer and region."""
    found = groups(targets, settings)
    asked: dict[int, list[str]] = {}  # of each painting
    for group in found:
        for number in group.styles:
            asked.setdefault(number, []).append(group.layer)
    names = tuple((number, tuple(layers)) for number, layers in sorted(asked.items()))
    grams = workshop.once(
        ("style", network, targets, names, parts[0]),
        lambda: {n: _normalised_grams(network, targets, n, layers, parts) for n, layers in names},
    )
    convention = settings.convention
    losses: list[Loss] = []
    for group in found:
        painting = torch.cat([grams[number][group.layer] for number in group.styles])
        factor = _style_factor(convention, group.layer, targets, painting, group.shares)
        losses.append(
            GramLoss(
                group.name,
                settings.style_weight * group.weight,
                group.layer,
                painting,
                group.shares,
                convention,
                factor=factor,
                guide=group.guide,
            )
        )
    return losses


def _style_factor(
    convention: Convention, layer: str, targets: Targets, painting: Tensor, shares: Tensor
) -> float:
    """Return the convention's factor of a style layer for the canvas' real size at this scale."""
    height, width = targets.content.shape[-2:]  # the canvas has the photo's size
    positions = (height // stride(layer)) * (width // stride(layer))
    mean = (painting * shares.view(-1, 1, 1)).sum(0)  # of several paintings, (C, C)
    spread = float(mean.trace()), float(mean.square().sum())
    return style_factor(convention, mean.shape[0], positions, height * width, *spread)


def _features(
    network: Chain, image: Tensor, names: Sequence[str], parts: Parts, compact: bool
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


def _normalised_grams(
    network: Chain, targets: Targets, number: int, names: Sequence[str], parts: Parts
) -> dict[str, Tensor]:
    """Return A / M_a, (1, C, C), of one painting for each layer; of its part where it has a mask."""
    style = targets.styles[number]
    mask = targets.source_guides[number] if targets.source_guides else None
    guides = {} if mask is None else {name: at_layer(mask, name) for name in names}
    for name, guide in guides.items():
        check_source(guide, targets.uses[number], targets.names[number], name)
    canvas = max(targets.content.shape[-2:])
    if not parts[0] and max(style.shape[-2:]) > canvas:  # no more at a time than of the canvas
        parts = canvas, parts[1]
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
    return {name: gram / positions[name] for name, gram in sums.items()}


def _parts(
    network: Chain, image: Tensor, names: Sequence[str], parts: Parts
) -> Iterator[tuple[dict[str, Tensor], dict[str, Window]]]:
    """Yield the features of each tile, or of the whole, and what counts of them."""
    height, width = image.shape[-2:]
    tile, on_part = parts
    for item in tiles(height, width, tile or max(height, width), names):
        part = image[..., item.rows, item.columns]
        yield network.forward(part, names, keep=False).features, item.windows
        if on_part is not None:
            on_part()
