"""Where a film goes: a video file, an animation or a folder of numbered pictures, by its name."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto.config.film import FilmSettings
from impasto.errors import InputError, OutputError
from impasto.messages import did_you_mean, printable
from impasto.system.files import check_target
from impasto.videos.animation import write_animation, write_folder
from impasto.videos.clip import ANIMATIONS, Clip, Frame
from impasto.videos.encode import CONTAINERS, Form, form_of, write_film

SUFFIXES = (*CONTAINERS, *ANIMATIONS)


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
    """Write a film; see `encode.write_film`."""
    if target.form is not None:
        return write_film(target.path, clip, frames, target.form, target.film, about, overwrite=overwrite)
    if target.is_folder:
        return write_folder(target.path, frames, clip.bits, overwrite=overwrite)
    return write_animation(target.path, clip, frames, overwrite=overwrite)
