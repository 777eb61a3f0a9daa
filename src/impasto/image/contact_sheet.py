"""The contact sheet: many small pictures in one, in rows and columns, with labels.

`Layout` holds the positions, `contact_sheet` draws. Text is drawn with the font of Pillow, so that a sheet
looks the same on every machine.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageDraw
from PIL.ImageFont import FreeTypeFont, ImageFont, load_default

from impasto.errors import InputError
from impasto.image.picture import Picture, PictureLike
from impasto.image.pixels import shrunk
from impasto.messages import printable

CELL = 256  # px; long edge of a picture on the sheet, at most
LARGEST = 16_000  # px on a side of the sheet; JPEG, WebP and AVIF end a little above
NARROWEST = 150  # px; width of a column, so that labels of tiny pictures can be read
MARGIN, GAP = 20, 10  # px
PAPER, INK, FAINT, BLANK = (255, 255, 255), (30, 30, 30), (105, 105, 105), (240, 240, 240)
LINES = 4  # of a label
HARD = "\u00a0"  # no-break space

Box = tuple[int, int, int, int]  # left, top, right, bottom in px


@dataclass(frozen=True)
class Layout:
    """The positions on a sheet, in pixels.

    Attributes:
        cell: Width and height of the space for one picture.
        columns: Labels above the columns.
        rows: Labels left of the rows.
        captions: Lines below every picture.
        title: The line on top.
        least: Width of a column with tiny pictures.
        note: The line at the bottom.
    """

    cell: tuple[int, int]
    columns: Sequence[str]
    rows: Sequence[str]
    captions: int
    title: str
    least: int = NARROWEST
    note: str = ""

    @cached_property
    def size(self) -> int:
        """Font size of labels in pixels, in proportion to the pictures."""
        return max(13, min(40, round(max(self.cell) / 17)))

    @cached_property
    def small(self) -> int:
        """Font size of captions in pixels."""
        return max(11, round(self.size * 0.8))

    @cached_property
    def column(self) -> int:
        """Width of a column without the gap."""
        return max(self.cell[0], self.least)

    @cached_property
    def left(self) -> int:
        """Width of the labels left of the rows, with the gap to the pictures."""
        if not any(self.rows):
            return 0
        lines = [line for text in self.rows for line in wrapped(text, self.size, self.widest)]
        return math.ceil(max(load_default(self.size).getlength(line) for line in lines)) + 2 * GAP

    @cached_property
    def widest(self) -> int:
        """Width at which labels of the rows are wrapped."""
        return max(self.column, 14 * self.size)

    @cached_property
    def head(self) -> int:
        """Height of the title, with the gap below it."""
        return round(self.size * 1.25 * 1.3) + 2 * GAP if self.title else 0

    @cached_property
    def above(self) -> int:
        """Height of the labels above the columns, with the gap below them."""
        counts = [len(wrapped(text, self.size, self.column)) for text in self.columns if text]
        return max(counts) * line(self.size) + GAP if counts else 0

    @cached_property
    def step(self) -> tuple[int, int]:
        """Distance from one cell to the next, across and down."""
        below = self.captions * line(self.small) + (GAP // 2 if self.captions else 0)
        return self.column + GAP, self.cell[1] + below + GAP

    @cached_property
    def sheet(self) -> tuple[int, int]:
        """Width and height of the whole sheet."""
        across, down = len(self.columns), len(self.rows)
        width = 2 * MARGIN + self.left + across * self.step[0] - GAP
        height = 2 * MARGIN + self.head + self.above + down * self.step[1] - GAP
        return width, height + (GAP + line(self.small) if self.note else 0)

    def room(self, row: int, column: int) -> Box:
        """Return the space of one cell; row and column count from 0."""
        left = MARGIN + self.left + column * self.step[0] + (self.column - self.cell[0]) // 2
        top = MARGIN + self.head + self.above + row * self.step[1]
        return left, top, left + self.cell[0], top + self.cell[1]

    def box(self, row: int, column: int, size: tuple[int, int]) -> Box:
        """Return the box of a picture of this size, centered in its space."""
        left, top, right, bottom = self.room(row, column)
        left += (right - left - size[0]) // 2
        top += (bottom - top - size[1]) // 2
        return left, top, left + size[0], top + size[1]


def line(size: int) -> int:
    """Return the line height for a font size."""
    return math.ceil(size * 1.3)


def fitted(text: str, size: int, width: int) -> FreeTypeFont | ImageFont:
    """Return the font in the largest size, from this one down to 9, in which a text is this narrow."""
    while load_default(size).getlength(text) > width and size > 9:
        size -= 1
    return load_default(size)


def wrapped(text: str, size: int, width: int) -> list[str]:
    """Return a label as a few lines that fit a width in pixels."""
    text = printable(text).replace(",", ", ")
    letters = max(6, int(width * len(text) / max(1.0, load_default(size).getlength(text))))  # about
    text = text.replace("= ", f"={HARD}")
    lines = textwrap.wrap(text, letters, max_lines=LINES, placeholder=" …") or [""]
    return [part.replace(HARD, " ") for part in lines]


def layout_of(
    sizes: Sequence[tuple[int, int] | None],
    *,
    columns: Sequence[str],
    rows: Sequence[str],
    captions: Sequence[str] = (),
    title: str = "",
    note: str = "",
    cell: int = CELL,
) -> Layout:
    """Return the layout for pictures of these sizes; cells shrink where the sheet would get too large.

    Raises:
        InputError: Even tiny cells would not fit.
    """
    lines = max((text.count("\n") + 1 for text in captions if text), default=0)
    least = NARROWEST
    while True:
        drawn = [shrunk(*size, cell) for size in sizes if size is not None] or [(cell, cell)]
        space = max(width for width, _ in drawn), max(height for _, height in drawn)
        layout = Layout(space, columns, rows, lines, title, least, note)
        if max(layout.sheet) <= LARGEST:
            return layout
        cell = min(cell, max(space)) * 9 // 10
        least = min(least, cell)
        if cell < 16:
            raise InputError(
                f"{len(rows)} x {len(columns)} pictures do not fit a sheet of {LARGEST} px on a side; "
                "give fewer"
            )


class Pictured(Protocol):
    """An object with a picture, such as a `Result` or a `Cell`."""

    @property
    def picture(self) -> Picture | None:
        """The picture, if there is one."""


def contact_sheet(
    pictures: Sequence[PictureLike | Pictured | None],
    *,
    columns: int | Sequence[str] | None = None,
    rows: int | Sequence[str] | None = None,
    captions: Sequence[str] = (),
    title: str = "",
    note: str = "",
    cell: int = CELL,
    name: str = "<sheet>",
) -> Picture:
    """Arrange pictures in rows and columns, with labels.

    Args:
        pictures: Pictures or results, row by row; None leaves a blank. Transparent ones lie on white.
        columns: Labels of the columns, or their number. About a square if None.
        rows: Labels of the rows, or their number. As many as needed if None.
        captions: A text below each picture.
        title: A line on top.
        note: A small line at the bottom.
        cell: Maximum long edge of a picture on the sheet, in px; small ones are not enlarged.
        name: Of the sheet, in messages.

    Raises:
        InputError: There are no pictures, numbers do not fit together, or the sheet would be too large.
        PictureError: A picture cannot be read.
    """
    if not pictures:
        raise InputError("no pictures given; a sheet needs at least one")
    if cell < 16:
        raise InputError(f"cell: must be 16 px or more, not {cell}")
    across = _labels("columns", columns, math.ceil(math.sqrt(len(pictures))))
    down = _labels("rows", rows, math.ceil(len(pictures) / len(across)))
    cells = len(across) * len(down)
    if len(pictures) > cells:
        raise InputError(f"{len(pictures)} pictures do not fit {len(down)} x {len(across)} cells")
    # One after the other, so that only the small ones are in memory together.
    drawn = [_small(picture, cell) for picture in pictures]
    drawn += [None] * (cells - len(drawn))
    captions = [*captions, *[""] * (cells - len(captions))][:cells]
    sizes = [None if small is None else small.size for small in drawn]
    layout = layout_of(sizes, columns=across, rows=down, captions=captions, title=title, note=note, cell=cell)
    sheet = Image.new("RGB", layout.sheet, PAPER)
    draw = ImageDraw.Draw(sheet)
    _draw_labels(draw, layout)
    for index, (small, caption) in enumerate(zip(drawn, captions, strict=True)):
        row, column = divmod(index, len(across))
        if small is None:
            left, top, right, bottom = layout.room(row, column)
            draw.rectangle((left, top, right - 1, bottom - 1), fill=BLANK)  # the last px are inside
        else:
            small.thumbnail(layout.cell, Image.Resampling.LANCZOS)  # where cells had to shrink
            sheet.paste(small, layout.box(row, column, small.size)[:2])
        _draw_caption(draw, layout, row, column, caption)
    return Picture.of(np.asarray(sheet), name)


def _labels(what: str, value: int | Sequence[str] | None, count: int) -> list[str]:
    """Return labels; they are empty where `value` is a number or None (then there are `count`)."""
    value = count if value is None else value
    labels = [""] * value if isinstance(value, int) else list(value)
    if not labels:
        raise InputError(f"{what}: there must be at least one")
    return labels


def _small(item: PictureLike | Pictured | None, cell: int) -> Image.Image | None:
    """Return a picture in its size on the sheet; None for a blank."""
    source: Any = getattr(item, "picture", item)
    if source is None:
        return None
    picture = Picture.of(source)
    size = shrunk(picture.width, picture.height, cell)
    planes = picture.tensor(*size)[0].permute(1, 2, 0)
    return Image.fromarray((planes * 255 + 0.5).clamp(0, 255).byte().contiguous().numpy())


def _draw_labels(draw: ImageDraw.ImageDraw, layout: Layout) -> None:
    """Draw title and note, and the labels of columns and rows."""
    if layout.title:
        _draw_line(draw, layout, layout.title, MARGIN, round(layout.size * 1.25), INK)
    if layout.note:
        top = layout.sheet[1] - MARGIN - line(layout.small)
        _draw_line(draw, layout, layout.note, top, layout.small, FAINT)
    face, distance = load_default(layout.size), line(layout.size)
    for column, text in enumerate(layout.columns):
        lines = wrapped(text, layout.size, layout.column) if text else []
        left, top, right, _ = layout.room(0, column)
        top -= GAP + len(lines) * distance
        for number, part in enumerate(lines):
            draw.text(((left + right) / 2, top + number * distance), part, INK, face, "ma")
    for row, text in enumerate(layout.rows):
        lines = wrapped(text, layout.size, layout.widest) if text else []
        _, top, _, bottom = layout.room(row, 0)
        top = (top + bottom - len(lines) * distance) // 2
        right = MARGIN + layout.left - 2 * GAP
        for number, part in enumerate(lines):
            draw.text((right, top + number * distance), part, INK, face, "ra")


def _draw_line(
    draw: ImageDraw.ImageDraw, layout: Layout, text: str, top: int, size: int, ink: tuple[int, int, int]
) -> None:
    """Draw a line of text across the sheet, smaller or cut off where it is too long."""
    width = layout.sheet[0] - 2 * MARGIN
    text = printable(text)
    font = fitted(text, size, width)
    while font.getlength(text) > width and len(text) > 8:
        text = f"{text[:-2].rstrip(' …')}…"
    draw.text((MARGIN, top), text, ink, font)


def _draw_caption(draw: ImageDraw.ImageDraw, layout: Layout, row: int, column: int, text: str) -> None:
    left, _, right, bottom = layout.room(row, column)
    for number, part in enumerate(text.splitlines()):
        font = fitted(part, layout.small, layout.column)
        if font.getlength(part) <= layout.step[0]:  # else it would overlap the next one
            top = bottom + GAP // 2 + number * line(layout.small)
            draw.text(((left + right) / 2, top), printable(part), FAINT, font, "ma")
