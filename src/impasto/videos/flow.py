"""Optical flow between two frames, and where it can be trusted. Pure functions of NumPy arrays, with OpenCV.

A flow is (H, W, 2), float32: what is at (x, y) in the one frame is at (x, y) + flow in the other. Strokes lie
where the photo has no texture, so that an error of a fifth of a pixel is visible there. DIS alone has that:
its flow is smoothed by how much texture a pixel has, and replaced by the motion of the camera where a
homography explains nearly all of it.
Sources: Kroeger et al. 2016 (DIS); Shi and Tomasi 1994 (the smaller eigenvalue as a measure of texture);
Ruder, Dosovitskiy and Brox 2016, equations 5 and 6, after Sundaram et al. 2010 (disocclusions and motion
boundaries).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]

LEAST = 128  # px; DIS fails on smaller pictures, which are continued at their edges
TEXTURE = 12.0  # squared levels a px at which a pixel is sure by half
REACHES = (32, 16, 8, 4, 2)  # px; standard deviations of the windows that are averaged over, widest first
SOME = 0.08  # mean sureness in a window at which its mean counts by half
SURE = 0.5  # sureness from which a pixel has a say about the camera
AGREE = 0.15  # px; distance to the camera's motion that counts as explained by it
SHARE = 0.75  # of the sure pixels that the camera's motion must explain
OTHER = 1.0  # px; beyond it a pixel moves by itself
POINTS = 20_000  # pixels that the homography is fitted to, at most
STILL = 0.05  # px; a camera that moves less does not move
NO_WORSE = 1.15, 0.3  # times, and levels more, that frames of a still camera differ beside the flow's
CUT_SHARE = 0.4  # of trusted pixels, below which two frames are of two scenes
CUT_COLORS = 0.5  # distance of histograms, 0 to 1, likewise
BINS = 8  # of a histogram, for each color


@dataclass(frozen=True)
class Motion:
    """From a frame back to the one before it.

    `flow` is (H, W, 2), `trust` (H, W) in [0, 1], 0 where nothing is known. `cut`: a new scene begins.
    """

    flow: Values
    trust: Values
    cut: bool


def gray_of(pixels: npt.NDArray[Any]) -> Gray:
    """Return a frame (H, W, 3) of floats in [0, 1] in gray, (H, W), uint8."""
    gray: Gray = cv2.cvtColor(np.rint(pixels * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY)
    return gray


def motion(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> Motion:
    """Return how the frame `after` comes from the one before; both (H, W, 3) of floats in [0, 1].

    The same on any number of threads. Where OpenCV fails, the frame begins a new scene.
    """
    first, second = gray_of(before), gray_of(after)
    nothing = np.zeros((*first.shape, 2), np.float32), np.zeros(first.shape, np.float32)
    with one_thread():
        if colors_differ(before, after):
            return Motion(*nothing, cut=True)
        try:
            back, forth = (
                refined(here, there, dense(here, there)) for here, there in ((second, first), (first, second))
            )
        except cv2.error:
            return Motion(*nothing, cut=True)
        seen = consistent(back, forth)
        return Motion(back, softened(seen), cut=bool(seen.mean() < CUT_SHARE))


@contextmanager
def one_thread() -> Iterator[None]:
    """Have OpenCV, which knows nothing of the threads of a run, compute on one inside the block."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def colors_differ(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> bool:
    """Whether the histograms of two frames are as far apart as those of two scenes."""

    def histogram(pixels: npt.NDArray[Any]) -> Any:
        levels = np.minimum((pixels * BINS).astype(np.int64), BINS - 1)
        counts = np.bincount((levels @ (BINS * BINS, BINS, 1)).ravel(), minlength=BINS**3)
        return cv2.GaussianBlur(counts.reshape(BINS, -1).astype(np.float32), (0, 0), 1).ravel() / counts.sum()

    return float(np.abs(histogram(before) - histogram(after)).sum() / 2) > CUT_COLORS


def dense(first: Gray, second: Gray) -> Values:
    """Return the flow of DIS from the first to the second, to the finest scale."""
    rows, columns = (max(0, LEAST - length) for length in first.shape)
    pair = [cv2.copyMakeBorder(image, 0, rows, 0, columns, cv2.BORDER_REPLICATE) for image in (first, second)]
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    dis.setFinestScale(0)
    flow: Values = dis.calc(*pair, None)[: first.shape[0], : first.shape[1]]
    return flow


def sureness(image: Gray) -> Values:
    """Return how much texture in both directions a pixel has, (H, W) in [0, 1)."""
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    xx, xy, yy = (_blurred(product, 2.0) for product in (across * across, across * down, down * down))
    smaller = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy * xy)
    sure = np.maximum(smaller, 0) / (np.maximum(smaller, 0) + TEXTURE)
    return sure.astype(np.float32)


