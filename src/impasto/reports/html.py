"""`Page`: one HTML file that needs nothing beside itself: no network, no fonts, no folder. No torch here.

Blocks are plain dataclasses; all text in them is escaped, pictures are put into the page::

    page = Page("Swirls", "a photo in the style of a painting")
    page.section("The course", Text("It went well."), Figure(png, "The loss.", "A falling curve."))
    Path("page.html").write_text(page.html(), encoding="utf-8")

A policy in the page forbids all loads but pictures inside it; the only script that may run is the
slider's, known by its hash, and it is there only where a slider is.
"""

import base64
import hashlib
import html
import io
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Protocol

from impasto._version import __version__
from impasto.errors import InputError

LONG = 24  # rows from which a table scrolls inside its own frame
TYPES = ("image/png", "image/jpeg", "image/webp")
LARGE = ' class="large"'
Cell = str | int | float


class Block(Protocol):
    """A part of a section: it knows its own HTML."""

    def html(self) -> str:
        """Return the block's HTML, all text escaped."""
        ...


@dataclass(frozen=True)
class Text:
    """Paragraphs, separated by empty lines."""

    text: str

    def html(self) -> str:
        """Return a `p` for each paragraph."""
        parts = (part.strip() for part in self.text.split("\n\n"))
        return "".join(f"<p>{_escape(part)}</p>\n" for part in parts if part)


@dataclass(frozen=True)
class Code:
    """Text that is shown as it is, such as a recipe."""

    text: str

    def html(self) -> str:
        """Return a frame that the keyboard can scroll."""
        return f'<pre tabindex="0">{_escape(self.text)}</pre>\n'


@dataclass(frozen=True)
class Figure:
    """A drawing: the SVG is shown where there is one, and both can be saved from the page.

    Attributes:
        png: The bytes of the drawing.
        caption: What stands below it.
        alt: What it shows, for those who do not see it.
        svg: The same as SVG text.
        name: Of the files it is saved as, without suffix.
    """

    png: bytes
    caption: str
    alt: str
    svg: str | None = None
    name: str = "figure"

    def html(self) -> str:
        """Return a `figure` with its caption."""
        png = _data(self.png)
        links = [_link(png, f"{self.name}.png", "PNG")]
        shown = png
        if self.svg is not None:
            coded = base64.b64encode(self.svg.encode()).decode("ascii")
            shown = f"data:image/svg+xml;base64,{coded}"
            links.append(_link(shown, f"{self.name}.svg", "SVG"))
        saved = f'<span class="files">({", ".join(links)})</span>'
        image = _image(shown, self.alt, _size(self.png))
        label = _escape(self.caption or self.alt)
        frame = f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{image}</div>'
        return f'<figure class="plot">{frame}{_caption(self.caption, saved)}</figure>\n'


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side.

    Attributes:
        items: (bytes of a PNG, JPEG or WebP; what stands below; what it shows).
        caption: What stands below all of them.
        large: Which of them is larger than the others, counted from 0; none if None.
        columns: How many stand side by side where that has a meaning; as many as fit if None.
    """

    items: Sequence[tuple[bytes, str, str]]
    caption: str = ""
    large: int | None = None
    columns: int | None = None

    def html(self) -> str:
        """Return a `figure` that becomes narrower by having fewer columns."""
        parts = [
            f"<div{LARGE if number == self.large else ''}>"
            f"{_picture(data, alt)}<span>{_escape(label)}</span></div>"
            for number, (data, label, alt) in enumerate(self.items)
        ]
        kind = "pictures" if self.large is None else "pictures led"
        tracks = f"grid-template-columns: repeat({self.columns}, minmax(0, 1fr))"
        style = f' style="{tracks}"' if self.columns else ""
        grid = f'<div class="{kind}"{style}>{"".join(parts)}</div>'
        return f"<figure>{grid}{_caption(self.caption)}</figure>\n"


@dataclass(frozen=True)
class Table:
    """A table; the first column names the rows. Numbers stand right; nan is shown as a dash.

    Attributes:
        headers: One for each column.
        rows: As long as `headers`.
        caption: What stands above it.
        marked: Numbers of rows to be set off, from 0. Say in a cell why they are: colour is not enough.
        digits: Of numbers with a fraction; whole numbers are shown whole.
        whole: Show all rows however many; otherwise a long table scrolls inside its own frame.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    marked: Collection[int] = ()
    digits: int = 6
    whole: bool = False

    def html(self) -> str:
        """Return the table in a frame that scrolls where the window is narrow; the caption stands still."""
        right = [
            bool(self.rows) and all(not isinstance(row[column], str) for row in self.rows)
            for column in range(len(self.headers))
        ]
        kinds = [' class="n"' if yes else "" for yes in right]
        pairs = zip(self.headers, kinds, strict=True)
        head = "".join(f'<th scope="col"{kind}>{_escape(name)}</th>' for name, kind in pairs)
        body = "\n".join(self._row(number, kinds) for number in range(len(self.rows)))
        frame = "scroll long" if len(self.rows) > LONG and not self.whole else "scroll"
        label = _escape(self.caption or "table")
        return (
            f'<figure class="table">{_caption(self.caption)}'
            f'<div class="{frame}" tabindex="0" role="region" aria-label="{label}">'
            f'<table aria-label="{label}"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>'
            "</table></div></figure>\n"
        )

    def _row(self, number: int, kinds: Sequence[str]) -> str:
        first, *others = (_cell(value, self.digits) for value in self.rows[number])
        cells = [f'<th scope="row"{kinds[0]}>{first}</th>']
        cells += [f"<td{kind}>{text}</td>" for text, kind in zip(others, kinds[1:], strict=True)]
        marked = ' class="marked"' if number in self.marked else ""
        return f"<tr{marked}>{''.join(cells)}</tr>"


