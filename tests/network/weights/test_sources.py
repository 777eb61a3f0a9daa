"""Fetching weights from a server on this machine: what is checked, kept and reported."""

import errno
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
import torch.hub

import impasto.network.weights.load
from impasto.errors import ExitCode, InputError, OutputError, ResourceError, WeightsError
from impasto.network.weights import sources as module
from impasto.network.weights import store
from impasto.network.weights.load import NAME, load_weights
from impasto.network.weights.sources import SOURCES, fetch

PAYLOAD = b"weights, let us say" * 1000


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        time.sleep(self.server.delay)
        super().do_GET()

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "tiny.pth").write_bytes(PAYLOAD)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.asked, server.delay, server.folder = [], 0.0, folder
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.handle_error = lambda *args: None  # a client that goes away is what is tested here
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def record_of(path, name: str, origin: str) -> store.Record:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return store.Record(
        name=name,
        family="torchvision",
        layout="",
        verified="yes",
        preprocessing={},
        sha256=digest,
        file_sha256=digest,
        source_file=path.name,
        source_sha256=digest,
        origin=origin,
    )


@pytest.fixture
def tiny(server, monkeypatch):
    """A source of a few bytes, whose import keeps them as they are."""
    source = replace(
        SOURCES["vgg19-torchvision"],
        url=f"{server.url}/tiny.pth",
        size=len(PAYLOAD),
        digest=hashlib.sha256(PAYLOAD).hexdigest()[:8],
    )
    monkeypatch.setitem(SOURCES, source.name, source)

    def keep(path, *, name, force, origin):
        record = record_of(path, name, origin)
        store.keep(record, path.read_bytes(), force=force)
        return record

    monkeypatch.setattr(impasto.network.weights.load, "import_weights", keep)
    return source


def nothing_left(data_folder) -> bool:
    return list((data_folder / "downloads").iterdir()) == []


def test_the_sources_say_what_they_are() -> None:
    assert SOURCES["vgg19-original"].digest == "253f8cb515780f3b799900260a226db6"
    for name, source in SOURCES.items():
        assert source.name == name
        assert source.url.startswith("https://")
        assert source.family in ("original", "torchvision")
        if source.method == "sha256":
            assert source.file == f"vgg19-{source.digest}.pth"


def test_fetched_once(tiny, server, data_folder) -> None:
    asked = []
    record = fetch(tiny.name, confirm=lambda *state: asked.append(state))
    assert record.origin == tiny.url
    assert (data_folder / "vgg19-torchvision.safetensors").read_bytes() == PAYLOAD
    assert asked == [(tiny, tiny.url)]
    assert nothing_left(data_folder)
    assert fetch(tiny.name, offline=True) == record
    assert len(server.asked) == 1


def test_another_place_of_the_same_file(tiny, server) -> None:
    shutil.move(server.folder / "tiny.pth", server.folder / "mirrored")
    assert fetch(tiny.name, url=f"{server.url}/mirrored").origin == f"{server.url}/mirrored"


def test_wrong_content_of_the_right_size(tiny, server, data_folder) -> None:
    (server.folder / "tiny.pth").write_bytes(PAYLOAD[::-1])
    with pytest.raises(WeightsError, match=r"is not tiny\.pth: its sha256 starts with") as caught:
        fetch(tiny.name)
    assert "\n" not in str(caught.value)
    assert nothing_left(data_folder)  # and the next try starts anew
    (server.folder / "tiny.pth").write_bytes(PAYLOAD)
    fetch(tiny.name)


def test_what_an_earlier_download_left_is_replaced(tiny, server, data_folder) -> None:
    folder = data_folder / "downloads"
    folder.mkdir(parents=True)
    (folder / "tiny.pth.part").write_bytes(PAYLOAD[:100])
    fetch(tiny.name)
    assert nothing_left(data_folder)


def test_an_md5_is_checked_as_well(tiny, server, monkeypatch, data_folder) -> None:
    digest = hashlib.md5(PAYLOAD).hexdigest()
    monkeypatch.setitem(SOURCES, tiny.name, replace(tiny, method="md5", digest=digest))
    fetch(tiny.name)
    (server.folder / "tiny.pth").write_bytes(PAYLOAD[::-1])
    with pytest.raises(WeightsError, match=r"is not tiny\.pth: its md5 starts with"):
        fetch(tiny.name, force=True)
    assert nothing_left(data_folder)


def test_a_full_disk_in_the_middle(tiny, server, monkeypatch, data_folder) -> None:
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch.hub, "download_url_to_file", full)
    with pytest.raises(OutputError, match=r"cannot write .*tiny\.pth\.part: no space left") as caught:
        fetch(tiny.name)
    assert "\n" not in str(caught.value)
    assert nothing_left(data_folder)


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_offline(tiny, server, monkeypatch, how) -> None:
    if how == "environment":
        monkeypatch.setenv("IMPASTO_OFFLINE", "1")
    with pytest.raises(WeightsError) as caught:
        fetch(tiny.name, offline=how == "argument")
    said = str(caught.value)
    assert tiny.url in said
    assert "impasto weights import tiny.pth" in said
    assert server.asked == []


