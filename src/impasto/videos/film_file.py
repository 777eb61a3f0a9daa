"""Films as files: video with PyAV, time stamps to the tick, sound and subtitles copied unread; animations."""

import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Literal

import av
import numpy as np
import numpy.typing as npt

from impasto.errors import InputError, OutputError
from impasto.messages import did_you_mean, printable
from impasto.system.files import check_target, publish
from impasto.videos.animation import write_animation, write_folder
from impasto.videos.clip import ANIMATIONS, Clip, Frame, at_depth
from impasto.videos.video import FilmSettings
from impasto.videos.video_file import EXACT, VideoClip, opened

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
OWN = ("encoder", "major_brand", "minor_version", "compatible_brands", "comment")  # metadata not copied
WRITE: Literal["w"] = "w"  # into a file that `publish` has opened, or memory
REPEATABLE = {"fflags": "+bitexact"}  # the same bytes each time: no random numbers, no dates
COPIED = ("audio", "subtitle")
SUFFIXES = (*CONTAINERS, *ANIMATIONS)
QUIET = {"SVT_LOG": "1"}  # variables; the encoder prints otherwise


@dataclass(frozen=True)
class Coder:
    """An encoder, its pixel formats for 8 and more bits (None: not possible), and its options."""

    encoder: str
    shallow: str | None
    deep: str | None
    options: Mapping[str, str]
    crf: int | None = None


CODERS = {
    # With AVX-512, x264's macroblock tree reads memory that was never written: other bytes each time.
    "h264": Coder("libx264", "yuv420p", None, {"preset": "medium", "x264-params": "mbtree=0"}, 16),
    "h265": Coder("libx265", "yuv420p", "yuv420p10le", {"x265-params": "log-level=none"}, 18),
    "av1": Coder("libsvtav1", "yuv420p", "yuv420p10le", {"preset": "8"}, 22),
    "vp9": Coder("libvpx-vp9", "yuv420p", None, {"b:v": "0", "row-mt": "1"}, 20),
    "prores": Coder("prores_ks", None, "yuv422p10le", {"profile": "3"}),
    "ffv1": Coder("ffv1", "yuv444p", "yuv444p10le", {"level": "3"}),
}


@dataclass(frozen=True)
class Form:
    """How a film is encoded: container, coder, whether with more than 8 bits, which streams are copied."""

    container: str
    codec: str
    deep: bool
    copied: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def pixel_format(self) -> str:
        """The format of its pixels."""
        coder = CODERS[self.codec]
        chosen = coder.deep if self.deep else coder.shallow
        assert chosen is not None  # `form_of` checks
        return chosen

    def padded(self, width: int, height: int) -> tuple[int, int]:
        """Return the size of the encoded frames: even, where the format needs that."""
        across, down = _cell(self.pixel_format)
        return width + width % across, height + height % down


def form_of(target: Path, clip: Clip, film: FilmSettings, width: int, height: int) -> Form:
    """Return how a film of a clip is encoded, checked by writing its header to memory.

    Raises:
        InputError: The suffix or the codec cannot be written, or the sound does not fit the container.
    """
    suffix, name = target.suffix.lower(), printable(target)
    container = CONTAINERS[suffix]
    usual = "vp9" if suffix == ".webm" else "h265" if clip.bits > 8 else "h264"
    codec = film.codec or usual
    coder = CODERS[codec]
    if coder.encoder not in av.codecs_available:
        raise InputError(f"--codec {codec}: this build of FFmpeg lacks {coder.encoder}; it has {_present()}")
    deep = (clip.bits > 8 and coder.deep is not None) or coder.shallow is None
    form = Form(container, codec, deep)
    notes = []
    if clip.bits > 8 and not deep:
        notes.append(f"{clip.bits} bits become 8 in {codec}; --codec h265 or av1 keeps 10")
    if form.padded(width, height) != (width, height):
        across, down = form.padded(width, height)
        notes.append(f"{width} x {height} px are padded to {across} x {down} px, as {codec} needs even sizes")
    if not _fits(form, clip, (), width, height):
        fits = [
            key
            for key, other in CODERS.items()
            if other.encoder in av.codecs_available
            and _fits(Form(container, key, other.shallow is None), clip, (), width, height)
        ]
        raise InputError(f"{name}: {suffix} cannot hold {codec}; it can hold --codec {', '.join(fits)}")
    copied: list[int] = []
    for index, kind, coding in _others(clip):
        if _fits(form, clip, (*copied, index), width, height):
            copied.append(index)
        elif kind == "audio":
            raise InputError(f"{name}: {suffix} cannot hold the clip's sound ({coding}); write .mkv")
        else:
            notes.append(
                f"the subtitles ({coding}) do not fit into {suffix} and are left out; .mkv keeps them"
            )
    return Form(container, codec, deep, tuple(copied), tuple(notes))


