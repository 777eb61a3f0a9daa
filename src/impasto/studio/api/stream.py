"""Routes beside the jobs: the stream of events, health, readiness and metrics."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from impasto._version import __version__
from impasto.studio.api.forms import studio_of
from impasto.studio.api.problems import ProblemError, answers

router = APIRouter(tags=["about"])
root = APIRouter(tags=["about"])
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Server-sent events: hello, job, preview, deleted, queue.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 1f0c2a9b-17\nevent: preview\ndata: {"job": "7d79...", "version": 3}\n\n',
            }
        },
    }
}


@router.get("/events", response_class=StreamingResponse, responses={**EVENTS, **answers(429)})
async def events(
    request: Request,
    last: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=100, description="Continue after this event.")
    ] = None,
) -> StreamingResponse:
    """Stream what happens to all jobs. After a break, `Last-Event-ID` continues without loss.

    `hello` comes first; where its `missed` is true, events are lost and the lists are to be read anew.
    """
    studio = studio_of(request)
    if studio.events.streams >= studio.limits.streams:
        raise ProblemError(429, "too many event streams are open; close one", headers={"retry-after": "5"})
    return StreamingResponse(
        studio.events.stream(last), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


@root.get("/healthz", response_class=PlainTextResponse)
async def health() -> str:
    """Say that the server answers."""
    return "ok\n"


@root.get("/readyz", response_class=PlainTextResponse, responses={503: {"description": "Not ready yet."}})
async def readiness(request: Request) -> Response:
    """Say whether jobs are painted: the painting process is there."""
    studio = studio_of(request)
    ready = studio.supervisor.facts is not None
    return PlainTextResponse("ready\n" if ready else "not ready\n", 200 if ready else 503)


@root.get("/metrics", response_class=PlainTextResponse, responses=answers())
async def metrics(request: Request) -> str:
    """Return counts in the text format of Prometheus."""
    studio = studio_of(request)
    disk, counts = studio.files.disk(studio.limits.quota), await studio.call(studio.store.counts)
    rows = [("impasto_info", f'version="{__version__}"', 1, "gauge")]
    rows += [("impasto_jobs", f'state="{state}"', count, "gauge") for state, count in counts.items()]
    rows += [("impasto_disk_bytes", f'kind="{kind}"', size, "gauge") for kind, size in disk.items()]
    rows += [
        ("impasto_event_streams", "", studio.events.streams, "gauge"),
        ("impasto_painter_deaths_total", "", studio.supervisor.deaths, "counter"),
        ("impasto_decoder_deaths_total", "", studio.decoders.deaths, "counter"),
        ("impasto_refused_writes_total", "", studio.supervisor.refused, "counter"),
    ]
    rows += [
        ("impasto_requests_total", f'method="{method}",status="{status}"', count, "counter")
        for (method, status), (count, _) in request.app.state.seen.items()
    ]
    seconds = sum(spent for _, spent in request.app.state.seen.values())
    rows.append(("impasto_request_seconds_total", "", round(seconds, 6), "counter"))
    lines: list[str] = []
    for name, labels, value, kind in rows:
        if f"# TYPE {name} {kind}" not in lines:
            lines.append(f"# TYPE {name} {kind}")
        lines.append(f"{name}{{{labels}}} {value}" if labels else f"{name} {value}")
    return "\n".join(lines) + "\n"
