"""Losses that preserve the photo's structure: `LaplacianLoss` (edges) and `SelfSimilarity`.

Both add up over tiles: one as a sum over cells, the other because a tile fills in the features of its own
places, and leaves the others 0.

* `LaplacianLoss`: mean (D(x) - D(photo))^2, D being the Laplacian of the mean of p x p pixels, R, G and B
  added.
  Source: Li, Xu, Nie and Chua 2017, "Laplacian-Steered Neural Style Transfer". Departures: a mean instead of
  a sum, so that size does not matter; the outermost cells, which lack a neighbor, do not count.
* `SelfSimilarity`: n places of a layer have cosine distances D_ij, each column divided by its sum:
  1/n sum |D_ij / sum_i D_ij - D'_ij / sum_i D'_ij|, D' being the photo's.
  Source: Kolkin, Salavon and Shakhnarovich 2019, "Style Transfer by Relaxed Optimal Transport and
  Self-Similarity". Departures: 1/n for 1/n^2, so that the number of places does not matter; one layer at a
  time; the places stay the same during a run.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from impasto.losses.loss import Features, LayerLoss, Statistics, Windows, window_of
from impasto.network.tiles import IMAGE

# What the means are multiplied by, so that a weight of 1 is visible and leaves the style intact; by eye.
LAPLACIAN = 5e10
SIMILARITY = 3e8
PLACES = 1024  # the most places of a layer that are compared
SHORTEST = 1e-3  # the least length that a feature is divided by
ALIKE = 1e-4  # the least mean distance of a place from the others that a column is divided by


def laplacian(image: Tensor, pool: int) -> Tensor:
    """Return the Laplacian of means of pool x pool pixels of an image (1, 3, H, W), R, G and B added.

    It is (1, 1, H // p - 2, W // p - 2), empty where that is less than 1; the pixels that fill no cell are
    left out.
    """
    if min(image.shape[-2:]) < 3 * pool:
        return image.new_zeros((1, 1, 0, 0))
    cells = avg_pool2d(image, pool).sum(1, keepdim=True)
    inner = cells[..., 1:-1, 1:-1]
    across = cells[..., 1:-1, :-2] + cells[..., 1:-1, 2:]
    return 4 * inner - across - cells[..., :-2, 1:-1] - cells[..., 2:, 1:-1]


@dataclass(frozen=True)
class LaplacianLoss:
    """The distance from the photo's edges: `target` is `laplacian(photo, pool)` at the canvas' size."""

    weight: float
    target: Tensor
    pool: int
    name: str = "laplacian"
    layers: tuple[str, ...] = ()
    additive: bool = True
    factor: float = 1.0

    @property
    def reach(self) -> int:
        """Pixels that it reads around a window: up to two cells."""
        return 2 * self.pool

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum of squared differences over the cells that begin in the window,)."""
        image, window = features[IMAGE], window_of(IMAGE, windows)
        if window is None:
            return ((laplacian(image, self.pool) - self.target).square().sum(),)
        cells, pixels = [], []
        for inner, outer, count in zip(window.inner, window.outer, self.target.shape[-2:], strict=True):
            first = max(1, -(-outer.start // self.pool))
            last = min(count + 1, -(-outer.stop // self.pool))
            if first >= last:
                return (image.new_zeros(()),)
            offset = outer.start - inner.start
            cells.append(slice(first - 1, last - 1))
            pixels.append(slice((first - 1) * self.pool - offset, (last + 1) * self.pool - offset))
        edges = laplacian(image[..., pixels[0], pixels[1]], self.pool)
        return ((edges - self.target[..., cells[0], cells[1]]).square().sum(),)

    def value(self, statistics: Statistics) -> Tensor:
        """Return the mean over the cells, times the factor; 0 where there are fewer than three in a row."""
        return statistics[0] / max(1, self.target.numel()) * self.factor


@dataclass(frozen=True)
class SelfSimilarity(LayerLoss):
    """Which places of the photo look alike, to be kept.

    `target` (n, n) is `distances` of the photo's features at the `places`, (n, 2) rows and columns of the
    layer. There is no guide.
    """

    target: Tensor
    places: Tensor

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (features at the places (n, C), 0 for those outside the window,), in float32 or better."""
        layer, window = features[self.layer], window_of(self.layer, windows)
        places, rows = self.places, torch.arange(len(self.places), device=layer.device)
        if window is not None:
            starts = torch.tensor([part.start for part in window.outer], device=layer.device)
            stops = torch.tensor([part.stop for part in window.outer], device=layer.device)
            within = ((places >= starts) & (places < stops)).all(1)
            shift = torch.tensor([part.start for part in window.inner], device=layer.device)
            places, rows = places[within] - starts + shift, rows[within]
        return (at_places(layer, places, rows, len(self.places)),)

    def value(self, statistics: Statistics) -> Tensor:
        """Return the mean over places of the summed differences of their distances, times the factor."""
        difference = distances(statistics[0]) - self.target.to(statistics[0].dtype)
        return difference.abs().sum() / len(self.places) * self.factor


def at_places(features: Tensor, places: Tensor, rows: Tensor, count: int) -> Tensor:
    """Return (count, C): the features (1, C, h, w) at places (m, 2) in those rows, the others 0."""
    picked = features[0, :, places[:, 0], places[:, 1]].T
    picked = picked.float() if picked.dtype == torch.bfloat16 else picked
    return picked.new_zeros((count, picked.shape[1])).index_put((rows,), picked)


def places(height: int, width: int, seed: int) -> Tensor:
    """Return (n, 2): rows and columns of up to `PLACES` positions of a layer, drawn with a seed."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(height * width, generator=generator)[:PLACES].sort().values
    return torch.stack([drawn // width, drawn % width], dim=1)


def distances(features: Tensor) -> Tensor:
    """Return the cosine distances (n, n) of features (n, C), each column divided by its sum."""
    length = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    directions = features / length.clamp(min=SHORTEST)
    apart = (1 - directions @ directions.T).clamp(min=0)
    shares: Tensor = apart / apart.sum(0, keepdim=True).clamp(min=ALIKE * len(features))
    return shares
