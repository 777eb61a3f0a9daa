"""A GPU in one script: milliseconds, share of the matrix rate, seconds to the CPU's losses, pixels.

    python benchmarks/gpu.py [--device cuda] [--sizes 512,1024,2048,4096] [--race 512] [--command 1024]
                             [--evaluations N] [--json FILE]

For a machine with a GPU that has just been started, where it is to end in under six minutes. It prints one
table, with the goals beside the figures. With `--device cpu --sizes 64 --race 64 --command 64
--evaluations 3` it runs anywhere.

Tolerances against the CPU, in fp32 at 256 px. Both compute the same formulas, but add in another order.

* One evaluation: the loss to 1e-5, the gradient to 0.5 % of its length. Two ways to convolve on the CPU are
  1e-7 and 0.1 % apart: where two values are nearly equal, max pooling and rectification choose otherwise.
* The pixels after ten evaluations, in 8 bits: 85 % of the values within one level, as each step begins from
  what the last one changed. The two ways on the CPU reach 91 %, tiles and the whole picture 99.3 %.
* The loss after them: 2 %, in bf16 as well. The two ways on the CPU are 0.9 % apart.

The same run twice on the GPU has to give the same pixels, to the byte.

Operations are those of `costs.operations`, multiplications and additions of convolutions and Gram matrices,
forward and back. The rate is that of square bf16 products, measured here and now.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy
import torch
from common import Score, pairs, report, scaled, surroundings, timed
from costs import operations

from impasto import Picture, Runtime, Settings, stylize
from impasto.inputs.canvas import start
from impasto.inputs.open import open_inputs
from impasto.inputs.shared import Shared
from impasto.losses.build import build_losses, layers_of
from impasto.losses.objective import Objective, load_network
from impasto.network.weights.load import load
from impasto.optim.evaluation import Evaluation
from impasto.optim.lbfgs import LBFGS
from impasto.system import hardware
from impasto.system.torch_defaults import torch_defaults
from impasto.transfer.runtime import resolve

HERE = Path(__file__).resolve().parent
ALIKE = 1.01  # losses of files that are as good: kernels in bf16 round differently
NOISE = 0.2  # in the canvas of timed evaluations, so that no term is zero
STEPS = 24  # of L-BFGS; the last half is timed, when it keeps all of its pairs
LOSS, GRADIENT = 1e-5, 5e-3  # relative differences of an evaluation
WITHIN, CLOSE = 0.85, 0.02  # after ten: share of values within a level; relative difference of losses
Rows = list[dict[str, Any]]


def row(what: str, value: float | str, unit: str, goal: str = "", met: bool | None = None) -> dict[str, Any]:
    return {
        "what": what,
        "value": value,
        "unit": unit,
        "goal": goal,
        "met": {None: "", True: "yes"}.get(met, "no"),
    }


def matrix_rate(device: str) -> float:
    """Return bf16 products in operations a second, the best of five rounds."""
    edge, products = (256, 2) if device == "cpu" else (8192, 10)
    matrix = torch.rand((edge, edge), device=device).to(torch.bfloat16)
    seconds = []
    for _ in range(6):  # the first is a warm-up
        began = time.perf_counter()
        for _ in range(products):
            result = matrix @ matrix
        float(result[0, 0])  # waits
        seconds.append(time.perf_counter() - began)
    return 2.0 * edge**3 * products / min(seconds[1:])


def bound(size: int, runtime: Runtime, *, graph: bool = False) -> tuple[Objective, torch.Tensor]:
    """Return the default objective at a long edge, perhaps repeated as a graph, and a noisy canvas."""
    settings = Settings(size=size, min_size=size, style_statistic="gram")
    photo, painting = (Picture.open(path) for path in pairs()[0])
    height = round(size * photo.height / photo.width)
    photo = Picture.from_tensor(photo.tensor(size, height))  # enlarged where it is smaller
    inputs = open_inputs(photo, painting, settings, None)
    (scale,) = inputs.scales(settings, layers_of(settings, ()))
    network = load_network(load(None), settings, runtime, Shared(0))
    pictures = inputs.at(scale, runtime.device)
    canvas = start(
        "content", noise=NOISE, seed=0, content=pictures.content, style=pictures.styles[0], picture=None
    )
    return Objective(network, build_losses(network, pictures, settings), graph=graph), canvas


def evaluations(size: int, runtime: Runtime, rate: float, *, graph: bool = True) -> Rows:
    """Return the time of an evaluation and of a step of L-BFGS at a long edge, and the peak memory."""
    cuda = str(runtime.device).startswith("cuda")
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(runtime.device)
    objective, canvas = bound(size, runtime, graph=graph)
    spent: list[tuple[float, float]] = []

    def noted(image: torch.Tensor) -> Evaluation:
        began = time.perf_counter()
        found = objective(image)  # waits for the device
        spent.append((began, time.perf_counter()))
        return found

    solver = LBFGS(canvas, compact=bool(runtime.compact))
    while len(spent) < STEPS and solver.step(noted):
        pass
    late = spent[len(spent) // 2 :]
    own = statistics.median(end - begin for begin, end in late)
    whole = statistics.median(b[0] - a[0] for a, b in itertools.pairwise(late))
    share = sum(operations(canvas.shape[-1], canvas.shape[-2]).values()) / own / rate
    name = f"{canvas.shape[-1]} x {canvas.shape[-2]}, {runtime.precision}" + ("" if graph else ", no graph")
    goal = ("< 3", own < 0.003) if size == 512 else ("", None)
    part = ("> 25", share > 0.25) if size == 2048 else ("", None)
    peak = torch.cuda.max_memory_allocated(runtime.device) / 1e6 if cuda else "-"
    return [
        row(f"evaluation, {name}", own * 1e3, "ms", *goal),
        row(f"evaluation with its step, {name}", whole * 1e3, "ms"),
        row(f"share of the matrix rate, {name}", share * 100, "%", *part),
        row(f"peak memory, {name}", peak, "MB"),
    ]


def against_cpu(device: str, size: int) -> Rows:
    """Return how far an evaluation and short runs are from the CPU's in fp32; see the tolerances above."""
    settings = Settings(size=size, min_size=size, evaluations=10, style_statistic="gram")

    def runtime(where: str, precision: str = "fp32") -> Runtime:
        return Runtime.model_validate({"device": where, "precision": precision, "kernels": "direct"})

    def painted(where: Runtime) -> tuple[numpy.ndarray, float]:
        found = stylize(*pairs()[0], settings, runtime=where)
        return found.picture.array(8)[..., :3].astype(int), found.recipe.losses["total"]

    with torch_defaults():
        objectives = [bound(size, resolve(runtime(where), settings)) for where in ("cpu", device)]
        ours, theirs = (objective(canvas) for objective, canvas in objectives)
    gradient = (theirs.gradient.cpu() - ours.gradient).norm() / ours.gradient.norm()
    once = abs(theirs.loss / ours.loss - 1), float(gradient)
    (expected, loss), (got, other), (twice, _) = (painted(runtime(d)) for d in ("cpu", device, device))
    within, same = float((numpy.abs(expected - got) <= 1).mean()), bool((got == twice).all())
    off = abs(other / loss - 1)
    rows = [
        row("one evaluation, fp32: its loss off the CPU's", once[0], "", f"< {LOSS:g}", once[0] < LOSS),
        row("its gradient", once[1], "", f"< {GRADIENT:g}", once[1] < GRADIENT),
        row("ten: values within a level of the CPU's", within, "", f"> {WITHIN:g}", within > WITHIN),
        row("their loss off the CPU's", off, "", f"< {CLOSE:g}", off < CLOSE),
        row("the same pixels twice", "yes" if same else "no", "", "yes", same),
    ]
    if hardware.fast_at_bf16(device):  # emulated, it takes minutes
        off = abs(painted(runtime(device, "bf16"))[1] / loss - 1)
        rows.append(row("their loss in bf16", off, "", f"< {CLOSE:g}", off < CLOSE))
    return rows


