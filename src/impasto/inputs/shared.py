"""`Shared`: what several runs on the same pictures have in common, made once.

The network, the scaled inputs and the targets do not depend on the weights of the losses, the start or
the solver. A run that gets them from here computes with the very tensors that it would have made itself, so
its pixels are the same to the byte.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

LIMIT = 1_000_000_000  # bytes that are kept, beside what a run needs
ENTRIES = 1000  # things that are kept at most

T = TypeVar("T")


class Shared:
    """Keeps what was made, by key; what was used longest ago goes first when it gets too much.

    Nothing kept may be changed in place. Keys hold the objects they depend on, compared by identity
    where they have no values of their own, so that a key never comes to mean something else.

    Args:
        limit: Bytes of tensors that are kept; 0 keeps nothing, which serves a single run.
        photos: Whether what depends on the photo is kept, too.
    """

    def __init__(self, limit: int = LIMIT, *, photos: bool = True) -> None:
        self._limit, self._photos = limit, photos
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self.made = 0  # things made so far

    def get(self, key: Hashable, make: Callable[[], T], *, photo: bool = False) -> T:
        """Return what is kept under a key, made now if it is not there.

        Args:
            key: All that it depends on.
            make: Makes it.
            photo: Whether it depends on the photo.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            known: T = self._kept[key][0]
            return known
        value = make()
        self.made += 1
        size = sum(tensor.nbytes for tensor in _tensors(value))
        if size <= self._limit and self._limit and (self._photos or not photo):
            self._kept[key] = (value, size)
            while len(self._kept) > ENTRIES or self._size() > self._limit:
                self._kept.popitem(last=False)
        return value

    def clear(self) -> None:
        """Give everything back."""
        self._kept.clear()

    def _size(self) -> int:
        return sum(size for _, size in self._kept.values())


def _tensors(value: object) -> Iterator[Tensor]:
    """Yield the tensors in what runs make."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, nn.Module):
        yield from value.parameters()
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _tensors(getattr(value, field.name))
