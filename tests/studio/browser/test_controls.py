"""Controls made of the table of settings: range, default, reset, search, looks, the command line."""

import shlex

import pytest
from playwright.sync_api import expect

from impasto.config.settings_file import LOOKS
from studio.browser.visitor import photo
from studio.running import picture

pytestmark = pytest.mark.slow


def test_few_settings_come_first_and_all_others_below_more(visitor) -> None:
    visitor.begin()
    main = visitor(".fields.main .field")
    assert main.evaluate_all("all => all.map(field => field.dataset.name)") == [
        "strength", "color", "size", "stroke", "quality"
    ]  # fmt: skip
    expect(visitor(".more .field").first).to_be_hidden()
    visitor(".more > summary").click()
    schema = visitor.server.get("/api/v1/schema").json()["settings"]["properties"]
    expect(visitor(".more .field")).to_have_count(len(schema) - main.count())


def test_a_setting_says_range_unit_and_default(visitor) -> None:
    visitor.begin()
    visitor(".more > summary").click()
    about = visitor("[data-name=laplacian_pool] .field-about").inner_text()
    assert "1 to 64 px" in about
    assert "default 4" in about
    assert "--laplacian-pool" in about


def test_what_differs_is_marked_and_can_be_reset(visitor) -> None:
    visitor.begin()
    visitor(".more > summary").click()
    visitor.changed(lambda: visitor.set("detail", 0.5))
    field = visitor("[data-name=detail]")
    expect(field).to_contain_class("changed")
    expect(visitor(".count")).to_have_text("1 changed")
    visitor.changed(lambda: field.get_by_role("button", name="Reset detail to 0").click())
    expect(visitor("#f-detail")).to_have_value("0")
    expect(visitor(".field.changed")).to_have_count(0)


def test_a_value_out_of_range_is_refused_at_its_control(visitor) -> None:
    visitor.begin()
    for name, value, part in (
        ("strength", 99, "must be 0.1 to 10"),
        ("size", 10.5, "whole number"),
        ("size", 0, "must be 1 to 30000 px"),
    ):
        visitor.set(name, value)
        wrong = visitor(f"[data-name={name}] .wrong")
        wrong.get_by_text(part).wait_for()
        expect(visitor(".field.changed")).to_have_count(0)


def test_a_refusal_of_the_server_stands_at_the_setting(visitor) -> None:
    visitor.begin()
    visitor(".more > summary").click()
    visitor("#f-weights").fill("nowhere")
    visitor("#f-weights").press("Enter")
    wrong = visitor("[data-name=weights] .wrong")
    wrong.wait_for()
    expect(wrong).to_contain_text("there are none of that name here")


def test_search_finds_settings_by_name_flag_and_meaning(visitor) -> None:
    visitor.begin()
    visitor(".more > summary").click()
    search = visitor(".more input[type=search]")
    for text, name in (
        ("--tolerance", "tolerance"),
        ("white noise", "init_noise"),
        ("smoothness", "total_variation"),
    ):
        search.fill(text)
        expect(visitor(f".more [data-name={name}]")).to_be_visible()
        assert visitor(".more .field:visible").count() < 6
    search.fill("zebra")
    expect(visitor(".more").get_by_text("No setting has this word.")).to_be_visible()


def test_the_search_lies_above_the_button_that_paints(visit) -> None:
    visitor = visit(viewport={"width": 1280, "height": 640})
    visitor.begin()
    visitor(".more > summary").focus()
    visitor.page.keyboard.press("Enter")
    visitor.page.keyboard.press("Tab")
    assert visitor.page.evaluate(
        "(({x, y, width, height}) => document.elementFromPoint(x + width / 2, y + height - 1)"
        " === document.activeElement)(document.activeElement.getBoundingClientRect())"
    )
    assert visitor.page.evaluate("document.activeElement.type") == "search"


def test_the_looks_say_that_they_wait(visitor) -> None:
    visitor.begin()
    line = visitor(".looks-part").get_by_text("Painted when the machine is free")
    visitor.until("document.querySelectorAll('.look.ready img').length === 9")
    line.wait_for(state="hidden")
    visitor.server.paint({**visitor.server.pair(), "kind": "full", "settings": {"stroke": 9}})
    visitor.choose("[data-key=add]", photo())
    line.wait_for()


