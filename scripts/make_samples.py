"""Makes the pictures shipped in `impasto.cli.samples`: a photo, two invented paintings, two famous ones.

The photo is `coffee.png` as scikit-image ships it (CC0), saved as a JPEG. The paintings are
painted here, stroke by stroke: a plan says for every spot which family of pigments it takes, how
light it is and which way the brush runs; thousands of strokes, from broad to fine, follow those
directions, each with bristle streaks, its own mix of two colours and a thickness of paint; last,
a light from the top left is cast on the thickness. Nothing is copied from an existing painting.
Reproductions of two paintings in the public domain are reduced, from a folder that `--paintings` names.

Usage: python scripts/make_samples.py [--out DIR] [--seed N] [--only NAME] [--paintings DIR]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import interpolate, ndimage, spatial

Array = NDArray[np.float32]
Points = NDArray[np.float64]
Waves = tuple[tuple[float, float, float], ...]

SCALE = 2  # the canvas is painted this many times larger, then reduced
WIDTH, HEIGHT = 640, 512
COLS, ROWS = WIDTH * SCALE, HEIGHT * SCALE
QUALITY = 92
DEFAULT_OUT = Path(__file__).resolve().parent.parent / "src" / "impasto" / "cli" / "samples"

PIGMENTS = {
    "ink": "#0b1024",
    "prussian": "#0d2a52",
    "ultramarine": "#1b3a9c",
    "cobalt": "#2f66bd",
    "cerulean": "#5fa3cf",
    "mist": "#a9cfd6",
    "white": "#f3ead0",
    "naples": "#f6de8c",
    "cadmium": "#f7c21e",
    "ochre": "#cf8f24",
    "sienna": "#8c5320",
    "viridian": "#1c5a4e",
    "sap": "#4f7a36",
    "lime": "#a3b446",
    "night green": "#0f2d30",
    "umber": "#2b1210",
    "aubergine": "#331334",
    "alizarin": "#6b0f24",
    "crimson": "#a5152a",
    "vermilion": "#de3a1a",
    "orange": "#f0791a",
    "amber": "#f9b02c",
    "rose": "#d8607a",
    "petrol": "#134e5e",
    "turquoise": "#2c8c8c",
}


# ---------------------------------------------------------------------------------------------
# Plans: what is to be painted where
# ---------------------------------------------------------------------------------------------


def pigment(name: str) -> Array:
    """Returns a pigment's colour as three numbers between 0 and 1."""
    code = PIGMENTS[name]
    return np.array([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)], dtype=np.float32)


def ramp(*names: str) -> Array:
    """Returns a row of pigments from dark to light, to be mixed between neighbours."""
    return np.stack([pigment(name) for name in names])


def mix(colors: Array, tone: float) -> Array:
    """Returns the colour at a place between 0 and 1 along a row of pigments."""
    place = float(np.clip(tone, 0.0, 1.0)) * (len(colors) - 1)
    low = min(int(place), len(colors) - 2)
    return colors[low] + (place - low) * (colors[low + 1] - colors[low])


def grid() -> tuple[Array, Array]:
    """Returns the x and y of every canvas pixel, in picture heights."""
    y, x = np.mgrid[0:ROWS, 0:COLS].astype(np.float32)
    return x / ROWS, y / ROWS


def cloud(rng: np.random.Generator, cells: float, octaves: int = 2) -> Array:
    """Returns smooth noise of unit spread with about `cells` bumps per picture height."""
    total = np.zeros((ROWS, COLS), dtype=np.float32)
    for octave in range(octaves):
        step = cells * 2**octave
        shape = (int(step) + 4, int(step * COLS / ROWS) + 4)
        coarse = rng.standard_normal(shape)
        y = np.linspace(1, 1 + step, ROWS)
        x = np.linspace(1, 1 + step * COLS / ROWS, COLS)
        at = np.meshgrid(y, x, indexing="ij")
        total += ndimage.map_coordinates(coarse, at, order=3, mode="nearest") / 2**octave
    return (total / total.std()).astype(np.float32)


