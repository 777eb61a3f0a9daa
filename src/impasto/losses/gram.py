"""The style of a painting as Gram matrices, whole or within a region."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from impasto.config.conventions import Convention
from impasto.losses.loss import (
    GRAM_PART,
    Features,
    Statistics,
    Windows,
    _crop,
    _strips,
    bands,
    guide_in,
    roots_of,
)


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

    def backward(
        self,
        features: Features,
        windows: Windows | None,
        grad_statistics: Sequence[Tensor | None],
        grad_features: Tensor | None,
    ) -> Tensor | None:
        """Add (S + S^T) F, S being the slope for G; see `LossWithGradient`."""
        found, window = features[self.layer], windows.get(self.layer) if windows else None
        if grad_statistics[0] is None:
            return grad_features
        slope = (grad_statistics[0] + grad_statistics[0].transpose(1, 2))[0].to(found.dtype)
        grad_features = torch.zeros_like(found) if grad_features is None else grad_features
        rows, flat = (
            _crop(tensor, window).permute(0, 2, 3, 1) for tensor in (grad_features, found)
        )
        if self.guide is not None:
            roots = roots_of(guide_in(self.guide, window), found).permute(0, 2, 3, 1)
            for part in bands(flat.shape[1], flat.shape[2]):
                some, root = flat[:, part], roots[:, part]
                rows[:, part].add_(((some * root) @ slope).mul_(root))
        elif window is None and rows.is_contiguous() and flat.is_contiguous():
            rows.view(-1, slope.shape[0]).addmm_(flat.view(-1, slope.shape[0]), slope)
        else:
            for there, some in zip(
                _strips(_crop(grad_features, window)), _strips(_crop(found, window)), strict=True
            ):
                there.permute(0, 2, 3, 1).add_(some.permute(0, 2, 3, 1) @ slope)
        return grad_features

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
