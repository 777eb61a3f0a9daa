"""What was set in torch, or in the process, does not reach a run."""

import contextlib
import multiprocessing
import os
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest
import torch

import impasto
from impasto import Picture, Runtime, Settings
from impasto.errors import InputError, ResourceError, SettingsError
from impasto.system import process
from impasto.system.torch_defaults import torch_defaults

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8)
SETTINGS = Settings(size=48, min_size=24, evaluations=3, color="match", self_similarity=0.5)
FORKED = (
    "this process was forked from one that had used impasto, and cannot; start processes with "
    'multiprocessing.get_context("spawn"), or use impasto only after the fork'
)
ONE = Runtime(device="cpu", threads=1, precision="fp32")


def paint(weights, **options):
    options = {"runtime": ONE, "weights": weights} | options
    return impasto.stylize(PIXELS[0], PIXELS[1], SETTINGS, **options).recipe.pixels_sha256


@contextlib.contextmanager
def changed(change, value, back):
    change(value)
    try:
        yield
    finally:
        change(back)


STATES = {
    "default dtype": lambda: changed(torch.set_default_dtype, torch.float64, torch.float32),
    "half dtype": lambda: changed(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "default device": lambda: torch.device("meta"),
    "global device": lambda: changed(torch.set_default_device, "meta", None),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "deterministic": lambda: changed(torch.use_deterministic_algorithms, True, False),
    "matrix products": lambda: changed(torch.set_float32_matmul_precision, "medium", "highest"),
    "without oneDNN": lambda: changed(partial(setattr, torch.backends.mkldnn, "enabled"), False, True),
    "matrix products, the newer names": lambda: changed(
        partial(setattr, torch.backends.cuda.matmul, "fp32_precision"), "tf32", "ieee"
    ),
    "convolutions in bf16": lambda: changed(
        partial(setattr, torch.backends.mkldnn.conv, "fp32_precision"), "bf16", "none"
    ),
    "threads": lambda: changed(torch.set_num_threads, 3, torch.get_num_threads()),
}


@pytest.mark.parametrize("state", STATES)
def test_the_pixels_are_the_same_whatever_is_set_in_torch(narrow, state) -> None:
    expected = paint(narrow)
    seen = []
    with STATES[state]():
        probe = torch.get_default_dtype(), str(torch.get_default_device()), torch.is_inference_mode_enabled()
        assert paint(narrow, on_step=seen.append) == expected
        now = torch.get_default_dtype(), str(torch.get_default_device()), torch.is_inference_mode_enabled()
        assert now == probe  # and stays so outside
        tensor = seen[-1].picture().tensor()
        assert (tensor.dtype, tensor.device.type) == (torch.float32, "cpu")
    assert len(seen) == 6


def test_what_holds_for_a_gpu_inside_and_outside() -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul

    def now():
        flags = cudnn.deterministic, cudnn.benchmark, matmul.allow_bf16_reduced_precision_reduction
        return *flags, cudnn.conv.fp32_precision, torch.get_float32_matmul_precision()

    before = now()
    with changed(torch.set_float32_matmul_precision, "high", before[-1]):
        with torch_defaults():
            assert now() == (True, False, False, "ieee", "highest")
        assert now() == (*before[:-1], "high")
    assert now() == before


@pytest.mark.parametrize("state", ["default dtype", "inference mode", "default device", "autocast"])
def test_tensors_made_under_such_a_state_are_pictures_as_well(narrow, state) -> None:
    expected = impasto.stylize(
        torch.from_numpy(PIXELS[0] / np.float32(255)).permute(2, 0, 1), PIXELS[1], SETTINGS,
        runtime=ONE, weights=narrow,
    )  # fmt: skip
    with STATES[state]():
        photo = torch.from_numpy(PIXELS[0] / np.float32(255)).permute(2, 0, 1)
        result = impasto.stylize(photo, PIXELS[1], SETTINGS, runtime=ONE, weights=narrow)
        assert Picture.of(photo).tensor().shape == (1, 3, 48, 64)
    assert result.recipe.pixels_sha256 == expected.recipe.pixels_sha256


def test_what_was_made_under_inference_mode_can_be_used_outside(narrow) -> None:
    with torch.inference_mode():
        stylizer = impasto.Stylizer(PIXELS[1], SETTINGS, runtime=ONE, weights=narrow)
        first = stylizer(PIXELS[0])
        weights = impasto.load_weights()
    assert stylizer(PIXELS[0]).recipe.pixels_sha256 == first.recipe.pixels_sha256
    assert not any(tensor.is_inference() for tensor in weights.values())


# --- processes -----------------------------------------------------------------------------------


def _after_the_fork(queue) -> None:
    for work in (lambda: Picture.of(PIXELS[0]), lambda: impasto.stylize(PIXELS[0], PIXELS[1], SETTINGS)):
        try:
            work()
            queue.put("worked")
        except ResourceError as error:
            queue.put(str(error))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_forked_after_use_says_so_at_once(narrow) -> None:
    paint(narrow)
    forking = multiprocessing.get_context("fork")
    queue = forking.SimpleQueue()
    child = forking.Process(target=_after_the_fork, args=(queue,))
    child.start()
    child.join(timeout=60)
    assert child.exitcode == 0
    assert [queue.get() for _ in range(2)] == [FORKED] * 2


def test_forked_before_use_it_works(monkeypatch) -> None:
    monkeypatch.setattr(process, "_computed_in", None)
    process.refuse_fork()
    process.refuse_fork()
    monkeypatch.setattr(process.os, "getpid", lambda: -1)
    with pytest.raises(ResourceError, match="spawn"):
        process.refuse_fork()


def in_python(code: str, **environment: str) -> str:
    known = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=known | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


SPY = (
    "import os, sys\n"
    "class Spy:\n"
    "    def find_spec(self, name, *rest):\n"
    "        if name == 'torch': print('spins', os.environ.get('GOMP_SPINCOUNT'), end=' ')\n"
    "sys.meta_path.insert(0, Spy())\n"
)


@pytest.mark.parametrize(
    ("code", "environment", "expected"),
    [
        ("import impasto; impasto.stylize", {}, "spins 3000 None"),
        *(
            pytest.param(*row, marks=pytest.mark.slow)
            for row in (
                ("import torch, impasto; impasto.stylize", {}, "spins None None"),
                ("from impasto import Picture", {}, "spins 3000 None"),
                ("import impasto; impasto.stylize", {"GOMP_SPINCOUNT": "7"}, "spins 7 7"),
                ("import impasto; impasto.stylize", {"OMP_WAIT_POLICY": "ACTIVE"}, "spins None None"),
            )
        ),
    ],
)
def test_python_loads_torch_with_threads_that_sleep_soon(code, environment, expected) -> None:
    assert in_python(f"{SPY}{code}; print(os.environ.get('GOMP_SPINCOUNT'))", **environment) == expected


@pytest.mark.slow
def test_the_log_of_libvips_stays_out_unless_it_was_asked_for() -> None:
    code = (
        "import logging; logging.basicConfig(level=logging.DEBUG, format='%(name)s'); {}\n"
        "import sys, numpy, impasto\n"
        "logging.getLogger().handlers[0].setStream(sys.stdout)\n"
        "impasto.Picture.of(numpy.zeros((9, 9, 3), numpy.uint8)).encode('.png')"
    )
    assert "pyvips" not in in_python(code.format(""))
    assert "pyvips" in in_python(code.format("logging.getLogger('pyvips').setLevel(10)"))


# --- Ctrl-C --------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 3, 4, 5])
def test_ctrl_c_keeps_the_best_picture_so_far(narrow, at) -> None:
    def interrupt(step) -> None:
        if step.evaluations == at:
            raise KeyboardInterrupt

    with pytest.raises(impasto.RunInterrupted) as caught:
        paint(narrow, on_step=interrupt)
    result = caught.value.result
    assert isinstance(caught.value, KeyboardInterrupt)
    assert (result.stopped, len(result.history), result.picture.width) == ("interrupted", at, 48)
    assert result.recipe.reproducible


def test_ctrl_c_between_two_scales_keeps_the_coarser_picture(narrow, monkeypatch) -> None:
    from impasto.transfer import run

    original, scales = run.Run.start_scale, []

    def start(self, *arguments):
        scales.append(1)
        if len(scales) == 2:
            raise KeyboardInterrupt
        original(self, *arguments)

    monkeypatch.setattr(run.Run, "start_scale", start)
    with pytest.raises(impasto.RunInterrupted) as caught:
        paint(narrow)
    assert (caught.value.result.stopped, len(caught.value.result.recipe.scales)) == ("interrupted", 1)


def test_ctrl_c_before_the_first_evaluation_has_no_picture(narrow, monkeypatch) -> None:
    from impasto.transfer import run

    def start(self, *arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(run.Run, "start_scale", start)
    with pytest.raises(KeyboardInterrupt) as caught:
        paint(narrow)
    assert not isinstance(caught.value, impasto.RunInterrupted)


# --- arguments -----------------------------------------------------------------------------------


def test_settings_are_keywords_as_well(narrow) -> None:
    options = {"runtime": ONE, "weights": narrow}
    expected = impasto.stylize(PIXELS[0], PIXELS[1], Settings(size=40, evaluations=2, seed=3), **options)
    result = impasto.stylize(PIXELS[0], PIXELS[1], size=40, evaluations=2, seed=3, **options)
    assert result.recipe.settings == expected.recipe.settings
    assert result.recipe.pixels_sha256 == expected.recipe.pixels_sha256
    base = Settings(size=40, evaluations=9)
    stylizer = impasto.Stylizer(PIXELS[1], base, evaluations=2, **options)
    assert stylizer(PIXELS[0]).recipe.settings == base.changed(evaluations=2)
    assert stylizer(PIXELS[0], seed=3).recipe.pixels_sha256 == expected.recipe.pixels_sha256


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"settings": {"size": 48}}, r"settings: needs a Settings, not dict; write impasto.Settings\(\*\*"),
        ({"settings": 512}, r"settings: needs a Settings, not int"),
        ({"runtime": {"threads": 1}}, r"runtime: needs a Runtime, not dict"),
        ({"sise": 48}, r"unknown setting 'sise'. Did you mean size"),
        ({"threads": 1}, r"threads belongs to the runtime; write runtime=impasto.Runtime\(threads=...\)"),
    ],
)
def test_wrong_settings_are_said_in_one_line(options, words) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        impasto.stylize(PIXELS[0], PIXELS[1], **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda features: 0.5, "the loss penalty returned float; it must return a tensor with one number"),
        (lambda features: None, "the loss penalty returned NoneType"),
        (lambda features: features["image"], r"the loss penalty returned \(1, 3, 18, 24\)"),
        (lambda features: features["image"].mean().detach(), "the loss penalty has no gradient"),
        (lambda features: torch.tensor(features["image"].mean().item()), "the loss penalty has no gradient"),
    ],
)
def test_a_loss_that_cannot_pull_is_said_in_one_line(narrow, function, words) -> None:
    with pytest.raises(InputError, match=words) as caught:
        paint(narrow, extra_losses=[impasto.Penalty(function)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda features: 0, "extra_losses: function is no loss; write impasto.Penalty"),
        (impasto.Penalty, "extra_losses: Penalty is no loss"),
        (impasto.Penalty(torch.mean, weight=float("nan")), "penalty: its weight must be a finite number"),
        (impasto.Penalty(torch.mean, layers=("relu9_1",)), "the loss penalty: there is no layer 'relu9_1'"),
    ],
)
def test_what_is_no_loss_is_said_in_one_line(narrow, loss, words) -> None:
    with pytest.raises(InputError, match=words):
        paint(narrow, extra_losses=[loss])


