"""Masks: which part of a photo or a painting counts, from a gray picture or a color of a segmentation.

A `Mask` with an opened `Picture` becomes a tensor (1, 1, h, w), float32 in [0, 1], 1 where it counts.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from impasto.config.styles import REST, Mask
from impasto.errors import InputError
from impasto.image.picture import Picture
from impasto.messages import printable

SOFT = "linear"  # the kernel that masks are scaled with: never below 0 or above 1
PREVIEW = 256  # px; long edge at which masks are checked before a run
SHAPE = 0.01  # relative difference that the shapes of a mask and of its picture may have
COLORED = 0.25, 0.02  # a picture has colors if channels differ by this at this share of the pixels
PALETTE = 512  # px; long edge at which a segmentation's colors are counted
APART = 48  # the least difference, in levels of some channel, of two colors of a segmentation
FEW = 0.004  # share of the pixels below which a color is the edge between two others
MOST_COLORS = 32
FAINT = 2.5 / 255  # a mask with no lighter pixel is black, such as one of 0 and 1 where white is 255
STRAY = 0.35  # share of the pixels far from all flat colors, beyond which a picture is no segmentation
OPAQUE = 0.999

OpenedMask = Mask | str | None  # with an opened `Picture`; REST; None: everywhere


def check(mask: OpenedMask, over: Picture, role: str) -> None:
    """Refuse a mask that has another shape than its picture `over`, has colors, or is empty.

    `role` is what the picture is in messages, such as `photo cat.jpg`.

    Raises:
        InputError: The mask does not fit.
    """
    if not isinstance(mask, Mask):
        return
    picture: Picture = mask.picture
    shown = printable(picture.name)
    sizes = f"{picture.width} x {picture.height} px"
    if not _same_shape((picture.width, picture.height), (over.width, over.height)):
        turned = _same_shape((picture.height, picture.width), (over.width, over.height))
        hint = "turn it" if turned else "make it of the same shape, at any size"
        upright = ", upright" if turned else ""
        raise InputError(
            f"the mask {shown} ({sizes}) has another shape than the {role} ({over.width} x "
            f"{over.height} px{upright}); {hint}"
        )
    if mask.color is None and _colored(picture):
        raise InputError(
            f"the mask {shown} has colors, but a mask is white where it counts and black where not; "
            "a picture with a color for each region is given with --segments (Python: Mask(picture, color))"
        )
    largest = float(tensor(mask, *preview_size(picture)).max())
    if largest < FAINT:
        if mask.color:
            has = ", ".join(colors(picture))
            raise InputError(f"the segmentation {shown} has nothing of {mask.color}; it has {has}")
        level = round(255 * largest)
        nearly = f" (its lightest is {level} of 255)" if level else ""
        raise InputError(
            f"the mask {shown} is black all over{nearly}: nothing would count; paint white what should"
        )


def _same_shape(mask: tuple[int, int], picture: tuple[int, int]) -> bool:
    """Whether two sizes have the same shape, up to rounding to whole pixels."""
    (a, b), (width, height) = mask, picture
    pixel = max(a * height / b - width, b * width / a - height)
    off = abs(a * height / (b * width) - 1)
    return off <= SHAPE or (pixel <= 1 and off <= 1 / min(a, b))


def preview_size(picture: Picture, edge: int = PREVIEW) -> tuple[int, int]:
    """Return a small size of a picture's shape, (width, height), at which a mask is checked."""
    factor = min(1.0, edge / max(picture.width, picture.height))
    return max(1, round(picture.width * factor)), max(1, round(picture.height * factor))


def _colored(picture: Picture) -> bool:
    """Whether a picture is clearly not gray; colors do not matter where it has transparent parts."""
    if _by_alpha(picture):
        return False
    small = picture.tensor(*preview_size(picture), kernel=SOFT)
    spread = small.amax(dim=1) - small.amin(dim=1)
    apart, share = COLORED
    return float((spread > apart).float().mean()) > share


def _by_alpha(picture: Picture) -> bool:
    alpha = picture.alpha(*preview_size(picture))
    return alpha is not None and float(alpha.min()) < OPAQUE


