import math
import time
from types import SimpleNamespace

import pytest
import torch

from impasto.system import hardware


def test_the_cost_of_bf16_is_measured() -> None:
    assert 0.05 < hardware.cost_of_bf16("cpu") < 1000


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


def test_freed_memory_is_given_back_unless_it_is_to_be_kept(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(hardware, "give_back_freed_memory", lambda: calls.append(1))
    for keep, expected in ((0, 1), (10**9, 1), (0, 2)):
        with hardware.threads(1, keep=keep):
            pass
        assert len(calls) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_means_that_memory_ran_out(error, expected) -> None:
    assert hardware.no_memory(error) == expected


def test_what_a_gpu_has_free(monkeypatch) -> None:
    """With what this process keeps of it; nothing where CUDA itself does not fit any more."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (6 * 2**30, 16 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2 * 2**30)
    assert hardware.free_memory("cuda:0") == int(0.9 * 8 * 2**30)

    def full(device):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "mem_get_info", full)
    assert hardware.free_memory("cuda:0") == 0


def test_a_recipe_names_the_gpu(monkeypatch) -> None:
    assert "gpu" not in hardware.describe()
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card of {device}")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert hardware.describe("cuda:1")["gpu"] == "card of cuda:1, CUDA 13.0, cuDNN 91002"


@pytest.fixture
def eight(monkeypatch):
    """Eight processors, nothing set by hand, threads that spin, and a convolution that nobody may time."""
    real = getattr(hardware.usable_threads, "__wrapped__", hardware.usable_threads)
    monkeypatch.setattr(hardware, "usable_threads", real)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(hardware.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(hardware.load, "quota", lambda: math.inf)
    monkeypatch.setattr(hardware, "waiting_threads_spin", lambda: True)
    monkeypatch.setattr(hardware.load, "crowded", lambda threads: True)
    monkeypatch.setattr(hardware, "convolution_seconds", lambda *counts: pytest.fail("measured"))
    return monkeypatch


@pytest.mark.parametrize(("alone", "together", "expected"), [(0.8, 1.0, 1), (1.0, 1.05, 8), (1.0, 0.3, 8)])
def test_threads_beside_busy_processes(eight, alone, together, expected) -> None:
    counts = []
    eight.setattr(hardware, "convolution_seconds", lambda *given: counts.append(given) or [alone, together])
    assert hardware.threads_to_use() == expected
    assert counts == [(1, 8)]


def test_nothing_is_measured_where_it_cannot_matter(eight, monkeypatch) -> None:
    with eight.context() as patch:
        patch.setattr(hardware.load, "crowded", lambda threads: False)
        assert hardware.threads_to_use() == 8
    with eight.context() as patch:
        patch.setattr(hardware, "waiting_threads_spin", lambda: False)
        assert hardware.threads_to_use() == 8
    with eight.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "5,2")
        assert hardware.threads_to_use() == 5
    with eight.context() as patch:
        patch.setattr(hardware.load, "quota", lambda: 1.5)
        assert hardware.threads_to_use() == 1


@pytest.mark.parametrize(
    ("quota", "omp", "expected"),
    [(math.inf, "", 8), (2.5, "", 2), (0.2, "", 1), (math.inf, "3", 3), (2.5, "6", 2), (math.inf, "many", 8)],
)
def test_threads_that_may_compute(eight, quota, omp, expected) -> None:
    eight.setattr(hardware.load, "quota", lambda: quota)
    eight.setenv("OMP_NUM_THREADS", omp)
    assert hardware.usable_threads() == expected


def test_a_convolution_is_timed_with_each_number_of_threads(monkeypatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", (counts := []).append)
    seconds = hardware.convolution_seconds(1, 2, limit=0, turn=0)
    assert len(seconds) == 2
    assert min(seconds) >= 0
    assert counts == [1, 2, torch.get_num_threads()]
