"""Verify that weights are the original ones, by comparison with the packaged 8-bit codes.

The packaged codes were made by optimal k-means in one dimension: each layer's original weights
were sorted into 256 groups, and a group's entry in the table is the mean of its members. Two things follow.
A weight lies nearer to its own entry than to the next one, that is, within half the gap to either side;
and where there is no next entry, at both ends of the table, a member of a group of n lies at most n - 1
times as far outside as another can lie inside, because the members' mean is the entry (for a group of one
the half gap is allowed outside too). `MARGIN` of the half gap is allowed on top for rounding. Biases are
packaged as they are and have to be equal.

Weights that pass differ from the original by no more than the packaged ones can, in each of 20 million
values. They may differ in the last bits, which the codes cannot show.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

import torch
from torch import Tensor

from impasto.errors import WeightsError
from impasto.network.weights.layouts import CONVS, Layout
from impasto.network.weights.normalized import original_of

MARGIN = 0.01  # of half a gap
PUBLISHED = {  # the first digits of the SHA-256, part of the published file name
    "torchvision": "dcbb9e9d",  # vgg19-dcbb9e9d.pth
    "original": "d01eb7cb",  # vgg19-d01eb7cb.pth
}
NORMALIZED = (
    "every filter is the original's times its factor, within the rounding of the packaged 8-bit codes"
)
SAME = "every weight lies within the rounding of the packaged 8-bit codes, biases are equal"


@dataclass(frozen=True)
class Deviation:
    """The largest deviation of a layer from the original: `what` is off by `by`; `allowed` would pass."""

    what: str
    by: float
    allowed: float
    share: float  # of the values of this layer that are off

    def __str__(self) -> str:
        return (
            f"{self.what} is off by {self.by:.3g}, where {self.allowed:.3g} is allowed "
            f"({self.share:.2%} of its numbers are off)"
        )


def deviation(conv: str, weight: Tensor, bias: Tensor, packed: Mapping[str, Tensor]) -> Deviation | None:
    """Return the largest deviation of a layer from the original; None if it is within the rounding.

    `conv` is its name, `weight` (out, in, 3, 3), `bias` (out,), `packed` what `load.read_packed` returns.
    """
    block, index = conv.removeprefix("conv").split("_")
    stored = f"block{block}_conv{index}"
    codes, table = packed[f"{stored}_W_q"].long(), packed[f"{stored}_W_table"]
    below, above = reach(codes, table)
    off = weight - table[codes]
    over = torch.maximum(off - above[codes], -off - below[codes])
    if over.max() > 0:
        worst = int(over.argmax())
        limit = (above if off.flatten()[worst] > 0 else below)[codes.flatten()[worst]]
        share = (over > 0).float().mean().item()
        return Deviation(f"{conv}.weight", abs(off.flatten()[worst].item()), limit.item(), share)
    wrong = (bias - packed[f"{stored}_b"]).abs()
    if wrong.max() > 0:
        share = (wrong > 0).float().mean().item()
        return Deviation(f"{conv}.bias", wrong.max().item(), 0.0, share)
    return None


def deviations(weights: Mapping[str, Tensor], packed: Mapping[str, Tensor]) -> dict[str, Deviation]:
    """Return the largest deviation of each layer that is not the original's, by its name."""
    found = {
        conv: deviation(conv, weights[f"{conv}.weight"], weights[f"{conv}.bias"], packed) for conv in CONVS
    }
    return {conv: off for conv, off in found.items() if off is not None}


def packaged_biases(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the original's biases, (out,) by `conv1_1.bias` ..., which are packaged as they are."""
    return {
        f"{conv}.bias": packed[f"{conv.replace('conv', 'block').replace('_', '_conv')}_b"] for conv in CONVS
    }


def reach(codes: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    """Return how far below and above its entry in the table a weight can lie; (256,) each."""
    half = table.diff() / 2 * (1 + MARGIN)
    members = torch.bincount(codes.flatten(), minlength=len(table))
    outside = (members - 1).clamp(min=1)
    below = torch.cat([half[:1] * outside[:1], half])
    above = torch.cat([half, half[-1:] * outside[-1:]])
    return below, above


def judge(
    weights: Mapping[str, Tensor], layout: Layout, packed: Mapping[str, Tensor], *, digest: str, label: str
) -> tuple[str, str]:
    """Return the family of weights, and how that was verified (`no: ...` if it could not be).

    `weights` are the 16 convolutions by our names, `packed` is what `load.read_packed` returns, `digest` the
    file's SHA-256 and `label` its name in messages.

    Raises:
        WeightsError: It should hold the original weights, but does not.
    """
    wrong, whose = deviations(weights, packed), "original"
    if not wrong:
        published = PUBLISHED["original"]
        more = f"; SHA-256 starts with the published {published}"
        return "original", SAME + (more if digest.startswith(published) else "")
    if len(wrong) == len(CONVS):  # of another network, or each filter is scaled
        scaled_back = deviations(original_of(weights, packaged_biases(packed)), packed)
        if not scaled_back:
            return "normalized", NORMALIZED
        if len(scaled_back) < len(wrong):
            wrong, whose = scaled_back, "normalized"
    rgb = weights["conv1_1.weight"].flip(1)
    if "conv1_1" in wrong and not deviation("conv1_1", rgb, weights["conv1_1.bias"], packed):
        raise WeightsError(
            f"conv1_1 in {label} is the original's with red and blue exchanged; "
            "give a file for input in the order BGR"
        )
    first = next(iter(wrong.values()))
    right = len(CONVS) - len(wrong)
    if right:
        raise WeightsError(
            f"{label} is not genuine: {right} of 16 convolutions are the {whose} VGG-19's, but {first}; "
            "give another file"
        )
    if layout.only_original or PUBLISHED["original"] in PurePath(label).name:
        raise WeightsError(
            f"{label} is not the original VGG-19, as files with {layout.what} should be: {first}; "
            "give another file"
        )
    published = PUBLISHED["torchvision"]
    if digest.startswith(published):
        return "torchvision", f"SHA-256 starts with the published {published} (8 of 64 digits)"
    return "torchvision", (
        f"no: trained anew, and only whole files of SHA-256 {published}... are known; this is {digest[:8]}..."
    )
