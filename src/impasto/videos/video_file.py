"""Video files, read with PyAV: the first moving stream, upright, deinterlaced, with square pixels.

HDR becomes the range of BT.709: PQ and HLG to light, BT.2020 to BT.709, and a shoulder for what is brighter.
Sources: SMPTE ST 2084 (PQ), ITU-R BT.2100 (HLG and its system gamma), BT.2408 (graphics white at 203 cd/m2),
BT.2087 (the matrix). The shoulder is that of Reinhard et al. 2002, equation 4, on the largest channel, so
that hues stay.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import av.stream
import numpy as np
import numpy.typing as npt

from impasto.errors import InputError
from impasto.messages import printable
from impasto.system.files import check_ordinary, file_sha256
from impasto.videos.clip import UNSPECIFIED, Clip, Tags

BT709, BT601, RGB = 1, 6, 0  # matrices
MATRICES = (1, 4, 5, 6, 7, 9)  # that are converted; others count as unspecified
HD = 720  # lines from which an unspecified matrix is BT.709
LIMITED = 1  # range
# Flags of swscale: bicubic, exact rounding, chroma at full width both ways. Its own choice loses a level.
EXACT = 4 | 0x40000 | 0x2000 | 0x4000

PQ, HLG = 16, 18  # transfer characteristics of ITU-T H.273
WHITE = 203.0  # cd/m2 that become white's neighborhood
PEAK = 1000.0  # cd/m2 that become 1
TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)

Values = npt.NDArray[np.float32]


@dataclass(frozen=True)
class VideoClip(Clip):
    """A clip in a video file. `stream` is its number in the file."""

    stream: int = 0
    interlaced: bool = False
    hdr: int | None = None

    def sha256(self) -> str:
        """Return the hash of the file."""
        return file_sha256(self.path)

    def _decoded(self) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        with opened(self.path) as container:
            stream = container.streams[self.stream]
            stream.thread_type = "AUTO"
            rotation, number = None, 0
            for frame in _fields_joined(stream, container) if self.interlaced else _frames(stream, container):
                rotation = frame.rotation if rotation is None else rotation
                ticks = frame.pts if frame.pts is not None else self.ticks[min(number, len(self.ticks) - 1)]
                number += 1
                yield int(ticks), self._upright(frame, rotation)

    def still(self) -> npt.NDArray[Any]:
        """Return the first frame of the range, decoded from the key frame before it."""
        if not self.interlaced and self.start > self.ticks[0]:
            with opened(self.path) as container, contextlib.suppress(av.error.FFmpegError):
                stream = container.streams[self.stream]
                container.seek(self.start, stream=stream)
                for frame in _frames(stream, container):
                    if frame.pts is not None and frame.pts >= self.start:
                        return self._upright(frame, frame.rotation)
        return super().still()

    def _upright(self, frame: Any, rotation: int) -> npt.NDArray[Any]:
        """Return a frame's pixels, (H, W, 3)."""
        turns = round(rotation / 90) % 4
        size = (self.height, self.width) if turns % 2 else (self.width, self.height)
        deep = self.bits > 8
        options = {} if _is_rgb(frame) else {"src_colorspace": self.tags_of_file(frame).matrix}
        pixels = frame.to_ndarray(
            format="rgb48le" if deep else "rgb24", width=size[0], height=size[1], interpolation=EXACT,
            **options,
        )  # fmt: skip
        if self.hdr is not None:
            pixels = toned(pixels, self.hdr)
        return np.ascontiguousarray(np.rot90(pixels, turns))

    def tags_of_file(self, frame: Any) -> Tags:
        """Return the tags of a frame as decoded, before any toning."""
        return _tags(frame)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file to read.

    Raises:
        InputError: It is no video, or cut off.
    """
    name = printable(path)
    try:
        check_ordinary(path, "a video")
        container = av.open(str(path))
    except av.error.InvalidDataError as error:
        raise InputError(
            f"{name} is no video, or its index is missing because it was cut off; copy it again"
        ) from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"cannot read {name}: {printable(str(error))}; give a video file") from error
    with container:
        yield container


def open_video(path: Path, *, refuse_hdr: bool = False) -> VideoClip:
    """Return the clip of a video file; see `clip.open_clip`."""
    with opened(path) as container:
        stamps, end = _stamps(container, _moving(container, path))
    with opened(path) as container:
        stream = _moving(container, path)
        frame = next(_frames(stream, container), None)
        if frame is None:
            raise InputError(f"{printable(path)}: no frame can be decoded; copy the file again")
        notes = []
        ratio = stream.codec_context.sample_aspect_ratio or Fraction(1)
        width = max(1, round(frame.width * ratio))
        if width != frame.width:
            shape = f"{frame.width} x {frame.height}"
            notes.append(f"{shape} px that are not square become {width} x {frame.height} px")
        if frame.interlaced_frame:
            notes.append("interlaced: the two fields of a frame are joined")
        tags, hdr = _tags(frame), None
        if tags.transfer in (PQ, HLG):
            kind = "PQ" if tags.transfer == PQ else "HLG"
            if refuse_hdr:
                raise InputError(f"{printable(path)} is HDR ({kind}); --hdr tone tones it to BT.709")
            hdr, tags = tags.transfer, Tags()
            notes.append(f"HDR ({kind}) is toned to the range of BT.709")
        height = frame.height
        if round(frame.rotation / 90) % 2:
            width, height = height, width
        return VideoClip(
            path, width, height, Fraction(stream.time_base), stamps or (int(frame.pts or 0),), end,
            bits=max(item.bits for item in frame.format.components), tags=tags, notes=tuple(notes),
            stream=stream.index, interlaced=frame.interlaced_frame, hdr=hdr,
        )  # fmt: skip


def _moving(container: Any, path: Path) -> Any:
    """Return the first stream that is no cover picture."""
    cover = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & cover and stream.codec_context is not None:
            break
    else:
        what = "a cover picture, but no video" if container.streams.video else "no video in it"
        raise InputError(f"{printable(path)} has {what}; give a clip")
    if container.format.name.endswith("_pipe") or container.format.name == "image2":
        raise InputError(f"{printable(path)} is a picture: impasto {printable(path)} STYLE paints it")
    return stream


def _stamps(container: Any, stream: Any) -> tuple[tuple[int, ...], int]:
    """Return the time stamps of a stream's packets in order, and when the last one ends."""
    stamps, length = [], 1
    with contextlib.suppress(av.error.InvalidDataError):  # cut off: those before count
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None and not packet.is_discard:
                stamps.append(int(packet.pts))
                length = int(packet.duration or length)
    stamps.sort()
    return tuple(stamps), (stamps[-1] + length if stamps else length)


