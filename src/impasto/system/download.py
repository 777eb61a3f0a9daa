"""One file by http or https into a `.part` that can be gone on with. Knows nothing of weights. No torch here.

What is there already is asked for no more (`Range`), provided that the file has not changed since
(`If-Range`, with what the server said of it: kept beside the part, in `.part.json`). Redirections are
followed to http and https only, and never from https to http.
"""

import contextlib
import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from impasto._version import __version__
from impasto.messages import printable, reason

MOST = 1_200_000_000  # bytes
CHUNK = 1 << 16
OnProgress = Callable[[int, int | None], None]


class NoConnection(Exception):
    """The server cannot be reached; nothing was received."""


class Interruption(Exception):
    """The transfer broke off; what has come is kept."""


class Refused(Exception):
    """The server answers with something else than the file."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https, but from https not to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        allowed = ("https",) if urlsplit(req.full_url).scheme == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in allowed:
            fp.close()
            raise Refused(f"{_host(req.full_url)} redirects to {printable(newurl[:200])}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        # urllib itself refuses other schemes before `redirect_request`, in words of its own.
        target = headers.get("location") or headers.get("uri") or ""
        scheme = urlsplit(target).scheme
        if scheme and scheme not in ("http", "https"):
            fp.close()
            raise Refused(f"{_host(req.full_url)} redirects to {printable(target[:200])}")
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def download(
    url: str, part: Path, *, size: int | None, timeout: float, on_progress: OnProgress
) -> None:
    """Bring a file into `part`, all of it.

    Args:
        url: An address of http or https.
        part: Where it goes; what is there already is gone on with.
        size: Its bytes, where known.
        timeout: Seconds without a byte after which the transfer counts as stalled.
        on_progress: Called with the bytes that are there and all bytes, where known.

    Raises:
        NoConnection: The server cannot be reached.
        Interruption: The transfer broke off; call again to go on.
        Refused: The server has no such file, or another one.
        OSError: `part` cannot be written.
    """
    notes = part.with_name(f"{part.name}.json")
    start = part.stat().st_size if part.exists() else 0
    known = _read_notes(notes)
    if start and (known.get("url") != url or (size is not None and start > size)):
        start, known = 0, {}
    if start and start in (size, known.get("total")):
        return
    with contextlib.closing(_open(url, start, known, timeout)) as response:
        if response.status == 206:
            total = _check_range(response.headers.get("Content-Range", ""), start, part)
        else:
            start, total = 0, _number(response.headers.get("Content-Length"))
        _check_answer(response, total, size, url)
        told = {name: response.headers.get(name) for name in ("ETag", "Last-Modified")}
        notes.write_text(json.dumps({"url": url, "total": total or size, **told}), encoding="utf-8")
        _receive(response, part, start, total or size, on_progress)


def _open(url: str, start: int, known: dict[str, Any], timeout: float) -> Any:
    """Ask for the file, from `start` on."""
    headers = {"User-Agent": f"impasto/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        etag = str(known.get("ETag") or "")
        # A weak tag promises the same meaning, not the same bytes, and may not be used here.
        unchanged = etag if etag.startswith('"') else known.get("Last-Modified")
        if unchanged:
            headers["If-Range"] = str(unchanged)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        _Redirects,
    ):
        opener.add_handler(handler())
    try:
        return opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with contextlib.closing(error):
            if error.code == 416 and start:  # there is nothing from `start` on: begin anew
                return _open(url, 0, {}, timeout)
            if error.code >= 500 or error.code in (408, 429):
                raise Interruption(f"{_host(url)} has trouble (HTTP {error.code})") from error
            why = printable(str(error.reason).partition("\n")[0])
            raise Refused(f"{_host(url)} answers HTTP {error.code} ({why})") from error
    except TimeoutError as error:
        raise Interruption(f"{_host(url)} does not answer within {timeout:g} s") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise Interruption(f"{_host(url)} does not answer within {timeout:g} s") from error
        why = reason(error.reason) if isinstance(error.reason, OSError) else str(error.reason)
        raise NoConnection(f"{_host(url)}: {printable(why)}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoConnection(f"{_host(url)}: {printable(str(error)) or 'no answer'}") from error


def _check_range(told: str, start: int, part: Path) -> int | None:
    """Return all bytes of a file of which a part comes; refuse a part that does not fit."""
    found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", told.strip())
    if not found or int(found[1]) != start:
        part.unlink(missing_ok=True)
        raise Interruption("the server sends another part than was asked for")
    return _number(found[3])


def _check_answer(response: Any, total: int | None, size: int | None, url: str) -> None:
    """Refuse, before the first byte, what cannot be the file."""
    if response.status not in (200, 206):
        raise Refused(f"{_host(url)} answers HTTP {response.status}")
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise Refused(f"{_host(url)} answers with a web page instead of the file")
    if total is not None and size is not None and total != size:
        raise Refused(f"{_host(url)} offers {total} bytes, but the file has {size}")
    if total is not None and total > MOST:
        raise Refused(f"{_host(url)} offers {total // 10**6} MB, more than any file of weights has")


def _receive(
    response: Any, part: Path, start: int, total: int | None, on_progress: OnProgress
) -> None:
    """Write what comes behind `start`; keep it when the transfer breaks off."""
    done = start
    with part.open("r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        on_progress(done, total)
        while True:
            try:
                data = response.read1(CHUNK)
            except TimeoutError as error:
                raise Interruption(f"the transfer stalled at {_of(done, total)}") from error
            except (OSError, http.client.HTTPException) as error:
                raise Interruption(f"the transfer broke off at {_of(done, total)}") from error
            if not data:
                break
            done += len(data)
            if done > (total or MOST):
                file.truncate(start)
                raise Refused("the server sends more than the file has")
            file.write(data)
            on_progress(done, total)
    if total is not None and done < total:
        raise Interruption(f"the transfer broke off at {_of(done, total)}")


def _of(done: int, total: int | None) -> str:
    return f"{done} of {total} bytes" if total else f"{done} bytes"


def _read_notes(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _host(url: str) -> str:
    return printable(urlsplit(url).netloc.rpartition("@")[2])
