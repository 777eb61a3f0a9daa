"""Where and how a result is written: `OutputPlan`, checked as far as possible before any work. No torch."""

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from impasto.cli.checks import check_suffix, whole
from impasto.cli.console import begin_json_lines, why_no_picture
from impasto.cli.flags import Flags, flag
from impasto.config import settings_file
from impasto.config.limits import Input
from impasto.config.model import Model
from impasto.config.output import Output
from impasto.errors import InputError, OutputError
from impasto.messages import printable
from impasto.system.fallback import shortened
from impasto.system.files import WRITABLE, check_target

SAVED = {"target", "stem", "output", "limits", "force", "recipe", "report", "save_every", "folder", "preview"}
SWITCHES = ("force", "recipe", "report", "no_checkpoint", "quiet", "verbose")


class OutputPlan(Model):
    """What is written of one run, and where. A checkpoint keeps `SAVED` of it for a resumed run.

    Attributes:
        target: The picture; None for standard output.
        stem: Of names where there is no target.
        folder: Where the command was called.
        inputs: Files that are never written over.
        limits: Those that the inputs are read with.
        save_every: Evaluations between intermediate pictures; 0 for none.
        resumed: The run was interrupted before; its own intermediate pictures are replaced.
        preview: A small picture that is kept fresh while it works.
        print_json: Print JSON lines instead of the name of the picture.
        troubles: What could not be written as requested, in one line each.
    """

    target: Path | None = None
    stem: str = ""
    folder: Path | None = None
    inputs: tuple[Path, ...] = ()
    output: Output = Output()
    limits: Input | None = None
    force: bool = False
    recipe: bool = False
    report: bool = False
    save_every: int = 0
    save_settings: Path | None = None
    preview: Path | None = None
    checkpoint: Path | None = None
    no_checkpoint: bool = False
    resumed: bool = False
    print_json: bool = False
    quiet: bool = False
    verbose: bool = False
    troubles: list[str] = Field(default_factory=list)


def plan_output(
    stem: str,
    inputs: Sequence[str],
    output: Output,
    flags: Flags,
    *,
    suffix: str = ".png",
    limits: Input | None = None,
    own_preview: bool = False,
) -> OutputPlan:
    """Check everything about the output that can be checked before any work.

    Args:
        stem: Of the default name.
        inputs: Files that are read, and so never written over.
        output: How the result is to be written.
        flags: What was typed.
        suffix: Of the default name.
        limits: Those that the inputs are read with.
        own_preview: Whether the preview may be there already, from the run that is resumed.

    Raises:
        InputError: Flags do not go together, or a name is wrong.
        OutputError: A file exists already, or cannot be written.
    """
    name, stem = flags.output, shortened(stem)
    folder = named_folder(name)
    if name is None or folder is not None:
        target = free_name((folder or Path()) / f"{stem}{suffix}", flags)
    else:
        target = Path(name)
    plan = OutputPlan(
        target=None if name == "-" else target,
        stem=stem,
        folder=current_folder(),
        inputs=tuple(Path(item) for item in (*inputs, flags.settings or "-") if item != "-"),
        output=output,
        limits=limits,
        save_every=0 if flags.save_every is None else whole("--save-every", flags.save_every, 1),
        save_settings=None if flags.save_settings is None else settings_target(flags.save_settings),
        preview=None if flags.preview is None else Path(flags.preview),
        checkpoint=_checkpoint(flags),
        print_json=flags.json,
        **{switch: getattr(flags, switch) for switch in SWITCHES},
    )
    if plan.checkpoint is not None:
        check_target(plan.checkpoint, inputs=plan.inputs, overwrite=True)
    if plan.preview is not None:
        check_suffix(plan.preview, None)
        check_target(plan.preview, inputs=plan.inputs, overwrite=plan.force or own_preview)
        if plan.target is not None and plan.preview.absolute() == plan.target.absolute():
            raise InputError(f"--preview {printable(plan.preview)} is also the picture; give another name")
    if plan.save_settings is not None:
        check_target(plan.save_settings, inputs=plan.inputs, overwrite=plan.force)
    if name == "-":
        if why := why_no_picture():
            raise InputError(f"-o -: standard output is {why}; write > out.png after it, or -o out.png")
        for needing in ("recipe", "report", "save_every"):
            if getattr(flags, needing):
                raise InputError(f"{flag(needing)} needs a file: give -o a name, not -")
    elif name == "":
        raise InputError("-o: the name is empty; give one such as out.png")
    elif folder is not None:
        check_targets(plan, plan.inputs)
    elif name is not None:
        if name.startswith("-"):
            raise InputError(
                f"-o {printable(name)}: is that a flag? write a file of this name as ./{printable(name)}"
            )
        check_suffix(target, output.bits)
        check_targets(plan, plan.inputs)
    return plan


def begin_lines(flags: Flags) -> None:
    """Begin with JSON lines if they are requested: on standard output, unless that is the picture's."""
    if flags.json:
        begin_json_lines(beside_a_picture=flags.output == "-")


def current_folder() -> Path | None:
    """Return the folder where the command is called; None where it was removed."""
    try:
        return Path.cwd()
    except OSError:
        return None


def named_folder(name: str | None) -> Path | None:
    """Return the folder that a name for the result means: one that is there, or that ends as one does.

    Raises:
        OutputError: It is not there.
    """
    if not name or name == "-":
        return None
    if os.path.isdir(name):  # noqa: PTH112  it does not raise for a name that is too long
        return Path(name)
    if name.endswith(("/", os.sep)):
        raise OutputError(f"the folder {printable(name)} does not exist; create it first")
    return None


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


def check_targets(plan: OutputPlan, inputs: Sequence[Path]) -> None:
    """Refuse a picture, a recipe, a page or intermediate pictures that cannot be written, or are inputs."""
    if plan.target is None:
        return
    paths = [plan.target, *files_beside(plan, plan.target)]
    if plan.save_every:
        check_target(numbered(plan.target, 0), inputs=inputs, overwrite=True)  # its length
        series = re.compile(re.escape(plan.target.stem) + r"-\d{4,}" + re.escape(plan.target.suffix))
        paths += [path for path in plan.target.parent.iterdir() if series.fullmatch(path.name)]
    for path in paths:
        check_target(path, inputs=inputs, overwrite=plan.force)


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
    """Return what a checkpoint keeps of a plan, as JSON has it."""
    target, preview = (path and path.absolute() for path in (plan.target, plan.preview))
    return plan.changed(target=target, preview=preview).model_dump(mode="json", include=SAVED)


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
