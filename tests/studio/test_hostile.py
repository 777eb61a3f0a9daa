"""Bodies and raw requests made to do harm: refused in a sentence, nothing queued, nothing hangs."""

import contextlib
import json
import socket
import time

import pytest

from studio.running import TOKEN, picture, running

GOOD = "{photo}"
DEEP = "[" * 100_000 + "]" * 100_000


def bodies(pair: dict) -> dict[str, bytes]:
    """Return bodies for `POST /api/v1/jobs` that are all wrong."""
    photo, style = pair["photo"], pair["styles"][0]
    found: dict[str, object] = {
        "nothing": b"",
        "a word": b"job",
        "half": b'{"photo": "',
        "two": b"{}{}",
        "null": None,
        "true": True,
        "a number": 1,
        "a list": [],
        "a text": "x",
        "empty": {},
        "deep": DEEP.encode(),
        "deep settings": b'{"settings": ' + DEEP.encode() + b"}",
        "bytes": b"\xff\xfe\x00",
        "utf16": "{}".encode("utf-16"),
        "bom": b"\xef\xbb\xbf{}",
        "a comment": b"{} // x",
        "single quotes": b"{'photo': 1}",
        "nan": b'{"settings": {"strength": NaN}}',
        "a long number": b'{"settings": {"seed": ' + b"9" * 10_000 + b"}}",
        "unknown field": {**pair, "path": "/etc/passwd"},
        "a url": {**pair, "photo": "http://127.0.0.1:1/x"},
        "a path": {**pair, "photo": "/etc/passwd"},
        "an unknown picture": {**pair, "photo": "0" * 64},
        "upper case": {**pair, "photo": photo.upper()},
        "a number as photo": {**pair, "photo": 1},
        "a list as photo": {**pair, "photo": [photo]},
        "no photo": {"styles": [style]},
        "no styles": {"photo": photo},
        "styles empty": {**pair, "styles": []},
        "styles null": {**pair, "styles": None},
        "a style as text": {**pair, "styles": [style["picture"]]},
        "a style too many": {**pair, "styles": [style] * 17},
        "very many styles": {**pair, "styles": [style] * 5000},
        "weight negative": {**pair, "styles": [{**style, "weight": -1}]},
        "weight text": {**pair, "styles": [{**style, "weight": "1"}]},
        "weight null": {**pair, "styles": [{**style, "weight": None}]},
        "weight huge": {**pair, "styles": [{**style, "weight": 1e300}]},
        "weights zero": {**pair, "styles": [{**style, "weight": 0}]},
        "a mask that is not here": {**pair, "styles": [{**style, "mask": "1" * 64}]},
        "a mask as a path": {**pair, "styles": [{**style, "mask": "../x"}]},
        "protect that is not here": {**pair, "protect": "2" * 64},
        "kind unknown": {**pair, "kind": "evil"},
        "kind look": {**pair, "kind": "look"},
        "kind null": {**pair, "kind": None},
        "name a number": {**pair, "name": 5},
        "name long": {**pair, "name": "x" * 201},
        "parent a path": {**pair, "parent": "../../x"},
        "group odd": {**pair, "group": "<script>"},
        "settings a list": {**pair, "settings": []},
        "settings null": {**pair, "settings": None},
        "settings text": {**pair, "settings": "size=1"},
        "output a list": {**pair, "output": [1]},
        "output unknown": {**pair, "output": {"path": "/tmp/x"}},
        "output bits": {**pair, "output": {"bits": 12}},
        "output quality": {**pair, "output": {"jpeg_quality": 101}},
        "surrogates": b'{"photo": "\\ud800", "styles": []}',
        "surrogates in settings": (
            b'{"photo": "%s", "styles": [{"picture": "%s"}], "settings": {"color": "\\ud800"}}'
            % (photo.encode(), style["picture"].encode())
        ),
        "a key with surrogates": b'{"\\ud800": 1}',
        "a very long key": {"k" * 100_000: 1},
        "an init picture without init": {**pair, "init_picture": photo},
        "prototype": {**pair, "__proto__": {"admin": True}},
        "class": {**pair, "__class__": "x"},
    }
    wrong_settings: dict[str, object] = {
        "size 0": {"size": 0},
        "size -1": {"size": -1},
        "size too large": {"size": 30_001},
        "size text": {"size": "512"},
        "size float": {"size": 512.5},
        "size true": {"size": True},
        "size list": {"size": [512]},
        "evaluations 0": {"evaluations": 0},
        "evaluations huge": {"evaluations": 10**30},
        "quality unknown": {"quality": "ultra"},
        "color null": {"color": None},
        "strength -0": {"strength": -0.1},
        "strength null": {"strength": None},
        "unknown setting": {"sise": 512},
        "weights a path": {"weights": "/etc/passwd"},
        "weights relative": {"weights": "../x.pth"},
        "weights a url": {"weights": "https://example.org/x.pth"},
        "weights empty": {"weights": ""},
        "layers unknown": {"style_layers": {"relu9_9": 1}},
        "layers a path": {"style_layers": "../../x"},
        "layers negative": {"content_layers": {"relu4_2": -1}},
        "nothing to do": {"style_weight": 0, "content_weight": 0},
        "init picture without one": {"init": "picture"},
        "seed too large": {"seed": 2**63},
        "device": {"device": "cuda"},
        "budget": {"budget": 1},
        "max_pixels": {"max_pixels": 10**12},
        "min_size 0": {"min_size": 0},
        "dict": {"strength": {"$gt": 0}},
        "learning_rate 0": {"learning_rate": 0},
        "history 0": {"history": 0},
    }
    found |= {name: {**pair, "settings": value} for name, value in wrong_settings.items()}
    return {
        name: value if isinstance(value, bytes) else json.dumps(value).encode()
        for name, value in found.items()
    }


