"""Looking closely: before and after, side by side, loupe, zoom and pan to the pixel, the curve."""

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

PNG = "image/png"

pytestmark = pytest.mark.slow


def checks(width: int, height: int) -> bytes:
    """Return a photo in which every pixel is unlike its neighbors and says where it is."""
    y, x = np.mgrid[:height, :width]
    values = np.stack([x % 256, y % 256, 255 * ((x + y) % 2)], 2).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def close(visitor):
    """A large photo, shown alone."""
    visitor.drop("body", [("large.png", checks(3000, 2000), PNG), ("p.png", checks(64, 64), PNG)])
    visitor.drafted()
    visitor.page.keyboard.press("4")
    visitor.settled()
    return visitor


def shown(visitor) -> np.ndarray:
    """Return the pixels of the viewer as they are on the screen."""
    return np.asarray(Image.open(io.BytesIO(visitor(".viewer").screenshot())).convert("RGB")).astype(int)


def test_views_by_key_and_by_button(visitor) -> None:
    visitor.begin()
    for key, mode in (("2", "slider"), ("3", "side"), ("4", "photo"), ("1", "result")):
        visitor.page.keyboard.press(key)
        expect(visitor(".viewer")).to_have_attribute("data-mode", mode)
        expect(visitor(f"[data-mode={mode}][aria-pressed=true]")).to_have_count(1)
    visitor.button("Side by side").click()
    expect(visitor(".viewer .pane")).to_have_count(2)


def test_before_and_after_by_mouse_and_keys(visitor) -> None:
    visitor.begin()
    visitor.button("Before and after").click()
    slider = visitor("img-comparison-slider")
    slider.wait_for()
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    visitor.page.mouse.move(box["x"] + box["width"] / 2, middle)
    visitor.page.mouse.down()
    visitor.page.mouse.move(box["x"] + box["width"] * 0.25, middle, steps=5)
    visitor.page.mouse.up()
    assert slider.evaluate("slider => slider.value") == pytest.approx(25, abs=1)
    expect(slider).to_have_attribute("aria-valuenow", "25")
    visitor.page.keyboard.press("ArrowRight")
    assert slider.evaluate("slider => slider.value") == pytest.approx(27, abs=1)
    visitor.page.keyboard.press("End")
    expect(slider).to_have_attribute("aria-valuenow", "100")


def test_the_slider_divides_photo_and_result(visitor) -> None:
    visitor.begin()
    visitor.page.keyboard.press("1")
    visitor.settled()
    result = shown(visitor)
    visitor.page.keyboard.press("4")
    visitor.settled()
    photo = shown(visitor)
    visitor.page.keyboard.press("2")
    visitor("img-comparison-slider.rendered").wait_for()
    visitor.settled()
    both, half = shown(visitor), result.shape[1] // 2
    left, right = np.s_[50:-50, 50 : half - 40], np.s_[50:-50, half + 40 : -50]
    apart = np.abs(
        photo[left] - result[left]
    ).mean()  # the photo is scaled anew: a pixel of the frame may differ
    assert np.abs(both[left] - photo[left]).mean() < 0.2 * apart
    assert np.abs(both[right] - result[right]).mean() < 0.2 * apart


def test_holding_space_shows_the_photo(visitor) -> None:
    visitor.begin()
    visitor("[aria-label='Picture viewer']").focus()
    visitor.page.keyboard.down(" ")
    expect(visitor(".viewer")).to_have_attribute("data-mode", "photo")
    visitor.page.keyboard.up(" ")
    expect(visitor(".viewer")).to_have_attribute("data-mode", "result")


def test_at_100_percent_the_pixels_of_the_screen_are_those_of_the_photo(close) -> None:
    """The server sends the visible part; it is exact but for the loss of a JPEG."""
    close.page.keyboard.press("Shift+1")
    close("img.detail").wait_for()
    expect(close(".percent")).to_have_text("100 %")
    close.settled()
    seen = shown(close)
    assert seen.shape[1] < 1000
    middle = seen[seen.shape[0] // 2, 20:-20]
    across = middle[:, 0] - np.arange(len(middle))
    assert np.abs((across - across[0] + 128) % 256 - 128)[np.abs(middle[:, 0] - 128) < 100].mean() < 8


def test_close_up_every_pixel_is_a_square(close) -> None:
    close("[aria-label='Picture viewer']").focus()
    close.page.keyboard.press("Shift+1")
    for _ in range(6):
        close.page.keyboard.press("+")
    close("img.detail").wait_for()
    close.settled()
    expect(close(".frame.pixels").first).to_be_attached()
    seen = shown(close)[..., 2]
    row = seen[seen.shape[0] // 2] > 128
    edges = np.flatnonzero(np.diff(row.astype(int)))
    zoom = int(close(".percent").inner_text().split()[0]) / 100
    assert zoom > 8
    assert np.median(np.diff(edges)) == pytest.approx(zoom, abs=1)


def test_zoom_stays_at_the_pointer_and_dragging_moves(close) -> None:
    viewer = close(".viewer")
    box = viewer.bounding_box()
    point = (box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.6)
    where = f"""() => {{ const f = document.querySelector('.viewer .frame').getBoundingClientRect();
        return [({point[0]} - f.left) / f.width, ({point[1]} - f.top) / f.height]; }}"""
    before = close.page.evaluate(where)
    close.page.mouse.move(*point)
    for _ in range(5):
        close.page.mouse.wheel(0, -240)
    assert close.page.evaluate(where) == pytest.approx(before, abs=0.005)
    left = close(".viewer .frame").first.bounding_box()["x"]
    close.page.mouse.down()
    close.page.mouse.move(point[0] - 60, point[1] - 30, steps=4)
    close.page.mouse.up()
    assert close(".viewer .frame").first.bounding_box()["x"] == pytest.approx(left - 60, abs=2)
    close.page.keyboard.press("0")
    expect(close(".percent")).to_have_text("Fit")


def test_the_loupe_shows_100_percent_below_the_pointer(close) -> None:
    close.page.keyboard.press("l")
    close(".viewer").hover(position={"x": 300, "y": 250})
    loupe = close(".loupe")
    loupe.wait_for()
    loupe.locator("img.detail").wait_for()
    frame = loupe.locator(".frame").bounding_box()
    assert frame["width"] == pytest.approx(3000, abs=1)
    close.page.keyboard.press("l")
    expect(loupe).to_be_hidden()


def test_the_curve_of_the_loss(visitor) -> None:
    visitor.begin()
    visitor.painted()
    line = visitor(".curve path").get_attribute("d")  # through some evaluations, with the last
    places = line.strip("M").split("L")
    across, down = zip(*[map(float, place.split()) for place in places], strict=True)
    assert sorted(across) == list(across)
    assert sorted(down) == list(down)  # the losses of the stub fall from 1e4 to 625
    labels = visitor(".curve text:not(.value)").all_text_contents()
    assert {"10", "15", "1000"} <= set(labels)
    visitor(".curve").hover(position={"x": across[-1], "y": 50})
    expect(visitor(".curve .value")).to_have_text("625 at 16")
    visitor(".viewer").hover()
    expect(visitor(".curve .value")).to_be_hidden()
