"""`Stylizer`: the bytes of `stylize`, with what the paintings give kept between the calls."""

import threading

import numpy as np
import pytest

import impasto
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Mask, Style
from impasto.errors import InputError, Stop
from impasto.inputs.pictures import Inputs, ScaledInputs
from impasto.losses import neighbors, style_targets
from impasto.transfer.stylize import Stylizer, stylize

ONE = Runtime(device="cpu", threads=1, precision="fp32")
SMALL = {"size": 48, "min_size": 24, "evaluations": 3}


def picture(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    cells = np.random.default_rng(seed).integers(0, 255, (height // 4, width // 4, 3), np.uint8)
    return np.kron(cells, np.ones((4, 4, 1), np.uint8))


def half(height: int = 60, width: int = 80) -> Mask:
    pixels = np.zeros((height, width), np.uint8)
    pixels[:, : width // 2] = 255
    return Mask(pixels)


PHOTOS = [picture(1), picture(2), picture(3, 80, 60)]
PAINTING, OTHER = picture(10, 72, 64), picture(11)


@pytest.mark.parametrize(
    ("style", "settings"),
    [
        (PAINTING, {}),
        ([PAINTING, OTHER], {"style_statistic": "sliced"}),
        ([PAINTING, OTHER], {"style_statistic": "moments", "stroke": 1.5}),
        (
            [PAINTING, Style(OTHER, 0.5, source_mask=half())],
            {"style_statistic": "neighbours", "min_size": 32},
        ),
        (PAINTING, {"color": "match", "color_amount": 0.7}),
        ([PAINTING, OTHER], {"init": "matched", "init_amount": 0.5}),
        ([PAINTING, OTHER], {"quality": "instant", "size": 160}),
        (PAINTING, {"init": "matched", "size": 280, "min_size": 140}),
        (Style(PAINTING, source_mask=half(72, 64)), {"grain": 1.0, "size": 96, "min_size": 48}),
        (PAINTING, {"strength": 2.0, "pooling": "average"}),
        (PAINTING, {"solver": "adam", "self_similarity": 1.0, "laplacian": 1.0}),
    ],
)
def test_the_bytes_are_those_of_stylize(narrow, style, settings, monkeypatch) -> None:
    monkeypatch.setattr(neighbors, "SMALLEST", 16)
    settings = Settings(**SMALL | settings)
    stylizer = Stylizer(style, settings, runtime=ONE, weights=narrow)
    for photo in PHOTOS:
        warm = stylizer(photo, checkpoint=False)
        cold = stylize(photo, style, settings, runtime=ONE, weights=narrow, checkpoint=False)
        assert warm.recipe.pixels_sha256 == cold.recipe.pixels_sha256
        assert [row.losses for row in warm.history] == [row.losses for row in cold.history]
        assert warm.recipe.settings == cold.recipe.settings


def test_settings_of_a_call_hold_for_that_call(narrow) -> None:
    stylizer = Stylizer(PAINTING, Settings(**SMALL), runtime=ONE, weights=narrow)
    first = stylizer(PHOTOS[0], checkpoint=False)
    for changes in ({"size": 64}, {"style_layers": {"relu2_1": 1.0}}, {"pooling": "average"}):
        settings = Settings(**SMALL | changes)
        warm = stylizer(PHOTOS[0], settings, checkpoint=False)
        cold = stylize(PHOTOS[0], PAINTING, settings, runtime=ONE, weights=narrow, checkpoint=False)
        assert warm.recipe.pixels_sha256 == cold.recipe.pixels_sha256
    again = stylizer(PHOTOS[0], checkpoint=False)
    assert again.recipe.pixels_sha256 == first.recipe.pixels_sha256


@pytest.mark.slow
def test_weights_that_settings_name_hold_for_that_call(weights) -> None:
    kept = {"runtime": ONE, "checkpoint": False}
    named = Settings(**SMALL | {"weights": "normalized"})
    stylizer = Stylizer(PAINTING, Settings(**SMALL), runtime=ONE)
    names = []
    for settings in (Settings(**SMALL), named, named, Settings(**SMALL)):
        warm = stylizer(PHOTOS[0], settings, checkpoint=False)
        cold = stylize(PHOTOS[0], PAINTING, settings, **kept)
        assert warm.recipe.pixels_sha256 == cold.recipe.pixels_sha256
        assert warm.recipe.weights_sha256 == cold.recipe.weights_sha256
        assert warm.recipe.settings.weights is None  # `recipe.weights` says which
        names.append(warm.recipe.weights)
    assert names == ["vgg19-original-8bit", *["vgg19-normalized-8bit"] * 2, "vgg19-original-8bit"]
    explicit = stylize(PHOTOS[0], PAINTING, named, weights=weights, **kept)
    assert explicit.recipe.weights == "vgg19-original-8bit"
    assert (
        stylize(PHOTOS[0], PAINTING, Settings(**SMALL), weights="normalized", **kept).recipe.weights
        == names[1]
    )


def test_a_painting_is_measured_once(narrow, monkeypatch) -> None:
    measured, original = [], style_targets.painting_statistics

    def counting(*arguments):
        measured.append(arguments[2])
        return original(*arguments)

    monkeypatch.setattr(style_targets, "painting_statistics", counting)
    with Stylizer([PAINTING, OTHER], Settings(**SMALL), runtime=ONE, weights=narrow) as stylizer:
        for photo in PHOTOS:
            stylizer(photo, checkpoint=False)
        assert sorted(measured) == [0, 0, 1, 1]  # at two scales
        stylizer.close()
        stylizer(PHOTOS[0], checkpoint=False)
        assert len(measured) == 8


def test_of_the_photos_nothing_is_kept(narrow) -> None:
    stylizer = Stylizer(PAINTING, Settings(**SMALL), runtime=ONE, weights=narrow)
    sizes = []
    for photo in PHOTOS[:2]:
        stylizer(photo, checkpoint=False)
        entries = stylizer._shared._kept
        sizes.append(len(entries))
        parts = [part for key in entries for part in (key if isinstance(key, tuple) else (key,))]
        assert not any(isinstance(part, (Inputs, ScaledInputs)) for part in parts)
    assert sizes[0] == sizes[1]


def test_what_is_kept_is_bounded(narrow) -> None:
    stylizer = Stylizer(PAINTING, Settings(**SMALL), runtime=ONE, weights=narrow, keep=40_000)
    for size in (32, 40, 48, 56):
        stylizer(PHOTOS[0], Settings(**SMALL | {"size": size}), checkpoint=False)
        assert sum(size for _, size in stylizer._shared._kept.values()) <= 40_000


def test_freed_memory_stays_between_small_calls_until_it_is_closed(narrow, monkeypatch) -> None:
    given_back = []
    monkeypatch.setattr("impasto.losses.objective.SETTLING", 0)
    monkeypatch.setattr("impasto.system.hardware.give_back_freed_memory", lambda: given_back.append(1))
    with Stylizer(PAINTING, Settings(**SMALL), runtime=ONE, weights=narrow) as stylizer:
        stylizer(PHOTOS[0], checkpoint=False)
        assert not given_back
        monkeypatch.setattr("impasto.transfer.run.SMALL", 0)  # now none is
        stylizer(PHOTOS[0], checkpoint=False)
        assert len(given_back) == 2  # before the picture is made, and at the end
    assert len(given_back) == 3


def test_a_result_is_not_encoded(narrow, monkeypatch) -> None:
    monkeypatch.setattr("impasto.image.picture.encode", None)
    result = Stylizer(PAINTING, Settings(**SMALL), runtime=ONE, weights=narrow)(PHOTOS[0], checkpoint=False)
    assert result.picture.array().shape == (36, 48, 3)


def test_a_second_caller_waits(narrow) -> None:
    """Two threads at once: one run begins only after the other has ended, and both are right."""
    stylizer = Stylizer(PAINTING, Settings(**SMALL), runtime=ONE, weights=narrow)
    expected = [stylizer(photo, checkpoint=False).recipe.pixels_sha256 for photo in PHOTOS[:2]]
    results, order = {}, []

    def call(number: int) -> None:
        step = lambda step: order.append(number)  # noqa: E731
        results[number] = stylizer(PHOTOS[number], on_step=step, checkpoint=False)

    threads = [threading.Thread(target=call, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[n].recipe.pixels_sha256 for n in (0, 1)] == expected
    assert order in ([0] * 6 + [1] * 6, [1] * 6 + [0] * 6)


def test_options_of_a_call(narrow, tmp_path) -> None:
    stylizer = impasto.Stylizer(PAINTING, Settings(**SMALL), runtime=ONE, weights=narrow)
    path = tmp_path / "checkpoint"

    def stop(step) -> None:
        if step.evaluations == 4:
            raise Stop("interrupted")

    stopped = stylizer(PHOTOS[0], protect=half(), checkpoint=path, on_step=stop)
    assert (stopped.stopped, path.is_file()) == ("interrupted", True)
    settings = Settings(**SMALL, init="picture")
    own = {"init_picture": OTHER, "protect": half(), "checkpoint": False}
    warm = stylizer(PHOTOS[0], settings, **own)
    cold = stylize(PHOTOS[0], PAINTING, settings, runtime=ONE, weights=narrow, **own)
    assert warm.recipe.protect is not None
    assert warm.recipe.pixels_sha256 == cold.recipe.pixels_sha256


def test_paintings_are_opened_when_it_is_made(narrow, tmp_path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        Stylizer(tmp_path / "nowhere.jpg")
    stylizer = Stylizer(PAINTING, Settings(**SMALL), runtime=ONE, weights=narrow)
    with pytest.raises(InputError):
        stylizer(tmp_path / "nowhere.jpg")
    assert stylizer(PHOTOS[0], checkpoint=False).stopped == "evaluations"  # still of use
