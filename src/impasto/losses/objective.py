"""The objective: canvas -> `Evaluation(loss, gradient, parts)`, whole or in tiles.

Unites the layers that the losses read, runs the network once forward and once back, and owns precision,
memory layout and tiling; losses and solvers know nothing of them. In tiles it goes over the canvas twice:
once to add up the losses' statistics, once for the gradients. That is exact because the statistics are sums.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import ImpastoError, InputError
from impasto.inputs.pictures import ScaledInputs
from impasto.inputs.shared import Shared
from impasto.losses.loss import Loss, LossWithGradient, Statistics, Windows, add_statistics
from impasto.network.backprop import FeatureExtractor, ForwardPass, added
from impasto.network.convolution import Padding
from impasto.network.layers import deepest
from impasto.network.tiles import IMAGE, Tile, tiles
from impasto.network.vgg import VGG19, Pooling
from impasto.optim.evaluation import Blame, Evaluate, Evaluation, all_finite
from impasto.system import hardware

Precision = Literal["fp32", "bf16"]
Slopes = Sequence[Tensor | None]  # derivatives of the total; None where it does not depend
SETTLING = 3  # evaluations after which the memory is tidied up
LARGE = 64_000_000  # bytes of a canvas for which it is tidied up between evaluations and tiles, too
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def prepare(
    weights: Mapping[str, Tensor],
    *,
    pooling: Pooling,
    padding: Padding,
    precision: Precision,
    device: str,
) -> FeatureExtractor:
    """Return the network on its device, with its way back, in its number format."""
    network = VGG19(weights, pooling=pooling, padding=padding).to(device)
    return FeatureExtractor(network, DTYPES[precision])


def network_of(
    weights: Mapping[str, Tensor], settings: Settings, runtime: Runtime, workshop: Shared
) -> FeatureExtractor:
    """Return the network of a run with a resolved `runtime`, made once in a workshop."""
    precision: Precision = "bf16" if runtime.precision == "bf16" else "fp32"

    def make() -> FeatureExtractor:
        return prepare(
            weights,
            pooling=settings.pooling,
            padding=settings.padding,
            precision=precision,
            device=runtime.device,
        )

    return workshop.get((settings.pooling, settings.padding, precision, runtime.device), make)


class Objective:
    """A weighted sum of named losses over the features of a canvas.

    Weights are divided by their sum and rounded to six digits before use, and reported losses scaled back,
    so that a common factor changes no byte of what the solver sees.

    Args:
        network: The features' source, already in the precision wanted (see `prepare`).
        losses: Each with its weight; names must differ.
        tile: Edge in pixels of the parts that the canvas is computed in; None computes it whole. A loss that
            is not additive needs the whole canvas, and then all is computed whole.
        on_part: Called after every part; `Stop` raised in it ends the evaluation.
    """

    def __init__(
        self,
        network: FeatureExtractor | VGG19,
        losses: Sequence[Loss],
        tile: int | None = None,
        *,
        on_part: Callable[[], None] | None = None,
    ) -> None:
        self.chain = FeatureExtractor.of(network)
        self.losses = tuple(loss for loss in losses if loss.weight != 0)
        names = [loss.name for loss in self.losses]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"two losses are named '{name}'; give each its own name")
        self.layers = sorted({layer for loss in self.losses for layer in loss.layers})
        self.scale = math.fsum(abs(loss.weight) for loss in self.losses) or 1.0
        self.shares = [_rounded(loss.weight / self.scale) for loss in self.losses]
        self._on_part = on_part or (lambda: None)
        self.tile = tile if all(loss.additive for loss in self.losses) else None
        self._settling = SETTLING

    def __call__(self, canvas: Tensor) -> Evaluation:
        """Return loss, gradient (1, 3, H, W) and parts of a canvas (1, 3, H, W).

        The loss and its gradient are in units of `scale`; `parts` are in the user's weights.
        """
        canvas = canvas.detach()
        parts = self._tiles(canvas)
        if self._large(canvas):  # the gaps that a solver's vectors left are filled by nothing else
            hardware.give_back_freed_memory()
        if len(parts) < 2:
            course = self.chain.forward(canvas, self.layers)
            measured = _Measured(self.losses, course, None)
            numbers, grad_statistics = self._value(
                [_detached(found) for found in measured.statistics]
            )
            gradient = measured.back(grad_statistics)
        else:
            numbers, grad_statistics = self._value(self._added(canvas, parts))
            gradient = torch.zeros_like(canvas)
            for tile in self._in_turn(canvas, parts):
                course = self.chain.forward(canvas[..., tile.rows, tile.columns], self.layers)
                back = _Measured(self.losses, course, tile.windows, again=True).back(
                    grad_statistics
                )
                gradient[..., tile.rows, tile.columns] += back
                self._on_part()
        if self._settling or self._large(canvas):
            # What was freed so far lies scattered; the next pass takes what it needs.
            self._settling = max(0, self._settling - 1)
            hardware.give_back_freed_memory()
        sound = all_finite(gradient).to(numbers.dtype).view(1)
        total, *values, finite = torch.cat([numbers, sound]).tolist()  # the one wait for a device
        shares = {
            loss.name: number * self.scale for loss, number in zip(self.losses, values, strict=True)
        }
        return Evaluation(total, gradient, shares, bool(finite))

    def _in_turn(self, canvas: Tensor, parts: Sequence[Tile]) -> Iterator[Tile]:
        """Yield the tiles; of a large canvas, what one left does not lie about when the next begins."""
        for tile in parts:
            if self._large(canvas):
                hardware.give_back_freed_memory()
            yield tile

    def _large(self, canvas: Tensor) -> bool:
        return canvas.nbytes > LARGE and canvas.device.type == "cpu"

    @torch.no_grad()
    def parts(self, canvas: Tensor) -> dict[str, float]:
        """Return the weighted losses of a canvas, without a gradient: a third of an evaluation's work."""
        parts = self._tiles(canvas)
        if len(parts) < 2:
            features = self.chain.forward(canvas, self.layers, keep=False).features
            found = [_detached(loss.measure(features, None)) for loss in self.losses]
        else:
            found = self._added(canvas, parts)
        values = self._value(found)[0][1:].tolist()
        names = [loss.name for loss in self.losses]
        return {name: value * self.scale for name, value in zip(names, values, strict=True)}

    def _tiles(self, canvas: Tensor) -> list[Tile]:
        if self.tile is None:
            return []
        reach = max((getattr(loss, "reach", 1) for loss in self.losses), default=1)
        return tiles(canvas.shape[-2], canvas.shape[-1], self.tile, self.layers, reach)

    def _added(self, canvas: Tensor, parts: Sequence[Tile]) -> list[Statistics]:
        """Return each loss's statistics of the whole canvas, added up over the tiles."""
        total: list[Statistics] = []
        for tile in self._in_turn(canvas, parts):
            part = canvas[..., tile.rows, tile.columns]
            features = self.chain.forward(part, self.layers, keep=False).features
            with torch.no_grad():
                found = [loss.measure(features, tile.windows) for loss in self.losses]
            pairs = zip(total, found, strict=True)
            total = [add_statistics(*pair) for pair in pairs] if total else found
            self._on_part()
        return [_detached(found) for found in total]

    def _value(self, statistics: Sequence[Statistics]) -> tuple[Tensor, list[Slopes]]:
        """Return (total, each weighted loss), and the derivatives for all statistics; on the device."""
        with torch.enable_grad():
            values = [
                loss.value(found) * share
                for loss, share, found in zip(self.losses, self.shares, statistics, strict=True)
            ]
            total = torch.stack(values).sum()
        flat = [tensor for found in statistics for tensor in found]
        grad_statistics = iter(_derivatives([total], [None], flat))
        numbers = torch.stack([total, *values]).detach()
        return numbers, [[next(grad_statistics) for _ in found] for found in statistics]


