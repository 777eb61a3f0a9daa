import pytest
import torch

from impasto.inputs.canvas import cover, grow, resize, start


def begin(init, noise=0.0, seed=0, **pictures):
    content = torch.full((1, 3, 20, 30), 0.2)
    base = {"content": content, "style": torch.full((1, 3, 7, 9), 0.6), "picture": None}
    return start(init, noise=noise, seed=seed, **(base | pictures))


def test_starts() -> None:
    assert torch.equal(begin("content"), torch.full((1, 3, 20, 30), 0.2))
    torch.testing.assert_close(begin("style"), torch.full((1, 3, 20, 30), 0.6))
    given = torch.rand(1, 3, 20, 30)
    assert torch.equal(begin("picture", picture=given), given)
    white = begin("noise", seed=3)
    assert white.min() < 0.05
    assert white.max() > 0.95
    assert white.mean().item() == pytest.approx(0.5, abs=0.03)
    gray = begin("gray")
    assert gray.std().item() == pytest.approx(0.01, rel=0.1)
    assert gray.mean().item() == pytest.approx(0.5, abs=0.002)


def test_seed_and_share_of_noise() -> None:
    assert torch.equal(begin("noise", seed=3), begin("noise", seed=3))
    assert not torch.equal(begin("noise", seed=3), begin("noise", seed=4))
    torch.testing.assert_close(begin("content", noise=1.0), begin("noise"))
    half = 0.5 * begin("content") + 0.5 * begin("noise")
    torch.testing.assert_close(begin("content", noise=0.5), half)


def test_cover_crops_the_middle_without_distortion() -> None:
    image = torch.linspace(0, 1, 40).expand(1, 3, 10, 40)
    found = cover(image, 10, 20)
    torch.testing.assert_close(found, image[..., 10:30])
    assert cover(image, 33, 17).shape == (1, 3, 33, 17)


def test_upscale_and_grow() -> None:
    image = torch.rand(1, 3, 6, 8)
    assert torch.equal(resize(image, 6, 8), image)
    larger = resize(image, 12, 16)
    assert larger.shape == (1, 3, 12, 16)
    assert larger.min() >= 0
    assert larger.max() <= 1
    after = torch.rand(1, 3, 12, 16)
    assert torch.equal(grow(image, image, after, 0.0), larger)
    torch.testing.assert_close(grow(image, image, after, 1.0), after, atol=1e-6, rtol=0)
