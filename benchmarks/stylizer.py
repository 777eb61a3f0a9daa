"""What a call of a `Stylizer` takes beside its evaluations and the photo's features, in milliseconds.

python benchmarks/stylizer.py [--size 128] [--evaluations 10] [--calls 8] [--threads N] [--json FILE]
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import report
from impasto.losses.tiled_features import TiledFeatures

from impasto import Runtime, Settings, Stylizer
from impasto.losses.objective import Objective


def measured(spent: dict[str, float], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that notes its seconds."""

    def call(*arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        found = function(*arguments, **options)
        spent[name] += time.perf_counter() - began
        return found

    return call


def picture(seed: int, size: int) -> np.ndarray:
    cells = np.random.default_rng(seed).integers(0, 255, (size * 3 // 4 // 8, size // 8, 3), np.uint8)
    return np.kron(cells, np.ones((8, 8, 1), np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--evaluations", type=int, default=10)
    parser.add_argument("--calls", type=int, default=8)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    spent: dict[str, float] = {}
    Objective.__call__ = measured(spent, "evaluations", Objective.__call__)  # type: ignore[method-assign]
    TiledFeatures.whole = measured(spent, "features", TiledFeatures.whole)  # type: ignore[method-assign]
    settings = Settings(size=options.size, min_size=options.size, evaluations=options.evaluations)
    stylizer = Stylizer(picture(0, options.size), settings, runtime=Runtime(threads=options.threads))
    rows = []
    for call in range(1, options.calls + 1):
        photo = picture(call, options.size)
        spent |= {"evaluations": 0.0, "features": 0.0}
        began = time.perf_counter()
        stylizer(photo, checkpoint=False)
        seconds = {"whole call": time.perf_counter() - began, **spent}
        beside = seconds["whole call"] - spent["evaluations"] - spent["features"]
        milliseconds = {
            name: round(1000 * value, 1) for name, value in (seconds | {"beside": beside}).items()
        }
        rows.append({"call": call, **milliseconds})
    report(rows, options.json)


if __name__ == "__main__":
    main()
