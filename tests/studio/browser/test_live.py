"""Drafts follow the controls and replace themselves without a flash; full runs are never disturbed."""

import re

import pytest
from playwright.sync_api import expect

from studio.browser.visitor import painting
from studio.running import picture

WATCH = """() => {
  window.seen = {empty: 0, pictures: 0, undecoded: 0};
  const frame = document.querySelector('.viewer .pane .frame');
  new MutationObserver(() => {
    const image = frame.querySelector('img.base');
    window.seen.pictures += 1;
    if (!image) window.seen.empty += 1;
    else if (!image.complete || !image.naturalWidth) window.seen.undecoded += 1;
  }).observe(frame, {childList: true});
}"""

WATCH_TITLE = """() => {
  window.titles = [];
  const note = () => {
    const image = document.querySelector('.viewer img.base');
    const what = image ? (/jobs\\/([0-9a-f]+)/.exec(image.src)?.[1] ?? image.alt) : '';
    window.titles.push([document.querySelector('.stage-status').textContent, what]);
  };
  new MutationObserver(note).observe(document.querySelector('#stage'), {childList: true, subtree: true});
}"""

pytestmark = pytest.mark.slow


def test_a_draft_is_refined_and_replaced_without_a_flash(visitor) -> None:
    visitor.begin()
    visitor.page.evaluate(WATCH)
    visitor.changed(lambda: visitor.set("strength", 3))
    seen = visitor.page.evaluate("window.seen")
    assert seen["pictures"] >= 3
    assert seen["empty"] == seen["undecoded"] == 0


def test_moving_a_slider_begins_one_draft_when_it_rests(visitor) -> None:
    visitor.begin()
    posted = []
    visitor.page.on(
        "request", lambda r: posted.append(r) if r.method == "POST" and r.url.endswith("/jobs") else None
    )
    visitor("[data-name=stroke] input[type=range]").focus()

    def move() -> None:
        for _ in range(12):
            visitor.page.keyboard.press("ArrowRight")

    visitor.changed(move)
    assert len(posted) == 1
    assert posted[0].post_data_json["kind"] == "draft"
    assert posted[0].post_data_json["settings"]["stroke"] != 1


def test_drafts_are_small_and_the_full_run_has_the_settings_as_they_are(visitor) -> None:
    visitor.begin()
    visitor.set("size", 600)
    visitor.changed(lambda: visitor.set("stroke", 2))
    draft = visitor.server.get("/api/v1/jobs?kind=draft&limit=1").json()["jobs"][0]
    assert draft["settings"] == {"size": 512, "quality": "instant", "stroke": 2.0}
    visitor.painted()
    assert visitor.settings() == {"size": 600, "stroke": 2.0}


def test_a_slider_does_not_disturb_a_full_run(visitor) -> None:
    visitor.begin()
    visitor.quality("best")
    with visitor.posting("full") as answer:
        visitor("#controls .go").click()
    id = answer.value.json()["id"]
    visitor.changed(lambda: visitor.set("strength", 2))
    assert visitor.server.ended(id)["state"] == "done"
    assert visitor.settings() == {"quality": "best"}
    visitor(".card").first.wait_for()


def test_a_newer_draft_ends_the_one_before(visitor) -> None:
    visitor.begin()
    visitor.slow()
    visitor.changed(lambda: visitor.set("stroke", 2))
    states = [job["state"] for job in visitor.server.get("/api/v1/jobs?kind=draft&limit=2").json()["jobs"]]
    assert states == ["done", "cancelled"]


def test_a_draft_can_be_stopped_and_stays(visitor) -> None:
    visitor.begin()
    visitor.slow()
    visitor.button("Stop the draft and keep it").click()
    visitor.drafted()
    expect(visitor("#stage img.base")).to_be_visible()


def test_progress_says_where_the_run_is_and_how_long_it_takes(visitor) -> None:
    visitor.begin()
    visitor.slow()
    visitor("#controls .go").click()
    text = visitor(".progress-text")
    visitor.until("/Scale 2 of 2/.test(document.querySelector('.progress-text').textContent)")
    said = text.inner_text()
    assert "evaluation" in said
    assert "left" in said
    assert 50 <= int(visitor("[role=progressbar]").get_attribute("aria-valuenow")) <= 100
    visitor("[data-key=again]").wait_for()
    expect(visitor("#curve, .curve")).to_have_attribute("aria-label", re.compile("^Loss, from"))


def test_pause_continue_stop_and_keep_cancel(visitor) -> None:
    visitor.begin()
    visitor.slow()
    visitor("#controls .go").click()
    visitor.button("Pause").click()
    visitor.button("Continue").wait_for()
    expect(visitor(".stage-status")).to_have_text("Paused")
    visitor.button("Continue").click()
    visitor.button("Pause").wait_for()
    visitor.until("/evaluation [3-9]/.test(document.querySelector('.progress-text').textContent)")
    visitor.button("Stop and keep").click()
    visitor("[data-key=download]").wait_for()
    expect(visitor(".stage-status")).to_have_text("Stopped")
    visitor("#controls .go").click()
    with visitor.page.expect_response(lambda a: a.url.endswith("/cancel")) as answer:
        visitor.button("Cancel").click()
    id = answer.value.url.split("/")[-2]
    visitor.until("document.querySelector('.stage-status').textContent !== 'Painting'")
    assert visitor.server.ended(id)["state"] == "cancelled"
    visitor(f".card[data-job='{id}']").wait_for(state="detached")