def test_no_network_says_the_same(tiny) -> None:
    with socket.socket() as taken:  # by nobody who listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/tiny.pth"
        with pytest.raises(WeightsError, match=r"no connection \(127\.0\.0\.1:\d+: .*weights import"):
            fetch(tiny.name, url=url, timeout=1)


def test_not_found_and_stalled(tiny, server) -> None:
    with pytest.raises(WeightsError, match=r"HTTP 404.*impasto weights import"):
        fetch(tiny.name, url=f"{server.url}/none")
    server.delay = 0.6
    with pytest.raises(WeightsError, match=r"broke off \(.*timed out\); try again"):
        fetch(tiny.name, timeout=0.1)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "/etc/passwd", ""])
def test_addresses_that_are_none(tiny, url) -> None:
    if not url:
        with pytest.raises(InputError, match=r"no source.*Did you mean vgg19-original"):
            fetch("vgg19-orignal")
        return
    with pytest.raises(InputError, match="http"):
        fetch(tiny.name, url=url)


def test_refused_before_anything_is_asked(tiny, server) -> None:
    def never(*args):
        raise InputError("nothing was downloaded")

    with pytest.raises(InputError, match="nothing was downloaded"):
        fetch(tiny.name, confirm=never)
    assert server.asked == []


def test_other_weights_of_the_name(tiny, server, tmp_path) -> None:
    (tmp_path / "own").write_bytes(b"others")
    mine = replace(record_of(tmp_path / "own", "vgg19-torchvision", "imported"), verified="no: x")
    store.keep(mine, b"others", force=False)
    with pytest.raises(OutputError, match="--force"):
        fetch(tiny.name)
    assert server.asked == []
    assert fetch(tiny.name, force=True).origin == tiny.url


def test_damaged_ones_are_fetched_again(tiny, data_folder) -> None:
    record = fetch(tiny.name)
    (data_folder / "vgg19-torchvision.safetensors").write_bytes(b"x")
    assert fetch(tiny.name) == record
    assert (data_folder / "vgg19-torchvision.safetensors").read_bytes() == PAYLOAD


def test_no_room(tiny, monkeypatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=10**6))
    with pytest.raises(ResourceError, match=r"has room for 1 MB"):
        fetch(tiny.name)


def test_two_at_once_download_once(tiny, server) -> None:
    server.delay = 0.3
    found, threads = [], []
    for _ in range(3):
        threads.append(threading.Thread(target=lambda: found.append(fetch(tiny.name))))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1
    assert len(found) == 3
    assert len(set(map(repr, found))) == 1


PROCESS = """
import sys, test_sources
from dataclasses import replace
import impasto.network.weights.load
from impasto.network.weights import store
from impasto.network.weights.sources import SOURCES, fetch
name, url = "vgg19-torchvision", sys.argv[1]
SOURCES[name] = replace(SOURCES[name], url=url, size=int(sys.argv[2]), digest=sys.argv[3])
def keep(path, *, name, force, origin):
    record = test_sources.record_of(path, name, origin)
    store.keep(record, path.read_bytes(), force=force)
    return record
impasto.network.weights.load.import_weights = keep
print(fetch(name).sha256)
"""


@pytest.mark.slow
def test_two_processes_download_once(tiny, server) -> None:
    server.delay = 6.0  # longer than the second process needs to come up
    command = [sys.executable, "-c", PROCESS, tiny.url, str(tiny.size), tiny.digest]
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])  # noqa: PTH120
    environment = {**os.environ, "PYTHONPATH": path}
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert told[0] == told[1] != ""
    assert len(server.asked) == 1


@pytest.mark.slow
def test_the_whole_way_for_the_original(server, weights, monkeypatch, data_folder) -> None:
    """A file as large as Keras's, downloaded, checked against the codes, kept and loaded."""
    h5py = pytest.importorskip("h5py")
    file = server.folder / "notop.h5"
    with h5py.File(file, "w") as group:
        for name, tensor in weights.items():
            block, index = name[4:].split(".")[0].split("_")
            if name.endswith("weight"):
                turned = tensor * 1.0000001  # the last bit: not the packaged weights themselves
                group[f"block{block}_conv{index}/k_W_1:0"] = turned.permute(2, 3, 1, 0).numpy()
            else:
                group[f"block{block}_conv{index}/k_b_1:0"] = tensor.numpy()
    source = replace(
        SOURCES["vgg19-original"],
        url=f"{server.url}/notop.h5",
        size=file.stat().st_size,
        digest=hashlib.md5(file.read_bytes()).hexdigest(),
    )
    monkeypatch.setitem(SOURCES, source.name, source)
    record = fetch()
    assert record.verified.startswith("every weight lies within")
    found = load_weights("vgg19-original")
    assert found.name != NAME
    torch.testing.assert_close(dict(found), dict(weights))
    assert nothing_left(data_folder)


def test_without_h5py_nothing_is_downloaded(server, monkeypatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="pip install h5py") as caught:
        fetch("vgg19-original", url=server.url)
    assert caught.value.exit_code == ExitCode.WEIGHTS
    assert server.asked == []