def race(device: str, size: int, evaluations: int, folder: Path) -> Rows:
    """Return the seconds until the file would be as good as the default command's on the CPU, within 1 %."""
    photo, style = (scaled(path, size, folder) for path in pairs()[0])
    score = Score(photo, style)
    flags = ["--size", str(size), "--evaluations", str(evaluations), "-q", "--force"]
    output = folder / "cpu.png"
    command = [sys.executable, "-m", "impasto", str(photo), str(style), "-o", str(output), *flags]
    seconds, _, _ = timed([*command, "--device", "cpu"])
    goal = score(Picture.open(output).array(8)[..., :3])
    course = folder / "course"
    settings = ["--settings", f"size={size},evaluations={evaluations}", "--device", device]
    timed([sys.executable, str(HERE / "runs.py"), "impasto", str(photo), str(style), str(course), *settings])
    times = json.loads((course / "course.json").read_text())["seconds"]
    frames = numpy.load(course / "frames.npy")
    numbers = sorted({*range(0, len(frames), 5), len(frames) - 1})
    reached = next((number for number in numbers if score(frames[number]) <= ALIKE * goal), None)
    return [
        row(f"the default command on the CPU at {size} px", seconds, "s"),
        row("until the file is as good as that", times[reached] if reached is not None else "never", "s"),
    ]


