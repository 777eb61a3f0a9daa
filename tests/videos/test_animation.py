"""Animated GIF and WebP, and folders of pictures, as clips and as films."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from impasto.errors import InputError
from impasto.image.picture import Picture
from impasto.videos.animation import write_animation, write_folder
from impasto.videos.views import open_clip
from videos.clips import panned


def animated(path, frames, lengths, **more):
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=lengths, loop=3, **more)
    return path


@pytest.mark.parametrize(("name", "more"), [("a.gif", {}), ("a.webp", {"lossless": True})])
def test_times_and_repetitions_of_an_animation_are_kept(tmp_path, name, more) -> None:
    lengths = [40, 120, 70]
    clip = open_clip(animated(tmp_path / name, panned(3), lengths, **more))
    assert (clip.width, clip.height, clip.count, clip.tick) == (64, 48, 3, Fraction(1, 1000))
    assert [frame.ticks for frame in clip.frames()] == [0, 40, 160]
    assert clip.seconds == pytest.approx(0.23)
    film = write_animation(tmp_path / f"film-{name}", clip, clip.frames())
    again = open_clip(film)
    assert [frame.ticks for frame in again.frames()] == [0, 40, 160]
    assert (again.end, again.loop) == (230, 3)
    for one, other in zip(clip.frames(), again.frames(), strict=True):
        assert abs(one.pixels.astype(float) - other.pixels).mean() < (2 if name == "a.gif" else 6)


def test_frames_of_no_length_have_that_of_viewers(tmp_path) -> None:
    clip = open_clip(animated(tmp_path / "a.gif", panned(3), 0))
    assert [frame.ticks for frame in clip.frames()] == [0, 100, 200]


def test_transparent_frames_are_on_white(tmp_path) -> None:
    frames = [np.zeros((32, 32, 4), np.uint8) for _ in range(2)]
    frames[1][:16] = 90, 90, 90, 255
    path = animated(tmp_path / "a.webp", frames, 50, lossless=True)
    first, second = (frame.pixels for frame in open_clip(path).frames())
    assert (first == 255).all()
    assert (second[:16] == 90).all()
    assert (second[16:] == 255).all()


def test_one_frame_is_a_picture(tmp_path) -> None:
    Image.fromarray(panned(1)[0]).save(tmp_path / "a.gif")
    with pytest.raises(InputError, match=r"a\.gif has one frame: impasto .*a\.gif STYLE paints it"):
        open_clip(tmp_path / "a.gif")


def test_a_damaged_animation_is_refused(tmp_path) -> None:
    (tmp_path / "a.gif").write_bytes(b"GIF89a....")
    with pytest.raises(InputError, match=r"cannot read .*a\.gif"):
        open_clip(tmp_path / "a.gif")


def test_a_folder_is_read_by_the_numbers_of_its_files(tmp_path) -> None:
    for number in (10, 9, 100, 1):
        Image.fromarray(np.full((4, 6, 3), number, np.uint8)).save(tmp_path / f"frame{number}.png")
    (tmp_path / ".hidden").write_text("x")
    clip = open_clip(tmp_path, fps=12.5)
    assert [int(frame.pixels[0, 0, 0]) for frame in clip.frames()] == [1, 9, 10, 100]
    assert (clip.tick, clip.seconds) == (Fraction(2, 25), pytest.approx(0.32))
    before = clip.sha256()
    Image.fromarray(np.full((4, 6, 3), 11, np.uint8)).save(tmp_path / "frame9.png")
    assert open_clip(tmp_path).sha256() != before


def test_a_folder_of_deep_pictures_stays_deep(tmp_path) -> None:
    values = np.full((4, 6, 3), 12345, np.uint16)
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    Picture.of(values).save(source / "1.png", bits=16)
    clip = open_clip(source)
    assert clip.bits == 16
    write_folder(target, clip.frames(), clip.bits)
    assert (Picture.open(target / "000000.png").array(16) == 12345).all()


def test_an_empty_folder_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="has no pictures; give a folder of frames"):
        open_clip(tmp_path)


def test_photos_are_no_frames(tmp_path) -> None:
    """What would fail, or be distorted, after all is painted."""
    Image.new("RGB", (6, 4)).save(tmp_path / "1.png")
    Image.new("RGB", (6, 5)).save(tmp_path / "2.png")
    with pytest.raises(InputError, match=r"2\.png has 6 x 5 px, but the first frame 6 x 4; .*impasto batch"):
        open_clip(tmp_path)
    (tmp_path / "2.png").unlink()
    Image.new("RGB", (6, 4)).save(tmp_path / "cat.png")
    with pytest.raises(InputError, match=r"cat\.png has no number in its name, .*impasto batch"):
        open_clip(tmp_path)
