"""From settings to a picture on disk: what the commands that paint share. torch comes late.

Everything that can be checked without torch is checked before it is imported.
"""

import contextlib
import json
import os
import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from impasto.cli.arguments import OpenedPictures, PictureArguments
from impasto.cli.console import complain, out
from impasto.cli.output import OutputPlan, files_beside, free_name, numbered, saved_output
from impasto.cli.progress import Progress, show_progress
from impasto.cli.settings_sources import ResolvedSettings
from impasto.cli.watch import FirstLine, Preview, json_lines
from impasto.errors import End, ExitCode, InputError, OutputError, ResourceError, Stop
from impasto.messages import counted, duration, printable
from impasto.system.fallback import save_or_fall_back
from impasto.system.files import hash_ahead

if TYPE_CHECKING:
    from impasto.image.picture import Picture
    from impasto.reports.result_page import RunCapture
    from impasto.transfer.callbacks.checkpoints import Checkpoints
    from impasto.transfer.result import Result, Step

LONGEST = {".webp": 16_383, ".avif": 16_384}  # px on a side, of the format


class Interrupted(BaseException):
    """End at once: a signal came before the first evaluation, or a second one."""


class Signals:
    """Handles SIGINT, SIGTERM and SIGHUP: the first ends a run after its evaluation, the second at once.

    SIGHUP comes when the terminal is closed; where it is ignored, as under `nohup`, it stays so.

    Attributes:
        running: Whether a run can be ended cleanly; before that, the first signal ends at once.
        code: The exit code of the signal that has come; None before.
    """

    def __init__(self) -> None:
        self.running = False
        self.code: int | None = None

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        again = self.code is not None
        self.code = 128 + number
        if again or not self.running:
            raise Interrupted

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch inside the block, as far as this thread may."""
        self.running, self.code = False, None
        before = {}
        with contextlib.suppress(ValueError):  # not the main thread
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)  # Windows has no SIGHUP
                if number is not None and (name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN):
                    before[number] = signal.signal(number, self._arrived)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


signals = Signals()


# --- the run -------------------------------------------------------------------------------------


def open_checkpoints(plan: OutputPlan) -> "Checkpoints":
    """Return the checkpoints of a run, for a `with` block that ends when its picture is saved."""
    from impasto.transfer.callbacks.checkpoints import Checkpoints

    folders = dict.fromkeys(os.path.dirname(os.path.abspath(path)) for path in plan.inputs)  # noqa: PTH100, PTH120
    return Checkpoints(
        plan.checkpoint,
        folders=folders,
        note=saved_output(plan),
        force=plan.force,
        enabled=not plan.no_checkpoint,
    )


def paint(
    plan: OutputPlan, resolved: ResolvedSettings, arguments: PictureArguments, messages: Sequence[str] = ()
) -> int:
    """Run on pictures that are read, show messages and progress, write the result; return the exit code.

    Raises:
        InputError: The format cannot hold a picture of this size.
    """
    from impasto.network.weights import store

    name = store.full_name(resolved.settings.weights or store.PACKAGED)
    if name in (store.PACKAGED, store.NORMALIZED):
        hash_ahead(store.packaged_file(name))  # while torch is imported
    with open_checkpoints(plan) as checkpoints:
        with show_progress(quiet=plan.quiet, verbose=plan.verbose) as progress:
            for message in messages:
                progress.say(message)
            pictures = arguments.open(resolved.input, progress)
            styles = [style.picture for style in pictures.styles]
            capture = run_capture(plan, pictures.photo, styles)
            result = _stylize(plan, progress, resolved, pictures, checkpoints, capture)
        return save_result(plan, progress, result, checkpoints, capture)


def _stylize(
    plan: OutputPlan,
    progress: Progress,
    resolved: ResolvedSettings,
    pictures: OpenedPictures,
    checkpoints: "Checkpoints",
    capture: "RunCapture | None",
) -> "Result":
    from impasto.image import pixels
    from impasto.inputs import pyramid
    from impasto.network.weights import store
    from impasto.system import hardware
    from impasto.transfer import runtime as runtime_module
    from impasto.transfer import speed, stylize

    runtime = runtime_module.resolve(resolved.runtime, resolved.settings)
    if runtime.budget is not None:  # of the whole command, not only of the computation
        runtime = runtime.changed(budget=max(0.001, runtime.budget - hardware.process_age()))
        if resolved.origins["evaluations"].startswith("--"):
            progress.say("--evaluations does not count beside --budget, which chooses their number")
    photo = pictures.photo
    edge = pyramid.long_edge(photo.width, photo.height, resolved.settings)
    width, height = pixels.fit(photo.width, photo.height, edge)
    long = max(photo.width, photo.height)
    factor = None
    if edge < long and runtime.budget is None:  # a budget is kept at any size
        factor = speed.whole_photo(photo.width, photo.height, resolved.settings, runtime)
    suffix = plan.target.suffix.lower() if plan.target else ".png"
    if suffix in LONGEST and max(width, height) > LONGEST[suffix]:
        longest = f"a {suffix} is at most {LONGEST[suffix]} px on a side"
        raise InputError(f"{longest}; write .png or .tif")
    how = f"; {runtime.device}, {runtime.threads} threads, {runtime.precision}" if plan.verbose else ""

    def message(seconds: float | None) -> str:
        """Return the first line: the size, how long it takes, and how long all of the photo would take."""
        time = "" if seconds is None else f", about {duration(seconds)}"
        full_size = ""
        if factor is not None:
            times = f"{factor:.0f} times as long"
            if seconds is not None:
                times = f"about {duration(factor * seconds)}"
            full_size = f"; --size {long} for all of it takes {times}"
        return f"{width} x {height} px{time} (the photo is {photo.width} x {photo.height}{full_size}){how}"

    weights = store.full_name(resolved.settings.weights or store.PACKAGED)
    rate = speed.seconds_per_pixel(resolved.settings, runtime, weights, edge)
    return stylize.stylize(
        photo,
        pictures.styles,
        resolved.settings,
        runtime=runtime,
        on_step=step_callback(plan, progress, message, capture, rate),
        init_picture=pictures.start,
        protect=pictures.protect,
        checkpoint=checkpoints,
        on_part=stop_at_signal(progress),
    )


def and_time(text: str) -> Callable[[float | None], str]:
    """Return a first line that says how long the run will take, once that is known."""
    return lambda seconds: text if seconds is None else f"{text}: about {duration(seconds)}"


def stop_at_signal(progress: Progress, loss: str = " and saves nothing") -> Callable[[], None]:
    """Return a function that ends the run once a signal has come; `loss` is what a second one does."""
    reported = False

    def on_part() -> None:
        nonlocal reported
        if signals.code is not None:
            if not reported:
                progress.say(f"stopping; once more ends at once{loss}")
            reported = True
            raise Stop(End.INTERRUPTED)

    return on_part


def run_capture(plan: OutputPlan, photo: "Picture", styles: "Sequence[Picture]") -> "RunCapture | None":
    """Return what keeps pictures of a run for its page, if a page is requested."""
    if not plan.report:
        return None
    from impasto.reports.result_page import RunCapture

    return RunCapture(photo, styles)


def step_callback(
    plan: OutputPlan,
    progress: Progress,
    message: Callable[[float | None], str],
    capture: "RunCapture | None" = None,
    per_pixel: float | None = None,
) -> "Callable[[Step], None]":
    """Return an `on_step` that shows each step, saves intermediate pictures, and stops at a signal.

    The message, which gets the seconds that the run will take, is shown first, when it is certain that the
    pictures can be used. A picture that cannot be saved does not end the run.
    """
    stop, first = stop_at_signal(progress), FirstLine(progress.say, message, per_pixel)
    preview = None if plan.preview is None else Preview(plan.preview, plan.output)

    def on_step(step: "Step") -> None:
        signals.running = True
        progress.pace.update(step)
        first.step(step, progress.pace)
        if first.shown:
            progress.step(step)
        json_lines.step(step, progress.pace)
        if preview is not None:
            preview.step(step)
        if capture is not None:
            capture.step(step)
        if plan.save_every and plan.target and step.evaluations % plan.save_every == 0:
            path = numbered(plan.target, step.evaluations)
            try:
                step.picture().save(path, plan.output, overwrite=plan.force or plan.resumed)
            except ResourceError as error:
                if not plan.troubles:  # the others would fail for the same reason
                    plan.troubles.append(str(error))
        stop()

    return on_step


# --- its files -----------------------------------------------------------------------------------


def save_result(
    plan: OutputPlan,
    progress: Progress,
    result: "Result",
    checkpoints: "Checkpoints",
    capture: "RunCapture | None" = None,
    notes: Sequence[str] = (),
) -> int:
    """Write the result and the files beside it, report them, and return the exit code.

    The page shows the captured run, with notes at its top.
    """
    target, written = None, {}
    if plan.target is None:
        _print_picture(plan, result)
    else:
        target = _save_picture(plan, plan.target, progress, result)
        files = []
        for path in files_beside(plan, target):
            if path.suffix == ".json":
                what, text = "recipe", result.recipe.to_json()
            else:
                assert capture is not None  # with a page, there is one
                carried = plan.output.metadata != "strip"
                what, text = "page", capture.page(result, notes, carried=carried)
            try:
                path, trouble = save_or_fall_back(path, text.encode(), overwrite=plan.force, what=what)
                files.append(path)
            except OutputError as error:  # the picture is there already
                trouble = str(error)
            if trouble:
                plan.troubles.append(trouble)
        written = {path.suffix: str(path) for path in files}
        if not plan.print_json:
            try:
                out(printable(target))
            except OutputError as error:
                plan.troubles.append(f"{error}; the picture is saved as {printable(target)}")
        if ".html" in written:
            progress.say(f"the page about it: {printable(written['.html'])}")
    _note_end(plan, result)
    code = _report(plan, progress, result, checkpoints)
    facts = {
        "path": None if target is None else str(target),
        "recipe_path": written.get(".json"),
        "report_path": written.get(".html"),
        "width": result.picture.width,
        "height": result.picture.height,
        "seconds": round(result.seconds, 3),
        "evaluations": sum(scale.evaluations for scale in result.recipe.scales),
        "stopped": result.stopped,
        "losses": result.recipe.losses,
        "recipe": json.loads(result.recipe.to_json()),
        "checkpoint": str(checkpoints.path) if checkpoints.left else None,
    }
    json_lines.write("done", facts)
    return code


def _note_end(plan: OutputPlan, result: "Result") -> None:
    """Keep the speed of the run for the next one, and let the preview be the result."""
    from impasto.transfer import speed

    speed.note(result.recipe)
    if plan.preview is not None:
        preview = Preview(plan.preview, plan.output)
        preview.write(result.picture)
        if preview.trouble:
            plan.troubles.append(preview.trouble)


def _report(plan: OutputPlan, progress: Progress, result: "Result", checkpoints: "Checkpoints") -> int:
    """Say how the run ended and how to continue it, and return the exit code."""
    not_finite = result.stopped == End.NOT_FINITE
    if not_finite:
        plan.troubles.append(f"{result.fault}; the best picture so far is saved: try smaller weights")
    if not plan.troubles:
        interrupted = result.stopped == End.INTERRUPTED
        how = "interrupted; the best picture so far is saved: " if interrupted else ""
        evaluations = sum(scale.evaluations for scale in result.recipe.scales)
        progress.say(f"{how}{counted(evaluations, 'evaluation')} in {duration(result.seconds)}")
    if checkpoints.left:
        command = shlex.join(["impasto", "resume", *checkpoints.resume_arguments])
        progress.say(f"to continue: {command}")
    if plan.troubles:
        numerical = not_finite and len(plan.troubles) == 1
        code = ExitCode.NUMERICAL if numerical else ExitCode.RESOURCE
        return complain("; ".join(plan.troubles), code)
    return int(signals.code or ExitCode.DONE)


def _print_picture(plan: OutputPlan, result: "Result") -> None:
    """Write the picture to standard output or, where that fails, to a file."""
    data = result.encode(".png", plan.output)
    try:
        out(data)
    except OutputError as error:
        path, trouble = save_or_fall_back(Path(f"{plan.stem}.png"), data, overwrite=False)
        where = trouble or f"the picture is saved as {printable(path.absolute())}"
        plan.troubles.append(f"{error}; {where}")


def _save_picture(plan: OutputPlan, target: Path, progress: Progress, result: "Result") -> Path:
    """Save the picture and return where; a name that was taken meanwhile gives way to the next free one."""
    if not plan.force and os.path.lexists(target):
        with contextlib.suppress(OutputError):  # then it goes elsewhere
            free = free_name(target, plan)
            progress.say(f"{printable(target)} was made by somebody else meanwhile")
            target = free
    overwrite = plan.force
    try:
        data = result.encode(target.suffix, plan.output)
    except ResourceError as error:  # the format cannot hold it, or there is no memory to pack it
        plan.troubles.append(f"{error}; it is saved as PNG")
        overwrite = overwrite and target.suffix == ".png"
        target = target.with_suffix(".png")
        data = result.encode(".png", plan.output)
    target, trouble = save_or_fall_back(target, data, overwrite=overwrite)
    if trouble:
        plan.troubles.append(trouble)
    return target
