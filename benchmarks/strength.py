"""What ratio of style to content a strength achieves: size by size, by pooling, beside fixed weights.

    python benchmarks/strength.py [--strength 1] [--sizes 256,512,1024] [--poolings max,average]
        [--pairs 1] [--quality good] [--threads N] [--no-weights] [--json FILE]

The ratio is the neutral evaluator's, of the saved file: 5 mean (F - P)^2 at relu4_2 against
100 sum mean (G/(N M) - A/(N M_a))^2 over relu1_1 ... relu5_1, max pooling. `--no-weights` leaves out the runs
without a strength. The inputs are scaled to each size beforehand.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import pairs, report, scaled, timed
from tests.reference import neutral

from impasto.transfer.callbacks.strength import goal_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--sizes", default="256,512,1024")
    parser.add_argument("--poolings", default="max,average")
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--quality", default="good")
    parser.add_argument("--threads", type=int, help="default: the processor's cores")
    parser.add_argument("--no-weights", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    ways = [["--strength", f"{options.strength:g}"], *([] if options.no_weights else [[]])]
    threads = [] if options.threads is None else ["--threads", str(options.threads)]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for photo, painting in pairs()[: options.pairs]:
            for size in map(int, options.sizes.split(",")):
                inputs = [scaled(path, size, Path(name)) for path in (photo, painting)]
                for pooling in options.poolings.split(","):
                    for way in ways:
                        flags = ["--quality", options.quality, "--pooling", pooling, *way]
                        rows.append(measured(inputs, size, flags, Path(name), threads))
                        print(rows[-1], file=sys.stderr, flush=True)
    report(rows, options.json)
    ratios = [row["ratio"] for row in rows if "--strength" in row["flags"]]
    spread = max(ratios) / min(ratios) - 1
    print(f"\nstrength {options.strength:g} asks for {goal_of(options.strength):.3g}; the achieved", end=" ")
    print(f"ratios lie within {100 * spread:.1f} % of one another")


def measured(
    inputs: list[Path], size: int, flags: list[str], folder: Path, threads: list[str]
) -> dict[str, Any]:
    """Run once; return the ratio, and the weights that were set at the last scale."""
    output = folder / "out.png"
    command = [sys.executable, "-m", "impasto", *map(str, inputs), "-o", str(output), "--force"]
    seconds, _, _ = timed([*command, "--size", str(size), "-q", "--recipe", *flags, *threads])
    score = neutral.score(output, *inputs)
    recipe = json.loads(output.with_suffix(".json").read_text())
    told = recipe["calibration"]
    return {
        "pair": " + ".join(path.stem for path in inputs),
        "size": size,
        "flags": " ".join(flags),
        "ratio": score["style"] / score["content"],
        "style weight": (told["stretches"][-1] if told else recipe["settings"])["style_weight"],
        "evaluations": sum(scale["evaluations"] for scale in recipe["scales"]),
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
