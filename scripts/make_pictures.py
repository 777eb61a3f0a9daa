"""Make the pictures that README and docs show, with impasto's own commands on its own samples.

    python scripts/make_pictures.py [--only NAME]

Each row of pictures is one setting, varied. The commands are printed as they run, so that every picture
can be made again by hand. Rows are written to docs/pictures/.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import pyvips

from impasto.cli.samples import sample

TARGET = Path(__file__).resolve().parent.parent / "docs" / "pictures"
SIZE = "256 --quality draft"
ROWS = {  # name of the row: the painting, and the flags of each picture in it
    "style-weight": ("starry_night", ["--style-weight 10", "--style-weight 100", "--style-weight 1000"]),
    "strokes": ("starry_night", ["--min-size 256", "--min-size 128", "--min-size 32"]),
    "evaluations": ("the_scream", ["--evaluations 5", "--evaluations 20", "--evaluations 100"]),
}


def main() -> None:
    """Make the rows asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[*ROWS, "samples"])
    options = parser.parse_args()
    TARGET.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        if options.only in (None, "samples"):
            triple(Path(name))
        for row, (painting, variants) in ROWS.items():
            if options.only in (None, row):
                pictures = [paint(painting, flags, Path(name)) for flags in variants]
                join(pictures, TARGET / f"{row}.jpg")


def paint(painting: str, flags: str, folder: Path) -> Path:
    """Run one command and return its picture."""
    output = folder / f"{painting}-{abs(hash(flags))}.png"
    inputs = [str(sample("photo")), str(sample(painting))]
    tail = ["--size", *SIZE.split(), *flags.split(), "-o", str(output), "--force", "-q"]
    print(f"impasto photo.jpg {painting}.jpg --size {SIZE} {flags}", flush=True)
    subprocess.run([sys.executable, "-m", "impasto", *inputs, *tail], check=True)
    return output


def triple(folder: Path) -> None:
    """Show the photo beside its two results, and the paintings."""
    results = [paint(name, "", folder) for name in ("starry_night", "the_scream")]
    join([sample("photo"), *results], TARGET / "samples.jpg", height=256)
    join([sample("starry_night"), sample("the_scream")], TARGET / "paintings.jpg", height=160)


def join(paths: list[Path], target: Path, height: int = 240) -> None:
    """Write pictures side by side, of equal height, as one JPEG."""
    images = [pyvips.Image.thumbnail(str(path), 10_000, height=height) for path in paths]
    flat = [image.colourspace("srgb").extract_band(0, n=3) for image in images]
    row = flat[0]
    for image in flat[1:]:
        row = row.join(image, "horizontal", expand=True, shim=6, background=[255, 255, 255])
    row.write_to_file(str(target), Q=88, strip=True)
    print(target.name)


if __name__ == "__main__":
    main()
