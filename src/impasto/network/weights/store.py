"""The folder of imported weights: a safetensors file for each, and a record beside it.

`NAME.safetensors` has the layers under impasto's names; `NAME.json` is the record, with the SHA-256 of that
file, which is checked on every load. That detects accidents: a failing disk, an incomplete copy, an edit. It
does not protect against somebody who may write to the folder and changes both. The header of the safetensors
file repeats the origin of the weights, for a file without its record.
"""

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from impasto.errors import InputError, OutputError, WeightsError
from impasto.messages import printable, reason
from impasto.system import app_dirs
from impasto.system.files import publish

log = logging.getLogger(__name__)

PACKAGED = "vgg19-original-8bit"  # the name of those that come with impasto
NORMALIZED = "vgg19-normalized-8bit"  # the same, normalized
SHORT = {"normalized": NORMALIZED}  # short names
FAMILIES = ("original", "normalized", "torchvision")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Record:
    """What is known about imported weights.

    `family` is one of `FAMILIES`: which numbers, and so which `preprocessing`, the fields of
    `vgg.Preprocessing`. `layout` is how the source file named its layers. `verified` is how they were
    verified; `no: ...` if they could not be. `sha256` is of the tensors alone, as safetensors without
    metadata: equal for equal numbers; `file_sha256` of the file in the folder; `source_sha256` of the source
    file. `origin` is the address of the source file, or `imported`.
    """

    name: str
    family: str
    layout: str
    verified: str
    preprocessing: dict[str, Any]
    sha256: str
    file_sha256: str
    source_file: str
    source_sha256: str
    origin: str

    def header(self) -> dict[str, str]:
        """Return the metadata of the safetensors file."""
        return {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in asdict(self).items()
            if name != "file_sha256"
        }


def full_name(name: str) -> str:
    """Return the name of weights for a short one; others unchanged."""
    return SHORT.get(name, name)


def name_of_original(name: str) -> str:
    """Return the name of the original weights that are kept beside normalized ones of this name."""
    return "vgg19-original" if name == "vgg19-normalized" else f"{name}-original"


def packaged_file(name: str = PACKAGED) -> Path:
    """Return where packaged weights are cached once they are decoded."""
    return app_dirs.cache_folder() / f"{name}.safetensors"


def data_folder() -> Path:
    """Return the folder of imported weights."""
    return app_dirs.data_folder() / "weights"


def check_name(name: str) -> str:
    """Return a name unchanged if imported weights may have it.

    Raises:
        InputError: It is empty, too long or has other characters than letters, digits, `.`, `-`, `_`.
        OutputError: It is that of packaged weights.
    """
    if full_name(name) in (PACKAGED, NORMALIZED):
        raise OutputError(f"{name} is the name of the packaged weights; give another --name")
    if not _NAME.fullmatch(name) or name.endswith((".json", ".lock", ".safetensors")):
        raise InputError(
            f"weights cannot be named '{printable(name)}'; use letters, digits, '.', '-' and '_'"
        )
    return name


def tensor_file(name: str) -> Path:
    """Return the path of imported weights."""
    return data_folder() / f"{name}.safetensors"


def installed() -> list[str]:
    """Return the names of all imported weights, sorted."""
    try:
        return sorted(path.stem for path in data_folder().glob("*.safetensors"))
    except OSError:
        return []


def remedy(name: str) -> str:
    """Return what to do about imported weights that cannot be used, for messages."""
    return f"bring it back: impasto weights import FILE --name {name} --force"


def read_record(name: str) -> Record:
    """Return the record of imported weights.

    Raises:
        WeightsError: It is missing or damaged.
    """
    path = data_folder() / f"{name}.json"
    try:
        record = Record(**json.loads(path.read_bytes()))
        words = [value for name, value in asdict(record).items() if name != "preprocessing"]
        if not all(isinstance(word, str) for word in words) or record.family not in FAMILIES:
            raise ValueError("values of wrong types, or an unknown family")
        return record
    except FileNotFoundError as error:
        raise WeightsError(f"the record {printable(path)} is missing; {remedy(name)}") from error
    except OSError as error:
        raise WeightsError(f"cannot read {printable(path)}: {reason(error)}") from error
    except (ValueError, TypeError) as error:
        raise WeightsError(f"the record {printable(path)} is damaged; {remedy(name)}") from error


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Lock weights against other processes inside the block.

    Raises:
        OutputError: The folder cannot be written.
    """
    folder = data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f".{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.warning("another impasto is at work on %s; waiting for it", name)
            lock.acquire()
    except OSError as error:
        raise OutputError(
            f"cannot write into {printable(folder)}: {reason(error)}; set IMPASTO_DATA_DIR to another place"
        ) from error
    try:
        yield
    finally:
        lock.release()


def keep(record: Record, data: bytes, *, force: bool) -> None:
    """Write tensors and record, each completely or not at all; `force` replaces other weights of this name.

    The tensors come first: a process killed between the two leaves a file that does not match its record,
    which the next load reports.

    Raises:
        OutputError: Other weights have the name, or the files cannot be written.
    """
    with locked(f"{record.name}.keep"):
        path = tensor_file(record.name)
        if path.exists() and not force and not _same(record):
            raise OutputError(
                f"other weights are named {record.name} already; give --name, or --force to replace them"
            )
        publish(path, data, overwrite=True)
        text = json.dumps(asdict(record), indent=2).encode()
        publish(path.with_suffix(".json"), text, overwrite=True)


def _same(record: Record) -> bool:
    try:
        return read_record(record.name).sha256 == record.sha256
    except WeightsError:
        return False
