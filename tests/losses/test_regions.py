"""Regions: guided statistics against straight sums, shares by hand, and whole runs."""

import numpy as np
import pytest
import torch

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Mask, Style
from impasto.errors import InputError
from impasto.image.picture import Picture
from impasto.inputs.open import open_inputs
from impasto.inputs.pictures import ScaledInputs, StyleUse
from impasto.inputs.pyramid import Scale
from impasto.losses.build import build_losses, layers_of
from impasto.losses.gram import GramLoss, guided_gram
from impasto.losses.loss import at_layer
from impasto.losses.objective import Objective, prepare
from impasto.losses.regions import style_terms
from impasto.messages import NOTE
from impasto.network.tiles import tiles
from impasto.network.vgg import VGG19
from impasto.system import hardware
from impasto.transfer.stylize import stylize
from transfer.test_stylize import OTHER, PAINTING, PHOTO

FP32 = Runtime(device="cpu", threads=1, precision="fp32")
ALL = Settings().style_layers


def soft(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand((1, 1, 5, 7), generator=generator)
    return torch.nn.functional.interpolate(small, (height, width), mode="bilinear")


def targets_of(content, styles, masks, sources=None, shares=None, layers=None):
    count = len(styles)
    layers = layers or [None] * count
    uses = tuple(
        StyleUse(mask=None if m is None else f"region {n}", layers=own)
        for n, (m, own) in enumerate(zip(masks, layers, strict=True))
    )
    weights = torch.tensor(shares or [1 / count] * count, dtype=content.dtype)
    names = tuple(f"style{n}.png" for n in range(count))
    given = (uses, tuple(masks), tuple(sources or [None] * count), names)
    return ScaledInputs(content, tuple(styles), weights, None, *given)


def load_network(weights):
    return prepare(weights, pooling="max", padding="zero", precision="fp32", device="cpu")


# --- statistics ----------------------------------------------------------------------------------


@pytest.mark.parametrize("height", [9, 300])  # in one piece, and in several
def test_guided_gram_equals_straight_sums(height) -> None:
    features = torch.randn(1, 5, height, 70, dtype=torch.float64)
    guide = soft(height, 70).double()
    gram, positions = guided_gram(features, guide)
    expected = np.zeros((5, 5))
    for row in range(height):
        for column in range(70):
            column_of = features[0, :, row, column].numpy()
            expected += guide[0, 0, row, column].item() * np.outer(column_of, column_of)
    assert np.allclose(gram[0].numpy(), expected, rtol=1e-10)
    assert positions.item() == pytest.approx(guide.sum().item(), rel=1e-12)


def loss_of(guide, dtype=torch.float64, channels=4):
    generator = torch.Generator().manual_seed(7)
    targets = torch.rand((2, channels, channels), generator=generator, dtype=dtype)
    shares = torch.tensor([0.25, 0.75], dtype=dtype)
    return GramLoss("style.relu1_1", 1.0, "relu1_1", targets, shares, guide=guide)


def test_the_gradient_of_a_guided_loss_equals_finite_differences() -> None:
    features = torch.randn(1, 4, 6, 5, dtype=torch.float64)
    guide = soft(6, 5).double()
    guide[..., 2:4, :] = 0  # nothing there, and no gradient
    loss = loss_of(guide)
    measured = [s.detach().requires_grad_() for s in loss.measure({"relu1_1": features})]
    grad_statistics = torch.autograd.grad(loss.value(measured), measured)
    found = loss.backward({"relu1_1": features}, None, grad_statistics, None)
    step = 1e-5
    for index in np.ndindex(*features.shape):
        values = []
        for sign in (1, -1):
            moved = features.clone()
            moved[index] += sign * step
            values.append(loss.value(loss.measure({"relu1_1": moved})).item())
        assert found[index].item() == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-7)
    assert not found[..., 2:4, :].any()


def test_a_guide_of_ones_equals_none() -> None:
    features = {"relu1_1": torch.randn(1, 4, 40, 30).contiguous(memory_format=torch.channels_last)}
    values, gradients = [], []
    for guide in (None, torch.ones(1, 1, 40, 30)):
        loss = loss_of(guide, torch.float32)
        measured = [s.detach().requires_grad_() for s in loss.measure(features)]
        value = loss.value(measured)
        gradients.append(loss.backward(features, None, torch.autograd.grad(value, measured), None))
        values.append(value.item())
    assert values[1] == pytest.approx(values[0], rel=1e-6)
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-5, atol=1e-7 * gradients[0].abs().max())


