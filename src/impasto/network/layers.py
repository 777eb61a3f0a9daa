"""VGG-19's layers: their names, their order, and the cost of each. No torch here.

`conv4_2` is the output of a convolution, `relu4_2` the same after the rectification (ReLU), `pool4` the
pooled output of block 4. What Gatys, Ecker and Bethge 2015 and 2016 call "conv4_2" is `relu4_2`: their
derivatives are 0 where a feature is negative (2016, equations 2 and 6). A name always means the same
layer here, so that recipes stay true; `unrectified` says where it is not what the papers mean.
Source: Simonyan and Zisserman 2014, table 1, column E.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from impasto.errors import SettingsError
from impasto.messages import did_you_mean

CONVOLUTIONS = (2, 2, 4, 4, 4)  # how many in each block
CHANNELS = (64, 128, 256, 512, 512)  # output channels of each block


def _names() -> Iterable[str]:
    for block, count in enumerate(CONVOLUTIONS, start=1):
        for index in range(1, count + 1):
            yield f"conv{block}_{index}"
            yield f"relu{block}_{index}"
        yield f"pool{block}"


LAYERS: tuple[str, ...] = tuple(_names())
ORDER: dict[str, int] = {name: position for position, name in enumerate(LAYERS)}
PartialWindows = Literal["half", "count", "drop"]  # what pooling does with windows that reach over the border


def block_of(layer: str) -> int:
    """Return the block (1 to 5) that a layer belongs to."""
    return int(layer[4])  # conv, relu and pool all have four letters


def stride(layer: str) -> int:
    """Return how many pixels of the picture one position of the layer stands for, along an edge."""
    pools = block_of(layer) - (0 if layer.startswith("pool") else 1)
    return int(2**pools)


def positions(length: int, step: int, windows: PartialWindows) -> int:
    """Return how many positions of a layer with a stride of `step` an edge of so many pixels has."""
    return (length + {"half": step // 2, "count": step - 1, "drop": 0}[windows]) // step


def seen(length: int, step: int, windows: PartialWindows) -> int:
    """Return how many of an edge's pixels the positions of a layer with a stride of `step` stand for."""
    return min(length, step * positions(length, step, windows))


def deepest(layers: Iterable[str]) -> str:
    """Return the layer that comes last in the network."""
    return max(layers, key=ORDER.__getitem__)


def smallest_edge(layers: Iterable[str]) -> int:
    """Return the shortest picture edge, in pixels, for which every layer has a position."""
    return max((stride(layer) for layer in layers), default=1)


def unrectified(layers: Iterable[str]) -> str:
    """Return a sentence about layers before the rectification, whose names papers use for those after it.

    An empty string if there are none.
    """
    before = [layer for layer in layers if layer.startswith("conv")]
    if not before:
        return ""
    after = ", ".join(layer.replace("conv", "relu") for layer in before)
    return (
        f"{', '.join(before)}: compared before the rectification (ReLU); what Gatys, Ecker and Bethge call "
        f"so is {after}"
    )


def check_layer(layer: str) -> str:
    """Return the name unchanged, or raise `SettingsError` naming the nearest known layer."""
    if layer not in ORDER:
        hint = did_you_mean(layer, LAYERS) or " `impasto layers` lists them."
        raise SettingsError(f"unknown layer '{layer}'.{hint}")
    return layer


def parse_layers(value: object) -> object:
    """Turn `"relu1_1, relu2_1=0.5"` or a sequence of such names into `{name: weight}`."""
    if isinstance(value, str):
        value = [part for part in value.replace(",", " ").split() if part]
    if not isinstance(value, (list, tuple)):
        return value
    layers: dict[str, object] = {}
    for part in value:
        name, equals, weight = str(part).partition("=")
        if name in layers:
            raise ValueError(f"layer '{name}' is given twice; leave one out")
        try:
            layers[name] = float(weight) if equals else 1.0
        except ValueError:
            raise ValueError(f"the weight of layer '{name}' must be a number") from None
    return layers


def check_layers(layers: Mapping[str, float]) -> dict[str, float]:
    """Return layers with their weights in the network's order.

    Raises:
        ValueError: A name is unknown, or a weight negative.
    """
    for name, weight in layers.items():
        try:
            check_layer(name)
        except SettingsError as error:
            raise ValueError(str(error)) from error
        if weight < 0:
            raise ValueError(f"the weight of layer '{name}' must not be negative")
    return dict(sorted(layers.items(), key=lambda item: ORDER[item[0]]))


KERNEL = 3 * 3  # positions of a convolution's kernel
TRAINED_AT = 224  # px; the size that the fully connected layers are made for
DENSE = (("fc6", 4096), ("fc7", 4096), ("fc8", 1000))  # fully connected layers and their outputs
FLOAT = 4  # bytes of a float32


@dataclass(frozen=True)
class Part:
    """One layer of the network at a picture's size: positions and channels of its output.

    `parameters` are weights and biases, `operations` multiplications with an addition for one picture, and
    `activation` the bytes of the output in float32.
    """

    name: str
    channels: int
    width: int
    height: int
    parameters: int
    operations: int
    activation: int


def parts(width: int = TRAINED_AT, height: int = TRAINED_AT) -> tuple[Part, ...]:
    """Return the convolutions and poolings at a picture's size in px, in order."""
    layers = []
    incoming = 3
    for name in (layer for layer in LAYERS if not layer.startswith("relu")):
        channels = CHANNELS[block_of(name) - 1]
        columns, rows = (max(1, positions(n, stride(name), "half")) for n in (width, height))
        cells = columns * rows
        convolution = name.startswith("conv")
        parameters = (KERNEL * incoming + 1) * channels if convolution else 0
        operations = KERNEL * incoming * channels * cells if convolution else 0
        activation = channels * cells * FLOAT
        layers.append(Part(name, channels, columns, rows, parameters, operations, activation))
        incoming = channels
    return tuple(layers)


def dense() -> tuple[Part, ...]:
    """Return the fully connected layers, which style transfer leaves out."""
    last = parts()[-1]
    incoming, layers = last.channels * last.width * last.height, []
    for name, outgoing in DENSE:
        parameters = (incoming + 1) * outgoing
        layers.append(Part(name, outgoing, 1, 1, parameters, incoming * outgoing, outgoing * FLOAT))
        incoming = outgoing
    return tuple(layers)
