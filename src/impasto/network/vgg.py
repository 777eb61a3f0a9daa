"""VGG-19 as a plain torch module: a picture in, the features of named layers out.

`forward(image (B, 3, H, W) sRGB in [0, 1], layers) -> {"relu4_2": (B, C, h, w), ..., "image": image}`.
Means, BGR order and the range [0, 255] belong to the weights (their `Preprocessing`) and are not visible
outside this module.
Source: Simonyan and Zisserman 2014 (configuration E); used as in Gatys, Ecker and Bethge 2016, section 2.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from impasto.errors import InputError
from impasto.network.convolution import Padding, pad
from impasto.network.layers import (
    LAYERS,
    PartialWindows,
    block_of,
    check_layer,
    deepest,
    positions,
    smallest_edge,
    stride,
)


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects: `(scale * image - mean) / std`, its channels then put into `order`.

    `scale` is the white of the pictures it was trained on; ours is 1. `mean` and `std` are of red, green and
    blue, in units of `scale`.
    """

    order: Literal["bgr", "rgb"]
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


ORIGINAL = Preprocessing("bgr", 255.0, (123.68, 116.779, 103.939))
TORCHVISION = Preprocessing("rgb", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

Pooling = Literal["max", "average", "l2"]


class VGG19(nn.Module):
    """The convolutional part of VGG-19, frozen, with layers by name.

    Args:
        weights: `conv1_1.weight`, `conv1_1.bias`, ... as `load.load_weights` returns them. Where they
            have an attribute `preprocessing`, it is used; else that of the original weights.
        pooling: `max` (as trained), `average` (all pictures in Gatys et al. 2015 and 2016) or `l2`.
            The weights were trained with `max`; the other two change the size of the features.
        padding: What lies around a picture: `zero` (as trained), `reflect` or `replicate`. An edge of one
            position cannot be reflected and is replicated instead.
        partial_windows: What pooling does with windows of 2 x 2 that reach over the right or lower border:
            `count` them with the values they have, `drop` them (as PyTorch's pooling does), or `half`: count
            them where at least half of the picture's pixels that the position stands for exist.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        *,
        pooling: Pooling = "max",
        padding: Padding = "zero",
        partial_windows: PartialWindows = "half",
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.padding = padding
        self.partial_windows = partial_windows
        self.preprocessing: Preprocessing = getattr(weights, "preprocessing", ORIGINAL)
        for name in ("mean", "std"):
            values = torch.tensor(getattr(self.preprocessing, name)).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)
        self.kernels = nn.ParameterDict(
            {
                name.replace(".", "/"): nn.Parameter(tensor, requires_grad=False)
                for name, tensor in weights.items()
            }
        )

    def forward(self, image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Return the features of some layers, such as `relu4_2`, and the image itself as `"image"`.

        The image is (B, 3, H, W), RGB, sRGB-encoded, in [0, 1]. Features are (B, C, h, w), h and w being the
        layer's `positions`, in the kernels' precision; the network runs up to the deepest layer.

        Raises:
            SettingsError: A layer is unknown.
            InputError: The picture is smaller than the deepest layer can see.
        """
        names = {check_layer(layer) for layer in layers}
        features = {"image": image}
        if not names:
            return features
        self.check_size(image, names)
        hidden = self.preprocess(image)
        last = deepest(names)
        for layer in LAYERS:
            size = self.size_of(layer, image)
            hidden = self._layer(layer, hidden, size, keep_input=f"conv{layer[4:]}" in names)
            if layer in names:
                features[layer] = hidden
            if layer == last:
                break
        return features

    def size_of(self, layer: str, image: Tensor) -> tuple[int, int]:
        """Return (h, w) of a layer for an image (B, 3, H, W)."""
        height, width = (positions(n, stride(layer), self.partial_windows) for n in image.shape[-2:])
        return height, width

    def check_size(self, image: Tensor, layers: Iterable[str]) -> None:
        """Raise `InputError` if the picture is smaller than the deepest of the layers can see."""
        needed = smallest_edge(layers)
        height, width = image.shape[-2:]
        if min(height, width) < needed:
            raise InputError(
                f"a picture of {width} x {height} px is too small for {deepest(layers)}, "
                f"which needs {needed} px on the shorter edge; use a larger size or shallower layers"
            )

    def preprocess(self, image: Tensor) -> Tensor:
        """Return the image (B, 3, H, W) in [0, 1] as the first convolution expects it."""
        expected = self.preprocessing
        centered = image * expected.scale - self.mean
        if expected.std != (1.0, 1.0, 1.0):
            centered = centered / self.std
        if expected.order == "bgr":
            centered = centered.flip(1)  # RGB -> BGR, as the weights were trained
        return centered.to(dtype=self.kernels["conv1_1/weight"].dtype)

    def unprocess(self, gradient: Tensor) -> Tensor:
        """Return the gradient for the image from that for what `preprocess` returned; at least float32."""
        expected = self.preprocessing
        if gradient.dtype == torch.bfloat16:
            gradient = gradient.float()
        if expected.order == "bgr":
            gradient = gradient.flip(1)
        if expected.std != (1.0, 1.0, 1.0):
            gradient = gradient / self.std
        return (gradient * expected.scale).contiguous()

    def _layer(self, layer: str, hidden: Tensor, size: tuple[int, int], *, keep_input: bool) -> Tensor:
        if layer.startswith("conv"):
            weight, bias = self.kernels[f"{layer}/weight"], self.kernels[f"{layer}/bias"]
            if self.padding == "zero":
                return functional.conv2d(hidden, weight, bias, padding=1)
            return functional.conv2d(pad(hidden, self.padding), weight, bias)
        if layer.startswith("relu"):
            # In place saves memory; not where the convolution's own output is returned, too.
            return functional.relu(hidden, inplace=not keep_input)
        return pool(hidden, self.pooling, size)


def pool(hidden: Tensor, pooling: Pooling, size: tuple[int, int]) -> Tensor:
    """Halve both edges by 2 x 2 pooling, (B, C, H, W) -> (B, C, h, w), `size` being (h, w).

    `l2` is the root of the mean square of the four values (a soft maximum). Windows that reach over the
    border have two values or one; there are none of them along an axis whose size is rounded down.
    """
    hidden = inside(hidden, size)
    if pooling == "max":
        return functional.max_pool2d(hidden, 2, ceil_mode=True)
    if pooling == "average":
        return functional.avg_pool2d(hidden, 2, ceil_mode=True)
    # The small constant keeps the root's gradient finite where all four values are zero.
    return functional.avg_pool2d(hidden.square(), 2, ceil_mode=True).add(1e-12).sqrt()


def inside(hidden: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the part of features (B, C, H, W) that windows of 2 x 2 see; `size`, (h, w), is their number."""
    return hidden[..., : 2 * size[0], : 2 * size[1]]


def narrow_weights(seed: int = 0, channels: Sequence[int] = (8, 8, 16, 16, 16)) -> dict[str, Tensor]:
    """Return seeded random weights of a narrow VGG-19, for quick tests and stubs; not trained.

    `channels` are those of the five blocks (the real network has 64 to 512).
    """
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}
    incoming = 3
    for name in (layer for layer in LAYERS if layer.startswith("conv")):
        outgoing = channels[block_of(name) - 1]
        scale = (2.0 / (9 * incoming)) ** 0.5  # He initialization keeps the features' size
        shape = (outgoing, incoming, 3, 3)
        weights[f"{name}.weight"] = torch.randn(shape, generator=generator) * scale
        weights[f"{name}.bias"] = torch.randn(outgoing, generator=generator) * 0.1
        incoming = outgoing
    return weights
