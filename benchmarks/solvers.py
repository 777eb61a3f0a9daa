"""Solvers from the same start on the same objective: what they claim, and what the saved file is worth.

    python benchmarks/solvers.py [--size 256] [--evaluations 100] [--json FILE]

Two objectives, both in fp32 and from white noise: the neutral evaluator's own and preset `paper`.
"""

import argparse
import tempfile
import time
from pathlib import Path

from common import pairs, report, scaled
from tests.reference import neutral

import impasto

GRAM = {"style_statistic": "gram", "grain": 0}

SOLVERS = {
    "SciPy L-BFGS-B, unbounded": {"solver": "scipy", "bounded": False},
    "ours, unbounded": {"solver": "lbfgs", "bounded": False},
    "ours, bounded": {"solver": "lbfgs", "bounded": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    neutral_like = {"content_weight": 5, "style_weight": 100, "init": "noise", "min_size": 30_000, **GRAM}
    objectives = {"neutral": impasto.Settings(**neutral_like), "paper": impasto.Settings.preset("paper")}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo, style = (scaled(path, options.size, folder) for path in pairs()[0])
        for objective, base in objectives.items():
            for solver, changes in SOLVERS.items():
                settings = base.changed(size=options.size, evaluations=options.evaluations, **changes)
                began = time.perf_counter()
                runtime = impasto.Runtime(precision="fp32")
                result = impasto.stylize(photo, style, settings, runtime=runtime)
                seconds = time.perf_counter() - began
                score = neutral.score(result.save(folder / "r.png", overwrite=True), photo, style)
                paper = 0.025 * score["paper_content"] + 5 * score["paper_style"]
                rows.append(
                    {
                        "objective": objective,
                        "solver": solver,
                        "optimised": result.recipe.losses["total"],
                        "saved": score["total"] if objective == "neutral" else paper,
                        "evaluations": result.recipe.scales[-1].evaluations,
                        "seconds": round(seconds, 1),
                    }
                )
    report(rows, options.json)


if __name__ == "__main__":
    main()
