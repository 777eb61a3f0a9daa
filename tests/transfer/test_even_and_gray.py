"""Runs on even and on gray pictures: noise where the start is even, gray results of gray pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from impasto import Output, Picture, Runtime, Settings, Stop, reproduce, stylize
from impasto.inputs import canvas
from impasto.transfer.result import Step

CPU = Runtime(device="cpu", threads=1, precision="fp32")
SMALL = Settings(size=48, min_size=48, evaluations=4, style_weight=1e4, init="content")


def colors(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def gray(seed: int) -> np.ndarray:
    return colors(seed)[..., :1].repeat(3, axis=2)


def logo() -> np.ndarray:
    """Return a blue spot on white: most of it is even."""
    picture = np.full((48, 64, 3), 255, np.uint8)
    picture[16:32, 40:56] = colors(1)[:16, :16]
    return picture


def starts(photo, weights, settings, **options) -> list[torch.Tensor]:
    """Return the canvases that the scales begin with."""
    found: list[torch.Tensor] = []

    def keep(step: Step) -> None:
        if step.iteration == 1:
            found.append(step.kept()._canvas)

    stylize(
        photo, colors(2), settings, weights=weights, runtime=CPU, on_step=keep, checkpoint=False, **options
    )
    return found


def test_a_logo_begins_with_faint_noise_on_its_white_and_is_reproduced(narrow, tmp_path, monkeypatch) -> None:
    photo = Picture.of(logo()).tensor(48, 36)
    (start,) = starts(logo(), narrow, SMALL)
    noise = (start - photo).abs()
    assert noise[..., :8].max() > 0.3 / 255
    assert noise.max() < 0.5 / 255  # a file of 8 bits is the same
    assert noise[..., 14:22, 32:40].max() == 0
    (other,) = starts(logo(), narrow, SMALL.changed(seed=1))
    assert not torch.equal(start, other)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(logo()).save("logo.png")
    Image.fromarray(colors(2)).save("style.png")
    settings = SMALL.changed(seed=7, min_size=24)
    first = stylize("logo.png", "style.png", settings, weights=narrow, runtime=CPU, checkpoint=False)
    first.save("out.png")
    again = reproduce("out.png", weights=narrow)
    assert again.recipe.pixels_sha256 == first.recipe.pixels_sha256


def test_no_scale_of_an_even_picture_begins_even(narrow) -> None:
    settings = SMALL.changed(size=96, evaluations=1, style_weight=0)
    coarse, fine = starts(logo().repeat(2, axis=0).repeat(2, axis=1), narrow, settings)
    assert coarse[..., :12].std(dim=(2, 3)).min() > 0.05 / 255
    assert fine[..., :24].std(dim=(2, 3)).min() > 0.05 / 255


@pytest.mark.parametrize("name", ["paper", "jcjohnson", "gatys", "keras", "pastiche", "crowsonkb"])
def test_the_published_methods_begin_as_published(narrow, name) -> None:
    changes = {"size": 48, "min_size": 48, "evaluations": 1}
    settings = Settings.preset(name, **changes, init="content", init_noise=0.0)
    (start,) = starts(logo(), narrow, settings)
    assert torch.equal(start, Picture.of(logo()).tensor(48, 36))
    plain = gray(3)
    found = stylize(
        plain, gray(4), settings.changed(evaluations=3), weights=narrow, runtime=CPU, checkpoint=False
    )
    assert np.ptp(found.picture.array(16), axis=2).max() > 0


def test_a_picture_without_even_areas_begins_as_it_is(narrow) -> None:
    (start,) = starts(colors(1), narrow, SMALL)
    assert torch.equal(start, Picture.of(colors(1)).tensor(48, 36))


def is_gray(picture: Picture) -> bool:
    pixels = picture.array(16)[..., :3].astype(int)
    return bool((np.ptp(pixels, axis=2) == 0).all())


CHANGES = [
    {}, {"init": "noise"}, {"init": "gray"}, {"init_noise": 0.3}, {"solver": "adam"}, {"solver": "scipy"},
    {"color": "luminance"}, {"color": "match"}, {"min_size": 24}, {"bounded": False}, {"strength": 2.0},
]  # fmt: skip


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_gray_pictures_give_a_gray_one_and_gray_previews(narrow, changes) -> None:
    steps: list[bool] = []
    settings = SMALL.changed(**changes)
    found = stylize(
        gray(1), gray(2), settings, weights=narrow, runtime=CPU, checkpoint=False,
        on_step=lambda step: steps.append(is_gray(step.picture())),
    )  # fmt: skip
    assert is_gray(found.picture)
    assert all(steps)
    assert len(steps) >= 3
    start = Picture.of(gray(1)).tensor(48, 36)
    assert (found.picture.tensor() - start).abs().max() > 1e-4  # painted


@pytest.mark.parametrize("kind", ["one channel", "16 bits", "alpha", "hidden colors", "float"])
def test_every_kind_of_gray_picture(narrow, kind) -> None:
    photo, painting = gray(1), gray(2)
    if kind == "one channel":
        photo, painting = photo[..., 0], painting[..., 0]
    elif kind == "16 bits":
        photo = photo.astype(np.uint16) * 257
        photo[3, 4, 0] ^= 30  # no color at 8 bits
    elif kind == "float":
        photo = (photo / 255).astype(np.float32)
    else:
        alpha = np.linspace(0, 255, 64).round().astype(np.uint8)[None].repeat(48, axis=0)
        photo = np.dstack([photo, alpha])
        if kind == "hidden colors":
            photo[:, 0, 0] = 255
    found = stylize(photo, painting, SMALL, weights=narrow, runtime=CPU, checkpoint=False)
    assert is_gray(found.picture)
    for suffix in (".png", ".tif", ".jpg"):
        assert is_gray(Picture.open(found.encode(suffix))), suffix
    assert is_gray(Picture.open(found.encode(".png", Output(bits=16))))


@pytest.mark.parametrize("which", ["photo", "painting", "second painting", "start"])
def test_with_any_color_in_the_inputs_the_result_has_colors(narrow, which) -> None:
    photo = colors(1) if which == "photo" else gray(1)
    painting = colors(2) if which == "painting" else gray(2)
    second = colors(3) if which == "second painting" else gray(3)
    start = {"init_picture": colors(4)} if which == "start" else {}
    settings = SMALL.changed(init="picture") if start else SMALL
    found = stylize(
        photo, [painting, second], settings, weights=narrow, runtime=CPU, checkpoint=False, **start
    )  # fmt: skip
    assert not is_gray(found.picture)


def test_a_gray_run_is_reproduced_even_if_it_was_stopped(narrow, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(gray(1)[..., 0]).save("photo.png")
    Image.fromarray(gray(2)[..., 0]).save("style.png")

    def stop(step: Step) -> None:
        if step.evaluations == 6:
            raise Stop("interrupted")

    first = stylize(
        "photo.png", "style.png", SMALL.changed(min_size=24), weights=narrow, runtime=CPU, checkpoint=False,
        on_step=stop,
    )  # fmt: skip
    first.save("out.png")
    again = reproduce("out.png", weights=narrow)
    assert again.recipe.pixels_sha256 == first.recipe.pixels_sha256
    assert is_gray(again.picture)


def repetition(picture: Picture) -> float:
    """Return how alike the middle of a picture and the same 16 px below are; 1: exactly."""
    values = picture.array(16)[..., :3].astype(float)
    one, other = (part - part.mean((0, 1)) for part in (values[64:112, 64:112], values[80:128, 64:112]))
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def test_an_even_picture_is_painted_without_a_lattice(narrow, monkeypatch) -> None:
    plain = np.full((192, 192, 3), (200, 140, 90), np.uint8)
    plain[:8, :8] = 0
    settings = SMALL.changed(size=192, min_size=192)

    def painted() -> Picture:
        return stylize(plain, colors(2), settings, weights=narrow, runtime=CPU, checkpoint=False).picture

    assert repetition(painted()) < 0.5
    monkeypatch.setattr(canvas, "LEVEL", 0.0)
    assert repetition(painted()) > 0.9  # the cells of four poolings
