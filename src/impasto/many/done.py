"""Whether a job is done, which its file says: the key of a job, and that of a recipe. No torch here.

The key is the SHA-256 of photo, paintings, settings, weights and the version of the program. The machine's
choices are not in it.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from impasto._version import __version__
from impasto.config.recipe import Recipe
from impasto.config.settings import Settings
from impasto.errors import FINISHED, End, ImpastoError
from impasto.image.xmp import NAMESPACE, recipe_in
from impasto.messages import printable
from impasto.system.files import read_whole

ENDED = {*FINISHED, End.NOT_FINITE}  # a run that will not get any further
MARK = NAMESPACE.encode()  # in each file that has a recipe
LAST = {".png": b"IEND\xaeB`\x82", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}  # what a whole file ends with


class Standing(StrEnum):
    """What is at the place of a result."""

    MISSING = "missing"  # nothing, or an empty file
    DONE = "done"  # a picture with the job's key
    FAULTY = "not finite"  # the same, whose run ended because its losses were not finite
    STALE = "stale"  # a picture of impasto with another key
    FOREIGN = "foreign"  # something else
    DAMAGED = "damaged"  # a file that is cut off or cannot be read


@dataclass(frozen=True)
class Found:
    """A result's place, and the recipe there, if there is one."""

    standing: Standing
    recipe: Recipe | None = None


def key(
    photo: str, styles: Iterable[Any], settings: Settings, weights: str, version: str = __version__
) -> str:
    """Return the key of a job.

    Args:
        photo: SHA-256 of the photo's file.
        styles: What identifies each painting, by `identity`.
        settings: How the picture is to look.
        weights: SHA-256 of the network's weights.
        version: Of the program.
    """
    if settings.weights is not None:
        settings = settings.changed(weights=None)
    parts = [photo, list(styles), settings.model_dump(mode="json"), weights, version]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def key_of(recipe: Recipe) -> str:
    """Return the key of the job that a recipe is of."""
    styles = [
        [
            style.sha256,
            float(style.weight),
            style.source_mask and [style.source_mask.sha256, style.source_mask.color],
            style.stroke,
            style.layers and sorted(style.layers.items()),
            *([style.mask.region] if style.mask else []),
        ]
        for style in recipe.styles
    ]
    others = [item.sha256 for item in (recipe.init_picture, recipe.protect) if item]  # a batch has none
    return key(
        recipe.content.sha256, [*styles, *others], recipe.settings, recipe.weights_sha256, recipe.impasto
    )


def standing(path: Path, wanted: str) -> Found:
    """Return what is at the place of the result whose key is `wanted`; `path` is read anew."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return Found(Standing.MISSING if not path.is_symlink() else Standing.FOREIGN)
    except OSError:
        return Found(Standing.DAMAGED)
    if not size:
        return Found(Standing.MISSING)  # FAT: a process was killed while it took the name
    label = printable(path.name)
    try:
        data = read_whole(path, max(size, 1), "a picture")
        text = recipe_in(data, label)
        recipe = None if text is None else Recipe.from_json(text, label)
    except ImpastoError:
        return Found(Standing.DAMAGED if path.is_file() else Standing.FOREIGN)
    if recipe is None:
        return Found(Standing.FOREIGN)
    if not data.endswith(LAST.get(path.suffix.lower(), b"")):
        return Found(Standing.DAMAGED, recipe)
    if recipe.stopped not in ENDED or key_of(recipe) != wanted:
        return Found(Standing.STALE, recipe)
    return Found(Standing.FAULTY if recipe.stopped == End.NOT_FINITE else Standing.DONE, recipe)
