"""`impasto video`: paint a clip so that strokes hold still. torch, PyAV and OpenCV come late."""

import sys
from dataclasses import dataclass
from inspect import Parameter as Plain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from impasto.cli import run
from impasto.cli.arguments import PictureArguments, picture_arguments
from impasto.cli.checks import check_options, paintings, roles
from impasto.cli.console import complain, out
from impasto.cli.flags import (
    BASE,
    COMMON_FIELDS,
    SAVING,
    Flags,
    argument,
    flag,
    generated,
    parameter,
    switch,
    takes,
    typed,
)  # fmt: skip
from impasto.cli.output import begin_lines
from impasto.cli.progress import PaceOfSeries, Progress, show_progress
from impasto.cli.run import signals
from impasto.cli.settings_sources import ResolvedSettings, gather
from impasto.cli.watch import Preview, json_lines
from impasto.config.output import Output
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.errors import End, ExitCode, InputError, OutputError, ResourceError
from impasto.messages import counted, duration, printable
from impasto.system.fallback import shortened
from impasto.system.files import check_target
from impasto.videos.video import FilmSettings, check_installed

if TYPE_CHECKING:
    from impasto.transfer.result import Step
    from impasto.videos.film import FilmEstimate
    from impasto.videos.frames import FilmRun
    from impasto.videos.video import Film, Painted

LONG = 10 * 3600  # seconds of a film, from which the command asks before it begins
KEPT_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".gif", ".webp")  # of a clip, kept by default

CLIP = [
    argument("clip", "The clip: a video, an animated GIF or WebP, or a folder of numbered pictures.",
        required=True),
    argument("styles", "The painting, or several.", Plain.VAR_POSITIONAL, name="STYLE"),
]  # fmt: skip
FILM = parameter("output", Path, "The film; the suffix decides: .mp4, .mov, .mkv, .webm, .gif, .webp, or "
    "none for a folder of numbered pictures. Its frames are kept in NAME.frames. [default: CLIP-STYLE here, "
    "with the suffix of the clip]", common=True, short=["-o"], allow_leading_hyphen=True,
    converter=typed)  # fmt: skip
YES = switch("yes", f"Do not ask before a film that takes over {LONG // 3600} hours.", common=True)
JSON = switch("json", "Print one JSON object a line: frame, error; the last, done, has all about the film.")
SAVED = [item for item in SAVING if item.name in ("force", "preview", "quiet", "verbose")]
SETTINGS = [item for item in BASE if item.name not in ("save_settings", "init_picture")]
FIELDS = generated(
    FilmSettings, Settings, Runtime,
    common=COMMON_FIELDS | {"steadiness", "from_", "to", "every", "codec", "crf"},
)  # fmt: skip


@takes([*CLIP, FILM, YES, *SAVED, JSON, *SETTINGS, *FIELDS])
def video(clip: str, *styles: str, flags: Flags) -> int:
    """Paint a clip, so that strokes hold still from frame to frame.

    Sound and subtitles are kept. The same command again goes on after an interruption, and with another
    --codec or --crf encodes again what is painted. Masks may be clips.
    """
    begin_lines(flags)
    names = paintings(clip, styles, flags, of_clip=True)
    resolved = gather(flags)
    if resolved.settings.init == "picture":
        raise InputError("--init picture is for a photo: a film begins with its own frames")
    check_options(resolved.settings, flags)
    film = FilmSettings.from_texts(
        {name: flags.changes[name] for name in FilmSettings.model_fields if name in flags.changes},
        {name: flag(name) for name in FilmSettings.model_fields},
    )
    if not Path(clip).exists():
        raise InputError(f"{printable(clip)} does not exist; check the path")
    arguments = picture_arguments(clip, names, flags)
    order = Order(arguments, resolved, film, flags, _target(clip, arguments, flags))
    if flags.preview is not None:
        check_target(Path(flags.preview), overwrite=True)
    with show_progress(quiet=flags.quiet, verbose=flags.verbose) as progress:
        for message in filter(None, [roles(clip, names), *resolved.notes]):
            progress.say(message)
        return _paint(order, progress)


