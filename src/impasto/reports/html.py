"""Pages as one HTML file that needs nothing else: no network, no fonts, no folder. No torch here.

Blocks are plain dataclasses. Templates (page.html, blocks.html) escape all text in them by themselves, and
pictures are put into the page::

    page = Page("Swirls", "a photo in the style of a painting")
    page.section("The course", Text("It went well."), Figure(png, "The loss.", "A falling curve."))
    Path("page.html").write_text(page.html(), encoding="utf-8")

A policy in the page forbids all loads but pictures inside it; the only script that may run is the
slider's, known by its hash, and it is there only where a slider is.
"""

import base64
import hashlib
import io
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Protocol

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from impasto._version import __version__
from impasto.errors import InputError

LONG = 24  # rows from which a table scrolls inside its own frame
TYPES = ("image/png", "image/jpeg", "image/webp")
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

    @property
    def paragraphs(self) -> list[str]:
        """The paragraphs that are not empty."""
        return [part for part in map(str.strip, self.text.split("\n\n")) if part]

    def html(self) -> str:
        """Return a `p` for each paragraph."""
        return _block("text", self)


@dataclass(frozen=True)
class Code:
    """Text that is shown as it is, such as a recipe."""

    text: str

    def html(self) -> str:
        """Return a frame that the keyboard can scroll."""
        return _block("code", self)


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

    @property
    def svg_url(self) -> Markup:
        """The SVG as an address that holds it; empty if there is none."""
        return Markup() if self.svg is None else _url("image/svg+xml", self.svg.encode())

    def html(self) -> str:
        """Return a `figure` with its caption."""
        return _block("figure", self)


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
        return _block("pictures", self)


@dataclass(frozen=True)
class Table:
    """A table; the first column names the rows. Numbers stand right; nan is shown as a dash.

    Attributes:
        headers: One for each column.
        rows: As long as `headers`.
        caption: What stands above it.
        marked: Numbers of rows to be set off, from 0. Say in a cell why they are: color is not enough.
        digits: Of numbers with a fraction; whole numbers are shown whole.
        whole: Show all rows however many; otherwise a long table scrolls inside its own frame.
    """

    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    marked: Collection[int] = ()
    digits: int = 6
    whole: bool = False

    @property
    def numeric(self) -> list[bool]:
        """Whether each column holds numbers only."""
        return [
            bool(self.rows) and all(not isinstance(row[column], str) for row in self.rows)
            for column in range(len(self.headers))
        ]

    @property
    def cells(self) -> list[list[tuple[str, bool]]]:
        """For each row its texts, each with whether its column is numeric.

        Raises:
            ValueError: A row is not as long as the headers.
        """
        numeric = self.numeric
        return [
            list(zip([_cell(value, self.digits) for value in row], numeric, strict=True))
            for row in self.rows
        ]

    @property
    def scrolls(self) -> bool:
        """Whether the table is too long to be shown whole."""
        return len(self.rows) > LONG and not self.whole

    def html(self) -> str:
        """Return the table in a frame that scrolls where the window is narrow; the caption stands still."""
        return _block("table", self)


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
        return _block("slider", self)


class Details:
    """Blocks that are folded away until the reader opens them."""

    def __init__(self, summary: str, *blocks: Block) -> None:
        self.summary = summary
        self.blocks = blocks

    def html(self) -> str:
        """Return a `details` element."""
        return _block("details", self)


@dataclass(frozen=True)
class Section:
    """A part of a page with a title."""

    title: str
    blocks: tuple[Block, ...]


class Page:
    """A page of sections.

    Args:
        title: What it is about.
        subtitle: A line below the title.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._sections: list[Section] = []

    def section(self, title: str, *blocks: Block) -> "Page":
        """Add a section and return the page."""
        self._sections.append(Section(title, blocks))
        return self

    def html(self) -> str:
        """Return the whole page; the same blocks give the same text.

        Raises:
            InputError: A picture has no description, or is none of PNG, JPEG and WebP.
        """
        slides = any(
            isinstance(block, Slider)
            for section in self._sections
            for block in _all(section.blocks)
        )
        script = _file("page.js") if slides else ""
        return (
            _templates()
            .get_template("page.html")
            .render(
                title=self.title,
                subtitle=self.subtitle,
                sections=self._sections,
                version=__version__,
                policy=_policy(script),
                style=Markup(_file("page.css")),
                side_by_side=Markup(_file("page.side.css") if slides else ""),
                script=Markup(script),
            )
        )


# --- parts ---------------------------------------------------------------------------------------


@cache
def _file(name: str) -> str:
    return files("impasto.reports").joinpath(name).read_text(encoding="utf-8")


@cache
def _templates() -> Environment:
    """Return the templates of this folder; they escape everything that is not `Markup`."""
    environment = Environment(
        loader=FunctionLoader(_file),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"url": _picture_url, "size": _size, "described": _described}
    return environment


def _block(macro: str, block: Any) -> Markup:
    """Return a block's HTML from the macro of its kind in blocks.html."""
    return Markup(getattr(_templates().get_template("blocks.html").module, macro)(block))


def _visible(value: Any) -> Any:
    """Return text with a mark for each character that cannot stand in UTF-8 or XML."""
    if isinstance(value, str) and not isinstance(value, Markup):
        mark = "\N{REPLACEMENT CHARACTER}"
        return "".join(c if c.isprintable() or c in "\n\t" else mark for c in value)
    return value


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


def _cell(value: Cell, digits: int) -> str:
    if isinstance(value, (str, int)):
        return str(value)
    return "\N{EN DASH}" if math.isnan(value) else f"{value:.{digits}g}"


def _described(alt: str) -> str:
    """Return the description of a picture; refuse one that says nothing."""
    if not alt.strip(" :"):
        raise InputError("a picture on a page needs a description; give alt")
    return alt


def _url(kind: str, data: bytes) -> Markup:
    """Return an address that holds the data itself; there is nothing to escape in it."""
    return Markup(f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}")


def _picture_url(data: bytes) -> Markup:
    return _url(_header(data)[0], data)


def _size(data: bytes) -> tuple[int, int]:
    """Return width and height of a picture, in px."""
    return _header(data)[1]


def _header(data: bytes) -> tuple[str, tuple[int, int]]:
    """Return the type of a picture and its size in pixels, from its header."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as image:
            kind, size = image.get_format_mimetype(), image.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError("a picture on a page must be PNG, JPEG or WebP; encode it so") from error
    if kind not in TYPES:
        raise InputError(f"a picture on a page must be PNG, JPEG or WebP, not {kind}")
    return kind, size
