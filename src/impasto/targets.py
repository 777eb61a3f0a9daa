"""The losses of a run at one scale, bound to its inputs: total = alpha L_content + beta L_style + ...

The photo's features and the paintings' Gram matrices are sums and values of positions, so they are had in
tiles like everything else, and are the same whole or in tiles but for rounding.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from impasto.chain import Chain
from impasto.conventions import Convention, content_factor, style_factor, variation_form
from impasto.inputs import Targets
from impasto.layers import LAYERS, NEUTRAL, stride
from impasto.losses import ContentLoss, GramLoss, Loss, TotalVariation, gram_matrix
from impasto.settings import Settings
from impasto.tiles import Window, tiles
from impasto.vgg import VGG19
from impasto.workshop import Workshop

Parts = tuple[int, Callable[[], None] | None]  # their edge, and what is called after each
HALF_MAX = 30_000.0  # features above it are kept in bf16, as float16 ends at 65504


def layers_of(settings: Settings, extra_losses: Sequence[Loss]) -> list[str]:
    """Return the layers that the losses of the settings, and further ones, read; a strength reads too."""
    named = {layer for loss in extra_losses for layer in loss.layers}
    if settings.strength is not None:
        named.update(NEUTRAL)
    if settings.content_term:
        named.update(name for name, weight in settings.content_layers.items() if weight)
    if settings.style_term:
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
        beta, painted = settings.style_weight, settings.style_layers
        names = tuple(name for name, weight in painted.items() if weight)
        painting = workshop.once(
            ("style", network, targets, names, tile),
            lambda: _paintings(network, targets.styles, names, (tile, on_part)),
        )
        losses += [
            GramLoss(
                f"style.{name}",
                beta * painted[name],
                name,
                painting[name],
                targets.shares,
                convention,
                factor=_style_factor(convention, name, targets, painting[name]),
            )
            for name in names
        ]
    if settings.total_variation:
        form, factor = variation_form(convention)
        losses.append(TotalVariation(settings.total_variation, form=form, factor=factor))
    return losses


def _style_factor(convention: Convention, layer: str, targets: Targets, painting: Tensor) -> float:
    """Return the convention's factor of a style layer for the canvas' real size at this scale."""
    height, width = targets.content.shape[-2:]  # the canvas has the photo's size
    positions = (height // stride(layer)) * (width // stride(layer))
    mean = (painting * targets.shares.view(-1, 1, 1)).sum(0)  # of several paintings, (C, C)
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


def _paintings(
    network: Chain, styles: Sequence[Tensor], names: Sequence[str], parts: Parts
) -> dict[str, Tensor]:
    """Return the normalised Gram matrices of all paintings, (S, C, C), for each layer."""
    grams = [_normalised_grams(network, style, names, parts) for style in styles]
    return {name: torch.cat([gram[name] for gram in grams]) for name in names}


def _normalised_grams(
    network: Chain, style: Tensor, names: Sequence[str], parts: Parts
) -> dict[str, Tensor]:
    """Return A / M_a, (1, C, C), of one painting for each layer."""
    sums: dict[str, Tensor] = {}
    for part, windows in _parts(network, style, names, parts):
        for name in names:
            rows, columns = windows[name].inner
            gram = gram_matrix(part[name][..., rows, columns])
            sums[name] = sums[name] + gram if name in sums else gram
    edges = style.shape[-2:]
    positions = {n: (edges[0] // stride(n)) * (edges[1] // stride(n)) for n in names}
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