@dataclass(frozen=True)
class Slider:
    """Two pictures of one shape, one over the other, and a slider between them.

    It follows a pointer and the arrow keys. On paper, and where scripts do not run, they stand side by side.

    Attributes:
        before: The picture on the left.
        after: The picture on the right; it decides the size.
        labels: What they are, in a word or two.
        alt: What both show.
    """

    before: bytes
    after: bytes
    labels: tuple[str, str] = ("before", "after")
    alt: str = ""

    def html(self) -> str:
        """Return both pictures with the range input that uncovers them."""
        shots = "".join(
            f'<div class="shot">{_picture(data, f"{label}: {self.alt}")}'
            f'<span aria-hidden="true">{_escape(label)}</span></div>'
            for data, label in zip((self.before, self.after), self.labels, strict=True)
        )
        before, after = map(_escape, self.labels)
        control = (
            '<i aria-hidden="true"></i><input type="range" min="0" max="100" value="50" '
            f'data-label="{before}" aria-label="How much of {before} is seen, against {after}">'
        )
        hint = (
            '<figcaption class="hint">Drag across the picture, or use the arrow keys.</figcaption>'
        )
        return f'<figure><div class="compare">{shots}{control}</div>{hint}</figure>\n'


class Details:
    """Blocks that are folded away until they are asked for."""

    def __init__(self, summary: str, *blocks: Block) -> None:
        self.summary = summary
        self.blocks = blocks

    def html(self) -> str:
        """Return a `details` element."""
        inside = "".join(block.html() for block in self.blocks)
        return f"<details><summary>{_escape(self.summary)}</summary>\n{inside}</details>\n"


