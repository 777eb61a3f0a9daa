"""Total variation, worked out by hand and against NumPy."""

import numpy as np
import pytest
import torch

from impasto.losses.smoothness import TotalVariation, total_variation

FORMS = ("mean_steps", "mean_length")


def evaluated(loss: TotalVariation, image: torch.Tensor) -> float:
    return float(loss.value(loss.measure({"image": image})))


def test_total_variation_by_hand() -> None:
    image = torch.zeros(1, 3, 2, 3)
    image[0, 0] = torch.tensor([[0.0, 1.0, 3.0], [0.0, 0.0, 0.0]])
    # across 1 + 4, down 0 + 1 + 9: 15 over 18 values
    assert float(total_variation(image)) == pytest.approx(15 / 18)
    assert evaluated(TotalVariation(1.0), image) == pytest.approx(15 / 18)
    assert float(total_variation(torch.full((1, 3, 5, 5), 0.3))) == 0.0
    assert float(total_variation(torch.rand(1, 3, 1, 1))) == 0.0


def tv(image: np.ndarray, form: str) -> float:
    across, down = np.zeros_like(image), np.zeros_like(image)
    across[..., :-1] = np.diff(image, axis=-1)
    down[..., :-1, :] = np.diff(image, axis=-2)
    if form == "mean_steps":
        return (np.abs(across) + np.abs(down)).mean()
    faint = 1 / 2550
    return (np.sqrt(across**2 + down**2 + faint**2) - faint).mean()


@pytest.mark.parametrize("form", FORMS)
def test_total_variation_against_numpy(form) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((1, 3, 9, 7), generator=generator, dtype=torch.float64)
    loss = TotalVariation(1.0, form=form)
    found = evaluated(loss, x)
    assert found == pytest.approx(tv(x.numpy(), form), rel=1e-10)
    assert evaluated(loss, torch.full((1, 3, 1, 1), 0.3)) == 0


def test_a_diagonal_edge_costs_the_anisotropic_form_more() -> None:
    rows, columns = torch.arange(80.0).view(-1, 1), torch.arange(80.0)  # edges some pixels wide
    slanted = torch.sigmoid((rows - columns) / 2**0.5 / 3).expand(1, 3, 80, 80).double()
    upright = torch.sigmoid((columns - 40) / 3).expand(1, 3, 80, 80).double()

    def cost(form: str, image: torch.Tensor) -> float:
        return evaluated(TotalVariation(1.0, form=form), image)

    ratios = [cost(form, slanted) / cost(form, upright) for form in FORMS]
    assert ratios[0] / ratios[1] == pytest.approx(2**0.5, rel=0.02)
