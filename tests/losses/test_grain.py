"""The guard against grain and the forms of total variation, against NumPy, SciPy and themselves in parts."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from impasto.config.settings import Settings
from impasto.inputs.pictures import ScaledInputs
from impasto.losses import build
from impasto.losses.loss import add_statistics
from impasto.losses.objective import Objective, prepare
from impasto.losses.smoothness import TAPS, Grain, TotalVariation, fine_detail, grain_of
from impasto.network.tiles import tiles

OPTIONS = {"pooling": "max", "padding": "zero", "precision": "fp32", "device": "cpu"}
FORMS = ("mean_steps", "mean_length")


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def test_the_filter_halves_at_half_nyquist() -> None:
    at = {
        share: sum(tap * np.cos(np.pi * share * (i - 3)) for i, tap in enumerate(TAPS))
        for share in (0, 0.5, 1)
    }
    assert at == pytest.approx({0: 1, 0.5: 0.5, 1: 0})


def test_fine_detail_against_scipy() -> None:
    x = rand(1, 3, 20, 25)
    kernel = np.outer(TAPS, TAPS)
    for channel, found in zip(x[0].numpy(), fine_detail(x)[0].numpy(), strict=True):
        smooth = scipy.ndimage.correlate(channel, kernel, mode="mirror")
        np.testing.assert_allclose(found, channel - smooth, atol=1e-12)
    assert fine_detail(rand(1, 3, 3, 40)).numel() == 0


def test_only_what_is_finer_than_the_inputs_counts() -> None:
    checks = (torch.arange(32).view(-1, 1) + torch.arange(32)) % 2 * 0.2
    rough = (0.4 + checks).expand(1, 3, 32, 32).double()
    calm = torch.full((1, 3, 32, 32), 0.5, dtype=torch.float64)
    # A chessboard of 0.1 up and down is all above half Nyquist: the fourth root of the mean of H^4 is 0.1.
    assert grain_of([rough]) == pytest.approx((0.1, 0, 0), abs=1e-6)
    assert grain_of([calm, rough]) == pytest.approx((0.1, 0, 0), abs=1e-6)
    for allowed, expected in ((0.1, 0.0), (0.2, 0.0), (0.04, 0.06**2)):
        loss = Grain(1.0, (allowed, 0.0, 0.0), (32, 32))
        found = float(loss.value(loss.measure({"image": rough})))
        assert found == pytest.approx(expected, abs=1e-5)


def test_colored_grain_counts_more_and_less_of_it_is_left() -> None:
    checks = ((torch.arange(32).view(-1, 1) + torch.arange(32)) % 2 * 2 - 1) * 0.1
    # Red up and green down, of the same light: (R - G)/2 is 0.1 + 0.1 * 0.299 / 0.587 = 0.1509 halved.
    image = torch.full((1, 3, 32, 32), 0.5, dtype=torch.float64)
    image[:, 0] += checks
    image[:, 1] -= checks * 0.299 / 0.587
    light, red, blue = grain_of([image])
    assert (light, red, blue) == pytest.approx((0, (0.1 + 0.0509370) / 2, (0.1 - 0.0509370) / 4), abs=1e-6)
    loss = Grain(1.0, (0.0, red, blue), (32, 32))  # six tenths of a painting with the same are left
    found = float(loss.value(loss.measure({"image": image})))
    assert found == pytest.approx(4 * (0.4 * red) ** 2 + 4 * (0.4 * blue) ** 2, rel=1e-3)


def test_few_strong_specks_count_for_more_than_faint_grain_of_the_same_energy() -> None:
    generator = torch.Generator().manual_seed(1)
    faint = torch.randn(1, 1, 64, 64, generator=generator, dtype=torch.float64).expand(1, 3, 64, 64)
    specks = torch.zeros(1, 3, 64, 64, dtype=torch.float64)
    specks[..., 5::16, 5::16] = 1.0
    energy = [float(fine_detail(image).square().mean()) for image in (faint, specks)]
    faint = faint * (energy[1] / energy[0]) ** 0.5
    assert grain_of([specks])[0] > 2 * grain_of([faint])[0]


@pytest.mark.parametrize("edge", [10, 16, 37])
@pytest.mark.parametrize("layers", [[], ["relu3_1"]])
@pytest.mark.parametrize("loss", [
    Grain(1.0, (0.1,) * 3, (75, 98)), *[TotalVariation(1.0, form=form) for form in FORMS],
], ids=["grain", *FORMS])  # fmt: skip
def test_tiles_add_up(edge, layers, loss) -> None:
    x, added = rand(1, 3, 75, 98), None
    for tile in tiles(75, 98, edge, layers, getattr(loss, "reach", 1)):
        found = loss.measure({"image": x[..., tile.rows, tile.columns]}, tile.windows)
        added = found if added is None else add_statistics(added, found)
    for one, other in zip(added, loss.measure({"image": x}), strict=True):
        torch.testing.assert_close(one, other, check_dtype=False)


def test_gradients_are_those_of_finite_differences() -> None:
    x = rand(1, 3, 10, 9).requires_grad_(True)
    for loss in (Grain(1.0, (0.02,) * 3, (10, 9)), *[TotalVariation(1.0, form=form) for form in FORMS]):
        assert torch.autograd.gradcheck(lambda f, t=loss: t.value(t.measure({"image": f})), (x,))


def test_finite_where_nothing_varies_and_nothing_where_nothing_fits() -> None:
    for size in ((16, 16), (3, 30)):
        flat = torch.full((1, 3, *size), 0.5, requires_grad=True)
        for loss in (Grain(1.0, (0.0,) * 3, size), *[TotalVariation(1.0, form=form) for form in FORMS]):
            found = loss.value(loss.measure({"image": flat}))
            assert float(found.detach()) == pytest.approx(0, abs=1e-9)
            if found.requires_grad:  # else nothing of the picture is seen, as it is too small
                (gradient,) = torch.autograd.grad(found, flat)
                assert torch.isfinite(gradient).all()


def test_tiled_equals_whole_and_the_paintings_grain_is_allowed(narrow, random_image) -> None:
    settings = Settings(
        grain=1.0, style_layers="relu1_1", content_weight=0, total_variation=1e5,
        total_variation_form="isotropic",
    )  # fmt: skip
    network = prepare(narrow, **OPTIONS)
    calm = torch.nn.functional.avg_pool2d(random_image(400, 400, 2), 5)
    canvas = random_image(119, 101, 3)
    inputs = ScaledInputs(calm, (calm, canvas), torch.tensor([1.0, 0.0]), None)
    losses = build.build_losses(network, inputs, settings)
    assert [loss.name for loss in losses] == ["style.relu1_1", "total_variation", "grain"]
    assert losses[-1].allowed == pytest.approx(grain_of([calm]))  # a painting of no share says nothing
    shared = build.build_losses(
        network, ScaledInputs(calm, (calm, canvas), torch.tensor([0.9, 0.1]), None), settings
    )
    assert shared[-1].allowed == pytest.approx(grain_of([canvas]))
    inputs = ScaledInputs(random_image(119, 101, 1), (calm,), torch.ones(1), None)
    losses = build.build_losses(network, inputs, settings.changed(style_weight=1e-3))
    whole, tiled = (Objective(network, losses, tile)(canvas) for tile in (None, 24))
    assert tiled.parts == pytest.approx(whole.parts, rel=1e-5)
    assert (tiled.gradient - whole.gradient).norm() < 1e-3 * whole.gradient.norm()
