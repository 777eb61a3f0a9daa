import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.errors import InputError
from impasto.losses.content import ContentLoss
from impasto.losses.gram import GramLoss, gram_matrix
from impasto.losses.loss import Penalty, add_statistics, border_weights
from impasto.losses.objective import Objective
from impasto.losses.smoothness import TotalVariation, total_variation
from impasto.network.tiles import Window
from impasto.network.vgg import VGG19
from impasto.system import hardware

TWO = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, -1.0], [2.0, 1.0]]]])  # (1, 2, 2, 2)


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def evaluated(loss, features) -> float:
    return float(loss.value(loss.measure(features)))


# --- by hand -------------------------------------------------------------------------------------


def test_gram_of_two_channels_by_hand() -> None:
    # 1 + 4 + 9 + 16 = 30;  0 - 2 + 6 + 4 = 8;  0 + 1 + 4 + 1 = 6
    assert gram_matrix(TWO).tolist() == [[[30.0, 8.0], [8.0, 6.0]]]


def test_gram_does_not_mix_pictures_of_a_batch() -> None:
    batch = torch.cat([TWO, 2 * TWO])
    assert gram_matrix(batch).tolist() == [[[30.0, 8.0], [8.0, 6.0]], [[120.0, 32.0], [32.0, 24.0]]]


@pytest.mark.parametrize(("convention", "expected"), [("paper", 9.0), ("mean", 2.25)])
def test_content_by_hand(convention, expected) -> None:
    # differences 1, 2, 3, 0 | 0, 0, 2, 0: squares sum to 18; half is 9, the mean over 8 is 2.25
    target = TWO - torch.tensor([[[[1.0, 2.0], [3.0, 0.0]], [[0.0, 0.0], [2.0, 0.0]]]])
    loss = ContentLoss("content.relu1_1", 1.0, "relu1_1", target, convention)
    assert evaluated(loss, {"relu1_1": TWO}) == expected


def test_border_weights_by_hand() -> None:
    """5 x 8 px at stride 2: the third row stands for one row of pixels, all columns for two."""
    weights = border_weights(5, 8, "relu2_1", "count")
    assert weights is not None
    assert weights[0, 0].tolist() == [[1.0] * 4, [1.0] * 4, [0.5] * 4]
    corner = border_weights(17, 18, "relu5_1", "count")
    assert corner is not None
    assert corner[0, 0].tolist() == [[1.0, 2 / 16], [1 / 16, 2 / 256]]
    half = border_weights(23, 24, "relu5_1")
    assert half is not None
    assert half[0, 0].tolist() == [[1.0, 8 / 16]]
    assert border_weights(17, 18, "relu5_1") is None
    assert border_weights(48, 32, "relu5_1") is None
    assert border_weights(5, 7, "relu1_2") is None


def test_a_weighted_content_loss_and_its_gradient() -> None:
    """1/2 sum t (F - P)^2 by hand, and t (F - P); in two tiles as in one."""
    generator = torch.Generator().manual_seed(3)
    features, target = torch.rand(2, 1, 3, 5, 4, generator=generator, dtype=torch.float64)
    weights = torch.tensor([1, 1, 1, 0.25], dtype=torch.float64).expand(1, 1, 5, 4)
    loss = ContentLoss("content.relu1_1", 1.0, "relu1_1", target, "paper", guide=weights)
    statistics = loss.measure({"relu1_1": features})
    far = (features - target).square()
    expected = (far[..., :3].sum() + 0.25 * far[..., 3].sum()) / 2
    assert loss.value(statistics).item() == pytest.approx(expected.item(), rel=1e-12)
    half = torch.tensor(0.5, dtype=torch.float64)
    gradient = loss.backward({"relu1_1": features}, None, [half], None)
    torch.testing.assert_close(gradient, (features - target) * weights)
    top, bottom = slice(0, 2), slice(2, 5)
    parts = [
        loss.measure(
            {"relu1_1": features[..., rows, :]},
            {"relu1_1": Window((slice(0, 5), slice(0, 4)), (rows, slice(0, 4)))},
        )
        for rows in (top, bottom)
    ]
    torch.testing.assert_close(parts[0][0] + parts[1][0], statistics[0])


