import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.config.model import LARGEST_EDGE
from impasto.config.settings import Settings
from impasto.errors import InputError
from impasto.image.pixels import fit
from impasto.inputs.pyramid import PictureShape, long_edge, scales
from impasto.network.layers import smallest_edge

LAYERS = ["relu4_2", "relu5_1"]


def sizes(width: int, height: int, **options) -> list[tuple[int, int]]:
    found = scales([PictureShape("photo", width, height)], Settings(**options), LAYERS)
    return [(scale.width, scale.height) for scale in found]


def test_schedule_by_hand() -> None:
    assert sizes(1024, 768, size=512, min_size=128) == [(128, 96), (256, 192), (512, 384)]
    assert sizes(1024, 768, size=512, min_size=512) == [(512, 384)]
    assert sizes(1024, 768, size=200, min_size=256) == [(200, 150)]
    assert sizes(100, 50, size=64, min_size=8) == [(32, 16), (64, 32)]
    assert long_edge(300, 200, Settings()) == 300
    assert long_edge(3000, 200, Settings()) == 512
    assert fit(1, 1000, 100) == (1, 100)


@settings(max_examples=200, deadline=None)
@given(width=st.integers(1, 5000), height=st.integers(1, 5000), size=st.integers(1, 600))
def test_smallest_size_that_works_is_true(width: int, height: int, size: int) -> None:
    try:
        found = sizes(width, height, size=size, min_size=16)
        assert min(min(pair) for pair in found) >= smallest_edge(LAYERS)
        assert found[-1] == fit(width, height, size)
    except InputError as error:
        text = str(error)
        if "too thin" in text:
            assert max(width, height) * 15.5 / min(width, height) > LARGEST_EDGE - 1
            return
        smallest = int(text.rpartition("--size ")[2].rstrip(")"))
        assert smallest > size
        sizes(width, height, size=smallest)
        with pytest.raises(InputError):
            sizes(width, height, size=smallest - 1)