def test_a_mask_of_ones_equals_no_mask_in_the_whole_objective(weights, random_image) -> None:
    content, canvas = random_image(48, 64, 1), random_image(48, 64, 2)
    styles = [random_image(40, 64, 3), random_image(64, 50, 4)]
    network = load_network(weights)
    settings = Settings(style_statistic="gram")  # others have one factor for the paintings of a region
    ones = torch.ones(1, 1, 48, 64)
    plain = ScaledInputs(content, tuple(styles), torch.tensor([0.5, 0.5]), None)
    masked = targets_of(content, styles, [ones, ones])
    # The same region under two names: each half of what is there.
    found = [Objective(network, build_losses(network, t, settings))(canvas) for t in (plain, masked)]
    scale = [Objective(network, build_losses(network, t, settings)).scale for t in (plain, masked)]
    assert found[1].loss * scale[1] == pytest.approx(found[0].loss * scale[0], rel=1e-6)
    one, other = (f.gradient * s for f, s in zip(found, scale, strict=True))
    assert (one - other).norm() < 1e-5 * one.norm()
    assert set(found[1].parts) >= {"style.relu1_1.style0", "style.relu1_1.style1"}


@pytest.mark.parametrize(("precision", "size"), [("fp32", (107, 121)), ("bf16", (104, 128))])
def test_tiles_equal_the_whole(narrow, random_image, precision, size) -> None:
    check_tiles(narrow, random_image, precision, size, 48)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "size"), [("fp32", (107, 121)), ("bf16", (48, 64))])
def test_tiles_equal_the_whole_on_the_real_network(weights, random_image, precision, size) -> None:
    if precision == "bf16" and not hardware.fast_at_bf16("cpu"):
        pytest.skip("this processor emulates bf16, which takes minutes; a narrow network has it above")
    check_tiles(weights, random_image, precision, size, 32)


def check_tiles(weights, random_image, precision, size, tile) -> None:
    content, canvas = random_image(*size, 1), random_image(*size, 2)
    sources = [soft(97, 128, 5), None]
    styles = [random_image(97, 128, 3), random_image(128, 90, 4)]
    targets = targets_of(content, styles, [soft(*size), None], sources)
    network = prepare(weights, pooling="max", padding="zero", precision=precision, device="cpu")
    whole = Objective(network, build_losses(network, targets, Settings()))(canvas)
    parts = Objective(network, build_losses(network, targets, Settings(), tile=tile), tile)
    assert parts.tile == tile
    found = parts(canvas)
    loss, gradient = (1e-5, 1e-4) if precision == "fp32" else (1e-2, 5e-2)
    assert found.loss == pytest.approx(whole.loss, rel=loss)
    assert (found.gradient - whole.gradient).norm() < gradient * whole.gradient.norm()


def test_the_gradient_of_the_canvas_equals_finite_differences(narrow, random_image) -> None:
    wide = {name: tensor.double() for name, tensor in narrow.items()}
    network = prepare(wide, pooling="average", padding="zero", precision="fp32", device="cpu")
    network.network.double()
    network.dtype = torch.float64
    content, canvas = (random_image(32, 32, seed, torch.float64) for seed in (1, 2))
    styles = [random_image(32, 32, seed, torch.float64) for seed in (3, 4)]
    targets = targets_of(content, styles, [soft(32, 32).double(), None], [None, soft(32, 32, 3).double()])
    objective = Objective(network, build_losses(network, targets, Settings()))
    direction = torch.randn(canvas.shape, generator=torch.Generator().manual_seed(0)).double()
    step = 1e-6
    slope = (objective(canvas + step * direction).loss - objective(canvas - step * direction).loss) / (
        2 * step
    )
    assert (objective(canvas).gradient * direction).sum().item() == pytest.approx(slope, rel=1e-4)


