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
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from impasto._version import __version__
from impasto.errors import InputError

TYPES = ("image/png", "image/jpeg", "image/webp")
Cell = str | int | float


class Block:
    """A part of a section. In blocks.html the macro of its name writes it."""

    def html(self) -> str:
        """Return the block's HTML, all text escaped."""
        macros = TEMPLATES.get_template("blocks.html").module
        return Markup(getattr(macros, type(self).__name__.lower())(self))


@dataclass(frozen=True)
class Text(Block):
    """Paragraphs, separated by empty lines."""

    text: str


@dataclass(frozen=True)
class Heading(Block):
    """The name of a part of a section."""

    text: str


@dataclass(frozen=True)
class Equation:
    """One of `Equations`: what it is, MathML with `alttext`, what computes it, and a sentence about it."""

    name: str
    mathml: Markup
    computed_by: str
    about: str = ""


@dataclass(frozen=True)
class Equations(Block):
    """Equations, one below the other."""

    items: Sequence[Equation]


@dataclass(frozen=True)
class Code(Block):
    """Text that is shown as it is, such as a recipe."""

    text: str


@dataclass(frozen=True)
class Figure(Block):
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


@dataclass(frozen=True)
class Pictures(Block):
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


@dataclass(frozen=True)
class Table(Block):
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
            list(zip([_cell(value, self.digits) for value in row], numeric, strict=True)) for row in self.rows
        ]


@dataclass(frozen=True)
class Slider(Block):
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


class Details(Block):
    """Blocks that are folded away until the reader opens them."""

    def __init__(self, summary: str, *blocks: Block) -> None:
        self.summary = summary
        self.blocks = blocks


class Page:
    """A page of sections.

    Args:
        title: What it is about.
        subtitle: A line below the title.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self.sections: list[tuple[str, tuple[Block, ...]]] = []

    def section(self, title: str, *blocks: Block) -> "Page":
        """Add a section and return the page."""
        self.sections.append((title, blocks))
        return self

    def html(self) -> str:
        """Return the whole page; the same blocks give the same text.

        Raises:
            InputError: A picture has no description, or is none of PNG, JPEG and WebP.
        """
        return TEMPLATES.get_template("page.html").render(page=self, version=__version__)


def _visible(value: Any) -> Any:
    """Return text with a mark for each character that cannot stand in UTF-8 or XML."""
    if isinstance(value, str) and not isinstance(value, Markup):
        mark = "\N{REPLACEMENT CHARACTER}"
        return "".join(c if c.isprintable() or c in "\n\t" else mark for c in value)
    return value


def _cell(value: Cell, digits: int) -> str:
    if isinstance(value, (str, int)):
        return str(value)
    return "\N{EN DASH}" if math.isnan(value) else f"{value:.{digits}g}"


def _described(alt: str) -> str:
    """Return the description of a picture; refuse one that says nothing."""
    if not alt.strip(" :"):
        raise InputError("a picture on a page needs a description; give alt")
    return alt


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _url(data: bytes | str) -> Markup:
    """Return an address that holds a picture or SVG itself; there is nothing to escape in it."""
    kind = "image/svg+xml" if isinstance(data, str) else _header(data)[0]
    coded = base64.b64encode(data.encode() if isinstance(data, str) else data)
    return Markup(f"data:{kind};base64,{coded.decode('ascii')}")


def _header(data: bytes) -> tuple[str, tuple[int, int]]:
    """Return the type of a picture and its size in pixels, from its header."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as image:
            kind = image.get_format_mimetype()
            if kind not in TYPES:  # PNG and JPEG have relatives with several pictures
                raise ValueError(kind)
            return kind, image.size
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError("a picture on a page must be PNG, JPEG or WebP; encode it so") from error


TEMPLATES = Environment(  # of this folder; they escape everything that is not `Markup`
    loader=PackageLoader("impasto", "reports"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_visible,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
TEMPLATES.filters |= {
    "described": _described, "header": _header, "sha256": _sha256, "url": _url,
}  # fmt: skip
