"""Figures from plain numbers, as PNG and SVG. No torch here; matplotlib is imported when one is drawn.

Colors are those of Okabe and Ito, and each line has a dash and a marker of its own besides, so that a
figure reads without color vision and in gray. Figures have a white background of their own: they look the
same on light and dark pages. The same numbers give the same bytes; no date or version is written::

    drawing = loss_curve(result.history, layers=True)
    Path("loss.svg").write_text(drawing.svg)
"""

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from impasto.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from impasto.transfer.result import Record

ROUND = 20  # evaluations; known here without torch, a test compares with the solvers'
MOST_ROUNDS = 60  # more would be gray and no help
DPI = 160  # of the PNG
WIDTH, HEIGHT = 8.0, 4.2  # inches, of one chart
INK, PALE = "#25221d", "#c9c4b8"
# Color, dash, marker. Okabe and Ito 2008, "Color Universal Design"; without the yellow, which is too
# light for lines on white.
LINES: dict[str, tuple[str, Any, str]] = {
    "total": ("#000000", "-", ""),
    "content": ("#0072B2", (0, (5, 2)), "o"),
    "style": ("#D55E00", (0, (6, 2, 1.5, 2)), "s"),
}
OTHERS: tuple[tuple[str, Any, str], ...] = (
    ("#009E73", (0, (1.5, 1.5)), "^"),
    ("#CC79A7", (0, (8, 2)), "D"),
    ("#56B4E9", (0, (3, 1.5, 1.5, 1.5)), "v"),
    ("#E69F00", "-", "P"),
    ("#0072B2", (0, (1.5, 1.5)), "X"),
    ("#D55E00", (0, (3, 2)), "*"),
    ("#000000", (0, (1, 2)), "<"),
)
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 10.0,
    "svg.fonttype": "path",  # the file needs no font; the labels stand in it as comments
    "svg.hashsalt": "impasto",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True)
class Drawing:
    """One figure in two forms."""

    png: bytes
    svg: str


def loss_curve(
    rows: Sequence["Record"], *, layers: bool = False, sizes: Sequence[str] = (), width: float = WIDTH
) -> Drawing:
    """Draw the losses of a run against its evaluations, on a logarithmic scale.

    Solid upright lines divide the scales, dotted ones rounds of 20 evaluations. Losses that are not
    finite or not above zero leave a gap.

    Args:
        rows: The history of a run.
        layers: Draw a second chart with the layers of each term.
        sizes: What each scale is called in the figure, such as `256 x 192 px`.
        width: Of the figure, in inches; PNGs have 160 pixels an inch.

    Raises:
        InputError: There are no rows.
    """
    if not rows:
        raise InputError("there is no history to draw; the run had no evaluation")
    names = list(dict.fromkeys(name for row in rows for name in row.losses))
    terms = [name for name in names if "." not in name]
    single = [name for name in names if "." in name] if layers else []
    charts = {"weighted loss (no unit)": terms}
    if single:
        charts["weighted loss of each layer (no unit)"] = single

    def fill(figure: Any) -> None:
        panels = figure.subplots(len(charts), 1, sharex=True, squeeze=False)[:, 0]
        for panel, (label, shown) in zip(panels, charts.items(), strict=True):
            _lines(panel, rows, shown)
            panel.set_ylabel(label)
            _marks(panel, rows, sizes if panel is panels[0] else ())
            panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, handlelength=3.4)
        panels[-1].set_xlabel("evaluations of the network since the start")

    return drawn(width, HEIGHT * len(charts), fill)


def drawn(width: float, height: float, fill: Callable[[Any], None]) -> Drawing:
    """Return a new figure (inches) that `fill` draws on; the same strokes give the same bytes."""
    import matplotlib.style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # The user's own matplotlibrc must not change our figures, nor ours the user's.
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        fill(figure)
        png, svg = io.BytesIO(), io.StringIO()
        figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return Drawing(png.getvalue(), svg.getvalue())


def _lines(panel: "Axes", rows: Sequence["Record"], names: Sequence[str]) -> None:
    """Draw a line for each loss, broken where a scale ends: its losses are those of another problem."""
    spare = iter(OTHERS * (len(names) // len(OTHERS) + 1))
    step = max(1, len(rows) // 12)
    panel.set_yscale("log")
    panel.margins(x=0.02)
    for order, name in enumerate(names):
        color, dash, marker = LINES.get(name) or next(spare)
        xs: list[float] = []
        ys: list[float] = []
        for before, row in zip([rows[0], *rows], rows, strict=False):
            if row.scale != before.scale:
                xs.append(row.evaluation - 0.5)
                ys.append(math.nan)
            value = row.losses.get(name, math.nan)
            xs.append(row.evaluation)
            ys.append(value if 0 < value < math.inf else math.nan)
        panel.plot(
            xs,
            ys,
            label=name,
            color=color,
            linestyle=dash,
            linewidth=2.0 if name == "total" else 1.4,
            marker=marker or None,
            markersize=4.5,
            markevery=((order * step) // max(1, len(names)), step),
            zorder=3 if name == "total" else 2.5,
        )


def _marks(panel: "Axes", rows: Sequence["Record"], sizes: Sequence[str]) -> None:
    """Mark where scales begin, with what they are called, and rounds of 20 inside them."""
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.grid(axis="y", color=PALE, linewidth=0.5, alpha=0.6)
    starts = [
        row.evaluation
        for before, row in zip([None, *rows], rows, strict=False)
        if before is None or before.scale != row.scale
    ]
    if len(rows) <= ROUND * MOST_ROUNDS:
        for begin, end in zip(starts, [*starts[1:], rows[-1].evaluation + 1], strict=True):
            for at in range(begin + ROUND, end, ROUND):
                panel.axvline(at - 0.5, color=PALE, linewidth=0.7, linestyle=":", zorder=1)
    for at in starts[1:]:
        panel.axvline(at - 0.5, color=INK, linewidth=0.8, alpha=0.55, zorder=1)
    for at, text in zip(starts, sizes, strict=False):
        panel.annotate(
            text,
            (at - 0.5 if at != starts[0] else at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=8,
        )
