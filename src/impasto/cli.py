"""The command line: parse, call, print. The only module that prints results and ends the program.

Flags, ranges and defaults are made from `Settings` and `Runtime`. torch is imported only after everything
that can be checked without it was checked. Results go to standard output, all else to standard error.
"""

import contextlib
import json
import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from impasto._version import __version__
from impasto.console import complain, dumps, mute, out
from impasto.doctor import examine, layer_rows, lines, usable
from impasto.errors import ExitCode, ImpastoError, InputError, did_you_mean
from impasto.flags import (
    BASE,
    OUTPUT,
    SAVING,
    check_suffix,
    generated,
    output_flag,
    parameter,
    positional,
    settings_of,
    shares_of,
    takes,
)
from impasto.progress import Interrupted, Progress, Signals, duration, logged, report
from impasto.publish import MAX_BYTES, check_length, check_target, printable, read_whole
from impasto.samples import sample
from impasto.settings import Runtime, Settings, Style

if TYPE_CHECKING:
    from impasto.picture import Picture
    from impasto.transfer import Result, Step

LONGEST = {".webp": 16_383, ".avif": 16_384}  # px, of the format
LONGEST_STEM = 120  # characters of a default name
DASH = "\0"  # stands for - while cyclopts reads the arguments, which takes - for a flag
DEMO = {"size": 384, "quality": "draft"}
HELP_WIDTH = 100  # columns

app = App(
    name="impasto",
    help="Paint a photo in the style of a painting.",
    usage="Usage: impasto [stylize] CONTENT STYLE [STYLE ...] [OPTIONS]\n"
    "       impasto layers | doctor | demo [OPTIONS]",
    help_epilogue="Exit codes and limits: impasto doctor. Layers: impasto layers.",
    version=__version__,
    help_format="plaintext",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)

_signals = Signals()

# --- from the command line to a job ---------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """What one run was asked for; `target` is None for standard output."""

    target: Path | None
    stem: str
    inputs: tuple[Path, ...]
    force: bool = False
    bits: int = 8
    recipe: bool = False
    save_every: int = 0
    json: bool = False
    quiet: bool = False
    verbose: bool = False


def _job(content: str, styles: Sequence[str], given: Mapping[str, Any]) -> Job:
    """Check everything about the output that can be checked before any work."""
    names = [content, *styles, *([given["init_picture"]] if "init_picture" in given else [])]
    stems = ["stdin" if content == "-" else Path(content).stem, *(Path(s).stem for s in styles)]
    output = given.get("output")
    options = {name: given[name] for name in Job.__dataclass_fields__ if name in given}
    job = Job(
        target=None if output == "-" else Path(output or "."),
        stem="-".join(stems)[:LONGEST_STEM],
        inputs=tuple(Path(name) for name in names if name != "-"),
        **options,
    )
    if job.save_every < 0 or given.get("save_every") == 0:
        raise InputError(f"--save-every: must be 1 or more, not {job.save_every}")
    if job.target is None:
        for name in ("recipe", "json", "save_every"):
            if getattr(job, name):
                raise InputError(f"--{name.replace('_', '-')} needs a file: give -o a name, not -")
        return job
    if output is None:
        return _free(job, Path(f"{printable(job.stem)}.png"))
    if output.startswith("-"):
        raise InputError(f"-o {printable(output)}: names of files start with ./ or a letter")
    check_suffix(job.target, job.bits)
    _check_all(job, job.target)
    return job


def _check_all(job: Job, target: Path) -> None:
    """Refuse a picture, a recipe or intermediate pictures that cannot be written."""
    check_target(target, inputs=job.inputs, overwrite=job.force)
    if job.recipe:
        check_target(target.with_suffix(".json"), inputs=job.inputs, overwrite=job.force)
    if job.save_every:
        series = re.compile(re.escape(target.stem) + r"-\d{4,}" + re.escape(target.suffix))
        for path in target.parent.iterdir():
            if series.fullmatch(path.name):
                check_target(path, inputs=job.inputs, overwrite=job.force)


