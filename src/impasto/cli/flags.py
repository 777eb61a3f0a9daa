"""The flags of the command line: the table of them, and their values in one call. No torch here.

Flags of settings are made from the models `Settings`, `Runtime`, `Output` and `Input`; the others stand in
this file. A command gets all of them as one `Flags`.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from inspect import Parameter as Plain
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from cyclopts import Group, Parameter
from pydantic.fields import FieldInfo

from impasto.config import settings_file
from impasto.config.limits import Input
from impasto.config.model import Groups, Model, choices, format_value, is_table, short_repr, understood
from impasto.config.output import Output
from impasto.config.paper import DPI as PAPER_DPI
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.synonyms import value_hint
from impasto.errors import InputError

DASH = "\0"  # stands for a single - inside cyclopts, which would read - as a flag
FILES = ("weights",)  # fields whose value may be the name of a file
WITH_UNITS = ("memory_limit", "budget", "max_pixels", "max_bytes", "max_text", "from_", "to")  # 4GB or 90s


@dataclass(frozen=True)
class Flags:
    """What was typed in one call of a command: texts as they are, None or empty where a flag is missing.

    Attributes:
        changes: The values of fields of `Settings`, `Runtime`, `Output` and `Input`, by name.
    """

    # the result, and messages
    output: str | None = None
    force: bool = False
    recipe: bool = False
    report: bool = False
    save_every: str | None = None
    checkpoint: str | None = None
    no_checkpoint: bool = False
    json: bool = False
    preview: str | None = None
    quiet: bool = False
    verbose: bool = False
    # where settings come from
    preset: str | None = None
    like: str | None = None
    settings: str | None = None
    save_settings: str | None = None
    # paintings, masks and the start
    style: Sequence[str] = ()
    style_weights: str | None = None
    init_picture: str | None = None
    strokes: str | None = None
    style_layers_of: str | None = None
    mask: Sequence[str] = ()
    source_mask: Sequence[str] = ()
    segments: str | None = None
    segment_colors: str | None = None
    source_segments: Sequence[str] = ()
    protect: str | None = None
    # of single commands: grid; reproduce, resume and report; experiment
    vary: Sequence[str] = ()
    cell: str | None = None
    pick: str | None = None
    yes: bool = False
    inputs: Sequence[str] = ()
    list: bool = False
    quick: bool = False
    only: str | None = None
    rounds: str | None = None
    alpha: str | None = None
    start: str | None = None
    print: str | None = None  # of stylize and estimate
    # of batch
    pair_list: str | None = None
    recursive: bool = False
    suffix: str | None = None
    workers: str | None = None
    shard: str | None = None
    ray: Sequence[str] | None = None
    fail_fast: bool = False
    re_resolve: bool = False
    watch: bool = False
    sheet: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Sort values by name into the flags and the fields of the models."""
        own = {item.name for item in fields(cls)}
        flags = {name: value for name, value in values.items() if name in own}
        changes = {name: value for name, value in values.items() if name not in own}
        return cls(**flags, changes=changes)


def flag(name: str) -> str:
    """Return the flag of a field: `--style-weight` for `style_weight`, `--from` for `from_`."""
    return f"--{name.rstrip('_').replace('_', '-')}"


# --- how flags are made --------------------------------------------------------------------------

COMMON = Group("Common", show=False)  # flags that the short help of a command shows
COMMON_FIELDS = frozenset("style_weight strength color size quality budget".split())
GROUPS = {name: Group(name, sort_key=order) for order, name in enumerate(get_args(Groups), start=1)}


def describe(info: FieldInfo) -> str:
    """Return the help of one field: meaning, then unit, choices or range, and default."""
    extra = info.json_schema_extra
    assert isinstance(extra, dict)
    meaning = str(info.description)
    default = info.get_default(call_default_factory=True)
    parts = [str(extra["unit"]), ", ".join(map(str, choices(info))), _range(info)]
    if default is not None:
        parts.append(f"default: {format_value(default)}")
    elif "Default:" not in meaning:
        parts.append("default: not set")
    detail = "; ".join(part for part in parts if part)
    return f"{meaning} [{detail}]" if detail else meaning


def _range(info: FieldInfo) -> str:
    limits = {
        name: getattr(item, name)
        for item in info.metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(item, name, None) is not None
    }
    low = f"above {limits['gt']}" if "gt" in limits else str(limits.get("ge", ""))
    high = f"below {limits['lt']}" if "lt" in limits else str(limits.get("le", ""))
    return f"{low} to {high}" if low and high else low if "gt" in limits else f"{low} or more" if low else ""


def hide_dashes(tokens: Sequence[str]) -> list[str]:
    """Return the arguments of the program with DASH for each single `-`."""
    return [DASH if token == "-" else token for token in tokens]


def typed(kind: Any, tokens: Sequence[Any]) -> str:
    """Convert a value to the text that was typed; `-` is standard input or output."""
    text = str(tokens[0].value)
    return "-" if text == DASH else text


