"""Settings from everywhere: flag > environment > file > preset > default, and where each value came from.

No torch here. A file is a settings file in TOML, a picture made earlier, or the recipe of one.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impasto.config import settings_file
from impasto.config.limits import Input
from impasto.config.model import PREFIX, Model
from impasto.config.output import Output
from impasto.config.recipe import Recipe
from impasto.config.runtime import Runtime
from impasto.config.settings import Settings
from impasto.config.settings_file import TABLES, SettingsFile
from impasto.errors import InputError, SettingsError
from impasto.image.xmp import read_recipe
from impasto.messages import did_you_mean, printable

MODELS: tuple[type[Model], ...] = (Settings, Runtime, Output, Input)
WEIGHED = {"content_weight", "style_weight"}  # what a strength sets
WORDS = ("preset", "settings", "weights")  # what else the environment may give
PLACES = ("CACHE_DIR", "DATA_DIR", "CONFIG_DIR", "OFFLINE")  # variables that are not settings


@dataclass(frozen=True)
class ResolvedSettings:
    """What was chosen, and for each field by what: `--size`, `IMPASTO_SIZE`, `my.toml`, `default`, ..."""

    settings: Settings
    runtime: Runtime
    output: Output
    input: Input = field(default_factory=Input)
    preset: str = "default"
    weights: str | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what of a preset or of a picture's settings is not in these

    def rows(self) -> Iterator[tuple[str, str, Any, str]]:
        """Yield (group, field, value, origin) of everything."""
        for title, model in zip(("", *TABLES), self.models(), strict=True):
            for name in type(model).model_fields:
                yield title, name, getattr(model, name), self.origins[name]

    def models(self) -> tuple[Settings, Runtime, Output, Input]:
        """Return the models."""
        return self.settings, self.runtime, self.output, self.input


class _Layers:
    """Values by name, each with the name of the layer that set it last."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.origins: dict[str, str] = {}
        self.names: dict[str, str] = {}

    def add(self, values: Mapping[str, Any], origin: Mapping[str, str], shown: str = "") -> None:
        """Lay values over those before; `origin` names them, in errors after `shown`."""
        if "quality" in values and "evaluations" not in values and self.values.get("evaluations"):
            # A number of evaluations from below would override the quality asked for here.
            self.values["evaluations"] = None
            self.origins["evaluations"] = shown or origin["quality"]
        if "strength" not in values and not WEIGHED.isdisjoint(values):
            if self.values.get("strength") is not None:  # likewise, of weights asked for here
                self.values["strength"] = None
                self.origins["strength"] = shown or origin[min(WEIGHED & set(values))]
        for name, value in values.items():
            self.values[name] = value
            self.origins[name] = shown or origin[name]
            self.names[name] = f"{shown}: {name}" if shown else origin[name]

    def add_sheet(self, sheet: SettingsFile, shown: str) -> None:
        """Lay the values of a file or preset over those before, after checking them."""
        _check_places(sheet, shown)
        for table, model in zip(sheet.tables(), MODELS, strict=True):
            _check(model, table, shown)
            self.add(table, {}, shown)

    def build(self, model: type[Model]) -> Any:
        """Make one model of the values that belong to it."""
        known = model.model_fields
        return model.with_names({n: v for n, v in self.values.items() if n in known}, self.names)


def limits_of(flags: Mapping[str, Any], before: Input | None = None) -> Input:
    """Return which files are read: as the flags say, else as before, else as the environment says.

    Raises:
        SettingsError: A value is wrong; the message says where it was given.
    """
    values = dict(before or Input.from_environment())
    values |= {name: flags[name] for name in Input.model_fields if name in flags}
    return Input.with_names(values, {name: _flag(name) for name in Input.model_fields})