def command(device: str, size: int, evaluations: int, folder: Path) -> Rows:
    """Return the seconds of the default command, the second time, and its evaluations."""
    photo, style = (scaled(path, size, folder) for path in pairs()[0])
    words = [
        sys.executable,
        "-m",
        "impasto",
        str(photo),
        str(style),
        "-o",
        str(folder / "gpu.png"),
        "-q",
        "--force",
    ]
    first, second = (
        timed([*words, "--size", str(size), "--evaluations", str(evaluations), "--device", device])[0]
        for _ in range(2)
    )
    return [
        row(f"the default command at {size} px, the first time", first, "s"),
        row(f"the default command at {size} px", second, "s", "< 5", second < 5),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sizes", default="512,1024,2048,4096")
    parser.add_argument("--race", type=int, default=512, help="long edge; 0: not")
    parser.add_argument("--command", type=int, default=1024, help="long edge; 0: not")
    parser.add_argument("--evaluations", type=int, default=Settings().evaluations_per_scale)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    began, sizes = time.perf_counter(), [int(part) for part in options.sizes.split(",")]
    resolved = resolve(Runtime(device=options.device), Settings())
    print(
        json.dumps(surroundings(resolved.threads) | {"device": hardware.describe(resolved.device)}),
        flush=True,
    )
    with torch_defaults(), hardware.threads(resolved.threads or 1):
        rate = matrix_rate(resolved.device)
        rows = [row("bf16 matrix products", rate / 1e12, "TFLOP/s")]
        for size in sizes:
            try:
                rows += evaluations(size, resolved, rate)
                if size == min(sizes):
                    rows += evaluations(size, resolved, rate, graph=False)
            except Exception as error:
                if not hardware.no_memory(error):
                    raise
                rows.append(row(f"{size} px", "memory ran out", ""))
    with tempfile.TemporaryDirectory() as name:
        rows += against_cpu(resolved.device, min(256, *sizes))
        if options.command:
            rows += command(options.device, options.command, options.evaluations, Path(name))
        if options.race:
            rows += race(options.device, options.race, options.evaluations, Path(name))
    rows.append(
        row("this script", time.perf_counter() - began, "s", "< 360", time.perf_counter() - began < 360)
    )
    report(rows, options.json)


if __name__ == "__main__":
    main()