@pytest.mark.parametrize("convention", ["paper", "mean"])
def test_style_by_hand(convention) -> None:
    # G/M = [[7.5, 2], [2, 1.5]]; A of one position (2, 1): [[4, 2], [2, 1]]; differences 3.5, 0, 0, 0.5:
    # 12.25 + 0.25 = 12.5; another style, A/M = [[0, 0], [0, 0]]: 56.25 + 4 + 4 + 2.25 = 66.5.
    # For N = 2 both constants are 1/16: 1/(4 N^2) and 1/N^4.
    one = torch.tensor([[4.0, 2.0], [2.0, 1.0]])
    targets, shares = torch.stack([one, torch.zeros(2, 2)]), torch.tensor([0.75, 0.25])
    loss = GramLoss("style.relu1_1", 1.0, "relu1_1", targets, shares, convention)
    by_hand = (0.75 * 12.5 + 0.25 * 66.5) / 16
    assert by_hand == 1.625
    assert evaluated(loss, {"relu1_1": TWO}) == by_hand


@pytest.mark.parametrize(("convention", "divisor"), [("paper", 4 * 9), ("mean", 81)])
def test_style_constant_for_three_channels(convention, divisor) -> None:
    # one position with features (1, 2, 2): G = [[1,2,2],[2,4,4],[2,4,4]], squares sum to (1+4+4)^2 = 81
    features = torch.tensor([1.0, 2.0, 2.0]).view(1, 3, 1, 1)
    loss = GramLoss("s", 1.0, "relu1_1", torch.zeros(1, 3, 3), torch.ones(1), convention)
    assert evaluated(loss, {"relu1_1": features}) == pytest.approx(81 / divisor, rel=1e-6)


def test_style_of_equal_sizes_is_the_papers_equation_4() -> None:
    a, x = rand(1, 3, 4, 5, seed=1), rand(1, 3, 4, 5, seed=2)
    loss = GramLoss("s", 1.0, "l", gram_matrix(a) / 20, torch.ones(1), "paper")
    expected = (gram_matrix(x) - gram_matrix(a)).square().sum() / (4 * 3**2 * 20**2)
    assert evaluated(loss, {"l": x}) == pytest.approx(float(expected), rel=1e-5)


# --- properties ----------------------------------------------------------------------------------


def test_gram_is_symmetric_and_positive_semidefinite() -> None:
    gram = gram_matrix(rand(1, 6, 2, 2).double())[0]  # more channels than positions: rank 4
    assert torch.equal(gram, gram.T)
    values = torch.linalg.eigvalsh(gram)
    assert values.min() > -1e-9
    assert (values > 1e-6).sum() == 4


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), height=st.integers(1, 6), width=st.integers(1, 6))
def test_gram_forgets_where_pixels_are(seed: int, height: int, width: int) -> None:
    features = rand(1, 4, height, width, seed=seed).double()
    order = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed))
    shuffled = features.flatten(2)[:, :, order].reshape(1, 4, width, height)
    torch.testing.assert_close(gram_matrix(shuffled), gram_matrix(features))


@pytest.mark.parametrize("size", [(3, 5), (32, 64), (64, 64), (70, 61), (260, 131)])
@pytest.mark.parametrize("batch", [1, 2])
def test_gram_in_chunks_of_bfloat16(monkeypatch, size, batch) -> None:
    """Where bf16 is fast: products of chunks are rounded to bf16, 2^-9 of each number at most."""
    generator = torch.Generator().manual_seed(0)
    features = (torch.randn(batch, 24, *size, generator=generator) + 0.5).relu().to(torch.bfloat16)
    features = features.contiguous(memory_format=torch.channels_last)
    exact = features.double().flatten(2) @ features.double().flatten(2).transpose(1, 2)
    monkeypatch.setattr(hardware, "fast_at_bf16", lambda device: False)
    plain = gram_matrix(features)
    monkeypatch.setattr(hardware, "fast_at_bf16", lambda device: True)
    found = gram_matrix(features)
    assert found.dtype == torch.float32
    assert not torch.equal(found, plain)
    assert (found - exact).norm() < 0.002 * exact.norm()
    assert torch.equal(found, found.transpose(1, 2))


