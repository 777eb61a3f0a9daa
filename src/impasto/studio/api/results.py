"""Routes of a job's pictures: what it has so far, and its result in any format."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from impasto.config.output import Output
from impasto.studio.api import models
from impasto.studio.api.forms import studio_of
from impasto.studio.api.jobs import Id, known
from impasto.studio.api.pictures import EDGE, IMAGE
from impasto.studio.api.problems import ProblemError, answers
from impasto.studio.checks import model_of
from impasto.studio.service import Studio
from impasto.studio.store import Job

router = APIRouter(tags=["jobs"])
TYPES = {name: f"image/{name}" for name in ("png", "tiff", "jpeg", "webp", "avif")}
SUFFIXES = {"png": ".png", "tiff": ".tif", "jpeg": ".jpg", "webp": ".webp", "avif": ".avif"}
DEEP = ("png", "tiff")  # can have 16 bits
CACHED = {"cache-control": "private, max-age=86400"}
FILMS = {".mp4": "video/mp4", ".mkv": "video/x-matroska"}
FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in (*TYPES.values(), *FILMS.values())
        },
        "description": "The picture, or the film.",
    },
    206: {"description": "A part of the file, for a Range."},
}


@router.get("/jobs/{id}/preview", response_class=FileResponse, responses={**IMAGE, **answers(404, 503)})
async def get_preview(
    request: Request,
    id: Id,
    edge: Annotated[int | None, Query(ge=1, le=8192, description="Long edge in pixels, at most.")] = None,
    v: Annotated[int | None, Query(ge=0, le=2**31, description="The version, for caches.")] = None,
) -> Response:
    """Return the best picture so far, as it would be saved; of a running job with at most 1024 px."""
    studio, job = studio_of(request), await known(request, id)
    headers = CACHED if v else {"cache-control": "no-store"}
    if edge is not None and job.result is not None:
        return FileResponse(await studio.view(f"{id}-result", _result(studio, job), edge), headers=headers)
    try:  # at once, for it may be replaced meanwhile
        data = await run_in_threadpool(studio.files.preview(id).read_bytes)
    except FileNotFoundError as error:
        raise ProblemError(404, "this job has no picture yet") from error
    return Response(data, headers=headers, media_type="image/jpeg")


@router.get(
    "/jobs/{id}/result", response_class=FileResponse, responses={**FILE, **answers(404, 416, 503, 507)}
)
async def get_result(request: Request, id: Id, file: Annotated[models.File, Query()]) -> FileResponse:
    """Return the result of a job as the command line writes it; what is not named is as in the job.

    With `edge`, or with `x`, `y`, `width` and `height`, it is a view for a browser instead. Of a film it is
    the video, and with `edge`, a part or a `format` its first frame.
    """
    studio, job = studio_of(request), await known(request, id)
    source, part = _result(studio, job), file.part()
    kind = "attachment" if file.download else "inline"
    if part or file.edge:
        path = await studio.view(f"{id}-result", source, file.edge or EDGE, part)
        return FileResponse(path, headers=CACHED)
    film = (job.result or {}).get("film")
    if film and file.format is None:
        suffix, name = film["suffix"], await studio.file_name(job)
        return FileResponse(
            studio.files.film(job.id, suffix), media_type=FILMS[suffix], filename=f"{name}{suffix}",
            content_disposition_type=kind, headers=CACHED,
        )  # fmt: skip
    values = {
        "bits": None if file.bits is None else int(file.bits),
        "jpeg_quality": file.quality,
        "metadata": file.metadata,
    }
    chosen = {name: value for name, value in values.items() if value is not None}
    output = model_of(Output, {**job.request["output"], **chosen})
    format = file.format or "png"
    if "bits" not in chosen and format not in DEEP:
        output = output.changed(bits=None)  # the job's own choice is for other formats
    path = await studio.encoded(job, SUFFIXES[format], output)
    return FileResponse(
        path,
        media_type=TYPES[format],
        filename=f"{await studio.file_name(job)}{SUFFIXES[format]}",
        content_disposition_type=kind,
        headers=CACHED,
    )


def _result(studio: Studio, job: Job) -> Path:
    """Return the plain pixels of a job's result."""
    if job.result is None:
        raise ProblemError(404, f"this job is {job.state} and has no result")
    return studio.files.result(job.id, job.result["token"])
