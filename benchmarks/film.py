"""How still a film holds, how well it is painted, and what it costs, on clips whose motion is known.

    python benchmarks/film.py [--width 256] [--frames 12] [--clips pan,parallax,still] [--steadiness 0.5]
        [--two-pass] [--settings NAME=VALUE,...] [--style PICTURE] [--keep FOLDER] [--json FILE]

The clips are made here: a photo behind a moving, slowly zooming camera, an ellipse of another picture that
moves against it, a lens blur of 0.8 px and noise of 1.5 levels. In `parallax` hills of the photo move beside
the camera's motion, so that no homography explains it; in `still` nothing moves. Each film is made twice,
with each frame alone and steady. Warping error: RMS in levels between a frame and the one before it (or six
before), moved by the true flow, where that holds. Style and content: the neutral evaluator. New parts: what
came into view within six frames, beside the frame alone: colors (blurred by 4 px) in levels, fine detail
(above 2 px) as a share. Processor seconds are those of one thread. With `--two-pass` the steady film gets its
second pass as well.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from common import SHARED, surroundings
from tests.reference import neutral

import impasto
from impasto.image.picture import Picture
from impasto.videos.flow import motion, pixel_grid
from impasto.videos.video import FilmSettings, Painted, video

GAP = 6  # frames of the long warping error, and in which a part counts as new; fewer in a shorter clip
BLUR, NOISE = 0.8, 1.5  # px, levels
FINE = 3  # samples across a pixel


@dataclass
class Made:
    """Frames (T, H, W, 3) in [0, 1]; for each but the first where its pixels were, and where that holds."""

    frames: np.ndarray
    places: list[np.ndarray]
    holds: list[np.ndarray]


@dataclass
class Path2D:
    """The motion of a clip: camera and object. `parallax` is in px a frame."""

    width: int
    height: int
    still: bool
    parallax: float

    def camera(self, number: int) -> tuple[float, float, float]:
        """Return the photo's pixels a pixel, and where the frame's corner lies in the photo."""
        number = 0 if self.still else number
        scale = 2.6 * 256 / self.width
        return scale * 0.996**number, 60 + 2.3 * 2.6 * number, 150 - 0.7 * 2.6 * number

    def hills(self, places: np.ndarray, number: int) -> np.ndarray:
        """Return how far the hills of the photo have moved at its places, in px across."""
        height = np.sin(places[..., 0] / 95) * np.cos(places[..., 1] / 70)
        return self.parallax * number * height * self.width / 256

    def to_photo(self, grid: np.ndarray, number: int) -> np.ndarray:
        """Return which place of the photo is seen at places of a frame."""
        scale, *corner = self.camera(number)
        places = grid * scale + np.array(corner)
        for _ in range(12 if self.parallax else 0):  # a fixed point
            moved = grid.copy()
            moved[..., 0] += self.hills(places, number)
            places = moved * scale + np.array(corner)
        return places

    def to_frame(self, places: np.ndarray, number: int) -> np.ndarray:
        """Return where places of the photo are seen in a frame."""
        scale, *corner = self.camera(number)
        seen = (places - np.array(corner)) / scale
        seen[..., 0] -= self.hills(places, number)
        return seen

    def object_at(self, number: int) -> np.ndarray:
        """Return the middle of the object."""
        number = 0 if self.still else number
        unit = self.width / 256
        return np.array([205 - 4.2 * number, 95 + 1.3 * number]) * unit

    def in_object(self, grid: np.ndarray, number: int, wider: float = 0.0) -> np.ndarray:
        """Return which places are within the object, made wider by some pixels."""
        radii = np.array([30.0, 38.0]) * self.width / 256 + wider
        return (((grid - self.object_at(number)) / radii) ** 2).sum(-1) <= 1


def picture(name: str, fallback: str) -> np.ndarray:
    path = SHARED / name
    source = path if path.exists() else impasto.cli.samples.sample(fallback)
    return Picture.open(source).array(8).astype(np.float32) / 255


def make(width: int, count: int, *, still: bool = False, parallax: float = 0.0) -> Made:
    """Return a clip of 4:3."""
    path = Path2D(width, width * 3 // 4, still, parallax)
    photo, other = picture("tubingen.jpg", "photo"), picture("the_scream.jpg", "the_scream")
    random = np.random.default_rng(0)
    grid = pixel_grid(path.height, width).astype(np.float64)
    fine = (pixel_grid(path.height * FINE, width * FINE).astype(np.float64) + 0.5) / FINE - 0.5
    frames, places, holds = [], [], []
    for number in range(count):
        seen = path.to_photo(fine, number)
        image = _sampled(photo, seen)
        of_object = (fine - path.object_at(number)) * 2.2 * 256 / width + np.array([300, 560])
        inside = path.in_object(fine, number)[..., None]
        image = np.clip(np.where(inside, _sampled(other, of_object), image), 0, 1)
        image = cv2.GaussianBlur(
            cv2.resize(image, (width, path.height), interpolation=cv2.INTER_AREA), (0, 0), BLUR
        )
        image = image + random.normal(0, NOISE / 255, image.shape)
        frames.append(np.round(np.clip(image, 0, 1) * 255) / 255)
        if number:
            here = path.in_object(grid, number)
            back = path.to_frame(path.to_photo(grid, number), number - 1)
            with_object = grid - path.object_at(number) + path.object_at(number - 1)
            back = np.where(here[..., None], with_object, back)
            edge = path.in_object(grid, number, 1.5) & ~path.in_object(grid, number, -1.5)
            covered = ~here & path.in_object(back, number - 1, 1.5)
            within = (back >= 0).all(-1) & (back <= np.array([width - 1, path.height - 1])).all(-1)
            places.append(back.astype(np.float32))
            holds.append(within & ~edge & ~covered)
    return Made(np.stack(frames).astype(np.float32), places, holds)


def _sampled(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    across, down = places[..., 0].astype(np.float32), places[..., 1].astype(np.float32)
    return cv2.remap(image, across, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def moved(image: np.ndarray, places: np.ndarray, how: int = cv2.INTER_CUBIC) -> np.ndarray:
    return cv2.remap(image, places[..., 0], places[..., 1], how, borderMode=cv2.BORDER_REPLICATE)


def warping_error(frames: np.ndarray, clip: Made, gap: int = 1) -> float:
    """Return the RMS in levels between frames `gap` apart where the true flow holds."""
    squares = []
    for number in range(gap, len(frames)):
        places, holds = clip.places[number - 1].copy(), clip.holds[number - 1].copy()
        for earlier in range(number - 2, number - 1 - gap, -1):
            holds &= moved(clip.holds[earlier].astype(np.float32), places, cv2.INTER_LINEAR) > 0.99
            places = np.stack(
                [moved(clip.places[earlier][..., axis], places, cv2.INTER_LINEAR) for axis in (0, 1)], -1
            )
        before = np.clip(moved(frames[number - gap], places), 0, 1)
        squares.append(np.mean((frames[number] - before)[holds] ** 2))
    return float(255 * np.sqrt(np.mean(squares)))


def new_parts(frames: np.ndarray, alone: np.ndarray, clip: Made) -> tuple[float, float]:
    """Return how far the colors of new parts are from those of the frame alone, and their fine detail."""
    colors, detail, gap = [], [], min(GAP, len(frames) - 1)
    for number in range(gap, len(frames)):
        new = np.zeros(frames.shape[1:3], np.float32)
        for at in range(number - gap, number):
            new = np.maximum(moved(new, clip.places[at], cv2.INTER_NEAREST), ~clip.holds[at])
        mask = cv2.erode((new > 0.5).astype(np.uint8), np.ones((3, 3))) > 0
        if not mask.any():
            continue
        pair = frames[number], alone[number]
        coarse = [cv2.GaussianBlur(image, (0, 0), 4) for image in pair]
        fine = [image - cv2.GaussianBlur(image, (0, 0), 2) for image in pair]
        colors.append(np.mean((coarse[0] - coarse[1])[mask] ** 2))
        detail.append(np.sqrt(np.mean(fine[0][mask] ** 2) / np.mean(fine[1][mask] ** 2)))
    if not colors:
        return float("nan"), float("nan")
    return float(255 * np.sqrt(np.mean(colors))), float(np.mean(detail))


class Judge:
    """The neutral evaluator's content and style of frames."""

    @torch.no_grad()
    def __init__(self, style: Path, edge: int) -> None:
        painting = Picture.open(style)
        size = impasto.image.pixels.fit(painting.width, painting.height, edge)
        found = neutral.features(painting.tensor(*size, kernel="linear") * 255)
        self._grams = {layer: neutral.gram(found[layer]) for layer in neutral.STYLE}

    @torch.no_grad()
    def __call__(self, frame: np.ndarray, photo: np.ndarray) -> tuple[float, float]:
        """Return content and style."""
        got, content = (
            neutral.features(torch.from_numpy(image * 255).permute(2, 0, 1)[None].float())
            for image in (frame, photo)
        )
        style = sum(
            100 * float((neutral.gram(got[layer]) - target).square().sum()) / target.shape[0] ** 4
            for layer, target in self._grams.items()
        )
        apart = got[neutral.CONTENT] - content[neutral.CONTENT]
        return 5 * float(apart.square().mean()), style