def ease(value: Array, low: float, high: float) -> Array:
    """Returns 0 below `low`, 1 above `high` (or the other way round), with a soft step between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3 - 2 * t)


@dataclass
class Plan:
    """What is to be painted where.

    Attributes:
        ramps: The pigment families; `region` holds indices into this list.
        region: The family of each pixel.
        tone: The place of each pixel along its family's row of pigments.
        angle: The direction of the brush at each pixel, in radians.
        cell: A number that changes where a stroke should not run on.
    """

    ramps: list[Array] = field(default_factory=list)
    region: NDArray[np.int32] = field(default_factory=lambda: np.zeros((ROWS, COLS), np.int32))
    tone: Array = field(default_factory=lambda: np.zeros((ROWS, COLS), np.float32))
    angle: Array = field(default_factory=lambda: np.zeros((ROWS, COLS), np.float32))
    cell: NDArray[np.int32] = field(default_factory=lambda: np.zeros((ROWS, COLS), np.int32))

    def put(self, where: NDArray[np.bool_], colors: Array, tone: Array, angle: Array) -> None:
        """Plans one shape over what was planned before."""
        self.ramps.append(colors)
        self.region[where] = len(self.ramps) - 1
        self.cell[where] = len(self.ramps) * 1000
        self.tone[where] = tone[where]
        self.angle[where] = angle[where]


# ---------------------------------------------------------------------------------------------
# Brushes: how a stroke is laid
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Brush:
    """A brush or knife; lengths are in canvas pixels.

    Attributes:
        radius: Half the width of the stroke.
        length: The length of the stroke.
        streak: How much the colour changes from bristle to bristle.
        spread: How far along the row of pigments a stroke may stray from the plan.
        load: The thickness of the paint.
        dry: How much the paint runs out towards the end.
        blunt: 0 for a tip that tapers, 1 for a knife with square ends.
        wander: How far a stroke's direction may stray from the plan, in radians.
    """

    radius: float
    length: float
    streak: float = 0.10
    spread: float = 0.10
    load: float = 1.0
    dry: float = 0.5
    blunt: float = 0.0
    wander: float = 0.08


class Canvas:
    """The wet picture: its colours, the thickness of its paint, and the strokes' bristles."""

    def __init__(self, ground: Array, rng: np.random.Generator) -> None:
        self.rng = rng
        self.rgb = np.tile(ground, (ROWS, COLS, 1)).astype(np.float32)
        self.relief = np.zeros((ROWS, COLS), dtype=np.float32)
        self.hairs = self._bristles(1.4, 40.0)
        self.smears = self._bristles(3.5, 26.0)

    def _bristles(self, across: float, along: float) -> Array:
        """Returns a sheet of streaks (rows run along the stroke) of unit spread."""
        sheet = self.rng.standard_normal((1024, 512))
        fine = ndimage.gaussian_filter(sheet, (along, across), mode="wrap")
        rough = ndimage.gaussian_filter(sheet, (along / 8, across), mode="wrap")
        both = fine / fine.std() + 0.45 * rough / rough.std()
        return (both / both.std()).astype(np.float32)

    def lay(self, path: Points, brush: Brush, first: Array, second: Array) -> None:
        """Lays one stroke along a path of (x, y) points, between two colours."""
        steps = np.diff(path, axis=0)
        run = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
        if run[-1] < 2.0:
            return
        n_along = int(run[-1] / 0.7) + 2
        n_across = int(2 * brush.radius / 0.7) + 3
        s = np.linspace(0.0, 1.0, n_along, dtype=np.float32)[:, None]
        t = np.linspace(-1.0, 1.0, n_across, dtype=np.float32)[None, :]
        centre = np.stack([np.interp(s[:, 0] * run[-1], run, path[:, k]) for k in (0, 1)], axis=1)
        tangent = np.gradient(centre, axis=0)
        tangent /= np.hypot(tangent[:, :1], tangent[:, 1:]) + 1e-9
        tip = min(0.5, brush.radius / run[-1] * 1.2)
        half = brush.radius * self._outline(s, tip, brush)
        x = centre[:, :1] - tangent[:, 1:] * t * half
        y = centre[:, 1:] + tangent[:, :1] * t * half
        self._cover(x, y, s, t, brush, first, second)

    def _outline(self, s: Array, tip: float, brush: Brush) -> Array:
        """Returns the relative width along a stroke: a round start and a longer, thinner end."""
        start = np.sqrt(np.clip(1 - np.square(1 - np.clip(s / tip, 0, 1)), 0.02, 1))
        end = np.clip((1 - s) / max(0.45, tip), 0, 1) ** 0.55
        swell = 1 + 0.08 * np.sin(6.3 * (s + self.rng.random()))
        return ((1 - brush.blunt) * start * end + brush.blunt) * swell

    def _cover(
        self, x: Points, y: Points, s: Array, t: Array, brush: Brush, first: Array, second: Array
    ) -> None:
        """Blends a stroke's colours and thickness into the canvas at its pixels."""
        sheet = self.smears if brush.blunt > 0.5 else self.hairs
        rows, columns = (int(self.rng.integers(n)) for n in sheet.shape)
        hair = sheet.take(np.arange(rows, rows + len(s)), axis=0, mode="wrap")
        hair = hair.take(np.arange(columns, columns + t.shape[1]), axis=1, mode="wrap")
        edge = np.clip((1 - np.abs(t)) * brush.radius / 1.2, 0, 1)
        paint = 2.2 - brush.dry * (3.2 * s**2) + 0.9 * hair
        alpha = edge * np.clip(paint, 0, 1)
        share = np.clip(0.5 + 0.35 * t + 0.4 * hair, 0, 1)[..., None]
        color = first + (second - first) * share
        color = color * (1 + brush.streak * hair[..., None])
        ridge = 0.55 * np.exp(-np.square((np.abs(t) - 0.82) / 0.16))
        body = (1 - 0.5 * t**2) * 0.6 + ridge + 0.30 * hair
        thick = brush.load * body * (1 - 0.35 * s) * min(1.0, brush.radius / 7)
        column, row = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
        inside = (column >= 0) & (column < COLS) & (row >= 0) & (row < ROWS) & (alpha > 0.01)
        at = (row[inside], column[inside])
        a = alpha[inside]
        self.rgb[at] += a[:, None] * (color[inside] - self.rgb[at])
        self.relief[at] += a * (0.35 * self.relief[at] + thick[inside] - self.relief[at])

    def finish(self, depth: float = 1.1, gloss: float = 0.16) -> Image.Image:
        """Casts a light from the top left on the paint and returns the picture, reduced."""
        thick = ndimage.gaussian_filter(self.relief, 0.8)
        slope_y, slope_x = np.gradient(thick)
        facing = np.clip((slope_x + slope_y) * depth, -0.55, 0.55)
        lit = self.rgb * (1 + facing)[..., None]
        lit = lit + gloss * np.clip(facing - 0.12, 0, 1)[..., None] * 3
        picture = Image.fromarray((np.clip(lit, 0, 1) * 255 + 0.5).astype(np.uint8))
        return picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def trace(plan: Plan, starts: Points, bend: Points, length: float, keep: bool) -> list[Points]:
    """Follows the plan's directions from many points at once, first back, then forth.

    Args:
        plan: The plan to follow.
        starts: The (x, y) points in the middle of the strokes.
        bend: How far each stroke's direction strays from the plan, in radians.
        length: The length of the strokes in pixels.
        keep: Whether a stroke ends where it would leave its shape.

    Returns:
        A path for each point, which may be short.
    """
    home = plan.cell[pixel(starts)] if keep else None
    ahead = _heading(plan, starts, bend, None)
    back, count = _follow(plan, starts, -ahead, bend, length / 2, home)
    tails = back[np.arange(len(starts)), count - 1]
    ahead = np.where((count > 1)[:, None], starts - tails, ahead)
    paths, count = _follow(plan, tails, ahead, bend, length, home)
    return [path[:n] for path, n in zip(paths, count, strict=True)]


