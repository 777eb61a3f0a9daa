"""The curvature pairs of L-BFGS, and the sums over long vectors that it needs.

Vectors are flat: a canvas' values, on any device. They are read block by block, so that beside the pairs
there is never a second copy of the canvas' size. Sums stay on their device, so that the host need not wait
for it.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from impasto.optim.evaluation import blocks

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
                change[part] = after[part] - before[part]
            pair.append(change)
        step, change = pair
        product, steps, changes, _ = _products(step, change, canvases[0], None)
        # Elsewhere than on the CPU asking would be a wait, and `direction` leaves such pairs out by itself.
        if product.device.type != "cpu" or bool(product > FLAT * steps.sqrt() * changes.sqrt()):
            self._pairs.append((step, change))

    def direction(self, gradient: Tensor, fixed: Tensor | None) -> Tensor:
        """Two-loop recursion (Nocedal 1980) on the free pixels: -H g, zero for fixed ones.

        A pair without curvature on these pixels, relative to its lengths, takes no part: a common factor on
        the loss decides nothing.
        """
        vector = gradient.neg()
        if fixed is not None:
            vector.masked_fill_(fixed, 0.0)
        scale, scaled, used = torch.ones_like(vector[0]), torch.zeros_like(vector[0]), []
        for step, change in reversed(self._pairs):
            product, steps, changes, along = _products(step, change, vector, fixed)
            counts = product > FLAT * steps.sqrt() * changes.sqrt()
            share = torch.where(counts, along / product, 0.0)
            _add(vector, change, -share, fixed)
            first = counts & (scaled == 0)
            scale, scaled = torch.where(first, product / changes, scale), scaled + first
            used.append((step, change, product, counts, share))
        vector.mul_(scale)
        for step, change, product, counts, share in reversed(used):
            back = torch.where(counts, _dot(change, vector) / product, 0.0)
            _add(vector, step, share - back, fixed)
        return vector


def _products(
    step: Tensor, change: Tensor, vector: Tensor, fixed: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return s y, s s and y y over the free pixels, and s v, in which v is zero at fixed ones."""
    sums: list[Tensor] = []
    for part in blocks(vector):
        one, other = step[part].to(vector.dtype), change[part].to(vector.dtype)
        if fixed is not None:
            one, other = one.masked_fill(fixed[part], 0.0), other.masked_fill(fixed[part], 0.0)
        pairs = ((one, other), (one, one), (other, other), (one, vector[part]))
        dots = [torch.dot(*pair) for pair in pairs]
        sums = [total + dot for total, dot in zip(sums, dots, strict=True)] if sums else dots
    return sums[0], sums[1], sums[2], sums[3]


def _dot(change: Tensor, vector: Tensor) -> Tensor:
    total = torch.zeros_like(vector[0])
    for part in blocks(vector):
        total = total + torch.dot(change[part].to(vector.dtype), vector[part])
    return total


def _add(vector: Tensor, other: Tensor, factor: Tensor, fixed: Tensor | None) -> None:
    """Add a multiple to a vector, in place, except at fixed pixels."""
    for part in blocks(vector):
        added = other[part].to(vector.dtype) * factor
        if fixed is not None:
            added.masked_fill_(fixed[part], 0.0)
        vector[part] += added


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
