"""What a run may hold in memory: whole or in tiles, how many curvature pairs, in how many bits.

Pure arithmetic. The constants were fitted to the peak memory of finished commands (docs/performance.md);
everything that grows with the picture is counted, not guessed. What costs least comes first: tiles cost time,
16 bits cost digits, fewer pairs cost evaluations; all three are counted as time.
"""

import contextlib
import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import ResourceError
from impasto.inputs.pyramid import PictureShape, Scale
from impasto.losses.neighbors import BLOCK, ROWS, is_matched
from impasto.network import hypercolumns
from impasto.network.kernels import by_rule
from impasto.network.layers import CHANNELS, LAYERS, ORDER, block_of, deepest, stride
from impasto.network.tiles import tiles
from impasto.system import hardware
from impasto.system.hardware import no_memory
from impasto.transfer.run_state import MOST

PROGRAM = {"fp32": 595_000_000, "bf16": 497_000_000}  # bytes; Python, torch and the weights
SOLVERS = {"lbfgs": 0, "scipy": 80_000_000, "adam": 140_000_000}  # bytes; what they import
VECTORS = 5  # canvas, trial, two gradients, direction; float32
START = 3  # of them before a scale begins
BETWEEN = 2  # more of them between two evaluations, when a solver makes the next pair
AROUND = 75, 4_000_000  # bytes a pixel, of at most so many: the pictures that are compared, and freed memory
PASSING = {"fp32": 90, "bf16": 190}  # bytes a pixel that come and go within a pass of the whole
TILED = 90  # likewise, of a tile
EDGES = (4096, 3072, 2048, 1536, 1280, 1024, 896, 768, 512, 384, 256)  # px, of tiles
FEWER = {6: 1.03, 4: 1.08, 3: 1.15, 2: 1.3}  # curvature pairs where memory is short: evaluations more
MARGIN = 0.93  # of the limit that a plan may take; it is not exact
DIGITS = 1.02  # what 16 bits beside fp32 count for
SORTING = 84_000_000  # bytes: what `sliced` sorts at a time, and the quantiles of a painting
FORWARD = 0.5  # of an evaluation: a pass without its way back
MATCHING = 5.0  # evaluations of a whole picture: to find its nearest neighbors
SECOND_PASS = 1.4  # of the time of a whole picture: forward twice, back once


@dataclass(frozen=True)
class Plan:
    """How a run is held in memory. `tile` is 0 for whole pictures, `memory` the expected peak in bytes."""

    tile: int
    pairs: int
    compact: bool
    memory: int


def plan(
    scales: Sequence[Scale],
    settings: Settings,
    layers: Iterable[str],
    precision: str,
    limit: int,
    fixed: Mapping[str, int | bool | None] | None = None,
    *,
    strict: bool = True,
    inputs: int = 0,
) -> Plan:
    """Return the first of all ways, from the fastest to the leanest, that stays under the limit.

    `limit` and `inputs`, which the opened pictures need, are in bytes. `fixed` may set `tile`, `pairs` and
    `compact`. Where nothing fits, the leanest is returned unless `strict`.

    Raises:
        ResourceError: Not even the leanest fits.
    """
    wanted = list(layers)
    largest = max(scales, key=lambda scale: scale.width * scale.height)
    plans: list[Plan] = []

    def cost(way: tuple[int, int, bool]) -> float:
        tile, pairs, compact = way
        time = slowdown(largest, wanted, tile) * FEWER.get(pairs, 1.0)
        return time * (DIGITS if compact and precision != "bf16" else 1.0)

    for tile, pairs, compact in sorted(_choices(settings, precision, fixed or {}), key=cost):
        need = inputs + memory(largest, settings, wanted, precision, tile, pairs, compact)
        plans.append(Plan(tile, pairs, compact, need))
        if need <= MARGIN * limit:
            return plans[-1]
    leanest = min(plans, key=lambda plan: plan.memory)
    if not strict:
        return leanest
    raise ResourceError(
        f"memory_limit: {largest.width} x {largest.height} px needs about "
        f"{leanest.memory / MARGIN / 1e6:.0f} MB "
        f"at least, more than {limit / 1e6:.0f} MB; use a smaller --size or a larger --memory-limit"
        + (", or another --style-statistic, as sliced has no tiles" if _needs_whole(settings) else "")
    )


def _choices(
    settings: Settings, precision: str, fixed: Mapping[str, int | bool | None]
) -> Iterable[tuple[int, int, bool]]:
    """Yield (tile, pairs, compact). Beside bf16 features, pairs of 16 bits lose nothing."""
    given = fixed.get("pairs")
    most = min(settings.history, int(given)) if given else settings.history
    tile, compact = fixed.get("tile"), fixed.get("compact")
    edges = (0, *EDGES) if tile is None else (int(tile),)
    if _needs_whole(settings):  # ranks are known of the whole picture only
        edges = (0,)
    kinds: tuple[bool, ...] = (True,) if precision == "bf16" else (False, True)
    if compact is not None:
        kinds = (bool(compact),)
    fewer = [count for count in FEWER if count < most]
    numbers = [most, *fewer] if given is None and settings.solver == "lbfgs" else [most]
    return itertools.product(edges, numbers, kinds)


