"""From flags to a picture on disk: what `stylize`, `demo` and `reproduce` share. torch comes late.

Everything that can be checked without torch is checked before it is imported.
"""

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli.console import complain, out
from impasto.cli.output import OutputPlan, beside, note_of, numbered, with_free_name
from impasto.cli.progress import Progress, logged, report
from impasto.cli.settings_sources import ResolvedSettings
from impasto.cli.signals import Signals
from impasto.config.limits import Input
from impasto.config.styles import Style
from impasto.errors import ExitCode, InputError, OutputError, ResourceError, Stop
from impasto.messages import counted, duration, printable
from impasto.system.fallback import save_or_fall_back
from impasto.system.files import check_length, read_whole

if TYPE_CHECKING:
    from impasto.config.styles import Mask
    from impasto.image.picture import Picture
    from impasto.reports.result_page import RunCapture
    from impasto.transfer.callbacks.checkpoints import Checkpoints
    from impasto.transfer.result import Result, Step

LONGEST = {".webp": 16_383, ".avif": 16_384}  # px on a side, of the format

signals = Signals()


def read(name: str, limits: Input) -> tuple[str, bytes]:
    """Return an input's name and all its bytes; `-` is standard input."""
    if name != "-":
        return Path(name).name, read_whole(name, limits.max_bytes)
    data = sys.stdin.buffer.read(limits.max_bytes + 1)
    check_length(data, limits.max_bytes, "standard input")
    return "stdin", data


# --- the run -------------------------------------------------------------------------------------


@contextlib.contextmanager
def shown(job: OutputPlan) -> Iterator[Progress]:
    """Show progress and the library's log while the block runs."""
    progress = Progress(sys.stderr, quiet=job.quiet)
    with logged(progress, verbose=job.verbose), contextlib.closing(progress):
        yield progress


def kept(job: OutputPlan) -> "Checkpoints":
    """Return what keeps the checkpoints of the run, in a `with` block until its picture is saved."""
    from impasto.transfer.callbacks.checkpoints import Checkpoints

    folders = dict.fromkeys(os.path.dirname(os.path.abspath(path)) for path in job.inputs)  # noqa: PTH100, PTH120
    return Checkpoints(
        job.checkpoint,
        folders=folders,
        note=note_of(job),
        force=job.force,
        enabled=not job.no_checkpoint,
    )


def paint(
    job: OutputPlan,
    progress: Progress,
    chosen: ResolvedSettings,
    photo: "Picture",
    styles: list[Style],
    start: "Picture | None",
    checkpoints: "Checkpoints",
    course: "RunCapture | None" = None,
    protect: "Mask | str | None" = None,
) -> "Result":
    """Say the choice of size, run, and show how it goes; `course` watches for the page."""
    from impasto.image import pixels
    from impasto.inputs import pyramid
    from impasto.system import hardware
    from impasto.transfer import runtime as runtime_module
    from impasto.transfer import stylize

    hardware.keep_no_pictures()
    runtime = runtime_module.resolve(chosen.runtime, chosen.settings)
    if runtime.budget is not None:  # the command's, not only the computation's
        runtime = runtime.changed(budget=max(0.001, runtime.budget - hardware.process_age()))
        if chosen.origins["evaluations"].startswith("--"):
            progress.say("--evaluations does not count beside --budget, which chooses their number")
    edge = pyramid.long_edge(photo.width, photo.height, chosen.settings)
    width, height = pixels.fit(photo.width, photo.height, edge)
    long = max(photo.width, photo.height)
    all_of_it = f"; --size {long} for all of it" if edge < long else ""
    said = f"{width} x {height} px (the photo is {photo.width} x {photo.height}{all_of_it})"
    suffix = job.target.suffix.lower() if job.target else ".png"
    if suffix in LONGEST and max(width, height) > LONGEST[suffix]:
        longest = f"a {suffix} is at most {LONGEST[suffix]} px on a side"
        raise InputError(f"{longest}; write .png or .tif")
    if job.verbose:
        said += f"; {runtime.device}, {runtime.threads} threads, {runtime.precision}"
    return stylize.stylize(
        photo,
        styles,
        chosen.settings,
        runtime=runtime,
        on_step=watch(job, progress, said, course),
        init_picture=start,
        protect=protect,
        weights=chosen.weights,
        checkpoint=checkpoints,
        on_part=stopper(progress),
    )


def stopper(progress: Progress) -> Callable[[], None]:
    """Return what ends a run at a signal."""

    def on_part() -> None:
        if signals.code is not None:
            progress.say("stopping; once more ends at once and saves nothing")
            raise Stop("interrupted")

    return on_part


def course_of(
    job: OutputPlan, photo: "Picture", styles: "Sequence[Style | Picture]"
) -> "RunCapture | None":
    """Return what watches a run for its page, if a page is wanted."""
    if not job.report:
        return None
    from impasto.reports.result_page import RunCapture

    return RunCapture(photo, [item.picture if isinstance(item, Style) else item for item in styles])


