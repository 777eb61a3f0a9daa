"""The command line: parse, call, print. The only module that prints results and ends the program.

Flags, ranges and defaults are made from `Settings` and `Runtime`. torch is imported only after everything
that can be checked without it was checked. Results go to standard output, all else to standard error.
"""

import contextlib
import inspect
import json
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from cyclopts import App, CycloptsError, Group, Parameter
from pydantic.fields import FieldInfo

from impasto._version import __version__
from impasto.errors import ExitCode, ImpastoError, InputError, OutputError, did_you_mean
from impasto.layers import CHANNELS, LAYERS, block_of, stride
from impasto.progress import LogHandler, Progress, duration
from impasto.publish import check_length, check_target, printable, read_whole
from impasto.samples import sample
from impasto.settings import PRESETS, Groups, Runtime, Settings, Style

if TYPE_CHECKING:
    from impasto.picture import Picture
    from impasto.transfer import Result, Step

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")  # as picture.WRITABLE, without torch
DEEP = (".png", ".tif", ".tiff")  # can hold 16 bits
MAX_BYTES = 200_000_000  # as picture.MAX_BYTES, without torch
LONGEST_STEM = 120  # characters of a default name
DEMO = {"size": 384, "quality": "draft"}
HELP_WIDTH = 100  # columns

# --- flags, made from the models -----------------------------------------------------------------

GROUPS = {
    name: Group(name, sort_key=order)
    for order, name in enumerate(["Output", *get_args(Groups)], start=1)
}


def describe(field: FieldInfo) -> str:
    """Return the help of one field: meaning, then unit, choices or range, and default."""
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    meaning = str(field.description)
    default = field.get_default(call_default_factory=True)
    parts = [str(extra["unit"]), _choices(field), _range(field)]
    if default is not None:
        parts.append(f"default: {_shown(default)}")
    elif "Default:" not in meaning:
        parts.append("default: not set")
    detail = "; ".join(part for part in parts if part)
    return f"{meaning} [{detail}]" if detail else meaning


def _choices(field: FieldInfo) -> str:
    literal = get_origin(field.annotation) is Literal
    return ", ".join(map(str, get_args(field.annotation))) if literal else ""


def _range(field: FieldInfo) -> str:
    limits = {
        name: getattr(item, name)
        for item in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(item, name, None) is not None
    }
    low = f"above {limits['gt']}" if "gt" in limits else str(limits.get("ge", ""))
    high = f"below {limits['lt']}" if "lt" in limits else str(limits.get("le", ""))
    return f"{low} to {high}" if low and high else f"{low} or more" if low else ""


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(name if w == 1 else f"{name}={w:g}" for name, w in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _parameter(name: str, kind: Any, help: str, group: str = "Output", **more: Any) -> Any:
    names = [f"--{name.replace('_', '-')}", *more.pop("short", [])]
    about = Parameter(
        name=names, help=help, group=GROUPS[group], show_default=False, show_choices=False, **more
    )
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=None, annotation=Annotated[kind | None, about])


def _switch(name: str, help: str, **more: Any) -> Any:
    return _parameter(name, bool, f"{help} [default: no]", negative="", **more)


OUTPUT = [
    _parameter("output", str, "File to write; the suffix decides the format; - writes PNG to standard "
        "output. [default: CONTENT-STYLE.png here, a new name]", short=["-o"], allow_leading_hyphen=True),
    _switch("force", "Replace files that exist."),
    _parameter("bits", Literal[8, 16], "Bits of each colour; 16 in PNG and TIFF. [8, 16; default: 8]"),
    _switch("recipe", "Also write the recipe, as JSON, beside the picture."),
    _parameter("save_every", int, "Also save the picture after every so many evaluations, as "
        "NAME-0020.png. [evaluations; 1 or more; default: not set]"),
    _switch("json", "Print one JSON object instead of the name of the picture."),
    _switch("quiet", "Say nothing but errors.", short=["-q"]),
    _switch("verbose", "Say more.", short=["-v"]),
]  # fmt: skip
BASE = [
    _parameter("preset", str, "What the flags start from: default, or paper (Gatys, Ecker and Bethge, to "
        f"the letter). [{', '.join(PRESETS)}; default: default]", "Look"),
    _parameter("style_weights", str, "Shares of several paintings, by commas, such as 0.7,0.3. "
        "[0 or more; default: equal]", "Look"),
    _parameter("init_picture", str, "Picture to start from; means --init picture. [default: not set]",
        "Start"),
]  # fmt: skip


