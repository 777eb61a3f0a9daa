"""Where imported weights are kept: one safetensors file each, and beside it a record of what it is.

`NAME.safetensors` has the layers under our names; `NAME.json` is the record, with the SHA-256 of that file,
which is checked on every load. That finds what happens to files by accident: a failing disk, a copy that
broke off, an edit. It does not keep out somebody who may write to the folder and changes both. The header
of the safetensors file repeats where the weights came from, for whoever meets the file alone.
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

FAMILIES = ("original", "torchvision")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Record:
    """What is known of imported weights.

    Args:
        name: What they are called here.
        family: `original` or `torchvision`: which numbers, and so which preprocessing.
        layout: How the file named its layers.
        verified: How it was verified that they are genuine; `no: ...` if they were not.
        preprocessing: The fields of `layouts.Preprocessing`.
        sha256: Of the tensors alone, as safetensors without a header of ours: the same numbers have the same.
        file_sha256: Of the file that is kept.
        source_file: The name of the file that they came from.
        source_sha256: Its SHA-256.
        origin: Where that came from: an address, or `imported`.
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
        """Return what the safetensors file says of itself."""
        told = {name: value for name, value in asdict(self).items() if name != "file_sha256"}
        return {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in told.items()
        }


def data_folder() -> Path:
    """Return the folder of imported weights."""
    return app_dirs.data_folder() / "weights"


def check_name(name: str) -> str:
    """Return a name unchanged if weights can be kept under it.

    Raises:
        InputError: It is empty, too long or has other characters than letters, digits, `.`, `-`, `_`.
    """
    if not _NAME.fullmatch(name) or name.endswith((".json", ".lock", ".safetensors")):
        raise InputError(
            f"weights cannot be named '{printable(name)}'; use letters, digits, '.', '-' and '_'"
        )
    return name


def tensor_file(name: str) -> Path:
    """Return the path of the tensors kept under a name."""
    return data_folder() / f"{name}.safetensors"


def installed() -> list[str]:
    """Return the names of all imported weights, sorted."""
    try:
        return sorted(path.stem for path in data_folder().glob("*.safetensors"))
    except OSError:
        return []


def again(name: str) -> str:
    """Return what to do about imported weights that are of no use any more."""
    return f"bring it back: impasto weights import FILE --name {name} --force"


def read_record(name: str) -> Record:
    """Return the record of imported weights.

    Raises:
        WeightsError: It is missing or damaged.
    """
    path = data_folder() / f"{name}.json"
    try:
        return _checked(Record(**json.loads(path.read_bytes())))
    except FileNotFoundError as error:
        raise WeightsError(f"the record {printable(path)} is missing; {again(name)}") from error
    except OSError as error:
        raise WeightsError(f"cannot read {printable(path)}: {reason(error)}") from error
    except (ValueError, TypeError) as error:
        raise WeightsError(f"the record {printable(path)} is damaged; {again(name)}") from error


def _checked(record: Record) -> Record:
    """Refuse values of other types, and a family that is not known."""
    words = [value for name, value in asdict(record).items() if name != "preprocessing"]
    if not all(isinstance(word, str) for word in words) or record.family not in FAMILIES:
        raise ValueError("not a record of ours")
    return record


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Keep other processes from changing the same weights inside the block.

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
    """Write tensors and record, whole or not at all.

    The tensors come first: a run that is killed between the two leaves a file that does not fit its record,
    which the next load says.

    Args:
        record: What is known of them.
        data: The safetensors file.
        force: Whether other weights of this name may be replaced.

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
        told = json.dumps(asdict(record), indent=2).encode()
        publish(path.with_suffix(".json"), told, overwrite=True)


def _same(record: Record) -> bool:
    try:
        return read_record(record.name).sha256 == record.sha256
    except WeightsError:
        return False
