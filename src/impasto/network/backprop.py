"""The network as a chain: forward to the features, and back by hand, without autograd.

VGG-19 has no branches and its kernels never change. So the way back needs of a rectification only where it
was open, which is seen in what it let through; of max pooling which value was taken; and of a rectification
right before that nothing. What is not needed any more is freed on the way. Whoever computes a loss from the
features gives its gradients for them, and `Pass.back` adds each where it belongs.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from impasto.network import pooling
from impasto.network.convolution import Convolution, Direct
from impasto.network.layers import LAYERS, check_layer, deepest
from impasto.network.pooling import Undo
from impasto.network.vgg import VGG19
from impasto.network.winograd import Winograd, Workspace
from impasto.system import hardware

Injected = Callable[[str, Tensor | None], Tensor | None]
# Channels on the narrower side from which Winograd's transforms save more than they cost; measured.
WIDE = {torch.float32: 128, torch.bfloat16: 64}


class FeatureExtractor:
    """VGG-19 with its way back.

    Args:
        network: Its pooling, padding and device are the chain's.
        dtype: The number format of features and gradients; None for that of the network's kernels.
    """

    def __init__(self, network: VGG19, dtype: torch.dtype | None = None) -> None:
        self.network = network
        self.dtype = dtype
        self._workspace = Workspace()
        self._convolutions: dict[str, Convolution] = {}

    @classmethod
    def of(cls, network: "FeatureExtractor | VGG19") -> "FeatureExtractor":
        """Return the chain itself, or that of a network."""
        return network if isinstance(network, FeatureExtractor) else cls(network)

    def forward(self, image: Tensor, layers: Iterable[str], *, keep: bool = True) -> "ForwardPass":
        """Return the pass of an image (1, 3, H, W) in [0, 1] up to the deepest of the layers.

        Args:
            image: Part or whole of the canvas.
            layers: Whose features are wanted.
            keep: Whether `Pass.back` will be called; else nothing is kept for it.

        Raises:
            SettingsError: A layer is unknown.
            InputError: The picture is smaller than the deepest layer can see.
        """
        wanted = {check_layer(layer) for layer in layers}
        found = ForwardPass(image.detach(), self.network)
        if not wanted:
            return found
        self.network.check_size(image, wanted)
        with torch.no_grad():
            hidden = self.network.preprocess(image.detach())
            hidden = hidden.to(self.dtype or hidden.dtype, memory_format=torch.channels_last)
            for step in _steps(wanted, self.network.pooling):
                hidden = self._step(step, hidden, found, keep)
                if step[-1] in wanted:
                    found.features[step[-1]] = hidden
        return found

    def _step(
        self, step: Sequence[str], hidden: Tensor, found: "ForwardPass", keep: bool
    ) -> Tensor:
        first, undo = step[0], []
        if len(step) == 3:
            way = self._convolution(first)
            hidden, back = pooling.convolved_and_pooled(way, hidden, keep=keep)
        elif first.startswith("pool"):
            hidden, back = pooling.pooled(hidden, self.network.pooling)
        elif first.startswith("relu"):  # its convolution's own output is wanted too
            hidden = hidden.relu()
            back = pooling.gate(hidden)
        else:
            convolution = self._convolution(first)
            hidden, back = convolution.forward(hidden, rectify=len(step) > 1), convolution.back
        undo.append(back)
        if len(step) == 2:
            undo.append(pooling.gate(hidden))
        if keep:
            found.way_back.append((step[-1], undo))
        return hidden

    def _convolution(self, name: str) -> Convolution:
        """Return a convolution, made on first use."""
        if name not in self._convolutions:
            kernels, padding = self.network.kernels, self.network.padding
            weight, bias = (kernels[f"{name}/{part}"].detach() for part in ("weight", "bias"))
            dtype = self.dtype or weight.dtype
            found: Convolution
            if _wide(weight, dtype):
                found = Winograd(weight, bias, padding, dtype, self._workspace)
            else:
                found = Direct(weight.to(dtype), bias.to(dtype), padding)
            self._convolutions[name] = found
            hardware.advise_unused(weight)
        return self._convolutions[name]


def _wide(weight: Tensor, dtype: torch.dtype) -> bool:
    """Whether Winograd is the faster way for kernels (D, C, 3, 3)."""
    enough = WIDE.get(dtype)
    if enough is None or weight.device.type != "cpu":
        return False
    narrow, broad = sorted(weight.shape[:2])
    return narrow >= enough and broad >= 128  # at 64 to 64 the pictures are still too large


class ForwardPass:
    """What one way forward leaves: `features`, by layer and `image`, and the way back."""

    def __init__(self, image: Tensor, network: VGG19) -> None:
        self.features: dict[str, Tensor] = {"image": image}
        self.way_back: list[tuple[str, list[Undo]]] = []
        self._network = network

    def back(self, add_loss_gradients: Injected) -> Tensor:
        """Return the gradient for the image, (1, 3, H, W), float32; the pass is used up.

        Args:
            add_loss_gradients: Called for each layer from the deepest up, and for `image`
                last, with the layer's name and the gradient for its features so far, or None. Returns that
                gradient with the losses' own added. It may change what it receives.
        """
        gradient: Tensor | None = None
        with torch.no_grad():
            while self.way_back:
                layer, undo = self.way_back.pop()
                if layer in self.features:
                    gradient = add_loss_gradients(layer, gradient)
                    del self.features[layer]
                while undo and gradient is not None:
                    gradient = undo.pop()(gradient)
            if gradient is not None:
                gradient = self._network.unprocess(gradient)
            gradient = add_loss_gradients("image", gradient)
            image = self.features["image"]
            return torch.zeros_like(image) if gradient is None else gradient.to(image.dtype)


def _steps(wanted: set[str], pooling: str) -> list[tuple[str, ...]]:
    """Return the layers up to the deepest wanted, in groups of which only the last is seen from outside.

    A rectification goes with its convolution, and max pooling with both: it takes values above 0 or none.
    """
    steps: list[tuple[str, ...]] = []
    for layer in LAYERS[: LAYERS.index(deepest(wanted)) + 1]:
        inner = bool(steps) and steps[-1][-1] not in wanted
        rectifies = layer.startswith("relu")
        pools = layer.startswith("pool") and pooling == "max" and len(steps[-1]) == 2
        if inner and (rectifies or pools):
            steps[-1] = (*steps[-1], layer)
        else:
            steps.append((layer,))
    return steps


def added(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Add a gradient to the one that came along, which is ours to change."""
    if other is None:
        return one
    if one is None:  # ours from here on; a sum's gradient is one number seen many times
        return other.contiguous(memory_format=torch.channels_last)
    return one.add_(other)
