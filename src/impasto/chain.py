"""The network as a chain: forward to the features, and back by hand, without autograd.

VGG-19 has no branches and its kernels never change. So the way back needs of a rectification only where it
was open, which is seen in what it let through; of max pooling which value was taken; and of a rectification
right before that nothing. What is not needed any more is freed on the way. Whoever computes a loss from the
features gives its gradients for them, and `Pass.back` adds each where it belongs.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from impasto import machine
from impasto.convolution import Convolution, Direct, Winograd
from impasto.layers import LAYERS, check_layer, deepest
from impasto.vgg import VGG19, pool

Injected = Callable[[str], Tensor | None]
Undo = Callable[[Tensor], Tensor]
# Channels on the narrower side from which Winograd's transforms save more than they cost; measured.
STRIP = 1_000_000  # values of a pooled layer that go the way back at a time; places are large
WIDE = {torch.float32: 128, torch.bfloat16: 64}


class Chain:
    """VGG-19 with its way back.

    Args:
        network: Its pooling, padding and device are the chain's.
        dtype: The number format of features and gradients; None for that of the network's kernels.
    """

    def __init__(self, network: VGG19, dtype: torch.dtype | None = None) -> None:
        self.network = network
        self.dtype = dtype
        self._convolutions: dict[str, Convolution] = {}

    @classmethod
    def of(cls, network: "Chain | VGG19") -> "Chain":
        """Return the chain itself, or that of a network."""
        return network if isinstance(network, Chain) else cls(network)

    def forward(self, image: Tensor, layers: Iterable[str], *, keep: bool = True) -> "Pass":
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
        found = Pass(image.detach(), self.network)
        if not wanted:
            return found
        self.network.check_size(image, wanted)
        with torch.no_grad():
            hidden = self.network.preprocess(image.detach()).to(self.dtype)
            hidden = hidden.contiguous(memory_format=torch.channels_last)
            for step in _steps(wanted, self.network.pooling):
                hidden = self._step(step, hidden, found, keep)
                if step[-1] in wanted:
                    found.features[step[-1]] = hidden
        return found

    def _step(self, step: Sequence[str], hidden: Tensor, found: "Pass", keep: bool) -> Tensor:
        undo: list[Undo] = []
        for layer in step:
            if layer.startswith("pool"):
                hidden, back = _pooled(hidden, self.network.pooling, rectified=len(step) > 1)
            elif layer.startswith("conv"):
                convolution = self._convolution(layer)
                hidden, back = convolution.forward(hidden, rectify=len(step) > 1), convolution.back
            else:  # the convolution rectified already, or its own output is wanted too
                hidden = hidden if len(step) > 1 else hidden.relu()
                back = _gate(hidden)
                if step[-1].startswith("pool"):
                    continue  # the pooling opens and closes for it
            undo.append(back)
        if keep:
            found.way_back.append((step[-1], undo))
        return hidden

    def _convolution(self, name: str) -> Convolution:
        """Return a convolution, made on first use."""
        if name not in self._convolutions:
            kernels = self.network.kernels
            weight, bias = (
                kernels[f"{name}/{part}"].detach().to(self.dtype) for part in ("weight", "bias")
            )
            make = Winograd if _wide(weight) else Direct
            self._convolutions[name] = make(weight, bias, self.network.padding)
            machine.put_aside(kernels[f"{name}/weight"])
        return self._convolutions[name]


def _wide(weight: Tensor) -> bool:
    """Whether Winograd is the faster way for kernels (D, C, 3, 3)."""
    enough = WIDE.get(weight.dtype)
    if enough is None or weight.device.type != "cpu":
        return False
    narrow, broad = sorted(weight.shape[:2])
    return narrow >= enough and broad >= 128  # at 64 to 64 the pictures are still too large


class Pass:
    """What one way forward leaves: `features`, by layer and `image`, and the way back."""

    def __init__(self, image: Tensor, network: VGG19) -> None:
        self.features: dict[str, Tensor] = {"image": image}
        self.way_back: list[tuple[str, list[Undo]]] = []
        self._network = network

    def back(self, injected: Injected) -> Tensor:
        """Return the gradient for the image, (1, 3, H, W), float32; the pass is used up.

        Args:
            injected: Gives, layer by layer from the deepest, the gradient of the losses for that layer's
                features, or None; asked for `image` last.
        """
        gradient: Tensor | None = None
        with torch.no_grad():
            while self.way_back:
                layer, undo = self.way_back.pop()
                if layer in self.features:
                    gradient = _sum(gradient, injected(layer))
                    del self.features[layer]
                while undo and gradient is not None:
                    gradient = undo.pop()(gradient)
            if gradient is not None:
                gradient = self._network.unprocess(gradient)
            gradient = _sum(gradient, injected("image"))
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


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """Add a layer's injected gradient to the one that came along, which is ours to change."""
    if other is None:
        return one
    if one is None:  # ours from here on; a sum's gradient is one number seen many times
        return other.contiguous(memory_format=torch.channels_last)
    return one.add_(other)


