"""Fixtures that every test may use; the cache of weights lies in a folder of the tests' own."""

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

import impasto
from impasto.network import kernel_times
from impasto.system import hardware

IMAGES = Path(__file__).resolve().parents[2] / "shared" / "images"
if "PYTEST_XDIST_WORKER" in os.environ:  # beside other workers, each on a core
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of what tests start
    hardware.usable_threads = functools.wraps(hardware.usable_threads)(lambda: 1)  # the default of a run
else:  # not by what else the machine does
    os.environ.setdefault("OMP_NUM_THREADS", str(hardware.usable_threads()))
# The same pixels whatever was measured; tests of such functions themselves take `__wrapped__`.
kernel_times.choice = functools.wraps(kernel_times.choice)(lambda *arguments: "winograd")
os.environ["IMPASTO_KERNELS"] = "winograd"  # of commands that tests start
CACHE = Path(tempfile.gettempdir()) / f"impasto-tests-{os.getuid() if hasattr(os, 'getuid') else 0}"


@pytest.fixture(scope="session", autouse=True)
def cache_folder() -> Iterator[Path]:
    """Decode the weights once into a folder that outlives the session; the user's stays untouched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMPASTO_CACHE_DIR", str(CACHE))
        yield CACHE


@pytest.fixture(scope="session", autouse=True)
def same_tree() -> Iterator[None]:
    """Have what tests start import the impasto that they import themselves, whatever folder it runs in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(impasto.__file__).resolve().parents[1]))
        yield


@pytest.fixture(autouse=True)
def data_folder(tmp_path_factory, monkeypatch) -> Iterator[Path]:
    """Keep imported weights in a new folder for each test; no test uses the network."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("IMPASTO_DATA_DIR", str(folder))
    monkeypatch.delenv("IMPASTO_OFFLINE", raising=False)
    yield folder / "weights"
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def weights(cache_folder: Path) -> Mapping[str, Tensor]:
    """The real VGG-19."""
    from impasto.network.weights.load import load_weights

    return load_weights()


@pytest.fixture(scope="session")
def narrow() -> Mapping[str, Tensor]:
    """A random VGG-19 with few channels, for what does not depend on the numbers."""
    from impasto.network.vgg import narrow_weights

    return narrow_weights()


@pytest.fixture(scope="session")
def images() -> Path:
    """The folder with the photo and the paintings that the field has compared on."""
    if not (IMAGES / "tubingen.jpg").exists():
        pytest.skip(f"no pictures in {IMAGES}: they belong to the workplace, not to this repository")
    return IMAGES


@pytest.fixture
def random_image():
    """Return a function that makes seeded smooth-ish pictures (1, 3, H, W) in [0, 1]."""

    def make(height: int, width: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand((1, 3, 4, 4), generator=generator, dtype=torch.float64)
        fine = torch.rand((1, 3, height, width), generator=generator, dtype=torch.float64)
        smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        return (0.7 * smooth + 0.3 * fine).to(dtype)

    return make
