"""Settings files, and presets, which are settings files with a name. No torch here.

Some presets come with impasto, users add others. A settings file is TOML: fields of `Settings` at the top,
those of `Runtime`, `Output` and `Input` in `[runtime]`, `[output]` and `[input]`, `preset = "paper"` for the
preset to start from, and `[about]` for readers::

    preset = "paper"
    content_weight = 0.5
    [runtime]
    threads = 2
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impasto.config.model import short_repr
from impasto.errors import SettingsError
from impasto.messages import did_you_mean, printable
from impasto.system.app_dirs import config_folder
from impasto.system.files import read_whole

TABLES = ("runtime", "output", "input")  # of the models beside `Settings`
SHIPPED = Path(__file__).parent / "presets"
LARGEST_FILE = 1_000_000  # bytes of a settings file
# For --preset, from the gentlest.
LOOKS = ("tinted", "sketchy", "portrait", "balanced", "print", "default", "painted", "bold", "wild")
PEERS = ("jcjohnson", "gatys", "keras", "pastiche", "crowsonkb")  # other programs, for --like


@dataclass(frozen=True)
class SettingsFile:
    """The content of a settings file, not validated by the models yet."""

    settings: Mapping[str, Any]
    runtime: Mapping[str, Any] = field(default_factory=dict)
    output: Mapping[str, Any] = field(default_factory=dict)
    input: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    missing_flags: tuple[str, ...] = ()  # flags of a picture's run that a settings file cannot hold

    def tables(self) -> tuple[Mapping[str, Any], ...]:
        """Return the values for `Settings`, `Runtime`, `Output` and `Input`."""
        return self.settings, self.runtime, self.output, self.input

    @property
    def title(self) -> str:
        """The title, one line."""
        return str(self.about.get("title", ""))

    @property
    def limits(self) -> tuple[str, ...]:
        """What the preset cannot express, in sentences."""
        limits = self.about.get("limits", [])
        return tuple(map(str, limits)) if isinstance(limits, list) else (str(limits),)


def preset_folder() -> Path:
    """Return the folder where a user adds presets as NAME.toml."""
    return config_folder() / "presets"


def preset_paths() -> dict[str, Path]:
    """Return the paths of all presets by name: those that come with impasto, then the user's."""
    paths = {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}
    first = ("default", "paper", "gatys2016")
    shipped = {name: paths[name] for name in first} | paths
    return {**shipped, **{path.stem: path for path in user_presets() if path.stem not in shipped}}


def kind_of(name: str) -> str:
    """Return what a preset is: `look`, `paper`, `program` (another one's settings) or `own`."""
    if not (SHIPPED / f"{name}.toml").is_file():
        return "own"
    return "look" if name in LOOKS else "program" if name in PEERS else "paper"


def user_presets() -> list[Path]:
    """Return the files of the user's presets; one with the name of a shipped preset is not used."""
    try:
        return sorted(preset_folder().glob("*.toml"))
    except OSError:
        return []


def read_preset(name: str) -> SettingsFile:
    """Return a preset by name.

    Raises:
        SettingsError: It is unknown or cannot be read.
    """
    presets = preset_paths()
    if name not in presets:
        name = name.lower()
    if name not in presets:
        label = printable(name) if name else ""
        hint = did_you_mean(name, presets) or f" Known: {', '.join(presets)}."
        raise SettingsError(
            f"unknown preset '{label}'.{hint} impasto presets tells more; "
            f"your own go into {preset_folder()} as NAME.toml."
        )
    return read_file(presets[name])


def read_file(path: str | os.PathLike[str]) -> SettingsFile:
    """Read a settings file.

    Raises:
        InputError: The file cannot be read.
        SettingsError: It is not TOML, or one of its tables is not a table.
    """
    label = printable(path)
    return parse(read_whole(path, LARGEST_FILE, "settings"), label)


def parse(data: bytes, label: str) -> SettingsFile:
    """Return the settings file in these bytes; `label` is its name in messages."""
    try:
        values = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # tomllib's own, and numbers of too many digits
        raise SettingsError(f"{label}: not a settings file in TOML: {error}") from error
    tables = {name: values.pop(name, {}) for name in (*TABLES, "about")}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise SettingsError(f"{label}: {name} must be a table, [{name}]")
    preset = values.pop("preset", None)
    if preset is not None and not isinstance(preset, str):
        raise SettingsError(f"{label}: preset must be a name in quotes, not {short_repr(preset)}")
    return SettingsFile(values, **tables, preset=preset)


def resolve_preset(name: str) -> SettingsFile:
    """Return a preset merged with those that it starts from.

    Raises:
        SettingsError: One of them is unknown, or they start from each other.
    """
    whole = SettingsFile({})
    seen: list[str] = []
    current: str | None = name
    while current is not None:
        if current in seen:
            raise SettingsError(f"the presets {' and '.join(seen)} start from each other")
        seen.append(current)
        file = read_preset(current)
        whole = SettingsFile(
            {**file.settings, **whole.settings},
            {**file.runtime, **whole.runtime},
            {**file.output, **whole.output},
            {**file.input, **whole.input},
            about=whole.about or file.about,
        )
        current = file.preset
    return whole
