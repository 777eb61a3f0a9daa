"""Opens clips, and the views of a film: each frame with its paintings and masks, which may be clips."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from impasto.config.settings import Settings
from impasto.config.styles import REST, Mask, Style
from impasto.errors import InputError
from impasto.image.picture import Picture
from impasto.inputs import masks
from impasto.inputs.open import MaskLike, Opener, StyleLike, open_styles
from impasto.messages import printable
from impasto.videos.animation import open_animation, open_folder
from impasto.videos.clip import ANIMATIONS, Clip, Frame
from impasto.videos.painter import View, in_colors_of
from impasto.videos.video import VIDEOS, FilmSettings
from impasto.videos.video_file import open_video


@dataclass(frozen=True)
class Views:
    """A clip, the paintings and the protected part; the masks of each frame come from clips of their own.

    `followed` has, by the picture of its first frame, each clip that is a mask.
    """

    clip: Clip
    styles: tuple[Style, ...]
    protect: masks.OpenedMask
    followed: Mapping[int, tuple[Picture, Clip]] = field(default_factory=dict)

    def first(self) -> View:
        """Return the first view.

        Raises:
            InputError: It cannot be decoded.
        """
        return next(iter(self))[1]

    def colored(self, settings: Settings) -> "Views":
        """Return the views with the paintings in the colors of the first frame, where settings want that."""
        if settings.color not in ("match", "histogram"):
            return self
        return replace(self, styles=in_colors_of(self.first().photo, self.styles, settings))

    def __iter__(self) -> Iterator[tuple[Frame, View]]:
        """Yield each frame with its view."""
        moving = {key: clip.frames() for key, (_, clip) in self.followed.items()}
        name = self.clip.path.name
        for frame in self.clip.frames():
            now = {key: _picture(next(frames, None), frame) for key, frames in moving.items()}
            photo = Picture.of(frame.pixels, name=f"{name}, frame {frame.index + 1}")
            yield frame, View(photo, self._styles(now, frame), _of_frame(self.protect, now))

    def _styles(self, now: Mapping[int, Picture], frame: Frame) -> tuple[Style, ...]:
        """Return the paintings with the masks of a frame; those whose mask has nothing in it are left out."""
        if not now:
            return self.styles
        styles = tuple(replace(style, mask=_of_frame(style.mask, now)) for style in self.styles)
        used = tuple(style for style in styles if not _is_empty(style.mask))
        if all(style.mask == REST for style in used):  # rest of nothing is everything
            used = tuple(replace(style, mask=None) for style in used)
        if not used:
            raise InputError(f"frame {frame.index + 1}: all masks are black; one painting needs mask rest")
        return used


def open_clip(path: str | os.PathLike[str], *, fps: float = 25.0, refuse_hdr: bool = False) -> Clip:
    """Return a clip; its frames are decoded when they are needed.

    `fps` are the frames a second of a folder.

    Raises:
        InputError: It is missing, damaged, has no moving pictures, or is HDR where that is refused.
    """
    path = Path(path)
    if path.is_dir():
        return open_folder(path, fps)
    if not path.exists():
        raise InputError(f"{printable(path)} does not exist; check the path")
    if path.suffix.lower() in ANIMATIONS:
        return open_animation(path)
    return open_video(path, refuse_hdr=refuse_hdr)


def open_views(
    clip: Clip, style: StyleLike | Sequence[StyleLike], protect: MaskLike | None, film: FilmSettings
) -> Views:
    """Open paintings and masks.

    Raises:
        InputError: One cannot be read, or a mask that is a clip has another number of frames.
    """
    followed: dict[int, tuple[Picture, Clip]] = {}

    def opened(mask: Any) -> Any:
        """Return a mask, with its first frame for a clip."""
        inner = mask.picture if isinstance(mask, Mask) else mask
        if not is_clip(inner):
            return mask
        moving = open_clip(inner, fps=film.fps).between(film.from_, film.to)
        if moving.count != clip.count:
            raise InputError(
                f"the mask {printable(moving.path)} has {moving.count} frames, but the clip {clip.count}; "
                "give one of the same length"
            )
        picture = Picture.of(next(moving.frames()).pixels, name=moving.path.name)
        followed[id(picture)] = picture, moving
        return Mask(picture, mask.color if isinstance(mask, Mask) else None)

    listed = list(style) if isinstance(style, (list, tuple)) else [style]
    styles = [item if isinstance(item, Style) else Style(item) for item in listed]
    opener = Opener()
    found = open_styles([replace(item, mask=opened(item.mask)) for item in styles], opener)
    return Views(clip, tuple(found), opener.mask(opened(protect)), followed)


def is_clip(source: object) -> bool:
    """Whether a mask is a clip by its name."""
    if not isinstance(source, (str, Path)) or source == REST:
        return False
    path = Path(source)
    return path.suffix.lower() in (*VIDEOS, ".gif") or path.is_dir()


def _picture(frame: Frame | None, of: Frame) -> Picture:
    if frame is None:
        raise InputError(f"a mask ends before the clip, at its frame {of.index + 1}; give one as long")
    return Picture.of(frame.pixels, name=f"mask of frame {frame.index + 1}")


def _of_frame(mask: masks.OpenedMask, now: Mapping[int, Picture]) -> masks.OpenedMask:
    """Return a mask as it is in a frame."""
    if isinstance(mask, Mask) and id(mask.picture) in now:
        return Mask(now[id(mask.picture)], mask.color)
    return mask


def _is_empty(mask: masks.OpenedMask) -> bool:
    """Whether a mask has nothing in it."""
    if not isinstance(mask, Mask):
        return False
    return float(masks.tensor(mask, *masks.preview_size(mask.picture)).max()) < masks.FAINT
