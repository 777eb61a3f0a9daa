"""How low the loss is after a few evaluations, by the start of a run.

    python benchmarks/starts.py [--size 192] [--after 8,40] [--starts content,matched=0.5,matched]
        [--pairs 3] [--threads 2] [--json FILE] [--keep FOLDER]

One scale, the default settings else. A column has the loss of the best canvas after so many evaluations,
relative to that from the photo.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from common import pairs, report

import impasto


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--after", default="8,40")
    parser.add_argument("--starts", default="content,matched=0.5,matched", help="content first")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    after = [int(part) for part in options.after.split(",")]
    rows: list[dict[str, Any]] = []
    for photo, painting in pairs()[: options.pairs]:
        reference: list[float] = []
        for start in options.starts.split(","):
            settings = settings_of(start, options.size, max(after))
            runtime = impasto.Runtime(threads=options.threads)
            result = impasto.stylize(photo, painting, settings, runtime=runtime, checkpoint=False)
            losses = lowest(result, after)
            reference = reference or losses
            row: dict[str, Any] = {"pair": f"{photo.stem} + {painting.stem}", "start": start}
            for count, loss, other in zip(after, losses, reference, strict=True):
                row |= {f"loss after {count}": loss, f"of the photo's after {count}": loss / other}
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                name = f"{photo.stem}-{painting.stem}-{start}.png"
                result.save(options.keep / name, overwrite=True)
    report(rows, options.json)


def settings_of(start: str, size: int, evaluations: int) -> impasto.Settings:
    """Return the settings of one scale from a start such as `matched=0.5`."""
    init, _, amount = start.partition("=")
    base: dict[str, Any] = {"size": size, "min_size": size, "evaluations": evaluations, "init": init}
    return impasto.Settings(**base | ({"init_amount": float(amount)} if amount else {}))


def lowest(result: impasto.Result, after: list[int]) -> list[float]:
    """Return the lowest total loss within so many evaluations, for each number."""
    losses = [row.losses["total"] for row in result.history]
    return [min(losses[:count]) for count in after]


if __name__ == "__main__":
    main()