def memory(
    scale: Scale,
    settings: Settings,
    layers: Sequence[str],
    precision: str,
    tile: int,
    pairs: int,
    compact: bool,
) -> int:
    """Return the peak memory of a whole command but for its inputs, in bytes, as far as can be foreseen."""
    pixels = scale.width * scale.height
    pairs = min(pairs, max(0, settings.evaluations_per_scale - 1))  # the first evaluation makes none
    vector = 4 * 3 * pixels
    vectors = vector * VECTORS
    if settings.solver == "lbfgs":
        vectors += 2 * pairs * 3 * pixels * (2 if compact else 4)
    elif settings.solver == "scipy":
        vectors += (2 * pairs + 8) * 3 * pixels * 8  # its workspace is float64
    content = _values(settings.content_layers) if settings.content_term else 0.0
    targets = round(pixels * content) * (2 if compact or precision == "bf16" else 4)
    part = max(_tile_pixels(scale, tuple(layers), tile)) if tile and layers else pixels
    matching, more = 0, TILED if part < pixels else PASSING[precision]
    if is_matched(settings, [scale], 0):
        more = PASSING[precision]  # the layers before two poolings have gradients of their own size, too
        kept, matching = neighbors_memory(settings, scale, precision, part)
        targets += kept
    passing = part * (feature_bytes(layers, precision) + more)
    if _needs_whole(settings):  # gradients of the layers wait while others are measured
        values = _values(settings.style_layers)
        passing += SORTING + round(part * values * (2 if precision == "bf16" else 4))
    program = (
        PROGRAM[precision]
        + kernels(layers, precision)
        + SOLVERS[settings.solver]
        + AROUND[0] * min(pixels, AROUND[1])
    )
    # Before the first evaluation there are neither pairs nor directions.
    return program + targets + max(vectors + max(passing, vector * BETWEEN), vector * START + matching)


def neighbors_memory(settings: Settings, scale: Scale, precision: str, part: int) -> tuple[int, int]:
    """Return the bytes that nearest neighbors keep, and those of matching `part` px at a time.

    They keep the paintings' cells, which one of them is for each cell of the canvas, and the canvas that the
    scale began with. Matching has the features of a tile, and its hypercolumns.
    """
    size = 2 if precision == "bf16" else 4
    channels = [CHANNELS[block_of(layer) - 1] for layer in hypercolumns.LAYERS]
    pairs = zip(hypercolumns.LAYERS, channels, strict=True)
    features = sum(count / stride(layer) ** 2 for layer, count in pairs)
    pixels, cell = scale.width * scale.height, stride(hypercolumns.CELL) ** 2
    rows = min(ROWS, round((settings.stroke * scale.long_edge) ** 2 * 4 / cell))
    cells, products = size * rows * sum(channels), size * rows * BLOCK
    matching = cells + products + round(size * part * (features + sum(channels) / cell))
    return cells + pixels * 8 // cell + 12 * pixels, matching


def kernels(layers: Sequence[str], precision: str) -> int:
    """Return the bytes of the kernels that Winograd's convolutions make: 36 numbers a pair of channels.

    By the fixed rule; other ways need less than this.
    """
    total, incoming = 0, 3
    for layer in LAYERS[: ORDER[deepest(layers)] + 1] if layers else ():
        if layer.startswith("conv"):
            outgoing = CHANNELS[block_of(layer) - 1]
            if by_rule(incoming, outgoing, precision) == "winograd":
                total += 36 * incoming * outgoing * (2 if precision == "bf16" else 4)
            incoming = outgoing
    return total


def feature_bytes(layers: Sequence[str], precision: str) -> int:
    """Return the bytes a pixel that a pass keeps for the way back: features, gates and pooled values."""
    if not layers:
        return 0
    size, total = (2 if precision == "bf16" else 4), 0.0
    for layer in LAYERS[: ORDER[deepest(layers)] + 1]:
        positions = CHANNELS[block_of(layer) - 1] / stride(layer) ** 2
        if layer.startswith("pool"):
            total += positions * (size + 2)  # what was taken, and where
        elif layer in layers or (
            layer.startswith("relu") and not LAYERS[ORDER[layer] + 1].startswith("pool")
        ):
            total += positions * size
    return round(total)


def _values(layers: Mapping[str, float]) -> float:
    """Return the values a pixel of the features of those layers that have a weight."""
    return sum(
        CHANNELS[block_of(layer) - 1] / stride(layer) ** 2 for layer, weight in layers.items() if weight
    )


def _needs_whole(settings: Settings) -> bool:
    """Whether a style loss needs the whole picture at once."""
    return settings.style_term and settings.style_statistic == "sliced"


