"""The start in the paintings' colors: mean and covariance of each region against NumPy's own."""

import numpy as np
import pytest
import torch

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.inputs import color_matching, start_colors
from impasto.inputs.color_matching import TURNS, Mixture, Palette
from impasto.inputs.open import open_inputs
from impasto.inputs.start_colors import CONTRAST, StartColors, with_contrast
from impasto.transfer.run import Run
from impasto.transfer.stylize import next_canvas, stylize

HEIGHT, WIDTH = 36, 48
SETTINGS = Settings(size=WIDTH, min_size=24, evaluations=3, detail=1, style_statistic="gram")


def picture(seed: int, middle=(0.5, 0.5, 0.5), height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return a picture (h, w, 3) whose colors lie around one, none near the ends of the range."""
    random = np.random.default_rng(seed)
    spread = 0.05 * (np.eye(3) + 0.4 * random.normal(size=(3, 3)))
    colors = np.asarray(middle) + random.normal(size=(height, width, 3)).clip(-2, 2) @ spread
    return colors.clip(0, 1).astype(np.float32)


PHOTO, WARM, COLD = picture(1), picture(2, (0.6, 0.5, 0.4)), picture(3, (0.4, 0.45, 0.6))
GRAY = picture(4).mean(2, keepdims=True).repeat(3, 2)
PLAIN = np.full((HEIGHT, WIDTH, 3), [0.2, 0.6, 0.4], np.float32)


def start(photo=PHOTO, style=WARM, amount: float = 1.0, protect=None, draft: bool = False) -> np.ndarray:
    """Return the start of a run at the result's size, (h, w, 3)."""
    inputs = open_inputs(photo, style, SETTINGS, None, protect)
    scale = inputs.scales(SETTINGS, ["relu1_1"])[-1]
    found = StartColors(inputs, amount, draft).apply(inputs.at(scale, "cpu").content)
    return found[0].permute(1, 2, 0).numpy()


def moments(colors, weights=None) -> tuple[np.ndarray, np.ndarray]:
    flat = colors.reshape(-1, 3).astype(np.float64)
    weights = np.ones(len(flat)) if weights is None else weights.ravel()
    return np.average(flat, axis=0, weights=weights), np.cov(flat.T, bias=True, aweights=weights)


def same_moments(found, wanted, atol: float = 1e-5) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=atol)


def half_of(side: str) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, : WIDTH // 2] = 255
    return mask if side == "left" else 255 - mask


def test_it_has_the_paintings_mean_and_covariance_and_an_amount_is_a_share_of_the_way() -> None:
    whole = start()
    same_moments(moments(whole), moments(WARM))
    np.testing.assert_allclose(start(amount=0.5), (whole + PHOTO) / 2, atol=1e-6)
    assert np.array_equal(start(amount=0.0), PHOTO)


def test_several_paintings_count_by_their_shares() -> None:
    found = start(style=[Style(WARM, 3.0), Style(COLD, 1.0), Style(PLAIN, 0.0)])
    both, shares = np.concatenate([WARM, COLD]), np.repeat([3.0, 1.0], HEIGHT * WIDTH)
    same_moments(moments(found), moments(both, shares))


def test_a_mixture_is_all_colors_together() -> None:
    random = np.random.default_rng(0)
    parts = [random.random((count, 3)) for count in (5, 9)]
    palettes = [Palette(part, np.full(len(part), 1 / len(part))) for part in parts]
    found = Mixture.of(iter(palettes), [2.0, 6.0])
    weights = np.concatenate([np.full(len(p), s / len(p)) for p, s in zip(parts, (2, 6), strict=True)])
    same_moments((found.mean(), found.covariance()), moments(np.concatenate(parts), weights), 1e-12)


def test_joined_colors_are_all_together_by_their_shares() -> None:
    parts = [np.random.default_rng(0).random((count, 3)) for count in (5, 9)]
    palettes = [Palette(part, np.full(len(part), 1 / len(part))) for part in parts]
    found = Palette.joined(iter(palettes), [2.0, 6.0], 100)
    mixture = Mixture.of(iter(palettes), [2.0, 6.0])
    np.testing.assert_allclose(found.counts.sum(), 1.0)
    same_moments((found.mean(), found.covariance()), (mixture.mean(), mixture.covariance()), 1e-12)
    assert len(Palette.joined(iter(palettes), [2.0, 6.0], 6).values) == 6  # three of each


