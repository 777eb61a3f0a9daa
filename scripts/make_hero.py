"""Make docs/pictures/hero.jpg, the first picture of the README: photo, painting, and the result at 1024 px.

    python scripts/make_hero.py [FOLDER] [--result FILE]

FOLDER holds tubingen.jpg and starry_night.jpg, which are not part of the repository; by default it is
../shared/images. The photo is "Neckarfront in Tübingen" by Andreas Praefcke (Wikimedia Commons, CC BY 3.0),
the painting "The Starry Night" by Vincent van Gogh, 1889 (public domain). The command is printed as it runs;
it takes minutes. `--result` arranges a result that was made before.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pyvips

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT.parent / "shared" / "images"
TARGET = ROOT / "docs" / "pictures" / "hero.jpg"
PHOTO, PAINTING = "tubingen.jpg", "starry_night.jpg"
FLAGS = "--size 1024"
GAP = 8  # px between the pictures
LARGEST = 450_000  # bytes of the file


def main() -> None:
    """Paint, and arrange the three pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=PICTURES)
    parser.add_argument("--result", type=Path, metavar="FILE")
    options = parser.parse_args()
    missing = [name for name in (PHOTO, PAINTING) if not (options.folder / name).is_file()]
    if missing:
        sys.exit(
            f"make_hero.py: {options.folder} has no {' and no '.join(missing)}; "
            "give the folder of these pictures"
        )
    inputs = options.folder / PHOTO, options.folder / PAINTING
    with tempfile.TemporaryDirectory() as folder:
        result = options.result or Path(folder) / "hero.png"
        if options.result is None:
            print(f"impasto {PHOTO} {PAINTING} {FLAGS}", flush=True)
            command = [sys.executable, "-m", "impasto", *map(str, inputs), *shlex.split(FLAGS)]
            subprocess.run([*command, "-o", str(result)], check=True)
        save(arranged(*inputs, result), TARGET)


def arranged(photo: Path, painting: Path, result: Path) -> pyvips.Image:
    """Return photo and painting, one above the other, to the left of the result."""
    large = flat(pyvips.Image.new_from_file(str(result)))
    height = (large.height - GAP) // 2
    width = round(height * large.width / large.height)
    small = [
        flat(pyvips.Image.thumbnail(str(path), width, height=height, crop="centre"))
        for path in (photo, painting)
    ]
    column = pyvips.Image.arrayjoin(small, across=1, shim=GAP, background=[255, 255, 255])
    white = {"expand": True, "shim": GAP, "background": [255, 255, 255]}
    return column.join(large, "horizontal", **white)


def flat(image: pyvips.Image) -> pyvips.Image:
    """Return the three color bands of a picture."""
    return image.colourspace("srgb").extract_band(0, n=3)


def save(image: pyvips.Image, target: Path) -> None:
    """Write a JPEG in the best quality that the largest size of the file allows."""
    for quality in range(92, 50, -2):
        data = image.jpegsave_buffer(Q=quality, strip=True, optimize_coding=True, interlace=True)
        if len(data) <= LARGEST:
            break
    target.write_bytes(data)
    print(f"{target.name}: {image.width} x {image.height} px, {len(data)} bytes, quality {quality}")


if __name__ == "__main__":
    main()