class _Measured:
    """What the losses measured on one pass, and the way from their derivatives to the image's gradient.

    The gradient for a layer is made when the way back reaches it, and not kept longer than that. Losses that
    know their own way back are not measured where only that is wanted.
    """

    def __init__(
        self,
        losses: Sequence[Loss],
        course: ForwardPass,
        windows: Windows | None,
        *,
        again: bool = False,
    ) -> None:
        self._course, self._losses, self._windows = course, losses, windows
        self._leaves = {name: found.detach() for name, found in course.features.items()}
        self.statistics = [self._measure(loss, again) for loss in losses]
        self._reached: dict[str, list[int]] = {}
        for number, loss in enumerate(losses):
            first = deepest(loss.layers) if loss.layers else IMAGE
            self._reached.setdefault(first, []).append(number)
        self._waiting: dict[str, Tensor] = {}

    def _measure(self, loss: Loss, again: bool) -> Statistics:
        if isinstance(loss, LossWithGradient):
            with torch.no_grad():
                return () if again else loss.measure(self._leaves, self._windows)
        with torch.enable_grad():
            for name in (*loss.layers, IMAGE):
                self._leaves[name].requires_grad_()
            return loss.measure(self._leaves, self._windows)

    def back(self, grad_statistics: Sequence[Slopes]) -> Tensor:
        """Return the gradient for the image, (1, 3, H, W), from the derivatives for the statistics."""

        def add_loss_gradients(layer: str, gradient: Tensor | None) -> Tensor | None:
            for number in self._reached.get(layer, ()):
                loss = self._losses[number]
                if isinstance(loss, LossWithGradient):
                    given = self._leaves, self._windows, grad_statistics[number]
                    gradient = loss.backward(*given, gradient)
                else:
                    self._differentiate(number, grad_statistics[number])
            del self._leaves[layer]
            return added(gradient, self._waiting.pop(layer, None))

        return self._course.back(add_loss_gradients)

    def _differentiate(self, number: int, grad_statistics: Slopes) -> None:
        """Have autograd find a loss's gradients, which wait for the way back to reach their layers."""
        names = (*self._losses[number].layers, IMAGE)
        leaves = [self._leaves[name] for name in names]
        found = _derivatives(self.statistics[number], grad_statistics, leaves)
        self.statistics[number] = ()
        for name, gradient in zip(names, found, strict=True):
            if gradient is not None:
                before = self._waiting.get(name)
                self._waiting[name] = gradient if before is None else before + gradient


