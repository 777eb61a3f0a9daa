"""From flags to a picture on disk: what `stylize`, `demo` and `reproduce` share. torch comes late.

Everything that can be checked without torch is checked before it is imported.
"""

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto import sheets
from impasto.console import complain, out
from impasto.errors import ExitCode, InputError, Stop
from impasto.flags import check_suffix, whole
from impasto.limits import Input
from impasto.progress import Progress, Signals, duration, logged, report
from impasto.publish import check_length, check_target, printable, publish, read_whole
from impasto.settings import Output, Style
from impasto.sources import Chosen, to_toml

if TYPE_CHECKING:
    from impasto.history import Step
    from impasto.picture import Picture
    from impasto.report import Course
    from impasto.result import Result

LONGEST = {".webp": 16_383, ".avif": 16_384}  # px on a side, of the format
LONGEST_STEM = 120  # characters of a default name

signals = Signals()


@dataclass(frozen=True)
class Job:
    """What one run was asked for; `target` is None for standard output."""

    target: Path | None
    stem: str
    inputs: tuple[Path, ...]
    output: Output
    force: bool = False
    recipe: bool = False
    report: bool = False
    save_every: int = 0
    save_settings: Path | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False


# --- what can be checked before any work ---------------------------------------------------------


def plan_job(
    stem: str,
    inputs: Sequence[str],
    output: Output,
    given: Mapping[str, Any],
    *,
    suffix: str = ".png",
) -> Job:
    """Check everything about the output that can be checked before any work.

    Args:
        stem: Of the default name.
        inputs: Files that are read, and so never written over.
        output: How the result is to be written.
        given: The flags of `flags.OUTPUT` that were given, and `save_settings`.
        suffix: Of the default name.
    """
    name = given.get("output")
    asked = ("force", "recipe", "report", "save_every", "json", "quiet", "verbose")
    options: dict[str, Any] = {key: given[key] for key in asked if key in given}
    if "save_settings" in given:
        options["save_settings"] = settings_target(given["save_settings"])
    if "save_every" in given:
        options["save_every"] = whole("--save-every", given["save_every"], 1)
    job = Job(
        target=None if name == "-" else Path(name or "."),
        stem=stem[:LONGEST_STEM],
        inputs=tuple(Path(item) for item in inputs if item != "-"),
        output=output,
        **options,
    )
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
        return free(job, Path(f"{printable(job.stem)}{suffix}"))
    if name.startswith("-"):
        raise InputError(f"-o {printable(name)}: names of files start with ./ or a letter")
    check_suffix(job.target, output.bits)
    _check_all(job, job.target)
    return job


def _check_all(job: Job, target: Path) -> None:
    """Refuse a picture, a recipe or intermediate pictures that cannot be written."""
    check_target(target, inputs=job.inputs, overwrite=job.force)
    for path in beside(job, target):
        check_target(path, inputs=job.inputs, overwrite=job.force)
    if job.save_every:
        series = re.compile(re.escape(target.stem) + r"-\d{4,}" + re.escape(target.suffix))
        for path in target.parent.iterdir():
            if series.fullmatch(path.name):
                check_target(path, inputs=job.inputs, overwrite=job.force)


def beside(job: Job, target: Path) -> list[Path]:
    """Return the files that are written beside the picture: its recipe, its page."""
    asked = {".json": job.recipe, ".html": job.report}
    return [target.with_suffix(suffix) for suffix, wanted in asked.items() if wanted]


def free(job: Job, wanted: Path) -> Job:
    """Return the job with the first name of `out.png`, `out-2.png`, ... that is free."""
    number = 1
    while True:
        numbered = f"{wanted.stem}-{number}{wanted.suffix}"
        target = wanted if number == 1 else wanted.with_name(numbered)
        if not any(os.path.lexists(path) for path in (target, *beside(job, target))):
            check_target(target)
            return replace(job, target=target)
        number += 1


def read(name: str, limits: Input) -> tuple[str, bytes]:
    """Return an input's name and all its bytes; `-` is standard input."""
    if name != "-":
        return Path(name).name, read_whole(name, limits.max_bytes)
    data = sys.stdin.buffer.read(limits.max_bytes + 1)
    check_length(data, limits.max_bytes, "standard input")
    return "stdin", data


# --- the run -------------------------------------------------------------------------------------


@contextlib.contextmanager
def shown(job: Job) -> Iterator[Progress]:
    """Show progress and the library's log while the block runs."""
    progress = Progress(sys.stderr, quiet=job.quiet)
    with logged(progress, verbose=job.verbose), contextlib.closing(progress):
        yield progress


