"""Start the server: its place, its port, its one process a folder, and the connections it takes."""

import asyncio
import contextlib
import http.client
import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from filelock import FileLock, Timeout
from uvicorn.protocols.http.h11_impl import H11Protocol

from impasto.errors import InputError, OutputError, ResourceError
from impasto.messages import printable, reason
from impasto.studio.app import create_app
from impasto.studio.files import Files
from impasto.studio.limits import Limits
from impasto.studio.security import LOCAL, Access
from impasto.studio.service import Options, Studio
from impasto.system.files import publish

PORT = 8765
TRIED = 20  # ports after the first that are tried
IDLE = 20  # seconds in which a connection may wait for its next request
GRACE = 3  # seconds that connections have when the server ends
ANSWERS = 3.0  # seconds in which a running server answers


@dataclass(frozen=True)
class Running:
    """A server that answers: the address for people, with a one-time token where it has a page."""

    address: str
    page: bool


def listen(host: str, port: int, *, only: bool) -> socket.socket:
    """Return a socket that listens: on this port, or without `only` on one of the next.

    Raises:
        InputError: There is no such address here, or no port is free.
    """
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    last = port if only or not port else min(port + TRIED, 65_535)
    for number in range(port, last + 1):
        found = socket.socket(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio waits for ACKs
        if (
            os.name == "posix"
        ):  # a port of a server that just ended is free; elsewhere this means another thing
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, number))
        except PermissionError as error:
            found.close()
            raise InputError(f"--port {number} needs more rights; give one from 1024") from error
        except OSError as error:
            found.close()
            if number == last:
                where = f"port {port}" if port == last else f"ports {port} to {last}"
                raise InputError(
                    f"cannot listen on {printable(host)}, {where}: {reason(error)}; give another --port, or "
                    "0 for any"
                ) from error
            continue
        found.listen(1024)
        return found
    raise AssertionError


class Connection(H11Protocol):
    """A connection whose requests have to arrive in `seconds`."""

    seconds = Limits.header_seconds

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._late: asyncio.TimerHandle | None = None
        self._wait()

    def _wait(self) -> None:
        """Wait for the head of a request, unless one is answered now."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy and self._late is not None:
            self._late.cancel()
            self._late = None
        elif not busy and self._late is None:
            self._late = self.loop.call_later(self.seconds, self._too_late)

    def _too_late(self) -> None:
        self._late = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Read on; each head has its own time."""
        super().data_received(data)
        self._wait()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)


class Server(uvicorn.Server):
    """A server that ends its event streams before it waits for its connections."""

    def __init__(self, config: uvicorn.Config, studio: Studio, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._studio, self._started = studio, started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, then say so."""
        await super().startup(sockets)
        if self.started:
            self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End."""
        self._studio.events.close()
        await super().shutdown(sockets)


@contextlib.contextmanager
def alone(files: Files) -> Iterator[bool]:
    """Hold the data folder inside the block; yield False if another server holds it."""
    lock = FileLock(files.root / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise OutputError(
            f"cannot write into {printable(files.root)}: {reason(error)}; give another folder with --data"
        ) from error
    try:
        yield True
    finally:
        lock.release()


def running(files: Files) -> Running:
    """Return the server that holds a data folder, with a new one-time token.

    Raises:
        ResourceError: It does not answer.
    """
    try:
        facts = json.loads((files.root / "running.json").read_bytes())
        connection = http.client.HTTPConnection(facts["host"], facts["port"], timeout=ANSWERS)
        key = {"Authorization": f"Bearer {files.identity().key}", "Host": "localhost"}
        connection.request("POST", "/api/v1/tokens", headers=key)
        answer = connection.getresponse()
        if answer.status == 404:
            return Running(facts["address"], page=False)
        token = json.loads(answer.read())["token"]
    except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
        raise ResourceError(
            f"another server uses {printable(files.root)} and does not answer; end it, or give another "
            "folder with --data"
        ) from error
    return Running(f"{facts['address']}/?token={token}", page=True)


def serve(options: Options, access: Access, listening: socket.socket, started: Callable[[str], None]) -> None:
    """Answer until a signal ends the process; the data folder is held already.

    Args:
        options: How the server is started.
        access: Who is let in.
        listening: From `listen`.
        started: Is called with the address once the server answers.

    Raises:
        ResourceError: The data folder cannot be used, or the server cannot begin.
    """
    studio = Studio(options)
    port = listening.getsockname()[1]
    reached = (
        "127.0.0.1" if access.host in (*LOCAL, "0.0.0.0", "::") and access.host != "::1" else access.host
    )
    address = f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
    facts = {"pid": os.getpid(), "host": reached, "port": port, "address": address}
    publish(options.data / "running.json", json.dumps(facts).encode(), overwrite=True)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # nonsense from outside is no news
    settings: dict[str, Any] = {
        "http": type("Connection", (Connection,), {"seconds": options.limits.header_seconds}),
        "ws": "none",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": IDLE,
        "timeout_graceful_shutdown": GRACE,
        "limit_concurrency": options.limits.connections,
        "h11_max_incomplete_event_size": options.limits.header,
        "backlog": 1024,
    }
    server = Server(uvicorn.Config(create_app(studio, access), **settings), studio, lambda: started(address))
    server.run(sockets=[listening])
    if not server.started:
        raise ResourceError("the server could not begin; the lines above say why")