@pytest.mark.parametrize(("turns", "most"), [(1, 0.003), (TURNS, 0.005)])
def test_a_draft_has_rare_colors_which_mean_and_covariance_do_not_bring(monkeypatch, turns, most) -> None:
    """Exact along the principal axes where they are the only ones; other axes take a little back."""
    monkeypatch.setattr(start_colors, "CONTRAST", 0.0)
    monkeypatch.setattr(color_matching, "TURNS", turns)
    rare = np.random.default_rng(5).random((HEIGHT, WIDTH, 1)) < 0.1
    two = np.where(rare, WARM + np.float32([0.25, 0.1, 0.0]), WARM).clip(0, 1)  # a tenth is orange
    means, whole = (start(style=two, draft=draft) for draft in (False, True))
    _, axes = np.linalg.eigh(moments(two)[1])
    ranked = [np.sort(one.reshape(-1, 3) @ axes, axis=0) for one in (means, whole, two)]
    far = [np.abs(one - ranked[2]).mean(0) for one in ranked[:2]]  # along each principal axis
    assert far[0].max() > 0.01
    assert far[1].max() < most
    same_moments(moments(whole), moments(two), 0.01)
    np.testing.assert_allclose(start(style=two, draft=True, amount=0.5), (PHOTO + whole) / 2, atol=1e-5)


