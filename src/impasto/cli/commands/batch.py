"""`impasto batch`: many photos, one process or many, one machine or many. torch comes late."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from inspect import Parameter as Plain
from itertools import islice
from pathlib import Path
from typing import Any

from cyclopts import App

from impasto.cli.arguments import picture_arguments
from impasto.cli.checks import check_no_budget, check_options, check_start, whole
from impasto.cli.commands.grid import VARY
from impasto.cli.console import complain, dumps, out
from impasto.cli.flags import (
    BASE,
    COMMON_FIELDS,
    SAVING,
    Flags,
    argument,
    generated,
    parameter,
    switch,
    takes,
    typed,
    typed_name,
)
from impasto.cli.help import ALL_FLAGS
from impasto.cli.output import begin_lines
from impasto.cli.progress import Progress, shown
from impasto.cli.run import signals
from impasto.cli.settings_sources import gather
from impasto.cli.watch import json_lines
from impasto.config.output import Output
from impasto.config.styles import Style
from impasto.errors import End, ExitCode, InputError, Stop
from impasto.many.batch import BatchOptions, looks_of, prepared, run_batch
from impasto.many.jobs import BatchSpec, Painting, Plan
from impasto.many.manifest import Event
from impasto.many.report import Batch
from impasto.messages import counted, duration, printable
from impasto.system.files import WRITABLE, publish
from impasto.transfer.grids import axes as grid_axes

PAIR_LIST = "pair_list"  # not `pairs`, which is a field of `Runtime`
ON_SHEET = 400  # pictures on the contact sheet, at most
SHEET_NAME = "batch.jpg"
LISTED = 20  # names that `status` prints of each kind, at most
NOT_HERE = {  # what is of one photo or one picture
    *("mask", "segments", "segment_colors", "source_segments", "protect", "init_picture", "save_settings"),
    "style",  # is made anew, for the short help
}

PHOTOS = argument("photos", "Files, folders, or patterns such as 'photos/*.jpg'.", Plain.VAR_POSITIONAL,
    name="PHOTO", converter=typed_name)  # fmt: skip
OWN = [
    parameter("output", Path, "Folder of the results; it is made. Each lies there as its photo lies in its "
        "folder, and is called PHOTO-STYLE.png. Needed.", common=True, short=["-o"], converter=typed),
    parameter("style", list[str], "A painting; once for each, if there are several. A folder is one style.",
        "Styles", common=True, negative=""),
    switch("recursive", "Also take the folders in folders.", common=True),
    parameter("pairs", Path, "A CSV file with a photo and its painting, or paintings, in each row, instead "
        "of photos and --style; paths are relative to it. [default: not set]",
        common=True).replace(name=PAIR_LIST),
    parameter("suffix", str, f"Ending of the results. [{', '.join(WRITABLE)}; default: .png]"),
    parameter("workers", int, "Processes that paint at a time. [1 to 1024; default: by size, processors and "
        "memory]", "Speed", common=True),
    switch("fail_fast", "End at the first picture that fails.", common=True),
    switch("watch", "Go on with what appears in the folders, each photo once it is complete, until Ctrl-C.",
        common=True),
    switch("sheet", f"At the end, put the results on one sheet, {SHEET_NAME} in their folder: the first "
        f"{ON_SHEET}.", common=True),
    parameter("shard", str, "Do one part of all, such as 3/8, the third of eight; or auto, which reads what "
        "Slurm, Kubernetes and AWS Batch set. [default: all]", "Machine", common=True),
    parameter("ray", list[str], "Paint on a Ray cluster: the address of one, or none after it for one on "
        "this machine. Needs impasto[ray]. [default: no]", "Machine", common=True, negative="",
        consume_multiple=(0, 1)),
    switch("re_resolve", "Decide anew what this machine computes with; else it is as when the folder was "
        "begun."),
]  # fmt: skip
SAVED = [item for item in SAVING if item.name in ("force", "json", "quiet", "verbose")]
STYLES = [item for item in BASE if item.name not in NOT_HERE]
FIELDS = [item for item in generated(common=COMMON_FIELDS - {"budget"}) if item.name != "pairs"]
app = App(
    name="batch",
    help="Paint many photos; what is painted already is not painted again.",
    help_epilogue="",
    usage="Usage: impasto batch PHOTO [PHOTO ...] --style PAINTING -o FOLDER [OPTIONS]\n"
    "       impasto batch status FOLDER",
    help_flags=ALL_FLAGS,
    help_format="plaintext",
    result_action="return_value",
)


@app.default
@takes([PHOTOS, *OWN, VARY, *SAVED, *STYLES, *FIELDS])
def batch(*photos: str, flags: Flags) -> int:
    """Paint many photos; what is painted already is not painted again.

    The same command again continues. A picture that fails is reported, and the others are painted.
    """
    begin_lines(flags)
    spec, options, notes = _asked(photos, flags)
    plan = prepared(spec, options)
    with shown(ManyProgress, quiet=flags.quiet, verbose=flags.verbose) as progress:
        for note in notes:
            progress.say(note)
        progress.plan(plan, watched=flags.watch)
        options["on_event"] = _callback(progress)
        signals.running = True  # from now on a signal ends the batch cleanly
        with contextlib.redirect_stdout(sys.stderr) if options["ray"] else contextlib.nullcontext():
            done = run_batch(spec, plan=plan, **options)  # Ray prints what it does about actors that die
        if flags.sheet:
            _save_sheet(plan, progress)
    return _report(done, progress, flags)


def _asked(photos: tuple[str, ...], flags: Flags) -> tuple[BatchSpec, BatchOptions, tuple[str, ...]]:
    """Return what is painted, how it is run, and notes about settings."""
    if flags.output is None:
        raise InputError("batch: name the folder of the results: -o FOLDER")
    if flags.output in ("", "-"):
        raise InputError("-o: the results are files in a folder; give its name")
    if flags.pair_list is not None and photos:
        raise InputError(f"--pairs has the photos: leave out {printable(photos[0])}")
    if not photos and flags.pair_list is None:
        raise InputError("no photos: impasto batch PHOTO [PHOTO ...] --style PAINTING -o FOLDER")
    vary = grid_axes.parse(flags.vary)
    resolved = gather(flags)
    check_no_budget(resolved.runtime)
    check_options(resolved.settings, flags, vary)
    axes = None
    if vary:
        axes = grid_axes.plan(
            vary, resolved.settings, many=True, called="--vary",
            of_preset=lambda preset: gather(replace(flags, preset=preset)).settings,
        )  # fmt: skip
    for settings in [resolved.settings] if axes is None else [cell.settings for cell in axes.places]:
        check_start(settings, flags)
    named = picture_arguments("-", flags.style, flags).styles if flags.style else ()
    paintings = [_painting(style) for style in named]
    spec = BatchSpec(
        photos,
        looks_of(paintings, resolved.settings, axes, paired=flags.pair_list is not None),
        Path(flags.output),
        flags.pair_list,
        flags.recursive,
        (flags.suffix or ".png").lower(),
        resolved.output,
        resolved.input,
        resolved.runtime,
    )
    options: BatchOptions = {
        "workers": None if flags.workers is None else whole("--workers", flags.workers, 1, 1024),
        "shard": flags.shard,
        "ray": None if flags.ray is None else (flags.ray[0] if flags.ray else "local"),
        "force": flags.force,
        "fail_fast": flags.fail_fast,
        "re_resolve": flags.re_resolve,
        "watch": flags.watch,
    }
    return spec, options, resolved.notes


def _painting(style: Style) -> Painting:
    layers = style.layers if isinstance(style.layers, Mapping) else None
    return Painting(style.picture, style.weight, style.source_mask, style.stroke, layers)


# --- while it runs, and after --------------------------------------------------------------------


class ManyProgress(Progress):
    """Shows how far a batch is: all of it, and each picture at work."""

    _watched = False

    def plan(self, plan: Plan, *, watched: bool = False) -> None:
        """Count what there is to do; nothing is shown before. `watched` if more may come."""
        self._watched = watched
        folder = plan.spec.folder
        self._jobs, self._left = plan.count, sum(not (folder / job.file).exists() for job in plan)
        self._seen = self._made = self._failed = 0
        self._spent = 0.0
        self._at_work: dict[int, Event] = {}  # what is known of each picture at work, by worker
        there = self._jobs - self._left
        self.say(f"{counted(self._jobs, 'picture')}{f', {there} with a file there' if there else ''}")

    def event(self, event: Event) -> None:
        """Take in one event, and show the state if it is time."""
        kind = event["event"]
        if kind == "machine":
            changes = ", ".join(f"{name} {event['now'][name]}" for name in event["now"])
            self.say(f"this machine is another one than that of the runs before ({changes}): the last digits "
                     "may differ")  # fmt: skip
        elif kind in ("started", "step"):
            self._at_work[event["worker"]] = {**self._at_work.get(event["worker"], {}), **event}
        elif kind in ("done", "failed", "skipped"):
            self._ended(event)
        if kind in ("beat", "step", "done") and (self._at_work or kind == "done") and self._is_due():
            with self._lost_stream():
                self._show_state()

    def _ended(self, event: Event) -> None:
        for worker, at_work in list(self._at_work.items()):
            if at_work["file"] == event["file"]:
                del self._at_work[worker]
        if event["event"] == "failed":
            if event["error"] == "again":
                self.say(f"once more: {printable(event['photo'])}: {event['message']}")
                return
            self._failed += 1
            self._left = max(0, self._left - 1)
            with self._lost_stream():  # also where nothing else is said
                photo, message = printable(event["photo"]), printable(event["message"])
                named = message.startswith(f"{photo} ")  # the message says which one it is
                self._say_always(f"failed: {message if named else f'{photo}: {message}'}")
        elif event["event"] == "done":
            self._made, self._left = self._made + 1, max(0, self._left - 1)
            self._spent += event["seconds"]
        self._seen += 1

    def _say_always(self, text: str) -> None:
        if self._live is None:
            self._write(text)
        else:
            self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def seconds_left(self) -> float | None:
        """Return how long the rest will take, by the pictures so far; None before anything was measured."""
        mean, running = self._spent / self._made if self._made else None, []
        for event in self._at_work.values():
            share, left = event.get("share", 0.0), event.get("remaining")
            if left is not None and share and mean is None:
                mean = left / max(1e-6, 1 - share)
            running.append(left if left is not None else (mean or 0.0) * (1 - share))
        if mean is None:
            return None
        waiting = max(0, self._left - len(running))
        return (mean * waiting + sum(running)) / max(1, len(running))

    def _show_state(self) -> None:
        done = self._jobs - self._left + sum(event.get("share", 0.0) for event in self._at_work.values())
        left = self.seconds_left()
        words = [f"{self._jobs - self._left}/{self._jobs}", f"{int(100 * done / max(1, self._jobs))} %"]
        words += [f"{duration(left)} left"] if left is not None else []
        if self._watched:  # nobody knows how many will come
            words, done = [f"{self._made} made, {len(self._at_work)} at work"], 0.0
        words += [f"{self._failed} failed"] if self._failed else []
        lines = [
            f"  {number + 1}: {100 * event.get('share', 0.0):3.0f} %  {printable(event['file'])}"
            for number, event in sorted(self._at_work.items())
        ]
        if self._plain or not self._draw_lines(["  ".join(words), *lines], done, self._jobs):
            self._write("  ".join(words))


def _callback(progress: ManyProgress) -> Callable[[Event], None]:
    """Return what shows events, prints the lines of the manifest as JSON, and ends at a signal."""
    said = False

    def on_event(event: Event) -> None:
        nonlocal said
        progress.event(event)
        if event["event"] not in ("beat", "step", "machine"):
            json_lines.write(
                event["event"], {name: value for name, value in event.items() if name != "event"}
            )
        if signals.code is not None:
            if not said:
                progress.say("stopping; once more ends at once")
            said = True
            raise Stop(End.INTERRUPTED)

    return on_event


def _results(plan: Plan) -> Iterator[tuple[str, Path]]:
    """Yield the results that are there, with their names, photo by photo."""
    jobs = sorted(islice(plan, ON_SHEET * 4), key=lambda job: (job.photo.below, job.look.name))
    for job in jobs:
        path = plan.spec.folder / job.file
        if path.exists():
            yield job.file, path


def _save_sheet(plan: Plan, progress: Progress) -> None:
    """Write the contact sheet into the folder of the results."""
    found = list(islice(_results(plan), ON_SHEET))
    if not found:
        progress.say("no sheet is written, for no picture is there yet")
        return
    from impasto.image.contact_sheet import contact_sheet

    target = plan.spec.folder / SHEET_NAME
    sheet = contact_sheet([path for _, path in found], captions=[name for name, _ in found])
    publish(target, sheet.encode(target.suffix, Output(bits=8)), overwrite=True)
    progress.say(f"the sheet: {printable(target)}")


def _report(done: Batch, progress: Progress, flags: Flags) -> int:
    """Say what was made and what failed, and return the exit code."""
    if not flags.json:
        out(printable(done.folder))
    words = [f"{counted(done.made, 'picture')} in {duration(done.seconds)}"]
    words += [f"{done.there} there already"] if done.there else []
    words += [f"{counted(done.left_out, 'result')} left out as photos"] if done.left_out else []
    words += ["the same command again continues"] if done.stopped == End.INTERRUPTED else []
    progress.say("; ".join(words))
    if signals.code is not None:
        return signals.code
    if done.failures:
        more = f", first {printable(done.failed[0].photo)}" if done.failed else ""
        return complain(f"{done.failures} of {counted(done.jobs, 'picture')} failed{more}", ExitCode.SOME)
    return ExitCode.DONE


# --- status --------------------------------------------------------------------------------------


@app.command(help_epilogue="", usage="Usage: impasto batch status FOLDER [--json]")
@takes([argument("folder", "The folder of the results."), SAVED[1]])
def status(folder: str, *, flags: Flags) -> int:
    """Tell what is done, missing, stale and failed in the folder of a batch.

    Every photo and every result is read, for what is done, the files say.
    """
    from impasto.many.report import status as status_of

    found = status_of(Path(folder))
    failed = [vars(item) for item in found.failed]
    facts: dict[str, Any] = {**vars(found), "folder": str(found.folder), "failed": failed}
    if flags.json:
        out(dumps(facts))
        return ExitCode.DONE
    out(f"{counted(found.jobs, 'picture')}: {found.done} done, {len(found.missing)} missing, "
        f"{len(found.stale)} stale, {len(found.failed)} failed")  # fmt: skip
    if found.missing and found.seconds is not None:
        out(f"the rest takes about {duration(found.seconds)} with {counted(found.workers, 'worker')}")
    rows = [("missing", name) for name in found.missing[:LISTED]]
    rows += [("stale", name) for name in found.stale[:LISTED]]
    rows += [("failed", f"{item.photo}: {item.message}") for item in found.failed[:LISTED]]
    for kind, text in rows:
        out(f"{kind:8} {printable(text)}")
    return ExitCode.DONE
