"""What a run will take: seconds and memory, from a few evaluations measured here and now.

The time of an evaluation grows with the pixels; so does its memory, by a factor measured in
docs/performance.md. It is a quick guess: other programs on the machine change it.
"""

import statistics
import sys
import time
from dataclasses import dataclass

from impasto import machine
from impasto.inputs import Inputs, Targets
from impasto.objective import Objective
from impasto.pyramid import Scale, fit
from impasto.settings import Runtime, Settings
from impasto.transfer import WeightsLike, bind, layers_of, load, network_of
from impasto.workshop import Workshop

TRIAL_EDGE = 256  # px; long edge of the trial
TRIALS = 5  # evaluations that are timed, after one that is not
BYTES_A_PIXEL = {
    "bf16": 2100,
    "fp32": 3300,
}  # of the canvas; fitted to whole commands of 256 to 1024 px
HISTORY_BYTES = 24  # a pixel and pair of L-BFGS: two vectors of three float32


@dataclass(frozen=True)
class Estimate:
    """What a run will take: `seconds` of computing and the peak `memory` in bytes of the whole command."""

    scales: tuple[Scale, ...]
    evaluations: int
    seconds: float
    memory: int
    per_megapixel: float  # seconds of one evaluation


def estimate(
    inputs: Inputs, settings: Settings, runtime: Runtime, weights: WeightsLike | None = None
) -> Estimate:
    """Measure a few evaluations at a small size and extrapolate to the scales of this run.

    Raises:
        InputError: A picture is too small for the layers.
        WeightsError: The weights are not there.
    """
    runtime = machine.resolve(runtime, settings)
    wanted = layers_of(settings, ())
    plan = inputs.scales(settings, wanted)
    with machine.threads(runtime.threads or 1):
        network = network_of(load(weights), settings, runtime, Workshop(0))
        size = fit(plan[-1].width, plan[-1].height, min(TRIAL_EDGE, plan[-1].long_edge))
        trial = Scale(*size)
        targets = inputs.tensors(trial, runtime.device)
        objective = Objective(network, bind(network, targets, settings))
        seconds = _seconds(objective, targets)
    pixels = trial.width * trial.height
    work = sum(scale.width * scale.height for scale in plan) * (
        settings.passes + 1
    )  # one for targets
    largest = plan[-1].width * plan[-1].height
    pairs = settings.history if settings.solver != "adam" else 2
    a_pixel = BYTES_A_PIXEL[runtime.precision if runtime.precision == "bf16" else "fp32"]
    grown = (largest - pixels) * (a_pixel + HISTORY_BYTES * (pairs - 10))
    return Estimate(
        plan,
        settings.passes * len(plan),
        seconds * work / pixels,
        max(0, grown) + _peak(),
        seconds / pixels * 1e6,
    )


def _seconds(objective: Objective, targets: Targets) -> float:
    """Return the median seconds of one evaluation."""
    objective(targets.content)
    spent = []
    for _ in range(TRIALS):
        began = time.perf_counter()
        objective(targets.content)
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def _peak() -> int:
    """Return the peak memory of this process so far, in bytes; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
