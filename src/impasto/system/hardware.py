"""Processors, devices and memory of this machine, and the number formats it is fast at."""

import contextlib
import ctypes
import functools
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyvips
import torch

from impasto.system import load
from impasto.system.process import waiting_threads_spin

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt, in malloc.h of glibc
_PAGEOUT = 21  # of madvise, in mman.h of Linux
_CGROUP_MEMORY = (
    "/sys/fs/cgroup/memory.max",  # version 2; "max" without a limit
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",  # version 1; a huge number without one
)
# In messages of torch: of the CPU; of MPS, and of CUDA before any tensor; of cuBLAS and cuDNN.
_NO_MEMORY = ("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED")


@functools.cache
def processor() -> str:
    """Return the name of the processor, as far as the system tells it, and what torch uses of it."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, ValueError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    bf16 = "fast" if fast_at_bf16("cpu") else "slow"
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}, {bf16} at bf16"


def usable_threads() -> int:
    """Return how many threads may compute: by affinity, quotas of control groups, and `OMP_NUM_THREADS`."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        count = os.cpu_count() or 1
    return max(1, int(min(count, load.quota(), load.omp_threads() or count)))


def threads_to_use() -> int:
    """Return how many threads a run on the processor takes now: all that may compute, or one.

    All, also beside other busy processes, unless threads that wait spin: then they take from each other what
    the others leave. There a convolution is timed, and one thread is taken if it is faster by a tenth. What
    `OMP_NUM_THREADS` sets is not questioned.
    """
    usable = usable_threads()
    if usable == 1 or load.omp_threads() or not waiting_threads_spin() or not load.crowded(usable):
        return usable
    alone, together = convolution_seconds(1, usable)
    return 1 if alone < 0.9 * together else usable


def convolution_seconds(*counts: int, limit: float = 0.1, turn: float = 0.01) -> list[float]:
    """Return the time of a small convolution with each of some numbers of threads, measured now, by turns.

    It takes about `limit` seconds in all. At the sizes of deep layers threads wait for each other most.
    """
    image, kernel = torch.ones(1, 64, 32, 32), torch.ones(64, 64, 3, 3)
    before, began = torch.get_num_threads(), time.perf_counter()
    runs: list[list[float]] = [[] for _ in counts]
    try:
        while not runs[-1] or time.perf_counter() - began < limit:
            for index, count in enumerate(counts):
                torch.set_num_threads(count)
                torch.nn.functional.conv2d(image, kernel, padding=1)  # warms up
                start, number = time.perf_counter(), 0
                while time.perf_counter() - start < turn:
                    torch.nn.functional.conv2d(image, kernel, padding=1)
                    number += 1
                runs[index].append((time.perf_counter() - start) / max(1, number))
    finally:
        torch.set_num_threads(before)
    return [sum(seconds) / len(seconds) for seconds in runs]


def memory() -> int:
    """Return the bytes of memory this process may use: those of the machine or of its control group."""
    total = int(psutil.virtual_memory().total)
    for limit in _CGROUP_MEMORY:
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(limit).read_text()))
    return total


def free_memory(device: str = "cpu") -> int:
    """Return the bytes this process may use in total: 90 % of what is free and what it already has."""
    if device.startswith("cuda"):
        try:
            return int(0.9 * (torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)))
        except RuntimeError as error:  # where not even CUDA itself fits any more
            if not no_memory(error):
                raise
            return 0
    free = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    return int(0.9 * min(free, memory()))


def devices() -> list[str]:
    """Return the devices of torch, best first; `cpu` is always the last."""
    accelerators = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        accelerators.append("mps")
    return [*accelerators, "cpu"]


def missing_device(device: str) -> str:
    """Return what to do for a device that is not among `devices()`: one clause, of what torch lacks."""
    if device == "mps":
        return "mps is for Macs with Apple silicon"
    if torch.cuda.device_count():
        return "count from cuda:0"
    if torch.version.cuda or torch.version.hip:
        return "torch was built for it and sees none: check the driver (nvidia-smi) and CUDA_VISIBLE_DEVICES"
    return (
        f"this torch, {torch.__version__}, was built without CUDA: with an NVIDIA card, install a torch with "
        "CUDA in its place, by the pip command that https://pytorch.org/get-started/locally shows"
    )


