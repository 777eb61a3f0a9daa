import pytest
import torch

from impasto.errors import InputError
from impasto.network import pooling
from impasto.network.backprop import FeatureExtractor, add_gradients
from impasto.network.layers import LAYERS
from impasto.network.vgg import VGG19

SETS = [
    ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"],
    ["relu1_2", "relu2_2", "relu3_4"],  # rectifications right before a pooling
    ["conv1_1", "relu1_1", "conv3_2", "pool1", "pool4"],
    ["conv4_2"],
    ["pool2", "relu2_2"],
    list(LAYERS),
]


def adding(given):
    """Inject what a function gives for a layer."""
    return lambda name, so_far: add_gradients(so_far, given(name))


def autograd(network, image, layers, gradients):
    leaf = image.clone().requires_grad_(True)
    features = network(leaf, layers)
    total = sum((features[layer] * gradients[layer]).sum() for layer in gradients)
    return features, torch.autograd.grad(total, leaf)[0]


@pytest.mark.parametrize("layers", SETS, ids=lambda names: names[0] + f"+{len(names) - 1}")
@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
@pytest.mark.parametrize("padding", ["zero", "reflect", "replicate"])
@pytest.mark.parametrize(
    ("size", "partial"), [((32, 48), "count"), ((37, 45), "count"), ((33, 35), "count"), ((37, 45), "drop")]
)
def test_features_and_way_back_equal_autograd(narrow, layers, pooling, padding, size, partial) -> None:
    network = VGG19(narrow, pooling=pooling, padding=padding, partial_windows=partial).double()
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(1, 3, *size, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        shapes = {name: found.shape for name, found in network(image, layers).items()}
    gradients = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()
    }
    expected, gradient = autograd(network, image, layers, gradients)
    forward_pass = FeatureExtractor(network).forward(image, layers)
    assert set(forward_pass.features) == {"image", *layers}
    for name, found in forward_pass.features.items():
        torch.testing.assert_close(found, expected[name].detach())
    asked: list[str] = []
    back = forward_pass.backward(adding(lambda name: asked.append(name) or gradients[name].clone()))
    torch.testing.assert_close(back, gradient)
    assert asked == [*reversed([name for name in LAYERS if name in layers]), "image"]


def test_layers_without_a_gradient_are_passed_over(narrow) -> None:
    network = VGG19(narrow).double()
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    one = torch.ones(1, narrow["conv2_1.bias"].numel(), 16, 16).double()
    _, expected = autograd(network, image, ["relu2_1", "relu3_1"], {"relu2_1": one})
    forward_pass = FeatureExtractor(network).forward(image, ["relu2_1", "relu3_1"])
    found = forward_pass.backward(adding(lambda name: one.clone() if name == "relu2_1" else None))
    torch.testing.assert_close(found, expected)
    forward_pass = FeatureExtractor(network).forward(image, ["relu1_1"])
    assert torch.equal(forward_pass.backward(adding(lambda _: None)), torch.zeros_like(image))


def test_a_gradient_that_is_one_number_seen_many_times_is_not_written_to(narrow) -> None:
    network = VGG19(narrow).double()
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    number = torch.ones((), dtype=torch.float64)
    seen = number.expand(1, narrow["conv1_1.bias"].numel(), 16, 16).double()
    _, expected = autograd(network, image, ["relu1_1"], {"relu1_1": seen})
    found = (
        FeatureExtractor(network)
        .forward(image, ["relu1_1"])
        .backward(adding(lambda name: seen if name == "relu1_1" else None))
    )
    torch.testing.assert_close(found, expected)
    assert number == 1


def test_the_image_is_not_touched_and_too_small_is_refused(narrow, random_image) -> None:
    extractor, image = FeatureExtractor(VGG19(narrow)), random_image(16, 16)
    before = image.clone()
    extractor.forward(image, ["relu5_1"]).backward(adding(lambda _: None))
    assert torch.equal(image, before)
    with pytest.raises(InputError, match="16 px"):
        extractor.forward(random_image(15, 40), ["relu5_1"])


def test_the_real_network_goes_through_winograd_and_equals_autograd(weights) -> None:
    network = VGG19(weights)
    image = torch.rand(1, 3, 41, 55, generator=torch.Generator().manual_seed(0))
    layers = ["relu3_3", "relu4_2"]
    gradients = {name: torch.ones_like(network(image, [name])[name]) for name in layers}
    expected, gradient = autograd(network, image, layers, gradients)
    extractor = FeatureExtractor(network)
    forward_pass = extractor.forward(image, layers)
    for name in layers:
        found, wanted = forward_pass.features[name], expected[name].detach()
        assert (found - wanted).abs().max() < 2e-5 * wanted.abs().max()
    found = forward_pass.backward(adding(gradients.get))
    assert (found - gradient).norm() < 1e-3 * gradient.norm()
    ways = {name: type(made).__name__ for (name, _), made in extractor._convolutions.items()}
    assert ways["conv1_2"] == "Direct"
    assert ways["conv4_2"] == "Winograd"


