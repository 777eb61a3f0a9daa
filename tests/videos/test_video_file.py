"""Video files as they come: time stamps, turned, interlaced, damaged, deep, and what is no video."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from impasto.errors import InputError
from impasto.videos import clip as clips_module
from impasto.videos.views import open_clip
from videos import clips
from videos.clips import EVEN, TICK, UNEVEN, panned, write


def shown(path: Path, **more) -> list[np.ndarray]:
    return [frame.pixels for frame in open_clip(path, **more).frames()]


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


def test_frames_and_uneven_times_come_as_they_are(tmp_path) -> None:
    frames = panned()
    clip = open_clip(write(tmp_path / "a.mp4", frames, UNEVEN, codec="ffv1", pixels="bgr0", options={}))
    assert (clip.width, clip.height, clip.count, clip.tick) == (64, 48, 6, TICK)
    found = list(clip.frames())
    assert [frame.ticks for frame in found] == list(UNEVEN)
    assert [frame.index for frame in found] == list(range(6))
    for frame, made in zip(found, frames, strict=True):
        assert apart(frame.pixels, made) < 1


def test_a_still_is_the_first_frame_of_the_range(tmp_path) -> None:
    """Decoded from the key frame before it, in a clip whose frames are not stored in their order."""
    options = {"crf": "4", "bf": "2", "g": "5"}
    path = write(tmp_path / "a.mp4", panned(12), [1001 * n for n in range(12)], options=options)
    clip = open_clip(path)
    for number, frame in enumerate(clip.frames()):
        part = clip.between(number * 1001 / 30000, None)
        assert np.array_equal(part.still(), frame.pixels)
        assert np.array_equal(next(part.frames()).pixels, frame.pixels)


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("full", [False, True])
def test_colors_are_those_of_the_matrix_and_range(tmp_path, matrix, full) -> None:
    """Worked out from Y, U and V: orange, (255, 128, 0)."""
    red, blue = {1: (0.2126, 0.0722), 6: (0.299, 0.114)}[matrix]
    color = np.array([255, 128, 0])
    y = red * color[0] + (1 - red - blue) * color[1] + blue * color[2]
    u, v = (color[2] - y) / (2 * (1 - blue)), (color[0] - y) / (2 * (1 - red))
    scale = ((1, 0, 1), (219 / 255, 16, 224 / 255))[not full]
    planes = [y * scale[0] + scale[1], u * scale[2] + 128, v * scale[2] + 128]
    path = tmp_path / "orange.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv444p"
        video.codec_context.colorspace, video.codec_context.color_range = matrix, 2 if full else 1
        values = np.stack([np.full((48, 64), round(float(plane)), np.uint8) for plane in planes])
        for number in range(2):
            frame = av.VideoFrame.from_ndarray(values, "yuv444p")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode())
    assert np.abs(shown(path)[0].reshape(-1, 3).mean(0) - color).max() < 2


def test_a_turned_video_is_upright(tmp_path) -> None:
    """The display matrix of a telephone held upright: it is to be turned clockwise."""
    frames = panned()
    path = write(tmp_path / "a.mp4", frames)
    turned = turn(path, tmp_path / "turned.mp4")
    clip = open_clip(turned)
    assert (clip.width, clip.height) == (48, 64)
    assert apart(next(clip.frames()).pixels, np.rot90(shown(path)[0], -1)) < 1


def turn(path: Path, target: Path) -> Path:
    """Set the matrix in a file to a quarter turn clockwise."""
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd")
    matrix = at + 4 + 4 + 20 + 16  # version and flags; times, number, length; layer, volume
    quarter = [0, 0x10000, 0, -0x10000 & 0xFFFFFFFF, 0, 0, 0, 0, 0x40000000]
    assert data[matrix : matrix + 4] == (0x10000).to_bytes(4, "big")
    data[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big") for value in quarter)
    target.write_bytes(data)
    return target


def test_ten_bits_stay(tmp_path) -> None:
    ramp = np.broadcast_to(np.linspace(20000, 30000, 64).astype(np.uint16)[None, :, None], (48, 64, 3))
    options = {"x265-params": "log-level=none:lossless=1"}
    path = write(
        tmp_path / "a.mp4",
        [np.ascontiguousarray(ramp)] * 3,
        codec="libx265",
        pixels="yuv444p10le",
        options=options,
    )
    clip = open_clip(path)
    assert clip.bits == 10
    pixels = next(clip.frames()).pixels
    assert pixels.dtype == np.uint16
    assert len(np.unique(pixels[..., 1])) > 45  # 8 bits would have 40 levels there


def test_not_square_pixels_become_square_and_that_is_said(tmp_path) -> None:
    clip = open_clip(write(tmp_path / "a.mp4", panned(), ratio=Fraction(2)))
    assert (clip.width, clip.height) == (128, 48)
    assert next(clip.frames()).pixels.shape == (48, 128, 3)
    assert "not square" in clip.notes[0]


def test_interlaced_video_is_deinterlaced_and_that_is_said(tmp_path) -> None:
    """A bar that moves between the fields has a comb of lines, which goes."""
    frames = []
    for number in range(8):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[0::2, 4 * number : 4 * number + 20] = 255
        frame[1::2, 4 * number + 2 : 4 * number + 22] = 255
        frames.append(frame)
    options = {"crf": "4", "x264-params": "interlaced=1:tff=1"}
    path = write(tmp_path / "a.mp4", frames, [1001 * number for number in range(8)], options=options)
    clip = open_clip(path)
    assert "interlaced" in clip.notes[0]
    found = list(clip.frames())
    assert len(found) in (7, 8)
    assert [frame.ticks for frame in found] == [1001 * number for number in range(len(found))]

    def combs(image: np.ndarray) -> float:
        return float(np.abs(np.diff(image[..., 1].astype(float), axis=0)).mean())

    assert combs(found[4].pixels) < 0.5 * combs(frames[4])


def test_a_range_is_cut_out_by_time(tmp_path) -> None:
    clip = open_clip(write(tmp_path / "a.mp4", panned(), EVEN))
    part = clip.between(2 * 1001 / 30000, 5 * 1001 / 30000)
    assert part.count == 3
    assert [frame.ticks for frame in part.frames()] == [2002, 3003, 4004]
    with pytest.raises(InputError, match=r"a\.mp4 is 0\.2 s long: no frame is in that range"):
        clip.between(3, None)


def test_times_that_repeat_or_are_negative_still_grow(tmp_path) -> None:
    times = [-2002, -1001, 0, 1001, 2002, 3003]
    path = write(tmp_path / "a.mkv", panned(), times, codec="ffv1", pixels="bgr0", options={})
    ticks = [frame.ticks for frame in open_clip(path).frames()]
    assert len(ticks) == 6
    assert ticks == sorted(set(ticks))


def test_a_cover_picture_is_not_the_clip(tmp_path) -> None:
    """The cover comes first in the file."""
    path = tmp_path / "a.mp4"
    frames = panned()
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        video = container.add_stream("ffv1", rate=30)
        video.width, video.height, video.pix_fmt = 64, 48, "bgr0"
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24").reformat(
            format="yuvj420p"
        )
        image.pts = 0
        container.mux(cover.encode(image))
        container.mux(cover.encode())
        for number, frame in enumerate(frames):
            made = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="bgr0")
            made.pts = number
            container.mux(video.encode(made))
        container.mux(video.encode())
    clip = open_clip(path)
    assert (clip.width, clip.height, clip.count) == (64, 48, 6)


def test_a_size_that_changes_midway_stays_that_of_the_first_frame(tmp_path) -> None:
    """Two MPEG-TS files in a row are one with two sizes."""
    one = write(tmp_path / "1.ts", panned())
    small = [frame[:32, :48].copy() for frame in panned()]
    two = write(tmp_path / "2.ts", small, [6006 + stamp for stamp in EVEN])
    path = tmp_path / "both.ts"
    path.write_bytes(one.read_bytes() + two.read_bytes())
    sizes = {frame.pixels.shape for frame in open_clip(path).frames()}
    assert sizes == {(48, 64, 3)}


# --- what is no video ---------------------------------------------------------------------------


def test_a_missing_file_and_other_files_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_clip(tmp_path / "no.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    with pytest.raises(InputError, match=r"text\.mp4 is no video, or its index is missing"):
        open_clip(text)


def test_a_cut_off_file_without_index_says_so(tmp_path) -> None:
    path = write(tmp_path / "a.mp4", panned())
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="cut off; copy it again"):
        open_clip(path)


def test_of_a_damaged_file_what_can_be_decoded_is_used(tmp_path) -> None:
    times = [1001 * number for number in range(12)]
    path = write(tmp_path / "a.mkv", panned(12), times, codec="ffv1", pixels="bgr0", options={})
    whole = len(shown(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0 < len(shown(path)) < whole


def test_a_photo_is_sent_to_stylize(tmp_path, images) -> None:
    with pytest.raises(InputError, match=r"is a picture: impasto .* STYLE paints it"):
        open_clip(images / "tubingen.jpg")


def test_a_file_of_sound_has_no_video(tmp_path) -> None:
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        audio = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, 0
        container.mux(audio.encode(frame))
        container.mux(audio.encode())
    with pytest.raises(InputError, match="has no video in it; give a clip"):
        open_clip(path)


def test_hdr_is_toned_or_refused(tmp_path) -> None:
    flat = np.full((48, 64, 3), 38000, np.uint16)  # PQ 0.58: about 203 cd/m2
    path = write(tmp_path / "a.mp4", [flat] * 3, codec="libx265", pixels="yuv420p10le", tags=(9, 16, 9, 1),
                 options={"x265-params": "log-level=none:crf=4"})  # fmt: skip
    with pytest.raises(InputError, match=r"is HDR \(PQ\); --hdr tone"):
        open_clip(path, refuse_hdr=True)
    clip = open_clip(path)
    assert clip.notes == ("HDR (PQ) is toned to the range of BT.709",)
    assert clip.tags == clips_module.Tags()
    assert 0.6 < next(clip.frames()).pixels.mean() / 65535 < 0.85


def test_the_clips_of_these_tests_have_their_times(tmp_path) -> None:
    path = write(tmp_path / "a.mp4", panned(), UNEVEN, sound=True)
    assert clips.stamps(path) == [stamp * TICK for stamp in UNEVEN]
    assert clips.packets(path)[0] > 10
