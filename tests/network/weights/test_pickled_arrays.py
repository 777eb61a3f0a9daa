"""Pickles of arrays: what is read; nothing in one runs, unpacks to too much, or raises another error."""

import contextlib
import io
import os
import pickle
import random
import struct
from types import SimpleNamespace

import numpy as np
import pytest

from impasto.network.weights import pickled_arrays
from impasto.network.weights.pickled_arrays import MOST, Refused, read_arrays


def content() -> dict:
    """Return what such a file holds, with small arrays."""
    numbers = np.random.default_rng(0).normal(size=(2, 3, 3, 3))
    return {
        "mean value": np.array([103.939, 116.779, 123.68]),
        "synset words": ["tench", "goldfish"],
        "param values": [numbers.astype(np.float32), np.arange(2, dtype=np.float32)],
        "model type": "vgg19",
    }


def test_arrays_are_read_with_their_places() -> None:
    expected = content()
    found = read_arrays(pickle.dumps(expected, protocol=4))
    assert list(found) == ["mean value", "param values/0", "param values/1"]
    assert np.array_equal(found["mean value"], expected["mean value"])
    for number, array in enumerate(expected["param values"]):
        read = found[f"param values/{number}"]
        assert read.dtype == array.dtype
        assert np.array_equal(read, array)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_names_of_older_numpy_and_older_protocols(protocol) -> None:
    data = pickle.dumps({"a": np.ones(3, np.float32)}, protocol=protocol)
    if protocol == 2:  # a function makes the bytes there, and no function is called
        with pytest.raises(Refused, match="_codecs"):
            read_arrays(data)
        return
    assert read_arrays(data)["a"].tolist() == [1, 1, 1]
    new, old = b"numpy._core.multiarray", b"numpy.core.multiarray"
    if protocol == 3 and new in data:  # where names have no length before them
        assert read_arrays(data.replace(new, old))["a"].tolist() == [1, 1, 1]


def test_every_cut_and_every_changed_byte_is_an_error_or_read() -> None:
    data = pickle.dumps(content(), protocol=4)
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"\w"):
            read_arrays(data[:length])
    chosen = random.Random(1)
    for _ in range(3000):
        changed = bytearray(data)
        for _ in range(chosen.choice((1, 1, 2, 8))):
            changed[chosen.randrange(len(data))] = chosen.randrange(256)
        with contextlib.suppress(ValueError):
            read_arrays(bytes(changed))


class Evil:
    def __init__(self, called, *arguments) -> None:
        self.what = called, arguments

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_nothing_in_a_pickle_runs(tmp_path, protocol) -> None:
    canary = tmp_path / "canary"
    for evil in (
        Evil(os.system, f"touch {canary}"),
        Evil(eval, f"open({str(canary)!r}, 'w')"),
        Evil(np.save, str(canary), np.ones(1)),
        SimpleNamespace(a=1),
    ):
        for held in ({"param values": [evil]}, {"a": [np.ones(2)], "b": evil}, [evil]):
            with pytest.raises(ValueError, match=r"\w"):
                read_arrays(pickle.dumps(held, protocol=protocol))
    assert not list(tmp_path.iterdir())


NAME = b"\x8c\x05numpy\x8c\x07ndarray\x93"
BAD = {
    "another name": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "a name that is no text": b"\x80\x04))\x93.",
    "a class that is called": b"\x80\x04" + NAME + b")R.",
    "the state of a class": b"\x80\x04" + NAME + b"}b.",
    "a persistent object": b"\x80\x04K\x01Q.",
    "a new object": b"\x80\x04" + NAME + b")\x81.",
    "an extension": b"\x80\x02\x82\x01.",
    "a key that is no text": b"\x80\x04})K\x01s.",
    "too many instructions": b"\x80\x04" + b"(" * (MOST + 1) + b".",
    "more bytes than there are": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "a frame larger than the file": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
    "a far place in the memory": b"\x80\x04}r" + struct.pack("<I", 2**32 - 1) + b"0.",
    "a place that is empty": b"\x80\x04h\x05.",
    "an empty stack": b"\x80\x04.",
    "a tuple of nothing": b"\x80\x04\x86.",
    "a mark that is missing": b"\x80\x04t.",
    "no dictionary": b"\x80\x04].",
    "nothing": b"",
    "text": b"hello, this is no pickle",
}


@pytest.mark.parametrize("kind", BAD)
def test_other_instructions_are_refused(kind) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_arrays(BAD[kind])


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.array(["a"], dtype=object), Refused),
        (np.arange(3), Refused),
        (np.arange(3, dtype=">f4"), Refused),
        (np.ones(3, np.float16), Refused),
        (np.asfortranarray(np.ones((2, 3), np.float32)), Refused),
        (np.ones((1, 1, 1, 1, 1), np.float32), ValueError),
    ],
)
def test_arrays_of_other_kinds_are_refused(array, error) -> None:
    with pytest.raises(error):
        read_arrays(pickle.dumps({"a": array}, protocol=4))


@pytest.mark.parametrize("shape", [(4,), (2,), (-3,), (3, 10**9), (2**30, 2**30, 0), (2**21, 2**10)])
def test_an_array_has_the_bytes_of_its_shape(shape) -> None:
    sound = {"a": np.ones(3, np.float32)}

    file = io.BytesIO()
    pickler = pickle._Pickler(file, protocol=4)
    save = pickler.save_tuple

    def save_tuple(_, item) -> None:
        save(shape if item == (3,) else item)

    pickler.dispatch = {**pickler.dispatch, tuple: save_tuple}
    pickler.dump(sound)
    with pytest.raises(ValueError, match="array"):
        read_arrays(file.getvalue())


def test_arrays_that_share_their_bytes_are_refused() -> None:
    """Else a small file could unpack to any size."""
    large = np.zeros(1000, np.float32)
    with pytest.raises(ValueError, match="share their bytes"):
        read_arrays(pickle.dumps({"param values": [large] * 50}, protocol=4))


def test_large_arrays_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(pickled_arrays, "LARGEST", 10)
    with pytest.raises(ValueError, match="no known shape"):
        read_arrays(pickle.dumps({"a": np.zeros(11, np.float32)}, protocol=4))
