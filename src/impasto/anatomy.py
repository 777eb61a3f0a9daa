"""What VGG-19 consists of and what it costs, layer by layer, counted. Pure arithmetic; no torch here.

Source: Simonyan and Zisserman 2014, table 1, column E: sixteen convolutions of 3 x 3, five poolings, three
fully connected layers, of which style transfer uses none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from impasto.layers import CHANNELS, LAYERS, block_of, stride

KERNEL = 3 * 3  # positions of a convolution's kernel
TRAINED_AT = 224  # px; the size that the fully connected layers are made for
DENSE = (("fc6", 4096), ("fc7", 4096), ("fc8", 1000))  # fully connected layers and their outputs
FLOAT = 4  # bytes of a float32


@dataclass(frozen=True)
class Part:
    """One layer of the network at a picture's size.

    Attributes:
        name: `conv1_1`, `pool1`, ..., `fc6`.
        channels: Of its output.
        width: Of its output, in positions.
        height: Of its output, in positions.
        parameters: Weights and biases.
        operations: Multiplications with an addition, for one picture.
        activation: Bytes of its output in float32.
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
    return tuple(_parts(width, height))


def _parts(width: int, height: int) -> Iterator[Part]:
    incoming = 3
    for name in (layer for layer in LAYERS if not layer.startswith("relu")):
        channels = CHANNELS[block_of(name) - 1]
        columns, rows = width // stride(name), height // stride(name)
        positions = columns * rows
        convolution = name.startswith("conv")
        parameters = (KERNEL * incoming + 1) * channels if convolution else 0
        operations = KERNEL * incoming * channels * positions if convolution else 0
        activation = channels * positions * FLOAT
        yield Part(name, channels, columns, rows, parameters, operations, activation)
        incoming = channels


def dense() -> tuple[Part, ...]:
    """Return the fully connected layers, which style transfer leaves out."""
    last = parts()[-1]
    incoming, found = last.channels * last.width * last.height, []
    for name, outgoing in DENSE:
        parameters = (incoming + 1) * outgoing
        found.append(Part(name, outgoing, 1, 1, parameters, incoming * outgoing, outgoing * FLOAT))
        incoming = outgoing
    return tuple(found)