def _free(job: Job, wanted: Path) -> Job:
    """Return the job with the first name of `out.png`, `out-2.png`, ... that is free."""
    number = 1
    while True:
        numbered = f"{wanted.stem}-{number}{wanted.suffix}"
        target = wanted if number == 1 else wanted.with_name(numbered)
        free = not os.path.lexists(target)
        if free and job.recipe:
            free = not os.path.lexists(target.with_suffix(".json"))
        if free:
            check_target(target)
            return replace(job, target=target)
        number += 1


def _read(name: str) -> tuple[str, bytes]:
    """Return an input's name and all its bytes."""
    if name != "-":
        return Path(name).name, read_whole(name, MAX_BYTES)
    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    check_length(data, MAX_BYTES, "standard input")
    return "stdin", data


# --- commands ------------------------------------------------------------------------------------


def _dashed(value: Any) -> Any:
    return "-" if value == DASH else value


@app.default
@app.command(name="stylize")
@takes([*positional(), *OUTPUT, *BASE, *generated()])
def stylize(content: str, *styles: str, **given: Any) -> int:
    """Paint a photo in the style of one or several paintings (the verb may be left out)."""
    content, *paintings = (_dashed(name) for name in (content, *styles))
    styles = tuple(paintings)
    given = {name: _dashed(value) for name, value in given.items()}
    if not styles:
        hint = did_you_mean(content, ("layers", "doctor", "demo", "stylize"))
        raise InputError(
            f"no painting given after {printable(content)}; name a style picture.{hint}"
        )
    if "-" in styles or given.get("init_picture") == "-":
        raise InputError("only the photo can come from standard input (-)")
    settings = settings_of(given)
    runtime = Runtime(**{name: given[name] for name in Runtime.model_fields if name in given})
    shares = shares_of(given.get("style_weights"), len(styles))
    job = _job(content, styles, given)
    files = [
        _read(name) for name in [*styles, given.get("init_picture"), content] if name is not None
    ]
    progress = Progress(sys.stderr, quiet=job.quiet)
    with logged(progress, verbose=job.verbose), contextlib.closing(progress):
        from impasto.picture import Picture

        opened = [Picture.open(data, name=name) for name, data in files]
        painted = [Style(*pair) for pair in zip(opened[: len(styles)], shares, strict=True)]
        start = opened[-2] if "init_picture" in given else None
        result = _compute(job, progress, opened[-1], painted, settings, runtime, start)
    return _finish(job, progress, result)


def _compute(
    job: Job,
    progress: Progress,
    photo: "Picture",
    styles: list[Style],
    settings: Settings,
    runtime: Runtime,
    start: "Picture | None",
) -> "Result":
    """Say the choice of size, run, and show how it goes."""
    from impasto import machine, pyramid, transfer
    from impasto.errors import Stop

    runtime = machine.resolve(runtime, settings)
    edge = pyramid.long_edge(photo.width, photo.height, settings)
    width, height = pyramid.fit(photo.width, photo.height, edge)
    long = max(photo.width, photo.height)
    all_of_it = f"; --size {long} for all of it" if edge < long else ""
    said = f"{width} x {height} px (the photo is {photo.width} x {photo.height}{all_of_it})"
    suffix = job.target.suffix.lower() if job.target else ".png"
    if suffix in LONGEST and max(width, height) > LONGEST[suffix]:
        raise InputError(
            f"a {suffix} is at most {LONGEST[suffix]} px on a side; write .png or .tif"
        )
    if job.verbose:
        said += f"; {runtime.device}, {runtime.threads} threads, {runtime.precision}"

    def on_step(step: "Step") -> None:
        if not _signals.running:  # only now is it certain that these pictures can be used
            progress.say(said)
        _signals.running = True
        progress.step(step)
        if job.save_every and job.target and step.evaluations % job.save_every == 0:
            name = f"{job.target.stem}-{step.evaluations:04d}{job.target.suffix}"
            step.picture().save(job.target.with_name(name), bits=job.bits, overwrite=job.force)
        if _signals.code is not None:
            progress.say("stopping; once more ends at once and saves nothing")
            raise Stop

    return transfer.stylize(
        photo, styles, settings, runtime=runtime, on_step=on_step, init_picture=start
    )


