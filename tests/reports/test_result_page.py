"""The page about a result says what the history and the recipe say, and nothing of folders."""

import base64
import csv
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from config.test_recipe import recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.errors import Stop
from impasto.image.picture import Picture
from impasto.reports.result_page import LARGE, RunCapture, report_of, sentences
from impasto.transfer.result import Record, Result
from impasto.transfer.stylize import stylize
from reports.test_html import check, chromium

HOSTILE = '<script>alert("1")</script>.png'.replace("/", "\u2215")  # no slash in names of files


def picture(width=64, height=48, seed=0, name="photo.png") -> Picture:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Picture.of(pixels, name=name)


@pytest.fixture
def run(narrow):
    """Return a function that paints and returns result and course."""

    def make(name="photo.png", stops=(), **changes) -> tuple[Result, RunCapture]:
        photo, painting = picture(name=name), picture(50, 60, 1, "painting.png")
        course = RunCapture(photo, [painting])
        settings = Settings(**{"size": 64, "min_size": 32, "evaluations": 3, **changes})
        options = {"weights": narrow, "runtime": Runtime(threads=1), "on_step": course.step}
        return stylize(photo, painting, settings, **options), course

    return make


def test_it_shows_pictures_numbers_settings_and_recipe(run) -> None:
    result, course = run(style_weight=300)
    text = course.page(result, ["A note."])
    page = check(text)
    assert "photo.png in the style of painting.png" in page.words
    for title in ("Before and after", "The course", "Losses", "Settings", "Time and machine"):
        assert f"{title}</h2>" in text
    assert "A note." in page.words
    assert "style_weight300" in page.words
    assert result.recipe.pixels_sha256 in page.words
    assert result.recipe.to_json() in page.words
    for scale in result.recipe.scales:
        assert f"{scale.width} x {scale.height} px" in page.words
    assert text.count("<img") == 3 + 2 + len(course.strip()) + 1
    assert len(text) < 5_000_000


def test_numbers_on_the_page_are_those_of_the_history(run) -> None:
    result, course = run()
    text = course.page(result)
    table = re.search(r"All 6 evaluations as numbers</summary>\n(.*?)</table>", text, re.DOTALL)[1]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)]
    found = result.table()
    assert rows[0] == list(found)
    for shown, values in zip(rows[1:], zip(*found.values(), strict=True), strict=True):
        assert [float(cell) for cell in shown] == pytest.approx(values, rel=1e-5)
    first, best = (f"{v:.6g}" for v in (found["total"][3], min(found["total"][3:])))
    assert f"fell from {first} to {best}" in text


def test_the_table_has_a_column_for_everything_and_its_csv_all_digits(run) -> None:
    result, _ = run()
    found = result.table()
    names = list(found)
    assert names[:6] == ["scale", "evaluation", "seconds", "total", "content", "style"]
    assert "style.relu1_1" in names[6:]
    assert found["scale"] == [1, 1, 1, 2, 2, 2]
    assert found["evaluation"] == [1, 2, 3, 4, 5, 6]
    assert found["total"] == [record.losses["total"] for record in result.history]
    read = list(csv.DictReader(io.StringIO(result.to_csv())))
    for name in names:
        assert [float(row[name]) for row in read] == found[name]


def test_what_an_evaluation_has_no_value_of_is_nan_and_empty(run) -> None:
    result, _ = run()
    history = (Record(1, 1, {"total": 1.0}, 0.5), Record(1, 2, {"total": 2.0, "own": 1.0}, 0.6))
    result = Result(result.picture, result.recipe, history, 1.0, "evaluations")
    assert math.isnan(result.table()["own"][0])
    lines = result.to_csv().splitlines()
    assert lines == ["scale,evaluation,seconds,total,own", "1,1,0.5,1.0,", "1,2,0.6,2.0,1.0"]
    empty = Result(result.picture, result.recipe, (), 1.0, "evaluations")
    assert empty.to_csv() == "scale,evaluation,seconds\n"


def test_the_course_is_kept_at_round_numbers_and_ends_of_scales(run) -> None:
    result, course = run(evaluations=12)
    labels = [label.partition(":")[0] for label, _ in course.strip()]
    assert labels == [f"evaluation {count}" for count in (1, 2, 5, 10, 12, 20, 24)]
    label, last = course.strip()[-1]
    assert label == "evaluation 24: end of scale 2, 64 x 48 px"
    assert (last.width, last.height) == (64, 48)
    assert course.strip() == course.strip()
    assert RunCapture(picture(), []).strip() == []
    assert result.stopped == "evaluations"


@pytest.mark.slow
def test_a_run_that_was_interrupted_does_not_end_its_scale(narrow) -> None:
    course = RunCapture(picture(), [])

    def on_step(step) -> None:
        course.step(step)
        if step.evaluations == 3:
            raise Stop("interrupted")

    settings = Settings(size=64, min_size=64, evaluations=9)
    options = {"weights": narrow, "runtime": Runtime(threads=1)}
    result = stylize(picture(), picture(seed=1), settings, on_step=on_step, **options)
    assert course.strip(result.stopped)[-1][0] == "evaluation 3: interrupted in scale 1, 64 x 48 px"
    assert "end of scale" not in course.page(result)


def test_a_page_does_not_say_that_a_picture_carries_what_it_does_not(run) -> None:
    result, course = run()
    assert "The picture carries this recipe" in course.page(result)
    stripped = course.page(result, carried=False)
    assert "carries this recipe" not in stripped
    assert "saved without its recipe" in stripped


