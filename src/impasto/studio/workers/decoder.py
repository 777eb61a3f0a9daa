"""The process that reads uploads and encodes results: without torch, without network, within limits.

Requests and answers are lines; see `lines`. A request that fails is answered by the sentence for it.
"""

import contextlib
import hashlib
import logging
from pathlib import Path
from typing import Any

from impasto.studio.workers.confine import begin_request, confine

HELD = confine() if __name__ == "__main__" else {}  # before libvips and NumPy start threads

from impasto.config.limits import Input  # noqa: E402
from impasto.config.output import Output  # noqa: E402
from impasto.config.recipe import InputRecord, Recipe  # noqa: E402
from impasto.config.settings import Settings  # noqa: E402
from impasto.errors import ImpastoError  # noqa: E402
from impasto.image import xmp  # noqa: E402
from impasto.image.decode import decode  # noqa: E402
from impasto.image.encode import encode  # noqa: E402
from impasto.image.metadata import FileInfo  # noqa: E402
from impasto.image.pixels import TOP, fit, over_white, quantized, resized  # noqa: E402
from impasto.messages import printable  # noqa: E402
from impasto.studio.workers import clips, plain  # noqa: E402
from impasto.system import libvips  # noqa: E402
from impasto.system.files import check_length, publish  # noqa: E402
from impasto.system.lines import Message, connected, end_with_parent  # noqa: E402

SMALL = 400_000  # pixels of a view that is written without loss
VIEW_QUALITY = 92  # of the JPEG of a larger view


def answer(request: Message) -> Message:
    """Do what a request says and return the answer."""
    ways = {"read": _read, "view": _view, "encode": _encode, "clip": clips.read_clip, "still": _still}
    return ways[request["do"]](request)


def _read(request: Message) -> Message:
    """Read an upload, write its plain pixels, and return what it holds."""
    return _kept(Path(request["source"]).read_bytes(), request)


def _still(request: Message) -> Message:
    """Write a frame of a clip as the plain pixels of a picture, and return what it holds."""
    return _kept(clips.still(request), request)


def _kept(data: bytes, request: Message) -> Message:
    limits, name = Input(**request["limits"]), str(request["name"])
    check_length(data, limits.max_bytes, printable(name))
    pixels, info = decode(data, printable(name), limits)
    sha256 = hashlib.sha256(data).hexdigest()
    picture = plain.Plain(name, pixels, info, sha256, len(data))
    plain.write(Path(request["target"]), picture)
    return {
        "picture": sha256,
        "width": pixels.width,
        "height": pixels.height,
        "bits": info.bits,
        "alpha": pixels.bands == 4,
        "name": name,
        "notes": list(info.notes),
        "recipe": _recipe(data, name),
    }


def _recipe(data: bytes, name: str) -> Message | None:
    """Return the settings and inputs in a picture that impasto made; None for others."""
    with contextlib.suppress(ImpastoError):
        text = xmp.recipe_in(data, printable(name))
        if text is not None:
            recipe = Recipe.from_json(text)
            standard = Settings()
            changed = {n: v for n, v in recipe.settings if v != getattr(standard, n)}
            styles = [_input(item) | {"weight": item.weight} for item in recipe.styles]
            start = recipe.init_picture and _input(recipe.init_picture)
            photo = _input(recipe.content)
            return {"settings": changed, "photo": photo, "styles": styles, "init_picture": start}
    return None


def _input(record: InputRecord) -> Message:
    masked = record.mask is not None and record.mask.kind == "file"
    mask = record.mask.sha256 if masked and record.mask is not None else None
    return {"picture": record.sha256, "name": record.name, "mask": mask}


def _view(request: Message) -> Message:
    """Write a picture, or a part of it, with a long edge of at most `edge` px, for a browser."""
    picture = plain.read(Path(request["source"]))
    with libvips.used():
        image = picture.pixels.image()
        if part := request.get("part"):
            left, top = min(part[0], image.width - 1), min(part[1], image.height - 1)
            size = min(part[2], image.width - left), min(part[3], image.height - top)
            image = image.crop(left, top, *size)
        edge = min(request["edge"], max(image.width, image.height))
        width, height = fit(image.width, image.height, edge)
        lossless = image.bands == 4 or width * height <= SMALL
        if (width, height) != (image.width, image.height):
            top_value, space = TOP[image.format], image.interpretation
            image = (resized(image.cast("float"), width, height) / top_value).copy(interpretation=space)
            image = (image < 0).ifthenelse(0, (image > 1).ifthenelse(1, image))
        if not lossless:
            image = over_white(quantized(image, 8)).cast("uchar")
        suffix = ".png" if lossless else ".jpg"
        output = Output(bits=8, metadata="strip", jpeg_quality=VIEW_QUALITY)
        data = encode(quantized(image, 8), FileInfo(), suffix, output, label=picture.name)
    publish(request["target"], data, overwrite=True)
    return {"suffix": suffix}


def _encode(request: Message) -> Message:
    """Write a result as a file of the format, as `Result.save` does."""
    picture = plain.read(Path(request["source"]))
    page = None if picture.page is None else picture.page.image()
    data = encode(
        picture.pixels.image(), picture.info, request["suffix"], Output(**request["output"]),
        recipe=picture.recipe, label=printable(picture.name), page=page,
    )  # fmt: skip
    publish(request["target"], data, overwrite=True)
    return {"bytes": len(data)}


def failure(error: BaseException) -> Message:
    """Return the answer for an error: its sentence and its kind."""
    if isinstance(error, ImpastoError):
        return {"error": type(error).__name__, "detail": str(error)}
    if isinstance(error, MemoryError):
        return {"error": "ResourceError", "detail": "not enough memory for this picture; give a smaller one"}
    logging.getLogger(__name__).error("a bug of ours", exc_info=error)
    return {"error": "Exception", "detail": "this is a bug of ours; the server's log has more"}


def main() -> None:
    """Answer requests until the server ends."""
    end_with_parent()
    logging.getLogger("impasto").setLevel(logging.ERROR)  # notes go into the answers
    requests, send = connected()
    send({"ready": True, "held": HELD})
    for request in requests:
        begin_request()
        result: dict[str, Any]
        try:
            result = answer(request)
        except (Exception, MemoryError) as error:
            result = failure(error)
        send(result)


if __name__ == "__main__":
    main()
