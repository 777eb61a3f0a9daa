"""Masks painted on the photo: exact to the pixel at any zoom and device pixel ratio."""

import io
import sys

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from studio.browser.visitor import Visitor
from studio.running import HERE, picture, running

PNG = "image/png"
SIZE = (90, 120)  # height, width of the photo
NARROW = [sys.executable, str(HERE / "narrow_painter.py")]

pytestmark = pytest.mark.slow


def sent(visitor, id: str) -> np.ndarray:
    """Return a mask as the server has it."""
    answer = visitor.server.get(f"/api/v1/pictures/{id}/image?edge=4096")
    assert answer.headers["content-type"] == PNG
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"))


def begin(visitor, paintings: int = 1, size=SIZE) -> None:
    files = [("photo.png", picture(1, size), PNG)]
    files += [(f"painting-{number}.png", picture(number + 2), PNG) for number in range(paintings)]
    visitor.drop("body", files)
    visitor.drafted()


def editor(visitor, which: str = "") -> None:
    visitor(f"[data-key={which}]" if which else "[data-key^=mask-]").first.click()
    visitor(".mask-bar").wait_for()
    visitor.until(
        "document.querySelector('.viewer .frame').contains(document.querySelector('canvas.overlay'))"
        " && document.querySelector('.viewer .frame img.base')"
    )
    visitor.settled()


def place(visitor, x: float, y: float) -> tuple[float, float]:
    """Return where a point of the photo, in its pixels, is on the screen."""
    box = visitor("canvas.overlay").bounding_box()
    height, width = (int(visitor("canvas.overlay").get_attribute(name)) for name in ("height", "width"))
    return box["x"] + x / width * box["width"], box["y"] + y / height * box["height"]


def stroke(visitor, *points: tuple[float, float]) -> None:
    mouse = visitor.page.mouse
    mouse.move(*place(visitor, *points[0]))
    mouse.down()
    for point in points[1:]:
        mouse.move(*place(visitor, *point), steps=4)
    mouse.up()


def brush(visitor, size: int) -> None:
    """Set the size of the brush by its keys."""
    for _ in range(80):
        now = int(visitor("output").get_by_text(" px").first.inner_text().split()[0])
        if now == size:
            return
        visitor.page.keyboard.press("[" if now > size else "]")
    raise AssertionError(now)


def masks_after(visitor, action) -> list:
    """Do something that sends masks; return those of the draft's paintings and what is protected."""
    with visitor.page.expect_request(lambda r: r.method == "POST" and r.url.endswith("/jobs")) as request:
        action()
    body = request.value.post_data_json
    return [*(style["mask"] for style in body["styles"]), body["protect"]]


@pytest.mark.parametrize("ratio", [1, 2])
def test_a_dot_is_one_pixel_at_any_zoom_and_device_pixel_ratio(visit, ratio) -> None:
    visitor = visit(device_scale_factor=ratio)
    begin(visitor)
    editor(visitor)
    brush(visitor, 1)
    assert visitor("canvas.overlay").evaluate("c => [c.width, c.height]") == [120, 90]
    expected = np.zeros(SIZE, np.uint8)
    for x, y in ((57, 41), (63, 48), (61, 43)):
        mask, protect = masks_after(visitor, lambda x=x, y=y: stroke(visitor, (x + 0.5, y + 0.5)))
        expected[y, x] = 255
        assert protect is None
        np.testing.assert_array_equal(sent(visitor, mask), expected)
        visitor("[aria-label='Picture viewer']").focus()
        visitor.page.keyboard.press("+")
        visitor.page.keyboard.press("+")


@pytest.mark.parametrize("ratio", [1, 2])
def test_a_line_has_the_pixels_within_its_width(visit, ratio) -> None:
    visitor = visit(device_scale_factor=ratio)
    begin(visitor)
    editor(visitor)
    brush(visitor, 9)
    start, end = (20.5, 30.5), (80.5, 30.5)
    mask, _ = masks_after(visitor, lambda: stroke(visitor, start, end))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    distance = np.hypot(x - x.clip(start[0], end[0]), y - start[1])
    found = sent(visitor, mask) == 255
    assert (found[distance < 4.4]).all()  # the mouse stands on whole pixels of the screen
    assert not found[distance > 4.6].any()


