"""The objective: canvas -> `Evaluation(loss, gradient, parts)`, whole or in tiles.

It knows the layers that the losses read, runs the network once forward and once backward, and owns precision,
memory layout, tiling and protection; losses and solvers know nothing of these. In tiles there are two passes
over the canvas: one sums the losses' statistics, one computes the gradients. That is exact because the
statistics are sums over positions.
"""

import math
import weakref
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
from impasto.losses.loss import Loss, LossWithGradient, Statistics, Windows, add_statistics, check_connected
from impasto.network.backprop import FeatureExtractor, ForwardPass, add_gradients
from impasto.network.convolution import Padding
from impasto.network.layers import PartialWindows, deepest
from impasto.network.tiles import IMAGE, Tile, tiles
from impasto.network.vgg import VGG19, Pooling
from impasto.optim.evaluation import Evaluation, all_finite
from impasto.system import hardware
from impasto.system.cuda_graph import Graphed

Precision = Literal["fp32", "bf16"]
Gradients = Sequence[Tensor | None]  # derivatives of the total; None where it does not depend
SETTLING = 3  # evaluations after which freed memory is given back
LARGE = 64_000_000  # bytes of a canvas for which this is done between evaluations and tiles, too
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def prepare(
    weights: Mapping[str, Tensor],
    *,
    pooling: Pooling,
    padding: Padding,
    precision: Precision,
    device: str,
    partial_windows: PartialWindows = "half",
    kernels: str = "winograd",
) -> FeatureExtractor:
    """Return the network on its device, in its number format, with a choice of `network.kernels`."""
    network = VGG19(weights, pooling=pooling, padding=padding, partial_windows=partial_windows).to(device)
    return FeatureExtractor(network, DTYPES[precision], kernels)


def load_network(
    weights: Mapping[str, Tensor], settings: Settings, runtime: Runtime, shared: Shared
) -> FeatureExtractor:
    """Return the network of a run with a resolved `runtime`; runs that share it load it once."""
    precision: Precision = "bf16" if runtime.precision == "bf16" else "fp32"
    pooling, padding, partial = settings.pooling, settings.padding, settings.partial_windows
    device, kernels = runtime.device, "winograd" if runtime.kernels == "auto" else runtime.kernels
    return shared.get(
        (pooling, padding, partial, precision, device, kernels),
        lambda: prepare(
            weights,
            pooling=pooling,
            padding=padding,
            precision=precision,
            device=device,
            partial_windows=partial,
            kernels=kernels,
        ),
    )


@dataclass(frozen=True, eq=False)
class Protection:
    """The photo (1, 3, H, W) of a scale, and how much of each pixel stays the photo, (1, 1, H, W)."""

    photo: Tensor
    kept: Tensor

    @classmethod
    def of(cls, pictures: ScaledInputs) -> "Protection | None":
        """Return the protection at a scale; None where nothing is protected."""
        return None if pictures.kept is None else cls(pictures.content, pictures.kept)

    def apply(self, canvas: Tensor) -> Tensor:
        """Return a canvas (1, 3, H, W) with the photo where it is protected."""
        return torch.lerp(canvas, self.photo, self.kept)

    def reduce(self, gradient: Tensor) -> None:
        """Turn the gradient for `apply(canvas)` into that for the canvas, (1, 3, H, W), in place."""
        gradient.sub_(gradient * self.kept)