@pytest.mark.parametrize("padding", ["zero", "reflect", "replicate"])
@pytest.mark.parametrize("partial", ["count", "drop"])
@pytest.mark.parametrize(("height", "width"), [(32, 20), (37, 21), (50, 16), (35, 18)])
def test_strips_are_the_whole(narrow, random_image, monkeypatch, padding, partial, height, width) -> None:
    extractor = FeatureExtractor(VGG19(narrow, padding=padding, partial_windows=partial).double())
    image = random_image(height, width).double()
    found = []
    for rows in (1000, 3, 1):  # of pooled layers in a strip
        monkeypatch.setattr(pooling, "ROWS", rows)
        monkeypatch.setattr(pooling, "STRIP", 1)
        forward_pass = extractor.forward(image, ["relu3_1"])
        features = forward_pass.features["relu3_1"].clone()
        found.append((features, forward_pass.backward(adding({"relu3_1": features.clone()}.get))))
    for features, gradient in found[1:]:
        assert torch.allclose(features, found[0][0], rtol=1e-12)
        assert torch.allclose(gradient, found[0][1], rtol=1e-10)


@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
@pytest.mark.parametrize("padding", ["zero", "reflect", "replicate"])
@pytest.mark.parametrize("size", [(33, 18), (47, 31)])
def test_gradients_at_odd_sizes_are_finite_differences(narrow, pooling, padding, size) -> None:
    extractor = FeatureExtractor(VGG19(narrow, pooling=pooling, padding=padding).double())
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 3, *size, generator=generator, dtype=torch.float64)

    def loss(image: torch.Tensor) -> torch.Tensor:
        features = extractor.forward(image, ["relu2_1", "relu5_1"], keep=False).features
        return sum(features[name].square().sum() for name in ("relu2_1", "relu5_1"))

    forward_pass = extractor.forward(image, ["relu2_1", "relu5_1"])
    features = {name: 2 * forward_pass.features[name].clone() for name in ("relu2_1", "relu5_1")}
    gradient = forward_pass.backward(adding(features.get))
    step = 1e-7
    for row, column in ((-1, -1), (-1, 3), (3, -1), (-2, -2), (0, 0), (size[0] // 2, size[1] // 2)):
        moved = torch.zeros_like(image)
        moved[0, 1, row, column] = step
        slope = (loss(image + moved) - loss(image - moved)) / (2 * step)
        torch.testing.assert_close(
            gradient[0, 1, row, column], slope, rtol=1e-4, atol=1e-4 * gradient.abs().max()
        )


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("padding", ["zero", "reflect", "replicate"])
@pytest.mark.parametrize("layer", ["relu4_1", "relu5_1"])
@pytest.mark.parametrize("rest", [1, 3, 8, 15])
def test_deep_layers_see_the_last_rows_and_columns(
    narrow, random_image, pooling, padding, layer, rest
) -> None:
    """Gradients there are of the size that they have at the first ones, which no pooling ever left out."""
    image = random_image(64 + rest, 80 + (7 * rest) % 16, dtype=torch.float64)

    def sizes(partial: str) -> dict[str, float]:
        network = VGG19(narrow, pooling=pooling, padding=padding, partial_windows=partial).double()
        size = torch.zeros(image.shape[-2:], dtype=torch.float64)
        for turned in (image, image.flip(2, 3)):  # the same pixels at the other sides, and the mean of both
            forward_pass = FeatureExtractor(network).forward(turned, [layer])
            features = forward_pass.features[layer].clone()
            size += forward_pass.backward(adding({layer: features}.get)).square().mean((0, 1))
        strips = {"left": size[:, :6], "right": size[:, -6:], "top": size[:6], "bottom": size[-6:]}
        return {side: float(strip.mean().sqrt()) for side, strip in strips.items()}

    found = sizes("count")
    assert found["right"] > 0.5 * found["left"]
    assert found["bottom"] > 0.5 * found["top"]
    if rest < 15 or padding == "zero":  # zeros outside make gradients at the border that hide it
        return
    dropped = sizes("drop")  # as it was
    assert dropped["bottom"] < 0.5 * found["bottom"]
