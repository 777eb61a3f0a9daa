"""What the command line names to be read: photo, paintings with their masks, start, what is protected.

`request_of` checks all that can be checked without reading, `Request.read` reads, both without torch;
`Request.open` makes pictures of it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.cli.flags import shares_of
from impasto.cli.progress import Progress
from impasto.cli.run import read
from impasto.config.limits import Input
from impasto.config.styles import REST, Mask, Style
from impasto.errors import InputError, PictureError, SettingsError
from impasto.inputs.picture_folder import files_in, is_folder
from impasto.messages import counted, did_you_mean, printable

if TYPE_CHECKING:
    from impasto.image.picture import Picture

NONE = "none"  # in a list with one entry a style: not for this one
ONE_EACH = f"give one for each style picture, in their order, or {NONE}"


@dataclass(frozen=True)
class Opened:
    """The pictures of a request."""

    photo: "Picture"
    styles: list[Style]
    start: "Picture | None"
    protect: Mask | str | None


@dataclass(frozen=True)
class PictureArguments:
    """Names as they were typed; `styles` have names for pictures and masks, `colors` those of segments."""

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
        found: list[str] = []
        for style in self.styles:
            found += self.folders.get(style.picture, (style.picture,))
            found += [name for name in (style.mask, style.source_mask) if name not in (None, REST)]
        others = (self.segments, self.protect, self.start)
        found += [name for name in others if name not in (None, REST)]
        return list(dict.fromkeys([*found, self.content]))

    def read(self, limits: Input) -> None:
        """Read all files."""
        for name in self.names:
            self.files[name] = read(name, limits)

    def digest(self) -> list[Any]:
        """Return what tells this request from others, once it is read; in types of JSON."""
        sums = {name: hashlib.sha256(data).hexdigest() for name, (_, data) in self.files.items()}

        def known(name: Any) -> Any:
            found = [sums[one] for one in self.folders.get(name, ())]
            return found or sums.get(name, name)

        used = [
            [known(s.picture), s.weight, known(s.mask), known(s.source_mask), s.stroke, s.layers]
            for s in self.styles
        ]
        others = (self.content, self.start, self.protect, self.segments)
        return [used, *map(known, others), self.colors]

    def open(self, limits: Input, progress: Progress | None = None) -> Opened:
        """Open the pictures that were read; a folder's are styles of their own.

        Raises:
            InputError: One cannot be read, or a segmentation has other colours than are wanted.
        """
        from impasto.image.picture import Picture

        pictures: dict[str, Picture] = {}

        def picture(name: str) -> Picture:
            if name not in pictures:
                shown, data = self.files.pop(name)  # each picture holds what it needs
                pictures[name] = Picture.open(data, name=shown, limits=limits)
            return pictures[name]

        colors = self._colors(picture(self.segments)) if self.segments else None
        styles: list[Style] = []
        for number, style in enumerate(self.styles):
            masks = self._masks(number, colors, picture)
            opened = [
                found
                for name in self.folders.get(style.picture, (style.picture,))
                if (found := self._one(name, style, picture, progress)) is not None
            ]
            if not opened:
                shown = printable(style.picture)
                raise InputError(f"the folder {shown} has no picture that can be read")
            weight = style.weight / len(opened)
            styles += [Style(one, weight, *masks, style.stroke, style.layers) for one in opened]
        protect: Mask | str | None = self.protect
        if self.protect not in (None, REST):
            protect = Mask(picture(self.protect))
        start = picture(self.start) if self.start else None
        return Opened(picture(self.content), styles, start, protect)

    def _one(self, name: str, style: Style, picture: Any, progress: Progress | None) -> Any:
        """Open one picture; one of a folder that cannot be read is named and left out."""
        try:
            return picture(name)
        except PictureError as error:
            if style.picture not in self.folders:
                raise
            if progress is not None:
                progress.say(f"left out of the style {printable(style.picture)}: {error}")
            return None

    def _masks(
        self, number: int, colors: Sequence[str | None] | None, picture: Any
    ) -> tuple[Any, Any]:
        """Return mask and source mask of a style, opened."""
        style = self.styles[number]
        color = None if colors is None else colors[number]
        mask = style.mask
        if colors is not None:
            mask = color if color in (None, REST) else Mask(picture(self.segments), color)
        elif mask not in (None, REST):
            mask = Mask(picture(mask))
        source = None if style.source_mask is None else Mask(picture(style.source_mask), color)
        return mask, source

    def _colors(self, segments: "Picture") -> Sequence[str | None]:
        """Return the colour of each style in the segmentation: those given, else by size."""
        if self.colors is not None:
            return self.colors
        from impasto.inputs.masks import colors

        found = colors(segments)
        if len(found) != len(self.styles):
            raise InputError(
                f"--segments: {printable(segments.name)} has {counted(len(found), 'color')} "
                f"({', '.join(found)}), but {counted(len(self.styles), 'style picture')}; say with "
                "--segment-colors which is whose"
            )
        return found


def picture_arguments(
    content: str, styles: Sequence[str], given: Mapping[str, Any]
) -> PictureArguments:
    """Check the names and numbers that a command was given, before any file is read.

    Args:
        content: The photo.
        styles: The paintings, or folders of them.
        given: Flags of `flags.BASE`.

    Raises:
        InputError: A list has not one entry for each style, or flags do not go together.
    """
    count = len(styles)
    shares = shares_of(given.get("style_weights"), count)
    _check_together(given)
    colors = _colors(given.get("segment_colors"), count)
    masks = _each("mask", given.get("mask"), count, REST)
    sources = given.get("source_mask") or given.get("source_segments")
    flag = "source-mask" if "source_mask" in given else "source-segments"
    used = zip(
        styles,
        shares,
        masks,
        _each(flag, sources, count),
        _strokes(given.get("strokes"), count),
        _layers(given.get("style_layers_of"), count),
        strict=True,
    )
    if "protect" in given:
        _check_word("protect", given["protect"], (REST,))
    if "rest" in masks and all(mask == REST for mask in masks):
        raise InputError(
            "--mask rest is what the masks of other styles leave; give one of them a picture"
        )
    return PictureArguments(
        content,
        tuple(_style(*item) for item in used),
        given.get("init_picture"),
        given.get("protect"),
        given.get("segments"),
        colors,
        {name: tuple(map(str, files_in(name))) for name in styles if is_folder(name)},
    )


def _check_together(given: Mapping[str, Any]) -> None:
    """Refuse flags that contradict each other, or that nothing would use."""
    for name, other in (("mask", "segments"), ("source_mask", "source_segments")):
        if name in given and other in given:
            one, two = (f"--{word.replace('_', '-')}" for word in (name, other))
            raise InputError(f"{one} and {two} are both masks; give one of them")
    for name in ("segment_colors", "source_segments"):
        if name in given and "segments" not in given:
            raise InputError(
                f"--{name.replace('_', '-')} needs the segmentation of the photo: --segments FILE"
            )


def _style(name: str, weight: float, mask: Any, source: Any, stroke: Any, layers: Any) -> Style:
    try:
        return Style(name, weight, mask, source, stroke, layers)
    except SettingsError as error:
        said = str(error).replace("style stroke", "--strokes")
        raise InputError(said.replace("style layers", "--style-layers-of")) from error


def _each(flag: str, names: Sequence[str] | None, count: int, *words: str) -> list[str | None]:
    """Return one name for each style, None where there is none."""
    if not names:
        return [None] * count
    if len(names) != count:
        also = "".join(f" or {word}" for word in words)
        raise InputError(
            f"--{flag}: {len(names)} given, but {counted(count, 'style picture')}; {ONE_EACH}{also}, "
            f"each after a --{flag} of its own"
        )
    for name in map(str, names):
        if name == REST and REST not in words:
            raise InputError(
                f"--{flag}: {REST} is for the photo's regions; give a picture or {NONE}"
            )
        _check_word(flag, name, (NONE, *words))
    return [None if name == NONE else str(name) for name in names]


def _check_word(flag: str, name: str, words: Sequence[str]) -> None:
    """Refuse a file that does not exist and is called almost as one of the words."""
    hint = did_you_mean(name.lower(), words)
    if hint and name not in words and not Path(name).exists():
        raise InputError(f"--{flag}: {printable(name)} does not exist.{hint}")


def _parts(flag: str, text: str, between: str, count: int, also: str = "") -> list[str]:
    """Return the parts of a list with one entry for each style."""
    parts = [part.strip() for part in text.split(between)]
    if len(parts) != count:
        raise InputError(
            f"{flag}: {len(parts)} given, but {counted(count, 'style picture')}; {ONE_EACH}{also}"
        )
    return parts


def _strokes(text: str | None, count: int) -> list[float | None]:
    if text is None:
        return [None] * count
    parts = _parts("--strokes", text, ",", count)
    try:
        return [None if part == NONE else float(part) for part in parts]
    except ValueError:
        raise InputError(
            f"--strokes: {printable(text)} is not numbers by commas such as 0.5,2"
        ) from None


def _layers(text: str | None, count: int) -> list[str | None]:
    if text is None:
        return [None] * count
    parts = _parts("--style-layers-of", text, ";", count)
    return [None if part == NONE else part for part in parts]


def _colors(text: str | None, count: int) -> tuple[str | None, ...] | None:
    """Return the colour of each style, checked."""
    if text is None:
        return None
    found: list[str | None] = []
    for part in _parts("--segment-colors", text, ",", count, f" or {REST}"):
        if part in (NONE, REST):
            found.append(None if part == NONE else REST)
            continue
        try:
            found.append(Mask(None, part).color)
        except SettingsError as error:
            raise InputError(f"--segment-colors: {str(error).removeprefix('mask: ')}") from error
    return tuple(found)
