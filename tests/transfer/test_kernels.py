"""A run computes by its choice of kernels, records it, and is repeated and continued by what was recorded."""

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import impasto
from impasto import Runtime, SettingsError
from impasto.network import kernel_times, kernels
from impasto.network.backprop import FeatureExtractor
from impasto.network.vgg import VGG19, narrow_weights
from impasto.system import hardware
from impasto.transfer.resume import resume
from impasto.transfer.runtime import with_kernels
from transfer.repeating import repeated

CHANNELS = [(3, 8), (8, 8), (8, 16), (16, 16)]  # of the narrow network
LAYERS = {"content_layers": "relu3_1", "style_layers": "relu1_1,relu2_1,relu3_1"}
SMALL = {"size": 32, "min_size": 16, "evaluations": 4, **LAYERS}
PIXELS = np.random.default_rng(1).integers(0, 256, (2, 24, 32, 3), dtype=np.uint8)
WAYS = st.sampled_from(kernels.WAYS)


@st.composite
def choices(draw) -> str:
    """A way everywhere, or for each kind of convolution one for small and one for large sizes."""
    if draw(st.booleans()):
        return draw(WAYS)
    return kernels.text(
        {
            shape: ((float(draw(st.integers(1, 2000))), draw(WAYS)), (float("inf"), draw(WAYS)))
            for shape in CHANNELS
        }
    )


def paint(choice: str, **options):
    runtime = Runtime(device="cpu", threads=1, precision="fp32", kernels=choice)
    return impasto.stylize(*PIXELS, runtime=runtime, weights=narrow_weights(), **SMALL, **options)


class KilledError(BaseException):
    """In place of a kill."""


def killed(step) -> None:
    if step.evaluations == 6:
        raise KilledError


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=choices())
def test_every_choice_is_repeated_and_continued_to_the_same_bytes(choice, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("impasto.transfer.callbacks.checkpoints.EVERY", 0.0)
    whole, file = paint(choice), tmp_path / "run.checkpoint"
    assert whole.recipe.runtime.kernels == choice
    file.unlink(missing_ok=True)
    with contextlib.suppress(KilledError):
        paint(choice, checkpoint=file, on_step=killed)
    monkeypatch.setattr(kernel_times, "choice", lambda *arguments: pytest.fail("chosen anew"))
    for name, pixels in zip(("photo.png", "painting.png"), PIXELS, strict=True):
        impasto.Picture.of(pixels).save(tmp_path / name, overwrite=True)
    again = repeated(whole.recipe, *PIXELS, weights=narrow_weights())
    continued = resume(file, folders=[tmp_path], weights=narrow_weights())
    for run in (again, continued):
        assert run.recipe.pixels_sha256 == whole.recipe.pixels_sha256
        assert run.recipe.runtime == whole.recipe.runtime


def test_two_choices_in_the_cache_give_two_runtimes_each_with_its_own_bytes(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(kernel_times, "choice", kernel_times.choice.__wrapped__)
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path))
    runs = {}
    for name, times in (
        ("one", {"direct": 1.0, "winograd": 2.0}),
        ("other", {"direct": 2.0, "winograd": 1.0}),
    ):
        monkeypatch.setattr(hardware, "processor", lambda name=name: name)
        monkeypatch.setattr(kernel_times, "measure", lambda *arguments, times=times: [times, times])
        runs[name] = paint("auto")
    monkeypatch.setattr(kernel_times, "measure", lambda *arguments: pytest.fail("measured again"))
    one, other = runs["one"].recipe, runs["other"].recipe
    assert one.runtime.kernels == ",".join(f"{a}-{b}=direct" for a, b in CHANNELS)
    assert other.runtime.kernels == one.runtime.kernels.replace("direct", "winograd")
    assert one.pixels_sha256 != other.pixels_sha256
    for recipe, processor in ((other, "one"), (one, "other")):
        assert (
            repeated(recipe, *PIXELS, weights=narrow_weights()).recipe.pixels_sha256 == recipe.pixels_sha256
        )
        monkeypatch.setattr(hardware, "processor", lambda name=processor: name)
        assert paint("auto").recipe.pixels_sha256 == runs[processor].recipe.pixels_sha256


@pytest.mark.parametrize("value", ["fast", "64-64", "", "512-512=direct:0x1:winograd"])
def test_other_values_are_refused(value) -> None:
    with pytest.raises(
        SettingsError, match="kernels: must be auto, direct, winograd, or a choice from a recipe"
    ):
        Runtime(kernels=value)


def test_what_is_decided_without_a_measurement(monkeypatch) -> None:
    monkeypatch.setattr(kernel_times, "choice", lambda *arguments: pytest.fail("measured"))
    runtime = Runtime(device="cpu", threads=1, precision="fp32", kernels="direct")
    assert with_kernels(runtime, narrow_weights()).kernels == "direct"
    gpu = runtime.changed(device="cuda:0", kernels="auto")
    assert with_kernels(gpu, narrow_weights()).kernels == "direct"


def test_the_way_decides_what_computes() -> None:
    """What computes each convolution, at two sizes."""
    network = VGG19(narrow_weights())
    extractor = FeatureExtractor(network, choice="3-8=winograd:100:fused,8-8=direct")
    for edge in (8, 16):
        extractor.forward(torch.zeros(1, 3, edge, edge), ["relu1_2"])
    made = {key: type(value).__name__ for key, value in extractor._convolutions.items()}
    assert made == {
        ("conv1_1", "winograd"): "Winograd",
        ("conv1_1", "fused"): "Fused",
        ("conv1_2", "direct"): "Direct",
    }