def test_eraser_undo_redo_invert_and_clear(visitor) -> None:
    begin(visitor)
    editor(visitor)
    brush(visitor, 9)
    first, _ = masks_after(visitor, lambda: stroke(visitor, (20, 20), (100, 20)))
    visitor.page.keyboard.press("e")
    expect(visitor("[data-tool=eraser]")).to_have_attribute("aria-pressed", "true")
    erased, _ = masks_after(visitor, lambda: stroke(visitor, (60, 10), (60, 30)))
    assert 0 < (sent(visitor, erased) > 0).sum() < (sent(visitor, first) > 0).sum()
    undone, _ = masks_after(visitor, lambda: visitor.page.keyboard.press("Control+z"))
    assert undone == first
    redone, _ = masks_after(visitor, lambda: visitor.page.keyboard.press("Control+Shift+z"))
    assert redone == erased
    inverted, _ = masks_after(visitor, lambda: visitor.page.keyboard.press("i"))
    np.testing.assert_array_equal(sent(visitor, inverted), 255 - sent(visitor, erased))
    nothing, _ = masks_after(visitor, lambda: visitor.button("Clear this mask").click())
    assert nothing is None


def test_each_painting_has_a_color_and_takes_pixels_from_the_others(visitor) -> None:
    begin(visitor, paintings=2)
    editor(visitor)
    chips = visitor(".region-chips [role=radio]")
    colors = visitor(".region-chips .swatch").evaluate_all(
        "all => all.map(s => getComputedStyle(s).backgroundColor)"
    )
    expect(chips).to_have_count(3)
    assert len(set(colors)) == 3
    brush(visitor, 26)
    one, two, _ = masks_after(visitor, lambda: stroke(visitor, (30, 45), (60, 45)))
    np.testing.assert_array_equal(sent(visitor, two), 255 - sent(visitor, one))  # the rest, without a stroke
    chips.nth(1).click()
    one, two, protect = masks_after(visitor, lambda: stroke(visitor, (60, 45), (90, 45)))
    assert ((sent(visitor, one) > 0) & (sent(visitor, two) > 0)).sum() == 0
    assert protect is None
    chips.nth(2).click()
    again, _, protect = masks_after(visitor, lambda: stroke(visitor, (30, 45), (90, 45)))
    assert again == one  # protecting takes nothing away
    assert (sent(visitor, protect) > 0).any()


def shown(visitor) -> np.ndarray:
    """Return how much of each pixel the overlay covers, 0 to 255."""
    script = (
        "c => { const copy = new OffscreenCanvas(c.width, c.height);"
        " const to = copy.getContext('2d', {willReadFrequently: true});"
        " to.drawImage(c, 0, 0); const { data } = to.getImageData(0, 0, c.width, c.height);"
        " return [...data].filter((value, at) => at % 4 === 3); }"
    )
    visitor.page.wait_for_timeout(200)
    size = visitor("canvas.overlay").evaluate("c => [c.height, c.width]")
    return np.asarray(visitor("canvas.overlay").evaluate(script)).reshape(size)


def test_feather_softens_the_edge_as_the_editor_shows_it(visitor) -> None:
    begin(visitor)
    editor(visitor)
    brush(visitor, 26)
    hard, _ = masks_after(visitor, lambda: stroke(visitor, (60, 45)))
    soft, _ = masks_after(visitor, lambda: visitor("[aria-label=Feather]").fill("60"))
    hard, soft = sent(visitor, hard), sent(visitor, soft)
    assert set(np.unique(hard)) == {0, 255}
    assert len(np.unique(soft)) > 20
    assert abs(int(soft.sum()) - int(hard.sum())) < 0.02 * hard.sum()
    np.testing.assert_array_equal(shown(visitor), soft)
    expect(visitor("canvas.overlay")).to_have_css("filter", "none")


