"""Weights from files, whole ones: imported, kept, loaded, and used by the network."""

import hashlib
import json
import logging
import re
import shutil
import threading
import time

import pytest
import torch
from safetensors.torch import save_file

from impasto.errors import ExitCode, InputError, OutputError, WeightsError
from impasto.network.layers import LAYERS
from impasto.network.vgg import ORIGINAL, TORCHVISION, VGG19
from impasto.network.weights import store
from impasto.network.weights.load import (
    DECODED_SHA256,
    NAME,
    Weights,
    import_weights,
    load_weights,
    open_file,
    read_packed,
)


@pytest.fixture(scope="module")
def precise(weights):
    """Weights that the original could be: each moved by a random part of half the gap to the next."""
    packed, made = read_packed(), dict(weights)
    generator = torch.Generator().manual_seed(0)
    for name in [name for name in weights if name.endswith("weight")]:
        block, index = name[4:].split(".")[0].split("_")
        codes = packed[f"block{block}_conv{index}_W_q"].long()
        table = packed[f"block{block}_conv{index}_W_table"]
        upper = torch.where(codes < 255, codes + 1, codes - 1)
        share = torch.rand(codes.shape, generator=generator) * 0.49
        made[name] = table[codes] + (table[upper] - table[codes]) * share
    return made