def pixel(points: Points) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns the rows and columns of (x, y) points, those outside moved to the border."""
    column = np.clip(points[:, 0], 0, COLS - 1).astype(np.intp)
    row = np.clip(points[:, 1], 0, ROWS - 1).astype(np.intp)
    return row, column


def _heading(plan: Plan, points: Points, bend: Points, last: Points | None) -> Points:
    """Returns the plan's directions at some points, turned to agree with the last ones."""
    angle = plan.angle[pixel(points)] + bend
    ahead = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if last is not None:
        ahead *= np.where((ahead * last).sum(axis=1) < 0, -1.0, 1.0)[:, None]
    return ahead


def _follow(
    plan: Plan, here: Points, ahead: Points, bend: Points, length: float, home: NDArray[np.int32] | None
) -> tuple[Points, NDArray[np.intp]]:
    """Returns the points met from each start, and how many of them lie in the start's cell."""
    steps = max(4, min(24, int(length / 2)))
    stride = length / steps
    track = [here]
    alive = np.ones(len(here), dtype=bool)
    count = np.ones(len(here), dtype=np.intp)
    for _ in range(steps):
        ahead = _heading(plan, here, bend, ahead)
        ahead = _heading(plan, here + stride / 2 * ahead, bend, ahead)
        here = here + stride * ahead
        if home is not None:
            alive &= plan.cell[pixel(here)] == home
        track.append(here)
        count += alive
    return np.stack(track, axis=1), count


def layer(
    canvas: Canvas,
    plan: Plan,
    brush: Brush,
    cover: float,
    where: NDArray[np.bool_] | None = None,
    lift: float = 0.0,
    keep: bool = True,
) -> int:
    """Paints one layer of strokes all over a part of the picture.

    Args:
        canvas: The canvas to paint on.
        plan: What to paint.
        brush: What to paint with.
        cover: How many times over the strokes cover the part.
        where: The part to paint; everything if missing.
        lift: How much lighter (or darker) than planned the strokes are.
        keep: Whether strokes stay in their shapes.

    Returns:
        The number of strokes.
    """
    rng = canvas.rng
    count = int(cover * ROWS * COLS / (2 * brush.radius * brush.length))
    starts = rng.random((count, 2)) * [COLS + 40, ROWS + 40] - 20
    if where is not None:
        starts = starts[where[pixel(starts)]]
    bend = rng.normal(0.0, brush.wander, len(starts))
    paths = trace(plan, starts, bend, brush.length * rng.uniform(0.8, 1.2), keep)
    for row, column, path in zip(*pixel(starts), paths, strict=True):
        colors = plan.ramps[plan.region[row, column]]
        tone = float(plan.tone[row, column]) + lift + rng.normal(0.0, brush.spread)
        other = tone + rng.normal(0.0, 0.6 * brush.spread)
        value = 1 + rng.normal(0.0, 0.05)
        canvas.lay(path, brush, mix(colors, tone) * value, mix(colors, other) * value)
    return len(starts)


