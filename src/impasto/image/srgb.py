"""Convert images of any color space and depth to upright sRGB.

image, notes = srgb(image, "cat.jpg")  # 3 bands, or 4; uchar, ushort or float
image = upright(image)                 # reads all of it
"""

from typing import Any

import numpy as np
import pyvips

from impasto.errors import PictureError
from impasto.image.guards import detail


def srgb(image: pyvips.Image, label: str) -> tuple[pyvips.Image, tuple[str, ...]]:
    """Return the image in sRGB, its pixels not read yet, and notes on what was ignored.

    It has three bands, and a fourth if there is alpha, in the same depth.
    """
    image, notes = _samples(image, label), list[str]()
    lab = image.interpretation in ("lab", "labs")
    count = 4 if image.interpretation == "cmyk" else 3 if image.bands > 2 else 1
    color = image.extract_band(0, n=count)
    if lab:
        color = color.colourspace("rgb16")
    elif image.format != "float":
        color = _through_profile(color, notes)
    if color.bands == 1:
        color = color.bandjoin([color, color])
    if image.bands > count and not lab:
        color = color.bandjoin(image[count])
    color = color.copy(interpretation="rgb16" if color.format == "ushort" else "srgb")
    return color, tuple(f"{label}: {note}" for note in notes)


def upright(image: pyvips.Image) -> pyvips.Image:
    """Return the image turned by its orientation, all of it read, without its metadata."""
    if image.get_typeof("orientation") and image.get("orientation") > 1:
        image = image.copy_memory().autorot()
    size, kind, space = (image.width, image.height, image.bands), image.format, image.interpretation
    copy = pyvips.Image.new_from_memory(image.write_to_memory(), *size, kind)
    return copy.copy(interpretation=space)


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
    if np.iscomplexobj(values) or values.min() < 0 or values.max() > top:
        raise PictureError(f"{label} has values outside 0 to {top}; export it with 8 or 16 bits")
    return image.cast("ushort" if whole else "float")


def _through_profile(color: pyvips.Image, notes: list[str]) -> pyvips.Image:
    """Convert by the embedded profile, or a standard one for CMYK; ignore a broken profile."""
    cmyk = color.interpretation == "cmyk"
    embedded = color.get_typeof("icc-profile-data") != 0
    if not (cmyk or embedded):
        return color
    if embedded and not _fits(bytes(color.get("icc-profile-data")), color.bands):
        notes.append("its color profile is ignored (damaged, or not for these colors)")
    deep = color.format == "ushort"
    options: dict[str, Any] = {"embedded": embedded, "depth": 16 if deep else 8}
    if cmyk:
        options["input_profile"] = "cmyk"
    elif deep:
        color = color.copy(interpretation="grey16" if color.bands == 1 else "rgb16")
    try:  # libvips ignores most unsuitable profiles silently
        return color.icc_transform("srgb", intent="perceptual", **options)
    except pyvips.Error as error:
        if cmyk:
            raise
        if not notes:
            notes.append(f"its color profile is ignored ({detail(error)})")
        return color


def _fits(profile: bytes, bands: int) -> bool:
    """Whether a profile is complete and has so many bands, by its header."""
    kind = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}.get(bands)
    whole = 128 < int.from_bytes(profile[:4], "big") <= len(profile)
    return whole and profile[36:40] == b"acsp" and profile[16:20] == kind
