"""The canvas, whose pixels are optimized: its start, and how it grows to the next scale.

It is a tensor (1, 3, H, W), float32, sRGB-encoded, in [0, 1].
"""

import torch
from torch import Tensor
from torch.nn import functional

from impasto.config.settings import Init

GRAY_NOISE = 0.01  # standard deviation of the small noise around mid gray


def start(
    init: Init, *, noise: float, seed: int, content: Tensor, style: Tensor, picture: Tensor | None
) -> Tensor:
    """Return the first canvas, of the content's size.

    With `init="noise"` it is uniform over valid pixels (the paper's start); with `gray` mid gray with some
    noise; with `style` the first painting, any size, (1, 3, h, w), scaled to cover the canvas and cropped in
    the middle; with `picture` the user's start and with `content` the photo at this scale, (1, 3, H, W). The
    share `noise`, 0 to 1, of white noise is mixed in; noise is drawn on the CPU, so that it is the same on
    every device.
    """
    generator = torch.Generator().manual_seed(seed)
    white = torch.rand(content.shape, generator=generator).to(content.device)
    if init == "noise":
        return white
    if init == "gray":
        gray = torch.randn(content.shape, generator=generator).to(content.device)
        canvas = 0.5 + GRAY_NOISE * gray
    elif init == "style":
        canvas = cover(style, content.shape[-2], content.shape[-1])
    elif init == "picture" and picture is not None:
        canvas = picture
    else:
        canvas = content
    return torch.lerp(canvas, white, noise).clamp(0.0, 1.0)


def cover(image: Tensor, height: int, width: int) -> Tensor:
    """Scale an image (B, 3, h, w) to cover (height, width) without distortion; crop the middle."""
    factor = max(height / image.shape[-2], width / image.shape[-1])
    rows = max(height, round(image.shape[-2] * factor))
    columns = max(width, round(image.shape[-1] * factor))
    larger = resize(image, rows, columns)
    top, left = (rows - height) // 2, (columns - width) // 2
    return larger[..., top : top + height, left : left + width].contiguous()


def grow(canvas: Tensor, before: Tensor, after: Tensor, detail: float) -> Tensor:
    """Return the canvas (1, 3, h, w) at the next scale, with detail of the photo that the last lacked.

    The photo is `before` (1, 3, h, w) at the last scale, and `after` (1, 3, H, W) at the next one. `detail`
    is the share of the detail, after - enlarged(before), that is added; 0 to 1.
    """
    height, width = after.shape[-2:]
    missing = after - resize(before, height, width)
    return (resize(canvas, height, width) + detail * missing).clamp(0.0, 1.0)


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Return an image at another size, (B, 3, height, width), by bicubic interpolation, in [0, 1]."""
    if image.shape[-2:] == (height, width):
        return image
    resized = functional.interpolate(
        image, size=(height, width), mode="bicubic", align_corners=False, antialias=True
    )
    return resized.clamp(0.0, 1.0)
