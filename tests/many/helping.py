"""What the tests of batches have in common."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from impasto.config.settings import Settings
from impasto.many.jobs import BatchSpec, Look, Painting


def make_photo(name: str | os.PathLike[str], seed: int = 0, size: tuple[int, int] = (24, 20)) -> None:
    cells = np.random.default_rng(seed).integers(0, 255, (size[1] // 4, size[0] // 4, 3), np.uint8)
    Image.fromarray(np.kron(cells, np.ones((4, 4, 1), np.uint8))).save(name)


def spec(*photos: str, looks: tuple[Look, ...] | None = None, folder: str = "out", **more) -> BatchSpec:
    """What a batch of these photos is spec for."""
    look = Look("style", (Painting("style.png"),), Settings())
    return BatchSpec(photos or ("photos",), looks or (look,), Path(folder), **more)


def files(folder: str | Path = "out") -> list[str]:
    """The files below a folder, without manifests and temporary files."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in Path(folder).rglob("*")
        if path.is_file() and path.suffix != ".jsonl" and not path.name.startswith(".")
    )
