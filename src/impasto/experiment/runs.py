"""The sections about runs: the course, the loss, optimisers, starting points, the result."""

import io
from collections.abc import Sequence

from impasto.experiment import findings, plan, plots
from impasto.experiment.bench import Outcome
from impasto.experiment.desk import Desk, Section, small
from impasto.models import shown
from impasto.page import Block, Figure, Pictures, Table, Text
from impasto.publish import publish
from impasto.recipe import Recipe

FRAME_MS = 400  # of the timelapse


def course(desk: Desk) -> Section:
    """How the picture grows out of noise."""
    main = desk.outcomes["main"]
    steps = [(n, max(1, n * plan.ROUND)) for n in plan.SHOWN_ROUNDS]
    shown = [
        desk.shown("main", f"round {number}" if number else "start: white noise", at)
        for number, at in steps
        if at in main.pictures
    ]
    frames = [main.pictures[at] for at in sorted(set(main.pictures) - {0})]
    lapse = timelapse([path.read_bytes() for path in frames])
    publish(desk.bench.folder / "figures" / "course.webp", lapse, overwrite=True)
    return "The course of the run", [
        Pictures(shown, f"The main run at {desk.scope.size} px, preset paper. The large forms come in the "
            f"first "
            "rounds; later ones work on what the eye hardly sees."),
        Pictures([(lapse, "all rounds, one after the other", "animation of the rounds")],
            "A timelapse of the same run; course.webp beside this page."),
    ]  # fmt: skip


def timelapse(pictures: Sequence[bytes]) -> bytes:
    """Return an animated WebP of PNG files, the last one shown longer."""
    from PIL import Image

    frames = [Image.open(io.BytesIO(data)).convert("RGB") for data in pictures]
    times = [FRAME_MS] * (len(frames) - 1) + [6 * FRAME_MS]
    page = io.BytesIO()
    frames[0].save(
        page, "WEBP", save_all=True, append_images=frames[1:], duration=times, loop=0, quality=85
    )
    return page.getvalue()


def loss(desk: Desk) -> Section:
    """The loss curve, where it flattens, and what of it is in the file."""
    rounds, rows = desk.scope.rounds, desk.rows("main")
    totals = findings.by_round(rows, rounds)
    bounded = findings.by_round(desk.rows("lbfgs-bounded"), rounds)
    saved, bounded_saved = (
        saved_by_round(desk.outcomes[n], rounds) for n in ("main", "lbfgs-bounded")
    )
    curve = desk.save("loss", plots.losses(rows))
    names = ("SciPy, no bounds", "ours, bounded")
    gap = desk.save("gap", plots.gap({names[0]: totals, names[1]: bounded},
        {names[0]: saved, names[1]: bounded_saved}))  # fmt: skip
    table = [
        {
            "round": number, "total": totals[number],
            "fall in the round": 0.0 if not number else 1 - totals[number] / totals[number - 1],
            "content": findings.by_round(rows, rounds, "content")[number],
            "style": findings.by_round(rows, rounds, "style")[number],
            "saved picture": saved[number], "bounded run": bounded[number],
            "its saved picture": bounded_saved[number],
        }
        for number in range(rounds + 1)
    ]  # fmt: skip
    return "The loss", [
        Text(findings.flattening(totals)),
        Figure(curve.png, "Total, content, style and the share of each layer against evaluations of the main "
            "run. It falls by orders of magnitude at first and ever more slowly.", "Falling curves.",
            curve.svg, "loss"),
        Text(findings.gap_words(totals, saved, bounded_saved)),
        Figure(gap.png, "The loss that was optimised (lines) and that of the saved picture (dashed, dots). "
            "Without bounds they part; with bounds they are one.", "Curves by round.", gap.svg, "gap"),
        desk.table("rounds", table, "All rounds. Losses are weighted by alpha and beta."),
    ]  # fmt: skip


def saved_by_round(outcome: Outcome, rounds: int) -> list[float]:
    """Return the total of the saved picture at the start and after each round; the last one goes on."""
    found: list[float] = []
    for number in range(rounds + 1):
        at = max(1, number * plan.ROUND)
        found.append(
            outcome.saved[at]["total"] if at in outcome.saved else outcome.saved[0]["total"]
        )
    return found


def solvers(desk: Desk) -> Section:
    """Optimisers side by side on the same objective."""
    names = {
        "main": "SciPy L-BFGS-B, no bounds", "lbfgs-unbounded": "ours, no bounds",
        "lbfgs-bounded": "ours, bounded", "adam": "Adam, bounded",
    }  # fmt: skip
    plot = desk.save("solvers", plots.solvers({label: desk.rows(n) for n, label in names.items()}))
    rows = [
        {
            "solver": label,
            "evaluations": len(desk.rows(name)),
            "seconds": desk.rows(name)[-1]["seconds"],
            "lowest total": min(row["total"] for row in desk.rows(name)),
            "total of the saved picture": desk.outcomes[name].saved[0]["total"],
        }
        for name, label in names.items()
    ]
    return "Optimisers side by side", [
        Figure(plot.png, "The same objective from the same noise. What counts is the saved picture, in the "
            "table: a low total outside the range of a file is no result.", "Falling curves of four solvers.",
            plot.svg, "solvers"),
        Pictures([desk.shown(name, label) for name, label in names.items()], "What each of them saved."),
        desk.table("solvers", rows, "The solvers at the end of their runs."),
    ]  # fmt: skip


def starts(desk: Desk) -> Section:
    """Starting points and poolings side by side."""
    shown = [
        desk.shown(f"start-{init}-{pooling}", f"from {what}, {pooling} pooling")
        for pooling in ("max", "average")
        for init, what in (
            ("noise", "white noise"),
            ("content", "the photo"),
            ("style", "the painting"),
        )
    ]
    return "Starting points and pooling", [
        Pictures(shown, f"After {desk.scope.cell_rounds * plan.ROUND} evaluations at {desk.scope.cell} px. "
            "The start is still seen in the result: from the photo its forms are there at once, from the "
            "painting its own. Average pooling, which the paper suggests, looks smoother.", columns=3)
    ]  # fmt: skip


def result(desk: Desk) -> Section:
    """The results, large, between what they were made of."""
    blocks: list[Block] = []
    for number, trial in enumerate(plan.result_trials(desk.scope, len(desk.bench.pairs))):
        photo, (painting, *_) = desk.bench.pairs[number]
        outcome = desk.outcomes[trial.name]
        made = (outcome.picture.read_bytes(), "the result", "picture: the result")
        blocks.append(
            Pictures(
                [
                    (small(photo), photo.name, "the photo"),
                    made,
                    (small(painting), painting.name, "the painting"),
                ],
                f"{photo.name} in the style of {painting.name}.",
                large=1,
            )
        )
        recipe = outcome.recipe
        blocks.append(
            Table(
                ["what", "value"],
                list[list[str | int | float]](
                    [name, str(value)] for name, value in recipe.settings.model_dump().items()
                )
                + [
                    ["seconds", recipe.seconds],
                    ["device", recipe.runtime.device],
                    ["threads", str(recipe.runtime.threads)],
                    ["precision", recipe.runtime.precision],
                    ["weights", recipe.weights],
                    ["impasto", recipe.impasto],
                ]
                + [[name, value] for name, value in recipe.machine.items()],
                "Settings, time, machine and versions.",
            )
        )
    return "The result", blocks


def _settings(recipe: Recipe) -> list[list[str | int | float]]:
    return [[name, shown(value)] for name, value in recipe.settings.model_dump().items()]
