"""Where and how a result is written: `OutputPlan`, checked as far as possible before any work. No torch."""

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from impasto.cli.checks import check_suffix, whole
from impasto.cli.flags import Flags, flag
from impasto.cli.settings_sources import ResolvedSettings, to_toml
from impasto.config import settings_file
from impasto.config.limits import Input
from impasto.config.model import Model
from impasto.config.output import Output
from impasto.errors import InputError
from impasto.messages import printable
from impasto.system.fallback import shortened
from impasto.system.files import WRITABLE, check_target, publish

NEED_FILE = (
    "recipe",
    "report",
    "json",
    "save_every",
)  # flags that standard output does not go with


@dataclass(frozen=True)
class OutputPlan:
    """What is written of one run, and where.

    Attributes:
        target: The picture; None for standard output.
        stem: Of names where there is no target.
        inputs: Files that are never written over.
        limits: Those that the inputs are read with.
        save_every: Evaluations between intermediate pictures; 0 for none.
        resumed: The run was interrupted before; its own intermediate pictures are replaced.
        troubles: What could not be written as requested, in one line each.
    """

    target: Path | None = None
    stem: str = ""
    inputs: tuple[Path, ...] = ()
    output: Output = field(default_factory=Output)
    limits: Input | None = None
    force: bool = False
    recipe: bool = False
    report: bool = False
    save_every: int = 0
    save_settings: Path | None = None
    checkpoint: Path | None = None
    no_checkpoint: bool = False
    resumed: bool = False
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    troubles: list[str] = field(default_factory=list)


class SavedOutput(Model):
    """What a checkpoint keeps of an `OutputPlan`, so that a resumed run writes the same files."""

    target: str | None = None
    stem: str = ""
    output: Output = Output()
    limits: Input | None = None
    force: bool = False
    recipe: bool = False
    report: bool = False
    save_every: int = 0


def plan_output(
    stem: str,
    inputs: Sequence[str],
    output: Output,
    flags: Flags,
    *,
    suffix: str = ".png",
) -> OutputPlan:
    """Check everything about the output that can be checked before any work.

    Args:
        stem: Of the default name.
        inputs: Files that are read, and so never written over.
        output: How the result is to be written.
        flags: What was typed.
        suffix: Of the default name.

    Raises:
        InputError: Flags do not go together, or a name is wrong.
        OutputError: A file exists already, or cannot be written.
    """
    name = flags.output
    plan = OutputPlan(
        target=None if name == "-" else Path(name or "."),
        stem=shortened(stem),
        inputs=tuple(Path(item) for item in inputs if item != "-"),
        output=output,
        force=flags.force,
        recipe=flags.recipe,
        report=flags.report,
        save_every=0 if flags.save_every is None else whole("--save-every", flags.save_every, 1),
        save_settings=None if flags.save_settings is None else settings_target(flags.save_settings),
        checkpoint=_checkpoint(flags),
        no_checkpoint=flags.no_checkpoint,
        json=flags.json,
        quiet=flags.quiet,
        verbose=flags.verbose,
    )
    if plan.checkpoint is not None:
        check_target(plan.checkpoint, inputs=plan.inputs, overwrite=True)
    if plan.save_settings is not None:
        check_target(plan.save_settings, inputs=plan.inputs, overwrite=plan.force)
    if plan.target is None:
        for needing in NEED_FILE:
            if getattr(plan, needing):
                raise InputError(f"{flag(needing)} needs a file: give -o a name, not -")
        return plan
    if name is None:
        return replace(plan, target=free_name(Path(f"{plan.stem}{suffix}"), plan))
    if name == "":
        raise InputError("-o: the name is empty; give one such as out.png")
    if name.startswith("-"):
        raise InputError(
            f"-o {printable(name)}: is that a flag? write a file of this name as ./{printable(name)}"
        )
    check_suffix(plan.target, output.bits)
    _check_targets(plan, plan.target)
    return plan


def _checkpoint(flags: Flags) -> Path | None:
    """Return the file of the checkpoint, if one is named."""
    if flags.checkpoint is None:
        return None
    if flags.no_checkpoint:
        raise InputError("--checkpoint and --no-checkpoint cannot go together; give one of them")
    path = Path(flags.checkpoint)
    if path.suffix.lower() in (*WRITABLE, ".json", ".html", ".toml"):
        raise InputError(
            f"--checkpoint {printable(path)}: that is the name of another kind of file; give one such as "
            "run.checkpoint"
        )
    return path


def _check_targets(plan: OutputPlan, target: Path) -> None:
    """Refuse a picture, a recipe, a page or intermediate pictures that cannot be written."""
    for path in (target, *files_beside(plan, target)):
        check_target(path, inputs=plan.inputs, overwrite=plan.force)
    if plan.save_every:
        check_target(numbered(target, 0), inputs=plan.inputs, overwrite=True)  # its length
        series = re.compile(re.escape(target.stem) + r"-\d{4,}" + re.escape(target.suffix))
        for path in target.parent.iterdir():
            if series.fullmatch(path.name):
                check_target(path, inputs=plan.inputs, overwrite=plan.force)


def files_beside(plan: OutputPlan | Flags, target: Path) -> list[Path]:
    """Return the files that are written beside the picture: its recipe, its page."""
    recipe = [target.with_suffix(".json")] if plan.recipe else []
    return recipe + ([target.with_suffix(".html")] if plan.report else [])


def free_name(target: Path, plan: OutputPlan | Flags) -> Path:
    """Return the first name of `out.png`, `out-2.png`, ... that is free, as are those beside it."""
    number, path = 1, target
    while any(os.path.lexists(taken) for taken in (path, *files_beside(plan, path))):
        number += 1
        path = target.with_name(f"{target.stem}-{number}{target.suffix}")
    check_target(path)
    return path


def numbered(target: Path, evaluations: int) -> Path:
    """Return the name of an intermediate picture."""
    return target.with_name(f"{target.stem}-{evaluations:04d}{target.suffix}")


def saved_output(plan: OutputPlan) -> dict[str, Any]:
    """Return what a checkpoint keeps of a plan, as JSON has it; see `SavedOutput`."""
    saved = SavedOutput(
        target=None if plan.target is None else str(plan.target.absolute()),
        stem=plan.stem,
        output=plan.output,
        limits=plan.limits,
        force=plan.force,
        recipe=plan.recipe,
        report=plan.report,
        save_every=plan.save_every,
    )
    return saved.model_dump(mode="json")


def settings_target(name: str) -> Path:
    """Return where settings are to be saved; the folder of the user's presets is made if it is that."""
    path = Path(name)
    if path.suffix.lower() != ".toml":
        raise InputError(f"--save-settings {printable(name)}: the name must end in .toml")
    folder = settings_file.preset_folder()
    if path.parent.absolute() == folder.absolute():
        with contextlib.suppress(OSError):  # reported when the file is written
            folder.mkdir(parents=True, exist_ok=True)
    return path


def save_settings(path: Path, settings: ResolvedSettings, *, force: bool) -> None:
    """Write the settings as a TOML file."""
    publish(path, to_toml(settings).encode(), overwrite=force)
