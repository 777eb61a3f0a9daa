"""Opens photo, paintings and masks: paths, folders, bytes, arrays, or files that were read before."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from impasto.config.limits import Input
from impasto.config.recipe import InputRecord
from impasto.config.settings import Settings
from impasto.config.styles import REST, Mask, Style
from impasto.errors import InputError, PictureError
from impasto.image.picture import Picture, PictureLike
from impasto.inputs import masks
from impasto.inputs.colors import Recolor
from impasto.inputs.picture_folder import files_in, is_folder
from impasto.inputs.pictures import Inputs, StyleUse
from impasto.messages import printable
from impasto.network.layers import LAYERS

log = logging.getLogger(__name__)
StyleLike = PictureLike | Style
MaskLike = PictureLike | Mask


@dataclass
class Opener:
    """Opens pictures; those whose files were read before are opened from their bytes, once each.

    The library opens what it gets and needs no arguments. The command line reads all files before torch is
    imported, and passes their bytes; names in `Style` and `Mask` then stand for these::

        opener = Opener({"-": ("stdin", data), ...}, folders={"monet": ("monet/1.jpg", ...)}, limits=limits)
        styles = open_styles([Style("monet", 2.0, mask=Mask("segments.png", "#00f"))], opener)

    `files` are by name: a name for messages, and all bytes, which are dropped once the picture is open.
    `folders` have names in `files`; others are listed when opened. `limits` default to the environment's.
    `on_skip` is called with a folder and the error of a picture in it that cannot be read and is left out.
    """

    files: dict[str, tuple[str, bytes]] = field(default_factory=dict, repr=False)
    folders: Mapping[str, Sequence[str]] = field(default_factory=dict)
    limits: Input | None = None
    on_skip: Callable[[str, PictureError], None] = lambda folder, error: log.warning(
        "left out of the style: %s", error
    )
    _pictures: dict[str, Picture] = field(default_factory=dict, init=False, repr=False)

    def picture(self, source: PictureLike) -> Picture:
        """Open one picture: a name in `files`, or whatever `Picture.of` takes.

        Raises:
            PictureError: It cannot be read.
        """
        if isinstance(source, str) and source in self.files:
            label, data = self.files.pop(source)
            self._pictures[source] = Picture.open(data, name=label, limits=self.limits)
        if isinstance(source, str) and source in self._pictures:
            return self._pictures[source]
        return Picture.of(source, limits=self.limits)

    def pictures(self, source: PictureLike) -> list[Picture]:
        """Open a picture, or all of a folder by name; those of a folder that cannot be read are left out.

        Raises:
            InputError: A folder has none, or the one picture cannot be read.
        """
        listed = isinstance(source, str) and source in self.folders
        if not listed and not is_folder(source):
            return [self.picture(source)]
        folder = str(source)
        opened: list[Picture] = []
        for name in self.folders[folder] if listed else map(str, files_in(folder)):
            try:
                opened.append(self.picture(name))
            except PictureError as error:
                self.on_skip(folder, error)
        if not opened:
            raise InputError(f"the folder {printable(folder)} has no picture that can be read")
        return opened

    def mask(self, mask: MaskLike | None) -> masks.OpenedMask:
        """Open the picture of a mask; "rest" and None stay as they are.

        Raises:
            PictureError: It cannot be read.
        """
        if mask is None or (isinstance(mask, str) and mask == REST):
            return mask
        if isinstance(mask, Mask):
            return Mask(self.picture(mask.picture), mask.color)
        return Mask(self.picture(mask))


def open_inputs(
    content: PictureLike,
    style: StyleLike | Sequence[StyleLike],
    settings: Settings,
    start: PictureLike | None,
    protect: MaskLike | None = None,
) -> Inputs:
    """Open everything that goes in, before anything is computed; what is open already stays as it is.

    Raises:
        InputError: A picture cannot be read, styles or start are missing, or a mask does not fit.
    """
    opener = Opener()
    styles = open_styles(style, opener)
    if max(item.weight for item in styles) <= 0:
        raise InputError("style weight: at least one style needs a weight above 0")
    if settings.init == "picture" and start is None:
        raise InputError("init: 'picture' needs the picture to start from (--init-picture FILE)")
    photo = opener.picture(content)
    protected = opener.mask(protect)
    role = f"photo {printable(photo.name)}"
    masks.check(protected, photo, role)
    if protected == REST and any(item.mask in (None, REST) for item in styles):
        raise InputError('protect: "rest" is what no mask covers; give every style a mask that is a picture')
    if isinstance(protected, Mask):
        width, height = masks.preview_size(photo)
        if float(masks.tensor(protected, width, height).min()) >= 0.5:
            name = printable(protected.picture.name)
            raise InputError(f"protect: {name} is white all over: nothing is left to paint")
    for item in styles:
        masks.check(item.mask, photo, role)
        painting = item.picture
        masks.check(item.source_mask, painting, f"painting {printable(painting.name)}")
    return Inputs(
        content=photo,
        styles=tuple(item.picture for item in styles),
        weights=tuple(item.weight for item in styles),
        start=opener.picture(start) if start is not None and settings.init == "picture" else None,
        uses=tuple(_use_of(item, settings) for item in styles),
        protect=protected,
        feather=0.0 if protected is None else settings.protect_feather,
        recolor=Recolor.of(settings, photo),
    )


def _use_of(style: Style, settings: Settings) -> StyleUse:
    """Return how an opened style is used."""
    layers = None
    if isinstance(style.layers, Mapping):
        settings.changed(style_layers=dict(style.layers))  # refuses products beyond all numbers
        layers = tuple((name, style.layers[name]) for name in LAYERS if name in style.layers)
    stroke = settings.stroke if style.stroke is None else float(style.stroke)
    return StyleUse(
        stroke=stroke, mask=style.mask, source_mask=style.source_mask, layers=layers, own_stroke=style.stroke
    )


def open_styles(style: StyleLike | Sequence[StyleLike], opener: Opener | None = None) -> list[Style]:
    """Return the styles with their pictures and masks opened, a folder's pictures one by one.

    The pictures of a folder share its weight equally.

    Raises:
        InputError: A picture cannot be read, or there is none.
    """
    opener = opener or Opener()
    listed = list(style) if isinstance(style, (list, tuple)) else [style]
    styles = [item if isinstance(item, Style) else Style(item) for item in listed]
    if not styles:
        raise InputError("no painting given; name at least one style picture")
    opened: list[Style] = []
    for item in styles:
        source_mask = opener.mask(item.source_mask)
        if source_mask == REST:
            raise InputError('source_mask: "rest" is for masks of the photo; give a picture')
        pictures = opener.pictures(item.picture)
        mask, weight = opener.mask(item.mask), item.weight / len(pictures)
        opened += [
            replace(item, picture=picture, weight=weight, mask=mask, source_mask=source_mask)
            for picture in pictures
        ]
    if all(item.mask == REST for item in opened):
        raise InputError('mask: "rest" is what the masks of other styles leave; give one of them a picture')
    return opened


def as_recorded(style: StyleLike, recorded: InputRecord) -> Style:
    """Return a style with the weight, stroke and layers of a recipe; picture and masks stay.

    Raises:
        InputError: The recipe has a mask where the style has none, or the other way round.
    """
    style = style if isinstance(style, Style) else Style(style)
    rest = recorded.mask is not None and recorded.mask.kind == "rest"
    style = replace(
        style,
        weight=recorded.weight,
        stroke=recorded.stroke,
        layers=recorded.layers,
        mask=REST if rest else style.mask,
    )
    if (recorded.mask is None, recorded.source_mask is None) != (
        style.mask is None,
        style.source_mask is None,
    ):
        raise InputError(f"the recipe has other masks for {printable(recorded.name)}; give these")
    return style
