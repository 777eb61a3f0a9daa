import json
import math
import os
import zlib
from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors import safe_open

from impasto.config.recipe import InputRecord, Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import InputError
from impasto.transfer.callbacks import checkpoint_file
from impasto.transfer.callbacks.checkpoint_file import Checkpoint, CheckpointHeader, TornError, read, write
from impasto.transfer.result import Record


def recipe(**changes) -> Recipe:
    item = InputRecord(name="photo.png", sha256="0" * 64, width=5, height=4)
    values = {"impasto": checkpoint_file.__version__, "created": "", "settings": Settings(), "seconds": 1.0}
    values |= {"runtime": Runtime(), "content": item, "styles": (item,), "weights": "given"}
    values |= {"weights_sha256": "", "scales": (), "losses": {}, "stopped": "", "machine": {}}
    return Recipe(**values | {"reproducible": False} | changes)


def made(count: int = 3, **changes) -> Checkpoint:
    canvas = torch.rand((1, 3, 4, 5), generator=torch.Generator().manual_seed(count))
    tensors = {"canvas": canvas, "gradient": -canvas}
    tensors |= {"step.0": torch.ones(60, dtype=torch.bfloat16), "change.0": torch.zeros(60)}
    values = {"scale": 0, "tile": 0, "spent": 0, "scale_seconds": 0.5, "count": count}
    values |= {"numbers": {"loss": 0.1, "failures": 0}, "best_loss": 0.1, "parts": {"style.a": 0.1}}
    values |= {"columns": ("total", "style"), "recipe": recipe()}
    losses = {"total": 1 / 3, "style": float("inf")}
    rows = tuple(Record(1, number, losses, 0.1 * number) for number in range(1, count + 1))
    return Checkpoint(CheckpointHeader(**values | changes), tensors, rows)


def test_what_is_written_is_read(tmp_path) -> None:
    path, saved = tmp_path / "a", made()
    write(path, saved)
    found = read(path)
    assert found.header == saved.header
    assert found.history == saved.history
    assert set(found.tensors) == set(saved.tensors)
    for name, tensor in saved.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
        assert found.tensors[name].data_ptr() % 64 == 0  # as when it was made
    with safe_open(path, "pt") as file:  # it is a safetensors file for everybody
        assert json.loads(file.metadata()["impasto"])["count"] == 3


