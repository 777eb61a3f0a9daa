"""A run on disk, from which it goes on to the same bytes as if it had never been interrupted.

Form: `Checkpoint` -> a safetensors file and back. The tensors are the solver's own; all else is the
`CheckpointHeader`, JSON in the file's header. A checksum of both tells a whole file from a torn one;
the one before lies beside it, as `NAME.previous`. Written by hand, tensor by tensor, because the library would copy everything
first, or write past our temporary file; read by the library. Nothing in a checkpoint is ever run.
"""

import json
import logging
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from impasto._version import __version__
from impasto.config.model import Model, explain
from impasto.config.recipe import Recipe
from impasto.errors import InputError, SettingsError
from impasto.inputs.pyramid import Scale
from impasto.messages import printable, reason
from impasto.optim.evaluation import State, check_state
from impasto.system.files import check_ordinary, publish
from impasto.transfer.result import Record

FORM = 1
HEAD, SUM = "impasto", "crc32"  # in the header of the file
HISTORY = "history"  # the tensor with what is kept of each evaluation
ROW = 3  # scale, evaluation and seconds, before the losses
DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.int32: "I32", torch.bfloat16: "BF16"}
log = logging.getLogger(__name__)


class CheckpointHeader(Model):
    """All of a checkpoint that is no tensor.

    `recipe` is that of the run so far; `passes` the evaluations at each scale of one that is made again.
    `scale` counts from 0; `tile` is that in use; `used` are evaluations of this scale before memory ran
    out. `left` are seconds of a time budget. `count`, `numbers` and `parts` are the solver's. `losses` names
    the caller's own, `folders` where the inputs lay; `note` is the command line's.
    """

    form: Literal[1] = 1
    recipe: Recipe
    passes: tuple[int, ...] | None = None
    scale: int = Field(ge=0)
    tile: int = Field(ge=0)
    used: int = Field(ge=0)
    scale_seconds: float = Field(ge=0)
    left: float | None = None
    count: int = Field(ge=0)
    numbers: dict[str, float]
    parts: dict[str, float]
    columns: tuple[str, ...]
    losses: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    note: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stands: what it is and what it did, and its solver's tensors."""

    head: CheckpointHeader
    tensors: dict[str, Tensor]
    history: tuple[Record, ...]

    @property
    def state(self) -> State:
        """The solver's state, with the very tensors, which the solver takes out of it."""
        head = self.head
        return State(head.count, self.tensors, head.numbers, head.parts)


def previous(path: Path) -> Path:
    """Return where the checkpoint before is kept."""
    return Path(f"{path}.previous")


# --- writing -------------------------------------------------------------------------------------


def write(path: Path, checkpoint: Checkpoint) -> int:
    """Write a checkpoint, whole or not at all, and keep the one before; return its bytes.

    Raises:
        OutputError: It cannot be written.
    """
    head = checkpoint.head
    table = [
        [
            row.scale,
            row.evaluation,
            row.seconds,
            *(row.losses.get(n, math.nan) for n in head.columns),
        ]
        for row in checkpoint.history
    ]
    shape = (len(table), ROW + len(head.columns))
    history = torch.tensor(table, dtype=torch.float64).view(shape)
    tensors = {**checkpoint.tensors, HISTORY: history}
    text = head.model_dump_json()
    publish(path, partial(_save, tensors, text), overwrite=True, previous=previous(path))
    return sum(tensor.nbytes for tensor in tensors.values())


def _save(tensors: Mapping[str, Tensor], text: str, file: BinaryIO) -> None:
    """Write a safetensors file: length of the header, header, tensors."""
    names = _order(tensors)
    file.write(_header(tensors, names, text, 0))
    summed = zlib.crc32(text.encode())
    for name in names:
        data = _bytes(tensors[name])
        summed = zlib.crc32(data, summed)
        file.write(data)
    file.seek(0)
    file.write(_header(tensors, names, text, summed))


def _header(tensors: Mapping[str, Tensor], names: Sequence[str], text: str, summed: int) -> bytes:
    header: dict[str, Any] = {"__metadata__": {HEAD: text, SUM: f"{summed:08x}"}}
    end = 0
    for name in names:
        start, end = end, end + tensors[name].nbytes
        kind, shape = DTYPES[tensors[name].dtype], list(tensors[name].shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [start, end]}
    packed = json.dumps(header).encode()
    packed += b" " * (-len(packed) % 8)
    return len(packed).to_bytes(8, "little") + packed


def _bytes(tensor: Tensor) -> memoryview:
    """Return a tensor's bytes; copied only from a device."""
    flat: Any = tensor.detach().cpu().flatten().view(torch.uint8).numpy()
    return memoryview(flat)


