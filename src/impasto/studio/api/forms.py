"""Bodies with files: what they hold, read within limits."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from impasto.studio.api.problems import ProblemError
from impasto.studio.service import Studio
from impasto.system.files import publish

PART = 1 << 20  # bytes that are copied at a time


def studio_of(request: Request) -> Studio:
    """Return the studio that a request is for."""
    studio: Studio = request.app.state.studio
    return studio


@contextlib.asynccontextmanager
async def form_of(request: Request) -> AsyncIterator[FormData]:
    """Yield the parts of a multipart body; its files are removed after the block.

    Raises:
        ProblemError: It is no such body.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise ProblemError(415, "send the file as multipart/form-data")
    limits = studio_of(request).limits
    async with request.form(
        max_files=limits.parts, max_fields=limits.parts, max_part_size=limits.body
    ) as form:
        yield form


def file_in(form: FormData, name: str) -> UploadFile:
    """Return the file of a part.

    Raises:
        ProblemError: There is none.
    """
    part = form.get(name)
    if not isinstance(part, UploadFile):
        raise ProblemError(422, f"{name}: the body has no file part of this name", field=name)
    return part


async def uploaded(
    request: Request, response: Response, name: str, add: Callable[[Path, str], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    """Hand the part `file` of a body to `add`, with its name; the answer is 201 if it is new, else 200.

    Args:
        request: With a multipart body.
        response: Gets the status.
        name: Of a file without one.
        add: Returns what is known of the file, with `new`.
    """
    async with form_of(request) as form:
        upload = file_in(form, "file")
        facts = await add(await kept(studio_of(request), upload), upload.filename or name)
    response.status_code = 201 if facts["new"] else 200
    return facts


async def kept(studio: Studio, upload: UploadFile) -> Path:
    """Write an upload into the data folder and return where."""
    target = studio.files.incoming()

    def copy(file: BinaryIO) -> None:
        while part := upload.file.read(PART):
            file.write(part)

    await studio.check_room()
    return await run_in_threadpool(publish, target, copy)
