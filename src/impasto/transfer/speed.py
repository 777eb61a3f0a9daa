"""How fast this machine is: seconds of an evaluation and pixel, kept in the cache folder from earlier runs.

A hint for the first line of a run, and nothing else: no picture depends on it. It is kept by what the speed
depends on most, and where nothing is known the first evaluations of a run tell.
"""

import math

from impasto.config.recipe import Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import ImpastoError
from impasto.inputs.pyramid import PictureShape, long_edge, scales
from impasto.losses.build import layers_of
from impasto.network.layers import deepest
from impasto.system.remembered import read_entries, write_entries
from impasto.transfer import memory

FILE = "speed.json"
LEAST = 1_000_000  # evaluations times pixels of a run that tells anything
KEPT = 200  # entries of the file


def note(recipe: Recipe) -> None:
    """Keep the speed of a finished run, as far as the cache folder can be written."""
    work = sum(scale.evaluations * scale.width * scale.height for scale in recipe.scales)
    if work < LEAST or recipe.settings.quality == "instant":  # not at the size of its result
        return
    entries = read_entries(FILE)
    key = _key(recipe.settings, recipe.runtime, recipe.weights, _edge(recipe))
    entries.pop(key, None)
    entries[key] = sum(scale.seconds for scale in recipe.scales) / work
    write_entries(FILE, dict(list(entries.items())[-KEPT:]))


def seconds_per_pixel(settings: Settings, runtime: Runtime, weights: str, edge: int) -> float | None:
    """Return the seconds of an evaluation and pixel in earlier runs of about this size; None if unknown.

    `edge` is the long edge of the result in pixels; `runtime` is resolved.
    """
    entries = read_entries(FILE)
    for near in (edge, 2 * edge, edge // 2):
        found = entries.get(_key(settings, runtime, weights, max(1, near)))
        if isinstance(found, float) and 0 < found < math.inf:
            return found
    return None


def whole_photo(width: int, height: int, settings: Settings, runtime: Runtime) -> float | None:
    """Return how many times as long a result in the photo's own size takes; None where it does not fit."""
    photo = [PictureShape("photo", width, height)]
    layers = layers_of(settings, ())
    try:
        full = settings.changed(size=max(width, height))
        ours, theirs = scales(photo, settings, layers), scales(photo, full, layers)
        found, limit = memory.plan_of(runtime, full, theirs, layers, 0)
    except ImpastoError:
        return None
    if found.memory > limit:
        return None
    tiled = runtime.changed(tile=found.tile)
    work = sum(memory.cost(scale, layers, tiled) for scale in theirs)
    return work / sum(memory.cost(scale, layers, runtime) for scale in ours)


def _edge(recipe: Recipe) -> int:
    return long_edge(recipe.content.width, recipe.content.height, recipe.settings)


def _key(settings: Settings, runtime: Runtime, weights: str, edge: int) -> str:
    """Return what the speed depends on, in one line."""
    reads = [*settings.content_layers, *settings.style_layers]
    parts = [
        runtime.device, runtime.precision, f"{runtime.threads} threads", weights, settings.style_statistic,
        deepest(reads) if reads else "", f"2^{round(math.log2(edge))} px",
    ]  # fmt: skip
    return ", ".join(map(str, parts))