def test_hostile_bodies(server, pair) -> None:
    wrong, all_bodies = [], bodies(pair)
    assert len(all_bodies) >= 90
    for name, body in all_bodies.items():
        began = time.monotonic()
        answer = server.post("/api/v1/jobs", content=body, headers={"Content-Type": "application/json"})
        spent = time.monotonic() - began
        if not 400 <= answer.status_code < 500 or spent > 2:
            wrong.append(f"{name}: {answer.status_code} after {spent:.1f} s: {answer.text[:200]}")
            continue
        facts = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert facts["status"] == answer.status_code
        assert facts["detail"], name
        assert len(facts["detail"]) < 1500, name
        assert "Traceback" not in answer.text
        assert "pydantic" not in answer.text
    assert not wrong
    assert server.get("/api/v1/jobs").json()["jobs"] == []


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"size": 0}, "size: must be 1 or more, not 0"),
        ({"size": "512"}, "size: must be a whole number, not '512'"),
        ({"stroke": 11}, "stroke: must be 10 or less, not 11"),
        ({"sise": 1}, "unknown setting 'sise'. Did you mean size?"),
    ],
)
def test_the_sentences_are_those_of_the_command_line(server, pair, settings, sentence) -> None:
    answer = server.post("/api/v1/jobs", json={**pair, "settings": settings})
    assert (answer.status_code, answer.json()["detail"]) == (422, sentence)
    assert answer.json()["title"] == "A setting is wrong"


