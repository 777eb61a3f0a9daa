"""Maps of colours against NumPy's own moments and ranks."""

import numpy as np
import pytest
import torch

from impasto.inputs import color_matching
from impasto.inputs.color_matching import GAIN, Palette, histogram, linear, matched, recolor


def colors(mean, spread, count: int = 4000, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    return (mean + random.normal(size=(count, 3)) * spread @ turn).clip(0, 1)


def equal(values) -> Palette:
    return Palette(values, np.full(len(values), 1 / len(values)))


PAINTING = colors([0.4, 0.5, 0.6], [0.2, 0.08, 0.03], seed=1)
PHOTO = colors([0.6, 0.5, 0.3], [0.15, 0.12, 0.05], 3000, seed=2) ** 1.5
GRAY = np.repeat(np.random.default_rng(3).random((2000, 1)) ** 2, 3, axis=1)
NIGHT = (colors([0.1, 0.2, 0.3], [0.3, 0.1, 0.05], 3000, seed=4) - 0.1).clip(0, 1)
PLAIN = np.full((500, 3), [0.2, 0.7, 0.4])


def moments(values) -> tuple[np.ndarray, np.ndarray]:
    return values.mean(0), np.cov(values.T, bias=True)


def test_matched_has_the_photos_mean_and_covariance() -> None:
    """The number of the issue: to 1e-3, limited to [0, 1] or not; `NIGHT` has a third of its values at 0."""
    cases = ((PAINTING, PHOTO), (PHOTO, PAINTING), (PAINTING, GRAY), (PAINTING, NIGHT))
    for painting, photo in cases:
        got = matched(equal(painting), equal(photo))(painting)
        for one, limited, other in zip(moments(got), moments(got.clip(0, 1)), moments(photo), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-9)
            np.testing.assert_allclose(limited, other, atol=1e-4)
    once = linear(equal(PAINTING), equal(NIGHT))(PAINTING)
    assert abs(moments(once.clip(0, 1))[0] - NIGHT.mean(0)).max() > 5e-3  # so it has to be done


def test_noise_is_not_raised_again_where_colours_are_cut_off() -> None:
    """A gray painting with noise and a night: each direction once by `GAIN`, but for what is cut off."""
    noisy = GRAY + np.random.default_rng(5).normal(scale=1e-3, size=GRAY.shape)
    once, often = (fit(equal(noisy), equal(NIGHT))(noisy) for fit in (linear, matched))
    limits = np.linalg.eigvalsh(np.cov(once.T)), np.linalg.eigvalsh(np.cov(often.T))
    np.testing.assert_allclose(limits[1], limits[0], rtol=0.05, atol=1e-9)


def test_no_map_to_these_moments_moves_colours_less() -> None:
    """Than the symmetric root and the root of Cholesky, which the field uses."""
    mean, covariance = moments(PAINTING)
    wanted, photo = moments(PHOTO)

    def root(matrix, power):
        values, axes = np.linalg.eigh(matrix)
        return axes * values**power @ axes.T

    symmetric = root(photo, 0.5) @ root(covariance, -0.5)
    cholesky = np.linalg.cholesky(photo) @ np.linalg.inv(np.linalg.cholesky(covariance))
    ours = linear(equal(PAINTING), equal(PHOTO))(PAINTING)
    moved = np.square(ours - PAINTING).sum()
    for other in (symmetric, cholesky):
        theirs = (PAINTING - mean) @ other.T + wanted
        np.testing.assert_allclose(np.cov(theirs.T, bias=True), photo, atol=1e-9)
        assert moved < np.square(theirs - PAINTING).sum()


@pytest.mark.parametrize("fit", [matched, histogram])
def test_plain_and_gray_pictures(fit) -> None:
    mean = PHOTO.mean(0)
    plain = fit(equal(PLAIN), equal(PHOTO))(PLAIN)  # one colour stays one: the photo's mean
    np.testing.assert_allclose(plain, np.broadcast_to(mean, plain.shape), atol=1e-6)
    onto = fit(equal(PAINTING), equal(PLAIN))(PAINTING)
    np.testing.assert_allclose(onto, np.broadcast_to(PLAIN[0], onto.shape), atol=1e-3)
    gray = fit(equal(PAINTING), equal(GRAY))(PAINTING)
    assert np.ptp(gray, axis=1).max() < 0.02
    np.testing.assert_allclose(gray.std(0), GRAY.std(0), rtol=0.05)
    drawn = fit(equal(GRAY), equal(PHOTO))(GRAY)  # a gray one gets tones of one hue, no rainbow
    line = np.linalg.svd(drawn - drawn.mean(0), compute_uv=False)
    assert line[1] < 1e-3 * line[0]
    np.testing.assert_allclose(drawn.mean(0), mean, atol=2e-3)
    same = fit(equal(PLAIN), equal(PLAIN))(PLAIN)
    np.testing.assert_allclose(same, PLAIN, atol=1e-6)


@pytest.mark.parametrize("fit", [matched, histogram])
def test_the_noise_of_a_gray_file_is_not_blown_up(fit) -> None:
    noise = np.random.default_rng(4).normal(0, 0.0005, GRAY.shape)
    noisy = (GRAY + noise).clip(0, 1)
    got = fit(equal(noisy), equal(PHOTO))(noisy)
    across = got - got.mean(1, keepdims=True)
    across -= across.mean(0)
    assert across.std() < 2 * GAIN * noise.std()
    assert PHOTO.std(0).min() > 4 * across.std()


def test_histogram_in_one_dimension_is_that_of_ranks() -> None:
    random = np.random.default_rng(5)
    painting = np.repeat(random.random((2000, 1)), 3, axis=1)
    photo = np.repeat(random.beta(2, 5, (2000, 1)), 3, axis=1)
    got = histogram(equal(painting), equal(photo))(painting)
    wanted = np.empty(2000)
    wanted[np.argsort(painting[:, 0])] = np.sort(photo[:, 0])
    inner = np.abs(painting[:, 0].argsort().argsort() - 1000) < 980  # quantiles have no ends
    np.testing.assert_allclose(got[inner, 0], wanted[inner], atol=0.02)
    assert np.abs(got[inner, 0] - wanted[inner]).mean() < 1e-3


def test_histogram_is_the_photos_along_any_axis() -> None:
    got = histogram(equal(PAINTING), equal(PHOTO))(PAINTING)
    by_moments = matched(equal(PAINTING), equal(PHOTO))(PAINTING)
    axes = np.vstack([np.eye(3), np.random.default_rng(6).normal(size=(10, 3))])
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    levels = np.linspace(0.005, 0.995, 100)

    def apart(values) -> np.ndarray:
        """The distance of Wasserstein along each axis."""
        ranks = np.quantile(values @ axes.T, levels, axis=0)
        return np.abs(ranks - np.quantile(PHOTO @ axes.T, levels, axis=0)).mean(0)

    assert apart(got).max() < 0.006
    assert apart(got).mean() < apart(by_moments).mean() / 2


@pytest.mark.parametrize("fit", [matched, histogram])
def test_transparent_pixels_do_not_count(fit) -> None:
    seen, hidden = PHOTO[:1000], PAINTING[:1000]
    both = np.concatenate([seen, hidden])
    alpha = torch.cat([torch.ones(1000), torch.zeros(1000)]).view(1, 1, 1, -1)
    image = torch.from_numpy(both.T.reshape(1, 3, 1, -1)).float()
    weighed = Palette.of(image, alpha)
    np.testing.assert_allclose(weighed.mean(), seen.mean(0), atol=1e-6)
    np.testing.assert_allclose(weighed.covariance(), np.cov(seen.T, bias=True), atol=1e-6)
    one, other = fit(equal(PAINTING), weighed), fit(equal(PAINTING), equal(seen))
    np.testing.assert_allclose(one(PAINTING), other(PAINTING), atol=1e-5)


def test_half_transparent_pixels_count_half_and_none_at_all_counts_all() -> None:
    image = torch.tensor([[0.0, 1.0]]).repeat(3, 1).view(1, 3, 1, 2)
    half = Palette.of(image, torch.tensor([1.0, 0.5]).view(1, 1, 1, 2))
    np.testing.assert_allclose(half.mean(), [1 / 3] * 3)
    np.testing.assert_allclose(half.covariance(), np.full((3, 3), 2 / 9))
    np.testing.assert_allclose(Palette.of(image, torch.zeros(1, 1, 1, 2)).mean(), [0.5] * 3)


def test_thinned_has_the_same_moments_nearly() -> None:
    many = equal(np.tile(PHOTO, (10, 1)))
    few = many.thinned(2000)
    assert 1000 < len(few.values) <= 2000
    np.testing.assert_allclose(few.mean(), many.mean(), atol=0.02)
    assert few.counts.sum() == pytest.approx(1)


def test_recolour_goes_a_share_of_the_way_and_not_where_it_is_transparent(random_image, monkeypatch) -> None:
    image = random_image(9, 7)
    alpha = torch.linspace(0, 1, 63).view(1, 1, 9, 7)
    move = matched(Palette.of(image), equal(PHOTO))
    flat = image[0].flatten(1).T.double().numpy()
    share = alpha.double().numpy().reshape(-1, 1)
    moved = (flat + 0.4 * (move(flat) - flat)).clip(0, 1)
    wanted = (1 + share * (moved - 1)).T.reshape(1, 3, 9, 7)
    page = 1 + alpha * (image - 1)
    got = recolor(page.clone(), move, 0.4, alpha)
    np.testing.assert_allclose(got.numpy(), wanted, atol=1e-6)
    assert torch.equal(got[0, :, 0, 0], page[0, :, 0, 0])
    monkeypatch.setattr(color_matching, "STRIP", 15)
    assert torch.equal(recolor(page.clone(), move, 0.4, alpha), got)
