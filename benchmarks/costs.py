"""What an evaluation, a solver's step, memory and start-up cost, for impasto and its rivals.

Each part returns its tables as (title, rows). The machines are noisy, so contenders take turns and the
figure that counts is the median of the ratios of neighbours.
"""

import functools
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import contenders
import plain
import torch
from common import scaled, timed
from contenders import OutputPlan
from torch import Tensor

from impasto import Runtime, Settings
from impasto.inputs.canvas import start
from impasto.inputs.open import open_inputs
from impasto.inputs.shared import Shared
from impasto.losses.build import build_losses, layers_of
from impasto.losses.objective import DTYPES, Objective, load_network
from impasto.network import layers
from impasto.network.convolution import Direct
from impasto.network.layers import LAYERS
from impasto.network.weights.load import load
from impasto.optim.evaluation import Evaluation
from impasto.optim.lbfgs import LBFGS
from impasto.optim.minimize import minimize
from impasto.system import hardware
from impasto.transfer import runtime as runtime_module

T = TypeVar("T")
Rows = list[dict[str, Any]]
Tables = list[tuple[str, Rows]]

MATRIX = 2048  # edge of the product that measures the machine's peak
PATIENCE = 20.0  # seconds for the products of one size
STEPS = 24  # of each solver; the last third is timed, when ours keeps all of its pairs
NOISE = 0.2  # in the canvas of timed evaluations, so that no term is zero
ENOUGH = 0.85  # of the machine's memory may be needed
LAST = "relu5_1"  # the deepest layer that the objective reads


def operations(width: int, height: int) -> dict[str, float]:
    """Return the floating-point operations of one evaluation: of the convolutions, and of the Gram matrices.

    A multiplication and an addition are two. The way back through a convolution costs what the way
    forward did, as the weights have no gradient; so it is with a Gram matrix.
    """
    reached = LAYERS[: LAYERS.index(LAST) + 1]
    parts = {part.name: part for part in layers.parts(width, height)}
    convolutions = sum(parts[name].operations for name in reached if name.startswith("conv"))
    shapes = [parts[f"conv{block}_1"] for block in range(1, 6)]
    grams = sum(part.channels**2 * part.width * part.height for part in shapes)
    return {"convolutions": 4.0 * convolutions, "Gram matrices": 4.0 * grams}