def filmed(
    folder: Path, name: str, clip: Made, options: argparse.Namespace, film: FilmSettings
) -> tuple[np.ndarray, list[float], list[Painted]]:
    """Return the frames of a film, the processor seconds of each, and what is said of them."""
    source = folder / name
    source.mkdir(exist_ok=True)
    for number, frame in enumerate(clip.frames):
        Picture.of(np.round(frame * 255).astype(np.uint8)).save(source / f"{number:04d}.png", overwrite=True)
    seconds, told, last = [], [], time.process_time()

    def on_frame(painted: Painted) -> None:
        nonlocal last
        now = time.process_time()
        seconds.append(now - last)
        told.append(painted)
        last = now

    values = dict(pair.split("=") for pair in options.settings.split(",") if pair)
    settings = impasto.Settings.from_texts({"size": options.width, "min_size": options.width, **values}, {})
    target = folder / f"{name}-{'steady' if film.steadiness else 'alone'}"
    made = video(
        source, options.style, target, settings, film, runtime=impasto.Runtime(threads=1),
        on_frame=on_frame, overwrite=True,
    )  # fmt: skip
    ending = ".again.png" if film.two_pass else ".png"
    frames = [
        Picture.open(made.folder / f"{n:06d}{ending}").array(16).astype(np.float32) / 65535
        for n in range(made.frames)
    ]
    return np.stack(frames), seconds, told


