"""The file of a checkpoint: a run resumed from it ends in the same bytes as if it had not been interrupted.

Form: a `RunState` -> a safetensors file and back. The tensors are the solver's own; all else is the
`CheckpointHeader`, JSON in the file's header. A checksum of both tells a whole file from a torn one. Written
by hand, tensor by tensor, because the library would copy everything first, or write past our temporary file;
read by the library. Nothing in a checkpoint is ever run.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from impasto._version import __version__
from impasto.config.model import Model, error_message
from impasto.config.recipe import CALIBRATION, Recipe
from impasto.errors import InputError, SettingsError
from impasto.messages import printable, reason
from impasto.optim.evaluation import Evaluation
from impasto.optim.tracking import Tracking
from impasto.system.files import check_ordinary, publish
from impasto.transfer.result import Record
from impasto.transfer.run_state import RunState

if TYPE_CHECKING:
    from impasto.transfer.run import Run

FORM = 2
HEAD, SUM = "impasto", "crc32"  # in the header of the file
HISTORY = "history"  # the tensor with one row for each evaluation
BEST = "best"  # the tensor of the best canvas, where it is not the solver's own
START = "start"  # the tensor of the canvas with which the scale began, where targets depend on it
ROW = 3  # scale, evaluation and seconds, before the losses
DTYPES = {torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16"}
# Names of tensors and numbers in the `state_dict` of each solver; those of curvature pairs have a number.
TENSORS = {
    "lbfgs": ("canvas", "gradient", "step", "change"),
    "adam": ("canvas", "mean", "square"),
    "scipy": ("canvas",),
}
NUMBERS: dict[str, set[str]] = {"lbfgs": {"loss", "failures"}, "adam": {"steps", "rate"}, "scipy": set()}


class CheckpointHeader(Model):
    """All of a checkpoint that is no tensor.

    `recipe` is that of the run so far. `limits` are the evaluations at each scale of a run that repeats
    another. `scale`, from 0, to `seconds_left` are of the `RunState`, `count` to `finite` of its `Tracking`,
    `numbers` of the solver. `columns` names the losses in the history, `losses` the caller's own. `folders`
    is where the inputs lay; `note` is the command line's.
    """

    form: Literal[2] = 2
    recipe: Recipe
    limits: tuple[int, ...] | None = None
    scale: int = Field(ge=0)
    tile: int = Field(ge=0)
    spent: int = Field(ge=0)
    scale_seconds: float = Field(ge=0)
    seconds_left: float | None = None
    count: int = Field(ge=0)
    best_loss: float | None = None
    parts: dict[str, float] = Field(default_factory=dict)
    round_start: float | None = None
    failures: int = 0
    failed: float | None = None
    finite: bool = True
    numbers: dict[str, float] = Field(default_factory=dict)
    columns: tuple[str, ...]
    losses: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    note: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: header, tensors of the solver and of the best canvas, history."""

    header: CheckpointHeader
    tensors: dict[str, Tensor]
    history: tuple[Record, ...]

    def state(self) -> RunState:
        """Return the run's state, with these very tensors."""
        header, recipe = self.header, self.header.recipe
        solver: dict[str, Any] = {**self.tensors, **header.numbers}
        best_canvas, best, start = solver.pop(BEST, None), None, solver.pop(START, None)
        if header.best_loss is not None:
            best_canvas = solver["canvas"] if best_canvas is None else best_canvas
            best = Evaluation(header.best_loss, torch.empty(0), dict(header.parts))
        tracking = Tracking(
            header.count,
            best,
            best_canvas,
            math.inf if header.round_start is None else header.round_start,
            header.failures,
            math.nan if header.failed is None else header.failed,
            header.finite,
        )
        same = {"scale", "tile", "spent", "scale_seconds", "seconds_left"}
        return RunState(
            **header.model_dump(include=same),
            tracking=tracking,
            solver=solver,
            start=start,
            history=list(self.history),
            scales=list(recipe.scales),
            seconds=recipe.seconds,
            limits=None if header.limits is None else list(header.limits),
        )