class Objective:
    """A weighted sum of named losses over the features of a canvas.

    Weights are divided by their sum and rounded to six digits before use, and reported losses scaled back,
    so that a common factor changes no byte of what the solver gets.

    The network has the precision to compute in (see `prepare`). `tile` is the edge in pixels of the tiles
    that the canvas is computed in; None computes it whole, as does a loss that is not additive. With a
    protection, losses are those of the canvas with the photo there. With `gray`, the gradient is that of a
    canvas whose channels are equal, so that they stay equal. `on_part` is called after every tile; `Stop`
    raised in it ends the evaluation. With `graph`, evaluations on CUDA are repeated as a graph (`Graphed`);
    losses must then do the same at each call.

    Raises:
        InputError: Two losses have the same name.
    """

    def __init__(
        self,
        network: FeatureExtractor | VGG19,
        losses: Sequence[Loss],
        tile: int | None = None,
        *,
        protection: Protection | None = None,
        gray: bool = False,
        on_part: Callable[[], None] | None = None,
        graph: bool = False,
    ) -> None:
        self.network = FeatureExtractor.of(network)
        self.losses = tuple(loss for loss in losses if loss.weight != 0)
        names = [loss.name for loss in self.losses]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"two losses are named '{name}'; give each its own name")
        self.layers = sorted({layer for loss in self.losses for layer in loss.layers})
        self.scale = math.fsum(abs(loss.weight) for loss in self.losses) or 1.0
        self.shares = [_rounded(loss.weight / self.scale) for loss in self.losses]
        self.protection, self._gray = protection, gray
        self._on_part = on_part or (lambda: None)
        self.tile = tile if all(loss.additive for loss in self.losses) else None
        self._settling = SETTLING
        self._graph = Graphed(_unbound(self._evaluate_whole)) if graph else None

    def __call__(self, canvas: Tensor) -> Evaluation:
        """Return loss, gradient (1, 3, H, W) and parts of a canvas (1, 3, H, W).

        The loss and its gradient are in units of `scale`; `parts` are in the user's weights.
        """
        image = self.visible(canvas.detach())
        tiles = self._tiles(image)
        if self._large(image):  # nothing else fills the gaps between freed vectors of the solver
            hardware.give_back_freed_memory()
        if len(tiles) < 2:
            numbers, gradient = (self._graph or self._evaluate_whole)(image)
        else:
            numbers, gradients = self._value(self._summed_statistics(image, tiles))
            gradient = self._tiled_gradient(image, tiles, gradients)
        if self._settling or self._large(image):
            # Freed memory is scattered by now; the next forward pass allocates anew.
            self._settling = max(0, self._settling - 1)
            hardware.give_back_freed_memory()
        sound = all_finite(gradient).to(numbers.dtype).view(1)
        total, *values, finite = torch.cat([numbers, sound]).tolist()  # the one wait for a device
        if self.protection is not None:
            self.protection.reduce(gradient)
        if self._gray:
            gradient.copy_(gradient.mean(1, keepdim=True))
        return Evaluation(total, gradient, self._by_name(values), bool(finite))

    def _evaluate_whole(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return (total, each weighted loss) and the gradient of an image (1, 3, H, W), on its device."""
        measurement = _Measurement(self.losses, self.network.forward(image, self.layers))
        numbers, gradients = self._value([_detached(one) for one in measurement.statistics])
        return numbers, measurement.backward(gradients)

    @torch.no_grad()
    def values(self, canvas: Tensor) -> dict[str, float]:
        """Return the weighted losses of a canvas (1, 3, H, W) by name, without a gradient.

        It takes a third of the time of an evaluation.
        """
        image = self.visible(canvas)
        tiles = self._tiles(image)
        if len(tiles) < 2:
            features = self.network.forward(image, self.layers, keep=False).features
            statistics = [_detached(loss.measure(features, None)) for loss in self.losses]
        else:
            statistics = self._summed_statistics(image, tiles)
        numbers, _ = self._value(statistics)
        return self._by_name(numbers[1:].tolist())

    def visible(self, canvas: Tensor) -> Tensor:
        """Return a canvas (1, 3, H, W) with the photo where it is protected; itself without protection."""
        return canvas if self.protection is None else self.protection.apply(canvas)

    def fault(self, canvas: Tensor, evaluation: Evaluation) -> str:
        """Return which loss, or whose gradient, is not finite, of an evaluation of a canvas (1, 3, H, W)."""
        names = [name for name, value in evaluation.parts.items() if not math.isfinite(value)]
        if names:
            return f"the loss {' and '.join(names)}"
        if not math.isfinite(evaluation.loss):
            return f"the sum of the losses {' and '.join(evaluation.parts)}"
        image = self.visible(canvas)
        names = [loss.name for loss in self.losses if not self._has_finite_gradient(loss, image)]
        return f"the gradient of the loss {' and '.join(names or evaluation.parts)}"

    def _has_finite_gradient(self, loss: Loss, image: Tensor) -> bool:
        """Whether the gradient of one loss alone is finite; True where it cannot be computed."""
        try:
            return Objective(self.network, [loss], self.tile)(image).finite
        except (ImpastoError, ArithmeticError, RuntimeError, MemoryError):
            return True

    def _by_name(self, values: Sequence[float]) -> dict[str, float]:
        pairs = zip(self.losses, values, strict=True)
        return {loss.name: value * self.scale for loss, value in pairs}

    def _large(self, image: Tensor) -> bool:
        return image.nbytes > LARGE and image.device.type == "cpu"

    def _tiles(self, image: Tensor) -> list[Tile]:
        """Return the tiles; none where the image is computed whole."""
        if self.tile is None:
            return []
        reach = max((getattr(loss, "reach", 1) for loss in self.losses), default=1)
        partial = self.network.network.partial_windows
        return tiles(image.shape[-2], image.shape[-1], self.tile, self.layers, reach, partial)

    def _each(self, image: Tensor, tiles: Sequence[Tile]) -> Iterator[tuple[Tile, Tensor]]:
        """Yield the tiles and their pixels; give back memory between them, as their sizes differ."""
        for tile in tiles:
            _give_back(image)
            yield tile, image[..., tile.rows, tile.columns]
            self._on_part()

    def _summed_statistics(self, image: Tensor, tiles: Sequence[Tile]) -> list[Statistics]:
        """Return each loss's statistics of the whole image, summed over the tiles."""
        total: list[Statistics] = []
        for tile, part in self._each(image, tiles):
            features = self.network.forward(part, self.layers, keep=False).features
            with torch.no_grad():
                added = [loss.measure(features, tile.windows) for loss in self.losses]
            del features  # before those of the next tile
            if total:
                pairs = zip(total, added, strict=True)
                added = [add_statistics(before, after) for before, after in pairs]
            total = added
        return [_detached(statistics) for statistics in total]

    def _tiled_gradient(self, image: Tensor, tiles: Sequence[Tile], gradients: Sequence[Gradients]) -> Tensor:
        """Return the gradient for the image, (1, 3, H, W), from the derivatives for the statistics."""
        total = torch.zeros_like(image)
        for tile, part in self._each(image, tiles):
            forward_pass = self.network.forward(part, self.layers)
            _give_back(image)
            measurement = _Measurement(self.losses, forward_pass, tile.windows, measured=True)
            total[..., tile.rows, tile.columns] += measurement.backward(gradients)
            del forward_pass, measurement
        return total

    def _value(self, statistics: Sequence[Statistics]) -> tuple[Tensor, list[Gradients]]:
        """Return (total, each weighted loss), and the derivatives for all statistics; on the device."""
        with torch.enable_grad():
            values = [
                loss.value(own) * share
                for loss, share, own in zip(self.losses, self.shares, statistics, strict=True)
            ]
            total = torch.stack(values).sum()
        flat = [tensor for own in statistics for tensor in own]
        gradients = iter(_derivatives([total], [None], flat))
        numbers = torch.stack([total, *values]).detach()
        return numbers, [[next(gradients) for _ in own] for own in statistics]


class _Measurement:
    """The statistics of all losses on one forward pass, and the backward pass from their derivatives.

    The gradient for a layer is computed when the backward pass reaches the layer, and then freed. Where the
    statistics are known (`measured`), losses with a `backward` of their own are not measured.
    """

    def __init__(
        self,
        losses: Sequence[Loss],
        forward_pass: ForwardPass,
        windows: Windows | None = None,
        *,
        measured: bool = False,
    ) -> None:
        self._losses, self._forward_pass, self._windows = losses, forward_pass, windows
        self._leaves = {name: layer.detach() for name, layer in forward_pass.features.items()}
        self.statistics = [self._measure(loss, measured) for loss in losses]
        self._by_layer: dict[str, list[int]] = {}  # losses by the deepest layer that they read
        for number, loss in enumerate(losses):
            layer = deepest(loss.layers) if loss.layers else IMAGE
            self._by_layer.setdefault(layer, []).append(number)
        self._pending: dict[str, Tensor] = {}  # gradients of layers that are not reached yet

    def _measure(self, loss: Loss, measured: bool) -> Statistics:
        if isinstance(loss, LossWithGradient) or _is_measured_late(loss):
            with torch.no_grad():
                return () if measured else loss.measure(self._leaves, self._windows)
        return self._connected(loss)

    def _connected(self, loss: Loss) -> Statistics:
        """Measure a loss for autograd, which keeps what it needs until the backward pass."""
        with torch.enable_grad():
            for name in (*loss.layers, IMAGE):
                self._leaves[name].requires_grad_()
            statistics = loss.measure(self._leaves, self._windows)
            check_connected(loss.name, statistics)
            return statistics

    def backward(self, gradients: Sequence[Gradients]) -> Tensor:
        """Return the gradient for the image, (1, 3, H, W), from the derivatives for the statistics."""

        def add_loss_gradients(layer: str, gradient: Tensor | None) -> Tensor | None:
            for number in self._by_layer.get(layer, ()):
                loss = self._losses[number]
                if isinstance(loss, LossWithGradient):
                    own = gradients[number]
                    gradient = loss.backward(self._leaves, self._windows, own, gradient)
                else:
                    self._differentiate(number, gradients[number])
            del self._leaves[layer]
            return add_gradients(gradient, self._pending.pop(layer, None))

        return self._forward_pass.backward(add_loss_gradients)

    def _differentiate(self, number: int, gradients: Gradients) -> None:
        """Compute a loss's gradients by autograd; they wait until the backward pass reaches their layers."""
        loss = self._losses[number]
        names = (*loss.layers, IMAGE)
        if _is_measured_late(loss):
            self.statistics[number] = self._connected(loss)
        leaves = [self._leaves[name] for name in names]
        derivatives = _derivatives(self.statistics[number], gradients, leaves)
        self.statistics[number] = ()
        for name, gradient in zip(names, derivatives, strict=True):
            if gradient is not None:
                before = self._pending.get(name)
                self._pending[name] = gradient if before is None else before + gradient


def _give_back(image: Tensor) -> None:
    """Return freed memory to the system where an image (1, 3, H, W) is computed on the CPU."""
    if image.device.type == "cpu":
        hardware.give_back_freed_memory()


def _is_measured_late(loss: Loss) -> bool:
    """Whether a loss is measured again for its gradient, when the features are gone: one of the canvas alone.

    One that is not additive is a user's, who may count its calls.
    """
    return loss.additive and not loss.layers


def _unbound(method: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return a method that does not keep its object alive, nor the targets of a scale that is over."""
    found = weakref.WeakMethod(method)

    def call(image: Tensor) -> tuple[Tensor, Tensor]:
        own = found()
        assert own is not None
        return own(image)

    return call


def _rounded(share: float) -> float:
    """Return a share to six digits; by way of twelve, so that a tie rounds the same way for every factor."""
    return float(f"{float(f'{share:.12g}'):.6g}")


def _detached(statistics: Statistics) -> Statistics:
    """Return statistics as leaves, for their derivatives."""
    return tuple(tensor.detach().requires_grad_() for tensor in statistics)


def _derivatives(outputs: Gradients, gradients: Gradients, inputs: Sequence[Tensor]) -> Gradients:
    """Return the derivatives for the inputs, from those for the outputs; None where nothing depends.

    A scalar output may have None for a derivative of 1.
    """
    pairs = [
        (output, gradient)
        for output, gradient in zip(outputs, gradients, strict=True)
        if output is not None and output.requires_grad
    ]
    if not pairs:
        return [None] * len(inputs)
    differentiable, their_gradients = zip(*pairs, strict=True)
    return torch.autograd.grad(differentiable, inputs, their_gradients, allow_unused=True)
