"""The normalized VGG-19: each filter scaled so that its mean activation over images and positions is 1.

Source: Gatys, Ecker and Bethge 2016, section 2. A positive factor passes through the ReLU and through pooling
of any kind, so the features of layer l are s_l times the original's: kernel' = s_l kernel / s_(l-1) and
bias' = s_l bias, with s_0 = 1 for the picture. The 5,504 factors s were read from the authors' own normalized
network by `scripts/make_normalisation.py`; NOTICE says where that comes from.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from impasto.errors import WeightsError
from impasto.network.weights.layouts import CONVS, SHAPES

FACTORS = Path(__file__).parent / "normalization.npy"  # float32, layer after layer
ROUNDING = 1e-6  # relative; of a bias that was multiplied by a factor


@functools.cache
def factors() -> Mapping[str, Tensor]:
    """Return the factors s of all filters by convolution, (out,) float32, above 0.

    Raises:
        WeightsError: The table, which is installed with impasto, is missing or damaged.
    """
    counts = [SHAPES[conv][0] for conv in CONVS]
    try:
        table = torch.from_numpy(np.load(FACTORS, allow_pickle=False))
        return dict(zip(CONVS, torch.split(table, counts), strict=True))
    except (OSError, ValueError, EOFError, TypeError, RuntimeError) as error:
        raise WeightsError(f"cannot read the factors in {FACTORS}; reinstall impasto") from error


def normalized(original: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the normalized network of original weights, by the same names and in the same shapes."""
    return _scaled(original, {conv: factor.double() for conv, factor in factors().items()})


def original_of(weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the original of normalized weights, to about 7 digits.

    `biases` are the original's, (out,) by `conv1_1.bias` ...; a bias is taken from there where it is equal up
    to the rounding of the factor.
    """
    found = _scaled(weights, {conv: 1 / factor.double() for conv, factor in factors().items()})
    for name, bias in biases.items():
        near = (found[name].double() - bias.double()).abs() <= ROUNDING * bias.double().abs()
        found[name] = torch.where(near, bias, found[name])
    return found


def _scaled(weights: Mapping[str, Tensor], scales: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights whose filters are scaled, and their inputs scaled back; float32, computed in float64."""
    found, incoming = {}, torch.ones(3, dtype=torch.float64)
    for conv in CONVS:
        outgoing = scales[conv]
        kernel = weights[f"{conv}.weight"].double() * outgoing.view(-1, 1, 1, 1)
        found[f"{conv}.weight"] = (kernel / incoming.view(1, -1, 1, 1)).float()
        found[f"{conv}.bias"] = (weights[f"{conv}.bias"].double() * outgoing).float()
        incoming = outgoing
    return found
