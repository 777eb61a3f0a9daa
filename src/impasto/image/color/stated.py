"""What a picture file states about its colors besides an ICC profile.

stated = colors_of("png", data, exif)
image, notes = srgb(image, "cat.png", stated)

Of several statements the first counts: cICP of a PNG, PQ and HLG; the profile; nclx, sRGB, gAMA and cHRM,
tags of TIFF, the head of a BMP; EXIF.
"""

import struct
from dataclasses import dataclass

import numpy as np

from impasto.image import metadata
from impasto.image.color.space import ADOBE_RGB, SRGB, Primaries, Space, coded, is_sensible, power, table
from impasto.image.containers import bmff, gif, png, tiff

_WHITE_POINT, _CHROMATICITIES, _TRANSFER_FUNCTION = 318, 319, 301
_GAMMA_OF_SRGB = 0.45455  # what programs write into gAMA for sRGB
_HDR_PROFILE = b"ITUR_2100_PQ_FULL"  # the name of a profile in a PNG, by which W3C says PQ
_LINEAR_QOI = 1
_KNOWN_JP2 = (0, 12, 14, 15, 16, 17, 18)  # gray, CMYK, Lab, sRGB, YCC: numbers of JPEG 2000


@dataclass(frozen=True)
class Stated:
    """What a file states about its colors.

    Attributes:
        space: None for sRGB, and where nothing is stated.
        profile: An ICC profile that libvips or Pillow do not find.
        before_profile: Whether the space counts, and not the profile.
        note: What could not be understood, for the user.
    """

    space: Space | None = None
    profile: bytes = b""
    before_profile: bool = False
    note: str = ""


def colors_of(kind: str, data: bytes, exif: bytes) -> Stated:
    """Return what a file of this format states; `exif` is the whole file where that is a TIFF."""
    readers = {"png": _png, "avif": _heif, "heic": _heif, "jpeg2000": _jp2, "bmp": _bmp, "tiff": _tiff}
    found = readers[kind](data) if kind in readers else None
    if kind == "gif":
        found = Stated(profile=gif.profile(data))
    if kind == "qoi" and data[13:14] == bytes([_LINEAR_QOI]):
        found = Stated(note="it states linear light, as many programs do by mistake; it is taken as sRGB")
    return found or _exif(data if kind == "tiff" else exif)


def of_profile(profile: bytes) -> Stated | None:
    """Return the HDR that a profile states by its tag `cicp`; None if it does not."""
    count = int.from_bytes(profile[128:132], "big")
    for at in range(132, min(132 + 12 * count, len(profile) - 11), 12):
        name, start, size = struct.unpack_from(">4sII", profile, at)
        if name == b"cicp" and size >= 12 and start + 12 <= len(profile):
            found = _coded(profile[start + 8], profile[start + 9])
            return found if found.space and found.space.peak > 1 else None
    return None


def _coded(primaries: int, transfer: int) -> Stated:
    """Return what two numbers of H.273 mean; PQ and HLG count before a profile, which cannot hold them."""
    space = coded(primaries, transfer)
    if space is None:
        what = f"colors of an unknown kind (primaries {primaries}, transfer function {transfer})"
        return Stated(note=f"it states {what}; they are taken as sRGB")
    return Stated(None if space.is_srgb else space, before_profile=space.peak > 1)


def _heif(data: bytes) -> Stated | None:
    found = bmff.coded_colors(data)
    return _coded(*found) if found else None


def _png(data: bytes) -> Stated | None:
    chunks = dict[bytes, bytes]()
    for kind, body in png.chunks(data):
        chunks.setdefault(kind, body)
    code, name = chunks.get(b"cICP", b""), chunks.get(b"iCCP", b"").partition(b"\0")[0]
    if len(code) == 4:
        found = _coded(code[0], code[1])
        return Stated(found.space, before_profile=not found.note, note=found.note)
    if name == _HDR_PROFILE:
        return _coded(9, 16)
    if b"iCCP" in chunks or b"sRGB" in chunks:
        return Stated()
    gamma, points = chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b"")
    exponent = int.from_bytes(gamma, "big") / 100_000 if len(gamma) == 4 else 0.0
    primaries = SRGB
    if len(points) == 32:
        white_x, white_y, *rest = (value / 100_000 for value in struct.unpack(">8I", points))
        primaries = (*rest, white_x, white_y)
    elif exponent and not _is_gamma_of_srgb(exponent):  # often wrong, so browsers ignore it, too
        return Stated(note=f"it states a gamma of {exponent:g} without primaries, which is not applied")
    return _space(primaries, exponent) if points else None


