"""The style of a painting as Gram matrices, whole or within a region."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from impasto.config.conventions import Convention
from impasto.losses.loss import (
    STRIP,
    Features,
    LossWithGradient,
    Statistics,
    Windows,
    number_of_positions,
    strips,
    strips_like,
    summed_in,
)
from impasto.network.tiles import Window
from impasto.system import hardware

CHUNK = 2048  # positions of which a product is made in bf16


class _Gram(torch.autograd.Function):
    """F F^T with its gradient in one product: d/dF <S, F F^T> = (S + S^T) F."""

    @staticmethod
    def forward(context: Any, features: Tensor) -> Tensor:
        context.save_for_backward(features)
        if features.dtype != torch.bfloat16 or features.device.type != "cpu":
            values = features.flatten(2)  # (B, C, M)
            values = values.float() if values.dtype == torch.bfloat16 else values
            return values @ values.transpose(1, 2)
        # The sums stay in float32; only a part of the features is copied at a time.
        gram = features.new_zeros((*features.shape[:2], features.shape[1]), dtype=torch.float32)
        whole = features.is_contiguous(memory_format=torch.channels_last)
        parts = torch.split(features.flatten(2), STRIP, dim=2) if whole else strips(features)
        chunked = whole and hardware.fast_at_bf16("cpu")
        for part in parts:
            if chunked:
                gram += _in_chunks(part)
                continue
            flat = part.float().flatten(2)
            gram.baddbmm_(flat, flat.transpose(1, 2))
        return gram

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (features,) = context.saved_tensors
        slope = gradients[0] + gradients[0].transpose(1, 2)
        flat = features.flatten(2).transpose(1, 2)  # (B, M, C)
        product = flat @ slope.to(flat.dtype)
        gradient: Tensor = product.transpose(1, 2).reshape(features.shape)
        return gradient


def _in_chunks(part: Tensor) -> Tensor:
    """Return F F^T, (B, C, C), of features (B, C, M) in bf16, channels last, in chunks of positions.

    The products are rounded to bf16, their sum is float32; it is off by less than two thousandths, in norm.
    """
    total = part.new_zeros((part.shape[0], part.shape[1], part.shape[1]), dtype=torch.float32)
    whole = part.shape[2] // CHUNK * CHUNK
    for piece, length in ((part[..., :whole], CHUNK), (part[..., whole:], part.shape[2] - whole)):
        if piece.shape[2]:
            for rows, sums in zip(piece.transpose(1, 2), total, strict=True):  # (M, C) of each picture
                chunks = rows.unflatten(0, (-1, length))
                sums += torch.bmm(chunks.transpose(1, 2), chunks).float().sum(0)
    return total


def gram_matrix(features: Tensor) -> Tensor:
    """Return G_ij = sum_k F_ik F_jk, not normalized, (B, C, C), symmetric and positive semi-definite.

    The features are (B, C, H, W), float32, float64, or bfloat16 (summed in float32).

    Source: Gatys, Ecker and Bethge 2016, equation 3.
    """
    gram: Tensor = _Gram.apply(features)  # type: ignore[no-untyped-call]
    return gram


def guided_gram(features: Tensor, guide: Tensor) -> Statistics:
    """Return (sum_k t_k F_ik F_jk, sum_k t_k): a Gram matrix (1, C, C) and the positions counted.

    The features are (1, C, h, w), float32, float64, or bfloat16 (summed in float32). The guide has the
    weights t, (1, 1, h, w) in [0, 1].
    """
    roots, wide = _roots(guide, features), summed_in(features)
    channels = features.shape[1]
    gram = torch.zeros((1, channels, channels), dtype=wide, device=features.device)
    for part, root in zip(strips(features), strips(roots), strict=True):
        gram = gram + gram_matrix(part * root)
    return gram, roots.to(wide).square().sum()


def _roots(guide: Tensor, features: Tensor) -> Tensor:
    """Return the square roots of a guide in the features' number format: both factors of F F^T get one."""
    return guide.to(features.device, features.dtype).sqrt()


@dataclass(frozen=True)
class GramLoss(LossWithGradient):
    """The style of one layer as a Gram matrix: equation 4 of Gatys et al. 2016, or its mean.

    `targets` are A / M_a of the styles, (S, C, C), and `shares` their weights, (S,), which sum to one.
    `factor` makes the mean another program's form; the form of `paper` does not use it. With a guide t, G is
    sum_k t_k F_ik F_jk and M is sum_k t_k.
    """

    targets: Tensor
    shares: Tensor
    convention: Convention = "mean"

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (G (1, C, C), the number of positions M)."""
        part, guide = self.features_and_guide(features, windows)
        if guide is not None:
            return guided_gram(part, guide)
        return gram_matrix(part), number_of_positions(part)

    def add_gradient(
        self,
        gradient: Tensor,
        part: Tensor,
        guide: Tensor | None,
        window: Window | None,
        slopes: Sequence[Tensor],
    ) -> None:
        """Add (S + S^T) F, S being the derivative for G."""
        slope = (slopes[0] + slopes[0].transpose(1, 2))[0].to(part.dtype)
        rows, flat = gradient.permute(0, 2, 3, 1), part.permute(0, 2, 3, 1)  # (1, h, w, C)
        whole = guide is None and window is None
        if whole and rows.is_contiguous() and flat.is_contiguous():
            rows.view(-1, slope.shape[0]).addmm_(flat.view(-1, slope.shape[0]), slope)
            return
        parts = strips(part)
        roots = strips_like(None if guide is None else _roots(guide, part), parts)
        for target, strip, root in zip(strips(gradient), parts, roots, strict=True):
            values = strip.permute(0, 2, 3, 1)
            if root is None:
                added = values @ slope
            else:
                root = root.permute(0, 2, 3, 1)
                added = ((values * root) @ slope).mul_(root)
            target.permute(0, 2, 3, 1).add_(added)

    def value(self, statistics: Statistics) -> Tensor:
        """Return the weighted sum over styles of the squared distance of normalized Gram matrices."""
        gram, positions = statistics
        distances = (gram / positions - self.targets).square().sum(dim=(1, 2))  # (S,)
        channels = gram.shape[-1]
        if self.convention == "paper":
            scale = 1.0 / (4 * channels**2)
        else:
            scale = self.factor / channels**4  # mean over C^2 entries, each divided by C
        return (distances * self.shares).sum() * scale
