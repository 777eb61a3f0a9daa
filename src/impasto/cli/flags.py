"""The flags of the command line, made from the models, and what is checked of them first. No torch here."""

import inspect
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from inspect import Parameter as Plain
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import Group, Parameter
from pydantic.fields import FieldInfo

from impasto.config import settings_file
from impasto.config.limits import Input
from impasto.config.model import Groups, Model, choices, format_value, is_table
from impasto.config.output import Output
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.styles import Style
from impasto.errors import InputError, OutputError, SettingsError
from impasto.messages import counted, did_you_mean, printable
from impasto.system.files import WRITABLE

DEEP = (".png", ".tif", ".tiff")  # can hold 16 bits
WITH_UNITS = (
    "memory_limit",
    "budget",
    "max_pixels",
    "max_bytes",
    "max_text",
)  # numbers that may be written with a unit

NEEDS = {  # what an option is nothing without: a field, its value then, and what to give
    "color_amount": ("color", "style", "--color luminance, match or histogram"),
    "laplacian_pool": ("laplacian", 0, "--laplacian a weight"),
    "total_variation_form": ("total_variation", 0, "--total-variation a weight"),
}
OPTIONS_OF = {  # which solvers an option is for
    "history": ("lbfgs", "scipy"),
    "bounded": ("lbfgs", "adam"),
    "line_search": ("scipy",),
    "learning_rate": ("adam",),
    "adam_beta1": ("adam",),
    "adam_beta2": ("adam",),
    "adam_epsilon": ("adam",),
}

# --- flags, made from the models -----------------------------------------------------------------

GROUPS = {name: Group(name, sort_key=order) for order, name in enumerate(get_args(Groups), start=1)}


def describe(field: FieldInfo) -> str:
    """Return the help of one field: meaning, then unit, choices or range, and default."""
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    meaning = str(field.description)
    default = field.get_default(call_default_factory=True)
    parts = [str(extra["unit"]), _choices(field), _range(field)]
    if default is not None:
        parts.append(f"default: {format_value(default)}")
    elif "Default:" not in meaning:
        parts.append("default: not set")
    detail = "; ".join(part for part in parts if part)
    return f"{meaning} [{detail}]" if detail else meaning


def _choices(field: FieldInfo) -> str:
    return ", ".join(map(str, choices(field)))


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


def raw(kind: Any, tokens: Sequence[Any]) -> str:
    """Return a value as it was typed: our own models convert it, and say what is wrong in their words."""
    return str(tokens[0].value)


def _simple(kind: Any) -> bool:
    """Whether a type is one number or one text, which may be missing."""
    if get_origin(kind) is list:
        return False
    return all(part in (int, float, str, Path, type(None)) for part in get_args(kind) or [kind])


def parameter(name: str, kind: Any, help: str, group: str = "Output", **more: Any) -> Any:
    """Return one keyword-only parameter of a command, which is a flag."""
    names = [f"--{name.replace('_', '-')}", *more.pop("short", [])]
    if _simple(kind):
        more.setdefault("converter", raw)
    about = Parameter(
        name=names, help=help, group=GROUPS[group], show_default=False, show_choices=False, **more
    )
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, keyword, default=None, annotation=Annotated[kind | None, about])


def switch(name: str, help: str, **more: Any) -> Any:
    """Return a flag that is off unless given."""
    return parameter(name, bool, f"{help} [default: no]", negative="", **more)


def generated(*models: type[Model]) -> list[Any]:
    """Return a flag for every field of these models; of all four where none is given."""
    found = []
    for model in models or (Settings, Runtime, Output, Input):
        for name, field in model.model_fields.items():
            extra = field.json_schema_extra
            assert isinstance(extra, dict)
            kind = str if is_table(field) or name in WITH_UNITS else field.annotation
            # -3s is a wrong value, and would be taken for a flag, unlike -3
            more = {"allow_leading_hyphen": True} if name in WITH_UNITS else {}
            found.append(parameter(name, kind, describe(field), str(extra["group"]), **more))
    return found


