"""The pictures that a command line names: photo, paintings with their masks, start, protected region.

`picture_arguments` checks names and numbers, `PictureArguments.read` reads the files, both without torch;
`PictureArguments.open` makes pictures of them.
"""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli.checks import shares_of
from impasto.cli.flags import Flags, flag
from impasto.cli.progress import Progress
from impasto.config.limits import Input
from impasto.config.styles import REST, Mask, Style
from impasto.errors import InputError, PictureError, SettingsError
from impasto.inputs.picture_folder import files_in, is_folder
from impasto.messages import counted, did_you_mean, printable
from impasto.system.files import check_length, is_pipe, read_whole

if TYPE_CHECKING:
    from impasto.image.picture import Picture
    from impasto.inputs.open import Opener

NONE = "none"  # in a list with one entry for each style: not for this one
ONE_EACH = f"give one for each style picture, in their order, or {NONE}"


@dataclass(frozen=True)
class OpenedPictures:
    """The pictures of a run; those of a folder are styles of their own."""

    photo: "Picture"
    styles: list[Style]
    start: "Picture | None"
    protect: Mask | str | None


@dataclass(frozen=True)
class PictureArguments:
    """The names of pictures as they were typed, and their bytes once they are read.

    Attributes:
        content: The photo; `-` is standard input.
        styles: The paintings: `picture`, `mask` and `source_mask` are names.
        start: The picture to start from.
        protect: The mask of what stays the photo, or `rest`.
        segments: The segmentation of the photo, in place of the styles' masks.
        colors: Of each style, the color of its region in `segments`, `rest` or None; None: by size.
        folders: The pictures in those styles that are folders.
        files: A name -> its name for messages, and all bytes of the file.
    """

    content: str
    styles: tuple[Style, ...]
    start: str | None = None
    protect: str | None = None
    segments: str | None = None
    colors: tuple[str | None, ...] | None = None
    folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> list[str]:
        """All files that are read, the photo last."""
        names: list[str | None] = []
        for style in self.styles:
            names += self.folders.get(style.picture, (style.picture,))
            names += [style.mask, style.source_mask]
        names += [self.segments, self.protect, self.start, self.content]
        return list(dict.fromkeys(name for name in names if name is not None and name != REST))

    @property
    def stem(self) -> str:
        """How default names of results begin: CONTENT-STYLE."""
        photo = "stdin" if self.content == "-" else _stem(self.content)
        return "-".join([photo, *(_stem(style.picture) for style in self.styles)])

    def read(self, limits: Input) -> None:
        """Read all files.

        Raises:
            InputError: One cannot be read, or is too large.
        """
        for name in self.names:
            self.files[name] = read(name, limits)

    def sha256(self, name: str) -> str:
        """Return the hash of a file that was read."""
        return hashlib.sha256(self.files[name][1]).hexdigest()

    def open(self, limits: Input, progress: Progress | None = None) -> OpenedPictures:
        """Open the pictures that were read; `progress` shows which files of folders are left out.

        Raises:
            InputError: One cannot be read, or the segmentation has other colors than styles.
        """
        from impasto.inputs.open import Opener, open_styles

        def skip(folder: str, error: PictureError) -> None:
            if progress is not None:
                progress.say(f"left out of the style {printable(folder)}: {error}")

        opener = Opener(self.files, folders=self.folders, limits=limits, on_skip=skip)
        return OpenedPictures(
            styles=open_styles(self.segmented(opener), opener),
            protect=opener.mask(self.protect),
            start=None if self.start is None else opener.picture(self.start),
            photo=opener.picture(self.content),
        )

    def segmented(self, opener: "Opener") -> tuple[Style, ...]:
        """Return the styles with the regions of the segmentation as their masks; unchanged without one.

        Raises:
            InputError: It has other colors than styles.
        """
        if self.segments is None:
            return self.styles
        colors = self.colors or self._colors_by_size(opener.picture(self.segments))
        return tuple(
            replace(
                style,
                mask=color if color in (None, REST) else Mask(self.segments, color),
                source_mask=style.source_mask and Mask(style.source_mask, color),
            )
            for style, color in zip(self.styles, colors, strict=True)
        )

    def _colors_by_size(self, segments: "Picture") -> Sequence[str | None]:
        """Return the colors of a segmentation, the largest region first."""
        from impasto.inputs.masks import colors

        seen = colors(segments)
        if len(seen) != len(self.styles):
            raise InputError(
                f"--segments: {printable(segments.name)} has {counted(len(seen), 'color')} "
                f"({', '.join(seen)}), but {counted(len(self.styles), 'style picture')}; say with "
                "--segment-colors which is whose"
            )
        return seen


