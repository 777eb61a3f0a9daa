"""Routes of uploaded pictures and settings files."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse

from impasto.config import settings_file
from impasto.config.settings import Settings
from impasto.studio.api import models
from impasto.studio.api.forms import file_in, form_of, studio_of, uploaded
from impasto.studio.api.problems import ProblemError, answers
from impasto.studio.checks import changed, settings_of
from impasto.studio.files import plain_name

router = APIRouter(tags=["pictures"])
EDGE = 1024  # px; long edge of a picture that is shown, where none is named

Id = Annotated[
    models.PictureId, Path(description="The id that the upload returned.", examples=[models.PICTURE])
]
FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}
IMAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/jpeg", "image/png")
        },
        "description": "The picture, encoded anew.",
    }
}


@router.post(
    "/pictures",
    status_code=201,
    openapi_extra=FORM,
    responses={
        200: {"model": models.Picture, "description": "It was here already."},
        **answers(408, 415, 503, 507),
    },
)
async def send_picture(request: Request, response: Response) -> models.Picture:
    """Upload a picture as the part `file`; the answer has its id, which is the hash of its bytes."""
    uploads = studio_of(request).uploads
    facts = await uploaded(request, response, "picture", uploads.add_picture)
    shown = await uploads.picture(facts["picture"])
    return models.Picture(**shown or facts)


@router.get("/pictures/{id}", responses=answers(404))
async def get_picture(request: Request, id: Id) -> models.Picture:
    """Return what is known of a picture."""
    return models.Picture(**await _known(request, id))


@router.get("/pictures/{id}/image", response_class=FileResponse, responses={**IMAGE, **answers(404, 503)})
async def get_image(request: Request, id: Id, view: Annotated[models.View, Query()]) -> FileResponse:
    """Return a picture, or a part of it, encoded anew: never the bytes of the upload."""
    await _known(request, id)
    studio = studio_of(request)
    path = await studio.view(id, studio.files.picture(id), view.edge or EDGE, view.part())
    return FileResponse(path, headers={"cache-control": "private, max-age=86400"})


@router.post("/settings", openapi_extra=FORM, responses=answers(408, 415))
async def read_settings(request: Request) -> dict[str, Any]:
    """Read a settings file (TOML, as `--save-settings` writes it): what differs from the defaults."""
    async with form_of(request) as form:
        upload = file_in(form, "file")
        data = await upload.read(settings_file.LARGEST_FILE + 1)
    if len(data) > settings_file.LARGEST_FILE:
        raise ProblemError(413, "the settings file is larger than 1 MB; give a smaller file")
    file = settings_file.parse(data, plain_name(upload.filename))
    base = settings_file.resolve_preset(file.preset).settings if file.preset else {}
    return {"settings": changed(settings_of({**base, **file.settings}), Settings())}


async def _known(request: Request, id: str) -> dict[str, Any]:
    facts = await studio_of(request).uploads.picture(id)
    if facts is None:
        raise ProblemError(404, "there is no picture of this id; upload it first")
    return facts