@pytest.mark.parametrize("feather", [0, 5, 100])
def test_what_is_protected_is_what_the_editor_shows(visitor, feather) -> None:
    import torch

    from impasto.inputs.masks import feathered

    begin(visitor)
    editor(visitor, "protect")
    expect(visitor("[aria-label=Feather]")).to_have_value("5")  # as the setting's default
    brush(visitor, 26)
    visitor.changed(lambda: stroke(visitor, (20, 4), (100, 60)))
    if feather != 5:
        visitor.changed(lambda: visitor("[aria-label=Feather]").fill(str(feather)))
    visitor("[data-tool=eraser]").click()
    with visitor.posting("draft") as answer:
        stroke(visitor, (60, 0), (60, 30))
    body = answer.value.request.post_data_json
    percent = body["settings"].get("protect_feather", 0.5)
    assert percent == feather / 10
    erased = torch.from_numpy(sent(visitor, body["protect"]) / 255).float()[None, None]
    expected = 255 * feathered(erased, percent / 100 * SIZE[1])[0, 0].numpy()
    assert abs(shown(visitor) - expected).max() <= 1
    assert (len(np.unique(expected.round())) > 20) == (feather == 100)


def test_a_look_leaves_the_feather_and_a_picture_brings_it_back(visitor) -> None:
    begin(visitor)
    editor(visitor, "protect")
    brush(visitor, 26)
    masks_after(visitor, lambda: stroke(visitor, (60, 45)))
    visitor.changed(lambda: visitor("[aria-label=Feather]").fill("80"))
    visitor.button("Done").click()
    visitor.changed(lambda: visitor(".look").nth(1).click())
    id = visitor.painted()
    assert visitor.server.job(id)["settings"]["protect_feather"] == 8
    visitor("#home").click()
    visitor.begin()
    visitor(".card-open").first.click()
    visitor.changed(lambda: visitor("[data-key=again]").click())
    editor(visitor, "protect")
    expect(visitor("[aria-label=Feather]")).to_have_value("80")
    assert len(np.unique(shown(visitor))) > 10


def test_the_result_has_the_soft_edge_of_the_editor(tmp_path, browser) -> None:
    """By the real painting process: where the overlay is half, so is the photo."""
    with running(tmp_path / "data", painter=NARROW, runtime={"threads": 1}) as server:
        server.ready(120)
        visitor = Visitor(browser, server).open()
        begin(visitor)
        editor(visitor, "protect")
        masks_after(visitor, lambda: load(visitor, 120, 90))
        visitor("[aria-label=Feather]").fill("100")
        kept = shown(visitor) / 255
        visitor.button("Done").click()
        visitor.quality("draft")
        result = server.result(visitor.painted()).astype(int)
        visitor.close()
    photo = np.asarray(Image.open(io.BytesIO(picture(1, SIZE)))).astype(int)
    apart = abs(result - photo).max(axis=2)
    soft = (kept > 0) & (kept < 1)
    assert soft.sum() > 90 * 8
    assert (apart <= 255 * (1 - kept) + 2).all()
    assert 0 < apart[soft].mean() < 0.8 * apart[kept == 0].mean()


