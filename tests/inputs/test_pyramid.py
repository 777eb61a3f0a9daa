import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.config.model import LARGEST_EDGE
from impasto.config.settings import Settings
from impasto.errors import InputError
from impasto.image.pixels import fit
from impasto.inputs.pyramid import PictureShape, Scale, long_edge, scales
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


def drafts(width: int, height: int, **options) -> list[tuple[int, int, int | None]]:
    found = scales([PictureShape("photo", width, height)], Settings(**options), LAYERS)
    return [(scale.width, scale.height, scale.draft) for scale in found]


def test_a_draft_has_scales_and_evaluations_of_its_own() -> None:
    draft = [(128, 96, 3), (256, 192, 12)]
    for changes in ({}, {"size": 4096}, {"min_size": 16}, {"size": 256}):
        assert drafts(1024, 768, quality="instant", **changes) == draft
    fewer = [(128, 96, 2), (256, 192, 2)]
    assert drafts(1024, 768, quality="instant", evaluations=2) == fewer
    assert drafts(1024, 768, quality="instant", size=192) == [(128, 96, 3), (192, 144, 12)]
    assert drafts(1024, 768, quality="instant", size=129) == [(128, 96, 3), (129, 97, 12)]
    assert drafts(100, 75, quality="instant") == [(100, 75, 12)]


def test_a_draft_is_larger_where_a_picture_is_thin() -> None:
    assert drafts(1000, 100, quality="instant", size=1000) == [(256, 26, 12)]
    assert drafts(4000, 100, quality="instant", size=4000) == [(620, 16, 12)]
    with pytest.raises(InputError, match="--size 620"):
        drafts(4000, 100, quality="instant", size=512)


def test_a_run_of_several_scales_in_the_paintings_colors_begins_with_a_draft() -> None:
    draft, rest = [(128, 96, 3)], [(256, 192, None), (512, 384, None)]
    assert drafts(1024, 768) == [(128, 96, None), *rest]  # 128 px are a scale of its own
    assert drafts(1024, 768, min_size=256) == [*draft, *rest]
    assert drafts(1024, 768, min_size=256, init="content") == rest
    assert drafts(1024, 768, min_size=256, evaluations=2)[:2] == [(128, 96, 2), (256, 192, None)]
    for changes, edges in (
        ({"size": 384, "min_size": 192}, [128, 192, 384]),
        ({"size": 512, "min_size": 128}, [128, 256, 512]),
        ({"size": 320, "min_size": 64}, [80, 160, 320]),
        ({"size": 600, "min_size": 300}, [300, 600]),  # begins at more than 256 px
        ({"size": 256, "min_size": 256}, [256]),  # one scale, as is documented
    ):
        found = drafts(1024, 768, init="matched", **changes)
        assert [width for width, _, _ in found] == edges
        assert [count for _, _, count in found] == [
            3 if edges[:2] == [128, 192] else None,
            *[None] * (len(edges) - 1),
        ]


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


def painting(width: int, height: int, stroke: float = 1.0) -> PictureShape:
    return PictureShape("style", width, height, stroke, painting=True)


@pytest.mark.parametrize("edge", [100, 256, 511])
@pytest.mark.parametrize(("width", "height"), [(100, 100), (640, 427), (300, 900), (2000, 500), (7, 28)])
def test_a_painting_up_to_4_to_1_is_fitted_by_its_long_edge(width, height, edge) -> None:
    found = painting(width, height).at(edge)
    assert (found.width, found.height) == fit(width, height, edge)
    found = painting(width, height, 0.7).at(edge)
    assert (found.width, found.height) == fit(width, height, round(0.7 * edge))


def test_a_longer_one_is_as_high_as_one_of_4_to_1_and_at_most_as_large_as_a_square() -> None:
    assert painting(8000, 1000).at(400) == Scale(800, 100)
    assert painting(1000, 16000).at(400) == Scale(100, 1600)
    assert painting(2100, 100).at(336) == Scale(1540, 73)  # as with stroke 4.6
    assert painting(2100, 100, 0.5).at(336) == Scale(770, 37)
    sizes = [painting(width, 1000).at(1000) for width in range(1000, 60000, 250)]
    edges = [size.width for size in sizes]
    assert edges == sorted(edges)
    assert max(after / before for before, after in itertools.pairwise(edges)) < 1.07  # no step
    assert max(size.width * size.height for size in sizes) <= 1.01e6  # rounded to whole pixels
    assert {size.height for size in sizes if 1010 <= size.width <= 3990} <= {249, 250, 251}


def test_a_photo_is_fitted_by_its_long_edge_however_long() -> None:
    assert PictureShape("photo", 2100, 100).at(420) == Scale(420, 20)
    assert sizes(2100, 100, size=420, min_size=420) == [(420, 20)]


@pytest.mark.parametrize(("width", "height"), [(2100, 100), (10000, 100), (90, 1100)])
def test_the_smallest_size_for_a_long_painting_is_true(width, height) -> None:
    pictures = [PictureShape("photo", 100, 100), painting(width, height)]

    def smallest_edge_of(size: int) -> int:
        scales(pictures, Settings(size=size, min_size=size), LAYERS)
        return min(pictures[1].at(size).width, pictures[1].at(size).height)

    try:
        smallest_edge_of(20)
    except InputError as error:
        smallest = int(str(error).rpartition("--size ")[2].rstrip(")"))
        assert smallest_edge_of(smallest) == smallest_edge(LAYERS)
        with pytest.raises(InputError):
            smallest_edge_of(smallest - 1)
    else:
        pytest.fail("it was not refused")


@pytest.mark.parametrize(
    ("size", "said"), [(20, "too thin for any size: crop it"), (512, "30000 px; crop it")]
)
def test_a_painting_too_long_for_any_size_is_to_be_cropped(size, said) -> None:
    with pytest.raises(InputError, match=said):
        scales([PictureShape("photo", 9, 9), painting(30000, 4)], Settings(size=size), LAYERS)
