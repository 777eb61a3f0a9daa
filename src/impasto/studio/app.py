"""The application: routes, errors, the page's files, and the guard around all of it. No torch here."""

import contextlib
import hashlib
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from impasto._version import __version__
from impasto.errors import ImpastoError
from impasto.studio.api import clips, info, jobs, pictures, problems, results, stream
from impasto.studio.files import NoRoom
from impasto.studio.security import Access, App, Guard, one_time_token
from impasto.studio.service import Studio
from impasto.studio.store import Conflict, QueueFull

STATIC = Path(__file__).parent / "static"
PREFIX = "/api/v1"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}
RETRY = "5"  # seconds after which a full queue may have room
ROUTERS = (info.router, pictures.router, clips.router, jobs.router, results.router, stream.router)
log = logging.getLogger(__name__)


def create_app(studio: Studio, access: Access) -> App:
    """Return the application of a studio; with `access.page`, it has a page at `/`."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await studio.start()
        try:
            yield
        finally:
            await studio.close()

    app = FastAPI(
        title="impasto", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
        description="Paint photos in the style of paintings. `docs/http.md` goes through the whole course.",
        redirect_slashes=False,
    )  # fmt: skip
    app.state.studio, app.state.access = studio, access
    app.state.seen = {}
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    app.include_router(stream.root)
    _handle_errors(app)
    if access.page:
        _serve_page(app, access)
    _describe(app)

    def seen(method: str, status: int, seconds: float) -> None:
        method = method if method in ("GET", "HEAD", "POST", "PATCH", "DELETE") else "other"
        count, spent = app.state.seen.get((method, status), (0, 0.0))
        app.state.seen[method, status] = count + 1, spent + seconds

    files = studio.options.input.max_bytes + studio.limits.body
    return Guard(app, access, studio.limits, files, seen)


def _handle_errors(app: FastAPI) -> None:
    """Let every error be answered by a problem."""

    @app.exception_handler(problems.ProblemError)
    async def refused(request: Request, error: problems.ProblemError) -> Response:
        return problems.problem(error.status, error.detail, field=error.field, headers=error.headers)

    @app.exception_handler(ImpastoError)
    async def ours(request: Request, error: ImpastoError) -> Response:
        return problems.of_error(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return problems.of_validation(list(error.errors()))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        detail = str(error.detail)
        if detail in ("Not Found", "Method Not Allowed"):
            detail = f"there is no {request.method} of this address; /openapi.json lists what there is"
        return problems.problem(error.status_code, detail, headers=error.headers)

    @app.exception_handler(QueueFull)
    async def full(request: Request, error: QueueFull) -> Response:
        most = request.app.state.studio.limits.queue
        detail = f"{most} jobs wait already; try again when some are done"
        return problems.problem(429, detail, headers={"retry-after": RETRY})

    @app.exception_handler(Conflict)
    async def conflict(request: Request, error: Conflict) -> Response:
        return problems.problem(409, str(error))

    @app.exception_handler(NoRoom)
    async def no_room(request: Request, error: NoRoom) -> Response:
        return problems.problem(507, str(error))

    @app.exception_handler(sqlite3.Error)
    async def store(request: Request, error: sqlite3.Error) -> Response:
        log.error("the database: %s", error)
        return problems.problem(507, f"the jobs cannot be written ({error}); free some space")

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        return problems.problem(500, "this is a bug of ours; the server's log has more")


def _serve_page(app: FastAPI, access: Access) -> None:
    """Serve the page's files, which are read once; nothing else of the disk can be reached."""
    files = {
        path.relative_to(STATIC).as_posix(): path
        for path in STATIC.rglob("*")
        if path.is_file() and path.suffix in TYPES
    }

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        if token := one_time_token(request.scope["query_string"]):
            answer: Response = RedirectResponse("/", 303)
            if access.redeem(token):
                answer.set_cookie(
                    access.cookie,
                    access.identity.cookie,
                    httponly=True,
                    samesite="strict",
                    max_age=30 * 86_400,
                )
            return answer
        return _file(request, files["index.html"])

    @app.get("/{name:path}", include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        if name not in files:
            raise problems.ProblemError(404, "there is no such page")
        return _file(request, files[name])


def _file(request: Request, path: Path) -> Response:
    data = path.read_bytes()
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type=TYPES[path.suffix])


def _describe(app: FastAPI) -> None:
    """Complete the OpenAPI description: how to show who one is, and models that are only referred to."""
    from pydantic import TypeAdapter

    from impasto.studio.api import models

    made = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        found = made()
        parts = found.setdefault("components", {})
        schema = TypeAdapter(models.NewJob).json_schema(ref_template="#/components/schemas/{model}")
        parts["schemas"] |= schema.pop("$defs", {})
        parts["schemas"]["NewJob"] = schema
        parts["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "cookie": {"type": "apiKey", "in": "cookie", "name": "impasto-ID"},
        }
        found["security"] = [{"bearer": []}, {"cookie": []}]
        app.openapi_schema = found
        return found

    app.openapi = complete  # type: ignore[method-assign]
