"""The choice of kernels from times, and what is remembered of them."""

import itertools
import json
import math
from pathlib import Path

import pytest
import torch

from impasto.messages import NOTE
from impasto.network import kernel_times, kernels
from impasto.system import hardware

timed_choice = kernel_times.choice.__wrapped__
DEEP, SHALLOW = (512, 512), (64, 64)
TIMES = {  # milliseconds at 128, 512, 2048 positions
    DEEP: [{"direct": 2.0, "fused": 1.9, "winograd": 6.0}, {"direct": 8.0, "fused": 7.6, "winograd": 8.0}],
    SHALLOW: [{"direct": 1.0, "fused": 0.5, "winograd": 2.0}, {"direct": 4.0, "fused": 3.9, "winograd": 3.0}],
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("IMPASTO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(kernel_times, "_busy", {})
    return tmp_path / "cache"


@pytest.fixture
def measured(monkeypatch) -> list:
    """Times are taken from a table; the list has the convolutions measured."""
    seen = []

    def measure(shape, precision):
        seen.append(shape)
        return TIMES[shape]

    monkeypatch.setattr(kernel_times, "measure", measure)
    return seen


def test_the_fastest_way_counts_where_it_wins_by_a_tenth(measured) -> None:
    """By hand. From 512 to 512 channels Winograd is the default: at 128 positions it takes 6 ms, direct 2; at
    512 both take 8; beyond, by the slopes, 384 positions more take 2 ms, and 6 with direct.
    From 64 to 64 direct is the default: at 128 positions fused wins (2 times), at 512 Winograd does (1.33).
    """
    deep, shallow = (timed_choice([shape], "fp32", 2) for shape in (DEEP, SHALLOW))
    assert deep == "512-512=fused:256:winograd"
    assert shallow == "64-64=fused:256:winograd"
    assert timed_choice([DEEP, SHALLOW, DEEP], "fp32", 2) == f"{deep},{shallow}"


def test_what_is_remembered_is_not_timed_again(measured, folder, caplog) -> None:
    caplog.set_level(NOTE, "impasto")
    first = timed_choice([DEEP], "fp32", 2)
    assert [record.levelno for record in caplog.records] == [NOTE]  # it takes seconds, so everybody reads it
    assert "timing convolutions on this processor" in caplog.text
    assert timed_choice([DEEP], "fp32", 2) == first
    assert measured == [DEEP]
    assert len(caplog.records) == 1
    timed_choice([DEEP, SHALLOW], "fp32", 2)
    assert measured == [DEEP, SHALLOW]
    timed_choice([DEEP], "fp32", 1)  # another number of threads
    timed_choice([DEEP], "bf16", 2)
    assert measured == [DEEP, SHALLOW, DEEP, DEEP]
    kernel_times.times_of([DEEP], "fp32", 2, anew=True)
    assert len(measured) == 5
    assert len(json.loads((folder / kernel_times.FILE).read_text())) == 3


@pytest.mark.parametrize(
    "change", [lambda: "another processor", lambda: "the same, torch 9"], ids=["processor", "torch"]
)
def test_times_of_another_machine_do_not_count(measured, monkeypatch, change) -> None:
    timed_choice([DEEP], "fp32", 2)
    monkeypatch.setattr(hardware, "processor", change)
    timed_choice([DEEP], "fp32", 2)
    assert measured == [DEEP, DEEP]


ENTRIES = ["3", '{"512-512": 3}', '{"512-512": []}', '{"512": [{"direct": 1}]}', '{"512-512": [3]}',
           '{"512-512": [{"direct": -1}]}', '{"512-512": [{"direct": NaN}]}', '{"512-512": [{"fused": 1}]}',
           '{"512-512": [{"direct": "x"}]}']  # fmt: skip
BAD = ["", "{", "[]", "null", "[" * 100_000, *(f'{{"KEY": {entry}}}' for entry in ENTRIES)]


@pytest.mark.parametrize("text", BAD)
def test_a_torn_file_is_made_anew(measured, folder, text) -> None:
    folder.mkdir()
    file = folder / kernel_times.FILE
    file.write_text(text.replace("KEY", kernel_times._key("fp32", 2)))
    assert timed_choice([DEEP], "fp32", 2) == "512-512=fused:256:winograd"
    assert measured == [DEEP]
    assert kernel_times.remembered("fp32", 2) == {DEEP: TIMES[DEEP]}


def test_without_a_folder_to_write_it_is_timed_each_time(measured, folder) -> None:
    folder.write_text("a file")
    for count in (1, 2):
        assert timed_choice([DEEP], "fp32", 2) == "512-512=fused:256:winograd"
        assert len(measured) == count


def test_on_a_busy_machine_the_fixed_rule_counts(monkeypatch, folder) -> None:
    monkeypatch.setattr(kernel_times, "measure", lambda shape, precision: None)
    assert timed_choice([SHALLOW, DEEP], "fp32", 2) == "winograd"
    assert not folder.exists()


def test_a_process_on_a_busy_machine_times_once_in_ten_minutes(monkeypatch, caplog) -> None:
    """A grid or an experiment of forty runs does not spend seconds in each of them."""
    caplog.set_level(NOTE, "impasto")
    now, tried = [5.0], []
    monkeypatch.setattr(kernel_times.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(kernel_times, "measure", lambda shape, precision: tried.append(shape))
    for _ in range(3):
        assert timed_choice([DEEP], "fp32", 2) == "winograd"
    assert tried == [DEEP, DEEP]  # the second try of the first call
    assert len(caplog.records) == 1
    timed_choice([DEEP], "fp32", 1)  # another number of threads
    assert len(tried) == 4
    kernel_times.times_of([DEEP], "fp32", 2, anew=True)  # doctor --measure
    assert len(tried) == 6
    now[0] += kernel_times.AGAIN + 1
    timed_choice([DEEP], "fp32", 2)
    assert len(tried) == 8


class Clock:
    """Time that passes only where a convolution takes it."""

    def __init__(self, monkeypatch) -> None:
        self.now, self.used = 0.0, 0.0
        monkeypatch.setattr(kernel_times.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(kernel_times.Load, "others", lambda load: self.used)
        monkeypatch.setattr(kernel_times, "_ways", lambda weight, dtype: self.ways)
        self.ways = {
            "direct": Timed(self, itertools.repeat(0.001)),
            "fused": Timed(self, itertools.repeat(0.0005)),
        }


class Timed:
    def __init__(self, clock, seconds) -> None:
        self.clock, self.seconds = clock, seconds

    def forward(self, x, *, rectify) -> None:
        self.clock.now += next(self.seconds) * x.shape[-1] / 16

    def backward(self, gradient) -> None:
        self.clock.now += next(self.seconds) * gradient.shape[-1] / 16


def test_times_are_medians_of_both_passes(monkeypatch) -> None:
    clock = Clock(monkeypatch)
    times = kernel_times.measure(SHALLOW, "fp32")
    assert [row["direct"] for row in times] == pytest.approx([2.0, 4.0, 8.0, 16.0])
    assert [row["fused"] for row in times] == pytest.approx([1.0, 2.0, 4.0, 8.0])
    assert clock.now < 4 * kernel_times.SECONDS


def test_large_ones_are_not_timed(monkeypatch) -> None:
    clock = Clock(monkeypatch)
    clock.ways = {"direct": Timed(clock, itertools.repeat(0.006))}
    assert len(kernel_times.measure(SHALLOW, "fp32")) == 3  # 12, 24, 48 ms; 3 x 48 in five rounds is too long


def test_a_hopeless_way_is_timed_once_at_each_size(monkeypatch) -> None:
    clock = Clock(monkeypatch)
    slow = Timed(clock, itertools.repeat(0.02))
    clock.ways["fused"] = slow
    calls = []
    monkeypatch.setattr(slow, "backward", lambda gradient: calls.append(gradient.shape[-1]))
    times = kernel_times.measure(SHALLOW, "fp32")
    assert calls == [edge for _, edge in kernel_times.EDGES for _ in range(2)]  # the first is a warm-up
    assert [row["fused"] for row in times] == pytest.approx([20, 40, 80, 160])


def test_one_size_says_nothing_of_larger_ones(measured, monkeypatch) -> None:
    monkeypatch.setitem(TIMES, DEEP, [{"direct": 1.0, "winograd": 2.0}])
    assert timed_choice([DEEP], "fp32", 2) == "512-512=direct:256:winograd"


def test_a_convolution_is_timed_again_once(monkeypatch) -> None:
    answers = iter([None, TIMES[DEEP], None, None])
    monkeypatch.setattr(kernel_times, "measure", lambda shape, precision: next(answers))
    assert timed_choice([DEEP, SHALLOW, (3, 64)], "fp32", 2) == "512-512=fused:256:winograd"


def test_a_busy_machine_is_noticed(monkeypatch) -> None:
    clock = Clock(monkeypatch)
    half = [0.01] * 8 + [0.0125] * 100  # a warm-up and 3 rounds, then 25 % more
    clock.ways = {"direct": Timed(clock, iter(half))}
    assert kernel_times.measure(SHALLOW, "fp32") is None


def test_other_programs_are_noticed(monkeypatch) -> None:
    clock = Clock(monkeypatch)
    clock.used = 0.5
    assert kernel_times.measure(SHALLOW, "fp32") is None
    clock.used = 0.1
    assert kernel_times.measure(SHALLOW, "fp32") is not None


def test_real_convolutions_are_timed(monkeypatch) -> None:
    monkeypatch.setattr(kernel_times, "APART", math.inf)  # beside other tests the machine is busy
    monkeypatch.setattr(kernel_times, "OTHERS", math.inf)
    with torch.no_grad():
        (first, *_) = kernel_times.measure((32, 48), "fp32")
    assert set(first) >= {"direct", "winograd"}
    assert all(0 < value < math.inf for value in first.values())
    assert all(kernels.parse(timed_choice([(32, 48)], "fp32", 1)))
