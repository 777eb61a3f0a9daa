"""Photo, paintings and masks are opened, whatever form they were given in."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

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


def open_inputs(
    content: PictureLike,
    style: StyleLike | Sequence[StyleLike],
    settings: Settings,
    start: PictureLike | None,
    protect: MaskLike | None = None,
) -> Inputs:
    """Open everything that goes in, before anything is computed.

    Raises:
        InputError: A picture cannot be read, styles or start are missing, or a mask does not fit.
    """
    styles = open_styles(style)
    if max(item.weight for item in styles) <= 0:
        raise InputError("style weight: at least one style needs a weight above 0")
    if settings.init == "picture" and start is None:
        raise InputError("init: 'picture' needs the picture to start from (--init-picture FILE)")
    photo = Picture.of(content)
    kept = masks.opened(protect)
    masks.check(kept, photo, f"photo {printable(photo.name)}")
    if kept == REST and any(item.mask in (None, REST) for item in styles):
        raise InputError(
            'protect: "rest" is what no mask covers; give every style a mask that is a picture'
        )
    if isinstance(kept, Mask) and float(masks.tensor(kept, *masks.proof(photo)).min()) >= 0.5:
        name = printable(kept.picture.name)
        raise InputError(f"protect: {name} is white all over: nothing is left to paint")
    for item in styles:
        masks.check(item.mask, photo, f"photo {printable(photo.name)}")
        painting = item.picture
        masks.check(item.source_mask, painting, f"painting {printable(painting.name)}")
    return Inputs(
        photo,
        tuple(item.picture for item in styles),
        tuple(item.weight for item in styles),
        Picture.of(start) if start is not None and settings.init == "picture" else None,
        tuple(_use(item, settings) for item in styles),
        kept,
        settings.protect_feather if kept is not None else 0.0,
        Recolor.of(settings, photo),
    )


def _use(style: Style, settings: Settings) -> StyleUse:
    """Return how an opened style is used."""
    layers = None
    if isinstance(style.layers, Mapping):
        settings.changed(style_layers=dict(style.layers))  # refuses products beyond all numbers
        layers = tuple((name, style.layers[name]) for name in LAYERS if name in style.layers)
    stroke = settings.stroke if style.stroke is None else float(style.stroke)
    return StyleUse(stroke, style.mask, style.source_mask, layers, style.stroke)


def open_styles(style: StyleLike | Sequence[StyleLike], limits: Input | None = None) -> list[Style]:
    """Return the styles with their pictures and masks opened, a folder's pictures one by one.

    Raises:
        InputError: One cannot be read, or there is none.
    """
    listed = list(style) if isinstance(style, (list, tuple)) else [style]
    styles = [item if isinstance(item, Style) else Style(item) for item in listed]
    if not styles:
        raise InputError("no painting given; name at least one style picture")
    found: list[Style] = []
    for item in styles:
        source = masks.opened(item.source_mask)
        if source == REST:
            raise InputError('source_mask: "rest" is for masks of the photo; give a picture')
        pictures = (
            open_folder(item.picture, limits)
            if is_folder(item.picture)
            else [Picture.of(item.picture, limits=limits)]
        )
        mask = masks.opened(item.mask)
        weight = item.weight / len(pictures)
        found += [
            replace(item, picture=one, weight=weight, mask=mask, source_mask=source)
            for one in pictures
        ]
    if all(item.mask == REST for item in found):
        raise InputError(
            'mask: "rest" is what the masks of other styles leave; give one of them a picture'
        )
    return found


def open_folder(folder: object, limits: Input | None = None) -> list[Picture]:
    """Open all pictures of a folder, by name; those that cannot be read are named and left out.

    Raises:
        InputError: It has none.
    """
    pictures: list[Picture] = []
    for path in files_in(str(folder)):
        try:
            pictures.append(Picture.open(path, limits=limits))
        except PictureError as error:
            log.warning("left out of the style: %s", error)
    if not pictures:
        raise InputError(f"the folder {printable(str(folder))} has no picture that can be read")
    return pictures


def as_recorded(given: StyleLike, recorded: InputRecord) -> Style:
    """Return a style as a recipe has it: weight, stroke and layers are the recipe's, pictures those given.

    Raises:
        InputError: The recipe has a mask where none is given.
    """
    style = given if isinstance(given, Style) else Style(given)
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
