"""Sections of the page about runs: the course, the loss, optimizers, starting points, the result."""

import io
from collections.abc import Mapping, Sequence

from impasto.config.model import format_value
from impasto.config.recipe import Recipe
from impasto.config.settings import Settings
from impasto.image.picture import Picture
from impasto.reports.experiment import papers, plots, trials, wording
from impasto.reports.experiment.context import DIGITS, Context, Section
from impasto.reports.experiment.runner import BALANCE, Outcome
from impasto.reports.html import Block, Pictures, Table, Text
from impasto.system.files import publish

FRAME_MS = 400  # of the timelapse
THUMB = 512  # px; inputs on the page are no larger
STARTS = {
    "gray": "gray with faint noise",
    "noise": "white noise",
    "content": "the photo",
    "style": "the painting",
}


def course(context: Context) -> Section:
    """How the picture grows out of its start, in balance and strictly."""
    main = context.outcomes["balance"]
    lapse = timelapse([main.pictures[at].read_bytes() for at in sorted(set(main.pictures) - {0})])
    publish(context.runner.folder / "figures" / "course.webp", lapse, overwrite=True)
    return [
        _rounds(context, "balance", "The run in balance"),
        Pictures([(lapse, "all rounds, one after the other", "Animation: the start turns into "
        "the photo in the style of the painting")],
            "A timelapse of the same run; figures/course.webp beside this page."),
        _rounds(context, "main", "The strict run"),
        Text(why_strict(context, "main", "balance")),
    ]  # fmt: skip


def _rounds(context: Context, name: str, what: str) -> Pictures:
    """Return the pictures of a run, round by round."""
    outcome, rounds = context.outcomes[name], context.scope.rounds
    settings = outcome.recipe.settings
    images = [
        context.picture(name, f"round {number}" if number else f"start: {STARTS[settings.init]}", what, at)
        for number in sorted({*trials.SHOWN_ROUNDS, rounds})
        if (at := max(1, number * trials.ROUND)) in outcome.pictures
    ]
    totals = wording.by_round(outcome.rows, rounds)
    fall = totals[0] - totals[-1]
    share = wording.percent((totals[0] - totals[1]) / fall if fall else 0.0, 1)
    return Pictures(images, f"{what}, {context.scope.size} px: {made_with(outcome)}. The first round makes "
        f"{share} of the fall of its loss over all {rounds} rounds.")  # fmt: skip


def made_with(outcome: Outcome) -> str:
    """Say with what a run was made, as far as the runs of this page differ."""
    settings, weights = outcome.recipe.settings, outcome.recipe.weights
    solver = {"scipy": "SciPy's L-BFGS-B", "lbfgs": "L-BFGS", "adam": "Adam"}[settings.solver]
    bounds = "pixels bounded" if settings.bounded and settings.solver != "scipy" else "no bounds"
    return (
        f"start {STARTS[settings.init]}, {settings.pooling} pooling, weights {weights}, alpha "
        f"{settings.content_weight:g}, beta {settings.style_weight:g}, {solver}, {bounds}"
    )


