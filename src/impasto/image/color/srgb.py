"""Convert images of any color space and depth to upright sRGB.

image, notes = srgb(image, "cat.jpg", stated)  # 3 bands, or 4; uchar, ushort or float
image = upright(image)                 # reads all of it
"""

from typing import Any

import numpy as np
import pyvips

from impasto.errors import PictureError
from impasto.image.color.space import to_srgb
from impasto.image.color.stated import Stated, of_profile

_PROFILE = "icc-profile-data"
_TONED = "its high dynamic range is reduced to that of sRGB; what is brighter than white is compressed"


def srgb(
    image: pyvips.Image, label: str, stated: Stated | None = None
) -> tuple[pyvips.Image, tuple[str, ...]]:
    """Return the image in sRGB, its pixels not read yet, and notes on what was ignored.

    It has three bands, and a fourth if there is alpha, in the same depth.

    Args:
        image: As it was opened, perhaps with an ICC profile.
        label: Name of the file in messages.
        stated: What the file states about its colors besides a profile.
    """
    image, notes = _samples(image, label), list[str]()
    lab = image.interpretation in ("lab", "labs")
    count = 4 if image.interpretation == "cmyk" else 3 if image.bands > 2 else 1
    color = image.extract_band(0, n=count)
    color = color.colourspace("rgb16") if lab else _converted(color, stated or Stated(), notes)
    if color.bands == 1:
        color = color.bandjoin([color, color])
    if image.bands > count and not lab:
        color = color.bandjoin(image[count])
    color = color.copy(interpretation="rgb16" if color.format == "ushort" else "srgb")
    return color, tuple(f"{label}: {note}" for note in notes)


def _converted(color: pyvips.Image, stated: Stated, notes: list[str]) -> pyvips.Image:
    """Convert by what the file states; floats, which become 16 bits for that, are floats again."""
    if stated.profile:
        color = color.copy()
        color.set_type(pyvips.GValue.blob_type, _PROFILE, stated.profile)
    profile = bytes(color.get(_PROFILE)) if color.get_typeof(_PROFILE) else b""
    stated = of_profile(profile) or stated
    cmyk, fits = color.interpretation == "cmyk", _fits(profile, color.bands)
    if profile and not fits and not stated.before_profile:
        notes.append("its color profile is ignored (damaged, or not for these colors)")
    by_profile = cmyk or (bool(profile) and not stated.before_profile and (fits or not stated.space))
    if not by_profile and stated.note:
        notes.append(stated.note)
    if not by_profile and stated.space is None:
        return color
    real = color.format == "float"
    if real:
        color = (color * 65535).rint().cast("ushort")
    if by_profile or stated.space is None:
        color = _through_profile(color, notes)
    else:
        if stated.space.peak > 1:
            notes.append(_TONED)
        color = to_srgb(color, stated.space)
    return (color / 65535).cast("float") if real else color


def upright(image: pyvips.Image) -> pyvips.Image:
    """Return the image turned by its orientation, all of it read, without its metadata.

    It is turned anew at each reading, which takes time, but no memory.
    """
    turn = image.get("orientation") if image.get_typeof("orientation") else 1
    size, kind, space = (image.width, image.height, image.bands), image.format, image.interpretation
    copy = pyvips.Image.new_from_memory(image.write_to_memory(), *size, kind).copy(interpretation=space)
    copy.set_type(pyvips.GValue.gint_type, "orientation", turn)
    return copy.autorot()


def _samples(image: pyvips.Image, label: str) -> pyvips.Image:
    """Return 8- or 16-bit samples, floats in [0, 1], or Lab; refuse others.

    Floats are taken as sRGB-encoded, other integers as 16-bit values where they fit.
    """
    if image.format in ("uchar", "ushort") or image.interpretation in ("lab", "labs"):
        return image
    image = image.copy_memory()
    values = image.numpy()
    if not np.isfinite(values).all():
        raise PictureError(f"{label} contains values that are not finite; export it anew")
    whole = image.format in ("char", "short", "int", "uint")
    top = 65535 if whole else 1
    if whole and values.min() < 0:
        values_are = "values outside 0 to 65535, negative ones of signed samples"
        raise PictureError(f"{label} has {values_are}; export it with 8 or 16 bits, without a sign")
    if np.iscomplexobj(values) or values.min() < 0 or values.max() > top:
        raise PictureError(f"{label} has values outside 0 to {top}; export it with 8 or 16 bits")
    return image.cast("ushort" if whole else "float")


def _through_profile(color: pyvips.Image, notes: list[str]) -> pyvips.Image:
    """Convert by the embedded profile, or a standard one for CMYK; ignore a broken profile."""
    cmyk, deep = color.interpretation == "cmyk", color.format == "ushort"
    embedded = color.get_typeof(_PROFILE) != 0
    options: dict[str, Any] = {"embedded": embedded, "depth": 16 if deep else 8}
    if cmyk:
        options["input_profile"] = "cmyk"
    elif deep:
        color = color.copy(interpretation="grey16" if color.bands == 1 else "rgb16")
    try:  # libvips ignores most unsuitable profiles silently
        return color.icc_transform("srgb", intent="perceptual", **options)
    except pyvips.Error:
        if cmyk:
            raise
        if not notes:
            notes.append("its color profile does not fit, and is ignored")
        return color


def _fits(profile: bytes, bands: int) -> bool:
    """Whether a profile is complete and has so many bands, by its header."""
    kind = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}.get(bands)
    whole = 128 < int.from_bytes(profile[:4], "big") <= len(profile)
    return whole and profile[36:40] == b"acsp" and profile[16:20] == kind
