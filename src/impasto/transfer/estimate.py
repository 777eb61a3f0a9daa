"""What a run will take: seconds and memory, from a few evaluations measured here and now.

The time of an evaluation grows with the pixels, and more in tiles; memory is what the planner counts. It is
a quick guess: other programs on the machine change it.
"""

import statistics
import time
from dataclasses import dataclass

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.image.pixels import fit
from impasto.inputs.pictures import Inputs, ScaledInputs
from impasto.inputs.pyramid import Scale
from impasto.inputs.shared import Shared
from impasto.losses.build import build_losses, layers_of
from impasto.losses.neighbors import is_matched
from impasto.losses.objective import Objective, load_network
from impasto.network.weights.load import WeightsLike, load
from impasto.system import hardware
from impasto.system.torch_defaults import torch_defaults
from impasto.transfer import runtime as runtime_module
from impasto.transfer.memory import Plan, plan_of, slowdown

TRIAL_EDGE = 256  # px; long edge of the trial
TRIALS = 5  # evaluations that are timed, after one that is not


@dataclass(frozen=True)
class Estimate:
    """What a run will take: `seconds` of computing and the peak `memory` in bytes of the whole command."""

    scales: tuple[Scale, ...]
    evaluations: int
    seconds: float
    memory: int
    per_megapixel: float  # seconds of one evaluation, whole
    plan: Plan  # tiles, curvature pairs and bits that fit


@torch_defaults()
def estimate(
    inputs: Inputs, settings: Settings, runtime: Runtime, weights: WeightsLike | None = None
) -> Estimate:
    """Measure a few evaluations at a small size and extrapolate to the scales of this run.

    Raises:
        InputError: A picture is too small for the layers.
        WeightsError: The weights are not there.
    """
    runtime = runtime_module.resolve(runtime, settings)
    wanted = layers_of(settings, (), inputs)
    plan = inputs.scales(settings, wanted)
    with hardware.threads(runtime.threads or 1):
        network = load_network(
            load(settings.weights if weights is None else weights), settings, runtime, Shared(0)
        )
        size = fit(plan[-1].width, plan[-1].height, min(TRIAL_EDGE, plan[-1].long_edge))
        trial = Scale(*size)
        targets = inputs.at(trial, runtime.device)
        start = targets.content if is_matched(settings, plan, len(plan) - 1) else None
        objective = Objective(network, build_losses(network, targets, settings, start=start))
        seconds = _seconds(objective, targets)
    held = inputs.memory_bytes(plan[-1], inputs.size(settings))
    found, _ = plan_of(runtime, settings, plan, wanted, held)
    each = seconds / (trial.width * trial.height)
    counts = [scale.evaluations(settings) for scale in plan]
    work = sum(
        scale.width * scale.height * slowdown(scale, wanted, found.tile) * (count + 1)  # one for targets
        for scale, count in zip(plan, counts, strict=True)
    )
    took = each * work if runtime.budget is None else runtime.budget
    return Estimate(plan, sum(counts), took, found.memory, each * 1e6, found)


def _seconds(objective: Objective, targets: ScaledInputs) -> float:
    """Return the median seconds of one evaluation."""
    objective(targets.content)
    spent = []
    for _ in range(TRIALS):
        began = time.perf_counter()
        objective(targets.content)
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)
