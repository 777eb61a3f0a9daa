"""Collects settings: flag > environment > file > preset > default, and where each value came from.

No torch here. A file is a settings file in TOML, a picture made earlier, or the recipe of one.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from impasto.cli.flags import Flags, flag, one_of
from impasto.config import settings_file
from impasto.config.limits import Input
from impasto.config.model import LARGEST_EDGE, PREFIX, Model
from impasto.config.output import Output
from impasto.config.paper import DPI, Paper
from impasto.config.recipe import Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.settings_file import TABLES, SettingsFile
from impasto.config.synonyms import name_hint
from impasto.errors import InputError, SettingsError
from impasto.image.xmp import read_recipe
from impasto.messages import printable

MODELS: tuple[type[Model], ...] = (Settings, Runtime, Output, Input)
FIELDS = [name for model in MODELS for name in model.model_fields]
WORDS = ("preset", "settings")  # variables that are no field of a model
PLACES = (
    "CACHE_DIR",
    "DATA_DIR",
    "CONFIG_DIR",
    "OFFLINE",
    "TOKEN",
    "SHARDS",
)  # variables that choose no settings


@dataclass(frozen=True)
class ResolvedSettings:
    """All settings of a call.

    Attributes:
        origins: Where each field came from: `--size`, `IMPASTO_SIZE`, `my.toml`, `preset paper`, `default`.
        notes: What of a preset or of a picture's settings is missing here, a sentence each.
    """

    settings: Settings
    runtime: Runtime
    output: Output
    input: Input
    preset: str = "default"
    origins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def rows(self) -> Iterator[tuple[str, Any, str]]:
        """Yield (field, value, origin) of everything."""
        for model in self.models():
            for name, value in model:
                yield name, value, self.origins[name]

    def models(self) -> tuple[Settings, Runtime, Output, Input]:
        """Return the models."""
        return self.settings, self.runtime, self.output, self.input


class _Layers:
    """Values by field, each with the name of the layer that set it last."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.names: dict[str, str] = {}  # of fields, for errors

    def add(self, values: Mapping[str, Any], origin: Callable[[str], str], *, file: bool = False) -> None:
        """Let values replace those of earlier layers.

        Args:
            values: By field.
            origin: Returns the name of a field in this layer, such as `--size`.
            file: Whether the layer is a file or a preset, and its name that of all its fields.
        """
        if "quality" in values and self.values.get("evaluations"):  # which would override it
            self.values["evaluations"], self.origins["evaluations"] = None, origin("quality")
        for name, value in values.items():
            self.values[name], self.origins[name] = value, origin(name)
            self.names[name] = f"{origin(name)}: {name}" if file else origin(name)

    def add_file(self, file: SettingsFile, label: str) -> None:
        """Check the values of a file or preset, and let them replace those of earlier layers."""
        for title, model in zip(TABLES, MODELS[1:], strict=True):
            if misplaced := [name for name in file.settings if name in model.model_fields]:
                raise SettingsError(f"{label}: {misplaced[0]} belongs below a line [{title}]")
        for table, model in zip(file.tables(), MODELS, strict=True):
            try:
                model.check_types(table)
            except SettingsError as error:
                raise SettingsError(f"{label}: {error}") from error
            self.add(table, lambda name: label, file=True)

    def build(self, model: type[Model]) -> Any:
        """Make one model of the values that belong to it."""
        known = model.model_fields
        return model.from_texts({n: v for n, v in self.values.items() if n in known}, self.names)


def limits_of(flags: Flags, before: Input | None = None) -> Input:
    """Return which files are read: as the flags say, else as before, else as the environment says.

    Raises:
        SettingsError: A value is wrong; the message says which flag or variable has it.
    """
    values = dict(before or Input.from_environment())
    values |= {name: flags.changes[name] for name in Input.model_fields if name in flags.changes}
    return Input.from_texts(values, {name: flag(name) for name in Input.model_fields})


def gather(flags: Flags, environment: Mapping[str, str] | None = None) -> ResolvedSettings:
    """Return all settings: the flags over the environment, the settings file, the preset, the defaults.

    Args:
        flags: What was typed.
        environment: The environment's variables; those of the process if None.

    Raises:
        InputError: A value, a name or a file is wrong; the message says where it stands.
    """
    for name in ("content_layers", "style_layers"):
        if name in flags.changes and not str(flags.changes[name]).strip(" ,"):
            raise SettingsError(
                f"{flag(name)}: the value is empty; name a layer such as relu4_2 (impasto layers lists them)"
            )
    variables = _from_environment(os.environ if environment is None else environment)
    path = flags.settings or variables.get("settings")
    file = read_file(path) if path else SettingsFile({})
    label = printable(Path(path).name) if path else ""
    name, origin = _preset(flags, variables, file, label)
    preset, preset_label = settings_file.resolve_preset(name), f"preset {name}"
    layers = _Layers()
    # A preset counts as much as what names it: one that a flag names goes before the file.
    if origin in ("default", label):
        layers.add_file(preset, preset_label)
    layers.add_file(file, label)
    if origin == _variable("preset"):
        layers.add_file(preset, preset_label)
    layers.add({n: v for n, v in variables.items() if n in FIELDS}, _variable)
    if origin in (flag("like"), flag("preset")):
        layers.add_file(preset, preset_label)
    layers.add(flags.changes, flag)
    if flags.init_picture is not None and "init" not in flags.changes:
        layers.add({"init": "picture"}, lambda name: "--init-picture")
    if flags.print is not None:
        Paper.parse(flags.print)
        if "size" in flags.changes:
            raise InputError("--print sets the size: leave out --size, or --print")
        if layers.values.get("dpi") is None:
            layers.add({"dpi": DPI}, lambda name: "--print")
    settings, runtime, output, input = (layers.build(model) for model in MODELS)
    origins = {name: layers.origins.get(name, "default") for name in FIELDS} | {"preset": origin}
    missing = [flag(name) for name in file.missing_flags if not getattr(flags, name)]
    notes = []
    if missing:
        notes.append(f"{label} was painted with {' and '.join(missing)}: give that again")
    notes += [f"limits of {name}: {limit}" for limit in preset.limits]
    return ResolvedSettings(settings, runtime, output, input, name, origins, tuple(notes))