def outline(
    canvas: Canvas,
    points: Points,
    brush: Brush,
    colors: Array,
    tone: float = 0.5,
    taper: float = 1.0,
    overlap: float = 0.72,
) -> None:
    """Paints a line as a chain of strokes.

    Args:
        canvas: The canvas to paint on.
        points: The (x, y) points of the line, in picture heights.
        brush: What to paint with.
        colors: The row of pigments to take.
        tone: The place along the row of pigments.
        taper: How many times wider the line begins than it ends.
        overlap: Where along a stroke the next one begins.
    """
    line = points * ROWS
    steps = np.diff(line, axis=0)
    run = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
    begin = 0.0
    while begin < run[-1] - 4:
        end = min(run[-1], begin + brush.length * canvas.rng.uniform(0.7, 1.3))
        at = np.linspace(begin, end, 16)
        path = np.stack([np.interp(at, run, line[:, k]) for k in (0, 1)], axis=1)
        path += canvas.rng.normal(0.0, 0.10 * brush.radius, 2)
        shade = tone + canvas.rng.normal(0.0, brush.spread)
        thick = (taper + (1 - taper) * begin / run[-1]) * 2 / (taper + 1)
        tool = replace(brush, radius=max(1.8, brush.radius * thick))
        canvas.lay(path, tool, mix(colors, shade), mix(colors, shade + 0.15))
        begin += (end - begin) * overlap


# ---------------------------------------------------------------------------------------------
# Swirl: a night of blue whirls over fields
# ---------------------------------------------------------------------------------------------

WHIRLS = ((0.72, 0.28, 0.22, 5.0), (0.36, 0.43, 0.13, -4.0), (1.10, 0.43, 0.13, -4.4))
LAMPS = (
    (0.23, 0.17, 0.066),
    (1.12, 0.13, 0.036),
    (0.49, 0.10, 0.022),
    (0.93, 0.45, 0.022),
    (0.08, 0.40, 0.027),
    (0.90, 0.09, 0.015),
)


def whirl(x: Array, y: Array) -> tuple[Array, Array]:
    """Returns the places from which the whirls carried the sky to (x, y)."""
    for cx, cy, radius, turn in WHIRLS:
        dx, dy = x - cx, y - cy
        angle = turn * np.exp(-(dx**2 + dy**2) / (2 * (0.6 * radius) ** 2))
        x = cx + dx * np.cos(angle) - dy * np.sin(angle)
        y = cy + dx * np.sin(angle) + dy * np.cos(angle)
    return x, y


def plan_sky(plan: Plan, rng: np.random.Generator) -> None:
    """Plans bands of blue carried round by the whirls, and lamps with rings of light."""
    x, y = grid()
    wx, wy = whirl(x, y)
    stream = wy + 0.035 * np.sin(5.2 * wx + 0.8) + 0.012 * cloud(rng, 3)
    dy, dx = np.gradient(stream)
    vx, vy = (ndimage.gaussian_filter(part * ROWS, 7) for part in (dy, -dx))
    band = np.sin(2 * np.pi * (stream * 8.5 + 0.10 * cloud(rng, 4)))
    tone = 0.40 + 0.27 * band + 0.10 * cloud(rng, 5) + 0.25 * ease(y, 0.35, 0.62)
    for cx, cy, radius, _ in WHIRLS:
        tone += 0.22 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * (0.45 * radius) ** 2))
    for cx, cy, radius in LAMPS:
        far = np.hypot(x - cx, y - cy) / radius
        pull = 8 * ease(far, 3.2, 1.2)
        vx -= pull * (y - cy) / (far * radius + 1e-3)
        vy += pull * (x - cx) / (far * radius + 1e-3)
    angle = np.arctan2(vy, vx).astype(np.float32)
    blues = ramp("ink", "prussian", "ultramarine", "cobalt", "cerulean", "mist", "white")
    plan.put(np.ones_like(x, dtype=bool), blues, tone, angle)
    halo = ramp("cobalt", "cerulean", "mist", "lime", "naples", "cadmium")
    glow = ramp("ochre", "cadmium", "naples", "white")
    for cx, cy, radius in LAMPS:
        far = np.hypot(x - cx, y - cy) / radius
        rings = 1.08 - 0.36 * far + 0.10 * np.sin(far * 7)
        plan.put(far < 2.7 + 0.15 * cloud(rng, 12), halo, rings, angle)
        plan.put(far < 1.0, glow, 0.95 - 0.55 * far, angle)


def ridge(x: Array, height: float, waves: Waves) -> Array:
    """Returns the y of a hill's upper edge: a level and waves of (size, frequency, phase)."""
    return height + sum(a * np.sin(f * x + p) for a, f, p in waves)