def gather(
    flags: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> ResolvedSettings:
    """Lay the flags given over the environment, the settings file, the preset and the defaults.

    Args:
        flags: Fields of the four models that were given, `preset`, `like`, `settings`
            (a file) and `weights`.
        environment: The environment's variables; those of the process if None.

    Raises:
        InputError: A value, a name or a file is wrong; the message says where it was given.
    """
    for name in ("content_layers", "style_layers"):
        if name in flags and not str(flags[name]).strip(" ,"):
            raise SettingsError(
                f"{_flag(name)}: the value is empty; name a layer such as relu4_2 (impasto layers lists them)"
            )
    variables = _from_environment(os.environ if environment is None else environment)
    file = flags.get("settings") or variables.get("settings")
    sheet = read_file(file) if file else SettingsFile({})
    shown = printable(Path(file).name) if file else ""
    named = _preset(flags, variables, sheet)
    layers = _Layers()
    base = settings_file.resolve_preset(named)
    origin = _origin(flags, variables, sheet, shown)
    preset = (base, f"preset {named}")  # it counts as what named it: a flag's goes before a file
    if origin in ("default", shown):
        layers.add_sheet(*preset)
    layers.add_sheet(sheet, shown)
    for given, call, prefix in ((variables, _variable, PREFIX), (flags, _flag, "--")):
        if origin.startswith(prefix):
            layers.add_sheet(*preset)
        fields = {name: value for name, value in given.items() if name in _fields()}
        if "strength" in fields and (twice := sorted(WEIGHED & set(fields))):
            raise InputError(
                f"{call('strength')} sets the weights itself: leave out {call(twice[0])}, or the strength"
            )
        layers.add(fields, {name: call(name) for name in fields})
    if "init_picture" in flags and "init" not in flags:
        layers.add({"init": "picture"}, {"init": "--init-picture"})
    settings, runtime, output, input = (layers.build(model) for model in MODELS)
    origins = {name: layers.origins.get(name, "default") for name in _fields()}
    origins["preset"] = origin
    for page, where in ((base, f"preset {named}"), (sheet, shown)):
        if page.weights:
            origins["weights"] = where
    for values, call in ((variables, _variable), (flags, _flag)):
        if values.get("weights"):
            origins["weights"] = call("weights")
    weights = flags.get("weights") or variables.get("weights") or sheet.weights or base.weights
    left = tuple(_flag(name) for name in sheet.missing_flags if name not in flags)
    notes = [f"{shown} was painted with {' and '.join(left)}: give that again"] if left else []
    notes += [f"not as in {named}: {limit}" for limit in base.limits]
    return ResolvedSettings(settings, runtime, output, input, named, weights, origins, tuple(notes))


def read_file(path: str | os.PathLike[str]) -> SettingsFile:
    """Read the settings in a TOML file, in a picture made earlier, or in its recipe.

    Raises:
        InputError: It cannot be read, or holds no settings.
    """
    name, shown = Path(path), printable(path)
    if name.suffix.lower() == ".toml":
        return settings_file.read_file(path)
    recipe = read_recipe(path)
    about = {"title": shown}
    found = recipe.settings.model_dump()
    return SettingsFile(found, weights=_weights(recipe), about=about, missing_flags=_beside(recipe))


def _beside(recipe: Recipe) -> tuple[str, ...]:
    """Return the flags, as fields, for what the pictures of a recipe have beside its settings."""
    styles = recipe.styles
    masks = [style.mask for style in styles if style.mask]
    sources = [style.source_mask for style in styles if style.source_mask]
    found = {
        "segments" if any(mask.color for mask in masks) else "mask": masks,
        "source_segments" if any(mask.color for mask in sources) else "source_mask": sources,
        "protect": recipe.protect is not None,
        "style_weights": len({style.weight for style in styles}) > 1,
        "strokes": any(style.stroke is not None for style in styles),
        "style_layers_of": any(style.layers is not None for style in styles),
    }
    return tuple(name for name, there in found.items() if there)


def _weights(recipe: Recipe) -> str | None:
    return None if recipe.weights == "given" else recipe.weights


def _preset(flags: Mapping[str, Any], variables: Mapping[str, Any], sheet: SettingsFile) -> str:
    """Return the name of the preset that all else is laid over."""
    if "like" in flags:
        if "preset" in flags:
            raise InputError("--like and --preset are both what the rest starts from; give one")
        if flags["like"] not in settings_file.PEERS:
            hint = did_you_mean(flags["like"], settings_file.PEERS)
            raise InputError(f"--like: must be one of {', '.join(settings_file.PEERS)}.{hint}")
        return str(flags["like"])
    if "preset" in flags:
        return str(flags["preset"])
    return str(variables.get("preset") or sheet.preset or "default")


def _origin(
    flags: Mapping[str, Any], variables: Mapping[str, Any], sheet: SettingsFile, shown: str
) -> str:
    """Return what named the preset."""
    for name in ("like", "preset"):
        if name in flags:
            return _flag(name)
    return _variable("preset") if "preset" in variables else shown if sheet.preset else "default"


def _fields() -> list[str]:
    return [name for model in MODELS for name in model.model_fields]


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _check_places(sheet: SettingsFile, shown: str) -> None:
    """Refuse fields of other models among those of `Settings`, saying where they belong."""
    for title, model in zip(TABLES, MODELS[1:], strict=True):
        for name in sheet.settings:
            if name in model.model_fields:
                raise SettingsError(f"{shown}: {name} belongs below a line [{title}]")


def _check(model: type[Model], values: Mapping[str, Any], shown: str) -> None:
    try:
        model.check_types(values)
    except SettingsError as error:
        raise SettingsError(f"{shown}: {error}") from error


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what the variables IMPASTO_... set; empty ones count as not set.

    Raises:
        SettingsError: A variable of that prefix is unknown.
    """
    known = {_variable(name): name for name in [*_fields(), *WORDS]}
    others = [PREFIX + name for name in PLACES]
    found: dict[str, Any] = {}
    for variable, value in environment.items():
        if not variable.startswith(PREFIX) or variable in others or not value:
            continue
        if variable not in known:
            words = [name.removeprefix(PREFIX) for name in (*known, *others)]
            near = did_you_mean(variable.removeprefix(PREFIX), words)
            hint = near.replace("mean ", f"mean {PREFIX}") or " docs/cli.md lists those there are."
            raise SettingsError(f"unknown environment variable {printable(variable)}.{hint}")
        found[known[variable]] = value
    return found


# --- writing -------------------------------------------------------------------------------------


def to_toml(chosen: ResolvedSettings) -> str:
    """Return the settings as a TOML file with every field of `Settings` and its help.

    Of the other models, only what was chosen: they belong to a machine and an occasion.
    """
    import tomlkit

    from impasto._version import __version__

    page = tomlkit.document()
    page.add(
        tomlkit.comment(
            f"Settings of impasto {__version__}: impasto --settings THIS PHOTO PAINTING"
        )
    )
    if chosen.weights:
        page.add("weights", tomlkit.item(chosen.weights))
    tables = {}
    for name, info in Settings.model_fields.items():
        value = getattr(chosen.settings, name)
        if isinstance(value, dict):
            tables[name] = (value, str(info.description))
            continue
        page.add(tomlkit.nl())
        page.add(tomlkit.comment(str(info.description)))
        if value is None:
            page.add(tomlkit.comment(f"{name} ="))
        else:
            page.add(name, tomlkit.item(value))
    for title, model in zip(TABLES, chosen.models()[1:], strict=True):
        values = {
            name: value
            for name, value in model.model_dump(exclude_none=True).items()
            if chosen.origins.get(name, "default") != "default"
        }
        if values:
            tables[title] = (values, "")
    for name, (values, about) in tables.items():
        table = tomlkit.table()
        if about:
            table.add(tomlkit.comment(about))
        for key, value in values.items():
            table.add(key, value)
        page.add(tomlkit.nl())
        page.add(name, table)
    page.add(tomlkit.nl())
    page.add(tomlkit.comment("[about]"))
    page.add(tomlkit.comment('title = "what `impasto presets` says of it"'))
    return tomlkit.dumps(page)