def test_gram_of_bfloat16_is_summed_in_float32() -> None:
    features = torch.ones(1, 2, 64, 64, dtype=torch.bfloat16)  # 4096 + 1 is no bfloat16
    features[..., 0, 0] = 2.0
    features.requires_grad_(True)
    gram = gram_matrix(features)
    assert gram.dtype == torch.float32
    assert gram[0, 0, 1].item() == 4099.0
    gram[0, 0, 0].backward()
    assert features.grad.dtype == torch.bfloat16
    assert features.grad[0, 0, 0, 0] == 4.0
    assert features.grad[0, 1].abs().sum() == 0.0


def test_losses_vanish_at_their_targets_and_only_there() -> None:
    x = rand(1, 3, 4, 4)
    for convention in ("paper", "mean"):
        content = ContentLoss("c", 1.0, "l", x, convention)
        style = GramLoss("s", 1.0, "l", gram_matrix(x) / 16, torch.ones(1), convention)
        assert evaluated(content, {"l": x}) == 0.0
        assert evaluated(style, {"l": x}) == 0.0
        assert evaluated(style, {"l": x.flip(2)}) == pytest.approx(0.0, abs=1e-9)
        assert evaluated(content, {"l": x.flip(2)}) > 0.01
        assert evaluated(style, {"l": 2 * x}) > 0.01


# --- tiles ---------------------------------------------------------------------------------------


def tiles(rows: tuple[int, ...], columns: tuple[int, ...], halo: int, size: tuple[int, int]):
    """Yield (slices of the part handed over, Window); cuts are uneven, the halo is clipped."""
    for top, bottom in zip((0, *rows), (*rows, size[0]), strict=True):
        for left, right in zip((0, *columns), (*columns, size[1]), strict=True):
            up, side = max(0, top - halo), max(0, left - halo)
            part = (slice(up, min(size[0], bottom + halo)), slice(side, min(size[1], right + halo)))
            inner = (slice(top - up, bottom - up), slice(left - side, right - side))
            yield part, Window(inner, (slice(top, bottom), slice(left, right)))


@pytest.mark.parametrize("halo", [0, 1, 3])
@pytest.mark.parametrize(("rows", "columns"), [((), ()), ((1,), (4, 5)), ((2, 6), (8,))])
def test_statistics_of_tiles_add_up(rows, columns, halo) -> None:
    x = rand(1, 3, 7, 9, seed=1).double()
    grams = gram_matrix(rand(1, 3, 4, 4, seed=3).double()) / 16
    for loss in (
        ContentLoss("c", 1.0, "l", rand(1, 3, 7, 9, seed=2).double()),
        GramLoss("s", 1.0, "l", grams, torch.ones(1, dtype=torch.float64), "paper"),
    ):
        assert loss.additive
        whole, added = loss.measure({"l": x}), None
        for part, window in tiles(rows, columns, halo, (7, 9)):
            found = loss.measure({"l": x[..., part[0], part[1]]}, {"l": window})
            added = found if added is None else add_statistics(added, found)
        for one, other in zip(whole, added, strict=True):
            torch.testing.assert_close(one, other)
        torch.testing.assert_close(loss.value(whole), loss.value(added))


@pytest.mark.parametrize("halo", [1, 2])
@pytest.mark.parametrize(("rows", "columns"), [((), ()), ((1,), (4, 5)), ((2, 6), (8,))])
def test_total_variation_of_tiles_with_a_halo_adds_up(rows, columns, halo) -> None:
    image = torch.rand((1, 3, 7, 9), generator=torch.Generator().manual_seed(0)).double()
    loss, added = TotalVariation(1.0), None
    for part, window in tiles(rows, columns, halo, (7, 9)):
        found = loss.measure({"image": image[..., part[0], part[1]]}, {"image": window})
        added = found if added is None else add_statistics(added, found)
    torch.testing.assert_close(loss.value(added), total_variation(image))
    torch.testing.assert_close(loss.value(loss.measure({"image": image})), total_variation(image))


