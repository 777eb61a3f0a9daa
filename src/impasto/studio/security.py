"""Who may talk to the server: checks of each request before a route sees it; limits of its size and time.

A page of another site must not reach it, neither by a name that it lets point here (the Host is checked) nor
by a request from the user's browser (Origin and Sec-Fetch-Site are). Programs show a bearer token; a browser
has a cookie, for which it gives the one-time token in the address that opens the page.
"""

import asyncio
import hmac
import ipaddress
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException

from impasto.studio.api.problems import problem
from impasto.studio.files import Identity
from impasto.studio.limits import Limits

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL = ("localhost", "127.0.0.1", "::1")
SAFE = ("GET", "HEAD")
CLIPS = "/api/v1/clips"  # the route to which clips are sent
ONE_TIME = 3600.0  # seconds in which a one-time token can be used
TOKENS = 100  # one-time tokens at once
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self'; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass
class Access:
    """Who is let in.

    Attributes:
        identity: The server's secrets.
        bearer: The token that programs show; None: only that of `identity.key`.
        host: The address that the server listens on.
        page: Whether there is a page, and so one-time tokens and cookies.
    """

    identity: Identity
    bearer: str | None = None
    host: str = "127.0.0.1"
    page: bool = True
    _tokens: dict[str, float] = field(default_factory=dict)

    @property
    def cookie(self) -> str:
        """The name of the cookie: servers on other ports have others."""
        return f"impasto-{self.identity.id}"

    def new_token(self) -> str:
        """Return a new one-time token."""
        token, now = secrets.token_urlsafe(24), time.monotonic()
        self._tokens = {name: until for name, until in self._tokens.items() if until > now}
        while len(self._tokens) >= TOKENS:
            self._tokens.pop(next(iter(self._tokens)))
        self._tokens[token] = now + ONE_TIME
        return token

    def redeem(self, token: str) -> bool:
        """Whether a one-time token is valid; it is not any more."""
        return self._tokens.pop(token, 0.0) > time.monotonic()

    def knows_host(self, host: str) -> bool:
        """Whether a Host names this server; the port does not matter, for it may be forwarded."""
        name = _name_of(host)
        if name is None:
            return False
        if name in LOCAL or name == self.host:
            return True
        # Listening everywhere: any address in numbers, which no other site can let point here.
        return self.host in ("0.0.0.0", "::") and _is_address(name)

    def who(self, headers: Headers) -> str:
        """Return `bearer` or `cookie` by what a request shows, or an empty string."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            known = [self.identity.key, *([self.bearer] if self.bearer else [])]
            return "bearer" if any([_same(token.strip(), item) for item in known]) else ""
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return ""
        morsel = cookies.get(self.cookie)
        return "cookie" if self.page and morsel and _same(morsel.value, self.identity.cookie) else ""


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())


def _name_of(host: str) -> str | None:
    """Return the name in a Host, in small letters, without port and brackets; None for nonsense."""
    if not host or set(host) & set("/\\@?#, \t%"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        parts.port  # noqa: B018  raises if it is no number
    except ValueError:
        return None
    return parts.hostname


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Refused(HTTPException):
    """A request is refused before a route has done anything."""


class Guard:
    """The outermost layer of the application.

    Args:
        app: The application.
        access: Who is let in.
        limits: How much a request may have.
        files: Bytes of a request with files; one with a clip has a limit of its own.
        seen: Is called with (method, status, seconds) after each request.
    """

    def __init__(
        self, app: App, access: Access, limits: Limits, files: int, seen: Callable[[str, int, float], None]
    ) -> None:
        self._app, self._access, self._limits, self._files, self._seen = app, access, limits, files, seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request and pass it on."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":  # there is none
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message["headers"])
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            await self._checked(scope, receive, answer)
        finally:
            self._seen(scope["method"], status, time.monotonic() - began)

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            self._check_origin(scope, headers)
            self._check_length(scope, headers)
            if self._needs_token(scope["path"]):
                self._check_token(scope, headers)
        except Refused as refused:
            extra = {"www-authenticate": "Bearer"} if refused.status_code == 401 else {}
            answer = problem(refused.status_code, refused.detail, headers=extra | {"connection": "close"})
            await answer(scope, receive, send)
            return
        await self._app(scope, self._limited(self._most(scope, headers), receive), send)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._access.knows_host(hosts[0]):
            raise Refused(421, "this server has another name; use the address that it printed")
        origins = headers.getlist("origin")
        if len(origins) > 1 or any(origin != f"{scope['scheme']}://{hosts[0]}" for origin in origins):
            raise Refused(403, "this request comes from a page of another site")
        site = headers.get("sec-fetch-site", "none")
        opened = scope["path"] == "/" and headers.get("sec-fetch-dest") == "document"
        opened = opened and scope["method"] in SAFE
        if site not in ("same-origin", "none") and not opened:
            raise Refused(403, "this request comes from a page of another site")

    def _check_length(self, scope: Scope, headers: Headers) -> None:
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()):
            raise Refused(400, "Content-Length is not a number")
        if "content-length" in headers and "transfer-encoding" in headers:
            raise Refused(400, "Content-Length and Transfer-Encoding contradict each other")
        if int(length[:20]) > (most := self._most(scope, headers)):
            raise Refused(413, f"the body is larger than {most / 1e6:g} MB")

    def _most(self, scope: Scope, headers: Headers) -> int:
        if not headers.get("content-type", "").lower().startswith("multipart/form-data"):
            return self._limits.body
        return self._limits.clip + self._limits.body if scope["path"] == CLIPS else self._files

    def _needs_token(self, path: str) -> bool:
        return path.startswith("/api") or path == "/metrics"  # not the page's files, health, openapi.json

    def _check_token(self, scope: Scope, headers: Headers) -> None:
        who = self._access.who(headers)
        if not who:
            how = "open the address that it printed" if self._access.page else "Authorization: Bearer TOKEN"
            raise Refused(401, f"this server needs its token: {how}")
        # A cookie comes by itself; that a page of ours sent it, its browser says.
        said = headers.get("origin") or headers.get("sec-fetch-site")
        if who == "cookie" and scope["method"] not in SAFE and not said:
            raise Refused(403, "the browser does not say where this request comes from; use a bearer token")

    def _limited(self, most: int, receive: Receive) -> Receive:
        """Return what yields the body, no more and no more slowly than may be."""
        total, done = 0, False
        end = time.monotonic() + self._limits.whole_seconds

        async def limited() -> MutableMapping[str, Any]:
            nonlocal total, done
            if done:  # only the end of the connection can come
                return await receive()
            try:
                async with asyncio.timeout(min(self._limits.body_seconds, end - time.monotonic())):
                    message = await receive()
            except TimeoutError as error:
                raise Refused(408, "the body came too slowly") from error
            total += len(message.get("body", b""))
            done = not message.get("more_body", False)
            if total > most:
                raise Refused(413, f"the body is larger than {most / 1e6:g} MB")
            return message

        return limited


def one_time_token(query: bytes) -> str:
    """Return the token in a query; empty without one."""
    try:
        return parse_qs(query.decode("ascii"), max_num_fields=10).get("token", [""])[0]
    except ValueError:
        return ""