def takes(parameters: Sequence[Any]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command that takes anything the signature that its flags are made from."""

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        command.__signature__ = inspect.Signature(list(parameters))  # type: ignore[attr-defined]
        command.__annotations__ = {item.name: item.annotation for item in parameters}
        return command

    return decorate


# --- flags beside those of the models ------------------------------------------------------------


def output_flag(default: str) -> Any:
    """Return `--output`, saying what it is by default."""
    help = (
        "File to write; the suffix decides the format; - writes PNG to standard output. "
        f"[default: {default} here, a new name]"
    )
    return parameter("output", Path, help, short=["-o"], allow_leading_hyphen=True)


SAVING = [
    switch("force", "Replace files that exist."),
    switch("recipe", "Also write the recipe, which the picture carries, as JSON beside it."),
    switch("report", "Also write a page about the result, NAME.html, beside the picture."),
    parameter("save_every", int, "Also save the picture after every so many evaluations, as "
        "NAME-0020.png. [evaluations; 1 or more; default: not set]"),
    parameter("checkpoint", Path, "File from which impasto resume goes on after an interruption. A run of "
        "over two minutes keeps one in the cache folder by itself. [default: not set]"),
    switch("no_checkpoint", "Keep no checkpoint, however long it takes."),
    switch("json", "Print one JSON object instead of the name of the picture."),
    switch("quiet", "Say nothing but errors.", short=["-q"]),
    switch("verbose", "Say more.", short=["-v"]),
]  # fmt: skip
OUTPUT = [output_flag("CONTENT-STYLE.png"), *SAVING]
SOURCES = [
    parameter("preset", str, "Settings with a name: default, paper (Gatys, Ecker and Bethge, to the "
        "letter), a look (sketchy, balanced, bold, tinted, wild) or one of your own; impasto presets lists "
        "them; single flags go before. "
        "[default: default]", "Look"),
    parameter("like", Literal[settings_file.PEERS], "Another program's published settings, in its own "
        "formulas: what its numbers mean there, they mean here. "
        f"[{', '.join(settings_file.PEERS)}; default: not set]", "Look"),
    parameter("settings", Path, "Settings from a TOML file, or from a picture made earlier; flags go before. "
        "[default: not set]", "Look"),
    parameter("weights", Path, "VGG-19's weights: a name that impasto weights lists, or a file. "
        "[default: vgg19-original-8bit, which comes with impasto]", "Expert"),
    parameter("save_settings", Path, "Write all settings but pictures and their shares, with their "
        "help, to a .toml file for --settings. [default: not set]"),
]  # fmt: skip
BASE = [
    *SOURCES,
    parameter("style_weights", str, "Shares of several paintings, by commas, such as 0.7,0.3. "
        "[0 or more; default: equal]", "Look"),
    parameter("init_picture", Path, "Picture to start from; means --init picture. [default: not set]",
        "Start"),
    parameter("strokes", str, "Size of the strokes of each painting, by commas, such as 0.5,2; or none. "
        "[0.1 to 10; default: as --stroke]", "Styles"),
    parameter("style_layers_of", str, "Layers of each painting, between ; as in "
        '"relu1_1,relu2_1;relu4_1,relu5_1"; or none. [default: as --style-layers]', "Styles"),
    parameter("mask", list[str], "Where in the photo a painting is used, white on black; once for each "
        "painting in their order: a file, none (everywhere) or rest (what the others leave). "
        "[default: none]", "Regions", negative=""),
    parameter("source_mask", list[str], "Which part of a painting counts, white on black; once for each "
        "painting: a file or none. [default: none]", "Regions", negative=""),
    parameter("segments", Path, "One picture with a flat colour for each region, instead of masks. "
        "[default: not set]", "Regions"),
    parameter("segment_colors", str, "Whose colour is which, by commas, such as \"#00f,#0f0\"; none and "
        "rest as for --mask. [default: the largest region is the first painting's, and so on]", "Regions"),
    parameter("source_segments", list[str], "The segmentation of a painting, in the photo's colours; once "
        "for each painting: a file or none. [default: none]", "Regions", negative=""),
    parameter("protect", str, "What stays the photo, white on black; or rest: what no mask covers. "
        "[default: not set]", "Regions"),
]  # fmt: skip


def argument(name: str, about: Parameter) -> Any:
    """Return one required argument of a command, which has no flag."""
    return Plain(name, Plain.POSITIONAL_ONLY, annotation=Annotated[Path, about])


def positional() -> list[Any]:
    """Return the photo and the paintings as parameters of a command."""
    photo = Parameter(help="The photo; - reads standard input.", required=True, converter=raw)
    content = Annotated[Path, photo]
    painting = Parameter(name="STYLE", help="The painting, or several.", converter=raw)
    style = Annotated[Path, painting]
    return [
        Plain("content", Plain.POSITIONAL_ONLY, annotation=content),
        Plain("styles", Plain.VAR_POSITIONAL, annotation=style),
    ]


def whole(flag: str, text: str, low: int, high: int | None = None, unit: str = "") -> int:
    """Return the whole number that a flag outside the models gives, or refuse it in one line."""
    if text.isdecimal() and low <= int(text) and (high is None or int(text) <= high):
        return int(text)
    limits = f"{low} or more" if high is None else f"{low} to {high}"
    raise InputError(f"{flag}: must be a whole number{unit}, {limits}, not {printable(text)}")


def one_picture(runtime: Runtime) -> None:
    """Refuse a time budget where many pictures are compared: each must have its evaluations."""
    if runtime.budget is not None:
        raise InputError(
            "--budget is for a single picture; here give evaluations or a smaller --size"
        )


def check_start(chosen: Settings, given: Mapping[str, Any]) -> None:
    """Refuse a start from a picture without one, and a picture that would not be used."""
    if "init_picture" in given and chosen.init != "picture":
        raise InputError(f"--init-picture goes with --init picture, not --init {chosen.init}")
    if chosen.init == "picture" and "init_picture" not in given:
        raise InputError("--init picture needs the picture to start from: --init-picture FILE")


def check_options(chosen: Settings, given: Mapping[str, Any], varied: Collection[str] = ()) -> None:
    """Refuse flags that would do nothing with what else was chosen, unless that is varied."""
    named = {*given, *varied}
    for name, (other, nothing, wanted) in NEEDS.items():
        if name in named and other not in varied and getattr(chosen, other) == nothing:
            flags = (f"--{word.replace('_', '-')}" for word in (name, other))
            raise InputError(
                "{} does nothing without {}: leave it out, or give {}".format(*flags, wanted)
            )
    if "protect" not in given and "protect_feather" in named:
        raise InputError("--protect-feather does nothing without --protect MASK: leave it out")
    if "solver" not in varied:
        for name, solvers in OPTIONS_OF.items():
            if given.get(name) and chosen.solver not in solvers:
                flag = f"--{name.replace('_', '-')}"
                other = " or ".join(f"--solver {solver}" for solver in solvers)
                raise InputError(
                    f"{flag} does nothing with --solver {chosen.solver}: leave it out, or give {other}"
                )
    if "init_noise" in given and chosen.init == "noise" and "init" not in varied:
        raise InputError(
            "--init-noise mixes noise into another start, and --init noise is nothing else: leave one out"
        )
    if "strength" in varied and (
        both := sorted({"content_weight", "style_weight"} & {*given, *varied})
    ):
        flag = f"--{both[0].replace('_', '-')}"
        raise InputError(f"--vary strength sets the weights itself: leave out {flag}")
    if "strength" in given and (both := sorted({"content_weight", "style_weight"} & set(varied))):
        raise InputError(f"--vary {both[0]}: --strength sets the weights itself: leave it out")


def shares_of(text: str | None, count: int) -> list[float]:
    """Return the shares of the styles, as `--style-weights` gives them."""
    if text is None:
        return [1.0] * count
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        given = printable(text)
        raise InputError(
            f"--style-weights: {given} is not numbers by commas such as 0.7,0.3"
        ) from None
    if len(shares) != count:
        raise InputError(
            f"--style-weights: {len(shares)} given, but {counted(count, 'style picture')}"
        )
    try:
        checked = [Style(None, share).weight for share in shares]
    except SettingsError as error:
        raise InputError(str(error).replace("style weight", "--style-weights")) from error
    if not sum(checked):
        raise InputError("--style-weights: at least one style needs a weight above 0")
    return checked


def check_suffix(target: Path, bits: int | None) -> None:
    """Refuse a name for the result whose format or depth cannot be written; torch is not needed."""
    suffix, shown = target.suffix.lower(), printable(target)
    if os.path.isdir(target):  # noqa: PTH112  it does not raise for a name that is too long
        raise OutputError(f"{shown} is a folder; give the name of a file")
    if suffix not in WRITABLE:
        hint = did_you_mean(suffix, WRITABLE)
        raise InputError(f"{shown}: the suffix must be one of {', '.join(WRITABLE)}.{hint}")
    if bits == 16 and suffix not in DEEP:
        raise InputError(f"{shown}: {suffix} cannot have 16 bits; use one of {', '.join(DEEP)}")