def checkpoint_of(run: Run, folders: Sequence[str], note: Mapping[str, Any]) -> Checkpoint:
    """Return the checkpoint of a run between two steps; its tensors are the solver's own.

    `folders` are those of its inputs; `note` is what the caller adds, in types of JSON.
    """
    state = run.snapshot()
    tracking, history = state.tracking, tuple(state.history)
    tensors = {name: item for name, item in state.solver.items() if isinstance(item, Tensor)}
    numbers = {name: item for name, item in state.solver.items() if name not in tensors}
    if tracking.best_canvas is not None and tracking.best_canvas is not tensors["canvas"]:
        tensors[BEST] = tracking.best_canvas
    if state.start is not None:
        tensors[START] = state.start
    best = tracking.best
    names = dict.fromkeys(name for record in history for name in record.losses)
    header = CheckpointHeader(
        recipe=run.recipe(),
        limits=None if state.limits is None else tuple(state.limits),
        scale=state.scale,
        tile=state.tile or 0,
        spent=state.spent,
        scale_seconds=state.scale_seconds,
        seconds_left=state.seconds_left,
        count=tracking.count,
        best_loss=None if best is None else best.loss,
        parts={} if best is None else dict(best.parts),
        round_start=tracking.round_start if math.isfinite(tracking.round_start) else None,
        failures=tracking.failures,
        failed=tracking.failed if math.isfinite(tracking.failed) else None,
        finite=tracking.finite,
        numbers=numbers,
        columns=tuple(names),
        losses=tuple(loss.name for loss in run.extra_losses),
        folders=tuple(folders),
        note=dict(note),
    )
    return Checkpoint(header, tensors, history)


def write(path: Path, checkpoint: Checkpoint) -> int:
    """Write a checkpoint, whole or not at all; return its bytes.

    Raises:
        OutputError: It cannot be written.
    """
    header = checkpoint.header
    table = [
        [row.scale, row.evaluation, row.seconds, *(row.losses.get(n, math.nan) for n in header.columns)]
        for row in checkpoint.history
    ]
    shape = (len(table), ROW + len(header.columns))
    history = torch.tensor(table, dtype=torch.float64).view(shape)
    tensors = {**checkpoint.tensors, HISTORY: history}
    text = header.model_dump_json()
    publish(path, partial(_save, tensors, text), overwrite=True)
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


REMEDY = "; give the FILE that --checkpoint wrote"


class TornError(InputError):
    """A checkpoint that is missing, cut off or damaged."""