def on_paper(resolved: ResolvedSettings, flags: Flags, name: str, data: bytes) -> ResolvedSettings:
    """Return the settings with the size that fills the paper of `--print`; unchanged without that.

    Args:
        resolved: The settings.
        flags: What was typed.
        name: Of the photo, for messages.
        data: The photo's file.

    Raises:
        InputError: The photo cannot be read, or the size is more than pictures may have.
    """
    if flags.print is None:
        return resolved
    from impasto.image.picture import Picture

    photo = Picture.open(data, name=name, limits=resolved.input)
    edge = Paper.parse(flags.print).long_edge(photo.width, photo.height, resolved.output.dpi or DPI)
    if edge > LARGEST_EDGE:
        raise InputError(f"--print: comes to {edge} px, more than {LARGEST_EDGE}; lower --dpi")
    settings = resolved.settings.changed(size=edge)
    return replace(resolved, settings=settings, origins={**resolved.origins, "size": "--print"})


def read_file(path: str | os.PathLike[str]) -> SettingsFile:
    """Read the settings in a TOML file, in a picture made earlier, or in its recipe.

    Raises:
        InputError: It cannot be read, or holds no settings.
    """
    if Path(path).suffix.lower() == ".toml" or Path(path).is_dir():  # that is refused there
        return settings_file.read_file(path)
    recipe = read_recipe(path)
    weights = None if recipe.weights == "given" else recipe.weights
    return SettingsFile(
        {**recipe.settings.model_dump(), "weights": weights},
        about={"title": printable(path)},
        missing_flags=_missing_flags(recipe),
    )


def _missing_flags(recipe: Recipe) -> tuple[str, ...]:
    """Return the flags, as fields of `Flags`, of a picture's masks and weights, which are no settings."""
    styles = recipe.styles
    masks = [style.mask for style in styles if style.mask]
    sources = [style.source_mask for style in styles if style.source_mask]
    used = {
        "segments" if any(mask.color for mask in masks) else "mask": masks,
        "source_segments" if any(mask.color for mask in sources) else "source_mask": sources,
        "protect": recipe.protect is not None,
        "style_weights": len({style.weight for style in styles}) > 1,
        "strokes": any(style.stroke is not None for style in styles),
        "style_layers_of": any(style.layers is not None for style in styles),
    }
    return tuple(name for name, there in used.items() if there)


def _preset(flags: Flags, variables: Mapping[str, Any], file: SettingsFile, label: str) -> tuple[str, str]:
    """Return the name of the preset that the rest is laid over, and what names it."""
    if flags.like is not None:
        if flags.preset is not None:
            raise InputError("--like and --preset are both what the rest starts from; give one")
        return one_of("like", settings_file.PEERS, flags.like), flag("like")
    if flags.preset is not None:
        return flags.preset, flag("preset")
    if "preset" in variables:
        return str(variables["preset"]), _variable("preset")
    return (file.preset, label) if file.preset else ("default", "default")


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what the variables IMPASTO_... set; empty ones count as not set.

    Raises:
        SettingsError: A variable of that prefix is unknown.
    """
    known = {_variable(name): name for name in [*FIELDS, *WORDS]}
    others = [PREFIX + name for name in PLACES]
    values: dict[str, Any] = {}
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable in others or not value:
            continue
        if variable not in known:
            words = [name.removeprefix(PREFIX) for name in (*known, *others)]
            known_fields = {word.lower(): word for word in words}
            near = name_hint(variable.removeprefix(PREFIX).lower(), known_fields)
            hint = (
                re.sub(r"mean (\w+)", lambda m: f"mean {PREFIX}{m[1].upper()}", near)
                or " docs/cli.md lists those there are."
            )
            raise SettingsError(f"unknown environment variable {printable(variable)}.{hint}")
        values[known[variable]] = value
    return values


# --- writing -------------------------------------------------------------------------------------


def to_toml(resolved: ResolvedSettings) -> str:
    """Return the settings as a TOML file with every field of `Settings` and its help.

    Of the other models, only what differs from the default: they belong to a machine and an occasion.
    """
    import tomlkit

    from impasto._version import __version__

    lines = [f"# Settings of impasto {__version__}: impasto --settings THIS PHOTO PAINTING"]
    tables: dict[str, tuple[list[str], dict[str, Any]]] = {}  # comments and values
    for name, info in Settings.model_fields.items():
        value, about = getattr(resolved.settings, name), f"# {info.description}"
        if isinstance(value, dict):
            tables[name] = [about], value
        else:
            entry = f"# {name} =" if value is None else tomlkit.dumps({name: value}).rstrip()
            lines += ["", about, entry]
    for title, model in zip(TABLES, resolved.models()[1:], strict=True):
        values = model.model_dump(exclude_none=True)
        changed = {n: v for n, v in values.items() if resolved.origins.get(n, "default") != "default"}
        if changed:
            tables[title] = [], changed
    for title, (comments, values) in tables.items():
        lines += ["", f"[{title}]", *comments, tomlkit.dumps(values).rstrip()]
    lines += ["", "# [about]", '# title = "what `impasto presets` says of it"', ""]
    return "\n".join(lines)
