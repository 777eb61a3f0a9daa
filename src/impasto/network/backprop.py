"""The forward and backward pass through VGG-19, without autograd.

VGG-19 has no branches and its kernels never change. So the backward pass needs of a rectification only where
it let values through, which its output shows; of max pooling which value was taken; and of a rectification
right before max pooling nothing. Whatever is no longer needed is freed as the pass goes. The gradients of the
losses for features come from outside: `ForwardPass.backward` adds each at its layer.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from impasto.network import kernels, pooling
from impasto.network.convolution import Direct, Fused, can_fuse
from impasto.network.layers import LAYERS, check_layer, deepest
from impasto.network.pooling import Undo
from impasto.network.vgg import VGG19
from impasto.network.winograd import Convolution, Winograd, Workspace
from impasto.system import hardware

AddLossGradients = Callable[[str, Tensor | None], Tensor | None]
PRECISIONS = {torch.float32: "fp32", torch.bfloat16: "bf16"}


class FeatureExtractor:
    """VGG-19 with a forward and a backward pass of its own.

    `dtype` is the number format of features and gradients; None for that of the network's kernels. `choice`
    is the way of each convolution on the CPU (see `kernels`); other devices have torch's own.
    """

    def __init__(self, network: VGG19, dtype: torch.dtype | None = None, choice: str = "winograd") -> None:
        self.network, self.dtype, self._choice = network, dtype, choice
        self._workspace = Workspace()
        self._convolutions: dict[tuple[str, kernels.Way], Convolution] = {}

    @classmethod
    def of(cls, network: "FeatureExtractor | VGG19") -> "FeatureExtractor":
        """Return the extractor itself, or a new one of a network."""
        return network if isinstance(network, FeatureExtractor) else cls(network)

    def forward(self, image: Tensor, layers: Iterable[str], *, keep: bool = True) -> "ForwardPass":
        """Run the network on a part or the whole of a canvas up to the deepest of the layers.

        The image is (1, 3, H, W), RGB, in [0, 1]. Without `keep`, `ForwardPass.backward` cannot be called.
        The features of the pass are (1, C, h, w), channels last.

        Raises:
            SettingsError: A layer is unknown.
            InputError: The picture is smaller than the deepest layer can see.
        """
        names = {check_layer(layer) for layer in layers}
        forward_pass = ForwardPass(image.detach(), self.network)
        if not names:
            return forward_pass
        self.network.check_size(image, names)
        with torch.no_grad():
            hidden = self.network.preprocess(image.detach())
            hidden = hidden.to(self.dtype or hidden.dtype, memory_format=torch.channels_last)
            for group in _groups(names, self.network.pooling):
                size = self.network.size_of(group[-1], image)
                hidden, undo = self._forward_group(group, hidden, size, keep)
                if keep:
                    forward_pass.undo_steps.append((group[-1], undo))
                del undo  # it may be the only reference to the group's input
                if group[-1] in names:
                    forward_pass.features[group[-1]] = hidden
        return forward_pass

    def _forward_group(
        self, group: Sequence[str], hidden: Tensor, size: tuple[int, int], keep: bool
    ) -> tuple[Tensor, list[Undo]]:
        """Return the output of a group of layers, (h, w) = `size`, and its way back, the first step last."""
        first = group[0]
        if len(group) == 3:
            convolution = self._convolution(first, hidden)
            hidden, undo = pooling.convolved_and_pooled(convolution, hidden, size, keep=keep)
            return hidden, [undo]
        if first.startswith("pool"):
            hidden, undo = pooling.pooled(hidden, self.network.pooling, size)
            return hidden, [undo]
        if first.startswith("relu"):  # its convolution's own output is used, too
            hidden = hidden.relu()
            return hidden, [pooling.gate(hidden)]
        convolution = self._convolution(first, hidden)
        hidden = convolution.forward(hidden, rectify=len(group) > 1)
        if len(group) == 1:
            return hidden, [convolution.backward]
        return hidden, [convolution.backward, pooling.gate(hidden)]

    def _convolution(self, name: str, x: Tensor) -> Convolution:
        """Return a convolution for features (1, C, H, W), made on first use."""
        weight, bias = (self.network.kernels[f"{name}/{part}"].detach() for part in ("weight", "bias"))
        dtype = self.dtype or weight.dtype
        way = self._way(weight, dtype, x.shape[-2] * x.shape[-1])
        if (name, way) not in self._convolutions:
            padding = self.network.padding
            if way == "winograd":
                made: Convolution = Winograd(weight, bias, padding, dtype, self._workspace)
            else:
                kind = Fused if way == "fused" else Direct
                made = kind(weight.to(dtype), bias.to(dtype), padding)
            self._convolutions[name, way] = made
            hardware.advise_unused(weight)
        return self._convolutions[name, way]

    def _way(self, weight: Tensor, dtype: torch.dtype, positions: int) -> kernels.Way:
        """Return the way of a convolution with kernels (D, C, 3, 3)."""
        if weight.device.type != "cpu" or dtype not in PRECISIONS:
            return "direct"
        outgoing, incoming = weight.shape[:2]
        way = kernels.way(self._choice, incoming, outgoing, positions, PRECISIONS[dtype])
        return "direct" if way == "fused" and not can_fuse(dtype) else way


class ForwardPass:
    """The result of a forward pass, and its backward pass.

    `features` are by layer, (1, C, h, w), and the image as `image`, (1, 3, H, W). `undo_steps` are the groups
    of layers, each with its steps of the backward pass, the first one last.
    """

    def __init__(self, image: Tensor, network: VGG19) -> None:
        self.features: dict[str, Tensor] = {"image": image}
        self.undo_steps: list[tuple[str, list[Undo]]] = []
        self._network = network

    def backward(self, add_loss_gradients: AddLossGradients) -> Tensor:
        """Return the gradient for the image, (1, 3, H, W), float32; the pass is used up.

        `add_loss_gradients` is called for each layer from the deepest up, and for `image` last, with the
        layer's name and the gradient for its features so far, or None. It returns that gradient with the
        losses' own added, and may change it in place.
        """
        gradient: Tensor | None = None
        with torch.no_grad():
            while self.undo_steps:
                layer, undo = self.undo_steps.pop()
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


def _groups(names: set[str], pooling: str) -> list[tuple[str, ...]]:
    """Return the layers up to the deepest of `names`, in groups of which only the last is visible outside.

    A rectification goes with its convolution, and max pooling with both: it takes values above 0 or none.
    """
    groups: list[tuple[str, ...]] = []
    for layer in LAYERS[: LAYERS.index(deepest(names)) + 1]:
        inner = bool(groups) and groups[-1][-1] not in names
        rectifies = layer.startswith("relu")
        pools = layer.startswith("pool") and pooling == "max" and len(groups[-1]) == 2
        if inner and (rectifies or pools):
            groups[-1] = (*groups[-1], layer)
        else:
            groups.append((layer,))
    return groups


def add_gradients(gradient: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Return the sum of two gradients; the first is changed in place, the second is not."""
    if other is None:
        return gradient
    if gradient is None:  # a copy where needed: the gradient of a sum is one number expanded
        return other.contiguous(memory_format=torch.channels_last)
    return gradient.add_(other)
