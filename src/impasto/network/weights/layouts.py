"""Layouts: how files name VGG-19's convolutions.

A layout is recognized by the names and shapes of the tensors, never by the name of the file. Each of the 16
convolutions becomes `conv{b}_{i}.weight` (out, in, 3, 3) and `conv{b}_{i}.bias` (out,), float32;
everything else in the file is ignored.

| layout | names in the file | files that use it |
| --- | --- | --- |
| `torchvision` | `features.0.weight` or `0.weight` | torchvision; `vgg19-d01eb7cb.pth`, from Caffe |
| `conv1_1` | `conv1_1.weight` | `vgg_conv.pth` of Gatys, files of impasto |
| `keras` | `block1_conv1/.../kernel:0` or `W_1:0` | Keras, kernels (3, 3, in, out) |
| `lasagne` | `param values/0` | Lasagne: kernels and biases in turn; `vgg19_normalized.pkl` |
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from impasto.errors import WeightsError
from impasto.network.layers import CHANNELS, CONVOLUTIONS, LAYERS, block_of

CONVS = tuple(name for name in LAYERS if name.startswith("conv"))
_OUTGOING = [CHANNELS[block_of(name) - 1] for name in CONVS]
SHAPES = {
    name: (outgoing, incoming, 3, 3)
    for name, outgoing, incoming in zip(CONVS, _OUTGOING, [3, *_OUTGOING[:-1]], strict=True)
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
_LASAGNE = re.compile(r"param values/(\d+)")
_KERAS = re.compile(r"(?:.*[/.])?block(\d)_conv(\d)[/.](?:.*[/._])?(W|kernel|weight|b|bias)(?:_1)?(?::0)?")


@dataclass(frozen=True)
class Layout:
    """How a file names the convolutions: one of `WHAT`, `what` in words.

    `names` are those in the file by ours. With `only_original`, such files always hold the original weights.
    """

    name: str
    what: str
    names: Mapping[str, str]
    only_original: bool


WHAT = {
    "torchvision": "names as in torchvision",
    "conv1_1": "names as in vgg_conv.pth",
    "keras": "names as in Keras",
    "lasagne": "weights in turn as in Lasagne",
}


def recognize(tensors: Mapping[str, Tensor], label: str = "the file") -> Layout:
    """Return how the tensors of a file are named; `label` is its name in messages.

    Raises:
        WeightsError: It is not VGG-19 with its 16 convolutions; the message says what it is instead.
    """
    bare = {name.removeprefix("module."): name for name in tensors}
    kernels = {name for name, full in bare.items() if tensors[full].ndim == 4}
    if any(name.endswith(("running_mean", "moving_mean:0")) for name in bare):
        by_count = {sum(counts): network for network, counts in NETWORKS.items()}
        kind = by_count.get(len(kernels), "a network")
        raise WeightsError(
            f"{label} is {kind} with batch normalization; give VGG-19 without it (torchvision's `vgg19`)"
        )
    places = {style: {place[0] for name in kernels if (place := _place(style, name))} for style in WHAT}
    style = max(places, key=lambda style: len(places[style]))
    _check_network(style, places[style], label)
    # The bias has the name of the kernel except for the last word.
    convs = dict(zip(_expected(style, CONVOLUTIONS), CONVS, strict=True))
    names: dict[str, str] = {}
    for name in bare:
        position, kind = _place(style, name) or ("", "")
        if position in convs:
            names.setdefault(f"{convs[position]}.{kind}", bare[name])
    layout = Layout(style, WHAT[style], names, style != "torchvision")
    _check_shapes(tensors, layout, label)
    return layout


def convert(tensors: Mapping[str, Tensor], layout: Layout, label: str = "the file") -> dict[str, Tensor]:
    """Return the 16 convolutions by our names, as float32 copies of the shape (out, in, 3, 3).

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
                    "not floating-point numbers; give weights that are not quantized"
                )
            if layout.name == "keras" and tensor.ndim == 4:
                tensor = tensor.permute(3, 2, 0, 1)
            # A copy, so that a mapped file can be closed, and the rest of a large one leaves the memory.
            copy = tensor.to(torch.float32).clone(memory_format=torch.contiguous_format)
            if not torch.isfinite(copy).all():
                raise WeightsError(f"{name} in {label} holds NaN or infinity; give another file")
            converted[name] = copy
    return converted


def _place(style: str, name: str) -> tuple[str, str] | None:
    """Return the position of a convolution ("5" or "2_1") in a layout, and `weight` or `bias`."""
    if style == "torchvision":
        match = _TORCHVISION.fullmatch(name)
        return (match[1], match[2]) if match else None
    if style == "lasagne":
        match = _LASAGNE.fullmatch(name)
        return (str(int(match[1]) // 2), "bias" if int(match[1]) % 2 else "weight") if match else None
    match = (_CONV if style == "conv1_1" else _KERAS).fullmatch(name)
    if not match or "optimizer" in name:
        return None
    return f"{match[1]}_{match[2]}", "bias" if match[3] in ("b", "bias") else "weight"


def _expected(style: str, counts: Iterable[int]) -> list[str]:
    """Return the positions of a network's convolutions, in order."""
    if style == "lasagne":
        return list(map(str, range(sum(counts))))
    places, position = [], 0
    for block, count in enumerate(counts, start=1):
        for index in range(1, count + 1):
            # torchvision numbers convolutions, ReLUs and poolings together
            places.append(str(position) if style == "torchvision" else f"{block}_{index}")
            position += 2
        position += 1
    return places


def _check_network(style: str, places: set[str], label: str) -> None:
    """Refuse a network that is not VGG-19; the message says what it is."""
    if not places:
        raise WeightsError(f"{label} is not a VGG-19: none of its names is known; give another file")
    for network, counts in NETWORKS.items():
        if places == set(_expected(style, counts)):
            if network == "VGG-19":
                return
            raise WeightsError(
                f"{label} is {network}, with {sum(counts)} convolutions; give VGG-19, which has 16"
            )
    convs = dict(zip(_expected(style, CONVOLUTIONS), CONVS, strict=True))
    missing = [conv for place, conv in convs.items() if place not in places]
    if places < set(convs):
        raise WeightsError(
            f"{label} is VGG-19 without {missing[0]}"
            f"{f' and {len(missing) - 1} more' if missing[1:] else ''}; give one with all 16 convolutions"
        )
    raise WeightsError(
        f"{label} is not VGG-19: it has {len(places)} convolutions in other places; give another file"
    )


def _check_shapes(tensors: Mapping[str, Tensor], layout: Layout, label: str) -> None:
    """Refuse missing biases, and layers of other shapes than VGG-19's."""
    for conv, shape in SHAPES.items():
        stored = (shape[2], shape[3], shape[1], shape[0]) if layout.name == "keras" else shape
        for name, expected in ((f"{conv}.weight", stored), (f"{conv}.bias", shape[:1])):
            if name not in layout.names:
                raise WeightsError(f"{label} has no {name}; give one with all 16 convolutions")
            actual = tuple(tensors[layout.names[name]].shape)
            if actual != expected:
                raise WeightsError(
                    f"{label} is not the VGG-19 of the paper: {name} has the shape {actual}, "
                    f"not {expected}; give another file"
                )
