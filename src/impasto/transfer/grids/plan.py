"""A grid before it runs: its pictures opened, every cell checked, and those found that are there already.

A cell is there when the file of its name holds the recipe of the same settings, pictures and weights, run to
its end. Any other file of that name is somebody else's, and left alone.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypedDict, Unpack

from torch import Tensor

from impasto.config.output import Output
from impasto.config.recipe import Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.errors import FINISHED, End, InputError, OutputError, PictureError
from impasto.image.picture import Picture, PictureLike
from impasto.image.xmp import read_recipe
from impasto.inputs.open import MaskLike, Opener, StyleLike, open_inputs, open_styles
from impasto.inputs.pictures import Inputs, record_mask
from impasto.inputs.pyramid import Scale
from impasto.losses import build
from impasto.messages import counted, printable
from impasto.network.weights import load
from impasto.network.weights.load import WeightsLike, identity
from impasto.system.files import check_target
from impasto.transfer import runtime as runtime_module
from impasto.transfer.grids.axes import STYLE, Axes, GridCell
from impasto.transfer.result import Step

ENDED = {*FINISHED, End.NOT_FINITE}  # a run that will not get any further
SUFFIX = ".png"  # of the cells' files
PNG = b"\x89PNG\r\n\x1a\n"  # how they begin


class CellOptions(TypedDict, total=False):
    """What the runs of all cells have in common, beside settings; see `stylize`."""

    runtime: Runtime | None
    weights: WeightsLike | None
    on_step: Callable[[Step], None] | None
    init_picture: PictureLike | None
    protect: MaskLike | None


@dataclass(frozen=True)
class GridPlan:
    """A grid that was checked: all that its cells need, and those that are there already."""

    axes: Axes
    inputs: tuple[Inputs, ...]
    scales: tuple[tuple[Scale, ...], ...]
    runtime: Runtime
    weights: tuple[Mapping[str, Tensor], ...]  # of the network, for each cell
    folder: Path | None
    output: Output
    overwrite: bool
    done: Mapping[int, Recipe]

    @property
    def work(self) -> list[float]:
        """What each cell costs, in evaluations times pixels; 0 for those that are there."""
        pairs = zip(self.axes.places, self.scales, strict=True)
        work = []
        for index, (place, scales) in enumerate(pairs):
            cost = sum(scale.width * scale.height * scale.evaluations(place.settings) for scale in scales)
            work.append(0.0 if index in self.done or index in self.sharers else float(cost))
        return work

    @cached_property
    def sharers(self) -> Mapping[int, int]:
        """The cells that share the run of an earlier cell, which is made now: their numbers -> its number.

        Two cells share a run if they differ only in what happens after painting.
        """
        first: dict[tuple[str, str], int] = {}
        found = {}
        for index, place in enumerate(self.axes.places):
            key = (str(place.varied.get(STYLE)), painted(place.settings).model_dump_json())
            if key in first:
                found[index] = first[key]
            elif index not in self.done:
                first[key] = index
        return found

    def path(self, place: GridCell) -> Path | None:
        """Return the file of a cell."""
        return None if self.folder is None else self.folder / (place.stem + SUFFIX)


def painted(settings: Settings) -> Settings:
    """Return settings without what happens after painting: the photo's colors by luminance."""
    if settings.color in ("style", "luminance") or not settings.color_amount:
        return settings.changed(color="style", color_amount=1.0)
    return settings


def plan_grid(
    axes: Axes,
    content: PictureLike,
    style: StyleLike | Sequence[StyleLike] | Mapping[str, Sequence[Style]],
    *,
    folder: str | os.PathLike[str] | None = None,
    output: Output | None = None,
    overwrite: bool = False,
    **options: Unpack[CellOptions],
) -> GridPlan:
    """Open the pictures and the weights, and check every cell, before anything is computed.

    See `grid` for the arguments and errors; `output` says how the cells are written. Where the painting
    varies, `style` may have the opened paintings by name.
    """
    runtime, start = options.get("runtime") or Runtime(), options.get("init_picture")
    photo, start = Picture.of(content), None if start is None else Picture.of(start)
    opened, kept = _paintings(axes, style), Opener().mask(options.get("protect"))
    inputs, scales = [], []
    for place in axes.places:
        runtime_module.resolve(runtime, place.settings)
        styles = opened[place.varied.get(STYLE)]
        inputs.append(open_inputs(photo, styles, place.settings, start, kept))
        try:
            wanted = build.layers_of(place.settings, (), inputs[-1])
            scales.append(inputs[-1].scales(place.settings, wanted))
        except InputError as error:
            raise type(error)(f"{place.label}: {error}") from error
    where = None if folder is None else Path(folder)
    weights = _weights(axes, options.get("weights"))
    plan = GridPlan(
        axes, tuple(inputs), tuple(scales), runtime, weights, where, output or Output(), overwrite, {}
    )
    if where is None:
        return plan
    if os.path.lexists(where) and not where.is_dir():
        raise OutputError(
            f"{printable(where)} is a file; the cells go into a folder of that name: give another name"
        )
    if not os.path.exists(where):  # noqa: PTH110  it does not raise for a name that is too long
        check_target(where)  # whether a name can be made there
    return replace(plan, done=_finished(plan))


