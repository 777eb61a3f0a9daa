"""What keeps the photo's structure, against NumPy and SciPy, finite differences and itself in parts."""

import numpy as np
import pytest
import scipy.signal
import torch
from scipy.spatial.distance import cdist

from impasto.config.settings import Settings
from impasto.inputs.pictures import ScaledInputs
from impasto.losses import build
from impasto.losses.loss import add_statistics
from impasto.losses.objective import Objective, prepare
from impasto.losses.structure import LaplacianLoss, SelfSimilarity, at_places, distances, laplacian, places
from impasto.network.tiles import tiles

OPTIONS = {"pooling": "max", "padding": "zero", "precision": "fp32", "device": "cpu"}


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def straight_laplacian(image, pool: int) -> np.ndarray:
    total = image[0].numpy().sum(0)
    rows, columns = (length // pool for length in total.shape)
    cells = total[: rows * pool, : columns * pool].reshape(rows, pool, columns, pool).mean((1, 3))
    kernel = [[0, -1, 0], [-1, 4, -1], [0, -1, 0]]
    return scipy.signal.convolve2d(cells, kernel, mode="valid")


@pytest.mark.parametrize("pool", [1, 2, 3, 4, 7])
def test_laplacian_against_scipy(pool) -> None:
    x, photo = rand(1, 3, 23, 30), rand(1, 3, 23, 30, seed=1)
    np.testing.assert_allclose(laplacian(x, pool)[0, 0], straight_laplacian(x, pool), atol=1e-12)
    loss = LaplacianLoss(1.0, laplacian(photo, pool), pool)
    expected = ((straight_laplacian(x, pool) - straight_laplacian(photo, pool)) ** 2).mean()
    found = float(loss.value(loss.measure({"image": x})))
    assert found == pytest.approx(expected, rel=1e-10)
    assert float(loss.value(loss.measure({"image": photo}))) == 0


def test_a_slope_and_a_change_of_colour_have_no_laplacian() -> None:
    slope = torch.arange(24.0).expand(1, 3, 24, 24) / 24
    assert laplacian(slope, 4).abs().max() < 1e-5
    assert laplacian(slope + torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1), 4).abs().max() < 1e-5


@pytest.mark.parametrize("pool", [1, 3, 4, 16])
@pytest.mark.parametrize("edge", [10, 16, 37])
@pytest.mark.parametrize("layers", [[], ["relu2_1"]])
def test_laplacian_of_tiles_adds_up(pool, edge, layers) -> None:
    x, photo = rand(1, 3, 75, 98), rand(1, 3, 75, 98, seed=1)
    loss = LaplacianLoss(1.0, laplacian(photo, pool), pool)
    added = None
    for tile in tiles(75, 98, edge, layers, loss.reach):
        found = loss.measure({"image": x[..., tile.rows, tile.columns]}, tile.windows)
        added = found if added is None else add_statistics(added, found)
    torch.testing.assert_close(added[0], loss.measure({"image": x})[0])


def test_a_picture_of_less_than_three_cells_has_no_laplacian() -> None:
    x = rand(1, 3, 11, 40).requires_grad_(True)
    loss = LaplacianLoss(1.0, laplacian(rand(1, 3, 11, 40, seed=1), 4), 4)
    assert float(loss.value(loss.measure({"image": x}))) == 0


# --- self-similarity -----------------------------------------------------------------------------------


def straight_similarity(x: np.ndarray, photo: np.ndarray) -> float:
    """Of features (n, C), by SciPy's cosine distances."""
    one, other = (cdist(f, f, "cosine") for f in (x, photo))
    return np.abs(one / one.sum(0) - other / other.sum(0)).sum() / len(x)


def similarity_of(features, count: int, seed: int = 0) -> SelfSimilarity:
    at = places(*features.shape[-2:], seed)[:count]
    rows = torch.arange(len(at))
    return SelfSimilarity("s", 1.0, "l", distances(at_places(features, at, rows, len(at))), at)