def refined(here: Gray, there: Gray, flow: Values) -> Values:
    """Return a flow smoothed where pixels have no texture, or the camera's where that explains it."""
    sure = sureness(here)
    smooth = smoothed(flow, sure)
    camera = np.zeros_like(flow) if is_still(here, there, flow) else camera_motion(flow, sure)
    if camera is None:
        return smooth
    apart = np.linalg.norm(smooth - camera, axis=-1)
    moving = _blurred(sure * (apart > OTHER), 3.0) / (_blurred(sure, 3.0) + 1e-3)
    with_camera = np.clip(1 - 3 * moving, 0, 1)
    with_camera[(apart > 3 * OTHER) & (sure > 0.3)] = 0
    weight = with_camera[..., None]
    result: Values = (weight * camera + (1 - weight) * smooth).astype(np.float32)
    return result


def is_still(here: Gray, there: Gray, flow: Values) -> bool:
    """Whether most edges of two frames fit as well without any motion as with the flow.

    The flow of a still camera follows the noise.
    """
    edges = _blurred(cv2.Laplacian(cv2.GaussianBlur(here, (0, 0), 2), cv2.CV_32F) ** 2, 2.0)
    without, with_flow = (
        np.sqrt(_blurred((here - other.astype(np.float32)) ** 2, 2.0))
        for other in (there, warped(there, flow))
    )
    fits = without <= NO_WORSE[0] * with_flow + NO_WORSE[1]
    return bool((edges * fits).sum() >= SHARE * edges.sum())


def smoothed(flow: Values, sure: Values) -> Values:
    """Return a flow that is, where a pixel is not sure, the mean of the sure ones around it.

    From wide windows to narrow ones, each as far as it has sure pixels.
    """
    weighted = flow * sure[..., None]
    widest = 2.0 * REACHES[0]
    mean = _blurred(weighted, widest) / (_blurred(sure, widest) + 1e-6)[..., None]
    for reach in REACHES:
        known = _blurred(sure, reach)
        here = _blurred(weighted, reach) / (known + 1e-6)[..., None]
        share = (known / (known + SOME))[..., None]
        mean = share * here + (1 - share) * mean
    result: Values = (sure[..., None] * flow + (1 - sure[..., None]) * mean).astype(np.float32)
    return result


def camera_motion(flow: Values, sure: Values) -> Values | None:
    """Return the flow of the homography that sure pixels agree on; None if too few do."""
    places = np.flatnonzero(sure.ravel() > SURE)
    places = places[:: max(1, len(places) // POINTS)]
    if len(places) < 50:
        return None
    grid = pixel_grid(*sure.shape)
    found = flow.reshape(-1, 2)[places]
    points = grid.reshape(-1, 2)[places]
    matrix, _ = cv2.findHomography(points, points + found, cv2.RANSAC, SURE)
    if matrix is None:
        return None
    camera = cv2.perspectiveTransform(grid.reshape(1, -1, 2), matrix).reshape(grid.shape) - grid
    explained = np.linalg.norm(camera.reshape(-1, 2)[places] - found, axis=-1) < AGREE
    if explained.mean() < SHARE:
        return None
    if np.abs(camera).max() < STILL:
        camera = np.zeros_like(camera)
    result: Values = camera.astype(np.float32)
    return result


def consistent(back: Values, forth: Values) -> npt.NDArray[np.bool_]:
    """Return where a flow back is confirmed by the one forth, (H, W)."""
    there = warped(forth, back)
    squares = (back**2).sum(-1), (there**2).sum(-1)
    seen = ((back + there) ** 2).sum(-1) <= 0.01 * (squares[0] + squares[1]) + 0.5
    slopes = sum(
        cv2.Sobel(back[..., axis], cv2.CV_32F, *order, scale=1 / 8) ** 2
        for axis in (0, 1)
        for order in ((1, 0), (0, 1))
    )
    seen &= slopes <= 0.01 * squares[0] + 0.002
    place = pixel_grid(*back.shape[:2]) + back
    height, width = back.shape[:2]
    inside: npt.NDArray[np.bool_] = (
        seen & (place >= -0.5).all(-1) & (place[..., 0] <= width - 0.5) & (place[..., 1] <= height - 0.5)
    )
    return inside


def softened(seen: npt.NDArray[np.bool_]) -> Values:
    """Return trust (H, W) that fades over a pixel or two where something is no longer seen."""
    trust: Values = _blurred(
        cv2.erode(seen.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32), 1.0
    )
    return trust


def warped(image: npt.NDArray[Any], flow: Values, *, cubic: bool = False) -> Values:
    """Return an image (H, W) or (H, W, C) of floats as seen through a flow; its edges are continued."""
    place = pixel_grid(*flow.shape[:2]) + flow
    how = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    seen: Any = cv2.remap(
        image.astype(np.float32), place[..., 0], place[..., 1], how, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(seen, np.float32)


def pixel_grid(height: int, width: int) -> Values:
    """Return the place (x, y) of each pixel, (H, W, 2)."""
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([columns, rows], -1)


def _blurred(image: npt.NDArray[Any], deviation: float) -> Values:
    blurred: Any = cv2.GaussianBlur(image.astype(np.float32), (0, 0), deviation)
    return np.asarray(blurred, np.float32)
