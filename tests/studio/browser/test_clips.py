"""A clip on the page: dropped, its part chosen, a frame of it as a draft, painted, played and downloaded."""

import io
import re

import av
import pytest
from playwright.sync_api import expect

from studio.running import picture
from videos.clips import panned, write

pytestmark = pytest.mark.slow
MP4 = "video/mp4"
FRAME = "document.querySelector('.thumb[data-key=photo] img').src"


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> bytes:
    """A clip of 15 frames of 128 x 96 px and half a second."""
    stamps = [1001 * number for number in range(15)]
    return write(tmp_path_factory.mktemp("clip") / "a.mp4", panned(15, 128, 96), stamps).read_bytes()


@pytest.fixture
def with_clip(visitor, clip):
    """Somebody who has dropped a clip and a painting."""
    visitor.drop("body", [("harbor walk.mp4", clip, MP4), ("painting.png", picture(2), "image/png")])
    visitor.drafted()
    return visitor


def choose_end(visitor, name: str, seconds: float) -> None:
    visitor(f"#clip-{name}").fill(str(seconds))
    visitor(f"#clip-{name}").press("Enter")


def paint(visitor) -> str:
    with visitor.posting("full") as answer:
        visitor.button("Paint film").click()
    return str(answer.value.json()["id"])


def test_from_a_dropped_clip_to_a_film(with_clip) -> None:
    visitor = with_clip
    expect(visitor(".work .name")).to_have_text(["harbor walk.mp4", "painting.png"])
    expect(visitor(".work-text").first).to_contain_text("128 × 96 · 0.5 s")
    expect(visitor(".clip-range")).to_contain_text("15 frames, 0.5 s")
    expect(visitor("#stage img.base")).to_be_visible()  # the draft of the first frame
    before = visitor.page.evaluate(FRAME)
    visitor.changed(lambda: choose_end(visitor, "from", 0.2))
    assert visitor.page.evaluate(FRAME) != before
    choose_end(visitor, "to", 0.4)
    expect(visitor(".clip-range")).to_contain_text("6 frames, 0.2 s")
    visitor.until(
        "document.querySelector('.run p').textContent.includes('5 frames')"
    )  # as the stub estimates
    id = paint(visitor)
    done = visitor.server.ended(id)
    assert (done["film"]["from"], done["film"]["to"], done["film"]["name"]) == (0.2, 0.4, "harbor walk.mp4")
    visitor("video.film").wait_for()
    visitor.until("document.querySelector('video.film').readyState >= 2")
    assert visitor.page.evaluate("document.querySelector('video.film').play().then(() => true)")
    visitor.until("document.querySelector('video.film').currentTime > 0")
    expect(visitor("#side input.title")).to_have_value("harbor walk after painting")
    expect(visitor(".about")).to_contain_text("5 frames, 1 s")
    expect(visitor(".command")).to_have_text(
        "impasto video 'harbor walk.mp4' painting.png --from 0.2 --to 0.4"
    )
    card = visitor(f".card[data-job='{id}']")
    expect(card.locator(".film-mark")).to_be_visible()
    assert (
        card.locator(".card-open").get_attribute("aria-label").startswith("Film: harbor walk after painting")
    )
    with visitor.page.expect_download() as download:
        visitor("[data-key=download]").click()
    assert download.value.suggested_filename == "harbor walk-painting.mp4"
    with av.open(io.BytesIO(download.value.path().read_bytes())) as container:
        assert len(list(container.decode(video=0))) == 5


def test_the_photo_stands_beside_the_first_frame(with_clip) -> None:
    visitor = with_clip
    visitor.server.ended(paint(visitor))
    visitor("video.film").wait_for()
    for key in ("2", "3", "4"):
        visitor.page.keyboard.press(key)
        expect(visitor("video.film")).to_have_count(0)
        visitor("img.base").first.wait_for()
    visitor.page.keyboard.press("1")
    visitor("video.film").wait_for()
    visitor("[data-key=erase]").click()
    expect(visitor("dialog")).to_contain_text("Delete this film?")


def test_it_survives_a_reload_and_can_be_used_again(with_clip) -> None:
    visitor = with_clip
    visitor.changed(lambda: choose_end(visitor, "from", 0.3))
    visitor.page.reload()
    visitor.started()
    visitor.drafted()
    expect(visitor("#clip-from")).to_have_value("0.3")
    id = paint(visitor)
    visitor.server.ended(id)
    visitor("#home").click()
    visitor.begin()
    expect(visitor("#clip-from")).to_have_count(0)
    expect(visitor.button("Paint at full size")).to_be_visible()
    visitor(f".card[data-job='{id}'] .card-open").click()
    visitor.changed(lambda: visitor("[data-key=again]").click())
    expect(visitor("#clip-from")).to_have_value("0.3")
    expect(visitor(".work .name")).to_have_text(["harbor walk.mp4", "painting.png"])
    visitor.drop(".work", [("photo.png", picture(1), "image/png")])  # a photo in its place
    visitor.button("Paint at full size").wait_for()
    expect(visitor("#clip-from")).to_have_count(0)


