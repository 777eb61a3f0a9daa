"""The estimate: what does not depend on the size is not multiplied by it."""

import pytest

from impasto.cli.samples import sample
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.image.picture import Picture
from impasto.inputs.open import open_inputs
from impasto.transfer import estimate as module

FIXED, EACH = 0.05, 2e-6  # seconds of any evaluation, and a pixel


@pytest.mark.parametrize("statistic", ["wasserstein", "neighbours"])
def test_seconds_of_any_size_and_those_a_pixel(narrow, monkeypatch, statistic) -> None:
    monkeypatch.setattr(
        module, "_seconds", lambda objective, targets: FIXED + EACH * targets.content[0, 0].numel()
    )
    settings = Settings(size=512, min_size=256, evaluations=10, style_statistic=statistic)
    photo, painting = (Picture.open(sample(name)) for name in ("photo", "starry_night"))
    inputs = open_inputs(photo, [painting], settings, None)
    found = module.estimate(inputs, settings, Runtime(threads=1), narrow)
    pixels = [scale.width * scale.height for scale in found.scales]
    counts = [scale.evaluations(settings) + 1 for scale in found.scales]  # and one for the targets
    counts[-1] += 5 if statistic == "neighbours" else 0  # which are looked up at the last scale
    expected = [count * (FIXED + EACH * size) for count, size in zip(counts, pixels, strict=True)]
    assert found.seconds == pytest.approx(sum(expected))
    assert found.per_megapixel == pytest.approx((FIXED + EACH * pixels[-1]) / pixels[-1] * 1e6)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ([(100, 3.0), (400, 6.0)], (2.0, 0.01)),
        ([(100, 3.0), (400, 2.0)], (2.0, 0.0)),  # noise: a larger one was quicker
        ([(100, 0.5), (400, 6.0)], (0.0, 0.015)),  # more than in proportion
        ([(100, 3.0)], (0.0, 0.03)),  # a run no larger than the smallest trial
    ],
)
def test_a_line_through_two_sizes(measured, expected) -> None:
    assert module.line(*measured) == pytest.approx(expected)
