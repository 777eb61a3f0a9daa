"""Transfers that go wrong, from a server on this machine."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from impasto.system.download import Interruption, NoConnection, Refused, download

DATA = bytes(range(256)) * 1200  # 307 200 bytes
HALF = len(DATA) // 2


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        server = self.server
        server.asked.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        what = self.path.strip("/").partition("?")[0]
        getattr(self, f"answer_{what}")()

    def send(self, data: bytes, *, status=200, length=None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def answer_file(self, cut: int | None = None, etag: str | None = None, **headers) -> None:
        start = 0
        wanted, guard = self.headers.get("Range"), self.headers.get("If-Range")
        if etag:
            headers["ETag"] = etag
        if wanted and (guard is None or guard == etag):
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(DATA):
                return self.send(b"", status=416)
            headers["Content_Range"] = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
        rest = DATA[start:]
        sent = rest if cut is None else rest[:cut]
        return self.send(sent, status=206 if start else 200, length=len(rest), **headers)

    def answer_cut(self) -> None:
        first = len(self.server.asked) == 1
        self.answer_file(HALF if first else None, etag='"one"')

    def answer_changed(self) -> None:
        first = len(self.server.asked) == 1
        self.answer_file(HALF if first else None, etag='"one"' if first else '"two"')

    def answer_weak(self) -> None:
        first = len(self.server.asked) == 1
        self.answer_file(HALF if first else None, etag='W/"one"')

    def answer_no_range(self) -> None:
        first = len(self.server.asked) == 1
        self.send(DATA[:HALF] if first else DATA, length=len(DATA))

    def answer_wrong_range(self) -> None:
        if len(self.server.asked) == 1:
            return self.send(DATA[:HALF], length=len(DATA))
        return self.send(DATA, status=206, Content_Range=f"bytes 0-{len(DATA) - 1}/{len(DATA)}")

    def answer_slow(self) -> None:
        self.send(DATA[:HALF], length=len(DATA))
        self.wfile.flush()
        time.sleep(1.0)

    def answer_mute(self) -> None:
        time.sleep(1.0)

    def answer_short(self) -> None:
        self.send(DATA, length=len(DATA) + 10)

    def answer_long(self) -> None:
        self.send(DATA + b"more", length=len(DATA))

    def answer_endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(DATA + DATA)

    def answer_larger(self) -> None:
        self.send(DATA + b"more")

    def answer_huge(self) -> None:
        self.send(b"", length=2_000_000_000)

    def answer_redirect(self) -> None:
        self.send(b"", status=302, Location="/file")

    def answer_permanent(self) -> None:
        self.send(b"", status=308, Location="/file")

    def answer_to_file(self) -> None:
        self.send(b"", status=302, Location="file:///etc/passwd")

    def answer_to_ftp(self) -> None:
        self.send(b"", status=301, Location="ftp://127.0.0.1/x")

    def answer_loop(self) -> None:
        self.send(b"", status=302, Location="/loop")

    def answer_not_found(self) -> None:
        self.send(b"no", status=404)

    def answer_trouble(self) -> None:
        self.send(b"no", status=503)

    def answer_page(self) -> None:
        self.send(b"<html>log in</html>", Content_Type="text/html; charset=utf-8")


@pytest.fixture
def server(monkeypatch) -> Iterator[ThreadingHTTPServer]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    server.handle_error = lambda *args: None  # a client that goes away is what is tested here
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def get(server, tmp_path):
    def get(what: str, *, size: int | None = len(DATA), timeout: float = 5.0) -> bytes:
        part = tmp_path / "x.part"
        url = f"{server.url}/{what}"
        download(url, part, size=size, timeout=timeout, on_progress=get.seen.append_pair)
        return part.read_bytes()

    class Seen(list):
        def append_pair(self, done: int, total: int | None) -> None:
            self.append((done, total))

    get.seen = Seen()
    get.part = tmp_path / "x.part"
    return get


@pytest.mark.parametrize("what", ["file", "redirect", "permanent"])
@pytest.mark.parametrize("size", [len(DATA), None])
def test_all_of_it(get, what, size) -> None:
    assert get(what, size=size) == DATA
    assert get.seen[0] == (0, len(DATA))
    assert get.seen[-1] == (len(DATA), len(DATA))


@pytest.mark.parametrize(
    ("what", "asked", "guard"),
    [
        ("cut", f"bytes={HALF}-", '"one"'),  # gone on with
        ("changed", f"bytes={HALF}-", '"one"'),  # the server has another file now: anew
        ("weak", f"bytes={HALF}-", None),
        ("no_range", f"bytes={HALF}-", None),  # the server knows no ranges: anew
    ],
)
def test_broken_off_and_gone_on_with(get, server, what, asked, guard) -> None:
    with pytest.raises(Interruption, match=rf"broke off at {HALF} of {len(DATA)} bytes"):
        get(what)
    assert get.part.stat().st_size == HALF
    assert get(what) == DATA
    assert server.asked[1][1:] == (asked, guard)
    assert get(what) == DATA
    assert len(server.asked) == 2  # all there: nothing is asked any more


def test_another_address_starts_anew(get, server) -> None:
    with pytest.raises(Interruption):
        get("cut")
    assert get("file") == DATA
    assert server.asked[1] == ("/file", None, None)


def test_a_part_that_is_too_long_starts_anew(get, server) -> None:
    get.part.write_bytes(DATA + b"x")
    assert get("file") == DATA
    assert server.asked[0][1] is None


def test_a_range_that_was_not_asked_for(get) -> None:
    with pytest.raises(Interruption):
        get("wrong_range")
    with pytest.raises(Interruption, match="another part"):
        get("wrong_range")
    assert not get.part.exists()


def test_nothing_left_to_send(get, server) -> None:
    with pytest.raises(Interruption):
        get("cut", size=None)
    notes = get.part.with_name("x.part.json")
    notes.write_text(notes.read_text().replace(str(len(DATA)), "null"))
    get.part.write_bytes(DATA + b"wrong")
    assert get("cut", size=None) == DATA  # 416, then from the start
    assert server.asked[-1][1] is None


@pytest.mark.parametrize("what", ["slow", "mute"])
def test_stalled(get, what) -> None:
    with pytest.raises(Interruption, match=r"stalled at \d+ of|does not answer within 0\.2 s"):
        get(what, timeout=0.2)


@pytest.mark.parametrize(
    ("what", "error", "words"),
    [
        ("short", Refused, "offers 307210 bytes, but the file has 307200"),
        ("larger", Refused, "offers 307204 bytes"),
        ("endless", Refused, "sends more than the file has"),
        ("huge", Refused, "offers 2000000000 bytes"),
        ("to_file", Refused, "redirects to file:///etc/passwd"),
        ("to_ftp", Refused, "redirects to ftp:"),
        ("loop", Refused, "HTTP 302"),
        ("not_found", Refused, r"HTTP 404 \(Not Found\)"),
        ("trouble", Interruption, "HTTP 503"),
        ("page", Refused, "web page"),
    ],
)
def test_refused(get, what, error, words) -> None:
    with pytest.raises(error, match=words) as caught:
        get(what)
    assert "\n" not in str(caught.value)
    assert not get.part.exists() or get.part.stat().st_size == 0


def test_the_length_where_nobody_knows_it(get) -> None:
    assert get("long", size=None) == DATA  # what comes behind is not read
    with pytest.raises(Interruption, match="broke off at 307200 of 307210"):
        get("short", size=None)
    with pytest.raises(Refused, match="2000 MB"):
        get("huge", size=None)


def test_nobody_there(tmp_path, server) -> None:
    port = server.server_port
    server.server_close()
    for url in (f"http://127.0.0.1:{port}/x", "http://nowhere.invalid/x"):
        with pytest.raises(NoConnection):
            download(url, tmp_path / "x", size=1, timeout=2, on_progress=lambda *a: None)
