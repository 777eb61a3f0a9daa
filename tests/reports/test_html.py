"""Pages: one file, all text escaped, nothing loaded from elsewhere, usable without eyes or mouse."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import pytest
from markupsafe import Markup
from PIL import Image

from impasto.errors import InputError
from impasto.reports.html import (
    Code,
    Details,
    Equation,
    Equations,
    Figure,
    Heading,
    Page,
    Pictures,
    Slider,
    Table,
    Text,
)
from reference.browser import chromium

VOID = {"meta", "link", "img", "input", "br", "hr"}
HOSTILE = "</title><script>alert(\"1\")</script> & 'x' \x1b[31m \ud800"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="3"><title>total</title></svg>'


class Reader(HTMLParser):
    """Reads a page strictly: every element that opens must close, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [values for name, values in self.elements if name == tag]


def check(text: str) -> Reader:
    """Hold what must be true of every page, and return it read."""
    page = Reader(text)
    for tag, values in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            if name in values:
                assert values[name].startswith(("data:", "#")), (tag, values[name][:80])
        assert not [name for name in values if name.startswith("on")], tag
    for image in page.all("img"):
        assert image["alt"].strip(" :")
        assert int(image["width"]) > 0
        assert int(image["height"]) > 0
    for header in page.all("th"):
        assert header["scope"] in ("col", "row")
    identities = [values["id"] for _, values in page.elements if "id" in values]
    assert len(set(identities)) == len(identities)
    for link in page.all("a"):
        assert not link["href"].startswith("#") or link["href"][1:] in identities
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'; ")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == len(page.all("script"))
    assert len(re.findall("'sha256-", policy)) == len(scripts)
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in policy
    assert page.all("html") == [{"lang": "en"}]
    assert text.startswith("<!DOCTYPE html>")
    assert len(page.all("title")) == len(page.all("h1")) == 1
    text.encode()
    return page


