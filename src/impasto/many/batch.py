"""`batch()`: many photos, each painted with the same paintings and settings, by several processes.

    done = impasto.batch("photos", "starry.jpg", impasto.Settings(size=256), folder="painted")
    done.made, done.there, done.failed

What was painted before is not painted again; see `done.py`. No torch here.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from impasto.config.limits import Input
from impasto.config.output import Output
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.errors import InputError
from impasto.many.driver import Driver
from impasto.many.jobs import BatchSpec, Look, Painting, Plan, plan_jobs, style_name
from impasto.many.manifest import Event, Manifest, Shard
from impasto.many.pool import Pool, Processes
from impasto.many.report import Batch
from impasto.many.watch import Watch
from impasto.system.files import WRITABLE
from impasto.transfer.grids import axes as grid_axes
from impasto.transfer.grids.axes import STYLE, Axes, named

PathLike = str | os.PathLike[str]
PaintingLike = PathLike | Style


class BatchOptions(TypedDict, total=False):
    """How a batch is run.

    Attributes:
        workers: How many processes paint; chosen by size, processors and memory if None.
        shard: Which part of the jobs to do, such as `3/8`, or `auto`.
        ray: The address of a Ray cluster, or `local` for one on this machine.
        force: Replace files at the places of results that are not these results.
        fail_fast: End at the first failure.
        re_resolve: Decide anew what the machine computes with.
        watch: Go on with what appears in the folders, until it is stopped.
        on_event: Called with each line of the manifest, and with events `step` and `beat` in between;
            `raise impasto.Stop` in it ends the batch cleanly.
    """

    workers: int | None
    shard: str | None
    ray: str | None
    force: bool
    fail_fast: bool
    re_resolve: bool
    watch: bool
    on_event: Callable[[Event], None] | None


class AskedOptions(BatchOptions, total=False):
    """How a batch is painted.

    Attributes:
        vary: Values by setting, as for `grid`: each photo is painted with each combination.
        pairs: A CSV file of photos with paintings, in place of photos and style.
        recursive: Whether folders in folders count.
        suffix: Of the results, which decides their format; `.png` by default.
        runtime: How to compute; decided for this machine if None.
        output: How the results are written.
        limits: Which pictures are read.
    """

    vary: Mapping[str, Iterable[Any]] | None
    pairs: PathLike | None
    recursive: bool
    suffix: str
    runtime: Runtime | None
    output: Output | None
    limits: Input | None


def batch(
    photos: PathLike | Sequence[PathLike],
    style: PaintingLike | Sequence[PaintingLike],
    settings: Settings | None = None,
    *,
    folder: PathLike,
    **options: Unpack[AskedOptions],
) -> Batch:
    """Paint many photos in the style of one or several paintings; the results go into a folder.

    Args:
        photos: Files, folders or patterns such as `photos/*.jpg`.
        style: The painting or paintings, by their paths, as for `stylize`; `Style` gives shares and more.
        settings: How the pictures are to look; the defaults if None.
        folder: Where the results go, each with its recipe. Those that are there are not made again.
        options: See `AskedOptions` and `BatchOptions`.

    Returns:
        How many pictures were made now and how many were there before, and what failed.

    Raises:
        InputError: A path, a setting or a painting is wrong, or two results would have the same name; said
            before anything is painted.
        OutputError: The folder cannot be written, or its disk is full. What was painted before remains.
        WeightsError: The network's weights are not there.
        ResourceError: No painting process can begin.
    """
    vary, settings = options.get("vary"), Settings.of(settings)
    axes = grid_axes.plan(vary, settings, many=True) if vary else None
    pairs = options.get("pairs")
    spec = BatchSpec(
        tuple(os.fspath(item) for item in ([photos] if isinstance(photos, (str, os.PathLike)) else photos)),
        looks_of(_paintings(style), settings, axes, paired=pairs is not None),
        Path(folder),
        pairs=None if pairs is None else os.fspath(pairs),
        recursive=options.get("recursive", False),
        suffix=options.get("suffix", ".png"),
        output=Output.of(options.get("output")),
        limits=options.get("limits") or Input.from_environment(),
        runtime=Runtime.of(options.get("runtime")),
    )
    own = {name: value for name, value in options.items() if name in BatchOptions.__annotations__}
    return run_batch(spec, **own)  # type: ignore[arg-type]


def _paintings(style: PaintingLike | Sequence[PaintingLike]) -> tuple[Painting, ...]:
    """Return paintings by their paths; processes read them."""
    found = []
    for item in style if isinstance(style, (list, tuple)) else [style]:
        item = item if isinstance(item, Style) else Style(item)
        for picture in (item.picture, item.source_mask):
            if not isinstance(picture, (str, os.PathLike, type(None))):
                raise InputError("batch: give paintings and masks by their paths; other processes read them")
        if item.mask is not None:
            raise InputError("batch: a mask is of one photo; leave it out")
        mask = None if item.source_mask is None else os.fspath(item.source_mask)
        layers = item.layers if isinstance(item.layers, Mapping) else None
        found.append(Painting(os.fspath(item.picture), item.weight, mask, item.stroke, layers))
    return tuple(found)


def looks_of(
    paintings: Sequence[Painting], settings: Settings, axes: Axes | None = None, *, paired: bool = False
) -> tuple[Look, ...]:
    """Return the looks of a batch: one, or one for each cell of what is varied.

    Raises:
        InputError: There are no paintings and none vary, or there are both.
    """
    varied = axes is not None and bool(axes.values_of(STYLE))
    if varied and (paintings or paired):
        raise InputError("the paintings vary: give none beside them")
    if paired and paintings:
        raise InputError("the list of pairs has the paintings: give none beside it")
    if not (paintings or varied or paired):
        raise InputError("no painting: name at least one style picture with --style")
    if axes is None:
        return (Look(_name(paintings, {}), tuple(paintings), settings),)
    looks = []
    for cell in axes.places:
        own = (Painting(cell.varied[STYLE]),) if varied else tuple(paintings)
        looks.append(Look(_name(own, cell.varied), own, cell.settings))
    return tuple(looks)


def _name(paintings: Sequence[Painting], varied: Mapping[str, Any]) -> str:
    """Return how the files of a look end: its paintings, and what is varied."""
    values = [f"{name}={named(value)}" for name, value in varied.items() if name != STYLE]
    style = [style_name([item.picture for item in paintings])] if paintings else []
    return "-".join([*style, *(re.sub(r"[^\w.,=+-]", "-", value) for value in values)])


def run_batch(
    spec: BatchSpec, *, plan: Plan | None = None, pool: Pool | None = None, **options: Unpack[BatchOptions]
) -> Batch:
    """Run a batch; `pool` paints, by default processes on this machine. See `batch`."""
    plan = plan or prepared(spec, options)
    if options.get("ray") is not None:
        from impasto.many.rays import Cluster

        pool = pool or Cluster(str(options["ray"]))
    shard, on_event = plan.shard, options.get("on_event")
    driver = Driver(
        plan,
        pool or Processes(),
        Manifest(spec.folder, shard),
        workers=options.get("workers"),
        force=options.get("force", False),
        fail_fast=options.get("fail_fast", False),
        anew=options.get("re_resolve", False),
        on_event=on_event,
    )
    return driver.run(Watch(plan) if options.get("watch") else None)


def prepared(spec: BatchSpec, options: BatchOptions) -> Plan:
    """Check what a batch paints, and return its jobs.

    Raises:
        InputError: See `plan_jobs`; or options do not go together.
    """
    if spec.suffix not in WRITABLE:
        raise InputError(f"suffix: must be one of {', '.join(WRITABLE)}, not {spec.suffix!r}")
    if spec.output.metadata == "strip":
        raise InputError("metadata: the results need their recipes; give minimal or keep, not strip")
    if spec.runtime.budget is not None:
        raise InputError("budget is for a single picture; here give evaluations or a smaller size")
    if options.get("watch") and spec.pairs is not None:
        raise InputError("watch: a list of pairs cannot be watched; give folders")
    shard = options.get("shard")
    found = None if shard is None else Shard.parse(shard)
    plan = plan_jobs(spec, empty=options.get("watch", False))
    plan.shard = found
    return plan
