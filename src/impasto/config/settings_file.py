"""Settings files, and presets, which are those with a name: some ship with impasto, users add others.

No torch here.

A settings file is TOML: fields of `Settings` at the top, those of `Runtime`, `Output` and `Input` in
`[runtime]`, `[output]` and `[input]`, `preset = "paper"` for what the rest starts from, `weights = "NAME"`,
and `[about]` for people::

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
LARGEST_SHEET = 1_000_000  # bytes of a settings file
PEERS = ("jcjohnson", "gatys", "keras", "pastiche", "crowsonkb")  # other programs, for --like


@dataclass(frozen=True)
class SettingsFile:
    """What a settings file says, not checked against the models yet."""

    settings: Mapping[str, Any]
    runtime: Mapping[str, Any] = field(default_factory=dict)
    output: Mapping[str, Any] = field(default_factory=dict)
    input: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = None
    weights: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    missing_flags: tuple[
        str, ...
    ] = ()  # of a picture: its flags that are no settings, such as mask

    def tables(self) -> tuple[Mapping[str, Any], ...]:
        """Return the values of each model."""
        return self.settings, self.runtime, self.output, self.input

    @property
    def title(self) -> str:
        """What it is, in one line."""
        return str(self.about.get("title", ""))

    @property
    def limits(self) -> tuple[str, ...]:
        """What it cannot express, in sentences."""
        found = self.about.get("limits", [])
        return tuple(map(str, found)) if isinstance(found, list) else (str(found),)


def preset_folder() -> Path:
    """Return where a user adds presets, as NAME.toml."""
    return config_folder() / "presets"


def known() -> dict[str, Path]:
    """Return all presets by name: those that ship with impasto, then the user's."""
    found = {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}
    first = ("default", "paper")
    shipped = {name: found[name] for name in first} | found
    return {**shipped, **{path.stem: path for path in mine() if path.stem not in shipped}}


def mine() -> list[Path]:
    """Return the files of the user's own presets; those with the name of a shipped one are not used."""
    try:
        return sorted(preset_folder().glob("*.toml"))
    except OSError:
        return []


def read(name: str) -> SettingsFile:
    """Return a preset by name.

    Raises:
        SettingsError: It is unknown or cannot be read.
    """
    presets = known()
    if name not in presets:
        label = printable(name) if name else ""
        hint = did_you_mean(name, presets) or f" Known: {', '.join(presets)}."
        raise SettingsError(
            f"unknown preset '{label}'.{hint} impasto presets tells more; "
            f"your own go into {preset_folder()} as NAME.toml."
        )
    return read_sheet(presets[name])


def read_sheet(path: str | os.PathLike[str]) -> SettingsFile:
    """Read a settings file.

    Raises:
        InputError: The file cannot be read.
        SettingsError: It is not TOML, or one of its tables is not a table.
    """
    label = printable(path)
    return parse(read_whole(path, LARGEST_SHEET), label)


def parse(data: bytes, label: str) -> SettingsFile:
    """Read the bytes of a settings file; `label` is its name for messages."""
    try:
        values = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # tomllib's own, and numbers of too many digits
        raise SettingsError(f"{label}: not a settings file in TOML: {error}") from error
    tables = {name: values.pop(name, {}) for name in (*TABLES, "about")}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise SettingsError(f"{label}: {name} must be a table, [{name}]")
    words = {name: values.pop(name, None) for name in ("preset", "weights")}
    for name, word in words.items():
        if word is not None and not isinstance(word, str):
            raise SettingsError(f"{label}: {name} must be a name in quotes, not {short_repr(word)}")
    return SettingsFile(values, **tables, **words)


def resolved(name: str) -> SettingsFile:
    """Return a preset laid over those that it starts from.

    Raises:
        SettingsError: It or one below it is unknown, or they start from each other.
    """
    whole = SettingsFile({})
    seen: list[str] = []
    current: str | None = name
    while current is not None:
        if current in seen:
            raise SettingsError(f"the presets {' and '.join(seen)} start from each other")
        seen.append(current)
        sheet = read(current)
        whole = SettingsFile(
            {**sheet.settings, **whole.settings},
            {**sheet.runtime, **whole.runtime},
            {**sheet.output, **whole.output},
            {**sheet.input, **whole.input},
            weights=whole.weights or sheet.weights,
            about=whole.about or sheet.about,
        )
        current = sheet.preset
    return whole
