"""Routes of jobs: create, list, look at, pause, resume, stop, cancel, change, delete; grids and looks."""

import hashlib
import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from impasto.studio.api import models
from impasto.studio.api.clips import check_films
from impasto.studio.api.forms import file_in, form_of, kept, studio_of
from impasto.studio.api.problems import ProblemError, answers
from impasto.studio.service import Studio
from impasto.studio.store import Job

router = APIRouter(tags=["jobs"])
Id = Annotated[models.JobId, Path(description="The id of the job.", examples=[models.JOB])]
Client = Annotated[
    str | None, Header(alias="X-Client-Id", max_length=100, description="Whose drafts replace each other.")
]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=200,
        description="Sent again within a day with the same request, it returns the same job.",
    ),
]
NEW: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/NewJob"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["photo", "style"],
                    "properties": {
                        "job": {"type": "string", "description": "A NewJob in JSON without its pictures."},
                        "photo": {"type": "string", "format": "binary"},
                        "style": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "mask": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        "protect": {"type": "string", "format": "binary"},
                    },
                }
            },
        },
    }
}


@router.post(
    "/jobs",
    status_code=202,
    response_model=models.Job,
    openapi_extra=NEW,
    responses=answers(408, 409, 415, 429, 501, 503, 507),
)
async def create_job(request: Request, client: Client = None, key: Key = None) -> Response:
    """Put a picture or a film to be painted into the queue.

    The job is on the disk before this answers. With JSON, pictures are named by the ids of their uploads;
    with `multipart/form-data` they are parts: `photo`, `style` (once for each painting), `mask`, `protect`.
    """
    studio, kind = studio_of(request), request.headers.get("content-type", "").lower()
    if kind.startswith("multipart/form-data"):
        new = await _with_files(request, studio)
    elif kind.partition(";")[0].strip() == "application/json":
        new = await _of_json(request)
    else:
        raise ProblemError(415, "send the job as application/json or multipart/form-data")
    if new.film:
        check_films()
    digest = hashlib.sha256(json.dumps(new.model_dump()).encode()).hexdigest()
    job = await studio.add(
        new.model_dump(), new.kind, client=client, key=(key, digest) if key else None, group=new.group
    )
    return JSONResponse(await studio.shown(job), 202, {"location": f"/api/v1/jobs/{job.id}"})


async def _of_json(request: Request) -> models.NewJob:
    body = await request.body()
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProblemError(422, f"the body is not JSON ({str(error)[:80]})") from error
    return _validated(values)


def _validated(values: Any) -> models.NewJob:
    try:
        return models.NewJob.model_validate(values)
    except ValidationError as error:
        found = [{**item, "loc": ("body", *item["loc"])} for item in error.errors()]
        raise RequestValidationError(found) from error


async def _with_files(request: Request, studio: Studio) -> models.NewJob:
    """Return the job of a multipart body, whose pictures are kept first."""
    async with form_of(request) as form:

        async def keep(upload: Any) -> str:
            if isinstance(upload, str):
                raise ProblemError(422, "photo, style, mask and protect are files", field="photo")
            source = await kept(studio, upload)
            return str((await studio.uploads.add_picture(source, upload.filename or "picture"))["picture"])

        text = form.get("job", "{}")
        try:
            values = json.loads(text if isinstance(text, str) else await text.read())
        except (ValueError, RecursionError) as error:
            raise ProblemError(422, f"job: is not JSON ({str(error)[:80]})", field="job") from error
        if not isinstance(values, dict):
            raise ProblemError(422, "job: must be an object", field="job")
        file_in(form, "photo")
        file_in(form, "style")
        values["photo"] = await keep(form["photo"])
        masks: list[str | None] = [await keep(item) for item in form.getlist("mask")]
        paintings = [await keep(item) for item in form.getlist("style")]
        if masks and len(masks) != len(paintings):
            raise ProblemError(
                422, "mask: give one for each painting in their order, or job.styles by ids", field="mask"
            )
        values["styles"] = [
            {"picture": painting, "mask": mask}
            for painting, mask in zip(paintings, masks or [None] * len(paintings), strict=True)
        ]
        if form.get("protect") is not None:
            values["protect"] = await keep(form["protect"])
    return _validated(values)


