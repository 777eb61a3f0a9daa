import pytest
import torch

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import SettingsError
from impasto.inputs.pyramid import Scale
from impasto.system import hardware
from impasto.transfer.memory import with_memory_plan
from impasto.transfer.runtime import resolve


def test_auto_is_decided() -> None:
    found = resolve(Runtime(), Settings())
    assert found.device == hardware.devices()[0]
    assert found.threads == hardware.usable_threads() >= 1
    assert found.precision in ("fp32", "bf16")
    assert resolve(found, Settings()) == found


def test_paper_is_fp32_unless_asked_otherwise(monkeypatch) -> None:
    monkeypatch.setattr(hardware, "fast_at_bf16", lambda device: True)
    paper = Settings.preset("paper")
    assert resolve(Runtime(), Settings()).precision == "bf16"
    assert resolve(Runtime(), paper).precision == "fp32"
    assert resolve(Runtime(precision="bf16"), paper).precision == "bf16"
    monkeypatch.setattr(hardware, "fast_at_bf16", lambda device: False)
    assert resolve(Runtime(), Settings()).precision == "fp32"


@pytest.mark.parametrize(
    ("device", "count", "built", "advice"),
    [
        ("cuda", 0, None, r"this machine has cpu; .*built without CUDA.*https://pytorch.org/get-started"),
        ("cuda:1", 0, "13.0", r"this machine has cpu; torch was built for it and sees none.*nvidia-smi"),
        ("cuda:1", 1, "13.0", r"no 'cuda:1' here; this machine has cuda:0, cpu; count from cuda:0"),
        ("mps", 0, None, r"this machine has cpu; mps is for Macs"),
    ],
)
def test_a_device_that_is_not_there_says_what_to_do(monkeypatch, device, count, built, advice) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built)
    with pytest.raises(SettingsError, match=advice) as caught:
        resolve(Runtime(device=device), Settings())
    assert "\n" not in str(caught.value)


def test_threads_above_the_processors_are_kept(monkeypatch, caplog) -> None:
    """A recipe of a larger machine has to give the same bytes here."""
    monkeypatch.setattr(hardware, "usable_threads", lambda: 2)
    settings, scales = Settings(), [Scale(64, 48)]
    for threads, warned in ((2, False), (16, True)):
        caplog.clear()
        runtime = resolve(Runtime(device="cpu", threads=threads, precision="fp32"), settings)
        planned = with_memory_plan(runtime, settings, scales, ["relu1_1"])
        assert planned.threads == threads
        assert ("16 threads on 2 processors take longer than 2" in caplog.text) == warned


def test_unknown_device_lists_what_exists() -> None:
    with pytest.raises(SettingsError, match=r"device: there is no 'cuda:77'.*cpu"):
        resolve(Runtime(device="cuda:77"), Settings())


def test_threads_are_chosen_once_and_kept(monkeypatch) -> None:
    monkeypatch.setattr(hardware, "threads_to_use", lambda: 3)
    monkeypatch.setattr(hardware, "usable_threads", lambda: 7)
    monkeypatch.setattr(hardware, "devices", lambda: ["cuda:0", "cpu"])
    assert resolve(Runtime(device="cpu"), Settings()).threads == 3
    assert resolve(Runtime(device="cpu", threads=2), Settings()).threads == 2
    assert resolve(Runtime(precision="fp32"), Settings()).threads == 7