def _paintings(
    axes: Axes, style: StyleLike | Sequence[StyleLike] | Mapping[str, Sequence[Style]]
) -> Mapping[str | None, Sequence[Style]]:
    """Return the opened paintings by name where they vary, else those of all cells, by None."""
    names = axes.values_of(STYLE)
    if isinstance(style, Mapping):
        return {name: styles for name, styles in style.items()}
    if names and style:
        raise InputError("the paintings vary: give none beside them")
    if not names:
        return {None: open_styles(style)}
    return {name: open_styles(name) for name in names}


def _weights(axes: Axes, weights: WeightsLike | None) -> tuple[Mapping[str, Tensor], ...]:
    """Return the weights of the network for each cell; cells of the same ones have the same object."""
    if weights is not None and axes.values_of("weights"):
        raise InputError("the weights vary: give none beside them")
    names = [place.settings.weights if weights is None else "" for place in axes.places]
    loaded = {name: load.load(name if weights is None else weights) for name in dict.fromkeys(names)}
    return tuple(loaded[name] for name in names)


def _finished(plan: GridPlan) -> dict[int, Recipe]:
    """Return the recipes of the cells that are there; refuse files of their names that are another's."""
    done, other = {}, 0
    digests = {id(weights): identity(weights)[1] for weights in {id(w): w for w in plan.weights}.values()}
    for index, place in enumerate(plan.axes.places):
        path = plan.path(place)
        if path is None or not os.path.lexists(path):
            continue
        digest = digests[id(plan.weights[index])]
        recipe, damaged = _read(path, place.settings, plan.inputs[index], plan.runtime, digest)
        if recipe is not None:
            if plan.output.bits in (None, _start(path)[24]):  # the depth of a PNG file
                done[index] = recipe
            else:
                other += 1
        elif damaged and not plan.overwrite:
            raise OutputError(
                f"{printable(path)} cannot be read, perhaps it is cut off; give another name, or "
                "--force (overwrite=True) to make this cell again"
            )
        elif not plan.overwrite:
            raise OutputError(
                f"{printable(path)} exists already and is not this cell of this grid; give another "
                "name, or --force (overwrite=True) to replace it"
            )
    if other and not plan.overwrite:
        bits = 24 - (plan.output.bits or 8)  # the other of 8 and 16
        raise OutputError(
            f"{counted(other, 'cell')} of this grid {'is' if other == 1 else 'are'} there already with "
            f"{bits} bits, not {plan.output.bits}; --force (overwrite=True) to make "
            f"{'it' if other == 1 else 'them'} again, or give another name"
        )
    return done


def _read(
    path: Path, settings: Settings, inputs: Inputs, asked: Runtime, digest: str
) -> tuple[Recipe | None, bool]:
    """Return the recipe of a cell that is there, and whether its file is damaged."""
    if not path.is_file() or _start(path)[: len(PNG)] != PNG:
        return None, False  # somebody else's
    try:
        Picture.open(path)
        recipe = read_recipe(path)
    except PictureError:
        return None, True
    except InputError:
        return None, False
    return (recipe if _same(recipe, settings, inputs, asked, digest) else None), False


def _start(path: Path) -> bytes:
    """Return the first bytes of a file."""
    try:
        with path.open("rb") as file:
            return file.read(25)
    except OSError:
        return b""


def _same(recipe: Recipe, settings: Settings, inputs: Inputs, asked: Runtime, digest: str) -> bool:
    """Whether a recipe is that of a cell, run to its end, on what was asked for of the machine."""
    kept = record_mask(inputs.protect)
    start = inputs.start.sha256 if inputs.start else None
    return (
        recipe.stopped in ENDED
        and recipe.made_with(settings)
        and recipe.weights_sha256 == digest
        and recipe.content.sha256 == inputs.content.sha256
        and [item.identity for item in recipe.styles] == [item.identity for item in inputs.records()]
        and (recipe.protect.region if recipe.protect else None) == (kept.region if kept else None)
        and (recipe.init_picture.sha256 if recipe.init_picture else None) == start
        and asked.precision in ("auto", recipe.runtime.precision)
        and asked.kernels in ("auto", recipe.runtime.kernels)
        and (asked.device == "auto" or recipe.runtime.device.startswith(asked.device))
    )
