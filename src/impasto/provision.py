"""What a run may use: its runtime with the plan for its memory in it, and its time budget."""

import contextlib
import logging
from collections.abc import Iterator, Sequence

from impasto import machine, planner
from impasto.budget import MOST, Budget
from impasto.errors import ResourceError
from impasto.pyramid import Scale, Shape
from impasto.settings import Runtime, Settings
from impasto.solvers import no_memory

log = logging.getLogger(__name__)


def definite(
    runtime: Runtime,
    settings: Settings,
    scales: Sequence[Scale],
    layers: Sequence[str],
    inputs: int = 0,
) -> Runtime:
    """Return the runtime with the plan for its memory in it; `inputs` are the bytes of the open pictures.

    What a recipe has to repeat is in the runtime returned; limit and budget themselves are not, as the plan
    and the evaluations spent say the same.
    """
    device = str(runtime.device)
    if runtime.precision == "bf16" and not machine.fast_at_bf16(device):
        cost = machine.cost_of_bf16(device)
        log.warning(
            "bf16 is emulated here: a convolution takes %.1f times as long as in fp32", cost
        )
    chosen, limit = plan_of(runtime, settings, scales, layers, inputs)
    if chosen.memory > limit:
        log.warning(
            "needs about %.0f MB, but only %.0f MB are free", chosen.memory / 1e6, limit / 1e6
        )
    tile = chosen.tile if chosen.tile < scales[-1].long_edge else 0
    slower = planner.slowdown(scales[-1], layers, tile)
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
    return scale.width * scale.height * planner.slowdown(scale, layers, runtime.tile or 0)


def plan_of(
    runtime: Runtime,
    settings: Settings,
    scales: Sequence[Scale],
    layers: Sequence[str],
    inputs: int,
) -> tuple[planner.Plan, int]:
    """Return the plan for a runtime, and the bytes it had to stay under.

    Raises:
        ResourceError: Nothing fits into the limit that was given.
    """
    limit = runtime.memory_limit or machine.free_memory(str(runtime.device))
    fixed = {"tile": runtime.tile, "pairs": runtime.pairs, "compact": runtime.compact}
    counted = settings if runtime.budget is None else settings.changed(evaluations=MOST)
    given = (scales, counted, layers, str(runtime.precision), limit, fixed)
    strict = runtime.memory_limit is not None
    return planner.plan(*given, strict=strict, inputs=inputs), limit


def beforehand(
    scale: Scale, shapes: Sequence[Shape], layers: Sequence[str], runtime: Runtime
) -> float:
    """Return what a scale's targets cost, in pixels computed whole: photo and paintings go through once.

    Args:
        scale: With the photo's size.
        shapes: The paintings' as they are.
        layers: Those the losses read.
        runtime: Its tile counts.
    """
    pictures = [scale, *(shape.at(scale.long_edge) for shape in shapes)]
    return sum(planner.once(picture, layers, runtime.tile or 0) for picture in pictures)


def budget(
    asked: Runtime,
    scales: Sequence[Scale],
    costs: Sequence[float],
    before: Sequence[float],
    left: float | None,
) -> Budget | None:
    """Return the time budget asked for, or, of an interrupted run, the seconds `left` of it."""
    if left is not None:
        return Budget(left, costs, before)
    if asked.budget is None:
        return None
    return Budget(asked.budget - planner.seconds_to_save(scales[-1]), costs, before)


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
