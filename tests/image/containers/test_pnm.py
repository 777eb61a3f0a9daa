"""PNM of all kinds against Pillow, or against what was written; heads with comments; damage."""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image

from impasto.errors import PictureError
from impasto.image.containers import pnm
from impasto.image.picture import Picture

RNG = np.random.default_rng(5)
WIDTH, HEIGHT = 11, 7


def text(values: np.ndarray, between: bytes = b" ") -> bytes:
    return between.join(b"%d" % value for value in values.ravel())


def file(kind: str, top: int) -> tuple[bytes, np.ndarray]:
    """A file, and its samples."""
    bands = 3 if kind in "36" else 1
    values = RNG.integers(0, top + 1, (HEIGHT, WIDTH, bands))
    values.flat[:2] = 0, top
    head = f"P{kind}\n{WIDTH} {HEIGHT}\n".encode() + (b"" if kind in "14" else b"%d\n" % top)
    if kind == "4":
        return head + np.packbits(values[..., 0], axis=1).tobytes(), 1 - values
    if kind in "56":
        return head + values.astype("u1" if top < 256 else ">u2").tobytes(), values
    return head + text(values), 1 - values if kind == "1" else values


@pytest.mark.parametrize("kind", "123456")
@pytest.mark.parametrize("top", [1, 15, 100, 255, 256, 1000, 65535])
def test_samples_of_any_largest_value(kind, top) -> None:
    top = 1 if kind in "14" else top
    data, values = file(kind, top)
    bits = 8 if top < 256 else 16
    picture = Picture.open(data)
    expected = np.rint(values / top * (2**bits - 1)).astype(int)
    assert picture.bits == bits
    assert np.abs(picture.array() - np.broadcast_to(expected, (HEIGHT, WIDTH, 3))).max() <= (top == 1000)


@pytest.mark.parametrize(("kind", "top"), [("1", 1), ("2", 100), ("3", 255), ("4", 1), ("5", 9), ("6", 200)])
def test_pillow_reads_the_same(kind, top) -> None:
    data, _ = file(kind, top)
    array = np.asarray(Image.open(io.BytesIO(data), formats=["PPM"]).convert("RGB"))
    assert np.array_equal(Picture.open(data).array(), array)


@pytest.mark.parametrize(
    "data",
    [
        b"P2 2 1 9 9 0",
        b"P2#of one\n2\t1\r\n#another\r#and\n9\n9\n0\n# the end",
        b"P2\n2 1\n9\n9 # a white one\n0",
        b"P5\n2 1 # size\n9\n\x09\0",
        b"P5 2 1 9 \x09\0 more",
        b"P1 2 1 0 1",
        b"P1\n# bits\n2 1\n01",
        b"P1 2 1 0# white\n#\n1",
        b"P4 2 1 \x40",
        b"P4 2 1\n\x7f",
    ],
)
def test_heads_and_comments(data) -> None:
    assert Picture.open(data).array()[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize(
    "data",
    [
        *(b"P2 2 1 9 9", b"P2 2 1 9 10 0", b"P2 2 1 9 -1 0", b"P2 2 1 9 9 x", b"P2 2 1 9 1.5 2", b"P2 2 1 9"),
        *(b"P5 2 1 9 \x09", b"P5 2 1 0 \0\0", b"P5 2 1 65536 \0\0\0\0", b"P5 -2 1 9 \0\0", b"P5 0 1 9 \0\0"),
        *(
            b"P1 2 1 02",
            b"P1 2 1 0",
            b"P4 9 1 \0",
            b"P6 1 1 9 \0\0",
            b"P5 2.5 1 9 \0\0\0",
            b"P5 2 1",
            b"P5 2 1 ",
        ),
        *(b"Pf 1 1 0 \0\0\0\0", b"Pf 1 1 . \0\0\0\0", b"PF 1 1 -1 " + bytes(11)),
    ],
)
def test_damage(data) -> None:
    with pytest.raises(PictureError, match=r"^cat is damaged"):
        Picture.open(data, name="cat")


def test_a_long_text_is_read_in_parts(monkeypatch) -> None:
    monkeypatch.setattr(pnm, "_STEP", 7)
    data, values = file("3", 65535)
    assert np.array_equal(Picture.open(data).array(), values)
    with pytest.raises(PictureError, match="is damaged"):
        Picture.open(data.rstrip(b"0123456789"))


@pytest.mark.parametrize("kind", "123456fF")
def test_any_bytes_are_read_or_refused(kind) -> None:
    data, _ = (
        file(kind, 1 if kind in "14" else 200) if kind.isdigit() else (b"P%b 2 2 -1 " % kind.encode(), 0)
    )
    data += bytes(48) * (not kind.isdigit())
    for _ in range(200):
        changed = bytearray(data)
        for place in RNG.integers(2, len(changed), 2):
            changed[place] = RNG.integers(0, 256)
        with contextlib.suppress(ValueError):
            head = pnm.head_of(bytes(changed))
            if head.width * head.height < 10**6:
                assert pnm.samples(bytes(changed), head).shape == (head.height, head.width, head.bands)
