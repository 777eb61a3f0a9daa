"""Color spaces that a file states by primaries and a transfer function, and their conversion to sRGB.

    space = coded(12, 13)                 # Display P3, by the numbers of H.273
    image = to_srgb(image, space)         # an image of libvips, its pixels not read yet

A transfer function takes encoded values in [0, 1] and returns linear light, of which 1 is white.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyvips

Values = npt.NDArray[np.float64]
Transfer = Callable[[Values], Values]
Primaries = tuple[float, ...]  # x and y of red, green, blue and white

_D65, _C, _E = (0.3127, 0.3290), (0.310, 0.316), (1 / 3, 1 / 3)
SRGB: Primaries = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65)
_PRIMARIES: dict[int, Primaries] = {  # by the numbers of H.273, which AVIF, HEIC and PNG use
    1: SRGB,
    2: SRGB,  # not stated
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, *_C),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_C),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),  # BT.2020
    10: (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, *_E),  # XYZ
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),  # cinema
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),  # Display P3
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}
_AS_SRGB = (1, 2, 6, 7, 11, 12, 13, 14, 15)  # not stated; sRGB; curves of video, shown as sRGB is
_PQ, _HLG = 16, 18
_WHITE = 203.0  # cd/m2 of white in HDR, by BT.2408
_HLG_PEAK = 1000.0  # cd/m2 of the display for which HLG is meant here
_KNEE = 0.75  # linear light below which tones of HDR stay as they are
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def srgb_curve(values: Values) -> Values:
    """Return linear light of sRGB values."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def power(gamma: float) -> Transfer:
    """Return the transfer function that is this power."""
    return lambda values: values**gamma


def table(entries: Values) -> Transfer:
    """Return the transfer function given by a table, (N,) or (N, 3), of linear light in [0, 1]."""
    places = np.linspace(0, 1, len(entries))
    if entries.ndim == 1:
        return lambda values: np.interp(values, places, entries)
    return lambda values: np.stack([np.interp(values, places, band) for band in entries.T], axis=-1)


@dataclass(frozen=True, eq=False)
class Space:
    """A color space without a profile.

    Attributes:
        primaries: x and y of red, green, blue and white.
        transfer: The function from encoded values to linear light.
        peak: The largest linear light; above 1 it is HDR, which has to be toned.
        hlg: Whether the light is that of the scene, as in HLG, and not that of a display.
    """

    primaries: Primaries = SRGB
    transfer: Transfer = srgb_curve
    peak: float = 1.0
    hlg: bool = False

    @property
    def is_srgb(self) -> bool:
        """Whether it differs from sRGB by no more than the rounding of what a file states."""
        same = all(abs(one - other) < 0.003 for one, other in zip(self.primaries, SRGB, strict=True))
        return same and self.transfer is srgb_curve


ADOBE_RGB = Space((0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *_D65), power(563 / 256))


def coded(primaries: int, transfer: int) -> Space | None:
    """Return the color space of two numbers of H.273; None if one of them is unknown."""
    of_curve = {
        4: power(2.2),
        5: power(2.8),
        8: power(1.0),
        9: lambda values: np.where(values > 0, 10 ** (2 * (values - 1)), 0),
        10: lambda values: np.where(values > 0, 10 ** (2.5 * (values - 1)), 0),
        17: lambda values: values**2.6 * 52.37 / 48,
        _PQ: lambda values: _pq(values) * 10_000 / _WHITE,
        _HLG: _hlg,
        **dict.fromkeys(_AS_SRGB, srgb_curve),
    }
    curve, chromaticities = of_curve.get(transfer), _PRIMARIES.get(primaries)
    if curve is None or chromaticities is None:
        return None
    peak = {_PQ: 10_000 / _WHITE, _HLG: _HLG_PEAK / _WHITE}.get(transfer, 1.0)
    return Space(chromaticities, curve, peak, hlg=transfer == _HLG)