def png(width=8, height=6, color="red", kind="PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, kind)
    return file.getvalue()


def whole(words: str = "words") -> Page:
    """Return a page with one of everything, and `words` in every place for text."""
    page = Page(words, words)
    figure = Figure(png(), words, words, SVG, name=words)
    page.section(words, Text(f"{words}\n\n{words}"), figure, Figure(png(), words, words))
    page.section(words, Pictures([(png(kind="JPEG"), words, words)] * 3, words, large=1))
    page.section(words, Table([words, words], [[words, words], [words, 2]], words, [1]))
    mathml = Markup('<math display="block" alttext="x"><mi>x</mi></math>')
    page.section(words, Heading(words), Equations([Equation(words, mathml, words, words)] * 2))
    page.section(words, Slider(png(), png(), (words, words), words))
    return page.section(words, Details(words, Code(words), Text(words)))


@pytest.mark.parametrize("words", ["words", HOSTILE, '" onload="x', "<!--", "]]>"])
def test_every_text_is_escaped(words) -> None:
    text = whole(words).html()
    page = check(text)
    shape = [tag for tag, _ in check(whole().html()).elements]
    assert [tag for tag, _ in page.elements] == shape
    assert "alert(&#34;1&#34;)" in text or words != HOSTILE
    assert "\x1b" not in text


def test_the_same_blocks_give_the_same_page() -> None:
    assert whole().html() == whole().html()


def test_contents_come_with_more_than_three_sections() -> None:
    page = Page("title")
    for number in range(3):
        page.section(f"part {number}")
    assert "<nav" not in page.html()
    page.section("part 3")
    read = check(page.html())
    assert [a["href"] for a in read.all("a")] == [f"#section-{n}" for n in range(1, 5)]


def test_only_a_slider_brings_a_script_also_when_folded_away() -> None:
    assert "<script" not in Page("x").section("y", Text("z")).html()
    slider = Slider(png(), png(color="blue"), ("photo", "result"), "a cup")
    text = Page("x").section("y", Details("more", Details("deep", slider))).html()
    page = check(text)
    assert len(page.all("script")) == 1
    (control,) = page.all("input")
    assert control["type"] == "range"
    assert control["aria-label"] == "How much of photo is seen, against result"
    assert [image["alt"] for image in page.all("img")] == ["photo: a cup", "result: a cup"]
    assert "<noscript>" in text


def test_tables_show_numbers_right_and_gaps_as_dashes() -> None:
    text = Table(["a", "b"], [["x", 1.23456789], ["y", float("nan")]], "caption", [1]).html()
    assert '<th scope="row">x</th><td class="n">1.23457</td>' in text
    assert '<tr class="marked"><th scope="row">y</th><td class="n">\N{EN DASH}</td>' in text
    assert text.startswith('<figure class="table"><figcaption>caption</figcaption><div class="scroll"')
    assert '<table aria-label="caption">' in text
    short = Table(["a", "b"], [["x", 1.23456789], ["y", 143667240]], digits=4).html()
    assert '<td class="n">1.235</td>' in short
    assert '<td class="n">143667240</td>' in short
    assert 'class="scroll"' in Table(["a"], [[1]] * 100, whole=True).html()
    check(Page("x").section("y", Table(["a"], [])).html())
    assert 'class="scroll long"' in Table(["a"], [[1]] * 100).html()
    with pytest.raises(ValueError, match="zip"):
        Table(["a", "b"], [[1, 2, 3]]).html()


def test_equations_stand_beside_what_computes_them() -> None:
    mathml = Markup('<math display="block" alttext="x"><mi>x</mi></math>')
    text = Equations(
        [Equation("Loss", mathml, "loss in a.py"), Equation("Step", mathml, "step", "x < y")]
    ).html()
    assert text.count(mathml) == 2
    assert '<dt>Loss</dt><dd class="scroll" tabindex="0" role="region" aria-label="Loss">' in text
    assert "<dd><code>loss in a.py</code></dd>" in text
    assert "<dd><code>step</code> x &lt; y</dd>" in text


def test_figures_can_be_saved_in_both_forms() -> None:
    page = check(Page("x").section("y", Figure(png(), "c", "a", SVG, "loss")).html())
    assert [link["download"] for link in page.all("a")] == ["loss.png", "loss.svg"]
    coded = page.all("img")[0]["src"].removeprefix("data:image/svg+xml;base64,")
    assert base64.b64decode(coded).decode() == SVG
    assert (page.all("img")[0]["width"], page.all("img")[0]["height"]) == ("8", "6")


@pytest.mark.parametrize("data", [b"", b"<svg>", png(kind="BMP"), png()[:20]])
def test_what_is_no_picture_is_refused(data) -> None:
    with pytest.raises(InputError, match="must be PNG, JPEG or WebP"):
        Page("x").section("y", Pictures([(data, "label", "alt")])).html()


def test_a_picture_without_a_description_is_refused() -> None:
    for block in (Figure(png(), "c", " "), Pictures([(png(), "label", "")])):
        with pytest.raises(InputError, match="needs a description"):
            block.html()


@pytest.mark.slow
def test_a_browser_has_nothing_to_complain_of(tmp_path) -> None:
    shot = tmp_path / "shot.png"
    done = chromium(tmp_path, whole(HOSTILE).html(), f"--screenshot={shot}")
    assert "CONSOLE" not in done.stderr
    assert Image.open(shot).convert("RGB").getcolors(1) is None  # more than one colour: drawn


@pytest.mark.slow
def test_a_browser_runs_the_slider_and_no_other_script(tmp_path) -> None:
    page = whole().html()
    assert 'style="--at: 50%;"' in chromium(tmp_path, page, "--dump-dom").stdout
    other = page.replace("</body>", "<script>document.title = 'changed'</script></body>")
    done = chromium(tmp_path, other, "--dump-dom")
    assert "<title>changed" not in done.stdout
    assert "CONSOLE" in done.stderr  # so that errors would be seen above


@pytest.mark.slow
def test_a_narrow_window_needs_no_sideways_scrolling(tmp_path) -> None:
    """The page tells by its title; a script may do so only where the policy is left out."""
    text = re.sub(r"<meta http-equiv=[^>]*>", "", whole("wide" * 30).html())
    script = "<script>document.title = document.documentElement.scrollWidth + '/' + innerWidth</script>"
    text = text.replace("</body>", f"{script}</body>")
    done = chromium(tmp_path, text, "--dump-dom", "--window-size=500,800")
    wide, window = re.search(r"<title>(\d+)/(\d+)</title>", done.stdout).groups()
    assert int(wide) <= int(window)


def test_columns_are_kept_where_they_mean_something() -> None:
    shown = [(png(), str(number), "a picture") for number in range(4)]
    assert "repeat(2, minmax(0, 1fr))" in Pictures(shown, columns=2).html()
    assert "style=" not in Pictures(shown).html()
