"""The objective against an independent implementation and against finite differences."""

import io

import pytest
import torch
from PIL import Image

from impasto.config.settings import Settings
from impasto.inputs.pictures import ScaledInputs
from impasto.losses.build import build_losses
from impasto.losses.content import ContentLoss, squared_distance
from impasto.losses.gram import GramLoss, gram_matrix
from impasto.losses.loss import Penalty
from impasto.losses.objective import Objective, prepare
from impasto.losses.smoothness import TotalVariation, total_variation
from impasto.network.vgg import VGG19
from impasto.transfer.stylize import stylize
from reference import straight

SEVERAL = {"content_layers": {"2_2": 0.3, "4_2": 1.7}, "style_layers": {"1_2": 2.0, "3_4": 0.25, "5_4": 0.6}}


def settings_of(case: dict) -> Settings:
    return Settings(
        convention=case["convention"],
        partial_windows=case["partial_windows"],
        content_weight=case["alpha"],
        style_weight=case["beta"],
        content_layers={f"relu{name}": weight for name, weight in case["content_layers"].items()},
        style_layers={f"relu{name}": weight for name, weight in case["style_layers"].items()},
        style_statistic="gram",
        grain=0,
    )


def objective_of(network, content, styles, shares, settings, extra=()):
    targets = ScaledInputs(content, tuple(styles), torch.tensor(shares, dtype=content.dtype), None)
    return Objective(network, [*build_losses(network, targets, settings), *extra])


@pytest.mark.parametrize("base", [straight.PAPER, straight.MEAN], ids=["paper", "mean"])
@pytest.mark.parametrize("layers", [{}, SEVERAL], ids=["preset", "several"])
def test_equals_the_straight_lines(weights, random_image, base, layers) -> None:
    case = base | layers
    content, canvas = random_image(50, 64, 1), random_image(50, 64, 2)
    styles, shares = [random_image(48, 35, 3), random_image(64, 71, 4)], [0.7, 0.3]
    network = prepare(
        weights,
        pooling="max",
        padding="zero",
        precision="fp32",
        device="cpu",
        partial_windows=case["partial_windows"],
    )
    objective = objective_of(network, content, styles, shares, settings_of(case))
    found = objective(canvas)
    leaf = canvas.clone().requires_grad_(True)
    expected = straight.losses(weights, leaf, content, styles, shares, case)
    expected["total"].backward()
    content_part = sum(v for k, v in found.parts.items() if k.startswith("content"))
    style_part = sum(v for k, v in found.parts.items() if k.startswith("style"))
    assert content_part == pytest.approx(case["alpha"] * expected["content"].item(), rel=1e-4)
    assert style_part == pytest.approx(case["beta"] * expected["style"].item(), rel=1e-4)
    assert found.loss * objective.scale == pytest.approx(expected["total"].item(), rel=1e-4)
    off = (found.gradient * objective.scale - leaf.grad).norm() / leaf.grad.norm()
    assert off < 1e-3  # max pooling may break a tie the other way; the rest is rounding


def test_the_presets_mean_what_the_straight_lines_mean() -> None:
    gram = {"style_statistic": "gram", "style_weight": 1000, "grain": 0}
    for preset, changes, case in (("paper", {}, straight.PAPER), ("default", gram, straight.MEAN)):
        settings, expected = Settings.preset(preset, **changes), settings_of(case)
        for field in (
            "convention",
            "partial_windows",
            "content_weight",
            "style_weight",
            "content_layers",
            "style_layers",
        ):
            assert getattr(settings, field) == getattr(expected, field), (preset, field)
        assert (settings.pooling, settings.padding, settings.total_variation) == ("max", "zero", 0)


