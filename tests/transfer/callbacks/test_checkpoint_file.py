import json
import zlib
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open

from impasto.config.recipe import InputRecord, Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import InputError
from impasto.transfer.callbacks import checkpoint_file
from impasto.transfer.callbacks.checkpoint_file import (
    Checkpoint,
    CheckpointHeader,
    TornError,
    load,
    previous,
    read,
    write,
)
from impasto.transfer.result import Record


def recipe(**changes) -> Recipe:
    item = InputRecord(name="photo.png", sha256="0" * 64, width=5, height=4)
    values = {
        "impasto": checkpoint_file.__version__,
        "created": "",
        "settings": Settings(),
        "seconds": 1.0,
    }
    values |= {"runtime": Runtime(), "content": item, "styles": (item,), "weights": "given"}
    values |= {"weights_sha256": "", "scales": (), "losses": {}, "stopped": "", "machine": {}}
    return Recipe(**values | {"reproducible": False} | changes)


def made(count: int = 3, **changes) -> Checkpoint:
    canvas = torch.rand((1, 3, 4, 5), generator=torch.Generator().manual_seed(count))
    tensors = {"canvas": canvas, "gradient": -canvas}
    tensors |= {"step.0": torch.ones(60, dtype=torch.bfloat16), "change.0": torch.zeros(60)}
    values = {"scale": 0, "tile": 0, "used": 0, "scale_seconds": 0.5, "count": count}
    values |= {"numbers": {"loss": 0.1, "failures": 0, "best_loss": 0.1}, "parts": {"style.a": 0.1}}
    values |= {"columns": ("total", "style"), "recipe": recipe()}
    losses = {"total": 1 / 3, "style": float("inf")}
    rows = tuple(Record(1, number, losses, 0.1 * number) for number in range(1, count + 1))
    return Checkpoint(CheckpointHeader(**values | changes), tensors, rows)


def test_what_is_written_is_read(tmp_path) -> None:
    path, told = tmp_path / "a", made()
    write(path, told)
    found = read(path)
    assert found.head == told.head
    assert found.history == told.history
    assert set(found.tensors) == set(told.tensors)
    for name, tensor in told.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
        assert found.tensors[name].data_ptr() % 64 == 0  # as when it was made
    with safe_open(path, "pt") as file:  # it is a safetensors file for everybody
        assert json.loads(file.metadata()["impasto"])["count"] == 3


def test_the_one_before_is_kept_and_taken_where_the_last_is_torn(tmp_path, caplog) -> None:
    path = tmp_path / "a"
    for count in (1, 2, 3):
        write(path, made(count))
    assert (read(path).head.count, read(previous(path)).head.count) == (3, 2)
    whole = path.read_bytes()
    for torn in (whole[:-1], whole[:100], b"", whole[:-9] + b"\xff" + whole[-8:]):
        path.write_bytes(torn)
        with pytest.raises(TornError):
            read(path)
        assert load(path).head.count == 2
    assert "going on from the one before" in caplog.text
    path.unlink()
    assert load(path).head.count == 2
    previous(path).write_bytes(b"x")
    with pytest.raises(TornError, match="a"):
        load(path)


def test_every_byte_that_changes_is_found(tmp_path) -> None:
    path = tmp_path / "a"
    write(path, made())
    whole = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in [
        *range(start, len(whole), 97),
        whole.index(b"style.a"),
        whole.index(b"crc32") + 9,
    ]:
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(TornError):
            read(path)


def test_another_version_is_refused_and_not_fallen_back_from(tmp_path) -> None:
    path = tmp_path / "a"
    write(path, made(1))
    write(path, made(2, recipe=recipe(impasto="0.0.7")))
    with pytest.raises(
        InputError, match=r"written by impasto 0\.0\.7; this is impasto .*that version"
    ):
        load(path)


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
    told = made()
    if "tensors" in change:
        told = replace(told, tensors=change.pop("tensors"))
    told = replace(
        told,
        head=told.head.changed(**change),
        history=() if change.get("columns") else told.history,
    )
    write(tmp_path / "a", told)
    if change.get("columns"):
        head = told.head.changed(columns=("total", "style", "more"))
        _replace_head(tmp_path / "a", head)
    with pytest.raises(TornError):
        read(tmp_path / "a")


def _replace_head(path, head: CheckpointHeader) -> None:
    """Write another head over that of a file, with a right checksum."""
    found = read(path)
    tensors = {**found.tensors, "history": torch.zeros((0, 4), dtype=torch.float64)}
    with path.open("wb") as file:
        checkpoint_file._save(tensors, head.model_dump_json(), file)


@pytest.mark.parametrize(
    "data", [b"", b"x", b"\x89PNG\r\n\x1a\n" + b"0" * 50, b"\x02\0\0\0\0\0\0\0{}"]
)
def test_what_is_no_checkpoint(tmp_path, data) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(InputError, match="no checkpoint"):
        load(tmp_path / "a")


def test_a_folder_and_nothing_at_all(tmp_path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path)
    with pytest.raises(InputError, match=r"cannot read .*no such file"):
        load(tmp_path / "a")


def test_the_checksum_is_over_head_and_tensors(tmp_path) -> None:
    write(tmp_path / "a", made())
    with safe_open(tmp_path / "a", "pt") as file:
        said = file.metadata()
        order = sorted(file.keys(), key=lambda name: (-file.get_tensor(name).element_size(), name))
        summed = zlib.crc32(said["impasto"].encode())
        for name in order:
            data = file.get_tensor(name).flatten().view(torch.uint8).numpy().tobytes()
            summed = zlib.crc32(data, summed)
    assert said["crc32"] == f"{summed:08x}"
