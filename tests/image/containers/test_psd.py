"""The channels of a PSD: alpha only where it is transparency; others are said, and not used."""

import struct

import numpy as np
import pytest

from impasto.image.containers import psd
from impasto.image.picture import Picture

RNG = np.random.default_rng(4)
NOTE = "a: its further channels ({}) are not used"


def file(mode: int, planes: np.ndarray, layers: int | None, profile: bytes = b"") -> bytes:
    count, height, width = planes.shape
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, count, height, width, 8, mode)
    block = b"" if layers is None else struct.pack(">Ih", 2, layers)
    sections = struct.pack(">I", 0) + struct.pack(">I", len(profile)) + profile
    return head + sections + struct.pack(">I", len(block)) + block + b"\0\0" + planes.tobytes()


@pytest.mark.parametrize(
    ("mode", "count", "layers", "bands", "unused"),
    [
        (3, 3, None, 3, 0),
        (3, 4, -1, 4, 0),
        (3, 4, 1, 3, 1),  # a saved selection
        (3, 4, None, 3, 1),
        (3, 5, None, 3, 2),
        (1, 1, None, 3, 0),
        (1, 2, 1, 3, 1),
        (4, 4, None, 3, 0),
        (4, 5, None, 3, 1),
    ],
)
def test_alpha_is_what_a_negative_number_of_layers_states(mode, count, layers, bands, unused) -> None:
    planes = RNG.integers(0, 256, (count, 6, 8), np.uint8)
    picture = Picture.open(file(mode, planes, layers), name="a")
    array = picture.array()
    assert picture.has_alpha == (bands == 4)
    assert picture.notes == ((NOTE.format(unused),) if unused else ())
    if mode == 3:
        assert np.array_equal(array, planes[:bands].transpose(1, 2, 0))


def test_the_smallest_one_and_a_block_without_layers() -> None:
    one = np.full((1, 1, 1), 7, np.uint8)
    assert Picture.open(file(1, one, None)).array().tolist() == [[[7, 7, 7]]]
    data = bytearray(file(3, np.zeros((4, 6, 8), np.uint8), -1))
    data[38:42] = bytes(4)  # the layers have no bytes: what follows is not their number
    assert psd.channels(bytes(data)) == (3, 1, False)


def test_a_damaged_head() -> None:
    data = file(3, np.zeros((4, 6, 8), np.uint8), -1)
    assert psd.channels(data) == (3, 1, True)
    with pytest.raises(ValueError, match="damaged"):
        psd.channels(data[:35])
