"""Which paintings each style loss compares the canvas with, where, and how strongly.

Everywhere in the photo there is the same amount of style, shared out among the paintings that are used
there, in the ratio of their weights. Each region is compared by its own normalised statistics; its loss
counts by its share of the picture, so that every position, in a small region or a large one, is painted as it
would be in a run on that painting alone.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import torch
from torch import Tensor

from impasto.config.settings import Settings
from impasto.errors import InputError
from impasto.inputs.masks import called, key
from impasto.inputs.pictures import ScaledInputs, StyleUse
from impasto.losses.loss import at_layer
from impasto.messages import printable

LEAST = 1.0  # positions of a layer that a mask must leave for its statistics to say anything

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StyleTerm:
    """Paintings that one loss compares with, in one layer.

    `name` is that of the loss; `weight` its factor but for the style weight; `styles` are numbers of
    paintings and `shares` (S,) their weights in it, which sum to one; `guide` is (1, 1, h, w) at the layer's
    size, or None for everywhere.
    """

    name: str
    layer: str
    weight: float
    styles: tuple[int, ...]
    shares: Tensor
    guide: Tensor | None = None


def groups(targets: ScaledInputs, settings: Settings) -> list[StyleTerm]:
    """Return the style losses of a run at one scale.

    Raises:
        InputError: A mask leaves no position in any layer.
    """
    general = {name: weight for name, weight in settings.style_layers.items() if weight}
    everyone = tuple(range(len(targets.styles)))
    guided = any(guide is not None for guide in targets.guides)
    if not guided and all(use.plain for use in targets.uses):
        return [
            StyleTerm(f"style.{name}", name, weight, everyone, targets.shares)
            for name, weight in general.items()
        ]
    weights = [general if use.layers is None else dict(use.layers) for use in targets.uses]
    names = _names(targets)
    found: list[StyleTerm] = []
    small: dict[str, list[str]] = {}  # layers by region
    for layer in dict.fromkeys(name for own in weights for name, weight in own.items() if weight):
        found += _at(layer, targets, [own.get(layer, 0.0) for own in weights], names, small)
    missing = [number for number in everyone if not any(number in group.styles for group in found)]
    for number in missing:
        if float(targets.shares[number]) > 0:
            raise InputError(_too_small(targets, number))
    for region, layers in small.items():
        log.warning("the region %s is too small for %s: left out there", region, ", ".join(layers))
    return found


def _at(
    layer: str,
    targets: ScaledInputs,
    weights: Sequence[float],
    names: Sequence[str],
    small: dict[str, list[str]],
) -> list[StyleTerm]:
    """Return the losses of one layer, one for each mask; `weights` are those of the layer by style.

    Regions that are too small for it are added to `small`.
    """
    shares = targets.shares.tolist()
    active = [n for n, weight in enumerate(weights) if weight > 0 and shares[n] > 0]
    guides: dict[object, Tensor | None] = {}
    for number in active:
        mask, full = targets.uses[number].mask, targets.guides[number]
        guides.setdefault(key(mask), None if full is None else at_layer(full, layer))
    for region in list(guides):
        guide = guides[region]
        if guide is not None and float(guide.sum()) < LEAST:
            use = next(use for use in targets.uses if key(use.mask) == region)
            small.setdefault(called(use.mask), []).append(layer)
            del guides[region]
    active = [number for number in active if key(targets.uses[number].mask) in guides]
    parts = _factors([(key(targets.uses[n].mask), shares[n]) for n in active], guides)
    losses = []
    for region, guide in guides.items():
        members = [n for n in active if key(targets.uses[n].mask) == region]
        factors = [weights[n] * part for n, part in zip(active, parts, strict=True) if n in members]
        total = sum(factors)
        if total <= 0:
            continue
        suffix = "" if region is None else f".{names[members[0]]}"
        shared = torch.tensor([factor / total for factor in factors], device=targets.shares.device)
        losses.append(
            StyleTerm(f"style.{layer}{suffix}", layer, total, tuple(members), shared, guide)
        )
    return losses


def _factors(
    active: Sequence[tuple[object, float]], guides: dict[object, Tensor | None]
) -> list[float]:
    """Return the share of the whole picture's style that falls to each style of (region, share).

    At a position it is t w / sum (t w), times how far the position is covered at all.
    """
    if all(guide is None for guide in guides.values()):
        total = sum(share for _, share in active)
        return [share / total for _, share in active]
    some = next(guide for guide in guides.values() if guide is not None)
    full = torch.ones_like(some)
    each = {region: full if guide is None else guide for region, guide in guides.items()}
    weighed = sum((each[region] * share for region, share in active), torch.zeros_like(some))
    covered = sum(each.values(), torch.zeros_like(some)).clamp(max=1.0)
    amount = torch.where(weighed > 0, covered / weighed, torch.zeros_like(some))
    return [share * float((each[region] * amount).mean()) for region, share in active]


def check_source(guide: Tensor, use: StyleUse, painting: str, layer: str) -> None:
    """Refuse a source mask that leaves nothing of its painting in a layer."""
    if float(guide.sum()) < LEAST:
        raise InputError(
            f"the mask {called(use.source_mask)} leaves too little of the painting {printable(painting)} "
            f"for {layer}; paint more of it white, or use a larger --size"
        )


def _too_small(targets: ScaledInputs, number: int) -> str:
    but = "" if targets.kept is None else ", but for what is protected,"
    return (
        f"the region {called(targets.uses[number].mask)}{but} is less than one position of every "
        "layer; make it larger, or use a larger --size"
    )


def _names(targets: ScaledInputs) -> list[str]:
    """Return a name for each style, to call its losses by; no two are the same."""
    names: list[str] = []
    for number, name in enumerate(targets.names):
        stem = PurePath(name).stem or str(number + 1)
        other = [names[i] for i in range(number)]
        names.append(stem if stem not in other else f"{stem}-{number + 1}")
    return names