def test_preset_paper_reports_those_losses_from_end_to_end(weights, random_image) -> None:
    def png(image: torch.Tensor) -> tuple[bytes, torch.Tensor]:
        array = (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8)
        file = io.BytesIO()
        Image.fromarray(array.numpy()).save(file, "PNG")
        return file.getvalue(), (array.float() / 255).permute(2, 0, 1)[None]

    (photo, content), (painting, style) = png(random_image(48, 64, 1)), png(random_image(64, 52, 2))
    seen = []
    settings = Settings.preset("paper", size=64, evaluations=2, seed=9)
    result = stylize(
        photo, painting, settings, weights=weights, on_step=lambda step: seen.append(step._canvas.clone())
    )
    with torch.no_grad():
        for row, canvas in zip(result.history, seen, strict=True):
            expected = straight.losses(weights, canvas, content, [style], [1.0], straight.PAPER)
            assert row.losses["content"] == pytest.approx(0.025 * expected["content"].item(), 1e-4)
            assert row.losses["style"] == pytest.approx(5 * expected["style"].item(), 1e-4)
            assert row.losses["total"] == pytest.approx(expected["total"].item(), 1e-4)


# --- finite differences in float64 ---------------------------------------------------------------


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def test_gradcheck_of_the_functions() -> None:
    x = rand(1, 3, 4, 5).requires_grad_(True)
    assert torch.autograd.gradcheck(gram_matrix, (x,))
    assert torch.autograd.gradcheck(gram_matrix, (rand(2, 3, 2, 3).requires_grad_(True),))
    assert torch.autograd.gradcheck(lambda f: squared_distance(f, rand(1, 3, 4, 5, seed=1)), (x,))
    assert torch.autograd.gradcheck(total_variation, (x,))


@pytest.mark.parametrize("convention", ["paper", "mean"])
def test_gradcheck_of_the_losses(convention) -> None:
    x = rand(1, 3, 4, 5).requires_grad_(True)
    grams = torch.cat([gram_matrix(rand(1, 3, 2, 3, seed=seed)) / 6 for seed in (1, 2)])
    shares = torch.tensor([0.25, 0.75], dtype=torch.float64)
    for loss in (
        ContentLoss("content", 1.0, "relu1_1", rand(1, 3, 4, 5, seed=3), convention),
        GramLoss("style", 1.0, "relu1_1", grams, shares, convention),
        TotalVariation(1.0),
    ):
        assert torch.autograd.gradcheck(
            lambda f, loss=loss: loss.value(loss.measure({"relu1_1": f, "image": f})), (x,)
        )


def test_penalty_keeps_float64() -> None:
    x = rand(1, 3, 4, 5).requires_grad_(True)
    loss = Penalty(lambda features: features["image"].pow(3).mean())
    assert loss.value(loss.measure({"image": x})).dtype == torch.float64


@pytest.mark.parametrize("convention", ["paper", "mean"])
@pytest.mark.parametrize(
    ("pooling", "padding"), [("max", "zero"), ("average", "reflect"), ("l2", "replicate")]
)
def test_directional_difference_in_float64(narrow, random_image, convention, pooling, padding) -> None:
    network = VGG19(narrow, pooling=pooling, padding=padding).double()
    images = [random_image(35, 37, seed, torch.float64) for seed in range(3)]
    settings = Settings(
        convention=convention, content_layers="conv2_1=0.5 relu4_2", total_variation=3.0, style_weight=50.0
    )
    extra = [TotalVariation(3.0, name="own")]
    objective = objective_of(network, images[0], [images[1]], [1.0], settings, extra)
    canvas = images[2]
    found = objective(canvas)
    assert found.gradient.dtype == torch.float64
    direction = rand(*canvas.shape, seed=5)
    direction /= direction.norm()
    step = 1e-6
    plus, minus = objective(canvas + step * direction), objective(canvas - step * direction)
    measured = (plus.loss - minus.loss) / (2 * step)
    assert measured == pytest.approx(float((found.gradient * direction).sum()), rel=1e-5)
    along = found.gradient / found.gradient.norm()
    plus, minus = objective(canvas + step * along), objective(canvas - step * along)
    assert (plus.loss - minus.loss) / (2 * step) == pytest.approx(float(found.gradient.norm()), rel=1e-5)
