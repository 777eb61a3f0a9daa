"""Pooling a strip of rows at a time, against torch's pooling of the whole and its gradient."""

import pytest
import torch
from torch.nn.functional import max_pool2d

from impasto.network import pooling


@pytest.mark.parametrize("partial", [(1, 1), (0, 0), (1, 0), (0, 1)])  # rounded up: rows, columns
@pytest.mark.parametrize("size", [(2, 2), (3, 5), (8, 9), (13, 6), (31, 30)])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_maxima_in_strips_are_those_of_the_whole(monkeypatch, partial, size, rows) -> None:
    monkeypatch.setattr(pooling, "STRIP", 1)
    monkeypatch.setattr(pooling, "ROWS", rows)
    generator = torch.Generator().manual_seed(1)
    features = torch.randint(0, 4, (1, 5, *size), generator=generator).float()  # with ties
    features = features.contiguous(memory_format=torch.channels_last).requires_grad_()
    small = tuple((length + up) // 2 for length, up in zip(size, partial, strict=True))
    expected = max_pool2d(features[..., : 2 * small[0], : 2 * small[1]], 2, ceil_mode=True)
    slope = torch.rand(expected.shape, generator=generator)
    expected.backward(slope)
    found, undo = pooling.pooled(features.detach(), "max", small)
    assert torch.equal(found, expected.detach())
    assert torch.equal(undo(slope.contiguous(memory_format=torch.channels_last)), features.grad)