@pytest.fixture(scope="module")
def anew(weights):
    """Weights that torchvision's could be."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(tensor.shape, generator=generator) * tensor.std()
        for name, tensor in weights.items()
    }


def as_torchvision(tensors, prefix="features."):
    return {
        f"{prefix}{LAYERS.index(conv)}.{kind}": tensor
        for conv, kind, tensor in ((*name.split("."), tensor) for name, tensor in tensors.items())
    }


def as_keras(tensors, weight="block{0}_conv{1}_W_1:0", bias="block{0}_conv{1}_b_1:0", group=""):
    made = {}
    for name, tensor in tensors.items():
        block, index = name[4:].split(".")[0].split("_")
        last = weight if name.endswith("weight") else bias
        turned = tensor.permute(2, 3, 1, 0) if tensor.ndim == 4 else tensor
        made[f"{group}block{block}_conv{index}/{last.format(block, index)}"] = turned.contiguous()
    return made


def write(path, tensors):
    if path.suffix == ".h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for name, tensor in tensors.items():
                file[name] = tensor.numpy()
    elif path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=path.suffix != ".pt")
    return path


def features(weights, random_image):
    layers = ["relu1_1", "conv3_2", "relu5_4"]
    with torch.no_grad():
        found = VGG19(weights)(random_image(32, 40), layers)
    return [found[layer] for layer in layers]


MAKERS = {
    "torchvision.pth": lambda t: {
        **as_torchvision(t),
        "classifier.0.weight": torch.zeros(1).expand(4096, 25088),
    },
    "caffe.pt": as_torchvision,
    "features.pth": lambda t: as_torchvision(t, ""),
    "nested.pth": lambda t: {"state_dict": as_torchvision(t, "module.features."), "epoch": 3},
    "vgg_conv.pth": dict,
    "notop.h5": lambda t: as_keras(t) | {"fc1/fc1_W_1:0": torch.zeros(8, 4)},
    "new.h5": lambda t: as_keras(t, "kernel:0", "bias:0", "model_weights/"),
    "torchvision.safetensors": as_torchvision,
    "ours.safetensors": dict,
    "keras.safetensors": as_keras,
}


QUICK = ("torchvision.pth", "notop.h5", "keras.safetensors")  # one of each reader, in its own layout


@pytest.mark.parametrize(
    "file", [file if file in QUICK else pytest.param(file, marks=pytest.mark.slow) for file in MAKERS]
)
def test_the_original_in_every_layout(tmp_path, weights, random_image, file) -> None:
    found = load_weights(write(tmp_path / file, MAKERS[file](dict(weights))))
    assert isinstance(found, Weights)
    assert (found.name, found.sha256) == (NAME, DECODED_SHA256)
    assert found.verified == "equal to the packaged 8-bit weights"
    assert found.preprocessing == ORIGINAL
    assert sorted(found) == sorted(weights)
    for mine, expected in zip(features(found, random_image), features(weights, random_image), strict=True):
        assert torch.equal(mine, expected)


def test_the_packaged_ones_know_themselves(weights) -> None:
    assert isinstance(weights, Weights)
    assert (weights.name, weights.sha256) == (NAME, DECODED_SHA256)
    assert weights.preprocessing == ORIGINAL
    assert sorted(load_weights(NAME)) == sorted(weights)
    assert "SHA-256" in weights.verified
    assert NAME in repr(weights)


def test_imported_kept_and_loaded(tmp_path, precise, data_folder) -> None:
    file = write(tmp_path / "vgg19.h5", as_keras(precise))
    record = import_weights(file)
    assert (record.name, record.family, record.origin) == ("vgg19-original", "original", "imported")
    assert record.source_file == "vgg19.h5"
    assert record.source_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    file.unlink()
    found = load_weights("vgg19-original")
    assert all(torch.equal(found[name], precise[name]) for name in precise)
    assert found.sha256 == record.sha256 != record.file_sha256
    assert found.verified.startswith("every weight lies within the rounding")
    assert store.installed() == ["vgg19-original"]
    kept = data_folder / "vgg19-original.safetensors"
    assert json.loads(kept.with_suffix(".json").read_text())["sha256"] == record.sha256
    again, same = open_file(kept)  # what is kept can be brought to another machine
    assert (again.sha256, same.family) == (record.sha256, "original")


@pytest.mark.slow
def test_another_layout_has_the_same_sha256(tmp_path, precise) -> None:
    one, _ = open_file(write(tmp_path / "a.pth", dict(precise)))
    two, _ = open_file(write(tmp_path / "b.safetensors", as_torchvision(precise)))
    assert one.sha256 == two.sha256


def tiny(name: str, data: bytes, *, force: bool = False) -> store.Record:
    """Keep a few bytes as if they were weights; what is tested is not in them."""
    digest = hashlib.sha256(data).hexdigest()
    record = store.Record(
        name=name,
        family="original",
        layout="",
        verified="yes",
        preprocessing={},
        sha256=digest,
        file_sha256=digest,
        source_file="x",
        source_sha256=digest,
        origin="imported",
    )
    store.keep(record, data, force=force)
    return record


@pytest.mark.slow
def test_other_weights_of_the_same_name_are_kept_without_force(tmp_path, precise) -> None:
    one = tiny("vgg19-original", b"one")
    file = write(tmp_path / "a.pth", dict(precise))
    with pytest.raises(OutputError, match=r"named vgg19-original already.*--force") as caught:
        import_weights(file)
    assert caught.value.exit_code == ExitCode.RESOURCE
    assert store.read_record("vgg19-original") == one
    import_weights(file, force=True)
    assert load_weights("vgg19-original").sha256 != one.sha256
    tiny("second", b"two")
    assert tiny("second", b"two").name == "second"  # the same once more
    assert store.installed() == ["second", "vgg19-original"]


@pytest.mark.slow
def test_torchvisions_are_said_to_be_unverified(tmp_path, anew, caplog, data_folder) -> None:
    record = import_weights(write(tmp_path / "x.pth", as_torchvision(anew)))
    assert (record.name, record.family) == ("vgg19-torchvision", "torchvision")
    assert record.verified.startswith("no: ")
    with caplog.at_level(logging.WARNING):
        found = load_weights("vgg19-torchvision")
    assert "not verified" in caplog.text
    assert found.preprocessing == TORCHVISION
    brought = shutil.copy(data_folder / "vgg19-torchvision.safetensors", tmp_path)
    assert load_weights(brought).preprocessing == TORCHVISION


def test_torchvisions_preprocessing_by_hand(tmp_path, anew, random_image) -> None:
    image = random_image(20, 24)
    file = write(tmp_path / "x.safetensors", as_torchvision(anew))
    found = VGG19(load_weights(file))(image, ["relu1_1"])["relu1_1"]
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    channels = [(image[0, c] - mean[c]) / std[c] for c in range(3)]  # red, green, blue
    kernel, bias = anew["conv1_1.weight"], anew["conv1_1.bias"]
    for out, y, x in ((0, 5, 7), (63, 18, 22), (17, 1, 1)):
        total = bias[out].item()
        for c in range(3):
            patch = channels[c][y - 1 : y + 2, x - 1 : x + 2]
            total += (patch * kernel[out, c]).sum().item()
        assert found[0, out, y, x].item() == pytest.approx(max(total, 0.0), abs=1e-4)


def test_the_originals_preprocessing_is_bit_for_bit_what_it_was(weights, random_image) -> None:
    image = random_image(16, 16)
    mean = torch.tensor((123.68, 116.779, 103.939)).view(1, 3, 1, 1)
    before = (image * 255.0 - mean).flip(1)
    for chosen in (weights, dict(weights)):  # plain mappings are taken for the original
        assert torch.equal(VGG19(chosen).preprocess(image), before)


@pytest.mark.slow
def test_the_packaged_ones_are_not_imported_as_full_precision(tmp_path, weights) -> None:
    file = write(tmp_path / "x.pth", dict(weights))
    with pytest.raises(WeightsError, match="holds the packaged weights themselves"):
        import_weights(file)
    assert import_weights(file, name="mine").sha256 == DECODED_SHA256


@pytest.mark.parametrize("name", ["", "a/b", "..", "x" * 65, ".hidden", "a b", "x.safetensors"])
def test_names_that_cannot_be(tmp_path, name) -> None:
    with pytest.raises(InputError, match="cannot be named"):
        import_weights(tmp_path / "x.pth", name=name)
    with pytest.raises(OutputError, match="the packaged weights"):
        import_weights(tmp_path / "x.pth", name=NAME)


def test_unknown_names(tmp_path) -> None:
    tiny("vgg19-original", b"x")
    with pytest.raises(WeightsError, match=r"Did you mean vgg19-original\?") as caught:
        load_weights("vgg19-orignal")
    assert NAME in str(caught.value)
    assert "impasto weights import" in str(caught.value)
    assert "\n" not in str(caught.value)
    for path in ("none.pth", tmp_path / "none", str(tmp_path / "none")):
        with pytest.raises(WeightsError, match="does not exist"):
            load_weights(path)


@pytest.mark.parametrize(
    "damage", ["bit", "short", "gone", "record", "no record", "list", "types", "family", "other"]
)
def test_damaged_after_import(data_folder, damage) -> None:
    tiny("mine", b"some bytes")
    kept = data_folder / "mine.safetensors"
    record = kept.with_suffix(".json")
    if damage == "bit":
        kept.write_bytes(b"some bytex")
    elif damage == "short":
        kept.write_bytes(b"some byte")
    elif damage == "gone":
        kept.unlink()
    elif damage == "types":
        record.write_text(re.sub('"verified": "yes"', '"verified": 3', record.read_text()))
    elif damage == "family":
        record.write_text(re.sub('"original"', '"theirs"', record.read_text()))
    elif damage == "other":
        pass  # the bytes are those of the record, and are no weights
    elif damage in ("record", "list"):
        record.write_text("{" if damage == "record" else "[]")
    else:
        record.unlink()
    with pytest.raises(WeightsError) as caught:
        load_weights("mine")
    wanted = "There are" if damage == "gone" else "impasto weights import FILE --name mine --force"
    assert wanted in str(caught.value)
    # The sum finds it, not what reads the tensors: that would not notice a bit within one of them.
    assert ("SHA-256 differs" in str(caught.value)) == (damage in ("bit", "short"))
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch) -> None:
    (tmp_path / "taken").write_text("x")
    monkeypatch.setenv("IMPASTO_DATA_DIR", str(tmp_path / "taken"))
    with pytest.raises(OutputError, match="cannot write into"):
        tiny("mine", b"x")
    assert store.installed() == []


def test_the_folder_follows_the_environment(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("IMPASTO_DATA_DIR", str(tmp_path))
    assert store.data_folder() == tmp_path / "weights"
    monkeypatch.delenv("IMPASTO_DATA_DIR")
    assert store.data_folder().parts[-2:] == ("impasto", "weights")


def test_two_at_once_do_not_mix(monkeypatch) -> None:
    """The second waits with its tensors until the first has written its record, too."""
    written, write = [], store.publish

    def slowly(path, data, **options):
        written.append((data[:1], path.suffix))
        time.sleep(0.1)
        return write(path, data, **options)

    monkeypatch.setattr(store, "publish", slowly)
    threads = [
        threading.Thread(target=tiny, args=("mine", data), kwargs={"force": True})
        for data in (b"one", b"two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [suffix for _, suffix in written] == [".safetensors", ".json"] * 2
    path = store.tensor_file("mine")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == store.read_record("mine").file_sha256
