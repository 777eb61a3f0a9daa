"""Fuzz the reader of checkpoints: anything but a checkpoint or an `ImpastoError` is a finding.

    python fuzz/fuzz_checkpoint.py CORPUS -max_total_time=600 -timeout=10

The first byte of an input chooses: the rest is a whole file; or a header, put into a file with a right
checksum; or changes to the tensors of a good file, likewise. What was read is written and read again: it must
be the same. And a solver continues from it, which must end well or in an `ImpastoError`, too. `CORPUS` is a
folder of inputs; an empty one is filled with good examples.
"""

import contextlib
import io
import logging
import math
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["impasto"]):
    from impasto.errors import ImpastoError
    from impasto.transfer.callbacks import checkpoint_file

import torch

from impasto._version import __version__
from impasto.config.recipe import InputRecord, Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import End, EndOfScale
from impasto.optim.adam import Adam
from impasto.optim.evaluation import Evaluation, Solver
from impasto.optim.lbfgs import LBFGS
from impasto.optim.minimize import restarted
from impasto.optim.scipy_lbfgsb import ScipyLBFGSB
from impasto.optim.tracking import Tracking
from impasto.transfer.callbacks.checkpoint_file import Checkpoint, CheckpointHeader
from impasto.transfer.result import Record

FOLDER = Path(tempfile.mkdtemp(prefix="impasto-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
SOLVERS = ("lbfgs", "scipy", "adam")


class Finding(Exception):
    """What was read is not what was written, or an error has more than one line."""


def evaluate(canvas: torch.Tensor) -> Evaluation:
    """A loss without a network."""
    rest = canvas - 0.3
    loss = float(rest.square().sum() + (5 * canvas).cos().sum())
    return Evaluation(loss, 2 * rest - 5 * (5 * canvas).sin(), {"loss": loss})


def solver_of(name: str, start: torch.Tensor, history: int) -> Solver:
    """Return a solver by name."""
    if name == "lbfgs":
        return LBFGS(start, history=history)
    return ScipyLBFGSB(start, history=history) if name == "scipy" else Adam(start)


def walked(solver: Solver, tracking: Tracking, evaluations: int) -> Tracking:
    """Let a solver step until it has done so many evaluations; return what was tracked."""

    def tracked(canvas: torch.Tensor) -> Evaluation:
        if tracking.count >= evaluations:
            raise EndOfScale(End.EVALUATIONS)
        evaluation = evaluate(canvas)
        tracking.note(canvas, evaluation, copy=solver.overwrites)
        return evaluation

    with contextlib.suppress(EndOfScale):
        while solver.step(tracked) or restarted(solver, tracking):
            pass
    return tracking


def good(solver: str) -> Checkpoint:
    """Return a checkpoint of a run with a tiny canvas."""
    made = solver_of(solver, torch.linspace(0, 1, 12).view(1, 3, 2, 2), 3)
    tracking = walked(made, Tracking(), 6)
    state, count = made.state_dict(), tracking.count if solver != "scipy" else 0
    tensors = {name: item.clone() for name, item in state.items() if torch.is_tensor(item)}
    numbers = {name: item for name, item in state.items() if name not in tensors}
    if count and tracking.best_canvas is not state["canvas"]:
        tensors["best"] = tracking.best_canvas
    item = InputRecord(name="photo.jpg", sha256="a" * 64, width=2, height=2)
    recipe = Recipe(
        impasto=__version__, created="", settings=Settings(solver=solver, history=3), runtime=Runtime(),
        content=item, styles=(item,), weights="given", weights_sha256="", scales=(), losses={}, seconds=1.0,
        stopped="", reproducible=False, machine={},
    )  # fmt: skip
    header = CheckpointHeader(
        recipe=recipe, scale=0, tile=0, spent=0, scale_seconds=0.1, count=count, numbers=numbers,
        best_loss=tracking.best.loss if count else None, parts=tracking.best.parts if count else {},
        columns=("total",), folders=("/tmp",), note={"target": "out.png"},
    )  # fmt: skip
    rows = tuple(Record(1, number, {"total": 1.0}, 0.1) for number in range(1, count + 1))
    return Checkpoint(header, tensors, rows)


GOOD = {solver: good(solver) for solver in SOLVERS}


def packed(tensors, text: str) -> bytes:
    """Return a file with a right checksum."""
    file = io.BytesIO()
    checkpoint_file._save(tensors, text, file)
    return file.getvalue()


def table(rows: int = 1) -> torch.Tensor:
    """Return a history with one loss."""
    return torch.ones((rows, checkpoint_file.ROW + 1), dtype=torch.float64)


def made(data: bytes) -> bytes:
    """Return the file that an input stands for."""
    kind, solver, rest = data[0] % 3, SOLVERS[data[1] % 3], data[2:]
    if kind == 0:
        return rest
    tensors = {name: tensor.clone() for name, tensor in GOOD[solver].tensors.items()}
    tensors["history"] = table()
    if kind == 1:
        return packed(tensors, rest.decode("utf-8", "replace"))
    names = sorted(tensors)
    for start in range(0, len(rest) - 4, 5):  # which tensor, where, what
        name, place = names[rest[start] % len(names)], rest[start + 1] + 256 * rest[start + 2]
        raw = tensors[name].flatten().view(torch.uint8)
        if rest[start + 3] == 255:
            del tensors[name]
            names = sorted(tensors)
            if not names:
                return b""
        elif len(raw):
            raw[place % len(raw)] = rest[start + 4]
            tensors[name] = raw.view(tensors[name].dtype).view(tensors[name].shape)
    return packed(tensors, GOOD[solver].header.model_dump_json())


def same(one: Checkpoint, other: Checkpoint) -> bool:
    """Return whether two are the same, nan being like nan."""
    tensors = set(one.tensors) == set(other.tensors) and all(
        torch.equal(tensor.flatten().view(torch.uint8), other.tensors[name].flatten().view(torch.uint8))
        for name, tensor in one.tensors.items()
    )
    return one.header == other.header and repr(one.history) == repr(other.history) and tensors


def one(data: bytes) -> None:
    """Read one input, write it and continue from it."""
    if len(data) < 3:
        return
    path = FOLDER / "a"
    path.write_bytes(made(data))
    try:
        found = checkpoint_file.read(path)
        checkpoint_file.write(FOLDER / "b", found)
        if not same(checkpoint_file.read(FOLDER / "b"), found):
            raise Finding("what was read is not what was written")
        resume(found)
    except ImpastoError as error:
        if not str(error) or len(str(error).splitlines()) != 1:
            raise Finding(f"an error of several lines: {error}") from error


def resume(found: Checkpoint) -> None:
    """Let the solver do three evaluations more."""
    settings, state = found.header.recipe.settings, found.state()
    canvas = state.solver["canvas"]
    if canvas.numel() > 10_000 or settings.history > 100:
        return
    solver = solver_of(settings.solver, torch.zeros(canvas.shape), settings.history)
    solver.load_state_dict(state.solver)
    tracking = walked(solver, state.tracking, state.tracking.count + 3)
    if tracking.best is None or not math.isfinite(tracking.best.loss):
        raise Finding(f"a solver continued to {tracking}")
    if tracking.best_canvas is None or tracking.best_canvas.shape != canvas.shape:
        raise Finding(f"a solver continued to a canvas of another size: {tracking}")


def examples() -> list[bytes]:
    """Return good inputs to begin with."""
    found = []
    for number, solver in enumerate(SOLVERS):
        tensors = {**GOOD[solver].tensors, "history": table()}
        text = GOOD[solver].header.model_dump_json()
        found += [bytes([0, number]) + packed(tensors, text), bytes([1, number]) + text.encode()]
        found += [bytes([2, number, name, 0, 0, 0, value]) for name in range(12) for value in (0, 127, 254)]
        found += [bytes([2, number, name, 0, 0, 255, 0]) for name in range(12)]
    return found


def main() -> None:
    """Fuzz, with the arguments of libFuzzer."""
    logging.disable(logging.WARNING)
    folders = [Path(word) for word in sys.argv[1:] if not word.startswith("-")]
    for folder in folders[:1]:
        if folder.is_dir() and not any(folder.iterdir()):
            for number, data in enumerate(examples()):
                (folder / f"example-{number}").write_bytes(data)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
