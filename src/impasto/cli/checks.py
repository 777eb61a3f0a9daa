"""Checks of flags that need no file and no torch: numbers, suffixes, and flags that do not go together."""

import os
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from impasto.cli.flags import Flags, flag
from impasto.cli.suggestions import batch
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.config.unused import NEEDS, OPTIONS_OF, UNDRAFTED
from impasto.errors import InputError, SettingsError
from impasto.messages import counted, did_you_mean, printable
from impasto.system.files import MEANT, WRITABLE, is_pipe
from impasto.videos.video import VIDEOS

LISTED = 6  # names in a message, at most
DEEP = (".png", ".tif", ".tiff")  # can hold 16 bits


def whole(name: str, text: str, low: int, high: int | None = None, unit: str = "") -> int:
    """Return the whole number that a flag outside the models has.

    Raises:
        InputError: It is none, or out of range.
    """
    if text.isdecimal() and low <= int(text) and (high is None or int(text) <= high):
        return int(text)
    limits = f"{low} or more" if high is None else f"{low} to {high}"
    raise InputError(f"{name}: must be a whole number{unit}, {limits}, not {printable(text)}")


def check_no_budget(runtime: Runtime) -> None:
    """Refuse a time budget where many pictures are compared: each must have its evaluations."""
    if runtime.budget is not None:
        raise InputError("--budget is for a single picture; here give evaluations or a smaller --size")


def paintings(content: str, styles: Sequence[str], flags: Flags, *, of_clip: bool = False) -> tuple[str, ...]:
    """Return the paintings that a call names: those after the photo, or those of `--style`.

    Instead of a photo there may be a clip (`of_clip`), which may be a folder.

    Raises:
        InputError: There is none, more than the photo comes from standard input, or names after the first
            photo may be photos, or the picture to write.
    """
    if os.path.isdir(content) and not of_clip:  # noqa: PTH112
        _refuse_folder(content, flags.style or styles)
    if flags.style:
        if styles:
            more = printable(styles[0])
            raise InputError(
                f"with --style, {printable(content)} is the photo, and {more} is too much: give one photo "
                f"at a time, or several with {batch()}; or all paintings with --style"
            )
        styles = flags.style
    if not styles:
        raise InputError(f"no painting given after {printable(content)}; name a style picture")
    if "-" in (*styles, flags.init_picture):
        raise InputError("only the photo can come from standard input (-)")
    last = styles[-1]
    if len(styles) > 1 and Path(last).suffix.lower() in WRITABLE and not os.path.lexists(last):
        raise InputError(
            f"{printable(last)} does not exist, and would be a painting; if it is the picture to write: "
            f"-o {printable(last)}"
        )
    # A list with an entry for each painting says that they are meant.
    if of_clip and (film := [name for name in styles if Path(name).suffix.lower() in VIDEOS]):
        name = printable(film[0])
        raise InputError(f"{name} would be a painting; if it is the film to write: -o {name}")
    lists = (flags.style, flags.style_weights, flags.strokes, flags.style_layers_of, flags.segment_colors)
    if not of_clip and not any(lists) and max(len(flags.mask), len(flags.source_mask)) < 2:
        _check_folder(content, styles)
    return tuple(styles)


def _refuse_folder(content: str, styles: Sequence[str]) -> None:
    """Refuse a folder as the photo, as in `impasto photos painting.jpg`, and say how to paint all of it."""
    painting = " --style ".join(shlex.quote(printable(name)) for name in styles)
    folder = shlex.quote(printable(content))
    all_of_it = f", or paint all of it: {batch(folder, painting)}" if painting else ""
    raise InputError(f"{printable(content)} is a folder; give one file of it as the photo{all_of_it}")


def _check_folder(content: str, styles: Sequence[str]) -> None:
    """Refuse two or more paintings from the photo's own folder, as of `photos/*.jpg painting.jpg`."""
    folder = _folder(content)
    beside = [name for name in styles if folder is not None and _folder(name) == folder]
    if len(beside) < 2:
        return
    names = [shlex.quote(printable(name)) for name in (content, *styles)]
    paintings = " ".join(f"--style {name}" for name in names[1:4]) + (" --style ..." if names[4:] else "")
    inside = os.path.dirname(printable(content))  # noqa: PTH120
    place = f"{shlex.quote(inside)}/*" if inside else "*"
    file = f", or, to write {names[2]}, -o {names[2]}" if len(names) == 3 else ""
    raise InputError(
        f"{names[0]} would be the photo and {_listed(names[1:])} paintings, but {len(beside)} of them "
        f"are from the photo's folder; if they are paintings: impasto {names[0]} {paintings}; if they are "
        f"photos: {batch(place + Path(content).suffix, names[-1])}{file}"
    )


