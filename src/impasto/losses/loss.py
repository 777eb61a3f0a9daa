"""Losses: how far a picture's features are from their targets; the protocol, and what losses share.

`measure(features, windows) -> statistics` sums over positions, so the sums of tiles add up; and
`value(statistics) -> scalar` compares them with targets made once a scale. A whole picture is one tile.

The formulas, of Gatys et al. 2016 and of other programs, and their sources: `config.conventions`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from impasto.errors import InputError
from impasto.network.layers import LAYERS, PartialWindows, seen, stride
from impasto.network.tiled_features import crop
from impasto.network.tiles import Window

Features = Mapping[str, Tensor]  # "relu4_2" -> (1, C, h, w); "image" -> (1, 3, H, W) in [0, 1]
Statistics = tuple[Tensor, ...]
Windows = Mapping[str, Window]  # a layer's name -> its window; a layer not named counts whole
STRIP = 16_384  # positions of features of which there are copies at a time
STRIP_OF_DEVICE = 1_048_576  # likewise; small kernels leave a GPU idle


class Loss(Protocol):
    """What every loss offers."""

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


@dataclass(frozen=True)
class Penalty:
    """A loss of your own: a function of the features, the canvas being `features["image"]`.

    It need not be a sum over positions, so it is not additive and sees the whole picture.

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
        """Return (the function's value,); refuse what is no tensor with one number."""
        value = self.function(features)
        if not isinstance(value, Tensor) or value.numel() != 1:
            kind = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(
                f"the loss {self.name} returned {kind}; it must return a tensor with one number, such as the "
                "mean of a difference"
            )
        return (value,)

    def value(self, statistics: Statistics) -> Tensor:
        """Return the function's value, which must be a scalar."""
        (value,) = statistics
        return (value.float() if value.dtype == torch.bfloat16 else value).reshape(())


@dataclass(frozen=True)
class LayerLoss:
    """Base of the losses on one layer: which positions count, and how much; see also `Loss`.

    `factor` multiplies the value. `guide` has the weights t of the positions, (1, 1, h, w) of the whole
    canvas at the layer's size, in [0, 1]; None: all count alike. Source: Gatys et al. 2017, "Controlling
    perceptual factors", equation 4; departure: normalized by the sum of t.
    """

    name: str
    weight: float
    layer: str
    _: KW_ONLY
    factor: float = 1.0
    guide: Tensor | None = None
    additive: bool = True

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer compared."""
        return (self.layer,)

    def features_and_guide(self, features: Features, windows: Windows | None) -> tuple[Tensor, Tensor | None]:
        """Return the layer's features in its window, (1, C, h, w), and the guide there, (1, 1, h, w)."""
        window = window_of(self.layer, windows)
        guide = None if self.guide is None else crop_whole(self.guide, window)
        return crop(features[self.layer], window), guide


@dataclass(frozen=True)
class LossWithGradient(LayerLoss):
    """A loss of one layer with a backward pass of its own, without autograd."""

    def backward(
        self,
        features: Features,
        windows: Windows | None,
        grad_statistics: Sequence[Tensor | None],
        grad_features: Tensor | None,
    ) -> Tensor | None:
        """Add the gradient for the layer to `grad_features`, in place; where that is None, make one.

        `grad_statistics` are derivatives of the total for the statistics; None where it does not depend.
        `grad_features` is the gradient for the layer so far, (1, C, h, w), channels last, or None.
        """
        slopes = [slope for slope in grad_statistics if slope is not None]
        if len(slopes) < len(grad_statistics):
            return grad_features
        window = window_of(self.layer, windows)
        part, guide = self.features_and_guide(features, windows)
        if grad_features is None:
            grad_features = torch.zeros_like(features[self.layer])
        self.add_gradient(crop(grad_features, window), part, guide, window, slopes)
        return grad_features

    def add_gradient(
        self,
        gradient: Tensor,
        part: Tensor,
        guide: Tensor | None,
        window: Window | None,
        slopes: Sequence[Tensor],
    ) -> None:
        """Add the gradient for the features `part` of a window, (1, C, h, w), in place; see `backward`."""
        raise NotImplementedError


