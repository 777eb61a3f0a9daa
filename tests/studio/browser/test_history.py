"""The history: it survives, compares, gives settings back, downloads in every format, and frees space."""

import io

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from studio.running import picture

PNG = "image/png"

pytestmark = pytest.mark.slow


def test_it_survives_a_reload_and_so_do_the_controls(visitor) -> None:
    visitor.begin()
    visitor.changed(lambda: visitor.set("strength", 2))
    id = visitor.painted()
    visitor.page.reload()
    visitor.started()
    visitor.drafted()
    expect(visitor(f".card[data-job='{id}'] img").first).to_be_visible()
    expect(visitor("#f-strength")).to_have_value("2")
    expect(visitor(".work .name")).to_have_text(["photo.jpg", "painting-swirl.jpg"])


def test_a_picture_can_be_named_and_starred(visitor) -> None:
    visitor.begin()
    id = visitor.painted()
    name = visitor("#side input.title")
    expect(name).to_have_value("photo after painting-swirl")
    name.fill("evening coffee")
    name.press("Enter")
    visitor(f".card[data-job='{id}'] [title='evening coffee']").wait_for()
    visitor(".actions .star").click()
    visitor(f".card[data-job='{id}'] .star[aria-pressed=true]").wait_for()
    visitor.button("Only pictures with a star").click()
    stars = [job["id"] for job in visitor.server.get("/api/v1/jobs?kind=full").json()["jobs"] if job["star"]]
    expect(visitor(".card")).to_have_count(len(stars))
    assert visitor.server.job(id)["name"] == "evening coffee"


def test_two_pictures_are_compared(visitor) -> None:
    visitor.begin()
    visitor.painted()
    visitor.changed(lambda: visitor.set("strength", 3))
    visitor.painted()
    for number in range(2):
        visitor(".card").nth(number).hover()
        visitor(".card .pick").nth(number).check()
    visitor.button("Compare", exact=True).click()
    visitor("img-comparison-slider").wait_for()
    expect(visitor(".stage-status")).to_have_text("Two pictures")
    visitor.until("document.querySelectorAll('.viewer img.base').length === 2")
    sources = visitor(".viewer img.base").evaluate_all("all => all.map(image => image.src)")
    assert len({source.split("/jobs/")[1].split("/")[0] for source in sources}) == 2
    visitor.until("document.querySelectorAll('.actions button').length === 2")
    expect(visitor(".actions button")).to_have_text(["Left: strength 3", "Right: strength 1"])
    visitor.button("Left: strength 3").click()
    visitor("[data-key=download]").wait_for()


def test_use_again_brings_pictures_and_settings_back(visitor) -> None:
    visitor.begin()
    visitor.changed(lambda: visitor.set("stroke", 2))
    visitor.painted()
    visitor("#home").click()
    visitor.begin(1)
    visitor(".card-open").first.click()
    visitor.changed(lambda: visitor("[data-key=again]").click())
    expect(visitor(".work .name")).to_have_text(["photo.jpg", "painting-swirl.jpg"])
    expect(visitor("#f-stroke")).to_have_value("2")


