"""HDR to the range of BT.709: PQ and HLG to light, BT.2020 to BT.709, and a shoulder for what is brighter.

Sources: SMPTE ST 2084 (PQ), ITU-R BT.2100 (HLG and its system gamma), BT.2408 (graphics white at 203 cd/m2),
BT.2087 (the matrix). The shoulder is that of Reinhard et al. 2002, equation 4, on the largest channel, so
that hues stay.
"""

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float32]

PQ, HLG = 16, 18  # transfer characteristics of ITU-T H.273
WHITE = 203.0  # cd/m2 that become white's neighborhood
PEAK = 1000.0  # cd/m2 that become 1
TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)


def light_of_pq(values: Values) -> Values:
    """Return the light of PQ values in [0, 1], in cd/m2."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = np.power(np.clip(values, 0, 1), 1 / m2)
    light: Values = 10_000 * np.power(np.maximum(power - c1, 0) / (c2 - c3 * power), 1 / m1)
    return light


def light_of_hlg(values: Values) -> Values:
    """Return the light of HLG values (H, W, 3) in [0, 1] on a display of 1000 cd/m2, in cd/m2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593], np.float32)
    light: Values = PEAK * scene * np.power(np.maximum(luminance, 1e-6), 0.2)[..., None]
    return light


def toned(pixels: npt.NDArray[np.uint16], transfer: int) -> npt.NDArray[np.uint16]:
    """Return HDR pixels (H, W, 3) of BT.2020 as BT.709 with the transfer of sRGB, uint16."""
    values = pixels.astype(np.float32) / np.float32(65535)
    light = (light_of_pq(values) if transfer == PQ else light_of_hlg(values)) / WHITE
    light = np.maximum(light @ TO_709.T, 0)
    largest = light.max(axis=-1, keepdims=True)
    shoulder = largest * (1 + largest / (PEAK / WHITE) ** 2) / (1 + largest)
    linear = np.clip(light * shoulder / np.maximum(largest, 1e-6), 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
    result: npt.NDArray[np.uint16] = (encoded * 65535 + 0.5).astype(np.uint16)
    return result
