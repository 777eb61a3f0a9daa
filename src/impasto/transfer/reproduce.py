"""Make a picture again from its recipe: find its inputs by hash, replay its run, compare the pixels.

On the same machine with the same versions the pixels are the same, before they are encoded::

    result = impasto.reproduce("out.png")
    assert result.recipe.pixels_sha256 == impasto.read_recipe("out.png").pixels_sha256
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from impasto._version import __version__
from impasto.config.limits import Input
from impasto.config.recipe import InputRecord, Recipe
from impasto.config.styles import REST, Mask, Style
from impasto.errors import FINISHED, ImpastoError, InputError, SettingsError, WeightsError
from impasto.image.picture import Picture
from impasto.image.xmp import read_recipe
from impasto.inputs.open import as_recorded, open_inputs
from impasto.messages import printable
from impasto.network.weights.load import WeightsLike, identity, load
from impasto.system import hardware
from impasto.system.files import file_sha256
from impasto.system.torch_defaults import torch_defaults
from impasto.transfer.callbacks.checkpoints import Checkpoints
from impasto.transfer.result import Result, Step
from impasto.transfer.run import Run
from impasto.transfer.run_state import RunState
from impasto.transfer.runtime import resolve
from impasto.transfer.stylize import complete

MOST_FILES = 10_000  # of a folder that are looked at

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundInputs:
    """The inputs of a recipe, opened, and the files they were found in."""

    content: Picture
    styles: tuple[Style, ...]
    init_picture: Picture | None
    paths: tuple[Path, ...]
    protect: Mask | str | None


def reproduce(
    source: str | os.PathLike[str] | Recipe,
    *,
    folders: Sequence[str | os.PathLike[str]] = (),
    weights: WeightsLike | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Result:
    """Make a picture again: settings, runtime and evaluations at each scale are those of its recipe.

    Whether the pixels are the same, the two recipes' `pixels_sha256` say; `differences` says what is not
    as it was.

    Args:
        source: A picture made by impasto, the JSON file of its recipe, or the recipe.
        folders: Where to look for the inputs first; then beside the picture, then in the current folder.
        weights: The weights, if they are not found by the recipe's name for them.
        on_step: Called after every evaluation, as by `stylize`.

    Raises:
        InputError: There is no recipe, it is not reproducible, or an input is not found.
        WeightsError: The weights are not here.
    """
    recipe = source if isinstance(source, Recipe) else read_recipe(source)
    beside = [] if isinstance(source, Recipe) else [Path(source).parent]
    found = find_inputs(recipe, [*map(Path, folders), *beside, Path()])
    return repeat(recipe, found, weights=weights, on_step=on_step)


@torch_defaults()
def repeat(
    recipe: Recipe,
    found: FoundInputs,
    *,
    weights: WeightsLike | None = None,
    on_step: Callable[[Step], None] | None = None,
    checkpoints: Checkpoints | None = None,
    on_part: Callable[[], None] | None = None,
) -> Result:
    """Repeat the run of a recipe whose inputs were found; see `reproduce`.

    Each scale has the evaluations that the recipe counts, so a run that was ended by a tolerance or by Ctrl-C
    is repeated to the evaluation at which it ended.
    """
    recipe = on_this_machine(recipe)
    settings, styles = recipe.settings, found.styles
    if len(styles) != len(recipe.styles):
        raise InputError(f"the recipe wants {len(recipe.styles)} styles, not {len(styles)}")
    pairs = zip(styles, recipe.styles, strict=True)
    recorded = [as_recorded(style, record) for style, record in pairs]
    inputs = open_inputs(found.content, recorded, settings, found.init_picture, found.protect)
    state = RunState(limits=[scale.evaluations for scale in recipe.scales])
    runtime = resolve(recipe.runtime, settings)
    weights = find_weights(recipe, weights)
    run = Run(inputs, settings, runtime, weights, state=state, on_part=on_part)
    return complete(run, checkpoints, on_step)


def check_reproducible(recipe: Recipe) -> None:
    """Refuse a recipe that cannot be replayed.

    Raises:
        InputError: Its run had a loss or was ended by a callback of the caller's own.
    """
    if not recipe.reproducible:
        why = "used a loss" if recipe.stopped in FINISHED else "was stopped by a callback"
        raise InputError(
            f"this picture cannot be made again from its recipe: its run {why} of the caller's own"
        )


def find_inputs(recipe: Recipe, folders: Iterable[Path], limits: Input | None = None) -> FoundInputs:
    """Open the inputs of a recipe, known by their hashes, wherever they lie and whatever they are called.

    The first of the folders counts; folders inside them do not. `limits` default to those of the environment.

    Raises:
        InputError: It cannot be replayed, or an input is in none of the folders, or one is no folder.
    """
    check_reproducible(recipe)
    return locate(recipe, folders, limits)


def locate(recipe: Recipe, folders: Iterable[Path], limits: Input | None = None) -> FoundInputs:
    """Open the inputs of a recipe, whether or not it can be replayed; else as `find_inputs`."""
    places = _places(folders)
    opened = search(recipe, places, limits)
    missing = [record for record in recipe.pictures if opened[record.sha256] is None]
    if missing:
        names = " and ".join(dict.fromkeys(_described(record, places) for record in missing))
        looked = ", ".join(printable(place) for place in places)
        raise InputError(f"input not found: {names}; looked in {looked}; --inputs DIR adds a folder")
    have = {digest: found for digest, found in opened.items() if found is not None}
    start, styles = recipe.init_picture, []
    for style in recipe.styles:
        picture = have[style.sha256][0]
        mask, source = _mask(style.mask, have), _mask(style.source_mask, have)
        styles.append(Style(picture, style.weight, mask, source, style.stroke, style.layers))
    return FoundInputs(
        have[recipe.content.sha256][0],
        tuple(styles),
        have[start.sha256][0] if start else None,
        tuple(path for _, path in have.values()),
        _mask(recipe.protect, have),
    )


def _mask(record: InputRecord | None, have: Mapping[str, tuple[Picture, Path]]) -> Mask | str | None:
    if record is None:
        return None
    return REST if record.kind == REST else Mask(have[record.sha256][0], record.color)


def search(
    recipe: Recipe, folders: Iterable[Path], limits: Input | None = None
) -> dict[str, tuple[Picture, Path] | None]:
    """Return each input of a recipe, by its hash, with its file; None where it is in none of the folders.

    Raises:
        InputError: One is no folder.
    """
    places = _places(folders)
    limits = limits or Input.from_environment()
    return {record.sha256: _find(record, places, limits) for record in recipe.pictures}


def _places(folders: Iterable[Path]) -> list[Path]:
    folders = list(folders)
    for folder in folders:
        if not os.path.isdir(folder):  # noqa: PTH112  it does not raise for a name that is too long
            raise InputError(f"{printable(folder)} is no folder; --inputs names where the inputs lie")
    return list(dict.fromkeys(folder.resolve() for folder in folders))


def _described(record: InputRecord, places: Sequence[Path]) -> str:
    size = f"{record.width} x {record.height} px"
    other = any((place / Path(record.name).name).is_file() for place in places)
    there = "; a file of that name is there, but it is another picture now" if other else ""
    return f"{printable(record.name)} ({size}, SHA-256 {record.sha256[:12]}...{there})"


def _find(record: InputRecord, folders: Sequence[Path], limits: Input) -> tuple[Picture, Path] | None:
    for path in _candidates(record, folders, limits.max_bytes):
        if not os.path.isfile(path):  # noqa: PTH113  it does not raise for a name that is too long
            continue
        try:
            if record.kind == "file" and file_sha256(path) != record.sha256:
                continue
            picture = Picture.open(path, limits=limits)
        except ImpastoError:
            if record.kind == "file":
                raise  # this is the one, but beyond a limit of pictures that are read
            continue
        except OSError:
            continue
        if record.kind == "file" or picture.pixels_sha256() == record.sha256:
            return picture, path
    return None


def _candidates(record: InputRecord, folders: Sequence[Path], largest: int) -> Iterator[Path]:
    """Yield the files that could be it: those of its name first, then all of its length."""
    for folder in folders:
        yield folder / Path(record.name).name
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                for _, entry in zip(range(MOST_FILES), entries, strict=False):
                    size = entry.stat().st_size if entry.is_file() else 0
                    if 0 < size <= largest and record.bytes in (0, size):
                        yield Path(entry.path)
        except OSError:
            continue


def find_weights(recipe: Recipe, given: WeightsLike | None) -> WeightsLike:
    """Return the weights of a recipe, known by their hash.

    Raises:
        WeightsError: They are not here, or those given are others.
    """
    name = None if recipe.weights == "given" else recipe.weights
    try:
        loaded = load(given if given is not None else name)
    except WeightsError as error:
        raise WeightsError(
            f"this picture was made with the weights {printable(recipe.weights)}: {error}"
        ) from error
    if identity(loaded)[1] != recipe.weights_sha256:
        raise WeightsError(
            f"this picture was made with other weights ({printable(recipe.weights)}, SHA-256 "
            f"{recipe.weights_sha256[:12]}...); give them with --weights FILE"
        )
    return loaded


def on_this_machine(recipe: Recipe) -> Recipe:
    """Return the recipe with a runtime that this machine has; says what had to change."""
    try:
        resolve(recipe.runtime, recipe.settings)
    except SettingsError:
        log.warning("there is no %s here; computing on another device", recipe.runtime.device)
        return recipe.changed(runtime=recipe.runtime.changed(device="auto"))
    return recipe


def _present(recipe: Recipe) -> str:
    """Return the device of a recipe where this machine has it, else the processor."""
    device = str(recipe.runtime.device)
    return device if device in hardware.devices() else "cpu"


def differences(recipe: Recipe) -> list[str]:
    """Return in words what of version and machine is not as it was when the picture was made."""
    here = {**hardware.describe(_present(recipe)), "impasto": __version__}
    then = {**recipe.machine, "impasto": recipe.impasto}
    return [
        f"{name.replace('_', ' ')} was {printable(then.get(name, 'not recorded'))}, is {here[name]}"
        for name in sorted(here)
        if then.get(name) != here[name]
    ]