def test_what_is_no_list_and_no_function_is_said_in_one_line(narrow) -> None:
    with pytest.raises(InputError, match=r"extra_losses must be a list: extra_losses=\[impasto.Penalty"):
        paint(narrow, extra_losses=impasto.Penalty(torch.mean))
    with pytest.raises(InputError, match="on_step must be a function of a Step, not 5"):
        paint(narrow, on_step=5)
    with pytest.raises(SettingsError, match=r"impasto.Settings.preset\("):
        paint(narrow, preset="bold")


def test_a_loss_may_be_zero_without_a_gradient(narrow) -> None:
    none = impasto.Penalty(lambda features: torch.zeros(()))
    assert len(paint(narrow, extra_losses=[none])) == 64


@pytest.mark.parametrize("change", ["missing", "shape", "text"])
def test_incomplete_weights_are_said_in_one_line(narrow, change) -> None:
    weights = dict(narrow)
    name = "conv3_2.weight"
    if change == "missing":
        del weights[name]
    else:
        weights[name] = weights[name][:, :1] if change == "shape" else "text"
    with pytest.raises(impasto.WeightsError, match=r"conv3_2\.weight") as caught:
        paint(weights)
    assert "\n" not in str(caught.value)


def test_a_library_call_writes_no_checkpoint_unless_asked(narrow, tmp_path, monkeypatch) -> None:
    from impasto.transfer.callbacks import checkpoints

    monkeypatch.setattr(checkpoints, "LONG", 0.0)
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", 1.0)
    monkeypatch.setattr(checkpoints.folder_, "folder", lambda: tmp_path)
    seen = []
    for checkpoint in (None, False, True):
        paint(
            narrow,
            checkpoint=checkpoint,
            on_step=lambda step: seen.append(len(list(tmp_path.glob("*.safetensors")))),
        )
        assert (max(seen) > 0) is (checkpoint is True)


def test_a_thread_may_paint(narrow) -> None:
    expected, found = paint(narrow), []
    thread = threading.Thread(target=lambda: found.append(paint(narrow)))
    thread.start()
    thread.join()
    assert found == [expected]
