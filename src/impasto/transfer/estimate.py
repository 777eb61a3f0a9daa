"""What a run will take: seconds and memory, from a few evaluations measured here and now.

An evaluation takes a time that does not depend on the size (eigenvalues of the style, for one) and a time a
pixel, which grows in tiles; two sizes are measured to tell them apart. Memory is what the planner counts. It
is a quick guess: other programs on the machine change it.
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
from impasto.network.backprop import FeatureExtractor
from impasto.network.weights.load import WeightsLike, load
from impasto.system import hardware
from impasto.system.torch_defaults import torch_defaults
from impasto.transfer import runtime as runtime_module
from impasto.transfer.memory import MATCHING, Plan, plan_of, slowdown

TRIAL_EDGES = 128, 256  # px; long edges of the trials
TRIALS = 5  # evaluations that are timed, after one that is not


@dataclass(frozen=True)
class Estimate:
    """What a run will take: `seconds` of computing and the peak `memory` in bytes of the whole command."""

    scales: tuple[Scale, ...]
    evaluations: int
    seconds: float
    memory: int
    per_megapixel: float  # seconds of one evaluation at the last scale, were it whole, by its megapixels
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
        measured = [
            _measured(inputs, trial, settings, is_matched(settings, plan, len(plan) - 1), network)
            for trial in trials(plan[-1])
        ]
    fixed, each = line(*measured)
    held = inputs.memory_bytes(plan[-1], inputs.size(settings))
    found, _ = plan_of(runtime, settings, plan, wanted, held)
    counts = [scale.evaluations(settings) for scale in plan]
    took = sum(
        (fixed + each * scale.width * scale.height * slowdown(scale, wanted, found.tile))
        * (count + 1 + MATCHING * is_matched(settings, plan, number))  # targets take as long as one, or more
        for number, (scale, count) in enumerate(zip(plan, counts, strict=True))
    )
    if runtime.budget is not None:
        took = runtime.budget
    whole = each * 1e6 + fixed * 1e6 / (plan[-1].width * plan[-1].height)
    return Estimate(plan, sum(counts), took, found.memory, whole, found)


def trials(largest: Scale) -> list[Scale]:
    """Return the sizes that are measured for a run up to this one."""
    edges = {min(edge, largest.long_edge) for edge in TRIAL_EDGES}
    return [Scale(*fit(largest.width, largest.height, edge)) for edge in sorted(edges)]


def line(*measured: tuple[int, float]) -> tuple[float, float]:
    """Return the seconds of any size and those a pixel, neither below 0, from pairs (pixels, seconds)."""
    (first, short), (last, long) = measured[0], measured[-1]
    each = max(0.0, (long - short) / (last - first)) if last > first else long / last
    each = min(each, long / last)
    return long - each * last, each


def _measured(
    inputs: Inputs, trial: Scale, settings: Settings, matched: bool, network: FeatureExtractor
) -> tuple[int, float]:
    """Return the pixels of a scale and the seconds of an evaluation there."""
    targets = inputs.at(trial, str(network.network.mean.device))
    start = targets.content if matched else None
    objective = Objective(network, build_losses(network, targets, settings, start=start))
    return trial.width * trial.height, _seconds(objective, targets)


def _seconds(objective: Objective, targets: ScaledInputs) -> float:
    """Return the median seconds of one evaluation."""
    objective(targets.content)
    spent = []
    for _ in range(TRIALS):
        began = time.perf_counter()
        objective(targets.content)
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)
