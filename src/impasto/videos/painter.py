"""Paints single frames: network, kernels and the paintings' statistics are kept from frame to frame."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.image.picture import Picture
from impasto.image.pixels import fit
from impasto.inputs.color_matching import recolor
from impasto.inputs.colors import Recolor
from impasto.inputs.enlarge import enlarged
from impasto.inputs.masks import OpenedMask
from impasto.inputs.open import open_inputs
from impasto.inputs.pictures import Inputs
from impasto.inputs.pyramid import long_edge
from impasto.inputs.shared import Shared
from impasto.losses.loss import Loss
from impasto.transfer.result import Result, Step
from impasto.transfer.run import Run
from impasto.transfer.runtime import resolve
from impasto.transfer.stylize import KEPT, complete

DRAFT_EDGE = 256  # px; long edge of a draft at most, which is half the frame's
DRAFT_EVALUATIONS = 12
DRAFT_COLORS = 0.5  # share of the paintings' colors in its start: nearest to a frame painted alone
SMALLEST_DRAFT = 48  # px; a frame with a shorter half is drafted in its own size


@dataclass(frozen=True)
class View:
    """What belongs to one frame: its picture, the paintings with their masks, the protected part."""

    photo: Picture
    styles: tuple[Style, ...]
    protect: OpenedMask = None

    def inputs(self, settings: Settings, start: Picture | None = None) -> Inputs:
        """Return the inputs of a run on this frame."""
        return open_inputs(self.photo, self.styles, settings, start, self.protect)


class FramePainter:
    """Paints views; between two calls it keeps all that does not depend on the frame.

    Args:
        runtime: How to compute; a budget of time is not kept.
        weights: The network's weights.

    Attributes:
        runtime: How the next frame is computed.
        on_step: Called after every evaluation but those of drafts.
        on_part: Called after every tile.
    """

    def __init__(self, runtime: Runtime, weights: Mapping[str, Tensor]) -> None:
        self.runtime, self.weights = runtime.changed(budget=None), weights
        self._shared = Shared(KEPT, photos=False)
        self.on_step: Callable[[Step], None] | None = None
        self.on_part: Callable[[], None] | None = None

    def paint(
        self,
        view: View,
        settings: Settings,
        *,
        start: Tensor | None = None,
        losses: Sequence[Loss] = (),
        on_step: Callable[[Step], None] | None = None,
        silent: bool = False,
    ) -> tuple[Tensor, Result]:
        """Return the canvas of a view, (1, 3, H, W) in [0, 1], before any recoloring, and the result.

        `start` is the first canvas. `on_step` is called beside the one of all frames, which is not called for
        a `silent` one.
        """
        picture = None
        if start is not None:
            picture = Picture.from_tensor(start, name="<start>")
            settings = at_one_scale(settings, view.photo).changed(init="picture", init_noise=0.0)

        def watched(step: Step) -> None:
            if self.on_step is not None and not silent:
                self.on_step(step)
            if on_step is not None:
                on_step(step)

        run = Run(
            view.inputs(settings, picture), settings, resolve(self.runtime, settings), self.weights, losses,
            shared=self._shared, on_part=self.on_part,
        )  # fmt: skip
        result = complete(run, on_step=watched)
        assert run.canvas is not None
        canvas = run.canvas.detach().to("cpu", torch.float32).clamp(0, 1)
        if canvas.shape[-2:] != (run.size.height, run.size.width):  # a draft, or ended at a coarser scale
            canvas = run.inputs.enlarged(canvas, run.size)
        return canvas, result

    def draft(self, view: View, settings: Settings) -> Tensor:
        """Return a quick picture of a view by itself, (1, 3, H, W), painted small and enlarged."""
        photo = view.photo
        edge = long_edge(photo.width, photo.height, settings)
        small = min(edge // 2, DRAFT_EDGE)
        if small * min(photo.width, photo.height) < SMALLEST_DRAFT * max(photo.width, photo.height):
            small = edge
        amount = settings.init_amount if settings.init == "matched" else DRAFT_COLORS
        settings = settings.changed(
            size=small, min_size=small, init="matched", init_amount=amount, init_noise=0.0,
            evaluations=DRAFT_EVALUATIONS, quality="good",
        )  # fmt: skip
        canvas, _ = self.paint(view, settings, silent=True)
        return enlarged(canvas, photo, *fit(photo.width, photo.height, edge))


def at_one_scale(settings: Settings, photo: Picture) -> Settings:
    """Return settings of a run at the finest scale alone."""
    edge = long_edge(photo.width, photo.height, settings)
    return settings.changed(size=edge, min_size=edge)


def in_colors_of(photo: Picture, styles: Sequence[Style], settings: Settings) -> tuple[Style, ...]:
    """Return paintings in the colors of a frame, as the settings want them, to be used for all frames."""
    if settings.color not in ("match", "histogram"):
        return tuple(styles)
    change = Recolor.of(settings, photo)
    moves = change.moves(photo, [style.picture for style in styles])
    moved = []
    for style, move in zip(styles, moves, strict=True):
        picture: Picture = style.picture
        if move is not None:
            alpha = picture.alpha()
            image = recolor(picture.tensor(), move, change.amount, alpha)
            picture = Picture.from_tensor(image, alpha=alpha, name=picture.name)
        moved.append(replace(style, picture=picture))
    return tuple(moved)


def finished(canvas: Tensor, view: View, settings: Settings) -> Picture:
    """Return a canvas (1, 3, H, W) as a picture: recolored, with the frame where it is protected."""
    return view.inputs(settings.changed(init="content")).picture(canvas)


def settled(runtime: Runtime, settings: Settings) -> Runtime:
    """Return the runtime of a painted frame for all after it, so that they do not depend on the moment.

    Else free memory, other programs and times measured anew would count. The plan for the memory of a draft
    does not hold for whole frames.
    """
    if settings.quality == "instant":
        return runtime.changed(tile=None, pairs=None, compact=None)
    pairs = runtime.pairs or settings.history
    return runtime.changed(tile=runtime.tile or 0, pairs=pairs, compact=bool(runtime.compact))
