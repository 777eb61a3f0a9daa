import math

import pytest
import torch
from torch import nn

from impasto.errors import InputError, SettingsError
from impasto.network.layers import CHANNELS, CONVOLUTIONS, LAYERS
from impasto.network.vgg import ORIGINAL, VGG19, narrow_weights, pool

CONVS = [name for name in LAYERS if name.startswith("conv")]


def plain(weights, *, relu: bool = True) -> list[tuple[str, nn.Module]]:
    """Return the network for 37 x 48 px as torch modules with names: zero padding, max pooling."""
    modules: list[tuple[str, nn.Module]] = []
    for block, count in enumerate((2, 2, 4, 4, 4), start=1):
        for index in range(1, count + 1):
            kernel = weights[f"conv{block}_{index}.weight"]
            conv = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
            conv.weight.data, conv.bias.data = kernel, weights[f"conv{block}_{index}.bias"]
            modules += [(f"conv{block}_{index}", conv), (f"relu{block}_{index}", nn.ReLU())]
        modules.append((f"pool{block}", nn.MaxPool2d(2, ceil_mode=block in (1, 3, 5))))
    return modules


def by_hand(image: torch.Tensor) -> torch.Tensor:
    red, green, blue = (image * 255).split(1, dim=1)
    return torch.cat([blue - 103.939, green - 116.779, red - 123.68], dim=1)


@pytest.mark.parametrize("real", [False, True], ids=["narrow", "real"])
def test_every_layer_equals_a_plain_sequential(narrow, weights, random_image, real) -> None:
    chosen = weights if real else narrow
    image = random_image(37, 48)
    hidden, expected = by_hand(image), {}
    with torch.no_grad():
        for name, module in plain(chosen):
            hidden = expected[name] = module(hidden)
        found = VGG19(chosen)(image, LAYERS)
    assert list(found) == ["image", *LAYERS]
    for name in LAYERS:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-3)