def _frames(stream: Any, container: Any) -> Iterator[Any]:
    """Yield the frames that can be decoded."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            decoded = packet.decode()
        except av.error.InvalidDataError:  # a damaged packet
            if packet is None:
                return
            continue
        yield from decoded


def _fields_joined(stream: Any, container: Any) -> Iterator[Any]:
    """Yield the frames, deinterlaced."""
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(template=stream), graph.add("bwdif", "mode=send_frame"), graph.add("buffersink")
    ).configure()
    for frame in _frames(stream, container):
        graph.push(frame)
        yield from _pulled(graph, stream)
    graph.push(None)
    yield from _pulled(graph, stream)


def _pulled(graph: Any, stream: Any) -> Iterator[Any]:
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        if frame.pts is not None and frame.time_base and frame.time_base != stream.time_base:
            frame.pts = round(frame.pts * frame.time_base / stream.time_base)
        yield frame


def _is_rgb(frame: Any) -> bool:
    return bool(frame.format.is_rgb)


def _tags(frame: Any) -> Tags:
    """Return a frame's tags, with what is usual where it states nothing."""
    usual = BT709 if frame.height >= HD or _is_rgb(frame) else BT601
    matrix = frame.colorspace if frame.colorspace in MATRICES else usual
    stated = [value if value not in (0, UNSPECIFIED) else usual for value in (
        frame.color_primaries, frame.color_trc)]  # fmt: skip
    limited = _is_rgb(frame) or not frame.color_range
    return Tags(int(stated[0]), int(stated[1]), int(matrix), LIMITED if limited else int(frame.color_range))


# --- HDR -----------------------------------------------------------------------------------------


def light_of_pq(values: Values) -> Values:
    """Return the light of PQ values in [0, 1], in cd/m2."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = np.power(np.clip(values, 0, 1), 1 / m2)
    light: Values = 10_000 * np.power(np.maximum(power - c1, 0) / (c2 - c3 * power), 1 / m1)
    return light


def light_of_hlg(values: Values) -> Values:
    """Return the light of HLG values (H, W, 3) in [0, 1] on a display of 1000 cd/m2, in cd/m2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(values <= 0.5, values**2 / 3, (np.exp((values - c) / a) + b) / 12)
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593], np.float32)
    light: Values = PEAK * scene * np.power(np.maximum(luminance, 1e-6), 0.2)[..., None]
    return light


def toned(pixels: npt.NDArray[np.uint16], transfer: int) -> npt.NDArray[np.uint16]:
    """Return HDR pixels (H, W, 3) of BT.2020 as BT.709 with the transfer of sRGB, uint16."""
    values = pixels.astype(np.float32) / np.float32(65535)
    light = (light_of_pq(values) if transfer == PQ else light_of_hlg(values)) / WHITE
    light = np.maximum(light @ TO_709.T, 0)
    largest = light.max(axis=-1, keepdims=True)
    shoulder = largest * (1 + largest / (PEAK / WHITE) ** 2) / (1 + largest)
    linear = np.clip(light * shoulder / np.maximum(largest, 1e-6), 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
    result: npt.NDArray[np.uint16] = (encoded * 65535 + 0.5).astype(np.uint16)
    return result
