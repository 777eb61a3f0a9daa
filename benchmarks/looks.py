"""Four visible defects of a painted picture, measured without the network: specks, frame, lattice, ghost.

    python benchmarks/looks.py PICTURE... [--photo PHOTO] [--painting PAINTING] [--json FILE]

Photo and painting, brought to the size of the first picture, are measured likewise, for comparison.

| measure | what it is | none | visible from about |
| --- | --- | --- | --- |
| specks | per mille of the pixels that stand out from all around them | 0 | what the painting has |
| frame | how much the outermost pixels differ from those inside, relative to lines inside | 1 | 1.3 |
| lattice | power at periods of 2, 4, 8 and 16 px relative to that beside them | 1 | 1.5 |
| ghost | how much more fine lines follow the photo than larger shapes do; needs the photo | 0 | 0.01 |

A picture is (H, W, 3), RGB, sRGB-encoded, in [0, 1].
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from common import report
from scipy import ndimage

from impasto.image.picture import Picture
from impasto.image.pixels import fit

Pixels = npt.NDArray[np.float64]
LUMINANCE = (0.299, 0.587, 0.114)
ALONG = 7  # px; medians of so many pixels along four directions
APART = 0.2  # of Y, (R-G)/2 or (2B-R-G)/4, from all four medians, that makes a speck
RIM = 6  # px; width of the frame; it is compared with twice as many pixels inside
SMOOTH = 4  # parts of a side; a frame is as long
PERIODS = (2, 4, 8, 16)  # px
FAINT = 1e-8  # power below which nothing is seen
FINE, MIDDLE = (0.0, 1.0), (2.0, 5.0)  # px; sigmas of two bands of luminance
AROUND = 8.0  # px; sigma of the window of a local correlation
EDGY = 60  # percentile of the photo's fine detail, beyond which ghosts are looked for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--painting", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    photo, rows = None, []
    first = read(options.pictures[0])
    if options.photo:
        photo = read(options.photo, size=(first.shape[1], first.shape[0]))
        rows.append({"picture": options.photo.stem, **measures(photo)})
    if options.painting:
        painting = read(options.painting, long_edge=max(first.shape))
        rows.append({"picture": options.painting.stem, **measures(painting)})
    for path in options.pictures:
        picture = read(path)
        same = photo is not None and photo.shape == picture.shape
        rows.append({"picture": path.stem, **measures(picture, photo if same else None)})
        if photo is not None and not same:
            print(f"{path.name}: another size than the first picture, so no ghost", file=sys.stderr)
    report(rows, options.json)


def read(path: Path, *, size: tuple[int, int] | None = None, long_edge: int = 0) -> Pixels:
    """Return a picture, at a size (width, height) or a long edge where one is named."""
    picture = Picture.open(path)
    size = fit(picture.width, picture.height, long_edge) if long_edge else size
    image = picture.tensor(*(size or (picture.width, picture.height)))
    pixels: Pixels = image[0].permute(1, 2, 0).double().numpy()
    return pixels


def measures(picture: Pixels, photo: Pixels | None = None) -> dict[str, Any]:
    """Return the measures of a picture; the ghost only beside its photo, of the same size."""
    found = {"specks": specks(picture), "frame": frame(picture), "lattice": lattice(picture)}
    return found | {"ghost": "" if photo is None else ghost(picture, photo)}


def luminance(picture: Pixels) -> Pixels:
    """Return Y, (H, W)."""
    light: Pixels = picture @ np.array(LUMINANCE)
    return light


def specks(picture: Pixels) -> float:
    """Return the per mille of pixels that differ from their surroundings in all directions.

    Along rows, columns and both diagonals the median of `ALONG` pixels is taken. A line equals one of these
    medians, a speck of up to three pixels none. A pixel is as far apart as the nearest of the four is, if all
    lie on one side of it.
    """
    red, green, blue = np.moveaxis(picture, -1, 0)
    opponents = luminance(picture), (red - green) / 2, (2 * blue - red - green) / 4
    directions = [np.eye(ALONG, dtype=bool), np.eye(ALONG, dtype=bool)[::-1]]
    directions += [np.ones((1, ALONG), dtype=bool), np.ones((ALONG, 1), dtype=bool)]
    found = np.zeros(picture.shape[:2], dtype=bool)
    for values in opponents:
        each = np.stack([values - ndimage.median_filter(values, footprint=one) for one in directions])
        found |= np.maximum(each.min(0), -each.max(0)) > APART
    return 1000 * float(found.mean())


def frame(picture: Pixels) -> float:
    """Return how much the outer `RIM` pixels differ from the next ones, relative to lines inside; worst side.

    Colors are means over the width of a band and over a quarter of the side, as a frame is long.
    """
    worst = 0.0
    for turns in range(4):
        lines = np.rot90(picture, turns)
        steps = [_step(lines, top) for top in range(0, max(RIM + 1, len(lines) // 2 - 3 * RIM), RIM)]
        inside = float(np.mean(steps[1:])) if steps[1:] else 0.0
        worst = max(worst, steps[0] / max(inside, 1 / 2550))  # a tenth of a level: what an even picture has
    return worst


def _step(lines: Pixels, top: int) -> float:
    """Return the mean difference of a band of lines at `top` from the next ones, twice as many."""
    band, beside = (lines[top : top + RIM].mean(0), lines[top + RIM : top + 3 * RIM].mean(0))
    along = max(1, len(band) // SMOOTH)
    return float(np.abs(ndimage.uniform_filter1d(band - beside, along, axis=0)).mean())


def lattice(picture: Pixels) -> float:
    """Return the largest power at `PERIODS` relative to the median beside it, along rows or columns."""
    light = luminance(picture)
    light = light - ndimage.gaussian_filter(light, 3.0)
    largest = 0.0
    for lines in (light, light.T):
        count = lines.shape[1] // 16 * 16
        part = lines[:, :count] * np.hanning(count)  # no jump from the last pixel to the first
        power = np.square(np.abs(np.fft.rfft(part))).mean(0) / max(1, count)
        for period in PERIODS:
            at = count // period
            beside = [n for n in range(at - 7, at + 8) if abs(n - at) > 2 and 0 < n < len(power)]
            if beside:
                largest = max(largest, float(power[at] / max(np.median(power[beside]), FAINT)))
    return largest


def ghost(picture: Pixels, photo: Pixels) -> float:
    """Return how much more the fine band follows the photo than the middle band does, at the photo's edges.

    By local correlations: where shapes have moved but the photo's thin lines lie where they were, the fine
    band correlates with the photo's and the middle band does not.
    """
    one, other = luminance(picture), luminance(photo)
    fine = _correlation(_band(one, *FINE), _band(other, *FINE))
    middle = _correlation(_band(one, *MIDDLE), _band(other, *MIDDLE))
    edges = ndimage.gaussian_filter(np.abs(_band(other, *FINE)), 4.0)
    edgy = edges > np.percentile(edges, EDGY)
    return float((fine - middle.clip(0, 1)).clip(0, 1)[edgy].mean()) if edgy.any() else 0.0


def _band(light: Pixels, low: float, high: float) -> Pixels:
    band: Pixels = ndimage.gaussian_filter(light, low) - ndimage.gaussian_filter(light, high)
    return band


def _correlation(one: Pixels, other: Pixels) -> Pixels:
    """Return the local correlation of two bands, whose mean is 0."""

    def mean(values: Pixels) -> Pixels:
        smooth: Pixels = ndimage.gaussian_filter(values, AROUND)
        return smooth

    found: Pixels = mean(one * other) / np.sqrt(mean(one * one) * mean(other * other) + 1e-12)
    return found


if __name__ == "__main__":
    main()