HILLS: tuple[tuple[float, Waves, tuple[str, ...]], ...] = (
    (0.585, ((0.050, 4.1, 1.9), (0.016, 9.0, 1.0)), ("ink", "prussian", "ultramarine", "cobalt")),
    (0.655, ((0.045, 3.2, 4.9), (0.012, 8.0, 0.0)), ("ink", "prussian", "viridian", "cerulean")),
    (0.715, ((0.030, 3.7, 1.6), (0.008, 11.0, 2.0)), ("night green", "viridian", "sap", "lime")),
)


def plan_land(plan: Plan, rng: np.random.Generator) -> None:
    """Plans three hills, a field of furrows and a path of light through it."""
    x, y = grid()
    for height, waves, names in HILLS:
        top = ridge(x, height, waves)
        below = y - top
        slope = np.gradient(top, axis=1) * ROWS
        lean = np.arctan(slope) + 0.5 * np.sin(7 * x + 30 * height) * ease(below, 0.0, 0.08)
        tone = 0.42 + 0.35 * np.exp(-below / 0.025) + 0.17 * np.sin(below * 95 + 9 * x)
        tone = tone + 0.08 * cloud(rng, 6)
        plan.put(below > 0, ramp(*names), tone, lean.astype(np.float32))
    top = ridge(x, 0.765, ((0.020, 3.0, 1.2), (0.006, 9.0, 0.0)))
    fan = np.arctan2(y - 0.60, x - 0.66) + 0.10 * np.sin(9 * y)
    rows = np.sin(fan * 30)
    tone = 0.56 + 0.28 * rows + 0.07 * cloud(rng, 6) - 0.25 * ease(y, 0.86, 1.02)
    wheat = ramp("night green", "sap", "sienna", "ochre", "cadmium", "naples", "white")
    plan.put(y > top, wheat, tone, fan.astype(np.float32))
    middle = 0.62 - 0.26 * (y - 0.765) + 0.085 * np.sin((y - 0.765) * 15)
    wide = 0.010 + 0.30 * np.clip(y - 0.765, 0, 1) ** 1.3
    along = np.arctan2(np.ones_like(y), np.gradient(middle, axis=0) * ROWS)
    light = 0.66 + 0.30 * np.sin((x - middle) / wide * 3.2) + 0.08 * cloud(rng, 8)
    road = ramp("prussian", "cobalt", "cerulean", "mist", "white")
    plan.put((y > top) & (np.abs(x - middle) < wide), road, light, along.astype(np.float32))


TREES = (
    (1.20, 0.735, 0.085),
    (1.08, 0.750, 0.060),
    (0.985, 0.758, 0.042),
    (0.915, 0.762, 0.028),
    (0.07, 0.752, 0.066),
    (0.175, 0.765, 0.040),
)


def plan_trees(plan: Plan, rng: np.random.Generator) -> None:
    """Plans round trees whose leaves curl like flames, lit from the left by the big lamp."""
    x, y = grid()
    rough = cloud(rng, 16)
    leaves = ramp("ink", "night green", "viridian", "sap", "lime", "naples")
    where = np.zeros((ROWS, COLS), dtype=bool)
    tone, curl = np.zeros_like(x), np.zeros_like(x)
    for cx, cy, radius in TREES:
        dx, dy = (x - cx) / radius, (y - cy) / (1.25 * radius)
        far = np.hypot(dx, dy)
        mine = far < 1 + 0.09 * rough
        where |= mine
        light = 0.36 - 0.26 * (dx + 0.8 * dy) + 0.10 * np.sin(far * 12) + 0.07 * rough
        tone[mine] = light[mine]
        curl[mine] = (np.arctan2(dx, -dy) + 0.6 * rough)[mine]
    plan.put(where, leaves, tone, curl.astype(np.float32))


def paint_swirl(rng: np.random.Generator) -> Image.Image:
    """Paints a night of blue whirls and yellow lamps over hills and fields."""
    plan = Plan()
    plan_sky(plan, rng)
    plan_land(plan, rng)
    canvas = Canvas(pigment("prussian"), rng)
    x, y = grid()
    total = layer(canvas, plan, Brush(15, 90, spread=0.06, load=0.7, dry=0.2), 5.0, keep=False)
    total += layer(canvas, plan, Brush(8.0, 76, spread=0.12, streak=0.12), 1.6)
    near = y > 0.55
    for cx, cy, radius in LAMPS:
        near |= np.hypot(x - cx, y - cy) < 3.0 * radius
    total += layer(canvas, plan, Brush(5.5, 42, spread=0.13, streak=0.12, load=1.2), 1.6, near)
    dark = ramp("ink", "prussian", "ultramarine")
    span = np.linspace(-0.02, COLS / ROWS + 0.02, 200)
    for height, waves, _ in HILLS:
        line = np.stack([span, ridge(span, height, waves)], axis=1)
        outline(canvas, line, Brush(4.5, 90, spread=0.2), dark, 0.3)
    plan_trees(plan, rng)
    trees = plan.region == len(plan.ramps) - 1
    total += layer(canvas, plan, Brush(7, 36, spread=0.06), 2.5, trees)
    total += layer(canvas, plan, Brush(4.2, 26, spread=0.14, load=1.3), 2.2, trees)
    total += layer(canvas, plan, Brush(4.4, 58, spread=0.12, load=1.5), 0.50, lift=0.13)
    total += layer(canvas, plan, Brush(3.8, 50, spread=0.12, load=1.3), 0.30, lift=-0.18)
    for cx, cy, radius in LAMPS:
        turn = np.linspace(0, 9, 40)
        coil = np.stack([cx + turn * np.cos(turn), cy + turn * np.sin(turn)], axis=1)
        coil = [cx, cy] + (coil - [cx, cy]) * radius * 0.055
        outline(canvas, coil, Brush(5.5, 60, load=1.6), ramp("naples", "white"), 0.8)
    print(f"  {total} strokes")
    return canvas.finish()


