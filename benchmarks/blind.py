"""A blind comparison over pairs of a photo and a painting: settings of impasto, and other programs.

    python benchmarks/blind.py paint FOLDER PAIRS.toml LOOKS.toml [--size 512] [--threads 2]
    python benchmarks/blind.py sheet FOLDER PAIRS.toml [--seed 0]
    python benchmarks/blind.py count FOLDER ANSWERS.toml OURS

PAIRS.toml has a table for each pair, `[name]` with `photo` and `painting`, paths from that file. LOOKS.toml
has a table of settings for each look. `paint` writes FOLDER/PAIR/LOOK.png with its seconds, and leaves what
is there, so that it can be interrupted. Pictures of other programs are put beside them by hand. `sheet` puts
all of a pair on FOLDER/sheets/PAIR.jpg, in an order of its own, with letters; FOLDER/key.json says which is
which. Readers get the sheets only. ANSWERS.toml has a table for each reader, and in it for each pair the
letters, the best first, such as `C A=B D` (A and B alike). `count` says on how many pairs OURS is better than
each other one, equal, or worse, by the majority of the readers.
"""

import argparse
import json
import random
import string
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common import report

import impasto

CELL = 512  # px


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("paint", "sheet", "count"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    first = Path(options.files[0])
    table = tomllib.loads(first.read_text())
    if options.what == "paint":
        looks = tomllib.loads(Path(options.files[1]).read_text())
        paint(options.folder, first.parent, table, looks, options.size, options.threads)
    elif options.what == "sheet":
        sheets(options.folder, first.parent, table, options.seed)
    else:
        key = json.loads((options.folder / "key.json").read_text())
        report(count(key, table, options.files[1]), None)


def paint(
    folder: Path,
    near: Path,
    pairs: Mapping[str, Any],
    looks: Mapping[str, Any],
    size: int,
    threads: int | None,
) -> None:
    """Paint every pair in every look that is not there yet."""
    runtime = impasto.Runtime(threads=threads)
    for look, values in looks.items():
        for pair, files in pairs.items():
            target = folder / pair / f"{look}.png"
            if target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            settings = impasto.Settings(**{"size": size, **values})
            photo, painting = near / files["photo"], near / files["painting"]
            result = impasto.stylize(photo, painting, settings, runtime=runtime, checkpoint=False)
            result.save(target)
            print(f"{pair} {look}: {result.seconds:.1f} s", file=sys.stderr, flush=True)


def sheets(folder: Path, near: Path, pairs: Mapping[str, Any], seed: int) -> None:
    """Put the pictures of each pair on a sheet, in an order that only the key says."""
    key, order = {}, random.Random(seed)
    (folder / "sheets").mkdir(parents=True, exist_ok=True)
    for pair, files in pairs.items():
        found = sorted((folder / pair).glob("*.png"))
        order.shuffle(found)
        letters = string.ascii_uppercase[: len(found)]
        key[pair] = {letter: path.stem for letter, path in zip(letters, found, strict=True)}
        inputs = [near / files["photo"], near / files["painting"]]
        captions = ["photo", "painting", *letters]
        sheet = impasto.contact_sheet([*inputs, *found], columns=3, captions=captions, cell=CELL)
        sheet.save(folder / "sheets" / f"{pair}.jpg", jpeg_quality=92, overwrite=True)
    (folder / "key.json").write_text(json.dumps(key, indent=1))


def places(answer: str) -> dict[str, int]:
    """Return the place of each letter of an answer such as `C A=B D`, the best being 0."""
    groups = [group.split("=") for group in answer.upper().split()]
    return {letter: place for place, group in enumerate(groups) for letter in group}


def count(
    key: Mapping[str, Mapping[str, str]], answers: Mapping[str, Mapping[str, str]], ours: str
) -> list[dict[str, Any]]:
    """Return for every other picture the pairs on which ours is better, equal or worse, by majority.

    Args:
        key: Pair -> letter -> picture.
        answers: Reader -> pair -> letters, the best first.
        ours: The picture that is compared.
    """
    rows = []
    for other in sorted({name for letters in key.values() for name in letters.values()} - {ours}):
        row = {"against": other, "better": 0, "equal": 0, "worse": 0}
        for pair, letters in key.items():
            named = {name: letter for letter, name in letters.items()}
            if ours in named and other in named:
                row[_majority([reader[pair] for reader in answers.values()], named[ours], named[other])] += 1
        rows.append(row)
    return rows


def _majority(answers: Sequence[str], ours: str, other: str) -> str:
    """Say how ours is for the majority of answers; `equal` without one."""
    votes = [(found[other] > found[ours]) - (found[other] < found[ours]) for found in map(places, answers)]
    for vote, word in ((1, "better"), (-1, "worse")):
        if 2 * votes.count(vote) > len(votes):
            return word
    return "equal"


if __name__ == "__main__":
    main()
