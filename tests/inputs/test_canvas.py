import pytest
import torch

from impasto.inputs.canvas import LEVEL, SQUARE, cover, even, grayed, grow, is_gray, resize, start, unevened


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


def half_even(height: int = 60, width: int = 80) -> torch.Tensor:
    """Return noise with an even right half, whose left edge is at half the width."""
    image = torch.rand((1, 3, height, width), generator=torch.Generator().manual_seed(5))
    image[..., width // 2 :] = torch.tensor([1.0, 0.5, 0.0]).view(1, 3, 1, 1)
    return image


def test_even_areas_are_found_to_the_pixel() -> None:
    expected = torch.zeros(1, 1, 60, 80)
    expected[..., 40:] = 1
    assert torch.equal(even(half_even()), expected)
    narrow = half_even(60, 2 * SQUARE - 2)  # one pixel less than a square
    assert even(narrow).sum() == 0
    assert even(half_even(60, 2 * SQUARE)).sum() == 60 * SQUARE
    assert even(torch.ones(1, 3, SQUARE - 1, 90)).sum() == 0
    one_channel = torch.ones(1, 3, 40, 40)
    one_channel[:, 2] = torch.rand(40, 40)
    assert even(one_channel).sum() == 0
    assert even(torch.linspace(0, 1, 400).expand(1, 3, 400, 400)).sum() == 0  # slow, but no even area


def test_even_areas_of_a_start_get_faint_noise_and_nothing_else_changes() -> None:
    image = half_even()
    found = unevened(image, seed=3)
    assert torch.equal(found[..., :40], image[..., :40])
    noise = (found - image)[..., 40:]
    assert noise.abs().max() <= LEVEL + 1e-7
    assert noise[:, 1].std().item() == pytest.approx(LEVEL / 3**0.5, rel=0.1)
    assert noise[:, 1].mean().abs() < 0.1 * LEVEL
    assert found.min() >= 0
    assert found.max() <= 1
    assert even(found).sum() == 0
    assert torch.equal(found, unevened(image, seed=3))
    assert not torch.equal(found, unevened(image, seed=4))


def test_a_start_without_even_areas_is_the_same_object() -> None:
    image = torch.rand(1, 3, 60, 80)
    assert unevened(image, seed=0) is image
    image[..., :SQUARE, :SQUARE] = 1  # 5 %
    assert unevened(image, seed=0) is not image
    large = torch.rand(1, 3, 200, 200)
    large[..., :SQUARE, :SQUARE] = 1  # 0.6 %
    assert unevened(large, seed=0) is large
    canvas = half_even()
    assert unevened(canvas, seed=0, photo=torch.rand(1, 3, 60, 80)) is canvas
    assert unevened(canvas, seed=0, photo=torch.ones(1, 3, 60, 80)) is not canvas


def test_gray() -> None:
    gray = torch.rand(1, 1, 20, 30).expand(1, 3, 20, 30).contiguous()
    assert is_gray(gray)
    assert torch.equal(grayed(gray), gray)
    dot = gray.clone()
    dot[0, 0, 7, 9] = (dot[0, 1, 7, 9] + 0.5) % 1
    assert not is_gray(dot)
    assert is_gray(gray.mul(253 / 255).add_(torch.tensor([0.0, 1 / 255, 0.0]).view(1, 3, 1, 1)))
