"""Video files, read with PyAV: the first moving stream, upright, deinterlaced, with square pixels."""

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
from impasto.videos.tone import HLG, PQ, toned

BT709, BT601, RGB = 1, 6, 0  # matrices
MATRICES = (1, 4, 5, 6, 7, 9)  # that are converted; others count as unspecified
HD = 720  # lines from which an unspecified matrix is BT.709
LIMITED = 1  # range
# Flags of swscale: bicubic, exact rounding, chroma at full width both ways. Its own choice loses a level.
EXACT = 4 | 0x40000 | 0x2000 | 0x4000


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
            if packet.size and packet.pts is not None:
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
