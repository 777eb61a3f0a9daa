"""The enlargement of a draft, against windows gone through one by one, and in cases worked out by hand."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from impasto.image.picture import Picture
from impasto.inputs.enlarge import EPSILON, enlarged, local_gain

MAP = torch.tensor([[0.5, -0.2, 0.1], [0.0, 0.6, 0.2], [0.3, 0.1, -0.4]])
SHIFT = torch.tensor([0.2, 0.1, 0.5])


def moved(image: torch.Tensor) -> torch.Tensor:
    """Return M p + t of each pixel."""
    return torch.einsum("ij,bjhw->bihw", MAP, image) + SHIFT.view(1, 3, 1, 1)


def smaller(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return Picture.from_tensor(image).tensor(width, height)


def by_windows(guide: np.ndarray, image: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """Return the mean gain of each pixel, (9, h, w): He, Sun and Tang, one window after the other."""
    height, width = guide.shape[:2]
    gains = np.zeros((height, width, 3, 3))

    def window(y: int, x: int) -> tuple[slice, slice]:
        return (
            slice(max(0, y - radius), min(height, y + radius + 1)),
            slice(max(0, x - radius), min(width, x + radius + 1)),
        )

    for y in range(height):
        for x in range(width):
            p, q = (part[window(y, x)].reshape(-1, 3) for part in (guide, image))
            own = np.cov(p.T, bias=True) + epsilon * np.eye(3)
            cross = (q - q.mean(0)).T @ (p - p.mean(0)) / len(p)
            gains[y, x] = cross @ np.linalg.inv(own)
    means = [[gains[window(y, x)].reshape(-1, 9).mean(0) for x in range(width)] for y in range(height)]
    return np.array(means).transpose(2, 0, 1)


@pytest.mark.parametrize(("height", "width", "radius"), [(9, 12, 2), (5, 4, 4), (1, 7, 1), (3, 1, 4)])
def test_the_gain_is_that_of_windows_one_by_one(random_image, height, width, radius) -> None:
    guide, image = random_image(height, width, 1), random_image(height, width, 2)
    found = local_gain(guide, image, radius, 0.01)
    assert found.shape == (1, 9, height, width)
    arrays = [part[0].permute(1, 2, 0).double().numpy() for part in (guide, image)]
    np.testing.assert_allclose(found[0].numpy(), by_windows(*arrays, radius, 0.01), atol=1e-5)


def test_one_window_by_hand() -> None:
    """Two pixels, black and white: all variances and covariances of p are 1/4, with q a quarter of q."""
    guide = torch.tensor([0.0, 1.0]).expand(1, 3, 1, 2)
    image = torch.zeros(1, 3, 1, 2)
    image[0, 1] = torch.tensor([0.0, 0.8])
    found = local_gain(guide, image, 1, 0.05)[0, :, 0, 0]
    each = 0.25 * 0.8 / (0.05 + 3 * 0.25)  # (e I + v 1 1^T)^-1 1 = 1 / (e + 3 v)
    np.testing.assert_allclose(found.numpy(), [0, 0, 0, each, each, each, 0, 0, 0], atol=1e-6)


def test_an_affine_map_of_the_photo_comes_out_with_the_edges_of_the_photo(random_image) -> None:
    photo = random_image(96, 128, 3).round()  # full of edges
    small = smaller(photo, 24, 32)
    draft = moved(small)
    found = enlarged(draft, Picture.from_tensor(photo), 128, 96)
    plain = functional.interpolate(draft, (96, 128), mode="bicubic")
    wanted = moved(photo).clamp(0, 1)
    assert (found - wanted).abs().mean() < 0.2 * (plain - wanted).abs().mean()
    gain = local_gain(small, draft, epsilon=1e-9)
    np.testing.assert_allclose(gain[0, :, 9, 9].numpy(), MAP.flatten().numpy(), atol=1e-3)


@pytest.mark.parametrize("size", [(64, 48), (77, 31), (40, 30), (200, 3)])
def test_a_draft_of_one_color_stays_that(random_image, size) -> None:
    photo = Picture.from_tensor(random_image(60, 80, 1))
    color = torch.tensor([0.1, 0.5, 0.9]).view(1, 3, 1, 1)
    found = enlarged(color.expand(1, 3, 3, 4), photo, *size)
    assert found.shape == (1, 3, size[1], size[0])
    np.testing.assert_allclose(found.numpy(), color.expand_as(found).numpy(), atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_from_a_photo_of_one_color_it_is_the_plain_enlargement(random_image, level) -> None:
    photo, draft = Picture.from_tensor(torch.full((1, 3, 96, 128), level)), random_image(24, 32, 4)
    plain = functional.interpolate(draft, (96, 128), mode="bicubic").clamp(0, 1)
    np.testing.assert_allclose(enlarged(draft, photo, 128, 96).numpy(), plain.numpy(), atol=2e-6)


def test_a_gray_photo_has_a_singular_covariance_and_gives_sharp_edges_in_the_drafts_colors() -> None:
    photo = torch.zeros(1, 3, 64, 64)
    photo[..., 33:] = 1.0  # not between two pixels of the draft
    draft = torch.zeros(1, 3, 8, 8)
    draft[:, 0] = smaller(photo, 8, 8)[:, 0]
    draft[:, 2] = 0.5
    found = enlarged(draft, Picture.from_tensor(photo), 64, 64)
    assert torch.isfinite(found).all()
    rise = found[0, 0, 32, 33] - found[0, 0, 32, 32]
    assert rise > 0.8 / (1 + EPSILON)
    np.testing.assert_allclose(found[0, 2].numpy(), 0.5, atol=0.02)


def test_at_its_own_size_it_is_the_canvas_in_the_range_of_a_file(random_image) -> None:
    canvas, photo = random_image(12, 16, 1) * 3 - 1, Picture.from_tensor(random_image(24, 32, 2))
    assert torch.equal(enlarged(canvas, photo, 16, 12), canvas.clamp(0, 1))
    found = enlarged(canvas, photo, 32, 24)
    assert found.min() == 0
    assert found.max() == 1


def test_rows_come_in_strips_without_seams(random_image, monkeypatch) -> None:
    photo, draft = Picture.from_tensor(random_image(90, 70, 1)), random_image(20, 16, 2)
    whole = enlarged(draft, photo, 70, 90)
    monkeypatch.setattr("impasto.image.pixels._STRIP", 7 * 70)
    np.testing.assert_allclose(enlarged(draft, photo, 70, 90).numpy(), whole.numpy(), atol=1e-6)


LARGE = """
import resource, sys, numpy, torch
from impasto.image.picture import Picture
from impasto.inputs.enlarge import enlarged
rows = numpy.arange(3072, dtype=numpy.uint16).astype(numpy.uint8)[:, None, None]
photo = Picture.of(numpy.tile(rows, (1, 4096, 3)))
draft = torch.rand(1, 3, 192, 256)
enlarged(draft, photo, 512, 384)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = enlarged(draft, photo, 4096, 3072)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * (1 if sys.platform == "darwin" else 1024) - result.nbytes)
"""


@pytest.mark.slow
def test_beside_a_result_of_4096_px_it_takes_little_memory() -> None:
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150e6  # the result has 151 MB