def fast_at_bf16(device: str) -> bool:
    """Whether the hardware computes bf16 without emulation."""
    if device.startswith("cuda"):
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        cpu = torch.cpu
        return any(
            getattr(cpu, name, lambda: False)()
            for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        )
    return False


def cost_of_bf16(device: str) -> float:
    """Return the time of a convolution in bf16 divided by that in fp32, measured now."""
    image, kernel = (torch.ones(1, 64, 64, 64, device=device), torch.ones(64, 64, 3, 3, device=device))
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = (
            tensor.to(dtype).contiguous(memory_format=torch.channels_last) for tensor in (image, kernel)
        )
        times = []
        for _ in range(4):  # the first is a warm-up
            start = time.perf_counter()
            float(torch.nn.functional.conv2d(x, weight, padding=1)[0, 0, 0, 0])
            times.append(time.perf_counter() - start)
        seconds.append(min(times[1:]))
    return seconds[1] / max(seconds[0], 1e-9)


def process_age() -> float:
    """Return the seconds since this process was started, to about one second."""
    return max(0.0, time.time() - float(psutil.Process().create_time()))


@contextlib.contextmanager
def threads(count: int, *, keep: int = 0) -> Iterator[None]:
    """Let torch use `count` threads, and keep freed memory, in the block; afterwards `keep` bytes of it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    _keep_freed_memory(2**31 - 1, map_large=False)
    try:
        yield
    finally:
        _keep_freed_memory(max(keep, 128 * 1024), map_large=True)
        if not keep:
            give_back_freed_memory()
        torch.set_num_threads(before)


def give_back_freed_memory() -> None:
    """Return freed memory to the system, for the tensors of the next scale have other sizes."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # without glibc
        ctypes.CDLL(None).malloc_trim(0)


def _keep_freed_memory(most: int, *, map_large: bool) -> None:
    """Let the C library keep so many bytes of freed tensors for the next ones, and `map_large` ones alone.

    Every evaluation allocates the same large tensors again. By default glibc gets each of them from the
    system, page by page and zeroed, which takes up to seven times as long as the arithmetic on them. Without
    glibc nothing happens.
    """
    try:
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_MAX, 65_536 if map_large else 0)
        library.mallopt(_TRIM_THRESHOLD, min(most, 2**31 - 1))
    except (OSError, AttributeError, TypeError):
        return


def advise_unused(tensor: torch.Tensor) -> None:
    """Tell the system that a tensor mapped from a file need not stay in memory.

    It can still be read later. Nothing happens on other systems than Linux, and for other tensors.
    """
    if tensor.device.type != "cpu" or sys.platform != "linux":
        return
    page = os.sysconf("SC_PAGE_SIZE")
    start = -(-tensor.data_ptr() // page) * page
    length = tensor.data_ptr() + tensor.nbytes - start
    with contextlib.suppress(OSError, AttributeError):
        if length > 0:
            madvise = ctypes.CDLL(None).madvise
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), _PAGEOUT)


def describe(device: str = "cpu") -> dict[str, str]:
    """Return the facts of this machine, and of a CUDA device, for the recipe; none identifies its owner."""
    facts = {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "libvips": ".".join(str(pyvips.version(part)) for part in range(3)),  # decodes and scales
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
    if device.startswith("cuda"):
        cudnn: Any = torch.backends.cudnn
        versions = f"CUDA {torch.version.cuda}, cuDNN {cudnn.version()}"
        facts["gpu"] = f"{torch.cuda.get_device_name(device)}, {versions}"
    return facts


def no_memory(error: Exception) -> bool:
    """Whether an error means that memory ran out; torch has a class for that, but not everywhere."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
