import time
from types import SimpleNamespace

import pytest
import torch

from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import SettingsError
from impasto.system import hardware
from impasto.transfer import runtime


def test_the_cost_of_bf16_is_measured() -> None:
    assert 0.05 < hardware.cost_of_bf16("cpu") < 1000


def test_auto_is_decided() -> None:
    found = runtime.resolve(Runtime(), Settings())
    assert found.device == hardware.devices()[0]
    assert found.threads == hardware.usable_threads() >= 1
    assert found.precision in ("fp32", "bf16")
    assert runtime.resolve(found, Settings()) == found


def test_paper_is_fp32_unless_asked_otherwise(monkeypatch) -> None:
    monkeypatch.setattr(hardware, "fast_at_bf16", lambda device: True)
    paper = Settings.preset("paper")
    assert runtime.resolve(Runtime(), Settings()).precision == "bf16"
    assert runtime.resolve(Runtime(), paper).precision == "fp32"
    assert runtime.resolve(Runtime(precision="bf16"), paper).precision == "bf16"
    monkeypatch.setattr(hardware, "fast_at_bf16", lambda device: False)
    assert runtime.resolve(Runtime(), Settings()).precision == "fp32"


def test_unknown_device_lists_what_exists() -> None:
    with pytest.raises(SettingsError, match=r"device: there is no 'cuda:77'.*cpu"):
        runtime.resolve(Runtime(device="cuda:77"), Settings())


def test_memory_by_a_known_machine(monkeypatch, tmp_path) -> None:
    limit = tmp_path / "limit"
    monkeypatch.setattr(hardware, "_CGROUP_MEMORY", (str(limit), str(tmp_path / "none")))
    machine = SimpleNamespace(total=16 * 2**30, available=8 * 2**30)
    process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=2**30))
    monkeypatch.setattr(hardware.psutil, "virtual_memory", lambda: machine)
    monkeypatch.setattr(hardware.psutil, "Process", lambda: process)
    for text, total, free in (("max", 16, 9), (str(2**63 - 4096), 16, 9), (str(4 * 2**30), 4, 4)):
        limit.write_text(text)
        assert hardware.memory() == total * 2**30
        assert hardware.free_memory() == int(0.9 * free * 2**30)


def test_memory_and_age_of_this_process() -> None:
    assert 2**28 < hardware.free_memory() < hardware.memory() < 2**50
    before = hardware.process_age()
    assert 0 < before < 86_400
    time.sleep(0.05)
    assert hardware.process_age() > before


def test_threads_are_restored() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), hardware.threads(before + 1):  # noqa: PT012
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before
