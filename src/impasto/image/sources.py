"""What a `Picture` can be made of: paths, bytes, open files, pictures of Pillow, arrays and tensors."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from impasto.config.limits import Input
from impasto.errors import PictureError
from impasto.messages import printable
from impasto.system.files import check_length


def is_pil(source: object) -> bool:
    """Whether it is a picture of Pillow, which need not be loaded for that."""
    return any(f"{c.__module__}.{c.__name__}" == "PIL.Image.Image" for c in type(source).__mro__)


def is_file(source: object) -> bool:
    """Whether it is a path, or the bytes of a file, also in a buffer or an open file."""
    kinds = (str, os.PathLike, bytes, bytearray, memoryview)
    return isinstance(source, kinds) or (hasattr(source, "read") and not is_pil(source))


def contents(source: Any, limits: Input, name: str | None) -> tuple[Any, str | None]:
    """Return a path as it is, else the bytes of a file; and its name.

    Raises:
        PictureError: An open file was opened as text, or is too long.
    """
    if isinstance(source, (bytearray, memoryview)):
        return bytes(source), name
    if not hasattr(source, "read") or isinstance(source, os.PathLike):
        return source, name
    label = name or Path(str(getattr(source, "name", "") or "<file>")).name
    data = source.read(limits.max_bytes + 1)
    if not isinstance(data, bytes):
        raise PictureError(f"{printable(label)} is open as text; open it with mode 'rb'")
    check_length(data, limits.max_bytes, printable(label))
    return data, label


def as_array(source: Any, label: str) -> npt.NDArray[Any]:
    """Return an array as it is, and the values of a tensor (C, H, W) or (1, C, H, W) as (H, W, C).

    Raises:
        PictureError: It is neither, or of another shape or type.
    """
    if isinstance(source, np.ndarray):
        return source
    if not isinstance(source, Tensor):
        kind = "None" if source is None else f"a {type(source).__name__}"
        raise PictureError(
            f"a picture cannot be made of {kind}; give a path, bytes, a file, an array, a tensor or a PIL "
            "image"
        )
    planes = source.detach()
    planes = planes[0] if planes.ndim == 4 and planes.shape[0] == 1 else planes
    if planes.ndim != 3 or planes.shape[0] not in (1, 3, 4):
        expected = "(C, H, W) or (1, C, H, W) with 1, 3 or 4 channels"
        raise PictureError(f"{label} has the shape {tuple(source.shape)}; give {expected}")
    if not (planes.is_floating_point() or planes.dtype == torch.uint8):
        raise PictureError(f"{label} has values of the type {planes.dtype}; give uint8 or floats from 0 to 1")
    if planes.is_floating_point():
        planes = planes.float()
    array: npt.NDArray[Any] = planes.cpu().permute(1, 2, 0).numpy()
    return array