def slowdown(scale: Scale, layers: Sequence[str], tile: int) -> float:
    """Return how much longer an evaluation takes in tiles than whole: forward twice, and the halos."""
    parts = _tile_pixels(scale, tuple(layers), tile) if tile else ()
    if len(parts) < 2:
        return 1.0
    return SECOND_PASS * sum(parts) / (scale.width * scale.height)


@lru_cache(maxsize=256)
def _tile_pixels(scale: Scale, layers: tuple[str, ...], tile: int) -> tuple[int, ...]:
    """Return the pixels that each tile reads."""
    return tuple(part.pixels for part in tiles(scale.height, scale.width, tile, layers))


def smaller(tile: int, scale: Scale) -> int | None:
    """Return the next smaller tile after memory ran out, or None where there is none."""
    edge = tile or scale.long_edge + 1
    return next((choice for choice in EDGES if choice < edge and 2 * choice <= edge + 1), None)


log = logging.getLogger(__name__)


def with_memory_plan(
    runtime: Runtime, settings: Settings, scales: Sequence[Scale], layers: Sequence[str], inputs: int = 0
) -> Runtime:
    """Return the runtime with the plan for its memory in it; `inputs` are the bytes of the open pictures.

    What a recipe has to repeat is in the runtime returned; limit and budget themselves are not, as the plan
    and the evaluations spent say the same.
    """
    device, usable = str(runtime.device), hardware.usable_threads()
    if (runtime.threads or 1) > usable:  # kept, as the last digits depend on it
        log.warning("%d threads on %d processors take longer than %d", runtime.threads, usable, usable)
    if runtime.precision == "bf16" and not hardware.fast_at_bf16(device):
        cost = hardware.cost_of_bf16(device)
        log.warning("bf16 is emulated here: a convolution takes %.1f times as long as in fp32", cost)
    chosen, limit = plan_of(runtime, settings, scales, layers, inputs)
    if chosen.memory > limit:
        log.warning("needs about %.0f MB, but only %.0f MB are free", chosen.memory / 1e6, limit / 1e6)
    tile = chosen.tile if chosen.tile < scales[-1].long_edge else 0
    slower = slowdown(scales[-1], layers, tile)
    if slower > 1 and not runtime.tile:
        log.warning(
            "in tiles of %d px, to stay under %.0f MB: an evaluation takes about %.1f times as long",
            tile, limit / 1e6, slower,
        )  # fmt: skip
    if chosen.compact and not runtime.compact and runtime.precision != "bf16":
        log.warning("in 16 bits and %d curvature pairs, to stay under that", chosen.pairs)
    return runtime.changed(
        memory_limit=None,
        budget=None,
        tile=tile or runtime.tile,
        pairs=None if chosen.pairs == settings.history else chosen.pairs,
        compact=chosen.compact or runtime.compact,
    )


def cost(scale: Scale, layers: Sequence[str], runtime: Runtime) -> float:
    """Return what an evaluation costs, in pixels computed whole."""
    return scale.width * scale.height * slowdown(scale, layers, runtime.tile or 0)


def plan_of(
    runtime: Runtime, settings: Settings, scales: Sequence[Scale], layers: Sequence[str], inputs: int
) -> tuple[Plan, int]:
    """Return the plan for a runtime, and the bytes it had to stay under.

    Raises:
        ResourceError: Nothing fits into the limit that was given.
    """
    limit = runtime.memory_limit or hardware.free_memory(str(runtime.device))
    fixed = {"tile": runtime.tile, "pairs": runtime.pairs, "compact": runtime.compact}
    counted = settings if runtime.budget is None else settings.changed(evaluations=MOST)
    strict, precision = runtime.memory_limit is not None, str(runtime.precision)
    chosen = plan(scales, counted, layers, precision, limit, fixed, strict=strict, inputs=inputs)
    return chosen, limit


def targets_cost(
    scale: Scale, shapes: Sequence[PictureShape], layers: Sequence[str], runtime: Runtime, *, matched: bool
) -> float:
    """Return what a scale's targets cost, in pixels computed whole: photo and paintings go through once.

    Where the style is `matched`, nearest neighbors are found as well.
    """
    pictures = [scale, *(shape.at(scale.long_edge) for shape in shapes)]
    total = 0
    for picture in pictures:
        parts = _tile_pixels(picture, tuple(layers), runtime.tile) if runtime.tile and layers else ()
        total += sum(parts) or picture.width * picture.height
    return FORWARD * total + MATCHING * matched * scale.width * scale.height


@contextlib.contextmanager
def enough_memory() -> Iterator[None]:
    """Turn what is raised where memory runs out, and nothing can be done, into an error of one line."""
    try:
        yield
    except Exception as error:
        if not no_memory(error):
            raise
        raise ResourceError(
            "memory ran out; use a smaller --size, or --memory-limit to compute in smaller parts"
        ) from error
