"""The style of a painting as its nearest features: `NeighborLoss`, and the targets that it compares with.

A cell of 4 x 4 px has a hypercolumn h: its features in five layers, those of layer l over the root of V_l.
S_l are the painting's features, and those of the painting turned by 90, 180 and 270 degrees, and V_l = mean
|S_l - mean S_l|^2. Once a scale each cell i of q = (1 - m) x + m p, x being the canvas at the start of the
scale and p the photo, gets the painting's cell j that looks most like it:

    j(i) = argmax_j cos(h_q(i) - mean h_q, h_s(j) - mean h_s),  T_l(i) = S_l(j(i)).

Then the mean over cells of |F_l - T_l|^2 / V_l, F_l being the canvas' features in the cell, is lowered, and
the total variation with it, as cells say little of single pixels.

Source: Kolkin et al. 2022, "Neural Neighbor Style Transfer" (arXiv 2203.13215). Departures: squared distances
instead of cosines, which keep contrast; targets that stay the same during a scale, as a solver that measures
curvature needs one function; total variation; another statistic at coarse scales.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from impasto.config.settings import Settings
from impasto.inputs.pictures import ScaledInputs
from impasto.inputs.pyramid import Scale
from impasto.inputs.shared import Shared
from impasto.losses.loss import (
    STRIP,
    Features,
    Loss,
    LossWithGradient,
    Statistics,
    Windows,
    at_layer,
    summed_in,
    window_of,
)
from impasto.losses.regions import check_source, weights_of_styles
from impasto.network import hypercolumns
from impasto.network.hypercolumns import CELL, GRIDS, LAYERS, cell_of, channels, grid, means
from impasto.network.layers import positions, stride
from impasto.network.tiled_features import TiledFeatures, crop
from impasto.network.tiles import Window

SMALLEST = 192  # px; long edge of a scale below which Gram matrices serve better
TWO_SCALES = 768  # px; long edge of a result whose last two scales are matched
ROWS = 32_768  # cells of a painting that are compared; of more, every second, third ...
BLOCK = 1024  # cells of the canvas that are matched at a time
GROUPS = 64  # of products in a row, in which the largest is found first
# What the losses are multiplied by, in units of the painting's variance in the deepest layer. At the default
# weights the content loss has hardly a say; at a style weight of 2 both losses have the same unit. By eye.
NEIGHBORS = 0.5
SMOOTHNESS = 3e5  # of the total variation, in the weight of style; without it there is a weave of 2 px
LEAST = 1e-12  # the smallest divisor
FLAT = 1e-4  # of the mean square of features, added to their variance


def is_matched(settings: Settings, schedule: Sequence[Scale], number: int) -> bool:
    """Whether the style of a scale is compared by nearest neighbors.

    With `neighbours` the last scale is, or the last two; with others, in a result of at least
    `neighbours_from`, those of half of that or more.
    """
    edge = schedule[number].long_edge
    if edge < SMALLEST or not settings.compares_neighbors:
        return False
    large = settings.ends_with_neighbors and schedule[-1].long_edge >= settings.neighbours_from
    if large and 2 * edge >= settings.neighbours_from:
        return True
    last = 2 if schedule[-1].long_edge >= TWO_SCALES else 1
    return settings.style_statistic == "neighbours" and number >= len(schedule) - last


@dataclass(frozen=True)
class NeighborLoss(LossWithGradient):
    """The squared distance of the means of cells of one layer from their targets.

    `target` is T, for each cell of `cell` x `cell` positions of the layer; cells at the right and lower
    border may have fewer. `weights`, (1, 1, h, w), are those of the cells; None: all 1. There is no guide.
    """

    target: "Target"
    cell: int
    weights: Tensor | None = None

    def measure(self, features: Features, windows: Windows | None = None) -> Statistics:
        """Return (sum over cells of w |mean F - T|^2,), in float32 or better."""
        window = window_of(self.layer, windows)
        part = crop(features[self.layer], window)
        total = torch.zeros((), dtype=summed_in(part), device=part.device)
        for _, difference, weights in self._differences(part, window):
            squares = difference.square()
            total = total + (squares if weights is None else squares * weights).sum()
        return (total,)

    def add_gradient(
        self,
        gradient: Tensor,
        part: Tensor,
        guide: Tensor | None,
        window: Window | None,
        slopes: Sequence[Tensor],
    ) -> None:
        """Add 2 w (mean F - T) over the positions of the cell, times the derivative for the sum."""
        for place, difference, weights in self._differences(part, window):
            slope = difference.mul_(2 * slopes[0])
            slope = slope if weights is None else slope.mul_(weights)
            target = gradient[..., *place]
            target.add_(slope if self.cell == 1 else _spread(slope, target, self.cell))

    def value(self, statistics: Statistics) -> Tensor:
        """Return the mean over the cells, times the factor."""
        return statistics[0] / (self.target.height * self.target.width) * self.factor

    def _differences(
        self, part: Tensor, window: Window | None
    ) -> Iterator[tuple[tuple[slice, slice], Tensor, Tensor | None]]:
        """Yield strips of features (1, C, h, w): where they lie, mean F - T, and the weights of the cells."""
        top, left = (0, 0) if window is None else (side.start // self.cell for side in window.outer)
        height, width = part.shape[-2:]
        rows = max(1, STRIP // max(1, width) // self.cell) * self.cell
        across = slice(left, left - (-width // self.cell))
        for first in range(0, height, rows):
            last = min(height, first + rows)
            down = slice(top + first // self.cell, top - (-last // self.cell))
            target = self.target.at(down, across)
            if not target.numel():  # positions after the last whole cell, where such do not count
                continue
            ends = (first + target.shape[-2] * self.cell, target.shape[-1] * self.cell)
            place = slice(first, min(last, ends[0])), slice(0, min(width, ends[1]))
            found = means(part[..., *place].to(summed_in(part)), self.cell)
            yield place, found - target, None if self.weights is None else self.weights[..., down, across]


def _spread(slope: Tensor, features: Tensor, cell: int) -> Tensor:
    """Return the gradient for features from that for their `means`."""
    like, edges = features.to(slope.dtype), [cell, cell]
    spread: Tensor = torch.ops.aten.avg_pool2d_backward(slope, like, edges, edges, [0, 0], True, False, None)
    return spread


# --- the cells of a painting ---------------------------------------------------------------------------


@dataclass(frozen=True)
class StyleCells:
    """The cells of a painting: N features of each layer, (N, C), and V_l by layer.

    `mean` and `scale` are those of the channels of all layers: mean S_l and V_l^-1/2. V_l is 0, and so is the
    scale, of a layer that the painting leaves dark. `unit` is the mean variance of a channel of the deepest
    layer.
    """

    features: Mapping[str, Tensor]
    mean: Tensor
    scale: Tensor
    variances: Mapping[str, float]
    unit: float

    @property
    def count(self) -> int:
        """The number of cells, N."""
        return len(self.features[CELL])

    def weight(self, layer: str) -> float:
        """Return u / V_l: what the squared distances in a layer count, u being `unit`; 0 in a dark layer."""
        variance = self.variances[layer]
        return self.unit / variance if variance else 0.0

    def directions(self, columns: Tensor, mean: Tensor) -> Tensor:
        """Return hypercolumns (n, C), centered on `mean` (C,), with a length of 1."""
        centered = (columns.to(mean.dtype) - mean) * self.scale
        return normalize(centered, dim=1, eps=LEAST).to(columns.dtype)

    def table(self) -> Tensor:
        """Return the directions of all cells, (C, N); the first ones follow again to fill the last group."""
        more, like = -self.count % GROUPS, self.features[CELL]
        table = like.new_empty((self.count + more, len(self.mean)))
        for first in range(0, self.count, BLOCK):
            part = torch.cat([self.features[layer][first : first + BLOCK] for layer in LAYERS], 1)
            table[first : first + len(part)] = self.directions(part, self.mean)
        table[self.count :] = table[torch.arange(more, device=table.device) % self.count]
        return table.T


def style_cells(features: TiledFeatures, pictures: ScaledInputs, number: int) -> StyleCells:
    """Return the cells of a painting and of its turns, within its mask where it has one.

    All paintings together have at most `ROWS`, or a few more.

    Raises:
        InputError: Its mask leaves too little of it.
    """
    image, rows = pictures.styles[number], _rows_of(pictures)
    mask = pictures.source_guides[number] if pictures.source_guides else None
    shape = [positions(length, stride(CELL), features.partial) for length in image.shape[-2:]]
    kept = torch.ones(shape, dtype=torch.bool, device=image.device)
    if mask is not None:
        guide = at_layer(mask, CELL, features.partial)
        check_source(guide, pictures.uses[number], pictures.names[number], CELL)
        kept = guide[0, 0] >= guide.max() / 2  # a soft edge counts to its middle
    every = max(1, -(-4 * int(kept.sum()) // max(1, rows)))
    largest = max(pictures.content.shape[-2:])
    if not features.tile and max(image.shape[-2:]) > largest:  # tiles of at most the canvas' size
        features = replace(features, tile=largest)
    parts = []
    for turn in range(4):
        turned, chosen = torch.rot90(image, turn, (2, 3)).contiguous(), torch.rot90(kept, turn)
        order = chosen.flatten().cumsum(0).view_as(chosen) - 1
        chosen = chosen & (order % every == 0)
        for found, windows in hypercolumns.cells(features, turned):
            parts.append(found[chosen[*windows[CELL].outer]])
    own = channels(features.network.network)
    return measured({layer: torch.cat([part[:, own[layer]] for part in parts]) for layer in LAYERS})


def _rows_of(pictures: ScaledInputs) -> int:
    """Return about how many cells each painting may have, of `ROWS` for all that have a share."""
    return ROWS // int((pictures.shares > 0).sum())


def measured(features: Mapping[str, Tensor]) -> StyleCells:
    """Return cells with these features, (N, C) by layer, and their means and variances."""
    centers, scales, variances = [], [], {}
    for layer, rows in features.items():
        kind = summed_in(rows)
        mean = rows.mean(0, dtype=kind)
        squares = torch.zeros_like(mean)
        for part in torch.split(rows, BLOCK):
            squares += (part.to(kind) - mean).square().sum(0)
        spread, center = float(squares.sum()) / len(rows), float(mean.square().sum())
        variances[layer] = spread + FLAT * (spread + center)
        centers.append(mean)
        scales.append(torch.full_like(mean, variances[layer] ** -0.5 if variances[layer] > 0 else 0.0))
    unit = variances[LAYERS[-1]] / features[LAYERS[-1]].shape[1]
    return StyleCells(features, torch.cat(centers), torch.cat(scales), variances, unit)


# --- targets -------------------------------------------------------------------------------------------


def nearest(directions: Tensor, table: Tensor) -> Tensor:
    """Return of each direction (n, C) which column of the table (C, N) has the largest product with it, (n,).

    N is a multiple of `GROUPS`. On the CPU torch finds the largest of a row in a quarter of the time if that
    of each of so many groups is known.
    """
    products = directions @ table
    if products.device.type != "cpu":
        return products.argmax(1)
    grouped = products.view(len(products), GROUPS, -1)
    place = grouped.amax(1).float().argmax(1)
    group = grouped[torch.arange(len(products)), :, place].float().argmax(1)
    return group * grouped.shape[2] + place


@dataclass(frozen=True)
class Found:
    """The cells of a painting that were found for a canvas' cells: rows of its features, int64, (h, w)."""

    cells: StyleCells
    numbers: Tensor