def test_all_sixteen_convolutions_and_their_shapes(weights) -> None:
    assert len(CONVS) == 16
    assert CONVS[0] == "conv1_1"
    assert CONVS[-1] == "conv5_4"
    with torch.no_grad():
        found = VGG19(weights)(torch.rand(1, 3, 37, 64), LAYERS)
    heights = (37, 19, 9, 5, 2, 1)  # 37 over 1, 2, 4, 8, 16 and 32, rounded to the nearest
    for block, (count, channels) in enumerate(zip(CONVOLUTIONS, CHANNELS, strict=True), start=1):
        high, wide = heights[block - 1], 64 >> (block - 1)
        for index in range(1, count + 1):
            assert found[f"conv{block}_{index}"].shape == (1, channels, high, wide)
            assert found[f"relu{block}_{index}"].shape == (1, channels, high, wide)
        assert found[f"pool{block}"].shape == (1, channels, heights[block], wide // 2)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("layer", CONVS)
def test_convolution_is_not_overwritten_by_relu(narrow, random_image, layer, alone) -> None:
    relu = layer.replace("conv", "relu")
    wanted = [layer] if alone else [layer, relu, "pool5"]
    found = VGG19(narrow)(random_image(32, 32), wanted)
    assert (found[layer] < 0).any()
    if not alone:
        torch.testing.assert_close(found[relu], found[layer].clamp(min=0))


def test_preprocessing_is_inside_and_the_image_is_untouched(narrow, random_image) -> None:
    image = random_image(20, 20)
    before = image.clone()
    network = VGG19(narrow)
    found = network(image, ["conv1_1"])
    assert found["image"] is image
    assert torch.equal(image, before)
    assert ORIGINAL.mean == (123.68, 116.779, 103.939)
    mean = torch.tensor(ORIGINAL.mean).view(1, 3, 1, 1).expand(1, 3, 8, 8) / 255
    bias = narrow["conv1_1.bias"].view(1, -1, 1, 1).expand(1, -1, 8, 8)
    torch.testing.assert_close(network(mean, ["conv1_1"])["conv1_1"], bias, atol=1e-3, rtol=0)
    red = torch.zeros(1, 3, 8, 8)
    red[:, 0] = 1.0
    change = network(red, ["conv1_1"])["conv1_1"] - network(red * 0, ["conv1_1"])["conv1_1"]
    expected = 255 * narrow["conv1_1.weight"][:, 2].sum(dim=(1, 2))  # red comes last: BGR
    torch.testing.assert_close(change[0, :, 4, 4], expected, atol=1e-2, rtol=1e-4)


def test_nothing_is_asked_for_nothing_is_computed(narrow, monkeypatch) -> None:
    network = VGG19(narrow)
    monkeypatch.setattr(network, "_layer", None)
    image = torch.rand(1, 3, 1, 1)
    assert list(network(image, [])) == ["image"]


@pytest.mark.parametrize("wanted", [["relu3_1", "relu1_1"], ["conv4_2"], ["pool2"], ["conv1_1"]])
def test_stops_at_the_deepest_layer(narrow, random_image, monkeypatch, wanted) -> None:
    network, passed = VGG19(narrow), []
    original = network._layer

    def counting(layer, *inputs, **options):
        passed.append(layer)
        return original(layer, *inputs, **options)

    monkeypatch.setattr(network, "_layer", counting)
    found = network(random_image(32, 32), wanted)
    deepest = max(LAYERS.index(layer) for layer in wanted)
    assert passed == list(LAYERS[: deepest + 1])
    assert set(found) == {"image", *wanted}


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_poolings_against_torch(size) -> None:
    x = torch.randn((1, 3, *size), generator=torch.Generator().manual_seed(0))
    assert torch.equal(pool(x, "max", (size[0] // 2, size[1] // 2)), nn.MaxPool2d(2)(x))
    assert torch.equal(pool(x, "average", (size[0] // 2, size[1] // 2)), nn.AvgPool2d(2)(x))
    expected = nn.LPPool2d(2, 2)(x) / 2  # root of the mean, not of the sum
    torch.testing.assert_close(pool(x, "l2", (size[0] // 2, size[1] // 2)), expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 6), (1, 1)])
def test_windows_over_the_border_count_what_they_have(pooling, size) -> None:
    x = torch.randn((1, 2, *size), generator=torch.Generator().manual_seed(0))
    found = pool(x, pooling, (math.ceil(size[0] / 2), math.ceil(size[1] / 2)))
    assert found.shape == (1, 2, math.ceil(size[0] / 2), math.ceil(size[1] / 2))
    of = {"max": torch.amax, "average": torch.mean, "l2": lambda part, dims: part.square().mean(dims).sqrt()}
    for row in range(found.shape[2]):
        for column in range(found.shape[3]):
            part = x[..., 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            torch.testing.assert_close(
                found[..., row, column], of[pooling](part, (2, 3)), atol=2e-6, rtol=1e-5
            )


def test_l2_pooling_has_a_gradient_at_zero() -> None:
    x = torch.zeros(1, 1, 2, 2, requires_grad=True)
    pool(x, "l2", (1, 1)).sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
def test_the_network_uses_the_pooling_asked_for(narrow, random_image, pooling) -> None:
    found = VGG19(narrow, pooling=pooling)(random_image(32, 32), ["relu1_2", "pool1", "conv2_1"])
    torch.testing.assert_close(found["pool1"], pool(found["relu1_2"], pooling, (16, 16)))
    kernel, bias = narrow["conv2_1.weight"], narrow["conv2_1.bias"]
    expected = nn.functional.conv2d(found["pool1"], kernel, bias, padding=1)
    torch.testing.assert_close(found["conv2_1"], expected)


@pytest.mark.parametrize(
    ("padding", "mode"), [("zero", "zeros"), ("reflect", "reflect"), ("replicate", "replicate")]
)
def test_paddings_against_torch(narrow, random_image, padding, mode) -> None:
    image = random_image(19, 22)
    conv = nn.Conv2d(3, 8, 3, padding=1, padding_mode=mode)
    conv.weight.data, conv.bias.data = narrow["conv1_1.weight"], narrow["conv1_1.bias"]
    second = nn.Conv2d(8, 8, 3, padding=1, padding_mode=mode)
    second.weight.data, second.bias.data = narrow["conv1_2.weight"], narrow["conv1_2.bias"]
    found = VGG19(narrow, padding=padding)(image, ["conv1_1", "conv1_2"])
    expected = conv(by_hand(image))
    torch.testing.assert_close(found["conv1_1"], expected, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(found["conv1_2"], second(expected.relu()), atol=1e-2, rtol=1e-4)


@pytest.mark.parametrize("padding", ["zero", "reflect", "replicate"])
@pytest.mark.parametrize("size", [(16, 16), (1, 40), (40, 1), (1, 1)])
def test_edges_of_one_position_work(narrow, padding, size) -> None:
    layers = ["relu5_4"] if min(size) == 16 else ["relu1_2"]
    image = torch.rand(1, 3, *size, requires_grad=True)
    found = VGG19(narrow, padding=padding)(image, layers)[layers[0]]
    assert found.shape[-2:] == ((1, 1) if min(size) == 16 else size)
    found.sum().backward()
    assert torch.isfinite(image.grad).all()


def test_reflect_and_replicate_keep_a_flat_picture_flat(narrow) -> None:
    for padding in ("reflect", "replicate"):
        found = VGG19(narrow, padding=padding)(torch.full((1, 3, 32, 32), 0.3), ["relu3_1"])
        spread = found["relu3_1"].amax((2, 3)) - found["relu3_1"].amin((2, 3))
        assert spread.max() < 1e-3


@pytest.mark.parametrize(("layer", "needed"), [("relu5_1", 16), ("pool5", 32), ("relu4_2", 8), ("pool1", 2)])
def test_too_small_is_refused_with_the_size_that_works(narrow, layer, needed) -> None:
    network = VGG19(narrow)
    network(torch.rand(1, 3, needed, needed), [layer])
    for size in ((needed - 1, 64), (64, needed - 1)):
        with pytest.raises(InputError, match=rf"{layer}.*{needed} px"):
            network(torch.rand(1, 3, *size), ["relu1_1", layer])


def test_unknown_layer_did_you_mean(narrow) -> None:
    with pytest.raises(SettingsError, match=r"relu4_9.*Did you mean relu4_"):
        VGG19(narrow)(torch.rand(1, 3, 16, 16), ["relu4_9"])
    with pytest.raises(SettingsError, match="unknown layer 'quux'"):
        VGG19(narrow)(torch.rand(1, 3, 16, 16), ["quux"])


def test_frozen_and_gradient_reaches_the_image(narrow, random_image) -> None:
    network = VGG19(narrow)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    image = random_image(16, 16).requires_grad_(True)
    network(image, ["relu5_1"])["relu5_1"].sum().backward()
    assert image.grad.abs().sum() > 0


def test_narrow_weights_are_seeded() -> None:
    one, same, other = narrow_weights(3), narrow_weights(3), narrow_weights(4)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["conv1_1.weight"], other["conv1_1.weight"])
    assert sorted(one) == sorted(f"{c}.{kind}" for c in CONVS for kind in ("weight", "bias"))
