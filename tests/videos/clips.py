"""Tiny clips for tests: moving pictures with known time stamps, sound and tags."""

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

TICK = Fraction(1, 30000)
EVEN = tuple(1001 * number for number in range(6))
UNEVEN = (0, 1001, 2002, 3503, 9009, 9500)


def scene(width: int = 64, height: int = 48, seed: int = 0) -> np.ndarray:
    """Return a smooth random picture (2 H, 2 W, 3), uint8, to be seen through a moving window."""
    small = np.random.default_rng(seed).integers(0, 256, (9, 12, 3)).astype(np.float32)
    rows, columns = np.linspace(0, 8, 2 * height), np.linspace(0, 11, 2 * width)
    top, left = np.minimum(rows.astype(int), 7), np.minimum(columns.astype(int), 10)
    down, across = (rows - top)[:, None, None], (columns - left)[None, :, None]
    upper = small[top][:, left] * (1 - across) + small[top][:, left + 1] * across
    lower = small[top + 1][:, left] * (1 - across) + small[top + 1][:, left + 1] * across
    return np.round(upper * (1 - down) + lower * down).astype(np.uint8)


def panned(
    count: int = 6, width: int = 64, height: int = 48, step: int = 2, seed: int = 0
) -> list[np.ndarray]:
    """Return frames of a window that moves over a scene."""
    whole = scene(width, height, seed)
    return [
        np.ascontiguousarray(whole[number : number + height, step * number : step * number + width])
        for number in range(count)
    ]


def write(
    path: Path,
    frames: Sequence[np.ndarray],
    stamps: Sequence[int] = EVEN,
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    tags: tuple[int, int, int, int] = (1, 1, 1, 1),
    sound: bool = False,
    subtitles: bool = False,
    ratio: Fraction | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a clip; tags are primaries, transfer, matrix and range."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=30, options=options or {"crf": "4"})
        video.height, video.width = frames[0].shape[:2]
        video.pix_fmt, video.time_base = pixels, TICK
        context = video.codec_context
        context.time_base = TICK
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = tags
        if ratio is not None:
            context.sample_aspect_ratio = ratio
        audio = container.add_stream("aac", rate=44100, layout="stereo") if sound else None
        for pts, values in zip(stamps, frames, strict=False):
            deep = values.dtype == np.uint16
            frame = av.VideoFrame.from_ndarray(values, "rgb48le" if deep else "rgb24")
            frame = frame.reformat(format=pixels, dst_colorspace=tags[2], dst_color_range=tags[3])
            frame.pts, frame.time_base = pts, TICK
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None:
            wave = (np.sin(np.arange(22050) * 0.06) * 8000).astype(np.int16)
            samples = np.repeat(wave[:, None], 2, 1).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
            frame.sample_rate, frame.pts = 44100, 0
            for part in av.AudioResampler("fltp", "stereo", 44100).resample(frame):
                container.mux(audio.encode(part))
            container.mux(audio.encode())
    return path


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def stamps(path: Path) -> list[Fraction]:
    """Return when each frame is shown, in seconds."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def packets(path: Path, kind: str = "audio") -> tuple[int, str]:
    """Return the number of packets of sound or subtitles, and a hash of their bytes and times."""
    result, count = hashlib.sha256(), 0
    with av.open(str(path)) as container:
        for packet in container.demux([s for s in container.streams if s.type == kind]):
            if packet.dts is not None:
                result.update(bytes(packet) + str(packet.pts * packet.time_base).encode())
                count += 1
    return count, result.hexdigest()


def tags(path: Path) -> tuple[int, int, int, int]:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        return frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range
