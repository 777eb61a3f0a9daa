"""What photo and paintings amount to in the network, for the losses to compare the canvas with.

The photo's features and the paintings' statistics are values and sums of positions, so they are had in tiles
like everything else, and are the same whole or in tiles but for rounding.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from impasto import distributions, moments
from impasto.chain import Chain
from impasto.distributions import Painted
from impasto.guides import at_layer, guide_in
from impasto.inputs import Targets
from impasto.layers import stride
from impasto.losses import Statistics, add_statistics, gram_matrix, guided_gram
from impasto.regions import check_source
from impasto.tiles import Window, tiles

Parts = tuple[int, Callable[[], None] | None]  # their edge, and what is called after each
Kind = Literal["gram"] | distributions.Kind
HALF_MAX = 30_000.0  # features above it are kept in bf16, as float16 ends at 65504


def features(
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


def paintings(
    network: Chain,
    targets: Targets,
    names: Sequence[tuple[int, tuple[str, ...]]],
    parts: Parts,
    kind: Kind,
    seed: int,
) -> dict[int, dict[str, Painted]]:
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
    network: Chain,
    targets: Targets,
    number: int,
    names: Sequence[str],
    parts: Parts,
    kind: Kind,
    seed: int,
) -> dict[str, Painted]:
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
        return {n: distributions.painted_whole(whole.pop(n), seed, guides.get(n)) for n in names}
    if kind == "gram":
        return _normalised_grams(network, style, names, parts, guides)
    sums: dict[str, Statistics] = {}
    for part, windows in _parts(network, style, names, parts):
        for name in names:
            rows, columns = windows[name].inner
            weights = guide_in(guides[name], windows[name]) if name in guides else None
            here = moments.first_and_second(part[name][..., rows, columns], weights)
            sums[name] = add_statistics(sums[name], here) if name in sums else here
    return {name: distributions.painted(sums[name]) for name in names}


def _normalised_grams(
    network: Chain,
    style: Tensor,
    names: Sequence[str],
    parts: Parts,
    guides: Mapping[str, Tensor],
) -> dict[str, Painted]:
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
    return {name: Painted(gram.new_zeros(gram.shape[:2]), gram) for name, gram in found.items()}


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