# ---------------------------------------------------------------------------------------------
# Ember: a sun over burning mountains and a lake, laid with knives between dark contours
# ---------------------------------------------------------------------------------------------

Line = tuple[tuple[float, float], ...]

SUN = (0.56, 0.405, 0.110)
SHORE = 0.675
WATER = 4  # the place of the lake among the families; the light on it comes after
FAR: Line = (
    *((-0.1, 0.47), (0.06, 0.36), (0.20, 0.50), (0.27, 0.46), (0.50, 0.60)),
    *((0.72, 0.50), (0.86, 0.54), (1.03, 0.31), (1.20, 0.47), (1.35, 0.42)),
)
NEAR: Line = (
    *((-0.1, 0.58), (0.14, 0.52), (0.30, 0.64), (0.45, 0.655), (0.66, 0.645)),
    *((0.80, 0.56), (0.93, 0.63), (1.13, 0.50), (1.35, 0.60)),
)
MOUNTAINS: tuple[tuple[Line, tuple[str, ...]], ...] = (
    (FAR, ("aubergine", "alizarin", "crimson", "rose", "orange", "amber")),
    (NEAR, ("ink", "aubergine", "petrol", "turquoise", "rose", "orange")),
)


def facets(rng: np.random.Generator, count: int, stretch: float) -> NDArray[np.int32]:
    """Returns a division of the canvas into `count` planes with bent edges, as numbers."""
    x, y = grid()
    middles = rng.random((count, 2)) * [COLS / ROWS, 1.0] * [1.0, stretch]
    bend = 0.012 * cloud(rng, 7)
    places = np.stack([(x + bend).ravel(), ((y + bend) * stretch).ravel()], axis=1)
    nearest = spatial.KDTree(middles).query(places)[1]
    return np.asarray(nearest, dtype=np.int32).reshape(x.shape)


def plan_glow(plan: Plan, rng: np.random.Generator) -> None:
    """Plans a sky of wavy bands around the sun, each with a colour of its own."""
    x, y = grid()
    cx, cy, radius = SUN
    far = np.hypot(x - cx, (y - cy) * 1.15)
    flame = 0.055 * np.sin(5.0 * x + 9.0 * y) + 0.045 * cloud(rng, 2.2, 1)
    wave = far + ease(far, radius, 4.5 * radius) * flame + 0.003 * cloud(rng, 5)
    out = np.clip(wave - radius, 0, None)
    number = np.floor(np.sqrt(out) * 13).astype(np.int32)
    bands = np.arange(number.max() + 1)
    shade = rng.normal(0.0, 0.05, len(bands)) + 0.11 * (-1.0) ** bands
    tone = 0.93 - 0.98 * out**0.8 + shade[number] + 0.05 * cloud(rng, 4)
    dy, dx = np.gradient(ndimage.gaussian_filter(wave, 5))
    angle = np.arctan2(dx, -dy).astype(np.float32)
    sky = ramp("aubergine", "alizarin", "crimson", "vermilion", "orange", "amber", "naples")
    plan.put(np.ones_like(x, dtype=bool), sky, tone.astype(np.float32), angle)
    plan.cell += number
    disc = ramp("orange", "cadmium", "naples", "white")
    plan.put(wave < radius, disc, (1.0 - 6 * far).astype(np.float32), angle)


