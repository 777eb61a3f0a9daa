import pytest
import torch

from impasto.errors import EndOfScale
from impasto.optim.evaluation import Evaluation
from impasto.transfer.callbacks import time_budget
from impasto.transfer.callbacks.time_budget import TimeBudget
from impasto.transfer.run_state import RunState


class Clock:
    """A clock that only goes on when told to."""

    def __init__(self, monkeypatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time_budget.time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def spend(clock: Clock, limit: TimeBudget, number: int, each: float) -> int:
    """Evaluate at one scale until the budget ends it; return how often."""
    limit.begin(number)
    for count in range(1, 100_000):
        clock.now += each
        if limit.is_over(count):
            return count
    raise AssertionError("never over")


class Run:
    """As much of a run as a time budget looks at."""

    def __init__(self) -> None:
        self.state, self.last_scale = RunState(), 9


def test_as_a_callback_it_measures_ends_a_scale_and_leaves_finer_ones_out(clock) -> None:
    limit, run = TimeBudget(60.0, [1.0, 4.0, 400.0], before=[1.0, 4.0, 400.0]), Run()
    canvas, began, counts = torch.zeros(1), clock.now, []
    for scale in range(2):
        run.state = run.state.next_solver(scale=scale)

        def evaluations(each: float) -> None:
            while True:
                limit.on_iteration(run)  # of a step of three evaluations
                for _ in range(3):
                    clock.now += each
                    run.state.tracking.count += 1
                    limit.on_evaluation(run, canvas, Evaluation(0.0, canvas))

        with pytest.raises(EndOfScale, match="budget"):
            evaluations(0.1 * 4**scale)
        limit.on_scale_end(run)
        counts.append(run.state.tracking.count)
        assert run.last_scale == (9 if scale == 0 else 1)
    assert clock.now - began == pytest.approx(60.0, rel=0.05)
    other = TimeBudget(60.0, [1.0, 4.0, 400.0], before=[1.0, 4.0, 400.0])
    began = clock.now
    assert counts[0] == spend(clock, other, 0, 0.1)


@pytest.mark.parametrize("spent", [0, 30])
def test_a_solver_that_begins_in_mid_scale_is_measured_by_itself(clock, spent) -> None:
    """Resumed after some evaluations, or after memory ran out: those before took other time."""
    limit, run = TimeBudget(10.0, [1.0]), Run()
    run.state.spent, run.state.tracking.count = spent, 30 - spent
    canvas, count = torch.zeros(1), 0
    limit.on_iteration(run)
    while True:
        clock.now += 0.5
        run.state.tracking.count += 1
        count += 1
        try:
            limit.on_evaluation(run, canvas, Evaluation(0.0, canvas))
        except EndOfScale:
            break
    assert count == 20


@pytest.mark.parametrize("seconds", [60.0, 300.0, 3000.0])
def test_ends_within_five_percent_and_shares_equally_where_there_is_time(clock, seconds) -> None:
    limit = TimeBudget(seconds, [1.0, 4.0])
    began = clock.now
    counts = [spend(clock, limit, 0, 0.25), spend(clock, limit, 1, 1.0)]
    assert clock.now - began == pytest.approx(seconds, rel=0.05)
    if seconds / 1.25 > time_budget.ENOUGH:
        assert counts[0] == pytest.approx(counts[1], rel=0.1)


def test_coarse_scales_get_more_evaluations_where_time_is_short(clock) -> None:
    limit = TimeBudget(10.0, [1.0, 4.0])
    counts = [spend(clock, limit, 0, 0.25), spend(clock, limit, 1, 1.0)]
    assert counts[0] == 20  # half of the time
    assert counts[1] == 5


def test_an_estimate_that_was_wrong_is_mended_by_the_last_scale(clock) -> None:
    limit, began = TimeBudget(100.0, [1.0, 4.0, 16.0]), clock.now
    for number, each in enumerate((0.1, 0.8, 1.3)):  # not in proportion to the costs
        assert limit.is_worth(number)
        spend(clock, limit, number, each)
    assert clock.now - began == pytest.approx(100.0, rel=0.05)


def test_the_first_scale_runs_once_even_without_time_and_the_next_are_passed_by(clock) -> None:
    limit = TimeBudget(-1.0, [1.0, 4.0])
    assert limit.is_worth(0)
    assert spend(clock, limit, 0, 0.25) == 1
    assert not limit.is_worth(1)
    assert limit.left() < 0


def test_targets_are_counted_before_their_scale_begins(clock) -> None:
    limit, began = TimeBudget(100.0, [1.0, 16.0], before=[0.5, 32.0]), clock.now
    clock.now += 0.05
    spend(clock, limit, 0, 0.1)
    assert limit.is_worth(1)
    clock.now += 3.2
    count = spend(clock, limit, 1, 1.6)
    assert clock.now - began == pytest.approx(100.0, rel=0.05)
    assert count >= time_budget.ENOUGH


def test_a_scale_whose_targets_leave_no_time_is_not_begun(clock) -> None:
    limit, began = TimeBudget(60.0, [1.0, 4.0, 400.0], before=[1.0, 4.0, 400.0]), clock.now
    spend(clock, limit, 0, 0.1)
    assert limit.is_worth(1)
    clock.now += 0.4
    spend(clock, limit, 1, 0.4)
    assert clock.now - began == pytest.approx(60.0, rel=0.05)  # the time is not kept for the third
    assert not limit.is_worth(2)


def test_what_is_said_of_a_budget_that_was_too_short(clock) -> None:
    limit = TimeBudget(100.0, [1.0])
    clock.now += 104.0
    assert limit.overrun(50) == ""
    clock.now += 2.0
    assert limit.overrun(50) == "the time budget was too short: over by 6.0 s"
    assert limit.overrun(1).endswith("hardly painted, give it more")