def test_a_guide_has_the_layers_size_and_the_means_of_its_cells() -> None:
    mask = torch.arange(6 * 5, dtype=torch.float32).view(1, 1, 6, 5) / 30
    assert at_layer(mask, "relu1_2") is mask
    found = at_layer(mask, "relu2_1", "count")
    assert found.shape == (1, 1, 3, 3)
    assert found[0, 0, 1, 0].item() == pytest.approx((10 + 11 + 15 + 16) / 4 / 30)
    assert found[0, 0, 1, 2].item() == pytest.approx((14 + 19) / 2 / 30)  # of the pixels that there are
    torch.testing.assert_close(
        at_layer(mask, "relu3_1")[0, 0, 1, 0], mask[0, 0, 4:, :4].mean()
    )  # half of a cell
    assert at_layer(mask, "relu3_1").shape == (1, 1, 2, 1)  # less than half of one is not seen
    for partial in ("half", "count", "drop"):
        (part,) = tiles(70, 53, 100, ["relu5_1"], partial=partial)
        rows, columns = part.windows["relu5_1"].outer
        found = at_layer(torch.ones(1, 1, 70, 53), "relu5_1", partial)
        assert found.shape[-2:] == (rows.stop, columns.stop)
        assert found.min() == found.max() == 1


# --- who is compared where -----------------------------------------------------------------------


def weights_of(targets, settings=None, layer="relu1_1"):
    """Return {name of the loss: {style: what it weighs}} of a layer."""
    found = [g for g in style_terms(targets, settings or Settings()) if g.layer == layer]
    return {
        group.name: {
            n: pytest.approx(group.weight * share, abs=1e-6)
            for n, share in zip(group.styles, group.shares.tolist(), strict=True)
        }
        for group in found
    }


def halves():
    left = torch.zeros(1, 1, 32, 32)
    left[..., :8] = 1
    return left, 1 - left


def test_shares_by_hand() -> None:
    image = torch.rand(1, 3, 32, 32)
    left, right = halves()
    both = lambda *masks, **more: targets_of(image, [image] * len(masks), masks, **more)  # noqa: E731
    # No masks: as the weights say, in one loss.
    assert weights_of(both(None, None, shares=[0.25, 0.75])) == {"style.relu1_1": {0: 0.25, 1: 0.75}}
    # Regions that meet: each by its area, whatever the weights.
    quarter = {"style.relu1_1.style0": {0: 0.25}, "style.relu1_1.style1": {1: 0.75}}
    assert weights_of(both(left, right)) == quarter
    assert weights_of(both(left, right, shares=[0.9, 0.1])) == quarter
    # One region alone: its area; the rest of the picture is nobody's.
    assert weights_of(both(left)) == {"style.relu1_1.style0": {0: 0.25}}
    # One everywhere, one in a quarter: there they share.
    found = weights_of(both(left, None, shares=[0.5, 0.5]))
    assert found == {"style.relu1_1.style0": {0: 0.125}, "style.relu1_1": {1: 0.875}}
    # A gray mask: half as much.
    assert weights_of(both(left / 2)) == {"style.relu1_1.style0": {0: 0.125}}


def test_what_is_protected_says_nothing_about_style() -> None:
    protect = np.zeros((48, 64), np.uint8)
    protect[:, :32] = 255
    settings = Settings(protect_feather=0)
    inputs = open_inputs(PHOTO, [Style(PAINTING, mask=grey()), Style(OTHER)], settings, None, protect)
    targets = inputs.at(Scale(64, 48), "cpu")
    assert not targets.guides[0].any()  # all of its mask is protected
    assert targets.guides[1].mean() == 0.5
    with pytest.raises(InputError, match="is less than one position"):
        style_terms(targets, settings)
    alone = open_inputs(PHOTO, OTHER, settings, None, protect).at(Scale(64, 48), "cpu")
    assert weights_of(alone) == {"style.relu1_1": {0: 0.5}}
    with pytest.raises(InputError, match="nothing is left to paint"):
        open_inputs(PHOTO, OTHER, settings, None, np.full((48, 64), 255, np.uint8))


