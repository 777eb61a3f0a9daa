"""`impasto experiment`: the paper's experiment on the user's own pictures, as one page."""

import os
import sys
from inspect import Parameter as Plain
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from impasto.cli import run
from impasto.cli.console import out
from impasto.cli.flags import generated, one_picture, parameter, raw, switch, takes, whole
from impasto.cli.progress import Progress, logged
from impasto.cli.settings_sources import gather
from impasto.config.limits import Input
from impasto.config.runtime import Runtime
from impasto.errors import ExitCode, InputError, OutputError
from impasto.messages import counted, duration, printable
from impasto.reports.experiment.trials import PARTS, QUICK, Scope, parts_of

LARGEST = 2048  # px; of a picture of the experiment
FLAGS = [
    parameter("output", Path, "Folder of the page, made if it is missing. [default: experiment]",
        short=["-o"], allow_leading_hyphen=True),
    switch("quick", "Small pictures and fewer rounds for the small ones; the main run stays complete."),
    parameter("only", str, "Parts to run, by commas; the page keeps those it had. "
        f"[{', '.join(PARTS)}; default: all of them]"),
    parameter("size", int, "Long edge of the main runs; the small pictures have half of it. "
        f"[px; 32 to {LARGEST}; default: {Scope().size}, --quick {QUICK.size}]", "Size"),
    parameter("rounds", int, "Rounds of 20 evaluations of the main runs. "
        f"[1 to 1000; default: {Scope().rounds}]", "Speed"),
    parameter("weights", Path, "VGG-19's weights: a name that impasto weights lists, or a file. "
        "[default: vgg19-original-8bit, which comes with impasto]", "Expert"),
    switch("quiet", "Say nothing but errors.", short=["-q"]),
]  # fmt: skip


PAIR = Parameter(help="A photo and a painting; further pairs may follow.", converter=raw)
PAIRS = [
    Plain("content", Plain.POSITIONAL_ONLY, annotation=Annotated[Path, PAIR]),
    Plain("styles", Plain.VAR_POSITIONAL, annotation=Annotated[Path, PAIR]),
]


@takes([*PAIRS, *FLAGS, *generated(Runtime, Input)])
def experiment(content: str, *styles: str, **given: Any) -> int:
    """Repeat the paper's experiment with your pictures and write a page that explains itself.

    What the layers see, content against style, the course, the loss, optimisers, starts and the result.
    What is finished is kept: the same command goes on where it was interrupted, and --only adds to the page.
    Expect half an hour for three pairs on two processor cores, some minutes with --quick.
    """
    names = [content, *styles]
    if len(names) % 2:
        raise InputError(
            f"{counted(len(names), 'picture')} given, but pictures come in pairs: CONTENT STYLE, or "
            "CONTENT STYLE CONTENT STYLE ..."
        )
    parts, scope = parts_of(given.get("only")), _scope(given)
    fields = (*Runtime.model_fields, *Input.model_fields)
    chosen = gather({key: given[key] for key in fields if key in given})
    runtime = chosen.runtime
    one_picture(runtime)
    files = [run.read(name, chosen.input) for name in names]
    folder = _folder(Path(given.get("output", "experiment")))
    progress = Progress(sys.stderr, quiet=bool(given.get("quiet")))
    with logged(progress, verbose=False):
        from impasto.image.picture import Picture
        from impasto.network.weights.load import load
        from impasto.reports.experiment.experiment import study
        from impasto.reports.experiment.runner import Runner

        opened = [Picture.open(data, name=name, limits=chosen.input) for name, data in files]
        pairs = [(photo, (style,)) for photo, style in zip(opened[::2], opened[1::2], strict=True)]
        bench = Runner(folder, pairs, scope, runtime, load(given.get("weights")))
        run.signals.running = True
        done = study(
            bench,
            parts,
            on_trial=lambda where: progress.say(_line(where)),
            stopping=lambda: run.signals.code is not None,
        )
    how = "interrupted; the same command goes on: " if done.interrupted else ""
    progress.say(
        f"{how}{len(done.parts)} of {counted(len(parts), 'part')} in {duration(done.seconds)}"
    )
    out(printable(done.page))
    return int(run.signals.code or ExitCode.DONE)


def _scope(given: dict[str, Any]) -> Scope:
    """Return how much is to be run."""
    scope = QUICK if given.get("quick") else Scope()
    size = whole("--size", given.get("size", str(scope.size)), 32, LARGEST)
    rounds = whole("--rounds", given.get("rounds", str(scope.rounds)), 1, 1000)
    cell = scope.cell if "size" not in given else max(32, size // 2)
    return Scope(size, cell, rounds, scope.cell_rounds)


def _folder(folder: Path) -> Path:
    if not folder.absolute().parent.is_dir():
        raise OutputError(f"the folder {printable(folder.parent)} does not exist; create it first")
    if os.path.exists(folder) and not folder.is_dir():  # noqa: PTH110  for names that are too long
        raise OutputError(f"{printable(folder)} is a file; give a folder")
    return folder


def _line(where: Any) -> str:
    """Return one line about the trial that begins."""
    size = (
        f"{where.trial.settings.size} px, {where.trial.settings.evaluations_per_scale} evaluations"
    )
    left = "" if where.left is None else f"; {duration(where.left)} left"
    return f"{where.number}/{where.count}  {where.trial.name}: {size}{left}"