def test_the_estimate_stands_below_the_button(visitor) -> None:
    visitor.begin()
    visitor("#controls .run p").get_by_text("about 1 s").wait_for()


def test_without_an_estimate_the_size_stays_and_it_is_asked_for_again(visitor) -> None:
    answers = [503]

    def answer(route) -> None:
        if answers:
            route.fulfill(status=answers.pop(), json={"detail": "the machine is busy"})
        else:
            route.continue_()

    visitor.page.route("**/api/v1/estimate", answer)
    visitor.begin()
    line = visitor("#controls .run p")
    line.get_by_text("512 × 341 px · time not known yet").wait_for()
    visitor.until("performance.getEntriesByType('resource').some(item => item.name.endsWith('/estimate'))")
    place = visitor("#controls .go").bounding_box()
    expect(line).to_have_text("512 × 341 px · time not known yet")
    line.get_by_text("about 1 s").wait_for()
    assert visitor("#controls .go").bounding_box() == place


def test_the_page_says_that_a_run_waits_for_a_draft(visitor) -> None:
    visitor.begin()
    with visitor.posting("draft"):
        visitor.set("stroke", 9)
    visitor.drafted(60)
    visitor.quality("best")
    with visitor.posting("full") as answer:
        visitor("#controls .go").click()
    full = answer.value.json()["id"]
    visitor("#queue").get_by_text("Painting, ").wait_for()
    with visitor.posting("draft"):
        visitor.set("strength", 2)
    visitor("#queue").get_by_text("Painting waits for the draft, ").wait_for()
    visitor(f".card[data-job='{full}'] .card-open").click()
    expect(visitor(".stage-status")).to_have_text("Painting waits for the draft")
    expect(visitor(".progress-text")).to_have_text(re.compile("^Waits for the draft · "))
    visitor.button("Pause").click()
    visitor("#queue").get_by_text("Pausing, ").wait_for()
    visitor.page.reload()
    visitor.started()
    visitor(f".card[data-job='{full}'] .card-open").click()
    visitor(".progress-buttons").get_by_text("Pausing").or_(visitor.button("Continue")).first.wait_for()


def test_another_photo_is_shown_until_its_first_draft(visitor) -> None:
    server = visitor.server
    visitor.begin()
    visitor.slow()
    visitor.drafted(60)
    long = {"kind": "draft", "settings": {"stroke": 9, "evaluations": 500}}
    before = server.paint({**server.pair(), **long})["id"]  # the painter is at work until the photo is shown
    visitor.page.evaluate(WATCH_TITLE)
    with visitor.posting("draft") as answer:
        visitor.choose(".setup [data-key=photo]", painting())
    id = answer.value.json()["id"]
    waits = ["Waiting for the first picture of the draft", "Photo"]
    visitor.until(f"window.titles.some(seen => String(seen) === {','.join(waits)!r})")
    server.post(f"/api/v1/jobs/{before}/cancel")
    server.ended(id)
    visitor.drafted(60)
    seen = visitor.page.evaluate("window.titles")
    assert waits in seen
    assert ["Draft, refining", id] in seen
    assert {title for title, what in seen if what == id} <= {"Draft, refining", "Draft"}
    assert {what for title, what in seen if title.startswith("Draft, ")} <= {id, "Photo", ""}


def test_a_run_that_waits_is_shown_with_its_own_photo(visitor) -> None:
    server = visitor.server
    visitor.begin()
    photo, style = server.upload(picture(7), "other.png"), server.upload(picture(8), "style.png")
    inputs = {"photo": photo, "styles": [{"picture": style}], "kind": "full"}
    server.paint({**inputs, "settings": {"stroke": 9, "quality": "best"}})
    waiting = server.paint(inputs)["id"]
    server.post(f"/api/v1/jobs/{waiting}/pause")  # it does not begin, however slow the page is
    visitor(f".card[data-job='{waiting}'] .card-open").click()
    visitor.until(f"document.querySelector('.viewer img.base')?.src.includes('{photo}')", 60)
    expect(visitor(".stage-status")).to_have_text("Paused")


def test_a_closed_tab_ends_its_draft(visit) -> None:
    staying, leaving = visit(), visit()
    staying.begin()
    leaving.begin()
    leaving.set("strength", 5)
    with leaving.posting("draft") as answer:
        pass
    id = answer.value.json()["id"]
    leaving.page.close()
    assert staying.server.ended(id)["state"] in ("cancelled", "done")
