"""CIELAB: conversion from sRGB, and back with chroma reduced to the sRGB gamut.

Tensors are (..., 3, H, W); sRGB-encoded in [0, 1], or L* in [0, 100], a*, b*.
Source: IEC 61966-2-1 (sRGB) and CIE 15 (L*a*b*), white D65.
"""

import torch
from torch import Tensor

TO_XYZ = (  # of linear sRGB, primaries and white of IEC 61966-2-1
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
EDGE = 6 / 29  # below its cube, f is linear
SLACK = 1e-5  # of linear light: rounding alone may leave the gamut by this
HALVINGS = 20  # steps of the bisection for the most chroma in the gamut


def to_lab(rgb: Tensor) -> Tensor:
    """Return L*, a*, b* of sRGB-encoded colors, both (..., 3, H, W)."""
    x, y, z = _root(_mixed(_matrix(rgb), _linear(rgb))).unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)


def from_lab(lab: Tensor) -> Tensor:
    """Return sRGB-encoded colors in [0, 1] of L*, a*, b*, both (..., 3, H, W).

    A color outside the sRGB gamut keeps lightness and hue, and gets the most chroma inside it.
    """
    light = _light(lab)
    outside = ((light < -SLACK) | (light > 1 + SLACK)).any(dim=-3, keepdim=True)
    if bool(outside.any()):
        planes = lab.movedim(-3, 0)
        where = outside.movedim(-3, 0)[0]
        light.movedim(-3, 0)[:, where] = _reduced(planes[:, where])  # (3, N)
    return _encoded(light.clamp_(0.0, 1.0))


def with_chroma(painted: Tensor, photo: Tensor, amount: float = 1.0) -> Tensor:
    """Return the lightness of one picture with the chroma of another, all (..., 3, H, W), in [0, 1].

    `amount` is the share of the photo's a* and b*; the rest is the painted picture's.
    """
    lab, goal = to_lab(painted), to_lab(photo)
    chroma = lab[..., 1:, :, :]
    chroma += amount * (goal[..., 1:, :, :] - chroma)
    return from_lab(lab)


def _reduced(lab: Tensor) -> Tensor:
    """Return the linear light, (3, N), of colors L*, a*, b* (3, N) with the most chroma inside the gamut."""
    lightness, chroma = lab[:1], lab[1:]
    low, high = torch.zeros_like(lightness), torch.ones_like(lightness)
    for _ in range(HALVINGS):
        share = (low + high) / 2
        light = _light(torch.cat([lightness, chroma * share])[..., None, None].movedim(1, 0))
        fits = ((light >= -SLACK) & (light <= 1 + SLACK)).all(dim=-3).view(1, -1)
        low, high = torch.where(fits, share, low), torch.where(fits, high, share)
    return _light(torch.cat([lightness, chroma * low])[..., None, None].movedim(1, 0))[..., 0, 0].T


def _light(lab: Tensor) -> Tensor:
    """Return linear sRGB of L*, a*, b*, not limited to the gamut."""
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    root = torch.stack([y + a / 500, y, y - b / 200], dim=-3)
    line = (root - 4 / 29) * (3 * EDGE**2)
    xyz = torch.where(root > EDGE, root * root * root, line)
    return _mixed(torch.linalg.inv(_matrix(lab)), xyz)


def _matrix(like: Tensor) -> Tensor:
    """Return the matrix from linear sRGB to XYZ of which white is (1, 1, 1)."""
    matrix = torch.tensor(TO_XYZ, dtype=torch.float64, device="cpu")
    return matrix / matrix.sum(1, keepdim=True)


def _mixed(matrix: Tensor, planes: Tensor) -> Tensor:
    """Return the planes (..., 3, H, W) mixed by a matrix (3, 3)."""
    first, second, third = planes.unbind(-3)
    rows = [first * a + second * b + third * c for a, b, c in matrix.tolist()]
    return torch.stack(rows, dim=-3)


def _root(xyz: Tensor) -> Tensor:
    """Return CIE's f: the cube root, and a straight line near black."""
    line = xyz / (3 * EDGE**2) + 4 / 29
    return torch.where(xyz > EDGE**3, xyz.clamp_min(EDGE**3) ** (1 / 3), line)


def _linear(encoded: Tensor) -> Tensor:
    """Return linear light of sRGB-encoded values."""
    curve = ((encoded + 0.055) / 1.055) ** 2.4
    return torch.where(encoded > 0.04045, curve, encoded / 12.92)


def _encoded(linear: Tensor) -> Tensor:
    """Return sRGB-encoded values of linear light in [0, 1]."""
    curve = 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curve, linear * 12.92)