@pytest.mark.parametrize("path", ["/api/v1/grids", "/api/v1/looks", "/api/v1/estimate", "/api/v1/jobs/x"])
@pytest.mark.parametrize("body", [b"", b"[]", DEEP.encode(), b"\xff", b'{"a": NaN}', b'{"\\ud800": 1}'])
def test_hostile_bodies_elsewhere(server, path, body) -> None:
    method = "PATCH" if path.endswith("x") else "POST"
    address = path.replace("x", "0" * 32) if method == "PATCH" else path
    answer = server.request(method, address, content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "kind",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json-patch+json", "image/png", "x"],
)
def test_other_types_of_bodies(server, pair, kind) -> None:
    answer = server.post("/api/v1/jobs", content=json.dumps(pair).encode(), headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert server.post("/api/v1/pictures", content=b"x", headers={"Content-Type": kind}).status_code == 415


def form(*parts: bytes, boundary: bytes = b"b") -> bytes:
    return (
        b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"
    )


FILE = b'Content-Disposition: form-data; name="file"; filename="x.png"\r\n\r\n'
FORMS = {
    "no boundary": ("multipart/form-data", b"x"),
    "empty boundary": ("multipart/form-data; boundary=", b"x"),
    "empty": ("multipart/form-data; boundary=b", b""),
    "no parts": ("multipart/form-data; boundary=b", b"--b--\r\n"),
    "no end": ("multipart/form-data; boundary=b", b"--b\r\n" + FILE + b"x"),
    "other boundary": ("multipart/form-data; boundary=c", form(FILE + b"x")),
    "no name": ("multipart/form-data; boundary=b", form(b"Content-Disposition: form-data\r\n\r\nx")),
    "no disposition": ("multipart/form-data; boundary=b", form(b"X: y\r\n\r\nx")),
    "a field": (
        "multipart/form-data; boundary=b",
        form(b'Content-Disposition: form-data; name="file"\r\n\r\nx'),
    ),
    "many files": ("multipart/form-data; boundary=b", form(*[FILE + b"x"] * 200)),
    "many fields": (
        "multipart/form-data; boundary=b",
        form(*[b'Content-Disposition: form-data; name="a"\r\n\r\nx'] * 200),
    ),
    "a long header": (
        "multipart/form-data; boundary=b",
        form(b"X: " + b"y" * 100_000 + b"\r\n" + FILE + b"x"),
    ),
    "line feeds": ("multipart/form-data; boundary=b", b"\r\n" * 200_000 + form(FILE + b"x")),
    "returns": ("multipart/form-data; boundary=b", b"\r" * 300_000),
    "an empty file": ("multipart/form-data; boundary=b", form(FILE)),
    "text": ("multipart/form-data; boundary=b", form(FILE + b"hello")),
    "html": ("multipart/form-data; boundary=b", form(FILE + b"<html><script>alert(1)</script>")),
    "svg": ("multipart/form-data; boundary=b", form(FILE + b"<svg xmlns='http://www.w3.org/2000/svg'/>")),
    "a pickle": ("multipart/form-data; boundary=b", form(FILE + b"\x80\x04\x95\x0b\x00.")),
    "a torn picture": ("multipart/form-data; boundary=b", form(FILE + picture(1)[:200])),
}


@pytest.mark.parametrize("name", FORMS)
def test_hostile_forms(server, name) -> None:
    kind, body = FORMS[name]
    began = time.monotonic()
    answer = server.post("/api/v1/pictures", content=body, headers={"Content-Type": kind})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert time.monotonic() - began < 2
    assert not list((server.data / "incoming").iterdir())


AUTH = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
JSON = b"Content-Type: application/json\r\n"
POST = b"POST /api/v1/jobs HTTP/1.1\r\n" + AUTH + JSON
RAW = {
    "nothing": b"\r\n\r\n",
    "noise": bytes(range(256)),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no version": b"GET /api/v1/jobs\r\n\r\n",
    "HTTP/9": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a long line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    "a zero in a header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n" b"GET",
    "two hosts": b"GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\n" + AUTH + b"\r\n",
    "an absolute address": b"GET http://attacker.example/ HTTP/1.1\r\nHost: attacker.example\r\n\r\n",
    "an authority": b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "negative length": POST + b"Content-Length: -1\r\n\r\n",
    "length in words": POST + b"Content-Length: ten\r\n\r\n",
    "two lengths": POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunks": POST
    + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    "a huge length": POST + b"Content-Length: 99999999999999999999\r\n\r\n",
    "a wrong chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "unknown coding": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "websocket": b"GET /api/v1/events HTTP/1.1\r\n" + AUTH
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\n" + AUTH + b"\r\n",
    "an unknown method": b"HACK /api/v1/jobs HTTP/1.1\r\n" + AUTH + b"\r\n",
}  # fmt: skip


def talk(port: int, data: bytes, seconds: float = 2.0) -> bytes:
    """Send bytes and return what is answered until the end, or for so many seconds."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
        answer = b""
        with contextlib.suppress(OSError):
            while part := connection.recv(65_536):
                answer += part
        return answer


@pytest.mark.parametrize("name", RAW)
def test_raw_requests(server, name) -> None:
    answer = talk(server.port, RAW[name], 0.4 if name in ("nothing", "TLS", "websocket") else 2.0)
    assert not answer.startswith(b"HTTP/1.1 5"), answer[:200]
    if name == "length and chunks":  # one request, and nothing smuggled behind it
        assert answer.count(b"HTTP/1.1") <= 1
    assert server.get("/healthz").status_code == 200
    assert server.get("/api/v1/jobs").json()["jobs"] == []


@pytest.mark.slow
def test_limits_of_a_body(tmp_path) -> None:
    with running(tmp_path / "data", limits={"body": 5000}, input={"max_bytes": 20_000}) as server:
        kind = {"Content-Type": "application/json"}
        at, over = b" " * 5000, b" " * 5001
        assert server.post("/api/v1/jobs", content=at, headers=kind).status_code == 422
        assert server.post("/api/v1/jobs", content=over, headers=kind).status_code == 413
        chunks = (b" " * 1000 for _ in range(6))  # no length is said
        assert server.post("/api/v1/jobs", content=chunks, headers=kind).status_code == 413
        base = picture(1, (30, 40))
        for size, status in ((20_000, 201), (20_001, 422)):
            data = base + bytes(size - len(base))
            answer = server.post("/api/v1/pictures", files={"file": ("x.png", data)})
            assert answer.status_code == status, answer.text
        assert "larger than" in answer.json()["detail"]
        answer = server.post("/api/v1/pictures", files={"file": ("x.png", bytes(26_000))})
        assert answer.status_code == 413


@pytest.mark.slow
def test_limits_of_pixels(tmp_path) -> None:
    with running(tmp_path / "data", input={"max_pixels": 1200, "max_side": 60}) as server:
        for size, status in (((30, 40), 201), ((30, 41), 422), ((20, 60), 201), ((10, 61), 422)):
            answer = server.post("/api/v1/pictures", files={"file": ("x.png", picture(1, size))})
            assert answer.status_code == status, answer.text
        assert server.get("/api/v1/about").json()["limits"]["pixels"] == 1200


@pytest.mark.slow
def test_a_request_that_trickles_in_is_ended(tmp_path) -> None:
    limits = {"body_seconds": 0.5, "header_seconds": 0.5, "whole_seconds": 1.0}
    with running(tmp_path / "data", limits=limits) as server:
        began = time.monotonic()
        head = b"GET / HTTP/1.1\r\nHost: local"
        assert talk(server.port, head, 5.0) == b""
        assert time.monotonic() - began < 3
        body = POST + b"Content-Length: 100\r\n\r\n{"
        assert talk(server.port, body, 5.0).startswith(b"HTTP/1.1 408")
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(body)
            with contextlib.suppress(OSError):
                for _ in range(20):  # a byte now and then
                    connection.sendall(b" ")
                    time.sleep(0.2)
            assert connection.recv(1000).startswith(b"HTTP/1.1 408")
        assert server.get("/healthz").status_code == 200