def _order(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names in the order of the file: wide numbers first, so that all are aligned."""
    return sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))


# --- reading -------------------------------------------------------------------------------------


class TornError(InputError):
    """A checkpoint that is missing, cut off or damaged."""


def load(path: Path) -> Checkpoint:
    """Read a checkpoint; the one before where it is missing, cut off or damaged.

    Raises:
        InputError: There is none that can be read, or it is of another version.
    """
    try:
        return read(path)
    except TornError as error:
        try:
            found = read(previous(path))
        except InputError:
            remedy = "" if ";" in str(error) else "; give the FILE that --checkpoint wrote"
            raise TornError(f"{error}{remedy}") from None
        log.warning("%s: going on from the one before", error)
        return found


def read(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        TornError: It is missing, cut off or damaged, or no checkpoint.
        InputError: It is of another version.
    """
    shown = printable(path)
    try:
        check_ordinary(path)
        with safe_open(path, "pt") as file:
            said = dict(file.metadata() or {})
            # Copies of our own: on a boundary that fast arithmetic likes, as when they were made.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
    except InputError as error:
        raise TornError(str(error)) from error
    except OSError as error:
        raise TornError(f"cannot read {shown}: {reason(error)}") from error
    except MemoryError as error:
        raise TornError(f"not enough memory to read {shown}") from error
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        raise _torn(shown) from error
    head = _head(said.get(HEAD, ""), shown)
    summed = zlib.crc32(said[HEAD].encode())
    for name in _order(tensors):
        summed = zlib.crc32(_bytes(tensors[name]), summed)
    if said.get(SUM) != f"{summed:08x}":
        raise _torn(shown)
    return _checked(head, tensors, shown)


def _torn(shown: str) -> TornError:
    return TornError(f"{shown} is cut off or damaged, or no checkpoint of impasto's")


def _head(text: str, shown: str) -> CheckpointHeader:
    try:
        values = json.loads(text)
        form, made = values["form"], str(values["recipe"]["impasto"])
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise _torn(shown) from error
    if form != FORM or made != __version__:
        raise InputError(
            f"{shown} was written by impasto {printable(made[:40])}; this is impasto {__version__}, which "
            "could not give the same bytes: go on with that version"
        )
    try:
        return CheckpointHeader.model_validate_json(text)
    except ValidationError as error:
        raise TornError(
            f"{shown}: {explain('head', error, CheckpointHeader.model_fields)}"
        ) from error
    except SettingsError as error:
        raise TornError(f"{shown}: {error}") from error


def _checked(head: CheckpointHeader, tensors: dict[str, Tensor], shown: str) -> Checkpoint:
    """Return the checkpoint, if its solver can go on from it."""
    if any(tensor.dtype not in DTYPES for tensor in tensors.values()):
        raise TornError(f"{shown} is not whole: there are numbers of another kind in it")
    table = tensors.pop(HISTORY, torch.empty(0))
    like = tensors.get("best", tensors.get("canvas"))
    sound = like is not None and like.ndim == 4 and table.dtype == torch.float64
    if not sound or table.ndim != 2 or table.shape[1] != ROW + len(head.columns):
        raise TornError(f"{shown} is not whole: the canvas or the history is missing")
    assert like is not None
    if not all(bool(torch.isfinite(tensors[n]).all()) for n in ("canvas", "best") if n in tensors):
        raise TornError(f"{shown} is not whole: its canvas has values that are no numbers")
    try:
        check_state(
            State(head.count, tensors, head.numbers, head.parts), head.recipe.settings.solver, like
        )
    except InputError as error:
        raise TornError(f"{shown}: {error}") from error
    history = tuple(_record(row, head.columns) for row in table.tolist())
    return Checkpoint(head, tensors, history)


def _record(row: Sequence[float], names: Sequence[str]) -> Record:
    scale, evaluation = (int(value) if math.isfinite(value) else 0 for value in row[:2])
    return Record(scale, evaluation, dict(zip(names, row[ROW:], strict=True)), row[2])


def check_fit(checkpoint: Checkpoint, plan: Sequence[Scale]) -> None:
    """Refuse a checkpoint whose canvas is not of the size that the scale has.

    Raises:
        InputError: It does not fit.
    """
    tensors, number = checkpoint.tensors, checkpoint.head.scale
    found = tensors["best"] if "best" in tensors else tensors["canvas"]
    sizes = [(1, 3, scale.height, scale.width) for scale in plan]
    if number >= len(sizes) or tuple(found.shape) != sizes[number]:
        raise InputError(
            "the checkpoint does not fit its own settings: its canvas has another size"
        )
