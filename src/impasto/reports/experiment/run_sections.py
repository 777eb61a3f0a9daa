"""Sections of the page about runs: the course, the loss, optimizers, starting points, the result."""

import io
from collections.abc import Mapping, Sequence

from impasto.config.model import format_value
from impasto.config.recipe import Recipe
from impasto.config.settings import Settings
from impasto.image.picture import Picture
from impasto.reports.experiment import papers, plots, trials, wording
from impasto.reports.experiment.context import DIGITS, Context, Section
from impasto.reports.experiment.runner import Outcome
from impasto.reports.html import Block, Pictures, Table, Text
from impasto.system.files import publish

FRAME_MS = 400  # of the timelapse
THUMB = 512  # px; inputs on the page are no larger


def course(context: Context) -> Section:
    """How the picture grows out of noise."""
    main = context.outcomes["main"]
    images = [
        context.picture("main", f"round {number}" if number else "start: white noise", "The main run", at)
        for number in trials.SHOWN_ROUNDS
        if (at := max(1, number * trials.ROUND)) in main.pictures
    ]
    frames = [main.pictures[at].read_bytes() for at in sorted(set(main.pictures) - {0})]
    lapse = timelapse(frames)
    publish(context.runner.folder / "figures" / "course.webp", lapse, overwrite=True)
    rounds = context.scope.rounds
    totals = wording.by_round(main.rows, rounds)
    fall = totals[0] - totals[-1]
    share = wording.percent((totals[0] - totals[1]) / fall if fall else 0.0, 1)
    return [
        Pictures(images, f"The main run at {context.scope.size} px, preset paper. Of the fall of its loss "
            f"over all {rounds} rounds, the first makes {share}."),
        Pictures([(lapse, "all rounds, one after the other", "Animation: white noise turns into "
        "the photo in the style of the painting")],
            "A timelapse of the same run; figures/course.webp beside this page."),
    ]  # fmt: skip


def timelapse(pictures: Sequence[bytes]) -> bytes:
    """Return an animated WebP of PNG files, the last one shown longer."""
    from PIL import Image

    frames = [Image.open(io.BytesIO(data), formats=["PNG"]).convert("RGB") for data in pictures]
    times = [FRAME_MS] * (len(frames) - 1) + [6 * FRAME_MS]
    page = io.BytesIO()
    frames[0].save(page, "WEBP", save_all=True, append_images=frames[1:], duration=times, loop=0, quality=85)
    return page.getvalue()


def loss(context: Context) -> Section:
    """The loss curve, where it flattens, and what of it is in the file."""
    rounds, rows = context.scope.rounds, context.rows("main")
    totals = wording.by_round(rows, rounds)
    bounded = wording.by_round(context.rows("lbfgs-bounded"), rounds)
    saved, bounded_saved = (
        saved_losses_by_round(context.outcomes[n], rounds) for n in ("main", "lbfgs-bounded")
    )
    gap = plots.gap({"SciPy, no bounds": (totals, saved), "ours, bounded": (bounded, bounded_saved)})
    table = [
        {
            "round": number, "total": totals[number],
            "fall": 0.0 if not number else 1 - totals[number] / totals[number - 1],
            "content": wording.by_round(rows, rounds, "content")[number],
            "style": wording.by_round(rows, rounds, "style")[number],
            "saved": saved[number], "bounded: total": bounded[number],
            "bounded: saved": bounded_saved[number],
        }
        for number in range(rounds + 1)
    ]  # fmt: skip
    return [
        Text(wording.flattening(totals)),
        context.figure("loss", plots.losses(rows), "Total, content, style and the share of each layer "
            f"against evaluations of the main run. The total falls from {totals[0]:.3g} to {totals[-1]:.3g}.",
            "Curves of the total, content and style loss and of each layer against evaluations, on a "
            "logarithmic axis."),
        Text(wording.gap_sentences(totals, saved, bounded_saved)),
        context.figure("gap", gap, wording.gap_caption(totals[-1], saved[-1], bounded[-1], bounded_saved[-1]),
            "Four curves by round: the optimized and the saved loss, without and with bounds."),
        context.table("rounds", table, "All rounds of the main run: total, its fall in the round as a share, "
            "content, style, and the total of the saved picture; then the bounded run. Weighted "
            "by alpha and beta."),
    ]  # fmt: skip


def saved_losses_by_round(outcome: Outcome, rounds: int) -> list[float]:
    """Return the total loss of the saved picture at the start and after each round.

    A run that ended early keeps its last value.
    """
    ends = [max(1, number * trials.ROUND) for number in range(rounds + 1)]
    return [outcome.saved[at if at in outcome.saved else 0]["total"] for at in ends]