@dataclass(frozen=True)
class Target:
    """The targets T of a layer, (1, C, height, width): means over paintings, gathered a part at a time.

    Whole they would need hundreds of bytes a pixel. `shares` are those of the paintings, which sum to 1:
    numbers, or tensors (1, 1, height, width).
    """

    layer: str
    height: int
    width: int
    found: Sequence[Found]
    shares: Sequence[Tensor | float]

    def at(self, rows: slice, across: slice) -> Tensor:
        """Return the targets of some rows and columns, as far as there are any."""
        (top, bottom, _), (left, right, _) = rows.indices(self.height), across.indices(self.width)
        height, width = max(0, bottom - top), max(0, right - left)
        cells, total = stride(grid(self.layer)) // stride(CELL), None
        for one, share in zip(self.found, self.shares, strict=True):
            numbers = one.numbers[top * cells : (top + height) * cells, left * cells : (left + width) * cells]
            picked = one.cells.features[self.layer].index_select(0, numbers.flatten())
            part = picked.view(*numbers.shape, picked.shape[1]).permute(2, 0, 1)[None]
            if height and width:
                part = means(part, cells)[..., :height, :width]
            if len(self.found) > 1:
                of_part = share if isinstance(share, float) else share[..., top:bottom, left:right]
                part = part.to(summed_in(part)) * of_part
            total = part if total is None else total + part
        assert total is not None
        return total


