"""Cut-outs with soft edges: unpainted, a result is the photo on any page; painted, it is the canvas."""

import numpy as np
import pytest
import torch

import impasto
from impasto.image.picture import Picture
from impasto.inputs.color_matching import Palette, recolor

PAGES = (0.0, 0.4, 1.0)


def ramp(top: int) -> np.ndarray:
    """Return colors with every alpha of 8 bits, (48, 256, 4), whole numbers up to `top`."""
    colors = np.random.default_rng(0).integers(0, top + 1, (12, 3))
    colors[:4] = (0, 0, 0), (top, top, top), (top, 0, 0), (0, top, top // 2)
    pixels = np.zeros((48, 256, 4))
    pixels[..., :3] = colors.repeat(4, axis=0)[:, None]
    pixels[..., 3] = np.linspace(0, top, 256).round()
    return pixels.astype(np.uint8 if top == 255 else np.uint16)


def painting() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)


def run(photo, weights, **options):
    evaluations = options.pop("evaluations", 1)
    options = {"init": "content", "grain": 0} | options
    settings = impasto.Settings(size=256, min_size=256, evaluations=evaluations, **options)
    return settings, {"weights": weights, "checkpoint": False, "runtime": impasto.Runtime(threads=1)}


def unpainted(photo, weights, **options) -> impasto.Result:
    settings, rest = run(photo, weights, **options)
    return impasto.stylize(photo, painting(), settings, **rest)


def over(pixels: np.ndarray, page: float) -> np.ndarray:
    """Return RGBA values in [0, 1] laid over an even page."""
    alpha = pixels[..., 3:]
    return pixels[..., :3] * alpha + (1 - alpha) * page


def shares(pixels: np.ndarray) -> np.ndarray:
    return pixels / np.float64(np.iinfo(pixels.dtype).max)


@pytest.mark.parametrize("top", [255, 65535])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".avif"])
def test_unpainted_a_cutout_is_the_photo_on_any_page(narrow, top, suffix) -> None:
    photo = ramp(top)
    result = unpainted(photo, narrow)
    found = Picture.open(result.encode(suffix, jpeg_quality=100))
    assert found.bits == (16 if top == 65535 and suffix != ".avif" else 8)
    for page in PAGES:
        off = 255 * np.abs(over(shares(found.array()), page) - over(shares(photo), page)).max()
        assert off <= (1.5 if suffix == ".avif" else 1.0), page


def test_its_colors_are_the_photos_at_every_alpha(narrow) -> None:
    for top in (255, 65535):
        photo = ramp(top)
        found, seen = unpainted(photo, narrow).picture.array(), photo[..., 3] > 0
        assert np.abs(found[..., :3].astype(int) - photo[..., :3])[seen].max() <= top // 65535 * 2
        assert np.array_equal(found[..., 3], photo[..., 3])


@pytest.mark.parametrize("options", [{}, {"color": "luminance"}, {"init": "picture"}])
def test_start_and_colors_of_the_photo_have_no_white_either(narrow, options) -> None:
    photo = ramp(255)
    settings, rest = run(photo, narrow, **options)
    start = {"init_picture": photo} if options.get("init") else {}
    result = impasto.stylize(photo, painting(), settings, **start, **rest)
    for page in PAGES:
        off = np.abs(over(shares(result.picture.array(8)), page) - over(shares(photo), page)).max()
        assert 255 * off <= 1, page


def test_a_smaller_cutout_is_the_smaller_photo(narrow) -> None:
    soft = np.zeros((96, 512, 4), np.float32)  # premultiplied: what is seen is what is scaled
    rows, columns = np.mgrid[:96, :512]
    soft[..., 3] = 0.9 * np.exp(-((columns - 250) ** 2 + (10 * (rows - 48)) ** 2) / 9000)
    soft[..., 0], soft[..., 2] = 0.8, 0.5 + 0.4 * np.sin(columns / 40)
    result = unpainted(Picture.of(soft), narrow).picture
    visible = np.dstack([soft[..., :3] * soft[..., 3:], soft[..., 3]])
    expected = Picture.of(visible[..., :3].astype(np.float32)).tensor(256, 48)[0].permute(1, 2, 0).numpy()
    assert 255 * np.abs(over(shares(result.array(16)), 0) - expected).max() <= 1


def test_a_painted_cutout_on_white_is_the_canvas_and_jpeg_shows_all_of_it(narrow) -> None:
    photo = ramp(255)
    photo[..., 3] = photo[..., 3].clip(60)
    photo[:, :20, 3] = 0
    canvases: list[torch.Tensor] = []
    settings, rest = run(photo, narrow, evaluations=6, style_weight=1e5)

    def keep(step: impasto.Step) -> None:
        canvases.append(step.kept()._canvas)
        assert step.picture().has_alpha

    result = impasto.stylize(photo, painting(), settings, on_step=keep, **rest)
    canvas = canvases[-1][0].permute(1, 2, 0).numpy()  # the last is the best
    pixels = shares(result.picture.array(16))
    alpha = pixels[..., 3:]
    assert np.abs(canvas - unpainted_on_white(photo)).max() > 0.05
    darkest = np.maximum(canvas, 1 - alpha)  # less light cannot be had at this alpha
    assert np.abs(over(pixels, 1) - darkest)[:, 20:].max() < 0.5 / 255
    shown = shares(Picture.open(result.encode(".jpg", jpeg_quality=100)).array())
    assert 255 * np.abs(shown - canvas).max() <= 5


def unpainted_on_white(photo: np.ndarray) -> np.ndarray:
    return over(shares(photo), 1)


def test_a_transparent_picture_as_jpeg_lies_on_white() -> None:
    photo = np.full((32, 32, 4), 255, np.uint8)
    photo[..., 0], photo[..., 3] = 0, np.linspace(0, 255, 32).round()[None]
    for pixels in (photo, photo.astype(np.uint16) * 257, (photo / 255).astype(np.float32)):
        found = Picture.open(Picture.of(pixels).encode(".jpg", jpeg_quality=100)).array()
        assert np.abs(found - 255 * unpainted_on_white(photo)).max() <= 4


def test_what_a_notebook_shows_of_a_large_cutout_has_no_white_in_it() -> None:
    pixels = np.zeros((8, 2048, 4), np.uint8)
    pixels[..., 3] = np.linspace(0, 255, 2048).round()
    shown = Picture.open(Picture.of(pixels)._repr_png_()).array()
    assert shown.shape == (4, 1024, 4)
    assert shown[:, 8:, :3].max() <= 1


def test_a_cutouts_own_colors_are_matched() -> None:
    alpha = torch.linspace(0.02, 1, 50).expand(1, 1, 20, 50)
    colors = torch.rand((1, 3, 20, 50), generator=torch.Generator().manual_seed(1)) * 0.5 + 0.2
    page = colors * alpha + 1 - alpha
    counts = alpha.flatten().double().numpy()
    mean = (colors[0].flatten(1).double().numpy() * counts).sum(1) / counts.sum()
    np.testing.assert_allclose(Palette.of(page, alpha).mean(), mean, atol=1e-4)
    darker = recolor(page.clone(), lambda values: values / 2, 1.0, alpha)
    torch.testing.assert_close(darker, colors / 2 * alpha + 1 - alpha, atol=1e-5, rtol=0)
