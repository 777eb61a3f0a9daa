"""A chart of colors, encoded in other color spaces by published matrices and formulas; no impasto."""

import struct
import zlib

import numpy as np

PATCHES = [
    *[(200, 30, 30), (40, 160, 60), (40, 70, 190), (230, 200, 40), (200, 100, 160)],
    *[(60, 170, 190), (128, 128, 128), (235, 235, 235), (30, 30, 30), (210, 140, 100)],
]
GRAYS = (6, 7, 8)
EDGE = 24  # px of a patch; two rows of five
_TO_XYZ = np.array(  # of sRGB
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
FROM_XYZ = {
    "P3": [[2.4934969, -0.9313836, -0.4027108], [-0.8294890, 1.7626641, 0.0236247],
           [0.0358458, -0.0761724, 0.9568845]],
    "Adobe": [[2.0413690, -0.5649464, -0.3446944], [-0.9692660, 1.8760108, 0.0415560],
              [0.0134474, -0.1183897, 1.0154096]],
    "2020": [[1.7166512, -0.3556708, -0.2533663], [-0.6666844, 1.6164812, 0.0157685],
             [0.0176399, -0.0427706, 0.9421031]],
    "sRGB": np.linalg.inv(_TO_XYZ),
}  # fmt: skip


def chart() -> np.ndarray:
    """(48, 120, 3), uint8, sRGB."""
    return np.array(PATCHES, np.uint8).reshape(2, 5, 3).repeat(EDGE, 0).repeat(EDGE, 1)


def light(space: str = "sRGB") -> np.ndarray:
    """The chart as linear light of these primaries, in [0, 1]."""
    values = chart() / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.clip(linear @ _TO_XYZ.T @ np.array(FROM_XYZ[space]).T, 0, 1)


def srgb(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def power(gamma: float):
    return lambda values: values ** (1 / gamma)


def pq(values: np.ndarray) -> np.ndarray:
    """1 is white at 203 cd/m2."""
    part = (values * 203 / 10_000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * part) / (1 + 2392 / 128 * part)) ** (2523 / 32)


def hlg(values: np.ndarray) -> np.ndarray:
    """1 is white at 203 of 1000 cd/m2."""
    shown = values * 203 / 1000
    bright = shown @ np.array([0.2627, 0.6780, 0.0593])
    scene = shown * np.maximum(bright, 1e-9)[..., None] ** (1 / 1.2 - 1)
    log = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), log)


def encoded(space: str, curve, bits: int = 8) -> np.ndarray:
    """The chart in another color space, uint8 or uint16."""
    values = np.clip(curve(light(space)), 0, 1)
    return (values * (2**bits - 1)).round().astype(np.uint8 if bits == 8 else np.uint16)


def means(array: np.ndarray) -> np.ndarray:
    """(10, 3): the mean of each patch without its edge, in levels of 8 bits."""
    scale = 257 if array.dtype == np.uint16 else 1
    cut = array[..., :3].reshape(2, EDGE, 5, EDGE, 3)[:, 4:-4, :, 4:-4].astype(float)
    return cut.mean((1, 3)).reshape(10, 3) / scale


def worst(array: np.ndarray) -> float:
    """The largest difference of a patch from what it should be, in levels of 8 bits."""
    return float(np.abs(means(array) - PATCHES).max())


def with_chunks(data: bytes, *chunks: tuple[bytes, bytes], last: bool = False) -> bytes:
    """A PNG with further chunks, before its pixels or behind them."""
    at = data.rindex(b"IEND") - 4 if last else 33
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return data[:at] + b"".join(parts) + data[at:]


def with_nclx(data: bytes, primaries: int, transfer: int) -> bytes:
    """An AVIF or HEIC of one picture whose box of colors says this; one without gets such a box."""
    at = data.find(b"colrnclx") + 8
    if at >= 8:
        return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]
    box = struct.pack(">I8sHHHB", 19, b"colrnclx", primaries, transfer, 6, 128)
    whole = bytearray(data)

    def start(kind: bytes) -> int:
        return whole.index(kind) - 4

    def grow(kind: bytes, by: int) -> None:
        size = struct.unpack_from(">I", whole, start(kind))[0]
        struct.pack_into(">I", whole, start(kind), size + by)

    pixels = start(b"mdat") + 8
    where = struct.pack(">I", pixels)
    place = whole.index(where, start(b"iloc"), start(b"iloc") + 60)  # where the pixels are
    whole[place : place + 4] = struct.pack(">I", pixels + len(box) + 1)
    end = start(b"ipco") + struct.unpack_from(">I", whole, start(b"ipco"))[0]
    at, number = start(b"ipco") + 8, 1
    while at < end:
        at, number = at + struct.unpack_from(">I", whole, at)[0], number + 1
    counted = start(b"ipma") + 8 + 4 + 4 + 2  # how many properties the first picture has
    last = counted + 1 + whole[counted]
    whole[counted] += 1
    whole[last:last] = bytes([number])
    grow(b"ipma", 1)
    whole[end:end] = box
    for kind, by in ((b"ipco", len(box)), (b"iprp", len(box) + 1), (b"meta", len(box) + 1)):
        grow(kind, by)
    return bytes(whole)
