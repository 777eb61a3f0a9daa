import pytest
import torch

from impasto import machine
from impasto.errors import SettingsError
from impasto.settings import Runtime, Settings


def test_the_cost_of_bf16_is_measured() -> None:
    assert 0.05 < machine.cost_of_bf16("cpu") < 1000


def test_auto_is_decided() -> None:
    found = machine.resolve(Runtime(), Settings())
    assert found.device == machine.devices()[0]
    assert found.threads == machine.usable_threads() >= 1
    assert found.precision in ("fp32", "bf16")
    assert machine.resolve(found, Settings()) == found


def test_paper_is_fp32_unless_asked_otherwise(monkeypatch) -> None:
    monkeypatch.setattr(machine, "fast_at_bf16", lambda device: True)
    paper = Settings.preset("paper")
    assert machine.resolve(Runtime(), Settings()).precision == "bf16"
    assert machine.resolve(Runtime(), paper).precision == "fp32"
    assert machine.resolve(Runtime(precision="bf16"), paper).precision == "bf16"
    monkeypatch.setattr(machine, "fast_at_bf16", lambda device: False)
    assert machine.resolve(Runtime(), Settings()).precision == "fp32"


def test_unknown_device_lists_what_exists() -> None:
    with pytest.raises(SettingsError, match=r"device: there is no 'cuda:77'.*cpu"):
        machine.resolve(Runtime(device="cuda:77"), Settings())


def test_threads_are_restored() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), machine.threads(before + 1):  # noqa: PT012
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before