def tensor(mask: Mask, width: int, height: int) -> Tensor:
    """Return a mask at a size, (1, 1, height, width) in [0, 1]."""
    picture: Picture = mask.picture
    if mask.color is not None:
        image = _of_color(picture, mask.color)
        if image.shape[-2:] == (height, width):
            return image
        size = (height, width)
        sized = functional.interpolate(image, size=size, mode="bilinear", antialias=True)
        return sized.clamp_(0.0, 1.0)
    if _by_alpha(picture):
        alpha = picture.alpha(width, height)
        assert alpha is not None
        return alpha
    return picture.tensor(width, height, kernel=SOFT).mean(dim=1, keepdim=True)


# --- segmentations -------------------------------------------------------------------------------


def colors(picture: Picture) -> list[str]:
    """Return the colors of a segmentation as "#rrggbb", the largest region first.

    Left out are colors that cover next to nothing, such as edges between others, and those close to a more
    frequent one, which compression causes.

    Raises:
        InputError: The picture is no segmentation: it has too many colors, or few flat regions.
    """
    image = picture.tensor(*preview_size(picture, PALETTE), "nearest")
    pixels = (image[0] * 255).round().to(torch.int64)
    codes = pixels[0] << 16 | pixels[1] << 8 | pixels[2]
    flat = _flat(image)
    codes = codes[flat] if flat.any() else codes.flatten()
    values, counts = torch.unique(codes, return_counts=True)
    order = torch.argsort(counts, descending=True, stable=True)
    chosen: list[tuple[int, int, int]] = []
    for code, count in zip(values[order].tolist(), counts[order].tolist(), strict=True):
        color = code >> 16, code >> 8 & 255, code & 255
        if count < FEW * codes.numel() and chosen:
            break
        if all(max(abs(a - b) for a, b in zip(color, o, strict=True)) > APART for o in chosen):
            chosen.append(color)
    if len(chosen) > MOST_COLORS:
        raise InputError(
            f"{printable(picture.name)} has {len(chosen)} colors, too many for a segmentation (at most "
            f"{MOST_COLORS}); paint each region in one flat color"
        )
    names = ["#" + "".join(f"{part:02x}" for part in color) for color in chosen]
    nearest = torch.stack([_distance(image[0], _levels(name)) for name in names]).amin(dim=0)
    stray = float((nearest > 3 * (APART / 255) ** 2).float().mean())
    if stray > STRAY:
        raise InputError(
            f"{printable(picture.name)} is no segmentation: {100 * stray:.0f} % of it are in no flat color; "
            "paint each region in one"
        )
    return names


def _flat(image: Tensor) -> Tensor:
    """Return which pixels of (1, 3, h, w) have neighbors of about their color, (h, w)."""
    highest, lowest = (functional.max_pool2d(sign * image, 3, 1, 1) * sign for sign in (1, -1))
    return ((highest - lowest) <= APART / 2 / 255).all(dim=1)[0]


def _of_color(picture: Picture, color: str) -> Tensor:
    """Return 1 where a color is the nearest of a segmentation's, else 0; (1, 1, h, w) at its own size."""
    target = _levels(color)
    image = picture.tensor()[0]
    nearest = _distance(image, target)
    inside = torch.ones_like(nearest, dtype=torch.bool)
    others = [other for other in map(_levels, colors(picture)) if not _close(other, target)]
    for other in others:
        inside &= nearest < _distance(image, other)
    if not others:  # one color: all of it, if it is this one
        inside &= nearest < (APART / 255) ** 2
    return inside.float()[None, None]


def _levels(color: str) -> tuple[float, float, float]:
    red, green, blue = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= APART / 255


def _distance(image: Tensor, color: Sequence[float]) -> Tensor:
    """Return the squared distance of each pixel of (3, h, w) to a color, (h, w)."""
    total = (image[0] - color[0]).square_()
    for channel in (1, 2):
        total += (image[channel] - color[channel]).square_()
    return total


# --- masks together ------------------------------------------------------------------------------


def of_all(masks: Sequence[OpenedMask], width: int, height: int) -> list[Tensor | None]:
    """Return masks at a size, (1, 1, height, width), None for everywhere; `REST` is what the others leave."""
    tensors: dict[object, Tensor | None] = {None: None}
    for mask in masks:
        if isinstance(mask, Mask) and key(mask) not in tensors:
            tensors[key(mask)] = tensor(mask, width, height)
    if REST in masks:
        tensors[REST] = _left([one for one in tensors.values() if one is not None], width, height)
    return [tensors[key(mask)] for mask in masks]