def solvers(context: Context) -> Section:
    """Optimizers side by side on the same objective."""
    names = {
        "main": "SciPy L-BFGS-B, no bounds", "lbfgs-unbounded": "ours, no bounds",
        "lbfgs-bounded": "ours, bounded", "adam": "Adam, bounded",
    }  # fmt: skip
    plot = plots.solvers({label: context.rows(name) for name, label in names.items()})
    rows = [
        {
            "solver": label,
            "evaluations": len(context.rows(name)),
            "seconds": round(wording.seconds_since_first(context.rows(name))[-1], 3),
            "lowest total": min(row["total"] for row in context.rows(name)),
            "total of the saved picture": context.outcomes[name].saved[0]["total"],
        }
        for name, label in names.items()
    ]
    return [
        context.figure("solvers", plot, "The same objective from the same noise. What counts is the saved "
            "picture, in the table: a low total outside the range of a file is no result. Seconds depend "
            "on the machine and on what else it did.",
            "Lowest total so far of four solvers, against evaluations and against seconds."),
        Pictures([context.picture(name, label, "The saved result") for name, label in names.items()],
            "What each of them saved."),
        context.table("solvers", rows, "The solvers at the end of their runs; seconds since the "
        "first evaluation."),
    ]  # fmt: skip


def starts(context: Context) -> Section:
    """Starting points and poolings side by side."""
    shown = [
        context.picture(
            f"start-{init}-{pooling}",
            f"from {what}, {pooling} pooling",
            "The photo in the style of the painting",
        )
        for pooling in ("max", "average")
        for init, what in (("noise", "white noise"), ("content", "the photo"), ("style", "the painting"))
    ]
    evaluations = context.scope.cell_rounds * trials.ROUND
    return [
        Pictures(shown, f"After {evaluations} evaluations at {context.scope.cell} px. "
            "After few evaluations the start can still be seen in the result: the forms of the photo, or "
            "those of the painting. Both papers show pictures made "
            "with average pooling, which they found slightly more appealing.", columns=3)
    ]  # fmt: skip


def result(context: Context) -> Section:
    """The results, large, between what they were made of."""
    blocks: list[Block] = []
    recipes: dict[str, Recipe] = {}
    for number, trial in enumerate(trials.result_trials(context.scope, len(context.runner.pairs))):
        photo, (painting, *_) = context.runner.pairs[number]
        outcome = context.outcomes[trial.name]
        title = f"{photo.name} in the style of {painting.name}"
        shown = [
            (_thumbnail(photo), photo.name, f"The photo {photo.name}"),
            (outcome.picture.read_bytes(), "the result", f"Result: {title}"),
            (_thumbnail(painting), painting.name, f"The painting {painting.name}"),
        ]
        blocks.append(Pictures(shown, f"{title}.", large=1))
        recipes[f"{photo.name} + {painting.name}"] = outcome.recipe
    return [*blocks, *_made(recipes)]


def _thumbnail(picture: Picture) -> bytes:
    return picture.thumbnail(THUMB).encode(".jpg", jpeg_quality=90)


def _made(recipes: Mapping[str, Recipe]) -> list[Block]:
    """Return how the results were made: what all have in common once, then what differs by pair."""
    columns = [_facts(recipe) for recipe in recipes.values()]
    same = [name for name in columns[0] if len({facts.get(name) for facts in columns}) == 1]
    other = [name for facts in columns for name in facts if name not in same]
    return [
        Table(["what", "value"], [[name, columns[0][name]] for name in same if name != "seconds"],
            "Settings, machine and versions" + (" of all results" if len(columns) > 1 else "")
            + ". All other settings are at their defaults; the recipe in each result's file has all of them.",
            whole=True),
        Table(["pair", "seconds", *(names := [n for n in dict.fromkeys(other) if n != "seconds"])],
            [[pair, recipe.seconds, *(facts.get(name, "") for name in names)]
             for (pair, recipe), facts in zip(recipes.items(), columns, strict=True)],
            "Time of each result; it depends on the machine and on what else it did.", digits=DIGITS),
    ]  # fmt: skip


def _facts(recipe: Recipe) -> dict[str, str]:
    """Return the settings that matter and what a result was made with, as text by name."""
    defaults = Settings().model_dump()
    values = {
        name: format_value(value)
        for name, value in recipe.settings.model_dump().items()
        if value != defaults[name] or name in papers.FIELDS
    }
    return values | {
        "device": recipe.runtime.device,
        "threads": format_value(recipe.runtime.threads),
        "precision": recipe.runtime.precision,
        "weights": recipe.weights,
        "impasto": recipe.impasto,
        **recipe.machine,
    }
