"""How files name VGG-19's convolutions, and what such a network expects at its input.

A file is recognised by the names and the shapes of what it holds, never by its own name. Of the 16
convolutions each becomes `conv{b}_{i}.weight` (out, in, 3, 3) and `conv{b}_{i}.bias` (out,), float32;
everything else in the file is left out.

| layout | names in the file | files that use it |
| --- | --- | --- |
| `torchvision` | `features.0.weight` or `0.weight` | torchvision; `vgg19-d01eb7cb.pth`, from Caffe |
| `conv1_1` | `conv1_1.weight` | `vgg_conv.pth` of Gatys, impasto's own |
| `keras` | `block1_conv1/.../kernel:0` or `W_1:0` | Keras, kernels (3, 3, in, out) |
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.errors import WeightsError
from impasto.network.layers import CHANNELS, CONVOLUTIONS, LAYERS, block_of

CONVS = tuple(name for name in LAYERS if name.startswith("conv"))
SHAPES = {
    name: (
        CHANNELS[block_of(name) - 1],
        3 if name == "conv1_1" else CHANNELS[block_of(CONVS[position - 1]) - 1],
        3,
        3,
    )
    for position, name in enumerate(CONVS)
}
# The other networks of the same paper, and VGG-19 itself: convolutions in each of the five blocks.
NETWORKS = {
    "VGG-19": CONVOLUTIONS,
    "VGG-16": (2, 2, 3, 3, 3),
    "VGG-13": (2, 2, 2, 2, 2),
    "VGG-11": (1, 1, 2, 2, 2),
}
_TORCHVISION = re.compile(r"(?:features\.)?(\d+)\.(weight|bias)")
_CONV = re.compile(r"conv(\d)_(\d)\.(weight|bias)")
_KERAS = re.compile(
    r"(?:.*[/.])?block(\d)_conv(\d)[/.](?:.*[/._])?(W|kernel|weight|b|bias)(?:_1)?(?::0)?"
)


@dataclass(frozen=True)
class Layout:
    """How one file names the convolutions.

    Args:
        name: `torchvision`, `conv1_1` or `keras`.
        what: The same in words.
        names: For each of our names that of the file.
        only_original: Whether such files are known to hold the original weights only.
    """

    name: str
    what: str
    names: Mapping[str, str]
    only_original: bool


WHAT = {
    "torchvision": "names as in torchvision",
    "conv1_1": "names as in vgg_conv.pth",
    "keras": "names as in Keras",
}


def recognize(tensors: Mapping[str, Tensor], label: str = "the file") -> Layout:
    """Return how the tensors of a file are named.

    Args:
        tensors: Names and tensors as they stand in the file.
        label: The file, for messages.

    Raises:
        WeightsError: It is not VGG-19 with all its 16 convolutions; the message says what it is instead.
    """
    bare = {name.removeprefix("module."): name for name in tensors}
    kernels = {name for name, full in bare.items() if tensors[full].ndim == 4}
    if any(name.endswith(("running_mean", "moving_mean:0")) for name in bare):
        kind = {8: "VGG-11", 10: "VGG-13", 13: "VGG-16", 16: "VGG-19"}.get(
            len(kernels), "a network"
        )
        raise WeightsError(
            f"{label} is {kind} with batch normalisation; give VGG-19 without it (torchvision's `vgg19`)"
        )
    style, places = _places(kernels)
    _check_network(style, set(places), label)
    # A place's bias has the kernel's name but for the last word.
    wanted = dict(zip(_expected(style, CONVOLUTIONS), CONVS, strict=True))
    names: dict[str, str] = {}
    for name in bare:
        found = _place(style, name)
        if found and found[0] in wanted:
            names.setdefault(f"{wanted[found[0]]}.{found[1]}", bare[name])
    layout = Layout(style, WHAT[style], names, style != "torchvision")
    _check_shapes(tensors, layout, label)
    return layout


def convert(
    tensors: Mapping[str, Tensor], layout: Layout, label: str = "the file"
) -> dict[str, Tensor]:
    """Return the 16 convolutions under our names and in our order of axes, float32, as copies.

    Raises:
        WeightsError: A layer holds no floating-point numbers, or one that is not finite.
    """
    converted: dict[str, Tensor] = {}
    for conv in CONVS:
        for name in (f"{conv}.weight", f"{conv}.bias"):
            tensor = tensors[layout.names[name]].detach()
            if not tensor.is_floating_point():
                raise WeightsError(
                    f"{name} in {label} holds {str(tensor.dtype).removeprefix('torch.')}, "
                    "not floating-point numbers; give weights that are not quantised"
                )
            if layout.name == "keras" and tensor.ndim == 4:
                tensor = tensor.permute(3, 2, 0, 1)
            # A copy, so that a mapped file can go away and the rest of a large one leaves the memory.
            copy = tensor.to(torch.float32).clone(memory_format=torch.contiguous_format)
            if not torch.isfinite(copy).all():
                raise WeightsError(f"{name} in {label} holds NaN or infinity; give another file")
            converted[name] = copy
    return converted


def _place(style: str, name: str) -> tuple[str, str] | None:
    """Return a convolution's place in its style ("5" or "2_1") and `weight` or `bias`."""
    if style == "torchvision":
        found = _TORCHVISION.fullmatch(name)
        return (found[1], found[2]) if found else None
    found = (_CONV if style == "conv1_1" else _KERAS).fullmatch(name)
    if not found or "optimizer" in name:
        return None
    return f"{found[1]}_{found[2]}", "bias" if found[3] in ("b", "bias") else "weight"


