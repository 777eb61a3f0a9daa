"""The page before there is a picture: what it offers, and everything that can be dropped on it."""

import io
import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from impasto import Settings
from studio.running import picture

PNG = "image/png"


def png(seed: int, size: tuple[int, int] = (48, 64)) -> bytes:
    return picture(seed, size)


def test_an_empty_page_invites_and_one_click_makes_a_picture(visitor) -> None:
    expect(visitor("#welcome h2")).to_have_text("Paint a photo in the style of a painting")
    expect(visitor(".zone")).to_have_count(2)
    expect(visitor(".example")).to_have_count(2)
    visitor.begin()
    expect(visitor("#stage img.base")).to_be_visible()
    expect(visitor(".stage-status")).to_have_text("Draft")


@pytest.mark.slow
def test_a_photo_alone_asks_for_a_painting(visitor) -> None:
    visitor.drop(".zone[data-role=photo]", [("my photo.png", png(1), PNG)])
    visitor("#welcome h2").get_by_text("Now a painting").wait_for()
    expect(visitor(".zone[data-role=photo]")).to_contain_text("my photo.png")
    expect(visitor(".zone[data-role=painting]")).to_contain_class("next")
    expect(visitor.button("Paint at full size")).to_have_count(0)
    visitor.begin()  # the example's painting, on my photo
    expect(visitor(".work .name").first).to_have_text("my photo.png")


@pytest.mark.slow
def test_a_painting_alone_asks_for_a_photo(visitor) -> None:
    visitor.drop(".zone[data-role=painting]", [("p.png", png(2), PNG)])
    visitor("#welcome h2").get_by_text("Now a photo").wait_for()
    visitor.begin()
    expect(visitor(".work .name")).to_have_text(["photo.jpg", "p.png"])


@pytest.mark.slow
def test_a_photo_and_several_paintings_can_be_dropped_at_once(visitor) -> None:
    visitor.drop("body", [("a.png", png(1), PNG), ("b.png", png(2), PNG), ("c.png", png(3), PNG)])
    visitor.drafted()
    expect(visitor(".work .name")).to_have_text(["a.png", "b.png", "c.png"])
    visitor.changed(lambda: visitor("[data-key^=share-]").first.fill("0.5"))
    expect(visitor(".share output")).to_have_text(["33 %", "67 %"])
    visitor.changed(lambda: visitor("[data-key^=remove-]").last.click())
    expect(visitor(".work .name")).to_have_text(["a.png", "b.png"])


@pytest.mark.slow
def test_pictures_can_be_pasted_and_chosen(visitor) -> None:
    visitor.paste("pasted.png", png(4))
    visitor("#welcome h2").get_by_text("Now a painting").wait_for()
    visitor.choose(".zone[data-role=painting]", {"name": "chosen.png", "mimeType": PNG, "buffer": png(5)})
    visitor.drafted()
    expect(visitor(".work .name")).to_have_text(["pasted.png", "chosen.png"])


@pytest.mark.slow
def test_a_settings_file_sets_the_controls(visitor) -> None:
    visitor.begin()
    visitor.changed(lambda: visitor.drop("#stage", [("mine.toml", b"strength = 3.0\nstroke = 2.0\n", "")]))
    expect(visitor("#f-strength")).to_have_value("3")
    expect(visitor("#f-stroke")).to_have_value("2")
    expect(visitor(".field.changed")).to_have_count(2)


@pytest.mark.slow
def test_settings_and_pictures_of_an_earlier_result_come_back(visitor, tmp_path) -> None:
    """The pictures too, where the studio has them; else it says which are missing."""
    import impasto
    from impasto.cli.samples import sample
    from impasto.network import vgg
    from impasto.network.weights import load

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "load_weights", lambda *which: vgg.narrow_weights())
        settings = Settings(size=48, evaluations=1, stroke=2.0)
        impasto.stylize(sample("photo"), sample("swirl"), settings=settings).save(tmp_path / "result.png")
    data = (tmp_path / "result.png").read_bytes()
    visitor.drop("body", [("result.png", data, PNG)])
    visitor.drafted()
    expect(visitor(".work .name")).to_have_text(["photo.jpg", "painting-swirl.jpg"])
    expect(visitor("#f-stroke")).to_have_value("2")
    expect(visitor("#f-size")).to_have_value("48")
    expect(visitor("#toasts")).to_contain_text("Settings of result.png are back.")
    visitor.changed(lambda: visitor.button("Use it as a picture").click())
    expect(visitor(".work .name").last).to_have_text("result.png")


@pytest.mark.parametrize("name", ["notes.png", "bad.toml"])
@pytest.mark.slow
def test_a_file_that_cannot_be_used_is_refused_where_it_was_dropped(visitor, name) -> None:
    visitor.drop(".zone[data-role=photo]", [(name, b"neither of them = [", PNG)])
    refusal = visitor(".trouble .notice.wrong")
    refusal.wait_for()
    expect(refusal).to_contain_text(name)
    expect(refusal.get_by_role("button", name="Choose another")).to_be_visible()
    visitor.drop(".zone[data-role=photo]", [("good.png", png(1), PNG)])
    refusal.wait_for(state="detached")


@pytest.mark.slow
def test_a_photo_with_transparent_parts_and_16_bits_says_so(visitor) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (40, 30), (200, 80, 30, 120)).save(buffer, "PNG")
    visitor.drop("body", [("cut-out.png", buffer.getvalue(), PNG), ("b.png", png(2), PNG)])
    visitor.drafted()
    expect(visitor(".work-text").first).to_contain_text("40 × 30 · transparent")


@pytest.mark.slow
def test_the_name_of_the_program_begins_anew(visitor) -> None:
    visitor.begin()
    visitor("#home").click()
    expect(visitor("#welcome h2")).to_have_text(re.compile("^Paint a photo"))