def test_styles_with_the_same_mask_share_a_loss() -> None:
    image = torch.rand(1, 3, 32, 32)
    left, _ = halves()
    targets = targets_of(image, [image] * 2, [left, left], shares=[0.75, 0.25])
    same = tuple(StyleUse(mask="one") for _ in range(2))
    targets = ScaledInputs(*(getattr(targets, f) for f in ("content", "styles", "shares", "picture")),
        same, targets.guides, targets.source_guides, ("a.png", "a.png"))  # fmt: skip
    (group,) = [g for g in style_terms(targets, Settings()) if g.layer == "relu1_1"]
    assert group.name == "style.relu1_1.a"
    assert group.styles == (0, 1)
    assert group.shares.tolist() == pytest.approx([0.75, 0.25])
    assert group.weight == pytest.approx(0.25)


def test_layers_of_a_style_share_only_where_they_meet() -> None:
    image = torch.rand(1, 3, 32, 32)
    own = [(("relu1_1", 2.0), ("relu2_1", 1.0)), (("relu2_1", 1.0), ("relu4_1", 3.0))]
    targets = targets_of(image, [image] * 2, [None, None], shares=[0.25, 0.75], layers=own)
    assert weights_of(targets) == {"style.relu1_1": {0: 2.0}}
    assert weights_of(targets, layer="relu2_1") == {"style.relu2_1": {0: 0.25, 1: 0.75}}
    assert weights_of(targets, layer="relu4_1") == {"style.relu4_1": {1: 3.0}}
    assert weights_of(targets, layer="relu3_1") == {}


def test_a_region_too_small_for_a_layer_is_left_out_there(caplog) -> None:
    image = torch.rand(1, 3, 64, 64)
    spot = torch.zeros(1, 1, 64, 64)
    spot[..., :6, :6] = 1  # 36 positions of relu1_1, 9 of relu2_1, 0.14 of relu5_1
    found = style_terms(targets_of(image, [image], [spot]), Settings())
    assert {group.layer for group in found} == {"relu1_1", "relu2_1", "relu3_1"}
    assert "too small for relu4_1, relu5_1: left out there" in caplog.text
    caplog.clear()
    spot[..., 1:, :] = 0
    spot[..., 1:] = 0
    spot /= 2
    with pytest.raises(InputError, match="region 0 is less than one position of every"):
        style_terms(targets_of(image, [image], [spot]), Settings())
    assert not caplog.text


# --- runs ----------------------------------------------------------------------------------------


def grey(width=64, height=48, columns=16):
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, :columns] = 255
    return pixels


@pytest.fixture
def run(narrow):
    def make(style, settings=None, **options):
        values = {"size": 48, "evaluations": 4} | (settings or {})
        options = {"weights": narrow, "runtime": FP32, "checkpoint": False} | options
        return stylize(PHOTO, style, Settings(**values), **options)

    return make


def test_two_regions_run_and_are_recorded(run, caplog) -> None:
    caplog.set_level(NOTE)
    source = np.full((64, 50), 200, np.uint8)
    styles = [Style(PAINTING, mask=grey(), source_mask=source), Style(OTHER, mask="rest")]
    result = run(styles)
    losses = result.recipe.losses
    assert losses["style"] == pytest.approx(
        sum(v for k, v in losses.items() if k.startswith("style.")), rel=1e-6
    )
    first, second = result.recipe.styles
    assert (first.mask.width, first.mask.height) == (64, 48)
    assert first.source_mask.sha256 == Picture.of(source).sha256
    assert (second.mask.kind, second.mask.sha256) == ("rest", "")
    assert "25.0 % (<bytes>), rest 75.0 %" in caplog.text
    assert "0.0 % in more than one, 0.0 % in none" in caplog.text


def test_gaps_and_overlaps_are_told(run, caplog) -> None:
    caplog.set_level(NOTE)
    run([Style(PAINTING, mask=grey()), Style(OTHER, mask=grey(columns=32))])
    assert "25.0 % in more than one, 50.0 % in none: not painted" in caplog.text
    caplog.clear()
    run([Style(PAINTING, mask=grey()), Style(OTHER)])
    assert "75.0 % in none: painted as <bytes>, the style without a mask" in caplog.text