@dataclass(frozen=True)
class Order:
    """What the command line asks for."""

    arguments: PictureArguments
    resolved: ResolvedSettings
    film: FilmSettings
    flags: Flags
    target: Path


def _target(clip: str, arguments: PictureArguments, flags: Flags) -> Path:
    """Return the film's name.

    Raises:
        InputError: It is standard output, or empty.
    """
    if flags.output == "-":
        raise InputError("-o -: a film needs the name of a file, for its frames stand beside it")
    if flags.output == "":
        raise InputError("-o: the name is empty; give one such as out.mp4")
    if flags.output is not None:
        return Path(flags.output)
    suffix = Path(clip).suffix.lower()
    if Path(clip).is_dir():
        suffix = ""
    elif suffix not in KEPT_SUFFIXES:
        suffix = ".mp4"
    return Path(f"{shortened(arguments.stem)}{suffix}")


def _paint(order: Order, progress: Progress) -> int:
    """Plan, estimate, ask, paint and write the film; return the exit code."""
    check_installed()
    from impasto.inputs.open import Opener
    from impasto.videos.film import estimate_film, make_film, plan_film

    resolved = order.resolved
    arguments = order.arguments
    plan = plan_film(
        arguments.content, arguments.segmented(Opener()), order.target, resolved.settings, order.film,
        runtime=resolved.runtime, protect=arguments.protect, overwrite=order.flags.force,
    )  # fmt: skip
    for note in plan.notes:
        progress.say(note)
    estimate = estimate_film(plan)
    progress.say(_first_line(plan, estimate))
    _check_disk(plan, estimate)
    _ask(estimate, order.flags)
    plan.options.update(_callbacks(progress, plan, order))
    try:
        film = make_film(plan)
    except OutputError as error:
        raise OutputError(f"{error}; the same command again goes on from there") from error
    return _report(film, progress, order)


def _first_line(plan: "FilmRun", estimate: "FilmEstimate") -> str:
    """Return how large the film is, how long it takes, and where its frames are kept."""
    width, height = plan.size
    clip = plan.views.clip
    size = f"{counted(clip.count, 'frame')} of {width} x {height} px, {clip.seconds:.3g} s"
    folder = printable(plan.folder.path)
    if not estimate.frames:
        return f"{size}; all are painted, in {folder}"
    done = plan.folder.state.done
    there = f" ({counted(done, 'frame')} there already)" if done else ""
    disk = f"{estimate.disk / 1e9:.1f} GB" if estimate.disk >= 1e9 else f"{max(1, estimate.disk // 10**6)} MB"
    return f"{size}{there}: about {duration(estimate.seconds)}, and up to {disk} in {folder}"


def _check_disk(plan: "FilmRun", estimate: "FilmEstimate") -> None:
    """Refuse a film whose frames do not fit on the disk.

    Raises:
        ResourceError: It is so.
    """
    import psutil

    parent = plan.folder.path.absolute().parent
    free = psutil.disk_usage(str(parent)).free
    if free < estimate.disk:
        raise ResourceError(
            f"the frames may take {estimate.disk / 1e9:.2g} GB, but {printable(parent)} has "
            f"{free / 1e9:.2g} GB free; give another place with -o, or a smaller --size"
        )