def peaks(attempts: int = 7) -> dict[str, tuple[int, float]]:
    """Return matrix products in operations a second with the matrices' edge, the best of several.

    Where a number format is emulated the full size would take minutes, and a smaller one has to do.
    """
    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        edge, rate = MATRIX // 8, 0.0
        while True:
            matrix = torch.rand((edge, edge)).to(dtype)
            product = functools.partial(torch.mm, matrix, matrix)
            product()
            rate = 2 * edge**3 / min(_seconds(product) for _ in range(attempts))
            if edge >= MATRIX or attempts * 16 * edge**3 / rate > PATIENCE:
                break
            edge *= 2
        found[name] = edge, rate
    return found


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def in_turn(calls: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Call each in turn, so many rounds, and return what each returned."""
    found: dict[str, list[T]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(call())
    return found


def ratio(many: Sequence[float], few: Sequence[float]) -> float:
    """Return the median of the ratios of neighbours."""
    return statistics.median(one / other for one, other in zip(many, few, strict=True))


# --- one evaluation, one step --------------------------------------------------------------------


def objective(
    job: OutputPlan, precision: str, kernels: str = "auto"
) -> tuple[Objective, Tensor, Tensor, str]:
    """Return impasto's objective, a canvas for timing, the photo, and the precision decided."""
    settings = Settings(**contenders.impasto_settings(job, {}))
    values = {"threads": job.threads, "precision": precision, "kernels": kernels}
    runtime = runtime_module.resolve(Runtime.model_validate(values), settings)
    runtime = runtime_module.with_kernels(runtime, load(None))
    inputs = open_inputs(job.photo, job.style, settings, None)
    (scale,) = inputs.scales(settings, layers_of(settings, ()))
    network = load_network(load(None), settings, runtime, Shared(0))
    targets = inputs.at(scale, runtime.device)
    photo, painting = targets.content, targets.styles[0]
    canvas = start("content", noise=NOISE, seed=0, content=photo, style=painting, picture=None)
    bound = Objective(network, build_losses(network, targets, settings))
    return bound, canvas, photo, runtime.precision


def convolutions(width: int, height: int, precision: str) -> Callable[[], None]:
    """Return what computes the bare convolutions of one evaluation by torch, on random numbers."""
    parts, dtype, made = {part.name: part for part in layers.parts(width, height)}, DTYPES[precision], []
    incoming = 3
    for name in LAYERS[: LAYERS.index(LAST)]:
        if name.startswith("conv"):
            part, weight = parts[name], load(None)[f"{name}.weight"].to(dtype)
            x, gradient = (
                torch.rand(1, channels, part.height, part.width)
                .to(dtype)
                .contiguous(memory_format=torch.channels_last)
                for channels in (incoming, part.channels)
            )
            made.append((Direct(weight, weight[:, 0, 0, 0].clone(), "zero"), x, gradient))
            incoming = part.channels

    def compute() -> None:
        for convolution, x, gradient in made:
            convolution.forward(x, rectify=False)
            convolution.backward(gradient)

    return compute


def evaluation(job: OutputPlan, rounds: int) -> Tables:
    """Return the seconds of loss and gradient, the machine's peak, and the share of it that is used."""
    with hardware.threads(job.threads), torch.no_grad():
        resolved, canvas, _, precision = objective(job, job.precision)
        ours = {f"impasto, {precision}": (resolved, precision)}
        for kernels in ("direct", "winograd"):
            ours[f"--kernels {kernels}, {precision}"] = objective(job, precision, kernels)[0], precision
        if precision != "fp32":
            ours["impasto, fp32"] = (objective(job, "fp32")[0], "fp32")
        loss = plain.objective(plain.read(str(job.photo)), plain.read(str(job.style)), plain.load_weights())
        leaf = (canvas * 255).requires_grad_(True)

        @torch.enable_grad()
        def theirs() -> Tensor:
            leaf.grad = None
            value = loss(leaf)
            value.backward()
            return value.detach()

        called: dict[str, Callable[[], float]] = {
            name: functools.partial(_seconds, functools.partial(one, canvas))
            for name, (one, _) in ours.items()
        }
        called["plain, fp32"] = functools.partial(_seconds, theirs)
        bare = f"bare convolutions, {precision}"
        called[bare] = functools.partial(
            _seconds, convolutions(canvas.shape[-1], canvas.shape[-2], precision)
        )
        values = {name: sum(one(canvas).parts.values()) for name, (one, _) in ours.items()}
        values["plain, fp32"] = theirs().item()
        in_turn(called, 1)  # what is made on first use
        spent, limits = in_turn(called, rounds), peaks()
    count = operations(canvas.shape[-1], canvas.shape[-2])
    rows = []
    for name, seconds in spent.items():
        middle, total = statistics.median(seconds), sum(count.values())
        rows.append(
            {
                "one evaluation": name,
                "seconds": middle,
                "plain / this": ratio(spent["plain, fp32"], seconds),
                "this / bare convolutions": ratio(seconds, spent[bare]),
                "GFLOP/s": total / middle / 1e9,
                "share of peak": total / middle / limits[name.rpartition(" ")[2]][1],
                "loss": values.get(name, ""),
            }
        )
    counted: Rows = [{"operations": name, "GFLOP": value / 1e9} for name, value in count.items()]
    machine_rows: Rows = [
        {"matrix product": name, "edge": edge, "GFLOP/s": rate / 1e9} for name, (edge, rate) in limits.items()
    ]
    size = f"{canvas.shape[-1]} x {canvas.shape[-2]}"
    return [
        (f"One evaluation at {size}, medians of {rounds}", rows),
        ("Operations of one evaluation, forward and back", counted),
        ("The machine's peak, the best of seven products", machine_rows),
        (f"Solvers, the last {STEPS // 3} of {STEPS} evaluations", _overheads(job)),
    ]


def _overheads(job: OutputPlan) -> Rows:
    """Return what a step of each solver takes beside its evaluations."""
    rows = []
    with hardware.threads(job.threads):
        for name, run, pairs in (
            ("impasto", _our_steps, Settings().history),
            ("plain", _plain_steps, STEPS - 1),
        ):
            began, ended = run(job)
            last = range(len(ended) - STEPS // 3, len(ended) - 1)
            aside = statistics.median(began[i + 1] - ended[i] for i in last)
            inside = statistics.median(ended[i] - began[i] for i in last)
            rows.append(
                {
                    "solver": name,
                    "pairs kept": pairs,
                    "evaluation s": inside,
                    "beside it s": aside,
                    "share": aside / inside,
                }
            )
    return rows


def _our_steps(job: OutputPlan) -> tuple[list[float], list[float]]:
    """Return when each evaluation of ours began and ended."""
    evaluate, _, photo, _ = objective(job, job.precision)
    began, ended = [], []

    def noted(canvas: Tensor) -> Evaluation:
        began.append(time.perf_counter())
        found = evaluate(canvas)
        ended.append(time.perf_counter())
        return found

    minimize(noted, LBFGS(photo), evaluations=STEPS)
    return began, ended


def _plain_steps(job: OutputPlan) -> tuple[list[float], list[float]]:
    """Return when each evaluation of the plain implementation began, and when its gradient was there."""
    photo = plain.read(str(job.photo))
    loss = plain.objective(photo, plain.read(str(job.style)), plain.load_weights())
    began: list[float] = []
    ended: list[float] = []

    def watch(done: int, canvas: Tensor) -> None:
        if not done:
            canvas.register_post_accumulate_grad_hook(lambda _: ended.append(time.perf_counter()))
        began.append(time.perf_counter())

    plain.minimise(loss, photo, STEPS, watch=watch)
    return began[: len(ended)], ended


# --- start-up ------------------------------------------------------------------------------------


def startup(job: OutputPlan, rounds: int) -> Tables:
    """Return the seconds from starting a command to its first evaluation done, and those of its help."""
    once = contenders.commands(job, 1)
    helps = {name: [*command[: _program(command)], "--help"] for name, command in once.items()}
    started = {
        name: functools.partial(contenders.first_evaluation, name, command) for name, command in once.items()
    }
    started["impasto, weights not yet decoded"] = functools.partial(_first_ever, job)
    asked = {name: functools.partial(timed, command) for name, command in helps.items()}
    firsts = {name: [one[0] for one in many] for name, many in in_turn(started, rounds).items()}
    helped = {name: [one[0] for one in many] for name, many in in_turn(asked, rounds).items()}
    rows: Rows = [
        {
            "command": name,
            "first evaluation s": statistics.median(seconds),
            "plain / this": ratio(firsts["plain"], seconds),
            "--help s": statistics.median(helped[name]) if name in helped else "-",
            "plain / this, --help": (ratio(helped["plain"], helped[name]) if name in helped else "-"),
        }
        for name, seconds in firsts.items()
    ]
    return [(f"From starting the command, medians of {rounds}", rows)]


def _first_ever(job: OutputPlan) -> tuple[float, float]:
    """Return what `first_evaluation` does of an impasto that finds no decoded weights."""
    with tempfile.TemporaryDirectory() as name:
        command = ["env", f"IMPASTO_CACHE_DIR={name}", *contenders.impasto_command(job, 1)]
        return contenders.first_evaluation("impasto", command)


def _program(command: Sequence[str]) -> int:
    """Return how many words name the program: `python -u -m impasto` or `python -u plain.py`."""
    return 4 if "-m" in command[:3] else 3


# --- memory and growth ---------------------------------------------------------------------------


def at_size(job: OutputPlan, size: int, photo: Path, style: Path) -> OutputPlan:
    """Return the job at another size, from the full pictures."""
    files = [scaled(path, size, job.folder) for path in (photo, style)]
    return OutputPlan(files[0], files[1], size, job.threads, job.precision, job.folder)


def memory(job: OutputPlan, sizes: Sequence[int], photo: Path, style: Path) -> Tables:
    """Return the peak memory of whole commands of three evaluations."""
    rows: Rows = []
    before: dict[str, list[tuple[int, float]]] = {}
    for size in sizes:
        there = at_size(job, size, photo, style)
        peaks: dict[str, float] = {}
        for name, command in contenders.commands(there, 3).items():
            row = {"long edge": size, "command": name}
            if why := _too_much(before.setdefault(name, []), size):
                rest = dict.fromkeys(("this / impasto", "with all pairs MB"), "-")
                rows.append({**row, "peak MB": why, **rest})
                continue
            peaks[name] = timed(command)[1]
            before[name].append((size, peaks[name]))
            share = peaks[name] / peaks["impasto"] if "impasto" in peaks else "-"
            full = _with_pairs(peaks[name], name, there)
            numbers = {"peak MB": peaks[name], "this / impasto": share, "with all pairs MB": full}
            rows.append({**row, **numbers})
    return [("Peak memory of commands of three evaluations", rows)]


def _with_pairs(found: float, name: str, job: OutputPlan) -> float:
    """Return a peak with the pairs that L-BFGS keeps later on added, which is arithmetic."""
    pairs = Settings().history if name == "impasto" else plain.HISTORY
    photo = plain.read(str(job.photo))
    return found + 2 * (pairs - 2) * photo.nbytes / 1e6


def _too_much(before: list[tuple[int, float]], size: int) -> str:
    """Return why a size is not run, by the (long edge, MB) of smaller ones, or nothing.

    Memory is a part of its own and one that grows with the pixels; from one size alone, all of it grows.
    """
    if not before:
        return ""
    edge, expected = before[-1]
    a_square = expected / edge**2
    if len(before) > 1:
        smaller, less = before[-2]
        a_square = (expected - less) / (edge**2 - smaller**2)
    expected += a_square * (size**2 - edge**2)
    if expected * 1e6 > ENOUGH * hardware.memory():
        return f"not run: about {expected / 1e3:.0f} GB of {hardware.memory() / 1e9:.0f}"
    return ""


def growth(
    job: OutputPlan, sizes: Sequence[int], rounds: int, longest: float, photo: Path, style: Path
) -> Tables:
    """Return seconds an evaluation with its step, and peak memory, size by size, each in a new process."""
    rows: Rows = []
    before: dict[str, list[tuple[int, float]]] = {}
    pace: dict[str, float] = {}  # seconds an evaluation, a pixel of the long edge squared
    for size in sizes:
        there = at_size(job, size, photo, style)
        skipped: dict[str, str] = {}
        for name in ("impasto", "plain"):
            expected = 6 * pace.get(name, 0.0) * size**2  # four evaluations, two times targets
            why = _too_much(before.setdefault(name, []), size)
            if not why and expected > longest:
                why = f"not run: about {expected:.0f} s"
            if why:
                skipped[name] = why
        runs = {name: functools.partial(_grown, there, name) for name in before if name not in skipped}
        slow = 6 * sum(pace.values()) * size**2 * rounds > longest
        for name, found in in_turn(runs, 1 if slow else rounds).items():
            seconds, peak = (statistics.median(numbers) for numbers in zip(*found, strict=True))
            before[name].append((size, peak))
            pace[name] = seconds / size**2
            rows.append(_growth_row(there, name, seconds, peak))
        for name, why in skipped.items():
            rows.append({**dict.fromkeys(rows[0], "-"), "long edge": size, "program": name, "peak MB": why})
    return [("Growth; an evaluation with its step", rows)]


def _growth_row(job: OutputPlan, name: str, seconds: float, peak: float) -> dict[str, Any]:
    pixels = plain.read(str(job.photo))[0, 0].numel()
    row = {"long edge": job.size, "program": name, "s an evaluation": seconds}
    return row | {"us a pixel": seconds / pixels * 1e6, "peak MB": peak}


def _grown(job: OutputPlan, program: str) -> tuple[float, float]:
    """Return the seconds of an evaluation and the peak memory in MB of a run of four."""
    settings: dict[str, Any] = {"init": "content", "evaluations": 4}
    if program == "impasto":
        settings = contenders.impasto_settings(job, settings)
    folder = job.folder / f"growth-{program}"
    _, peak, _ = timed(contenders.recording(job, program, settings, folder, only_times=True))
    times = json.loads((folder / "course.json").read_text())["every_second"]
    return statistics.median(b - a for a, b in itertools.pairwise(times)), peak
