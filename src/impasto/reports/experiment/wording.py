"""Sentences and series of numbers, computed from the losses of runs. No torch here."""

import itertools
from collections.abc import Mapping, Sequence

from impasto.reports.experiment.trials import ROUND

FLAT = 0.05  # a round that lowers the total by less than this share counts as no noticeable fall
Rows = Sequence[Mapping[str, float]]


def percent(share: float, digits: int = 0) -> str:
    """Return a share as `5 %`."""
    return f"{100 * share:.{digits}f} %"


def seconds_since_first(rows: Rows) -> list[float]:
    """Return the seconds of each evaluation since the end of the first."""
    return [row["seconds"] - rows[0]["seconds"] for row in rows]


def by_round(rows: Rows, rounds: int, name: str = "total") -> list[float]:
    """Return the loss at the start and after each round: that of the lowest total until then."""
    losses = []
    for number in range(rounds + 1):
        until = [row for row in rows if row["evaluation"] <= max(1, number * ROUND)]
        best = min(until, key=lambda row: row.get("total", float("inf")))
        losses.append(best.get(name, float("nan")))
    return losses


def first_flat(totals: Sequence[float]) -> int | None:
    """Return the first round (from 1) that lowers the total by under 5 %, or None."""
    pairs = enumerate(itertools.pairwise(totals), start=1)
    return next((number for number, (a, b) in pairs if b > (1 - FLAT) * a), None)


def gain_after(totals: Sequence[float], number: int = 10) -> float | None:
    """Return by what share the total falls after a round, or None where there is none after it."""
    return 1 - totals[-1] / totals[number] if len(totals) > number + 1 else None


def flattening(totals: Sequence[float]) -> str:
    """Say where the loss flattens, beside the "about ten rounds" of the experiment that is reproduced."""
    flat, gain, last = first_flat(totals), gain_after(totals), len(totals) - 1
    text = (
        f"Round {flat} is the first that lowers the total by less than {percent(FLAT)}."
        if flat
        else f"Every one of the {last} rounds lowers the total by {percent(FLAT)} or more."
    )
    if gain is not None:
        text += (
            f" After round 10 the total still falls by {percent(gain, 1)} until round {last}. The experiment"
            " that this program reproduces says that after about ten rounds the loss no longer falls "
            f"noticeably: by this measure it {'agrees' if flat and flat <= 11 else 'does not agree'} here."
        )
    return text


def gap_sentences(optimized: Sequence[float], saved: Sequence[float], bounded: Sequence[float]) -> str:
    """Explain how far the loss of the saved picture is from the one that was optimized."""
    best = min(range(len(saved)), key=lambda number: saved[number])
    times = saved[-1] / optimized[-1]
    text = (
        "Without bounds the solver may move a pixel out of the range of a file. At the end it reports "
        f"{optimized[-1]:.3g}, but a file holds only whole numbers from 0 to 255, and the picture that "
        f"is saved, clipped and rounded, has {saved[-1]:.3g}: {times:.3g} times as much."
    )
    if best < len(saved) - 1:
        text += f" The saved picture is best after round {best}; from then on only the numbers improve."
    return f"{text} A solver that keeps its pixels inside the limits saves {bounded[-1]:.3g}."


def gap_caption(optimized: float, saved: float, bounded: float, bounded_saved: float) -> str:
    """Say what the lines of the optimized and the saved loss do at their ends."""
    apart, near = saved / optimized - 1, abs(bounded_saved / bounded - 1)
    return (
        "The loss that was optimized (lines) and that of the saved picture (dashed, dots). Without bounds "
        f"the saved picture ends {percent(apart, 1)} {'above' if apart >= 0 else 'off'} what was optimized, "
        f"with bounds {percent(near, 1)} off."
    )


def ordered(values: Sequence[float], *, falling: bool, slack: float = 0.05) -> bool:
    """Whether values go one way from end to end, no step being reversed by more than `slack`."""
    steps = itertools.pairwise(values)
    if falling:
        return values[-1] < values[0] and all(b <= a * (1 + slack) for a, b in steps)
    return values[-1] > values[0] and all(b >= a * (1 - slack) for a, b in steps)