def write_film(
    target: Path,
    clip: Clip,
    frames: Iterator[Frame],
    form: Form,
    film: FilmSettings,
    about: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> Path:
    """Write a film, completely or not at all; `about` becomes its comment, as JSON.

    Raises:
        OutputError: It cannot be written.
    """

    def write(file: BinaryIO) -> None:
        with contextlib.ExitStack() as stack:
            source: Any = stack.enter_context(opened(clip.path)) if form.copied else None
            output = stack.enter_context(av.open(file, WRITE, form.container, container_options=REPEATABLE))
            first = next(frames)
            height, width = first.pixels.shape[:2]
            stream = _add_film(output, clip, form, film, width, height)
            others = {i: output.add_stream_from_template(source.streams[i]) for i in form.copied}
            if source is not None:
                kept = {key: value for key, value in source.metadata.items() if key not in OWN}
                output.metadata.update(kept)
            output.metadata["comment"] = json.dumps(about)
            packets = _packets(source, clip, others)
            waiting = next(packets, None)
            for packet, time in _encoded(stream, clip, form, first, frames):
                while waiting is not None and waiting[1] <= time:
                    output.mux(waiting[0])
                    waiting = next(packets, None)
                output.mux(packet)
            while waiting is not None:
                output.mux(waiting[0])
                waiting = next(packets, None)

    with _quiet():
        return publish(target, write, overwrite=overwrite)


def _add_film(output: Any, clip: Clip, form: Form, film: FilmSettings, width: int, height: int) -> Any:
    """Add the stream of the film to a container."""
    coder, crf = CODERS[form.codec], film.crf
    options = dict(coder.options)
    if coder.crf is not None:
        options["crf"] = str(coder.crf if crf is None else crf)
    stream = output.add_stream(coder.encoder, rate=_rate(clip), options=options)
    stream.width, stream.height = form.padded(width, height)
    stream.pix_fmt, stream.time_base = form.pixel_format, clip.tick
    context = stream.codec_context
    context.time_base = clip.tick
    context.color_primaries, context.color_trc = clip.tags.primaries, clip.tags.transfer
    context.colorspace, context.color_range = clip.tags.matrix, clip.tags.range
    return stream


def _rate(clip: Clip) -> Fraction:
    """Return the mean frames a second, which is a hint for the encoder only."""
    seconds = max(clip.seconds, 1e-6)
    return Fraction(max(clip.count, 1) / seconds).limit_denominator(1001)


def _encoded(
    stream: Any, clip: Clip, form: Form, first: Frame, frames: Iterator[Frame]
) -> Iterator[tuple[Any, float]]:
    """Yield the packets of the film, and their times in seconds."""
    shift = clip.start if clip.first is not None else 0

    def numbered() -> Iterator[Frame]:
        yield first
        yield from frames

    def timed(packets: Any) -> Iterator[tuple[Any, float]]:
        for packet in packets:
            yield packet, float((packet.dts or packet.pts or 0) * clip.tick)

    for frame in numbered():
        pixels = _padded(at_depth(frame.pixels, 16 if form.deep else 8), stream.width, stream.height)
        made = av.VideoFrame.from_ndarray(pixels, "rgb48le" if form.deep else "rgb24")
        made = made.reformat(
            format=form.pixel_format,
            dst_colorspace=clip.tags.matrix,
            dst_color_range=clip.tags.range,
            interpolation=EXACT,
        )
        made.pts, made.time_base = frame.ticks - shift, clip.tick
        yield from timed(stream.encode(made))
    yield from timed(stream.encode())


def _packets(source: Any, clip: Clip, others: Mapping[int, Any]) -> Iterator[tuple[Any, float]]:
    """Yield the packets of sound and subtitles in the range for the film, and their times in seconds."""
    if not others:
        return
    begin = 0.0 if clip.first is None else float(clip.start * clip.tick)
    end = float("inf") if clip.last is None else float(clip.last * clip.tick)
    for packet in source.demux([source.streams[index] for index in others]):
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None:  # the end
            continue
        time = float(stamp * packet.time_base)
        if not (clip.first is None or time >= begin) or time >= end:
            continue
        if clip.first is not None:
            shift = round(clip.start * clip.tick / packet.time_base)
            packet.dts, packet.pts = (
                None if stamp is None else stamp - shift for stamp in (packet.dts, packet.pts)
            )
        packet.stream = others[packet.stream.index]
        yield packet, time - begin


def _others(clip: Clip) -> list[tuple[int, str, str]]:
    """Return the number, kind and codec of the streams of sound and subtitles of a clip."""
    if not isinstance(clip, VideoClip):
        return []
    with opened(clip.path) as source:
        return [
            (stream.index, stream.type, stream.codec_context.name)
            for stream in source.streams
            if stream.type in COPIED and stream.codec_context is not None
        ]


def _fits(form: Form, clip: Clip, copied: tuple[int, ...], width: int, height: int) -> bool:
    """Write the header of such a film to memory; return whether that works."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        source: Any = stack.enter_context(opened(clip.path)) if copied else None
        try:
            output = av.open(io.BytesIO(), mode=WRITE, format=form.container)
            with contextlib.suppress(av.error.FFmpegError, ValueError):  # the trailer, after a failure
                stack.callback(output.close)
            _add_film(output, clip, form, FilmSettings(), width, height)
            for index in copied:
                output.add_stream_from_template(source.streams[index])
            output.start_encoding()
        except (av.error.FFmpegError, ValueError):
            return False
    return True


def _present() -> str:
    return ", ".join(key for key, coder in CODERS.items() if coder.encoder in av.codecs_available)


def _cell(pixel_format: str) -> tuple[int, int]:
    """Return the pixels, across and down, that share their color."""
    return (2 if "444" not in pixel_format else 1), (2 if "420" in pixel_format else 1)


def _padded(pixels: npt.NDArray[Any], width: int, height: int) -> npt.NDArray[Any]:
    """Return pixels (H, W, 3) with their last row and column repeated up to a size."""
    rows, columns = height - pixels.shape[0], width - pixels.shape[1]
    if rows or columns:
        pixels = np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")
    return np.ascontiguousarray(pixels)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Have encoders print nothing inside the block."""
    before = {name: os.environ.get(name) for name in QUIET}
    os.environ.update(QUIET)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


# --- any film -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """The film to write. `form` is that of a video file; None for an animation or a folder."""

    path: Path
    film: FilmSettings
    form: Form | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What is changed in writing, a sentence each."""
        return self.form.notes if self.form is not None else ()

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of pictures."""
        return self.form is None and self.path.suffix.lower() not in ANIMATIONS


def target_of(path: Path, clip: Clip, film: FilmSettings, width: int, height: int) -> Target:
    """Return where a film of this size in pixels goes, checked before any work.

    Raises:
        InputError: The suffix, or the codec with it, cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix in CONTAINERS:
        return Target(path, film, form_of(path, clip, film, width, height))
    if film.codec is not None or film.crf is not None:
        raise InputError(f"--codec and --crf are for video files, not for {printable(path)}: leave them out")
    if suffix and suffix not in ANIMATIONS and not path.is_dir():
        hint = did_you_mean(suffix, SUFFIXES)
        raise InputError(
            f"{printable(path)}: the suffix must be one of {', '.join(SUFFIXES)}, or none for a folder of "
            f"pictures.{hint}"
        )
    return Target(path, film)


def check_target_of(target: Target, clip: Clip, *, overwrite: bool) -> None:
    """Refuse a target that cannot be written, before any work.

    Raises:
        InputError: It is the clip itself.
        OutputError: It is there already, or its folder is not.
    """
    if not target.is_folder:
        check_target(target.path, inputs=[clip.path], overwrite=overwrite)
        return
    if os.path.lexists(target.path):
        if not target.path.is_dir():
            raise OutputError(f"{printable(target.path)} is a file; give another name for the folder")
        if clip.path.exists() and target.path.samefile(clip.path):
            raise InputError(f"{printable(target.path)} is also the clip; give the film another name")
        if any(target.path.iterdir()) and not overwrite:
            raise OutputError(f"{printable(target.path)} has files in it; give another name, or --force")


def write_target(
    target: Target, clip: Clip, frames: Iterator[Frame], about: Mapping[str, Any], *, overwrite: bool
) -> Path:
    """Write a film; see `write_film`."""
    if target.form is not None:
        return write_film(target.path, clip, frames, target.form, target.film, about, overwrite=overwrite)
    if target.is_folder:
        return write_folder(target.path, frames, clip.bits, overwrite=overwrite)
    return write_animation(target.path, clip, frames, overwrite=overwrite)
