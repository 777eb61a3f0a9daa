"""Routes of uploaded clips: what one is, and a frame of it as a picture."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from impasto.errors import ResourceError
from impasto.studio.api import models
from impasto.studio.api.forms import studio_of, uploaded
from impasto.studio.api.pictures import FORM
from impasto.studio.api.problems import ProblemError, answers
from impasto.videos.video import check_installed

router = APIRouter(prefix="/clips", tags=["clips"])
Id = Annotated[models.ClipId, Path(description="The id that the upload returned.", examples=[models.CLIP])]


def missing() -> str:
    """Return what is missing for films here, in a sentence; empty if nothing is."""
    try:
        check_installed()
    except ResourceError as error:
        return str(error)
    return ""


def check_films() -> None:
    """Refuse what needs the packages for films where they are missing.

    Raises:
        ProblemError: They are.
    """
    if text := missing():
        raise ProblemError(501, text)


@router.post(
    "",
    status_code=201,
    openapi_extra=FORM,
    responses={
        200: {"model": models.Clip, "description": "It was here already."},
        **answers(408, 415, 501, 503, 507),
    },
)
async def send_clip(request: Request, response: Response) -> models.Clip:
    """Upload a clip as the part `file`: a video, an animated GIF or WebP. It is never sent back."""
    check_films()
    return models.Clip(**await uploaded(request, response, "clip", studio_of(request).uploads.add_clip))


@router.get("/{id}", responses=answers(404))
async def get_clip(request: Request, id: Id) -> models.Clip:
    """Return what is known of a clip."""
    return models.Clip(**await _known(request, id))


@router.post("/{id}/frame", status_code=201, responses=answers(404, 501, 503, 507))
async def keep_frame(request: Request, id: Id, moment: models.Moment) -> models.Picture:
    """Keep a frame of a clip as a picture, for drafts and masks: the first one from a time on."""
    check_films()
    clip = await _known(request, id)
    return models.Picture(**await studio_of(request).uploads.still(clip, moment.at))


async def _known(request: Request, id: str) -> dict[str, Any]:
    facts = await studio_of(request).uploads.clip(id)
    if facts is None:
        raise ProblemError(404, "there is no clip of this id; upload it first")
    return facts
