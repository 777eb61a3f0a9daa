"""Style statistics against NumPy and SciPy, finite differences and themselves in parts."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from impasto.config.conventions import style_factor
from impasto.config.settings import Settings
from impasto.errors import ResourceError
from impasto.inputs.pictures import ScaledInputs
from impasto.inputs.pyramid import Scale
from impasto.losses import build
from impasto.losses import style_targets as made
from impasto.losses.gram import GramLoss, gram_matrix
from impasto.losses.loss import add_statistics
from impasto.losses.moments import WassersteinLoss, first_and_second, first_and_squares
from impasto.losses.objective import Objective, prepare
from impasto.losses.regions import StyleTerm
from impasto.losses.sliced import _sorted, directions, quantiles
from impasto.network.backprop import FeatureExtractor
from impasto.network.tiled_features import TiledFeatures
from impasto.network.tiles import Window
from impasto.transfer.memory import memory, plan
from reference import straight

KINDS = ("moments", "wasserstein", "sliced")
ADDITIVE = ("moments", "wasserstein")
OPTIONS = {"pooling": "max", "padding": "zero", "precision": "fp32", "device": "cpu"}
SHARES = torch.tensor([0.25, 0.75], dtype=torch.float64)


def cloud(channels: int, height: int, width: int, seed: int) -> torch.Tensor:
    """Features as of a layer: rectified, correlated, some channels dark; (1, C, h, w)."""
    generator = torch.Generator().manual_seed(seed)
    plain = torch.randn(channels, height * width, generator=generator, dtype=torch.float64)
    mixing = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    found = (mixing @ plain + 1).clamp(min=0)
    found[-1] = 0
    return found.view(1, channels, height, width)


def loss_of(kind, paintings, guide=None, shares=SHARES, guides=None):
    """Return the loss of paintings (1, C, h, w) in layer `l`, its factor 1."""
    guides = guides or [None] * len(paintings)
    if kind == "sliced":
        statistics = [
            made.sliced_statistics(painting, 3, part)
            for painting, part in zip(paintings, guides, strict=True)
        ]
    else:
        statistics = [
            made.statistics_of(first_and_second(painting, part))
            for painting, part in zip(paintings, guides, strict=True)
        ]
    term = StyleTerm("style.l", "l", 1.0, tuple(range(len(paintings))), shares, guide)
    return made.distribution_loss(kind, term, made.joined(statistics), weight=1.0, factor=1.0)


def evaluated(loss, features) -> float:
    return float(loss.value(loss.measure({"l": features})))


# --- straight NumPy and SciPy ----------------------------------------------------------------------


def flat(features) -> np.ndarray:
    return features[0].flatten(1).numpy()


def ridge_of(painting) -> float:
    return 1e-4 * (flat(painting) ** 2).mean() + 1e-12


def straight_moments(canvas, painting) -> float:
    x, a, ridge = flat(canvas), flat(painting), ridge_of(painting)
    total = 0.0
    for one, other in zip(x, a, strict=True):
        total += (one.mean() - other.mean()) ** 2
        total += (math.sqrt(one.var() + ridge) - math.sqrt(other.var() + ridge)) ** 2
    return total


def straight_wasserstein(canvas, painting, ridge=None) -> float:
    x, a = flat(canvas), flat(painting)
    ridge = ridge_of(painting) if ridge is None else ridge
    s, b = (np.cov(f, bias=True) + ridge * np.eye(len(f)) for f in (x, a))
    values, axes = np.linalg.eigh(b)
    varies = values > 1.1 * ridge  # beyond that, both have the ridge alone in the last trace
    root = axes[:, varies] * np.sqrt(values[varies])
    cross = np.trace(scipy.linalg.sqrtm(root.T @ s @ root)).real + (~varies).sum() * ridge
    return ((x.mean(1) - a.mean(1)) ** 2).sum() + np.trace(s) + np.trace(b) - 2 * cross


def straight_sliced(canvas, painting) -> float:
    x, a = flat(canvas), flat(painting)
    levels = (np.arange(x.shape[1]) + 0.5) / x.shape[1]
    known = (np.arange(a.shape[1]) + 0.5) / a.shape[1]
    squares = []
    for along in directions(len(x), 3).numpy():
        wanted = np.interp(levels, known, np.sort(along @ a))
        squares.append(((np.sort(along @ x) - wanted) ** 2).mean())
    return len(x) * np.mean(squares)


STRAIGHT = {"moments": straight_moments, "wasserstein": straight_wasserstein, "sliced": straight_sliced}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("channels", "canvas", "painting"), [(5, (6, 8), (7, 6)), (12, (2, 3), (3, 3)), (4, (5, 5), (5, 5))]
)
def test_against_straight_lines(kind, channels, canvas, painting) -> None:
    # The second has more channels than positions: covariances without full rank.
    x = cloud(channels, *canvas, 1)
    a, b = cloud(channels, *painting, 2), cloud(channels, *painting, 3)
    expected = 0.25 * STRAIGHT[kind](x, a) + 0.75 * STRAIGHT[kind](x, b)
    assert evaluated(loss_of(kind, [a, b]), x) == pytest.approx(expected, rel=1e-5)


def test_the_ridge_changes_little() -> None:
    x, a = cloud(6, 8, 8, 1), cloud(6, 9, 7, 2)
    found = evaluated(loss_of("wasserstein", [a], shares=SHARES[1:] / 0.75), x)
    assert found == pytest.approx(straight_wasserstein(x, a, 1e-8), rel=2e-3)


def test_wasserstein_by_hand() -> None:
    # Two channels without correlation: means 1, 0 and 3, 0; deviations 1, 2 and 2, 1: 4 + 1 + 1.
    x = torch.tensor([[0.0, 0, 2, 2], [-2, 2, -2, 2]], dtype=torch.float64).view(1, 2, 2, 2)
    a = torch.tensor([[1.0, 1, 5, 5], [-1, 1, -1, 1]], dtype=torch.float64).view(1, 2, 2, 2)
    one = torch.ones(1, dtype=torch.float64)
    for kind in ("moments", "wasserstein"):
        assert evaluated(loss_of(kind, [a], shares=one), x) == pytest.approx(6, rel=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_vanishes_at_the_painting_wherever_its_pixels_are(kind) -> None:
    x = cloud(6, 4, 4, 1)
    one = torch.ones(1, dtype=torch.float64)
    loss = loss_of(kind, [x], shares=one)
    scale = float(x.square().sum())
    assert evaluated(loss, x) == pytest.approx(0, abs=1e-9 * scale)
    assert evaluated(loss, x.flip(2)) == pytest.approx(0, abs=1e-9 * scale)
    assert evaluated(loss, 1.5 * x) > 1e-3 * scale


# --- weights, tiles, gradients -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_guide_of_ones_is_none_and_of_whole_numbers_counts_positions(kind) -> None:
    x, a = cloud(4, 4, 6, 1), cloud(4, 5, 5, 2)
    one = torch.ones(1, dtype=torch.float64)
    ones = torch.ones(1, 1, 4, 6, dtype=torch.float64)
    plain = evaluated(loss_of(kind, [a], shares=one), x)
    assert evaluated(loss_of(kind, [a], ones, one), x) == pytest.approx(plain, rel=1e-6)
    half = ones.clone()
    half[..., 3:] = 0
    inside = evaluated(loss_of(kind, [a], shares=one), x[..., :3])
    assert evaluated(loss_of(kind, [a], half, one), x) == pytest.approx(inside, rel=1e-6)
    # And of a painting: half of it is what counts.
    part = torch.ones(1, 1, 5, 5, dtype=torch.float64)
    part[..., 3:, :] = 0
    expected = evaluated(loss_of(kind, [a[..., :3, :]], shares=one), x)
    found = evaluated(loss_of(kind, [a], shares=one, guides=[part]), x)
    assert found == pytest.approx(expected, rel=1e-6 if kind != "sliced" else 0.05)


@pytest.mark.parametrize("kind", ADDITIVE)
@pytest.mark.parametrize("guided", [False, True])
def test_parts_add_up_and_descend_like_autograd(kind, guided) -> None:
    x, a = cloud(5, 7, 9, 1), cloud(5, 6, 6, 2)
    generator = torch.Generator().manual_seed(0)
    guide = torch.rand(1, 1, 7, 9, generator=generator, dtype=torch.float64) if guided else None
    loss = loss_of(kind, [a, a.flip(1)], guide)
    assert loss.additive
    leaf = x.clone().requires_grad_(True)
    whole = loss.measure({"l": leaf})
    (expected,) = torch.autograd.grad(loss.value(whole), leaf)
    added, parts = None, []
    for rows in (slice(0, 2), slice(2, 7)):
        read = slice(max(0, rows.start - 1), min(7, rows.stop + 1))
        inner = slice(rows.start - read.start, rows.stop - read.start)
        window = Window((inner, slice(0, 9)), (rows, slice(0, 9)))
        parts.append((read, window))
        found = loss.measure({"l": x[..., read, :]}, {"l": window})
        added = found if added is None else add_statistics(added, found)
    for one, other in zip(whole, added, strict=True):
        torch.testing.assert_close(one.detach(), other, check_dtype=False)
    given = [found.detach().requires_grad_() for found in added]
    grad_statistics = torch.autograd.grad(loss.value(tuple(given)), given, allow_unused=True)
    gradient = torch.zeros_like(x)
    for read, window in parts:
        grad_features = torch.zeros_like(x[..., read, :])
        gradient[..., read, :] += loss.backward(
            {"l": x[..., read, :]}, {"l": window}, grad_statistics, grad_features
        )
    torch.testing.assert_close(gradient, expected)
    torch.testing.assert_close(loss.backward({"l": x}, None, grad_statistics, None), expected)
    nothing = [None] * 3
    assert loss.backward({"l": x}, None, nothing, None) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("channels", [3, 12])  # fewer and more than positions
def test_gradients_are_those_of_finite_differences(kind, guided, channels) -> None:
    x, a = cloud(channels, 2, 4, 1) + 0.01, cloud(channels, 3, 3, 2)
    generator = torch.Generator().manual_seed(0)
    guide = torch.rand(1, 1, 2, 4, generator=generator, dtype=torch.float64) if guided else None
    loss = loss_of(kind, [a, a.flip(1)], guide)
    x.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda f: loss.value(loss.measure({"l": f})), (x,), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_finite_where_nothing_varies(kind) -> None:
    flats = [torch.zeros(1, 6, 4, 4), torch.full((1, 6, 4, 4), 1e3), torch.full((1, 6, 1, 1), 2.0)]
    flats.append(torch.full((1, 6, 9, 11), 1000.1))  # whose sums, rounded, give variances below 0
    for canvas in flats:
        for painting in flats:
            loss = loss_of(kind, [painting, cloud(6, 3, 3, 1).float()])
            leaf = canvas.clone().requires_grad_(True)
            found = loss.value(loss.measure({"l": leaf}))
            (gradient,) = torch.autograd.grad(found, leaf)
            assert torch.isfinite(found)
            assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_canvas_that_is_not_finite_gives_a_loss_that_is_not(kind) -> None:
    x = cloud(6, 4, 4, 1)
    x[0, 0, 0, 0] = math.nan
    assert not math.isfinite(evaluated(loss_of(kind, [cloud(6, 4, 4, 2)] * 2), x))


def test_sums_of_bfloat16_are_float32() -> None:
    x = torch.ones(1, 2, 64, 64, dtype=torch.bfloat16)  # 4096 + 1 is no bfloat16
    x[..., 0, 0] = 2.0
    for sums in (first_and_second(x), first_and_squares(x)):
        assert sums[1].dtype == sums[2].dtype == torch.float32
        assert sums[1].tolist() == [[4097.0, 4097.0]]
        assert sums[2].flatten()[0] == 4099.0


def test_directions_are_orthonormal_and_follow_the_seed() -> None:
    for channels in (3, 64, 100):
        found = directions(channels, 5)
        assert found.shape == (channels, channels)
        torch.testing.assert_close(found @ found.T, torch.eye(len(found)), atol=1e-5, rtol=0)
    assert torch.equal(directions(8, 5), directions(8, 5))
    assert not torch.equal(directions(8, 5), directions(8, 6))


def test_quantiles_of_many_positions_are_numpys() -> None:
    x = cloud(3, 90, 100, 1)
    along = directions(3, 0).double()
    levels = (np.arange(4096) + 0.5) / 4096
    expected = [np.quantile(row, levels, method="hazen") for row in along.numpy() @ flat(x)]
    np.testing.assert_allclose(quantiles(x, along).numpy(), expected, rtol=1e-6, atol=1e-9)
    weighted = quantiles(x, along, torch.full((1, 1, 90, 100), 0.5, dtype=torch.float64))
    np.testing.assert_allclose(weighted.numpy(), expected, rtol=1e-6, atol=1e-9)


def test_sorting_is_torchs_own() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(5, 1000, generator=generator)
    values[1], values[2, :500] = values[1].round(), 0.0  # many of them equal
    values[3, ::7] = -values[3, ::7].abs() * 1e-30
    found, order = _sorted(values)
    expected = values.sort(dim=1, stable=True)
    assert torch.equal(found, expected.values)
    assert torch.equal(order[[0, 2, 3, 4]], expected.indices[[0, 2, 3, 4]])
    assert torch.equal(values.gather(1, order), found)


# --- factors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_factor_makes_a_brighter_painting_cost_what_it_costs_gram_matrices(kind) -> None:
    a = cloud(6, 8, 8, 1)
    one = torch.ones(1, dtype=torch.float64)
    second = gram_matrix(a) / 64
    gram = GramLoss("g", 1.0, "l", second, one)
    loss = loss_of(kind, [a], shares=one)
    canvas = a * math.sqrt(1.001)
    expected = evaluated(gram, canvas) * made.FACTORS[kind]
    found = evaluated(loss, canvas) * made.factor_of(kind, second, one)
    assert found == pytest.approx(expected, rel=2e-3)
    assert made.factor_of(kind, 0 * second, one) == 0


def test_crowsonkbs_wasserstein_is_the_programs_own() -> None:
    a, x = cloud(6, 8, 8, 1), cloud(6, 7, 9, 2)
    one = torch.ones(1, dtype=torch.float64)
    second = (gram_matrix(a) / 64)[0]
    spread = float(second.trace()), float(second.square().sum())
    factor = style_factor("crowsonkb", 6, 63, 1000, *spread)
    factor *= made.factor_of("wasserstein", second[None], one, own_form=True)
    found = evaluated(loss_of("wasserstein", [a], shares=one), x) * factor
    straight = straight_wasserstein(x, a) / 6  # the means over channels that it takes
    assert found == pytest.approx(straight / (255 * 0.226) ** 2, rel=1e-4)


# --- on the network ----------------------------------------------------------------------------------


def objective(narrow, random_image, settings, size=(64, 80), tile=None, dtype=torch.float32):
    from impasto.network.vgg import VGG19

    content, first, second = (random_image(*size, seed, dtype) for seed in (1, 2, 3))
    shares = torch.tensor([0.3, 0.7], dtype=dtype)
    network = VGG19(narrow).double() if dtype == torch.float64 else prepare(narrow, **OPTIONS)
    losses = build.build_losses(network, ScaledInputs(content, (first, second), shares, None), settings)
    return Objective(network, losses, tile)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("convention", ["mean", "paper", "crowsonkb"])
def test_directional_difference_in_float64(narrow, random_image, kind, convention) -> None:
    settings = Settings(style_statistic=kind, convention=convention)
    found = objective(narrow, random_image, settings, dtype=torch.float64)
    canvas = random_image(64, 80, 4, torch.float64)
    gradient = found(canvas).gradient
    along = gradient / gradient.norm()
    plus, minus = found(canvas + 1e-6 * along), found(canvas - 1e-6 * along)
    assert (plus.loss - minus.loss) / 2e-6 == pytest.approx(float(gradient.norm()), rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_tiled_equals_whole(narrow, random_image, kind) -> None:
    settings = Settings(style_statistic=kind)
    whole, tiled = (
        objective(narrow, random_image, settings, (119, 150), tile)(random_image(119, 150, 4))
        for tile in (None, 32)
    )
    assert tiled.parts == pytest.approx(whole.parts, rel=1e-4)
    assert (tiled.gradient - whole.gradient).norm() < 1e-3 * whole.gradient.norm()


def test_targets_in_tiles_are_those_of_the_whole(narrow, random_image) -> None:
    network = prepare(narrow, **OPTIONS)
    styles = (random_image(90, 70, 1), random_image(64, 96, 2))
    inputs = ScaledInputs(random_image(64, 64, 3), styles, torch.tensor([0.5, 0.5]), None)
    for kind in KINDS:
        settings = Settings(style_statistic=kind, grain=0)
        whole, tiled = (build.build_losses(network, inputs, settings, tile=tile) for tile in (0, 32))
        for one, other in zip(whole[1:], tiled[1:], strict=True):
            assert one.factor == pytest.approx(other.factor, rel=1e-4)
            if isinstance(one, WassersteinLoss):  # a root is one of many
                squares = [item.targets[..., 1:] @ item.targets[..., 1:].mT for item in (one, other)]
                torch.testing.assert_close(*squares, rtol=1e-4, atol=1e-3 * float(squares[0].max()))
            else:
                torch.testing.assert_close(one.targets, other.targets, rtol=1e-3, atol=1e-3)


# --- memory --------------------------------------------------------------------------------------------

LAYERS = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"]
SCALE = Scale(2048, 1536)


def test_no_tiles_are_planned_for_what_is_not_additive() -> None:
    limit = 4_000_000_000
    assert plan([SCALE], Settings(style_statistic="wasserstein"), LAYERS, "fp32", limit).tile
    with pytest.raises(ResourceError, match=r"2048 x 1536 px needs about .*sliced has no tiles"):
        plan([SCALE], Settings(style_statistic="sliced"), LAYERS, "fp32", limit)
    leanest = plan([SCALE], Settings(style_statistic="sliced"), LAYERS, "fp32", 1, strict=False)
    assert (leanest.tile, leanest.pairs) == (0, 2)
    given = Settings(style_statistic="sliced", style_weight=0)  # then it takes no part
    assert plan([SCALE], given, LAYERS, "fp32", limit).tile


def test_memory_of_sorting_is_counted() -> None:
    def need(**changes) -> int:
        return memory(SCALE, Settings(**changes), LAYERS, "fp32", 0, 10, False)

    assert need(style_statistic="wasserstein") == need()
    values = 64 + 128 / 4 + 256 / 16 + 512 / 64 + 512 / 256
    more = need(style_statistic="sliced") - need()
    assert more == pytest.approx(84e6 + 4 * values * 2048 * 1536, rel=1e-6)


@pytest.mark.parametrize("tile", [0, 32])
@pytest.mark.parametrize("statistic", ["gram", *KINDS])
@pytest.mark.parametrize("partial", ["count", "drop"])
def test_a_painting_counts_to_its_last_row_and_column(narrow, random_image, tile, statistic, partial) -> None:
    """By straight code; with windows over the border dropped, too."""
    layers = ("relu2_1", "relu3_1", "relu4_1", "relu5_1")
    network = FeatureExtractor.of(prepare(narrow, partial_windows=partial, **OPTIONS))

    def second(image: torch.Tensor) -> dict[str, torch.Tensor]:
        pictures = ScaledInputs(image, (image,), SHARES[:1], None)
        features = TiledFeatures(network, tile)
        found = made.painting_statistics(features, pictures, 0, layers, statistic, 0)
        return {name: found[name].second[0] for name in layers}

    painting = random_image(49, 47)
    found, straight_features = second(painting), straight.features(narrow, painting, partial)
    for name in layers:
        expected = straight.gram(straight_features[name[4:]])
        assert (found[name] - expected).norm() < 1e-4 * expected.norm(), name
    if partial == "count":
        for last in (np.s_[..., -1, :], np.s_[..., -1]):
            changed = painting.clone()
            changed[last] = 1 - changed[last]
            for name, moved in second(changed).items():
                assert (moved - found[name]).norm() > 1e-3 * found[name].norm(), name
