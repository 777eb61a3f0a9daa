"""What is set for the whole process while pictures are read and written is set back after each call."""

import io
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import PIL.ImageFile
import pytest
import pyvips
from PIL import Image

from impasto.errors import PictureError
from impasto.image import pixels
from impasto.image.guards import convert_pillow_errors
from impasto.image.picture import Picture
from impasto.system import libvips
from reference.files import pil_bytes

PIXELS = np.random.default_rng(0).integers(0, 256, (60, 80, 4), np.uint8)


@pytest.fixture
def host():
    """A program that uses libvips itself."""
    before = pyvips.cache_get_max()
    pyvips.cache_set_max(77)
    pyvips.Image.black(5, 5).invert().avg()
    yield
    pyvips.cache_set_max(before)


def file(format: str = "PNG") -> bytes:
    return pil_bytes(Image.fromarray(PIXELS), format)


def refused() -> None:
    with pytest.raises(PictureError):
        Picture.open(file()[:200])


def opened(format: str = "PNG") -> Picture:
    return Picture.open(file(format))


CALLS = {
    "open": opened,
    "open a TGA": lambda: opened("TGA"),
    "refuse": refused,
    "an array": lambda: Picture.of(PIXELS),
    "a picture of Pillow": lambda: Picture.of(Image.fromarray(PIXELS)),
    "tensor": lambda: opened().tensor(32, 24),
    "a tensor back": lambda: Picture.from_tensor(opened().tensor(32, 24)),
    "array": lambda: opened().array(16),
    "hash": lambda: opened().pixels_sha256(),
    "strips": lambda: list(opened().strips(40, 30)),
    "encode": lambda: opened().encode(".jpg", recipe="{}"),
    "save": lambda: opened().save(io.BytesIO(), format="tif"),
    "thumbnail": lambda: opened().thumbnail(20),
    "pickle": lambda: opened()._pixels.__reduce__()[0](*opened()._pixels.__reduce__()[1]),
}


def state() -> tuple[object, ...]:
    pillow = PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES
    names = dict(ElementTree._namespace_map)  # type: ignore[attr-defined]
    caches = pyvips.cache_get_max(), pyvips.cache_get_max_mem(), pyvips.cache_get_max_files()
    return caches, pillow, names, list(warnings.filters)


@pytest.mark.parametrize("large", [10**8, 1000])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_leaves_what_is_set_for_the_process(call, large, host, monkeypatch) -> None:
    monkeypatch.setattr(pixels, "LARGE", large)  # the smaller one: each reading opens the file anew
    before = state()
    CALLS[call]()
    assert state() == before
    assert pyvips.cache_get_size() == 0  # nothing of ours stays in its cache


def test_prefixes_of_xml_are_not_registered() -> None:
    known = ElementTree._namespace_map  # type: ignore[attr-defined]
    assert not any("impasto" in space or "adobe" in space for space in known)


def test_between_the_strips_the_program_has_its_own_settings(host) -> None:
    for _ in opened().strips(40, 30):
        assert pyvips.cache_get_max() == 77


def test_the_last_block_sets_back(host) -> None:
    with libvips.used():
        assert pyvips.cache_get_max() == 0
        with pytest.raises(KeyError), libvips.used():
            raise KeyError
        assert pyvips.cache_get_max() == 0
    assert pyvips.cache_get_max() == 77


def test_what_the_program_sets_meanwhile_stays(host) -> None:
    with libvips.used():
        pyvips.cache_set_max(5)
    assert pyvips.cache_get_max() == 5


def test_threads_share_one_block(host) -> None:
    inside, leave = threading.Barrier(3), threading.Barrier(3)

    def use() -> int:
        with libvips.used():
            inside.wait(20)
            leave.wait(20)
            return pyvips.cache_get_max()

    with ThreadPoolExecutor(2) as pool:
        uses = [pool.submit(use) for _ in range(2)]
        inside.wait(20)
        assert pyvips.cache_get_max() == 0
        leave.wait(20)
        uses[0].result()
        uses[1].result()
    assert pyvips.cache_get_max() == 77
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: opened().tensor(20, 15), range(24)))
    assert pyvips.cache_get_max() == 77


def test_filters_of_warnings_come_back_where_threads_overlap() -> None:
    before, started = list(warnings.filters), threading.Event()

    def other() -> None:
        started.set()
        with convert_pillow_errors("b"):
            pass

    thread = threading.Thread(target=other)
    with convert_pillow_errors("a"):
        thread.start()
        started.wait(20)
        thread.join(0.2)  # it waits for the end of this block
        assert thread.is_alive()
    thread.join(20)
    assert warnings.filters == before
