"""What several runs on the same pictures have in common: made once, used by all that want the same.

The network, the scaled inputs and the targets do not depend on the weights of the losses, the start or
the solver. A run that finds them here computes with the very tensors that it would have made itself, so its
pixels are the same to the byte.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

LIMIT = 1_000_000_000  # bytes that are kept, beside what a run needs

T = TypeVar("T")


class Shared:
    """Keeps what was made, by key; what was used longest ago goes first when it gets too much.

    Nothing kept may be changed in place. Keys hold the objects they depend on, compared by identity
    where they have no values of their own, so that a key never comes to mean something else.

    Args:
        limit: Bytes of tensors that are kept; 0 keeps nothing, which is what a single run wants.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self.made = 0  # things made so far

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is kept under a key, made now if it is not there."""
        if key in self._kept:
            self._kept.move_to_end(key)
            found: T = self._kept[key][0]
            return found
        value = make()
        self.made += 1
        weight = sum(tensor.nbytes for tensor in _tensors(value))
        if weight <= self._limit and self._limit:
            self._kept[key] = (value, weight)
            while sum(size for _, size in self._kept.values()) > self._limit:
                self._kept.popitem(last=False)
        return value


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
