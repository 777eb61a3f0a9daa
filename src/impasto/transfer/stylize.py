"""`stylize`: paint a photo in the style of paintings. Read `paint`, `optimize` and `Run.evaluate`.

At each scale, coarse to fine, the photo's features and the paintings' Gram matrices become targets, the
canvas goes through the network, and a solver moves its pixels until both fit.
Source: Gatys, Ecker and Bethge 2016. Departures of the defaults from it: mean losses, max pooling, weights as
trained, the photo as start, coarse to fine, pixels kept in the range of a file, faint noise where the start
is exactly even, a gray result of gray pictures. The presets `paper` and `gatys2016` have fewer of them.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from torch import Tensor

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import FINISHED, End, EndOfScale, NumericalError, RunInterrupted, SettingsError, Stop
from impasto.image.picture import PictureLike
from impasto.inputs import canvas as canvases
from impasto.inputs.open import MaskLike, StyleLike, open_inputs, open_styles
from impasto.inputs.pictures import ScaledInputs
from impasto.inputs.pyramid import Scale
from impasto.inputs.shared import Shared
from impasto.losses.loss import Loss
from impasto.network.weights.load import WeightsLike
from impasto.system import hardware
from impasto.system.torch_defaults import torch_defaults
from impasto.transfer.callbacks.base import Callback, OnStep
from impasto.transfer.callbacks.checkpoints import CheckpointLike, Checkpoints, open_checkpoints
from impasto.transfer.memory import enough_memory
from impasto.transfer.out_of_memory import leave_full_device, smaller_tile, use_smaller_tiles
from impasto.transfer.result import Result, Step
from impasto.transfer.run import Run
from impasto.transfer.runtime import resolve

KEPT = 1_000_000_000  # bytes that a stylizer keeps between two calls, beside network and paintings


class Stylizer:
    """Paintings and a network kept ready, to paint photo after photo; `stylize` is its form for one.

        with Stylizer("starry_night.jpg") as stylizer:
            for photo in photos:
                stylizer(photo).save(...)

    The pixels are those of `stylize` with the same runtime, byte for byte. One call runs at a time; a second
    thread waits. Between calls it keeps the network with its kernels, the opened paintings, what they give at
    the sizes used so far, up to `keep` bytes, and after a small picture (570 px square) as much freed
    memory; of the photos it keeps nothing.

    Args:
        style: The painting or paintings, as for `stylize`.
        settings: How the pictures are to look; the defaults if None.
        runtime: How to compute; decided for this machine if None.
        weights: Other weights than the packaged ones, as for `stylize`.
        keep: Bytes that are kept between calls, beside the network and the opened paintings.
        changes: Values of single settings, such as `size=512`.

    Raises:
        InputError: A painting cannot be read.
    """

    def __init__(
        self,
        style: StyleLike | Sequence[StyleLike],
        settings: Settings | None = None,
        *,
        runtime: Runtime | None = None,
        weights: WeightsLike | None = None,
        keep: int = KEPT,
        **changes: Any,
    ) -> None:
        self._settings, self._runtime = changed_settings(settings, changes), Runtime.of(runtime)
        self._style, self._styles = style, open_styles(style)
        self._weights, self._shared = weights, Shared(keep, photos=False)
        self._loaded: dict[str | None, Mapping[str, Tensor]] = {}  # the last call's, by their name
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back what is kept; the next call makes it anew."""
        with self._lock:
            self._shared.clear()
            hardware.give_back_freed_memory()

    @torch_defaults()
    def __call__(
        self,
        photo: PictureLike,
        settings: Settings | None = None,
        *,
        on_step: Callable[[Step], None] | None = None,
        init_picture: PictureLike | None = None,
        protect: MaskLike | None = None,
        checkpoint: CheckpointLike = None,
        extra_losses: Sequence[Loss] = (),
        on_part: Callable[[], None] | None = None,
        **changes: Any,
    ) -> Result:
        """Paint a photo; other settings than the stylizer's, or changes of them, hold for this call.

        See `stylize` for the arguments and errors.
        """
        settings = changed_settings(settings or self._settings, changes)
        with self._lock:
            named = settings.weights if self._weights is None else None
            if named not in self._loaded:
                self._shared.clear()  # network and paintings are of other weights
            inputs = open_inputs(photo, self._styles, settings, init_picture, protect)
            runtime = resolve(self._runtime, settings)
            paths = [photo, self._style, init_picture, protect]
            with open_checkpoints(checkpoint, paths) as checkpoints:
                run = Run(
                    inputs, settings, runtime, self._loaded.get(named, self._weights), extra_losses,
                    shared=self._shared, on_part=on_part,
                )  # fmt: skip
                self._loaded = {named: run.weights}
                return complete(run, checkpoints, on_step)


