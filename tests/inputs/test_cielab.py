"""CIELAB against straight-line code of the test's own, made from primaries and white of the standard."""

import numpy as np
import pytest
import torch

from impasto.inputs.cielab import from_lab, to_lab, with_chroma

PUBLISHED = {  # sRGB -> L*, a*, b* for D65, as printed in tables
    (1, 1, 1): (100.0, 0.0, 0.0),
    (0, 0, 0): (0.0, 0.0, 0.0),
    (1, 0, 0): (53.24, 80.09, 67.20),
    (0, 1, 0): (87.73, -86.18, 83.18),
    (0, 0, 1): (32.30, 79.19, -107.86),
}


def matrix() -> np.ndarray:
    """Linear sRGB to XYZ, from the chromaticities of the primaries and of D65."""
    columns = [[x / y, 1, (1 - x - y) / y] for x, y in ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06))]
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    primaries = np.array(columns).T
    return primaries * np.linalg.solve(primaries, white)


def lab(pixels) -> np.ndarray:
    """L*, a*, b* of sRGB values (N, 3), one by one."""
    found = []
    for pixel in np.asarray(pixels, np.float64):
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in pixel]
        ratios = (matrix() @ linear) / (matrix() @ [1, 1, 1])
        x, y, z = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in ratios)
        found.append([116 * y - 16, 500 * (x - y), 200 * (y - z)])
    return np.array(found)


def image(pixels, height: int = 1) -> torch.Tensor:
    """Pixels (N, 3) as (1, 3, height, N / height)."""
    pixels = np.asarray(pixels, np.float32)
    return torch.from_numpy(pixels.T.reshape(1, 3, height, -1).copy())


def pixels(tensor) -> np.ndarray:
    return tensor[0].flatten(1).T.double().numpy()


@pytest.fixture
def colors() -> np.ndarray:
    random = np.random.default_rng(0).random((600, 3))
    random[:100] **= 4  # dark ones
    return random


def test_lab_is_that_of_the_standard(colors) -> None:
    np.testing.assert_allclose(pixels(to_lab(image(colors, 20))), lab(colors), atol=0.05)
    corners = list(PUBLISHED)
    got = pixels(to_lab(image(corners)))
    np.testing.assert_allclose(got, list(PUBLISHED.values()), atol=0.05)


def test_there_and_back_is_far_finer_than_16_bits(colors) -> None:
    back = from_lab(to_lab(image(colors)))
    assert (back - image(colors)).abs().max() < 0.5 / 65535


def test_a_colour_that_srgb_lacks_keeps_lightness_and_hue_and_most_of_its_chroma() -> None:
    wanted = np.array([[20, 0, 90], [90, 80, 0], [30, -60, 30], [99, 40, -70], [5, 50, 50.0]])
    shown = from_lab(image(wanted))
    assert shown.min() >= 0
    assert shown.max() <= 1
    got = lab(pixels(shown))
    np.testing.assert_allclose(got[:, 0], wanted[:, 0], atol=0.05)
    chroma, asked = np.hypot(got[:, 1], got[:, 2]), np.hypot(wanted[:, 1], wanted[:, 2])
    across = (got[:, 1] * wanted[:, 2] - got[:, 2] * wanted[:, 1]) / asked  # off the hue, in dE
    np.testing.assert_allclose(across, 0, atol=0.1)
    assert (chroma > 1).all()
    assert (chroma < asked).all()
    edge = np.minimum(pixels(shown).min(1), 1 - pixels(shown).max(1))
    assert (edge < 1e-3).all(), "more chroma would have fitted"


def test_chroma_is_the_photos_within_one_in_8_bits(colors) -> None:
    """The number of the issue; where sRGB has that chroma at that lightness."""
    random = np.random.default_rng(1)
    photo = 0.5 + (colors - 0.5) * 0.5  # not so vivid that it cannot get lighter
    painted = photo + random.normal(0, 0.1, photo.shape)
    painted = painted.clip(0, 1)
    result = with_chroma(image(painted), image(photo))
    saved = lab(np.round(pixels(result) * 255) / 255)
    apart = np.hypot(*(saved - lab(photo)).T[1:])
    fits = np.abs(lab(pixels(result)) - lab(photo))[:, 1:].max(1) < 0.1  # before rounding
    assert fits.mean() > 0.95
    assert apart[fits].max() < 1
    np.testing.assert_allclose(saved[:, 0], lab(painted)[:, 0], atol=0.5)


@pytest.mark.parametrize("amount", [0.0, 0.25, 1.0])
def test_the_amount_is_a_share_of_the_way_in_lab(amount) -> None:
    painted, photo = [[0.5, 0.55, 0.6]], [[0.7, 0.5, 0.45]]
    got = lab(pixels(with_chroma(image(painted), image(photo), amount)))
    one, other = lab(painted), lab(photo)
    np.testing.assert_allclose(got[:, 0], one[:, 0], atol=0.02)
    np.testing.assert_allclose(got[:, 1:], (one + amount * (other - one))[:, 1:], atol=0.05)


def test_a_gray_photo_makes_gray() -> None:
    painted = np.random.default_rng(2).random((50, 3))
    gray = np.full((50, 3), 0.3)
    got = pixels(with_chroma(image(painted), image(gray)))
    assert np.ptp(got, axis=1).max() < 1 / 65535


def test_no_bands_in_16_bits() -> None:
    """Two smooth gradients stay one: all its levels are there, and no step is twice its neighbours'."""
    ramp = np.linspace(0.2, 0.8, 20_000)
    painted = np.stack([ramp, ramp, ramp], 1)
    photo = np.stack([0.3 + 0.2 * ramp, 0.5 - 0.1 * ramp, 0.5 + 0 * ramp], 1)
    got = np.round(pixels(with_chroma(image(painted), image(photo))) * 65535)
    for channel in got.T:
        assert len(np.unique(channel)) > 0.95 * len(ramp)
        assert np.abs(np.diff(channel)).max() <= 4  # 2.4 levels apart in the mean, and rounding