def test_what_no_style_paints_stays_the_photo(run) -> None:
    result = run(Style(PAINTING, mask=grey(columns=8)), {"style_layers": ["relu1_1"], "size": 64})
    changed = np.abs(result.picture.array(8).astype(int) - Picture.of(PHOTO).array(8)).max(axis=(0, 2))
    assert changed[:8].max() > 3
    assert changed[12:].max() == 0  # beyond the reach of relu1_1, the photo is its own optimum


def apart(network, image, painting, mask=None) -> float:
    """The distance of Gram matrices of what is in a mask, by straight sums over the mean of its cells."""
    total = 0.0
    for block in range(1, 6):
        layer, cell = f"relu{block}_1", 2 ** (block - 1)
        features, target = (network(one, [layer])[layer][0].double() for one in (image, painting))
        channels, high, wide = features.shape
        counts = torch.ones(high, wide, dtype=torch.float64)
        if mask is not None:
            counts = mask.double()[: high * cell, : wide * cell]
            counts = counts.reshape(high, cell, wide, cell).mean((1, 3))
        gram = (features * counts).flatten(1) @ features.flatten(1).T / counts.sum()
        wanted = target.flatten(1) @ target.flatten(1).T / target[0].numel()
        total += float((gram - wanted).square().sum()) / channels**4
    return total


@pytest.mark.slow
def test_a_quarter_comes_down_as_far_as_a_whole(weights, images) -> None:
    """Relative to its start; and about as far as a run on that quarter of the photo alone."""
    network, photo = VGG19(weights), Picture.open(images / "tubingen.jpg")
    painting = Picture.open(images / "starry_night.jpg")
    target, start = painting.tensor(256, 160, kernel="linear"), photo.tensor(256, 192)
    corner = np.ascontiguousarray(photo.array(8)[:384, :512])
    quarter = torch.zeros(192, 256)
    quarter[:96, :128] = 1

    def painted(content, style, **settings):
        run = {"weights": weights, "runtime": FP32.changed(precision="auto"), "checkpoint": False}
        return stylize(content, style, Settings(quality="draft", **settings), **run).picture.tensor()

    part = painted(photo, Style(painting, mask=(quarter.numpy() * 255).astype(np.uint8)), size=256)
    whole, alone = painted(photo, painting, size=256), painted(corner, painting, size=128, stroke=2)
    end = apart(network, part, target, quarter)
    fall = 1 - end / apart(network, start, target, quarter)
    assert fall == pytest.approx(1 - apart(network, whole, target) / apart(network, start, target), rel=0.05)
    assert end < 1.6 * apart(network, alone, target)


def test_masks_go_to_the_bottom_of_the_memory_plan() -> None:
    inputs = open_inputs(PHOTO, [Style(PAINTING, mask=grey()), Style(OTHER)], Settings(), None)
    plain = open_inputs(PHOTO, [PAINTING, OTHER], Settings(), None)
    large = Scale(7680, 4320)
    mask = sum(p.nbytes for p in inputs.pictures) - sum(p.nbytes for p in plain.pictures)
    more = inputs.memory_bytes(large) - plain.memory_bytes(large) - mask
    assert more == pytest.approx(4 * 4 / 3 * 7680 * 4320, rel=1e-3)


def test_layers_of_styles_are_read() -> None:
    styles = [Style(PAINTING, layers="relu1_2"), Style(OTHER, layers={"conv5_4": 2})]
    settings = Settings(content_weight=0)
    inputs = open_inputs(PHOTO, styles, settings, None)
    assert layers_of(settings, (), inputs) == ["relu1_2", "conv5_4"]
    assert layers_of(settings, ()) == list(ALL)


def test_a_colour_of_a_segmentation_is_a_region(run) -> None:
    segments = np.zeros((48, 64, 3), np.uint8)
    segments[:, :16], segments[:, 16:] = (255, 0, 0), (0, 0, 255)
    colored = [Style(PAINTING, mask=Mask(segments, "#f00")), Style(OTHER, mask=Mask(segments, "#00f"))]
    masks = [Style(PAINTING, mask=grey()), Style(OTHER, mask=255 - grey())]
    found, expected = run(colored, {"size": 64}), run(masks, {"size": 64})
    assert np.array_equal(found.picture.array(8), expected.picture.array(8))
    assert found.recipe.styles[0].mask.color == "#ff0000"
