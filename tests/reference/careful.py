"""An independent reader of pictures: Pillow and LittleCMS, upright, in sRGB, over white. Slow and plain."""

import io
import warnings

import numpy as np
from PIL import Image, ImageCms, ImageOps

SRGB = ImageCms.createProfile("sRGB")


def read(path) -> np.ndarray:
    """Return (H, W, 3) values in [0, 1]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(path)
        image.load()
        gamma = _gamma(image)
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float64) / (1 if image.mode == "F" else 65535)
        key = image.info.get("transparency")
        values = _by_gamma(values, gamma)
        values = np.where(np.asarray(image) == key, 1, values) if isinstance(key, int) else values
        return values[..., None].repeat(3, 2)
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return _rgb(ImageCms.profileToProfile(image, lab, SRGB, outputMode="RGB"))
    clear = "transparency" in image.info or image.mode in ("P", "PA", "LA", "La", "RGBa", "RGBA")
    profile = image.info.get("icc_profile")
    colors, alpha = image, 1.0
    if clear:
        whole = image.convert("RGBA")
        alpha = np.asarray(whole)[..., 3:] / 255
        colors = Image.fromarray(np.asarray(whole)[..., :3].copy())
    if profile:
        colors = _through(colors, profile)
    return _by_gamma(_rgb(colors), gamma) * alpha + 1 - alpha


def _gamma(image: Image.Image) -> float | None:
    """The gamma that a PNG states with primaries; 0.45455 means the curve of sRGB."""
    gamma = image.info.get("gamma", 0.45455) if "chromaticity" in image.info else 0.45455
    known = "srgb" in image.info or "icc_profile" in image.info or abs(gamma - 0.45455) < 0.005
    return None if known else gamma


def _by_gamma(values: np.ndarray, gamma: float | None) -> np.ndarray:
    if gamma is None:
        return values
    light = values ** (1 / gamma)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _through(image: Image.Image, data: bytes) -> Image.Image:
    """Convert by a profile; one that is damaged or for other colours is ignored."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
        if profile.profile.xcolor_space.strip() == "GRAY" and image.mode == "RGB":
            image = image.convert("L")
        return ImageCms.profileToProfile(image, profile, SRGB, 0, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")) / 255