# --- a loss of one's own, and size ---------------------------------------------------------------


def test_penalty_sees_the_features_and_is_not_additive() -> None:
    seen = []

    def brightness(features):
        seen.append(sorted(features))
        return (features["image"].mean() - 0.6) ** 2 + 0 * features["relu1_1"].sum()

    loss = Penalty(brightness, weight=50, layers=("relu1_1",))
    features = {"image": torch.full((1, 3, 2, 2), 0.1), "relu1_1": TWO}
    assert evaluated(loss, features) == pytest.approx(0.25)
    assert seen == [["image", "relu1_1"]]
    assert not loss.additive
    assert (loss.name, loss.weight, loss.layers) == ("penalty", 50, ("relu1_1",))


def test_penalty_takes_one_value_of_any_shape_only() -> None:
    loss = Penalty(lambda features: features["image"].sum().view(1))
    assert loss.value(loss.measure({"image": torch.ones(1, 3, 1, 1)})).shape == ()
    wrong = Penalty(lambda features: features["image"])
    with pytest.raises(InputError, match=r"the loss penalty returned \(1, 3, 2, 2\)"):
        wrong.value(wrong.measure({"image": torch.ones(1, 3, 2, 2)}))


@pytest.mark.parametrize("convention", ["mean"])
def test_mosaic_of_features_changes_nothing(convention) -> None:
    x, p, a = (rand(1, 3, 8, 8, seed=seed).double() for seed in range(3))
    found = []
    for times in (1, 2):
        x2, p2, a2 = (t.repeat(1, 1, times, times) for t in (x, p, a))
        gram, share = gram_matrix(a2) / (64 * times**2), torch.ones(1, dtype=torch.float64)
        content = ContentLoss("c", 1.0, "l", p2, convention)
        style = GramLoss("s", 1.0, "l", gram, share, convention)
        found.append([evaluated(content, {"l": x2}), evaluated(style, {"l": x2})])
    assert found[0] == pytest.approx(found[1], rel=1e-9)


# On features the mosaic changes nothing (the test above). On pixels the network's zero padding sees more or
# less border, which shrinks with size and is smallest for the white noise that the paper starts from;
# docs/performance.md has the figures for other canvases.
@pytest.mark.slow
def test_mosaic_changes_mean_terms_by_under_two_percent(weights, images) -> None:
    from impasto.image.picture import Picture

    canvas = torch.rand(1, 3, 192, 256, generator=torch.Generator().manual_seed(0))
    content = Picture.open(images / "tubingen.jpg").tensor(256, 192)
    style = Picture.open(images / "starry_night.jpg").tensor(256, 160)
    network = VGG19(weights)
    layers = [f"relu{block}_1" for block in range(1, 6)]

    def parts(times: int) -> dict[str, float]:
        one, photo, painting = (x.repeat(1, 1, times, times) for x in (canvas, content, style))
        with torch.no_grad():
            kept = network(photo, ["relu4_2"])["relu4_2"]
            painted = network(painting, layers)
        losses = [ContentLoss("content", 1.0, "relu4_2", kept)]
        for layer in layers:
            gram = gram_matrix(painted[layer]) / painted[layer][0, 0].numel()
            losses.append(GramLoss(layer, 1.0, layer, gram, torch.ones(1)))
        return dict(Objective(network, losses)(one).parts)

    small, large = parts(1), parts(2)
    style_small = sum(v for k, v in small.items() if k != "content")
    style_large = sum(v for k, v in large.items() if k != "content")
    assert large["content"] == pytest.approx(small["content"], rel=0.02)
    assert style_large == pytest.approx(style_small, rel=0.02)