def left_by(masks: Sequence[OpenedMask], width: int, height: int) -> Tensor:
    """Return what no mask covers, (1, 1, height, width) in [0, 1]."""
    tensors = [one for one in of_all(masks, width, height) if one is not None]
    return _left(tensors, width, height)


def _left(masks: Iterable[Tensor], width: int, height: int) -> Tensor:
    left = torch.ones((1, 1, height, width))
    for one in masks:
        left -= one
    return left.clamp_(min=0.0)


def summary(
    masks: Sequence[OpenedMask], names: Sequence[str], photo: Picture, protect: OpenedMask = None
) -> str:
    """Return one line: how much of the photo the region of each style covers, overlap and gaps."""
    everywhere = [name for mask, name in zip(masks, names, strict=True) if mask is None]
    width, height = preview_size(photo)
    tensors: dict[object, Tensor] = {}
    users: dict[object, list[str]] = {}
    labels: dict[object, str] = {}
    for mask, name, one in zip(masks, names, of_all(masks, width, height), strict=True):
        if one is not None:
            tensors[key(mask)], labels[key(mask)] = one, label(mask)
            users.setdefault(key(mask), []).append(printable(name))
    regions = ", ".join(
        f"{labels[region]} {_percent(one)} ({' and '.join(users[region][:3])})"
        for region, one in tensors.items()
    )
    total = torch.stack(list(tensors.values())).sum(dim=0)
    gap, overlap = (1 - total).clamp(min=0), (total - 1).clamp(min=0)
    text = f"regions: {regions}; {_percent(overlap)} in more than one, {_percent(gap)} in none"
    if float(gap.mean()) < 0.0005:
        return text
    if protect == REST:
        return f"{text}: stays the photo"
    if everywhere:
        return f"{text}: painted as {printable(everywhere[0])}, the style without a mask"
    colored = any(isinstance(mask, Mask) and mask.color for mask in masks)
    flag = "rest in --segment-colors" if colored else "--mask rest"
    return (
        f"{text}: not painted, but strokes reach in; {flag} gives that a style, --protect rest keeps it "
        "the photo"
    )


def key(mask: OpenedMask) -> object:
    """Return a key that is the same for equal masks."""
    return (mask.picture.sha256, mask.color) if isinstance(mask, Mask) else mask


def label(mask: OpenedMask) -> str:
    """Return the name of a mask in messages."""
    if not isinstance(mask, Mask):
        return mask or "of what is not protected"
    name = printable(mask.picture.name)
    return f"{name} {mask.color}" if mask.color else name


def _percent(mask: Tensor) -> str:
    return f"{100 * float(mask.mean()):.1f} %"


# --- protection ----------------------------------------------------------------------------------


def feathered(mask: Tensor, feather: float) -> Tensor:
    """Return how much of each pixel stays the photo: 1 in the region, falling to 0 around it.

    The region is where the mask, (1, 1, h, w) in [0, 1], is 0.5 or more. `feather` is the width of the soft
    edge outside it, in pixels.
    """
    kept = (mask >= 0.5).float()
    radius = round(feather / 4)
    if radius < 1:
        return kept
    wide = kept  # widened by as much as it is then blurred, so the region itself stays 1
    for dim in (2, 3):
        wide = _spread(wide, 2 * radius, dim)
    for _ in range(2):
        for dim in (2, 3):
            wide = _mean(wide, radius, dim)
    return torch.where(kept == 1, kept, wide.clamp_(0.0, 1.0))


def _spread(image: Tensor, radius: int, dim: int) -> Tensor:
    """Return the largest value within a radius along one dimension."""
    size, pad = _window(radius, dim)
    return functional.max_pool2d(functional.pad(image, pad), size, stride=1)


def _mean(image: Tensor, radius: int, dim: int) -> Tensor:
    """Return the mean within a radius along one dimension, the border repeated."""
    size, pad = _window(radius, dim)
    return functional.avg_pool2d(functional.pad(image, pad, mode="replicate"), size, stride=1)


def _window(radius: int, dim: int) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Return size and padding of a window along one dimension."""
    long = 2 * radius + 1
    return ((long, 1), (0, 0, radius, radius)) if dim == 2 else ((1, long), (radius, radius, 0, 0))
