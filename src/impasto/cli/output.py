"""Where and how a result is written: `OutputPlan`, checked as far as possible before any work. No torch."""

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from impasto.cli.flags import check_suffix, whole
from impasto.cli.settings_sources import ResolvedSettings, to_toml
from impasto.config import settings_file
from impasto.config.limits import Input
from impasto.config.model import Model
from impasto.config.output import Output
from impasto.errors import InputError
from impasto.messages import printable
from impasto.system.fallback import shortened
from impasto.system.files import WRITABLE, check_target, publish

KEPT = ("force", "recipe", "report")


@dataclass(frozen=True)
class OutputPlan:
    """What one run was asked for; `target` is None for standard output.

    `troubles` are what could not be written as asked, in one line each.
    """

    target: Path | None
    stem: str
    inputs: tuple[Path, ...]
    output: Output
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
    """What a checkpoint keeps of a job, so that the run is gone on with into the same files."""

    target: str | None = None
    stem: str = ""
    output: Output = Output()
    limits: Input | None = None  # those that the inputs were read with
    force: bool = False
    recipe: bool = False
    report: bool = False
    save_every: int = 0


def plan_job(
    stem: str,
    inputs: Sequence[str],
    output: Output,
    given: Mapping[str, Any],
    *,
    suffix: str = ".png",
) -> OutputPlan:
    """Check everything about the output that can be checked before any work.

    Args:
        stem: Of the default name.
        inputs: Files that are read, and so never written over.
        output: How the result is to be written.
        given: The flags of `flags.OUTPUT` that were given, and `save_settings`.
        suffix: Of the default name.
    """
    name = given.get("output")
    switches = ("force", "recipe", "report", "no_checkpoint", "json", "quiet", "verbose")
    options: dict[str, Any] = {key: given[key] for key in switches if key in given}
    if "save_settings" in given:
        options["save_settings"] = settings_target(given["save_settings"])
    if "save_every" in given:
        options["save_every"] = whole("--save-every", given["save_every"], 1)
    if "checkpoint" in given:
        options["checkpoint"] = _checkpoint(given)
    job = OutputPlan(
        target=None if name == "-" else Path(name or "."),
        stem=shortened(stem),
        inputs=tuple(Path(item) for item in inputs if item != "-"),
        output=output,
        **options,
    )
    if job.checkpoint is not None:
        check_target(job.checkpoint, inputs=job.inputs, overwrite=True)
    if job.save_settings is not None:
        check_target(job.save_settings, inputs=job.inputs, overwrite=job.force)
    if job.target is None:
        for key in ("recipe", "report", "json", "save_every"):
            if getattr(job, key):
                raise InputError(f"--{key.replace('_', '-')} needs a file: give -o a name, not -")
        return job
    if name == "":
        raise InputError("-o: the name is empty; give one such as out.png")
    if name is None:
        return with_free_name(job, Path(f"{job.stem}{suffix}"))
    if name.startswith("-"):
        raise InputError(
            f"-o {printable(name)}: is that a flag? write a file of this name as ./{printable(name)}"
        )
    check_suffix(job.target, output.bits)
    _check_all(job, job.target)
    return job


def _checkpoint(given: Mapping[str, Any]) -> Path:
    """Return the file of the checkpoint."""
    if given.get("no_checkpoint"):
        raise InputError("--checkpoint and --no-checkpoint cannot go together; give one of them")
    path = Path(given["checkpoint"])
    if path.suffix.lower() in (*WRITABLE, ".json", ".html", ".toml"):
        raise InputError(
            f"--checkpoint {printable(path)}: that is the name of another kind of file; give one such as "
            "run.checkpoint"
        )
    return path


def _check_all(job: OutputPlan, target: Path) -> None:
    """Refuse a picture, a recipe or intermediate pictures that cannot be written."""
    check_target(target, inputs=job.inputs, overwrite=job.force)
    for path in beside(job, target):
        check_target(path, inputs=job.inputs, overwrite=job.force)
    if job.save_every:
        check_target(numbered(target, 0), inputs=job.inputs, overwrite=True)  # its length
        series = re.compile(re.escape(target.stem) + r"-\d{4,}" + re.escape(target.suffix))
        for path in target.parent.iterdir():
            if series.fullmatch(path.name):
                check_target(path, inputs=job.inputs, overwrite=job.force)


def beside(job: OutputPlan, target: Path) -> list[Path]:
    """Return the files that are written beside the picture: its recipe, its page."""
    asked = {".json": job.recipe, ".html": job.report}
    return [target.with_suffix(suffix) for suffix, wanted in asked.items() if wanted]


def with_free_name(job: OutputPlan, wanted: Path) -> OutputPlan:
    """Return the job with the first name of `out.png`, `out-2.png`, ... that is free."""
    number = 1
    while True:
        numbered = f"{wanted.stem}-{number}{wanted.suffix}"
        target = wanted if number == 1 else wanted.with_name(numbered)
        if not any(os.path.lexists(path) for path in (target, *beside(job, target))):
            check_target(target)
            return replace(job, target=target)
        number += 1


def numbered(target: Path, evaluations: int) -> Path:
    """Return the name of an intermediate picture."""
    return target.with_name(f"{target.stem}-{evaluations:04d}{target.suffix}")


def note_of(job: OutputPlan) -> dict[str, Any]:
    """Return what a checkpoint keeps of a job."""
    target = None if job.target is None else str(job.target.absolute())
    same = {name: getattr(job, name) for name in ("stem", "output", "limits", *KEPT)}
    return SavedOutput(target=target, save_every=job.save_every, **same).model_dump(mode="json")


def settings_target(name: str) -> Path:
    """Return where settings are to be saved; the folder of the user's presets is made if it is that."""
    path = Path(name)
    if path.suffix.lower() != ".toml":
        raise InputError(f"--save-settings {printable(name)}: the name must end in .toml")
    folder = settings_file.preset_folder()
    if path.parent.absolute() == folder.absolute():
        with contextlib.suppress(OSError):  # said when the file is written
            folder.mkdir(parents=True, exist_ok=True)
    return path


def save_settings(path: Path, chosen: ResolvedSettings, *, force: bool) -> None:
    """Write the settings as a TOML file."""
    publish(path, to_toml(chosen).encode(), overwrite=force)
