"""Which picture of a TIFF is used, and which of its samples."""

import io

import numpy as np
import pytest
import tifffile

from impasto.errors import PictureError
from impasto.image.containers.tiff import directories
from impasto.image.picture import Picture

RNG = np.random.default_rng(6)


def noise(height: int, width: int, bands: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, bands), dtype=np.uint8).squeeze()


def pages(*all_pages: tuple[np.ndarray, dict], **options) -> bytes:
    """A TIFF; a page with `subifds` has the next ones below it."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, **options) as file:
        for array, more in all_pages:
            colors = "rgb" if array.ndim == 3 else "minisblack"
            file.write(array, **({"photometric": colors, "contiguous": False, "metadata": None} | more))
    return buffer.getvalue()


LARGE, SMALL, TINY = noise(120, 160), noise(30, 40), noise(15, 20)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_reduced_page_first(big, order):
    data = pages((SMALL, {"subfiletype": 1}), (LARGE, {}), (TINY, {}), bigtiff=big, byteorder=order)
    picture = Picture.open(data, name="cat.tif")
    assert np.array_equal(picture.array(), LARGE)
    assert picture.notes == ("cat.tif: 3 pages; only number 2, of 160 x 120 pixels, is used",)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("flag", [0, 1])
def test_the_large_picture_in_a_directory_below(big, flag):
    """As cameras and DNG converters write it; without the flag it is larger than the one above it, too."""
    data = pages(
        (SMALL, {"subfiletype": flag, "subifds": 2}), (TINY, {"subfiletype": 1}), (LARGE, {}), bigtiff=big
    )
    picture = Picture.open(data, name="cat.tif")
    assert np.array_equal(picture.array(), LARGE)
    assert picture.notes == (
        "cat.tif: its first picture is a thumbnail; the one of 160 x 120 pixels is used",
    )


def test_smaller_copies_below_or_behind_do_not_count():
    data = pages((LARGE, {"subifds": 1}), (SMALL, {"subfiletype": 1}), (TINY, {"subfiletype": 1}))
    picture = Picture.open(data, name="cat.tif")
    assert np.array_equal(picture.array(), LARGE)
    assert picture.notes == ("cat.tif: 2 pages; only the first is used",)


def test_a_reduced_picture_alone_is_used():
    picture = Picture.open(pages((SMALL, {"subfiletype": 1})))
    assert np.array_equal(picture.array(), SMALL)
    assert picture.notes == ()
    both = pages((TINY, {"subfiletype": 1}), (SMALL, {"subfiletype": 1}))
    assert np.array_equal(Picture.open(both).array(), SMALL)


def test_pages_of_a_document_stay_in_their_order():
    for first, second in ((noise(40, 60), noise(60, 90)), (noise(40, 60), noise(300, 200))):
        picture = Picture.open(pages((first, {}), (second, {})), name="cat.tif")
        assert np.array_equal(picture.array(), first)
        assert picture.notes == ("cat.tif: 2 pages; only the first is used",)


def test_a_tiny_first_page_like_a_large_second_is_a_thumbnail():
    data = pages((TINY, {}), (noise(150, 200), {}))
    assert Picture.open(data).width == 200


def test_a_mask_first_is_not_the_picture():
    mask = noise(240, 320, 1) > 128
    picture = Picture.open(pages((mask[:100, :100], {"subfiletype": 4}), (LARGE, {})))
    assert np.array_equal(picture.array(), LARGE)


def test_the_orientation_of_the_large_picture_counts():
    turned = [(274, 3, 1, 6, True)]
    data = pages((SMALL, {"subfiletype": 1}), (LARGE, {"extratags": turned}))
    assert (Picture.open(data).width, Picture.open(data).height) == (120, 160)
    above = {"subfiletype": 1, "subifds": 1, "extratags": turned}  # cameras state it only there
    assert np.array_equal(Picture.open(pages((SMALL, above), (LARGE, {}))).array(), np.rot90(LARGE, -1))


@pytest.mark.parametrize("space", ["cfa", "linear_raw"])
@pytest.mark.parametrize("below", [False, True])
def test_a_camera_raw_is_refused(space, below):
    mosaic = noise(120, 160, 1) if space == "cfa" else LARGE
    raw = (mosaic, {"photometric": space})
    preview = (SMALL, {"subfiletype": 1, "subifds": 1})
    data = pages(preview, raw) if below else pages(raw)
    with pytest.raises(PictureError, match="is a camera raw, which cannot be read; develop it first") as said:
        Picture.open(data, name="cat.dng")
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    "start",
    [
        *(b"II*\0\x10\0\0\0CR\2\0", b"IIRO\x08\0\0\0", b"MMOR\0\0\0\x08", b"IIU\0\x18\0\0\0"),
        *(b"FUJIFILMCCD-RAW 0201", b"\0MRM\0\1\2\3", b"FOVb\0\0\2\0"),
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    ],
)
def test_other_raws_are_refused_by_name(start):
    body = pages((SMALL, {}))[8:]
    with pytest.raises(PictureError, match="is a camera raw") as said:
        Picture.open(start + body, name="cat.raw")
    assert "develop it first" in str(said.value)


# ---- samples


def tiff(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **({"photometric": "rgb"} | options))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    ("extra", "alpha"),
    [
        (["unspecified"], None),
        (["unspecified", "unspecified"], None),
        (["unassalpha"], 3),
        (["unassalpha", "unspecified"], 3),
        (["unspecified", "unassalpha"], 4),
    ],
)
def test_only_a_stated_alpha_is_alpha(kind, extra, alpha):
    values = noise(20, 30, 3 + len(extra))
    top = {np.uint8: 255, np.uint16: 65535, np.float32: 1}[kind]
    array = (values / 255 * top).astype(kind)
    picture = Picture.open(tiff(array, extrasamples=extra), name="cat.tif")
    assert picture.has_alpha == (alpha is not None)
    got = picture.array(8).astype(int)
    assert np.abs(got[..., :3] - values[..., :3]).max() <= 1
    if alpha is not None:
        assert np.abs(got[..., 3] - values[..., alpha]).max() <= 1
    count = extra.count("unspecified")
    said = f"cat.tif: samples without a stated meaning ({count} of each pixel) are not used"
    assert picture.notes == ((said,) if count else ())


def test_gray_with_samples():
    gray = noise(20, 30, 2)
    stated = Picture.open(tiff(gray, photometric="minisblack", extrasamples=["unassalpha"]))
    assert stated.has_alpha
    unstated = Picture.open(tiff(gray, photometric="minisblack", extrasamples=["unspecified"]))
    assert not unstated.has_alpha
    assert np.array_equal(unstated.array()[..., 0], gray[..., 0])
    assert "(1 of each pixel)" in unstated.notes[0]


@pytest.mark.parametrize("bands", [1, 3])
def test_signed_samples(bands):
    space = "rgb" if bands == 3 else "minisblack"
    values = RNG.integers(-128, 128, (8, 9, bands)).squeeze()
    with pytest.raises(PictureError, match="has signed samples of 8 bits; export it"):
        Picture.open(tiff(values.astype(np.int8), photometric=space))
    for kind in (np.int16, np.int32):
        with pytest.raises(PictureError, match="negative ones of signed samples; export it"):
            Picture.open(tiff((values - 1).astype(kind), photometric=space))
        positive = (values + 200).astype(kind)
        assert np.array_equal(Picture.open(tiff(positive, photometric=space)).array().max(), positive.max())


def test_samples_that_cannot_be_read_are_refused_with_the_reason():
    with pytest.raises(
        PictureError, match="has floating-point samples of 64 bits, which cannot be read; export"
    ):
        Picture.open(tiff(np.full((4, 5, 3), 0.5)))
    packed = bytearray(tiff(noise(8, 12, 1), photometric="minisblack"))
    (page,) = directories(bytes(packed))
    packed[page.entries[258][2]] = 12
    with pytest.raises(PictureError, match="has samples of 12 bits, which cannot be read; export"):
        Picture.open(bytes(packed))


@pytest.mark.parametrize("value", [0, 9, 255])
@pytest.mark.parametrize("kind", [1, 3, 4])
def test_an_orientation_that_there_is_not(value, kind):
    array = noise(8, 12)
    data = bytearray(tiff(array, extratags=[(274, 3, 1, 6, True)], metadata=None))
    (page,) = directories(bytes(data))
    at = page.entries[274][2]
    data[at - 6 : at - 4] = kind.to_bytes(2, "little")
    data[at : at + 4] = value.to_bytes(4, "little")
    picture = Picture.open(bytes(data))
    assert np.array_equal(picture.array(), array)
    assert picture.notes == ()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("thumbnail-first.tif", (300, 200)),
        ("orientation-255.tif", (64, 64)),
        ("rgb-and-two-unspecified.tif", (120, 80)),
    ],
)
def test_files_that_were_wrong(name, size, request):
    file = request.config.rootpath / "../shared/cases" / name
    if not file.is_file():
        pytest.skip(f"{name} is not here")
    picture = Picture.open(file)
    assert (picture.width, picture.height) == size
    assert not picture.has_alpha