def _is_gamma_of_srgb(exponent: float) -> bool:
    return abs(exponent - _GAMMA_OF_SRGB) < 0.005


def _space(primaries: Primaries, exponent: float) -> Stated:
    """Return the space of these primaries and of values that are light to this power; 0 if not stated."""
    plain = Space(primaries if is_sensible(primaries) else SRGB)
    near = _is_gamma_of_srgb(exponent) and Space(plain.primaries).is_srgb
    if 0.05 <= exponent <= 5 and not near:
        plain = Space(plain.primaries, power(1 / exponent))
    return Stated(None if plain.is_srgb else plain)


def _jp2(data: bytes) -> Stated | None:
    profile, number = bmff.jp2_colors(data)
    if number is not None and number not in _KNOWN_JP2:
        return Stated(note=f"it states colors of an unknown kind (number {number}); they are taken as sRGB")
    return Stated(profile=profile) if profile else None


def _bmp(data: bytes) -> Stated | None:
    """Read the color space in the head of versions 4 and 5."""
    size = int.from_bytes(data[14:18], "little")
    if size < 108 or len(data) < 14 + size:
        return None
    kind = data[70:74]
    if kind == b"DEBM" and size >= 124:
        start, length = struct.unpack_from("<II", data, 126)
        return Stated(profile=data[14 + start : 14 + start + length])
    if kind == b"KNIL":
        return Stated(note="its color profile is in another file; its colors are taken as sRGB")
    if kind != bytes(4):
        return Stated()
    ends = np.array(struct.unpack_from("<9i", data, 74), float).reshape(3, 3) / 2**30
    sums, white, primaries = ends.sum(1), ends.sum(0), SRGB
    if (sums > 0.01).all() and white.sum() > 0.01:
        corners = (ends / sums[:, None])[:, :2].ravel().tolist()
        parts = np.allclose(sums, 1, atol=0.01)  # chromaticities, which say nothing about white
        primaries = (*corners, *(SRGB[6:] if parts else (white / white.sum())[:2].tolist()))
    gamma = struct.unpack_from("<I", data, 114)[0] / 65536  # of green; some write its reciprocal
    return _space(primaries, gamma if gamma < 1 else 1 / gamma)


def _tiff(data: bytes) -> Stated | None:
    """Read primaries and transfer function from the first directory."""
    first = next(tiff.directories(data), None)
    if first is None:
        return None
    white, points = first.values(_WHITE_POINT, 2), first.values(_CHROMATICITIES, 6)
    entries = np.array(first.values(_TRANSFER_FUNCTION, 3 * 65536), float)
    primaries: Primaries = (
        *(points if len(points) == 6 else SRGB[:6]),
        *(white if len(white) == 2 else SRGB[6:]),
    )
    plain = Space(primaries if is_sensible(primaries) else SRGB)
    bits = first.bits
    if bits in (8, 16) and len(entries) in (2**bits, 3 * 2**bits):
        bands = entries.reshape(-1, 2**bits).T / 65535
        curve = table(bands if bands.shape[1] == 3 else bands[:, 0])
        return Stated(Space(plain.primaries, curve))
    return None if plain.is_srgb else Stated(plain)


def _exif(data: bytes) -> Stated:
    """Return Adobe RGB (1998) where EXIF states it, by the number of a color space or by R03."""
    number, rule = metadata.color_space(data)
    if rule == b"R03" or (number == 2 and rule != b"R98"):
        return Stated(ADOBE_RGB)
    if number == 0xFFFF:
        return Stated(
            note="its EXIF says that its colors are not sRGB, but not which; they are taken as sRGB"
        )
    return Stated()
