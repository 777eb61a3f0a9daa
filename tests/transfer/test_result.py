import base64
import logging
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.image.picture import Picture
from impasto.image.xmp import read_recipe
from impasto.transfer.result import Result
from impasto.transfer.stylize import stylize


@pytest.fixture
def make(tmp_path, monkeypatch, narrow):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save("<photo>.png")
    Image.fromarray(random.integers(0, 256, (50, 40, 3), dtype=np.uint8)).save("painting.png")

    def run(content="<photo>.png", style="painting.png", **options) -> Result:
        settings = Settings(size=48, evaluations=2)
        return stylize(content, style, settings, weights=narrow, runtime=Runtime(threads=1), **options)

    return run


def test_a_notebook_shows_it_escaped(make) -> None:
    page = make()._repr_html_()
    assert "&lt;photo&gt;.png in the style of painting.png: 48 x 36 px, 2 evaluations in " in page
    assert "<photo>" not in page
    (data,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert Picture.open(base64.b64decode(data)).width == 48
    assert make()._repr_png_().startswith(b"\x89PNG")


def test_every_kind_of_input_gives_the_same_picture_and_comes_back(make) -> None:
    pil = Image.open("<photo>.png").convert("RGB")
    array = np.asarray(pil)
    tensor = Picture.open("<photo>.png").tensor()
    first = make()
    for content in (Path("<photo>.png"), Path("<photo>.png").read_bytes(), pil, array):
        assert make(content).recipe.pixels_sha256 == first.recipe.pixels_sha256
    near = make(tensor).picture.tensor() - first.picture.tensor()  # scaled in other units: rounding
    assert near.abs().max() < 1e-5
    assert make(style=[np.asarray(Image.open("painting.png"))]).picture.width == 48
    picture = first.picture
    assert np.array_equal(np.asarray(picture.pil()), picture.array(8))
    assert np.array_equal(np.asarray(Image.open(first.save("out.png"))), picture.array(8))
    assert picture.tensor().shape == (1, 3, 36, 48)


def test_sixteen_bits_stay_sixteen(make) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (48, 64, 3), dtype=np.uint16)
    result = make(deep)
    assert Picture.open(result.save("out.tif")).bits == 16
    assert Picture.open(result.save("out8.tif", bits=8)).bits == 8
    assert Picture.open(make().save("out.png")).bits == 8


def test_steps_have_the_photos_transparency(make) -> None:
    array = np.random.default_rng(1).integers(0, 256, (48, 64, 4), dtype=np.uint8)
    seen = []
    make(array, on_step=lambda step: seen.append(step.picture().has_alpha))
    assert seen == [True, True]


def test_a_recipe_too_long_for_the_file_does_not_cost_the_picture(make, caplog) -> None:
    result = make()
    style = result.recipe.styles[0].changed(name="x" * 250)
    long = result.recipe.changed(styles=[style] * 100)
    result = Result(result.picture, long, result.history, result.seconds, result.stopped)
    with caplog.at_level(logging.WARNING):
        made = result.save("out.png")
    assert "too long" in caplog.text
    assert Picture.open(made).width == 48
    assert result.save_recipe("out.json").exists()
    assert read_recipe("out.json") == long


def test_saving_takes_the_options_of_the_door(make) -> None:
    result = make()
    assert len(result.encode(".jpg", jpeg_quality=20)) < len(result.encode(".jpg", jpeg_quality=95))
    stripped = result.save("out.png", metadata="strip").read_bytes()
    assert b"impasto" not in stripped
    assert b"iCCP" not in stripped