def watch(
    job: OutputPlan, progress: Progress, said: str, course: "RunCapture | None" = None
) -> "Callable[[Step], None]":
    """Return a callback that shows each step, saves every so many, and ends at a signal."""
    stop = stopper(progress)

    def on_step(step: "Step") -> None:
        if not signals.running:  # only now is it certain that these pictures can be used
            progress.say(said)
        signals.running = True
        progress.step(step)
        if course is not None:
            course.step(step)
        if job.save_every and job.target and step.evaluations % job.save_every == 0:
            _save_step(job, step, numbered(job.target, step.evaluations))
        stop()

    return on_step


def _save_step(job: OutputPlan, step: "Step", path: Path) -> None:
    """Save an intermediate picture; one that cannot be saved does not end the run."""
    try:
        step.picture().save(
            path,
            job.output,
            overwrite=job.force or job.resumed,  # which makes some of them again
        )
    except ResourceError as error:
        if not job.troubles:  # the others would fail alike
            job.troubles.append(str(error))


def finish(
    job: OutputPlan,
    progress: Progress,
    result: "Result",
    checkpoints: "Checkpoints",
    course: "RunCapture | None" = None,
    notes: Sequence[str] = (),
) -> int:
    """Write and say the result, with its page where a course is given; return the exit code."""
    spent = sum(scale.evaluations for scale in result.recipe.scales)
    code = int(signals.code or ExitCode.DONE)
    if job.target is None:
        _print_picture(job, result)
    else:
        job = _save(job, progress, result)
        assert job.target is not None
        written = [
            _save_beside(job, path, result, course, notes) for path in beside(job, job.target)
        ]
        files = [path for path in written if path is not None]
        told = report(result, job.target, files)
        told["checkpoint"] = str(checkpoints.path) if checkpoints.left else None
        out(json.dumps(told) if job.json else printable(job.target))
        for path in files:
            if path.suffix == ".html":
                progress.say(f"the page about it: {printable(path)}")
    on = (
        f"to go on: {' '.join(['impasto resume', *map(shlex.quote, checkpoints.resume_arguments)])}"
    )
    if result.stopped == "not finite":
        job.troubles.append(
            f"{result.fault}; the best picture so far is saved: try smaller weights"
        )
    if job.troubles:
        if checkpoints.left:
            progress.say(on)
        numerical = result.stopped == "not finite" and len(job.troubles) == 1
        return complain(
            "; ".join(job.troubles), ExitCode.NUMERICAL if numerical else ExitCode.RESOURCE
        )
    how = (
        "interrupted; the best picture so far is saved: " if result.stopped == "interrupted" else ""
    )
    progress.say(f"{how}{counted(spent, 'evaluation')} in {duration(result.seconds)}")
    if checkpoints.left:
        progress.say(on)
    return code


def _print_picture(job: OutputPlan, result: "Result") -> None:
    """Write the picture to standard output or, where that fails, to a file."""
    data = result.encode(".png", job.output)
    try:
        out(data)
    except OutputError as error:
        path, trouble = save_or_fall_back(Path(f"{job.stem}.png"), data, overwrite=False)
        where = trouble or f"the picture is saved as {printable(path.absolute())}"
        job.troubles.append(f"{error}; {where}")


def _save(job: OutputPlan, progress: Progress, result: "Result") -> OutputPlan:
    """Save the picture; a name taken meanwhile gives way to the next free one."""
    assert job.target is not None
    if not job.force and os.path.lexists(job.target):
        taken = job.target
        with contextlib.suppress(OutputError):  # then it goes elsewhere
            job = with_free_name(job, taken)
            progress.say(f"{printable(taken)} was made by somebody else meanwhile")
    assert job.target is not None
    wanted = job.target
    try:
        data = result.encode(wanted.suffix, job.output)
    except ResourceError as error:  # the format cannot hold it, or there is no memory to pack it
        job.troubles.append(f"{error}; it is saved as PNG")
        wanted, data = wanted.with_suffix(".png"), result.encode(".png", job.output)
    path, trouble = save_or_fall_back(wanted, data, overwrite=job.force and wanted == job.target)
    if trouble:
        job.troubles.append(trouble)
    return replace(job, target=path)


def _save_beside(
    job: OutputPlan, path: Path, result: "Result", course: "RunCapture | None", notes: Sequence[str]
) -> Path | None:
    """Save the recipe or the page; None where it cannot be saved, for the picture is there already."""
    what = "recipe" if path.suffix == ".json" else "page"
    text = result.recipe.to_json() if what == "recipe" else ""
    if what == "page" and course is not None:
        text = course.page(result, notes, carried=job.output.metadata != "strip")
    try:
        path, trouble = save_or_fall_back(path, text.encode(), overwrite=job.force, what=what)
    except OutputError as error:
        job.troubles.append(str(error))
        return None
    if trouble:
        job.troubles.append(trouble)
    return path