def test_a_film_is_paused_continued_and_stopped(with_clip) -> None:
    visitor = with_clip
    visitor(".more > summary").click()
    visitor.set("evaluations", 150)
    visitor.drafted()
    id = paint(visitor)
    visitor.until("/^Frame [2-5] of 5/.test(document.querySelector('.progress-text').textContent)")
    visitor.button("Pause").click()
    visitor.button("Continue").click()
    visitor.until("/^Frame [3-5] of 5/.test(document.querySelector('.progress-text').textContent)")
    visitor.button("Stop and keep").click()
    stopped = visitor.server.ended(id)
    assert (stopped["state"], stopped["result"]["film"]["frames"] < 5) == ("stopped", True)
    visitor("video.film").wait_for()


def test_a_long_film_asks_first(with_clip) -> None:
    visitor = with_clip
    visitor("#clip-steadiness").focus()
    visitor.page.keyboard.press("End")  # the stub takes long then
    visitor.until("document.querySelector('.run p').textContent.includes('83 min')")
    visitor.button("Paint film").click()
    expect(visitor("dialog")).to_contain_text("5 frames take about 83 min")
    visitor("dialog").get_by_role("button", name="Not yet").click()
    assert visitor.server.get("/api/v1/jobs?kind=full").json()["jobs"] == []
    visitor.button("Paint film").click()
    with visitor.posting("full") as answer:
        visitor("dialog .primary").click()
    assert visitor.server.ended(answer.value.json()["id"])["film"]["steadiness"] == 1


def test_what_cannot_be_read_is_said_where_it_was_dropped(visitor, clip) -> None:
    visitor.drop(".zone[data-role=photo]", [("broken.mp4", clip[:700], MP4)])
    said = "broken.mp4 is no video, or its index is missing because it was cut off; copy it again"
    visitor(".trouble .notice").get_by_text(said).wait_for()
    visitor.drop(".zone[data-role=photo]", [("still.gif", picture(1, kind="GIF"), "image/gif")])
    visitor("#welcome h2").get_by_text("Now a painting").wait_for()  # a picture after all
    expect(visitor(".trouble .notice")).to_have_count(0)


def test_without_the_packages_the_page_says_how_to_install_them(visitor, clip) -> None:
    text = 'films need PyAV and OpenCV: pip install "impasto[video]"'
    visitor.page.route(
        "**/api/v1/about", lambda route: route.fulfill(json={**route.fetch().json(), "films": text})
    )
    visitor.page.reload()
    visitor.started()
    visitor.drop("body", [("a.mp4", clip, MP4)])
    visitor(".trouble .notice").get_by_text(text).wait_for()


def test_axe_finds_nothing_light_dark_or_narrow(visit, clip) -> None:
    visitor, found = visit(reduced_motion="reduce", viewport={"width": 390, "height": 844}), {}
    visitor.drop("body", [("a clip.mp4", clip, MP4), ("painting.png", picture(2), "image/png")])
    visitor.drafted()

    def look(state: str) -> None:
        for scheme, rules in (("light", ()), ("dark", ("color-contrast",))):
            visitor.page.emulate_media(color_scheme=scheme)
            visitor.settled()
            if wrong := visitor.violations(*rules):
                found[state, scheme] = wrong
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 390

    look("range")
    visitor.server.ended(paint(visitor))
    visitor("video.film").wait_for()
    look("film")
    visitor("#tabs").get_by_text("History").click()
    look("history")
    assert found == {}


def test_the_range_is_chosen_by_keys(with_clip) -> None:
    visitor = with_clip
    thumb = visitor("[data-key=clip-from-slider]")
    thumb.focus()
    visitor.changed(lambda: visitor.page.keyboard.press("PageUp"))
    first = float(visitor("#clip-from").input_value())
    assert first > 0
    expect(thumb).to_have_attribute("aria-valuetext", re.compile(" s$"))
    visitor("[data-key=clip-to-slider]").focus()
    visitor.page.keyboard.press("Home")  # not before the beginning
    assert float(visitor("#clip-to").input_value()) > first
    expect(visitor(".clip-range")).not_to_contain_text("1 frames")
