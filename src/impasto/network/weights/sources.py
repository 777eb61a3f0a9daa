"""Downloading weights: only from sources whose files can be checked, and never half of one.

A file comes in under `.part`, is gone on with where it broke off, and is checked against what its source
publishes before it is opened. One lock for each source lets only one process download it. Nothing is asked
of the network unless `fetch()` is called. No torch here until a file is there.
"""

import contextlib
import hashlib
import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from impasto.errors import InputError, OutputError, ResourceError, WeightsError
from impasto.messages import did_you_mean, printable, reason
from impasto.network.weights.store import Record, data_folder, locked, read_record, tensor_file
from impasto.system.download import MOST, Interruption, NoConnection, Refused, download
from impasto.system.files import file_sha256

TIMEOUT = 30.0  # seconds without a byte
KEPT = 80_200_000  # bytes of the 16 convolutions as they are kept


@dataclass(frozen=True)
class Source:
    """A file of weights that can be had.

    Args:
        name: What `impasto weights fetch` calls it.
        url: Where it lies.
        installs: The name under which its weights are kept.
        size: Bytes, where known.
        licence: Of the weights.
        method: The digest that is published for the file.
        digest: That digest, or its first digits.
        check: How the weights are checked, in words.
        keras: Whether reading it needs h5py.
    """

    name: str
    url: str
    installs: str
    size: int | None
    licence: str
    method: Literal["sha256", "md5"]
    digest: str
    check: str
    keras: bool = False

    @property
    def file(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]

    @property
    def family(self) -> str:
        """Whose numbers: `original` or `torchvision`."""
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
            licence="CC BY 4.0 (Visual Geometry Group, University of Oxford)",
            method="md5",
            digest="253f8cb515780f3b799900260a226db6",
            check="the MD5 that Keras publishes, and every weight against the packaged 8-bit codes",
            keras=True,
        ),
        Source(
            name="vgg19-original-caffe",
            url="https://web.eecs.umich.edu/~justincj/models/vgg19-d01eb7cb.pth",
            installs="vgg19-original",
            size=None,
            licence="CC BY 4.0 (Visual Geometry Group, University of Oxford)",
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
            licence="none stated for the weights (torchvision itself: BSD-3-Clause)",
            method="sha256",
            digest="dcbb9e9d",
            check="the first 8 digits of its SHA-256, which its name publishes",
        ),
    )
}


def find_source(name: str) -> Source:
    """Return a source by its name.

    Raises:
        InputError: There is none of this name.
    """
    if name not in SOURCES:
        raise InputError(
            f"no source of weights is named '{printable(name)}'.{did_you_mean(name, SOURCES)} "
            f"There are: {', '.join(SOURCES)}"
        )
    return SOURCES[name]


def fetch(
    name: str = "vgg19-original",
    *,
    url: str | None = None,
    offline: bool = False,
    force: bool = False,
    timeout: float = TIMEOUT,
    confirm: Callable[[Source, str], None] | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Record:
    """Download, check and keep weights, unless they are there already.

    Args:
        name: One of `SOURCES`.
        url: Another place of the same file; the check stays the same.
        offline: Whether the network must not be used; so does `IMPASTO_OFFLINE=1`.
        force: Whether other weights of the same name may be replaced.
        timeout: Seconds without a byte after which the transfer counts as stalled.
        confirm: Called with source and address before the network is used; may raise.
        on_progress: Called with the bytes that are there and all bytes, where known.

    Returns:
        The record of the weights, which `load_weights(record.name)` then loads.

    Raises:
        InputError: No such source, or an address that is not http or https.
        WeightsError: No network, a broken transfer, or a file that is not the one expected.
        OutputError: The folder cannot be written, or other weights have the name.
        ResourceError: The disk has no room.
    """
    source = find_source(name)
    address = url or source.url
    if not address.startswith(("https://", "http://")):
        raise InputError(f"{printable(address)} is no address: give one of http:// or https://")
    with locked(source.name):  # a second process waits here, and then finds them installed
        if (found := _installed(source, force)) is not None:
            return found
        if offline or os.environ.get("IMPASTO_OFFLINE", "0") not in ("", "0"):
            raise WeightsError(f"the network must not be used (offline); {by_hand(source)}")
        if source.keras and importlib.util.find_spec("h5py") is None:
            raise WeightsError("reading Keras files needs h5py: pip install h5py")
        if confirm is not None:
            confirm(source, address)
        return _fetch(source, address, timeout, on_progress or (lambda done, all: None))


def _installed(source: Source, force: bool) -> Record | None:
    """Return the record of a source's weights if they are there; nothing if none are, or damaged ones.

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
        raise OutputError(
            f"other weights are named {source.installs} already; --force replaces them"
        )
    return record


def by_hand(source: Source) -> str:
    """Return how to get a file without impasto's downloading it."""
    return (
        f"download {source.url} ({source.size_words}) elsewhere, bring it here, "
        f"then: impasto weights import {source.file}"
    )


def _fetch(
    source: Source,
    address: str,
    timeout: float,
    on_progress: Callable[[int, int | None], None],
) -> Record:
    from impasto.network.weights.load import import_weights

    folder = data_folder() / "downloads"
    part, whole = folder / f"{source.file}.part", folder / source.file
    _check_room(folder, part, source)
    try:
        download(address, part, size=source.size, timeout=timeout, on_progress=on_progress)
    except NoConnection as error:
        raise WeightsError(f"no connection ({error}); {by_hand(source)}") from error
    except Interruption as error:
        raise WeightsError(f"{error}; the same command goes on where it stopped") from error
    except Refused as error:
        raise WeightsError(f"{error}; {by_hand(source)}") from error
    except OSError as error:
        raise OutputError(f"cannot write {printable(part)}: {reason(error)}") from error
    try:
        _check(source, part, address)
        os.replace(part, whole)  # noqa: PTH105
        return import_weights(whole, name=source.installs, force=True, origin=address)
    finally:  # genuine or not, it has done its work: what is kept are the convolutions
        for path in (part, whole, part.with_name(f"{part.name}.json")):
            with contextlib.suppress(OSError):
                path.unlink()


def _check(source: Source, path: Path, address: str) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(
            file, lambda: hashlib.new(source.method, usedforsecurity=False)
        ).hexdigest()
    if not digest.startswith(source.digest):
        raise WeightsError(
            f"what came from {printable(address)} is not {source.file}: its {source.method} starts with "
            f"{digest[:8]}, not {source.digest[:8]}; it was deleted, try again or give another --url"
        )


def _check_room(folder: Path, part: Path, source: Source) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        there = part.stat().st_size if part.exists() else 0
    except OSError as error:
        raise OutputError(f"cannot write into {printable(folder)}: {reason(error)}") from error
    needed = (source.size or MOST // 2) - there + KEPT
    if free < needed:
        raise ResourceError(
            f"{printable(folder)} has room for {free // 10**6} MB, and {needed // 10**6} MB are needed; "
            "free some, or set IMPASTO_DATA_DIR to another place"
        )