@pytest.fixture
def deep(server) -> str:
    """A result to download, of a photo with 16 bits."""
    values = np.random.default_rng(1).integers(0, 65536, (30, 40), dtype=np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    photo, painting = server.upload(buffer.getvalue(), "deep.png"), server.upload(picture(2), "painting.png")
    id = server.paint({"photo": photo, "styles": [{"picture": painting}]}, kind="full", name="deep sea")["id"]
    server.ended(id)
    return str(id)


def test_a_download_has_the_format_the_bits_and_the_metadata(deep, visitor) -> None:
    import pyvips

    visitor.button("Open your", exact=False).click()
    visitor(f".card[data-job='{deep}'] .card-open").click()
    for format, bits, ending, metadata in (
        ("png", 8, "png", "minimal"), ("png", 16, "png", "keep"), ("tiff", 16, "tif", "strip"),
        ("jpeg", 8, "jpg", "strip"), ("webp", 8, "webp", "keep"), ("avif", 8, "avif", "minimal"),
    ):  # fmt: skip
        visitor("[data-key=download]").click()
        visitor(f"dialog input[name=format][value={format}]").check()
        if visitor("dialog input[name=bits]").count():
            visitor(f"dialog input[name=bits][value='{bits}']").check()
        else:
            assert bits == 8
        visitor(f"dialog input[name=metadata][value={metadata}]").check()
        with (
            visitor.page.expect_download() as download,
            visitor.page.expect_request(lambda r: "download=1" in r.url) as request,
        ):
            visitor("dialog .primary").click()
        assert f"metadata={metadata}" in request.value.url
        assert download.value.suggested_filename == f"deep sea.{ending}"
        image = pyvips.Image.new_from_buffer(download.value.path().read_bytes(), "")
        assert (image.width, image.height) == (40, 30)
        assert image.format == ("ushort" if bits == 16 else "uchar")
        visitor("dialog").wait_for(state="detached")


def test_the_bits_stay_when_a_format_without_them_was_looked_at(deep, visitor) -> None:
    visitor.button("Open your", exact=False).click()
    visitor(f".card[data-job='{deep}'] .card-open").click()
    visitor("[data-key=download]").click()
    visitor("dialog input[name=bits][value='16']").check()
    for format in ("jpeg", "png"):
        visitor(f"dialog input[name=format][value={format}]").check()
    expect(visitor("dialog input[name=bits][value='16']")).to_be_checked()
    visitor("dialog input[name=format][value=jpeg]").check()
    with (
        visitor.page.expect_download(),
        visitor.page.expect_request(lambda r: "download=1" in r.url) as request,
    ):
        visitor("dialog .primary").click()
    assert "bits=8" in request.value.url


def test_a_grid_of_two_settings_and_a_cell_taken_over(visitor) -> None:
    visitor.begin()
    visitor.button("Paint a grid of settings").click()
    visitor("#grid-across").select_option("strength")
    visitor("[aria-label='Values of the setting across']").fill("1, 2, 4")
    visitor("#grid-down").select_option("stroke")
    visitor("[aria-label='Values of the setting down']").fill("1, 2")
    expect(visitor("dialog").get_by_text("6 pictures")).to_be_visible()
    visitor.button("Paint the grid").click()
    cells = visitor(".grid-view .cell")
    visitor.until("document.querySelectorAll('.grid-view .cell img').length === 6")
    expect(visitor(".grid-view thead th")).to_have_text(["strength 1", "strength 2", "strength 4"])
    expect(visitor(".grid-view tbody th")).to_have_text(["stroke 1", "stroke 2"])
    visitor.until("document.querySelectorAll('.cell .badge:not([hidden])').length === 0")
    cells.nth(5).click()
    visitor.until("document.querySelector('.stage-status').textContent === 'Done'")
    id = visitor.server.get("/api/v1/jobs?kind=full&limit=1").json()["jobs"][0]["id"]
    visitor.until(f"document.querySelector('.viewer img.base')?.src.includes('/jobs/{id}/result')")
    visitor.changed(lambda: visitor("[data-key=again]").click())
    expect(visitor("#f-strength")).to_have_value("4")
    expect(visitor("#f-stroke")).to_have_value("2")
    expect(visitor("#f-size")).to_have_value("")
    visitor(".card .badge").get_by_text("grid, 6 of 6").wait_for()  # one card for all
    visitor(".card").first.click()
    visitor.button("Use the settings of strength 2, stroke 1").click()
    visitor.until("document.querySelector('#f-strength').value === '2'")
    expect(visitor("#f-stroke")).to_have_value("1")


def test_a_grid_of_one_setting(visitor) -> None:
    visitor.begin()
    visitor.button("Paint a grid of settings").click()
    visitor("#grid-across").select_option("color")
    visitor.button("Paint the grid").click()
    visitor.until("document.querySelectorAll('.grid-view .cell').length === 4")
    expect(visitor(".grid-view tbody tr")).to_have_count(1)


def test_a_grid_of_one_picture_is_shown_and_opened_again(visitor) -> None:
    visitor.begin()
    visitor.button("Paint a grid of settings").click()
    values, start = visitor("[aria-label='Values of the setting across']"), visitor.button("Paint the grid")
    for text, said in (
        ("0.5, zebra", "zebra: no value of strength (0.1 to 10)."),
        ("0.5, 99", "99: no value of strength (0.1 to 10)."),
        ("1, 2, 3, 4, 5, 6, 7", "At most 6 values."),
    ):
        values.fill(text)
        expect(visitor(".axis .wrong").first).to_have_text(said)
        assert start.is_disabled()
    values.fill("0.5")
    expect(visitor(".axis .wrong:visible")).to_have_count(0)
    start.click()
    visitor.until("document.querySelectorAll('.grid-view .cell img').length === 1")
    visitor(".card .badge").get_by_text("grid, 1 of 1").wait_for()
    visitor("#home").click()
    visitor.button("Open your earlier picture").click()
    visitor.until("document.querySelectorAll('.grid-view .cell img').length === 1")
    expect(visitor(".viewer")).to_be_hidden()


def test_a_switch_in_a_grid_has_two_values(visitor) -> None:
    visitor.begin()
    visitor.button("Paint a grid of settings").click()
    visitor("#grid-across").select_option("bounded")
    expect(visitor("[aria-label='Values of the setting across']")).to_have_value("yes, no")
    visitor("[aria-label='Values of the setting across']").fill("yes, maybe")
    expect(visitor(".axis .wrong").first).to_have_text("maybe: no value of bounded (yes or no).")


def test_deleting_says_how_much_space_it_frees(visitor) -> None:
    visitor.begin()
    id = visitor.painted()
    expect(visitor(".disk")).to_contain_text("The studio takes")
    visitor("[data-key=erase]").click()
    dialog = visitor("dialog")
    expect(dialog).to_contain_text("Delete this picture?")
    expect(dialog).to_contain_text("This frees")
    dialog.get_by_role("button", name="Keep").click()
    assert visitor.server.get(f"/api/v1/jobs/{id}").status_code == 200
    visitor("[data-key=erase]").click()
    dialog.get_by_role("button", name="Delete").click()
    visitor(f".card[data-job='{id}']").wait_for(state="detached")
    assert visitor.server.get(f"/api/v1/jobs/{id}").status_code == 404


def test_several_are_deleted_and_one_that_runs_ends_first(visitor) -> None:
    visitor.begin()
    first = visitor.painted()
    visitor.quality("best")
    visitor("#controls .go").click()
    visitor.until("document.querySelector('.stage-status').textContent === 'Painting'")
    running = visitor.server.get("/api/v1/jobs?kind=full&limit=1").json()["jobs"][0]["id"]
    for id in (first, running):
        visitor(f".card[data-job='{id}']").hover()
        visitor(f".card[data-job='{id}'] .pick").check()
    visitor.button("Delete 2").click()
    visitor("dialog").get_by_role("button", name="Delete").click()
    for id in (first, running):
        visitor(f".card[data-job='{id}']").wait_for(state="detached")
        visitor.server.until(lambda id=id: visitor.server.get(f"/api/v1/jobs/{id}").status_code == 404)
