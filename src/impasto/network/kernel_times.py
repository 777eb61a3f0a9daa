"""Times the ways to compute each convolution on this processor, and chooses the fastest.

    choice([(64, 128), (512, 512)], "fp32", threads=2)  # "64-128=direct,512-512=direct:1024:winograd"

Times are remembered in the cache folder, by processor, torch and number of threads. A way replaces that of
the fixed rule only where it wins by a tenth. Where the machine was busy, nothing is remembered and the fixed
rule counts; the same process tries again after some minutes. Sizes beyond those that take too long to time
are extrapolated.
"""

import contextlib
import logging
import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence

import torch

from impasto.messages import NOTE
from impasto.network import kernels
from impasto.network.convolution import Direct, Fused, can_fuse
from impasto.network.kernels import Steps, Way
from impasto.network.winograd import Convolution, Winograd
from impasto.system import hardware
from impasto.system.load import Load
from impasto.system.remembered import read_entries, write_entries

FILE = "kernels.json"
EDGES = ((8, 16), (16, 32), (32, 64), (64, 128))  # rows and columns at which a convolution is timed
ENDLESS = (256, 256)  # the size at which those above the last limit are compared
WITHIN = 2.0  # each time counts for so many times as many positions, at most
SECONDS = 0.5  # that one convolution at one size takes to time, at most
SHORT = 0.1  # the same where enough rounds take less
ROUNDS = 6, 40  # at least, at most
FEWEST = 4  # where these take longer
HOPELESS = 3.0  # times as long as the fastest, from which a way is not timed further at a size
GROWTH = 3.0  # of the time from one size to the next, at least
APART = 1.2  # medians of the first and the second half, beyond which the machine was busy
OTHERS = 0.2  # processors that other programs use on average, beyond which it was busy
AGAIN = 600.0  # seconds after which a process times again on a machine that was busy
GAIN = 1.1  # times as fast as by the fixed rule
NARROW = 32  # channels below which Winograd is not tried
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Shape = tuple[int, int]  # channels in and out
Times = Mapping[str, float]  # milliseconds, by way

log = logging.getLogger(__name__)
_busy: dict[tuple[str, int], float] = {}  # precision and threads -> when the machine was last found busy


def choice(shapes: Iterable[Shape], precision: str, threads: int) -> str:
    """Return the choice for convolutions on the processor, as the text that `kernels.parse` reads."""
    ways: dict[Shape, Steps] = {}
    for shape, times in times_of(shapes, precision, threads).items():
        ways[shape] = steps(shape, times, precision)
    return kernels.text(ways) or "winograd"


def times_of(
    shapes: Iterable[Shape], precision: str, threads: int, *, anew: bool = False
) -> dict[Shape, Sequence[Times]]:
    """Return the times of convolutions at each of `EDGES`, as far as they are known or can be taken now.

    What is not known is timed, everything if `anew`, until the machine turns out to be busy.
    """
    known: dict[Shape, Sequence[Times]] = {} if anew else remembered(precision, threads)
    shapes = dict.fromkeys(shapes)
    missing = [shape for shape in shapes if shape not in known]
    now, place = time.monotonic(), (precision, threads)
    if missing and (anew or now - _busy.get(place, -math.inf) > AGAIN):
        log.log(NOTE, "timing convolutions on this processor, which takes some seconds once")
        fresh: dict[Shape, Sequence[Times]] = {}
        with hardware.threads(threads), torch.no_grad():
            for shape in missing:
                times = measure(shape, precision) or measure(shape, precision)
                if times is None:
                    _busy[place] = now
                    log.info("this machine is busy: convolutions by the fixed rule, timed at a later run")
                    break
                fresh[shape] = times
        _remember(fresh, precision, threads)
        known |= fresh
    return {shape: known[shape] for shape in shapes if shape in known}


def measure(shape: Shape, precision: str) -> list[Times] | None:
    """Return the milliseconds of each way, both passes, at each size; None if the machine is busy."""
    load = Load()
    incoming, outgoing = shape
    generator = torch.Generator().manual_seed(0)
    dtype, found = DTYPES[precision], list[Times]()
    weight = torch.randn(outgoing, incoming, 3, 3, generator=generator) / math.sqrt(9 * incoming)
    ways = _ways(weight, dtype)
    last = 0.0
    for rows, columns in EDGES:
        if GROWTH * last * (FEWEST + 1) > SECONDS:  # a warm-up comes first
            break
        x = torch.rand(1, incoming, rows, columns, generator=generator)
        gradient = torch.rand(1, outgoing, rows, columns, generator=generator)
        x, gradient = (
            tensor.to(dtype).contiguous(memory_format=torch.channels_last) for tensor in (x, gradient)
        )
        rounds = _rounds(ways, x, gradient)
        for name in ways:
            halves = rounds[: len(rounds) // 2], rounds[len(rounds) // 2 :]
            first, second = (statistics.median(row[name] for row in half) for half in halves)
            if max(first, second) > APART * min(first, second):
                return None
        medians = {name: statistics.median(row[name] for row in rounds) for name in ways}
        last = sum(value for value in medians.values() if value < HOPELESS * min(medians.values()))
        found.append({name: 1000 * value for name, value in medians.items()})
    return None if load.others() > OTHERS else found


def remembered(precision: str, threads: int) -> dict[Shape, Sequence[Times]]:
    """Return the times in the cache folder for this machine."""
    entries = read_entries(FILE).get(_key(precision, threads))
    found: dict[Shape, Sequence[Times]] = {}
    for name, times in entries.items() if isinstance(entries, dict) else ():
        with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError):
            incoming, outgoing = map(int, name.split("-"))
            timed: list[Times] = [
                {way: float(row[way]) for way in kernels.WAYS if way in row} for row in times
            ]
            sound = all("direct" in row and all(0 < ms < math.inf for ms in row.values()) for row in timed)
            if sound and 0 < len(timed) <= len(EDGES):
                found[incoming, outgoing] = timed
    return found


