"""The page about one result: pictures, slider, course, losses, settings, time, recipe; all in one file.

    capture = RunCapture(photo, [painting])
    result = impasto.stylize(photo, painting, on_step=capture.step)
    Path("out.html").write_text(capture.page(result), encoding="utf-8")

The page holds no folder and no name of a machine or its owner: nothing but what the recipe holds.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from impasto.config.model import format_value
from impasto.config.recipe import InputRecord, Recipe
from impasto.config.settings import Settings
from impasto.errors import End, PictureError
from impasto.image.picture import Picture
from impasto.messages import duration, printable
from impasto.reports.figures import loss_curve
from impasto.reports.html import Block, Code, Details, Figure, Page, Pictures, Slider, Table, Text
from impasto.transfer.result import Record, columns

if TYPE_CHECKING:
    from impasto.transfer.result import Result, Step

LARGE, MIDDLE, INPUT, SMALL = 1024, 800, 480, 288  # px; the long edge of pictures, at most
ENDED_EARLY = (End.INTERRUPTED, End.STOP, End.NOT_FINITE)  # in the middle of a scale
QUALITY = 85  # of the JPEGs in the page; the files themselves are not touched
Strip = Sequence[tuple[str, Picture]]  # the course of a run: (label, picture), the first first


def report_of(
    picture: Picture,
    recipe: Recipe,
    *,
    content: Picture | None = None,
    styles: Sequence[Picture | None] = (),
    history: Sequence[Record] = (),
    strip: Strip = (),
    notes: Sequence[str] = (),
    carried: bool = True,
) -> str:
    """Return the page about a picture and its recipe, as HTML.

    Args:
        picture: The result.
        recipe: Of the result.
        content: The photo; without it there is no slider.
        styles: The paintings; None in place of one that is not at hand.
        history: The losses; without them there is no curve.
        strip: The course of the run; without it there is no such section.
        notes: Sentences for the top of the page.
        carried: Whether the picture's file holds the recipe, too.
    """
    names = " and ".join(_name(style.name) for style in recipe.styles)
    title = f"{_name(recipe.content.name)} in the style of {names}"
    spent = sum(scale.evaluations for scale in recipe.scales)
    size = f"{picture.width} x {picture.height} px"
    made = f"{recipe.created[:10]} by impasto {printable(recipe.impasto)}"
    page = Page(title, f"{size}. {spent} evaluations in {duration(recipe.seconds)}. Made {made}.")
    page.section(
        "The picture", *map(Text, notes), _inputs_and_result(picture, recipe, content, styles, title)
    )
    if content is not None:
        after = picture.thumbnail(MIDDLE)
        before = Picture.from_tensor(content.tensor(after.width, after.height))
        slider = Slider(_jpeg(before), _jpeg(after), ("photo", "result"), title)
        page.section("Before and after", slider)
    if strip:
        items = [(_jpeg(canvas), label, f"The canvas at {label}") for label, canvas in strip]
        caption = "The canvas at single evaluations, and where each scale ended."
        page.section("The course", Pictures(items, caption))
    page.section("Losses", *_losses(recipe, history))
    page.section("Settings", *_settings(recipe))
    page.section("Time and machine", *_machine(recipe))
    page.section("Inputs and recipe", *_recipe(recipe, carried))
    return page.html()


class RunCapture:
    """Keeps small pictures of a run for its page: of evaluations 1, 2, 5, 10, ... and of scales' ends.

    Args:
        content: The photo.
        styles: The paintings.
    """

    def __init__(self, content: Picture, styles: Sequence[Picture]) -> None:
        self.content = content
        self.styles = tuple(styles)
        self._pictures: dict[int, tuple[str, Picture]] = {}
        self._last: Step | None = None

    def step(self, step: "Step") -> None:
        """Keep the picture of an evaluation, if it is one of those; this is an `on_step`."""
        if self._last is not None and self._last.scale != step.scale:
            self._keep(self._last, "end of ")
        self._last = step.kept()
        if str(step.evaluations).rstrip("0") in ("1", "2", "5"):
            self._keep(step)

    def strip(self, stopped: str = "") -> Strip:
        """Return the pictures kept so far and the last one, each with a label.

        Args:
            stopped: How the run ended, as in `Result.stopped`.
        """
        if self._last is not None:
            early = stopped in ENDED_EARLY
            self._keep(self._last, f"{stopped} in " if early else "end of ")
        return list(self._pictures.values())

    def page(self, result: "Result", notes: Sequence[str] = (), *, carried: bool = True) -> str:
        """Return the page about the result of the run; see `report_of`."""
        return report_of(
            result.picture,
            result.recipe,
            content=self.content,
            styles=self.styles,
            history=result.history,
            strip=self.strip(result.stopped),
            notes=notes,
            carried=carried,
        )

    def _keep(self, step: "Step", end: str = "") -> None:
        where = f"{end}scale {step.scale}, {step.width} x {step.height} px"
        try:
            earlier = self._pictures.get(step.evaluations)
            small = earlier[1] if earlier else step.picture(SMALL).thumbnail(SMALL)
        except PictureError:  # a canvas with values that are not finite has no picture
            return
        self._pictures[step.evaluations] = (f"evaluation {step.evaluations}: {where}", small)


def sentences(history: Sequence[Record]) -> str:
    """Return a few sentences about the losses of the last scale; empty if none of them is finite."""
    scale = history[-1].scale if history else 0
    rows = [row for row in history if row.scale == scale and math.isfinite(row.losses["total"])]
    if not rows:
        return ""
    best = min(rows, key=lambda row: row.losses["total"])
    first, least = rows[0].losses["total"], best.losses["total"]
    where = "At the last scale the" if scale > 1 else "The"
    parts = []
    if least < first:
        share = f", {100 * least / first:.3g} % of its start," if least > 0 else ""
        middle = first - (first - least) / 2
        half = next(number for number, row in enumerate(rows, 1) if row.losses["total"] <= middle)
        parts.append(
            f"{where} total fell from {first:.6g} to {least:.6g}{share} in {len(rows)} evaluations; "
            f"half of that fall had come by evaluation {half} of them."
        )
    else:
        parts.append(f"{where} total did not fall below its start, {first:.6g}.")
    terms = {name: value for name, value in best.losses.items() if "." not in name}
    terms.pop("total", None)
    if len(terms) > 1 and least > 0:
        shares = ", ".join(f"{name} {100 * value / least:.3g} %" for name, value in terms.items())
        parts.append(f"Where it was lowest it was made up of: {shares}.")
    if scale > 1:
        parts.append("Losses of one scale do not compare with those of another: targets differ.")
    return " ".join(parts)


# --- pictures ------------------------------------------------------------------------------------


def _jpeg(picture: Picture) -> bytes:
    return picture.encode(".jpg", bits=8, jpeg_quality=QUALITY, metadata="strip")


def _inputs_and_result(
    picture: Picture, recipe: Recipe, content: Picture | None, styles: Sequence[Picture | None], title: str
) -> Block:
    """Return the result, large, between the photo and the paintings."""
    items = []
    if content is not None:
        name = _name(recipe.content.name)
        items.append((_jpeg(content.thumbnail(INPUT)), name, f"The photo {name}"))
    large = len(items)
    size = f"{picture.width} x {picture.height} px"
    items.append((_jpeg(picture.thumbnail(LARGE)), f"The result, {size}", f"The result: {title}"))
    for style, record in zip(styles, recipe.styles, strict=False):
        if style is None:
            continue
        name = _name(record.name)
        share = f", weight {record.weight:g}" if len(recipe.styles) > 1 else ""
        items.append((_jpeg(style.thumbnail(INPUT)), name + share, f"The painting {name}"))
    return Pictures(items, large=large)


# --- numbers -------------------------------------------------------------------------------------


def _losses(recipe: Recipe, history: Sequence[Record]) -> Iterator[Block]:
    if history:
        sizes = [f"{scale.width} x {scale.height} px" for scale in recipe.scales]
        layers = any("." in name for name in history[0].losses)
        drawing = loss_curve(history, layers=layers, sizes=sizes)
        summary = sentences(history)
        if summary:
            yield Text(summary)
        caption = (
            "Weighted losses at every evaluation, on a logarithmic scale: above the total and its "
            "terms, below the layers. Upright lines: scales; dotted: rounds of 20 evaluations."
        )
        yield Figure(drawing.png, caption, f"The losses of the run. {summary}", drawing.svg, "losses")
        table = columns(history)
        rows = list(zip(*table.values(), strict=True))
        yield Details(
            f"All {len(rows)} evaluations as numbers",
            Table(list(table), rows, "Weighted losses; seconds since the start of the run shown here."),
        )
    rows = [(_name(name), value) for name, value in recipe.losses.items()]
    yield Table(("loss", "weighted"), rows, "Losses of the picture.")


def _settings(recipe: Recipe) -> Iterator[Block]:
    rows = []
    for name, field in Settings.model_fields.items():
        value = getattr(recipe.settings, name)
        default = field.get_default(call_default_factory=True)
        same = "yes" if value == default else "no"
        rows.append((name, format_value(value), format_value(default), same))
    marked = [number for number, row in enumerate(rows) if row[3] == "no"]
    names = ("setting", "value", "default", "as by default")
    if marked:
        changed = [rows[number][:3] for number in marked]
        yield Table(names[:3], changed, "What differs from the default.")
    else:
        yield Text("All settings are those by default.")
    count = f"{len(marked)} of {len(rows)} settings differ from the default; their rows are set off."
    yield Details("All settings", Table(names, rows, count, marked))


def _machine(recipe: Recipe) -> Iterator[Block]:
    rows = [
        (
            f"{scale.width} x {scale.height} px",
            scale.evaluations,
            scale.seconds,
            scale.seconds / scale.evaluations if scale.evaluations else math.nan,
            printable(scale.reason),
        )
        for scale in recipe.scales
    ]
    names = ("scale", "evaluations", "seconds", "seconds each", "ended by")
    whole = f"The whole run took {recipe.seconds:g} s and ended by: {printable(recipe.stopped)}."
    yield Table(names, rows, whole)
    runtime = recipe.runtime
    facts = {
        "device": runtime.device,
        "threads": format_value(runtime.threads),
        "precision": runtime.precision,
        "impasto": recipe.impasto,
        **recipe.machine,
    }
    for name in ("tile", "pairs", "compact"):
        if getattr(runtime, name) is not None:
            facts[name] = format_value(getattr(runtime, name))
    values = [(name.replace("_", " "), printable(value)) for name, value in facts.items()]
    yield Table(("machine", "value"), values, "Machine and versions.")


def _recipe(recipe: Recipe, carried: bool) -> Iterator[Block]:
    rows = [_input("photo", recipe.content)]
    for style in recipe.styles:
        rows.append(_input("painting", style))
        rows += [_input(f"mask {mask.color or ''}".strip(), mask) for mask in style.pictures[1:]]
    if recipe.protect:
        rows.append(_input("protected", recipe.protect))
    if recipe.init_picture:
        rows.append(_input("start", recipe.init_picture))
    rows.append(("weights", _name(recipe.weights), "", "", recipe.weights_sha256))
    if recipe.pixels_sha256:
        rows.append(("result", "its pixels", "", "", recipe.pixels_sha256))
    yield Table(("what", "name", "size", "weight", "SHA-256"), rows, "What went in, and came out.")
    again = "The picture carries this recipe; impasto reproduce makes the picture again from it."
    if not carried:
        again = (
            "The picture was saved without its recipe. This page has it, and names what went in: keep the "
            "JSON below as a file, and impasto reproduce makes the picture again from it."
        )
    own = "It cannot be made again from it: a callback or a loss was the caller's own."
    yield Text(again if recipe.reproducible else own)
    yield Details("The recipe, as JSON", Code(recipe.to_json()))


def _input(what: str, record: InputRecord) -> tuple[str, str, str, str, str]:
    size = f"{record.width} x {record.height} px"
    weight = f"{record.weight:g}" if what == "painting" else ""
    return what, _name(record.name), size, weight, record.sha256


def _name(text: str) -> str:
    """Return a name without its folder, in one line; recipes come from anywhere."""
    return printable(re.split(r"[/\\]", text)[-1])