class Page:
    """A page of sections.

    Args:
        title: What it is about.
        subtitle: A line below the title.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._sections: list[tuple[str, tuple[Block, ...]]] = []

    def section(self, title: str, *blocks: Block) -> "Page":
        """Add a section and return the page."""
        self._sections.append((title, blocks))
        return self

    def html(self) -> str:
        """Return the whole page; the same blocks give the same text.

        Raises:
            InputError: A picture has no description, or is none of PNG, JPEG and WebP.
        """
        slides = any(
            isinstance(block, Slider) for _, blocks in self._sections for block in _all(blocks)
        )
        script = _file("page.js") if slides else ""
        side = _file("page.side.css") if slides else ""
        style = _file("page.css") + (f"@media print {{\n{side}}}\n" if slides else "")
        plain = f"<noscript><style>\n{side}</style></noscript>\n" if slides else ""
        subtitle = f'<p class="subtitle">{_escape(self.subtitle)}</p>\n' if self.subtitle else ""
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="referrer" content="no-referrer">\n'
            f'<meta name="generator" content="impasto {_escape(__version__)}">\n'
            f'<title>{_escape(self.title) or "impasto"}</title>\n<link rel="icon" href="data:,">\n'
            f"<style>\n{style}</style>\n{plain}</head>\n<body>\n"
            f"<header>\n<h1>{_escape(self.title)}</h1>\n{subtitle}{self._contents()}</header>\n"
            f"<main>\n{self._body()}</main>\n"
            f"<footer>Made by impasto {_escape(__version__)}. This file needs no other.</footer>\n"
            f"{f'<script>{script}</script>' if script else ''}\n</body>\n</html>\n"
        )

    def _contents(self) -> str:
        if len(self._sections) <= 3:
            return ""
        items = "".join(
            f'<li><a href="#section-{number}">{_escape(title)}</a></li>'
            for number, (title, _) in enumerate(self._sections, start=1)
        )
        return f'<nav aria-label="Contents"><ol>{items}</ol></nav>\n'

    def _body(self) -> str:
        return "".join(
            f'<section aria-labelledby="section-{number}">\n<h2 id="section-{number}">'
            f"{_escape(title)}</h2>\n{''.join(block.html() for block in blocks)}</section>\n"
            for number, (title, blocks) in enumerate(self._sections, start=1)
        )


# --- parts ---------------------------------------------------------------------------------------


@cache
def _file(name: str) -> str:
    return files("impasto.reports").joinpath(name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Return what the page may load: pictures inside it, its style, and one script known by hash."""
    rules = ["default-src 'none'", "img-src data:", "style-src 'unsafe-inline'"]
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
        rules.append(f"script-src 'sha256-{digest}'")
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


def _all(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield the blocks, and those folded away inside them."""
    for block in blocks:
        yield block
        if isinstance(block, Details):
            yield from _all(block.blocks)


def _escape(text: str) -> str:
    """Return text for anywhere in the page; what cannot stand in UTF-8 or XML is shown as a mark."""
    seen = "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
    return html.escape(seen, quote=True)


def _cell(value: Cell, digits: int) -> str:
    if isinstance(value, str):
        return _escape(value)
    if isinstance(value, int):
        return str(value)
    return "\N{EN DASH}" if math.isnan(value) else f"{value:.{digits}g}"


def _caption(text: str, more: str = "") -> str:
    inside = " ".join(filter(None, [_escape(text), more]))
    return f"<figcaption>{inside}</figcaption>" if inside else ""


def _link(address: str, name: str, text: str) -> str:
    return f'<a download="{_escape(name)}" href="{address}">{text}</a>'


def _picture(data: bytes, alt: str) -> str:
    return _image(_data(data), alt, _size(data))


def _image(address: str, alt: str, size: tuple[int, int]) -> str:
    if not alt.strip(" :"):
        raise InputError("a picture on a page needs a description; give alt")
    width, height = size
    return f'<img src="{address}" alt="{_escape(alt)}" width="{width}" height="{height}">'


def _data(data: bytes) -> str:
    """Return a picture as an address that holds it."""
    return f"data:{_facts(data)[0]};base64,{base64.b64encode(data).decode('ascii')}"


def _size(data: bytes) -> tuple[int, int]:
    return _facts(data)[1]


def _facts(data: bytes) -> tuple[str, tuple[int, int]]:
    """Return the type of a picture and its size in pixels, from its head."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as image:
            kind, size = image.get_format_mimetype(), image.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError("a picture on a page must be PNG, JPEG or WebP; encode it so") from error
    if kind not in TYPES:
        raise InputError(f"a picture on a page must be PNG, JPEG or WebP, not {kind}")
    return kind, size
