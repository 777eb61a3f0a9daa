"""Errors as problem+json (RFC 9457), with the sentences of the command line."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi.responses import Response

from impasto.config.model import error_text, short_repr
from impasto.config.settings import Settings
from impasto.errors import ImpastoError, InputError, OutputError, ResourceError, WeightsError
from impasto.studio.api import models
from impasto.studio.workers.process import TITLES as TITLES_OF_ERRORS

TITLES = {
    400: "The request cannot be read",
    401: "No valid token",
    403: "Not allowed from there",
    404: "Not found",
    405: "Not possible with this method",
    408: "Too slow",
    409: "Not possible now",
    413: "Too large",
    415: "Not of this type",
    416: "No such part",
    421: "Not the name of this server",
    422: "The request is wrong",
    429: "Too many",
    431: "Too large",
    500: "A bug of ours",
    501: "Not installed",
    503: "Not ready",
    507: "The disk is full",
}
KINDS: tuple[tuple[type[ImpastoError], int], ...] = (  # the first that fits
    (InputError, 422),
    (OutputError, 507),
    (ResourceError, 503),
    (WeightsError, 503),
)


class ProblemError(Exception):
    """A request is refused; raise it in a route."""

    def __init__(
        self, status: int, detail: str, *, field: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.field, self.headers = status, detail, field, dict(headers or {})


def problem(
    status: int,
    detail: str,
    *,
    title: str = "",
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer for a problem; it is ASCII, whatever is in the detail."""
    facts: dict[str, Any] = {
        "type": "about:blank",
        "title": title or TITLES.get(status, "Refused"),
        "status": status,
        "detail": detail,
    }
    if field:
        facts["field"] = field
    body = json.dumps(facts).encode()
    return Response(body, status, dict(headers or {}), media_type="application/problem+json")


def of_error(error: ImpastoError) -> Response:
    """Return the answer for an error of the library."""
    status = next((status for kind, status in KINDS if isinstance(error, kind)), 500)
    title = TITLES_OF_ERRORS.get(type(error).__name__, "")
    field = str(error).partition(":")[0]
    return problem(status, str(error), title=title, field=field if field in Settings.model_fields else None)


def of_validation(errors: list[Any]) -> Response:
    """Return the answer for a body or a parameter that does not fit its model."""
    first = errors[0]
    where = [str(part) for part in first["loc"][1:]]  # without body, query, path or header
    name = ".".join(where)
    if first["type"] == "extra_forbidden":
        text = f"{short_repr(where[-1] if where else '')} is unknown"
        name = ""
    elif first["type"] == "missing":
        text = "is missing"
    elif first["type"] == "json_invalid":
        text, name = f"the body is not JSON ({first['ctx']['error']})", ""
    else:
        text = error_text(first)
        if first["type"] != "value_error":
            text += f", not {short_repr(first.get('input'))}"
    return problem(422, f"{name}: {text}" if name else text, field=where[-1] if where else None)


def answers(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return the error answers of a route, for its description."""
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        code: {"description": TITLES[code], "content": content, "model": models.Problem}
        for code in (400, 401, 403, 413, 421, 422, *codes)
    }