def _stem(name: str) -> str:
    """Return what a picture is called in the names of results; a pipe has only a number."""
    return "pipe" if is_pipe(name) else Path(name).stem


def read(name: str, limits: Input) -> tuple[str, bytes]:
    """Return an input's name for messages and all its bytes; `-` is standard input."""
    if name != "-":
        return ("pipe" if is_pipe(name) else Path(name).name), read_whole(name, limits.max_bytes, "a picture")
    data = sys.stdin.buffer.read(limits.max_bytes + 1)
    check_length(data, limits.max_bytes, "standard input")
    return "stdin", data


def picture_arguments(content: str, styles: Sequence[str], flags: Flags) -> PictureArguments:
    """Check the names and numbers that a command has, before any file is read; styles may be folders.

    Raises:
        InputError: A list has not one entry for each style, or flags do not go together.
    """
    count = len(styles)
    shares = shares_of(flags.style_weights, count)
    _check_together(flags)
    colors = _one_each("segment_colors", _parts(flags.segment_colors, ","), count, f" or {REST}")
    masks = _files("mask", flags.mask, count, REST)
    source_flag = "source_mask" if flags.source_mask else "source_segments"
    sources = _files(source_flag, flags.source_mask or flags.source_segments, count)
    strokes = _one_each("strokes", _parts(flags.strokes, ","), count)
    layers = _one_each("style_layers_of", _parts(flags.style_layers_of, ";"), count)
    if flags.protect is not None:
        _check_word("protect", flags.protect, (REST,))
    if masks == [REST] * count:
        raise InputError("--mask rest is what the masks of other styles leave; give one of them a picture")
    opened = []
    rows = zip(styles, shares, masks, sources, strokes, layers, strict=True)
    for name, share, mask, source, stroke, layer in rows:
        try:
            size = None if stroke is None else float(stroke)
            opened.append(Style(name, share, mask, source, size, layer))
        except ValueError:
            text = printable(flags.strokes or "")
            raise InputError(f"--strokes: {text} is not numbers by commas such as 0.5,2") from None
        except SettingsError as error:
            message = str(error).replace("style stroke", "--strokes")
            raise InputError(message.replace("style layers", "--style-layers-of")) from error
    return PictureArguments(
        content=content,
        styles=tuple(opened),
        start=flags.init_picture,
        protect=flags.protect,
        segments=flags.segments,
        colors=tuple(map(_color, colors)) if flags.segment_colors is not None else None,
        folders={name: tuple(map(str, files_in(name))) for name in styles if is_folder(name)},
    )


def _check_together(flags: Flags) -> None:
    """Refuse flags that contradict each other, or that nothing would use."""
    for name, other in (("mask", "segments"), ("source_mask", "source_segments")):
        if getattr(flags, name) and getattr(flags, other):
            raise InputError(f"{flag(name)} and {flag(other)} are both masks; give one of them")
    for name in ("segment_colors", "source_segments"):
        if getattr(flags, name) and flags.segments is None:
            raise InputError(f"{flag(name)} needs the segmentation of the photo: --segments FILE")


def _parts(text: str | None, separator: str) -> list[str]:
    return [] if text is None else [part.strip() for part in text.split(separator)]


def _one_each(name: str, entries: Sequence[str], count: int, more: str = "") -> list[str | None]:
    """Return one entry for each style, None where there is none; `more` ends the remedy."""
    if entries and len(entries) != count:
        number = f"{len(entries)} given, but {counted(count, 'style picture')}"
        raise InputError(f"{flag(name)}: {number}; {ONE_EACH}{more}")
    return [None if entry == NONE else entry for entry in entries] or [None] * count


def _files(name: str, files: Sequence[str], count: int, *words: str) -> list[str | None]:
    """Return one file for each style, None where there is none; `words` may stand for files."""
    also = "".join(f" or {word}" for word in words)
    each = _one_each(name, files, count, f"{also}, each after a {flag(name)} of its own")
    for file in files:
        if file == REST and REST not in words:
            raise InputError(f"{flag(name)}: {REST} is for the photo's regions; give a picture or {NONE}")
        _check_word(name, file, (NONE, *words))
    return each


def _check_word(name: str, file: str, words: Sequence[str]) -> None:
    """Refuse a file that does not exist and is called almost as one of the words."""
    hint = did_you_mean(file.lower(), words)
    if hint and file not in words and not Path(file).exists():
        raise InputError(f"{flag(name)}: {printable(file)} does not exist.{hint}")


def _color(text: str | None) -> str | None:
    """Return a color of a segmentation, `rest` or None, checked."""
    try:
        return text if text == REST else Mask(None, text).color
    except SettingsError as error:
        raise InputError(f"--segment-colors: {str(error).removeprefix('mask: ')}") from error
