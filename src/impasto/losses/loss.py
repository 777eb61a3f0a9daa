"""Losses: what a picture's features are compared with, and how far they are off.

Form of a loss: `measure(features, window) -> statistics`, sums over positions that add up over tiles,
and `value(statistics) -> scalar`, against targets bound once a scale. The whole image is the one-tile case.

Two conventions, both exact, F and P being features (C channels, M positions), G = F F^T, A the style's:

* `paper` (Gatys, Ecker and Bethge 2016, equations 1 and 3 to 5): content 1/2 sum (F - P)^2;
  style E_l = 1/(4 C^2) sum (G/M - A/M_a)^2, which is the paper's 1/(4 N^2 M^2) sum (G - A)^2 where both
  pictures have M positions. Departure: the paper's form has no meaning where they differ; this one does.
* `mean` (the default): content mean (F - P)^2; style mean (G/(C M) - A/(C M_a))^2. Does not depend on the
  size of the pictures. Departure from the paper: constants only, so that weights keep their meaning.

The formulas of other programs are the `mean` times a factor; `conventions` has the table.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from impasto.network.layers import stride
from impasto.network.tiles import Window

Features = Mapping[str, Tensor]  # "relu4_2" -> (1, C, h, w); "image" -> (1, 3, H, W) in [0, 1]
Statistics = tuple[Tensor, ...]
Windows = Mapping[str, Window]  # a layer's name -> its window; a layer not named counts whole


class Loss(Protocol):
    """What every loss offers; there is no base class."""

    @property
    def name(self) -> str:
        """Name in reports, such as `content.relu4_2`; the part before the dot is the term."""

    @property
    def weight(self) -> float:
        """Factor in the total."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers that `measure` reads; `image` is always there."""

    @property
    def additive(self) -> bool:
        """Whether statistics of tiles add up to those of the whole picture."""

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Sum over the positions of the windows (all positions without)."""

    def value(self, statistics: Statistics) -> Tensor:
        """Return the unweighted loss, a scalar."""


@runtime_checkable
class LossWithGradient(Protocol):
    """What a loss of one layer may offer beside: its own way back, which needs no second measurement."""

    def backward(
        self,
        features: Features,
        windows: Windows | None,
        grad_statistics: Sequence[Tensor | None],
        grad_features: Tensor | None,
    ) -> Tensor | None:
        """Add the gradient for the layer to `grad_features`, in place; where that is None, make one.

        Args:
            features: As `measure` got them.
            windows: Likewise.
            grad_statistics: Derivatives of the total for the statistics; None where it does not depend.
            grad_features: The gradient for the layer so far, (1, C, h, w), channels last, or None.
        """


def _crop(features: Tensor, window: Window | None) -> Tensor:
    if window is None:
        return features
    rows, columns = window.inner
    return features[..., rows, columns]


def _strips(features: Tensor) -> Sequence[Tensor]:
    """Return features (B, C, h, w) in strips of rows, each of about `GRAM_PART` positions."""
    return torch.split(features, max(1, GRAM_PART // max(1, features.shape[-1])), dim=2)


@dataclass(frozen=True)
class Penalty:
    """A loss of your own: a function of the features, the canvas being `features["image"]`.

    It need not be a sum over positions, so it says that it is not additive and sees the whole picture.

    Example::

        def brightness(features):  # "image" is the canvas, in [0, 1]
            return (features["image"].mean() - 0.6) ** 2
        impasto.stylize("cat.jpg", "starry.jpg", extra_losses=[impasto.Penalty(brightness, weight=50)])
    """

    function: Callable[[Features], Tensor]
    weight: float = 1.0
    layers: tuple[str, ...] = ()
    name: str = "penalty"
    additive: bool = False

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (the function's value,)."""
        return (self.function(features),)

    def value(self, statistics: Statistics) -> Tensor:
        """Return the function's value, which must be a scalar."""
        (found,) = statistics
        return (found.float() if found.dtype == torch.bfloat16 else found).reshape(())


def add_statistics(first: Statistics, second: Statistics) -> Statistics:
    """Add what two tiles measured."""
    return tuple(a + b for a, b in zip(first, second, strict=True))


GRAM_PART = 16_384  # positions of features of which there are copies at a time


def at_layer(mask: Tensor, layer: str) -> Tensor:
    """Return a mask at a layer's size: of each position, the mean over the pixels it stands for."""
    cell = stride(layer)
    return mask if cell == 1 else functional.avg_pool2d(mask, cell)


def guide_in(guide: Tensor, window: Window | None) -> Tensor:
    """Return the part of a guide of the whole canvas that lies in a window."""
    return guide if window is None else guide[..., window.outer[0], window.outer[1]]


def roots_of(guide: Tensor, features: Tensor) -> Tensor:
    """Return the square roots of a guide in the features' precision: what both ways multiply by."""
    return guide.to(features.device, features.dtype).sqrt()


def bands(height: int, width: int) -> Iterator[slice]:
    """Yield rows, so many that of all their positions there can be a copy."""
    step = max(1, GRAM_PART // max(1, width))
    for start in range(0, height, step):
        yield slice(start, min(height, start + step))
