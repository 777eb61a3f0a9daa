"""A draft at the size of the result: enlarged by a local affine map of the photo's colors (guided filter).

Around each pixel the draft's colors q are described as A p + b of the photo's colors p. The map is fitted at
the draft's size, enlarged, and applied to the photo at the size of the result, whose edges are sharp; what is
left, q - A p, is enlarged as it is:

    Q = A' P + (q - A p)',    A = cov(q, p) (cov(p, p) + e I)^-1,    ' is bicubic interpolation

Means and covariances are over square windows; A is the mean over the windows that a pixel lies in.
Sources: He, Sun and Tang 2010 and 2013, "Guided image filtering", with a guide in color; He and Sun 2015,
"Fast guided filter", for the map at a small size.
"""

import torch
from torch import Tensor
from torch.nn import functional

from impasto.image.picture import Picture

RADIUS = 4  # px of the draft; a window has an edge of 2 * RADIUS + 1
EPSILON = 3e-4  # added to the variances; what varies much less in the photo is not taken for an edge


def enlarged(canvas: Tensor, photo: Picture, width: int, height: int) -> Tensor:
    """Return a draft (1, 3, h, w) at a larger size, (1, 3, height, width), float32, in [0, 1], on the CPU.

    Beside the result it takes little memory: the photo comes a few rows at a time.
    """
    small = canvas.detach().to("cpu", torch.float32).clamp(0.0, 1.0)
    rows, columns = small.shape[-2:]
    if (rows, columns) == (height, width):
        return small
    guide = photo.tensor(columns, rows)
    gain = local_gain(guide, small)
    parts = torch.cat([gain, small - _applied(gain[0], guide[0])], 1)
    wide = functional.interpolate(parts, (rows, width), mode="bicubic", align_corners=False)
    wide = wide[0].transpose(0, 1).flatten(1)  # (rows, 12 * width)
    weights = functional.interpolate(
        torch.eye(rows)[None, None], (height, rows), mode="bicubic", align_corners=False
    )[0, 0]
    result = torch.empty((1, 3, height, width))
    for band, page in photo.strips(width, height):
        used = weights[band].any(0).nonzero()
        first, last = int(used[0]), int(used[-1]) + 1
        maps = (weights[band, first:last] @ wide[first:last]).view(-1, 12, width).transpose(0, 1)
        torch.add(_applied(maps[:9], page[0]), maps[9:], out=result[0, :, band])
    return result.clamp_(0.0, 1.0)


def local_gain(guide: Tensor, image: Tensor, radius: int = RADIUS, epsilon: float = EPSILON) -> Tensor:
    """Return A of each pixel, (1, 9, H, W) by rows, for `guide` and `image`, both (1, 3, H, W)."""
    height, width = guide.shape[-2:]
    p, q = guide[0].double(), image[0].double()
    mean_p, mean_q = box_mean(p, radius), box_mean(q, radius)

    def covariance(one: Tensor, other: Tensor, means: tuple[Tensor, Tensor]) -> Tensor:
        products = (one[:, None] * other[None]).flatten(0, 1)
        found = box_mean(products, radius) - (means[0][:, None] * means[1][None]).flatten(0, 1)
        return found.view(3, 3, height, width).permute(2, 3, 0, 1)

    own = covariance(p, p, (mean_p, mean_p)) + epsilon * torch.eye(3, dtype=torch.float64)
    cross = covariance(p, q, (mean_p, mean_q))  # own A^T = cross
    found = torch.linalg.solve(own, cross).permute(3, 2, 0, 1).reshape(9, height, width)
    return box_mean(found, radius)[None].float()


def _applied(gain: Tensor, colors: Tensor) -> Tensor:
    """Return A p of each pixel, (3, H, W), of A, (9, H, W) by rows, and p, (3, H, W)."""
    first, second, third = (gain[column::3] for column in range(3))
    return (first * colors[0]).addcmul_(second, colors[1]).addcmul_(third, colors[2])


def box_mean(image: Tensor, radius: int) -> Tensor:
    """Return the means over square windows, as far as they lie in the picture, of (C, H, W)."""
    edge = 2 * radius + 1
    means = functional.avg_pool2d(image[None], (edge, 1), 1, (radius, 0), count_include_pad=False)
    return functional.avg_pool2d(means, (1, edge), 1, (0, radius), count_include_pad=False)[0]
