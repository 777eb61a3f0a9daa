"""Optical flow: known motions, what is trusted, scenes, sizes, threads."""

import cv2
import numpy as np
import pytest

from impasto.videos import flow
from videos.clips import panned, scene


def frames(count: int = 2, width: int = 160, height: int = 120, **more) -> list[np.ndarray]:
    return [frame.astype(np.float32) / 255 for frame in panned(count, width, height, **more)]


def textured(width: int = 160, height: int = 120, seed: int = 3) -> np.ndarray:
    """Return a picture (2 H, 2 W, 3) in [0, 1] with texture everywhere."""
    noise = np.random.default_rng(seed).random((2 * height, 2 * width, 3)).astype(np.float32)
    return np.clip(0.5 + 3 * (cv2.GaussianBlur(noise, (0, 0), 1.5) - 0.5), 0, 1)


def seen(image: np.ndarray, left: int, top: int, width: int = 160, height: int = 120) -> np.ndarray:
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def test_the_flow_of_a_pan_is_known_to_a_tenth_of_a_pixel() -> None:
    """The window goes 3 to the right and 1 down: what is at x was at x + 3 in the frame before."""
    image = textured()
    found = flow.motion(seen(image, 20, 20), seen(image, 23, 21))
    assert not found.cut
    inner = found.flow[8:-8, 8:-8]
    assert np.abs(inner - (3, 1)).mean() < 0.1
    assert found.trust[8:-8, 8:-8].mean() > 0.95


def test_what_comes_into_view_is_not_trusted() -> None:
    image = textured()
    found = flow.motion(seen(image, 20, 20), seen(image, 26, 20))
    assert found.trust[:, -5:].max() < 0.5
    assert found.trust[10:-10, 10:-12].mean() > 0.95


def test_noise_does_not_move_a_still_picture() -> None:
    still = frames()[0]
    random = np.random.default_rng(0)
    noisy = [np.clip(still + random.normal(0, 1.5 / 255, still.shape), 0, 1) for _ in range(2)]
    found = flow.motion(*noisy)
    assert not found.cut
    assert np.abs(found.flow).max() < 0.2
    assert not flow.motion(still, still).flow.any()


def test_an_object_that_moves_otherwise_does_not_follow_the_camera() -> None:
    image, other = textured(), textured(seed=9)
    pair = [seen(image, 20, 20), seen(image, 22, 20)]
    for number, frame in enumerate(pair):
        frame[40:80, 60 - 4 * number : 100 - 4 * number] = other[:40, :40]
    found = flow.motion(*pair)
    inside, outside = found.flow[50:70, 66:86], found.flow[8:30, 8:150]
    assert np.abs(inside - (4, 0)).mean() < 0.3
    assert np.abs(outside - (2, 0)).mean() < 0.1


def test_a_flat_area_moves_as_its_surroundings_do() -> None:
    image = textured()
    image[60:90, 70:110] = 0.5
    found = flow.motion(seen(image, 20, 20), seen(image, 23, 20))
    flat = found.flow[45:65, 55:85]
    assert np.abs(flat - (3, 0)).mean() < 0.1


def test_the_camera_is_refused_where_it_does_not_explain_the_motion() -> None:
    """Left and right halves move apart, which no homography does."""
    sure = np.ones((60, 80), np.float32)
    apart = np.zeros((60, 80, 2), np.float32)
    apart[:, 40:, 0] = 3
    assert flow.camera_motion(apart, sure) is None
    camera = flow.camera_motion(np.full_like(apart, 1.5), sure)
    assert np.abs(camera - 1.5).max() < 0.01
    assert flow.camera_motion(np.full_like(apart, 1.5), np.zeros_like(sure)) is None


def test_a_cut_is_seen() -> None:
    one, other = frames(seed=1)[0], frames(seed=2)[0]
    assert flow.motion(one, other).cut
    image, another = textured(seed=1), textured(seed=2)  # of the same colors
    assert flow.motion(seen(image, 0, 0), seen(another, 0, 0)).cut
    assert not any(flow.motion(*frames(seed=seed)).cut for seed in range(4))


def test_opencv_failing_is_a_cut(monkeypatch) -> None:
    def fail(*arguments):
        raise cv2.error("no")

    monkeypatch.setattr(flow, "dense", fail)
    found = flow.motion(*frames())
    assert found.cut
    assert not found.trust.any()


@pytest.mark.parametrize("size", [(8, 8), (3, 200), (200, 3), (17, 31)])
def test_tiny_and_thin_pictures_have_a_flow(size) -> None:
    height, width = size
    image = scene(width, height)
    pair = [image[:height, left : left + width].astype(np.float32) / 255 for left in (0, 1)]
    found = flow.motion(*pair)
    assert found.flow.shape == (height, width, 2)
    assert np.isfinite(found.flow).all()


def test_the_number_of_threads_changes_nothing() -> None:
    pair = frames(width=320, height=240)
    before = cv2.getNumThreads()
    try:
        results = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            results.append(flow.motion(*pair).flow.tobytes())
            assert cv2.getNumThreads() == threads
    finally:
        cv2.setNumThreads(before)
    assert results[0] == results[1]


def test_warping_by_hand() -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    right = np.zeros((3, 4, 2), np.float32)
    right[..., 0] = 1
    assert flow.warped(image, right).tolist() == [[1, 2, 3, 3], [5, 6, 7, 7], [9, 10, 11, 11]]
