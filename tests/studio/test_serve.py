"""How the server starts: port, folder, token, a second start; as a program of its own."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from impasto.errors import ExitCode, InputError, OutputError
from impasto.studio.files import Files
from impasto.studio.serve import TRIED, alone, listen


@contextlib.contextmanager
def program(*arguments: object, **environment: str) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-m", "impasto", *map(str, arguments)]
    environment = {**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": "", **environment}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def first_lines(process: subprocess.Popen, count: int) -> list[str]:
    return [process.stdout.readline().rstrip() for _ in range(count)]


def end(process: subprocess.Popen) -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def refused(*arguments: object, **environment: str) -> str:
    """Return the one line with which a start is refused."""
    with program(*arguments, **environment) as process:
        out, said = process.communicate(timeout=60)
    assert process.returncode in (ExitCode.USAGE, ExitCode.RESOURCE), said
    assert not out
    assert len(said.splitlines()) == 1, said
    return said.strip().removeprefix("impasto: error: ")


def test_studio_prints_its_address_where_there_is_no_browser(tmp_path) -> None:
    with program("studio", "--port", "0", "--data", tmp_path / "data") as process:
        line, how = first_lines(process, 2)
        address = re.fullmatch(r"impasto studio: (http://127\.0\.0\.1:\d+/)\?token=[\w-]{20,}", line)
        assert address, line
        assert how == "Ctrl-C ends it; what is painted continues at the next start"
        with urllib.request.urlopen(address[1]) as answer:
            assert answer.status == 200
        assert end(process) == (0, "")


def test_serve_makes_a_token_or_takes_it(tmp_path) -> None:
    with program("serve", "--port", "0", "--data", tmp_path / "data") as process:
        token, line, _ = first_lines(process, 3)
        token = token.removeprefix("token, shown only now: ")
        address = f"{line.removeprefix('impasto serve: ')}/api/v1/about"
        request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["version"]
        assert end(process) == (0, "")
    file = tmp_path / "token.txt"
    file.write_text("sixteen-letters!\n")
    with program("serve", "--port", "0", "--data", tmp_path / "data", "--token-file", file) as process:
        line, _ = first_lines(process, 2)
        assert line.startswith("impasto serve: ")
        assert end(process) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["--port", "65536"], {}, "--port: must be a whole number, 0 to 65535, not 65536"),
        (["--host", "0.0.0.0"], {}, "--host 0.0.0.0 lets other machines in and needs a token"),
        (["--token-file", "missing"], {}, "missing does not exist; check the path"),
        ([], {"IMPASTO_TOKEN": "short"}, "IMPASTO_TOKEN: a token has 16 characters or more, without spaces"),
        ([], {"IMPASTO_BUDGET": "5s"}, "IMPASTO_BUDGET is for a single picture"),
        ([], {"IMPASTO_SISE": "5"}, "unknown environment variable IMPASTO_SISE"),
        (["--data", "/proc/nowhere"], {}, "cannot keep anything in /proc/nowhere"),
        (["--host", "192.0.2.1"], {"IMPASTO_TOKEN": "x" * 20}, "cannot listen on 192.0.2.1"),
    ],
)
def test_wrong_starts_are_one_sentence(tmp_path, arguments, environment, sentence) -> None:
    if "--data" not in arguments:
        arguments = [*arguments, "--data", tmp_path / "data"]
    assert refused("serve", *arguments, **environment).startswith(sentence)


def test_a_torn_database_is_one_sentence(tmp_path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "jobs.sqlite").write_bytes(b"SQLite format 3\0" + bytes(5000))
    said = refused("serve", "--port", "0", "--data", tmp_path / "data")
    assert said.startswith(f"{tmp_path / 'data' / 'jobs.sqlite'} cannot be used: ")


def test_a_port_that_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}: address already in use; give another --port"):
            listen("127.0.0.1", port, only=True)
        with listen("127.0.0.1", port, only=False) as found:
            assert port < found.getsockname()[1] <= port + TRIED


def test_one_server_for_a_folder(tmp_path) -> None:
    files = Files(tmp_path / "data")
    with alone(files) as mine:
        assert mine
        with alone(files) as second:
            assert not second
    with alone(files) as again:
        assert again


def test_the_identity_outlives_the_server(tmp_path) -> None:
    first = Files(tmp_path / "data").identity()
    assert Files(tmp_path / "data").identity() == first
    assert Files(tmp_path / "other").identity() != first


def test_a_folder_that_is_a_file(tmp_path) -> None:
    Path(tmp_path / "data").write_text("")
    with pytest.raises(OutputError, match="give another folder with --data"):
        Files(tmp_path / "data")


def test_the_web_part_never_imports_torch() -> None:
    code = (
        "import sys, impasto.studio.serve, impasto.studio.app, impasto.studio.workers.decoder;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
