"""Make the pictures of docs/video.md: a moving view of the sample photo, painted by `impasto video`.

    python scripts/make_film_pictures.py

They are written to docs/pictures/: film.webp, and film-strip.jpg with the clip above the film.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from impasto.cli.samples import sample

TARGET = Path(__file__).resolve().parent.parent / "docs" / "pictures"
SIZE, COUNT, SHOWN = (192, 128), 12, 4
STEP = 5.0, 1.5  # px of the photo a frame


def main() -> None:
    """Make the clip, run the command, and write both pictures."""
    with tempfile.TemporaryDirectory() as name:
        clip, film = Path(name) / "clip", Path(name) / "film"
        clip.mkdir()
        photo = Image.open(sample("photo")).convert("RGB")
        for number in range(COUNT):
            left, top = 40 + STEP[0] * number, 30 + STEP[1] * number
            box = (left, top, left + 360, top + 240)
            frame = photo.resize(SIZE, Image.Resampling.LANCZOS, box=box)
            frame.save(clip / f"{number:02d}.png")
        command = ["video", str(clip), str(sample("starry_night")), "-o", str(film)]
        print("impasto", *command, flush=True)
        subprocess.run([sys.executable, "-m", "impasto", *command], check=True)
        pairs = [(sorted(clip.iterdir())[n], sorted(film.iterdir())[n]) for n in range(COUNT)]
        frames = [Image.open(painted) for _, painted in pairs]
        there_and_back = [*frames, *frames[-2:0:-1]]
        there_and_back[0].save(
            TARGET / "film.webp",
            save_all=True,
            append_images=there_and_back[1:],
            duration=120,
            loop=0,
            quality=82,
        )
        chosen = [pairs[round(n * (COUNT - 1) / (SHOWN - 1))] for n in range(SHOWN)]
        rows = [np.concatenate([np.asarray(Image.open(pair[row])) for pair in chosen], 1) for row in (0, 1)]
        Image.fromarray(np.concatenate(rows)).save(TARGET / "film-strip.jpg", quality=92)


if __name__ == "__main__":
    main()
