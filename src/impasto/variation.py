"""Total variation: smoothness of the canvas itself, in the forms of `conventions.variation_form`."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from impasto.conventions import Variation
from impasto.losses import Features, Statistics, Windows
from impasto.tiles import Window

FAINT = 1 / 2550  # a tenth of a step of 8 bits: a shorter difference counts as its square


def total_variation(image: Tensor) -> Tensor:
    """Return the mean over pixels of dx^2 + dy^2, differences of neighbours, a scalar.

    Args:
        image: (B, 3, H, W) in [0, 1]. The mean is over all B * 3 * H * W values, so that the size of
            the picture does not change what a weight means.

    Source: the smoother of Mahendran and Vedaldi 2015 with beta = 2; Gatys et al. do without one.
    """
    across = (image[..., :, 1:] - image[..., :, :-1]).square().sum()
    down = (image[..., 1:, :] - image[..., :-1, :]).square().sum()
    return (across + down) / image.numel()


@dataclass(frozen=True)
class TotalVariation:
    """Smoothness of the canvas itself, in one of the forms of `conventions.variation_form`.

    All of them have finite gradients where neighbours are equal: |d| has 0 there, and so has (d^2)^1.25.
    """

    weight: float
    name: str = "total_variation"
    layers: tuple[str, ...] = ()
    additive: bool = True
    form: Variation = "mean_squares"
    factor: float = 1.0

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum, number of values) for each mean that `value` takes, or (sum,) for a sum.

        Differences to the right and lower neighbour, which may lie in the halo of a tile.
        """
        image, window = features["image"], windows.get("image") if windows else None
        if window is None and self.form == "mean_squares":
            return total_variation(image) * image.numel(), _number(image)
        here, across, down = _differences(image, window)
        if self.form == "mean_squares":
            return across.square().sum() + down.square().sum(), _number(here)
        if self.form == "mean_absolute":
            return across.abs().sum(), _number(across), down.abs().sum(), _number(down)
        if self.form == "mean_steps":
            return across.abs().sum() + down.abs().sum(), _number(here)
        if self.form == "mean_length":
            across = pad(across, (0, here.shape[-1] - across.shape[-1]))  # no step over the frame
            down = pad(down, (0, 0, 0, here.shape[-2] - down.shape[-2]))
            lengths = (across.square() + down.square() + FAINT**2).sqrt() - FAINT
            return lengths.sum(), _number(here)
        # The corners: positions that have both neighbours.
        squares = across[..., : down.shape[-2], :].square() + down[..., : across.shape[-1]].square()
        return ((squares if self.form == "corner_squares" else squares.pow(1.25)).sum(),)

    def value(self, statistics: Statistics) -> Tensor:
        """Return the sum of the means, or the sum of a form that is one, times the factor."""
        if (
            self.form == "mean_absolute"
        ):  # one row or column has no neighbours: its mean is 0, not 0/0
            across, columns, down, rows = statistics
            return (across / columns.clamp(min=1) + down / rows.clamp(min=1)) * self.factor
        if self.form in ("mean_squares", "mean_steps", "mean_length"):
            return statistics[0] / statistics[1] * self.factor
        return statistics[0] * self.factor


def _number(values: Tensor) -> Tensor:
    return torch.tensor(float(values.numel()))


def _differences(image: Tensor, window: Window | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the window's pixels and their differences to the right and the lower neighbour."""
    whole = (slice(0, image.shape[-2]), slice(0, image.shape[-1]))
    rows, columns = whole if window is None else window.inner
    here = image[..., rows, columns]
    right = image[..., rows, columns.start + 1 : columns.stop + 1]
    below = image[..., rows.start + 1 : rows.stop + 1, columns]
    return here, right - here[..., : right.shape[-1]], below - here[..., : below.shape[-2], :]
