"""`impasto experiment`: style transfer with VGG-19 as an experiment on the user's own pictures, one page."""

import os
from dataclasses import replace
from inspect import Parameter as Plain
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from impasto.cli import run
from impasto.cli.arguments import read
from impasto.cli.checks import check_no_budget, whole
from impasto.cli.console import out
from impasto.cli.flags import Flags, argument, generated, one_of, parameter, switch, takes
from impasto.cli.progress import show_progress
from impasto.cli.settings_sources import gather
from impasto.config.limits import Input
from impasto.config.runtime import Runtime
from impasto.errors import ExitCode, InputError, OutputError
from impasto.messages import counted, duration, printable
from impasto.reports.experiment.trials import (
    MOST_ALPHAS,
    PARTS,
    QUICK,
    Base,
    Pooling,
    Scope,
    Start,
    Trial,
    parse_alphas,
    parse_parts,
)

if TYPE_CHECKING:
    from impasto.reports.experiment.experiment import TrialProgress

LARGEST = 2048  # px; of a picture of the experiment
FLAGS = [
    parameter("output", Path, "Folder of the page, made if it is missing. [default: experiment]",
        common=True, short=["-o"], allow_leading_hyphen=True),
    switch("quick", "Small pictures and fewer rounds for the small ones; the main run stays complete.",
        common=True),
    parameter("only", str, "Parts to run, by commas; the page keeps those it had. "
        f"[{', '.join(PARTS)}; default: all of them]", common=True),
    parameter("preset", str, "Weights and pooling of all runs but the strict ones; those are preset paper. "
        f"[{', '.join(get_args(Base))}; default: {Scope().preset}]", "Look", common=True),
    parameter("pooling", str, "Pooling of all runs but the strict ones. "
        f"[{', '.join(get_args(Pooling))}; default: the preset's]", "Expert", common=True),
    parameter("alpha", str, "Values of alpha in the grid of content against style, such as 0.01,0.1,1. "
        f"[2 to {MOST_ALPHAS} numbers; default: measured at the size]", "Look", common=True),
    parameter("start", str, "Start of all runs but the strict ones, and but those that compare starts. "
        f"[{', '.join(get_args(Start))}; default: {Scope().start}]", "Start", common=True),
    parameter("size", int, "Long edge of the large runs; the small pictures have half of it. "
        f"[px; 32 to {LARGEST}; default: {Scope().size}, --quick {QUICK.size}]", "Size", common=True),
    parameter("rounds", int, "Rounds of 20 evaluations of the large runs. "
        f"[1 to 1000; default: {Scope().rounds}, --quick {QUICK.rounds}]", "Speed", common=True),
    parameter("weights", Path, "VGG-19's weights in all runs: normalized, another name that impasto weights "
        "lists, or a file. [default: those of each preset]", "Expert"),
    switch("quiet", "Say nothing but errors.", common=True, short=["-q"]),
]  # fmt: skip

ABOUT = "A photo and a painting; further pairs may follow."
PAIRS = [argument("content", ABOUT), argument("styles", ABOUT, Plain.VAR_POSITIONAL)]


@takes([*PAIRS, *FLAGS, *generated(Runtime, Input, common=frozenset())])
def experiment(content: str, *styles: str, flags: Flags) -> int:
    """Show on a page how style transfer works, with your pictures.

    What the layers see, content against style, the course, the loss, optimizers, starts and the result.
    What is finished is kept: the same command continues an interrupted one, and --only adds to the page.
    How long it will take is measured first and said.
    """
    names = [content, *styles]
    if len(names) % 2:
        raise InputError(
            f"{counted(len(names), 'picture')} given, but pictures come in pairs: CONTENT STYLE, or "
            "CONTENT STYLE CONTENT STYLE ..."
        )
    parts, scope = parse_parts(flags.only), _scope(flags)
    resolved = gather(replace(flags, preset=None))
    check_no_budget(resolved.runtime)
    files = [read(name, resolved.input) for name in names]
    folder = Path("experiment" if flags.output is None else flags.output)
    if not folder.absolute().parent.is_dir():
        raise OutputError(f"the folder {printable(folder.parent)} does not exist; create it first")
    if os.path.exists(folder) and not folder.is_dir():  # noqa: PTH110  for names that are too long
        raise OutputError(f"{printable(folder)} is a file; give a folder")
    with show_progress(quiet=flags.quiet) as progress:
        from impasto.image.picture import Picture
        from impasto.network.weights.load import load
        from impasto.reports.experiment.experiment import run_experiment
        from impasto.reports.experiment.runner import Runner

        begun: list[Trial] = []

        def on_trial(event: "TrialProgress") -> None:
            trial, left = event.trial, event.seconds_left
            if not begun:
                begun.append(trial)
                runs = counted(event.count - event.number + 1, "run")
                progress.say(f"{runs}, about {duration(left)} by a few evaluations on this machine")
            size = f"{trial.settings.size} px, {trial.settings.evaluations_per_scale} evaluations"
            progress.say(f"{event.number}/{event.count}  {trial.name}: {size}; {duration(left)} left")

        pictures = [Picture.open(data, name=name, limits=resolved.input) for name, data in files]
        pairs = [(p, (style,)) for p, style in zip(pictures[::2], pictures[1::2], strict=True)]
        weights = flags.changes.get("weights")
        runner = Runner(folder, pairs, scope, resolved.runtime, None if weights is None else load(weights))
        run.signals.running = True
        done = run_experiment(runner, parts, on_trial=on_trial, stopping=lambda: run.signals.code is not None)
    how = "interrupted; the same command continues: " if done.interrupted else ""
    progress.say(f"{how}{len(done.parts)} of {counted(len(parts), 'part')} in {duration(done.seconds)}")
    out(printable(done.page))
    return int(run.signals.code or ExitCode.DONE)


def _scope(flags: Flags) -> Scope:
    """Return how much is to be run, and with what."""
    scope = QUICK if flags.quick else Scope()
    if "size" in flags.changes:
        size = whole("--size", flags.changes["size"], 32, LARGEST)
        scope = replace(scope, size=size, cell=max(32, size // 2))
    if flags.rounds is not None:
        scope = replace(scope, rounds=whole("--rounds", flags.rounds, 1, 1000))
    if flags.preset is not None:
        scope = replace(scope, preset=one_of("preset", get_args(Base), flags.preset))
    if "pooling" in flags.changes:
        scope = replace(scope, pooling=one_of("pooling", get_args(Pooling), flags.changes["pooling"]))
    if flags.start is not None:
        scope = replace(scope, start=one_of("start", get_args(Start), flags.start))
    return scope if flags.alpha is None else replace(scope, alphas=parse_alphas(flags.alpha))