def plan_mountains(plan: Plan, rng: np.random.Generator) -> None:
    """Plans mountains of sharp planes, bright where they face the sun."""
    x, y = grid()
    for line, names in MOUNTAINS:
        corners = np.array(line)
        top = np.interp(x[0], corners[:, 0], corners[:, 1]) + 0.006 * cloud(rng, 9)[0]
        below = y - top
        shifted = x + 0.32 * below * np.sign(np.sin(below * 60)) + 0.02 * cloud(rng, 6)
        place = np.clip(np.searchsorted(corners[:, 0], shifted) - 1, 0, len(corners) - 2)
        run = np.diff(corners, axis=0)
        slope = (run[:, 1] / run[:, 0])[place]
        facing = np.where(slope * np.sign(SUN[0] - x) > 0, 1.0, -1.0)
        plane = facets(rng, 110, 0.7)
        shade = rng.normal(0.0, 0.11, 110)[plane]
        tone = 0.44 + 0.23 * facing + shade - 0.5 * below + 0.25 * np.exp(-below / 0.02)
        angle = np.arctan(slope * 1.7) + 0.12 * cloud(rng, 5)
        plan.put(below > 0, ramp(*names), tone.astype(np.float32), angle.astype(np.float32))
        plan.cell[below > 0] += (plane * 2 + (facing > 0))[below > 0]


def plan_lake(plan: Plan, rng: np.random.Generator) -> None:
    """Plans a lake of level slabs with the sun's broken road of light on it."""
    x, y = grid()
    deep = np.clip(y - SHORE, 0, None)
    level = np.log1p(deep * 16) * 9 + 0.35 * cloud(rng, 2.5) + 0.25 * np.sin(6 * x)
    number = np.floor(level).astype(np.int32)
    shade = rng.normal(0.0, 0.10, 200)[number % 200] + 0.10 * (-1.0) ** number
    tilt = np.zeros_like(x) + 0.06 * cloud(rng, 4)
    water = ramp("ink", "aubergine", "petrol", "turquoise", "rose", "orange")
    tone = 0.36 + shade + 0.10 * cloud(rng, 3) - 0.5 * deep + 0.25 * np.exp(-deep / 0.02)
    lake = y > SHORE + 0.004 * cloud(rng, 6)
    plan.put(lake, water, tone.astype(np.float32), tilt)
    plan.cell[lake] += number[lake]
    ragged = rng.uniform(0.45, 1.35, 200)[number % 200] * (1 + 0.3 * cloud(rng, 6))
    apart = np.abs(x - SUN[0] - 0.02 * np.sin(number * 2.4)) / ((0.085 + 0.30 * deep) * ragged)
    light = ramp("crimson", "vermilion", "orange", "amber", "naples", "white")
    glow = (0.92 - 0.55 * apart + 0.6 * shade).astype(np.float32)
    plan.put(lake & (apart < 1), light, glow, tilt)
    plan.cell[lake & (apart < 1)] += number[lake & (apart < 1)]


def contours(plan: Plan, edges: NDArray[np.bool_], colors: Array, tone: float) -> Plan:
    """Returns a plan of one colour whose directions run along the given edges."""
    soft = ndimage.gaussian_filter(edges.astype(np.float32), 3)
    dy, dx = np.gradient(soft)
    xx, yy, xy = (ndimage.gaussian_filter(part, 5) for part in (dx * dx, dy * dy, dx * dy))
    drawn = Plan(cell=plan.cell)
    angle = 0.5 * np.arctan2(2 * xy, xx - yy) + np.pi / 2
    drawn.put(np.ones_like(edges), colors, np.full_like(plan.tone, tone), angle.astype(np.float32))
    return drawn