def sheet(rows: list[np.ndarray], path: Path) -> None:
    """Write frames of several films below each other."""
    count = len(rows[0])
    chosen = [round(i * (count - 1) / 5) for i in range(6)]
    image = np.concatenate([np.concatenate([row[number] for number in chosen], 1) for row in rows])
    Picture.of(np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)).save(path, overwrite=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--clips", default="pan,parallax,still")
    parser.add_argument("--steadiness", type=float, default=0.5)
    parser.add_argument("--two-pass", action="store_true")
    parser.add_argument("--settings", default="")
    parser.add_argument("--style", type=Path, default=SHARED / "starry_night.jpg")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    kinds: dict[str, Callable[[], Made]] = {
        "pan": lambda: make(options.width, options.frames),
        "parallax": lambda: make(options.width, options.frames, parallax=0.8),
        "still": lambda: make(options.width, options.frames, still=True),
    }
    judge, found = Judge(options.style, options.width), {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        for kind in options.clips.split(","):
            clip = kinds[kind]()
            alone, seconds_alone, _ = filmed(folder, kind, clip, options, FilmSettings(steadiness=0))
            found[kind] = {"clip": measured(clip.frames, clip.frames, clip, judge)}
            found[kind]["alone"] = measured(alone, alone, clip, judge) | {"seconds": _median(seconds_alone)}
            film = FilmSettings(steadiness=options.steadiness)
            steady, seconds, told = filmed(folder, kind, clip, options, film)
            row = measured(steady, alone, clip, judge) | {"seconds": _median(seconds)}
            row["evaluations"] = float(np.mean([painted.evaluations for painted in told[1:]]))
            began = time.process_time()
            motion(clip.frames[0], clip.frames[1])
            row["flow_seconds"] = time.process_time() - began
            found[kind]["steady"] = row
            rows = [clip.frames, alone, steady]
            if options.two_pass:
                again, more, told = filmed(folder, kind, clip, options, film.changed(two_pass=True))
                second = [one for one, painted in zip(more, told, strict=True) if painted.start == "next"]
                found[kind]["twice"] = measured(again, alone, clip, judge) | {
                    "seconds": row["seconds"] + float(np.median(second)), "flow_seconds": row["flow_seconds"],
                }  # fmt: skip
                rows.append(again)
            sheet(rows, folder / f"{kind}.png")
            for name, values in found[kind].items():
                print(
                    f"{kind:9s}{name:8s}" + "  ".join(f"{key} {value:.4g}" for key, value in values.items()),
                    flush=True,
                )
            for name in found[kind].keys() & {"steady", "twice"}:
                told_of = "  ".join(f"{k} {v:.3g}" for k, v in ratios(found[kind], name).items())
                print(f"{kind:9s}{name:8s}/ alone  {told_of}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"found": found, "where": surroundings(1)}, indent=1))


def measured(frames: np.ndarray, alone: np.ndarray, clip: Made, judge: Judge) -> dict[str, float]:
    """Return all numbers of a film."""
    terms = [judge(frame, photo) for frame, photo in zip(frames[1:], clip.frames[1:], strict=True)]
    colors, detail = new_parts(frames, alone, clip)
    gap = min(GAP, len(frames) - 1)
    return {
        "warp": warping_error(frames, clip),
        f"warp_{gap}": warping_error(frames, clip, gap),
        "content": float(np.mean([term[0] for term in terms])),
        "style": float(np.mean([term[1] for term in terms])),
        "new_colors": colors,
        "new_detail": detail,
    }


def ratios(rows: dict[str, dict[str, float]], name: str = "steady") -> dict[str, float]:
    """Return what the goals are about."""
    clip, alone, steady = rows["clip"], rows["alone"], rows[name]
    long = next(key for key in clip if key.startswith("warp_"))
    return {
        "warp/clip": steady["warp"] / clip["warp"],
        "alone/clip": alone["warp"] / clip["warp"],
        f"{long}/clip": steady[long] / clip[long],
        "style/alone": steady["style"] / alone["style"],
        "content/alone": steady["content"] / alone["content"],
        "seconds/alone": steady["seconds"] / alone["seconds"],
        "flow/frame": steady["flow_seconds"] / steady["seconds"],
    }


def _median(seconds: list[float]) -> Any:
    return float(np.median(seconds[1:]))


if __name__ == "__main__":
    main()
