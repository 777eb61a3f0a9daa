"""The last rows and columns look like the inside, whatever the size; with the real network."""

import numpy as np
import pytest

from impasto.cli.samples import sample
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.image.picture import Picture
from impasto.transfer.stylize import stylize

WIDTH = 96  # px


def contrast(pixels: np.ndarray) -> np.ndarray:
    """Return how much neighbors along each row differ, relative to the inside, (H,)."""
    found = np.abs(np.diff(pixels.astype(float), axis=1)).mean((1, 2))
    return found / found[12:-12].mean()


@pytest.mark.slow
@pytest.mark.parametrize("height", [81, 83, 85, 90])
def test_there_is_no_line_of_dots_at_the_border(weights, height) -> None:
    """Where all windows of the pooling count, the last two rows have 1.4 to 1.5."""
    photo = Picture.from_tensor(Picture.open(sample("photo")).tensor(WIDTH, height))
    turned = Picture.from_tensor(photo.tensor().transpose(2, 3).contiguous())
    settings = Settings(size=WIDTH, min_size=WIDTH, evaluations=25)
    runtime = Runtime(device="cpu", precision="fp32")
    for picture, axes in ((photo, (0, 1, 2)), (turned, (1, 0, 2))):
        result = stylize(picture, sample("starry_night"), settings, runtime=runtime, weights=weights)
        rows = contrast(result.picture.array(8).transpose(axes))[-8:]
        assert rows[-2:].mean() < 1.3, rows
        assert rows.min() > 0.5, rows