def _rounded(share: float) -> float:
    """Return a share to six digits; by way of twelve, so that a tie falls the same way for every factor."""
    return float(f"{float(f'{share:.12g}'):.6g}")


def _detached(statistics: Statistics) -> Statistics:
    """Return statistics as leaves, for their derivatives."""
    return tuple(tensor.detach().requires_grad_() for tensor in statistics)


def _derivatives(outputs: Slopes, given: Slopes, inputs: Sequence[Tensor]) -> Slopes:
    """Return the derivatives for the inputs, given those for the outputs; None where nothing depends.

    A scalar output may have None for a derivative of 1.
    """
    pairs = [
        (output, slope)
        for output, slope in zip(outputs, given, strict=True)
        if output is not None and output.requires_grad
    ]
    if not pairs:
        return [None] * len(inputs)
    chosen, grad_statistics = zip(*pairs, strict=True)
    return torch.autograd.grad(chosen, inputs, grad_statistics, allow_unused=True)


def blame(network: FeatureExtractor, losses: Sequence[Loss], tile: int | None) -> Blame:
    """Return what says in words which loss, or whose gradient, is not finite on a canvas (1, 3, H, W)."""

    def said(canvas: Tensor, evaluation: Evaluation) -> str:
        names = [name for name, value in evaluation.parts.items() if not math.isfinite(value)]
        if names:
            return f"the loss {_listed(names)}"
        if not math.isfinite(evaluation.loss):
            return f"the sum of the losses {_listed(list(evaluation.parts))}"
        names = [loss.name for loss in losses if not _sound(network, loss, tile, canvas)]
        return f"the gradient of the loss {_listed(names or list(evaluation.parts))}"

    return said


def _sound(network: FeatureExtractor, loss: Loss, tile: int | None, canvas: Tensor) -> bool:
    """Whether the gradient of one loss alone is finite; it is where it cannot be computed."""
    if loss.weight == 0:
        return True
    try:
        return Objective(network, [loss], tile)(canvas).finite
    except (ImpastoError, ArithmeticError, RuntimeError, MemoryError):
        return True


def _listed(names: list[str]) -> str:
    return " and ".join(names)


@dataclass(frozen=True, eq=False)
class Protection:
    """The photo (1, 3, H, W) of a scale, and how much of each pixel stays it, (1, 1, H, W)."""

    photo: Tensor
    kept: Tensor

    def shown(self, canvas: Tensor) -> Tensor:
        """Return the canvas as it is seen: the photo where it is kept."""
        return torch.lerp(canvas, self.photo, self.kept)

    def over(self, evaluate: Evaluate) -> Callable[[Tensor], Evaluation]:
        """Return what evaluates a canvas as it is seen."""

        def seen(canvas: Tensor) -> Evaluation:
            found = evaluate(self.shown(canvas))
            found.gradient.sub_(found.gradient * self.kept)
            return found

        return seen

    def blaming(self, blame: Blame) -> Blame:
        """Return what says of a canvas as it is seen what is not finite."""
        return lambda canvas, evaluation: blame(self.shown(canvas), evaluation)


def protection_of(targets: ScaledInputs) -> Protection | None:
    """Return what is protected at a scale, if anything is."""
    return None if targets.kept is None else Protection(targets.content, targets.kept)
