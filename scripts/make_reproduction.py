r"""Make the pictures of docs/reproduction.md from a finished experiment.

    impasto experiment tubingen.jpg starry_night.jpg astronaut.jpg the_scream.jpg \
        tubingen.jpg shipwreck.jpg --quick -o DIR
    .venv/bin/python scripts/make_reproduction.py DIR

Plots are copied, pictures put side by side, of the parts that were run. Photos and paintings themselves are
not copied. The pictures of preset gatys2016, whose commands are on that page, are expected in DIR/gatys2016.
"""

import json
import shutil
import sys
from pathlib import Path

from impasto import contact_sheet
from impasto.reports.experiment import trials

TARGET = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "reproduction"
PLOTS = ("trade", "loss", "loss-balance", "gap", "solvers")
LAYERS = [f"relu{block}_1" for block in range(1, 6)]


def main() -> None:
    """Copy the plots and put the pictures side by side."""
    folder = Path(sys.argv[1])
    pictures = folder / "pictures"
    scope = trials.QUICK
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in PLOTS:
        if not (folder / "figures" / f"{name}.png").exists():
            continue  # of a part that was not run
        shutil.copyfile(folder / "figures" / f"{name}.png", TARGET / f"{name}.png")

    def sheet(name: str, files: list[str], captions: list[str], columns: int, cell: int) -> None:
        found = [pictures / f"{file}.png" for file in files]
        if not all(path.exists() for path in found):
            return  # of a part that was not run
        made = contact_sheet(found, columns=columns, captions=captions, cell=cell)
        made.save(TARGET / f"{name}.jpg", jpeg_quality=88, overwrite=True)

    def alpha(name: str) -> float:
        kept = json.loads((folder / "data" / f"{name}.json").read_text())
        return float(kept["recipe"]["settings"]["content_weight"])

    layers = [f"relu{block}_2" for block in range(1, 6)]
    sheet("content", [f"content-{layer}" for layer in layers], layers, 5, 128)
    sets = ["relu1_1", *(f"and {layer}" for layer in LAYERS[1:])]
    sheet("style", [f"style-{number}" for number in range(1, 6)], sets, 5, 128)
    grid = [trial.name for trial in trials.alpha_trials(scope)]
    strict = trials.strict_cell(scope).name
    sheet("grid", [*grid, strict], [*(f"alpha {alpha(name):g}" for name in grid), "strict"], 3, 192)
    rows = trials.layer_trials(scope)
    said = [f"to {list(trial.settings.style_layers)[-1]}, alpha {alpha(trial.name):g}" for trial in rows]
    sheet("layers", [trial.name for trial in rows], said, len(trials.COLUMN_SHARES), 192)
    ends = [(number, max(1, trials.ROUND * number)) for number in (0, 1, 2, 3, 5, 7, 10, scope.rounds)]
    for name in ("balance", "main"):
        files = [f"{name}-{end:04d}" for _, end in ends]
        sheet(
            f"course-{name}", files, [f"round {number}" if number else "start" for number, _ in ends], 4, 192
        )
    starts = [trial.name for trial in trials.start_trials(scope)]
    sheet("starts", starts, [name.replace("-", " ") for name in starts], len(starts) // 2, 160)
    pairs = ["tubingen, starry_night", "astronaut, the_scream", "tubingen, shipwreck"]
    captions = [f"{pair}, {kind}" for pair in pairs for kind in ("in balance", "strict")]
    files = ["balance", "main", "balance-2", "main-2", "balance-3", "main-3"]
    sheet("results", files, captions, 2, 256)
    ratios = {"shipwreck": "1e-3", "starry_night": "8e-4", "the_scream": "5e-3"}
    files = [f"../gatys2016/tubingen-{painting}" for painting in ratios]
    captions = [f"{painting.replace('_', ' ')}, {ratio}" for painting, ratio in ratios.items()]
    sheet("gatys2016", [*files, "../gatys2016/astronaut-the_scream"], [*captions, "astronaut, 1e-3"], 2, 256)


if __name__ == "__main__":
    main()
