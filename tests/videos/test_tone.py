"""HDR to the range of BT.709: values of the standards, order, hue."""

import numpy as np
import pytest

from impasto.videos.video_file import HLG, PQ, light_of_hlg, light_of_pq, toned


@pytest.mark.parametrize(
    ("value", "light"), [(0.0, 0), (0.508, 100), (0.5807, 203), (0.7518, 1000), (1.0, 10000)]
)
def test_pq_has_the_light_of_the_standard(value, light) -> None:
    """The table of ITU-R BT.2408: 203 cd/m2 are 58 %, 1000 are 75 %."""
    assert float(light_of_pq(np.float32(value))) == pytest.approx(light, rel=0.01, abs=1e-3)


@pytest.mark.parametrize(("value", "light"), [(0.0, 0), (0.75, 203), (1.0, 1000)])
def test_hlg_has_the_light_of_the_standard(value, light) -> None:
    """Graphics white of BT.2408 lies at 75 %, on a display of 1000 cd/m2."""
    found = light_of_hlg(np.full((1, 1, 3), value, np.float32))
    assert found[0, 0].tolist() == pytest.approx([light] * 3, rel=0.01, abs=0.05)


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_brighter_stays_brighter_and_gray_stays_gray(transfer) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)
    image = np.repeat(ramp[None, :, None], 3, -1)
    result = toned(image, transfer)[0].astype(int)
    assert (np.diff(result[:, 1]) >= 0).all()
    assert result[0].max() < 100
    assert np.ptp(result, axis=-1).max() < 400
    assert result[-1].min() > 60000


def test_a_red_light_stays_red() -> None:
    image = np.zeros((1, 1, 3), np.uint16)
    image[..., 0] = 45000
    red, green, blue = toned(image, PQ)[0, 0].astype(int)
    assert red > 30000
    assert green < 0.1 * red
    assert blue < 0.1 * red
