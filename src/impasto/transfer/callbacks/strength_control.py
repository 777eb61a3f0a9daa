"""Which weight of the style a strength sets, from the ratio measured. Pure arithmetic.

The constants were measured, at 128 to 1024 px; see docs/decisions/0016.
"""

import math

from impasto.transfer.run_state import MOST

# Of the course of the ratio.
ELASTICITY = 3.4  # at ratio 1, by how many percent style is worse where content is better by one
FALL = 1.2  # exponent with which the ratio falls while only the style counts
RESPONSE = 0.75  # of the ratio to the weight near rest; logarithms both
GAIN, STEP, DEADBAND = 0.9, 1.2, 0.06  # of a correction, its largest and its smallest; logarithms
MAX_LOG_WEIGHT = 4.0  # how far, likewise, corrections lead away from the weight of rest
FARTHEST = 6.0  # times the evaluations so far that the course is foreseen
LATE = 0.75  # share of the evaluations from which on a scale may end at the goal
BLIND = 1.5  # likewise under a time budget, whose end is not known


def equilibrium_weight(own: tuple[float, float], terms: tuple[float, float], goal: float) -> float | None:
    """Return the style's weight with which the ratio comes to rest at the goal; None where unknown.

    At rest a small change of the canvas gains in one term what it loses in the other. Where style falls as a
    power of content, the weighted style is then 1 / that power of the weighted content. The power itself
    grows as the ratio falls: `ELASTICITY` / sqrt(ratio). `own` are the run's own content, weighted, and its
    style for a weight of 1, of some canvas; `terms` the neutral ones of the same canvas.
    """
    if not all(0 < value < math.inf for value in (*own, *terms)):
        return None
    found = own[0] / terms[0] / (own[1] / terms[1]) / (ELASTICITY * math.sqrt(goal))
    return found if 0 < found < math.inf else None


def predicted_log_ratio(count: int, ratio: float, away: float, passes: int) -> float:
    """Return the logarithm of the ratio after all evaluations of a scale, with the weight as it is.

    d log ratio / d log evaluations = -FALL (e - 1) / (e + 1), e being 1 at rest: -FALL while only the style
    counts, 0 at rest, +FALL while only the content does. After `count` of `passes` evaluations the ratio was
    measured, over the goal; `away` is the weight, over the one that rests at the goal.
    """
    times = BLIND if passes >= MOST else max(1.0, min(FARTHEST, passes / count))
    now, parts = _log(ratio), 32
    for _ in range(parts):
        excess = away * math.exp(now / 2)
        now -= FALL * (excess - 1) / (excess + 1) * math.log(times) / parts
    return now


def starting_weight(count: int, ratio: float, passes: int) -> float:
    """Return the weight, over that of rest, with which the ratio will end at the goal; see `foreseen`."""
    low, high = -MAX_LOG_WEIGHT / 2, MAX_LOG_WEIGHT / 2  # logarithms
    for _ in range(20):
        middle = (low + high) / 2
        off = predicted_log_ratio(count, ratio, math.exp(middle), passes)
        low, high = (middle, high) if off > 0 else (low, middle)
    return math.exp(low)


def log_weight_correction(count: int, ratio: float, away: float, passes: int) -> float:
    """Return the correction of the style's weight, a natural logarithm; see `foreseen`.

    The weight does the less, the more the style is all that counts. A ratio below the goal says by itself
    that the weight is above that of rest, whatever the network, and by how much if it has settled.
    """
    off = predicted_log_ratio(count, ratio, away, passes)
    excess = max(1.0, away * math.exp(_log(ratio) / 2))
    step = GAIN * off / RESPONSE * (1 + (excess - 1) / 4)
    if _log(ratio) < -DEADBAND:
        return max(-STEP, min(step, _log(ratio) / RESPONSE))
    return 0.0 if abs(off) < DEADBAND else max(-STEP, min(STEP, step))


def is_close_enough(count: int, ratio: float, passes: int) -> bool:
    """Return whether a scale may end here: late, and with the ratio, over the goal, near 1."""
    return count >= LATE * passes and abs(_log(ratio)) < DEADBAND


def _log(ratio: float) -> float:
    return math.log(min(max(ratio, 1e-9), 1e9))
