"""Names and shapes, on tensors without numbers; whole files are in test_weights.py."""

import pytest
import torch

from impasto.errors import WeightsError
from impasto.network.layers import LAYERS
from impasto.network.weights.layouts import CONVS, SHAPES, convert, recognize

# As torchvision numbers them in `features`, written down from its source, independently of LAYERS.
FEATURES = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
FEATURES_16 = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
FEATURES_BN = [0, 3, 7, 10, 14, 17, 20, 23, 27, 30, 33, 36, 40, 43, 46, 49]


def empty(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def numbered(indices, shapes=None, prefix="features."):
    shapes = shapes or list(SHAPES.values())
    made = {}
    for index, shape in zip(indices, shapes, strict=False):
        made[f"{prefix}{index}.weight"] = empty(*shape)
        made[f"{prefix}{index}.bias"] = empty(shape[0])
    return made


def named(pattern: str = "conv{}_{}.{}"):
    made = {}
    for conv, shape in SHAPES.items():
        block, index = conv[4:].split("_")
        made[pattern.format(block, index, "weight")] = empty(*shape)
        made[pattern.format(block, index, "bias")] = empty(shape[0])
    return made


def keras(weight="block{0}_conv{1}_W_1:0", bias="block{0}_conv{1}_b_1:0", group="block{0}_conv{1}/"):
    made = {}
    for conv, (out, inside, height, width) in SHAPES.items():
        place = conv[4:].split("_")
        made[(group + weight).format(*place)] = empty(height, width, inside, out)
        made[(group + bias).format(*place)] = empty(out)
    return made


def test_the_shapes_are_those_of_the_paper() -> None:
    assert len(CONVS) == 16
    assert SHAPES["conv1_1"] == (64, 3, 3, 3)
    assert SHAPES["conv3_1"] == (256, 128, 3, 3)
    assert SHAPES["conv5_4"] == (512, 512, 3, 3)
    assert [LAYERS.index(conv) for conv in CONVS] == FEATURES


@pytest.mark.parametrize(
    ("tensors", "layout", "first"),
    [
        (numbered(FEATURES), "torchvision", "features.0.weight"),
        (numbered(FEATURES, prefix=""), "torchvision", "0.weight"),
        (numbered(FEATURES, prefix="module.features."), "torchvision", "module.features.0.weight"),
        (named(), "conv1_1", "conv1_1.weight"),
        (named("module.conv{}_{}.{}"), "conv1_1", "module.conv1_1.weight"),
        (keras(), "keras", "block1_conv1/block1_conv1_W_1:0"),
        (keras("kernel:0", "bias:0"), "keras", "block1_conv1/kernel:0"),
        (
            keras("block{0}_conv{1}/kernel:0", "block{0}_conv{1}/bias:0"),
            "keras",
            "block1_conv1/block1_conv1/kernel:0",
        ),
        (
            keras("kernel", "bias", "model_weights/block{0}_conv{1}/"),
            "keras",
            "model_weights/block1_conv1/kernel",
        ),
        (keras("kernel", "bias", "block{0}_conv{1}."), "keras", "block1_conv1.kernel"),
    ],
)
def test_recognised(tensors, layout, first) -> None:
    tensors["classifier.0.weight"] = empty(4096, 25088)
    tensors["fc1/fc1_W_1:0"] = empty(25088, 4096)
    found = recognize(tensors)
    assert found.name == layout
    assert found.names["conv1_1.weight"] == first
    assert len(found.names) == 32
    assert found.only_original == (layout != "torchvision")


def with_batch_norm():
    tensors = numbered(FEATURES_BN)
    tensors["features.1.running_mean"] = empty(64)
    return tensors


def without(name):
    tensors = numbered(FEATURES)
    del tensors[name]
    return tensors


NARROW = [(max(8, o // 8), max(3, i // 8), h, w) for o, i, h, w in SHAPES.values()]


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (numbered(FEATURES_16), "f.pth is VGG-16, with 13 convolutions; give VGG-19"),
        (with_batch_norm(), "f.pth is VGG-19 with batch normalization"),
        (numbered(FEATURES[:13]), "f.pth is VGG-19 without conv5_2 and 2 more"),
        (numbered([*FEATURES, 36], [*SHAPES.values(), (512, 512, 3, 3)]), "not VGG-19: it has 17"),
        (numbered(FEATURES, NARROW), r"conv1_1.weight has the shape \(8, 3, 3, 3\), not \(64, 3"),
        (without("features.5.bias"), "f.pth has no conv2_1.bias"),
        (without("features.5.weight"), "f.pth is VGG-19 without conv2_1;"),
        ({"a": empty(3, 3, 3, 3)}, "f.pth is not a VGG-19: none of its names is known"),
        ({}, "f.pth is not a VGG-19"),
    ],
)
def test_refused_in_one_line(tensors, words) -> None:
    with pytest.raises(WeightsError, match=words) as caught:
        recognize(tensors, "f.pth")
    assert "\n" not in str(caught.value)


def test_vgg16_in_other_names_is_refused() -> None:
    for tensors in (named(), keras()):
        less = {
            name: tensor
            for name, tensor in tensors.items()
            if not any(f"{block}_conv4" in name or f"conv{block}_4" in name for block in (3, 4, 5))
        }
        with pytest.raises(WeightsError, match="is VGG-16"):
            recognize(less)


def test_an_optimizers_tensors_do_not_count() -> None:
    tensors = keras("kernel:0", "bias:0", "optimizer_weights/block{0}_conv{1}/")
    assert recognize({**tensors, **keras()}).names["conv1_1.bias"].endswith("_b_1:0")


def test_keras_kernels_are_turned() -> None:
    tensors = {name: torch.zeros(tensor.shape) for name, tensor in keras().items()}
    name = "block2_conv1/block2_conv1_W_1:0"
    tensors[name] = torch.arange(tensors[name].numel()).reshape(tensors[name].shape).float()
    turned = convert(tensors, recognize(tensors))["conv2_1.weight"]
    assert turned.shape == (128, 64, 3, 3)
    assert turned[5, 7, 1, 2] == tensors[name][1, 2, 7, 5]
    assert turned.is_contiguous()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_refused(bad) -> None:
    tensors = {name: torch.zeros(tensor.shape) for name, tensor in named().items()}
    tensors["conv3_2.weight"][4, 3, 2, 1] = bad
    with pytest.raises(WeightsError, match=r"conv3_2\.weight in f holds NaN or infinity"):
        convert(tensors, recognize(tensors), "f")


def test_integers_are_refused_and_halves_are_taken() -> None:
    tensors = {name: torch.zeros(tensor.shape).half() for name, tensor in named().items()}
    assert convert(tensors, recognize(tensors))["conv1_1.weight"].dtype == torch.float32
    tensors["conv1_2.bias"] = tensors["conv1_2.bias"].to(torch.int8)
    with pytest.raises(WeightsError, match=r"conv1_2\.bias in f holds int8"):
        convert(tensors, recognize(tensors), "f")
