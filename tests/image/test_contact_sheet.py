"""The contact sheet: every picture where it belongs, labels where they are read, sizes within limits."""

from types import SimpleNamespace

import numpy as np
import pytest

from impasto.errors import InputError
from impasto.image.contact_sheet import CELL, INK, LARGEST, MARGIN, Layout, contact_sheet, layout_of, wrapped
from impasto.image.picture import Picture
from impasto.image.pixels import shrunk


def pictures(count: int, width: int = 40, height: int = 30) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def crop(sheet: Picture, box: tuple[int, int, int, int]) -> np.ndarray:
    left, top, right, bottom = box
    return sheet.array(8)[top:bottom, left:right]


def test_small_pictures_stand_in_their_places_pixel_by_pixel() -> None:
    given = pictures(6)
    columns, rows = ["a = 1", "a = 2", "a = 3"], ["b = 1", "b = 2"]
    sheet = contact_sheet(given, columns=columns, rows=rows, captions=["x\ny"] * 6, title="title")
    layout = layout_of([(40, 30)] * 6, columns=columns, rows=rows, captions=["x\ny"] * 6, title="title")
    assert (sheet.width, sheet.height) == layout.sheet
    for index, picture in enumerate(given):
        box = layout.box(*divmod(index, 3), (40, 30))
        assert (crop(sheet, box) == picture).all(), index


def test_nothing_overlaps() -> None:
    layout = Layout((200, 100), ["a = 1", "b" * 60], ["row one", "row two", "row three"], 2, "t")
    boxes = [layout.room(row, column) for row in range(3) for column in range(2)]
    width, height = layout.sheet
    for left, top, right, bottom in boxes:
        assert layout.left < left < right < width
        assert layout.head + layout.above < top < bottom < height
    assert boxes[0][2] < boxes[1][0]
    assert boxes[0][3] + 2 * layout.small < boxes[2][1]


def ink(sheet: Picture, box: tuple[int, int, int, int]) -> int:
    return int((crop(sheet, box) == INK).all(-1).sum())


def test_labels_are_drawn_beside_what_they_name() -> None:
    white = [np.full((200, 200, 3), 255, np.uint8)] * 4
    for columns, rows in (
        (["first", ""], ["", ""]),
        (["", "second"], ["", ""]),
        (["", ""], ["first", ""]),
        (["", ""], ["", "second"]),
    ):
        sheet = contact_sheet(white, columns=columns, rows=rows)
        layout = layout_of([(200, 200)] * 4, columns=columns, rows=rows)
        for column, text in enumerate(columns):
            left, top, right, _ = layout.room(0, column)
            assert bool(ink(sheet, (left, 0, right, top))) == bool(text)
        for row, text in enumerate(rows):
            left, top, _, bottom = layout.room(row, 0)
            assert bool(ink(sheet, (0, top, left, bottom))) == bool(text)


def test_large_pictures_shrink_and_small_ones_do_not_grow() -> None:
    assert shrunk(40, 30, 256) == (40, 30)
    assert shrunk(1024, 512, 256) == (256, 128)
    sheet = contact_sheet([np.full((512, 1024, 3), 9, np.uint8)], cell=64)
    layout = layout_of([(1024, 512)], columns=[""], rows=[""], cell=64)
    assert layout.cell == (64, 32)
    assert (crop(sheet, layout.room(0, 0)) == 9).all()


def test_a_missing_picture_leaves_a_blank_and_transparency_lies_on_white() -> None:
    clear = np.zeros((30, 40, 4), np.uint8)
    sheet = contact_sheet([None, clear], columns=2)
    layout = layout_of([None, (40, 30)], columns=["", ""], rows=[""])
    assert (crop(sheet, layout.room(0, 0)) == 240).all()
    assert (crop(sheet, layout.room(0, 1)) == 255).all()


def test_the_shape_is_about_a_square_if_nothing_is_said() -> None:
    wide = contact_sheet(pictures(9))
    assert wide.width == layout_of([(40, 30)], columns=[""] * 3, rows=[""] * 3).sheet[0]


def test_cells_shrink_until_the_sheet_is_small_enough() -> None:
    layout = layout_of([(256, 256)] * 100, columns=[""] * 100, rows=[""])
    assert max(layout.sheet) <= LARGEST
    assert layout.cell[0] < CELL
    with pytest.raises(InputError, match="do not fit a sheet of 16000 px"):
        layout_of([(256, 256)], columns=[""], rows=[""] * 700)


def test_labels_are_broken_into_a_few_lines() -> None:
    layers = "style_layers = relu1_1,relu2_1,relu3_1,relu4_1,relu5_1"
    lines = wrapped(layers, 16, 256)
    assert 1 < len(lines) <= 4
    assert "".join(lines).replace(" ", "") == layers.replace(" ", "")
    assert wrapped("content_weight = 0.001", 13, 150) == ["content_weight = 0.001"]
    assert wrapped("content_weight = 0.001", 13, 110) == ["content_weight", "= 0.001"]
    assert len(wrapped("word " * 200, 16, 200)) == 4


def test_a_note_is_below_all_else() -> None:
    plain, noted = (contact_sheet(pictures(3), note=note) for note in ("", "a note"))
    assert noted.width == plain.width
    below = noted.array(8)[plain.height - MARGIN :]
    assert (noted.array(8)[: plain.height - MARGIN] == plain.array(8)[:-MARGIN]).all()
    assert (below < 200).any()
    assert (below[-MARGIN:] == 255).all()
    contact_sheet(pictures(1), note="long " * 200)


def test_what_has_a_picture_is_taken_too() -> None:
    made = [Picture.of(array) for array in pictures(2)]
    pictured = [SimpleNamespace(picture=picture) for picture in made] + [SimpleNamespace(picture=None)]
    assert contact_sheet(pictured).pixels_sha256() == contact_sheet([*made, None]).pixels_sha256()


def test_a_hostile_name_is_one_line() -> None:
    contact_sheet(pictures(1), title="a\nb\x1b" * 60, columns=["\x00\n"], captions=["\x1b"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pictures": []}, "no pictures given"),
        ({"columns": 0}, "columns: there must be at least one"),
        ({"columns": 2, "rows": 1}, "3 pictures do not fit 1 x 2 cells"),
        ({"cell": 3}, "cell: must be 16 px or more, not 3"),
    ],
)
def test_bad_input(options, words) -> None:
    given = options.pop("pictures", pictures(3))
    with pytest.raises(InputError, match=words):
        contact_sheet(given, **options)