def test_a_torn_file_is_refused_with_one_line(tmp_path) -> None:
    path = tmp_path / "a"
    for count in (1, 2, 3):
        write(path, made(count))
    assert read(path).header.count == 3
    assert [item.name for item in tmp_path.iterdir()] == ["a"]
    whole = path.read_bytes()
    for torn in (whole[:-1], whole[:100], b"", whole[:-9] + b"\xff" + whole[-8:]):
        path.write_bytes(torn)
        with pytest.raises(TornError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "is cut off or damaged, or no checkpoint of impasto's" in str(caught.value)
        assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("name", ["open", "write", "fsync", "replace"])
def test_what_ends_in_the_middle_of_writing_keeps_the_last_whole_one(tmp_path, monkeypatch, name) -> None:
    """As a kill does; in the middle of the tensors, or between any two calls that bring a file about."""

    class KilledError(BaseException):
        pass

    path = tmp_path / "a"
    write(path, made(1))
    whole = path.read_bytes()

    def deadly(*arguments, **options):
        raise KilledError

    with monkeypatch.context() as patch:
        if name == "write":
            half, original = iter([True, True, False]), checkpoint_file._bytes
            patch.setattr(
                checkpoint_file, "_bytes", lambda tensor: original(tensor) if next(half) else deadly()
            )
        else:
            patch.setattr(os, name, deadly)
        with pytest.raises(KilledError):
            write(path, made(2))
    assert path.read_bytes() == whole
    assert read(path).header.count == 1
    write(path, made(3))
    assert read(path).header.count == 3


def test_the_state_is_that_which_was_written(tmp_path) -> None:
    """All of `Tracking` and of the run's state; nan and infinity too."""
    canvas = made().tensors["canvas"]
    best = {"best": canvas + 1} | made().tensors
    values = {"scale": 1, "tile": 32, "spent": 7, "seconds_left": -1.5, "limits": (4, 9)}
    values |= {"round_start": 0.3, "failures": 2, "failed": 0.1, "finite": False}
    for checkpoint, tensors in ((made(**values), best), (made(), made().tensors)):
        write(tmp_path / "a", replace(checkpoint, tensors=tensors))
        state = read(tmp_path / "a").state()
        tracking = state.tracking
        full = values if tensors is best else {}
        assert (state.scale, state.tile, state.spent) == ((1, 32, 7) if full else (0, 0, 0))
        assert (state.seconds_left, state.limits) == ((-1.5, [4, 9]) if full else (None, None))
        assert (state.seconds, state.scale_seconds, state.scales) == (1.0, 0.5, [])
        assert (tracking.count, tracking.best.loss, tracking.best.parts) == (
            3, 0.1, {"style.a": 0.1},
        )  # fmt: skip
        assert (tracking.round_start, tracking.failures) == ((0.3, 2) if full else (math.inf, 0))
        assert tracking.failed == 0.1 if full else math.isnan(tracking.failed)
        assert tracking.finite == (not full)
        assert torch.equal(tracking.best_canvas, canvas + 1 if full else canvas)
        assert (tracking.best_canvas is state.solver["canvas"]) == (not full)
        assert set(state.solver) == {*made().tensors, "loss", "failures"}
        assert state.evaluations == (10 if full else 3)
        assert len(state.history) == 3


def test_every_byte_that_changes_is_found(tmp_path) -> None:
    path = tmp_path / "a"
    write(path, made())
    whole = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in [*range(start, len(whole), 97), whole.index(b"style.a"), whole.index(b"crc32") + 9]:
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(TornError):
            read(path)


def test_another_version_is_refused(tmp_path) -> None:
    path = tmp_path / "a"
    write(path, made(1))
    write(path, made(2, recipe=recipe(impasto="0.0.7")))
    with pytest.raises(InputError, match=r"written by impasto 0\.0\.7; this is impasto .*that version"):
        read(path)


def test_a_run_whose_weights_an_earlier_version_changed_is_refused(tmp_path) -> None:
    path, saved = tmp_path / "a", made()
    values = json.loads(saved.header.model_dump_json())

    def with_calibration(calibration) -> None:
        values["recipe"]["calibration"] = calibration
        values["recipe"]["settings"]["strength"] = calibration and 2.0
        text = json.dumps(values)
        checkpoint_file.publish(path, partial(checkpoint_file._save, written, text), overwrite=True)

    write(path, saved)
    with safe_open(path, "pt") as file:
        written = {name: file.get_tensor(name) for name in file.keys()}
    with_calibration({"goal": 0.5, "stretches": [{"style_weight": 3.0}]})
    for reading in (read, checkpoint_file.read_header):
        with pytest.raises(InputError, match=r"a was written by an earlier version.*paint the picture anew"):
            reading(path)
    with_calibration(None)
    assert read(path).header == saved.header


@pytest.mark.parametrize(
    "change",
    [
        {"columns": ("total",)},
        {"numbers": {}},
        {"count": 0, "tensors": {}},
        {"tensors": {"canvas": torch.zeros(1, 3, 4, 5), "gradient": torch.zeros(1, 3, 4, 4)}},
        {"tensors": {"canvas": torch.zeros(60), "gradient": torch.zeros(60)}},
    ],
)
def test_what_no_solver_can_go_on_from_is_torn(tmp_path, change) -> None:
    saved = made()
    if "tensors" in change:
        saved = replace(saved, tensors=change.pop("tensors"))
    saved = replace(
        saved, header=saved.header.changed(**change), history=() if change.get("columns") else saved.history
    )
    write(tmp_path / "a", saved)
    if change.get("columns"):
        header = saved.header.changed(columns=("total", "style", "more"))
        _replace_header(tmp_path / "a", header)
    with pytest.raises(TornError):
        read(tmp_path / "a")


def solved(solver: str) -> Checkpoint:
    """Return a checkpoint of a solver in mid-scale."""
    canvas = torch.full((1, 3, 4, 5), 0.5)
    tensors, numbers = dict(made().tensors), {"loss": 0.1, "failures": 0}
    if solver == "adam":
        tensors = dict.fromkeys(("canvas", "mean", "square", "best"), canvas)
        numbers = {"steps": 3.0, "rate": 0.1}
    elif solver == "scipy":
        tensors, numbers = dict.fromkeys(("canvas", "best"), canvas), {}
    settings = Settings(solver=solver)
    return replace(made(numbers=numbers, recipe=recipe(settings=settings)), tensors=tensors)


@pytest.mark.parametrize("solver", ["lbfgs", "scipy", "adam"])
@pytest.mark.parametrize("spoiled", ["other size", "no canvas", "no numbers", "other solver", "no best"])
def test_a_state_that_does_not_fit_is_refused(tmp_path, solver, spoiled) -> None:
    saved = solved(solver)
    write(tmp_path / "a", saved)
    read(tmp_path / "a")
    tensors, header = dict(saved.tensors), saved.header
    if spoiled == "other size":
        name = next(name for name in tensors if name != "canvas")
        tensors[name] = torch.zeros(1, 3, 2, 2)
    elif spoiled == "no canvas":
        del tensors["canvas"]
    elif spoiled == "no numbers" and solver == "scipy":
        header = header.changed(best_loss=None)
    elif spoiled == "no numbers":
        header = header.changed(numbers={})
    elif spoiled == "other solver":
        tensors |= {"mean": tensors["canvas"]} if solver != "adam" else {"step.0": torch.ones(60)}
    elif solver == "lbfgs":
        header = header.changed(best_loss=None)
    else:
        del tensors["best"]
    write(tmp_path / "a", Checkpoint(header, tensors, saved.history))
    with pytest.raises(TornError, match=r"the state does not fit|is missing") as caught:
        read(tmp_path / "a")
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize("count", [0, 7])
def test_without_loss_and_gradient_at_a_start_and_where_weights_changed(tmp_path, count) -> None:
    tensors = {name: item for name, item in made().tensors.items() if name != "gradient"}
    saved = made(numbers={}, count=count, best_loss=0.1 if count else None)
    write(tmp_path / "a", Checkpoint(saved.header, tensors, ()))
    state = read(tmp_path / "a").state()
    assert set(state.solver) == {"canvas", "step.0", "change.0"}
    assert (state.tracking.best is None) == (not count)


def _replace_header(path, header: CheckpointHeader) -> None:
    """Write another header over that of a file, with a right checksum."""
    found = read(path)
    tensors = {**found.tensors, "history": torch.zeros((0, 4), dtype=torch.float64)}
    with path.open("wb") as file:
        checkpoint_file._save(tensors, header.model_dump_json(), file)


@pytest.mark.parametrize("data", [b"", b"x", b"\x89PNG\r\n\x1a\n" + b"0" * 50, b"\x02\0\0\0\0\0\0\0{}"])
def test_what_is_no_checkpoint(tmp_path, data) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(InputError, match="no checkpoint"):
        read(tmp_path / "a")


def test_a_folder_and_nothing_at_all(tmp_path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(InputError, match=r"cannot read .*no such file"):
        read(tmp_path / "a")


def test_the_checksum_is_over_header_and_tensors(tmp_path) -> None:
    write(tmp_path / "a", made())
    with safe_open(tmp_path / "a", "pt") as file:
        said = file.metadata()
        order = sorted(file.keys(), key=lambda name: (-file.get_tensor(name).element_size(), name))
        summed = zlib.crc32(said["impasto"].encode())
        for name in order:
            data = file.get_tensor(name).flatten().view(torch.uint8).numpy().tobytes()
            summed = zlib.crc32(data, summed)
    assert said["crc32"] == f"{summed:08x}"
