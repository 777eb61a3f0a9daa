"""For everybody: keyboard, screen reader, light and dark, narrow, enlarged, without motion."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.slow


COLORS = ("color-contrast", "link-in-text-block")  # the rules of axe that colors matter to


def test_axe_finds_nothing_in_any_state_light_or_dark(visit) -> None:
    """By all rules in light; in dark, where only colors differ, by those about colors."""
    visitor, found = visit(reduced_motion="reduce"), {}

    def look(state: str) -> None:
        for scheme, rules in (("light", ()), ("dark", COLORS)):
            visitor.page.emulate_media(color_scheme=scheme)
            visitor.settled()
            if wrong := visitor.violations(*rules):
                found[state, scheme] = wrong

    look("empty")
    visitor.drop(".zone[data-role=photo]", [("notes.png", b"no picture", "image/png")])
    visitor(".trouble .notice").wait_for()
    look("error")
    visitor.begin()
    look("draft")
    visitor.button("Before and after").click()
    visitor("img-comparison-slider.rendered").wait_for()
    look("slider")
    visitor(".more > summary").click()
    look("more")
    visitor(".more > summary").click()
    visitor.page.keyboard.press("m")
    visitor(".mask-bar").wait_for()
    look("masks")
    visitor.page.keyboard.press("Escape")
    visitor.painted()
    look("history")
    for opens in (
        "[data-key=download]",
        "[aria-label='Paint a grid of settings']",
        "[data-key=erase]",
        "#help",
    ):
        visitor(opens).click()
        look(opens)
        visitor.page.keyboard.press("Escape")
    visitor("[aria-label='Paint a grid of settings']").click()
    visitor.button("Paint the grid").click()
    visitor(".grid-view .cell").first.wait_for()
    look("grid")
    assert found == {}


@pytest.mark.parametrize("width", [390, 640])
def test_axe_finds_nothing_on_narrow_pages_and_nothing_sticks_out(visit, width) -> None:
    """640 px is a window of 1280 at a zoom of 200 %."""
    visitor = visit(viewport={"width": width, "height": 800})
    wide = "document.documentElement.scrollWidth"
    assert visitor.page.evaluate(wide) <= width
    visitor.begin()
    assert visitor.page.evaluate(wide) <= width
    assert visitor.violations() == []
    assert visitor("#stage .viewer").bounding_box()["width"] > 0.9 * width
    visitor("#tabs").get_by_text("History").click()
    expect(visitor("#side")).to_be_visible()
    expect(visitor("#controls")).to_be_hidden()
    visitor("#tabs").get_by_text("Settings").click()
    visitor(".more > summary").click()
    assert visitor.page.evaluate(wide) <= width


@pytest.mark.parametrize("width", [390, 360])
def test_nothing_is_wider_than_a_phone_with_any_tool(visit, width) -> None:
    visitor, found = visit(viewport={"width": width, "height": 800}), {}

    def look(state: str) -> None:
        visitor.settled()
        script = """width => [...document.querySelectorAll('main button, main output, dialog, dialog button')]
            .filter(e => e.checkVisibility() && !e.closest('.region-chips, .looks, .grid-view'))
            .filter(e => e.getBoundingClientRect().right > width + 0.5).map(e => e.outerHTML.slice(0, 80))"""
        wrong = visitor.page.evaluate(script, width)
        page = visitor.page.evaluate("document.documentElement.scrollWidth")
        if page > width or wrong:
            found[state] = page, wrong

    visitor.begin()
    for mode in ("Result", "Before and after", "Side by side", "Photo"):
        visitor.button(mode).click()
        look(mode)
    visitor.page.keyboard.press("l")
    look("loupe")
    visitor.page.keyboard.press("l")
    for opens in ("[data-key^=mask-]", "[data-key=protect]"):
        visitor(opens).first.click()
        visitor(".mask-bar").wait_for()
        look(opens)
        visitor.button("Save mask").click()
        visitor(".mask-bar .notice").wait_for()
        look(f"{opens} with a notice")
        visitor.button("Done").click()
    visitor.painted()
    visitor("#tabs").get_by_text("History").click()
    look("history")
    for opens in ("[data-key=download]", "[aria-label='Paint a grid of settings']", "[data-key=erase]"):
        visitor(opens).click()
        look(opens)
        visitor.page.keyboard.press("Escape")
    assert found == {}


def test_everything_by_keyboard_alone(visitor) -> None:
    """From the empty page to a painted picture, its mask and its download."""
    keyboard = visitor.page.keyboard

    def tab_to(selector: str) -> None:
        for _ in range(150):
            if visitor.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            keyboard.press("Tab")
        raise AssertionError(selector)

    tab_to(".example")
    keyboard.press("Enter")
    visitor.drafted()
    tab_to("#f-strength")
    visitor.changed(lambda: keyboard.insert_text("3") or keyboard.press("Enter"))
    tab_to(".segments [role=radio]")
    visitor.changed(lambda: keyboard.press("ArrowRight"))
    tab_to(".go")
    with visitor.posting("full"):
        keyboard.press("Enter")
    visitor("[data-key=download]").wait_for()
    tab_to("[data-key=download]")
    keyboard.press("Enter")
    with visitor.page.expect_download():
        keyboard.press("Enter")
    keyboard.press("m")
    expect(visitor(".mask-bar")).to_be_visible()
    keyboard.press("Escape")
    expect(visitor(".mask-bar")).to_be_hidden()


def test_what_happens_is_read_aloud(visitor) -> None:
    visitor.begin()
    visitor.painted()
    visitor.until("document.querySelector('#announce').textContent.length > 0")
    expect(visitor("#announce")).to_have_attribute("aria-live", "polite")


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_light_and_dark_follow_the_system_and_can_be_chosen(visit, scheme, dark) -> None:
    visitor = visit(color_scheme=scheme)
    light = "Math.min(...getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).slice(0, 3)) > 128"
    assert visitor.page.evaluate(light) is not dark
    for _ in range(1 if dark else 2):  # from as the system to light, to dark
        visitor("#theme").click()
    assert visitor.page.evaluate(light) is dark
    visitor.page.reload()
    visitor.started()
    assert visitor.page.evaluate(light) is dark


def test_nothing_moves_where_motion_is_reduced(visit) -> None:
    visitor = visit(reduced_motion="reduce")
    visitor.page.keyboard.press("?")
    visitor("dialog").wait_for()
    assert visitor.page.evaluate("document.getAnimations().length") == 0
    moving = """[...document.querySelectorAll('*')].filter(e => getComputedStyle(e).transitionDuration
        .split(', ').some(t => parseFloat(t) > 0)).length"""
    assert visitor.page.evaluate(moving) == 0
