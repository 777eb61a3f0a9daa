"""What all clips share: ranges, times that only grow, depth."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from impasto.errors import InputError
from impasto.videos.clip import Clip, at_depth


class Repeating(Clip):
    def _decoded(self):
        yield from ((ticks, np.zeros((2, 2, 3), np.uint8)) for ticks in (0, 0, 1, 1, 5))

    def sha256(self) -> str:
        return ""


def test_repeated_times_are_moved_by_a_tick() -> None:
    clip = Repeating(Path("x"), 2, 2, Fraction(1, 10), (0, 0, 1, 1, 5), 6)
    assert [frame.ticks for frame in clip.frames()] == [0, 1, 2, 3, 5]


def test_a_range_covers_the_frames_that_begin_in_it() -> None:
    clip = Repeating(Path("x"), 2, 2, Fraction(1, 10), (0, 2, 4, 6), 8)
    assert (clip.count, clip.start, clip.seconds) == (4, 0, pytest.approx(0.8))
    part = clip.between(0.2, 0.6)
    assert (part.count, part.start, part.seconds) == (2, 2, pytest.approx(0.4))
    assert clip.between(0.19, None).first == 2
    with pytest.raises(InputError, match=r"x is 0\.8 s long: no frame is in that range"):
        clip.between(0.7, None)


def test_a_clip_without_frames_is_refused() -> None:
    clip = Repeating(Path("x"), 2, 2, Fraction(1, 10), (7, 8), 9, first=7)
    with pytest.raises(InputError, match="no frame can be decoded"):
        list(clip.frames())


def test_depth_changes_without_a_shift() -> None:
    eight = np.arange(256, dtype=np.uint8).reshape(1, -1, 1)
    sixteen = at_depth(eight, 16)
    assert (sixteen[0, 0], sixteen[0, -1]) == (0, 65535)
    assert (at_depth(sixteen, 8) == eight).all()
    assert at_depth(eight, 8) is eight
