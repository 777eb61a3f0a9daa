"""Where things lie after resizing: as Pillow's Lanczos has them, by the centroid of a soft spot."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from impasto.config.styles import Mask
from impasto.image import decode
from impasto.image.picture import Picture
from impasto.inputs import masks
from impasto.inputs.colors import Recolor

CLOSE = 0.05  # px of the result
WIDTH, HEIGHT = 56, 40
KERNELS = ["linear", "cubic", "mitchell", "lanczos2", "lanczos3"]
FACTORS = [
    (1.1, 1.1),
    (1.5, 1.5),
    (2, 2),
    (3.7, 3.7),
    (8, 8),
    (2, 0.5),
    (0.5, 3),
    (1, 2.3),
    (0.6, 0.6),
    (0.25, 0.25),
]


def spot() -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return np.exp(-((columns - 27.6) ** 2 + (rows - 19.3) ** 2) / 32).astype(np.float32)


def centroid(values) -> np.ndarray:
    values = np.asarray(values, np.float64)
    rows, columns = np.mgrid[: values.shape[0], : values.shape[1]]
    return np.array([(columns * values).sum(), (rows * values).sum()]) / values.sum()


def right(width: int, height: int) -> np.ndarray:
    return centroid(Image.fromarray(spot()).resize((width, height), Image.Resampling.LANCZOS))


def colored() -> Picture:
    return Picture.of(spot()[..., None].repeat(3, axis=2))


def gray() -> Picture:
    return Picture.of(spot())


def transparent() -> Picture:
    return Picture.of(np.dstack([np.zeros((HEIGHT, WIDTH, 3), np.float32), spot()]))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("across", "down"), FACTORS)
def test_a_resized_picture_lies_where_pillow_has_it(across, down, kernel) -> None:
    width, height = round(WIDTH * across), round(HEIGHT * down)
    found = centroid(colored().tensor(width, height, kernel)[0, 0])
    assert np.abs(found - right(width, height)).max() < CLOSE


@pytest.mark.parametrize("size", [(150, 107), (112, 20), (30, 21)])
def test_photo_painting_masks_and_alpha_are_registered(size) -> None:
    found = {
        "photo": colored().tensor(*size)[0, 0],
        "rows of the photo": torch.cat([part for _, part in colored().strips(*size)], dim=2)[0, 0],
        "painting": Recolor().seen(colored(), None, *size)[0, 0],
        "painting in large strokes": Recolor().seen(colored(), None, *size, soft=True)[0, 0],
        "mask": masks.tensor(Mask(gray()), *size)[0, 0],
        "mask by alpha": masks.tensor(Mask(transparent()), *size)[0, 0],
        "alpha": transparent().alpha(*size)[0, 0],
        "over white": 1 - transparent().tensor(*size)[0, 0],
    }
    wrong = {name: centroid(values) - right(*size) for name, values in found.items()}
    assert {name: off for name, off in wrong.items() if np.abs(off).max() >= CLOSE} == {}


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_nearest_repeats_whole_pixels(factor) -> None:
    values = np.random.default_rng(1).random((5, 7, 3), np.float32)
    found = Picture.of(values).tensor(7 * factor, 5 * factor, "nearest")[0].permute(1, 2, 0)
    assert np.array_equal(found, values.repeat(factor, axis=0).repeat(factor, axis=1))


@pytest.mark.parametrize("size", [(200, 170), (300, 40), (96, 200), (31, 160)])
def test_an_even_picture_stays_even_up_to_its_edges(size) -> None:
    even = Picture.of(np.full((64, 96, 3), 255, np.uint8)).tensor(*size)
    assert even.min() == even.max() == 1


@pytest.mark.parametrize("size", [(500, 400), (320, 480), (640, 120), (100, 80)])
def test_a_picture_that_is_unpacked_row_by_row_is_resized_the_same(monkeypatch, size) -> None:
    file = io.BytesIO()
    pixels = np.random.default_rng(2).integers(0, 255, (240, 320, 3), np.uint8)
    Image.fromarray(pixels).save(file, "png")
    whole = Picture.open(file.getvalue())
    monkeypatch.setattr(decode, "is_large", lambda image, size: True)
    by_rows = Picture.open(file.getvalue())
    assert by_rows.nbytes == len(file.getvalue())
    assert torch.equal(by_rows.tensor(*size), whole.tensor(*size))
    assert torch.equal(torch.cat([part for _, part in by_rows.strips(*size)], dim=2), whole.tensor(*size))
