import pytest
import torch
from torch.nn import functional

from impasto.network import convolution
from impasto.network.backprop import FeatureExtractor
from impasto.network.convolution import Direct, Fused, can_fuse, fold, pad
from impasto.network.vgg import VGG19, narrow_weights
from impasto.network.winograd import Winograd

PADDINGS = ["zero", "reflect", "replicate"]
FUSES = pytest.mark.skipif(not can_fuse(torch.float32), reason="torch has no fused convolution here")


def layer(incoming: int, outgoing: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(outgoing, incoming, 3, 3, generator=generator) * (2 / 9 / incoming) ** 0.5
    return weight, torch.randn(outgoing, generator=generator) * 0.1


def reference(x, weight, bias, padding):
    """Return torch's convolution in float64; `pad` itself is compared with torch's in test_vgg."""
    return functional.conv2d(pad(x.double(), padding), weight.double(), bias.double())


def assert_near(found, expected) -> None:
    """Check what the module promises of Winograd's rounding."""
    assert (found - expected).abs().max() < 1e-5 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("way", [Direct, pytest.param(Fused, marks=FUSES), Winograd])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(16, 24), (17, 22), (3, 5), (1, 7), (6, 1), (1, 1), (70, 33)])
def test_forward_and_back_equal_autograd(way, padding, size, monkeypatch) -> None:
    monkeypatch.setattr("impasto.network.winograd.STRIP", 200)  # several strips
    weight, bias = layer(12, 20)
    x = torch.randn(1, 12, *size, generator=torch.Generator().manual_seed(1))
    leaf = x.double().requires_grad_(True)
    expected = reference(leaf, weight, bias, padding)
    ours = way(weight, bias, padding)
    laid_out = x.contiguous(memory_format=torch.channels_last)
    found = ours.forward(laid_out, rectify=False)
    assert_near(found, expected.detach())
    assert torch.equal(ours.forward(laid_out, rectify=True), found.relu())
    gradient = torch.randn(1, 20, *size, generator=torch.Generator().manual_seed(2))
    (back,) = torch.autograd.grad(expected, leaf, gradient.double())
    given = gradient.contiguous(memory_format=torch.channels_last)
    assert_near(ours.backward(given), back)


def test_winograd_rounds_to_one_in_a_hundred_thousand() -> None:
    weight, bias = layer(256, 256)
    x = torch.randn(1, 256, 24, 32, generator=torch.Generator().manual_seed(1)).relu()
    with torch.no_grad():
        expected = reference(x, weight, bias, "zero")
    found = Winograd(weight, bias, "zero").forward(x, rectify=False)
    assert_near(found, expected)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("size", [(5, 8), (2, 3), (1, 4), (1, 1)])
def test_fold_is_the_adjoint_of_pad(padding, size) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, *size, generator=generator, dtype=torch.float64)
    padded = pad(x, padding)
    assert padded.shape[-2:] == (size[0] + 2, size[1] + 2)
    y = torch.randn(padded.shape, generator=generator, dtype=torch.float64)
    product = (padded * y).sum()
    torch.testing.assert_close((x * fold(y.clone(), padding)).sum(), product)  # <pad x, y> = <x, fold y>


@pytest.mark.parametrize("padding", ["zero", "reflect", "replicate"])
def test_in_bf16_the_rounding_stays_under_two_percent(padding) -> None:
    """White noise: 1.5 % for 0, +-r, +-1/r and infinity; 3.0 % for the usual points (measured)."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn((24, 20, 3, 3), generator=generator)
    x = torch.randn((1, 20, 22, 19), generator=generator).to(torch.bfloat16)
    gradient = torch.randn((1, 24, 22, 19), generator=generator).to(torch.bfloat16)
    exact = Direct(weight.double(), torch.zeros(24).double(), padding)
    ours = Winograd(weight, torch.zeros(24), padding, torch.bfloat16)
    found = ours.forward(x, rectify=False), ours.backward(gradient)
    wanted = exact.forward(x.double(), rectify=False), exact.backward(gradient.double())
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == torch.bfloat16
        assert (one.double() - other).norm() < 0.02 * other.norm()


@pytest.mark.parametrize(
    "broken",
    [
        AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_convolution_pointwise'"),
        RuntimeError("not built with oneDNN"),
        NotImplementedError("no kernel"),
        None,
    ],
)
def test_without_the_operator_or_where_it_is_wrong_nothing_is_fused(monkeypatch, broken) -> None:
    def convolved(x, kernels, bias, border, after):
        if broken is not None:
            raise broken
        return torch.zeros(1, kernels.shape[0], *x.shape[-2:]).contiguous(memory_format=torch.channels_last)

    monkeypatch.setattr(convolution, "_convolved", convolved)
    can_fuse.cache_clear()
    try:
        assert not can_fuse(torch.float32)
        network = VGG19(narrow_weights())
        image = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
        plain, fused = (
            FeatureExtractor(network, choice=choice).forward(image, ["relu2_1"]).features["relu2_1"]
            for choice in ("direct", "fused")
        )
        assert torch.equal(plain, fused)
    finally:
        can_fuse.cache_clear()