def test_each_region_of_a_draft_has_the_histogram_of_its_own_paintings(monkeypatch) -> None:
    monkeypatch.setattr(start_colors, "CONTRAST", 0.0)
    styles = [Style(WARM, 3.0, mask=half_of("left")), Style(COLD, mask="rest")]
    found = start(style=[*styles, Style(GRAY, 1.0, mask="rest")], draft=True)
    same_moments(moments(found[:, : WIDTH // 2]), moments(WARM), 0.01)
    both = np.concatenate([COLD, GRAY])
    same_moments(moments(found[:, WIDTH // 2 :]), moments(both), 0.02)


def test_a_draft_keeps_a_share_of_the_photos_local_contrast() -> None:
    """A window reaches 40 / 16 px, rounded to 2; brightness in it is 0.5 but for one column of 0.6."""
    photo, flat = torch.full((1, 3, 8, 40), 0.5), torch.full((1, 3, 8, 40), 0.3)
    photo[..., 20] = torch.tensor([0.3, 0.6, 0.9]).view(3, 1)
    found = with_contrast(flat, photo)
    expected = torch.full((40,), 0.3)
    expected[18:23] -= CONTRAST * 0.1 / 5
    expected[20] += CONTRAST * 0.1
    torch.testing.assert_close(found, expected.expand(1, 3, 8, 40))


def test_a_cut_out_in_a_draft_has_no_rim() -> None:
    """Three quarters of the picture are white, as they are transparent, or half transparent."""
    alpha = torch.zeros((1, 1, 8, 40))
    alpha[..., 20:30], alpha[..., 30:] = 1.0, 0.5
    photo, moved = (
        1 - alpha * (1 - torch.full((1, 3, 8, 40), 0.7)),
        1 - alpha * (1 - torch.full((1, 3, 8, 40), 0.4)),
    )
    torch.testing.assert_close(with_contrast(moved, photo, alpha), moved)
    assert (
        with_contrast(moved, photo)[..., 20] - moved[..., 20]
    ).abs().min() > 0.03  # without it there is one


def test_a_draft_leaves_what_no_mask_covers(monkeypatch) -> None:
    found = start(style=Style(WARM, mask=half_of("left")), draft=True)
    assert np.array_equal(found[:, WIDTH // 2 :], PHOTO[:, WIDTH // 2 :])
    alike = [
        monkeypatch.setattr(start_colors, "CONTRAST", share) or start(draft=True) for share in (0.0, 0.5)
    ]
    brightness = [one.mean(2) - PHOTO.mean(2) for one in alike]
    assert brightness[1].std() < 0.7 * brightness[0].std()  # nearer to the photo, in whole runs as well


def test_each_region_has_the_colors_of_its_own_paintings() -> None:
    found = start(style=[Style(WARM, mask=half_of("left")), Style(COLD, mask="rest")])
    left, right = found[:, : WIDTH // 2], found[:, WIDTH // 2 :]
    same_moments(moments(left), moments(WARM))
    same_moments(moments(right), moments(COLD))
    found = start(style=Style(WARM, mask=half_of("left")))
    same_moments(moments(found[:, : WIDTH // 2]), moments(WARM))
    assert np.array_equal(found[:, WIDTH // 2 :], PHOTO[:, WIDTH // 2 :])  # no painting is used there


def test_where_regions_overlap_the_paintings_share_it_by_weight() -> None:
    everywhere = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alone = [start(style=one) for one in (WARM, COLD)]
    found = start(style=[Style(WARM, 3.0), Style(COLD, 1.0, mask=everywhere)])
    np.testing.assert_allclose(found, 0.75 * alone[0] + 0.25 * alone[1], atol=1e-6)
    gray = np.full((HEIGHT, WIDTH), 51, np.uint8)
    found = start(style=Style(WARM, mask=gray))  # a fifth of the style, a fifth of the change
    np.testing.assert_allclose(found, PHOTO + 0.2 * (alone[0] - PHOTO), atol=1e-6)


def test_what_is_protected_and_what_a_source_mask_leaves_out_does_not_count() -> None:
    kept = start(protect=half_of("left"))
    free = start(photo=PHOTO[:, WIDTH // 2 :].repeat(2, 1))  # by the right half's colors alone
    middle = WIDTH // 2 + 4  # beyond the soft edge
    wanted = moments(WARM)
    inner = kept[:, WIDTH // 2 :]
    same_moments(moments(inner), wanted, 2e-3)
    np.testing.assert_allclose(kept[:, middle:], free[:, ::2][:, 4:], atol=5e-3)
    two = np.concatenate([WARM[:, : WIDTH // 2], COLD[:, WIDTH // 2 :]], 1)
    found = start(style=Style(two, source_mask=half_of("right")))
    same_moments(moments(found), moments(COLD[:, WIDTH // 2 :]))


def test_transparent_pixels_stay_white_and_do_not_count() -> None:
    alpha = np.ones((HEIGHT, WIDTH, 1), np.float32)
    alpha[:, WIDTH // 2 :] = 0
    found = start(photo=np.concatenate([PHOTO, alpha], 2))
    assert np.array_equal(found[:, WIDTH // 2 :], np.ones_like(PHOTO[:, WIDTH // 2 :]))
    same_moments(moments(found[:, : WIDTH // 2]), moments(WARM))
    found = start(style=np.concatenate([COLD, alpha], 2))
    same_moments(moments(found), moments(COLD[:, : WIDTH // 2]))


def test_plain_and_gray_pictures() -> None:
    np.testing.assert_allclose(start(style=PLAIN), PLAIN, atol=1e-6)
    found = start(photo=PLAIN)  # has no direction to be spread along: the painting's mean color
    np.testing.assert_allclose(found, np.broadcast_to(moments(WARM)[0], found.shape), atol=1e-6)
    gray = start(style=GRAY)
    assert np.ptp(gray, axis=2).max() < 1e-4
    same_moments(moments(gray), moments(GRAY))
    tones = start(photo=GRAY)  # of one hue: nothing says which gray should become which color
    same_moments((moments(tones)[0],), (moments(WARM)[0],))
    line = np.linalg.svd((tones - tones.mean((0, 1))).reshape(-1, 3), compute_uv=False)
    assert line[1] < 1e-3 * line[0]


def test_the_detail_between_scales_has_the_colors_of_the_start(narrow) -> None:
    """Where the coarse canvas is the start itself, the next one is the start at its own size."""
    runtime = Runtime(device="cpu", threads=1, precision="fp32")
    for amount in (1.0, 0.5):
        settings = SETTINGS.changed(init_amount=amount)
        inputs = open_inputs(PHOTO, WARM, settings, None)
        run = Run(inputs, settings, runtime, narrow)
        coarse, fine = (run.scaled_inputs(scale) for scale in run.schedule)
        run.canvas, run.photo = next_canvas(run, coarse), coarse.content
        torch.testing.assert_close(run.canvas, StartColors(inputs, amount).apply(coarse.content))
        wanted = StartColors(inputs, amount).apply(fine.content)
        torch.testing.assert_close(next_canvas(run, fine), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("photo", [PHOTO, GRAY, PLAIN])
@pytest.mark.parametrize("style", [WARM, GRAY, PLAIN])
def test_any_pair_gives_a_start_of_a_draft(photo, style) -> None:
    found = start(photo, style, draft=True)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.mean((0, 1)), style.mean((0, 1)), atol=0.02)


@pytest.mark.parametrize("photo", [PHOTO, GRAY, PLAIN])
@pytest.mark.parametrize("style", [WARM, GRAY, PLAIN])
def test_any_pair_gives_a_picture_and_no_amount_is_the_photo_as_start(narrow, photo, style) -> None:
    runtime = Runtime(device="cpu", threads=1, precision="fp32")
    results = [
        stylize(photo, style, SETTINGS.changed(**changes), runtime=runtime, weights=narrow).picture.array()
        for changes in ({}, {"init_amount": 0.0}, {"init": "content"})
    ]
    assert np.isfinite(results[0]).all()
    assert np.array_equal(results[1], results[2])
