"""The style of a painting as its nearest features: `NeighborLoss`, and the targets that it compares with.

A cell of 4 x 4 px has a hypercolumn h: its features in five layers, those of layer l over the root of V_l.
S_l are the painting's features, and those of the painting turned by 90, 180 and 270 degrees, and V_l = mean
|S_l - mean S_l|^2. Once a scale each cell i of q = (1 - m) x + m p, x being the canvas at the start of the
scale and p the photo, gets the painting's cell j that looks most like it:

    j(i) = argmax_j cos(h_q(i) - mean h_q, h_s(j) - mean h_s),  T_l(i) = S_l(j(i)).

Then the mean over cells of |F_l - T_l|^2 / V_l, F_l being the canvas' features in the cell, is lowered.

Source: Kolkin et al. 2022, "Neural Neighbor Style Transfer" (arXiv 2203.13215). Departures: squared distances
instead of cosines, which keep contrast; targets that stay the same during a scale, as a solver that measures
curvature needs one function; Gram matrices at coarse scales.
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
from impasto.network.hypercolumns import CELL, GRIDS, LAYERS, cell_of, channels, columns, grid, means
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
LEAST = 1e-12  # the smallest divisor
FLAT = 1e-4  # of the mean square of features, added to their variance


def is_matched(settings: Settings, schedule: Sequence[Scale], number: int) -> bool:
    """Whether the style of a scale is compared by nearest neighbors: the last one, or the last two."""
    if settings.style_statistic != "neighbours" or not settings.style_term:
        return False
    last = 2 if schedule[-1].long_edge >= TWO_SCALES else 1
    return number >= len(schedule) - last and schedule[number].long_edge >= SMALLEST


@dataclass(frozen=True)
class NeighborLoss(LossWithGradient):
    """The squared distance of the means of cells of one layer from their targets.

    `target` is T, (1, C, h, w), for each cell of `cell` x `cell` positions of the layer; cells at the right
    and lower border may have fewer. `weights`, (1, 1, h, w), are those of the cells; None: all 1. There is no
    guide.
    """

    target: Tensor
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
        return statistics[0] / self.target[0, 0].numel() * self.factor

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
            target = self.target[..., down, across]
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
    """The cells of a painting: the features of all layers, (N, C), and V_l by layer.

    `mean` and `scale`, (C,), are those of the channels: mean S_l and V_l^-1/2. V_l is 0, and so is the scale,
    of a layer that the painting leaves dark. `unit` is the mean variance of a channel of the deepest layer.
    """

    features: Tensor
    mean: Tensor
    scale: Tensor
    variances: Mapping[str, float]
    unit: float

    def directions(self, features: Tensor, mean: Tensor) -> Tensor:
        """Return the hypercolumns of features (n, C), centered on `mean` (C,), of length 1."""
        centered = (features.to(mean.dtype) - mean) * self.scale
        return normalize(centered, dim=1, eps=LEAST).to(features.dtype)

    def table(self) -> Tensor:
        """Return the directions of all cells, (C, N); the first ones follow again to fill the last group."""
        count, more = len(self.features), -len(self.features) % GROUPS
        table = self.features.new_empty((count + more, self.features.shape[1]))
        for rows, part in zip(
            torch.split(table[:count], BLOCK), torch.split(self.features, BLOCK), strict=True
        ):
            rows.copy_(self.directions(part, self.mean))
        table[count:] = table[torch.arange(more, device=table.device) % count]
        return table.T


def style_cells(features: TiledFeatures, pictures: ScaledInputs, number: int) -> StyleCells:
    """Return the cells of a painting and of its turns, within its mask where it has one.

    Raises:
        InputError: Its mask leaves too little of it.
    """
    image = pictures.styles[number]
    mask = pictures.source_guides[number] if pictures.source_guides else None
    shape = [positions(length, stride(CELL), features.partial) for length in image.shape[-2:]]
    kept = torch.ones(shape, dtype=torch.bool, device=image.device)
    every = -(-4 * kept.numel() // ROWS)
    if mask is not None:
        guide = at_layer(mask, CELL, features.partial)
        check_source(guide, pictures.uses[number], pictures.names[number], CELL)
        kept = guide[0, 0] >= guide.max() / 2  # a soft edge counts to its middle
        every = -(-4 * int(kept.sum()) // ROWS)
    largest = max(pictures.content.shape[-2:])
    if not features.tile and max(image.shape[-2:]) > largest:  # tiles of at most the canvas' size
        features = replace(features, tile=largest)
    rows = []
    for turn in range(4):
        turned, chosen = torch.rot90(image, turn, (2, 3)).contiguous(), torch.rot90(kept, turn)
        order = chosen.flatten().cumsum(0).view_as(chosen) - 1
        chosen = chosen & (order % every == 0)
        for part, windows in features.parts(turned, LAYERS):
            rows.append(columns(part, windows)[chosen[*windows[CELL].outer]])
    return measured(torch.cat(rows), channels(features.network.network))


def measured(rows: Tensor, channels: Mapping[str, slice]) -> StyleCells:
    """Return cells of features (N, C) with their means and variances."""
    kind = summed_in(rows)
    mean = rows.mean(0, dtype=kind)
    squares = torch.zeros_like(mean)
    for part in torch.split(rows, BLOCK):
        squares += (part.to(kind) - mean).square().sum(0)
    squares /= len(rows)
    scale, variances = torch.zeros_like(mean), {}
    for layer, own in channels.items():
        spread, center = float(squares[own].sum()), float(mean[own].square().sum())
        variances[layer] = spread + FLAT * (spread + center)
        if variances[layer] > 0:
            scale[own] = variances[layer] ** -0.5
    deepest = channels[LAYERS[-1]]
    unit = variances[LAYERS[-1]] / (deepest.stop - deepest.start)
    return StyleCells(rows, mean, scale, variances, unit)


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


def put_nearest(found: Tensor, cells: StyleCells, table: Tensor, mean: Tensor) -> None:
    """Put the painting's nearest features in the place of those of a tile's cells, (h, w, C)."""
    for part in torch.split(found.view(-1, found.shape[2]), BLOCK):
        if len(part):
            numbers = nearest(cells.directions(part, mean), table)
            part.copy_(cells.features[numbers % len(cells.features)])


@dataclass
class Targets:
    """The targets of a scale by layer, (1, C, h, w): means over the paintings seen so far.

    `weights` are the sums of the paintings' weights: numbers, or tensors (1, 1, h, w).
    """

    by_layer: dict[str, Tensor]
    weights: dict[str, Tensor | float]

    def share(self, layer: str, count: Tensor | float, cells: StyleCells) -> Tensor | float:
        """Return the share that a painting has in the mean, whose weights grow by its own.

        `count` is how much of the positions belongs to it. The unit is its variance in the deepest layer.
        """
        variance = cells.variances[layer]
        weight = count * (cells.unit / variance if variance else 0.0)
        total = self.weights[layer] = self.weights[layer] + weight
        if isinstance(total, Tensor):
            return weight / total.clamp(min=LEAST)
        return weight / total if total else 0.0

    def add(self, layer: str, found: Tensor, window: Window, share: Tensor | float) -> None:
        """Move the mean of a layer towards the features found in a window, (1, C, h, w), by a share."""
        if not found.numel():
            return
        target = self.by_layer[layer][..., *window.outer]
        part = share if isinstance(share, float) else share[..., *window.outer]
        target += (found.to(summed_in(found)) - target) * part


def _mean_column(features: TiledFeatures, image: Tensor) -> Tensor:
    """Return the mean over the cells of an image (1, 3, H, W) of their features, (C,)."""
    sums, count = [], 0
    for part, windows in features.parts(image, LAYERS):
        found = columns(part, windows).flatten(0, 1)
        sums.append(found.sum(0, dtype=summed_in(found)))
        count += len(found)
    return torch.stack(sums).sum(0) / max(1, count)


def targets_of(
    features: TiledFeatures, pictures: ScaledInputs, query: Tensor, shared: Shared, kind: torch.dtype
) -> Targets:
    """Return the targets of a canvas whose cells are matched as those of `query`, (1, 3, H, W).

    Those of several paintings are compared each for itself, which is the same as with their weighted mean.

    Raises:
        InputError: A mask leaves nothing of a painting, or of the canvas.
    """
    own, mean = channels(features.network.network), _mean_column(features, query)
    targets = Targets({}, dict.fromkeys(LAYERS, 0.0))
    for layer in LAYERS:
        shape = [positions(n, stride(grid(layer)), features.partial) for n in query.shape[-2:]]
        empty = torch.zeros([1, own[layer].stop - own[layer].start, *shape], dtype=kind, device=query.device)
        targets.by_layer[layer] = empty.contiguous(memory_format=torch.channels_last)
    counts = {name: weights_of_styles(pictures, name, features.partial) for name in GRIDS}
    for number, share in enumerate(pictures.shares.tolist()):
        if share:
            cells = _cells_of(features, pictures, number, shared)
            shares = {name: targets.share(name, counts[grid(name)][number], cells) for name in LAYERS}
            _match(features, query, mean, cells, shares, targets)
    return targets


def _cells_of(features: TiledFeatures, pictures: ScaledInputs, number: int, shared: Shared) -> StyleCells:
    """Return the cells of a painting; shared by all runs that see the same of it."""
    guide = pictures.source_guides[number] if pictures.source_guides else None
    return shared.get(
        ("cells", features.network, pictures.styles[number], guide, features.tile),
        lambda: style_cells(features, pictures, number),
    )


def _match(
    features: TiledFeatures,
    query: Tensor,
    mean: Tensor,
    cells: StyleCells,
    shares: Mapping[str, Tensor | float],
    targets: Targets,
) -> None:
    """Add a painting's nearest features to the targets, by its shares in each layer."""
    own, table = channels(features.network.network), cells.table()
    for part, windows in features.parts(query, LAYERS):
        found = columns(part, windows)
        part.clear()
        put_nearest(found, cells, table, mean)
        for layer in LAYERS:
            of_layer = found[..., own[layer]].permute(2, 0, 1)[None]
            if grid(layer) != CELL and of_layer.numel():
                rows, across = (side.stop - side.start for side in windows[layer].outer)
                of_layer = means(of_layer, stride(layer) // stride(CELL))[..., :rows, :across]
            targets.add(layer, of_layer, windows[grid(layer)], shares[layer])


@torch.no_grad()
def neighbor_losses(
    features: TiledFeatures,
    pictures: ScaledInputs,
    start: Tensor,
    settings: Settings,
    shared: Shared,
    *,
    compact: bool,
    border: Mapping[str, Tensor | None],
) -> list[Loss]:
    """Return the style losses of a scale that begins with the canvas `start`, (1, 3, H, W).

    `compact` stores their targets in 16 bits. `border` are the weights of positions by what of them lies in
    the canvas, (1, 1, h, w), of the layers `CELL` and those with larger positions; None: all 1.

    Raises:
        InputError: A mask leaves nothing of a painting, or of the canvas.
    """
    query = torch.lerp(start, pictures.content, settings.neighbours_photo)
    half = compact or features.network.dtype == torch.bfloat16
    targets = targets_of(
        features, pictures, query, shared, torch.bfloat16 if half else features.network.network.mean.dtype
    )
    losses: list[Loss] = []
    for layer in LAYERS:
        found, edge = targets.weights[layer], border[grid(layer)]
        weights = found if isinstance(found, Tensor) else None
        factor = NEIGHBORS / len(LAYERS) * (found if isinstance(found, float) else 1.0)
        if edge is not None:
            weights = edge if weights is None else weights * edge
        losses.append(
            NeighborLoss(
                f"style.{layer}",
                settings.effective_style_weight,
                layer,
                targets.by_layer[layer],
                cell_of(layer),
                weights,
                factor=factor,
            )
        )
    return losses
