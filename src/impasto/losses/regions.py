"""Which paintings each style loss compares the canvas with, where, and how strongly.

The amount of style is the same at every position of the photo; the paintings used there share it in the ratio
of their weights. Each region is compared by its own normalized statistics; its loss counts by its share of
the picture. So every position, in a small region or a large one, is painted as it would be in a run
on that painting alone.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import torch
from torch import Tensor

from impasto.config.settings import Settings
from impasto.errors import InputError
from impasto.inputs.masks import key, label
from impasto.inputs.pictures import ScaledInputs, StyleUse
from impasto.losses.loss import at_layer
from impasto.messages import printable
from impasto.network.layers import PartialWindows

LEAST = 1.0  # positions of a layer that a mask must leave for its statistics to mean anything

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StyleTerm:
    """One style loss: the numbers of the paintings that it compares with in a layer, and where.

    `shares` are those of these paintings, (S,), and sum to one; `weight` is without the style weight; `guide`
    weighs the positions, (1, 1, h, w) at the layer's size; None: all count alike.
    """

    name: str
    layer: str
    weight: float
    styles: tuple[int, ...]
    shares: Tensor
    guide: Tensor | None = None


def style_terms(pictures: ScaledInputs, settings: Settings) -> list[StyleTerm]:
    """Return the style losses of a run at one scale.

    Raises:
        InputError: A mask leaves no position in any layer.
    """
    general = {name: weight for name, weight in settings.style_layers.items() if weight}
    numbers = tuple(range(len(pictures.styles)))
    guided = any(guide is not None for guide in pictures.guides)
    if not guided and all(use.plain for use in pictures.uses):
        return [
            StyleTerm(f"style.{name}", name, weight, numbers, pictures.shares)
            for name, weight in general.items()
        ]
    weights = [general if use.layers is None else dict(use.layers) for use in pictures.uses]
    names: list[str] = []  # of the styles in the names of the losses; no two are the same
    for number, name in enumerate(pictures.names):
        stem = PurePath(name).stem or str(number + 1)
        names.append(stem if stem not in names else f"{stem}-{number + 1}")
    terms: list[StyleTerm] = []
    too_small: dict[str, list[str]] = {}  # layers by region
    for layer in dict.fromkeys(name for own in weights for name, weight in own.items() if weight):
        layer_weights = [own.get(layer, 0.0) for own in weights]
        terms += _terms_of_layer(layer, pictures, layer_weights, names, too_small, settings.partial_windows)
    for number in numbers:
        if not any(number in term.styles for term in terms) and float(pictures.shares[number]) > 0:
            raise _too_small(pictures, number, "every layer")
    for region, layers in too_small.items():
        log.warning("the region %s is too small for %s: left out there", region, ", ".join(layers))
    return terms


def _too_small(pictures: ScaledInputs, number: int, layers: str) -> InputError:
    but = "" if pictures.kept is None else ", but for what is protected,"
    return InputError(
        f"the region {label(pictures.uses[number].mask)}{but} is less than one position of {layers}; make it "
        "larger, or use a larger --size"
    )


def _terms_of_layer(
    layer: str,
    pictures: ScaledInputs,
    weights: Sequence[float],
    names: Sequence[str],
    too_small: dict[str, list[str]],
    partial: PartialWindows,
) -> list[StyleTerm]:
    """Return the losses of one layer, one for each mask; `weights` are those of the layer by style.

    Regions that are too small for it are added to `too_small`.
    """
    shares, regions = pictures.shares.tolist(), [key(use.mask) for use in pictures.uses]
    active = [n for n, weight in enumerate(weights) if weight > 0 and shares[n] > 0]
    guides: dict[object, Tensor | None] = {}
    for number in active:
        full = pictures.guides[number]
        guides.setdefault(regions[number], None if full is None else at_layer(full, layer, partial))
    for region in list(guides):
        guide = guides[region]
        if guide is not None and float(guide.sum()) < LEAST:
            mask = pictures.uses[regions.index(region)].mask
            too_small.setdefault(label(mask), []).append(layer)
            del guides[region]
    active = [number for number in active if regions[number] in guides]
    parts = _factors([(regions[number], shares[number]) for number in active], guides)
    terms = []
    for region, guide in guides.items():
        members = [n for n in active if regions[n] == region]
        factors = [weights[n] * part for n, part in zip(active, parts, strict=True) if n in members]
        total = sum(factors)
        if total <= 0:
            continue
        suffix = "" if region is None else f".{names[members[0]]}"
        terms.append(
            StyleTerm(
                name=f"style.{layer}{suffix}",
                layer=layer,
                weight=total,
                styles=tuple(members),
                shares=torch.tensor([factor / total for factor in factors], device=pictures.shares.device),
                guide=guide,
            )
        )
    return terms


def _factors(active: Sequence[tuple[object, float]], guides: dict[object, Tensor | None]) -> list[float]:
    """Return the share of the whole picture's style that each style gets, of (region, share)."""
    if all(guide is None for guide in guides.values()):
        total = sum(share for _, share in active)
        return [share / total for _, share in active]
    amounts = _amounts(active, guides)
    return [share * float(amounts[region].mean()) for region, share in active]


def _amounts(
    active: Sequence[tuple[object, float]], guides: dict[object, Tensor | None]
) -> dict[object, Tensor]:
    """Return how much each region's styles count at a position, for a share of one, (1, 1, h, w).

    It is t / sum (t w), times min(1, sum t). w are the shares, t the regions' guides; one of them is no None.
    """
    like = next(guide for guide in guides.values() if guide is not None)
    zeros, full = torch.zeros_like(like), torch.ones_like(like)
    each = {region: full if guide is None else guide for region, guide in guides.items()}
    weighted = sum((each[region] * share for region, share in active), zeros)
    covered = sum(each.values(), zeros).clamp(max=1.0)
    amount = torch.where(weighted > 0, covered / weighted, zeros)
    return {region: guide * amount for region, guide in each.items()}


def weights_of_styles(
    pictures: ScaledInputs, layer: str, partial: PartialWindows
) -> list[Tensor] | list[float]:
    """Return how much each painting counts at the positions of a layer, (1, 1, h, w) or a number.

    Raises:
        InputError: A mask leaves nothing.
    """
    shares = pictures.shares.tolist()
    if all(guide is None for guide in pictures.guides):
        return shares
    regions = [key(use.mask) for use in pictures.uses]
    guides: dict[object, Tensor | None] = {}
    for number, region in enumerate(regions):
        full = pictures.guides[number]
        guides.setdefault(region, None if full is None else at_layer(full, layer, partial))
        guide = guides[region]
        if guide is not None and shares[number] and not float(guide.sum()):
            raise _too_small(pictures, number, layer)
    active = [(region, share) for region, share in zip(regions, shares, strict=True) if share]
    amounts = _amounts(active, {region: guides[region] for region, _ in active})
    return [
        share * amounts[region] if share else torch.zeros(())
        for region, share in zip(regions, shares, strict=True)
    ]


def check_source(guide: Tensor, use: StyleUse, painting: str, layer: str) -> None:
    """Refuse a source mask that leaves nothing of its painting in a layer."""
    if float(guide.sum()) < LEAST:
        raise InputError(
            f"the mask {label(use.source_mask)} leaves too little of the painting {printable(painting)} "
            f"for {layer}; paint more of it white, or use a larger --size"
        )
