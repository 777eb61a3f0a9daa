"""The curvature pairs of L-BFGS, and the sums over long vectors that it needs.

Vectors are flat: a canvas' values, on any device. They are read block by block, so that beside the pairs
there is never a second copy of the canvas' size. Sums stay on their device, so that the host need not wait
for it.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from impasto.optim.evaluation import BLOCK, blocks

FLAT = 1e-10  # cosine between step and change of gradient below which there is no curvature


class Curvature:
    """The last pairs (s, y), and the product of the inverse Hessian with a vector.

    Args:
        length: How many pairs are kept.
        dtype: In which they are kept.
    """

    def __init__(self, length: int, dtype: torch.dtype) -> None:
        self._length = length
        self._dtype = dtype
        self._pairs: list[tuple[Tensor, Tensor]] = []

    def __len__(self) -> int:
        return len(self._pairs)

    def clear(self) -> None:
        """Forget all pairs."""
        self._pairs.clear()

    def tensors(self) -> dict[str, Tensor]:
        """Return all pairs by name, oldest first, for `restore`."""
        tensors: dict[str, Tensor] = {}
        for number, (step, change) in enumerate(self._pairs):
            tensors |= {f"step.{number}": step, f"change.{number}": change}
        return tensors

    def restore(self, tensors: Mapping[str, Tensor], device: torch.device) -> None:
        """Take the pairs that `tensors` returned."""
        self._pairs = []
        while (name := f"step.{len(self._pairs)}") in tensors:
            pair = tensors[name], tensors[name.replace("step", "change")]
            self._pairs.append((pair[0].to(device), pair[1].to(device)))

    def add(self, canvases: tuple[Tensor, Tensor], gradients: tuple[Tensor, Tensor]) -> None:
        """Keep what changed from the first to the second, if there is curvature along it.

        Args:
            canvases: Before and after the step, flat.
            gradients: There, flat.
        """
        del self._pairs[: max(0, len(self._pairs) + 1 - self._length)]  # room first
        pair = []
        for before, after in (canvases, gradients):
            change = torch.empty_like(before, dtype=self._dtype)
            for part in blocks(before):
                torch.sub(after[part], before[part], out=change[part])
            pair.append(change)
        step, change = pair
        # Elsewhere than on the CPU this would be a wait, and `direction` leaves such pairs out by itself.
        if step.device.type == "cpu":
            product, steps, changes = _products(step, change, None, canvases[0].dtype)
            if not bool(product > FLAT * steps.sqrt() * changes.sqrt()):
                return
        self._pairs.append((step, change))

    def direction(self, gradient: Tensor, fixed: Tensor | None) -> Tensor:
        """Two-loop recursion (Nocedal 1980) on the free pixels: -H g, zero for fixed ones.

        A pair without curvature on these pixels, relative to its lengths, takes no part: a common factor on
        the loss decides nothing.
        """
        vector, free = gradient.neg(), None
        if fixed is not None:  # factors 0 and 1: much faster than `masked_fill`; bytes where floats are many
            free = fixed.logical_not().to(vector.dtype if vector.numel() <= BLOCK else torch.uint8)
            vector *= free
        if not self._pairs:
            return vector
        pairs = self._pairs[::-1]
        products, steps, changes = torch.stack(
            [_products(*pair, free, vector.dtype) for pair in pairs]
        ).unbind(1)
        counts = products > FLAT * steps.sqrt() * changes.sqrt()
        divisors = torch.where(counts, products, math.inf).unbind()
        shares = []
        for (step, change), divisor in zip(pairs, divisors, strict=True):
            shares.append(_dot(step, vector) / divisor)
            _subtract(vector, change, shares[-1], free)
        newest = (
            counts.byte().argmax().view(1)
        )  # the first that counts; the host would wait for a scalar index
        vector *= torch.where(counts[newest], (products / changes)[newest], 1.0)
        for (step, change), divisor, share in reversed(list(zip(pairs, divisors, shares, strict=True))):
            back = _dot(change, vector) / divisor
            _subtract(vector, step, back - share, free)
        return vector


def _products(step: Tensor, change: Tensor, free: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return s y, s s and y y over the free pixels, (3,), computed in `dtype`."""
    sums: list[Tensor] = []
    for part in blocks(step):
        one, other = step[part].to(dtype), change[part].to(dtype)
        if free is not None:
            one, other = one * free[part], other * free[part]
        dots = [torch.dot(one, other), torch.dot(one, one), torch.dot(other, other)]
        sums = [total + dot for total, dot in zip(sums, dots, strict=True)] if sums else dots
    return torch.stack(sums)


def _dot(other: Tensor, vector: Tensor) -> Tensor:
    first, *rest = [torch.dot(other[part].to(vector.dtype), vector[part]) for part in blocks(vector)]
    return sum(rest, start=first)


def _subtract(vector: Tensor, other: Tensor, factor: Tensor, free: Tensor | None) -> None:
    """Subtract a multiple from a vector, in place, except at fixed pixels."""
    for part in blocks(vector):
        change = other[part].to(vector.dtype) * factor
        vector[part].sub_(change if free is None else change.mul_(free[part]))


def fixed_pixels(canvas: Tensor, gradient: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return which pixels stay fixed: at a bound, with a descent direction that points beyond it."""
    low, high = bounds
    return ((canvas <= low) & (gradient > 0)) | ((canvas >= high) & (gradient < 0))


def slope(gradient: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Return how much the loss falls along a step by its gradient."""
    total = torch.zeros_like(gradient[0])
    for part in blocks(gradient):
        total = total + torch.dot(gradient[part], after[part] - before[part])
    return total