def _generated() -> list[Any]:
    found = []
    for model in (Settings, Runtime):
        for name, field in model.model_fields.items():
            extra = field.json_schema_extra
            assert isinstance(extra, dict)
            kind = str if get_origin(field.annotation) is dict else field.annotation
            found.append(_parameter(name, kind, describe(field), str(extra["group"])))
    return found


def _positional() -> list[Any]:
    content = Annotated[str, Parameter(help="The photo; - reads standard input.", required=True)]
    style = Annotated[str, Parameter(name="STYLE", help="The painting, or several.")]
    kinds = inspect.Parameter
    return [
        kinds("content", kinds.POSITIONAL_ONLY, annotation=content),
        kinds("styles", kinds.VAR_POSITIONAL, annotation=style),
    ]


def _with(parameters: Sequence[Any]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command that takes anything the signature that its flags are made from."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        command.__signature__ = inspect.Signature(list(parameters))  # type: ignore[attr-defined]
        command.__annotations__ = {item.name: item.annotation for item in parameters}
        return command

    return decorate


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

# --- signals -------------------------------------------------------------------------------------


class Interrupted(BaseException):
    """End at once: a signal came before the first evaluation, or a second one."""


class Signals:
    """SIGINT and SIGTERM: the first ends a running optimisation cleanly, the second at once."""

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
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, self._arrived)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


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


def _settings(given: Mapping[str, Any]) -> Settings:
    """Return the preset with the flags really given."""
    chosen = {name: given[name] for name in Settings.model_fields if name in given}
    if "quality" in chosen:  # a preset's number of evaluations would override it
        chosen.setdefault("evaluations", None)
    if "init_picture" in given and chosen.setdefault("init", "picture") != "picture":
        raise InputError(f"--init-picture goes with --init picture, not --init {chosen['init']}")
    if chosen.get("init") == "picture" and "init_picture" not in given:
        raise InputError("--init picture needs the picture to start from: --init-picture FILE")
    return Settings.preset(given.get("preset", "default"), **chosen)


def _shares(text: str | None, count: int) -> list[float]:
    if text is None:
        return [1.0] * count
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--style-weights: {printable(text)} is not numbers by commas") from None
    if len(shares) != count:
        raise InputError(f"--style-weights: {len(shares)} given for {count} style pictures")
    checked = [Style(None, share).weight for share in shares]
    if not sum(checked):
        raise InputError("--style-weights: at least one style needs a weight above 0")
    return checked


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
    _check_suffix(job.target, job.bits)
    _check_all(job, job.target)
    return job


def _check_suffix(target: Path, bits: int) -> None:
    suffix, shown = target.suffix.lower(), printable(target)
    if target.is_dir():
        raise OutputError(f"{shown} is a folder; give the name of a file")
    if suffix not in SUFFIXES:
        hint = did_you_mean(suffix, SUFFIXES)
        raise InputError(f"{shown}: the suffix must be one of {', '.join(SUFFIXES)}.{hint}")
    if bits == 16 and suffix not in DEEP:
        raise InputError(f"{shown}: {suffix} cannot have 16 bits; use one of {', '.join(DEEP)}")


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


@app.default
@app.command(name="stylize")
@_with([*_positional(), *OUTPUT, *BASE, *_generated()])
def stylize(content: str, *styles: str, **given: Any) -> int:
    """Paint a photo in the style of one or several paintings (the verb may be left out)."""
    if not styles:
        hint = did_you_mean(content, ("layers", "doctor", "demo", "stylize"))
        raise InputError(
            f"no painting given after {printable(content)}; name a style picture.{hint}"
        )
    if "-" in styles or given.get("init_picture") == "-":
        raise InputError("only the photo can come from standard input (-)")
    settings = _settings(given)
    runtime = Runtime(**{name: given[name] for name in Runtime.model_fields if name in given})
    shares = _shares(given.get("style_weights"), len(styles))
    job = _job(content, styles, given)
    files = [_read(name) for name in [*styles, given.get("init_picture"), content] if name]
    progress = Progress(sys.stderr, quiet=job.quiet)
    with _logged(progress, verbose=job.verbose), contextlib.closing(progress):
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
    progress.say(said)
    if job.verbose:
        progress.say(f"{runtime.device}, {runtime.threads} threads, {runtime.precision}")

    def on_step(step: "Step") -> None:
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
    if result.stopped == "not finite":
        code = int(ExitCode.NUMERICAL)
        progress.say("impasto: warning: the losses stopped being finite; the best picture is saved")
    elif code:
        progress.say(f"interrupted after {spent} evaluations; the best picture so far is saved")
    if job.target is None:
        sys.stdout.buffer.write(result.picture.encode(".png", bits=job.bits))
        sys.stdout.buffer.flush()
        return code
    job = _save(job, progress, result)
    assert job.target is not None
    if job.json:
        _print(json.dumps(_report(job, result, spent)))
    else:
        _print(printable(job.target))
    progress.say(f"{spent} evaluations in {duration(result.seconds)}")
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


