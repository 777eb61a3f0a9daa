"""Read the PNM formats: bits (P1, P4), gray (P2, P5), color (P3, P6), and floats (PFM: Pf, PF).

head = head_of(data)                    # of any largest value, which is white
array = samples(data, head)             # (H, W, bands)
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

TEXT, _BITS, _COLOR, _FLOATS = "123", "14", "36F", "fF"  # by the letter after P
_SPACE = rb"(?:\s|#[^\r\n]*[\r\n])+"
_MAGIC, _WORD = re.compile(rb"P([1-6fF])"), re.compile(_SPACE + rb"([-+.\deE]{1,20})")
_SPACES = re.compile(rb"\s")
_COMMENT, _WHITE = re.compile(rb"#[^\r\n]*"), b" \t\n\v\f\r"
_OF_BITS = bytes({ord("0"): 1, ord("1"): 0}.get(code, 255) for code in range(256))  # 1 is black
_MOST = 65535  # largest value of a sample
_STEP = 1 << 18  # bytes of text converted at once


@dataclass(frozen=True)
class Head:
    """What the head of a PNM states: kind, size, largest value (its sign: the order), and where it ends."""

    kind: str
    width: int
    height: int
    top: float
    end: int

    @property
    def bands(self) -> int:
        """1, or 3 in color."""
        return 3 if self.kind in _COLOR else 1

    @property
    def kept(self) -> str:
        """The type of a sample in the file, if it is binary, for NumPy."""
        if self.kind in _FLOATS:
            return "<f4" if self.top < 0 else ">f4"
        return "u1" if self.top < 256 else ">u2"


def head_of(data: bytes) -> Head:
    """Return what the head states.

    Raises:
        ValueError: It is damaged.
    """
    magic = _MAGIC.match(data)
    if magic is None:
        raise ValueError("no PNM")
    kind, end, words = magic[1].decode(), magic.end(), list[bytes]()
    for _ in range(2 if kind in _BITS else 3):
        word = _WORD.match(data, end)
        if word is None:
            raise ValueError("its head is damaged")
        words.append(word[1])
        end = word.end()
    width, height, top = int(words[0]), int(words[1]), 1.0 if kind in _BITS else float(words[2])
    if not (width > 0 and height > 0 and (top != 0 if kind in _FLOATS else 0 < top <= _MOST)):
        raise ValueError("its head is damaged")
    return Head(kind, width, height, top, end if kind in TEXT else end + 1)  # one white space


def samples(data: bytes, head: Head) -> npt.NDArray[Any]:
    """Return the samples, (H, W, bands): uint8 or uint16 up to `head.top`, bits as 0 and 1, or floats.

    Raises:
        ValueError: The file ends early, or has other samples than its head states.
    """
    shape = head.height, head.width, head.bands
    count = head.height * head.width * head.bands
    if head.kind == "4":
        row = (head.width + 7) // 8
        packed = np.frombuffer(data, np.uint8, row * head.height, head.end).reshape(head.height, row)
        return (np.unpackbits(packed, axis=1, count=head.width) ^ 1).reshape(shape)
    if head.kind not in TEXT:
        values = np.frombuffer(data, head.kept, count, head.end).reshape(shape)
        values = values[::-1] if head.kind in _FLOATS else values  # from the bottom up
        return np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    body = _COMMENT.sub(b"", data[head.end :]) if b"#" in data else data[head.end :]
    if head.kind == "1":  # often without white space between them
        values = np.frombuffer(body.translate(_OF_BITS, _WHITE), np.uint8, count)
    else:
        values = _numbers(body, count, head.kept.replace(">", "="))
    if values.max() > head.top:
        raise ValueError("its samples are damaged")
    return values.reshape(shape)


def _numbers(text: bytes, count: int, kind: str) -> npt.NDArray[Any]:
    """Return so many numbers of a text of digits and white space.

    Raises:
        ValueError: There are fewer, too large ones, or something else.
    """
    values, filled, at = np.empty(count, kind), 0, 0
    while filled < count and at < len(text):
        space = _SPACES.search(text, min(at + _STEP, len(text)))
        end = space.start() if space else len(text)
        part = text[at:end].strip()
        at = end + 1
        if part.translate(None, b"0123456789" + _WHITE):
            raise ValueError("its samples are damaged")
        numbers = np.fromstring(part, np.int64, sep=" ")[: count - filled] if part else values[:0]
        if numbers.size and numbers.max() > _MOST:
            raise ValueError("its samples are damaged")
        values[filled : filled + numbers.size] = numbers
        filled += numbers.size
    if filled < count:
        raise ValueError("its samples end early")
    return values