def _mean_column(features: TiledFeatures, image: Tensor) -> Tensor:
    """Return the mean over the cells of an image (1, 3, H, W) of their features, (C,)."""
    sums, count = [], 0
    for found, _ in hypercolumns.cells(features, image):
        rows = found.flatten(0, 1)
        sums.append(rows.sum(0, dtype=summed_in(rows)))
        count += len(rows)
    return torch.stack(sums).sum(0) / max(1, count)


def find(features: TiledFeatures, query: Tensor, mean: Tensor, cells: StyleCells) -> Found:
    """Return the nearest of a painting's cells for all cells of `query`, (1, 3, H, W), with mean (C,)."""
    shape = [positions(length, stride(CELL), features.partial) for length in query.shape[-2:]]
    numbers = torch.zeros(shape, dtype=torch.int64, device=query.device)
    table = cells.table()
    for asked, windows in hypercolumns.cells(features, query):
        if asked.numel():  # a tile may have less than a cell, where such do not count
            rows = torch.split(asked.flatten(0, 1), BLOCK)
            found = [nearest(cells.directions(some, mean), table) % cells.count for some in rows]
            numbers[*windows[CELL].outer] = torch.cat(found).view(asked.shape[:2])
    return Found(cells, numbers)


def _cells_of(features: TiledFeatures, pictures: ScaledInputs, number: int, shared: Shared) -> StyleCells:
    """Return the cells of a painting; shared by all runs that see the same of it."""
    guide = pictures.source_guides[number] if pictures.source_guides else None
    return shared.get(
        ("cells", features.network, pictures.styles[number], guide, features.tile, _rows_of(pictures)),
        lambda: style_cells(features, pictures, number),
    )


