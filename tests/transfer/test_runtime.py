import pytest

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import SettingsError
from impasto.system import hardware
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