def test_self_similarity_against_scipy() -> None:
    x, photo = rand(1, 5, 6, 7), rand(1, 5, 6, 7, seed=1)
    loss = similarity_of(photo, 20)
    picked = [f[0].numpy()[:, loss.places[:, 0], loss.places[:, 1]].T for f in (x, photo)]
    found = float(loss.value(loss.measure({"l": x})))
    assert found == pytest.approx(straight_similarity(*picked), rel=1e-9)
    assert float(loss.value(loss.measure({"l": 3 * photo}))) == pytest.approx(0, abs=1e-12)


def test_places_follow_the_seed_and_differ() -> None:
    found = places(60, 50, 1)
    assert found.shape == (1024, 2)
    assert len({tuple(row) for row in found.tolist()}) == 1024
    assert found[:, 0].max() < 60
    assert found[:, 1].max() < 50
    assert torch.equal(found, places(60, 50, 1))
    assert not torch.equal(found, places(60, 50, 2))
    assert sorted(map(tuple, places(3, 2, 1).tolist())) == [(r, c) for r in range(3) for c in range(2)]


def test_self_similarity_of_tiles_adds_up_exactly() -> None:
    x = rand(1, 5, 12, 16)
    loss, added = similarity_of(rand(1, 5, 12, 16, seed=1), 60), None
    for tile in tiles(48, 64, 20, ["relu3_1"]):  # a layer a quarter the size
        window = tile.windows["relu3_1"]
        up, left = (
            outer.start - inner.start for outer, inner in zip(window.outer, window.inner, strict=True)
        )
        rows = slice(up, up + (tile.rows.stop - tile.rows.start) // 4)
        columns = slice(left, left + (tile.columns.stop - tile.columns.start) // 4)
        found = loss.measure({"l": x[..., rows, columns]}, {"l": window})
        added = found if added is None else add_statistics(added, found)
    assert torch.equal(added[0], loss.measure({"l": x})[0])


def test_finite_where_all_places_are_alike() -> None:
    for photo in (torch.zeros(1, 4, 3, 3), torch.full((1, 4, 3, 3), 7.0), rand(1, 4, 3, 3).float()):
        loss = similarity_of(photo, 9)
        for canvas in (torch.zeros(1, 4, 3, 3), torch.full((1, 4, 3, 3), 0.1)):
            leaf = canvas.clone().requires_grad_(True)
            found = loss.value(loss.measure({"l": leaf}))
            (gradient,) = torch.autograd.grad(found, leaf)
            assert torch.isfinite(found)
            assert torch.isfinite(gradient).all()


def test_gradients_are_those_of_finite_differences() -> None:
    image = rand(1, 3, 9, 8).requires_grad_(True)
    for pool in (1, 2):
        edges = LaplacianLoss(1.0, laplacian(rand(1, 3, 9, 8, seed=1), pool), pool)
        assert torch.autograd.gradcheck(lambda f, e=edges: e.value(e.measure({"image": f})), (image,))
    features = rand(1, 4, 3, 3).requires_grad_(True)
    alike = similarity_of(rand(1, 4, 3, 3, seed=1), 7)
    assert torch.autograd.gradcheck(lambda f: alike.value(alike.measure({"l": f})), (features,))


@pytest.mark.parametrize("changes", [{"style_weight": 0.0}, {"content_weight": 0.0}])
def test_tiled_equals_whole_on_the_network(narrow, random_image, changes) -> None:
    settings = Settings(
        laplacian=0.02, laplacian_pool=5, self_similarity=0.01, style_layers="relu1_1",
        content_layers="relu2_1 relu3_1=0.5", **changes,
    )  # fmt: skip
    network = prepare(narrow, **OPTIONS)
    inputs = ScaledInputs(random_image(119, 101, 1), (random_image(90, 80, 2),), torch.ones(1), None)
    losses = build.build_losses(network, inputs, settings)
    assert {loss.name for loss in losses} > {"laplacian", "self_similarity.relu3_1"}
    canvas = random_image(119, 101, 3)
    whole, tiled = (Objective(network, losses, tile)(canvas) for tile in (None, 24))
    assert tiled.parts == pytest.approx(whole.parts, rel=1e-5)
    assert (tiled.gradient - whole.gradient).norm() < 1e-3 * whole.gradient.norm()