def _report(job: Job, result: "Result", spent: int) -> dict[str, Any]:
    assert job.target is not None
    return {
        "path": str(job.target),
        "recipe_path": str(job.target.with_suffix(".json")) if job.recipe else None,
        "width": result.picture.width,
        "height": result.picture.height,
        "seconds": round(result.seconds, 3),
        "evaluations": spent,
        "stopped": result.stopped,
        "losses": result.recipe.losses,
        "recipe": json.loads(result.recipe.to_json()),
    }


@app.command
def layers(*, json: Annotated[bool, Parameter(negative="", show_default=False)] = False) -> int:
    """List the layers of the network.

    Args:
        json: Print JSON.
    """
    what = {"conv": "convolution, before the ReLU", "relu": "after the ReLU", "pool": "pooled"}
    rows = [
        {
            "name": name,
            "channels": CHANNELS[block_of(name) - 1],
            "stride": stride(name),
            "what": f"block {block_of(name)}: {what[name[:4]]}",
        }
        for name in LAYERS
    ]
    if json:
        _print(_dumps(rows))
        return ExitCode.DONE
    _print(f"{'layer':8}  channels  stride (px)  what it is")
    for row in rows:
        _print(f"{row['name']:8}  {row['channels']:8}  {row['stride']:11}  {row['what']}")
    return ExitCode.DONE


@app.command
def doctor(*, json: Annotated[bool, Parameter(negative="", show_default=False)] = False) -> int:
    """Tell what this machine has: versions, devices, weights, limits, exit codes.

    Args:
        json: Print JSON.
    """
    from impasto.doctor import examine, lines, usable

    facts = examine()
    _print(_dumps(facts) if json else "".join(lines(facts)).rstrip())
    return ExitCode.DONE if usable(facts) else ExitCode.WEIGHTS


@app.command
@_with([*OUTPUT, *(item for item in _generated() if item.name in ("size", "evaluations"))])
def demo(**given: Any) -> int:
    """Paint the photo that comes with impasto, small and quickly."""
    # size and quality of the demo are small on purpose; flags given win
    if "output" not in given:
        options = Job(Path("."), "demo", (), recipe=given.get("recipe", False))
        given["output"] = (
            "demo.png" if given.get("force") else str(_free(options, Path("demo.png")).target)
        )
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
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.RESOURCE)
    if isinstance(error, CycloptsError):
        said = " ".join(str(error).split())
        return _complain(said if "Did you mean" in said else f"{said} See impasto --help.", 2)
    if isinstance(error, ImpastoError):
        return _complain(str(error), error.exit_code)
    if _out_of_memory(error):
        return _complain("not enough memory; give a smaller --size", ExitCode.RESOURCE)
    traceback.print_exception(error)
    return _complain("this is a bug of ours; please report it with the lines above", ExitCode.BUG)


def _out_of_memory(error: BaseException) -> bool:
    known = isinstance(error, RuntimeError) and re.search(
        r"allocate|out of memory", str(error), re.IGNORECASE
    )
    return isinstance(error, MemoryError) or bool(known)


def _complain(message: str, code: int) -> int:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"impasto: error: {printable(message)}\n")
    return int(code)


@contextlib.contextmanager
def _logged(progress: Progress, *, verbose: bool) -> Iterator[None]:
    """Show the library's log while the block runs."""
    logger, handler = logging.getLogger("impasto"), LogHandler(progress)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def _help_console() -> Any:
    from rich.console import Console

    return Console(width=min(HELP_WIDTH, Console().width))


def _dumps(value: object) -> str:
    return json.dumps(value, indent=2)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
