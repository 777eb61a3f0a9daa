r"""Make the pictures of docs/reproduction.md from a finished experiment.

    impasto experiment tubingen.jpg starry_night.jpg hoovertowernight.jpg the_scream.jpg \
        tubingen.jpg shipwreck.jpg -o DIR
    .venv/bin/python scripts/make_reproduction.py DIR

Plots are copied, pictures put side by side. Photos and paintings themselves are not copied.
"""

import shutil
import sys
from pathlib import Path

from impasto import contact_sheet

TARGET = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "reproduction"
PLOTS = ("trade", "loss", "gap", "solvers")
LAYERS = [f"relu{block}_1" for block in range(1, 6)]
ALPHAS = ("0.0025", "0.0079", "0.025", "0.079", "0.25", "0.79", "2.5", "7.9", "25")
ROUNDS = (0, 1, 2, 3, 5, 7, 10, 15)


def main() -> None:
    """Copy the plots and put the pictures side by side."""
    folder = Path(sys.argv[1])
    pictures = folder / "pictures"
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in PLOTS:
        shutil.copyfile(folder / "figures" / f"{name}.png", TARGET / f"{name}.png")

    def sheet(name: str, files: list[str], captions: list[str], columns: int, cell: int) -> None:
        found = [pictures / f"{file}.png" for file in files]
        made = contact_sheet(found, columns=columns, captions=captions, cell=cell)
        made.save(TARGET / f"{name}.jpg", jpeg_quality=88, overwrite=True)

    layers = [f"relu{block}_2" for block in range(1, 6)]
    sheet("content", [f"content-{layer}" for layer in layers], layers, 5, 128)
    sets = ["relu1_1", *(f"and {layer}" for layer in LAYERS[1:])]
    sheet("style", [f"style-{number}" for number in range(1, 6)], sets, 5, 128)
    alphas = [f"alpha {alpha}" for alpha in ALPHAS]
    sheet("grid", [f"alpha-{number}" for number in range(1, 10)], alphas, 3, 192)
    rows = [f"layers-{row}-{column}" for row in range(1, 6) for column in range(1, 5)]
    said = [f"to {LAYERS[row]}, alpha {alpha}" for row in range(5) for alpha in (0.025, 0.25, 2.5, 25)]
    sheet("layers", rows, said, 4, 128)
    course = [f"main-{max(1, 20 * number):04d}" for number in ROUNDS]
    sheet("course", course, ["start", *(f"round {number}" for number in ROUNDS[1:])], 4, 192)
    starts = [f"start-{init}-{pool}" for pool in ("max", "average") for init in ("noise", "content", "style")]
    words = [f"from {what}, {pool} pooling" for pool in ("max", "average")
             for what in ("noise", "the photo", "the painting")]  # fmt: skip
    sheet("starts", starts, words, 3, 160)
    pairs = ["tubingen, starry_night", "tubingen, shipwreck"]  # pair-2's photo has no known license
    sheet("results", ["main", "pair-3"], pairs, 2, 256)


if __name__ == "__main__":
    main()
