import torch
from torch.nn import functional

from impasto.network.layers import dense, parts
from impasto.network.vgg import VGG19


def test_the_published_numbers() -> None:
    """143,667,240 parameters, of which the first fully connected layer alone has 102,764,544."""
    whole = [*parts(), *dense()]
    assert sum(part.parameters for part in whole) == 143_667_240
    assert [part.parameters for part in dense()] == [102_764_544, 16_781_312, 4_097_000]
    assert sum(part.parameters for part in parts()) == 20_024_384
    assert round(sum(part.operations for part in whole) / 1e9, 2) == 19.63  # often given as 19.6 G


def test_by_hand() -> None:
    first, second, pooled = parts(10, 7)[:3]
    assert (first.name, first.parameters, first.operations) == ("conv1_1", 1792, 27 * 64 * 70)
    assert (second.name, second.parameters, second.operations) == ("conv1_2", 36_928, 576 * 64 * 70)
    assert (pooled.name, pooled.width, pooled.height, pooled.parameters) == ("pool1", 5, 4, 0)
    assert pooled.activation == 64 * 20 * 4


def test_the_real_weights_have_as_many(weights) -> None:
    assert sum(tensor.numel() for tensor in weights.values()) == sum(p.parameters for p in parts())


def test_shapes_are_those_of_the_network(narrow) -> None:
    image = torch.rand(1, 3, 37, 50)
    names = [part.name for part in parts(50, 37)]
    found = VGG19(narrow)(functional.pad(image, (0, 0, 0, 0)), names)
    for part in parts(50, 37):
        assert tuple(found[part.name].shape[-2:]) == (part.height, part.width)
