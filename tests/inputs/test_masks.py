"""Masks as pictures: shapes, greys, alpha, orientation, colours of a segmentation, soft edges."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from impasto.config.settings import Settings
from impasto.config.styles import Mask, Style
from impasto.errors import InputError, SettingsError
from impasto.image.picture import Picture
from impasto.inputs import masks
from impasto.inputs.open import Opener, open_inputs

PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
PAINTING = np.random.default_rng(1).integers(0, 256, (50, 30, 3), dtype=np.uint8)


def left(width=60, height=40, value=255):
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, : width // 2] = value
    return pixels


def opened(mask=None, source=None, photo=PHOTO):
    return open_inputs(photo, Style(PAINTING, mask=mask, source_mask=source), Settings(), None)


def test_white_counts_black_not_and_gray_in_part() -> None:
    pixels = np.array([[0, 51, 255]], np.uint8)
    found = masks.tensor(Opener().mask(pixels), 3, 1)
    assert found.shape == (1, 1, 1, 3)
    assert torch.allclose(found[0, 0, 0], torch.tensor([0.0, 0.2, 1.0]))


def test_alpha_counts_where_there_is_any() -> None:
    pixels = np.full((4, 6, 4), 255, np.uint8)
    pixels[:, :3, 3] = 0
    assert masks.tensor(Opener().mask(pixels), 6, 4)[0, 0, 0].tolist() == [0, 0, 0, 1, 1, 1]
    black = pixels.copy()
    black[..., :3] = 0  # painted black on nothing: what was painted counts
    assert masks.tensor(Opener().mask(black), 6, 4)[0, 0, 0].tolist() == [0, 0, 0, 1, 1, 1]
    opaque = np.dstack([left(6, 4)] * 3 + [np.full((4, 6), 255, np.uint8)])
    assert masks.tensor(Opener().mask(opaque), 6, 4)[0, 0, 0].tolist() == [1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("size", [(60, 40), (600, 400), (31, 21), (30, 20), (3, 2)])
def test_masks_of_another_size_are_fitted(size) -> None:
    inputs = opened(left(*size))
    found = masks.tensor(inputs.uses[0].mask, 60, 40)
    assert found.mean().item() == pytest.approx(0.5, abs=0.2 if size == (3, 2) else 0.03)


@pytest.mark.parametrize("size", [(40, 40), (64, 40), (61, 37)])
def test_masks_of_another_shape_are_refused(size) -> None:
    with pytest.raises(InputError) as caught:
        opened(left(*size))
    said = str(caught.value)
    assert f"({size[0]} x {size[1]} px)" in said
    assert "60 x 40 px" in said
    assert "<array>" in said


def test_source_masks_have_the_paintings_shape() -> None:
    assert opened(source=left(30, 50)).uses[0].source_mask is not None
    with pytest.raises(InputError, match="another shape than the painting"):
        opened(source=left(60, 40))
    with pytest.raises(InputError, match="rest"):
        opened(source="rest")


def test_a_photo_that_its_file_turns_takes_an_upright_mask(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    Image.fromarray(PHOTO).save(tmp_path / "turned.jpg", exif=exif)
    photo = tmp_path / "turned.jpg"
    assert opened(left(40, 60), photo=photo).content.width == 40
    with pytest.raises(InputError, match="turn it"):
        opened(left(60, 40), photo=photo)
    file = io.BytesIO()
    Image.fromarray(left(60, 40)).save(file, "JPEG", exif=exif)  # turned by its own file: fits
    found = masks.tensor(opened(file.getvalue(), photo=photo).uses[0].mask, 40, 60)
    assert found[0, 0, :28].mean() > 0.9 > 0.1 > found[0, 0, 32:].mean()


def test_empty_and_coloured_masks_are_refused() -> None:
    with pytest.raises(InputError, match="black all over"):
        opened(left(value=0))
    with pytest.raises(InputError, match=r"black all over \(its lightest is 1 of 255\)"):
        opened(left(value=1))  # 0 and 1, as programs keep labels
    with pytest.raises(InputError, match="has colors, but a mask is white"):
        opened(PHOTO)
    with pytest.raises(InputError, match=r"nothing of #00ff00; it has #fa0a0a, #0a0afa"):
        opened(Mask(segmentation(), "#0f0"))
    with pytest.raises(InputError, match="what the masks of other styles leave"):
        opened("rest")
    with pytest.raises(InputError, match="give every style a mask"):
        open_inputs(PHOTO, PAINTING, Settings(), None, "rest")


def segmentation():
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :40], pixels[:, 40:] = (250, 10, 10), (10, 10, 250)
    return pixels


def test_the_colours_of_a_segmentation_by_size() -> None:
    assert masks.colors(Picture.of(segmentation())) == ["#fa0a0a", "#0a0afa"]
    with pytest.raises(InputError, match="too many for a segmentation"):
        masks.colors(Picture.of(np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)))


def test_a_photo_is_no_segmentation() -> None:
    """Even one with a flat sky, half of it."""
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    photo[:20] = (80, 130, 190)
    with pytest.raises(InputError, match=r"no segmentation: \d\d % of it are in no flat color"):
        masks.colors(Picture.of(photo))


def test_every_pixel_belongs_to_the_nearest_colour(tmp_path) -> None:
    large = np.kron(segmentation(), np.ones((4, 4, 1), np.uint8))
    Image.fromarray(large).save(tmp_path / "seg.jpg", quality=60)  # neither colour is exact any more
    found = [
        masks.tensor(Opener().mask(Mask(tmp_path / "seg.jpg", color)), 60, 40)
        for color in ("#f00", "#0000FF")
    ]
    assert torch.allclose(found[0] + found[1], torch.ones(1, 1, 40, 60))
    assert found[0][0, 0, 20].round().tolist() == [1.0] * 40 + [0.0] * 20


@pytest.mark.parametrize("color", ["red", "#12", "#gggggg", 3])
def test_what_is_no_colour_is_refused(color) -> None:
    with pytest.raises(SettingsError, match="a color is written as"):
        Mask("seg.png", color)


def test_rest_is_what_the_others_leave() -> None:
    one, other = Opener().mask(left(value=204)), Opener().mask(left())
    found = masks.of_all([one, "rest", None, other], 60, 40)
    assert found[2] is None
    assert torch.allclose(found[1], (1 - found[0] - found[3]).clamp(min=0))
    (alone,) = masks.of_all(["rest", one], 60, 40)[:1]
    assert alone[0, 0, 0, 0].item() == pytest.approx(0.2)


# --- the soft edge of what is protected ----------------------------------------------------------


@pytest.mark.parametrize("feather", [0, 3, 8, 40])
def test_the_edge_falls_outside_the_region_alone(feather) -> None:
    mask = torch.zeros(1, 1, 190, 220)
    mask[..., 80:110, 90:130] = 1
    found = masks.feathered(mask, feather)
    assert (found[mask == 1] == 1).all()
    assert found.min() == 0
    row = found[0, 0, 95]
    reach = int((row[130:] > 0).sum())
    assert reach <= feather + 4
    assert reach >= feather - 4 or feather < 4
    assert (row[130:].diff() <= 1e-6).all()  # falls, and never rises again
    if feather >= 8:
        assert row[130:].diff().abs().max() < 2.5 / feather  # no step


def test_the_edge_at_a_border_and_in_a_tiny_picture() -> None:
    assert (masks.feathered(torch.ones(1, 1, 3, 2), 30) == 1).all()
    half = torch.tensor([[1.0, 0.0]]).view(1, 1, 1, 2)
    assert masks.feathered(half, 30)[0, 0, 0, 0] == 1
