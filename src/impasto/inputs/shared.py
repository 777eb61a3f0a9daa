"""A cache of what several runs on the same pictures share: network, scaled inputs, targets.

These do not depend on the weights of the losses, the start or the solver. A run that takes them from here
computes with the same tensors that it would have made itself, so its pixels are the same to the byte.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

LIMIT = 1_000_000_000  # bytes of tensors in the cache
ENTRIES = 1000  # values in the cache at most

T = TypeVar("T")


class Shared:
    """A cache of values by key, which drops the least recently used ones beyond its limit in bytes.

    A limit of 0 caches nothing, for a single run; with `photos=False`, nothing that depends on the photo is
    cached. Cached values must not be changed in place. Keys contain the objects that a value depends on,
    compared by identity where they define no equality, so that a key never stands for another value.
    """

    def __init__(self, limit: int = LIMIT, *, photos: bool = True) -> None:
        self.limit, self._photos = limit, photos
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self.made = 0  # values made so far

    def get(self, key: Hashable, make: Callable[[], T], *, photo: bool = False) -> T:
        """Return the value of a key, which names all that it depends on; `make` it if it is not cached.

        `photo` says whether it depends on the photo.
        """
        if key in self._kept:
            self._kept.move_to_end(key)
            cached: T = self._kept[key][0]
            return cached
        value = make()
        self.made += 1
        size = sum(tensor.nbytes for tensor in _tensors(value))
        if size <= self.limit and self.limit and (self._photos or not photo):
            self._kept[key] = (value, size)
            total = sum(size for _, size in self._kept.values())
            while len(self._kept) > ENTRIES or total > self.limit:
                total -= self._kept.popitem(last=False)[1][1]
        return value

    def clear(self) -> None:
        """Drop all values."""
        self._kept.clear()


def _tensors(value: object) -> Iterator[Tensor]:
    """Yield the tensors in a value."""
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