def is_sensible(primaries: Primaries) -> bool:
    """Whether these are the corners of a triangle, with white inside it."""
    red, green, blue, white = np.reshape(np.asarray(primaries, float), (4, 2))
    if not np.isfinite(primaries).all() or min(green[1], white[1]) < 0.01:
        return False

    def side(a: Values, b: Values, c: Values) -> float:
        return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    signs = [side(red, green, white), side(green, blue, white), side(blue, red, white)]
    return min(signs) > 1e-4 or max(signs) < -1e-4


def to_srgb(image: pyvips.Image, space: Space) -> pyvips.Image:
    """Return an image of 1 or 3 bands, uchar or ushort, in sRGB: 3 bands of the same format.

    HDR is toned: light up to `_KNEE` of white stays as it is, and what is brighter is compressed by
    the largest of its three values, so that hues stay. Colors outside sRGB are cut off.
    """
    top = 255 if image.format == "uchar" else 65535
    curve = space.transfer(np.arange(top + 1) / top)
    lut = pyvips.Image.new_from_array(np.ascontiguousarray(curve.reshape(1, top + 1, -1), np.float32))
    light = image.maplut(lut)
    if light.bands == 1:
        light = light.bandjoin([light, light])
    if space.hlg:  # from light of the scene to that of a display of `_HLG_PEAK`
        weights = _matrix(_PRIMARIES[9])[1:2]
        light = light * (light.recomb(weights.tolist()) ** 0.2) * (_HLG_PEAK / _WHITE)
    if space.primaries != SRGB and image.bands == 3:
        light = light.recomb(to_srgb_primaries(space.primaries).tolist())
    if space.peak > 1:
        light = _toned(light, space.peak)
    deep = light.copy(interpretation="scrgb").colourspace("rgb16")
    if top == 65535:
        return deep
    return (deep / 257).rint().cast("uchar").copy(interpretation="srgb")


def to_srgb_primaries(primaries: Primaries) -> Values:
    """Return the matrix (3, 3) from linear light of these primaries to that of sRGB; white stays white."""
    source, white = _matrix(primaries), _xyz(primaries[6:])
    cones = _BRADFORD @ white
    adapt = np.linalg.inv(_BRADFORD) @ np.diag((_BRADFORD @ _xyz(_D65)) / cones) @ _BRADFORD
    result: Values = np.linalg.inv(_matrix(SRGB)) @ adapt @ source
    return result


def _toned(light: pyvips.Image, peak: float) -> pyvips.Image:
    """Return light in [0, 1] where it was in [0, peak], by the curve of Reinhard above the knee."""
    largest = light[0].maxpair(light[1]).maxpair(light[2])
    over, most = (largest - _KNEE) / (1 - _KNEE), (peak - _KNEE) / (1 - _KNEE)
    toned = _KNEE + (1 - _KNEE) * over * (1 + over / most**2) / (1 + over)
    scale: Any = (largest > _KNEE).ifthenelse(toned / largest, 1.0)
    return light * scale


def _pq(values: Values) -> Values:
    """Return light as a part of 10,000 cd/m2, by SMPTE ST 2084."""
    root = values ** (32 / 2523)
    return (np.maximum(root - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * root)) ** (16384 / 2610)


def _hlg(values: Values) -> Values:
    """Return light of the scene, by BT.2100."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)


def _matrix(primaries: Primaries) -> Values:
    """Return the matrix (3, 3) from linear light of these primaries to XYZ."""
    corners = np.stack([_xyz(primaries[at : at + 2]) for at in (0, 2, 4)], axis=1)
    result: Values = corners * np.linalg.solve(corners, _xyz(primaries[6:]))
    return result


def _xyz(point: tuple[float, ...]) -> Values:
    """Return XYZ of a chromaticity; its Y is 1, where it has one."""
    x, y = point
    return np.array([x, y, 1 - x - y]) / (y or 1.0)
