"""Make docs/gallery.md and its pictures: every control, shown, by impasto's own commands on its own samples.

    python scripts/make_gallery.py [--only PART] [--row NAME] [--check] [--inputs FOLDER]

Each `scripts/gallery/PART.toml` holds rows: a title, a text, and pictures with their flags. The page prints
the commands, so that every picture can be made again by hand: `--inputs` writes what they read into a folder.
`--check` only tells whether the page is up to date.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from make_pictures import join
from numpy.typing import NDArray

from impasto.cli.samples import Name, sample

ROOT = Path(__file__).resolve().parent.parent
ROWS = Path(__file__).resolve().parent / "gallery"
PAGE, PICTURES = ROOT / "docs" / "gallery.md", ROOT / "docs" / "pictures" / "gallery"
PARTS = {  # title, and the page that explains it
    "strength": ("How strongly", "control/strength.md"),
    "color": ("Color", "control/color.md"),
    "styles": ("Strokes and several styles", "control/styles.md"),
    "regions": ("Regions", "control/regions.md"),
    "statistics": ("What counts as style", "control/statistics.md"),
    "content": ("The photo's structure", "control/content.md"),
    "clean": ("Clean pictures", "control/clean.md"),
    "knobs": ("Other options", "control/strength.md#all-other-options"),
}
PAINTINGS: tuple[Name, ...] = ("starry_night", "the_scream")
SIZE = "256 --quality draft"
HEIGHT = 220  # px of a picture on the page
INTRO = """\
<!-- Made by scripts/make_gallery.py from scripts/gallery; do not edit. -->
# Gallery

Every option that changes the picture, on the sample photo, small and with few evaluations. The commands are
below each row. `photo.jpg`, `starry_night.jpg` (Vincent van Gogh, 1889) and `the_scream.jpg` (Edvard Munch,
1893), both in the public domain, are samples that come with impasto.
`python scripts/make_gallery.py` makes this page and its pictures; with `--inputs FOLDER` it writes
the samples and the masks there, to try the commands.
"""


def main() -> None:
    """Make the parts asked for, and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--row", metavar="NAME")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--inputs", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    parts = {name: rows(name) for name in PARTS if (ROWS / f"{name}.toml").exists()}
    text = page(parts)
    if options.check:
        sys.exit(0 if PAGE.read_text() == text else "docs/gallery.md: run scripts/make_gallery.py")
    if options.inputs is not None:
        options.inputs.mkdir(parents=True, exist_ok=True)
        draw_masks(options.inputs)
        return
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        draw_masks(Path(name))
        for part, found in parts.items():
            for row in found if options.only in (None, part) else []:
                if options.row in (None, row["name"]):
                    make(row, Path(name))
    PAGE.write_text(text)


def rows(part: str) -> list[dict[str, Any]]:
    """Return the rows of a part: name, title, text, and pictures with caption and flags."""
    found: list[dict[str, Any]] = tomllib.loads((ROWS / f"{part}.toml").read_text())["row"]
    for row in found:
        for picture in row["picture"]:
            picture["size"] = row.get("size", SIZE)
            picture.setdefault("styles", row.get("styles", ["starry_night.jpg"]))
    return found


def page(parts: dict[str, list[dict[str, Any]]]) -> str:
    """Return the page, in Markdown."""
    lines = [INTRO]
    for part, found in parts.items():
        title, more = PARTS[part]
        lines += [f"## {title}", "", f"[What it does, and how to use it]({more})", ""]
        for row in found:
            captions = ", ".join(picture["caption"] for picture in row["picture"])
            lines += [f"### {row['title']}", "", row["text"].strip(), ""]
            lines += [f"![{captions}](pictures/gallery/{row['name']}.jpg)", "", f"From left: {captions}.", ""]
            commands = [command(picture) for picture in row["picture"] if "flags" in picture]
            lines += ["```sh", *commands, "```", ""]
    return "\n".join(lines)


def command(picture: dict[str, Any]) -> str:
    """Return the command of a picture as it is printed."""
    styles = " ".join(picture["styles"])
    return f"impasto photo.jpg {styles} --size {picture['size']} {picture['flags']}".strip()


def make(row: dict[str, Any], folder: Path) -> None:
    """Make the pictures of a row and lay them side by side."""
    made = []
    for number, picture in enumerate(row["picture"]):
        if "show" in picture:  # an input: a painting or a mask
            made.append(folder / picture["show"])
            continue
        output = folder / f"{row['name']}-{number}.png"
        print(command(picture), flush=True)
        words = shlex.split(command(picture))[1:]
        flags = [*words, "-o", str(output), "--force", "-q"]
        subprocess.run([sys.executable, "-m", "impasto", *flags], check=True, cwd=folder)
        made.append(output)
    join(made, PICTURES / f"{row['name']}.jpg", HEIGHT)


def draw_masks(folder: Path) -> None:
    """Write the inputs that the rows name: samples, masks of the sample photo, and a segmentation."""
    names: tuple[Name, ...] = ("photo", *PAINTINGS)
    for name in names:
        (folder / f"{name}.jpg").write_bytes(sample(name).read_bytes())
    saucer = ellipse(278, 215, 200, 172)
    cup = ellipse(290, 113, 120, 97) | ellipse(270, 190, 95, 95)
    masks = {"cup": cup, "saucer": saucer, "table": ~saucer, "left": columns() < 300}
    for name, mask in masks.items():
        save(np.where(mask, 255, 0).astype(np.uint8), folder / f"{name}.png")
    colors = np.zeros((400, 600, 3), np.uint8)
    colors[~saucer], colors[saucer], colors[cup] = (0, 0, 255), (0, 255, 0), (255, 0, 0)
    save(colors, folder / "segments.png")
    for name, part in (("sky", slice(0, 250)), ("town", slice(290, 400))):  # of starry_night.jpg
        mask = np.zeros((400, 640), np.uint8)
        mask[part] = 255
        save(mask, folder / f"{name}.png")
    (folder / "folder").mkdir(exist_ok=True)
    for name in PAINTINGS[:2]:
        (folder / "folder" / f"{name}.jpg").write_bytes(sample(name).read_bytes())


def columns() -> NDArray[np.int64]:
    """Return the column of every pixel of the sample photo, 600 x 400."""
    return np.indices((400, 600))[1]


def ellipse(x: int, y: int, wide: int, high: int) -> NDArray[np.bool_]:
    """Return which pixels of the sample photo lie in an ellipse."""
    rows, across = np.indices((400, 600))
    inside: NDArray[np.bool_] = ((across - x) / wide) ** 2 + ((rows - y) / high) ** 2 < 1
    return inside


def save(pixels: NDArray[np.uint8], path: Path) -> None:
    """Write pixels as PNG."""
    pyvips.Image.new_from_array(pixels).write_to_file(str(path))


if __name__ == "__main__":
    main()
