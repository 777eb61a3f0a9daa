"""`torch_defaults`: compute as if nobody had set anything in torch, so that a recipe is enough."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from impasto.system.process import refuse_fork

# What is set for the whole process: how to read it, how to set it, and the default.
SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], None], Any], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 0),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    (lambda: torch.backends.mkldnn.enabled, partial(setattr, torch.backends.mkldnn, "enabled"), True),
)


@contextlib.contextmanager
def torch_defaults() -> Iterator[None]:
    """Compute with torch's own defaults inside the block, or in a function that this decorates.

    These are the default dtype and device, gradients and inference mode, autocast, deterministic algorithms,
    the precision of matrix products, and oneDNN. The number of threads is set by `hardware.threads`.

    Raises:
        ResourceError: The process was forked after impasto had been used.
    """
    refuse_fork()
    with contextlib.ExitStack() as after:
        after.enter_context(torch.inference_mode(False))
        after.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                after.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            after.enter_context(torch.device("cpu"))
        for read, change, default in SETTINGS:
            before = read()
            if before != default:
                after.callback(change, before)
                change(default)
        yield
