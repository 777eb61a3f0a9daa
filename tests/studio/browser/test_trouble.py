"""What goes wrong: each state stands where it happened and says what to do."""

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from studio.browser.conftest import PAINTER, SAMPLES
from studio.browser.visitor import Visitor
from studio.running import Server, picture

PNG = "image/png"

pytestmark = pytest.mark.slow


@pytest.fixture
def own(tmp_path: Path, browser: Any):
    """A server that may be killed, and a visitor of it."""
    server = Server(tmp_path / "data", painter=PAINTER, samples=SAMPLES, seconds=0.05)
    server.ready()
    visitor = Visitor(browser, server).open()
    yield server, visitor
    visitor.close()
    server.stop()


def test_the_page_says_when_the_server_is_gone_and_continues_when_it_is_back(own) -> None:
    server, visitor = own
    visitor.begin()
    first = visitor.painted()
    server.kill()
    notice = visitor("#connection .notice")
    notice.wait_for()
    expect(notice).to_contain_text("does not answer")
    expect(notice.get_by_role("button", name="Try now")).to_be_visible()
    visitor.set("strength", 2)
    visitor(".stage-message .notice.wrong").wait_for()
    server.start()
    server.ready()
    visitor("#connection").wait_for(state="hidden")
    visitor.drafted()
    visitor(".stage-message .notice.wrong").wait_for(state="detached")
    expect(visitor(f".card[data-job='{first}'] img")).to_have_count(1)
    assert visitor.painted() != first


def test_a_run_in_the_queue_is_there_after_the_server_was_killed(own) -> None:
    server, visitor = own
    visitor.begin()
    visitor.quality("best")
    visitor("#controls .go").click()
    visitor.until("document.querySelector('.stage-status').textContent === 'Painting'")
    server.kill()
    server.start()
    server.ready()
    visitor("[data-key=again]").wait_for()
    expect(visitor(".card")).to_have_count(1)


def test_a_result_that_is_deleted_while_it_is_shown(visitor) -> None:
    visitor.begin()
    id = visitor.painted()
    visitor.server.delete(f"/api/v1/jobs/{id}")
    visitor(".stage-message").get_by_text("This picture was deleted.").wait_for()
    expect(visitor(f".card[data-job='{id}']")).to_have_count(0)
    visitor.button("Show the draft").click()
    visitor.drafted()


def test_two_tabs_show_the_same_history_and_have_drafts_of_their_own(visit) -> None:
    one, two = visit(), visit()
    one.begin()
    two.begin(1)
    id = one.painted()
    two(f".card[data-job='{id}'] img").wait_for()
    expect(two(".stage-status")).to_have_text("Draft")
    one.changed(lambda: one.set("strength", 2))
    expect(two("#f-strength")).to_have_value("1")
    two(f".card[data-job='{id}'] .card-open").click()
    two("[data-key=erase]").click()
    two("dialog").get_by_role("button", name="Delete").click()
    one(f".card[data-job='{id}']").wait_for(state="detached")


def test_a_painting_of_one_color_is_painted(visitor) -> None:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), (30, 90, 160)).save(buffer, "PNG")
    visitor.drop("body", [("photo.png", picture(1), PNG), ("blue.png", buffer.getvalue(), PNG)])
    visitor.drafted()
    expect(visitor("#stage img.base")).to_be_visible()


def test_a_failed_run_says_why_and_offers_what_would_fit(visitor) -> None:
    visitor.begin()
    visitor(".more > summary").click()
    visitor.set("seed", 11)
    notice = visitor(".stage-message .notice.wrong")
    notice.wait_for()
    expect(notice).to_contain_text("not enough memory")
    expect(notice.get_by_role("button", name="Try again")).to_be_visible()
    notice.get_by_role("button", name="Use 96 px instead").click()
    visitor.until("document.querySelector('#f-size').value === '96'")


def test_a_download_of_a_deleted_result_is_refused_in_its_dialog(visitor) -> None:
    visitor.begin()
    id = visitor.painted()
    visitor("[data-key=download]").click()
    visitor.server.delete(f"/api/v1/jobs/{id}")
    visitor("dialog .primary").click()
    notice = visitor("dialog .notice.wrong")
    notice.wait_for()
    expect(notice).to_contain_text("no job of this id")
    expect(visitor("dialog").get_by_role("button", name="Try again")).to_be_visible()


def test_a_sleeping_laptop_catches_up(visit) -> None:
    """Without a network for a while, as during a sleep; what happened meanwhile is there."""
    visitor = visit()
    visitor.begin()
    visitor.context.set_offline(True)
    id = visitor.server.paint(visitor.server.pair(), kind="full")["id"]
    visitor.server.ended(id)
    time.sleep(0.5)
    visitor.context.set_offline(False)
    visitor(f".card[data-job='{id}']").wait_for()


def test_a_page_without_its_cookie_says_how_to_come_back(visitor) -> None:
    visitor.begin()
    visitor.context.clear_cookies()
    visitor.page.reload()
    notice = visitor("#connection .notice.wrong")
    notice.wait_for()
    expect(notice).to_contain_text("needs its token")