def mask_file(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    values = np.zeros((height, width), np.uint8)
    values[:, : width // 2] = 255
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def load(visitor, width: int, height: int) -> None:
    file = {"name": "mask.png", "mimeType": PNG, "buffer": mask_file(width, height)}
    visitor.choose("[aria-label='Mask from a file']", file)


def test_a_mask_from_a_file_is_taken_as_it_is(visitor) -> None:
    begin(visitor)
    editor(visitor)
    mask, _ = masks_after(visitor, lambda: load(visitor, 120, 90))
    np.testing.assert_array_equal(sent(visitor, mask), np.asarray(Image.open(io.BytesIO(mask_file(120, 90)))))


def test_a_mask_of_another_size_is_scaled_and_one_of_another_shape_asks(visitor) -> None:
    begin(visitor)
    editor(visitor)
    mask, _ = masks_after(visitor, lambda: load(visitor, 60, 45))
    expect(visitor(".mask-bar .notice")).to_contain_text(
        "mask.png is 60 × 45, the photo 120 × 90. It was scaled."
    )
    assert sent(visitor, mask).shape == SIZE
    load(visitor, 50, 50)
    notice = visitor(".mask-bar .notice.wrong")
    notice.wait_for()
    expect(notice).to_contain_text("Their shapes differ")
    stretched, _ = masks_after(visitor, lambda: visitor.button("Stretch it").click())
    assert sent(visitor, stretched)[:, :59].min() == 255


def test_masks_come_back_with_a_picture_and_can_be_painted_on(visitor) -> None:
    begin(visitor)
    editor(visitor)
    brush(visitor, 26)
    mask, _ = masks_after(visitor, lambda: stroke(visitor, (30, 45)))
    visitor.page.keyboard.press("Escape")
    visitor.painted()
    visitor("#home").click()
    visitor.begin()
    visitor(".card-open").first.click()
    visitor.changed(lambda: visitor("[data-key=again]").click())
    editor(visitor)
    visitor.settled()
    both, _ = masks_after(visitor, lambda: stroke(visitor, (90, 45)))
    before, after = sent(visitor, mask), sent(visitor, both)
    assert (after[before > 0] == 255).all()
    assert after[45, 90] == 255


def test_masks_are_seen_in_the_picture(visitor) -> None:
    """Where the photo is protected, the result is the photo; elsewhere it is painted."""
    begin(visitor)
    editor(visitor, "protect")
    visitor.page.keyboard.press("]")
    masks_after(visitor, lambda: load(visitor, 120, 90))
    visitor.button("Done").click()
    id = visitor.painted()
    result, photo = (
        visitor.server.result(id).astype(int),
        np.asarray(Image.open(io.BytesIO(picture(1, SIZE)))).astype(int),
    )
    apart = abs(result - photo).mean(axis=(0, 2))
    assert apart[:58].max() < 2
    assert apart[62:].min() > 2


def test_a_mask_is_saved_with_the_name_of_the_command_line(visitor) -> None:
    begin(visitor)
    editor(visitor, "protect")
    visitor.button("Save mask").click()
    visitor(".mask-bar .notice").get_by_text("Nothing is painted here yet.").wait_for()
    _, mask = masks_after(visitor, lambda: stroke(visitor, (60, 45)))
    with visitor.page.expect_download() as download:
        visitor.button("Save mask").click()
    name = download.value.suggested_filename
    with Image.open(download.value.path()) as saved:
        np.testing.assert_array_equal(np.asarray(saved.convert("L")), sent(visitor, mask))
    visitor.button("Done").click()
    assert f"--protect {name}" in visitor.server.job(visitor.painted())["command"]


def test_use_again_takes_masks_away_and_brings_them_back(visitor) -> None:
    """Also where photo and painting are the same; the picture says that it has masks."""
    begin(visitor)
    plain = visitor.painted()
    for which, index in (("protect", -1), ("", 0)):
        editor(visitor, which)
        mask = masks_after(visitor, lambda: stroke(visitor, (60, 45)))[index]
        visitor.button("Done").click()
        masked = visitor.painted()
        expect(visitor(".about .chips li")).to_have_text(["protected part" if which else "masks"])
        for id, expected in ((plain, None), (masked, mask)):
            visitor(f".card[data-job='{id}'] .card-open").click()
            assert masks_after(visitor, lambda: visitor("[data-key=again]").click())[index] == expected
            editor(visitor, which)
            assert (shown(visitor) > 0).any() == (expected is not None)
            visitor.button("Done").click()
        visitor(f".card[data-job='{masked}'] .card-open").click()
        visitor("[data-key=again]").click()
        visitor("#toasts").get_by_text("These are the settings already.").first.wait_for()
        visitor(f".card[data-job='{plain}'] .card-open").click()
        visitor.changed(lambda: visitor("[data-key=again]").click())
