"""Which settings a grid varies: axes of values, read and checked before anything runs. No torch here.

The first axis goes along the columns, the second along the rows, in the order in which values are given.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from impasto.config.model import is_table
from impasto.config.settings import Settings
from impasto.config.synonyms import name_hint
from impasto.errors import SettingsError
from impasto.messages import counted, printable

MOST_CELLS = 400  # that run without being asked for twice
PRESET, STYLE = CHOICES = ("preset", "style")  # what varies beside settings
LONGEST_NAME = 120  # characters of a cell's file name, without its ending


@dataclass(frozen=True)
class Axis:
    """One setting and the values it takes."""

    field: str
    values: tuple[Any, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What stands beside the columns or rows, such as `size = 512 px`."""
        if self.field in CHOICES:
            return tuple(named(value) for value in self.values)
        extra = Settings.model_fields[self.field].json_schema_extra
        unit = f" {extra['unit']}" if isinstance(extra, dict) and extra["unit"] else ""
        return tuple(
            f"{self.field} = {worded(value)}{unit if value is not None else ''}" for value in self.values
        )


@dataclass(frozen=True)
class GridCell:
    """One cell of a grid: where it stands, counted from 1, and what is varied there."""

    row: int
    column: int
    varied: Mapping[str, Any]
    settings: Settings
    stem: str  # of its file's name

    @property
    def label(self) -> str:
        """What is varied there, in one line."""
        said = ", ".join(f"{name} = {named(value)}" for name, value in self.varied.items())
        return f"row {self.row}, column {self.column} ({said})"


@dataclass(frozen=True)
class Axes:
    """One or two axes and the cells between them, row by row."""

    columns: Axis
    rows: Axis | None
    places: tuple[GridCell, ...]

    def values_of(self, field: str) -> tuple[Any, ...]:
        """Return the values of what varies by its name; none if it does not vary."""
        axes = [axis for axis in (self.columns, self.rows) if axis is not None and axis.field == field]
        return axes[0].values if axes else ()

    def at(self, row: int, column: int) -> GridCell:
        """Return one cell, counted from 1.

        Raises:
            SettingsError: There is no such row or column.
        """
        across, down = len(self.columns.values), len(self.rows.values) if self.rows else 1
        if not (1 <= row <= down and 1 <= column <= across):
            size = f"{counted(down, 'row')} and {counted(across, 'column')}"
            raise SettingsError(f"there is no cell {row},{column}: the grid has {size}")
        return self.places[(row - 1) * across + column - 1]


def named(value: object) -> str:
    """Return a value as a label has it: in full, but a file without its folder."""
    return worded(value).rstrip("/").rpartition("/")[2] if isinstance(value, str) else worded(value)


