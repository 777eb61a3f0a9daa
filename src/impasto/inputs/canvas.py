"""The canvas, whose pixels are optimized: its start, and how it grows to the next scale.

It is a tensor (1, 3, H, W), float32, sRGB-encoded, in [0, 1].
"""

import torch
from torch import Tensor
from torch.nn import functional

from impasto.config.settings import Init

GRAY_NOISE = 0.01  # standard deviation of the small noise around mid gray
SQUARE = 16  # px; edge of the squares that an even area consists of
SHARE = 0.01  # of the pixels, which even areas cover at least
SAME = 1e-5  # difference of neighbors that only rounding makes
TINT = 1.5 / 255  # difference of the channels of a gray picture at most: one level of 8 bits, resized
LEVEL = 0.49 / 255  # the most noise that an even area gets: a file of 8 bits does not show it


def start(
    init: Init, *, noise: float, seed: int, content: Tensor, style: Tensor, picture: Tensor | None
) -> Tensor:
    """Return the first canvas, of the content's size.

    With `init="noise"` it is white noise, uniform over valid pixels; with `gray` mid gray with some
    noise; with `style` the first painting, any size, (1, 3, h, w), scaled to cover the canvas and cropped in
    the middle; with `picture` the user's start and else `content` at this scale, (1, 3, H, W): the photo, or
    with `matched` the photo in the paintings' colors. The share `noise`, 0 to 1, of white noise is mixed in;
    noise is drawn on the CPU, so that it is the same on every device.
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


def unevened(canvas: Tensor, seed: int, photo: Tensor | None = None) -> Tensor:
    """Return a start (1, 3, H, W) with faint noise in its exactly even areas; itself where it has none.

    In an even area all positions have the same gradient, and the pooling, which finds no largest value, takes
    the first of each square: the canvas would fill with rows and lattices. With a `photo`, of the same size,
    only its even areas count. The noise is uniform, up to half a level of 8 bits, and drawn on the CPU. How
    faint it is does not matter: which value is the largest of a square does.
    """
    area = even(canvas) if photo is None else even(canvas) * even(photo)
    if float(area.mean()) < SHARE:
        return canvas
    white = torch.rand(canvas.shape, generator=torch.Generator().manual_seed(seed)).to(canvas.device)
    return (canvas + area * LEVEL * (2 * white - 1)).clamp(0.0, 1.0)


def even(image: Tensor) -> Tensor:
    """Return 1 where a pixel lies in a square of one color, else 0, (1, 1, H, W), of (1, 3, H, W)."""
    if min(image.shape[-2:]) < SQUARE:
        return torch.zeros_like(image[:, :1])
    down, across = ((image.diff(dim=dim).abs().amax(1, keepdim=True) > SAME).float() for dim in (2, 3))
    uneven = torch.maximum(_largest(down, SQUARE - 1, SQUARE), _largest(across, SQUARE, SQUARE - 1))
    return _largest(functional.pad(1 - uneven, (SQUARE - 1,) * 4), SQUARE, SQUARE)


def _largest(image: Tensor, rows: int, columns: int) -> Tensor:
    """Return the largest value of each rectangle of an image (1, 1, H, W)."""
    return functional.max_pool2d(functional.max_pool2d(image, (rows, 1), 1), (1, columns), 1)


def is_gray(image: Tensor) -> bool:
    """Whether an image (1, 3, H, W) has no color at 8 bits."""
    return float((image.amax(1) - image.amin(1)).max()) < TINT


def grayed(image: Tensor) -> Tensor:
    """Return an image (1, 3, H, W) with its green channel for all three."""
    return image[:, 1:2].expand_as(image).contiguous()