def _ask(estimate: "FilmEstimate", flags: Flags) -> None:
    """Ask before a film that takes very long.

    Raises:
        InputError: The answer is no, or nobody is there to ask.
    """
    if estimate.seconds < LONG or flags.yes:
        return
    shorter = "--from and --to take a part, --size 256 and --every 2 take less time"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(f"this takes about {duration(estimate.seconds)}: give --yes for that; {shorter}")
    sys.stderr.write("Begin? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InputError(f"not begun; {shorter}")


class PaceOfFilm(PaceOfSeries):
    """The pace of the frames of a film; their number is known only about. A second pass has as many."""

    def __init__(self, costs: list[float], count: int) -> None:
        super().__init__(costs)
        self.count = count

    def next_run(self) -> None:
        """Begin the next frame."""
        self.index = min(self.index + 1, len(self._costs) - 1)

    def prefix(self) -> str:
        """Return which frame this is."""
        if self.index < self.count:
            return f"frame {self.index + 1}/{self.count}  "
        return f"second pass, frame {len(self._costs) - self.index}/{self.count}  "


def _callbacks(progress: Progress, plan: "FilmRun", order: Order) -> Any:
    """Return callbacks that show the progress of all frames, and end at a signal."""
    from impasto.videos.frames import LATER

    state, count = plan.folder.state, max(1, plan.views.clip.count)
    done, alone = state.done, not plan.film.steadiness
    costs = [0.0] * min(done, count) + [
        1.0 if alone or (not n and not done) else 1.3 / LATER for n in range(count - done)
    ]
    if plan.film.two_pass:
        again = state.left_again(count)
        costs += [0.0] * (count - again) + [0.5 / LATER] * again
    pace = progress.pace = PaceOfFilm(costs, count)
    stop = run.stop_at_signal(progress, loss=" and writes no film")
    preview = None if order.flags.preview is None else Preview(Path(order.flags.preview), Output())

    def on_step(step: "Step") -> None:
        signals.running = True  # from now on a signal ends the film cleanly
        pace.update(step)
        progress.step(step)
        if preview is not None:
            preview.step(step)
        stop()

    def on_frame(painted: "Painted") -> None:
        pace.next_run()
        json_lines.write("frame", _as_json(painted))
        if order.flags.verbose:
            progress.say(_line(painted))
        stop()

    return {"on_step": on_step, "on_part": stop, "on_frame": on_frame}


def _line(painted: "Painted") -> str:
    """Return what is said of a frame with --verbose."""
    if painted.start == "kept":
        return f"frame {painted.index + 1}: there already"
    if painted.start == "between":
        return f"frame {painted.index + 1}: made of its neighbors in {painted.seconds:.1f} s"
    other = "next" if painted.start == "next" else "last"
    how = "a new scene" if painted.start == "scene" else f"{painted.trusted:.0%} from the {other} one"
    spent = f"{counted(painted.evaluations, 'evaluation')} in {painted.seconds:.1f} s"
    return f"frame {painted.index + 1}: {how}, {spent}, ended: {painted.stopped}"


def _as_json(painted: "Painted") -> dict[str, Any]:
    """Return what --json prints of a frame."""
    return {
        "frame": painted.index + 1,
        "frames": painted.count,
        "start": painted.start,
        "evaluations": painted.evaluations,
        "seconds": round(painted.seconds, 3),
        "trusted": round(painted.trusted, 4),
        "ended": painted.stopped or None,
    }


def _report(film: "Film", progress: Progress, order: Order) -> int:
    """Say how the film ended, and return the exit code."""
    code = int(signals.code or ExitCode.DONE)
    if film.path is not None and not order.flags.json:
        out(printable(film.path))
    new = [painted for painted in film.painted if painted.start != "kept"]
    evaluations = sum(painted.evaluations for painted in new)
    frames = f"{counted(len(new), 'frame')} with {counted(evaluations, 'evaluation')}"
    spent = f"{frames} in {duration(film.seconds)}" if new else "encoded again"
    if film.stopped:
        where = (
            "no frame is finished yet"
            if film.path is None
            else f"the film has {counted(film.frames, 'frame')} so far"
        )
        progress.say(f"{film.stopped}; {where}; the same command again goes on")
    else:
        progress.say(
            f"{spent}; the frames are kept in {printable(film.folder)}: remove it if you need no more of it"
        )
    json_lines.write("done", {
        "path": None if film.path is None else str(film.path),
        "frames": film.frames,
        "scenes": [number + 1 for number in film.scenes],
        "folder": str(film.folder),
        "seconds": round(film.seconds, 3),
        "stopped": film.stopped or None,
        "notes": list(film.notes),
    })  # fmt: skip
    if any(painted.stopped == End.NOT_FINITE for painted in new) and not code:
        return complain(
            "the losses of some frames stopped being finite; try smaller weights", ExitCode.NUMERICAL
        )
    return code
