"""A painting's colours moved onto the photo's: by mean and covariance, or by histogram.

Both are functions from colour to colour, fitted once and then good for the painting at any size::

    move = matched(Palette.of(painting), Palette.of(photo))     # or histogram(...)
    recolour(painting, move)                                    # in place, (1, 3, H, W)

Sources: Gatys et al. 2016 (the painting's colours matched first); Pitie and Kokaram 2007 (the linear map that
moves colours least); Pitie, Kokaram and Dahyot 2007 (histograms along turned axes).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Values = npt.NDArray[np.float64]
Move = Callable[[Values], Values]  # colours (N, 3), sRGB-encoded, to colours not limited to [0, 1]

GAIN = 8.0  # most by which differences of colour are raised; beyond, they are the noise of a file
ALIVE = 0.01  # standard deviation above which colours in a direction are more than noise
TURNS = 6  # of the axes
QUANTILES = 256  # of a curve
MOST = 1 << 16  # colours that curves are made of
STRIP = 1 << 18  # pixels moved at once
AGAIN = 30  # times at most that colours cut off at the ends of the range are matched again
CLOSE = 1e-4  # of mean and covariance, in the range 0 to 1


@dataclass(frozen=True, eq=False)
class Palette:
    """Colours of a picture: `values` (N, 3) in [0, 1], and how much each counts (N,), in sum 1."""

    values: Values
    counts: Values

    @classmethod
    def of(cls, image: Tensor, alpha: Tensor | None = None) -> "Palette":
        """Take those of an image (1, 3, H, W); a pixel counts as much as it is opaque, (1, 1, H, W)."""
        values = image[0].flatten(1).T.cpu().double().numpy()
        counts = np.ones(len(values))
        if alpha is not None and bool(alpha.any()):  # else nothing of it can be seen
            counts = alpha.flatten().cpu().double().numpy()
        return cls(values[counts > 0], counts[counts > 0] / counts.sum())

    def thinned(self, most: int = MOST) -> "Palette":
        """Return every so many-th of the colours, so that there are not more than that."""
        step = math.ceil(len(self.values) / most)
        counts = self.counts[::step]
        return Palette(self.values[::step], counts / counts.sum())

    def mean(self) -> Values:
        """Return the mean colour, (3,)."""
        found: Values = self.counts @ self.values
        return found

    def covariance(self) -> Values:
        """Return the covariance of the colours, (3, 3)."""
        apart = self.values - self.mean()
        found: Values = (apart * self.counts[:, None]).T @ apart
        return found


def matched(painting: Palette, photo: Palette) -> Move:
    """Return the map that gives the painting the photo's mean and covariance, limited to [0, 1].

    It is `linear`. Where that leaves the range, what is cut off changes mean and covariance: so the limited
    colours are moved to them again, until they stay.
    """
    steps = [linear(painting, photo)]
    wanted = Palette(steps[0](painting.values), painting.counts)
    found = wanted
    for _ in range(AGAIN):
        found = Palette(found.values.clip(0.0, 1.0), painting.counts)
        apart = np.abs(found.covariance() - wanted.covariance()).max()
        if max(apart, np.abs(found.mean() - wanted.mean()).max()) < CLOSE:
            break
        steps.append(linear(found, wanted))
        found = Palette(steps[-1](found.values), painting.counts)

    def moved(colors: Values) -> Values:
        colors = steps[0](colors)
        for step in steps[1:]:
            colors = step(colors.clip(0.0, 1.0))
        return colors

    return moved


def linear(painting: Palette, photo: Palette) -> Move:
    """Return the linear map that gives the painting the photo's mean and covariance.

    Of all such maps the one that moves the colours least: T = S^-1/2 (S^1/2 C S^1/2)^1/2 S^-1/2, symmetric.
    A direction in which the painting has no colours gets none, and none is raised by more than `GAIN`.
    """
    spread = painting.covariance()
    root, inverse = _power(spread, 0.5), _power(spread, -0.5)
    found = inverse @ _power(root @ photo.covariance() @ root, 0.5) @ inverse
    gains, axes = np.linalg.eigh((found + found.T) / 2)
    limited = (axes * gains.clip(0.0, GAIN)) @ axes.T
    before, after = painting.mean(), photo.mean()

    def moved(colors: Values) -> Values:
        found: Values = (colors - before) @ limited + after
        return found

    return moved


def histogram(painting: Palette, photo: Palette) -> Move:
    """Return the map that gives the painting the photo's histogram, along many axes of the colours.

    It goes on from `linear`: along the photo's principal axes, and then along turned ones, each value
    takes that of the same rank in the photo. Only directions in which the painting has colours take part, so
    that a gray one does not become a rainbow.
    """
    move = linear(painting, photo)
    spread, axes = np.linalg.eigh(painting.covariance())
    basis = axes[:, spread > ALIVE**2]  # (3, R)
    painting, photo, middle = painting.thinned(), photo.thinned(), photo.mean()
    now, wanted = (move(painting.values) - middle) @ basis, (photo.values - middle) @ basis
    _, turn = np.linalg.eigh(basis.T @ photo.covariance() @ basis)
    steps = []
    for number in range(TURNS if len(turn) > 1 else len(turn)):
        turn = turn @ _turned(len(turn), number)
        curves = [
            _curve(_quantiles(one, painting.counts), _quantiles(other, photo.counts))
            for one, other in zip((now @ turn).T, (wanted @ turn).T, strict=True)
        ]
        steps.append((turn, curves))
        now = _along(now, turn, curves)

    def moved(colors: Values) -> Values:
        colors = move(colors)
        begin = inside = (colors - middle) @ basis
        for turn, curves in steps:
            inside = _along(inside, turn, curves)
        found: Values = colors + (inside - begin) @ basis.T
        return found

    return moved


def recolor(image: Tensor, move: Move, amount: float = 1.0, alpha: Tensor | None = None) -> Tensor:
    """Move the colours of an image (1, 3, H, W) on the CPU, in place, and limit them to [0, 1].

    Args:
        image: Composited over white where it is transparent, and left so there.
        move: From colour to colour.
        amount: Share of the way, 0 to 1.
        alpha: How opaque it is, (1, 1, H, W); all of it if None.
    """
    height, width = image.shape[-2:]
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        part = image[0, :, top : top + rows]
        before = part.flatten(1).T.double().numpy()
        way = move(before) - before
        way *= amount
        if alpha is not None:
            way *= alpha[0, 0, top : top + rows].flatten().double().numpy()[:, None]
        part.copy_(torch.from_numpy((before + way).clip(0.0, 1.0).T).view(part.shape))
    return image


def _power(matrix: Values, power: float) -> Values:
    """Return a power of a symmetric matrix; of a direction in which it is nothing, nothing."""
    values, axes = np.linalg.eigh((matrix + matrix.T) / 2)
    alive = values > 1e-12
    found: Values = (axes * np.where(alive, np.where(alive, values, 1.0) ** power, 0.0)) @ axes.T
    return found


def _turned(size: int, number: int) -> Values:
    """Return how the axes turn for a step, (size, size): not at first, then by ever other angles."""
    turn = np.eye(size)
    for plane, (one, other) in enumerate(combinations(range(size), 2)):
        angle = number and math.pi * ((number + 1) * (math.sqrt(5) / 2 + plane / math.pi) % 1)
        once = np.eye(size)
        once[[one, other], [one, other]] = math.cos(angle)
        once[one, other], once[other, one] = -math.sin(angle), math.sin(angle)
        turn = turn @ once
    return turn


def _quantiles(values: Values, counts: Values) -> Values:
    """Return evenly spaced quantiles of values that count so much, (QUANTILES,)."""
    order = np.argsort(values, kind="stable")
    ranks = np.cumsum(counts[order]) - counts[order] / 2
    return np.interp((np.arange(QUANTILES) + 0.5) / QUANTILES, ranks, values[order])


def _curve(before: Values, after: Values) -> tuple[Values, Values]:
    """Return the curve from quantiles to quantiles, nowhere steeper than `GAIN`."""
    rise = np.minimum(np.diff(after), GAIN * np.diff(before))
    limited = np.concatenate([[0.0], np.cumsum(rise)])
    return before, limited + (after.mean() - limited.mean())


def _along(values: Values, turn: Values, curves: list[tuple[Values, Values]]) -> Values:
    """Return values (N, R) moved along turned axes, each by its curve."""
    turned = values @ turn
    for axis, curve in enumerate(curves):
        turned[:, axis] = np.interp(turned[:, axis], *curve)
    found: Values = turned @ turn.T
    return found
