"""Repeats a function of one tensor on a CUDA device as a graph, which launches all its kernels at once.

At small sizes a GPU waits for the host, which launches hundreds of kernels for an evaluation. A graph is
recorded once and gives the same bytes: that is checked before it is used, and where recording fails, memory
does not suffice or the bytes differ, the function itself is called as before.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

Function = Callable[[Tensor], tuple[Tensor, Tensor]]
LARGEST = 1_500_000  # px of the input; beyond, kernels take longer than their launch, and memory counts
CALLS = 3  # without a graph at first: libraries choose and allocate, and short runs need none

log = logging.getLogger(__name__)


class Graphed:
    """A function (1, 3, H, W) -> two tensors, by a graph where that is possible.

    The function must do the same for the same shape, and read nothing back to the host. What it returns is
    new at each call.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._calls = 0
        self._repeat: Function | None = None

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the function does for an image."""
        if self._repeat is not None:
            return self._repeat(image)
        result = self._function(image)
        self._calls += 1
        if self._calls == CALLS and _suits(image):
            self._repeat = _recorded(self._function, image, result)
        return result


def _suits(image: Tensor) -> bool:
    return image.device.type == "cuda" and image[0, 0].numel() <= LARGEST


def _recorded(function: Function, image: Tensor, expected: tuple[Tensor, Tensor]) -> Function | None:
    """Return the function as a graph; None where it cannot be recorded or gives other bytes than expected."""
    try:
        torch.cuda.empty_cache()
        repeat = _record(function, image)
        same = all(torch.equal(one, other) for one, other in zip(repeat(image), expected, strict=True))
    except RuntimeError as error:  # out of memory is one
        log.info("no CUDA graph: %s", error)
        torch.cuda.empty_cache()
        return None
    if not same:
        log.info("no CUDA graph: it gives other numbers")
        return None
    return repeat


def _record(function: Function, image: Tensor) -> Function:
    """Record what the function does for images of this shape, on their device."""
    graph, source = torch.cuda.CUDAGraph(), image.clone()
    with torch.cuda.device(image.device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
        results = function(source)

    def repeat(image: Tensor) -> tuple[Tensor, Tensor]:
        source.copy_(image)
        graph.replay()
        first, second = results
        return first.clone(), second.clone()

    return repeat