def why_strict(context: Context, strict: str, balanced: str) -> str:
    """Say how a strict run differs from one in balance, and what follows for the photo in it."""
    one, other = context.outcomes[strict], context.outcomes[balanced]
    (*_, scale) = one.recipe.scales
    grain = " which leaves less grain than white noise," if other.recipe.settings.init == "gray" else ""
    return (
        "The strict run is preset paper, unchanged but for size and number of evaluations. Its content loss "
        "is a sum over positions, its style loss a mean over them, so that the same alpha counts more the "
        "larger the picture is. A picture is in "
        f"balance where alpha times the content loss of the painting is {BALANCE:g} times beta times the "
        f"style loss of the photo. At {scale.width} x {scale.height} px, with the pooling and the weights of "
        f"the strict run, that is alpha {one.balance or one.alpha:.3g}: its alpha of {one.alpha:g} is "
        f"{one.share:.2g} times that. The other run starts from {STARTS[other.recipe.settings.init]},{grain} "
        f"and has alpha {other.alpha:g}, which is {other.share:.2g} times the alpha of its own balance."
    )


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
    rounds, fewer = context.scope.rounds, context.scope.solver_rounds
    totals, saved = _by_round(context, "main", rounds)
    calm, calm_saved = _by_round(context, "balance", rounds)
    free, free_saved = _by_round(context, "solver-scipy", fewer)
    bounded, bounded_saved = _by_round(context, "solver-lbfgs-bounded", fewer)
    gap = plots.gap({"SciPy, no bounds": (free, free_saved), "ours, bounded": (bounded, bounded_saved)})
    table = [
        {
            "round": number, "total": totals[number],
            "fall": 0.0 if not number else 1 - totals[number] / totals[number - 1],
            "content": wording.by_round(context.rows("main"), rounds, "content")[number],
            "style": wording.by_round(context.rows("main"), rounds, "style")[number],
            "saved": saved[number], "in balance: total": calm[number],
            "in balance: saved": calm_saved[number],
        }
        for number in range(rounds + 1)
    ]  # fmt: skip
    return [
        *(block for name, title, series in
            (("main", "the strict run", totals), ("balance", "the run in balance", calm))
            for block in _curve(context, name, title, series)),
        Text(wording.gap_sentences(free, free_saved, bounded_saved)),
        context.figure("gap", gap, wording.gap_caption(free[-1], free_saved[-1], bounded[-1],
            bounded_saved[-1]), "Four curves by round: the optimized and the saved loss, without and "
            "with bounds."),
        context.table("rounds", table, "Rounds of the strict run: total, its fall in the round as a share, "
            "content, style, and the total of the saved picture; then the run in balance, whose loss is "
            "another. Weighted by alpha and beta."),
    ]  # fmt: skip


def _by_round(context: Context, name: str, rounds: int) -> tuple[list[float], list[float]]:
    """Return the total of a run and that of its saved picture, at the start and after each round."""
    totals = wording.by_round(context.rows(name), rounds)
    return totals, saved_losses_by_round(context.outcomes[name], rounds)


def _curve(context: Context, name: str, title: str, totals: Sequence[float]) -> Section:
    """Return what is said of a run's loss, and its curves."""
    rows = context.rows(name)
    return [
        context.figure("loss" if name == "main" else f"loss-{name}", plots.losses(rows),
            f"Total, content, style and the share of each layer against evaluations of {title}. The total "
            f"falls from {totals[0]:.3g} to {totals[-1]:.3g}.",
            f"Curves of the total, content and style loss of {title} and of each layer against evaluations, "
            "on a logarithmic axis."),
        Text(f"{title[0].upper()}{title[1:]}: {wording.flattening(totals)}"),
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
        "solver-scipy": "SciPy L-BFGS-B, no bounds", "solver-lbfgs-unbounded": "ours, no bounds",
        "solver-lbfgs-bounded": "ours, bounded", "solver-adam": "Adam, bounded",
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
        context.figure("solvers", plot, "The same objective from the same start. What counts is the saved "
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
            f"from {STARTS[init]}, {pooling} pooling",
            "The photo in the style of the painting",
        )
        for pooling in trials.POOLINGS
        for init in STARTS
    ]
    evaluations = context.scope.cell_rounds * trials.ROUND
    return [
        Pictures(shown, f"After {evaluations} evaluations at {context.scope.cell} px, each in balance for "
            "its pooling. After few evaluations the start can still be seen in the result: the forms of the "
            "photo, or those of the painting.", columns=3)
    ]  # fmt: skip


def result(context: Context) -> Section:
    """The results, large, between what they were made of."""
    blocks: list[Block] = []
    recipes: dict[str, Recipe] = {}
    for number, (photo, (painting, *_)) in enumerate(context.runner.pairs):
        balanced = trials.balanced_trial(context.scope, number)
        strict = trials.main_trial(context.scope, number)
        title = f"{photo.name} in the style of {painting.name}"
        shown = [
            (_thumbnail(photo), photo.name, f"The photo {photo.name}"),
            context.picture(balanced.name, "in balance", f"Result: {title}"),
            context.picture(strict.name, "strict", f"Result: {title}"),
            (_thumbnail(painting), painting.name, f"The painting {painting.name}"),
        ]
        why = why_strict(context, strict.name, balanced.name)
        blocks.append(Pictures(shown, f"{title}. {why}", large=1))
        for name, trial in (("in balance", balanced), ("strict", strict)):
            recipes[f"{photo.name} + {painting.name}, {name}"] = context.outcomes[trial.name].recipe
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