# --- ways back -----------------------------------------------------------------------------------


def _gate(rectified: Tensor) -> Undo:
    """Let the gradient through where the rectification did; in place, the gradient is ours."""

    def undo(gradient: Tensor) -> Tensor:
        torch.ops.aten.threshold_backward(gradient, rectified, 0, grad_input=gradient)
        return gradient

    return undo


def _pooled(hidden: Tensor, pooling: str, *, rectified: bool) -> tuple[Tensor, Undo]:
    """Pool, and tell the way back; through the rectification before it, too, if that is left to us."""
    if pooling == "max":
        return _max_pooled(hidden, rectified)
    found, shape = pool(hidden, "average" if pooling == "average" else "l2"), hidden.shape
    if pooling == "average":
        return found, lambda gradient: _spread(gradient / 4, shape)

    def undo(gradient: Tensor) -> Tensor:
        height, width = found.shape[-2] * 2, found.shape[-1] * 2
        inner = _spread(gradient / (4 * found), shape)
        inner[..., :height, :width].mul_(hidden[..., :height, :width])
        return inner

    return found, undo


def _spread(gradient: Tensor, shape: torch.Size) -> Tensor:
    """Give each position's gradient to its four inputs."""
    found = gradient.new_zeros(shape).contiguous(memory_format=torch.channels_last)
    height, width = gradient.shape[-2] * 2, gradient.shape[-1] * 2
    for row in (0, 1):
        for column in (0, 1):
            found[..., row:height:2, column:width:2] = gradient
    return found


def _max_pooled(hidden: Tensor, rectified: bool) -> tuple[Tensor, Undo]:
    """Pool a strip of rows at a time, as torch gives places in 64 bits; kept are 32, counted in the strip."""
    shape = hidden.shape
    small = torch.Size((*shape[:2], shape[2] // 2, shape[3] // 2))
    found = _empty(small, hidden.dtype, hidden.device)
    kept = _empty(small, torch.int32, hidden.device)
    strips = _strips(small)
    for rows, cells in strips:
        found[..., rows, :], kept[..., rows, :] = functional.max_pool2d(
            hidden[..., cells, :], 2, return_indices=True
        )

    def undo(gradient: Tensor) -> Tensor:
        if rectified:
            gradient = _gate(found)(gradient)
        back = _empty(shape, gradient.dtype, gradient.device)
        back[..., 2 * small[2] :, :] = 0  # a row that filled no cell
        for rows, cells in strips:
            _unpool(gradient[..., rows, :], kept[..., rows, :].long(), back[..., cells, :])
        return back

    return found, undo


def _empty(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)


def _unpool(gradient: Tensor, places: Tensor, target: Tensor) -> None:
    """Write each value of the gradient to its place in the target, and 0 elsewhere."""
    torch.ops.aten.max_pool2d_with_indices_backward.grad_input(
        gradient, target, [2, 2], [2, 2], [0, 0], [1, 1], False, places, grad_input=target
    )


def _strips(small: Sequence[int]) -> list[tuple[slice, slice]]:
    """Cut a pooled layer (1, C, h, w) into parts of about STRIP values: rows, and where they came from."""
    _, channels, height, width = small
    step = max(1, STRIP // (channels * max(1, width)))
    starts = range(0, height, step)
    parts = [(start, min(start + step, height)) for start in starts]
    return [(slice(*part), slice(2 * part[0], 2 * part[1])) for part in parts]