def _places(kernels: Iterable[str]) -> tuple[str, list[str]]:
    """Return the style that most of the kernels are named in, and their places in it."""
    found = {
        style: [place[0] for name in kernels if (place := _place(style, name))] for style in WHAT
    }
    style = max(found, key=lambda style: len(found[style]))
    return style, found[style]


def _expected(style: str, counts: Iterable[int]) -> list[str]:
    """Return the places of a network's convolutions, in order."""
    places, position = [], 0
    for block, count in enumerate(counts, start=1):
        for index in range(1, count + 1):
            # torchvision numbers convolutions, rectifications and poolings alike
            places.append(str(position) if style == "torchvision" else f"{block}_{index}")
            position += 2
        position += 1
    return places


def _check_network(style: str, places: set[str], label: str) -> None:
    """Refuse what is not VGG-19, saying what it is."""
    if not places:
        raise WeightsError(
            f"{label} is not a VGG-19: none of its names is known; give another file"
        )
    for network, counts in NETWORKS.items():
        if places == set(_expected(style, counts)):
            if network == "VGG-19":
                return
            raise WeightsError(
                f"{label} is {network}, with {sum(counts)} convolutions; give VGG-19, which has 16"
            )
    wanted = dict(zip(_expected(style, CONVOLUTIONS), CONVS, strict=True))
    missing = [conv for place, conv in wanted.items() if place not in places]
    if places < set(wanted):
        raise WeightsError(
            f"{label} is VGG-19 without {missing[0]}"
            f"{f' and {len(missing) - 1} more' if missing[1:] else ''}; give one with all 16 convolutions"
        )
    raise WeightsError(
        f"{label} is not VGG-19: it has {len(places)} convolutions in other places; give another file"
    )


def _check_shapes(tensors: Mapping[str, Tensor], layout: Layout, label: str) -> None:
    """Refuse missing biases and layers of other sizes than VGG-19's."""
    for conv, shape in SHAPES.items():
        stored = (shape[2], shape[3], shape[1], shape[0]) if layout.name == "keras" else shape
        for name, wanted in ((f"{conv}.weight", stored), (f"{conv}.bias", shape[:1])):
            if name not in layout.names:
                raise WeightsError(f"{label} has no {name}; give one with all 16 convolutions")
            found = tuple(tensors[layout.names[name]].shape)
            if found != wanted:
                raise WeightsError(
                    f"{label} is not the VGG-19 of the paper: {name} has the shape {found}, "
                    f"not {wanted}; give another file"
                )
