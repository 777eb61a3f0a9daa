"""Sizes on paper: what is read, and how many pixels a picture has there."""

import math

import pytest

from impasto.config.paper import Paper
from impasto.errors import InputError


@pytest.mark.parametrize(
    ("text", "long", "short"),
    [
        ("40x30cm", 40 / 2.54, 30 / 2.54),
        ("30 cm x 40 cm", 40 / 2.54, 30 / 2.54),
        ("400mmx30CM", 40 / 2.54, 30 / 2.54),
        ("8x10in", 10, 8),
        ("8.5×11in", 11, 8.5),
        ("a4", 297 / 25.4, 210 / 25.4),
        ("A0", 1189 / 25.4, 841 / 25.4),
        ("a6", 148 / 25.4, 105 / 25.4),
    ],
)
def test_what_is_read(text, long, short) -> None:
    paper = Paper.parse(text)
    assert math.isclose(paper.long, long)
    assert math.isclose(paper.short, short)


@pytest.mark.parametrize(
    "text",
    ["", "40", "40x30", "40x30px", "40cm", "-4x3cm", "0x3cm", "1e3x1cm", "a7", "nanxnancm", "9999x3in"],
)
def test_what_is_no_size_is_named(text) -> None:
    with pytest.raises(InputError, match="--print: must be a width and a height with a unit"):
        Paper.parse(text)


@pytest.mark.parametrize(
    ("shape", "edge"),
    [
        ((4000, 3000), 3150),  # 40 cm at 200 dots per inch
        ((3000, 4000), 3150),  # upright
        ((2000, 2000), 2362),  # the short side ends it: 30 cm
        ((6000, 3000), 3150),  # a band: the long side ends it
        ((1, 1), 2362),
    ],
)
def test_a_picture_is_as_large_as_it_fits(shape, edge) -> None:
    assert Paper.parse("40x30cm").long_edge(*shape, 200) == edge