@router.get("/jobs", response_model=models.Jobs, responses=answers())
async def list_jobs(
    request: Request,
    state: Annotated[
        list[models.State] | None, Query(description="Only those in one of these states.")
    ] = None,
    kind: Annotated[
        Literal["draft", "look", "full"] | None, Query(description="Only those of a kind.")
    ] = None,
    group: Annotated[models.Group | None, Query(description="Only those of a group.")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="How many, at most.")] = 100,
    before: Annotated[int | None, Query(ge=0, le=2**62, description="Only numbers below this one.")] = None,
) -> Response:
    """List jobs, the newest first; for more, `before` takes the `number` of the last one."""
    studio = studio_of(request)
    jobs = await studio.call(
        studio.store.jobs, states=state or (), kind=kind, batch=group, limit=limit, before=before
    )
    return JSONResponse({"jobs": [await studio.shown(job) for job in jobs]})


@router.get("/jobs/{id}", response_model=models.Job, responses=answers(404))
async def get_job(request: Request, id: Id) -> Response:
    """Return a job and where it stands."""
    return JSONResponse(await studio_of(request).shown(await known(request, id)))


@router.patch("/jobs/{id}", response_model=models.Job, responses=answers(404))
async def change_job(request: Request, id: Id, change: models.Change) -> Response:
    """Set the name or the star of a job."""
    studio, values = studio_of(request), change.model_dump(exclude_unset=True)
    if values.get("star", 0) is None:
        raise ProblemError(422, "star: must be true or false, not null", field="star")
    job = await known(request, id)
    if values:
        found: Job | None = await studio.call(studio.store.change, id, **values)
        job = found or job
        studio.show(job)
    return JSONResponse(await studio.shown(job))


@router.delete("/jobs/{id}", status_code=204, responses=answers(404, 409))
async def delete_job(request: Request, id: Id) -> None:
    """Delete a job and its pictures; one that runs has to be cancelled first."""
    await studio_of(request).delete(await known(request, id))


@router.post("/jobs/{id}/{wish}", response_model=models.Job, responses=answers(404, 409))
async def wish(
    request: Request,
    id: Id,
    wish: Annotated[Literal["pause", "resume", "stop", "cancel"], Path(description="What the job is to do.")],
) -> Response:
    """Pause, resume, stop (and keep the best picture so far) or cancel (and keep nothing).

    A running job does it at its next evaluation; until then it has it as `wish`. A paused job keeps a
    checkpoint, also over a restart, and continues from there to the same picture.
    """
    job = await studio_of(request).wish(id, wish)
    if job is None:
        raise ProblemError(404, "there is no job of this id")
    return JSONResponse(await studio_of(request).shown(job))


@router.post(
    "/grids",
    status_code=202,
    response_model=models.GroupOfJobs,
    tags=["several"],
    responses=answers(429, 507),
)
async def create_grid(request: Request, grid: models.NewGrid) -> Response:
    """Paint a job with one or two settings varied: rows by columns, at most 512 px each."""
    studio = studio_of(request)
    vary = [axis.model_dump() for axis in grid.vary]
    group, rows = await studio.add_grid(grid.job.model_dump(), vary)
    shown = [[await studio.shown(job) for job in row] for row in rows]
    return JSONResponse({"group": group, "jobs": shown}, 202)


@router.post(
    "/looks",
    status_code=202,
    response_model=models.GroupOfJobs,
    tags=["several"],
    responses=answers(429, 507),
)
async def create_looks(request: Request, inputs: models.Inputs, client: Client = None) -> Response:
    """Paint a small picture with each look, in the background: after drafts and full runs."""
    studio = studio_of(request)
    group, jobs = await studio.add_looks(inputs.model_dump(), client)
    return JSONResponse({"group": group, "jobs": [[await studio.shown(job) for job in jobs]]}, 202)


async def known(request: Request, id: str) -> Job:
    """Return a job.

    Raises:
        ProblemError: There is none of this id.
    """
    studio = studio_of(request)
    job = await studio.call(studio.store.get, id)
    if job is None:
        raise ProblemError(404, "there is no job of this id")
    return job