def stylize(
    content: PictureLike,
    style: StyleLike | Sequence[StyleLike],
    settings: Settings | None = None,
    *,
    runtime: Runtime | None = None,
    on_step: Callable[[Step], None] | None = None,
    extra_losses: Sequence[Loss] = (),
    init_picture: PictureLike | None = None,
    protect: MaskLike | None = None,
    weights: WeightsLike | None = None,
    checkpoint: CheckpointLike = None,
    on_part: Callable[[], None] | None = None,
    **changes: Any,
) -> Result:
    """Paint a photo in the style of one or several paintings.

    Args:
        content: The photo: a path, the bytes of a file, a PIL image, a NumPy array, a torch tensor or a
            `Picture`; see `Picture.of`.
        style: The painting or paintings; `Style` gives shares, regions and more; a folder is one style.
        settings: How the picture is to look; the defaults if None.
        runtime: How to compute it; decided for this machine if None.
        on_step: Called after every evaluation. `raise impasto.Stop` in it ends the run cleanly.
        extra_losses: Further losses, such as `Penalty`.
        init_picture: The start, for `Settings(init="picture")`.
        protect: A mask of what stays the photo, white on black, in the photo's shape.
        weights: Other weights than those that the settings name, which are the packaged ones by default: a
            name such as `normalized`, a file, or `{"conv1_1.weight": ...}`.
        checkpoint: A file from which `impasto.resume` continues if the run is interrupted. True: in the cache
            folder, if the run is expected to take over two minutes.
        on_part: Called after every part of a picture that is computed in tiles, where an evaluation takes
            long. `raise impasto.Stop` in it ends the run without that evaluation.
        changes: Values of single settings: `stylize(photo, painting, size=512, strength=2)`.

    What was set in torch (default dtype or device, autocast, inference mode, deterministic algorithms) has no
    effect inside.

    Raises:
        InputError: A picture cannot be read or is too small, a setting does not fit, or the checkpoint is
            there already.
        OutputError: The checkpoint cannot be written there.
        WeightsError: The network's weights are not there.
        NumericalError: Not even the start has a finite loss.
        RunInterrupted: Ctrl-C after the first evaluation; its `result` is the best picture so far.
        ResourceError: There is not enough memory, or the process was forked after impasto had been used.
    """
    stylizer = Stylizer(style, settings, runtime=runtime, weights=weights, keep=0, **changes)
    return stylizer(
        content,
        on_step=on_step,
        init_picture=init_picture,
        protect=protect,
        checkpoint=checkpoint,
        extra_losses=extra_losses,
        on_part=on_part,
    )


def changed_settings(settings: Settings | None, changes: Mapping[str, Any]) -> Settings:
    """Return settings with changes; a `SettingsError` says where else a name belongs."""
    if "preset" in changes:
        raise SettingsError('a preset comes first: settings=impasto.Settings.preset("bold", size=512)')
    for name in changes:
        if name in Runtime.model_fields and name not in Settings.model_fields:
            raise SettingsError(f"{name} belongs to the runtime; write runtime=impasto.Runtime({name}=...)")
    return Settings.of(settings, **changes)


def complete(
    run: Run, checkpoints: Checkpoints | None = None, on_step: Callable[[Step], None] | None = None
) -> Result:
    """Paint with the usual callbacks; return the result.

    Raises:
        RunInterrupted: Ctrl-C after the first evaluation; it has the result.
    """
    run.callbacks = default_callbacks(run, checkpoints, on_step)
    with hardware.threads(run.runtime.threads or 1, keep=run.kept_memory), enough_memory():
        result = run.result(paint(run))
    if run.interrupted:
        raise RunInterrupted(result)
    return result