def _finish(job: Job, progress: Progress, result: "Result") -> int:
    """Write and say the result; return the exit code."""
    spent = sum(scale.evaluations for scale in result.recipe.scales)
    code = int(_signals.code or ExitCode.DONE)
    if job.target is None:
        out(result.picture.encode(".png", bits=job.bits))
    else:
        job = _save(job, progress, result)
        assert job.target is not None
        recipe = job.target.with_suffix(".json") if job.recipe else None
        told = json.dumps(report(result, job.target, recipe)) if job.json else None
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
        taken, job = job.target, _free(job, job.target)
        progress.say(f"{printable(taken)} was made by somebody else meanwhile")
    assert job.target is not None
    result.save(job.target, bits=job.bits, overwrite=job.force)
    if job.recipe:
        result.save_recipe(job.target.with_suffix(".json"), overwrite=job.force)
    return job


@app.command
def layers(*, json: Annotated[bool, Parameter(negative="", show_default=False)] = False) -> int:
    """List the layers of the network.

    Args:
        json: Print JSON.
    """
    rows = layer_rows()
    if json:
        out(dumps(rows))
        return ExitCode.DONE
    out(f"{'layer':8}  channels  stride (px)  what it is")
    for row in rows:
        out(f"{row['name']:8}  {row['channels']:8}  {row['stride']:11}  {row['what']}")
    return ExitCode.DONE


@app.command
def doctor(*, json: Annotated[bool, Parameter(negative="", show_default=False)] = False) -> int:
    """Tell what this machine has: versions, devices, weights, limits, exit codes.

    Args:
        json: Print JSON.
    """
    facts = examine()
    out(dumps(facts) if json else "".join(lines(facts)).rstrip())
    return ExitCode.DONE if usable(facts) else ExitCode.WEIGHTS


DEMO_SIZE = parameter(
    "size", int, f"Long edge of the result. [px; default: {DEMO['size']}]", "Size"
)


@app.command
@takes([output_flag("demo.png"), *SAVING, DEMO_SIZE])
def demo(**given: Any) -> int:
    """Paint the photo that comes with impasto, small and quickly, into demo.png."""
    if "output" not in given:
        wanted = Path("demo.png")
        free = _free(Job(None, "", (), recipe=given.get("recipe", False)), wanted).target
        given["output"] = str(wanted if given.get("force") else free)
    return stylize(str(sample("photo")), str(sample("swirl")), **{**DEMO, **given})


# --- the program ---------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        argv: The arguments; those of the process if None.
    """
    tokens = list(sys.argv[1:] if argv is None else argv)
    try:
        with _signals.watched():
            if not tokens or {"--help", "-h"} & set(tokens):
                app.console = _help_console()
            if not tokens:
                raise InputError("no photo given: impasto CONTENT STYLE [STYLE ...], or --help")
            tokens = [DASH if token == "-" else token for token in tokens]
            code = app(tokens, exit_on_error=False, print_error=False)
            sys.stdout.flush()
            return int(code or ExitCode.DONE)
    except BaseException as error:
        return _failed(error)


def _failed(error: BaseException) -> int:
    """Say what went wrong in one line and return the exit code."""
    if isinstance(error, Interrupted):
        return int(_signals.code or ExitCode.INTERRUPTED)
    if isinstance(error, SystemExit):
        raise error
    if isinstance(error, KeyboardInterrupt):
        return int(ExitCode.INTERRUPTED)
    if isinstance(error, BrokenPipeError):
        mute()
        return int(ExitCode.RESOURCE)
    if isinstance(error, CycloptsError):
        said = " ".join(str(error).replace(DASH, "-").split())
        return complain(
            said if "Did you mean" in said else f"{said} See impasto --help.", ExitCode.USAGE
        )
    if isinstance(error, ImpastoError):
        return complain(str(error), error.exit_code)
    if _out_of_memory(error):
        return complain("not enough memory; give a smaller --size", ExitCode.RESOURCE)
    traceback.print_exception(error)
    return complain("this is a bug of ours; please report it with the lines above", ExitCode.BUG)


def _out_of_memory(error: BaseException) -> bool:
    known = isinstance(error, RuntimeError) and re.search(
        r"allocate|out of memory", str(error), re.IGNORECASE
    )
    return isinstance(error, MemoryError) or bool(known)


def _help_console() -> Any:
    from rich.console import Console

    return Console(width=min(HELP_WIDTH, Console().width))
