"""The style statistics beside one another: time, memory, and what the saved files are worth.

    python benchmarks/style_statistics.py [--size 256] [--rounds 5] [--threads 2] [--precision auto]
        [--kinds gram,moments,wasserstein,sliced,neighbours] [--keep FOLDER] [--json FILE] [FLAG ...]

For each pair: the targets of each statistic; one evaluation of each, in turn, the ratio being the median of
those that follow one another; then whole commands with the defaults and the flags given, their peak memory,
and the neutral evaluator's two terms of the file. The inputs are scaled to the size beforehand.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import pairs, report, scaled, timed
from costs import in_turn, ratio
from tests.reference import neutral

from impasto import Runtime, Settings
from impasto.inputs.canvas import start
from impasto.inputs.open import open_inputs
from impasto.inputs.shared import Shared
from impasto.losses.build import build_losses, layers_of
from impasto.losses.neighbors import is_matched
from impasto.losses.objective import Objective, load_network
from impasto.network.weights.load import load
from impasto.system import hardware
from impasto.transfer import runtime as runtime_module

KINDS = ("gram", "moments", "wasserstein", "sliced", "neighbours")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--kinds", default=",".join(KINDS), help="of the whole commands")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", type=Path)
    options, flags = parser.parse_known_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for photo, painting in pairs():
            inputs = [scaled(path, options.size, Path(name)) for path in (photo, painting)]
            spent, targets = evaluations(inputs, options)
            for kind in options.kinds.split(","):
                row = {"pair": f"{photo.stem} + {painting.stem}", "statistic": kind}
                row |= {"targets s": targets[kind]}
                row |= {"evaluation s": statistics.median(spent[kind])}
                row |= {"of gram's": ratio(spent[kind], spent["gram"])}
                row |= command(inputs, kind, options, flags, Path(name))
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
    report(rows, options.json)


def evaluations(
    inputs: list[Path], options: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Return the seconds of evaluations of each statistic at the full size, in turn, and of targets."""
    given: dict[str, Any] = {"threads": options.threads, "precision": options.precision}
    with hardware.threads(options.threads):
        calls, made = {}, {}
        for kind in dict.fromkeys(["gram", *options.kinds.split(",")]):
            settings = Settings.model_validate(
                {"size": options.size, "min_size": options.size, "style_statistic": kind}
            )
            runtime = runtime_module.resolve(Runtime.model_validate(given), settings)
            opened = open_inputs(*inputs, settings, None)
            (scale,) = opened.scales(settings, layers_of(settings, ()))
            network = load_network(load(None), settings, runtime, Shared(0))
            targets = opened.at(scale, runtime.device)
            photo, painting = targets.content, targets.styles[0]
            canvas = start("content", noise=0.2, seed=0, content=photo, style=painting, picture=None)
            began = time.perf_counter()
            first = canvas if is_matched(settings, [scale], 0) else None
            losses = build_losses(network, targets, settings, start=first)
            made[kind] = time.perf_counter() - began
            bound = Objective(network, losses)
            bound(canvas)  # the first one is slower

            def once(bound: Objective = bound, canvas: Any = canvas) -> float:
                began = time.perf_counter()
                bound(canvas)
                return time.perf_counter() - began

            calls[kind] = once
        return in_turn(calls, options.rounds), made


def command(
    inputs: list[Path], kind: str, options: argparse.Namespace, flags: list[str], folder: Path
) -> dict[str, Any]:
    """Run once; return seconds, peak memory and the neutral terms of the file."""
    kept = options.keep or folder
    kept.mkdir(parents=True, exist_ok=True)
    output = kept / f"{'-'.join(path.stem for path in inputs)}-{kind}.png"
    words = [sys.executable, "-m", "impasto", *map(str, inputs), "-o", str(output), "--force", "-q"]
    words += ["--size", str(options.size), "--style-statistic", kind]
    words += ["--threads", str(options.threads), "--precision", options.precision, *flags]
    seconds, peak, _ = timed(words)
    score = neutral.score(output, *inputs)
    return {
        "seconds": round(seconds, 1),
        "peak MB": round(peak),
        "content": score["content"],
        "style": score["style"],
    }


if __name__ == "__main__":
    main()