def default_callbacks(
    run: Run, checkpoints: Checkpoints | None, on_step: Callable[[Step], None] | None
) -> list[Callback]:
    """Return the callbacks of a run. Their order counts: see `Callback`."""
    callbacks: list[Callback | None] = [
        None if on_step is None else OnStep(on_step),
        run.time_budget,
        checkpoints,
    ]
    return [callback for callback in callbacks if callback is not None]


def paint(run: Run) -> Tensor:
    """Move a canvas, coarse to fine, until its features fit the photo's and its statistics the paintings'.

    Returns the canvas, (1, 3, H, W) in [0, 1] (unbounded solvers: about that).
    """
    for scale in run.scales_left():
        try:
            reason = paint_scale(run, scale)
        except (Stop, KeyboardInterrupt, NumericalError) as error:  # before this scale had anything to show
            if run.canvas is None:
                raise
            run.end_early(error)  # the coarser scale's canvas is the result
            break
        if run.stopped or reason not in FINISHED:
            break
    assert run.canvas is not None  # a schedule has at least one scale
    return run.canvas


def paint_scale(run: Run, scale: Scale) -> str:
    """Paint at one scale, with less where a GPU has no memory left; return why the scale ended."""
    while True:
        try:
            pictures = run.scaled_inputs(scale)  # photo and paintings, (1, 3, h, w), in [0, 1]
            run.start_scale(pictures, next_canvas(run, pictures))  # their features become the targets
            del pictures  # makes room
            return optimize(run)
        except Exception as error:
            if run.runtime.device == "cpu" or not hardware.no_memory(error):
                raise
        leave_full_device(run)  # not above, where the error keeps tensors


def optimize(run: Run) -> str:
    """Let the solver step at one scale until there is a reason to end; return it."""
    while True:
        try:
            while True:
                run.note_state()
                run.notify("on_iteration")  # the state may be saved here
                run.check_limit()  # before the solver works out a step
                if not run.solver.step(run.evaluate) and not run.restart():
                    return run.end_scale(run.no_further_step())
        except EndOfScale as end:
            return run.end_scale(end.reason)
        except (Stop, KeyboardInterrupt) as stop:
            if not run.state.evaluations:
                raise
            return run.end_scale(run.end_at(stop))
        except Exception as error:
            if run.state.tracking.best is None or not hardware.no_memory(error):
                raise
            if run.runtime.device != "cpu" and smaller_tile(run) is None:
                raise
        if not use_smaller_tiles(run):  # else: from the best canvas, with a new solver
            return run.end_scale(End.OUT_OF_MEMORY)


def next_canvas(run: Run, pictures: ScaledInputs) -> Tensor:
    """Return where a scale begins: a saved canvas, the start, or the enlarged result of the coarser scale."""
    settings = run.settings
    if run.state.solver:
        canvas: Tensor = run.state.solver["canvas"].to(pictures.content.device)
        return canvas
    photo = None
    if run.canvas is None or run.photo is None:
        canvas = canvases.start(
            settings.init,
            noise=settings.init_noise,
            seed=settings.seed,
            content=run.in_start_colors(pictures.content),
            style=pictures.styles[0],
            picture=pictures.picture,
        )
    elif run.drafted and run.schedule[run.state.scale - 1].draft:
        canvas, photo = run.inputs.enlarged(run.canvas, run.schedule[run.state.scale]), pictures.content
        canvas = canvas.to(photo.device)
    else:
        # Detail of the photo only helps where the photo has any say at all.
        detail = settings.detail if settings.content_term else 0.0
        before, after = run.photo, pictures.content
        if detail:
            before, after = run.in_start_colors(before), run.in_start_colors(after)
        canvas, photo = canvases.grow(run.canvas, before, after, detail), pictures.content
    if settings.convention != "mean":  # the published formulas have the published start
        return canvas
    canvas = canvases.unevened(canvas, settings.seed, photo)
    return canvases.grayed(canvas) if run.paints_gray(pictures) else canvas