def check_loss(loss: Any) -> None:
    """Refuse what is no loss.

    Raises:
        InputError: A part of the protocol `Loss` is missing, or the weight is no finite number.
    """
    parts = ("name", "weight", "layers", "additive", "measure", "value")
    missing = [name for name in parts if not hasattr(loss, name)]
    if missing or isinstance(loss, type):
        kind = loss.__name__ if isinstance(loss, type) else type(loss).__name__
        raise InputError(f"extra_losses: {kind} is no loss; write impasto.Penalty(function, weight=1.0)")
    if not isinstance(loss.weight, (int, float)) or not math.isfinite(loss.weight):
        raise InputError(f"the loss {loss.name}: its weight must be a finite number, not {loss.weight!r}")
    unknown = [layer for layer in loss.layers if layer not in (*LAYERS, "image")]
    if unknown:
        raise InputError(f"the loss {loss.name}: there is no layer '{unknown[0]}'; see `impasto layers`")


def check_connected(name: str, statistics: Statistics) -> None:
    """Refuse a loss that depends on the canvas in a way that torch cannot follow; zero may be constant.

    Raises:
        InputError: No gradient reaches the canvas.
    """
    if any(value.requires_grad for value in statistics):
        return
    if any(bool(value.any()) for value in statistics):
        raise InputError(
            f"the loss {name} has no gradient, so it would pull at nothing; compute it with torch from the "
            "features, without detach(), item(), numpy() or no_grad()"
        )


def window_of(layer: str, windows: Windows | None) -> Window | None:
    """Return the window of a layer; None where all of it counts."""
    return windows.get(layer) if windows else None


def crop_whole(whole: Tensor, window: Window | None) -> Tensor:
    """Return the same positions of a tensor of the whole canvas, such as a target or a guide; a view."""
    return whole if window is None else whole[..., window.outer[0], window.outer[1]]


def strips(features: Tensor) -> Sequence[Tensor]:
    """Return features (B, C, h, w) in strips of rows, each of about `STRIP` positions; views."""
    most = STRIP if features.device.type == "cpu" else STRIP_OF_DEVICE
    return torch.split(features, max(1, most // max(1, features.shape[-1])), dim=2)


def strips_like(guide: Tensor | None, features: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """Return a guide in strips of as many rows as those of the features; None for each without."""
    if guide is None:
        return [None] * len(features)
    return torch.split(guide, [strip.shape[2] for strip in features], dim=2)


def add_statistics(first: Statistics, second: Statistics) -> Statistics:
    """Add the statistics of two tiles."""
    return tuple(a + b for a, b in zip(first, second, strict=True))


def number_of_positions(features: Tensor) -> Tensor:
    """Return h * w of features (B, C, h, w), a scalar on their device."""
    return scalar_like(features, features.shape[-2] * features.shape[-1])


def scalar_like(features: Tensor, value: float) -> Tensor:
    """Return a number as a float32 scalar on the device of features, which the host need not wait for."""
    return torch.full((), float(value), dtype=torch.float32, device=features.device)


def at_layer(mask: Tensor, layer: str, partial: PartialWindows = "half") -> Tensor:
    """Return a mask at a layer's size: of each position, the mean over the pixels it stands for."""
    cell = stride(layer)
    height, width = (seen(length, cell, partial) for length in mask.shape[-2:])
    return mask if cell == 1 else functional.avg_pool2d(mask[..., :height, :width], cell, ceil_mode=True)


def border_weights(height: int, width: int, layer: str, partial: PartialWindows = "half") -> Tensor | None:
    """Return the shares of each position's pixels that lie in a canvas of so many px, (1, 1, h, w).

    The last row and column of a layer may stand for fewer pixels where the canvas is no multiple of the
    layer's stride. None where all positions are whole.
    """
    cell = stride(layer)
    height, width = (seen(length, cell, partial) for length in (height, width))
    if height % cell == 0 and width % cell == 0:
        return None
    rows, columns = (
        (torch.arange(cell, length + cell, cell).clamp(max=length) - torch.arange(0, length, cell)) / cell
        for length in (height, width)
    )
    return (rows.view(-1, 1) * columns).view(1, 1, len(rows), len(columns))


def summed_in(features: Tensor) -> torch.dtype:
    """Return the number format that sums over features are computed in: float32 or better."""
    return torch.float32 if features.dtype == torch.bfloat16 else features.dtype
