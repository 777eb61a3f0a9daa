"""`torch_defaults`: compute as if nobody had set anything in torch, so that a recipe is enough."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from impasto.system.process import refuse_fork

Setting = tuple[Callable[[], Any], Callable[[Any], None], Any]  # how to read it, how to set it, what it is


def _flag(owner: Any, name: str, value: Any) -> Setting:
    return partial(getattr, owner, name), partial(setattr, owner, name), value


def _matrix_products() -> tuple[str | None, str, str]:
    """Return torch's older name for the precision of matrix products, and the two newer ones.

    The older one is None where the newer ones were set apart from it: then torch refuses to tell.
    """
    try:
        older = torch.get_float32_matmul_precision()
    except RuntimeError:
        older = None
    backends: Any = torch.backends
    return older, backends.cuda.matmul.fp32_precision, backends.mkldnn.matmul.fp32_precision


def _set_matrix_products(values: tuple[str | None, str, str]) -> None:
    older, cuda, mkldnn = values
    backends: Any = torch.backends
    if older is not None:
        torch.set_float32_matmul_precision(older)  # which sets the other two
    backends.cuda.matmul.fp32_precision, backends.mkldnn.matmul.fp32_precision = cuda, mkldnn


_backends: Any = torch.backends
# What is set for the whole process. fp32 is fp32: no TF32, whose products have 10 bits. cuDNN takes
# no algorithm that adds in any order, and chooses none by timing, which differs from run to run.
SETTINGS: tuple[Setting, ...] = (
    (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, 0),
    (_matrix_products, _set_matrix_products, ("highest", "ieee", "ieee")),
    _flag(_backends.mkldnn, "enabled", True),
    _flag(_backends.mkldnn.conv, "fp32_precision", "ieee"),
    _flag(_backends.cudnn, "enabled", True),
    _flag(_backends.cudnn, "deterministic", True),
    _flag(_backends.cudnn, "benchmark", False),
    _flag(_backends.cudnn.conv, "fp32_precision", "ieee"),
    _flag(_backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", False),
)


@contextlib.contextmanager
def torch_defaults() -> Iterator[None]:
    """Compute with settings of our own inside the block, or in a function that this decorates.

    These are the default dtype and device, gradients and inference mode, autocast, deterministic algorithms,
    the precision of matrix products and convolutions, oneDNN and cuDNN. The number of threads is set by
    `hardware.threads`.

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