def test_the_last_canvas_is_the_one_that_was_evaluated(narrow) -> None:
    """Adam moves its canvas in place, once more after the last evaluation."""
    course, seen = RunCapture(picture(), []), []

    def on_step(step) -> None:
        course.step(step)
        seen.append(step.picture().array(8))

    settings = Settings(size=64, min_size=64, evaluations=3, solver="adam", learning_rate=0.2)
    options = {"weights": narrow, "runtime": Runtime(threads=1)}
    stylize(picture(), picture(seed=1), settings, on_step=on_step, **options)
    assert np.array_equal(course.strip()[-1][1].array(8), seen[-1])


def test_hostile_names_and_folders_stay_harmless(run) -> None:
    result, course = run(HOSTILE)
    page = check(course.page(result))
    assert HOSTILE in page.words
    photo = recipe().content
    for name in ("/home/me/secret/photo.jpg", "C:\\me\\secret\\photo.jpg", "../secret/photo.jpg"):
        made = recipe(content=photo.changed(name=name), weights=name, impasto="<b>1\x1b[31m")
        text = report_of(picture(), made)
        head = text.partition("The recipe, as JSON")[0]
        assert "secret" not in head
        assert "\x1b" not in text
        check(text)


def test_no_folder_is_in_the_page(tmp_path, monkeypatch, narrow) -> None:
    for name, seed in (("photo.png", 0), ("painting.png", 1)):
        Image.fromarray(picture(seed=seed).array(8)).save(tmp_path / name)
    paths = tmp_path / "photo.png", tmp_path / "painting.png"
    settings, runtime = Settings(size=48, evaluations=1), Runtime(threads=1)
    result = stylize(*paths, settings, weights=narrow, runtime=runtime)
    content, style = map(Picture.open, paths)
    page = report_of(result.picture, result.recipe, content=content, styles=[style])
    assert str(tmp_path) not in page


def test_without_inputs_or_history_the_page_does_without(run) -> None:
    result, _ = run()
    made = result.recipe
    text = report_of(result.picture, made)
    page = check(text)
    assert "<script" not in text
    assert "The course</h2>" not in text
    assert "as numbers" not in text
    assert f"{made.losses['total']:.6g}" in page.words
    two = made.changed(styles=(*made.styles, made.styles[0].changed(name="other.png")))
    text = report_of(result.picture, two, styles=[None, picture(name="other.png")])
    assert 'alt="The painting other.png"' in text
    assert 'alt="The painting painting.png"' not in text


def test_large_and_transparent_pictures_are_bounded() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 3000, 4), dtype=np.uint8)
    big = Picture.of(pixels)
    text = report_of(big, recipe(), content=big, styles=[big, big])
    page = check(text)
    assert len(text) < 5_000_000
    for image in page.all("img"):
        assert max(int(image["width"]), int(image["height"])) <= LARGE
        assert image["src"].startswith("data:image/jpeg;base64,")
        data = base64.b64decode(image["src"].partition(",")[2])
        assert Image.open(io.BytesIO(data)).size == (int(image["width"]), int(image["height"]))
    assert "The result, 3000 x 1500 px" in page.words


@pytest.mark.slow
def test_the_same_result_gives_the_same_page(run) -> None:
    result, course = run()
    assert course.page(result) == course.page(result)


def test_sentences_are_true_of_the_numbers() -> None:
    def history(*totals: float, scale=1) -> list[Record]:
        losses = [{"total": v, "content": v / 4, "style": 3 * v / 4} for v in totals]
        return [Record(scale, n, values, 0.0) for n, values in enumerate(losses, 1)]

    said = sentences(history(100, 90, 40, 20, 25))
    assert said.startswith(
        "The total fell from 100 to 20, 20 % of its start, in 5 evaluations; "
        "half of that fall had come by evaluation 3 of them."
    )
    assert "content 25 %, style 75 %" in said
    assert "scale" not in said
    both = sentences([*history(100, 50), *history(10, 5, scale=2)])
    assert "At the last scale the total fell from 10 to 5" in both
    assert "do not compare" in both
    assert "did not fall below its start, 5" in sentences(history(5, 6))
    assert sentences([]) == sentences(history(math.nan, math.inf)) == ""
    own = [Record(1, n, {"total": v}, 0.0) for n, v in enumerate((1.0, -2.0), 1)]
    assert "fell from 1 to -2 in 2 evaluations" in sentences(own)


def test_styles_are_weighed_on_the_page(narrow) -> None:
    styles = [Style(picture(seed=n, name=f"{n}.png"), n) for n in (1, 2)]
    settings = Settings(size=48, evaluations=1)
    result = stylize(picture(), styles, settings, weights=narrow, runtime=Runtime(threads=1))
    opened = [style.picture for style in styles]
    text = report_of(result.picture, result.recipe, content=picture(), styles=opened)
    assert "2.png, weight 2" in check(text).words


@pytest.mark.slow
def test_a_browser_opens_the_page(run, tmp_path) -> None:
    result, course = run(HOSTILE)
    done = chromium(tmp_path, course.page(result), f"--screenshot={tmp_path / 'shot.png'}")
    assert "CONSOLE" not in done.stderr
    assert Path(tmp_path / "shot.png").stat().st_size > 10_000
