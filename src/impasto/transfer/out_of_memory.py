"""What a run does where memory ends: smaller tiles and, from a GPU, then the processor."""

import logging
from dataclasses import replace

import torch

from impasto.config.recipe import ScaleRecord
from impasto.errors import End
from impasto.optim.tracking import Tracking
from impasto.system import hardware
from impasto.transfer import memory
from impasto.transfer.run import Run
from impasto.transfer.run_state import RunState
from impasto.transfer.runtime import with_kernels
from impasto.transfer.solver import make_solver

logger = logging.getLogger(__name__)


def smaller_tile(run: Run) -> int | None:
    """Return the edge of the next smaller tiles in px; None where there are none or a loss needs all at once.

    A scale without an evaluation left does not need them.
    """
    state, losses = run.state, [*run.extra_losses]
    if "objective" in vars(run):
        losses += run.objective.losses
    if not all(loss.additive for loss in losses) or state.evaluations >= run.limits[state.scale]:
        return None
    return memory.smaller(state.tile or run.runtime.tile or 0, run.schedule[state.scale])


def use_smaller_tiles(run: Run) -> bool:
    """Continue from the best canvas in smaller tiles, with a new solver; False where none are left."""
    smaller, state, spent = smaller_tile(run), run.state, run.state.evaluations
    if smaller is None:
        return False
    logger.warning("out of memory; continuing in tiles of %d px from the best so far", smaller)
    losses, tracking = run.objective.losses, state.tracking
    best, canvas = tracking.best, tracking.best_canvas
    assert best is not None
    assert canvas is not None
    run.record_scale(End.OUT_OF_MEMORY)
    run.free_solver()
    run.state = state.next_solver(scale=state.scale, tile=smaller, spent=spent, start=state.start)
    run.solver = make_solver(run.settings, run.runtime, canvas)
    # The best so far is the result until the new solver has done an evaluation.
    canvas = canvas if run.solver.overwrites else run.solver.canvas
    best = replace(best, gradient=canvas.new_empty(0))
    run.state.tracking = Tracking(best=best, best_canvas=canvas)
    run.set_losses(losses)
    run.begin_clock()
    return True


def leave_full_device(run: Run) -> None:
    """Let a run on a GPU start its scale anew, with less: in smaller tiles, or on the processor.

    A solver that has done evaluations continues where it stood between two steps. Before the first evaluation
    of a run its recipe repeats what is done now; later, a scale in the recipe says that it does not.
    """
    device, smaller = str(run.runtime.device), smaller_tile(run)
    state = _between_steps(run)
    if state.history:
        full = run.schedule[state.scale]
        attempt = ScaleRecord(
            width=full.width, height=full.height, evaluations=0, seconds=0.0, reason=End.OUT_OF_MEMORY
        )
        state.scales.append(attempt)
    for name in ("solver", "objective", "_noted"):
        vars(run).pop(name, None)
    run.state = replace(state, tile=None)
    if smaller is not None:
        logger.warning("out of memory on %s; beginning in tiles of %d px", device, smaller)
        run.set_runtime(run.runtime.changed(tile=smaller), plan=False)
        return
    logger.warning("out of memory on %s; continuing on the processor", device)
    vars(run).pop("network", None)
    run.canvas, run.photo = (None if image is None else image.cpu() for image in (run.canvas, run.photo))
    torch.cuda.empty_cache()
    bf16 = run.runtime.precision == "bf16" and hardware.fast_at_bf16("cpu")
    run.set_runtime(run.unplanned.changed(device="cpu", precision="bf16" if bf16 else "fp32"), plan=True)
    run.runtime = with_kernels(run.runtime, run.weights)


def _between_steps(run: Run) -> RunState:
    """Return the state between the last two steps of the solver; a fresh one before the first evaluation."""
    state = run.state
    if "solver" in vars(run) and not state.solver:  # else it is what a file said, or there is none yet
        state = replace(run.snapshot(), seconds=state.seconds)
    return state if state.history else replace(state, solver={}, tracking=Tracking())
