"""Read the NumPy arrays of a pickle without running anything in it.

A pickle is a program for a small machine. Here only those of its instructions are carried out that plain data
and arrays need, at most `MOST` of them; any other, and any name but NumPy's own for arrays, is refused. No
class is looked up and no function called, so that the pickle cannot choose what runs. Every array has exactly
as many bytes as its shape needs, and all of them together not more than the pickle.
"""

import math
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST = 20_000  # instructions; VGG-19 has 2,886
LARGEST = 512 * 512 * 9  # numbers in VGG-19's largest convolution
ARRAY, KIND, CLASS = "array", "kind", "class"  # what the names below stand for
NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): ARRAY,
    ("numpy._core.multiarray", "_reconstruct"): ARRAY,  # from NumPy 2 on
    ("numpy", "dtype"): KIND,
    ("numpy", "ndarray"): CLASS,
}
VALUES = {
    *("SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
    *("BININT", "BININT1", "BININT2", "BINFLOAT"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Refused(ValueError):
    """The pickle holds more than plain data and arrays."""


@dataclass(frozen=True)
class _Name:
    """One of `NAMES`, by what it stands for."""

    what: str


@dataclass
class _Kind:
    """A NumPy dtype: `f4` or `f8`, little-endian once its state is set."""

    code: object
    little: bool = False


@dataclass
class _Array:
    """An array, once its state is set."""

    values: np.ndarray[Any, np.dtype[Any]] | None = None


def read_arrays(data: bytes) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Return all arrays of a pickled dictionary, those in its lists as `KEY/0`, `KEY/1` ...

    Raises:
        Refused: It holds more than plain data and arrays.
        ValueError: It is cut off or damaged, or an array has not the bytes of its shape.
    """
    try:
        content = _run(data)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a whole pickle: {error}") from error
    if not isinstance(content, Mapping):
        raise ValueError("not a dictionary of arrays")
    arrays = {}
    for name, value in content.items():
        listed = enumerate(value) if isinstance(value, list) else ()
        for key, item in [(f"{name}", value), *((f"{name}/{number}", item) for number, item in listed)]:
            if isinstance(item, _Array) and item.values is not None:
                arrays[key] = item.values
    if sum(values.nbytes for values in arrays.values()) > len(data):
        raise ValueError("its arrays share their bytes")
    return {key: values.copy() for key, values in arrays.items()}


def _run(data: bytes) -> Any:
    """Carry out the instructions of a pickle; return what it holds."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}
    for number, (instruction, value, _) in enumerate(pickletools.genops(data)):
        name = instruction.name
        if number >= MOST:
            raise Refused(f"more than {MOST} instructions")
        if name in VALUES:
            stack.append(value)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in TUPLES:
            stack.append(tuple(_pop(stack, len(stack) - TUPLES[name])))
        elif name in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append([] if name == "EMPTY_LIST" else {})
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(tuple(_pop(stack, marks.pop())))
        elif name in ("APPEND", "APPENDS"):
            items = _pop(stack, marks.pop() if name == "APPENDS" else len(stack) - 1)
            stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = _pop(stack, marks.pop() if name == "SETITEMS" else len(stack) - 2)
            if not all(type(key) is str for key in items[::2]):
                raise Refused("a key that is no text")
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            memo[len(memo) if name == "MEMOIZE" else value] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[value])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            words = str(value).split(" ", 1) if name == "GLOBAL" else _pop(stack, len(stack) - 2)
            stack.append(_name(*words))
        elif name == "REDUCE":
            called, arguments = _pop(stack, len(stack) - 2)
            stack.append(_made(called, arguments))
        elif name == "BUILD":
            _set_state(stack[-2], stack.pop())
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise Refused(f"the instruction {name}")
    if len(stack) != 1:
        raise ValueError("not a whole pickle")
    return stack[0]


def _pop(stack: list[Any], start: int) -> list[Any]:
    """Take what lies on the stack from a position on."""
    if start < 0:
        raise IndexError("the stack is empty")
    items = stack[start:]
    del stack[start:]
    return items


def _name(module: object, name: object) -> _Name:
    if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in NAMES:
        raise Refused(
            f"the name {module}.{name}"[:100] if isinstance(module, str) else "a name that is no text"
        )
    return _Name(NAMES[module, name])


def _made(called: object, arguments: object) -> _Array | _Kind:
    """Return an array or its kind, still without its state."""
    if called == _Name(ARRAY):
        return _Array()
    if called == _Name(KIND) and isinstance(arguments, tuple):
        return _Kind(arguments[0])
    raise Refused("a call of something else than NumPy's arrays")


def _set_state(item: object, state: object) -> None:
    """Give an array or its kind what was pickled of it."""
    if isinstance(item, _Kind) and isinstance(state, tuple):
        item.little = state[1] == "<"
        return
    if not isinstance(item, _Array) or not isinstance(state, tuple):
        raise Refused("the state of something else than NumPy's arrays")
    _, shape, kind, fortran, data = state
    if not isinstance(kind, _Kind) or kind.code not in ("f4", "f8") or not kind.little or fortran:
        raise Refused("an array of other numbers than float32 or float64")
    if len(shape) > 4 or not all(type(edge) is int and 0 <= edge <= LARGEST for edge in shape):
        raise ValueError("an array of no known shape")
    size = math.prod(shape)
    if size > LARGEST or not isinstance(data, bytes) or len(data) != size * int(str(kind.code)[1]):
        raise ValueError(f"an array of the shape {tuple(shape)} has not its number of bytes")
    item.values = np.frombuffer(data, f"<{kind.code}").reshape(shape)