def rates(shape: Shape, times: Sequence[Times]) -> tuple[int, dict[str, float]]:
    """Return the largest size timed, in positions, and the GFLOP/s of each way there.

    Operations are counted as those of a direct convolution, forward and backward.
    """
    positions = math.prod(EDGES[len(times) - 1])
    work = 2 * 2 * 9 * shape[0] * shape[1] * positions
    return positions, {way: work / 1e6 / milliseconds for way, milliseconds in times[-1].items()}


def _ways(weight: torch.Tensor, dtype: torch.dtype) -> dict[Way, Convolution]:
    """Return all ways of a convolution that this machine has."""
    bias = weight.new_zeros(weight.shape[0]).to(dtype)
    ways: dict[Way, Convolution] = {"direct": Direct(weight.to(dtype), bias, "zero")}
    if can_fuse(dtype):
        ways["fused"] = Fused(weight.to(dtype), bias, "zero")
    if min(weight.shape[:2]) >= NARROW:
        ways["winograd"] = Winograd(weight, bias, "zero", dtype)
    return ways


def _rounds(
    ways: Mapping[Way, Convolution], x: torch.Tensor, gradient: torch.Tensor
) -> list[dict[str, float]]:
    """Return the seconds of each way, by turns, in each round; a hopeless one is timed once."""
    rounds: list[dict[str, float]] = []
    began, most = time.perf_counter(), ROUNDS[0] + 1
    while len(rounds) < most:
        row: dict[str, float] = {}
        for name, convolution in ways.items():
            if len(rounds) > 1 and rounds[1][name] > HOPELESS * min(rounds[1].values()):
                row[name] = rounds[1][name]
                continue
            start = time.perf_counter()
            convolution.forward(x, rectify=True)
            convolution.backward(gradient)
            row[name] = time.perf_counter() - start
        rounds.append(row)
        spent = time.perf_counter() - began
        if spent < SHORT and most < ROUNDS[1]:
            most += 1
        elif spent > SECONDS and len(rounds) > FEWEST:
            break
    return rounds[1:]  # without the warm-up


def steps(shape: Shape, times: Sequence[Times], precision: str) -> Steps:
    """Return the fastest way at each size, from the times at the smallest ones."""
    rule = kernels.by_rule(*shape, precision)
    found: list[tuple[float, Way]] = []
    for rows, columns in (*EDGES, ENDLESS):
        at = {way: _at(rows * columns, way, times) for way in kernels.WAYS if way in times[0]}
        fastest = min(at, key=at.__getitem__)
        default = rule if rule in at else "direct"
        known = len(times) > 1 or (rows, columns) == EDGES[0]  # one time alone says nothing of larger sizes
        way = fastest if known and at[default] > GAIN * at[fastest] else default
        limit = math.inf if (rows, columns) == ENDLESS else WITHIN * rows * columns
        if found and found[-1][1] == way:
            found.pop()
        found.append((limit, way))
    return tuple(found)


def _at(positions: int, way: Way, times: Sequence[Times]) -> float:
    """Return the milliseconds of a way at so many positions, extrapolated beyond the last time."""
    sizes = [rows * columns for rows, columns in EDGES[: len(times)]]
    if positions in sizes:
        return times[sizes.index(positions)][way]
    if len(times) == 1:
        return times[0][way]
    slope = (times[-1][way] - times[-2][way]) / (sizes[-1] - sizes[-2])
    return times[-1][way] + max(0.0, slope) * (positions - sizes[-1])


def _key(precision: str, threads: int) -> str:
    return f"{hardware.processor()}, torch {torch.__version__}, {threads} threads, {precision}"


def _remember(fresh: Mapping[Shape, Sequence[Times]], precision: str, threads: int) -> None:
    """Add times to those in the cache folder, as far as it can be written."""
    if not fresh:
        return
    rows = {
        f"{incoming}-{outgoing}": [{way: round(value, 4) for way, value in row.items()} for row in times]
        for (incoming, outgoing), times in fresh.items()
    }
    entries, key = read_entries(FILE), _key(precision, threads)
    before = entries.get(key)
    entries[key] = {**before, **rows} if isinstance(before, dict) else rows
    write_entries(FILE, entries)