def typed_name(kind: Any, tokens: Sequence[Any]) -> str:
    """Convert a value to the text that was typed; the models check it.

    Raises:
        InputError: It is `-`, which this flag or argument does not take.
    """
    text = typed(kind, tokens)
    if text == "-":
        message = "- is standard input or output, and not for this; give the name of a file"
        raise InputError(message)
    return text


def _understood(name: str, info: FieldInfo, kind: Any, tokens: Sequence[Any]) -> Any:
    """Convert a value of a setting to text as its field reads it, or to one of its choices."""
    text = typed_name(kind, tokens)
    try:
        text = understood(info, text)
    except ValueError as error:
        raise InputError(f"{flag(name)}: {error}") from error
    return one_of(name, choices(info), text) if choices(info) else text


def one_of(name: str, allowed: Sequence[Any], text: str) -> Any:
    """Return the choice that a text means, large letters or small.

    Raises:
        InputError: It is none of them.
    """
    for choice in allowed:
        if str(choice) == text.lower():
            return choice
    hint = value_hint(text, allowed)
    raise InputError(
        f"{flag(name)}: must be one of {', '.join(map(str, allowed))}, not {short_repr(text)}.{hint}"
    )


def parameter(
    name: str, kind: Any, help: str, group: str = "Output", *, common: bool = False, **more: Any
) -> Any:
    """Return one keyword-only parameter of a command, which is a flag.

    Args:
        name: As a field of `Flags` or of a model.
        kind: Type of its value.
        help: Meaning, then unit, range or choices, and default in brackets.
        group: Under which heading the long help has it.
        common: Whether the short help has it.
        more: Of `cyclopts.Parameter`; `short` are short names.
    """
    names = [flag(name), *more.pop("short", [])]
    if get_origin(kind) is list:
        more["converter"] = lambda kind, tokens: [typed_name(kind, [token]) for token in tokens]
    elif {*(get_args(kind) or [kind])} <= {int, float, str, Path, type(None)}:
        more.setdefault("converter", typed_name)
    about = Parameter(
        name=names,
        help=help,
        group=(GROUPS[group], COMMON) if common else (GROUPS[group],),
        show_default=False,
        show_choices=False,
        **more,
    )
    return Plain(name, Plain.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, about])


Switch = Annotated[bool, Parameter(negative="", show_default=False)]  # where there is no `Flags`


def switch(name: str, help: str, **more: Any) -> Any:
    """Return a flag without a value, which is off by default."""
    return parameter(name, bool, f"{help} [default: no]", negative="", **more)


def generated(*models: type[Model], common: frozenset[str] = COMMON_FIELDS) -> list[Any]:
    """Return a flag for every field of these models; of all four if none is named."""
    parameters = []
    for model in models or (Settings, Runtime, Output, Input):
        for name, info in model.model_fields.items():
            extra = info.json_schema_extra
            assert isinstance(extra, dict)
            kind = str if is_table(info) or name in WITH_UNITS else Path if name in FILES else info.annotation
            # -3s is a wrong value, and would be taken for a flag, unlike -3
            more: dict[str, Any] = {"allow_leading_hyphen": True} if name in WITH_UNITS else {}
            group = str(extra["group"])
            help = describe(info)
            if choices(info) or extra["unit"]:
                more["converter"] = functools.partial(_understood, name, info)
            parameters.append(parameter(name, kind, help, group, common=name in common, **more))
    return parameters


