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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from impasto.conventions import Convention
from impasto.guides import GRAM_PART, bands, guide_in, roots_of
from impasto.tiles import Window

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
class Descending(Protocol):
    """What a loss of one layer may offer beside: its own way back, which needs no second measurement."""

    def descend(
        self,
        features: Features,
        windows: Windows | None,
        slopes: Sequence[Tensor | None],
        onto: Tensor | None,
    ) -> Tensor | None:
        """Add the gradient for the layer to `onto`, in place; where that is None, make one.

        Args:
            features: As `measure` got them.
            windows: Likewise.
            slopes: Derivatives of the total for the statistics; None where it does not depend on them.
            onto: The gradient for the layer so far, (1, C, h, w), channels last, or None.
        """


def _crop(features: Tensor, window: Window | None) -> Tensor:
    if window is None:
        return features
    rows, columns = window.inner
    return features[..., rows, columns]


def _strips(features: Tensor) -> Sequence[Tensor]:
    """Return features (B, C, h, w) in strips of rows, each of about `GRAM_PART` positions."""
    return torch.split(features, max(1, GRAM_PART // max(1, features.shape[-1])), dim=2)


class _Gram(torch.autograd.Function):
    """F F^T with its gradient in one product: d/dF <S, F F^T> = (S + S^T) F."""

    @staticmethod
    def forward(context: Any, features: Tensor) -> Tensor:
        context.save_for_backward(features)
        if features.dtype != torch.bfloat16 or features.device.type != "cpu":
            values = features.flatten(2)  # (B, C, M)
            values = values.float() if values.dtype == torch.bfloat16 else values
            return values @ values.transpose(1, 2)
        # The sums stay in float32; never more than a part of the features is there twice.
        gram = features.new_zeros((*features.shape[:2], features.shape[1]), dtype=torch.float32)
        whole = features.is_contiguous(memory_format=torch.channels_last)
        flat = torch.split(features.flatten(2), GRAM_PART, dim=2) if whole else _strips(features)
        for part in flat:
            some = part.float().flatten(2)
            gram.baddbmm_(some, some.transpose(1, 2))
        return gram

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (features,) = context.saved_tensors
        slope = gradients[0] + gradients[0].transpose(1, 2)
        flat = features.flatten(2).transpose(1, 2)  # (B, M, C)
        product = flat @ slope.to(flat.dtype)
        found: Tensor = product.transpose(1, 2).reshape(features.shape)
        return found


def gram_matrix(features: Tensor) -> Tensor:
    """Return G_ij = sum_k F_ik F_kj, not normalised.

    Args:
        features: (B, C, H, W), float32, float64, or bfloat16 (summed in float32).

    Returns:
        (B, C, C), symmetric and positive semi-definite.

    Source: Gatys, Ecker and Bethge 2016, equation 3.
    """
    gram: Tensor = _Gram.apply(features)  # type: ignore[no-untyped-call]
    return gram


def guided_gram(features: Tensor, guide: Tensor) -> Statistics:
    """Return (sum_k t_k F_ik F_jk, sum_k t_k): a Gram matrix (1, C, C) and the positions counted.

    Args:
        features: (1, C, h, w), float32, float64, or bfloat16 (summed in float32).
        guide: The weights t, (1, 1, h, w) in [0, 1].
    """
    roots = roots_of(guide, features)
    wide = torch.float32 if features.dtype == torch.bfloat16 else features.dtype
    gram = torch.zeros(
        (1, features.shape[1], features.shape[1]), dtype=wide, device=features.device
    )
    for part in bands(features.shape[2], features.shape[3]):
        gram = gram + gram_matrix(features[:, :, part] * roots[:, :, part])
    return gram, roots.to(wide).square().sum()


def squared_distance(features: Tensor, target: Tensor) -> Tensor:
    """Return sum (F - P)^2 as a scalar, in float32 or better; both (B, C, H, W)."""
    if features.dtype == torch.bfloat16:
        features = features.float()
    return (features - target).square().sum()


@dataclass(frozen=True)
class ContentLoss:
    """The photo's features, to be kept: equation 1 of the paper, or its mean.

    `target` is P, (1, C, h, w), of the photo at the canvas' size. `factor` makes the mean another program's
    form; the paper's has its own arithmetic and takes none.
    """

    name: str
    weight: float
    layer: str
    target: Tensor
    convention: Convention = "mean"
    additive: bool = True
    factor: float = 1.0

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer compared."""
        return (self.layer,)

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum (F - P)^2,)."""
        window, target = self._compared(windows)
        return (squared_distance(_crop(features[self.layer], window), target),)

    def _compared(self, windows: Windows | None) -> tuple[Window | None, Tensor]:
        """Return the layer's window, and the part of the target that lies there."""
        window = windows.get(self.layer) if windows else None
        if window is None:
            return None, self.target
        return window, self.target[..., window.outer[0], window.outer[1]]

    def descend(
        self,
        features: Features,
        windows: Windows | None,
        slopes: Sequence[Tensor | None],
        onto: Tensor | None,
    ) -> Tensor | None:
        """Add 2 (F - P) times the slope; see `Descending`."""
        found, (window, target) = features[self.layer], self._compared(windows)
        if slopes[0] is None:
            return onto
        onto = torch.zeros_like(found) if onto is None else onto
        difference = _crop(found, window) - target
        _crop(onto, window).add_(difference.mul_(2 * slopes[0]))
        return onto

    def value(self, statistics: Statistics) -> Tensor:
        """Return 1/2 the sum (`paper`) or the mean over all features (`mean`), times the factor."""
        (total,) = statistics
        if self.convention == "paper":
            return total / 2
        return total / self.target.numel() * self.factor


@dataclass(frozen=True)
class GramLoss:
    """A painting's style in one layer: equation 4 of the paper, or its mean.

    `targets` are A / M_a of the styles, (S, C, C), and `shares` their weights, (S,), which sum to one.
    `factor` makes the mean another program's form; the paper's has its own arithmetic and takes none.
    `guide` are the weights t of the positions, (1, 1, h, w) of the whole canvas at the layer's size, in
    [0, 1]: then G is sum_k t_k F_ik F_jk and M is sum_k t_k. None: all count alike.
    Source of guides: Gatys et al. 2017, "Controlling perceptual factors", equation 4, but for the
    normalisation, which is by the sum here.
    """

    name: str
    weight: float
    layer: str
    targets: Tensor
    shares: Tensor
    convention: Convention = "mean"
    additive: bool = True
    factor: float = 1.0
    guide: Tensor | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer compared."""
        return (self.layer,)

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (G (1, C, C), the number of positions M)."""
        window = windows.get(self.layer) if windows else None
        part = _crop(features[self.layer], window)
        if self.guide is not None:
            return guided_gram(part, guide_in(self.guide, window))
        gram = gram_matrix(part)
        return gram, torch.tensor(float(part.shape[-2] * part.shape[-1]), device=gram.device)

    def descend(
        self,
        features: Features,
        windows: Windows | None,
        slopes: Sequence[Tensor | None],
        onto: Tensor | None,
    ) -> Tensor | None:
        """Add (S + S^T) F, S being the slope for G; see `Descending`."""
        found, window = features[self.layer], windows.get(self.layer) if windows else None
        if slopes[0] is None:
            return onto
        slope = (slopes[0] + slopes[0].transpose(1, 2))[0].to(found.dtype)
        onto = torch.zeros_like(found) if onto is None else onto
        rows, flat = (_crop(tensor, window).permute(0, 2, 3, 1) for tensor in (onto, found))
        if self.guide is not None:
            roots = roots_of(guide_in(self.guide, window), found).permute(0, 2, 3, 1)
            for part in bands(flat.shape[1], flat.shape[2]):
                some, root = flat[:, part], roots[:, part]
                rows[:, part].add_(((some * root) @ slope).mul_(root))
        elif window is None and rows.is_contiguous() and flat.is_contiguous():
            rows.view(-1, slope.shape[0]).addmm_(flat.view(-1, slope.shape[0]), slope)
        else:
            for there, some in zip(
                _strips(_crop(onto, window)), _strips(_crop(found, window)), strict=True
            ):
                there.permute(0, 2, 3, 1).add_(some.permute(0, 2, 3, 1) @ slope)
        return onto

    def value(self, statistics: Statistics) -> Tensor:
        """Return the weighted sum over styles of the squared distance of normalised Gram matrices."""
        gram, positions = statistics
        distances = (gram / positions - self.targets).square().sum(dim=(1, 2))  # (S,)
        channels = gram.shape[-1]
        if self.convention == "paper":
            scale = 1.0 / (4 * channels**2)
        else:
            scale = self.factor / channels**4  # mean over C^2 entries, each divided by C
        return (distances * self.shares).sum() * scale


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