def borders(numbers: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Returns the pixels where a map of numbers changes."""
    change = np.zeros(numbers.shape, dtype=bool)
    change[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    change[1:] |= numbers[1:] != numbers[:-1]
    return change


TRUNKS: tuple[tuple[Line, float, float], ...] = (
    (((0.10, 1.04), (0.135, 0.80), (0.125, 0.52), (0.155, 0.25), (0.140, -0.04)), 27, 15),
    (((0.128, 0.57), (0.19, 0.46), (0.235, 0.34), (0.30, 0.25), (0.335, 0.16)), 11, 3),
    (((0.225, 0.375), (0.238, 0.28), (0.225, 0.19), (0.245, 0.11)), 7, 3),
    (((0.128, 0.47), (0.08, 0.38), (0.055, 0.28), (-0.01, 0.20)), 9, 4),
    (((0.152, 0.26), (0.20, 0.16), (0.21, 0.08), (0.26, -0.03)), 8, 4),
    (((0.02, 1.04), (0.005, 0.85), (0.03, 0.62), (0.00, 0.36)), 15, 6),
    (((1.17, 1.04), (1.145, 0.80), (1.160, 0.52), (1.125, 0.25), (1.150, -0.04)), 22, 12),
    (((1.158, 0.50), (1.10, 0.40), (1.085, 0.30), (1.03, 0.21), (1.02, 0.13)), 9, 3),
    (((1.140, 0.36), (1.19, 0.27), (1.20, 0.18), (1.27, 0.10)), 8, 3),
)


def paint_trunks(canvas: Canvas) -> None:
    """Paints bare trees in front of the lake, with fire on the side of the sun."""
    dark = ramp("ink", "aubergine", "petrol")
    fire = ramp("crimson", "vermilion", "orange", "amber")
    cold = ramp("petrol", "turquoise", "mist")
    for line, wide, thin in TRUNKS:
        corners = np.array(line)
        knots = np.arange(len(corners))
        part = np.linspace(0, len(corners) - 1, 80)
        middle = interpolate.CubicSpline(knots, corners)(part)
        half = np.linspace(wide, thin, len(part)) / ROWS
        side = np.sign(SUN[0] - middle[0, 0])
        for shift in (-0.62, 0.62, 0.0, 0.0):
            moved = middle + np.stack([shift * half, 0 * half], axis=1)
            brush = Brush(0.5 * (wide + thin) * 0.5, 130, spread=0.12, load=1.2)
            outline(canvas, moved, brush, dark, 0.18, wide / thin)
        for shift, colors, tone in ((0.66, fire, 0.45), (0.25, fire, 0.0), (-0.55, cold, 0.0)):
            moved = middle + np.stack([shift * side * half, 0 * half], axis=1)
            brush = Brush(max(1.8, 0.085 * (wide + thin)), 44, spread=0.3, load=1.5, dry=0.8)
            outline(canvas, moved, brush, colors, tone, wide / thin, 1.5)


def paint_ember(rng: np.random.Generator) -> Image.Image:
    """Paints a setting sun over mountains and a lake, with knives and dark contours."""
    plan = Plan()
    plan_glow(plan, rng)
    plan_mountains(plan, rng)
    plan_lake(plan, rng)
    canvas = Canvas(pigment("alizarin"), rng)
    knife = Brush(16, 90, streak=0.05, spread=0.04, load=0.9, blunt=1, dry=0.4, wander=0.05)
    total = layer(canvas, plan, knife, 3.0)
    knife = Brush(10, 70, streak=0.06, spread=0.07, load=1.2, blunt=1, dry=0.7, wander=0.10)
    total += layer(canvas, plan, knife, 2.2)
    total += layer(canvas, plan, Brush(4.2, 80, spread=0.08, load=1.5), 0.35, lift=0.14)
    total += layer(canvas, plan, Brush(3.6, 64, spread=0.08, load=1.3), 0.20, lift=-0.16)
    cells, shapes = borders(plan.cell), borders(np.minimum(plan.region, WATER))
    ink = contours(plan, cells, ramp("aubergine", "alizarin", "crimson"), 0.4)
    wide = ndimage.binary_dilation(cells, iterations=2)
    total += layer(canvas, ink, Brush(3.2, 70, spread=0.15), 1.6, wide, keep=False)
    ink = contours(plan, shapes, ramp("ink", "aubergine"), 0.2)
    wide = ndimage.binary_dilation(shapes, iterations=3)
    total += layer(canvas, ink, Brush(5.5, 90, spread=0.2, dry=0.2), 5.0, wide, keep=False)
    paint_trunks(canvas)
    print(f"  {total} strokes")
    return canvas.finish()


# ---------------------------------------------------------------------------------------------
# Command line
# ---------------------------------------------------------------------------------------------


def photo(rng: np.random.Generator) -> Image.Image:
    """Returns scikit-image's photo of a cup of coffee (Rachel Michetti, CC0)."""
    from skimage import data

    return Image.fromarray(data.coffee())


PICTURES: dict[str, tuple[str, Callable[[np.random.Generator], Image.Image]]] = {
    "photo": ("photo.jpg", photo),
    "swirl": ("painting-swirl.jpg", paint_swirl),
    "ember": ("painting-ember.jpg", paint_ember),
}


REDUCED = {"starry_night.jpg": 80, "the_scream.jpg": 88}  # quality, for at most 150 kB


def reduce(file: Path, target: Path, quality: int) -> None:
    """Save a painting with a long edge of 640 px."""
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    factor = WIDTH / max(picture.size)
    size = round(picture.width * factor), round(picture.height * factor)
    picture.resize(size, Image.Resampling.LANCZOS).save(target, quality=quality, subsampling=0, optimize=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the pictures and says what was made."""
    parser = argparse.ArgumentParser(description="Make the pictures shipped in impasto.cli.samples.")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="folder to write to")
    parser.add_argument("--seed", type=int, default=1889, help="seed of the paintings")
    parser.add_argument("--only", choices=sorted(PICTURES), help="make only this picture")
    parser.add_argument("--paintings", type=Path, help=f"folder with {' and '.join(REDUCED)}, to reduce them")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, (file, make) in PICTURES.items():
        if options.only not in (None, name):
            continue
        began = time.perf_counter()
        picture = make(np.random.default_rng(options.seed))
        path = options.out / file
        picture.save(path, quality=QUALITY, optimize=True)
        size = f"{picture.width} x {picture.height}, {path.stat().st_size / 1000:.0f} kB"
        print(f"{path}: {size}, {time.perf_counter() - began:.1f} s")
    for file, quality in REDUCED.items() if options.paintings else ():
        reduce(options.paintings / file, options.out / file, quality)


if __name__ == "__main__":
    main()