def takes(parameters: Sequence[Any]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command, which has files and `flags`, the signature that the parser reads.

    This is the only place where the values of a call become `Flags`.
    """

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def call(*files: str, **values: Any) -> int:
            return command(*files, flags=Flags.of(values))

        del call.__wrapped__  # whose signature is another
        call.__signature__ = inspect.Signature(list(parameters))  # type: ignore[attr-defined]
        call.__annotations__ = {item.name: item.annotation for item in parameters}
        return call

    return decorate


@contextlib.contextmanager
def typed_only(command: Any, tokens: Sequence[str]) -> Iterator[None]:
    """Hide from the parser, inside the block, the flags of a command that are not among the arguments.

    The parser takes about a millisecond for each flag, typed or not, and `stylize` has 80 of them.
    """
    signature = getattr(command, "__signature__", None)  # which `takes` makes
    if signature is None:
        yield
        return
    typed = {token.partition("=")[0] for token in tokens}
    typed |= {word.replace("--no-", "--") for word in typed}
    kept = [
        item
        for item in signature.parameters.values()
        if item.kind is not Plain.KEYWORD_ONLY or typed & set(item.annotation.__metadata__[0].name)
    ]
    command.__signature__ = signature.replace(parameters=kept)
    try:
        yield
    finally:
        command.__signature__ = signature


# --- flags that are no settings -------------------------------------------------------------------


def output_flag(default: str) -> Any:
    """Return `--output`, saying what it is by default."""
    return parameter("output", Path, "File or folder to write; - is standard output. The suffix decides the "
        f"format, which is PNG there. [default: {default} here, a new name]", common=True, short=["-o"],
        allow_leading_hyphen=True, converter=typed)  # fmt: skip


SAVING = [
    switch("force", "Replace files that exist.", common=True),
    switch("recipe", "Also write the recipe, which the picture carries, as JSON beside it."),
    switch("report", "Also write a page about the result, NAME.html. It lies beside the picture.",
        common=True),
    parameter("save_every", int, "Also save the picture after every so many evaluations, as "
        "NAME-0020.png. [evaluations; 1 or more; default: not set]"),
    parameter("checkpoint", Path, "File from which impasto resume continues after an interruption. A run of "
        "over two minutes keeps one in the cache folder by itself. [default: not set]"),
    switch("no_checkpoint", "Keep no checkpoint, however long it takes."),
    parameter("preview", Path, "Keep a small picture of the work in this file while it goes on. "
        "[default: not set]"),
    switch("json", "Print one JSON object a line while it works: step, scale, error; the last, done, has all "
        "about the result. With -o - they go to standard error."),
    switch("quiet", "Say nothing but errors.", common=True, short=["-q"]),
    switch("verbose", "Say more.", short=["-v"]),
]  # fmt: skip
OUTPUT = [output_flag("CONTENT-STYLE.png"), *SAVING]
SOURCES = [
    parameter("preset", str, "Named settings: portrait, painted, bold, wild, paper, gatys2016 and others, or "
        "one of your own. impasto presets lists all of them; paper and gatys2016 are after Gatys, Ecker and "
        "Bethge 2016. Single flags go before. [default: default]", "Look", common=True),
    parameter("like", Literal[settings_file.PEERS], "Another program's published settings, in its own "
        "formulas: what its numbers mean there, they mean here. "
        f"[{', '.join(settings_file.PEERS)}; default: not set]", "Look",
        converter=lambda kind, tokens: one_of("like", settings_file.PEERS, typed_name(kind, tokens))),
    parameter("settings", Path, "Settings from a TOML file, or from a picture made earlier. Single flags go "
        "before. [default: not set]", "Look", common=True),
    parameter("save_settings", Path, "Write all settings but pictures and their shares, with their "
        "help, to a .toml file for --settings. [default: not set]"),
]  # fmt: skip
BASE = [
    *SOURCES,
    parameter("style", list[str], "A painting, in place of the names after the photo; once for each. "
        "[default: the names after the photo]", "Styles", negative=""),
    parameter("style_weights", str, "Shares of several paintings, by commas, such as 0.7,0.3. "
        "[0 or more; default: equal]", "Look", common=True),
    parameter("init_picture", Path, "Picture to start from; means --init picture. [default: not set]",
        "Start", converter=typed),
    parameter("strokes", str, "Size of the strokes of each painting, by commas, such as 0.5,2; or none. "
        "[0.1 to 10; default: as --stroke]", "Styles"),
    parameter("style_layers_of", str, "Layers of each painting, between ; as in "
        '"relu1_1,relu2_1;relu4_1,relu5_1"; or none. [default: as --style-layers]', "Styles"),
    parameter("mask", list[str], "Where a painting is used, white on black. It has the photo's shape. Once "
        "for each painting in their order: a file, none (everywhere) or rest (what the others leave). "
        "[default: none]", "Regions", common=True, negative=""),
    parameter("source_mask", list[str], "Which part of a painting counts, white on black. Once for each "
        "painting: a file or none. [default: none]", "Regions", negative=""),
    parameter("segments", Path, "One picture with a flat color for each region, instead of masks. "
        "[default: not set]", "Regions"),
    parameter("segment_colors", str, "Whose color is which, by commas, such as \"#00f,#0f0\"; none and "
        "rest as for --mask. [default: the largest region is the first painting's, and so on]", "Regions"),
    parameter("source_segments", list[str], "The segmentation of a painting, in the photo's colors; once "
        "for each painting: a file or none. [default: none]", "Regions", negative=""),
    parameter("protect", str, "What stays the photo, white on black; or rest: what no mask covers. "
        "[default: not set]", "Regions"),
]  # fmt: skip
PRINT = parameter(
    "print", str, "Paper to fill, in place of --size: a width and a height such as 40x30cm, or a0 to a6. Its "
    f"long edge times --dpi ({PAPER_DPI:g} by default) is the size. [mm, cm or in; default: not set]", "Size",
)  # fmt: skip


def argument(
    name: str, help: str, kind: Any = Plain.POSITIONAL_ONLY, /, *, default: Any = Plain.empty, **more: Any
) -> Any:
    """Return one argument of a command, a file, which has no flag; `more` is of `cyclopts.Parameter`."""
    about = Parameter(help=help, **{"converter": typed_name, **more})
    file = Path if default is Plain.empty else Path | None
    return Plain(name, kind, default=default, annotation=Annotated[file, about])


PICTURES = [
    argument("content", "The photo; - reads standard input.", converter=typed, required=True),
    argument("styles", "The painting, or several.", Plain.VAR_POSITIONAL, name="STYLE", converter=typed),
]  # fmt: skip