def paint(
    job: Job,
    progress: Progress,
    chosen: Chosen,
    photo: "Picture",
    styles: list[Style],
    start: "Picture | None",
    course: "Course | None" = None,
) -> "Result":
    """Say the choice of size, run, and show how it goes; `course` watches for the page."""
    from impasto import machine, pyramid, transfer

    machine.keep_no_pictures()
    runtime = machine.resolve(chosen.runtime, chosen.settings)
    if runtime.budget is not None:  # the command's, not only the computation's
        runtime = runtime.changed(budget=max(0.001, runtime.budget - machine.process_age()))
    edge = pyramid.long_edge(photo.width, photo.height, chosen.settings)
    width, height = pyramid.fit(photo.width, photo.height, edge)
    long = max(photo.width, photo.height)
    all_of_it = f"; --size {long} for all of it" if edge < long else ""
    said = f"{width} x {height} px (the photo is {photo.width} x {photo.height}{all_of_it})"
    suffix = job.target.suffix.lower() if job.target else ".png"
    if suffix in LONGEST and max(width, height) > LONGEST[suffix]:
        longest = f"a {suffix} is at most {LONGEST[suffix]} px on a side"
        raise InputError(f"{longest}; write .png or .tif")
    if job.verbose:
        said += f"; {runtime.device}, {runtime.threads} threads, {runtime.precision}"
    return transfer.stylize(
        photo,
        styles,
        chosen.settings,
        runtime=runtime,
        on_step=watch(job, progress, said, course),
        init_picture=start,
        weights=chosen.weights,
    )


def course_of(job: Job, photo: "Picture", styles: "Sequence[Style | Picture]") -> "Course | None":
    """Return what watches a run for its page, if a page is wanted."""
    if not job.report:
        return None
    from impasto.report import Course

    return Course(photo, [item.picture if isinstance(item, Style) else item for item in styles])


def watch(
    job: Job, progress: Progress, said: str, course: "Course | None" = None
) -> "Callable[[Step], None]":
    """Return a callback that shows each step, saves every so many, and ends at a signal."""

    def on_step(step: "Step") -> None:
        if not signals.running:  # only now is it certain that these pictures can be used
            progress.say(said)
        signals.running = True
        progress.step(step)
        if course is not None:
            course.step(step)
        if job.save_every and job.target and step.evaluations % job.save_every == 0:
            name = f"{job.target.stem}-{step.evaluations:04d}{job.target.suffix}"
            step.picture().save(
                job.target.with_name(name),
                bits=job.output.bits,
                quality=job.output.jpeg_quality,
                metadata=job.output.metadata,
                overwrite=job.force,
            )
        if signals.code is not None:
            progress.say("stopping; once more ends at once and saves nothing")
            raise Stop("interrupted")

    return on_step


def finish(job: Job, progress: Progress, result: "Result", course: "Course | None" = None) -> int:
    """Write and say the result, with its page where a course is given; return the exit code."""
    spent = sum(scale.evaluations for scale in result.recipe.scales)
    code = int(signals.code or ExitCode.DONE)
    if job.target is None:
        out(result.encode(".png", bits=job.output.bits, metadata=job.output.metadata))
    else:
        job = _save(job, progress, result)
        assert job.target is not None
        if course is not None:
            page = job.target.with_suffix(".html")
            text = course.page(result, carried=job.output.metadata != "strip")
            publish(page, text.encode(), overwrite=job.force)
            progress.say(f"the page about it: {printable(page)}")
        told = json.dumps(report(result, job.target, beside(job, job.target))) if job.json else None
        out(told or printable(job.target))
    if result.stopped == "not finite":
        return complain(
            "the losses stopped being finite; the best picture is saved", ExitCode.NUMERICAL
        )
    how = "interrupted; the best picture so far is saved: " if code else ""
    progress.say(f"{how}{spent} evaluations in {duration(result.seconds)}")
    return code


def _save(job: Job, progress: Progress, result: "Result") -> Job:
    """Save picture and recipe; a name taken meanwhile gives way to the next free one."""
    assert job.target is not None
    if not job.force and os.path.lexists(job.target):
        taken, job = job.target, free(job, job.target)
        progress.say(f"{printable(taken)} was made by somebody else meanwhile")
    assert job.target is not None
    result.save(
        job.target,
        bits=job.output.bits,
        quality=job.output.jpeg_quality,
        metadata=job.output.metadata,
        overwrite=job.force,
    )
    if job.recipe:
        result.save_recipe(job.target.with_suffix(".json"), overwrite=job.force)
    return job


def settings_target(name: str) -> Path:
    """Return where settings are to be saved; the folder of the user's presets is made if it is that."""
    path = Path(name)
    if path.suffix.lower() != ".toml":
        raise InputError(f"--save-settings {printable(name)}: the name must end in .toml")
    folder = sheets.preset_folder()
    if path.parent.absolute() == folder.absolute():
        with contextlib.suppress(OSError):  # said when the file is written
            folder.mkdir(parents=True, exist_ok=True)
    return path


def save_settings(path: Path, chosen: Chosen, *, force: bool) -> None:
    """Write the settings as a TOML file."""
    publish(path, to_toml(chosen).encode(), overwrite=force)
