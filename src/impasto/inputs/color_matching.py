"""Color matching: moves a picture's colors onto another's, by mean and covariance or by histogram.

With `--color match` a painting's colors are moved onto the photo's, with `--init matched` the photo's onto
the paintings'. Maps are functions from color to color, fitted once and valid for the picture at any size::

    move = matched(Palette.of(painting), Palette.of(photo))     # or histogram(...)
    recolor(painting, move)                                     # in place, (1, 3, H, W)

Sources: Gatys et al. 2016, "Preserving color" (the painting's colors matched first); Pitie and Kokaram 2007
(the linear map that moves colors least); Pitie, Kokaram and Dahyot 2007 (histograms along turned axes).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from impasto.image.pixels import without_white

Values = npt.NDArray[np.float64]
Move = Callable[[Values], Values]  # colors (N, 3), sRGB-encoded, to colors not limited to [0, 1]

GAIN = 8.0  # the largest factor of color differences; beyond it they are the noise of a file
ALIVE = 0.01  # standard deviation above which colors in a direction are more than noise
TURNS = 6  # rotations of the axes
QUANTILES = 256  # of a curve
MOST = 1 << 16  # colors that curves are computed from, at most
STRIP = 1 << 18  # pixels moved at a time
AGAIN = 30  # the most rounds of matching colors that were clipped to the range again
CLOSE = 1e-4  # difference of mean and covariance at which matching ends


@dataclass(frozen=True, eq=False)
class Palette:
    """Colors of a picture: `values` (N, 3) in [0, 1], and their weights `counts` (N,), which sum to 1."""

    values: Values
    counts: Values

    @classmethod
    def of(cls, image: Tensor, alpha: Tensor | None = None, mask: Tensor | None = None) -> "Palette":
        """Return the colors of an image on white (1, 3, H, W).

        They are weighted by its alpha and a mask, (1, 1, H, W) in [0, 1]; where all weights are 0, by none.
        """
        counts = np.ones(image.shape[-2] * image.shape[-1])
        if alpha is not None and bool(alpha.any()):  # else it is invisible: all count
            counts = _values(alpha)[:, 0]
            image = without_white(image, alpha)
        if mask is not None and (chosen := counts * _values(mask)[:, 0]).any():
            counts = chosen
        values = _values(image)
        return cls(values[counts > 0], counts[counts > 0] / counts.sum())

    def thinned(self, most: int = MOST) -> "Palette":
        """Return evenly spaced colors of these, at most `most`."""
        step = math.ceil(len(self.values) / most)
        counts = self.counts[::step]
        return Palette(self.values[::step], counts / counts.sum())

    @classmethod
    def joined(cls, palettes: Iterable["Palette"], shares: Sequence[float], most: int) -> "Palette":
        """Return the colors of several pictures together, each weighted by its share; about `most` in all."""
        parts = [palette.thinned(max(1, most // len(shares))) for palette in palettes]
        counts = [part.counts * share for part, share in zip(parts, shares, strict=True)]
        return cls(np.concatenate([part.values for part in parts]), np.concatenate(counts) / sum(shares))

    def mean(self) -> Values:
        """Return the mean color, (3,)."""
        mean: Values = self.counts @ self.values
        return mean

    def covariance(self) -> Values:
        """Return the covariance of the colors, (3, 3)."""
        centered = self.values - self.mean()
        covariance: Values = (centered * self.counts[:, None]).T @ centered
        return covariance


@dataclass(frozen=True, eq=False)
class Mixture:
    """Mean and covariance of the colors of several pictures together, each with its share.

    With shares w_i that sum to 1, means m_i and covariances C_i the mean is m = sum_i w_i m_i, and the
    covariance sum_i w_i (C_i + (m_i - m) (m_i - m)^T).
    """

    shares: Values  # (N,)
    means: Values  # (N, 3)
    covariances: Values  # (N, 3, 3)

    @classmethod
    def of(cls, palettes: Iterable[Palette], shares: Sequence[float]) -> "Mixture":
        """Return the mixture of palettes; only ratios of the shares count. One palette is held at a time."""
        moments = [(palette.mean(), palette.covariance()) for palette in palettes]
        means, covariances = (np.array(values) for values in zip(*moments, strict=True))
        return cls(np.array(shares) / sum(shares), means, covariances)

    def mean(self) -> Values:
        """Return the mean color, (3,)."""
        mean: Values = self.shares @ self.means
        return mean

    def covariance(self) -> Values:
        """Return the covariance of the colors, (3, 3)."""
        apart = self.means - self.mean()
        both = self.covariances + apart[:, :, None] * apart[:, None, :]
        covariance: Values = np.tensordot(self.shares, both, 1)
        return covariance


def matched(painting: Palette, photo: Palette) -> Move:
    """Return the map that gives the painting the photo's mean and covariance, limited to [0, 1].

    It is `linear`. Clipping changes mean and covariance, so the clipped colors are matched again until they
    no longer change.
    """
    steps = [linear(painting, photo)]
    goal = Palette(steps[0](painting.values), painting.counts)
    current = goal
    for _ in range(AGAIN):
        current = Palette(current.values.clip(0.0, 1.0), painting.counts)
        error = np.abs(current.covariance() - goal.covariance()).max()
        if max(error, np.abs(current.mean() - goal.mean()).max()) < CLOSE:
            break
        steps.append(linear(current, goal))
        current = Palette(steps[-1](current.values), painting.counts)

    def moved(colors: Values) -> Values:
        colors = steps[0](colors)
        for step in steps[1:]:
            colors = step(colors.clip(0.0, 1.0))
        return colors

    return moved


def linear(source: Palette, goal: Palette | Mixture) -> Move:
    """Return the linear map that gives the colors of `source` the mean and covariance of `goal`.

    Of all such maps the one that moves colors least: T = S^-1/2 (S^1/2 C S^1/2)^1/2 S^-1/2, symmetric, S and
    C being the covariances of source and goal. A direction in which the source has no variance gets none;
    gains are limited to `GAIN`.
    """
    spread = source.covariance()
    root, inverse = _power(spread, 0.5), _power(spread, -0.5)
    matrix = inverse @ _power(root @ goal.covariance() @ root, 0.5) @ inverse
    gains, axes = np.linalg.eigh((matrix + matrix.T) / 2)
    limited = (axes * gains.clip(0.0, GAIN)) @ axes.T
    before, after = source.mean(), goal.mean()

    def moved(colors: Values) -> Values:
        result: Values = (colors - before) @ limited + after
        return result

    return moved


def histogram(painting: Palette, photo: Palette) -> Move:
    """Return the map that gives the painting the photo's histogram, along many axes of the color space.

    After `linear`, each value is replaced by that of the same rank in the photo: along the photo's principal
    axes first, then along rotated ones, `TURNS` times in all. Directions without variance in the painting
    take no part, so that a gray painting does not become a rainbow.
    """
    move = linear(painting, photo)
    spread, axes = np.linalg.eigh(painting.covariance())
    basis = axes[:, spread > ALIVE**2]  # (3, R)
    painting, photo, middle = painting.thinned(), photo.thinned(), photo.mean()
    now, goal = (move(painting.values) - middle) @ basis, (photo.values - middle) @ basis
    _, turn = np.linalg.eigh(basis.T @ photo.covariance() @ basis)
    steps = []
    for number in range(TURNS if len(turn) > 1 else len(turn)):
        turn = turn @ _turned(len(turn), number)
        curves = [
            _curve(_quantiles(one, painting.counts), _quantiles(other, photo.counts))
            for one, other in zip((now @ turn).T, (goal @ turn).T, strict=True)
        ]
        steps.append((turn, curves))
        now = _along(now, turn, curves)

    def moved(colors: Values) -> Values:
        colors = move(colors)
        begin = inside = (colors - middle) @ basis
        for turn, curves in steps:
            inside = _along(inside, turn, curves)
        result: Values = colors + (inside - begin) @ basis.T
        return result

    return moved


def recolor(image: Tensor, move: Move, amount: float = 1.0, alpha: Tensor | None = None) -> Tensor:
    """Move the colors of an image on the CPU, in place, clipped to [0, 1]; return it.

    The image, (1, 3, H, W), is composited over white and stays white where its alpha, (1, 1, H, W), is 0;
    what moves are its colors without that white. `amount` is the share of the change, 0 to 1.
    """
    height, width = image.shape[-2:]
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        part = image[..., top : top + rows, :]
        share = None if alpha is None else alpha[..., top : top + rows, :]
        colors = _values(part if share is None else without_white(part, share))
        change = move(colors) - colors
        change *= amount
        if share is not None:
            change = _values(share) * ((colors + change).clip(0.0, 1.0) - colors)
        part.copy_(torch.from_numpy((_values(part) + change).clip(0.0, 1.0).T).view(part.shape))
    return image


def _values(image: Tensor) -> Values:
    """Return an image (1, C, H, W) as rows of values, (N, C)."""
    values: Values = image[0].flatten(1).T.cpu().double().numpy()
    return values


def _power(matrix: Values, power: float) -> Values:
    """Return a power of a symmetric matrix; eigenvalues near 0 stay 0."""
    values, axes = np.linalg.eigh((matrix + matrix.T) / 2)
    positive = values > 1e-12
    powers = np.where(positive, np.where(positive, values, 1.0) ** power, 0.0)
    result: Values = (axes * powers) @ axes.T
    return result


def _turned(size: int, number: int) -> Values:
    """Return the rotation of the axes before a step, (size, size): none first, then always another."""
    turn = np.eye(size)
    for plane, (one, other) in enumerate(combinations(range(size), 2)):
        angle = number and math.pi * ((number + 1) * (math.sqrt(5) / 2 + plane / math.pi) % 1)
        rotation = np.eye(size)
        rotation[[one, other], [one, other]] = math.cos(angle)
        rotation[one, other], rotation[other, one] = -math.sin(angle), math.sin(angle)
        turn = turn @ rotation
    return turn


def _quantiles(values: Values, counts: Values) -> Values:
    """Return evenly spaced quantiles of weighted values, (QUANTILES,)."""
    order = np.argsort(values, kind="stable")
    ranks = np.cumsum(counts[order]) - counts[order] / 2
    return np.interp((np.arange(QUANTILES) + 0.5) / QUANTILES, ranks, values[order])


def _curve(before: Values, after: Values) -> tuple[Values, Values]:
    """Return the curve from quantiles to quantiles, with slopes of at most `GAIN`."""
    rise = np.minimum(np.diff(after), GAIN * np.diff(before))
    limited = np.concatenate([[0.0], np.cumsum(rise)])
    return before, limited + (after.mean() - limited.mean())


def _along(values: Values, turn: Values, curves: list[tuple[Values, Values]]) -> Values:
    """Return values (N, R) moved along rotated axes, each by its curve."""
    turned = values @ turn
    for axis, curve in enumerate(curves):
        turned[:, axis] = np.interp(turned[:, axis], *curve)
    result: Values = turned @ turn.T
    return result
