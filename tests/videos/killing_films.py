"""Kill a film with SIGKILL again and again, go on, and compare. A program of its own; prints JSON.

    python tests/videos/killing_films.py FOLDER --kills 20 [--seed 0]

Children are forked from this process, which has imported everything and computed nothing.
"""

# ruff: noqa: T201

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import av
import cv2  # noqa: F401 - imported late, as the next lines
import numpy as np
import torch
import torch._dynamo
from PIL import Image

import impasto.cli.commands.video
import impasto.network.weights.load
import impasto.videos.film
from impasto.cli import app
from impasto.network.vgg import narrow_weights
from impasto.videos.folder import read_state

ARGUMENTS = [
    "video",
    "clip.mkv",
    "painting.png",
    "--two-pass",
    "--evaluations",
    "8",
    "--threads",
    "1",
    "-o",
    "film.mkv",
    "-q",
]
SIZE, COUNT = (48, 64), 5


def prepare(folder: Path) -> None:
    """Write a clip and a painting; have the network be a narrow one."""
    torch.set_num_threads(1)
    weights = narrow_weights()
    impasto.network.weights.load.load_weights = lambda *name: weights
    random_numbers = np.random.default_rng(3)
    small = Image.fromarray(random_numbers.integers(0, 256, (8, 10, 3), dtype=np.uint8))
    whole = np.asarray(small.resize((2 * SIZE[1], 2 * SIZE[0]), Image.Resampling.BICUBIC))
    Image.fromarray(whole[::-1]).save(folder / "painting.png")
    with av.open(str(folder / "clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "bgr0"
        for number in range(COUNT):
            part = np.ascontiguousarray(whole[number : number + SIZE[0], 2 * number : 2 * number + SIZE[1]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(part, "rgb24").reformat(format="bgr0")))
        container.mux(stream.encode())


def child(folder: Path, after: float | None) -> tuple[bool, float]:
    """Run the command in a child, killed after so many seconds; return whether it was, and the seconds."""
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.chdir(folder)
        os.dup2(os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        os.dup2(2, 1)
        os._exit(app.main(ARGUMENTS))
    while after is not None and time.perf_counter() - began < after:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return _killed(folder, status), time.perf_counter() - began
        time.sleep(0.001)
    if after is not None:
        os.kill(pid, signal.SIGKILL)
    return _killed(folder, os.waitpid(pid, 0)[1]), time.perf_counter() - began


def _killed(folder: Path, status: int) -> bool:
    if os.WIFSIGNALED(status):
        return True
    if os.waitstatus_to_exitcode(status):
        raise SystemExit((folder / "said.txt").read_text())
    return False


def made(folder: Path) -> dict[str, bytes]:
    files = [folder / "film.mkv", *(folder / "film.mkv.frames").glob("*.png")]
    return {file.name: file.read_bytes() for file in files}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    base, draw, counts = options.folder.absolute(), random.Random(options.seed), Counter()
    prepare(base)

    def place(name: str) -> Path:
        folder = base / name
        folder.mkdir()
        for file in ("clip.mkv", "painting.png"):
            (folder / file).write_bytes((base / file).read_bytes())
        return folder

    whole = place("whole")
    child(whole, None)
    expected = made(whole)
    _, seconds = child(place("again"), None)  # without what is made only once
    while counts["kills"] < options.kills:
        folder, done = place(f"trial-{counts['trials']}"), 0
        counts["trials"] += 1
        while True:
            left = options.kills - counts["kills"]
            killed, _ = child(folder, draw.uniform(0.05, 1.1 * seconds) if left > 0 else None)
            state = read_state(folder / "film.mkv.frames")
            counts["lost"] += (0 if state is None else state.done) < done
            done = 0 if state is None else state.done
            if not killed:
                break
            counts["kills"] += 1
            counts["after a frame"] += done > 0
            counts["torn"] += (folder / "film.mkv").exists() and made(folder)["film.mkv"] != expected[
                "film.mkv"
            ]
        counts["equal" if made(folder) == expected else "different"] += 1
    print(json.dumps(counts))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