def read(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        TornError: It is missing, cut off or damaged, or no checkpoint.
        InputError: It is of another version, or its weights changed during the run.
    """
    shown = printable(path)
    try:
        check_ordinary(path, "a checkpoint")
        with safe_open(path, "pt") as file:
            said = dict(file.metadata() or {})
            # Copies of our own: on a boundary that fast arithmetic likes, as when they were made.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
    except InputError as error:
        raise TornError(f"{error}" if ";" in str(error) else f"{error}{REMEDY}") from error
    except OSError as error:
        raise TornError(f"cannot read {shown}: {reason(error)}{REMEDY}") from error
    except MemoryError as error:
        raise TornError(f"not enough memory to read {shown}") from error
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        raise _torn(shown) from error
    header = _header_of(said.get(HEAD, ""), shown)
    summed = zlib.crc32(said[HEAD].encode())
    for name in _order(tensors):
        summed = zlib.crc32(_bytes(tensors[name]), summed)
    if said.get(SUM) != f"{summed:08x}":
        raise _torn(shown)
    return _checked(header, tensors, shown)


def read_header(path: Path) -> CheckpointHeader:
    """Read what a checkpoint says of its run, without the tensors, which are not checked.

    Raises:
        InputError: It is missing, damaged, no checkpoint, or of another version.
    """
    shown = printable(path)
    try:
        check_ordinary(path, "a checkpoint")
        with safe_open(path, "pt") as file:
            text = dict(file.metadata() or {}).get(HEAD, "")
    except OSError as error:
        raise TornError(f"cannot read {shown}: {reason(error)}{REMEDY}") from error
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        raise _torn(shown) from error
    return _header_of(text, shown)


def _torn(shown: str) -> TornError:
    return TornError(f"{shown} is cut off or damaged, or no checkpoint of impasto's{REMEDY}")


def _header_of(text: str, shown: str) -> CheckpointHeader:
    try:
        values = json.loads(text)
        form, made = values["form"], str(values["recipe"]["impasto"])
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise _torn(shown) from error
    if form != FORM or made != __version__:
        raise InputError(
            f"{shown} was written by impasto {printable(made[:40])}; this is impasto {__version__}, which "
            "could not give the same bytes: resume it with that version"
        )
    if values["recipe"].get(CALIBRATION):
        raise InputError(
            f"{shown} was written by an earlier version, whose strength changed weights during the run; "
            "paint the picture anew"
        )
    try:
        return CheckpointHeader.model_validate_json(text)
    except (ValidationError, SettingsError) as error:
        why = str(error)
        if isinstance(error, ValidationError):
            why = error_message("head", error, CheckpointHeader.model_fields)
        raise TornError(f"{shown}: {why}") from error


def _checked(header: CheckpointHeader, tensors: dict[str, Tensor], shown: str) -> Checkpoint:
    """Return the checkpoint, if its solver can continue from it."""
    if any(tensor.dtype not in DTYPES for tensor in tensors.values()):
        raise TornError(f"{shown} is not whole: there are numbers of another kind in it")
    table = tensors.pop(HISTORY, torch.empty(0))
    canvas = tensors.get("canvas")
    sound = canvas is not None and canvas.ndim == 4 and table.dtype == torch.float64
    if not sound or table.ndim != 2 or table.shape[1] != ROW + len(header.columns):
        raise TornError(f"{shown} is not whole: the canvas or the history is missing")
    assert canvas is not None
    if not all(bool(torch.isfinite(tensors[n]).all()) for n in ("canvas", BEST, START) if n in tensors):
        raise TornError(f"{shown} is not whole: its canvas has values that are no numbers")
    if problem := _misfit(header, tensors, canvas):
        raise TornError(f"{shown}: the state does not fit: {problem}")
    return Checkpoint(header, tensors, _records(table.tolist(), header.columns))


def _misfit(header: CheckpointHeader, tensors: Mapping[str, Tensor], canvas: Tensor) -> str:
    """Return why a solver could not continue from tensors and numbers; empty if it can."""
    solver = header.recipe.settings.solver
    if any(name.partition(".")[0] not in (*TENSORS[solver], BEST, START) for name in tensors):
        return "it is another solver's"
    flat = torch.Size([canvas.numel()])
    needed, numbers = {"canvas": canvas.shape}, set(NUMBERS[solver])
    if solver == "lbfgs" and not header.numbers and "gradient" not in tensors:
        numbers = set()  # at the start
    elif solver == "lbfgs":
        needed["gradient"] = canvas.shape
    elif solver == "adam":
        needed |= dict.fromkeys(("mean", "square"), canvas.shape)
    pairs = sum(name.startswith("step.") for name in tensors)
    needed |= dict.fromkeys([f"{n}.{k}" for n in ("step", "change") for k in range(pairs)], flat)
    if BEST in tensors or (header.count and solver != "lbfgs"):
        needed[BEST] = canvas.shape
    if START in tensors:
        needed[START] = canvas.shape
    for name, shape in needed.items():
        if name not in tensors or tensors[name].shape != shape:
            return f"{name} is missing or of another size"
    missing = numbers - set(header.numbers) or (header.count and header.best_loss is None)
    return "numbers are missing" if missing else ""


def _records(rows: Sequence[Sequence[float]], names: Sequence[str]) -> tuple[Record, ...]:
    """Return the history; a scale has the losses that are numbers in one of its evaluations at least."""
    there: dict[float, set[str]] = {}
    for row in rows:
        numbers = zip(names, row[ROW:], strict=True)
        there.setdefault(row[0], set()).update(name for name, value in numbers if not math.isnan(value))
    return tuple(_record(row, names, there[row[0]]) for row in rows)


def _record(row: Sequence[float], names: Sequence[str], there: Container[str]) -> Record:
    scale, evaluation = (int(value) if math.isfinite(value) else 0 for value in row[:2])
    losses = {name: value for name, value in zip(names, row[ROW:], strict=True) if name in there}
    return Record(scale, evaluation, losses, row[2])