@torch.no_grad()
def neighbor_losses(
    features: TiledFeatures,
    pictures: ScaledInputs,
    start: Tensor,
    settings: Settings,
    shared: Shared,
    *,
    border: Mapping[str, Tensor | None],
) -> list[Loss]:
    """Return the style losses of a scale that begins with the canvas `start`, (1, 3, H, W).

    Several paintings are compared each for itself, which is the same as with their weighted mean. `border`
    are the weights of positions by what of them lies in the canvas, (1, 1, h, w), of the layers `CELL` and
    those with larger positions; None: all 1.

    Raises:
        InputError: A mask leaves nothing of a painting, or of the canvas.
    """
    query = torch.lerp(start, pictures.content, settings.neighbours_photo)
    counts = {name: weights_of_styles(pictures, name, features.partial) for name in GRIDS}
    numbers = [number for number, share in enumerate(pictures.shares.tolist()) if share]
    mean = _mean_column(features, query)
    found = [find(features, query, mean, _cells_of(features, pictures, n, shared)) for n in numbers]
    losses: list[Loss] = []
    for layer in LAYERS:
        own = [
            one.cells.weight(layer) * counts[grid(layer)][n] for n, one in zip(numbers, found, strict=True)
        ]
        total, edge = sum(own), border[grid(layer)]
        height, width = (
            positions(length, stride(grid(layer)), features.partial) for length in query.shape[-2:]
        )
        weights, factor = (total, 1.0) if isinstance(total, Tensor) else (None, total)
        if edge is not None:
            weights = edge if weights is None else weights * edge
        losses.append(
            NeighborLoss(
                f"style.{layer}",
                settings.effective_style_weight,
                layer,
                Target(layer, height, width, found, [_share(one, total) for one in own]),
                cell_of(layer),
                weights,
                factor=NEIGHBORS / len(LAYERS) * factor,
            )
        )
    return losses


def _share(weight: Tensor | float, total: Tensor | float) -> Tensor | float:
    """Return a painting's share in the mean of targets; 0 where nothing counts."""
    if isinstance(total, Tensor):
        return weight / total.clamp(min=LEAST)
    return weight / total if total else 0.0
