"""What a run will take: seconds and memory, from a few evaluations measured here and now.

The time of an evaluation grows with the pixels, and more in tiles; memory is what the planner counts. It is
a quick guess: other programs on the machine change it.
"""

import statistics
import time
from dataclasses import dataclass

from impasto import machine
from impasto.inputs import Inputs, Targets
from impasto.objective import Objective, network_of
from impasto.planner import Plan, slowdown
from impasto.provision import plan_of
from impasto.pyramid import Scale, fit
from impasto.settings import Runtime, Settings
from impasto.targets import bind, layers_of
from impasto.transfer import WeightsLike, load
from impasto.workshop import Workshop

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


def estimate(
    inputs: Inputs, settings: Settings, runtime: Runtime, weights: WeightsLike | None = None
) -> Estimate:
    """Measure a few evaluations at a small size and extrapolate to the scales of this run.

    Raises:
        InputError: A picture is too small for the layers.
        WeightsError: The weights are not there.
    """
    runtime = machine.resolve(runtime, settings)
    wanted = layers_of(settings, (), inputs)
    plan = inputs.scales(settings, wanted)
    with machine.threads(runtime.threads or 1):
        network = network_of(load(weights), settings, runtime, Workshop(0))
        size = fit(plan[-1].width, plan[-1].height, min(TRIAL_EDGE, plan[-1].long_edge))
        trial = Scale(*size)
        targets = inputs.tensors(trial, runtime.device)
        objective = Objective(network, bind(network, targets, settings))
        seconds = _seconds(objective, targets)
    held = inputs.held_bytes(plan[-1])
    found, _ = plan_of(runtime, settings, plan, wanted, held)
    each = seconds / (trial.width * trial.height)
    work = sum(
        scale.width * scale.height * slowdown(scale, wanted, found.tile) for scale in plan
    ) * (settings.passes + 1)  # one for targets
    took = each * work if runtime.budget is None else runtime.budget
    return Estimate(plan, settings.passes * len(plan), took, found.memory, each * 1e6, found)


def _seconds(objective: Objective, targets: Targets) -> float:
    """Return the median seconds of one evaluation."""
    objective(targets.content)
    spent = []
    for _ in range(TRIALS):
        began = time.perf_counter()
        objective(targets.content)
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)
