"""Who is let in: every route of the table against every kind of visitor, over real sockets."""

import http.client
import io
import itertools
import json
import subprocess
import sys

import pytest
from PIL import Image

from impasto.errors import ExitCode
from impasto.studio.security import CSP, HEADERS, Access
from studio.running import TOKEN, picture, running

FOREIGN = "attacker.example"
PUBLIC = {"/healthz", "/readyz", "/openapi.json"}
JOB, PICTURE = "0" * 32, "0" * 64


def table(server) -> list[tuple[str, str]]:
    """Return (method, path) of every route that the description has."""
    paths = server.get("/openapi.json").json()["paths"]
    found = []
    for path, methods in paths.items():
        id = PICTURE if path.startswith("/api/v1/pictures") else JOB
        for method in methods:
            found.append((method.upper(), path.replace("{id}", id).replace("{wish}", "pause")))
    return [*found, ("GET", "/openapi.json")]


def raw(server, method: str, path: str, headers: dict, body: bytes = b"") -> tuple[int, dict, bytes]:
    """Return (status, headers, body) of a request with these headers alone."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        for item in value if isinstance(value, list) else [value]:
            connection.putheader(name, item)
    if body or method in ("POST", "PATCH"):
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    streams = (answer.getheader("content-type") or "").startswith("text/event-stream")
    found = answer.status, dict(answer.getheaders()), b"" if streams else answer.read()
    connection.close()
    return found


def visitors(server) -> list[tuple[str, dict, int | None]]:
    """Return (who, headers, the status of a refusal or None)."""
    host, bearer = f"127.0.0.1:{server.port}", f"Bearer {TOKEN}"
    own = f"http://{host}"
    return [
        ("a program", {"Host": host, "Authorization": bearer}, None),
        ("no token", {"Host": host}, 401),
        ("a wrong token", {"Host": host, "Authorization": "Bearer wrong"}, 401),
        ("an empty token", {"Host": host, "Authorization": "Bearer "}, 401),
        ("another scheme", {"Host": host, "Authorization": f"Basic {TOKEN}"}, 401),
        ("a wrong cookie", {"Host": host, "Cookie": "impasto-00000000=x; impasto=x"}, 401),
        ("a rebound name", {"Host": f"{FOREIGN}:{server.port}", "Authorization": bearer}, 421),
        ("a rebound name with its origin",
         {"Host": FOREIGN, "Origin": f"http://{FOREIGN}", "Authorization": bearer}, 421),
        ("no host", {"Authorization": bearer}, 400),
        ("nonsense as host", {"Host": "127.0.0.1:port", "Authorization": bearer}, 421),
        ("a name that only begins like ours", {"Host": f"localhost.{FOREIGN}", "Authorization": bearer}, 421),
        ("a user in the host", {"Host": f"localhost@{FOREIGN}", "Authorization": bearer}, 421),
        ("a foreign origin", {"Host": host, "Origin": f"https://{FOREIGN}", "Authorization": bearer}, 403),
        ("the null origin", {"Host": host, "Origin": "null", "Authorization": bearer}, 403),
        ("a malformed origin", {"Host": host, "Origin": "http://[", "Authorization": bearer}, 403),
        ("two origins", {"Host": host, "Origin": [own, f"https://{FOREIGN}"], "Authorization": bearer}, 403),
        ("another port's origin",
         {"Host": host, "Origin": "http://127.0.0.1:1", "Authorization": bearer}, 403),
        ("a cross-site request",
         {"Host": host, "Sec-Fetch-Site": "cross-site", "Authorization": bearer}, 403),
        ("another port's page", {"Host": host, "Sec-Fetch-Site": "same-site", "Authorization": bearer}, 403),
        ("our own page",
         {"Host": host, "Origin": own, "Sec-Fetch-Site": "same-origin", "Authorization": bearer}, None),
        ("the name localhost", {"Host": f"localhost:{server.port}", "Authorization": bearer}, None),
        ("IPv6", {"Host": f"[::1]:{server.port}", "Authorization": bearer}, None),
        ("a forwarded port", {"Host": "localhost:9000", "Authorization": bearer}, None),
    ]  # fmt: skip


def test_every_route_against_every_visitor(server) -> None:
    routes = table(server)
    assert len(routes) >= 20
    wrong = []
    for (method, path), (who, headers, refusal) in itertools.product(routes, visitors(server)):
        status, answered, body = raw(server, method, path, headers)
        expected = None if refusal == 401 and path in PUBLIC else refusal
        let_in = (status not in (401, 403, 421) and status < 500) or path == "/readyz"
        if (expected is None and not let_in) or expected not in (None, status):
            wrong.append(f"{method} {path}, {who}: {status}")
        if expected == status and status != 400:
            assert answered["content-type"] == "application/problem+json"
            assert json.loads(body)["status"] == status
        assert TOKEN not in body.decode(errors="replace")
    assert not wrong


def test_headers_of_every_answer(server) -> None:
    for path in ("/", "/api/v1/about", "/nothing", "/api/v1/jobs/x"):
        headers = server.get(path).headers
        for name, value in HEADERS.items():
            assert headers[name] == value
    assert "unsafe" not in CSP
    assert "frame-ancestors 'none'" in CSP
    assert server.get("/api/v1/about").headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in server.get("/api/v1/about").headers


def test_the_token_in_the_address_works_once_and_becomes_a_cookie(server) -> None:
    host = {"Host": f"127.0.0.1:{server.port}"}
    token = server.post("/api/v1/tokens").json()["token"]
    status, headers, _ = raw(server, "GET", f"/?token={token}", host)
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    again = raw(server, "GET", f"/?token={token}", host)
    assert (again[0], "set-cookie" in again[1]) == (303, False)
    assert "set-cookie" not in raw(server, "GET", "/?token=wrong", host)[1]
    with_cookie = {**host, "Cookie": cookie.partition(";")[0]}
    assert raw(server, "GET", "/api/v1/about", with_cookie)[0] == 200
    # A cookie comes by itself, so the browser has to say that a page of ours sent it.
    assert raw(server, "POST", "/api/v1/tokens", with_cookie)[0] == 403
    own = {"Origin": f"http://127.0.0.1:{server.port}"}
    assert raw(server, "POST", "/api/v1/tokens", with_cookie | own)[0] == 201
    null = {"Origin": "null"}
    assert raw(server, "POST", "/api/v1/tokens", with_cookie | null)[0] == 403


def test_a_link_from_elsewhere_opens_the_page_but_nothing_else(server) -> None:
    host = {"Host": f"127.0.0.1:{server.port}"}
    link = {
        **host,
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    frame = link | {"Sec-Fetch-Dest": "iframe"}
    assert raw(server, "GET", "/", link)[0] == 200
    assert raw(server, "GET", "/", frame)[0] == 403
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert raw(server, "GET", "/api/v1/jobs", link | bearer)[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/../identity.json", "/static/../../jobs.sqlite", "/%2e%2e/%2e%2e/etc/passwd", "/..%2fidentity.json",
        "//etc/passwd", "/index.html/../../app.py", "/app.py", "/.%00/", "/%5c..%5cidentity.json",
        f"/api/v1/pictures/{'../' * 5}etc/passwd/image", "/api/v1/pictures/..%2f..%2fidentity.json/image",
        "/api/v1/jobs/..%2f..%2fidentity.json/result", "/file=/etc/passwd", "/?token=../../identity.json",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_page(server, path) -> None:
    headers = {"Host": f"127.0.0.1:{server.port}", "Authorization": f"Bearer {TOKEN}"}
    status, _, body = raw(server, "GET", path, headers)
    assert status in (303, 400, 404, 405, 422)
    assert b"root:" not in body
    assert b"cookie" not in body


@pytest.mark.parametrize(
    "name",
    [
        "../../../etc/passwd.png", "..\\..\\evil.png", "<img src=x onerror=alert(1)>.png",
        "a\r\nSet-Cookie: x=1.png", "-rf.png", "\u202egnp.exe", "'; drop table jobs;--.png",
        "x" * 5000 + ".png", "", "nul\0byte.png", "none",
    ],
)  # fmt: skip
def test_names_are_labels_and_nothing_else(server, name) -> None:
    boundary = b"frontier"
    quoted = name.encode("utf-8", "replace").replace(b'"', b"%22").replace(b"\r\n", b"%0D%0A")
    body = (
        b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="' + quoted + b'"\r\n\r\n'
        + picture(abs(hash(name)) % 1000) + b"\r\n--frontier--\r\n"
    )  # fmt: skip
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"}
    answer = server.post("/api/v1/pictures", content=body, headers=kind)
    if name == "" or len(name) > 1000:
        assert 200 <= answer.status_code < 500
        return
    assert answer.status_code in (200, 201), answer.text
    shown = answer.json()["name"]
    assert len(shown) <= 100
    assert not set(shown) & set("/\\\r\n\0\u202e")
    assert answer.headers["content-type"] == "application/json"
    id = answer.json()["picture"]
    job = server.paint({"photo": id, "styles": [{"picture": id}]}, settings={"evaluations": 1})
    server.ended(job["id"])
    sent = server.get(f"/api/v1/jobs/{job['id']}/result?download=1").headers["content-disposition"]
    assert "\n" not in sent
    assert sent.startswith("attachment; filename")
    assert server.delete(f"/api/v1/jobs/{job['id']}").status_code == 204


def test_an_upload_is_never_sent_back_as_it_was(server) -> None:
    hidden = b"<script>alert('in a comment')</script>"
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "JPEG", comment=hidden)
    data = buffer.getvalue()
    id = server.upload(data, "page.html")
    answer = server.get(f"/api/v1/pictures/{id}/image")
    assert answer.headers["content-type"] in ("image/png", "image/jpeg")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert hidden not in answer.content
    assert all(hidden not in path.read_bytes() for path in server.data.rglob("*.pixels"))
    assert server.get(f"/api/v1/pictures/{id}").json()["name"] == "page.html"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_names_of_this_machine(host, tmp_path) -> None:
    from impasto.studio.files import Files

    access = Access(Files(tmp_path / "data").identity(), host=host)
    assert access.knows_host("[::1]:8765")
    assert access.knows_host("LOCALHOST")
    for name in (
        FOREIGN,
        "",
        "[::1",
        "127.0.0.1.nip.io",
        "0.0.0.0",
        "192.168.1.2",
        "2130706433",
        "a b",
        "::1",
    ):
        assert not access.knows_host(name)


def test_a_server_for_other_machines_knows_addresses_but_no_names(tmp_path) -> None:
    from impasto.studio.files import Files

    identity = Files(tmp_path / "data").identity()
    assert Access(identity, host="0.0.0.0").knows_host("192.168.1.2:8765")
    assert not Access(identity, host="0.0.0.0").knows_host(FOREIGN)
    assert Access(identity, host="studio.example").knows_host("studio.example")


def test_another_address_needs_a_token(tmp_path) -> None:
    command = [sys.executable, "-m", "impasto", "serve", "--host", "0.0.0.0", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == ExitCode.USAGE
    assert "needs a token" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_without_a_page_there_are_no_cookies_and_no_files(tmp_path) -> None:
    with running(tmp_path / "data", page=False) as server:
        assert server.get("/").status_code == 404
        assert server.get("/index.html").status_code == 404
        assert server.post("/api/v1/tokens").status_code == 404
        assert server.get("/api/v1/about").status_code == 200


def test_the_data_folder_is_the_users_alone(server) -> None:
    assert server.data.stat().st_mode & 0o077 == 0
    assert (server.data / "identity.json").stat().st_mode & 0o077 == 0