def _folder(name: str) -> str | None:
    """Return the folder of a picture; None for standard input, pipes and folders of pictures."""
    if name == "-" or is_pipe(name) or os.path.isdir(name):  # noqa: PTH112
        return None
    return os.path.dirname(os.path.realpath(name))  # noqa: PTH120


def roles(content: str, styles: Sequence[str]) -> str:
    """Return what is the photo and what the paintings, in one line; empty where there is one painting."""
    if len(styles) < 2:
        return ""
    names = _listed([printable(name) for name in styles])
    return f"photo: {printable(content)}; paintings: {names} (the picture to write is named with -o)"


def _listed(names: Sequence[str]) -> str:
    """Return names by commas; of many, the first and the last."""
    if len(names) <= LISTED:
        return ", ".join(names)
    return f"{', '.join(names[: LISTED - 1])}, ... {names[-1]} ({len(names)} pictures)"


def check_start(settings: Settings, flags: Flags) -> None:
    """Refuse a start from a picture without one, and a picture that would not be used."""
    if flags.init_picture is not None and settings.init != "picture":
        raise InputError(f"--init-picture goes with --init picture, not --init {settings.init}")
    if settings.init == "picture" and flags.init_picture is None:
        raise InputError("--init picture needs the picture to start from: --init-picture FILE")


def check_options(settings: Settings, flags: Flags, varied: Collection[str] = ()) -> None:
    """Refuse flags that would do nothing with the other settings, unless a grid varies those (`varied`)."""
    named = {*flags.changes, *varied}
    for name, (needed, nothing, remedy) in NEEDS.items():
        if name in named and needed not in varied and getattr(settings, needed) == nothing:
            raise InputError(
                f"{flag(name)} does nothing without {flag(needed)}: leave it out, or give {remedy}"
            )
    if flags.protect is None and "protect_feather" in named:
        raise InputError("--protect-feather does nothing without --protect MASK: leave it out")
    if "solver" not in varied:
        for name, solvers in OPTIONS_OF.items():
            if flags.changes.get(name) and settings.solver not in solvers:
                other = " or ".join(f"--solver {solver}" for solver in solvers)
                raise InputError(
                    f"{flag(name)} does nothing with --solver {settings.solver}: leave it out, or give "
                    f"{other}"
                )
    if "init_amount" in named and not settings.starts_matched and not {"init", "quality"} & {*varied}:
        raise InputError("--init-amount does nothing without --init matched: leave it out, or give that")
    if settings.quality == "instant" and "quality" not in varied and (useless := named & UNDRAFTED):
        raise InputError(
            f"{flag(min(useless))} does nothing with --quality instant, whose scales are fixed: leave it out"
        )
    if "init_noise" in flags.changes and settings.init == "noise" and "init" not in varied:
        raise InputError(
            "--init-noise mixes noise into another start, and --init noise is nothing else: leave one out"
        )


def shares_of(text: str | None, count: int) -> list[float]:
    """Return the weights of the styles, as `--style-weights` has them; 1 for each if None."""
    if text is None:
        return [1.0] * count
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"--style-weights: {printable(text)} is not numbers by commas such as 0.7,0.3"
        ) from None
    if len(shares) != count:
        raise InputError(f"--style-weights: {len(shares)} given, but {counted(count, 'style picture')}")
    try:
        checked = [Style(None, share).weight for share in shares]
    except SettingsError as error:
        raise InputError(str(error).replace("style weight", "--style-weights")) from error
    if not sum(checked):
        raise InputError("--style-weights: at least one style needs a weight above 0")
    return checked


def check_suffix(target: Path, bits: int | None) -> None:
    """Refuse a name for the result whose format or depth cannot be written."""
    suffix, name = target.suffix.lower(), printable(target)
    if suffix not in WRITABLE:
        hint = did_you_mean(suffix, WRITABLE, MEANT)
        raise InputError(f"{name}: the suffix must be one of {', '.join(WRITABLE)}.{hint}")
    if bits == 16 and suffix not in DEEP:
        raise InputError(f"{name}: {suffix} cannot have 16 bits; use one of {', '.join(DEEP)}")


def refuse_clip(content: str, what: str) -> None:
    """Refuse a clip in the place of a photo; `what` says what `impasto video` does instead.

    Raises:
        InputError: It is one, by its name.
    """
    if Path(content).suffix.lower() in VIDEOS:
        name = printable(content)
        raise InputError(f"{name} is a clip, not a photo: impasto video {name} STYLE {what}")
