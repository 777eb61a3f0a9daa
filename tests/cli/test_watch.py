"""What is shown of a run while it works."""

from types import SimpleNamespace

import pytest

from impasto.cli.progress import Pace
from impasto.cli.watch import FirstLine


def steps(seconds, *, planned=20, before=0):
    """Steps of one scale at these times; the remaining time is by the mean of all so far, as in a run."""
    for number, at in enumerate(seconds, start=before + 1):
        done = number - before - 1
        remaining = (at - seconds[0]) / done * (planned - number) if done else None
        yield SimpleNamespace(
            scale=1, scales=1, width=40, height=30, iteration=number, evaluations=number, planned=planned,
            limit=planned, work=(number * 1200, planned * 1200),
            seconds=at, left=None, remaining=remaining,
        )  # fmt: skip


def shown(all_steps, per_pixel=None):
    """Return at which evaluation the line was shown, and with which seconds."""
    lines, pace = [], Pace()
    first = FirstLine(lines.append, lambda seconds: seconds, per_pixel)
    for step in all_steps:
        pace.update(step)
        first.step(step, pace)
        if lines:
            assert first.shown
            return step.evaluations, lines[0]
    return None


@pytest.mark.parametrize(
    ("seconds", "at", "about"),
    [
        ([0.1, 0.8, 0.9, 1.0, 1.1, 1.2], 5, 4.85),  # the second takes long; alone it would make 13 s of 3
        ([10.0, 20.0, 30.0], 2, 200.0),  # slow ones tell at once
        ([1.0, 1.9, 2.8, 3.7], 4, 18.1),
    ],
)
def test_some_evaluations_tell_how_long_a_run_takes(seconds, at, about) -> None:
    evaluation, said = shown(steps(seconds))
    assert evaluation == at
    assert said == pytest.approx(about)


def test_earlier_runs_tell_at_the_first_evaluation() -> None:
    assert shown(steps([0.1, 0.8]), per_pixel=1e-3) == (1, pytest.approx(20 * 1200 * 1e-3))


def test_a_short_run_tells_at_its_last_evaluation() -> None:
    assert shown(steps([0.1, 0.2], planned=2)) == (2, pytest.approx(0.2))
    assert shown(steps([0.1], planned=1)) == (1, None)


def test_a_resumed_run_does_not_count_what_was_done_before() -> None:
    seconds = [100.0, 101.0, 102.0]
    assert shown(steps(seconds, planned=20, before=10)) == (13, pytest.approx(2 + 7))


def test_a_budget_is_known_at_once() -> None:
    (step,) = steps([0.1])
    step.left = step.remaining = 59.9
    assert shown([step]) == (1, pytest.approx(60))