def worded(value: object) -> str:
    """Return a value in full: all digits that it needs, layers as they are written on flags."""
    if isinstance(value, Mapping):
        return ",".join(name if w == 1 else f"{name}={worded(w)}" for name, w in value.items())
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def parse(texts: Sequence[str]) -> dict[str, list[str]]:
    """Read `style_weight=1,10`, once or twice; values of settings that hold commas stand between `;`.

    Raises:
        SettingsError: A text is not of this form, or a setting is unknown or named twice.
    """
    vary: dict[str, list[str]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = known(name.strip().replace("-", "_"), "--vary")
        if not equals:
            raise SettingsError(f"--vary {name}: its values are missing, as in {name}=1,2")
        if name in vary:
            raise SettingsError(f"--vary {name}: given twice; put all values into one")
        listed = name in Settings.model_fields and is_table(Settings.model_fields[name])
        between = ";" if listed else ","
        vary[name] = [part.strip() for part in values.split(between)]
    return vary


def known(name: str, called: str = "vary") -> str:
    """Return the name of what can vary, or refuse it; `called` is what the user varies settings with."""
    if name in Settings.model_fields or name in CHOICES:
        return name
    hint = name_hint(name, [*Settings.model_fields, *CHOICES])
    hint = hint or f" Known: {', '.join(Settings.model_fields)}."
    raise SettingsError(f"{called}: unknown setting '{printable(name)}'.{hint}")


def plan(
    vary: Mapping[str, Iterable[Any]],
    base: Settings,
    *,
    many: bool = False,
    called: str = "vary",
    of_preset: Callable[[str], Settings] | None = None,
) -> Axes:
    """Check everything about what is varied, and return the cells.

    The first setting goes along the columns, the second along the rows. `many` allows more than `MOST_CELLS`;
    `called` is what the user gave `vary` with, for messages; `of_preset` returns what the cells of a preset
    start from: by default the preset, and over it what in `base` is not the default.

    Raises:
        SettingsError: A name or value is wrong, values are missing or repeated, or there are too many.
    """
    if not 1 <= len(vary) <= 2:
        raise SettingsError(f"{called}: one or two settings can vary at a time, not {len(vary)}")
    axes = [_axis(known(name, called), values, called) for name, values in vary.items()]
    columns, rows = axes[0], axes[1] if len(axes) == 2 else None
    count = len(columns.values) * (len(rows.values) if rows else 1)
    if count > MOST_CELLS and not many:
        raise SettingsError(
            f"{called}: that makes {count} cells, each a whole run; --yes (many=True) if you mean it"
        )
    bases: dict[str | None, Settings] = {None: base}
    for name in vary.get(PRESET, ()):
        bases[name] = (of_preset or partial(_over_preset, base))(name)
    return Axes(columns, rows, tuple(_places(columns, rows, bases, called)))


def _over_preset(base: Settings, name: str) -> Settings:
    """Return a preset, and over it what in `base` is not the default."""
    standard = Settings()
    return Settings.preset(name, **{n: v for n, v in base if v != getattr(standard, n)})


def _axis(field: str, values: Iterable[Any], called: str) -> Axis:
    """Convert and check the values of one setting."""
    called = f"{called} {field}"
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise SettingsError(f"{called}: give a list of values, not {values!r}")
    values = list(values)
    if not values:
        raise SettingsError(f"{called}: its values are missing")
    found: list[Any] = []
    for value in values:
        if isinstance(value, str) and not value:
            raise SettingsError(f"{called}: a value is empty; give values as in {field}=1,2")
        converted = _checked(field, value, called)
        if converted in found:
            raise SettingsError(f"{called}: {worded(converted)} is given twice; leave one out")
        found.append(converted)
    return Axis(field, tuple(found))


def _checked(field: str, value: Any, called: str) -> Any:
    """Return a value of a setting, the name of a preset, or a painting's path."""
    if field not in CHOICES:
        return getattr(Settings.from_texts({field: value}, {field: called}), field)
    if field == PRESET:
        Settings.preset(value)  # is it there?
    elif not isinstance(value, (str, os.PathLike)):
        raise SettingsError(f"{called}: give the names of files, not {value!r}")
    return os.fspath(value)


def _places(
    columns: Axis, rows: Axis | None, bases: Mapping[str | None, Settings], called: str
) -> Iterator[GridCell]:
    below = rows.values if rows else (None,)
    digits = max(2, len(str(max(len(columns.values), len(below)))))
    for row, second in enumerate(below, start=1):
        for column, first in enumerate(columns.values, start=1):
            varied = {columns.field: first} | ({rows.field: second} if rows else {})
            changes = {name: value for name, value in varied.items() if name not in CHOICES}
            base = bases[varied.get(PRESET)]
            if "quality" in varied:  # a number of evaluations would override it
                changes.setdefault("evaluations", None)
            try:
                settings = base.changed(**changes)
            except SettingsError as error:
                said = ", ".join(f"{name} = {worded(value)}" for name, value in varied.items())
                raise SettingsError(f"{called} {said}: {error}") from error
            parts = "_".join(f"{name}={named(value)}" for name, value in varied.items())
            stem = f"{row:0{digits}d}-{column:0{digits}d}_" + re.sub(r"[^\w.,=+-]", "-", parts)
            yield GridCell(row, column, varied, settings, stem[:LONGEST_NAME])