def test_every_kind_of_control_sets_its_setting(visitor) -> None:
    visitor.begin()
    visitor(".more > summary").click()
    visitor("#f-bounded").uncheck()
    visitor("#f-init").select_option("content")
    visitor("#f-style_layers").fill("relu1_1,relu2_1=0.5")
    visitor("#f-style_layers").press("Enter")
    visitor("[data-name=pooling]").get_by_role("radio", name="average").click()
    visitor.changed(lambda: visitor.set("grain", 2))
    visitor.painted()
    assert visitor.settings() == {
        "bounded": False, "init": "content", "style_layers": {"relu1_1": 1.0, "relu2_1": 0.5},
        "pooling": "average", "grain": 2.0,
    }  # fmt: skip


def test_looks_are_thumbnails_of_this_pair(visitor) -> None:
    visitor.begin()
    looks = visitor(".look")
    expect(looks).to_have_text([look.capitalize() for look in LOOKS])
    visitor.until("document.querySelectorAll('.look.ready img').length === 9")
    visitor.changed(lambda: visitor.button("Bold").click())
    expect(visitor.button("Bold")).to_have_attribute("aria-pressed", "true")
    expect(visitor("#f-style_weight")).to_have_value("400")
    visitor.changed(lambda: visitor.set("size", 300))
    expect(visitor.button("Bold")).to_have_attribute("aria-pressed", "true")
    visitor.changed(lambda: visitor.button("Default").click())
    expect(visitor("#f-style_weight")).to_have_value("100")
    expect(visitor("#f-size")).to_have_value("300")  # a look leaves it


def test_the_strength_stays_beside_a_weight_and_a_look(visitor) -> None:
    visitor.begin()
    expect(visitor("#f-strength")).to_have_value("1")
    visitor.changed(lambda: visitor.set("strength", 2))
    visitor(".more > summary").click()
    visitor.changed(lambda: visitor.set("style_weight", 5000))
    expect(visitor("#f-strength")).to_have_value("2")
    visitor.changed(lambda: visitor.button("Bold").click())
    expect(visitor.button("Bold")).to_have_attribute("aria-pressed", "true")
    expect(visitor("#f-strength")).to_have_value("2")


def test_the_command_line_can_be_copied(visit) -> None:
    """What it paints is tested with the server; here that it is copied as the server wrote it."""
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    visitor.begin()
    visitor.changed(lambda: visitor.set("strength", 2))
    visitor.painted()
    visitor("#side .command-part summary").click()
    visitor.button("Copy command").click()
    visitor("#toasts").get_by_text("The command is copied.").wait_for()
    copied = visitor.page.evaluate("navigator.clipboard.readText()")
    assert shlex.split(copied) == ["impasto", "photo.jpg", "painting-swirl.jpg", "--strength", "2"]


def test_a_picture_to_start_from(visitor) -> None:
    visitor.begin()
    visitor(".more > summary").click()
    visitor("#f-init").select_option("picture")
    place = visitor("[data-name=init] .start")
    place.get_by_text("Nothing is painted without it.").wait_for()
    posted = []
    visitor.page.on("request", lambda r: posted.append(r.url) if r.method == "POST" else None)
    visitor("#controls .go").click()
    assert visitor.page.evaluate("document.activeElement.dataset.key") == "start"
    expect(visitor("#controls .run p")).to_have_text("Choose the picture to start from.")
    assert posted == []
    data = [("begin.png", picture(4), "image/png")]
    visitor.changed(lambda: visitor.drop("[data-name=init] .start", data))
    expect(place.locator(".name")).to_have_text("begin.png")
    place.locator("img").wait_for()
    start = visitor.server.upload(picture(4), "begin.png")
    draft = visitor.server.get("/api/v1/jobs?kind=draft&limit=1").json()["jobs"][0]
    job = visitor.server.job(visitor.painted())
    assert draft["init_picture"] == job["init_picture"] == start
    assert "--init-picture begin.png" in job["command"]
    visitor.page.reload()
    visitor.started()
    visitor.drafted()
    visitor(".more > summary").click()
    expect(place.locator(".name")).to_have_text("begin.png")
    place.get_by_role("button", name="Remove begin.png").click()
    place.get_by_text("Nothing is painted without it.").wait_for()
    visitor(f".card[data-job='{job['id']}'] .card-open").click()
    visitor("[data-key=again]").click()
    place.locator(".name").get_by_text("begin.png").wait_for()
    visitor.changed(lambda: visitor("#f-init").select_option("content"))
    expect(place.locator("*")).to_have_count(0)
