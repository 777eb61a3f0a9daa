"""The experiment's figures, from plain numbers to PNG and SVG. No torch here.

Colors are those of Okabe and Ito, which differ also for the color-blind; lines differ by their dashes too.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from impasto.reports.experiment.wording import Rows, seconds_since_first
from impasto.reports.figures import Drawing, drawn

COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6b6b6b")
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (6, 2)), (0, (3, 3)))


def _axes(figure: Any, *place: int, across: str = "both") -> Any:
    """Return new axes with pale lines behind what is drawn; `across` says which, as matplotlib does."""
    axes = figure.add_subplot(*place)
    axes.grid(color="#e4e4e4", axis=across)
    axes.set_axisbelow(True)
    return axes


def _legend(axes: Any, columns: int) -> None:
    """Write what the lines are above the axes, where it covers none of them."""
    axes.legend(fontsize=8, ncols=columns, frameon=False, loc="lower left", bbox_to_anchor=(0, 1))


def losses(rows: Rows, every: int = 20) -> Drawing:
    """Draw total, content, style and each layer against evaluations, with the rounds marked."""
    names = [n for n in dict.fromkeys(k for row in rows for k in row)
             if n not in ("evaluation", "seconds")]  # fmt: skip

    def draw(figure: Any) -> None:
        axes = _axes(figure, across="y")  # upright lines are rounds only
        last = max(row["evaluation"] for row in rows)
        for end in range(every, int(last) + 1, every):
            axes.axvline(end, color="#777777", linewidth=0.7, linestyle=":", zorder=0)
        for number, name in enumerate(names):
            axes.plot(
                [row["evaluation"] for row in rows if name in row],
                [row[name] for row in rows if name in row],
                color=COLORS[number % len(COLORS)],
                linestyle=DASHES[number % len(DASHES)],
                linewidth=1.5 if "." in name else 2.4,
                marker="o" if number >= len(DASHES) else None,  # once dashes are used up
                markevery=max(1, len(rows) // 12),
                markersize=3,
                label=name,
            )
        axes.set_yscale("log")
        axes.set_xlabel(f"evaluations (dotted: every round of {every})")
        axes.set_ylabel("loss, weighted (log scale)")
        _legend(axes, 4)

    return drawn(8.0, 4.4, draw)


def gap(runs: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Drawing:
    """Draw, by round, the loss that was optimized and that of the saved picture, for each run."""
    from matplotlib.ticker import MaxNLocator

    def draw(figure: Any) -> None:
        axes = _axes(figure)
        for color, (name, (optimized, saved)) in zip(COLORS[1:], runs.items(), strict=False):
            axes.plot(optimized, color=color, linewidth=2.0, label=f"{name}: optimized")
            axes.plot(saved, color=color, linestyle="--", linewidth=2.0, marker="o",
                markersize=4, label=f"{name}: saved, 8 bits in [0, 255]")  # fmt: skip
        axes.set_yscale("log")
        axes.set_xlabel("rounds of 20 evaluations")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("total loss (log scale)")
        _legend(axes, 2)

    return drawn(8.0, 4.0, draw)


def solvers(runs: Mapping[str, Rows]) -> Drawing:
    """Draw the total of several runs against evaluations and, from the first one, seconds, side by side."""

    def draw(figure: Any) -> None:
        for place, label in enumerate(("evaluations", "seconds since the first evaluation")):
            axes = _axes(figure, 1, 2, place + 1)
            for number, (name, rows) in enumerate(runs.items()):
                across = [row["evaluation"] for row in rows]
                if place:
                    across = seconds_since_first(rows)
                lowest = np.minimum.accumulate([row["total"] for row in rows])
                axes.plot(across, lowest, color=COLORS[number],
                    linestyle=DASHES[number], linewidth=2.0, label=name)  # fmt: skip
            axes.set_yscale("log")
            axes.set_xlabel(label)
            if not place:
                axes.set_ylabel("lowest total so far (log scale)")
                _legend(axes, 2)

    return drawn(9.0, 3.8, draw)


def trade(points: Sequence[tuple[float, float, float]], marked: float) -> Drawing:
    """Draw content loss against style loss; `points` are (alpha, content, style), both unweighted."""
    return drawn(7.0, 4.2, lambda figure: draw_trade(figure, points, marked))


def draw_trade(figure: Any, points: Sequence[tuple[float, float, float]], marked: float) -> None:
    """Draw `trade` on a figure of matplotlib."""
    axes = _axes(figure)
    axes.plot([c for _, c, _ in points], [s for _, _, s in points], color="#999999", zorder=1)
    for alpha, content, style in points:
        ours = alpha == marked
        axes.scatter([content], [style], s=70 if ours else 30, zorder=2,
            color=COLORS[2] if ours else COLORS[1], marker="D" if ours else "o")  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(0.12, 0.15)
    axes.set_xlabel("content loss, without alpha (log scale)")
    axes.set_ylabel("style loss, without beta (log scale)")
    _label(axes, [(f"{alpha:g}", content, style) for alpha, content, style in points])


def _label(axes: Any, points: Sequence[tuple[str, float, float]]) -> None:
    """Write each point's text near it, inside the axes, where it covers no point, line or other text.

    The line goes from point to point. A text that has no room beside its point gets a line to it.
    """
    axes.figure.draw_without_rendering()  # now it is known where the axes are
    unit = axes.figure.dpi / 72  # pixels in a point
    frame = axes.get_window_extent()
    dots = axes.transData.transform([point for _, *point in points]) / unit
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in dots]
    for start, end in itertools.pairwise(dots):  # the line, as small boxes
        along = np.linspace(start, end, 1 + int(np.linalg.norm(end - start) / 3))
        taken += [(x - 1, y - 1, x + 1, y + 1) for x, y in along]
    left, low, right, high = (edge / unit for edge in frame.extents)
    for (text, *point), (x, y) in zip(points, dots, strict=True):
        label = axes.annotate(text, point, xytext=(0, 0), textcoords="offset points", fontsize=9,
            ha="center", va="center", in_layout=False)  # fmt: skip
        wide, tall = label.get_window_extent().size / unit / 2 + 1
        for far, dx, dy in _places(wide, tall):  # noqa: B007  the last one counts
            box = (x + dx - wide, y + dy - tall, x + dx + wide, y + dy + tall)
            inside = left < box[0] and box[2] < right and low < box[1] and box[3] < high
            if inside and not any(_meet(box, other) for other in taken):
                break
        taken.append(box)
        label.xyann = (dx, dy)
        if far:
            edge = (
                min(max(0, dx - wide), dx + wide),
                min(max(0, dy - tall), dy + tall),
            )  # nearest to the point
            axes.annotate("", point, xytext=edge, textcoords="offset points", zorder=1, in_layout=False,
                arrowprops={"arrowstyle": "-", "color": "#999999", "shrinkA": 0, "shrinkB": 5})  # fmt: skip


def _places(wide: float, tall: float) -> Iterator[tuple[bool, float, float]]:
    """Yield where the middle of a text may be, from its point, in points; first those beside the point.

    `wide` and `tall` are half of its size. The first value says whether it is far away.
    """
    for ring in range(40):
        for turn in (
            0.25,
            1.75,
            0.75,
            1.25,
            0,
            1,
            0.5,
            1.5,
            0.125,
            0.375,
            0.625,
            0.875,
            1.125,
            1.375,
            1.625,
            1.875,
        ):
            across, up = math.cos(turn * math.pi), math.sin(turn * math.pi)
            yield ring > 1, across * (wide + 8 + 6 * ring), up * (tall + 8 + 6 * ring)


def _meet(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes (left, low, right, high) have a point in common."""
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def maps(images: Sequence[tuple[str, npt.NDArray[Any]]], columns: int, color: str, unit: str) -> Drawing:
    """Draw matrices as small pictures, each with its name; `unit` stands at the color bar."""
    rows = -(-len(images) // columns)

    def draw(figure: Any) -> None:
        grid = figure.subplots(rows, columns, squeeze=False)
        shown = None
        for axes, (name, values) in zip(grid.flat, images, strict=False):
            low, high = float(values.min()), float(values.max())
            scaled = (values - low) / (high - low or 1.0)
            shown = axes.imshow(scaled, cmap=color, vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(name, fontsize=9)
        for axes in grid.flat:
            axes.set_axis_off()
        if shown is not None:
            bar = figure.colorbar(shown, ax=grid, shrink=0.7, ticks=[0, 1])
            bar.ax.set_yticklabels(["lowest", "highest"])
            bar.set_label(unit, fontsize=9)

    return drawn(min(10.0, 1.9 * columns + 1), 1.75 * rows + 0.4, draw)
