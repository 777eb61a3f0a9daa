"""What is said of files that cannot be read: one sentence, of this file, in words that people know."""

import logging
import re

import numpy as np
import pytest

from impasto import Picture
from impasto.errors import PictureError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
# Names of C functions, of Python's types and errors, of libraries, addresses.
INTERNAL = re.compile(
    r"vips|\w_\w|0x|\b(lib|jpeg|png|tiff)\w*: |\b[A-Z]\w*Error|Exception|unpack|struct"
    r"|libtiff|libpng|libheif|libjpeg|\b(None|NoneType|int|str|bytes|tuple|object|buffer|errno)\b|IFD|Errno"
)


def broken(suffix: str, seed: int) -> bytes:
    """A file with a few bytes changed, or cut short."""
    data = bytearray(Picture.of(PIXELS).encode(suffix))
    random = np.random.default_rng(seed)
    if seed % 3 == 0:
        return bytes(data[: int(random.integers(4, len(data)))])
    first = 8 if seed % 3 == 1 else len(data) // 4
    for place in random.integers(first, min(len(data), first + 400), 6):
        data[place] = int(random.integers(0, 256))
    return bytes(data)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".avif"])
def test_every_refusal_is_one_sentence_without_words_of_libraries(suffix) -> None:
    refusals = set()
    for seed in range(60):
        try:
            Picture.open(broken(suffix, seed), name="cat")
        except PictureError as error:
            refusals.add(str(error))
    assert refusals
    for message in refusals:
        assert message.startswith("cat"), message
        assert not INTERNAL.search(message), message
        assert "\n" not in message


def test_a_refusal_never_carries_the_reason_of_another_file(caplog) -> None:
    caplog.set_level(logging.INFO, "impasto")
    png, webp = broken(".png", 3), Picture.of(PIXELS).encode(".webp")[:200]
    said = []
    for name, data in (("one", png), ("two", webp), ("three", png)):
        caplog.clear()
        with pytest.raises(PictureError):
            Picture.open(data, name=name)
        said.append([record.getMessage().removeprefix(f"{name}: ") for record in caplog.records])
    assert said[0] == said[2]
    assert all(line not in said[0] for line in said[1])


def test_what_the_library_said_is_in_the_log(caplog) -> None:
    caplog.set_level(logging.INFO, "impasto")
    with pytest.raises(
        PictureError, match=r"^cat is damaged, or of a kind that cannot be read; export it anew as PNG$"
    ):
        Picture.open(Picture.of(PIXELS).encode(".webp")[:200], name="cat")
    assert any(record.getMessage().startswith("cat: ") for record in caplog.records)
